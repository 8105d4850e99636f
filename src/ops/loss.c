/* loss.c: cross entropy over a vocabulary that devices share, and its gradient.
 *
 *     L = m + log(sum over v of exp(z[v] - m)),  m = max over v of z[v]
 *     loss = (1 - e) (L - z[label]) + e (L - mean over v of z[v]) + c L^2
 *     dz[v] = w ((1 + 2 c L) exp(z[v] - L) - (1 - e) [v = label] - e / V)
 *
 * e: label smoothing (Szegedy et al. 2016), c: z-loss (Chowdhery et al. 2022), w: the weight of each label, one over the
 * labels of the step. The sum goes by the tree of the vocabulary, a leaf in 16 lanes; the maximum has no order.
 */
#include <math.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "call.h"
#include "loss.h"

#define NONE_LOSS {[FACET_GRADIENT] = "token_loss_grad starts from the logits"}
#define NONE_WHOLE                                                                                                     \
    {[FACET_GRADIENT] = "token_loss_grad starts from the logits", [FACET_FINISH] = NOTHING_REDUCED}

static Cost loss_cost(const Graph *g, const Node *n) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    double size = (double)x->dim[0].size * (x->rank > 1 ? (double)x->dim[1].size : 1);
    return (Cost){.flops = 4 * size, .bytes = 8 * size};
}

static bool row_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = (Shape){.rank = 1, .dim = {graph_node(g, n->in[0])->shape.dim[0]}};
    return shape_rows(out) != NO_ROWS || err_as(err, QM_INTERNAL, "%s: expected rows", n->op->name);
}

/* ---- In lowered programs ----------------------------------------------------------------------------------------- */

/* The logits that an op has as input 0, in f32, and types of their rows. */
typedef struct LoweredLogits {
    int64_t r, v;
    const char *z, *type, *bits, *row, *live; /* live NULL: no column is padding */
} LoweredLogits;

static LoweredLogits logits_in(Lower *l, const Node *n) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    int64_t r = lower_dim(l, x, 0), v = lower_dim(l, x, 1);
    return (LoweredLogits){r, v, lower_f32_in(l, n, 0), lower_type(l, "f32", 2, r, v), lower_type(l, "i1", 2, r, v),
                           lower_type(l, "f32", 1, r), lower_live_columns(l, x)};
}

/* x where a column is one of the vocabulary, else a number. */
static const char *where_live(Lower *l, const LoweredLogits *z, const char *out, const char *x, double other) {
    if (!z->live) return x;
    lower_constant(l, lower_word(l, "%s_pad", out), other, z->type);
    lower_select(l, lower_word(l, "%s_live", out), z->live, x, lower_word(l, "%s_pad", out), z->bits, z->type);
    return lower_word(l, "%s_live", out);
}

/* The id of each column of logits that devices share: "%hot_i", i32 of the logits. Tenstorrent's compiler would keep a
 * constant one from step to step, 32 times as large as its numbers: so there it is a sum of two short constants and of a
 * number of the device. False: it is counted from the device's first. */
static bool column_ids(Lower *l, const LoweredLogits *z, const char *ids, bool split) {
    enum { ROW = 32 };
    bool plain = !split || !l->platform || strcmp(l->platform, "tt") || z->v % ROW;
    if (!lower_once(l, "hot_i")) return !plain;
    if (plain) {
        lower_line(l, "%%hot_i = stablehlo.iota dim = 1 : %s", ids);
        return false;
    }
    const char *rows = lower_type(l, "i32", 1, z->v / ROW), *grid = lower_type(l, "i32", 2, z->v / ROW, (int64_t)ROW);
    const char *flat = lower_type(l, "i32", 1, z->v);
    lower_line(l, "%%hot_r = stablehlo.iota dim = 0 : %s", rows);
    lower_line(l, "%%hot_32 = stablehlo.constant dense<%d> : %s", ROW, rows);
    lower_op(l, "%hot_t", "multiply", "%hot_r", "%hot_32", rows);
    lower_spread(l, "%hot_p", lower_place(l, PLACE_VOCAB), "[]", "tensor<i32>", rows);
    lower_op(l, "%hot_q", "add", "%hot_t", "%hot_p", rows);
    lower_spread(l, "%hot_g", "%hot_q", "[0]", rows, grid);
    lower_line(l, "%%hot_c = stablehlo.iota dim = 1 : %s", grid);
    lower_op(l, "%hot_s", "add", "%hot_g", "%hot_c", grid);
    lower_reshape(l, "%hot_n", "%hot_s", grid, flat);
    lower_spread(l, "%hot_i", "%hot_n", "[1]", flat, ids);
    return true;
}

