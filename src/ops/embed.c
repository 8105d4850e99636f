/* embed.c: y[t] = table[token[t]]. The table is read as stored, row by row: only rows in use are touched. */
#include "call.h"

static bool embed_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *tokens = &graph_node(g, n->in[0])->shape, *table = &graph_node(g, n->in[1])->shape;
    if (tokens->rank != 1 || table->rank != 2) return err_set(err, "embed: expected tokens [t] and table [v,d]");
    *out = (Shape){.rank = 2, .dim = {tokens->dim[0], table->dim[1]}};
    return true;
}

static void embed_reference(const Call *c, int64_t first, int64_t last) {
    const DTypeRow *type = dtype_row(c->table->dtype);
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        type->read(weights_row(c->table, c->step->token[t]), 0, c->out_width, c->out + t * c->out_width);
}

static Cost embed_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 0, .bytes = 6 * size};
}

const OpRow embed_row = {
    .name = "embed", .factors = "t,!v!d->t!d",
    .table = true, .shape = embed_shape, .units = call_rows, .reference = embed_reference, .cost = embed_cost,
    .none = "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: the table must stay whole",
};
