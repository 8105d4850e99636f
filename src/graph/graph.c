/* graph.c: building the graph: sizes of letters, nodes, and shapes checked by each op's row. */
#include <stdlib.h>
#include <string.h>
#include "graph.h"

void graph_init(Graph *g, const ModelConfig *config, int64_t rows, int64_t context) {
    *g = (Graph){0};
    for (int i = 0; i < AXES; i++) {
        const AxisRow *a = &axis_table[i];
        g->size[a->letter & 127] = a->size ? a->size(config) : a->role == AXIS_ROWS ? rows : context;
    }
    if (mem_grow((void **)&g->nodes, &g->capacity, 64, sizeof(Node), "graph", &g->err))
        g->count = 1, g->nodes[0] = (Node){0};
}

void graph_free(Graph *g) {
    free(g->nodes);
    *g = (Graph){0};
}

Node *graph_node(const Graph *g, Tensor t) { return t.id > 0 && t.id < g->count ? &g->nodes[t.id] : NULL; }

Tensor graph_copy(Graph *g, const Node *node) {
    if (g->count == 0 ||
        !mem_grow((void **)&g->nodes, &g->capacity, (size_t)g->count + 1, sizeof(Node), "graph", &g->err))
        return NO_TENSOR;
    g->nodes[g->count] = *node;
    return (Tensor){g->count++};
}

/* Reads "t(kgc)" into a shape. */
static bool shape_parse(const Graph *g, const char *axes, Shape *out) {
    *out = (Shape){0};
    for (const char *p = axes; *p;) {
        if (out->rank == MAX_RANK) return false;
        Dim *dim = &out->dim[out->rank++];
        dim->size = 1;
        bool group = *p == '(';
        if (group) p++;
        int n = 0;
        do {
            if (n == MAX_LETTERS - 1 || !*p || g->size[*p & 127] == 0) return false;
            dim->letters[n++] = *p;
            dim->size *= g->size[*p++ & 127];
        } while (group && *p != ')');
        if (group) p++;
    }
    return out->rank > 0;
}

static Tensor leaf(Graph *g, NodeKind kind, const char *name, const char *axes) {
    Node n = {.kind = kind};
    snprintf(n.name, sizeof n.name, "%s", name);
    if (!shape_parse(g, axes, &n.shape)) err_as(&g->err, QM_INTERNAL, "graph: bad axes '%s' of %s", axes, name);
    return graph_copy(g, &n);
}

Tensor input(Graph *g, const char *name, const char *axes) { return leaf(g, NODE_INPUT, name, axes); }

Tensor weight(Graph *g, const char *axes, const char *name, ...) {
    char full[96];
    va_list args;
    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    for (int i = 1; i < g->count; i++) /* a tied weight is one node */
        if (g->nodes[i].kind == NODE_WEIGHT && !strcmp(g->nodes[i].name, full)) return (Tensor){i};
    return leaf(g, NODE_WEIGHT, full, axes);
}

Tensor graph_op(Graph *g, const OpRow *op, const Node *proto) {
    Node n = *proto;
    n.kind = NODE_OP;
    n.op = op;
    snprintf(n.name, sizeof n.name, "%s", op->name);
    while (n.inputs < MAX_INPUTS && n.in[n.inputs].id) n.inputs++;
    if (n.inputs == 0 || !g->count) return err_as(&g->err, QM_INTERNAL, "graph: %s without inputs",
                                                  op->name), NO_TENSOR;
    if (!op->shape(g, &n, &n.shape, &g->err)) n.shape = graph_node(g, n.in[0])->shape;
    return graph_copy(g, &n);
}

