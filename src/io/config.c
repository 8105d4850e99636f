/* config.c: config.json and GGUF metadata into one ModelConfig, checked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "gguf.h"
#include "json.h"

enum { MAX_CONFIG_BYTES = 4 << 20 };
static const double MAX_SIZE = 1 << 24;

int64_t config_group(const ModelConfig *c) { return c->heads / c->kv_heads; }

int64_t config_parameters(const ModelConfig *c) {
    int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, d = c->hidden;
    int64_t layer = d * (2 * q + 2 * kv) + 3 * d * c->ffn + 2 * d;
    if (c->qkv_bias) layer += q + 2 * kv;
    if (c->o_bias) layer += d;
    if (c->mlp_bias) layer += 2 * c->ffn + d;
    return c->layers * layer + c->vocab * d * (c->tied ? 1 : 2) + d;
}

static bool check(const ModelConfig *c, const char *where, Err *err) {
    const struct { const char *name; int64_t value, high; } sizes[] = {
        {"num_hidden_layers", c->layers, MAX_LAYERS}, {"hidden_size", c->hidden, 1 << 20}, {"intermediate_size", c->ffn, 1 << 22},
        {"vocab_size", c->vocab, 1 << 24}, {"num_attention_heads", c->heads, 4096}, {"num_key_value_heads", c->kv_heads, 4096},
        {"head_dim", c->head_dim, MAX_HEAD_DIM}, {"max_position_embeddings", c->max_positions, (int64_t)1 << 31},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].high)
            return err_set(err, "%s: %s: expected 1 to %lld, got %lld", where, sizes[i].name, (long long)sizes[i].high, (long long)sizes[i].value);
    if (c->heads % c->kv_heads)
        return err_set(err, "%s: %lld query heads are no multiple of %lld key/value heads", where, (long long)c->heads, (long long)c->kv_heads);
    if (c->head_dim % 2 || c->rope.dim % 2 || c->rope.dim < 2 || c->rope.dim > c->head_dim)
        return err_set(err, "%s: rotary dimensions: expected an even number up to head_dim %lld, got %lld", where, (long long)c->head_dim, (long long)c->rope.dim);
    if (!(c->rms_norm_eps > 0 && c->rms_norm_eps < 1)) return err_set(err, "%s: rms_norm_eps: expected 0 to 1, got %g", where, c->rms_norm_eps);
    if (!(c->rope.theta > 0)) return err_set(err, "%s: rope_theta: expected more than 0, got %g", where, c->rope.theta);
    return true;
}

/* ---- Rope ------------------------------------------------------------------------------------------------------------ */

static bool factor_list(const json_t *o, const char *key, int64_t want, const char *where, double *out, Err *err) {
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list) || (int64_t)json_array_size(list) != want)
        return err_set(err, "%s: %s: expected a list of %lld numbers", where, key, (long long)want);
    for (size_t i = 0; i < json_array_size(list); i++) {
        out[i] = json_number_value(json_array_get(list, i));
        if (!(out[i] > 0)) return err_set(err, "%s: %s[%zu]: expected a number above 0", where, key, i);
    }
    return true;
}

static double yarn_scale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

static bool need(const json_t *o, const char *key, const char *type, const char *where, Err *err) {
    return json_is_number(json_object_get(o, key)) || err_set(err, "%s: rope type %s needs the number %s", where, type, key);
}

