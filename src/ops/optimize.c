/* optimize.c: what a step of the optimizer does to the weights, panel by panel: no sum, so nothing of it depends on who
 * holds what. AdamW: Loshchilov & Hutter 2019, as torch.optim.AdamW computes it; SGD with momentum as torch.optim.SGD.
 * Gradients are multiplied by StepScalars.clip first.
 */
#include <math.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "optimize.h"

#define NONE_UPDATE {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED}

Cost update_cost(const Graph *g, const Node *n) {
    const Shape *s = &n->shape;
    double size = (double)s->dim[0].size * (s->rank > 1 ? (double)s->dim[1].size : 1);
    (void)g;
    return (Cost){.flops = 14 * size, .bytes = 28 * size};
}

bool update_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    for (int i = 0; i < n->inputs; i++)
        if (n->in[i].id && !shape_same(out, &graph_node(g, n->in[i])->shape))
            return err_as(err, QM_INTERNAL, "%s: input %d is not of the weight's shape", n->op->name, i);
    return true;
}

static bool is_vector(const Graph *g, Tensor w) { return graph_node(g, w)->shape.rank == 1; }

/* ---- Units: runs of numbers, whatever they are of ---------------------------------------------------------------- */

enum { UPDATE_FLOATS = 16384 };
static int64_t update_units(const Call *c) { return (c->states.floats + UPDATE_FLOATS - 1) / UPDATE_FLOATS; }
static Range update_range(const Call *c, int64_t unit) {
    Range r = {unit * UPDATE_FLOATS, (unit + 1) * UPDATE_FLOATS};
    if (r.last > c->states.floats) r.last = c->states.floats;
    return r;
}

/* Numbers of a state in a plain graph. */
static int64_t plain_size(const PlainCall *c) {
    const Shape *s = &c->node->shape;
    return s->dim[0].size * (s->rank > 1 ? s->dim[1].size : 1);
}

static void average_plainly(const PlainCall *c, int of) {
    float *e = (float *)(uintptr_t)c->in[of];
    for (int64_t i = 0; e && i < plain_size(c); i++)
        e[i] = (float)(c->step->scalars.average_decay * (double)e[i] +
                       (1 - c->step->scalars.average_decay) * (double)c->out[i]);
}
static void average_run(const Call *c, int of, Range r) {
    double decay = c->step->scalars.average_decay;
    if (c->states.of[of])
        c->kernels->average(c->states.of[of] + r.first, c->states.of[0] + r.first, r.last - r.first, (float)decay,
                            (float)(1 - decay));
}

/* ---- Lines of a lowered update: each number of the weight alone -------------------------------------------------- */

/* "%out = x times a scalar of the step". */
static const char *times(Lower *l, const char *out, const char *x, LowerScalar by, const char *type) {
    lower_op(l, out, "multiply", x, lower_scalar_like(l, by, type), type);
    return out;
}

/* A gradient of the weight's shape: a sum, or a value where heads were added up. */
static const char *gradient_in(Lower *l, const Node *n, int i) {
    return graph_state(&l->program->graph, n->in[i]) ? lower_state_in(l, n, i) : lower_in(l, n, i);
}

static void average_lines(Lower *l, const Node *n, int of, const char *type) {
    const char *out = lower_out(l, n), *average = lower_word(l, "%s_avg", out);
    if (!n->in[of].id) return;
    times(l, lower_word(l, "%s_ea", out), lower_state_in(l, n, of), SCALAR_AVERAGE, type);
    times(l, lower_word(l, "%s_eb", out), out, SCALAR_REST_AVERAGE, type);
    lower_op(l, average, "add", lower_word(l, "%s_ea", out), lower_word(l, "%s_eb", out), type);
    lower_state_out(l, n, of, average);
}

/* ---- adamw ------------------------------------------------------------------------------------------------------- */

Tensor adamw(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor second, Tensor average, bool decay) {
    return graph_op(g, is_vector(g, w) ? &adamw_vector_row : &adamw_row,
                    &(Node){.in = {w, grad, first, second, average}, .attributes = &(UpdateAttributes){decay}});
}