/* A name of what the ops of a part of the head, or of all of it, share. */
static const char *part_name(Lower *l, const char *name) {
    return l->part > 0 ? lower_word(l, "%s%d", name, l->part) : name;
}

/* Whether a column is the row's label: "%hot", i1 of the logits. Padding is nobody's. */
static const char *label_columns(Lower *l, const Node *n, const LoweredLogits *z, int labels) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    const char *ids = lower_type(l, "i32", 2, z->r, z->v), *rows = lower_type(l, "i32", 1, z->r);
    const char *label = lower_in(l, n, labels), *hot = part_name(l, "%hot"), *each = lower_word(l, "%s_l", hot);
    if (!lower_once(l, "%s", hot + 1)) return hot;
    bool own = column_ids(l, z, ids, x->split[0] != 0);
    if (x->split[0] && !own) {
        const char *from = lower_word(l, "%s_o", hot);
        lower_spread(l, lower_word(l, "%s_f", hot), lower_place(l, PLACE_VOCAB), "[]", "tensor<i32>", rows);
        lower_op(l, from, "subtract", label, lower_word(l, "%s_f", hot), rows);
        label = from;
    }
    lower_spread(l, each, label, "[0]", rows, ids);
    const char *there = z->live ? lower_word(l, "%s_e", hot) : hot;
    lower_compare(l, there, "EQ", "%hot_i", each, "SIGNED", ids, z->bits);
    if (z->live) lower_op(l, hot, "and", there, z->live, z->bits);
    return hot;
}

/* The weight of each row's label, f32 [r]: 0 where it has none. */
static const char *label_weights(Lower *l, const Node *n, int labels, int64_t r) {
    const char *rows = lower_type(l, "f32", 1, r), *ids = lower_type(l, "i32", 1, r), *label = lower_in(l, n, labels);
    const char *out = part_name(l, "%weights"), *bits = lower_type(l, "i1", 1, r);
    if (!lower_once(l, "%s", out + 1)) return out;
    lower_line(l, "%s_0 = stablehlo.constant dense<0> : %s", out, ids);
    lower_compare(l, lower_word(l, "%s_l", out), "GE", label, lower_word(l, "%s_0", out), "SIGNED", ids, bits);
    lower_constant(l, lower_word(l, "%s_n", out), 0, rows);
    lower_select(l, out, lower_word(l, "%s_l", out), lower_scalar_like(l, SCALAR_LOSS_WEIGHT, rows),
                 lower_word(l, "%s_n", out), bits, rows);
    return out;
}

/* ---- row_max and the collective that completes it ---------------------------------------------------------------- */

Tensor row_max(Graph *g, Tensor logits) { return graph_op(g, &row_max_row, &(Node){.in = {logits}}); }

static void row_max_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        c->out[r] = -INFINITY;
        for (int64_t v = 0; v < c->width[0]; v++)
            if (c->in[0][r * c->width[0] + v] > c->out[r]) c->out[r] = c->in[0][r * c->width[0] + v];
    }
}
/* Columns of a subtree, or all. */
static Range columns_of_subtree(const Call *c, int subtree) {
    if (!c->subtrees.node) return (Range){0, c->in_width[0]};
    const TreeNode *n = &c->subtrees.node[c->subtrees.first + subtree];
    return (Range){tree_panel_range(c->in_width[0], n->index << n->level).first,
                   tree_panel_range(c->in_width[0], ((n->index + 1) << n->level) - 1).last};
}
static void row_max_run(const Call *c, int64_t first, int64_t last) {
    for (int s = 0; s < subtrees_count(&c->subtrees); s++) {
        Range columns = columns_of_subtree(c, s);
        float *out = call_block(c, s);
        for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
            out[r] = c->kernels->max(c->in[0] + r * c->in_width[0] + columns.first, columns.last - columns.first);
    }
}

static void row_max_stablehlo(Lower *l, const Node *n) {
    LoweredLogits z = logits_in(l, n);
    const char *out = lower_out(l, n);
    lower_fold(l, out, "maximum", where_live(l, &z, out, z.z, -3e38), "[1]", "f32", z.type, z.row);
}

