/* rule_cases.h: the smallest graphs in which the rule of each forward op is asked: the op under a head and a loss. */
#ifndef RULE_CASES_H
#define RULE_CASES_H
#include "grad_cases.h"

static inline Tensor of_places(Graph *g) { /* two tables, one of them looked up by positions */
    return add(g, rows_of(g), embed(g, input(g, "positions", "t"), weight(g, "vd", "places")));
}
static inline Tensor of_part(Graph *g) { /* of a table that devices share */
    return embed_part(g, input(g, "tokens", "t"), weight(g, "vd", "embed"));
}
static inline Tensor of_plain_linear(Graph *g) { return projected(g, "fd", "up"); }
static inline Tensor of_head_norms(Graph *g) { /* of queries and of keys */
    Tensor q = head_norm(g, projected(g, "(kgc)d", "q_proj"), weight(g, "c", "q_gain"), 1e-2);
    Tensor k = head_norm(g, projected(g, "(kc)d", "k_proj"), weight(g, "c", "k_gain"), 1e-2);
    Tensor v = projected(g, "(kc)d", "v_proj");
    return attention(g, q, cache_update(g, k, v, state(g, "s(kc)", TYPE_CACHE, "cache")), 0);
}
static inline Tensor of_norm(Graph *g) { return rms_norm(g, rows_of(g), weight(g, "d", "gain"), 1e-2); }
static inline Tensor of_biases(Graph *g) { /* a linear's own, and one of rows that were summed */
    Tensor f = linear(g, rows_of(g), weight(g, "fd", "up"), weight(g, "f", "up_bias"));
    return add(g, linear(g, f, weight(g, "df", "down"), NO_TENSOR), weight(g, "d", "down_bias"));
}
static inline Tensor of_short_window(Graph *g) {
    return attention(g, projected(g, "(kgc)d", "q_proj"), cache_of(g), 3);
}

/* Attention as models have it: three linears of one value, biases, rotations, a residual sum, a window. */
static inline Tensor block_of(Graph *g, int64_t window) {
    Tensor x = rows_of(g), table = table_of(g), h = rms_norm(g, x, weight(g, "d", "gain"), 1e-2);
    Tensor q = linear(g, h, weight(g, "(kgc)d", "q_proj"), weight(g, "(kgc)", "q_bias"));
    Tensor k = linear(g, h, weight(g, "(kc)d", "k_proj"), weight(g, "(kc)", "k_bias"));
    Tensor v = linear(g, h, weight(g, "(kc)d", "v_proj"), weight(g, "(kc)", "v_bias"));
    Tensor cache = cache_update(g, rope(g, k, table), v, state(g, "s(kc)", TYPE_CACHE, "cache"));
    Tensor a = attention(g, rope(g, q, table), cache, window);
    return add(g, x, linear(g, a, weight(g, "d(kgc)", "o_proj"), NO_TENSOR));
}
static inline Tensor of_block(Graph *g) { return block_of(g, 0); }
static inline Tensor of_window_block(Graph *g) { return block_of(g, 4); }
/* Two layers that share one cache, one after the other. */
static inline Tensor of_shared_cache(Graph *g) {
    Tensor x = rows_of(g);
    for (int i = 0; i < 2; i++) {
        Tensor k = linear(g, x, weight(g, "(kc)d", "k%d", i), NO_TENSOR);
        Tensor v = linear(g, x, weight(g, "(kc)d", "v%d", i), NO_TENSOR);
        Tensor q = linear(g, x, weight(g, "(kgc)d", "q%d", i), NO_TENSOR);
        Tensor a = attention(g, q, cache_update(g, k, v, state(g, "s(kc)", TYPE_CACHE, "cache")), 0);
        x = add(g, x, linear(g, a, weight(g, "d(kgc)", "o%d", i), NO_TENSOR));
        if (graph_node(g, x)) graph_node(g, x)->cut = true;
    }
    return x;
}
static inline Tensor of_mlp(Graph *g) { /* two linears of one value, which is read a third time */
    Tensor x = rows_of(g), h = rms_norm(g, x, weight(g, "d", "gain"), 1e-2);
    Tensor gate = linear(g, h, weight(g, "fd", "gate"), NO_TENSOR), up = linear(g, h, weight(g, "fd", "up"), NO_TENSOR);
    return add(g, add(g, x, linear(g, silu_mul(g, gate, up), weight(g, "df", "down"), NO_TENSOR)), h);
}
/* Five linears of one value: more than one sum of products has. */
static inline Tensor of_many(Graph *g) {
    Tensor x = rows_of(g), sum = x;
    Tensor gate = linear(g, x, weight(g, "fd", "gate"), NO_TENSOR), up = linear(g, x, weight(g, "fd", "up"), NO_TENSOR);
    for (int i = 0; i < 5; i++) sum = add(g, sum, linear(g, x, weight(g, "dd", "w%d", i), NO_TENSOR));
    return add(g, sum, linear(g, silu_mul(g, gate, up), weight(g, "df", "down"), NO_TENSOR));
}
static inline Tensor of_square(Graph *g) { /* both inputs of an op are one value */
    Tensor f = projected(g, "fd", "up");
    return silu_mul(g, f, f);
}
static inline Tensor of_twice(Graph *g) { /* one weight in two linears */
    Tensor w = weight(g, "dd", "shared");
    return linear(g, linear(g, rows_of(g), w, NO_TENSOR), w, NO_TENSOR);
}
/* Two kinds of rotations in one graph, one of which scales. */
static inline Tensor of_two_ropes(Graph *g) {
    static Rope slow;
    slow = config.rope;
    slow.theta = 50, slow.attention_factor = 1.5;
    Tensor positions = input(g, "positions", "t"), table = rope_table(g, positions, &config.rope);
    return rope(g, rope(g, projected(g, "(kgc)d", "q_proj"), table), rope_table(g, positions, &slow));
}
static inline Tensor of_dropped(Graph *g) { return dropout(g, projected(g, "fd", "up"), 0.3, 5); }
static inline Tensor of_scaled(Graph *g) { return scale(g, projected(g, "fd", "up"), -0.75); }