AdamwNumbers adamw_numbers(const StepScalars *s, bool decay) {
    return (AdamwNumbers){.clip = (float)s->clip,
                          .decay = decay ? (float)(1 - s->learning_rate * s->weight_decay) : 1,
                          .beta1 = (float)s->beta1,
                          .rest1 = (float)(1 - s->beta1),
                          .beta2 = (float)s->beta2,
                          .rest2 = (float)(1 - s->beta2),
                          .step = (float)(s->learning_rate / (1 - pow(s->beta1, (double)s->step))),
                          .root = (float)sqrt(1 - pow(s->beta2, (double)s->step)),
                          .epsilon = (float)s->epsilon};
}

static void adamw_reference(const PlainCall *c) {
    const StepScalars *s = &c->step->scalars;
    float *m = (float *)(uintptr_t)c->in[2], *v = (float *)(uintptr_t)c->in[3];
    double bias1 = 1 - pow(s->beta1, (double)s->step), bias2 = sqrt(1 - pow(s->beta2, (double)s->step));
    for (int64_t i = 0; i < plain_size(c); i++) {
        double g = (double)c->in[1][i] * s->clip, p = (double)c->out[i];
        double m1 = s->beta1 * (double)m[i] + (1 - s->beta1) * g, v1 = s->beta2 * (double)v[i] + (1 - s->beta2) * g * g;
        if (update_decays(c->node)) p *= 1 - s->learning_rate * s->weight_decay;
        c->out[i] = (float)(p - s->learning_rate / bias1 * m1 / (sqrt(v1) / bias2 + s->epsilon));
        m[i] = (float)m1, v[i] = (float)v1;
    }
    average_plainly(c, 4);
}

static void adamw_run(const Call *c, int64_t first, int64_t last) {
    AdamwNumbers numbers = adamw_numbers(&c->step->scalars, update_decays(c->node));
    for (int64_t u = first; u < last; u++) {
        Range r = update_range(c, u);
        float *const *of = c->states.of;
        c->kernels->adamw(of[0] + r.first, c->in[1] + r.first, of[2] + r.first, of[3] + r.first, r.last - r.first,
                          &numbers);
        average_run(c, 4, r);
    }
}

static void adamw_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *type = lower_tensor(l, n), *w = lower_state_in(l, n, 0);
    const char *g = times(l, lower_word(l, "%s_g", out), gradient_in(l, n, 1), SCALAR_CLIP, type);
    const char *m = lower_word(l, "%s_m", out), *v = lower_word(l, "%s_v", out);
    if (update_decays(n)) w = times(l, lower_word(l, "%s_w", out), w, SCALAR_KEEP, type);
    times(l, lower_word(l, "%s_ma", out), lower_state_in(l, n, 2), SCALAR_BETA1, type);
    times(l, lower_word(l, "%s_mb", out), g, SCALAR_REST1, type);
    lower_op(l, m, "add", lower_word(l, "%s_ma", out), lower_word(l, "%s_mb", out), type);
    times(l, lower_word(l, "%s_va", out), lower_state_in(l, n, 3), SCALAR_BETA2, type);
    lower_op(l, lower_word(l, "%s_gg", out), "multiply", g, g, type);
    times(l, lower_word(l, "%s_vb", out), lower_word(l, "%s_gg", out), SCALAR_REST2, type);
    lower_op(l, v, "add", lower_word(l, "%s_va", out), lower_word(l, "%s_vb", out), type);
    lower_op(l, lower_word(l, "%s_vr", out), "sqrt", v, NULL, type);
    lower_op(l, lower_word(l, "%s_vc", out), "divide", lower_word(l, "%s_vr", out), lower_scalar_like(l, SCALAR_ROOT, type),
             type);
    lower_op(l, lower_word(l, "%s_ve", out), "add", lower_word(l, "%s_vc", out), lower_scalar_like(l, SCALAR_EPSILON, type),
             type);
    times(l, lower_word(l, "%s_ms", out), m, SCALAR_STEP, type);
    lower_op(l, lower_word(l, "%s_u", out), "divide", lower_word(l, "%s_ms", out), lower_word(l, "%s_ve", out), type);
    lower_op(l, out, "subtract", w, lower_word(l, "%s_u", out), type);
    lower_state_out(l, n, 2, m);
    lower_state_out(l, n, 3, v);
    average_lines(l, n, 4, type);
}

