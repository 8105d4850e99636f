/* scale.c: rows times a number, or column by column times a vector: what an adapter's product is weighed by. */
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower_train.h"
#include "call.h"
#include "products.h"

static bool rows_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Node *x = graph_node(g, n->in[0]), *by = graph_node(g, n->in[1]);
    *out = x->shape;
    if (x->shape.rank == 2 &&
        (!by || (by->value == VALUE_VECTOR && !strcmp(by->shape.dim[0].letters, x->shape.dim[1].letters))))
        return true;
    return err_as(err, QM_INTERNAL, "%s: expected rows and a vector over their columns", n->name);
}

static Cost scale_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = size, .bytes = 8 * size};
}

#define ROWS_SCALED .shape = rows_shape, .units = call_rows, .cost = scale_cost

/* ---- scale: y = x * factor -------------------------------------------------------------------------------------- */

typedef struct ScaleAttributes { float factor; } ScaleAttributes;

static float factor_of(const Node *n) { return ((const ScaleAttributes *)n->attributes)->factor; }

Tensor scale(Graph *g, Tensor x, double factor) {
    const ScaleAttributes a = {(float)factor};
    return graph_op(g, &scale_row, &(Node){.in = {x}, .attributes = &a});
}

static void scale_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->rows * c->out_width; i++) c->out[i] = c->in[0][i] * factor_of(c->node);
}

static void scale_run(const Call *c, int64_t first, int64_t last) {
    float factor = factor_of(c->node);
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        const float *x = c->in[0] + t * c->out_width;
        float *y = c->out + t * c->out_width;
        for (int64_t i = c->columns.first; i < c->columns.last; i++) y[i] = x[i] * factor;
    }
}

static bool scale_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    return gradient_add(b, n->in[0], scale(b->g, dy, (double)factor_of(n)));
}

static void scale_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *type = lower_type(l, NULL, 2, lower_dim(l, n, 0), lower_dim(l, n, 1));
    lower_line(l, "%s_f = stablehlo.constant dense<%.9e> : %s", out, (double)factor_of(n), type);
    lower_line(l, "%s = stablehlo.multiply %s, %s_f : %s", out, lower_in(l, n, 0), out, type);
}

const OpRow scale_row = {
    .name = "scale", .factors = "td->td", ROWS_SCALED,
    .run = scale_run, .reference = scale_reference, .gradient = scale_gradient, .stablehlo = scale_stablehlo,
    .attributes = sizeof(ScaleAttributes), .none = {[FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- scale_columns: y = x * by, one number a column ------------------------------------------------------------- */

Tensor scale_columns(Graph *g, Tensor x, Tensor by) {
    return graph_op(g, &scale_columns_row, &(Node){.in = {x, by}});
}

static void scale_columns_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->rows * c->out_width; i++) c->out[i] = c->in[0][i] * c->in[1][i % c->out_width];
}

static void scale_columns_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        const float *x = c->in[0] + t * c->out_width;
        float *y = c->out + t * c->out_width;
        for (int64_t i = c->columns.first; i < c->columns.last; i++) y[i] = x[i] * c->in[1][i];
    }
}

static void scale_columns_stablehlo(Lower *l, const Node *n) {
    int64_t w = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *type = lower_type(l, NULL, 2, lower_dim(l, n, 0), w);
    lower_line(l, "%s_b = stablehlo.broadcast_in_dim %s, dims = [1] : (%s) -> %s", out, lower_in(l, n, 1),
               lower_type(l, NULL, 1, w), type);
    lower_line(l, "%s = stablehlo.multiply %s, %s_b : %s", out, lower_in(l, n, 0), out, type);
}

/* A vector that is computed is taken as it is: see adapter_norm.c. */
static bool scale_columns_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    Tensor by = n->in[1];
    (void)self;
    if (graph_node(b->g, by)->kind == NODE_WEIGHT && gradient_needed(b, by))
        scale_columns_grad(b->g, n->in[0], dy, gradient_sum(b, by, NULL));
    return gradient_add(b, n->in[0], scale_columns(b->g, dy, by));
}

const OpRow scale_columns_row = {
    .name = "scale_columns", .factors = "to,o->to", ROWS_SCALED,
    .run = scale_columns_run, .reference = scale_columns_reference, .stablehlo = scale_columns_stablehlo,
    .gradient = scale_columns_gradient, .none = {[FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- scale_columns_grad: G += sum over rows of dy x -------------------------------------------------------------- */

Tensor scale_columns_grad(Graph *g, Tensor x, Tensor dy, Tensor sum) {
    return graph_op(g, &scale_columns_grad_row, &(Node){.in = {x, dy, sum}});
}

static bool columns_sum_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[2])->shape;
    return (out->rank == 1 && out->dim[0].size == graph_node(g, n->in[0])->shape.dim[1].size) ||
           err_as(err, QM_INTERNAL, "scale_columns_grad: the sum does not fit the rows");
}

static void scale_columns_grad_reference(const PlainCall *c) {
    bool goes_on = c->step->lanes[node_row_kind(c->graph, c->node)].held > 0;
    for (int64_t o = 0; o < c->width[0]; o++) {
        double sum = goes_on ? (double)c->out[o] : 0;
        for (int64_t t = 0; t < c->rows; t++)
            sum += (double)c->in[0][t * c->width[0] + o] * (double)c->in[1][t * c->width[0] + o];
        c->out[o] = (float)sum;
    }
}

enum { GRAD_COLUMNS = 64 };
static int64_t scale_columns_grad_units(const Call *c) { return (c->in_width[0] + GRAD_COLUMNS - 1) / GRAD_COLUMNS; }
static int64_t scale_columns_grad_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)n, (void)blocking;
    return products_sum_scratch() + rows;
}
static void scale_columns_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->in_width[0], to = last * GRAD_COLUMNS < w ? last * GRAD_COLUMNS : w;
    float *ones = c->scratch + products_sum_scratch();
    VectorGrad g = {.dy = c->in[1], .x = c->in[0], .r = ones, .dy_stride = w, .x_stride = w,
                    .plan = &c->step->lanes[call_row_kind(c)]};
    for (int64_t t = 0; t < c->row1; t++) ones[t] = 1;
    memcpy(g.slot, c->states.slot, sizeof g.slot);
    if (first < last) products_norm_sum(c->kernels, &g, first * GRAD_COLUMNS, to, c->scratch);
}

static void scale_columns_grad_stablehlo(Lower *l, const Node *n) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    const char *product = lower_word(l, "%s_p", lower_out(l, n));
    const char *type = lower_type(l, "f32", 2, lower_dim(l, x, 0), lower_dim(l, x, 1));
    lower_op(l, product, "multiply", lower_f32_in(l, n, 0), lower_f32_in(l, n, 1), type);
    lower_fold(l, lower_sum_name(l, n), "add", product, "[0]", "f32", type, lower_tensor(l, n));
    lower_sum_done(l, n, 2);
}

const OpRow scale_columns_grad_row = {
    .name = "scale_columns_grad", .factors = "to,to,o->o",
    .shape = columns_sum_shape, .units = scale_columns_grad_units, .cost = scale_cost,
    .run = scale_columns_grad_run, .reference = scale_columns_grad_reference, .scratch = scale_columns_grad_scratch,
    .stablehlo = scale_columns_grad_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 2, .accumulates = true,
    .whole = true, .none = {[FACET_GRADIENT] = OF_GRADIENT},
};
