/* op_cases.h: the smallest graph with each op in it, for the tests of what ops compute and of how they are lowered. */
#ifndef OP_CASES_H
#define OP_CASES_H
#include "../src/graph/lower.h"
#include "../src/ops/call.h"
#include "../src/ops/chosen.h"

/* What the graphs are of; a test may change its sizes. */
static ModelConfig config = {.architecture = "qwen2", .layers = 1, .hidden = 64, .ffn = 64, .vocab = 64,
                             .heads = 4, .kv_heads = 2, .head_dim = 16, .max_positions = 64,
                             .rms_norm_eps = 1e-6, .qkv_bias = true, .adapter_rank = 19,
                             .rope = {.theta = 1e4, .dim = 16, .factor = 1, .attention_factor = 1}};

static inline Tensor rows_of(Graph *g) { return embed(g, input(g, "tokens", "t"), weight(g, "vd", "embed")); }
static inline Tensor projected(Graph *g, const char *axes, const char *name) {
    return linear(g, rows_of(g), weight(g, axes, "%s", name), NO_TENSOR);
}
static inline Tensor table_of(Graph *g) { return rope_table(g, input(g, "positions", "t"), &config.rope); }
static inline Tensor cache_of(Graph *g) {
    return cache_update(g, projected(g, "(kc)d", "k_proj"), projected(g, "(kc)d", "v_proj"),
                        state(g, "s(kc)", TYPE_CACHE, "cache"));
}
static inline Tensor logits_of(Graph *g) {
    return linear(g, select_rows(g, rows_of(g), input(g, "logit_rows", "r")), weight(g, "vd", "head"), NO_TENSOR);
}

static inline Tensor of_rms_norm(Graph *g) { return rms_norm(g, rows_of(g), weight(g, "d", "gain"), 1e-6); }
static inline Tensor of_head_norm(Graph *g) {
    return head_norm(g, projected(g, "(kgc)d", "q_proj"), weight(g, "c", "gain"), 1e-6);
}
static inline Tensor of_linear(Graph *g) {
    return linear(g, rows_of(g), weight(g, "(kgc)d", "q_proj"), weight(g, "(kgc)", "q_bias"));
}
static inline Tensor of_rope(Graph *g) { return rope(g, projected(g, "(kgc)d", "q_proj"), table_of(g)); }
static inline Tensor of_attention(Graph *g) { return attention(g, projected(g, "(kgc)d", "q_proj"), cache_of(g), 0); }
static inline Tensor of_window(Graph *g) { return attention(g, projected(g, "(kgc)d", "q_proj"), cache_of(g), 16); }
static inline Tensor of_silu_mul(Graph *g) { return silu_mul(g, projected(g, "fd", "gate"), projected(g, "fd", "up")); }
static inline Tensor of_add(Graph *g) { return add(g, add(g, rows_of(g), weight(g, "d", "bias")), rows_of(g)); }
static inline Tensor of_scale(Graph *g) { return scale(g, projected(g, "fd", "up"), 0.75); }
static inline Tensor of_chosen_scale(Graph *g) {
    return chosen_scale(g, projected(g, "ld", "down"), input(g, "adapters", "t"),
                        &(ChosenRanks){2, {{.first = 1, .count = 3, .factor = 0.75f}, {.first = 5, .count = 14, .factor = -2}}});
}
static inline Tensor of_scale_columns(Graph *g) {
    return scale_columns(g, projected(g, "(kgc)d", "q_proj"), weight(g, "(kgc)", "by"));
}
static inline Tensor of_select(Graph *g) { return select_rows(g, rows_of(g), input(g, "logit_rows", "r")); }
static inline Tensor of_argmax(Graph *g) { return argmax(g, logits_of(g)); }
static inline Tensor of_all_reduce(Graph *g) { /* a sum over split columns, which the partitioner finishes */
    return linear(g, of_silu_mul(g), weight(g, "df", "down"), NO_TENSOR);
}

/* ---- An op that only tests have ---------------------------------------------------------------------------------- */

/* A state: counts the steps, in a vector. */
static bool count_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = graph_node(g, n->in[1])->shape;
    return true;
}
static int64_t count_units(const Call *c) { return c->replica == 0 && call_rows(c) > 0; }
static void count_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t i = 0; first < last && i < c->in_width[1]; i++) c->out[i] = c->in[1][i] + 1;
}
static void count_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->width[1]; i++) c->out[i] = c->in[1][i] + 1;
}
static void count_stablehlo(Lower *l, const Node *n) {
    const char *type = lower_type(l, "f32", 1, lower_dim(l, n, 0)), *out = lower_out(l, n);
    lower_line(l, "%s_1 = stablehlo.constant dense<1.0> : %s", out, type);
    lower_line(l, "%s = stablehlo.add %s, %s_1 : %s", out, lower_in(l, n, 1), out, type);
}
static const OpRow count_row = {.name = "count", .factors = "~t!d,!d->!d", .shape = count_shape, .units = count_units,
                                .run = count_run, .reference = count_reference, .writes_state = true, .state_input = 1,
                                .stablehlo = count_stablehlo};

static inline Tensor of_count(Graph *g) {
    Tensor x = rows_of(g), steps = state(g, "d", TYPE_F32, "steps");
    return add(g, x, graph_op(g, &count_row, &(Node){.in = {x, steps}}));
}
#endif