Tensor embed(Graph *g, Tensor tokens, Tensor table) { return graph_op(g, &embed_row, &(Node){.in = {tokens, table}}); }
Tensor rms_norm(Graph *g, Tensor x, Tensor gain, double epsilon) {
    return graph_op(g, &rms_norm_row, &(Node){.in = {x, gain}, .epsilon = (float)epsilon});
}
Tensor linear(Graph *g, Tensor x, Tensor w, Tensor bias) {
    return graph_op(g, &linear_row, &(Node){.in = {x, w, bias}});
}
Tensor rope_table(Graph *g, Tensor positions, const Rope *rope) {
    return graph_op(g, &rope_table_row, &(Node){.in = {positions}, .rope = rope});
}
Tensor rope(Graph *g, Tensor x, Tensor table) { return graph_op(g, &rope_row, &(Node){.in = {x, table}}); }
Tensor cache_update(Graph *g, int layer, Tensor k, Tensor v) {
    return graph_op(g, &cache_update_row, &(Node){.in = {k, v}, .layer = layer});
}
Tensor attention(Graph *g, int layer, Tensor q, Tensor cache, int64_t window) {
    return graph_op(g, &attention_row, &(Node){.in = {q, cache}, .layer = layer, .window = window});
}
Tensor silu_mul(Graph *g, Tensor gate, Tensor up) { return graph_op(g, &silu_mul_row, &(Node){.in = {gate, up}}); }
Tensor add(Graph *g, Tensor a, Tensor b) { return graph_op(g, &add_row, &(Node){.in = {a, b}}); }
Tensor select_rows(Graph *g, Tensor x, Tensor which) {
    return graph_op(g, &select_rows_row, &(Node){.in = {x, which}});
}
Tensor argmax(Graph *g, Tensor logits) { return graph_op(g, &argmax_row, &(Node){.in = {logits}}); }
Tensor all_reduce(Graph *g, Tensor x) { return graph_op(g, &all_reduce_row, &(Node){.in = {x}}); }
Tensor reduce_argmax(Graph *g, Tensor pairs) { return graph_op(g, &reduce_argmax_row, &(Node){.in = {pairs}}); }

bool shape_same(const Shape *a, const Shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (strcmp(a->dim[i].letters, b->dim[i].letters)) return false;
    return true;
}

RowKind shape_rows(const Shape *s) {
    const AxisRow *row = s->rank ? axis_row(s->dim[0].letters[0]) : NULL;
    return row ? row->rows : NO_ROWS;
}

void shape_text(const Shape *s, Text *out) {
    text_line(out, "[");
    for (int i = 0; i < s->rank; i++) {
        bool group = s->dim[i].letters[1] != 0;
        text_line(out, "%s%s%s%s=%lld", i ? "," : "", group ? "(" : "", s->dim[i].letters, group ? ")" : "",
                  (long long)s->dim[i].size);
    }
    text_line(out, "]");
}

/* ---- Factor strings: "t(kg!c),!s(k!c)->t(kg!c)" ------------------------------------------------------------------ */

static const char *factor_dim(const char *p, FactorDim *dim) {
    bool group = *p == '(';
    if (group) p++;
    do {
        bool whole = *p == '!', picked = *p == '~';
        if (whole || picked) p++;
        if (dim->count == MAX_LETTERS || *p < 'a' || *p > 'z') return NULL;
        dim->whole[dim->count] = whole;
        dim->picked[dim->count] = picked;
        dim->letters[dim->count++] = *p++;
    } while (group && *p && *p != ')');
    if (!group) return p;
    return *p == ')' ? p + 1 : NULL;
}

bool factors_parse(const char *text, Factors *out, Err *err) {
    *out = (Factors){0};
    bool right = false;
    int value = 0;
    for (const char *p = text; p && *p;) {
        if (*p == ',') {
            if (right || ++value >= MAX_INPUTS) return err_as(err, QM_INTERNAL, "factors '%s': too many values", text);
            p++;
        } else if (p[0] == '-' && p[1] == '>') {
            out->inputs = value + 1;
            value = MAX_INPUTS;
            right = true;
            p += 2;
        } else {
            if (out->rank[value] == MAX_RANK) return err_as(err, QM_INTERNAL, "factors '%s': rank over %d", text,
                                                            MAX_RANK);
            p = factor_dim(p, &out->dim[value][out->rank[value]++]);
            if (!p) return err_as(err, QM_INTERNAL, "factors '%s': expected a letter, ! or (letters)", text);
        }
    }
    return right || err_as(err, QM_INTERNAL, "factors '%s': no ->", text);
}
