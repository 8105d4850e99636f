/* config_rope.c: the rotary embedding of config.json. Old files have rope_theta and rope_scaling, new ones have
 * rope_parameters; types and their keys as in transformers' modeling_rope_utils.py. Where that warns, we refuse. */
#include <math.h>
#include <string.h>
#include "config_check.h"
#include "json.h"
#include "names.h"

static const struct { const char *name; RopeType type; } types[] = {
    {"default", ROPE_DEFAULT}, {"linear", ROPE_LINEAR},     {"dynamic", ROPE_DYNAMIC},
    {"yarn", ROPE_YARN},       {"longrope", ROPE_LONGROPE}, {"llama3", ROPE_LLAMA3},
};

static bool read_type(Rope *rope, const json_t *dict, const char *where, Err *err) {
    const char *name = "default";
    if (!json_get_text(dict, "type", where, &name, err) || !json_get_text(dict, "rope_type", where, &name, err))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name)) {
            rope->type = types[i].type;
            return true;
        }
    return err_set(err, "%s: rope_type: expected default, linear, dynamic, yarn, longrope or llama3, got %s", where,
                   name_text(name, strlen(name)).text);
}

/* The dictionary that says how to scale: rope_scaling, else rope_parameters; NULL if there is none. Parameters per
 * layer type ({"full_attention": {...}, ...}) are taken when they are all equal. False on error. */
static bool find_dict(const json_t *root, const char *where, const json_t **dict, Err *err) {
    const char *name = "rope_scaling", *key;
    *dict = json_object_get(root, name);
    if (!*dict || json_is_null(*dict)) *dict = json_object_get(root, name = "rope_parameters");
    if (!*dict || json_is_null(*dict)) return *dict = NULL, true;
    if (!json_is_object(*dict)) return err_set(err, "%s: %s: expected an object or null", where, name);
    json_t *value, *first = NULL;
    size_t nested = 0;
    json_object_foreach((json_t *)(uintptr_t)*dict, key, value) {
        if (!json_is_object(value)) continue;
        if (first && !json_equal(first, value))
            return err_set(err, "%s: %s differ between layer types, which is not supported", where, name);
        first = value;
        nested++;
    }
    if (nested && nested != json_object_size(*dict))
        return err_set(err, "%s: %s mixes parameters per layer type with others", where, name);
    if (nested) *dict = first;
    return true;
}

static bool missing(const json_t *dict, const char *key, const char *where, Err *err) {
    const json_t *value = json_object_get(dict, key);
    if (value && !json_is_null(value)) return false;
    err_set(err, "%s: %s is missing, this rope_type needs it", where, key);
    return true;
}

