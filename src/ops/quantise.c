/* quantise.c: activations in 8 bits or bf16: rows of f32 become quads or pairs (kernels.h), for the linears whose
 * weights allow it. */
#include "call.h"

static int64_t quantise_units(const Call *c) {
    return c->matrix.act == ACT_INT8 ? (call_rows(c) + QUAD - 1) / QUAD : call_rows(c);
}

static void quantise_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->in_width[0], rows = call_rows(c);
    const float *x = c->in[0] + c->row0 * w;
    if (c->matrix.act == ACT_BF16)
        for (int64_t r = first; r < last; r++) c->kernels->round(x + r * w, w, call_pairs(c) + r * c->matrix.acts_step);
    else
        for (int64_t r = first * QUAD; r < last * QUAD && r < rows; r++)
            c->kernels->quantise(x + r * w, w, &call_quads(c)[r / QUAD * c->matrix.acts_step].row[r % QUAD],
                                 rows > 1 ? QUAD : 1);
}

#define IN_NO_GRAPH "it is in no graph"
const OpRow quantise_row = {
    .name = "quantise", .factors = "t!i->t!i", .units = quantise_units, .run = quantise_run, .binds = BINDS_MATRIX,
    .none = {[FACET_SHAPE] = IN_NO_GRAPH, [FACET_REFERENCE] = IN_NO_GRAPH, [FACET_COST] = IN_NO_GRAPH,
             [FACET_GRADIENT] = IN_NO_GRAPH, [FACET_STABLEHLO] = IN_NO_GRAPH, [FACET_FINISH] = IN_NO_GRAPH},
};
