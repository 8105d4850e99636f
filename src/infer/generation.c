/* generation.c: one sequence being generated: its text, stop strings, and ends. */
#include <stdlib.h>
#include <string.h>
#include "choice.h"

bool generation_start(Generation *g, const GenerationConfig *c, const QmTokenizer *t, const int32_t *prompt,
                      int64_t count, Err *err) {
    *g = (Generation){.prompt = count, .count = count, .stream = {.tokenizer = t, .skip_special = true}};
    g->tail.stream.tokenizer = t;
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

void generation_rest(Generation *g) {
    matcher_release(g->matcher);
    g->matcher = NULL;
}

bool generation_wake(Generation *g, Err *err) {
    return !g->config.grammar || g->matcher ||
           (g->matcher = matcher_new(g->config.grammar, g->stream.tokenizer, err)) != NULL;
}

bool generation_copy(Generation *to, const Generation *from, Err *err) {
    size_t told = from->logprobs ? (size_t)(from->count - from->prompt) * (size_t)(1 + from->config.logprobs) : 0;
    *to = *from;
    to->ids = NULL;
    to->logprobs = NULL;
    to->raw = (Text){0};
    to->tail = (StopTail){0};
    to->proof = NULL;
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
    if (from->proof && !(to->proof = proof_copy(from->proof, err))) return false;
    return text_ok(&to->raw, "generated text", err) && stop_tail_copy(&to->tail, &from->tail, err);
}

bool generation_sound(const Generation *g, Err *err) {
    if (!g->finish || strcmp(g->finish, "invalid_logits")) return true;
    return logits_invalid(g->count - g->prompt, g->count, err);
}

bool logits_invalid(int64_t new_tokens, int64_t count, Err *err) {
    return err_set(err, "the logits for new token %lld, at position %lld, are not numbers (NaN or infinite): a damaged "
                        "checkpoint, or an overflow", (long long)new_tokens + 1, (long long)count);
}

/* The text loses its last `cut` bytes, but not half a character, and nothing that was shown. */
static void cut_text(Generation *g, size_t cut) {
    size_t keep = cut < g->raw.bytes ? g->raw.bytes - cut : 0;
    if (keep < g->shown) keep = g->shown;
    while (keep > g->shown && ((uint8_t)g->raw.data[keep] & 0xC0) == 0x80) keep--;
    if (!g->raw.data) return;
    g->raw.bytes = keep;
    g->raw.data[keep] = 0;
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
    Err failed = {0};
    size_t bytes;
    bool special;
    const char *piece = qm_tokenizer_piece(g->stream.tokenizer, id, &bytes, &special);
    g->state = piece && g->fault == MATCH_SOUND
                   ? matcher_read(g->matcher, g->state, (const uint8_t *)piece, bytes, &failed)
                   : MATCH_DEAD;
    if (failed.kind) g->fault = matcher_fault(g->matcher), g->state = MATCH_DEAD;
    return matcher_ended(g->matcher, g->state);
}

bool generation_has_memory(const Generation *g, Err *err) {
    return g->fault != MATCH_STARVED || err_as(err, QM_MEMORY, "out of memory: states of a grammar");
}

bool generation_push(Generation *g, int32_t id, const char **text, size_t *bytes, Err *err) {
    StopFound found = {-1, 0};
    *text = "";
    *bytes = 0;
    if (!generation_has_memory(g, err)) return false;
    if (id == TOKEN_INVALID) return generation_end(g, "invalid_logits", text, bytes), true;
    if (id < 0) return generation_end(g, g->fault ? "grammar_budget" : "none_allowed", text, bytes), true;
    if (g->config.max_time > 0 && g->deadline <= 0) g->deadline = clock_seconds() + g->config.max_time;
    if (!mem_grow((void **)&g->ids, &g->capacity, (size_t)g->count + 1, sizeof *g->ids, "generated ids", err))
        return false;
    g->ids[g->count++] = id;
    if (is_end(g, id)) return generation_end(g, "stop", text, bytes), true;
    if (g->stream.tokenizer && !text_stream_push(&g->stream, id, &g->raw, err)) return false;
    bool whole = g->matcher && follow_grammar(g, id);
    if (!generation_has_memory(g, err)) return false;
    if (g->config.stops && g->stream.tokenizer && !stop_tail_push(&g->tail, g->config.stops, id, &found, err))
        return false;
    if (found.cut >= 0) {
        cut_text(g, (size_t)found.cut);
        g->finish = "stop";
        release(g, g->raw.bytes, text, bytes);
    } else if (whole) {
        generation_end(g, "stop", text, bytes);
    } else if (g->count - g->prompt >= g->config.max_new_tokens) {
        generation_end(g, "length", text, bytes);
    } else if (g->deadline > 0 && clock_seconds() >= g->deadline) {
        generation_end(g, "time", text, bytes);
    } else {
        size_t held = (size_t)found.held < g->raw.bytes ? (size_t)found.held : g->raw.bytes;
        release(g, g->raw.bytes - held, text, bytes);
    }
    return text_ok(&g->raw, "generated text", err);
}

int generation_ends_with(const Generation *g, int32_t id, Err *err) {
    if (is_end(g, id) || g->count + 1 - g->prompt >= g->config.max_new_tokens) return 1;
    if (g->deadline > 0 && clock_seconds() >= g->deadline) return 1;
    if (g->matcher) {
        Generation next = {.matcher = g->matcher, .state = g->state, .fault = g->fault, .stream = g->stream};
        if (follow_grammar(&next, id)) return 1;
        if (!generation_has_memory(&next, err)) return -1;
    }
    if (!g->config.stops || !g->stream.tokenizer) return 0;
    StopTail tail = {0};
    StopFound found;
    bool ok = stop_tail_copy(&tail, &g->tail, err) && stop_tail_push(&tail, g->config.stops, id, &found, err);
    stop_tail_free(&tail);
    return !ok ? -1 : found.cut >= 0;
}

void generation_free(Generation *g) {
    generation_config_free(&g->config);
    matcher_release(g->matcher);
    free(g->ids);
    free(g->logprobs);
    proof_free(g->proof);
    text_free(&g->raw);
    stop_tail_free(&g->tail);
    *g = (Generation){0};
}
