/* norm.c: rms_norm, the smallest complete operation. "Anatomy of an op" in the README walks through it.
 *
 *     r[t]   = 1 / sqrt(mean over d of x[t,d]^2 + epsilon)
 *     y[t,d] = (x[t,d] r[t]) gain[d]                        (Zhang & Sennrich 2019; as in Qwen2, in float32)
 */
#include "call.h"

static bool rms_norm_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *gain = &graph_node(g, n->in[1])->shape;
    *out = *x;
    if (gain->rank == 1 && gain->dim[0].size == x->dim[x->rank - 1].size) return true;
    return err_set(err, "rms_norm: gain of %lld does not fit rows of %lld", (long long)gain->dim[0].size,
                   (long long)x->dim[x->rank - 1].size);
}

static void rms_norm_reference(const Call *c, int64_t first, int64_t last) {
    int64_t d = c->out_width;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        c->kernels->rms_norm(c->in[0] + t * d, c->vector, c->node->epsilon, d, c->out + t * d);
}

static Cost rms_norm_cost(const Graph *g, const Node *n) {
    double td = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 4 * td, .bytes = 8 * td};
}

const OpRow rms_norm_row = {
    .name = "rms_norm", .factors = "t!d,!d->t!d",
    .shape = rms_norm_shape, .units = call_rows, .reference = rms_norm_reference, .cost = rms_norm_cost,
    .none = "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: d must stay whole",
};