const OpRow row_max_row = {
    .name = "row_max", .factors = "rv->r", .shape = row_shape, .units = call_rows, .cost = loss_cost,
    .stablehlo = row_max_stablehlo,
    .run = row_max_run, .reference = row_max_reference, .finish = reduce_max, .whole = true,
    .by_subtrees = true, .none = NONE_LOSS,
};

static bool same(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = graph_node(g, n->in[0])->shape;
    return true;
}
Tensor reduce_max(Graph *g, Tensor x) { return graph_op(g, &reduce_max_row, &(Node){.in = {x}}); }

static void copy_reference(const PlainCall *c) {
    memcpy(c->out, c->in[0], (size_t)(c->rows * c->out_width) * sizeof(float));
}
/* A whole maximum is one block. */
static void reduce_max_run(const Call *c, int64_t first, int64_t last) {
    int64_t step = block_step(call_block_rows(c, c->node), c->out_width);
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        c->out[r] = -INFINITY;
        for (int s = 0; s < c->reduce.finish_count; s++) {
            if (c->reduce.finish[s] < 0) continue;
            float most = c->in[0][c->reduce.finish[s] * step + r];
            if (most > c->out[r]) c->out[r] = most;
        }
    }
}

static void reduce_max_stablehlo(Lower *l, const Node *n) {
    const char *type = lower_tensor(l, n), *out = lower_out(l, n), *x = lower_in(l, n, 0);
    if (lower_all_reduce(l, "maximum", x, out, false, "f32", type) == x) lower_reshape(l, out, x, type, type);
}

const OpRow reduce_max_row = {
    .name = "reduce_max", .factors = "r->r", .collective = true,
    .shape = same, .units = call_rows, .cost = loss_cost, .run = reduce_max_run, .reference = copy_reference,
    .stablehlo = reduce_max_stablehlo,
    .binds = BINDS_REDUCE,
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = "the result is whole"},
};

/* ---- exp_sum and row_sum, by the tree of the vocabulary ---------------------------------------------------------- */

Tensor exp_sum(Graph *g, Tensor logits, Tensor most) {
    return graph_op(g, &exp_sum_row, &(Node){.in = {logits, most}});
}
Tensor row_sum(Graph *g, Tensor logits) { return graph_op(g, &row_sum_row, &(Node){.in = {logits}}); }

static void exp_sum_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        double sum = 0;
        for (int64_t v = 0; v < c->width[0]; v++) {
            double z = (double)c->in[0][r * c->width[0] + v];
            sum += c->in[1] ? exp(z - (double)c->in[1][r]) : z;
        }
        c->out[r] = (float)sum;
    }
}

/* A row, and what is summed of it: exponentials less the largest, or, without one, the logits. */
typedef struct RowSum { const Kernels *kernels; const float *z, *most; int64_t columns; } RowSum;

static float leaf_sum(const RowSum *r, Range leaf) {
    int64_t n = leaf.last - leaf.first;
    const float *z = r->z + leaf.first;
    if (r->most) return r->kernels->exp_sum(z, n, *r->most);
    float sum = 0;
    for (int64_t v = 0; v < n; v++) sum += z[v];
    return sum;
}

static bool tree_sum(const RowSum *r, int64_t leaf, int64_t leaves, float *sum) {
    if (leaves == 1) {
        Range range = tree_panel_range(r->columns, leaf);
        if (range.first == range.last) return false;
        return *sum = leaf_sum(r, range), true;
    }
    float other;
    bool left = tree_sum(r, leaf, leaves / 2, sum), right = tree_sum(r, leaf + leaves / 2, leaves / 2, &other);
    if (right) *sum = left ? *sum + other : other;
    return left || right;
}

static void exp_sum_run(const Call *c, int64_t first, int64_t last) {
    for (int s = 0; s < subtrees_count(&c->subtrees); s++) {
        const TreeNode *n = c->subtrees.node ? &c->subtrees.node[c->subtrees.first + s] : NULL;
        int64_t leaf = n ? n->index << n->level : 0, leaves = n ? (int64_t)1 << n->level : VOCAB_LEAVES;
        float *out = call_block(c, s);
        for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
            RowSum sum = {c->kernels, c->in[0] + r * c->in_width[0], c->in[1] ? &c->in[1][r] : NULL, c->in_width[0]};
            tree_sum(&sum, leaf, leaves, &out[r]);
        }
    }
}