/* tied: the head is the table of rows_of. */
typedef struct RuleCase {
    const char *name;
    Tensor (*build)(Graph *g);
    bool tied;
    const OpRow *only; /* where this has a rule */
} RuleCase;
static const RuleCase rule_cases[] = {
    {"embed, select_rows", rows_of, false, NULL},
    {"a tied embedding", rows_of, true, NULL},
    {"embed by positions", of_places, false, NULL},
    {"embed_part", of_part, false, NULL},
    {"rms_norm", of_norm, false, NULL},
    {"rms_norm under a tied embedding", of_norm, true, NULL},
    {"head_norm", of_head_norms, false, NULL},
    {"linear", of_plain_linear, false, NULL},
    {"linear with a bias", of_linear, false, NULL},
    {"biases", of_biases, false, NULL},
    {"rope", of_rope, false, NULL},
    {"two kinds of rope", of_two_ropes, false, NULL},
    {"attention", of_attention, false, NULL},
    {"attention in a window", of_short_window, false, NULL},
    {"a block of attention", of_block, false, NULL},
    {"a block of attention in a window", of_window_block, false, NULL},
    {"two layers of attention", of_shared_cache, false, NULL},
    {"silu_mul", of_silu_mul, false, NULL},
    {"a value by itself", of_square, false, NULL},
    {"a block of feed-forward", of_mlp, true, NULL},
    {"many linears of one value", of_many, false, NULL},
    {"one weight twice", of_twice, false, NULL},
    {"add", of_add, false, NULL},
    {"scale", of_scaled, false, NULL},
    {"dropout", of_dropped, false, NULL},
    {"scale_columns", of_scale_columns, false, &scale_columns_row},
};
enum { RULE_CASES = sizeof rule_cases / sizeof *rule_cases };

static inline bool rule_is_there(const RuleCase *c) { return !c->only || c->only->gradient; }

/* Trained embeddings are looked up where their rows are, as in programs that are lowered. */
static bool ruled_parts;

/* The case with a head, a loss and the gradients of all its weights, which stay in *walked; returns the logits.
 * recompute: all before the head is a layer that the backward pass computes again. */
static inline Tensor ruled_graph(Graph *g, const RuleCase *c, bool recompute, Gradient *walked, Err *err) {
    Tensor x = c->build(g);
    char axes[16];
    const Node *n = graph_node(g, x);
    snprintf(axes, sizeof axes, "d(%s)", n ? n->shape.dim[1].letters : "");
    if (n && strcmp(n->shape.dim[1].letters, "d")) x = linear(g, x, weight(g, axes, "to_hidden"), NO_TENSOR);
    if (graph_node(g, x)) graph_node(g, x)->cut = true;
    g->stage = STAGE_HEAD;
    x = select_rows(g, x, input(g, "logit_rows", "r"));
    Tensor logits = linear(g, x, weight(g, "vd", c->tied ? "embed" : "head"), NO_TENSOR);
    for (int id = 1; id < g->count; id++) g->nodes[id].trained = g->nodes[id].kind == NODE_WEIGHT;
    if (ruled_parts) embed_parts(g);
    Tensor dz = loss_of(g, logits);
    if (!g->err.kind) gradient_walk(walked, g, logits, dz, recompute, err);
    return logits;
}
#endif