/* The one object that describes rope: rope_parameters, or rope_scaling with rope_theta beside it. */
static bool rope_from_json(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    static const char *const types[] = {"default", "linear", "dynamic", "yarn", "longrope", "llama3"};
    Rope *r = &c->rope;
    *r = (Rope){.theta = 10000, .factor = 1, .attention_factor = 1, .beta_fast = 32, .beta_slow = 1, .truncate = true,
                .low_freq_factor = 1, .high_freq_factor = 4, .max_positions = c->max_positions};
    const json_t *o = json_object_get(root, "rope_parameters");
    if (!json_is_object(o)) o = json_object_get(root, "rope_scaling");
    const json_t *full = json_is_object(o) ? json_object_get(o, "full_attention") : NULL;
    if (json_is_object(full)) {
        const json_t *sliding = json_object_get(o, "sliding_attention");
        if (sliding && !json_equal(full, sliding)) return err_set(err, "%s: rope_parameters that differ between layer types are not supported", where);
        o = full;
    }
    const char *type = "default";
    double partial = 1;
    if (!json_get_float(root, "rope_theta", where, 1e-9, 1e12, &r->theta, err) ||
        !json_get_float(root, "partial_rotary_factor", where, 1e-9, 1, &partial, err)) return false;
    if (json_is_object(o)) {
        if (!json_get_text(o, "type", where, &type, err) || !json_get_text(o, "rope_type", where, &type, err) ||
            !json_get_float(o, "rope_theta", where, 1e-9, 1e12, &r->theta, err) ||
            !json_get_float(o, "partial_rotary_factor", where, 1e-9, 1, &partial, err)) return false;
    }
    r->dim = (int64_t)((double)c->head_dim * partial);
    r->original_max = c->max_positions;
    int t = 0;
    while (t < 6 && strcmp(types[t], type)) t++;
    if (t == 6) return err_set(err, "%s: rope type '%.40s' is not supported: expected default, linear, dynamic, yarn, longrope or llama3", where, type);
    r->type = (RopeType)t;
    if (t == ROPE_DEFAULT) return true;
    if (t != ROPE_LONGROPE && !need(o, "factor", type, where, err)) return false;
    double mscale = 0, mscale_all = 0, attention = 0;
    if (!json_get_float(o, "factor", where, 1, 1e6, &r->factor, err) ||
        !json_get_int(o, "original_max_position_embeddings", where, 1, (int64_t)1 << 31, &r->original_max, err) ||
        !json_get_float(o, "attention_factor", where, 1e-6, 1e6, &attention, err) ||
        !json_get_float(o, "beta_fast", where, 1e-6, 1e6, &r->beta_fast, err) || !json_get_float(o, "beta_slow", where, 1e-6, 1e6, &r->beta_slow, err) ||
        !json_get_bool(o, "truncate", where, &r->truncate, err) || !json_get_float(o, "mscale", where, 0, 1e6, &mscale, err) ||
        !json_get_float(o, "mscale_all_dim", where, 0, 1e6, &mscale_all, err) ||
        !json_get_float(o, "low_freq_factor", where, 1e-6, 1e6, &r->low_freq_factor, err) ||
        !json_get_float(o, "high_freq_factor", where, 1e-6, 1e6, &r->high_freq_factor, err)) return false;
    if (t == ROPE_YARN) {
        if (r->beta_fast < r->beta_slow) return err_set(err, "%s: beta_fast %g is less than beta_slow %g", where, r->beta_fast, r->beta_slow);
        r->attention_factor = attention > 0 ? attention : mscale > 0 && mscale_all > 0 ? yarn_scale(r->factor, mscale) / yarn_scale(r->factor, mscale_all)
                                                                                      : yarn_scale(r->factor, 1);
    }
    if (t == ROPE_LLAMA3) {
        if (!need(o, "low_freq_factor", type, where, err) || !need(o, "high_freq_factor", type, where, err) ||
            !need(o, "original_max_position_embeddings", type, where, err)) return false;
        if (r->high_freq_factor <= r->low_freq_factor) return err_set(err, "%s: high_freq_factor must be above low_freq_factor", where);
    }
    if (t == ROPE_LONGROPE) {
        if (r->dim > MAX_HEAD_DIM || !factor_list(o, "short_factor", r->dim / 2, where, r->short_factor, err) ||
            !factor_list(o, "long_factor", r->dim / 2, where, r->long_factor, err))
            return err_set(err, "%s: bad longrope factors", where);
        if (!json_object_get(o, "factor")) r->factor = (double)c->max_positions / (double)r->original_max;
        r->attention_factor = attention > 0 ? attention : r->factor > 1 ? sqrt(1 + log(r->factor) / log((double)r->original_max)) : 1;
    }
    return true;
}

/* ---- config.json ----------------------------------------------------------------------------------------------------- */

static bool eos_from_json(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    const json_t *eos = json_object_get(root, "eos_token_id");
    if (!eos || json_is_null(eos)) return true;
    size_t n = json_is_array(eos) ? json_array_size(eos) : 1;
    if (n > MAX_EOS) return err_set(err, "%s: eos_token_id: expected at most %d ids, got %zu", where, MAX_EOS, n);
    c->eos_count = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= MAX_SIZE)
            return err_set(err, "%s: eos_token_id: expected an id or a list of ids", where);
        c->eos[c->eos_count++] = (int32_t)json_integer_value(id);
    }
    return true;
}

