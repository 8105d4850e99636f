/* elementwise_grad.c: gradients of silu_mul and add (elementwise.c).
 *
 *     silu_mul, s = 1 / (1 + e^-a):  da = dy u s (1 + a (1 - s)),  du = dy a s
 */
#include <math.h>
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower.h"
#include "call.h"
#include "elementwise.h"

static bool silu_mul_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return (shape_same(out, &graph_node(g, n->in[1])->shape) && shape_same(out, &graph_node(g, n->in[2])->shape)) ||
           err_as(err, QM_INTERNAL, "silu_mul_grad: values of different shapes");
}

Tensor silu_mul_grad(Graph *g, Tensor gate, Tensor up, Tensor dy) {
    return graph_op(g, &silu_mul_grad_row, &(Node){.in = {gate, up, dy}});
}

static void silu_mul_grad_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->rows * c->out_width; i++) {
        double a = (double)c->in[0][i], u = (double)c->in[1][i], dy = (double)c->in[2][i], s = 1 / (1 + exp(-a));
        c->out[i] = (float)(dy * u * s * (1 + a * (1 - s)));
        if (c->more[0]) c->more[0][i] = (float)(dy * a * s);
    }
}

static void silu_mul_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width, n = c->columns.last - c->columns.first;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t at = t * w + c->columns.first;
        c->kernels->silu_mul_grad(c->in[0] + at, c->in[1] + at, c->in[2] + at, n, c->out + at, c->more[0] + at);
    }
}

static Cost silu_mul_grad_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 8 * size, .bytes = 20 * size};
}

static void silu_mul_grad_stablehlo(Lower *l, const Node *n) {
    const char *out = lower_out(l, n), *type = lower_tensor(l, n);
    const char *a = lower_in(l, n, 0), *u = lower_in(l, n, 1), *dy = lower_in(l, n, 2), *s = lower_word(l, "%s_s", out);
    const char *one = lower_word(l, "%s_1", out), *rest = lower_word(l, "%s_n", out), *x = lower_word(l, "%s_x", out);
    lower_op(l, s, "logistic", a, NULL, type);
    lower_constant(l, one, 1, type);
    lower_op(l, rest, "subtract", one, s, type);
    lower_op(l, x, "multiply", a, rest, type);
    lower_op(l, lower_word(l, "%s_y", out), "add", one, x, type);
    lower_op(l, lower_word(l, "%s_z", out), "multiply", s, lower_word(l, "%s_y", out), type);
    lower_op(l, lower_word(l, "%s_u", out), "multiply", dy, u, type);
    lower_op(l, out, "multiply", lower_word(l, "%s_u", out), lower_word(l, "%s_z", out), type);
    lower_op(l, lower_word(l, "%s_a", out), "multiply", a, s, type);
    lower_op(l, lower_more(l, n, 1), "multiply", dy, lower_word(l, "%s_a", out), type);
}

const OpRow silu_mul_grad_row = {
    .name = "silu_mul_grad", .factors = "tf,tf,tf->tf,tf", .results = 1,
    .shape = silu_mul_grad_shape, .units = call_rows, .cost = silu_mul_grad_cost,
    .run = silu_mul_grad_run, .reference = silu_mul_grad_reference, .stablehlo = silu_mul_grad_stablehlo,
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

bool silu_mul_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    Tensor dgate = silu_mul_grad(b->g, n->in[0], n->in[1], dy);
    return gradient_add(b, n->in[0], dgate) && gradient_add(b, n->in[1], graph_result(b->g, dgate, 1));
}

bool add_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    const Node *other = graph_node(b->g, n->in[1]);
    (void)self;
    if (other->value == VALUE_VECTOR) {
        if (gradient_needed(b, n->in[1])) sum_rows(b->g, dy, gradient_sum(b, n->in[1], NULL));
    } else if (!gradient_add(b, n->in[1], dy)) return false;
    return gradient_add(b, n->in[0], dy);
}