const OpRow adamw_row = {
    .name = "adamw", .factors = "oi,oi,oi,oi,?oi->oi",
    .shape = update_shape, .units = update_units, .cost = update_cost,
    .run = adamw_run, .reference = adamw_reference, .stablehlo = adamw_stablehlo, .binds = BINDS_STATES, .writes_state = true,
    .attributes = sizeof(UpdateAttributes), .none = NONE_UPDATE,
};
const OpRow adamw_vector_row = {
    .name = "adamw_vector", .factors = "o,o,o,o,?o->o",
    .shape = update_shape, .units = update_units, .cost = update_cost,
    .run = adamw_run, .reference = adamw_reference, .stablehlo = adamw_stablehlo, .binds = BINDS_STATES, .writes_state = true,
    .attributes = sizeof(UpdateAttributes), .none = NONE_UPDATE,
};

/* ---- sgd: beta1 is the momentum; none: no moment is read ---------------------------------------------------------- */

Tensor sgd(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor average, bool decay) {
    return graph_op(g, is_vector(g, w) ? &sgd_vector_row : &sgd_row,
                    &(Node){.in = {w, grad, first, average}, .attributes = &(UpdateAttributes){decay}});
}

static void sgd_reference(const PlainCall *c) {
    const StepScalars *s = &c->step->scalars;
    float *m = (float *)(uintptr_t)c->in[2];
    for (int64_t i = 0; i < plain_size(c); i++) {
        double g = (double)c->in[1][i] * s->clip + (update_decays(c->node) ? s->weight_decay * (double)c->out[i] : 0);
        if (s->beta1 > 0) m[i] = (float)(g = s->beta1 * (double)m[i] + g);
        c->out[i] = (float)((double)c->out[i] - s->learning_rate * g);
    }
    average_plainly(c, 3);
}

static void sgd_run(const Call *c, int64_t first, int64_t last) {
    const StepScalars *s = &c->step->scalars;
    SgdNumbers numbers = {.clip = (float)s->clip, .decay = update_decays(c->node) ? (float)s->weight_decay : 0,
                          .momentum = (float)s->beta1, .rate = (float)s->learning_rate};
    for (int64_t u = first; u < last; u++) {
        Range r = update_range(c, u);
        float *const *of = c->states.of;
        c->kernels->sgd(of[0] + r.first, c->in[1] + r.first, s->beta1 > 0 ? of[2] + r.first : NULL, r.last - r.first,
                        &numbers);
        average_run(c, 3, r);
    }
}

/* Without momentum (beta1 0) m stays as it is. */
static void sgd_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *type = lower_tensor(l, n), *w = lower_state_in(l, n, 0);
    const char *g = times(l, lower_word(l, "%s_g", out), gradient_in(l, n, 1), SCALAR_CLIP, type);
    const char *m = lower_word(l, "%s_m", out);
    if (update_decays(n)) {
        times(l, lower_word(l, "%s_d", out), w, SCALAR_WEIGHT_DECAY, type);
        lower_op(l, lower_word(l, "%s_gd", out), "add", g, lower_word(l, "%s_d", out), type);
        g = lower_word(l, "%s_gd", out);
    }
    times(l, lower_word(l, "%s_ma", out), lower_state_in(l, n, 2), SCALAR_BETA1, type);
    lower_op(l, lower_word(l, "%s_mg", out), "add", lower_word(l, "%s_ma", out), g, type);
    if (lower_once(l, "momentum")) {
        lower_constant(l, "%momentum_0", 0, "tensor<f32>");
        lower_compare(l, "%momentum", "GT", lower_scalar(l, SCALAR_BETA1), "%momentum_0", "FLOAT", "tensor<f32>", "tensor<i1>");
    }
    lower_select(l, m, "%momentum", lower_word(l, "%s_mg", out), lower_state_in(l, n, 2), "tensor<i1>", type);
    times(l, lower_word(l, "%s_u", out), lower_word(l, "%s_mg", out), SCALAR_LEARNING_RATE, type);
    lower_op(l, out, "subtract", w, lower_word(l, "%s_u", out), type);
    lower_state_out(l, n, 2, m);
    average_lines(l, n, 3, type);
}

const OpRow sgd_row = {
    .name = "sgd", .factors = "oi,oi,oi,?oi->oi",
    .shape = update_shape, .units = update_units, .cost = update_cost,
    .run = sgd_run, .reference = sgd_reference, .stablehlo = sgd_stablehlo, .binds = BINDS_STATES, .writes_state = true,
    .attributes = sizeof(UpdateAttributes), .none = NONE_UPDATE,
};
const OpRow sgd_vector_row = {
    .name = "sgd_vector", .factors = "o,o,o,?o->o",
    .shape = update_shape, .units = update_units, .cost = update_cost,
    .run = sgd_run, .reference = sgd_reference, .stablehlo = sgd_stablehlo, .binds = BINDS_STATES, .writes_state = true,
    .attributes = sizeof(UpdateAttributes), .none = NONE_UPDATE,
};

