/* attention_backward.c: the gradient of attention (attention.c) over the rows themselves, which are what their slots'
 * caches hold: attention_backward, and sum_group, which adds up what the query heads of a group give their key/value
 * head.
 *
 *     P = exp(s - m) / l,  dv = P^T do,  dP = do v^T,  dS = P (dP - rowsum(do o)),  dq = scale dS k,  dk = scale dS^T q
 *
 * attention_grad.h has the sums' order. Rows of one slot stand together and begin at its position 0.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower.h"
#include "attention_grad.h"
#include "call.h"
#include "elementwise.h"

/* ---- attention_backward ------------------------------------------------------------------------------------------ */

enum { IN_Q, IN_K, IN_V, IN_O, IN_STATS, IN_DO };

static bool attention_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *q = &graph_node(g, n->in[IN_Q])->shape;
    *out = *q;
    return (shape_same(q, &graph_node(g, n->in[IN_O])->shape) && shape_same(q, &graph_node(g, n->in[IN_DO])->shape) &&
            shape_same(&graph_node(g, n->in[IN_K])->shape, &graph_node(g, n->in[IN_V])->shape)) ||
           err_as(err, QM_INTERNAL, "attention_backward: values do not fit");
}

Tensor attention_backward(Graph *g, Tensor q, Tensor k, Tensor v, Tensor attended, Tensor dy, int64_t window) {
    return graph_op(g, &attention_backward_row,
                    &(Node){.in = {q, k, v, attended, graph_result(g, attended, 1), dy},
                            .attributes = &(AttentionAttributes){window}});
}

static int64_t window_of(const Node *n) { return ((const AttentionAttributes *)n->attributes)->window; }

/* The rows of the slot that row t is of, from t on. */
static int64_t slot_end(const StepRows *s, int64_t t, int64_t last) {
    int64_t end = t + 1;
    while (end < last && s->slot[end] == s->slot[t]) end++;
    return end;
}

/* One row of one head: adds to what is owed to the keys and values that it sees. */
static void row_plainly(const PlainCall *c, int64_t begin, int64_t t, int64_t head, double *dq, double *dk,
                        double *dv) {
    int64_t n = graph_size(c->graph, AXIS_CHANNEL), kv = head / graph_size(c->graph, AXIS_GROUP) * n, w = c->out_width;
    int64_t window = window_of(c->node), first = window && t - window + 1 > begin ? t - window + 1 : begin;
    const float *q = c->in[IN_Q] + t * w + head * n, *dy = c->in[IN_DO] + t * w + head * n;
    double scale = 1 / sqrt((double)n), sum = 0, owed = 0;
    for (int pass = 0; pass < 3; pass++) /* the sum of exponentials, the mean of dP, then the gradients */
        for (int64_t p = first; p <= t; p++) {
            const float *k = c->in[IN_K] + p * c->width[IN_K] + kv, *v = c->in[IN_V] + p * c->width[IN_V] + kv;
            double s = 0, dp = 0;
            for (int64_t i = 0; i < n; i++) s += (double)q[i] * (double)k[i], dp += (double)dy[i] * (double)v[i];
            double e = exp(s * scale);
            if (pass == 0) sum += e;
            if (pass == 1) owed += e / sum * dp;
            for (int64_t i = 0; pass == 2 && i < n; i++) {
                double ds = e / sum * (dp - owed) * scale;
                dq[t * w + head * n + i] += ds * (double)k[i];
                dk[p * w + head * n + i] += ds * (double)q[i];
                dv[p * w + head * n + i] += e / sum * (double)dy[i];
            }
        }
}