static void exp_sum_stablehlo(Lower *l, const Node *n) {
    LoweredLogits z = logits_in(l, n);
    const char *out = lower_out(l, n), *x = z.z;
    if (n->op == &exp_sum_row) {
        lower_spread(l, lower_word(l, "%s_m", out), lower_in(l, n, 1), "[0]", z.row, z.type);
        lower_op(l, lower_word(l, "%s_d", out), "subtract", x, lower_word(l, "%s_m", out), z.type);
        lower_op(l, lower_word(l, "%s_e", out), "exponential", lower_word(l, "%s_d", out), NULL, z.type);
        x = lower_word(l, "%s_e", out);
    }
    lower_fold(l, out, "add", where_live(l, &z, out, x, 0), "[1]", "f32", z.type, z.row);
}

const OpRow exp_sum_row = {
    .name = "exp_sum", .factors = "rv,r->r", .shape = row_shape, .units = call_rows, .cost = loss_cost,
    .stablehlo = exp_sum_stablehlo,
    .run = exp_sum_run, .reference = exp_sum_reference, .finish = all_reduce, .whole = true,
    .by_subtrees = true, .none = NONE_LOSS,
};
const OpRow row_sum_row = {
    .stablehlo = exp_sum_stablehlo,
    .name = "row_sum", .factors = "rv->r", .shape = row_shape, .units = call_rows, .cost = loss_cost,
    .run = exp_sum_run, .reference = exp_sum_reference, .finish = all_reduce, .whole = true,
    .by_subtrees = true, .none = NONE_LOSS,
};

/* ---- label_logit: the logit of each row's label; devices without it have 0 --------------------------------------- */

Tensor label_logit(Graph *g, Tensor logits, Tensor labels) {
    return graph_op(g, &label_logit_row, &(Node){.in = {logits, labels}});
}
static void label_logit_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) c->out[r] = c->in[0][r * c->width[0] + c->ids[r]];
}
static void label_logit_run(const Call *c, int64_t first, int64_t last) {
    for (int s = 0; s < subtrees_count(&c->subtrees); s++) {
        Range columns = columns_of_subtree(c, s);
        float *out = call_block(c, s);
        for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
            bool has = c->ids[r] >= columns.first && c->ids[r] < columns.last;
            out[r] = has ? c->in[0][r * c->in_width[0] + c->ids[r]] : 0;
        }
    }
}

static void label_logit_stablehlo(Lower *l, const Node *n) {
    LoweredLogits z = logits_in(l, n);
    const char *out = lower_out(l, n), *hot = label_columns(l, n, &z, 1);
    lower_constant(l, lower_word(l, "%s_0", out), 0, z.type);
    lower_select(l, lower_word(l, "%s_h", out), hot, z.z, lower_word(l, "%s_0", out), z.bits, z.type);
    lower_fold(l, out, "add", lower_word(l, "%s_h", out), "[1]", "f32", z.type, z.row);
}

const OpRow label_logit_row = {
    .name = "label_logit", .factors = "rv,r->r", .shape = row_shape, .units = call_rows, .cost = loss_cost,
    .stablehlo = label_logit_stablehlo,
    .run = label_logit_run, .reference = label_logit_reference, .finish = all_reduce, .whole = true,
    .by_subtrees = true, .none = NONE_LOSS,
};

/* ---- token_loss: the loss of each row, without its weight ----------------------------------------------------- */

Tensor token_loss(Graph *g, Tensor most, Tensor sum, Tensor label, Tensor all) {
    return graph_op(g, &token_loss_row, &(Node){.in = {most, sum, label, all}});
}

static double row_loss(const StepScalars *s, double most, double sum, double label, double all, double vocab) {
    double log_sum = most + log(sum), loss = log_sum - label;
    if (s->label_smoothing > 0) loss = (1 - s->label_smoothing) * loss + s->label_smoothing * (log_sum - all / vocab);
    return loss + (s->z_loss > 0 ? s->z_loss * log_sum * log_sum : 0);
}
float logits_loss(const float *logits, int64_t columns, int64_t label) {
    float most = kernels_reference.max(logits, columns), sum = 0;
    tree_sum(&(RowSum){&kernels_reference, logits, &most, columns}, 0, VOCAB_LEAVES, &sum);
    return (float)row_loss(&(StepScalars){0}, (double)most, (double)sum, (double)logits[label], 0, (double)columns);
}

/* Columns of the logits: labels of a head that has some, else the vocabulary. */
static double columns_of(const Graph *g) {
    int64_t labels = graph_size(g, AXIS_LABEL);
    return (double)(labels ? labels : graph_size(g, AXIS_VOCAB));
}

