/* norm_grad.c: gradients of rms_norm and head_norm (norm.c). With h = x r and w = dy gain, over the d numbers that one
 * r is of:
 *
 *     dx = r (w - h mean(w h)),   dgain = sum over rows of dy h
 *
 * r is the one that the forward pass had: it is computed again, by the same sum. head_norm's gain is shared by heads:
 * its sum is kept for each head, and heads are added up once, by their tree.
 */
#include <math.h>
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower_train.h"
#include "call.h"
#include "norm.h"
#include "products.h"

#define NONE_GRADIENT {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED}
#define NONE_SUM {[FACET_GRADIENT] = OF_GRADIENT}

static Cost norm_grad_cost(const Graph *g, const Node *n) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    double td = (double)x->dim[0].size * (double)x->dim[1].size;
    return (Cost){.flops = 8 * td, .bytes = 16 * td};
}

/* Numbers that one r is of: a row, or a head of it. */
static int64_t norm_width(const Graph *g, const Node *n, int64_t width) {
    return n->op == &head_norm_grad_row || n->op == &head_gain_grad_row ? graph_size(g, AXIS_CHANNEL) : width;
}

/* ---- dx and r ---------------------------------------------------------------------------------------------------- */

static bool norm_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *dy = &graph_node(g, n->in[2])->shape;
    *out = *x;
    if (!shape_same(x, dy)) return err_as(err, QM_INTERNAL, "%s: x and dy of different shapes", n->op->name);
    if (n->result != 1) return true;
    if (n->op == &rms_norm_grad_row) out->rank = 1;
    else { /* a number for each head: the letters but the channels' */
        Dim *heads = &out->dim[1];
        heads->letters[strlen(heads->letters) - 1] = 0;
        heads->size /= graph_size(g, AXIS_CHANNEL);
    }
    return true;
}

static Tensor norm_grad(Graph *g, const OpRow *row, Tensor x, Tensor gain, Tensor dy, double epsilon) {
    return graph_op(g, row,
                    &(Node){.in = {x, gain, dy}, .attributes = &(NormAttributes){.epsilon = (float)epsilon}});
}
Tensor rms_norm_grad(Graph *g, Tensor x, Tensor gain, Tensor dy, double epsilon) {
    return norm_grad(g, &rms_norm_grad_row, x, gain, dy, epsilon);
}
Tensor head_norm_grad(Graph *g, Tensor x, Tensor gain, Tensor dy, double epsilon) {
    return norm_grad(g, &head_norm_grad_row, x, gain, dy, epsilon);
}

static double epsilon_of(const Node *n) { return (double)((const NormAttributes *)n->attributes)->epsilon; }

static void norm_grad_reference(const PlainCall *c) {
    int64_t d = norm_width(c->graph, c->node, c->out_width);
    for (int64_t at = 0, r = 0; at < c->rows * c->out_width; at += d, r++) {
        const float *x = c->in[0] + at, *dy = c->in[2] + at;
        double square = 0, mean = 0;
        for (int64_t i = 0; i < d; i++) square += (double)x[i] * (double)x[i];
        double inverse = 1 / sqrt(square / (double)d + epsilon_of(c->node));
        for (int64_t i = 0; i < d; i++)
            mean += (double)dy[i] * (double)c->in[1][i] * (double)x[i] * inverse / (double)d;
        for (int64_t i = 0; i < d; i++)
            c->out[at + i] = (float)(inverse * ((double)dy[i] * (double)c->in[1][i] - (double)x[i] * inverse * mean));
        if (c->more[0]) c->more[0][r] = (float)inverse;
    }
}

static void norm_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, d = norm_width(c->graph, c->node, w), each = w / d;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        for (int64_t at = c->columns.first; at < c->columns.last; at += d) {
            float r = c->kernels->rms_norm_grad(c->in[0] + t * w + at, c->in[1], c->in[2] + t * w + at,
                                                (float)epsilon_of(c->node), d, c->out + t * w + at);
            if (c->more[0]) c->more[0][t * each + at / d] = r;
        }
}

