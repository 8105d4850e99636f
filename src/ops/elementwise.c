/* elementwise.c: operations whose every result element depends on one place of each input: silu_mul, add, select_rows. */
#include <string.h>
#include "call.h"

#define NONE_ELEMENTWISE "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: nothing is reduced"

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
    err_set(err, "%s: shapes differ: %s", n->name, text.data ? text.data : "");
    text_free(&text);
    return false;
}

/* ---- silu_mul: y = gate / (1 + e^-gate) * up (Shazeer 2020, SwiGLU without its matrices) -------------------------- */

static void silu_mul_reference(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, n = c->columns.last - c->columns.first;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t at = t * w + c->columns.first;
        c->kernels->silu_mul(c->in[0] + at, c->in[1] + at, n, c->out + at);
    }
}

const OpRow silu_mul_row = {
    .name = "silu_mul", .factors = "tf,tf->tf",
    .shape = same_shape, .units = call_rows, .reference = silu_mul_reference, .cost = elementwise_cost,
    .none = NONE_ELEMENTWISE,
};

/* ---- add: y = a + b; b may be one vector for all rows (a bias after an all-reduce) --------------------------------- */

static void add_reference(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, n = c->columns.last - c->columns.first;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t at = t * w + c->columns.first;
        const float *b = c->vector ? c->vector + c->columns.first : c->in[1] + at;
        c->kernels->add(c->in[0] + at, b, n, c->out + at);
    }
}

const OpRow add_row = {
    .name = "add", .factors = "td,td->td",
    .shape = same_shape, .units = call_rows, .reference = add_reference, .cost = elementwise_cost,
    .none = NONE_ELEMENTWISE,
};

/* ---- select_rows: y[r] = x[which[r]] ----------------------------------------------------------------------------------- */

static bool select_rows_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *which = &graph_node(g, n->in[1])->shape;
    *out = *x;
    if (which->rank != 1 || x->rank != 2) return err_set(err, "select_rows: expected [t,d] and [r]");
    out->dim[0] = which->dim[0];
    return true;
}

static void select_rows_reference(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width;
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
        memcpy(c->out + r * w, c->in[0] + c->step->logit_row[r] * w, (size_t)w * sizeof(float));
}

const OpRow select_rows_row = {
    .name = "select_rows", .factors = "t!d,r->r!d",
    .shape = select_rows_shape, .units = call_rows, .reference = select_rows_reference, .cost = elementwise_cost,
    .none = NONE_ELEMENTWISE,
};