/* ---- sum_states: a += b, of a weight that is used twice ---------------------------------------------------------- */

Tensor sum_states(Graph *g, Tensor a, Tensor b) { return graph_op(g, &sum_states_row, &(Node){.in = {a, b}}); }
static void sum_states_reference(const PlainCall *c) {
    for (int64_t i = 0; i < plain_size(c); i++) c->out[i] = c->in[0][i] + c->in[1][i];
}
static void sum_states_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t u = first; u < last; u++) {
        Range r = update_range(c, u);
        float *a = c->states.of[0] + r.first;
        c->kernels->add(a, c->states.of[1] + r.first, r.last - r.first, a);
    }
}
static void sum_states_stablehlo(Lower *l, const Node *n) {
    lower_op(l, lower_out(l, n), "add", lower_state_in(l, n, 0), lower_state_in(l, n, 1), lower_tensor(l, n));
}
const OpRow sum_states_row = {
    .name = "sum_states", .factors = "oi,oi->oi",
    .shape = update_shape, .units = update_units, .cost = update_cost,
    .run = sum_states_run, .reference = sum_states_reference, .stablehlo = sum_states_stablehlo, .binds = BINDS_STATES, .writes_state = true,
    .none = NONE_UPDATE,
};

/* ---- row_squares: the sum of squares of each row of a gradient, [o,i] -> [o]; of a vector its squares ------------ */

Tensor row_squares(Graph *g, Tensor x) {
    return graph_op(g, is_vector(g, x) ? &squares_row : &row_squares_row, &(Node){.in = {x}});
}
static bool squares_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = (Shape){.rank = 1, .dim = {graph_node(g, n->in[0])->shape.dim[0]}};
    return true;
}
static void row_squares_reference(const PlainCall *c) {
    const Shape *s = &graph_node(c->graph, c->node->in[0])->shape;
    int64_t w = s->rank > 1 ? s->dim[1].size : 1;
    for (int64_t o = 0; o < s->dim[0].size; o++) {
        double sum = 0;
        for (int64_t i = 0; i < w; i++) sum += (double)c->in[0][o * w + i] * (double)c->in[0][o * w + i];
        c->out[o] = (float)sum;
    }
}
static int64_t squares_units(const Call *c) { return (c->out_width + PANEL - 1) / PANEL; }
static int64_t row_squares_units(const Call *c) { return c->states.held.panels.last - c->states.held.panels.first; }

/* Columns in order, 16 rows at a time, in double: squares of f32 are exact there. */
static void leaf_squares(const float *panel, Range columns, double sum[PANEL]) {
    memset(sum, 0, PANEL * sizeof *sum);
    for (int64_t i = columns.first; i < columns.last; i++)
        for (int l = 0; l < PANEL; l++) sum[l] += (double)panel[i * PANEL + l] * (double)panel[i * PANEL + l];
}
static bool tree_squares(const Call *c, const float *panel, int level, int64_t index, double sum[PANEL]) {
    const Tree *tree = c->states.tree;
    if (level == 0) {
        int64_t held = c->states.held.columns.first;
        leaf_squares(panel, (Range){tree->first[index] - held, tree->last[index] - held}, sum);
        return tree->first[index] < tree->last[index];
    }
    double other[PANEL];
    bool left = tree_squares(c, panel, level - 1, 2 * index, sum),
         right = tree_squares(c, panel, level - 1, 2 * index + 1, other);
    for (int l = 0; right && l < PANEL; l++) sum[l] = left ? sum[l] + other[l] : other[l];
    return left || right;
}
/* The sums of subtrees stay in double until they are one. */
static void subtree_squares(const Call *c, const float *panel, int64_t o, int64_t rows) {
    for (int s = 0; s < subtrees_count(&c->subtrees); s++) {
        const TreeNode *n = &c->subtrees.node[c->subtrees.first + s];
        double sum[PANEL];
        tree_squares(c, panel, n->level, n->index, sum);
        memcpy(call_block(c, s) + 2 * o, sum, (size_t)rows * sizeof *sum);
    }
}
static void row_squares_run(const Call *c, int64_t first, int64_t last) {
    int64_t columns = c->states.held.columns.last - c->states.held.columns.first;
    for (int64_t p = first; p < last; p++) {
        double sum[PANEL];
        int64_t o = (c->states.held.panels.first + p) * PANEL, rows = c->out_width - o < PANEL ? c->out_width - o : PANEL;
        const float *panel = c->in[0] + p * columns * PANEL;
        if (c->subtrees.node) {
            subtree_squares(c, panel, o, rows);
            continue;
        }
        if (c->states.tree) tree_squares(c, panel, c->states.tree->levels, 0, sum);
        else leaf_squares(panel, (Range){0, columns}, sum);
        for (int l = 0; l < rows; l++) c->out[o + l] = (float)sum[l];
    }
}
static void squares_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t o = first * PANEL; o < last * PANEL && o < c->out_width; o++)
        c->out[o] = c->in[0][o] * c->in[0][o];
}