/* 1 / rms of each row of x [rows, d], spread over them: "%out_b". */
static void inverse_lines(Lower *l, const Node *n, const char *out, const char *x, int64_t rows, int64_t d) {
    const char *flat = lower_type(l, "f32", 2, rows, d), *one = lower_type(l, "f32", 1, rows);
    lower_op(l, lower_word(l, "%s_q", out), "multiply", x, x, flat);
    lower_fold(l, lower_word(l, "%s_s", out), "add", lower_word(l, "%s_q", out), "[1]", "f32", flat, one);
    lower_constant(l, lower_word(l, "%s_n", out), (double)d, one);
    lower_op(l, lower_word(l, "%s_m", out), "divide", lower_word(l, "%s_s", out), lower_word(l, "%s_n", out), one);
    lower_constant(l, lower_word(l, "%s_e", out), epsilon_of(n), one);
    lower_op(l, lower_word(l, "%s_a", out), "add", lower_word(l, "%s_m", out), lower_word(l, "%s_e", out), one);
    lower_op(l, lower_word(l, "%s_r", out), "rsqrt", lower_word(l, "%s_a", out), NULL, one);
    lower_spread(l, lower_word(l, "%s_b", out), lower_word(l, "%s_r", out), "[0]", one, flat);
}

/* Heads are rows of a norm of their own. */
static void norm_grad_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0), w = lower_dim(l, n, 1), d = norm_width(&l->program->graph, n, w),
            rows = t * (w / d);
    const char *out = lower_out(l, n), *whole = lower_type(l, "f32", 2, t, w), *flat = lower_type(l, "f32", 2, rows, d);
    const char *one = lower_type(l, "f32", 1, rows), *x = lower_f32_in(l, n, 0), *dy = lower_f32_in(l, n, 2);
    if (d < w) {
        lower_reshape(l, lower_word(l, "%s_x", out), x, whole, flat);
        lower_reshape(l, lower_word(l, "%s_y", out), dy, whole, flat);
        x = lower_word(l, "%s_x", out), dy = lower_word(l, "%s_y", out);
    }
    inverse_lines(l, n, out, x, rows, d);
    lower_op(l, lower_word(l, "%s_h", out), "multiply", x, lower_word(l, "%s_b", out), flat);
    lower_spread(l, lower_word(l, "%s_g", out), lower_f32_in(l, n, 1), "[1]", lower_type(l, "f32", 1, d), flat);
    lower_op(l, lower_word(l, "%s_w", out), "multiply", dy, lower_word(l, "%s_g", out), flat);
    lower_op(l, lower_word(l, "%s_wh", out), "multiply", lower_word(l, "%s_w", out), lower_word(l, "%s_h", out), flat);
    lower_fold(l, lower_word(l, "%s_t", out), "add", lower_word(l, "%s_wh", out), "[1]", "f32", flat, one);
    lower_op(l, lower_word(l, "%s_c", out), "divide", lower_word(l, "%s_t", out), lower_word(l, "%s_n", out), one);
    lower_spread(l, lower_word(l, "%s_cb", out), lower_word(l, "%s_c", out), "[0]", one, flat);
    lower_op(l, lower_word(l, "%s_hc", out), "multiply", lower_word(l, "%s_h", out), lower_word(l, "%s_cb", out), flat);
    lower_op(l, lower_word(l, "%s_d", out), "subtract", lower_word(l, "%s_w", out), lower_word(l, "%s_hc", out), flat);
    const char *name = lower_f32_name(l, out), *dx = d < w ? lower_word(l, "%s_f", out) : name;
    lower_op(l, dx, "multiply", lower_word(l, "%s_b", out), lower_word(l, "%s_d", out), flat);
    if (d < w) lower_reshape(l, name, dx, flat, whole);
    lower_f32_done(l, out, 2, (int64_t[]){t, w});
    lower_reshape(l, lower_more(l, n, 1), lower_word(l, "%s_r", out), one,
                  d < w ? lower_type(l, "f32", 2, t, w / d) : one);
}

const OpRow rms_norm_grad_row = {
    .name = "rms_norm_grad", .factors = "t!d,!d,t!d->t!d,t", .results = 1,
    .shape = norm_grad_shape, .units = call_rows, .cost = norm_grad_cost,
    .run = norm_grad_run, .reference = norm_grad_reference, .stablehlo = norm_grad_stablehlo,
    .attributes = sizeof(NormAttributes), .none = NONE_GRADIENT,
};
const OpRow head_norm_grad_row = {
    .name = "head_norm_grad", .factors = "t(h!c),!c,t(h!c)->t(h!c),th", .results = 1,
    .shape = norm_grad_shape, .units = call_rows, .cost = norm_grad_cost,
    .run = norm_grad_run, .reference = norm_grad_reference, .stablehlo = norm_grad_stablehlo,
    .attributes = sizeof(NormAttributes), .none = NONE_GRADIENT,
};

/* ---- Gains: G += sum over rows of dy x r ------------------------------------------------------------------------- */

static bool gain_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    *out = graph_node(g, n->in[3])->shape;
    return (out->rank == 1 && out->dim[0].size == x->dim[1].size) ||
           err_as(err, QM_INTERNAL, "%s: the sum does not fit the rows", n->op->name);
}

