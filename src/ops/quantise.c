/* quantise.c: activations in 8 bits or bf16: rows of f32 become quads or pairs (kernels.h), for the linears whose
 * weights allow it. */
#include "call.h"

static int64_t quantise_units(const Call *c) {
    return c->act == ACT_INT8 ? (call_rows(c) + QUAD - 1) / QUAD : call_rows(c);
}

static void quantise_reference(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->in_width[0], rows = call_rows(c);
    const float *x = c->in[0] + c->row0 * w;
    if (c->act == ACT_BF16)
        for (int64_t r = first; r < last; r++) c->kernels->round(x + r * w, w, call_pairs(c) + r * c->acts_step);
    else
        for (int64_t r = first * QUAD; r < last * QUAD && r < rows; r++)
            c->kernels->quantise(x + r * w, w, &call_quads(c)[r / QUAD * c->acts_step].row[r % QUAD],
                                 rows > 1 ? QUAD : 1);
}

const OpRow quantise_row = {
    .name = "quantise", .factors = "t!i->t!i", .units = quantise_units, .reference = quantise_reference,
    .none = "shape, cost, gradient, stablehlo, finish: it is in no graph",
};
