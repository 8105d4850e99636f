/* embed.c: y[t] = table[ids[t]]. embed_part is the same of a table whose rows devices share. The table is read as stored,
 * row by row: only rows in use are touched. Of a packed file with tied embeddings, whose only copy is the panels of the
 * head, a row is one lane of its panel. */
#include <string.h>
#include "../graph/lower_train.h"
#include "call.h"
#include "elementwise.h"

static bool embed_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *tokens = &graph_node(g, n->in[0])->shape, *table = &graph_node(g, n->in[1])->shape;
    if (tokens->rank != 1 || table->rank != 2) return err_as(err, QM_INTERNAL,
                                                             "embed: expected ids [t] and table [v,d]");
    *out = (Shape){.rank = 2, .dim = {tokens->dim[0], table->dim[1]}};
    return true;
}

Tensor embed(Graph *g, Tensor ids, Tensor table) { return graph_op(g, &embed_row, &(Node){.in = {ids, table}}); }

static void embed_reference(const PlainCall *c) {
    for (int64_t t = 0; t < c->rows; t++)
        memcpy(c->out + t * c->out_width, c->in[1] + c->ids[t] * c->out_width, (size_t)c->out_width * sizeof(float));
}

enum { EMBED_KC = 256 }; /* whole groups of every packed type */

static void embed_lane(const Call *c, int64_t row, float *out) {
    const PackedWeight *w = c->table.packed;
    const uint8_t *panel = w->data + row / PANEL * w->panel_bytes;
    _Alignas(64) float columns[EMBED_KC * PANEL];
    if (w->type == PACKED_F32) {
        const float *lane = (const float *)(const void *)panel + row % PANEL;
        for (int64_t i = 0; i < w->k; i++) out[i] = lane[i * PANEL];
        return;
    }
    for (int64_t at = 0; at < w->k; at += EMBED_KC) {
        int64_t n = w->k - at < EMBED_KC ? w->k - at : EMBED_KC;
        c->kernels->unpack[w->type](panel, at, at + n, columns);
        for (int64_t i = 0; i < n; i++) out[at + i] = columns[i * PANEL + row % PANEL];
    }
}

static void embed_run(const Call *c, int64_t first, int64_t last) {
    if (!c->table.table || !c->table.table->data) {
        for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
            embed_lane(c, c->ids[t], c->out + t * c->out_width);
        return;
    }
    const DTypeRow *type = dtype_row(c->table.table->dtype);
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        type->read(weights_row(c->table.table, c->ids[t]), 0, c->out_width, c->out + t * c->out_width);
}

static Cost embed_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 0, .bytes = 6 * size};
}

/* The host looks rows up in the mapped file: no device holds the table, and no collective joins its shards. */
static void embed_stablehlo(Lower *l, const Node *n) {
    lower_step_input(l, lower_name(l, n), NULL, lower_rows(l), lower_dim(l, n, 1),
                     (int)(n - l->program->graph.nodes));
}

const OpRow embed_row = {
    .name = "embed",
    .factors = "t,!v!d->t!d",
    .binds = BINDS_TABLE,
    .on_host = true,
    .shape = embed_shape,
    .units = call_rows,
    .run = embed_run, .reference = embed_reference,
    .cost = embed_cost,
    .stablehlo = embed_stablehlo,
    .gradient = embed_gradient,
    .none = {[FACET_FINISH] = "the table must stay whole"},
};

/* ---- embed_part: of the rows that a device has of a shared vocabulary, zeros for others: their sum is embed's ---------- */

Tensor embed_part(Graph *g, Tensor ids, Tensor table) { return graph_op(g, &embed_part_row, &(Node){.in = {ids, table}}); }

void embed_parts(Graph *g) {
    for (int id = 1; id < g->count; id++) {
        Node *n = &g->nodes[id];
        if (n->op != &embed_row || !graph_node(g, n->in[1])->trained) continue;
        n->op = &embed_part_row;
        snprintf(n->name, sizeof n->name, "%s", n->op->name);
    }
}

/* Rows of the table in f32, then in the program's type: of a trained table the rows alone are converted. */
static void embed_part_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0), d = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *rows = lower_type(l, "f32", 2, t, d), *bits = lower_type(l, "i1", 2, t, d);
    LowerMatrix table = lower_matrix_in(l, n, 1);
    LowerOwn own = lower_own_rows(l, n);
    const char *name = lower_f32_name(l, out), *gathered = own.held ? lower_word(l, "%s_g", out) : name;
    lower_line(l, "%s = \"stablehlo.gather\"(%s, %s) {dimension_numbers = #stablehlo.gather<offset_dims = [1], "
               "collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, "
               "%lld>, indices_are_sorted = false} : (%s, %s) -> %s",
               gathered, table.value, own.rows, (long long)d, lower_type(l, "f32", 2, table.rows, table.columns),
               lower_type(l, "i32", 1, t), rows);
    if (own.held) {
        lower_spread(l, lower_word(l, "%s_o", out), own.held, "[0]", lower_type(l, "i1", 1, t), bits);
        lower_constant(l, lower_word(l, "%s_0", out), 0, rows);
        lower_select(l, name, lower_word(l, "%s_o", out), gathered, lower_word(l, "%s_0", out), bits, rows);
    }
    lower_f32_done(l, out, 2, (int64_t[]){t, d});
}

/* The CPU engine, where it shares a vocabulary, has all of the table in one process. */
const OpRow embed_part_row = {
    .name = "embed_part",
    .factors = "t,v!d->t!d",
    .binds = BINDS_TABLE,
    .shape = embed_shape,
    .units = call_rows,
    .run = embed_run, .reference = embed_reference,
    .cost = embed_cost,
    .finish = all_reduce, .whole = true,
    .stablehlo = embed_part_stablehlo,
    .gradient = embed_part_gradient,
};
