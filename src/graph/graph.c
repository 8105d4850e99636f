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
        g->count = g->numbers = 1, g->nodes[0] = (Node){0};
}

void graph_free(Graph *g) {
    for (int i = 0; i < g->count; i++) free((void *)(uintptr_t)g->nodes[i].attributes);
    free(g->nodes);
    *g = (Graph){0};
}

Node *graph_node(const Graph *g, Tensor t) { return t.id > 0 && t.id < g->count ? &g->nodes[t.id] : NULL; }

int64_t graph_parameters(const Graph *g) {
    int64_t sum = 0;
    for (int i = 1; i < g->count; i++) {
        const Shape *s = &g->nodes[i].shape;
        if (g->nodes[i].kind == NODE_WEIGHT) sum += s->dim[0].size * (s->rank > 1 ? s->dim[1].size : 1);
    }
    return sum;
}

Tensor graph_copy(Graph *g, const Node *node) {
    if (g->count == 0 ||
        !mem_grow((void **)&g->nodes, &g->capacity, (size_t)g->count + 1, sizeof(Node), "graph", &g->err))
        return NO_TENSOR;
    Node *n = &g->nodes[g->count];
    *n = *node;
    n->attributes = NULL;
    if (node->attributes && n->op && n->op->attributes) {
        void *own = mem_new(1, n->op->attributes, "graph", &g->err);
        if (!own) return NO_TENSOR;
        n->attributes = memcpy(own, node->attributes, n->op->attributes);
    }
    n->number = g->numbers;
    if (n->kind == NODE_STATE) n->state = g->states, g->states += state_buffers(n->type);
    else g->numbers++;
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

static ValueKind kind_of(const Shape *s) {
    return shape_rows(s) ? VALUE_ROWS : s->rank == 1 ? VALUE_VECTOR : VALUE_MATRIX;
}

/* One of a name: a tied weight is one node, and so is a state that several ops use. */
static Tensor leaf(Graph *g, NodeKind kind, ValueType type, const char *name, const char *axes) {
    Node n = {.kind = kind, .type = type};
    for (int i = 1; kind != NODE_INPUT && i < g->count; i++)
        if (g->nodes[i].kind == kind && !strcmp(g->nodes[i].name, name)) return (Tensor){i};
    if ((size_t)snprintf(n.name, sizeof n.name, "%s", name) >= sizeof n.name)
        err_as(&g->err, QM_INTERNAL, "graph: the name %s is too long", name);
    if (!shape_parse(g, axes, &n.shape)) err_as(&g->err, QM_INTERNAL, "graph: bad axes '%s' of %s", axes, name);
    n.value = kind_of(&n.shape);
    return graph_copy(g, &n);
}

Tensor input(Graph *g, const char *name, const char *axes) { return leaf(g, NODE_INPUT, TYPE_I32, name, axes); }

Tensor weight(Graph *g, const char *axes, const char *name, ...) {
    char full[96];
    va_list args;
    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    return leaf(g, NODE_WEIGHT, TYPE_F32, full, axes);
}

Tensor state(Graph *g, const char *axes, ValueType type, const char *name, ...) {
    char full[96];
    va_list args;
    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    return leaf(g, NODE_STATE, type, full, axes);
}

const Node *graph_state(const Graph *g, Tensor t) {
    const Node *n = graph_node(g, t);
    while (n && n->kind == NODE_OP && n->op->writes_state) n = graph_node(g, n->in[n->op->state_input]);
    return n && node_is_state(n) ? n : NULL;
}

/* Those that the row's factors want are there, and no more. */
static bool inputs_there(Graph *g, const Node *n) {
    Factors f;
    if (!factors_parse(n->op->factors, &f, &g->err)) return false;
    for (int i = 0; i < n->inputs || i < f.inputs; i++) {
        if (i >= f.inputs)
            return err_as(&g->err, QM_INTERNAL, "graph: %s: expected at most %d inputs, got %d", n->op->name, f.inputs,
                          n->inputs);
        if (!n->in[i].id && !f.optional[i])
            return err_as(&g->err, QM_INTERNAL, "graph: %s: input %d is missing", n->op->name, i);
    }
    return true;
}

static Tensor op_node(Graph *g, Node *n) {
    if (!n->op->shape(g, n, &n->shape, &g->err)) n->shape = graph_node(g, n->in[0])->shape;
    n->value = n->op->pairs ? VALUE_PAIR : kind_of(&n->shape);
    return graph_copy(g, n);
}

Tensor graph_op(Graph *g, const OpRow *op, const Node *proto) {
    Node n = *proto;
    n.kind = NODE_OP;
    n.op = op;
    n.stage = g->stage;
    snprintf(n.name, sizeof n.name, "%s", op->name);
    for (int i = 0; i < MAX_INPUTS; i++)
        if (n.in[i].id) n.inputs = i + 1;
    if (!g->count || !inputs_there(g, &n)) return NO_TENSOR;
    return op_node(g, &n);
}

Tensor graph_result(Graph *g, Tensor of, int number) {
    const Node *op = graph_node(g, of);
    if (!op || op->kind != NODE_OP || number < 1 || number > op->op->results)
        return err_as(&g->err, QM_INTERNAL, "graph: %s has no result %d", op ? op->name : "nothing", number), NO_TENSOR;
    Node n = *op, as = *op; /* its shape is computed as the op's, by the number of the result */
    as.result = number;
    if (!as.op->shape(g, &as, &n.shape, &g->err)) return NO_TENSOR;
    n.kind = NODE_RESULT;
    n.result = number;
    n.value = n.op->pairs || n.op->pairs_after ? VALUE_PAIR : kind_of(&n.shape);
    n.inputs = 1;
    memset(n.in, 0, sizeof n.in);
    n.in[0] = of;
    n.keep = false;
    return graph_copy(g, &n);
}

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

void shape_axes(const Shape *s, char out[AXES_TEXT]) {
    size_t at = 0;
    for (int d = 0; d < s->rank; d++)
        at += (size_t)snprintf(out + at, AXES_TEXT - at, s->dim[d].letters[1] ? "(%s)" : "%s", s->dim[d].letters);
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
            if (++value >= (right ? MAX_INPUTS + MAX_RESULTS : MAX_INPUTS))
                return err_as(err, QM_INTERNAL, "factors '%s': too many values", text);
            p++;
        } else if (p[0] == '-' && p[1] == '>') {
            out->inputs = value + 1;
            value = MAX_INPUTS;
            right = true;
            p += 2;
        } else if (*p == '?' && !right && !out->rank[value]) {
            out->optional[value] = true;
            p++;
        } else {
            if (out->rank[value] == MAX_RANK) return err_as(err, QM_INTERNAL, "factors '%s': rank over %d", text,
                                                            MAX_RANK);
            p = factor_dim(p, &out->dim[value][out->rank[value]++]);
            if (!p) return err_as(err, QM_INTERNAL, "factors '%s': expected a letter, ! or (letters)", text);
        }
    }
    out->results = value - MAX_INPUTS + 1;
    return right || err_as(err, QM_INTERNAL, "factors '%s': no ->", text);
}
