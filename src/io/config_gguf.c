/* config_gguf.c: GGUF metadata as a configuration. Keys as in ggml's docs/gguf.md, meanings as llama.cpp reads them. */
#include <math.h>
#include <string.h>
#include "config.h"
#include "config_check.h"
#include "gguf.h"

/* A file and the prefix of its keys. */
typedef struct Keys { const Gguf *gguf; const char *architecture; } Keys;

typedef struct Key { char text[96]; } Key;
static Key key_of(const Keys *s, const char *name) {
    Key key;
    snprintf(key.text, sizeof key.text, "%s.%s", s->architecture, name);
    return key;
}

/* The value of {architecture}.name, if it is there. */
static bool maybe_int(const Keys *s, const char *name, int64_t *out, Err *err) {
    Key key = key_of(s, name);
    return !gguf_find(s->gguf, key.text) || gguf_int(s->gguf, key.text, out, err);
}

static bool maybe_float(const Keys *s, const char *name, double *out, Err *err) {
    Key key = key_of(s, name);
    return !gguf_find(s->gguf, key.text) || gguf_float(s->gguf, key.text, out, err);
}

static bool need_int(const Keys *s, const char *name, int64_t *out, Err *err) {
    return gguf_int(s->gguf, key_of(s, name).text, out, err);
}

static bool is(GgufText text, const char *word) {
    return text.bytes == strlen(word) && !memcmp(text.data, word, text.bytes);
}

/* Ids past the vocabulary are none: no token can ever be one. */
static bool maybe_id(const Keys *s, const char *key, int64_t vocab, int32_t *out, Err *err) {
    int64_t id = -1;
    if (gguf_find(s->gguf, key) && !gguf_int(s->gguf, key, &id, err)) return false;
    *out = id >= 0 && id < vocab ? (int32_t)id : -1;
    return true;
}

static bool read_ids(ModelConfig *c, const Keys *s, Err *err) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    for (int i = 0; i < 2; i++) {
        int32_t id;
        if (!maybe_id(s, ends[i], c->vocab, &id, err)) return false;
        if (id >= 0 && (c->eos_count == 0 || c->eos[0] != id)) c->eos[c->eos_count++] = id;
    }
    return maybe_id(s, "tokenizer.ggml.bos_token_id", c->vocab, &c->bos, err) &&
           maybe_id(s, "tokenizer.ggml.padding_token_id", c->vocab, &c->pad, err);
}

/* The rows of the embedding: vocab_size and the list of tokens may lack the padding that the matrix has. */
static bool read_vocab(ModelConfig *c, const Keys *s, Err *err) {
    const GgufTensor *embed = gguf_tensor(s->gguf, "token_embd.weight");
    const GgufValue *tokens = gguf_find(s->gguf, "tokenizer.ggml.tokens");
    if (embed && embed->rank == 2) c->vocab = embed->dim[0];
    else if (gguf_find(s->gguf, key_of(s, "vocab_size").text)) return maybe_int(s, "vocab_size", &c->vocab, err);
    else if (tokens && tokens->count <= INT32_MAX) c->vocab = (int64_t)tokens->count;
    return true;
}

static bool read_sizes(ModelConfig *c, const Keys *s, Err *err) {
    int64_t value_length, experts = 0;
    if (!need_int(s, "block_count", &c->layers, err) || !need_int(s, "embedding_length", &c->hidden, err) ||
        !need_int(s, "feed_forward_length", &c->ffn, err) || !need_int(s, "context_length", &c->max_positions, err) ||
        !need_int(s, "attention.head_count", &c->heads, err) || !read_vocab(c, s, err))
        return false;
    c->kv_heads = c->heads;
    c->head_dim = c->heads > 0 ? c->hidden / c->heads : 0;
    if (!maybe_int(s, "attention.head_count_kv", &c->kv_heads, err) ||
        !maybe_int(s, "attention.key_length", &c->head_dim, err))
        return false;
    value_length = c->head_dim;
    if (!maybe_int(s, "attention.value_length", &value_length, err) || !maybe_int(s, "expert_count", &experts, err) ||
        !gguf_float(s->gguf, key_of(s, "attention.layer_norm_rms_epsilon").text, &c->rms_norm_eps, err))
        return false;
    if (value_length != c->head_dim)
        return err_set(err, "attention.value_length: expected %lld as attention.key_length, got %lld",
                       (long long)c->head_dim, (long long)value_length);
    return experts == 0 ||
           err_set(err, "expert_count: mixtures of experts are not supported, got %lld experts", (long long)experts);
}

/* A tensor of one f32 divisor per frequency. */
static bool read_divisors(const Gguf *gguf, const char *name, int64_t count, double *out, Err *err) {
    const GgufTensor *t = gguf_tensor(gguf, name);
    if (!t || t->rank != 1 || t->dim[0] != count || t->dtype != DTYPE_F32)
        return err_set(err, "tensor %s: expected %lld f32 numbers", name, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        float f;
        memcpy(&f, t->data + 4 * i, sizeof f);
        if (!(f > 0) || !isfinite(f))
            return err_set(err, "tensor %s: item %lld: expected a number > 0", name, (long long)i);
        out[i] = (double)f;
    }
    return true;
}

