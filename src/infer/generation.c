/* generation.c: one sequence being generated: its text, stop strings, and ends. */
#include <stdlib.h>
#include <string.h>
#include "generation.h"

bool generation_start(Generation *g, const GenerationConfig *c, const QmTokenizer *t, const int32_t *prompt,
                      int64_t count, Err *err) {
    *g = (Generation){.prompt = count, .count = count, .stream = {.tokenizer = t, .skip_special = true}};
    generation_config_copy(&g->config, c);
    if (count < 1) return err_set(err, "the prompt is empty: expected at least one token");
    if (!mem_grow((void **)&g->ids, &g->capacity, (size_t)count + 1, sizeof *g->ids, "generated ids", err))
        return false;
    memcpy(g->ids, prompt, (size_t)count * sizeof *prompt);
    if (c->grammar && !t) return err_set(err, "a grammar needs the model's tokenizer");
    if (c->grammar && !(g->matcher = matcher_new(c->grammar, t, err))) return false;
    if (c->max_length) g->config.max_new_tokens = c->max_length > count ? c->max_length - count : 0;
    if (g->config.max_new_tokens == 0) g->finish = "length";
    return true;
}

bool generation_copy(Generation *to, const Generation *from, Err *err) {
    size_t told = from->logprobs ? (size_t)(from->count - from->prompt) * (size_t)(1 + from->config.logprobs) : 0;
    *to = *from;
    to->ids = NULL;
    to->logprobs = NULL;
    to->raw = (Text){0};
    to->capacity = to->logprobs_capacity = 0;
    generation_config_copy(&to->config, &from->config);
    matcher_share(to->matcher);
    if (!mem_grow((void **)&to->ids, &to->capacity, (size_t)from->count + 1, sizeof *to->ids, "generated ids", err))
        return false;
    memcpy(to->ids, from->ids, (size_t)from->count * sizeof *to->ids);
    if (told && !mem_grow((void **)&to->logprobs, &to->logprobs_capacity, told, sizeof *to->logprobs,
                          "log-probabilities", err))
        return false;
    if (told) memcpy(to->logprobs, from->logprobs, told * sizeof *to->logprobs);
    text_add(&to->raw, from->raw.data ? from->raw.data : "", from->raw.bytes);
    return text_ok(&to->raw, "generated text", err);
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

static bool is_end(const Generation *g, int32_t id) {
    for (int i = 0; i < g->config.eos_count; i++)
        if (id == g->config.eos[i]) return true;
    return false;
}

/* The matcher's state after a token; whether its grammar lets nothing follow. */
static bool follow_grammar(Generation *g, int32_t id) {
    Err spent = {0};
    size_t bytes;
    bool special;
    const char *piece = qm_tokenizer_piece(g->stream.tokenizer, id, &bytes, &special);
    g->state =
        piece && !g->spent ? matcher_read(g->matcher, g->state, (const uint8_t *)piece, bytes, &spent) : MATCH_DEAD;
    if (spent.set) g->spent = true, g->state = MATCH_DEAD;
    return matcher_ended(g->matcher, g->state);
}

bool generation_push(Generation *g, int32_t id, const char **text, size_t *bytes, Err *err) {
    size_t before = g->raw.bytes;
    *text = "";
    *bytes = 0;
    if (id < 0) return generation_end(g, g->spent ? "grammar_budget" : "none_allowed", text, bytes), true;
    if (g->config.max_time > 0 && g->deadline <= 0) g->deadline = clock_seconds() + g->config.max_time;
    if (!mem_grow((void **)&g->ids, &g->capacity, (size_t)g->count + 1, sizeof *g->ids, "generated ids", err))
        return false;
    g->ids[g->count++] = id;
    if (is_end(g, id)) return generation_end(g, "stop", text, bytes), true;
    if (g->stream.tokenizer && !text_stream_push(&g->stream, id, &g->raw, err)) return false;
    bool whole = g->matcher && follow_grammar(g, id);
    const char *stop = find_stop(g, before);
    if (stop) {
        g->raw.bytes = (size_t)(stop - g->raw.data);
        g->raw.data[g->raw.bytes] = 0;
        g->finish = "stop";
        release(g, g->raw.bytes, text, bytes);
    } else if (whole) {
        generation_end(g, "stop", text, bytes);
    } else if (g->count - g->prompt >= g->config.max_new_tokens) {
        generation_end(g, "length", text, bytes);
    } else if (g->deadline > 0 && clock_seconds() >= g->deadline) {
        generation_end(g, "time", text, bytes);
    } else {
        release(g, g->raw.bytes - held_back(g), text, bytes);
    }
    return text_ok(&g->raw, "generated text", err);
}

int generation_ends_with(const Generation *g, int32_t id, Err *err) {
    if (is_end(g, id) || g->count + 1 - g->prompt >= g->config.max_new_tokens) return 1;
    if (g->deadline > 0 && clock_seconds() >= g->deadline) return 1;
    if (g->matcher) {
        Generation next = {.matcher = g->matcher, .state = g->state, .spent = g->spent, .stream = g->stream};
        if (follow_grammar(&next, id)) return 1;
    }
    if (!g->config.stop_count || !g->stream.tokenizer) return 0;
    /* the end of the text and what the token adds, in a generation that has nothing else */
    Generation tail = {.stream = g->stream};
    size_t keep = g->raw.bytes < MAX_STOP_BYTES ? g->raw.bytes : MAX_STOP_BYTES;
    if (keep) text_add(&tail.raw, g->raw.data + g->raw.bytes - keep, keep);
    memcpy(tail.config.stop, g->config.stop, sizeof tail.config.stop);
    tail.config.stop_count = g->config.stop_count;
    bool ok = text_stream_push(&tail.stream, id, &tail.raw, err);
    int ends = !ok ? -1 : find_stop(&tail, keep) != NULL;
    text_free(&tail.raw);
    return ends;
}

void generation_free(Generation *g) {
    generation_config_free(&g->config);
    matcher_release(g->matcher);
    free(g->ids);
    free(g->logprobs);
    text_free(&g->raw);
    *g = (Generation){0};
}
