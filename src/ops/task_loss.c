/* task_loss.c: losses of heads that tell no token, and their gradients. Their few columns no device shares.
 *
 *   span_loss: where an answer stands in a sequence of T rows: z[t][0] that it begins at row t, z[t][1] that it ends.
 *     loss = (L(0, first) + L(1, last)) / 2,  L(k, t) = log(sum over t' of exp(z[t'][k] - m)) + m - z[t][k]
 *     dz[t][k] = w / 2 (exp(z[t][k] - m) / sum - [t is the end k])
 *     Each half stands at the row of its end; all other rows have 0. Sequences are runs of rows of one slot, and no run
 *     of the head may part one. Sums are in double, row after row.
 *   square_loss: a number of each row, whose label's bits are those of an f32:
 *     loss = (z - y)^2,  dz = 2 w (z - y)
 *
 * w: the weight of each label, one over the labels of the step. Source: transformers' ForQuestionAnsweringLoss, and
 * MSELoss of ForSequenceClassificationLoss.
 */
#include <math.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "call.h"
#include "loss.h"

#define NONE_TASK                                                                                                      \
    {[FACET_GRADIENT] = "its loss's own op starts from the logits", [FACET_FINISH] = NOTHING_REDUCED}

static Cost task_cost(const Graph *g, const Node *n) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    double size = (double)x->dim[0].size * (double)x->dim[1].size;
    return (Cost){.flops = 8 * size, .bytes = 8 * size};
}

static bool columns_check(const Graph *g, const Node *n, int64_t columns, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    return (shape_rows(x) != NO_ROWS && x->rank == 2 && x->dim[1].size == columns) ||
           err_as(err, QM_INTERNAL, "%s: expected rows of %lld columns", n->op->name, (long long)columns);
}
static bool span_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = (Shape){.rank = 1, .dim = {graph_node(g, n->in[0])->shape.dim[0]}};
    return columns_check(g, n, 2, err);
}
static bool span_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return columns_check(g, n, 2, err);
}
static bool square_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = (Shape){.rank = 1, .dim = {graph_node(g, n->in[0])->shape.dim[0]}};
    return columns_check(g, n, 1, err);
}
static bool square_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return columns_check(g, n, 1, err);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

Tensor span_loss(Graph *g, Tensor logits, Tensor labels) {
    return graph_op(g, &span_loss_row, &(Node){.in = {logits, labels}});
}
Tensor span_loss_grad(Graph *g, Tensor logits, Tensor labels) {
    return graph_op(g, &span_loss_grad_row, &(Node){.in = {logits, labels}});
}

/* A column of a sequence: its largest number, and the sum of exponentials less that. */
typedef struct SpanSum { double most, sum; } SpanSum;

static SpanSum span_sum(const float *z, int64_t rows, int column) {
    SpanSum s = {-INFINITY, 0};
    for (int64_t t = 0; t < rows; t++) s.most = fmax(s.most, (double)z[2 * t + column]);
    for (int64_t t = 0; t < rows; t++) s.sum += exp((double)z[2 * t + column] - s.most);
    return s;
}

double span_end_loss(const float *z, int64_t rows, int column, int64_t target) {
    SpanSum s = span_sum(z, rows, column);
    return log(s.sum) + s.most - (double)z[2 * target + column];
}

/* Rows [first, last) of a sequence: their losses. */
static void span_losses(const float *z, const int32_t *labels, float *loss, int64_t rows) {
    memset(loss, 0, (size_t)rows * sizeof *loss);
    for (int64_t t = 0; t < rows; t++) {
        double of = 0;
        if (labels[t] & SPAN_BEGINS) of += span_end_loss(z, rows, 0, t) / 2;
        if (labels[t] & SPAN_ENDS) of += span_end_loss(z, rows, 1, t) / 2;
        loss[t] = (float)of;
    }
}

static void span_gradients(const float *z, const int32_t *labels, double weight, float *dz, int64_t rows) {
    for (int column = 0; column < 2; column++) {
        SpanSum s = span_sum(z, rows, column);
        for (int64_t t = 0; t < rows; t++) {
            double right = labels[t] & (column ? SPAN_ENDS : SPAN_BEGINS) ? 1 : 0;
            double p = exp((double)z[2 * t + column] - s.most) / s.sum;
            dz[2 * t + column] = (float)(weight / 2 * (p - right));
        }
    }
}

