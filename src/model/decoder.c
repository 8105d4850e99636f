/* decoder.c: Qwen2 and Qwen2.5; with other biases and windows Llama and Mistral; with norms of queries and keys Qwen3:
 * the whole forward pass. Read this file first. Weights carry the checkpoint's own names, so loading needs no map;
 * their axes give shape, sharding and loader. Source: Qwen2 technical report (Yang et al. 2024) and the published
 * checkpoints. */
#include "blocks.h"
#include "decoder.h"

/* weight `part` of a layer; a linear of it, with its bias if the model has one */
#define W(part, axes) weight(g, axes, "model.layers.%d." part ".weight", layer)
#define DENSE(x, out, in, bias, part) dense(g, c, x, out, in, bias, "model.layers.%d." part, layer)

/* Of a step of whole sequences the layers share one, one after the other. */
static Tensor cache_of(Graph *g, int layer) { return state(g, "s(kc)", TYPE_CACHE, "cache.%d", g->trains ? 0 : layer); }

static Tensor attention_block(Graph *g, const ModelConfig *c, int layer, Tensor x, Tensor table) {
    Tensor h = rms_norm(g, x, W("input_layernorm", "d"), c->rms_norm_eps);
    Tensor q = DENSE(h, "(kgc)", "d", c->qkv_bias, "self_attn.q_proj");
    Tensor k = DENSE(h, "(kc)", "d", c->qkv_bias, "self_attn.k_proj");
    Tensor v = DENSE(h, "(kc)", "d", c->qkv_bias, "self_attn.v_proj");
    if (c->qk_norm) {
        q = head_norm(g, q, W("self_attn.q_norm", "c"), c->rms_norm_eps);
        k = head_norm(g, k, W("self_attn.k_norm", "c"), c->rms_norm_eps);
    }
    Tensor cache = cache_update(g, rope(g, k, table), v, cache_of(g, layer));
    Tensor a = attention(g, rope(g, q, table), cache, c->window[layer]);
    Tensor o = DENSE(a, "d", "(kgc)", c->o_bias, "self_attn.o_proj"); /* partial sums: all-reduce 1 */
    return add(g, x, o);
}

static Tensor mlp_block(Graph *g, const ModelConfig *c, int layer, Tensor x) {
    Tensor h = rms_norm(g, x, W("post_attention_layernorm", "d"), c->rms_norm_eps);
    Tensor gate = DENSE(h, "f", "d", c->mlp_bias, "mlp.gate_proj");
    Tensor up = DENSE(h, "f", "d", c->mlp_bias, "mlp.up_proj");
    W("mlp.down_proj", "df"); /* before silu_mul: nodes keep their order, and compiled programs, kept by text, theirs */
    Tensor down = DENSE(silu_mul(g, gate, up), "d", "f", c->mlp_bias, "mlp.down_proj"); /* all-reduce 2 */
    return add(g, x, down);
}

bool decoder_graph(ModelGraph *m, const ModelConfig *c, int64_t rows, int64_t context, int use, Err *err) {
    bool hidden = use & USE_HIDDEN;
    *m = (ModelGraph){0};
    Graph *g = &m->graph;
    graph_init(g, c, rows, context);
    g->trains = use & USE_TRAINING;
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
    if (g->trains) g->stage = STAGE_HEAD;
    x = rms_norm(g, select_rows(g, x, m->logit_rows), gain, c->rms_norm_eps);
    head_add(&m->outputs, g, c, x, embeddings);
    if (!g->err.kind) return true;
    err_set(err, "model graph: %s", g->err.text);
    model_graph_free(m);
    return false;
}
