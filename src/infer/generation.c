/* generation.c: generation parameters from files and requests, and a sequence's text with stop strings. */
#include <stdlib.h>
#include <string.h>
#include "../io/config.h"
#include "generation.h"

enum { MAX_GENERATION_CONFIG = 1 << 20 };

static bool ids_from_json(GenerationConfig *c, const json_t *ids, const char *where, Err *err) {
    size_t n = json_is_array(ids) ? json_array_size(ids) : 1;
    if (n > MAX_STOP_IDS)
        return err_set(err, "%s: eos_token_id: expected at most %d ids, got %zu", where, MAX_STOP_IDS, n);
    c->eos_count = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(ids) ? json_array_get(ids, i) : ids;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return err_set(err, "%s: eos_token_id: expected an id or a list of ids", where);
        c->eos[c->eos_count++] = (int32_t)json_integer_value(id);
    }
    return true;
}

bool generation_stop(GenerationConfig *c, const char *text, const char *where, Err *err) {
    if (!text || !*text || strlen(text) >= MAX_STOP_BYTES)
        return err_set(err, "%s: stop string: expected 1 to %d bytes", where, MAX_STOP_BYTES - 1);
    if (c->stop_count == MAX_STOPS) return err_set(err, "%s: stop strings: expected at most %d", where, MAX_STOPS);
    strcpy(c->stop[c->stop_count++], text);
    return true;
}

static bool stops_from_json(GenerationConfig *c, const json_t *stop, const char *where, Err *err) {
    size_t n = json_is_array(stop) ? json_array_size(stop) : 1;
    c->stop_count = 0;
    for (size_t i = 0; i < n; i++)
        if (!generation_stop(c, json_string_value(json_is_array(stop) ? json_array_get(stop, i) : stop), where, err))
            return false;
    return true;
}

bool generation_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *eos = json_object_get(o, "eos_token_id"), *stop = json_object_get(o, "stop_strings");
    if (eos && json_is_null(eos)) c->eos_count = 0;
    else if (eos && !ids_from_json(c, eos, where, err)) return false;
    if (!stop) stop = json_object_get(o, "stop");
    if (stop && !json_is_null(stop) && !stops_from_json(c, stop, where, err)) return false;
    return json_get_int(o, "max_new_tokens", where, 0, 1 << 30, &c->max_new_tokens, err) &&
           json_get_bool(o, "do_sample", where, &c->do_sample, err) &&
           json_get_float(o, "temperature", where, 0, 1e6, &c->temperature, err) &&
           json_get_int(o, "top_k", where, 0, 1 << 30, &c->top_k, err) &&
           json_get_float(o, "top_p", where, 0, 1, &c->top_p, err) &&
           json_get_float(o, "min_p", where, 0, 1, &c->min_p, err) &&
           json_get_float(o, "repetition_penalty", where, 1e-6, 1e6, &c->repetition_penalty, err) &&
           json_get_int(o, "seed", where, 0, INT64_MAX, &c->seed, err);
}

bool generation_defaults(GenerationConfig *c, const char *model, Err *err) {
    ModelConfig *config = mem_new(1, sizeof *config, "config", err);
    *c = (GenerationConfig){.max_new_tokens = 256, .temperature = 1, .top_p = 1, .repetition_penalty = 1};
    bool ok = config && config_load(config, model, err);
    for (int i = 0; ok && i < config->eos_count; i++) c->eos[c->eos_count++] = config->eos[i];
    free(config);
    char *path = ok && folder_exists(model) ? path_join(model, "generation_config.json", err) : NULL;
    if (path && file_exists(path)) {
        json_t *root = json_file(path, MAX_GENERATION_CONFIG, err);
        GenerationConfig before = *c;
        ok = root && generation_from_json(c, root, path, err);
        if (json_is_null(json_object_get(root, "eos_token_id")))
            memcpy(c->eos, before.eos, sizeof c->eos), c->eos_count = before.eos_count;
        json_decref(root);
    }
    free(path);
    return ok;
}

bool generation_check(const GenerationConfig *c, Err *err) {
    if (c->do_sample && c->top_p <= 0) return err_set(err, "top_p: expected above 0 to 1, got %g", c->top_p);
    if (c->repetition_penalty <= 0)
        return err_set(err, "repetition_penalty: expected above 0, got %g", c->repetition_penalty);
    return true;
}

