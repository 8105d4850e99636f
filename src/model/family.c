/* family.c: THE TABLE of families, and what follows from a row. Defaults are those of transformers 5
 * (configuration_*.py), names those of transformers and of llama.cpp's src/llama-arch.cpp. */
#include <string.h>
#include "../base/watch.h"
#include "../io/config_check.h"
#include "adapters.h"
#include "decoder.h"
#include "family.h"

/* ---- What the decoders share ------------------------------------------------------------------------------------ */

static const NamePair outer[] = {
    {"token_embd", "model.embed_tokens", ROWS_PLAIN}, {"output_norm", "model.norm", ROWS_PLAIN},
    {"output", "lm_head", ROWS_PLAIN},                {NULL, NULL, ROWS_PLAIN},
};
static const NamePair layer[] = {
    {"attn_norm", "input_layernorm", ROWS_PLAIN},
    {"attn_q", "self_attn.q_proj", ROWS_OF_HEADS},
    {"attn_k", "self_attn.k_proj", ROWS_OF_KV_HEADS},
    {"attn_v", "self_attn.v_proj", ROWS_PLAIN},
    {"attn_q_norm", "self_attn.q_norm", ROWS_PLAIN},
    {"attn_k_norm", "self_attn.k_norm", ROWS_PLAIN},
    {"attn_output", "self_attn.o_proj", ROWS_PLAIN},
    {"ffn_norm", "post_attention_layernorm", ROWS_PLAIN},
    {"ffn_gate", "mlp.gate_proj", ROWS_PLAIN},
    {"ffn_up", "mlp.up_proj", ROWS_PLAIN},
    {"ffn_down", "mlp.down_proj", ROWS_PLAIN},
    {NULL, NULL, ROWS_PLAIN},
};
static const TensorNames plain_rows = {outer, layer, "model.layers.", .permuted = false};
static const TensorNames permuted_rows = {outer, layer, "model.layers.", .permuted = true};
static const char *const decoder_spare[] = {".rotary_emb.inv_freq", "rope_freqs.weight", NULL};

#define DECODER                                                                                                        \
    .embedding = "model.embed_tokens.weight", .head = "lm_head.weight",                                                \
    .typical = "model.layers.0.mlp.down_proj.weight", .spare = decoder_spare, .graph = decoder_graph

/* ---- The table -------------------------------------------------------------------------------------------------- */

/* GGUF lacks the switch of Qwen's window; released models have it off. */
static const Family qwen2 = {
    .name = "qwen2", .gguf = "qwen2", .classes = "Qwen2", .names = &plain_rows, DECODER,
    .keys = {.kv_heads = 32, .max_positions = 32768, .bos = -1, .eos = -1, .qkv_bias = true,
             .window = 4096, .window_switch = true},
    .tokenizer = {PREFIX_BY_CONFIG, "qwen2", 0},
};
static const Family qwen3 = {
    .name = "qwen3", .gguf = "qwen3", .classes = "Qwen3", .names = &plain_rows, DECODER,
    .keys = {.kv_heads = 32, .max_positions = 32768, .head_dim = 128, .bos = -1, .eos = -1, .attention_bias = true,
             .qk_norm = true, .window = 4096, .window_switch = true},
    .tokenizer = {PREFIX_BY_CONFIG, "qwen2", 0},
};
static const Family llama = {
    .name = "llama", .gguf = "llama", .divisors = true, .classes = "Llama", .names = &permuted_rows, DECODER,
    .keys = {.max_positions = 2048, .bos = 1, .eos = 2, .attention_bias = true, .mlp_bias = true,
             .window_gguf = true},
    .tokenizer = {PREFIX_BY_CLASS, "llama-bpe", 128000}, /* Llama 3 has as many tokens, its forerunners fewer */
};
/* In GGUF it is written as llama, with its window. */
static const Family mistral = {
    .name = "mistral", .classes = "Mistral", .names = &permuted_rows, DECODER,
    .keys = {.kv_heads = 8, .max_positions = 131072, .bos = 1, .eos = 2, .window = 4096},
    .tokenizer = {PREFIX_BY_FILE, NULL, 0},
};

const Family *const families[] = {&qwen2, &qwen3, &llama, &mistral, NULL};

const Family *family_find(const char *name, size_t bytes, bool gguf) {
    for (const Family *const *f = families; *f; f++) {
        const char *own = gguf ? (*f)->gguf : (*f)->name;
        if (own && strlen(own) == bytes && !memcmp(own, name, bytes)) return *f;
    }
    return NULL;
}

const Family *family_of(const ModelConfig *config) {
    return family_find(config->architecture, strlen(config->architecture), false);
}

/* The family of that name, which becomes the configuration's; NULL and an error. */
static const Family *family_take(ModelConfig *c, const char *name, size_t bytes, bool gguf, const char *key,
                                 Err *err) {
    const Family *f = name ? family_find(name, bytes, gguf) : NULL;
    char list[128] = "";
    *c = (ModelConfig){0};
    for (const Family *const *each = families; !f && *each; each++) {
        const char *own = gguf ? (*each)->gguf : (*each)->name;
        if (own) snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "", own);
    }
    if (f) snprintf(c->architecture, sizeof c->architecture, "%s", f->name);
    else err_set(err, "%s: expected one of %s, got %s", key, list, name ? name_text(name, bytes).text : "nothing");
    return f;
}

