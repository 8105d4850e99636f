/* config.c: config.json read and checked. Keys, defaults and derivations are those of transformers 5
 * (modeling_rope_utils.py); what a family leaves unsaid is in its ConfigKeys; both the old and the new spelling of the
 * rotary keys are read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "config_check.h"
#include "json.h"

static bool is_null(const json_t *root, const char *key) {
    return json_is_null(json_object_get(root, key));
}

/* A token id, or -1 for none: null, absent, negative, or past the vocabulary, where no token can ever be. */
static int32_t read_id(const json_t *value, int64_t vocab) {
    int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    return id >= 0 && id < vocab ? (int32_t)id : -1;
}

bool config_read_eos(ModelConfig *c, const json_t *value, const char *where, Err *err) {
    size_t count = json_is_array(value) ? json_array_size(value) : value && !json_is_null(value) ? 1 : 0;
    if (count > MAX_EOS)
        return err_as(err, QM_LIMIT, "%s: eos_token_id: expected at most %d ids, got %zu", where, MAX_EOS, count);
    c->eos_count = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(item)) return err_set(err, "%s: eos_token_id: expected an id or a list of ids", where);
        int32_t id = read_id(item, c->vocab);
        if (id >= 0) c->eos[c->eos_count++] = id;
    }
    return true;
}

static bool read_ids(ModelConfig *c, const ConfigKeys *f, const json_t *root, const char *where, Err *err) {
    static const char *const keys[] = {"bos_token_id", "pad_token_id"};
    int32_t *ids[] = {&c->bos, &c->pad};
    c->bos = f->bos < c->vocab ? f->bos : -1;
    c->pad = -1;
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(root, keys[i]);
        if (value && !json_is_integer(value) && !json_is_null(value))
            return err_set(err, "%s: %s: expected an integer or null", where, keys[i]);
        if (value) *ids[i] = read_id(value, c->vocab);
    }
    const json_t *eos = json_object_get(root, "eos_token_id");
    if (!eos && f->eos >= 0 && f->eos < c->vocab) {
        c->eos[c->eos_count++] = f->eos;
        return true;
    }
    return config_read_eos(c, eos, where, err);
}

static bool read_sizes(ModelConfig *c, const ConfigKeys *f, const json_t *root, const char *where, Err *err) {
    c->max_positions = f->max_positions;
    c->rms_norm_eps = 1e-6;
    const struct { const char *key; int64_t *out; } sizes[] = {
        {"vocab_size", &c->vocab},           {"hidden_size", &c->hidden},
        {"intermediate_size", &c->ffn},      {"num_hidden_layers", &c->layers},
        {"num_attention_heads", &c->heads},  {"max_position_embeddings", &c->max_positions},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!json_get_int(root, sizes[i].key, where, 1, INT32_MAX, sizes[i].out, err)) return false;
        if (*sizes[i].out == 0) return err_set(err, "%s: %s is missing, expected an integer", where, sizes[i].key);
    }
    c->kv_heads = f->kv_heads && !is_null(root, "num_key_value_heads") ? f->kv_heads : c->heads;
    if (!json_get_int(root, "num_key_value_heads", where, 1, INT32_MAX, &c->kv_heads, err)) return false;
    c->head_dim = f->head_dim ? f->head_dim : c->hidden / c->heads;
    const json_t *head_dim = json_object_get(root, "head_dim");
    if (!f->head_dim && (!head_dim || json_is_null(head_dim)) && c->hidden % c->heads != 0)
        return err_set(err, "%s: hidden_size %lld is no multiple of num_attention_heads %lld", where,
                       (long long)c->hidden, (long long)c->heads);
    return json_get_int(root, "head_dim", where, 1, MAX_HEAD_DIM, &c->head_dim, err) &&
           json_get_float(root, "rms_norm_eps", where, 0, 1, &c->rms_norm_eps, err) &&
           json_get_bool(root, "tie_word_embeddings", where, &c->tied, err);
}

