/* quantise.c: activations in 8 bits: rows of f32 become quads (kernels.h), for the linears whose weights are
 * quantised. */
#include "call.h"

static int64_t quantise_units(const Call *c) { return (call_rows(c) + QUAD - 1) / QUAD; }

static void quantise_reference(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->in_width[0], rows = call_rows(c);
    for (int64_t u = first; u < last; u++)
        for (int64_t r = u * QUAD; r < (u + 1) * QUAD && r < rows; r++)
            c->kernels->quantise(c->in[0] + (c->row0 + r) * w, w, call_quads(c) + u * c->quads_step, (int)(r % QUAD));
}

const OpRow quantise_row = {
    .name = "quantise", .factors = "t!i->t!i", .units = quantise_units, .reference = quantise_reference,
    .none = "shape, cost, gradient, stablehlo, finish: it is in no graph",
};