static void token_loss_reference(const PlainCall *c) {
    double vocab = columns_of(c->graph);
    for (int64_t r = 0; r < c->rows; r++)
        c->out[r] = (float)row_loss(&c->step->scalars, (double)c->in[0][r], (double)c->in[1][r], (double)c->in[2][r],
                                    (double)c->in[3][r], vocab);
}
static void token_loss_run(const Call *c, int64_t first, int64_t last) {
    double vocab = columns_of(c->graph);
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
        c->out[r] = (float)row_loss(&c->step->scalars, (double)c->in[0][r], (double)c->in[1][r], (double)c->in[2][r],
                                    (double)c->in[3][r], vocab);
}

static void token_loss_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *row = lower_tensor(l, n), *log_sum = lower_word(l, "%s_l", out);
    const char *own = lower_word(l, "%s_own", out), *flat = lower_word(l, "%s_flat", out);
    lower_op(l, lower_word(l, "%s_s", out), "log", lower_in(l, n, 1), NULL, row);
    lower_op(l, log_sum, "add", lower_in(l, n, 0), lower_word(l, "%s_s", out), row);
    lower_op(l, lower_word(l, "%s_o", out), "subtract", log_sum, lower_in(l, n, 2), row);
    lower_op(l, own, "multiply", lower_word(l, "%s_o", out), lower_scalar_like(l, SCALAR_REST_SMOOTHING, row), row);
    lower_constant(l, lower_word(l, "%s_v", out), columns_of(&l->program->graph), row);
    lower_op(l, lower_word(l, "%s_m", out), "divide", lower_in(l, n, 3), lower_word(l, "%s_v", out), row);
    lower_op(l, lower_word(l, "%s_f", out), "subtract", log_sum, lower_word(l, "%s_m", out), row);
    lower_op(l, flat, "multiply", lower_word(l, "%s_f", out), lower_scalar_like(l, SCALAR_SMOOTHING, row), row);
    lower_op(l, lower_word(l, "%s_a", out), "add", own, flat, row);
    lower_op(l, lower_word(l, "%s_z", out), "multiply", log_sum, log_sum, row);
    lower_op(l, lower_word(l, "%s_c", out), "multiply", lower_word(l, "%s_z", out), lower_scalar_like(l, SCALAR_Z_LOSS, row),
             row);
    lower_op(l, out, "add", lower_word(l, "%s_a", out), lower_word(l, "%s_c", out), row);
}

const OpRow token_loss_row = {
    .name = "token_loss", .factors = "r,r,r,r->r", .shape = row_shape, .units = call_rows, .cost = loss_cost,
    .stablehlo = token_loss_stablehlo, .run = token_loss_run, .reference = token_loss_reference, .none = NONE_WHOLE,
};

/* ---- token_loss_grad ------------------------------------------------------------------------------------------ */

Tensor token_loss_grad(Graph *g, Tensor logits, Tensor most, Tensor sum, Tensor labels) {
    return graph_op(g, &token_loss_grad_row, &(Node){.in = {logits, most, sum, labels}});
}

static void token_loss_grad_reference(const PlainCall *c) {
    const StepScalars *s = &c->step->scalars;
    int64_t vocab = c->out_width;
    for (int64_t r = 0; r < c->rows; r++) {
        double log_sum = (double)c->in[1][r] + log((double)c->in[2][r]);
        for (int64_t v = 0; v < vocab; v++)
            c->out[r * vocab + v] =
                (float)(s->loss_weight *
                        ((1 + 2 * s->z_loss * log_sum) * exp((double)c->in[0][r * vocab + v] - log_sum) -
                         (v == c->ids[r] ? 1 - s->label_smoothing : 0) - s->label_smoothing / (double)vocab));
    }
}
static void token_loss_grad_run(const Call *c, int64_t first, int64_t last) {
    const StepScalars *s = &c->step->scalars;
    int64_t vocab = c->out_width, from = c->columns.first, to = c->columns.last;
    float smooth = (float)(s->loss_weight * s->label_smoothing / (double)vocab);
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        float *dz = c->out + r * vocab, sum = c->in[2][r];
        double log_sum = (double)c->in[1][r] + log((double)sum);
        c->kernels->softmax_minus(c->in[0] + r * vocab + from, to - from, c->in[1][r], 1.0f / sum,
                                  (float)(s->loss_weight * (1 + 2 * s->z_loss * log_sum)), dz + from);
        for (int64_t v = from; smooth > 0 && v < to; v++) dz[v] -= smooth;
        if (c->ids[r] >= from && c->ids[r] < to) dz[c->ids[r]] -= (float)(s->loss_weight * (1 - s->label_smoothing));
    }
}

