/* embed.c: y[t] = table[token[t]]. The table is read as stored, row by row: only rows in use are touched. */
#include "../graph/lower.h"
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

static void embed_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_rows(l), v = lower_letter(l, 'v', ""), d = lower_dim(l, n, 1);
    const char *table = lower_in(l, n, 1), *tokens = lower_in(l, n, 0);
    lower_line(l, "%s = \"stablehlo.gather\"(%s, %s) {dimension_numbers = #stablehlo.gather<offset_dims = [1], "
               "collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, "
               "%lld>, indices_are_sorted = false} : (%s, %s) -> %s",
               lower_out(l, n), table, tokens, (long long)d, lower_type(l, NULL, 2, v, d), lower_type(l, "i32", 1, t),
               lower_type(l, NULL, 2, t, d));
}

const OpRow embed_row = {
    .name = "embed", .factors = "t,!v!d->t!d",
    .table = true, .shape = embed_shape, .units = call_rows, .reference = embed_reference, .cost = embed_cost,
    .stablehlo = embed_stablehlo,
    .none = "gradient: the program does not train; finish: the table must stay whole",
};
