/* plain_program.h: a program computed by the plain references of its ops, and sizes to compute it with: for tests that
 * hold an engine against them. */
#ifndef PLAIN_PROGRAM_H
#define PLAIN_PROGRAM_H
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "../src/graph/backend.h"
#include "fixture.h"
#include "op_cases.h"

/* hidden, ffn, vocab, kv heads, group, channels, turned channels */
static const int64_t shapes[][7] = {
    {64, 64, 64, 2, 2, 16, 16}, {24, 33, 87, 3, 3, 6, 4}, {8, 1, 71, 1, 1, 2, 2}, {40, 300, 600, 2, 7, 4, 4}};
enum { SHAPES = 4 };

FIXTURE void shape_set(const int64_t *s) {
    config.hidden = s[0], config.ffn = s[1], config.vocab = s[2];
    config.kv_heads = s[3], config.heads = s[3] * s[4], config.head_dim = s[5];
    config.rope.dim = s[6];
}

/* value, keys: by node. Of a state: what it holds; of a cache: keys, then values. bf16: linears, and what is made of them
 * in the backward pass, have the nearest bf16 of what they read. after, if it is there, is told of each node that has been
 * computed, and may put something else there. */
typedef struct Plainly Plainly;
struct Plainly {
    const Program *program;
    float **value, **keys;
    int64_t rows, slots;
    bool bf16;
    void (*after)(const void *of, int id, const StepRows *s);
    const void *of;
};

FIXTURE void *zeros(int64_t n) {
    void *p = calloc((size_t)n + 1, sizeof(float));
    assert_non_null(p);
    return p;
}

FIXTURE int64_t rows_of_node(const StepRows *s, const Node *n) {
    RowKind kind = shape_rows(&n->shape);
    return kind == LOGIT_ROWS ? s->logit_rows : kind == STEP_ROWS ? s->rows
           : n->value == VALUE_MATRIX ? n->shape.dim[0].size : 1;
}

/* Numbers of a weight, or of a state that has no rows of a step. */
FIXTURE int64_t node_size(const Node *n) {
    return n->shape.dim[0].size * (n->shape.rank > 1 ? n->shape.dim[1].size : 1);
}

/* Random weights, and zero states, for steps of `rows` rows in `slots` slots. */
FIXTURE void plainly_new(Plainly *p, const Program *program, int64_t rows, int64_t slots) {
    const Graph *g = &program->graph;
    size_t count = (size_t)g->count;
    *p = (Plainly){.program = program, .rows = rows, .slots = slots, .value = calloc(count, sizeof(float *)),
                   .keys = calloc(count, sizeof(float *))};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        int64_t size = node_size(n), most = (shape_rows(&n->shape) ? rows : 1) * node_width(n);
        if (n->value == VALUE_MATRIX) most = size;
        if (n->kind == NODE_STATE && n->type == TYPE_CACHE) p->keys[id] = zeros(2 * slots * size);
        else if (n->kind == NODE_STATE) p->value[id] = zeros(most);
        else if (n->kind == NODE_WEIGHT) {
            p->value[id] = zeros(size);
            for (int64_t i = 0; i < size; i++)
                p->value[id][i] = ((float)random_below(20001) / 10000 - 1) * (n->shape.rank > 1 ? 0.5f : 1);
        } else if (n->op) p->value[id] = n->op->writes_state ? NULL : zeros(most);
    }
}

FIXTURE void plainly_free(Plainly *p) {
    for (int id = 1; id < p->program->graph.count; id++) free(p->value[id]), free(p->keys[id]);
    free(p->value), free(p->keys);
}

/* What a tensor of the program's graph holds. */
FIXTURE float *plainly_value(const Plainly *p, Tensor t) {
    const Node *state = graph_state(&p->program->graph, t);
    return p->value[state ? state - p->program->graph.nodes : t.id];
}

/* The reference over operands in bf16. */
FIXTURE void linear_rounded(PlainCall *c, const StepRows *s) {
    float *copy[MAX_INPUTS] = {NULL};
    bool sum = c->node->op == &linear_dw_row;
    for (int i = 0; i < c->node->inputs; i++) {
        const Node *in = graph_node(c->graph, c->node->in[i]);
        if (!c->in[i] || in->value == VALUE_VECTOR || (sum && i == 2)) continue; /* a bias, or the sum */
        int64_t n = in->value == VALUE_MATRIX ? node_size(in) : rows_of_node(s, in) * c->width[i];
        copy[i] = zeros(n);
        for (int64_t k = 0; k < n; k++) copy[i][k] = bf16_to_f32(f32_to_bf16(c->in[i][k]));
        c->in[i] = copy[i];
    }
    c->node->op->reference(c);
    for (int i = 0; i < MAX_INPUTS; i++) free(copy[i]);
}

/* The stages that the step says. */
FIXTURE void plainly_step(const Plainly *p, const StepRows *s) {
    const Graph *g = &p->program->graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP || n->stage < s->first || n->stage > s->last) continue;
        const Node *put = graph_node(g, n->in[0]), *written = n->op->writes_state ? graph_state(g, (Tensor){id}) : NULL;
        PlainCall c = {.graph = g, .node = n, .step = s, .rows = rows_of_node(s, written ? put : n),
                       .out_width = node_width(n), .out = plainly_value(p, (Tensor){id})};
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]), *state = graph_state(g, n->in[i]);
            if (!in) continue;
            c.in[i] = plainly_value(p, n->in[i]);
            c.width[i] = node_width(in);
            if (in->kind == NODE_INPUT) c.ids = step_input(s, in->name);
            if (!state || state->type != TYPE_CACHE) continue;
            c.positions = state->shape.dim[0].size;
            c.keys = p->keys[state - g->nodes];
            c.values = c.keys + p->slots * c.positions * node_width(state);
        }
        for (int u = id + 1; u < g->count; u++)
            if (g->nodes[u].kind == NODE_RESULT && g->nodes[u].in[0].id == id)
                c.more[g->nodes[u].result - 1] = p->value[u];
        bool linears = n->op == &linear_row || n->op == &linear_dx_row || n->op == &linear_dw_row;
        if (p->bf16 && linears) linear_rounded(&c, s);
        else n->op->reference(&c);
        if (p->after) p->after(p->of, id, s);
    }
}

/* Its weights, for an engine. */
FIXTURE Weights *plainly_weights(const Plainly *p) {
    const Graph *g = &p->program->graph;
    WeightTensor list[32] = {0};
    int64_t count = 0;
    Err err = {0};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_WEIGHT) continue;
        assert_true(count < 32);
        WeightTensor *t = &list[count++];
        *t = (WeightTensor){.name = n->name, .file = "test", .dtype = DTYPE_F32, .rank = n->shape.rank,
                            .data = (const uint8_t *)p->value[id], .bytes = sizeof(float)};
        for (int d = 0; d < n->shape.rank; d++) t->bytes *= (size_t)(t->dim[d] = n->shape.dim[d].size);
    }
    Weights *w = weights_new(list, count, &err);
    if (!w) fail_msg("%s", err.text);
    return w;
}
#endif
