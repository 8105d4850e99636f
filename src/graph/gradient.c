/* gradient.c: see gradient.h. */
#include <stdlib.h>
#include <string.h>
#include "gradient.h"

enum { PAIRS = 3 }; /* of a linear_dx */

/* ---- What is owed to a node, added up ---------------------------------------------------------------------------- */

/* Pairs share a sum whose rows of the matrix are split in the same way: over heads, or over one letter, or not at
 * all. */
static char split_letter(const Graph *g, Tensor weight) {
    char letter = graph_node(g, weight)->shape.dim[0].letters[0];
    return axis_is_split(letter) ? letter : 0;
}

static Tensor plus(Graph *g, Tensor a, Tensor b) { return a.id ? add(g, a, b) : b; }

/* In the order of the forward graph, which the walk has seen from its end. */
static Tensor owed_sum(Gradient *b, Tensor of) {
    Tensor sum = NO_TENSOR;
    for (int i = 0; i < b->owed_count; i++)
        if (b->owed[i].of.id == of.id && !b->owed[i].weight.id) sum = plus(b->g, sum, b->owed[i].dy);
    for (int i = b->owed_count - 1; i >= 0; i--) {
        if (b->owed[i].of.id != of.id || !b->owed[i].weight.id) continue;
        Tensor dy[PAIRS], w[PAIRS];
        int pairs = 0;
        char letter = split_letter(b->g, b->owed[i].weight);
        for (int j = i; j >= 0 && pairs < PAIRS; j--) {
            Owed *o = &b->owed[j];
            if (o->of.id != of.id || !o->weight.id || split_letter(b->g, o->weight) != letter) continue;
            dy[pairs] = o->dy;
            w[pairs++] = o->weight;
            o->of = NO_TENSOR;
        }
        sum = plus(b->g, sum, linear_dx(b->g, dy, w, pairs));
    }
    return sum;
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

/* What a trained weight, or a value that has one behind it, goes into. */
static bool needed_mark(Gradient *b, Err *err) {
    const Graph *g = b->g;
    b->needed = mem_new((size_t)b->count, sizeof *b->needed, "gradients", err);
    for (int id = 1; b->needed && id < b->count; id++) {
        const Node *n = &g->nodes[id];
        b->needed[id] = n->kind == NODE_WEIGHT && n->trained;
        for (int i = 0; n->op && i < n->inputs; i++) b->needed[id] |= b->needed[n->in[i].id];
    }
    return b->needed != NULL;
}

/* Computes the layer that ends with node `last` again, once its gradient dy is there. */
static void layer_again(Gradient *b, int last, Tensor dy) {
    Graph *g = b->g;
    int first = last;
    while (first > 1 && !g->nodes[first - 1].cut) first--;
    for (int id = first; id <= last; id++) {
        Node n = g->nodes[id];
        if (!n.op || n.op->on_host) continue;
        for (int i = 0; i < n.inputs; i++)
            if (n.in[i].id && b->twin[n.in[i].id].id) n.in[i] = b->twin[n.in[i].id];
        n.stage = STAGE_GRADIENT;
        n.after = dy;
        n.keep = n.cut = false;
        b->twin[id] = graph_copy(g, &n);
    }
}

/* What is computed again and goes into nothing. */
static void dead_mark(Graph *g, int from) {
    for (int id = g->count - 1; id >= from; id--) {
        bool used = !g->nodes[id].after.id;
        for (int u = id + 1; !used && u < g->count; u++)
            for (int i = 0; i < g->nodes[u].inputs; i++) used |= !g->nodes[u].dead && g->nodes[u].in[i].id == id;
        g->nodes[id].dead = !used;
    }
}

/* Whether a node takes numbers of the step, as what comes before the first layer does. */
static bool takes_step(const Graph *g, const Node *n) {
    return n->inputs && graph_node(g, n->in[0])->kind == NODE_INPUT;
}

bool gradient_walk(Gradient *b, Graph *g, Tensor of, Tensor dy, bool recompute, Err *err) {
    *b = (Gradient){.g = g, .count = g->count};
    b->twin = mem_new((size_t)b->count, sizeof *b->twin, "gradients", err);
    if (!b->twin || !needed_mark(b, err) || !gradient_add(b, of, dy)) goto failed;
    for (int id = of.id; id > 0; id--) {
        Node n = g->nodes[id]; /* rules append nodes, which moves them */
        if (!b->needed[id] || n.kind != NODE_OP) continue;
        g->stage = n.stage == STAGE_FORWARD ? STAGE_GRADIENT : STAGE_HEAD_GRADIENT;
        Tensor self = {id}, grad = owed_sum(b, self);
        if (!grad.id || g->err.kind) continue;
        if (n.cut || takes_step(g, &n)) g->nodes[g->count - 1].cut = true; /* what follows is of the layer before */
        if (recompute && n.cut) layer_again(b, id, grad);
        for (int i = 0; i < n.inputs; i++)
            if (n.in[i].id && b->twin[n.in[i].id].id) n.in[i] = b->twin[n.in[i].id];
        if (b->twin[id].id) self = b->twin[id];
        if (!n.op->gradient) {
            err_as(err, QM_INTERNAL, "%s: no rule for its gradient: %s", n.op->name,
                   n.op->none[FACET_GRADIENT] ? n.op->none[FACET_GRADIENT] : "none is written");
            goto failed;
        }
        if (!n.op->gradient(b, &n, self, grad)) break;
    }
    if (!g->err.kind) {
        dead_mark(g, b->count);
        return true;
    }
    err_from(err, &g->err);
failed:
    gradient_free(b);
    return false;
}

void gradient_free(Gradient *b) {
    free(b->needed);
    free(b->twin);
    free(b->owed);
    free(b->weights);
    *b = (Gradient){0};
}
