/* adapter_config.c: adapter_config.json read and checked. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "adapter.h"
#include "json.h"

enum { MAX_NAMES = 4096, MAX_PATTERN_BYTES = 4096, MATCH_STEPS = 100000 };
#define MOST_SECONDS 5.0 /* in all regular expressions of an adapter together */

const char *const adapter_biases[ADAPTER_BIASES] = {"none", "all", "lora_only"};

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* No number of inference depends on these, or the names of the tensors say it all. */
static const char *const harmless[] = {
    "auto_mapping", "revision", "inference_mode", "layers_pattern", "layers_to_transform",
    "exclude_modules", "fan_in_fan_out", "loftq_config", "megatron_config", "megatron_core", "runtime_config",
    "eva_config", "corda_config", "lora_ga_config", "velora_config", "peft_version", "qalora_group_size",
};
static const char *const used[] = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias", "task_type",
    "base_model_name_or_path", "target_modules", "modules_to_save", "rank_pattern", "alpha_pattern",
    "init_lora_weights",
    "ensure_weight_tying",
};
/* They change the computation, and only their absence is computed here. */
static const char *const refused[] = {
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "lora_bias", "monteclora_config",
    "target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora",
};
/* Ways to begin that leave the base as it is. The others take something off the base's weights first. */
static const char *const beginnings[] = {"gaussian", "eva", "orthogonal", "mini_lora"};

static bool listed(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i], name)) return true;
    return false;
}
#define LISTED(list, name) listed(list, sizeof list / sizeof *list, name)

static bool is_silent(const json_t *value) {
    return json_is_null(value) || json_is_false(value) || (json_is_object(value) && !json_object_size(value)) ||
           (json_is_array(value) && !json_array_size(value));
}

static bool keys_check(const json_t *root, const char *where, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value) {
        if (is_silent(value)) continue;
        if (LISTED(refused, name))
            return err_set(err, "%s: %s is not supported: expected it to be off", where, name);
        if (!LISTED(harmless, name) && !LISTED(used, name))
            watch_say(QM_WARNING, "%s: not known and not used: %s", where, name_text(name, strlen(name)).text);
    }
    return true;
}

static bool beginning_check(const json_t *root, const char *where, Err *err) {
    const json_t *value = json_object_get(root, "init_lora_weights");
    if (!value || json_is_boolean(value) || json_is_null(value)) return true;
    const char *name = json_is_text(value) ? json_string_value(value) : "";
    return LISTED(beginnings, name) ||
           err_set(err, "%s: init_lora_weights '%s' is not supported: it changes the base model's weights; expected "
                   "true, false, gaussian, eva or orthogonal (PEFT converts others when it saves: "
                   "path_initial_model_for_weight_conversion)", where, name_text(name, strlen(name)).text);
}

/* ---- Names and patterns ------------------------------------------------------------------------------------------ */

static const char *text_keep(AdapterConfig *c, const json_t *value, const char *where, const char *key, Err *err) {
    size_t bytes = json_string_length(value);
    if (!json_is_text(value) || !bytes || strlen(json_string_value(value)) != bytes) {
        err_set(err, "%s: %s: expected names", where, key);
        return NULL;
    }
    if (bytes > MAX_PATTERN_BYTES) {
        err_as(err, QM_LIMIT, "%s: %s: expected names of at most %d bytes, got %zu", where, key, MAX_PATTERN_BYTES,
               bytes);
        return NULL;
    }
    return arena_text(&c->arena, json_string_value(value), bytes, err);
}

static bool too_many(size_t count, const char *where, const char *key, Err *err) {
    return count > MAX_NAMES && !err_as(err, QM_LIMIT, "%s: %s: expected at most %d names, got %zu", where, key,
                                        MAX_NAMES, count);
}

