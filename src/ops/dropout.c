/* dropout.c: numbers of rows set to 0 with probability p, the others divided by 1 - p (Srivastava et al. 2014), in training
 * alone. A draw is a function of (seed, step, row's place in the step, site, column), so it is the same on every mesh, for
 * every split into passes, when a layer is computed again, and for the gradient, which is the same op.
 */
#include <string.h>
#include "../base/mix.h"
#include "../graph/gradient.h"
#include "../graph/lower.h"
#include "call.h"

typedef struct DropoutAttributes { float p; uint32_t site; } DropoutAttributes;

static const DropoutAttributes *attributes_of(const Node *n) { return n->attributes; }

Tensor dropout(Graph *g, Tensor x, double p, uint32_t site) {
    return graph_op(g, &dropout_row, &(Node){.in = {x}, .attributes = &(DropoutAttributes){(float)p, site}});
}

static bool dropout_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return out->rank == 2 || err_as(err, QM_INTERNAL, "dropout: expected rows");
}

/* Draws of 16 bits, four columns at a time. */
static uint64_t row_key(const StepRows *s, const Node *n, int64_t t) {
    uint64_t key = mix64(mix64(s->scalars.seed) ^ (uint64_t)s->scalars.step);
    return mix64(mix64(key ^ (uint64_t)s->place[t]) ^ attributes_of(n)->site);
}
static float kept(const Node *n, uint64_t key, int64_t column, float x) {
    uint32_t draw = (uint32_t)(mix64(key ^ (uint64_t)(column / 4)) >> column % 4 * 16) & 0xffff;
    float p = attributes_of(n)->p;
    return (float)draw < p * 65536.0f ? 0 : x / (1.0f - p);
}

static void dropout_reference(const PlainCall *c) {
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0, at = t * c->out_width; i < c->out_width; i++, at++)
            c->out[at] = c->step->scalars.step ? kept(c->node, row_key(c->step, c->node, t), i, c->in[0][at])
                                               : c->in[0][at];
}

static void dropout_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        uint64_t key = row_key(c->step, c->node, t);
        const float *x = c->in[0] + t * c->out_width;
        float *y = c->out + t * c->out_width;
        if (!c->step->scalars.step) /* an evaluation */
            memcpy(y + c->columns.first, x + c->columns.first,
                   (size_t)(c->columns.last - c->columns.first) * sizeof *y);
        else for (int64_t i = c->columns.first; i < c->columns.last; i++) y[i] = kept(c->node, key, i, x[i]);
    }
}

static Cost dropout_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 8 * size, .bytes = 8 * size};
}

static bool dropout_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    const DropoutAttributes *a = attributes_of(n);
    (void)self;
    return gradient_add(b, n->in[0], dropout(b->g, dy, (double)a->p, a->site));
}

const OpRow dropout_row = {
    .name = "dropout", .factors = "td->td",
    .shape = dropout_shape, .units = call_rows, .cost = dropout_cost,
    .run = dropout_run, .reference = dropout_reference, .gradient = dropout_gradient,
    .attributes = sizeof(DropoutAttributes),
    .none = {[FACET_STABLEHLO] = NO_LOWERING, [FACET_FINISH] = NOTHING_REDUCED},
};