void generation_text(const GenerationConfig *c, Text *out) {
    text_line(out, "max_new_tokens %lld, ", (long long)c->max_new_tokens);
    if (c->do_sample && c->temperature > 0)
        text_line(out, "temperature %g, top_k %lld, top_p %g, min_p %g, seed %lld", c->temperature, (long long)c->top_k,
                  c->top_p, c->min_p, (long long)c->seed);
    else text_line(out, "greedy");
    text_line(out, ", repetition_penalty %g, eos", c->repetition_penalty);
    for (int i = 0; i < c->eos_count; i++) text_line(out, " %d", c->eos[i]);
    if (!c->eos_count) text_line(out, " none");
    for (int i = 0; i < c->stop_count; i++) text_line(out, "%s'%s'", i ? " " : ", stop ", c->stop[i]);
}

/* ---- One sequence ------------------------------------------------------------------------------------------------------ */

bool generation_start(Generation *g, const GenerationConfig *c, const QmTokenizer *t, const int32_t *prompt,
                      int64_t count, Err *err) {
    *g = (Generation){.config = *c, .prompt = count, .count = count, .stream = {.tokenizer = t, .skip_special = true}};
    if (count < 1) return err_set(err, "the prompt is empty: expected at least one token");
    if (!mem_grow((void **)&g->ids, &g->capacity, (size_t)count + 1, sizeof *g->ids, "generated ids", err))
        return false;
    memcpy(g->ids, prompt, (size_t)count * sizeof *prompt);
    if (c->max_new_tokens == 0) g->finish = "length";
    return true;
}

/* Where the earliest stop string begins at or after `from`, or NULL. */
static const char *find_stop(const Generation *g, size_t from) {
    const char *first = NULL;
    for (int i = 0; i < g->config.stop_count; i++) {
        const char *s = g->config.stop[i];
        size_t n = strlen(s), back = from > n ? from - n + 1 : 0;
        const char *at = g->raw.bytes >= n ? memmem(g->raw.data + back, g->raw.bytes - back, s, n) : NULL;
        if (at && (!first || at < first)) first = at;
    }
    return first;
}

/* Bytes at the end that may be the beginning of a stop string. */
static size_t held_back(const Generation *g) {
    size_t most = 0;
    for (int i = 0; i < g->config.stop_count; i++) {
        size_t n = strlen(g->config.stop[i]);
        for (size_t k = n - 1; k > most; k--)
            if (k <= g->raw.bytes && !memcmp(g->raw.data + g->raw.bytes - k, g->config.stop[i], k)) most = k;
    }
    return most;
}

static void release(Generation *g, size_t until, const char **text, size_t *bytes) {
    *text = g->raw.data ? g->raw.data + g->shown : "";
    *bytes = until > g->shown ? until - g->shown : 0;
    if (until > g->shown) g->shown = until;
}

void generation_end(Generation *g, const char *why, const char **text, size_t *bytes) {
    text_stream_end(&g->stream, &g->raw);
    g->finish = why;
    release(g, g->raw.bytes, text, bytes);
}

bool generation_push(Generation *g, int32_t id, const char **text, size_t *bytes, Err *err) {
    size_t before = g->raw.bytes;
    *text = "";
    *bytes = 0;
    if (!mem_grow((void **)&g->ids, &g->capacity, (size_t)g->count + 1, sizeof *g->ids, "generated ids", err))
        return false;
    g->ids[g->count++] = id;
    for (int i = 0; i < g->config.eos_count; i++)
        if (id == g->config.eos[i]) return generation_end(g, "stop", text, bytes), true;
    if (g->stream.tokenizer && !text_stream_push(&g->stream, id, &g->raw, err)) return false;
    const char *stop = find_stop(g, before);
    if (stop) {
        g->raw.bytes = (size_t)(stop - g->raw.data);
        g->raw.data[g->raw.bytes] = 0;
        g->finish = "stop";
        release(g, g->raw.bytes, text, bytes);
    } else if (g->count - g->prompt >= g->config.max_new_tokens) {
        generation_end(g, "length", text, bytes);
    } else {
        release(g, g->raw.bytes - held_back(g), text, bytes);
    }
    return text_ok(&g->raw, "generated text", err);
}

void generation_free(Generation *g) {
    free(g->ids);
    text_free(&g->raw);
    *g = (Generation){0};
}