static void attention_grad_reference(const PlainCall *c) {
    int64_t size = c->rows * c->out_width, heads = c->out_width / graph_size(c->graph, AXIS_CHANNEL);
    double *d = calloc((size_t)(3 * size) + 1, sizeof *d);
    for (int64_t t = 0, end; d && t < c->rows; t = end) {
        end = slot_end(c->step, t, c->rows);
        for (int64_t row = t; row < end; row++)
            for (int64_t head = 0; head < heads; head++) row_plainly(c, t, row, head, d, d + size, d + 2 * size);
    }
    float *out[3] = {c->out, c->more[0], c->more[1]};
    for (int r = 0; d && r < 3; r++)
        for (int64_t i = 0; out[r] && i < size; i++) out[r][i] = (float)d[r * size + i];
    free(d);
}

/* A unit is a head of a slot. */
static int64_t attention_grad_units(const Call *c) {
    int64_t slots = 0, heads = (c->columns.last - c->columns.first) / graph_size(c->graph, AXIS_CHANNEL);
    for (int64_t t = c->row0; t < c->row1; t = slot_end(c->step, t, c->row1)) slots++;
    return slots * heads;
}

static void attention_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t n = graph_size(c->graph, AXIS_CHANNEL), group = graph_size(c->graph, AXIS_GROUP), w = c->out_width;
    int64_t heads = (c->columns.last - c->columns.first) / n, all = w / n, kw = c->in_width[IN_K], u = 0;
    for (int64_t t = c->row0, end; t < c->row1 && u < last; t = end, u += heads) {
        end = slot_end(c->step, t, c->row1);
        for (int64_t h = first > u ? first - u : 0; h < heads && u + h < last; h++) {
            int64_t head = c->columns.first / n + h, at = t * w + head * n, kv = t * kw + head / group * n;
            AttentionGrad a = {.q = {c->in[IN_Q] + at, w}, .k = {c->in[IN_K] + kv, kw}, .v = {c->in[IN_V] + kv, kw},
                               .o = {c->in[IN_O] + at, w}, .d_out = {c->in[IN_DO] + at, w},
                               .stats = c->in[IN_STATS] + (t * all + head) * 2, .stats_step = 2 * all,
                               .dq = {c->out + at, w}, .dk = {c->more[0] + at, w}, .dv = {c->more[1] + at, w},
                               .rows = end - t, .channels = n, .window = window_of(c->node),
                               .scale = 1.0f / sqrtf((float)n), .scratch = c->scratch};
            attention_grad(c->kernels, &a);
        }
    }
}

static int64_t attention_grad_op_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)n, (void)blocking;
    return attention_grad_scratch(rows, graph_size(&p->graph, AXIS_CHANNEL));
}

static Cost attention_grad_cost(const Graph *g, const Node *n) {
    double t = (double)n->shape.dim[0].size, q = (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 5 * t * t * q, .bytes = 28 * t * q};
}

const OpRow attention_backward_row = {
    .name = "attention_backward",
    .factors = "t(kg!c),t(k!c),t(k!c),t(kg!c),t(kg),t(kg!c)->t(kg!c),t(kg!c),t(kg!c)", .results = 2,
    .shape = attention_grad_shape, .units = attention_grad_units, .cost = attention_grad_cost,
    .run = attention_grad_run, .reference = attention_grad_reference, .scratch = attention_grad_op_scratch,
    .stablehlo = attention_backward_stablehlo,
    .attributes = sizeof(AttentionAttributes),
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- sum_group: [t,kgc] -> [t,kc], heads of a group by a binary tree --------------------------------------------- */

static bool sum_group_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    Dim *d = &out->dim[1];
    char *group = strchr(d->letters, AXIS_GROUP);
    if (out->rank != 2 || !group) return err_as(err, QM_INTERNAL, "sum_group: expected rows of query heads");
    memmove(group, group + 1, strlen(group));
    d->size /= graph_size(g, AXIS_GROUP);
    return true;
}

Tensor sum_group(Graph *g, Tensor x) { return graph_op(g, &sum_group_row, &(Node){.in = {x}}); }