static bool read_list(const json_t *dict, const char *key, int64_t count, double *out, const char *where, Err *err) {
    const json_t *list = json_object_get(dict, key);
    if (!json_is_array(list) || (int64_t)json_array_size(list) != count)
        return err_set(err, "%s: %s: expected a list of %lld numbers, one per pair of channels", where, key,
                       (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        out[i] = json_number_value(item);
        if (!json_is_number(item) || !isfinite(out[i]) || out[i] <= 0)
            return err_set(err, "%s: %s: item %lld: expected a number > 0", where, key, (long long)i);
    }
    return true;
}

double rope_yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

static bool read_yarn(Rope *rope, const json_t *dict, const char *where, Err *err) {
    double mscale = 0, mscale_all_dim = 0;
    if (!json_get_float(dict, "beta_fast", where, 0, 1e6, &rope->beta_fast, err) ||
        !json_get_float(dict, "beta_slow", where, 0, 1e6, &rope->beta_slow, err) ||
        !json_get_bool(dict, "truncate", where, &rope->truncate, err) ||
        !json_get_float(dict, "mscale", where, -1e6, 1e6, &mscale, err) ||
        !json_get_float(dict, "mscale_all_dim", where, -1e6, 1e6, &mscale_all_dim, err))
        return false;
    if (rope->beta_fast == 0) rope->beta_fast = 32; /* as in transformers, 0 means the default */
    if (rope->beta_slow == 0) rope->beta_slow = 1;
    rope->attention_factor = rope_yarn_mscale(rope->factor, 1);
    if (mscale != 0 && mscale_all_dim != 0)
        rope->attention_factor =
            rope_yarn_mscale(rope->factor, mscale) / rope_yarn_mscale(rope->factor, mscale_all_dim);
    return true;
}

static bool read_longrope(Rope *rope, const json_t *dict, bool has_factor, const char *where, Err *err) {
    if (missing(dict, "short_factor", where, err) || missing(dict, "long_factor", where, err)) return false;
    if (!read_list(dict, "short_factor", rope->dim / 2, rope->short_factor, where, err) ||
        !read_list(dict, "long_factor", rope->dim / 2, rope->long_factor, where, err))
        return false;
    if (!has_factor) rope->factor = (double)rope->max_positions / (double)rope->original_max;
    if (rope->factor > 1 && rope->original_max > 1)
        rope->attention_factor = sqrt(1 + log(rope->factor) / log((double)rope->original_max));
    return true;
}

static bool read_scaling(Rope *rope, const json_t *dict, const char *where, Err *err) {
    const json_t *factor = json_object_get(dict, "factor");
    bool has_factor = factor && !json_is_null(factor);
    if (rope->type != ROPE_LONGROPE && missing(dict, "factor", where, err)) return false;
    if (!json_get_float(dict, "factor", where, 1, 1e6, &rope->factor, err)) return false;
    if (rope->type == ROPE_YARN && !read_yarn(rope, dict, where, err)) return false;
    if (rope->type == ROPE_LONGROPE && !read_longrope(rope, dict, has_factor, where, err)) return false;
    if (rope->type == ROPE_LLAMA3 &&
        (missing(dict, "low_freq_factor", where, err) || missing(dict, "high_freq_factor", where, err) ||
         !json_get_float(dict, "low_freq_factor", where, 1e-6, 1e6, &rope->low_freq_factor, err) ||
         !json_get_float(dict, "high_freq_factor", where, 1e-6, 1e6, &rope->high_freq_factor, err)))
        return false;
    bool scales = rope->type == ROPE_YARN || rope->type == ROPE_LONGROPE; /* the others never scale cos and sin */
    return !scales || json_get_float(dict, "attention_factor", where, 0, 1e6, &rope->attention_factor, err);
}

bool rope_from_json(Rope *rope, const json_t *root, const ModelConfig *c, const char *where, Err *err) {
    const json_t *dict = NULL;
    double part = 1;
    *rope = (Rope){.type = ROPE_DEFAULT, .theta = 10000, .factor = 1, .max_positions = c->max_positions,
                   .original_max = c->max_positions, .attention_factor = 1, .beta_fast = 32, .beta_slow = 1,
                   .truncate = true};
    if (!find_dict(root, where, &dict, err)) return false;
    if (!json_get_float(root, "rope_theta", where, 0, 1e30, &rope->theta, err) ||
        !json_get_float(root, "partial_rotary_factor", where, 0, 1, &part, err))
        return false;
    if (dict && (!read_type(rope, dict, where, err) ||
                 !json_get_float(dict, "rope_theta", where, 0, 1e30, &rope->theta, err) ||
                 !json_get_float(dict, "partial_rotary_factor", where, 0, 1, &part, err)))
        return false;
    /* Qwen2, Llama and Mistral turn whole heads with unscaled frequencies; only the scaled types look at the factor. */
    rope->dim = rope->type == ROPE_DEFAULT ? c->head_dim : (int64_t)((double)c->head_dim * part);
    if (rope->type == ROPE_YARN || rope->type == ROPE_LONGROPE || rope->type == ROPE_LLAMA3) /* the key outside wins */
        if (!json_get_int(dict, "original_max_position_embeddings", where, 1, INT32_MAX, &rope->original_max, err) ||
            !json_get_int(root, "original_max_position_embeddings", where, 1, INT32_MAX, &rope->original_max, err))
            return false;
    if (rope->type != ROPE_DEFAULT && !read_scaling(rope, dict, where, err)) return false;
    return rope_check(rope, c, where, err);
}

bool rope_check(const Rope *rope, const ModelConfig *c, const char *where, Err *err) {
    int64_t least = rope->type == ROPE_DYNAMIC ? 4 : 2; /* dynamic has dim - 2 as a divisor */
    if (rope->dim < least || rope->dim > c->head_dim || rope->dim % 2 != 0)
        return err_set(err, "%s: rotary channels of a head: expected an even number from %lld to %lld, got %lld", where,
                       (long long)least, (long long)c->head_dim, (long long)rope->dim);
    if (!(rope->theta > 1) || !isfinite(rope->theta))
        return err_set(err, "%s: rope theta: expected a number > 1, got %g", where, rope->theta);
    if ((!(rope->factor >= 1) && rope->type != ROPE_LONGROPE) || !isfinite(rope->factor))
        return err_set(err, "%s: rope factor: expected a number >= 1, got %g", where, rope->factor);
    if (rope->original_max < 1 || rope->original_max > INT32_MAX)
        return err_set(err, "%s: original positions: expected 1 to 2^31 - 1, got %lld", where,
                       (long long)rope->original_max);
    if (!(rope->beta_fast >= rope->beta_slow && rope->beta_slow > 0) || !isfinite(rope->beta_fast))
        return err_set(err, "%s: expected beta_fast >= beta_slow > 0, got %g and %g", where, rope->beta_fast,
                       rope->beta_slow);
    if (rope->type == ROPE_LLAMA3 && rope->high_freq_factor <= rope->low_freq_factor)
        return err_set(err, "%s: expected high_freq_factor > low_freq_factor, got %g and %g", where,
                       rope->high_freq_factor, rope->low_freq_factor);
    return true;
}