static bool windows_from_json(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    bool use = !strcmp(c->architecture, "mistral");
    int64_t window = use || strcmp(c->architecture, "qwen2") ? 0 : 4096, first = use ? 0 : 28;
    if (!strcmp(c->architecture, "llama")) return true;
    if (!json_get_bool(root, "use_sliding_window", where, &use, err) ||
        !json_get_int(root, "sliding_window", where, 0, (int64_t)1 << 31, &window, err) ||
        !json_get_int(root, "max_window_layers", where, 0, (int64_t)1 << 31, &first, err)) return false;
    if (json_is_null(json_object_get(root, "sliding_window"))) window = 0;
    if (!use) window = 0;
    const json_t *types = json_object_get(root, "layer_types");
    if (json_is_array(types) && (int64_t)json_array_size(types) != c->layers)
        return err_set(err, "%s: layer_types: expected %lld entries, got %zu", where, (long long)c->layers, json_array_size(types));
    for (int64_t i = 0; i < c->layers; i++) {
        bool slides = i >= first;
        if (json_is_array(types)) {
            const char *t = json_string_value(json_array_get(types, (size_t)i));
            slides = t && !strcmp(t, "sliding_attention");
            if (!t || (!slides && strcmp(t, "full_attention")))
                return err_set(err, "%s: layer_types[%lld]: expected full_attention or sliding_attention", where, (long long)i);
        }
        c->window[i] = slides ? window : 0;
    }
    return true;
}

static bool from_root(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    const char *type = NULL, *act = "silu";
    int64_t bos = -1, pad = -1;
    bool attention_bias = false;
    *c = (ModelConfig){.layers = 32, .hidden = 4096, .ffn = 22016, .vocab = 151936, .heads = 32, .max_positions = 32768,
                       .rms_norm_eps = 1e-6, .bos = -1, .pad = -1};
    if (!json_is_object(root)) return err_set(err, "%s: expected an object", where);
    if (!json_get_text(root, "model_type", where, &type, err)) return false;
    if (!type || (strcmp(type, "qwen2") && strcmp(type, "llama") && strcmp(type, "mistral")))
        return err_set(err, "%s: model_type '%.40s' is not supported: expected qwen2, llama or mistral", where, type ? type : "(none)");
    snprintf(c->architecture, sizeof c->architecture, "%s", type);
    bool qwen = !strcmp(type, "qwen2");
    if (!qwen) c->vocab = 32000, c->ffn = 11008, c->max_positions = 2048;
    const char *needed[] = {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"};
    for (size_t i = 0; i < 5; i++)
        if (!json_is_integer(json_object_get(root, needed[i]))) return err_set(err, "%s: %s is missing: expected an integer", where, needed[i]);
    if (!json_get_int(root, "hidden_size", where, 1, 1 << 20, &c->hidden, err) || !json_get_int(root, "intermediate_size", where, 1, 1 << 22, &c->ffn, err) ||
        !json_get_int(root, "num_hidden_layers", where, 1, MAX_LAYERS, &c->layers, err) || !json_get_int(root, "vocab_size", where, 1, 1 << 24, &c->vocab, err) ||
        !json_get_int(root, "num_attention_heads", where, 1, 4096, &c->heads, err) ||
        !json_get_int(root, "max_position_embeddings", where, 1, (int64_t)1 << 31, &c->max_positions, err) ||
        !json_get_float(root, "rms_norm_eps", where, 0, 1, &c->rms_norm_eps, err) || !json_get_bool(root, "tie_word_embeddings", where, &c->tied, err) ||
        !json_get_text(root, "hidden_act", where, &act, err) || !json_get_int(root, "bos_token_id", where, 0, 1 << 24, &bos, err) ||
        !json_get_int(root, "pad_token_id", where, -1, 1 << 24, &pad, err) || !json_get_bool(root, "attention_bias", where, &attention_bias, err) ||
        !json_get_bool(root, "mlp_bias", where, &c->mlp_bias, err)) return false;
    c->kv_heads = c->heads;
    if (!json_get_int(root, "num_key_value_heads", where, 1, 4096, &c->kv_heads, err)) return false;
    if (c->hidden % c->heads && !json_is_integer(json_object_get(root, "head_dim")))
        return err_set(err, "%s: hidden_size %lld is no multiple of %lld heads and there is no head_dim", where, (long long)c->hidden, (long long)c->heads);
    c->head_dim = c->hidden / c->heads;
    if (!json_get_int(root, "head_dim", where, 2, MAX_HEAD_DIM, &c->head_dim, err)) return false;
    if (strcmp(act, "silu") && strcmp(act, "swish")) return err_set(err, "%s: hidden_act '%.40s' is not supported: expected silu", where, act);
    c->bos = (int32_t)bos;
    c->pad = (int32_t)pad;
    c->qkv_bias = qwen || attention_bias;
    c->o_bias = !qwen && attention_bias;
    return eos_from_json(c, root, where, err) && windows_from_json(c, root, where, err) && rope_from_json(c, root, where, err) && check(c, where, err);
}

bool config_from_json(ModelConfig *c, const char *data, size_t bytes, const char *where, Err *err) {
    json_t *root = json_text(data, bytes, where, err);
    bool ok = root && from_root(c, root, where, err);
    json_decref(root);
    return ok;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------------- */

static bool opt_int(const Gguf *g, const char *arch, const char *name, int64_t *out, Err *err) {
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch, name);
    return !gguf_find(g, key) || gguf_int(g, key, out, err);
}

static bool opt_float(const Gguf *g, const char *arch, const char *name, double *out, Err *err) {
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch, name);
    return !gguf_find(g, key) || gguf_float(g, key, out, err);
}