static void sum_group_reference(const PlainCall *c) {
    int64_t n = graph_size(c->graph, AXIS_CHANNEL), group = graph_size(c->graph, AXIS_GROUP);
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < c->out_width; i++) {
            double sum = 0;
            for (int64_t h = 0; h < group; h++)
                sum += (double)c->in[0][t * c->width[0] + (i / n * group + h) * n + i % n];
            c->out[t * c->out_width + i] = (float)sum;
        }
}

/* Heads [first, first + size) of a group of `group`, size a power of two; those past the end are not there. */
static void group_tree(const Call *c, const float *x, int64_t n, int64_t group, int64_t first, int64_t size, float *out,
                       float *scratch) {
    if (size == 1 || first + size / 2 >= group) {
        if (size == 1) memcpy(out, x + first * n, (size_t)n * sizeof *out);
        else group_tree(c, x, n, group, first, size / 2, out, scratch);
        return;
    }
    group_tree(c, x, n, group, first, size / 2, out, scratch);
    group_tree(c, x, n, group, first + size / 2, size / 2, scratch, scratch + n);
    c->kernels->add(out, scratch, n, out);
}

static void sum_group_run(const Call *c, int64_t first, int64_t last) {
    int64_t n = graph_size(c->graph, AXIS_CHANNEL), group = graph_size(c->graph, AXIS_GROUP), size = 1;
    while (size < group) size *= 2;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        for (int64_t at = c->columns.first; at < c->columns.last; at += n)
            group_tree(c, c->in[0] + t * c->in_width[0] + at * group, n, group, 0, size, c->out + t * c->out_width + at,
                       c->scratch);
}

static int64_t sum_group_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)n, (void)blocking, (void)rows;
    return 32 * graph_size(&p->graph, AXIS_CHANNEL); /* a level of the tree each */
}

static Cost sum_group_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)graph_node(g, n->in[0])->shape.dim[1].size;
    return (Cost){.flops = size, .bytes = 8 * size};
}

static void sum_group_stablehlo(Lower *l, const Node *n) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    int64_t t = lower_dim(l, n, 0), w = lower_dim(l, n, 1), c = lower_channels(l), g = lower_dim(l, x, 1) / w;
    const char *out = lower_out(l, n), *type = lower_tensor(l, n);
    const char *heads = lower_type(l, NULL, 4, t, w / c, g, c), *sums = lower_type(l, NULL, 3, t, w / c, c);
    lower_reshape(l, lower_word(l, "%s_h", out), lower_in(l, n, 0), lower_tensor(l, x), heads);
    lower_fold(l, lower_word(l, "%s_s", out), "add", lower_word(l, "%s_h", out), "[2]", l->type, heads, sums);
    lower_reshape(l, out, lower_word(l, "%s_s", out), sums, type);
}

const OpRow sum_group_row = {
    .name = "sum_group", .factors = "t(kg!c)->t(k!c)",
    .shape = sum_group_shape, .units = call_rows, .cost = sum_group_cost,
    .run = sum_group_run, .reference = sum_group_reference, .scratch = sum_group_scratch,
    .stablehlo = sum_group_stablehlo,
    .finish = all_reduce, .whole = true, .none = {[FACET_GRADIENT] = OF_GRADIENT},
};

/* ---- The rule: what is owed to the cache is owed to the rows that were put into it ------------------------------- */

bool attention_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    Graph *g = b->g;
    const Node *update = graph_node(g, n->in[1]);
    if (!update->op || !update->op->writes_state)
        return err_as(&g->err, QM_INTERNAL, "attention: no gradient through a cache that earlier steps have filled");
    Tensor k = update->in[0], v = update->in[1], q = n->in[0];
    Tensor dq = attention_backward(g, q, k, v, self, dy, window_of(n));
    Tensor dk = graph_result(g, dq, 1), dv = graph_result(g, dq, 2);
    if (!gradient_add(b, q, dq)) return false;
    if (gradient_needed(b, k) && !gradient_add(b, k, sum_group(g, dk))) return false;
    return !gradient_needed(b, v) || gradient_add(b, v, sum_group(g, dv));
}