/* exp(z - m) / sum, of each row by w (1 + 2 c L); less w (1 - e) at the label, less w e / V. */
static void token_loss_grad_stablehlo(Lower *l, const Node *n) {
    LoweredLogits z = logits_in(l, n);
    const char *out = lower_out(l, n), *w = label_weights(l, n, 3, z.r), *hot = label_columns(l, n, &z, 3);
    const char *sum = lower_in(l, n, 2), *by = lower_word(l, "%s_by", out), *right = lower_word(l, "%s_right", out);
    const char *smooth = lower_word(l, "%s_smooth", out), *name = lower_f32_name(l, out);
    lower_op(l, lower_word(l, "%s_s", out), "log", sum, NULL, z.row);
    lower_op(l, lower_word(l, "%s_l", out), "add", lower_in(l, n, 1), lower_word(l, "%s_s", out), z.row);
    lower_op(l, lower_word(l, "%s_c", out), "multiply", lower_word(l, "%s_l", out), lower_scalar_like(l, SCALAR_Z_LOSS, z.row),
             z.row);
    lower_op(l, lower_word(l, "%s_2", out), "add", lower_word(l, "%s_c", out), lower_word(l, "%s_c", out), z.row);
    lower_constant(l, lower_word(l, "%s_1", out), 1, z.row);
    lower_op(l, lower_word(l, "%s_k", out), "add", lower_word(l, "%s_1", out), lower_word(l, "%s_2", out), z.row);
    lower_op(l, lower_word(l, "%s_wk", out), "multiply", w, lower_word(l, "%s_k", out), z.row);
    lower_op(l, lower_word(l, "%s_ws", out), "divide", lower_word(l, "%s_wk", out), sum, z.row);
    lower_spread(l, by, lower_word(l, "%s_ws", out), "[0]", z.row, z.type);
    lower_spread(l, lower_word(l, "%s_m", out), lower_in(l, n, 1), "[0]", z.row, z.type);
    lower_op(l, lower_word(l, "%s_d", out), "subtract", z.z, lower_word(l, "%s_m", out), z.type);
    lower_op(l, lower_word(l, "%s_e", out), "exponential", lower_word(l, "%s_d", out), NULL, z.type);
    lower_op(l, lower_word(l, "%s_p", out), "multiply", lower_word(l, "%s_e", out), by, z.type);
    lower_op(l, lower_word(l, "%s_wr", out), "multiply", w, lower_scalar_like(l, SCALAR_REST_SMOOTHING, z.row), z.row);
    lower_spread(l, lower_word(l, "%s_rb", out), lower_word(l, "%s_wr", out), "[0]", z.row, z.type);
    lower_constant(l, lower_word(l, "%s_0", out), 0, z.type);
    lower_select(l, right, hot, lower_word(l, "%s_rb", out), lower_word(l, "%s_0", out), z.bits, z.type);
    lower_op(l, lower_word(l, "%s_we", out), "multiply", w, lower_scalar_like(l, SCALAR_SMOOTHING, z.row), z.row);
    lower_constant(l, lower_word(l, "%s_v", out), columns_of(&l->program->graph), z.row);
    lower_op(l, lower_word(l, "%s_wv", out), "divide", lower_word(l, "%s_we", out), lower_word(l, "%s_v", out), z.row);
    lower_spread(l, smooth, lower_word(l, "%s_wv", out), "[0]", z.row, z.type);
    lower_op(l, lower_word(l, "%s_pr", out), "subtract", lower_word(l, "%s_p", out), right, z.type);
    const char *last = z.live ? lower_word(l, "%s_all", out) : name;
    lower_op(l, last, "subtract", lower_word(l, "%s_pr", out), smooth, z.type);
    if (z.live) lower_select(l, name, z.live, last, lower_word(l, "%s_0", out), z.bits, z.type);
    lower_f32_done(l, out, 2, (int64_t[]){z.r, z.v});
}

const OpRow token_loss_grad_row = {
    .name = "token_loss_grad", .factors = "rv,r,r,r->rv", .shape = same, .units = call_rows, .cost = loss_cost,
    .stablehlo = token_loss_grad_stablehlo, .run = token_loss_grad_run, .reference = token_loss_grad_reference, .none = NONE_WHOLE,
};