/* Where the sequence that a logit row begins ends; -1: it begins none. [row0, row1): rows of a replica. */
static int64_t span_last(const StepRows *s, int64_t row0, int64_t row1, int64_t row) {
    int32_t slot = s->slot[s->logit_row[row]];
    if (row > row0 && s->slot[s->logit_row[row - 1]] == slot) return -1;
    int64_t last = row + 1;
    while (last < row1 && s->slot[s->logit_row[last]] == slot) last++;
    return last;
}

static void span_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t last = span_last(c->step, 0, c->rows, r);
        if (last > r) span_losses(c->in[0] + 2 * r, c->ids + r, c->out + r, last - r);
    }
}
static void span_grad_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t last = span_last(c->step, 0, c->rows, r);
        if (last > r)
            span_gradients(c->in[0] + 2 * r, c->ids + r, c->step->scalars.loss_weight, c->out + 2 * r, last - r);
    }
}

/* Whose unit a row is that begins a sequence does all of that; the others' have nothing to do. */
static void span_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        int64_t end = span_last(c->step, c->row0, c->row1, r);
        if (end > r) span_losses(c->in[0] + 2 * r, c->ids + r, c->out + r, end - r);
    }
}
static void span_grad_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        int64_t end = span_last(c->step, c->row0, c->row1, r);
        if (end > r)
            span_gradients(c->in[0] + 2 * r, c->ids + r, c->step->scalars.loss_weight, c->out + 2 * r, end - r);
    }
}

/* What both span ops want, in the order rows have: of each row t and column k, over the rows t' of its own sequence,
 * its logit "%span_z", the largest "%span_m" and the sum of exponentials "%span_s"; and whether it is the end k,
 * "%span_right". f32 and i1 [t, 2]. */
static void span_lines(Lower *l, const Node *n) {
    int64_t b = l->bucket.slots, s = l->bucket.rows, t = b * s;
    const char *flat = lower_type(l, "f32", 2, t, (int64_t)2), *rows = lower_type(l, "f32", 3, b, s, (int64_t)2);
    const char *pairs = lower_type(l, "f32", 4, b, s, s, (int64_t)2),
               *bits = lower_type(l, "i1", 4, b, s, s, (int64_t)2);
    const char *ids = lower_type(l, "i32", 2, b, s), *grid = lower_type(l, "i32", 4, b, s, s, (int64_t)2);
    const char *labels = lower_in(l, n, 1), *z = lower_f32_in(l, n, 0), *two = lower_type(l, "i32", 2, t, (int64_t)2);
    if (!lower_once(l, "span")) return;
    lower_reshape(l, "%span_z", z, flat, flat);
    lower_reshape(l, "%span_r", z, flat, rows);
    lower_reshape(l, "%span_g", lower_segment(l), lower_type(l, "i32", 1, t), ids);
    lower_spread(l, "%span_gt", "%span_g", "[0, 1]", ids, grid);
    lower_spread(l, "%span_gu", "%span_g", "[0, 2]", ids, grid);
    lower_compare(l, "%span_own", "EQ", "%span_gt", "%span_gu", "SIGNED", grid, bits);
    lower_spread(l, "%span_u", "%span_r", "[0, 2, 3]", rows, pairs);
    lower_constant(l, "%span_no", -3e38, pairs);
    lower_select(l, "%span_x", "%span_own", "%span_u", "%span_no", bits, pairs);
    lower_fold(l, "%span_m3", "maximum", "%span_x", "[2]", "f32", pairs, rows);
    lower_spread(l, "%span_mb", "%span_m3", "[0, 1, 3]", rows, pairs);
    lower_op(l, "%span_d", "subtract", "%span_x", "%span_mb", pairs);
    lower_op(l, "%span_e", "exponential", "%span_d", NULL, pairs);
    lower_fold(l, "%span_s3", "add", "%span_e", "[2]", "f32", pairs, rows);
    lower_reshape(l, "%span_m", "%span_m3", rows, flat);
    lower_reshape(l, "%span_s", "%span_s3", rows, flat);
    lower_line(l, "%%span_k = stablehlo.constant dense<[[%d, %d]]> : tensor<1x2xi32>", SPAN_BEGINS, SPAN_ENDS);
    lower_spread(l, "%span_kb", "%span_k", "[0, 1]", "tensor<1x2xi32>", two);
    lower_spread(l, "%span_l", labels, "[0]", lower_type(l, "i32", 1, t), two);
    lower_op(l, "%span_a", "and", "%span_l", "%span_kb", two);
    lower_compare(l, "%span_right", "EQ", "%span_a", "%span_kb", "SIGNED", two, lower_type(l, "i1", 2, t, (int64_t)2));
}