enum { SQUARES_AT_ONCE = 1 << 23 }; /* numbers of a matrix */

/* Rows [first, last) of a matrix alone, and one vector of all of them: Tenstorrent's compiler writes the squares down, and
 * those of an embedding would be the most memory that a step has. */
static void squares_in_pieces(Lower *l, const char *out, const char *x, int64_t rows, int64_t columns, int64_t each) {
    const char *all = lower_type(l, "f32", 2, rows, columns), *list = "", *types = "";
    for (int64_t at = 0; at < rows; at += each) {
        int64_t n = at + each < rows ? each : rows - at;
        const char *part = lower_word(l, "%s_p%lld", out, (long long)at), *type = lower_type(l, "f32", 2, n, columns);
        const char *sums = lower_type(l, "f32", 1, n), *comma = at ? ", " : "";
        lower_line(l, "%s = stablehlo.slice %s [%lld:%lld, 0:%lld] : (%s) -> %s", part, x, (long long)at,
                   (long long)(at + n), (long long)columns, all, type);
        lower_op(l, lower_word(l, "%s_q", part), "multiply", part, part, type);
        lower_fold(l, lower_word(l, "%s_s", part), "add", lower_word(l, "%s_q", part), "[1]", "f32", type, sums);
        list = lower_word(l, "%s%s%s_s", list, comma, part);
        types = lower_word(l, "%s%s%s", types, comma, sums);
    }
    lower_line(l, "%s = stablehlo.concatenate %s, dim = 0 : (%s) -> %s", out, list, types, lower_type(l, "f32", 1, rows));
}

static void row_squares_stablehlo(Lower *l, const Node *n) {
    const Node *of = graph_node(&l->program->graph, n->in[0]);
    const char *out = lower_out(l, n), *type = lower_tensor(l, of), *x = gradient_in(l, n, 0);
    bool matrix = of->shape.rank > 1, tt = l->platform && !strcmp(l->platform, "tt");
    int64_t rows = lower_dim(l, n, 0), columns = matrix ? lower_dim(l, of, 1) : 1, each = SQUARES_AT_ONCE / columns;
    if (matrix && tt && each < rows) return squares_in_pieces(l, out, x, rows, columns, each < 32 ? 32 : each / 32 * 32);
    lower_op(l, matrix ? lower_word(l, "%s_q", out) : out, "multiply", x, x, type);
    if (matrix) lower_fold(l, out, "add", lower_word(l, "%s_q", out), "[1]", "f32", type, lower_tensor(l, n));
}

const OpRow row_squares_row = {
    .name = "row_squares", .factors = "oi->o", .shape = squares_shape, .units = row_squares_units,
    .cost = update_cost, .run = row_squares_run, .reference = row_squares_reference,
    .stablehlo = row_squares_stablehlo,
    .finish = all_reduce, .binds = BINDS_STATES, .whole = true, .by_subtrees = true, .in_doubles = true,
    .none = {[FACET_GRADIENT] = OF_GRADIENT},
};
const OpRow squares_row = {
    .stablehlo = row_squares_stablehlo,
    .name = "squares", .factors = "o->o", .shape = squares_shape, .units = squares_units,
    .cost = update_cost, .run = squares_run, .reference = row_squares_reference, .binds = BINDS_STATES,
    .none = NONE_UPDATE,
};
