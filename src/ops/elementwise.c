/* elementwise.c: operations whose every result element depends on one place of each input: silu_mul, add,
 * select_rows. */
#include <math.h>
#include <string.h>
#include "../graph/lower.h"
#include "call.h"
#include "elementwise.h"

#define NONE_ELEMENTWISE {[FACET_FINISH] = NOTHING_REDUCED}

static Cost elementwise_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = size, .bytes = 4 * size * (n->inputs + 1)};
}

static bool same_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *a = &graph_node(g, n->in[0])->shape, *b = &graph_node(g, n->in[1])->shape;
    *out = *a;
    if (shape_same(a, b) || (b->rank == 1 && !strcmp(b->dim[0].letters, a->dim[1].letters))) return true;
    Text text = {0};
    shape_text(a, &text);
    text_line(&text, " and ");
    shape_text(b, &text);
    err_as(err, QM_INTERNAL, "%s: shapes differ: %s", n->name, text.data ? text.data : "");
    text_free(&text);
    return false;
}

/* ---- silu_mul: y = gate / (1 + e^-gate) * up (Shazeer 2020, SwiGLU without its matrices) ------------------------- */

Tensor silu_mul(Graph *g, Tensor gate, Tensor up) { return graph_op(g, &silu_mul_row, &(Node){.in = {gate, up}}); }

static void silu_mul_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->rows * c->out_width; i++) {
        double gate = (double)c->in[0][i];
        c->out[i] = (float)(gate / (1 + exp(-gate)) * (double)c->in[1][i]);
    }
}

static void silu_mul_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, n = c->columns.last - c->columns.first;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t at = t * w + c->columns.first;
        c->kernels->silu_mul(c->in[0] + at, c->in[1] + at, n, c->out + at);
    }
}

static void silu_mul_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *type = lower_type(l, NULL, 2, lower_rows(l), lower_dim(l, n, 1));
    const char *gate = lower_in(l, n, 0), *up = lower_in(l, n, 1);
    lower_line(l, "%s_l = stablehlo.logistic %s : %s", out, gate, type);
    lower_line(l, "%s_g = stablehlo.multiply %s, %s_l : %s", out, gate, out, type);
    lower_line(l, "%s = stablehlo.multiply %s_g, %s : %s", out, out, up, type);
}

const OpRow silu_mul_row = {
    .name = "silu_mul", .factors = "tf,tf->tf",
    .shape = same_shape, .units = call_rows, .cost = elementwise_cost,
    .run = silu_mul_run, .reference = silu_mul_reference,
    .stablehlo = silu_mul_stablehlo, .gradient = silu_mul_gradient, .none = NONE_ELEMENTWISE,
};

/* ---- add: y = a + b; b may be one vector for all rows (a bias after an all-reduce) ------------------------------- */

Tensor add(Graph *g, Tensor a, Tensor b) { return graph_op(g, &add_row, &(Node){.in = {a, b}}); }

static bool one_for_all(const Graph *g, const Node *n) { return graph_node(g, n->in[1])->value == VALUE_VECTOR; }

static void add_reference(const PlainCall *c) {
    int64_t w = c->out_width;
    for (int64_t i = 0; i < c->rows * w; i++)
        c->out[i] = c->in[0][i] + c->in[1][one_for_all(c->graph, c->node) ? i % w : i];
}

static void add_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, n = c->columns.last - c->columns.first;
    bool one = one_for_all(c->graph, c->node);
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t at = t * w + c->columns.first;
        const float *b = c->in[1] + (one ? c->columns.first : at);
        c->kernels->add(c->in[0] + at, b, n, c->out + at);
    }
}

static void add_stablehlo(Lower *l, const Node *n) {
    int64_t w = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *type = lower_type(l, NULL, 2, lower_dim(l, n, 0), w), *b = lower_in(l, n, 1);
    if (one_for_all(&l->program->graph, n)) {
        lower_line(l, "%s_b = stablehlo.broadcast_in_dim %s, dims = [1] : (%s) -> %s", out, b,
                   lower_type(l, NULL, 1, w), type);
        lower_line(l, "%s = stablehlo.add %s, %s_b : %s", out, lower_in(l, n, 0), out, type);
    } else {
        lower_line(l, "%s = stablehlo.add %s, %s : %s", out, lower_in(l, n, 0), b, type);
    }
}

const OpRow add_row = {
    .name = "add", .factors = "td,td->td",
    .shape = same_shape, .units = call_rows, .cost = elementwise_cost,
    .run = add_run, .reference = add_reference,
    .stablehlo = add_stablehlo, .gradient = add_gradient, .none = NONE_ELEMENTWISE,
};

/* ---- select_rows: y[r] = x[which[r]] ----------------------------------------------------------------------------- */

static bool select_rows_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *which = &graph_node(g, n->in[1])->shape;
    *out = *x;
    if (which->rank != 1 || x->rank != 2) return err_as(err, QM_INTERNAL, "select_rows: expected [t,d] and [r]");
    out->dim[0] = which->dim[0];
    return true;
}

Tensor select_rows(Graph *g, Tensor x, Tensor which) {
    return graph_op(g, &select_rows_row, &(Node){.in = {x, which}});
}

static void select_rows_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++)
        memcpy(c->out + r * c->out_width, c->in[0] + c->ids[r] * c->out_width, (size_t)c->out_width * sizeof(float));
}

static void select_rows_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width;
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
        memcpy(c->out + r * w, c->in[0] + c->ids[r] * w, (size_t)w * sizeof(float));
}

static void select_rows_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_rows(l), r = l->bucket.logit_rows, w = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *x = lower_in(l, n, 0), *from = lower_type(l, NULL, 2, t, w);
    if (l->part >= 0) {
        lower_line(l, "%s = stablehlo.slice %s [%lld:%lld, 0:%lld] : (%s) -> %s", out, x, (long long)(r * l->part),
                   (long long)(r * (l->part + 1)), (long long)w, from, lower_type(l, NULL, 2, r, w));
        return;
    }
    if (l->bucket.all_logits) {
        lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", out, x, from, from);
        return;
    }
    lower_line(l, "%s = \"stablehlo.gather\"(%s, %s) {dimension_numbers = #stablehlo.gather<offset_dims = [1], "
               "collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, "
               "%lld>, indices_are_sorted = false} : (%s, %s) -> %s",
               out, x, lower_in(l, n, 1), (long long)w, from, lower_type(l, "i32", 1, r), lower_type(l, NULL, 2, r, w));
}

const OpRow select_rows_row = {
    .name = "select_rows", .factors = "~t!d,r->r!d",
    .shape = select_rows_shape, .units = call_rows, .cost = elementwise_cost,
    .run = select_rows_run, .reference = select_rows_reference,
    .stablehlo = select_rows_stablehlo, .gradient = select_rows_gradient, .none = NONE_ELEMENTWISE,
};