/* What rows without a token give comes to nothing: their labels are no ends. */
static void span_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0);
    const char *out = lower_out(l, n), *flat = lower_type(l, "f32", 2, t, (int64_t)2);
    span_lines(l, n);
    lower_op(l, lower_word(l, "%s_l", out), "log", "%span_s", NULL, flat);
    lower_op(l, lower_word(l, "%s_a", out), "add", lower_word(l, "%s_l", out), "%span_m", flat);
    lower_op(l, lower_word(l, "%s_d", out), "subtract", lower_word(l, "%s_a", out), "%span_z", flat);
    lower_constant(l, lower_word(l, "%s_2", out), 0.5, flat);
    lower_op(l, lower_word(l, "%s_h", out), "multiply", lower_word(l, "%s_d", out), lower_word(l, "%s_2", out), flat);
    lower_constant(l, lower_word(l, "%s_0", out), 0, flat);
    lower_select(l, lower_word(l, "%s_r", out), "%span_right", lower_word(l, "%s_h", out), lower_word(l, "%s_0", out),
                 lower_type(l, "i1", 2, t, (int64_t)2), flat);
    lower_fold(l, out, "add", lower_word(l, "%s_r", out), "[1]", "f32", flat, lower_tensor(l, n));
}
static void span_grad_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0);
    const char *out = lower_out(l, n), *flat = lower_type(l, "f32", 2, t, (int64_t)2),
               *row = lower_type(l, "i32", 1, t);
    const char *bits = lower_type(l, "i1", 2, t, (int64_t)2), *segments = lower_type(l, "i32", 2, t, (int64_t)2);
    span_lines(l, n);
    lower_op(l, lower_word(l, "%s_d", out), "subtract", "%span_z", "%span_m", flat);
    lower_op(l, lower_word(l, "%s_e", out), "exponential", lower_word(l, "%s_d", out), NULL, flat);
    lower_op(l, lower_word(l, "%s_p", out), "divide", lower_word(l, "%s_e", out), "%span_s", flat);
    lower_convert(l, lower_word(l, "%s_r", out), "%span_right", bits, flat);
    lower_op(l, lower_word(l, "%s_pr", out), "subtract", lower_word(l, "%s_p", out), lower_word(l, "%s_r", out), flat);
    lower_constant(l, lower_word(l, "%s_2", out), 0.5, flat);
    lower_op(l, lower_word(l, "%s_w", out), "multiply", lower_scalar_like(l, SCALAR_LOSS_WEIGHT, flat),
             lower_word(l, "%s_2", out), flat);
    lower_op(l, lower_word(l, "%s_g", out), "multiply", lower_word(l, "%s_pr", out), lower_word(l, "%s_w", out), flat);
    lower_spread(l, lower_word(l, "%s_s", out), lower_segment(l), "[0]", row, segments);
    lower_line(l, "%s_s0 = stablehlo.constant dense<0> : %s", out, segments);
    lower_compare(l, lower_word(l, "%s_t", out), "GE", lower_word(l, "%s_s", out), lower_word(l, "%s_s0", out),
                  "SIGNED", segments, bits);
    lower_constant(l, lower_word(l, "%s_0", out), 0, flat);
    lower_select(l, lower_f32_name(l, out), lower_word(l, "%s_t", out), lower_word(l, "%s_g", out),
                 lower_word(l, "%s_0", out), bits, flat);
    lower_f32_done(l, out, 2, (int64_t[]){t, 2});
}

const OpRow span_loss_row = {
    .name = "span_loss", .factors = "r!n,r->r", .shape = span_shape, .units = call_rows, .cost = task_cost,
    .stablehlo = span_stablehlo, .run = span_run, .reference = span_reference, .none = NONE_TASK,
};
const OpRow span_loss_grad_row = {
    .name = "span_loss_grad", .factors = "r!n,r->r!n", .shape = span_grad_shape, .units = call_rows,
    .cost = task_cost, .run = span_grad_run, .reference = span_grad_reference, .stablehlo = span_grad_stablehlo,
    .none = NONE_TASK,
};

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

