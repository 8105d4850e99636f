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
#include "call.h"
#include "loss.h"

#define NONE_TASK                                                                                                      \
    {[FACET_GRADIENT] = "its loss's own op starts from the logits", [FACET_STABLEHLO] = NO_LOWERING,                   \
     [FACET_FINISH] = NOTHING_REDUCED}

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

const OpRow span_loss_row = {
    .name = "span_loss", .factors = "r!n,r->r", .shape = span_shape, .units = call_rows, .cost = task_cost,
    .run = span_run, .reference = span_reference, .none = NONE_TASK,
};
const OpRow span_loss_grad_row = {
    .name = "span_loss_grad", .factors = "r!n,r->r!n", .shape = span_grad_shape, .units = call_rows,
    .cost = task_cost, .run = span_grad_run, .reference = span_grad_reference, .none = NONE_TASK,
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

const OpRow square_loss_row = {
    .name = "square_loss", .factors = "r!n,r->r", .shape = square_shape, .units = call_rows, .cost = task_cost,
    .run = square_run, .reference = square_reference, .none = NONE_TASK,
};
const OpRow square_loss_grad_row = {
    .name = "square_loss_grad", .factors = "r!n,r->r!n", .shape = square_grad_shape, .units = call_rows,
    .cost = task_cost, .run = square_grad_run, .reference = square_grad_reference, .none = NONE_TASK,
};