Tensor norm_gain_grad(Graph *g, Tensor x, Tensor r, Tensor dy, Tensor sum) {
    return graph_op(g, &norm_gain_grad_row, &(Node){.in = {x, r, dy, sum}});
}
Tensor head_gain_grad(Graph *g, Tensor x, Tensor r, Tensor dy, Tensor sum) {
    return graph_op(g, &head_gain_grad_row, &(Node){.in = {x, r, dy, sum}});
}

static void gain_grad_reference(const PlainCall *c) {
    int64_t w = c->width[0], d = norm_width(c->graph, c->node, w);
    RowKind kind = node_row_kind(c->graph, c->node);
    for (int64_t i = 0; i < w; i++) {
        double sum = c->step->lanes[kind].held ? (double)c->out[i] : 0;
        for (int64_t t = 0; t < c->rows; t++)
            sum += (double)c->in[2][t * w + i] * (double)c->in[0][t * w + i] * (double)c->in[1][t * (w / d) + i / d];
        c->out[i] = (float)sum;
    }
}

/* A unit is so many columns, or a head's. */
enum { GAIN_COLUMNS = 64 };
static int64_t gain_step(const Call *c) {
    int64_t d = norm_width(c->graph, c->node, c->in_width[0]);
    return d < c->in_width[0] ? d : GAIN_COLUMNS;
}
static int64_t gain_units(const Call *c) { return (c->in_width[0] + gain_step(c) - 1) / gain_step(c); }
static int64_t gain_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)n, (void)blocking;
    return products_sum_scratch() + rows;
}
static void gain_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->in_width[0], step = gain_step(c), each = w / norm_width(c->graph, c->node, w);
    VectorGrad g = {.dy = c->in[2], .x = c->in[0], .r = c->in[1], .dy_stride = w, .x_stride = w,
                    .plan = &c->step->lanes[call_row_kind(c)]};
    memcpy(g.slot, c->states.slot, sizeof g.slot);
    for (int64_t u = first; u < last; u++) {
        float *r = c->scratch + products_sum_scratch();
        for (int64_t t = 0; each > 1 && t < c->row1; t++) r[t] = c->in[1][t * each + u]; /* of this head */
        if (each > 1) g.r = r;
        products_norm_sum(c->kernels, &g, u * step, (u + 1) * step < w ? (u + 1) * step : w, c->scratch);
    }
}

static void gain_grad_stablehlo(Lower *l, const Node *n) {
    const Node *of = graph_node(&l->program->graph, n->in[0]);
    int64_t t = lower_dim(l, of, 0), w = lower_dim(l, of, 1), d = norm_width(&l->program->graph, n, w), h = w / d;
    const char *out = lower_out(l, n), *whole = lower_type(l, "f32", 2, t, w),
               *heads = lower_type(l, "f32", 3, t, h, d);
    const char *product = lower_word(l, "%s_p", out), *rows = lower_word(l, "%s_rb", out);
    lower_op(l, product, "multiply", lower_f32_in(l, n, 0), lower_f32_in(l, n, 2), whole);
    if (h == 1) lower_spread(l, rows, lower_in(l, n, 1), "[0]", lower_type(l, "f32", 1, t), whole);
    else {
        lower_spread(l, lower_word(l, "%s_rh", out), lower_in(l, n, 1), "[0, 1]", lower_type(l, "f32", 2, t, h), heads);
        lower_reshape(l, rows, lower_word(l, "%s_rh", out), heads, whole);
    }
    lower_op(l, lower_word(l, "%s_q", out), "multiply", product, rows, whole);
    lower_fold(l, lower_sum_name(l, n), "add", lower_word(l, "%s_q", out), "[0]", "f32", whole, lower_tensor(l, n));
    lower_sum_done(l, n, 3);
}

const OpRow norm_gain_grad_row = {
    .name = "norm_gain_grad", .factors = "t!d,t,t!d,!d->!d",
    .shape = gain_grad_shape, .units = gain_units, .cost = norm_grad_cost,
    .run = gain_grad_run, .reference = gain_grad_reference, .scratch = gain_scratch,
    .stablehlo = gain_grad_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 3,
    .accumulates = true, .whole = true,
    .none = NONE_SUM,
};
const OpRow head_gain_grad_row = {
    .name = "head_gain_grad", .factors = "t(h!c),th,t(h!c),(h!c)->(h!c)",
    .shape = gain_grad_shape, .units = gain_units, .cost = norm_grad_cost,
    .run = gain_grad_run, .reference = gain_grad_reference, .scratch = gain_scratch,
    .stablehlo = gain_grad_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 3,
    .accumulates = true, .whole = true,
    .none = NONE_SUM,
};