/* Llama 3 scaling is stored as its outcome, rope_freqs.weight: divisors for every length. LongRoPE has two tensors. */
static bool read_divisor_tensors(Rope *rope, const Gguf *gguf, Err *err) {
    bool one = gguf_tensor(gguf, "rope_freqs.weight") != NULL,
         two = gguf_tensor(gguf, "rope_factors_long.weight") != NULL;
    if (!one && !two) return rope->type != ROPE_LONGROPE || err_set(err, "tensor rope_factors_long.weight is missing");
    if (rope->type != ROPE_DEFAULT && rope->type != ROPE_LONGROPE)
        return err_set(err, "rope.scaling.type does not go with the tensor %s",
                       one ? "rope_freqs.weight" : "rope_factors_long.weight");
    rope->type = ROPE_LONGROPE;
    return read_divisors(gguf, one ? "rope_freqs.weight" : "rope_factors_short.weight", rope->dim / 2,
                         rope->short_factor, err) &&
           read_divisors(gguf, one ? "rope_freqs.weight" : "rope_factors_long.weight", rope->dim / 2, rope->long_factor,
                         err);
}

/* A factor without a type is linear scaling; 0 means none. YaRN's attention factor multiplies the one it implies. */
static bool read_scaling(Rope *rope, const Keys *s, Err *err) {
    GgufText type = {"", 0};
    Key key = key_of(s, "rope.scaling.type");
    double attention = 1, factor = 0;
    if (gguf_find(s->gguf, key.text) && !gguf_text(s->gguf, key.text, &type, err)) return false;
    if (!maybe_float(s, "rope.scale_linear", &factor, err) || !maybe_float(s, "rope.scaling.factor", &factor, err) ||
        !maybe_float(s, "rope.scaling.attn_factor", &attention, err) ||
        !maybe_float(s, "rope.scaling.yarn_attn_factor", &attention, err) ||
        !maybe_float(s, "rope.scaling.yarn_beta_fast", &rope->beta_fast, err) ||
        !maybe_float(s, "rope.scaling.yarn_beta_slow", &rope->beta_slow, err) ||
        !maybe_int(s, "rope.scaling.original_context_length", &rope->original_max, err))
        return false;
    if (is(type, "yarn")) rope->type = ROPE_YARN;
    else if (is(type, "longrope")) rope->type = ROPE_LONGROPE;
    else if (is(type, "linear") || is(type, "")) rope->type = factor != 0 && factor != 1 ? ROPE_LINEAR : ROPE_DEFAULT;
    else if (!is(type, "none"))
        return err_set(err, "rope.scaling.type: expected none, linear, yarn or longrope, got %s",
                       name_text(type.data, type.bytes).text);
    if (rope->type == ROPE_YARN || rope->type == ROPE_LINEAR) rope->factor = factor;
    if (!(attention >= 0) || !isfinite(attention))
        return err_set(err, "rope.scaling.attn_factor: expected a number >= 0, got %g", attention);
    if (rope->type == ROPE_YARN) attention *= rope_yarn_mscale(rope->factor, 1);
    if (rope->type == ROPE_YARN || rope->type == ROPE_LONGROPE) rope->attention_factor = attention;
    return true;
}

static bool read_rope(ModelConfig *c, const Keys *s, Err *err) {
    Rope *rope = &c->rope;
    *rope = (Rope){.type = ROPE_DEFAULT, .theta = 10000, .factor = 1, .dim = c->head_dim,
                   .max_positions = c->max_positions, .original_max = c->max_positions,
                   .attention_factor = 1, .beta_fast = 32, .beta_slow = 1, .truncate = true};
    return maybe_float(s, "rope.freq_base", &rope->theta, err) &&
           maybe_int(s, "rope.dimension_count", &rope->dim, err) && read_scaling(rope, s, err) &&
           rope_check(rope, c, "GGUF", err) && read_divisor_tensors(rope, s->gguf, err);
}

bool config_read_gguf(ModelConfig *c, const ConfigKeys *f, const Gguf *gguf, Err *err) {
    int64_t window = 0, parts = 1;
    if (gguf_find(gguf, "split.count") && !gguf_int(gguf, "split.count", &parts, err)) return false;
    if (parts > 1)
        return err_set(err, "one of %lld parts: join them first with llama-gguf-split --merge", (long long)parts);
    Keys s = {gguf, c->architecture};
    c->qk_norm = f->qk_norm;
    if (!read_sizes(c, &s, err) || !config_check(c, "GGUF", err) || !read_ids(c, &s, err) || !read_rope(c, &s, err))
        return false;
    c->tied = !gguf_tensor(gguf, "output.weight");
    c->qkv_bias = gguf_tensor(gguf, "blk.0.attn_q.bias") != NULL;
    c->o_bias = gguf_tensor(gguf, "blk.0.attn_output.bias") != NULL;
    c->mlp_bias = gguf_tensor(gguf, "blk.0.ffn_down.bias") != NULL;
    if (f->window_gguf && !maybe_int(&s, "attention.sliding_window", &window, err)) return false;
    if (window < 0 || window > INT32_MAX)
        return err_set(err, "attention.sliding_window: expected 0 to 2^31 - 1, got %lld", (long long)window);
    for (int64_t i = 0; i < c->layers; i++) c->window[i] = window;
    return true;
}