static bool names_read(AdapterConfig *c, AdapterNames *out, const json_t *root, const char *key, const char *where,
                       Err *err) {
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value)) return true;
    bool one = json_is_string(value);
    size_t count = one ? 1 : json_array_size(value);
    if (!one && !json_is_array(value)) return err_set(err, "%s: %s: expected a list of names", where, key);
    if (too_many(count, where, key, err)) return false;
    out->list = arena_new(&c->arena, count + 1, sizeof *out->list, key, err);
    for (size_t i = 0; out->list && i < count; i++)
        if (!(out->list[out->count++] = text_keep(c, one ? value : json_array_get(value, i), where, key, err)))
            return false;
    out->all_linear = one && out->list && !strcmp(out->list[0], "all-linear");
    out->pattern = one && !out->all_linear;
    return out->list != NULL;
}

static bool patterns_read(AdapterConfig *c, AdapterPatterns *out, const json_t *root, const char *key, double low,
                          double high, const char *where, Err *err) {
    const json_t *object = json_object_get(root, key);
    const char *name;
    json_t *value;
    if (!object || json_is_null(object)) return true;
    if (!json_is_object(object)) return err_set(err, "%s: %s: expected an object", where, key);
    size_t count = json_object_size(object);
    if (too_many(count, where, key, err)) return false;
    out->pattern = arena_new(&c->arena, count + 1, sizeof *out->pattern, key, err);
    out->value = arena_new(&c->arena, count + 1, sizeof *out->value, key, err);
    if (!out->pattern || !out->value) return false;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        double v = json_number_value(value);
        if (!json_is_number(value) || !isfinite(v) || v < low || v > high)
            return err_set(err, "%s: %s: %s: expected a number from %g to %g", where, key,
                           name_text(name, strlen(name)).text, low, high);
        if (strlen(name) > MAX_PATTERN_BYTES)
            return err_as(err, QM_LIMIT, "%s: %s: expected names of at most %d bytes", where, key, MAX_PATTERN_BYTES);
        out->value[out->count] = v;
        if (!(out->pattern[out->count] = arena_text(&c->arena, name, strlen(name), err))) return false;
        out->count++;
    }
    return true;
}

/* Whether a regular expression matches a whole name. */
static bool regex_matches(AdapterConfig *c, const char *pattern, const char *name, bool *matches, Err *err) {
    double start = clock_seconds();
    if (c->spent > MOST_SECONDS)
        return err_as(err, QM_LIMIT, "the patterns took more than %g s", MOST_SECONDS);
    int why;
    PCRE2_SIZE at;
    PCRE2_UCHAR reason[128] = "";
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C, &why, &at,
                                     NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *data = code ? pcre2_match_data_create_from_pattern(code, NULL) : NULL;
    bool ok = code && limits && data;
    if (!code) pcre2_get_error_message(why, reason, sizeof reason);
    if (ok) {
        pcre2_set_match_limit(limits, MATCH_STEPS);
        pcre2_set_depth_limit(limits, MATCH_STEPS);
        int rc = pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, limits);
        *matches = rc >= 0;
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) pcre2_get_error_message(rc, reason, sizeof reason), ok = false;
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
    c->spent += clock_seconds() - start;
    return ok || err_set(err, "the pattern %s: %s", name_text(pattern, strlen(pattern)).text,
                         reason[0] ? (char *)reason : "out of memory");
}

static bool ends_in(const char *module, const char *name) {
    size_t m = strlen(module), n = strlen(name);
    return n <= m && !strcmp(module + m - n, name) && (n == m || module[m - n - 1] == '.');
}

/* A name without characters that mean something in a regular expression, a dot aside, is compared as it is. */
static bool pattern_ends(AdapterConfig *c, const char *pattern, const char *module, bool *matches, Err *err) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if ((*matches = ends_in(module, pattern)) || strspn(pattern, plain) == strlen(pattern)) return true;
    Text text = {0};
    text_line(&text, "(?:.*\\.)?(?:%s)", pattern);
    bool ok = text_ok(&text, "pattern", err) && regex_matches(c, text.data, module, matches, err);
    text_free(&text);
    return ok;
}

static bool pattern_value(AdapterConfig *c, const AdapterPatterns *p, const char *module, double *value, Err *err) {
    bool matches = false;
    for (int64_t i = 0; i < p->count && !matches; i++) {
        if (!pattern_ends(c, p->pattern[i], module, &matches, err)) return false;
        if (matches) *value = p->value[i];
    }
    return true;
}