/* ---- Configuration ---------------------------------------------------------------------------------------------- */

static bool from_root(ModelConfig *config, const json_t *root, const char *where, Err *err) {
    const char *type = NULL;
    if (!json_get_text(root, "model_type", where, &type, err)) return false;
    const Family *f = family_take(config, type, type ? strlen(type) : 0, false, "model_type", err);
    if (!f) err_prefix(err, "%s", where);
    return f && config_read_json(config, &f->keys, root, where, err);
}

bool config_from_json(ModelConfig *config, const char *data, size_t bytes, const char *where, Err *err) {
    json_t *root = json_text(data, bytes, where, err);
    bool ok = root && from_root(config, root, where, err);
    json_decref(root);
    return ok;
}

bool config_from_gguf(ModelConfig *config, const Gguf *gguf, Err *err) {
    GgufText name = {0};
    if (!gguf_text(gguf, "general.architecture", &name, err)) return false;
    const Family *f = family_take(config, name.data, name.bytes, true, "general.architecture", err);
    return f && config_read_gguf(config, &f->keys, gguf, err);
}

static bool from_config_json(ModelConfig *config, Source *source, const json_t *root, const char *where, Err *err) {
    if (!from_root(config, root, where, err)) return false;
    config_keys_warn(root, where);
    if (config->eos_count > 0) return true;
    return source_json(source, "generation_config.json", &root, &where, err) &&
           (!root || config_read_eos(config, json_object_get(root, "eos_token_id"), where, err));
}

static bool from_gguf(ModelConfig *config, const Source *source, const Gguf *gguf, Err *err) {
    const Packed *packed = source_packed(source);
    const char *path = gguf->file.path ? gguf->file.path : source_path(source);
    if (!config_from_gguf(config, gguf, err)) return err_prefix(err, "%s", path), false;
    /* The weights of a packed file are not with the keys. */
    if (packed) config->tied = !packed_find(packed, SECTION_PANELS, family_of(config)->head);
    return true;
}

bool config_load(ModelConfig *config, Source *source, Err *err) {
    const json_t *root;
    const Gguf *gguf;
    const char *where;
    *config = (ModelConfig){0};
    if (!source_json(source, "config.json", &root, &where, err)) return false;
    if (root) return from_config_json(config, source, root, where, err);
    if (!source_gguf(source, &gguf, err)) return false;
    if (gguf) return from_gguf(config, source, gguf, err);
    return source_packed(source) ? err_set(err, "%s holds no configuration: looked for config.json and metadata.gguf",
                                           source_path(source))
                                 : err_set(err, "%s holds no model: looked for config.json and *.gguf",
                                           source_path(source));
}

/* ---- Weights ---------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), e = strlen(ending);
    return n >= e && !strcmp(name + n - e, ending);
}

Weights *model_weights(const ModelConfig *config, Source *source, Err *err) {
    const Family *f = family_of(config);
    bool headless = config->tied || config->head != HEAD_CAUSAL; /* and yet the file may have one */
    Weights *w = weights_open(source, f->names, err);
    for (int64_t i = 0; w && i < weights_count(w); i++) {
        WeightTensor *t = weights_at(w, i);
        t->used = headless && !strcmp(t->name, f->head);
        for (const char *const *spare = f->spare; *spare; spare++) t->used = t->used || ends_with(t->name, *spare);
    }
    return w;
}

void config_untie(ModelConfig *config, Weights *weights) {
    const Family *f = family_of(config);
    WeightTensor *head = NULL, *embedding = NULL;
    for (int64_t i = 0; config->tied && i < weights_count(weights); i++) {
        WeightTensor *t = weights_at(weights, i);
        if (!strcmp(t->name, f->head)) head = t;
        if (!strcmp(t->name, f->embedding)) embedding = t;
    }
    if (!head || !embedding || head->rank != embedding->rank || memcmp(head->dim, embedding->dim, sizeof head->dim))
        return;
    if (!weights_packed(weights)) { /* packing kept the head only if it differed */
        if (head->dtype == embedding->dtype && head->bytes == embedding->bytes &&
            !memcmp(head->data, embedding->data, head->bytes))
            return;
        watch_say(QM_WARNING, "tie_word_embeddings is true, but %s differs from the embedding: it is used, and they "
                              "are not tied", f->head);
    }
    config->tied = false;
}

/* ---- Graph ------------------------------------------------------------------------------------------------------ */

bool model_graph(ModelGraph *m, const ModelConfig *c, int64_t rows, int64_t context, int use, Err *err) {
    const Family *f = family_of(c);
    *m = (ModelGraph){0};
    if (!f) return err_as(err, QM_INTERNAL, "model graph: there is no family '%s'", c->architecture);
    if (!f->graph(m, c, rows, context, use, err)) return false;
    if (adapters_fit(c->adapters, &m->graph, err)) return true;
    model_graph_free(m);
    return false;
}