/* ---- Heads' sums to one gain: G [hc] -> [c] ---------------------------------------------------------------------- */

static bool head_gain_sum_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = (Shape){.rank = 1, .dim = {{.letters = {AXIS_CHANNEL}, .size = graph_size(g, AXIS_CHANNEL)}}};
    return graph_node(g, n->in[0])->shape.rank == 1;
}
Tensor head_gain_sum(Graph *g, Tensor sum) { return graph_op(g, &head_gain_sum_row, &(Node){.in = {sum}}); }

static void head_gain_sum_reference(const PlainCall *c) {
    int64_t channels = graph_size(c->graph, AXIS_CHANNEL), heads = c->width[0] / channels;
    for (int64_t i = 0; i < channels; i++) {
        double sum = 0;
        for (int64_t h = 0; h < heads; h++) sum += (double)c->in[0][h * channels + i];
        c->out[i] = (float)sum;
    }
}

static Cost sum_cost(const Graph *g, const Node *n) {
    double size = (double)graph_node(g, n->in[0])->shape.dim[0].size;
    return (Cost){.flops = size, .bytes = 4 * size};
}
static int64_t one_unit(const Call *c) { return (void)c, 1; }

/* The sum of a subtree of heads, channel by channel; false: it has none. */
static bool heads_sum(const Call *c, int level, int64_t index, int64_t i, float *sum) {
    if (level == 0) {
        if (c->states.tree->first[index] == c->states.tree->last[index]) return false;
        return *sum = c->states.slot[0][c->states.tree->first[index] + i], true;
    }
    float other;
    bool left = heads_sum(c, level - 1, 2 * index, i, sum), right = heads_sum(c, level - 1, 2 * index + 1, i, &other);
    if (right) *sum = left ? *sum + other : other;
    return left || right;
}

static void head_gain_sum_run(const Call *c, int64_t first, int64_t last) {
    for (int s = 0; first < last && s < subtrees_count(&c->subtrees); s++) {
        const TreeNode *n = c->subtrees.node ? &c->subtrees.node[c->subtrees.first + s] : NULL;
        float *out = call_block(c, s);
        for (int64_t i = 0; i < c->out_width; i++)
            heads_sum(c, n ? n->level : c->states.tree->levels, n ? n->index : 0, i, &out[i]);
    }
}

static void head_gain_sum_stablehlo(Lower *l, const Node *n) {
    const Node *sum = graph_node(&l->program->graph, n->in[0]);
    int64_t w = lower_dim(l, sum, 0), c = lower_dim(l, n, 0);
    const char *out = lower_out(l, n), *from = lower_state_in(l, n, 0), *heads = lower_type(l, "f32", 2, w / c, c);
    if (n->partial[0]) from = lower_counted_once(l, from, lower_word(l, "%s_o", out), sum);
    lower_reshape(l, lower_word(l, "%s_h", out), from, lower_tensor(l, sum), heads);
    lower_fold(l, out, "add", lower_word(l, "%s_h", out), "[0]", "f32", heads, lower_tensor(l, n));
}

const OpRow head_gain_sum_row = {
    .name = "head_gain_sum", .factors = "(h!c)->!c",
    .shape = head_gain_sum_shape, .units = one_unit, .cost = sum_cost,
    .stablehlo = head_gain_sum_stablehlo,
    .run = head_gain_sum_run, .reference = head_gain_sum_reference,
    .finish = all_reduce, .binds = BINDS_STATES, .whole = true, .by_subtrees = true,
    .none = {[FACET_GRADIENT] = OF_GRADIENT},
};

/* ---- The rules --------------------------------------------------------------------------------------------------- */

bool rms_norm_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    Graph *g = b->g;
    Tensor x = n->in[0], gain = n->in[1], dx = rms_norm_grad(g, x, gain, dy, epsilon_of(n));
    if (gradient_needed(b, gain)) norm_gain_grad(g, x, graph_result(g, dx, 1), dy, gradient_sum(b, gain, NULL));
    return gradient_add(b, x, dx);
}

bool head_norm_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    Graph *g = b->g;
    Tensor x = n->in[0], gain = n->in[1], dx = head_norm_grad(g, x, gain, dy, epsilon_of(n));
    if (gradient_needed(b, gain)) {
        char axes[16];
        snprintf(axes, sizeof axes, "(%s)", n->shape.dim[1].letters);
        head_gain_grad(g, x, graph_result(g, dx, 1), dy, gradient_sum(b, gain, axes));
    }
    return gradient_add(b, x, dx);
}