bool adapter_rank_of(AdapterConfig *c, const char *module, int64_t *rank, Err *err) {
    double value = (double)c->rank;
    if (!pattern_value(c, &c->ranks, module, &value, err)) return err_prefix(err, "rank_pattern"), false;
    *rank = (int64_t)value;
    return true;
}

bool adapter_alpha_of(AdapterConfig *c, const char *module, double *alpha, Err *err) {
    *alpha = c->alpha;
    return pattern_value(c, &c->alphas, module, alpha, err) || (err_prefix(err, "alpha_pattern"), false);
}

double adapter_scale(const AdapterConfig *c, int64_t rank, double alpha) {
    return alpha / (c->rslora ? sqrt((double)rank) : (double)rank);
}

/* all-linear leaves the heads out, which stand outside of the layers. */
bool adapter_names(AdapterConfig *c, const AdapterNames *names, const char *module, bool *named, Err *err) {
    *named = names->all_linear && strstr(module, "layers.") != NULL;
    if (names->pattern) return regex_matches(c, names->list[0], module, named, err);
    for (int64_t i = 0; i < names->count && !*named; i++) *named = ends_in(module, names->list[i]);
    return true;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static bool bias_read(AdapterConfig *c, const json_t *root, const char *where, Err *err) {
    const char *name = adapter_biases[0];
    if (!json_get_text(root, "bias", where, &name, err)) return false;
    for (c->bias = 0; c->bias < ADAPTER_BIASES; c->bias++)
        if (!strcmp(adapter_biases[c->bias], name)) return true;
    return err_set(err, "%s: bias: expected none, all or lora_only, got %s", where, name_text(name, strlen(name)).text);
}

static bool type_check(const json_t *root, const char *where, Err *err) {
    const char *type = NULL;
    if (!json_get_text(root, "peft_type", where, &type, err)) return false;
    return (type && !strcmp(type, "LORA")) ||
           err_set(err, "%s: peft_type: expected LORA, got %s", where,
                   type ? name_text(type, strlen(type)).text : "nothing");
}

static bool text_read(AdapterConfig *c, const char **out, const json_t *root, const char *key, const char *where,
                      Err *err) {
    const char *text = "";
    return json_get_text(root, key, where, &text, err) && (*out = arena_text(&c->arena, text, strlen(text), err));
}

static bool config_read(AdapterConfig *c, const json_t *root, const char *where, Err *err) {
    c->rank = 8, c->alpha = 8; /* LoraConfig's defaults */
    return type_check(root, where, err) && keys_check(root, where, err) && beginning_check(root, where, err) &&
           json_get_int(root, "r", where, 1, MAX_ADAPTER_RANK, &c->rank, err) &&
           json_get_float(root, "lora_alpha", where, -1e9, 1e9, &c->alpha, err) &&
           json_get_float(root, "lora_dropout", where, 0, 1, &c->dropout, err) &&
           json_get_bool(root, "use_rslora", where, &c->rslora, err) &&
           json_get_bool(root, "use_dora", where, &c->dora, err) &&
           json_get_bool(root, "ensure_weight_tying", where, &c->ties_weights, err) && bias_read(c, root, where, err) &&
           text_read(c, &c->base, root, "base_model_name_or_path", where, err) &&
           text_read(c, &c->task, root, "task_type", where, err) &&
           names_read(c, &c->targets, root, "target_modules", where, err) &&
           names_read(c, &c->saved, root, "modules_to_save", where, err) &&
           patterns_read(c, &c->ranks, root, "rank_pattern", 1, MAX_ADAPTER_RANK, where, err) &&
           patterns_read(c, &c->alphas, root, "alpha_pattern", -1e9, 1e9, where, err);
}

bool adapter_config_parse(AdapterConfig *c, const char *data, size_t bytes, const char *where, Err *err) {
    *c = (AdapterConfig){0};
    json_t *root = json_text(data, bytes, where, err);
    bool ok = root && (json_is_object(root) || err_set(err, "%s: expected an object", where)) &&
              config_read(c, root, where, err);
    json_decref(root);
    return ok;
}

void adapter_config_free(AdapterConfig *c) {
    arena_free(&c->arena);
    *c = (AdapterConfig){0};
}