/* Window of each layer: Qwen2's by layer_types, else from max_window_layers on; Mistral's on all. */
static bool read_windows(ModelConfig *c, const ConfigKeys *f, const json_t *root, const char *where, Err *err) {
    int64_t window = f->window, full = f->window_switch ? 28 : 0;
    bool use = !f->window_switch;
    if (is_null(root, "sliding_window")) window = 0;
    if (f->window && !json_get_int(root, "sliding_window", where, 1, INT32_MAX, &window, err)) return false;
    if (f->window_switch && (!json_get_bool(root, "use_sliding_window", where, &use, err) ||
                             !json_get_int(root, "max_window_layers", where, 0, INT32_MAX, &full, err)))
        return false;
    if (!use) window = 0;
    const json_t *types = f->window_switch ? json_object_get(root, "layer_types") : NULL; /* others do not look */
    if (!types || json_is_null(types)) {
        for (int64_t i = 0; i < c->layers; i++) c->window[i] = i >= full ? window : 0;
        return true;
    }
    if (!json_is_array(types) || (int64_t)json_array_size(types) != c->layers)
        return err_set(err, "%s: layer_types: expected a list of %lld names, one per layer", where,
                       (long long)c->layers);
    for (int64_t i = 0; i < c->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        bool slides = type && !strcmp(type, "sliding_attention");
        if (!slides && !(type && !strcmp(type, "full_attention")))
            return err_set(err, "%s: layer_types: layer %lld: expected full_attention or sliding_attention, got %s",
                           where, (long long)i, type ? name_text(type, strlen(type)).text : "no string");
        if (slides && window == 0)
            return err_set(err, "%s: layer_types: layer %lld is sliding_attention, but no sliding_window is set", where,
                           (long long)i);
        c->window[i] = slides ? window : 0;
    }
    return true;
}

/* Things that change what the model computes and that we do not do. */
static bool check_features(const json_t *root, const char *where, Err *err) {
    if (!config_keys_check(root, where, err)) return false;
    const char *act = "silu";
    if (!json_get_text(root, "hidden_act", where, &act, err)) return false;
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return err_set(err, "%s: hidden_act: expected silu, got %s", where, name_text(act, strlen(act)).text);
    const json_t *quant = json_object_get(root, "quantization_config");
    if (quant && !json_is_null(quant)) {
        const char *method = json_string_value(json_object_get(quant, "quant_method"));
        return err_set(err,
                       "%s: quantization_config (%s) is not supported: use the unquantised checkpoint or a GGUF file",
                       where, method ? name_text(method, strlen(method)).text : "no quant_method");
    }
    return true;
}

bool config_read_json(ModelConfig *c, const ConfigKeys *f, const json_t *root, const char *where, Err *err) {
    bool attention_bias = false;
    c->qk_norm = f->qk_norm;
    if (!check_features(root, where, err) || !read_sizes(c, f, root, where, err)) return false;
    if (!head_from_json(c, root, where, err)) return false;
    if (f->attention_bias && !json_get_bool(root, "attention_bias", where, &attention_bias, err)) return false;
    if (f->mlp_bias && !json_get_bool(root, "mlp_bias", where, &c->mlp_bias, err)) return false;
    c->qkv_bias = f->qkv_bias || attention_bias;
    c->o_bias = attention_bias;
    return config_check(c, where, err) && read_windows(c, f, root, where, err) && read_ids(c, f, root, where, err) &&
           rope_from_json(&c->rope, root, c, where, err);
}

/* ---- What follows from a configuration -------------------------------------------------------------------------- */

static bool in_range(const char *what, int64_t value, int64_t high, const char *where, Err *err) {
    return (value >= 1 && value <= high) || err_set(err, "%s: %s: expected 1 to %lld, got %lld", where, what,
                                                    (long long)high, (long long)value);
}

bool config_check(const ModelConfig *c, const char *where, Err *err) {
    if (!in_range("layers", c->layers, MAX_LAYERS, where, err) ||
        !in_range("hidden size", c->hidden, 1 << 20, where, err) ||
        !in_range("feed-forward size", c->ffn, 1 << 22, where, err) ||
        !in_range("vocabulary", c->vocab, 1 << 24, where, err) || !in_range("heads", c->heads, 1 << 16, where, err) ||
        !in_range("key/value heads", c->kv_heads, c->heads, where, err) ||
        !in_range("head size", c->head_dim, MAX_HEAD_DIM, where, err) ||
        !in_range("heads x head size", c->heads * c->head_dim, 1 << 20, where, err) ||
        !in_range("positions", c->max_positions, INT32_MAX, where, err))
        return false;
    if (c->heads % c->kv_heads != 0)
        return err_set(err, "%s: %lld heads are no multiple of %lld key/value heads", where, (long long)c->heads,
                       (long long)c->kv_heads);
    /* A head that pads a mesh is all zeros, and its norm must not be 0/0. */
    return (isfinite(c->rms_norm_eps) && (c->qk_norm ? c->rms_norm_eps > 0 : c->rms_norm_eps >= 0)) ||
           err_set(err, "%s: the epsilon of the norms is %g", where, c->rms_norm_eps);
}

int64_t config_group(const ModelConfig *c) { return c->heads / c->kv_heads; }