static bool rope_from_gguf(ModelConfig *c, const Gguf *g, const char *arch, Err *err) {
    Rope *r = &c->rope;
    *r = (Rope){.theta = 10000, .factor = 1, .attention_factor = 1, .beta_fast = 32, .beta_slow = 1, .truncate = true, .dim = c->head_dim,
                .low_freq_factor = 1, .high_freq_factor = 4, .max_positions = c->max_positions, .original_max = c->max_positions};
    char key[96];
    GgufText type = {"none", 4};
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (gguf_find(g, key) && !gguf_text(g, key, &type, err)) return false;
    if (!opt_float(g, arch, ".rope.freq_base", &r->theta, err) || !opt_int(g, arch, ".rope.dimension_count", &r->dim, err) ||
        !opt_float(g, arch, ".rope.scaling.factor", &r->factor, err) ||
        !opt_int(g, arch, ".rope.scaling.original_context_length", &r->original_max, err)) return false;
    if (type.bytes == 6 && !memcmp(type.data, "linear", 6)) r->type = ROPE_LINEAR;
    else if (type.bytes == 4 && !memcmp(type.data, "yarn", 4)) r->type = ROPE_YARN, r->attention_factor = yarn_scale(r->factor, 1);
    else if (type.bytes != 4 || memcmp(type.data, "none", 4))
        return err_set(err, "GGUF: %s %s is not supported: expected none, linear or yarn", key, name_text(type.data, type.bytes).text);
    if (r->type != ROPE_DEFAULT && !(r->factor >= 1 && r->original_max >= 1)) return err_set(err, "GGUF: rope scaling factor: expected 1 or more, got %g", r->factor);
    const GgufTensor *divisors = gguf_tensor(g, "rope_freqs.weight");
    if (!divisors) return true;
    float value[MAX_HEAD_DIM / 2];
    if (divisors->dtype != DTYPE_F32 || divisors->rank != 1 || divisors->dim[0] != r->dim / 2 || r->dim > MAX_HEAD_DIM)
        return err_set(err, "GGUF: rope_freqs.weight: expected %lld f32 numbers", (long long)(r->dim / 2));
    memcpy(value, divisors->data, divisors->bytes);
    r->type = ROPE_LONGROPE; /* llama3 scaling as it is stored: one divisor per frequency, whatever the length */
    for (int64_t i = 0; i < r->dim / 2; i++) {
        if (!(value[i] > 0)) return err_set(err, "GGUF: rope_freqs.weight[%lld]: expected a number above 0", (long long)i);
        r->short_factor[i] = r->long_factor[i] = (double)value[i];
    }
    return true;
}

