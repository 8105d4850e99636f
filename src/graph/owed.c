/* owed.c: what the rules of ops hand over, until the walk takes it: see gradient.h. */
#include <string.h>
#include "gradient.h"

/* The forward node that x is, or is computed again for. */
static Tensor original(const Gradient *b, Tensor x) {
    for (int id = 1; x.id >= b->count && id < b->count; id++)
        if (b->twin[id].id == x.id) return (Tensor){id};
    return x;
}

bool gradient_needed(const Gradient *b, Tensor x) {
    x = original(b, x);
    return x.id > 0 && x.id < b->count && b->needed[x.id];
}

static bool owe(Gradient *b, Owed o) {
    o.of = original(b, o.of);
    if (!gradient_needed(b, o.of)) return true;
    if (!mem_grow((void **)&b->owed, &b->owed_capacity, (size_t)b->owed_count + 1, sizeof *b->owed, "gradients",
                  &b->g->err))
        return false;
    b->owed[b->owed_count++] = o;
    return true;
}

bool gradient_add(Gradient *b, Tensor x, Tensor dx) { return owe(b, (Owed){x, dx, NO_TENSOR}); }
bool gradient_pair(Gradient *b, Tensor x, Tensor dy, Tensor weight) { return owe(b, (Owed){x, dy, weight}); }

Tensor gradient_sum(Gradient *b, Tensor weight, const char *axes) {
    const Node *w = graph_node(b->g, weight);
    char own[AXES_TEXT], name[sizeof w->name];
    int uses = 0;
    if (!w || !mem_grow((void **)&b->weights, &b->weight_capacity, (size_t)b->weight_count + 1, sizeof *b->weights,
                        "gradients", &b->g->err))
        return NO_TENSOR;
    for (int i = 0; i < b->weight_count; i++) uses += b->weights[i].weight.id == weight.id;
    shape_axes(&w->shape, own);
    snprintf(name, sizeof name, "%s", w->name);
    Tensor sum = state(b->g, axes ? axes : own, TYPE_SUM, "grad%d.%s", uses, name);
    b->weights[b->weight_count++] = (WeightGradient){weight, sum};
    return sum;
}

Tensor gradient_sum_before(const Gradient *b, Tensor weight) {
    const Graph *g = b->g;
    for (int i = 0; i < b->weight_count; i++) {
        if (b->weights[i].weight.id != weight.id) continue;
        for (int id = g->count - 1; id >= b->count; id--)
            if (g->nodes[id].op && g->nodes[id].op->accumulates && shape_same(&g->nodes[id].shape, &graph_node(g, weight)->shape) &&
                graph_state(g, (Tensor){id}) == graph_node(g, b->weights[i].sum))
                return (Tensor){id};
    }
    return NO_TENSOR;
}