Tensor square_loss(Graph *g, Tensor logits, Tensor labels) {
    return graph_op(g, &square_loss_row, &(Node){.in = {logits, labels}});
}
Tensor square_loss_grad(Graph *g, Tensor logits, Tensor labels) {
    return graph_op(g, &square_loss_grad_row, &(Node){.in = {logits, labels}});
}

/* What a row lacks to its number. */
static double missing(const float *z, const int32_t *label) {
    float y;
    memcpy(&y, label, sizeof y);
    return (double)*z - (double)y;
}

static void square_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        double d = missing(&c->in[0][r], &c->ids[r]);
        c->out[r] = (float)(d * d);
    }
}
static void square_grad_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++)
        c->out[r] = (float)(2 * c->step->scalars.loss_weight * missing(&c->in[0][r], &c->ids[r]));
}
static void square_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        double d = missing(&c->in[0][r], &c->ids[r]);
        c->out[r] = (float)(d * d);
    }
}
static void square_grad_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
        c->out[r] = (float)(2 * c->step->scalars.loss_weight * missing(&c->in[0][r], &c->ids[r]));
}

/* What each row lacks to its number, f32 [t, 1]; 0 where it has none: -100 is the bits of no number. */
static const char *missing_lines(Lower *l, const Node *n) {
    int64_t t = lower_rows(l);
    const char *rows = lower_type(l, "f32", 1, t), *ids = lower_type(l, "i32", 1, t),
               *column = lower_type(l, "f32", 2, t, (int64_t)1);
    const char *label = lower_in(l, n, 1), *z = lower_f32_in(l, n, 0);
    if (!lower_once(l, "lacks")) return "%lacks";
    lower_line(l, "%%lacks_y = stablehlo.bitcast_convert %s : (%s) -> %s", label, ids, rows);
    lower_reshape(l, "%lacks_z", z, column, rows);
    lower_op(l, "%lacks_d", "subtract", "%lacks_z", "%lacks_y", rows);
    lower_line(l, "%%lacks_n = stablehlo.constant dense<%d> : %s", LOWER_NO_LABEL, ids);
    lower_compare(l, "%lacks_l", "NE", label, "%lacks_n", "SIGNED", ids, lower_type(l, "i1", 1, t));
    lower_constant(l, "%lacks_0", 0, rows);
    lower_select(l, "%lacks", "%lacks_l", "%lacks_d", "%lacks_0", lower_type(l, "i1", 1, t), rows);
    return "%lacks";
}
static void square_stablehlo(Lower *l, const Node *n) {
    const char *d = missing_lines(l, n);
    lower_op(l, lower_out(l, n), "multiply", d, d, lower_tensor(l, n));
}
static void square_grad_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0);
    const char *d = missing_lines(l, n), *rows = lower_type(l, "f32", 1, t), *out = lower_out(l, n);
    lower_op(l, lower_word(l, "%s_w", out), "multiply", d, lower_scalar_like(l, SCALAR_LOSS_WEIGHT, rows), rows);
    lower_op(l, lower_word(l, "%s_2", out), "add", lower_word(l, "%s_w", out), lower_word(l, "%s_w", out), rows);
    lower_reshape(l, lower_f32_name(l, out), lower_word(l, "%s_2", out), rows, lower_type(l, "f32", 2, t, (int64_t)1));
    lower_f32_done(l, out, 2, (int64_t[]){t, 1});
}

const OpRow square_loss_row = {
    .name = "square_loss", .factors = "r!n,r->r", .shape = square_shape, .units = call_rows, .cost = task_cost,
    .run = square_run, .reference = square_reference, .stablehlo = square_stablehlo, .none = NONE_TASK,
};
const OpRow square_loss_grad_row = {
    .name = "square_loss_grad", .factors = "r!n,r->r!n", .shape = square_grad_shape, .units = call_rows,
    .cost = task_cost, .run = square_grad_run, .reference = square_grad_reference, .stablehlo = square_grad_stablehlo,
    .none = NONE_TASK,
};
