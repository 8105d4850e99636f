/* decoder.c: Qwen2 and Qwen2.5; with other biases and windows Llama and Mistral; with norms of queries and keys Qwen3:
 * the whole forward pass. Read this file first. Weights carry the checkpoint's own names, so loading needs no map;
 * their axes give shape, sharding and loader. Source: Qwen2 technical report (Yang et al. 2024) and the published
 * checkpoints. */
#include "decoder.h"

/* weight `part` of a layer; its bias, if the model has one */
#define W(part, axes) weight(g, axes, "model.layers.%d." part ".weight", layer)
#define B(part, axes, has) ((has) ? weight(g, axes, "model.layers.%d." part ".bias", layer) : NO_TENSOR)

static Tensor attention_block(Graph *g, const ModelConfig *c, int layer, Tensor x, Tensor table) {
    Tensor h = rms_norm(g, x, W("input_layernorm", "d"), c->rms_norm_eps);
    Tensor q = linear(g, h, W("self_attn.q_proj", "(kgc)d"), B("self_attn.q_proj", "(kgc)", c->qkv_bias));
    Tensor k = linear(g, h, W("self_attn.k_proj", "(kc)d"), B("self_attn.k_proj", "(kc)", c->qkv_bias));
    Tensor v = linear(g, h, W("self_attn.v_proj", "(kc)d"), B("self_attn.v_proj", "(kc)", c->qkv_bias));
    if (c->qk_norm) {
        q = head_norm(g, q, W("self_attn.q_norm", "c"), c->rms_norm_eps);
        k = head_norm(g, k, W("self_attn.k_norm", "c"), c->rms_norm_eps);
    }
    Tensor cache = cache_update(g, rope(g, k, table), v, state(g, "s(kc)", TYPE_CACHE, "cache.%d", layer));
    Tensor a = attention(g, rope(g, q, table), cache, c->window[layer]);
    Tensor o = linear(g, a, W("self_attn.o_proj", "d(kgc)"), NO_TENSOR); /* partial sums: all-reduce 1 */
    if (c->o_bias) o = add(g, o, B("self_attn.o_proj", "d", true));
    return add(g, x, o);
}

static Tensor mlp_block(Graph *g, const ModelConfig *c, int layer, Tensor x) {
    Tensor h = rms_norm(g, x, W("post_attention_layernorm", "d"), c->rms_norm_eps);
    Tensor gate = linear(g, h, W("mlp.gate_proj", "fd"), B("mlp.gate_proj", "f", c->mlp_bias));
    Tensor up = linear(g, h, W("mlp.up_proj", "fd"), B("mlp.up_proj", "f", c->mlp_bias));
    Tensor down = linear(g, silu_mul(g, gate, up), W("mlp.down_proj", "df"), NO_TENSOR); /* all-reduce 2 */
    if (c->mlp_bias) down = add(g, down, B("mlp.down_proj", "d", true));
    return add(g, x, down);
}

bool decoder_graph(ModelGraph *m, const ModelConfig *c, int64_t rows, int64_t context, bool hidden, Err *err) {
    *m = (ModelGraph){0};
    Graph *g = &m->graph;
    graph_init(g, c, rows, context);
    m->tokens = input(g, "tokens", "t");
    m->positions = input(g, "positions", "t");
    m->logit_rows = input(g, "logit_rows", "r");

    Tensor embeddings = weight(g, "vd", "model.embed_tokens.weight");
    Tensor table = rope_table(g, m->positions, &c->rope);
    Tensor x = embed(g, m->tokens, embeddings);
    for (int layer = 0; layer < c->layers; layer++) {
        if (hidden) output_add(&m->outputs, g, x, "hidden.%d", layer);
        x = attention_block(g, c, layer, x, table);
        x = mlp_block(g, c, layer, x);
        if (graph_node(g, x)) graph_node(g, x)->cut = true;
    }
    Tensor gain = weight(g, "d", "model.norm.weight");
    if (hidden) output_add(&m->outputs, g, rms_norm(g, x, gain, c->rms_norm_eps), "hidden.%d", (int)c->layers);
    x = rms_norm(g, select_rows(g, x, m->logit_rows), gain, c->rms_norm_eps);
    head_add(&m->outputs, g, c, x, embeddings);
    if (!g->err.kind) return true;
    err_set(err, "model graph: %s", g->err.text);
    model_graph_free(m);
    return false;
}