bool config_from_gguf(ModelConfig *c, const Gguf *g, Err *err) {
    GgufText text;
    char arch[32], key[96];
    int64_t eos = -1, eot = -1, bos = -1, pad = -1, window = 0;
    *c = (ModelConfig){.bos = -1, .pad = -1, .rms_norm_eps = 1e-6};
    if (!gguf_text(g, "general.architecture", &text, err)) return false;
    snprintf(arch, sizeof arch, "%.*s", (int)(text.bytes < 31 ? text.bytes : 31), text.data);
    if (strcmp(arch, "qwen2") && strcmp(arch, "llama"))
        return err_set(err, "GGUF: architecture '%s' is not supported: expected qwen2 or llama", name_text(arch, strlen(arch)).text);
    snprintf(c->architecture, sizeof c->architecture, "%s", arch);
    const struct { const char *name; int64_t *out; } needed[] = {
        {".block_count", &c->layers}, {".embedding_length", &c->hidden}, {".feed_forward_length", &c->ffn},
        {".attention.head_count", &c->heads}, {".context_length", &c->max_positions}};
    for (size_t i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%s%s", arch, needed[i].name);
        if (!gguf_int(g, key, needed[i].out, err)) return false;
    }
    c->kv_heads = c->heads;
    const GgufTensor *embeddings = gguf_tensor(g, "token_embd.weight");
    if (!embeddings || embeddings->rank != 2) return err_set(err, "GGUF: tensor token_embd.weight [vocabulary, hidden] is missing");
    c->vocab = embeddings->dim[0];
    if (c->heads < 1) return err_set(err, "GGUF: %s.attention.head_count: expected 1 or more", arch);
    c->head_dim = c->hidden / c->heads;
    if (!opt_int(g, arch, ".attention.head_count_kv", &c->kv_heads, err) || !opt_int(g, arch, ".attention.key_length", &c->head_dim, err) ||
        !opt_float(g, arch, ".attention.layer_norm_rms_epsilon", &c->rms_norm_eps, err) ||
        !opt_int(g, arch, ".attention.sliding_window", &window, err) || !opt_int(g, "tokenizer", ".ggml.bos_token_id", &bos, err) ||
        !opt_int(g, "tokenizer", ".ggml.eos_token_id", &eos, err) || !opt_int(g, "tokenizer", ".ggml.eot_token_id", &eot, err) ||
        !opt_int(g, "tokenizer", ".ggml.padding_token_id", &pad, err) || !rope_from_gguf(c, g, arch, err)) return false;
    c->tied = !gguf_tensor(g, "output.weight");
    c->qkv_bias = gguf_tensor(g, "blk.0.attn_q.bias") != NULL;
    c->o_bias = gguf_tensor(g, "blk.0.attn_output.bias") != NULL;
    c->bos = bos >= 0 && bos < c->vocab ? (int32_t)bos : -1;
    c->pad = pad >= 0 && pad < c->vocab ? (int32_t)pad : -1;
    if (eos >= 0 && eos < c->vocab) c->eos[c->eos_count++] = (int32_t)eos;
    if (eot >= 0 && eot < c->vocab && eot != eos) c->eos[c->eos_count++] = (int32_t)eot;
    if (!check(c, "GGUF", err)) return false;
    for (int64_t i = 0; i < c->layers; i++) c->window[i] = window > 0 ? window : 0;
    return true;
}

/* ---- Where it is -------------------------------------------------------------------------------------------------------- */

static bool load_json(ModelConfig *c, const char *path, Err *err) {
    size_t bytes;
    char *data = file_read(path, MAX_CONFIG_BYTES, &bytes, err);
    bool ok = data && config_from_json(c, data, bytes, path, err);
    free(data);
    return ok;
}

/* generation_config.json may know end-of-sequence ids that config.json does not. */
static bool load_folder(ModelConfig *c, const char *folder, Err *err) {
    char *config = path_join(folder, "config.json", err), *generation = path_join(folder, "generation_config.json", err);
    bool ok = config && generation && load_json(c, config, err);
    if (ok && c->eos_count == 0 && file_exists(generation)) {
        json_t *root = json_file(generation, MAX_CONFIG_BYTES, err);
        ok = root && eos_from_json(c, root, generation, err);
        json_decref(root);
    }
    free(config);
    free(generation);
    return ok;
}

static bool load_gguf(ModelConfig *c, const char *path, Err *err) {
    Gguf g;
    if (!gguf_open(&g, path, err)) return false;
    bool ok = config_from_gguf(c, &g, err);
    if (!ok) err_prefix(err, "%s", path);
    gguf_close(&g);
    return ok;
}

bool config_load(ModelConfig *c, const char *path, Err *err) {
    if (!folder_exists(path)) return gguf_is(path) ? load_gguf(c, path, err) : load_json(c, path, err);
    char *json = path_join(path, "config.json", err), *gguf = NULL;
    if (!json) return false;
    bool ok = file_exists(json) ? load_folder(c, path, err) : (gguf = gguf_in_folder(path, err)) ? load_gguf(c, gguf, err) : false;
    if (!ok) err_set(err, "%s holds no config.json and no .gguf file", path);
    free(json);
    free(gguf);
    return ok;
}
