/* config_write.c: see config_write.h. Keys are those that config.c and config_rope.c read; the rotary ones in the old
 * spelling, which every version of transformers takes. */
#include <stdlib.h>
#include <string.h>
#include "config_write.h"

const char *torch_dtype(DType dtype) {
    return dtype == DTYPE_BF16 ? "bfloat16" : dtype == DTYPE_F16 ? "float16" : "float32";
}

void config_class(const ModelConfig *c, char out[96]) {
    const Family *f = family_of(c);
    snprintf(out, 96, "%s%s", f ? f->classes : "", head_table[c->head].suffix);
}

/* GGUF keeps numbers in f32: the shortest text that reads back as the same f32 is the number that was meant. */
static double meant(double value) {
    char text[32];
    if ((double)(float)value != value) return value;
    for (int p = 1; p <= 9; p++) {
        snprintf(text, sizeof text, "%.*g", p, value);
        if (strtof(text, NULL) == (float)value) return strtod(text, NULL);
    }
    return value;
}

/* ---- Ids --------------------------------------------------------------------------------------------------------- */

static json_t *id_json(int32_t id) { return id < 0 ? json_null() : json_integer(id); }

static json_t *eos_json(const ModelConfig *c) {
    if (c->eos_count < 2) return c->eos_count ? json_integer(c->eos[0]) : json_null();
    json_t *list = json_array();
    for (int i = 0; i < c->eos_count; i++) json_array_append_new(list, json_integer(c->eos[i]));
    return list;
}

json_t *generation_to_json(const ModelConfig *c, Err *err) {
    json_t *root = json_object();
    bool ok = root && (c->bos < 0 || json_object_set_new(root, "bos_token_id", json_integer(c->bos)) == 0) &&
              (!c->eos_count || json_object_set_new(root, "eos_token_id", eos_json(c)) == 0) &&
              (c->pad < 0 || json_object_set_new(root, "pad_token_id", json_integer(c->pad)) == 0);
    if (ok) return root;
    json_decref(root);
    err_as(err, QM_MEMORY, "out of memory: generation_config.json");
    return NULL;
}

/* ---- Rotary embedding -------------------------------------------------------------------------------------------- */

static json_t *divisors(const double *list, int64_t count) {
    json_t *out = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(out, json_real(list[i]));
    return out;
}

static json_t *rope_json(const Rope *r) {
    json_int_t original = (json_int_t)r->original_max;
    switch (r->type) {
    case ROPE_LINEAR: return json_pack("{s:s, s:f}", "rope_type", "linear", "factor", r->factor);
    case ROPE_DYNAMIC: return json_pack("{s:s, s:f}", "rope_type", "dynamic", "factor", r->factor);
    case ROPE_YARN:
        return json_pack("{s:s, s:f, s:I, s:f, s:f, s:f, s:b}", "rope_type", "yarn", "factor", r->factor,
                         "original_max_position_embeddings", original, "attention_factor", r->attention_factor,
                         "beta_fast", r->beta_fast, "beta_slow", r->beta_slow, "truncate", r->truncate);
    case ROPE_LONGROPE:
        return json_pack("{s:s, s:f, s:I, s:f, s:o, s:o}", "rope_type", "longrope", "factor", r->factor,
                         "original_max_position_embeddings", original, "attention_factor", r->attention_factor,
                         "short_factor", divisors(r->short_factor, r->dim / 2), "long_factor",
                         divisors(r->long_factor, r->dim / 2));
    case ROPE_LLAMA3:
        return json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", r->factor, "low_freq_factor",
                         r->low_freq_factor, "high_freq_factor", r->high_freq_factor,
                         "original_max_position_embeddings", original);
    default: return json_null();
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* What a model may have and config.json cannot say of its family. */
static bool can_say(const ModelConfig *c, const ConfigKeys *f, Err *err) {
    for (int64_t i = 0; i < c->layers; i++)
        if (c->window[i] != (f->window && !f->window_switch ? c->window[0] : 0))
            return err_set(err, "a sliding window of %lld in layer %lld has no place in a config.json of %s",
                           (long long)c->window[i], (long long)i, c->architecture);
    if (f->attention_bias ? c->qkv_bias != c->o_bias : c->qkv_bias != f->qkv_bias || c->o_bias)
        return err_set(err, "biases of %s have no place in a config.json of %s",
                       c->qkv_bias ? "queries, keys and values alone" : "some projections alone", c->architecture);
    if (c->mlp_bias && !f->mlp_bias)
        return err_set(err, "biases of the feed-forward have no place in a config.json of %s", c->architecture);
    if (c->qk_norm != f->qk_norm)
        return err_set(err, "norms of queries and keys have no place in a config.json of %s", c->architecture);
    return c->rope.dim == c->head_dim ||
           err_set(err, "%lld rotary channels of %lld have no place in a config.json of %s", (long long)c->rope.dim,
                   (long long)c->head_dim, c->architecture);
}

static bool add_switches(json_t *root, const ModelConfig *c, const ConfigKeys *f) {
    bool ok = true;
    if (f->head_dim || c->head_dim * c->heads != c->hidden)
        ok = ok && json_object_set_new(root, "head_dim", json_integer(c->head_dim)) == 0;
    if (f->attention_bias) ok = ok && json_object_set_new(root, "attention_bias", json_boolean(c->qkv_bias)) == 0;
    if (f->mlp_bias) ok = ok && json_object_set_new(root, "mlp_bias", json_boolean(c->mlp_bias)) == 0;
    if (f->window_switch) ok = ok && json_object_set_new(root, "use_sliding_window", json_false()) == 0;
    if (f->window)
        ok = ok && json_object_set_new(root, "sliding_window",
                                       c->window[0] ? json_integer(c->window[0]) : json_null()) == 0;
    return ok;
}

json_t *config_to_json(const ModelConfig *c, DType dtype, Err *err) {
    const Family *f = family_of(c);
    char name[96];
    if (!f) return err_as(err, QM_INTERNAL, "there is no family '%s'", c->architecture), NULL;
    if (!can_say(c, &f->keys, err)) return NULL;
    config_class(c, name);
    json_t *root = json_pack(
        "{s:[s], s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:f, s:o, s:f, s:b, s:s, s:I}", "architectures",
        name, "bos_token_id", id_json(c->bos), "eos_token_id", eos_json(c), "pad_token_id", id_json(c->pad),
        "hidden_act", "silu", "hidden_size", (json_int_t)c->hidden, "intermediate_size", (json_int_t)c->ffn,
        "max_position_embeddings", (json_int_t)c->max_positions, "model_type", c->architecture, "num_attention_heads",
        (json_int_t)c->heads, "num_hidden_layers", (json_int_t)c->layers, "num_key_value_heads",
        (json_int_t)c->kv_heads, "rms_norm_eps", meant(c->rms_norm_eps), "rope_scaling", rope_json(&c->rope),
        "rope_theta", c->rope.theta, "tie_word_embeddings", c->tied, "torch_dtype", torch_dtype(dtype), "vocab_size",
        (json_int_t)c->vocab);
    if (root && add_switches(root, c, &f->keys)) return root;
    json_decref(root);
    err_as(err, QM_MEMORY, "out of memory: config.json");
    return NULL;
}
