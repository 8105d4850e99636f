/* generation_config.c: generation parameters from a model's files and from requests. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../io/config.h"
#include "../model/family.h"
#include "../text/tokenizer.h"
#include "lists.h"
#include "parameters.h"

enum { MOST = 1 << 30 };

static bool eos_from_json(GenerationConfig *c, const json_t *ids, const char *where, Err *err) {
    size_t n = json_is_array(ids) ? json_array_size(ids) : 1;
    if (n > MAX_STOP_IDS)
        return err_as(err, QM_LIMIT, "%s: eos_token_id: expected at most %d ids, got %zu", where, MAX_STOP_IDS, n);
    c->eos_count = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(ids) ? json_array_get(ids, i) : ids;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return err_set(err, "%s: eos_token_id: expected an id or a list of ids", where);
        c->eos[c->eos_count++] = (int32_t)json_integer_value(id);
    }
    return true;
}

/* vLLM's "stop_token_ids": ends beside those that are there. */
static bool more_ends_from_json(GenerationConfig *c, const json_t *ids, const char *where, Err *err) {
    if (!ids || json_is_null(ids)) return true;
    GenerationConfig more = {0};
    if (!json_is_array(ids)) return err_set(err, "%s: stop_token_ids: expected a list of ids", where);
    if (!eos_from_json(&more, ids, where, err)) return false;
    if (c->eos_count + more.eos_count > MAX_STOP_IDS)
        return err_as(err, QM_LIMIT, "%s: stop_token_ids: expected at most %d ids with eos_token_id's, got %d", where,
                      MAX_STOP_IDS, c->eos_count + more.eos_count);
    for (int i = 0; i < more.eos_count; i++) c->eos[c->eos_count++] = more.eos[i];
    return true;
}

bool generation_stop(GenerationConfig *c, const char *text, size_t bytes, const char *where, Err *err) {
    Stops *more = stops_add(c->stops, text, bytes, err);
    if (!more) return err_prefix(err, "%s", where), false;
    stops_release(c->stops);
    c->stops = more;
    return true;
}

void generation_no_stops(GenerationConfig *c) {
    stops_release(c->stops);
    c->stops = NULL;
}

void generation_turn_ends(GenerationConfig *c, const QmTokenizer *t) {
    const int32_t ends[] = {qm_tokenizer_turn_end(t), qm_tokenizer_eos(t)};
    for (int i = 0; i < 2 && !c->eos_given; i++) {
        bool there = ends[i] < 0 || c->eos_count == MAX_STOP_IDS;
        for (int k = 0; k < c->eos_count; k++) there |= c->eos[k] == ends[i];
        if (!there) c->eos[c->eos_count++] = ends[i];
    }
}

static bool stops_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *stop = json_object_get(o, "stop_strings"), *other = json_object_get(o, "stop");
    if (stop && other) return err_set(err, "%s: expected one of stop_strings and stop", where);
    if (!stop) stop = other;
    if (!stop || json_is_null(stop)) return true;
    size_t n = json_is_array(stop) ? json_array_size(stop) : 1;
    generation_no_stops(c);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(stop) ? json_array_get(stop, i) : stop;
        if (!json_is_text(one)) return err_set(err, "%s: stop string: expected a string or a list of strings", where);
        if (!generation_stop(c, json_string_value(one), json_string_length(one), where, err)) return false;
    }
    return true;
}

/* Lengths: max_new_tokens wins over max_length in one object; either wins over both of the base. */
static bool lengths_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    int64_t new_tokens = -1, length = -1;
    if (!json_get_int(o, "max_new_tokens", where, 0, MOST, &new_tokens, err) ||
        !json_get_int(o, "max_length", where, 1, MOST, &length, err))
        return false;
    if (new_tokens >= 0) c->max_new_tokens = new_tokens, c->max_length = 0;
    else if (length > 0) c->max_length = length;
    return json_get_int(o, "min_length", where, 0, MOST, &c->min_length, err) &&
           json_get_int(o, "min_new_tokens", where, 0, MOST, &c->min_new_tokens, err) &&
           json_get_float(o, "max_time", where, 0, 1e9, &c->max_time, err);
}

static bool filters_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    return json_get_bool(o, "do_sample", where, &c->do_sample, err) &&
           json_get_float(o, "temperature", where, 0, 1e6, &c->temperature, err) &&
           json_get_int(o, "top_k", where, 0, MOST, &c->top_k, err) &&
           json_get_float(o, "top_p", where, 0, 1, &c->top_p, err) &&
           json_get_float(o, "min_p", where, 0, 1, &c->min_p, err) &&
           json_get_float(o, "typical_p", where, 0, 1, &c->typical_p, err) &&
           json_get_float(o, "epsilon_cutoff", where, 0, 1, &c->epsilon_cutoff, err) &&
           json_get_float(o, "eta_cutoff", where, 0, 1, &c->eta_cutoff, err) &&
           json_get_int(o, "min_tokens_to_keep", where, 1, MOST, &c->min_tokens_to_keep, err) &&
           json_get_int(o, "seed", where, 0, INT64_MAX, &c->seed, err);
}

/* exponential_decay_length_penalty: [start, factor] */
static bool decay_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *pair = json_object_get(o, "exponential_decay_length_penalty");
    if (!pair) return true;
    c->decay_factor = 1;
    if (json_is_null(pair)) return true;
    const json_t *start = json_array_get(pair, 0), *factor = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(start) || !json_is_number(factor) ||
        json_integer_value(start) < 0 || !(json_number_value(factor) > 0) || json_number_value(factor) > 1e3)
        return err_set(err, "%s: exponential_decay_length_penalty: expected [start >= 0, factor above 0 to 1000]",
                       where);
    c->decay_start = json_integer_value(start);
    c->decay_factor = json_number_value(factor);
    return true;
}

static bool penalties_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    int64_t bos = -2, pad = c->pad;
    if (!json_get_int(o, "forced_bos_token_id", where, 0, INT32_MAX, &bos, err) ||
        !json_get_int(o, "pad_token_id", where, -1, INT32_MAX, &pad, err))
        return false;
    c->pad = (int32_t)pad;
    if (json_object_get(o, "forced_bos_token_id")) c->forced_bos = bos >= 0 ? (int32_t)bos : -1;
    return json_get_float(o, "repetition_penalty", where, 1e-6, 1e6, &c->repetition_penalty, err) &&
           json_get_float(o, "encoder_repetition_penalty", where, 1e-6, 1e6, &c->encoder_repetition_penalty, err) &&
           json_get_float(o, "presence_penalty", where, -1e3, 1e3, &c->presence_penalty, err) &&
           json_get_float(o, "frequency_penalty", where, -1e3, 1e3, &c->frequency_penalty, err) &&
           json_get_int(o, "no_repeat_ngram_size", where, 0, MOST, &c->no_repeat_ngram_size, err) &&
           json_get_int(o, "encoder_no_repeat_ngram_size", where, 0, MOST, &c->encoder_no_repeat_ngram_size, err) &&
           json_get_bool(o, "remove_invalid_values", where, &c->remove_invalid_values, err) &&
           json_get_bool(o, "renormalize_logits", where, &c->renormalize_logits, err) &&
           decay_from_json(c, o, where, err);
}

static bool early_stopping_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *early = json_object_get(o, "early_stopping");
    if (!early || json_is_null(early)) return true;
    if (json_is_boolean(early)) c->early_stopping = json_is_true(early) ? STOP_EARLY : STOP_HEURISTIC;
    else if (json_is_word(early, "never")) c->early_stopping = STOP_NEVER;
    else return err_set(err, "%s: early_stopping: expected true, false or \"never\"", where);
    return true;
}

/* OpenAI's chat interface has "logprobs": true and "top_logprobs": n; its older one "logprobs": n. */
static bool logprobs_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *logprobs = json_object_get(o, "logprobs");
    if (json_is_boolean(logprobs)) {
        c->logprobs = json_is_true(logprobs) ? 0 : -1;
        if (c->logprobs >= 0) return json_get_int(o, "top_logprobs", where, 0, MAX_LOGPROBS, &c->logprobs, err);
    }
    const json_t *top = json_object_get(o, "top_logprobs");
    if (top && !json_is_null(top) && !(json_is_integer(top) && json_integer_value(top) == 0))
        return err_set(err, "%s: top_logprobs: expected \"logprobs\": true with it", where);
    if (json_is_boolean(logprobs)) return true;
    return json_get_int(o, "logprobs", where, 0, MAX_LOGPROBS, &c->logprobs, err);
}

static bool searches_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    return json_get_int(o, "num_beams", where, 1, MAX_BEAMS, &c->num_beams, err) &&
           json_get_int(o, "num_beam_groups", where, 1, MAX_BEAMS, &c->num_beam_groups, err) &&
           json_get_int(o, "num_return_sequences", where, 1, MAX_BEAMS, &c->num_return_sequences, err) &&
           json_get_int(o, "best_of", where, 0, MAX_BEAMS, &c->best_of, err) &&
           json_get_float(o, "length_penalty", where, -1e3, 1e3, &c->length_penalty, err) &&
           json_get_float(o, "diversity_penalty", where, 0, 1e6, &c->diversity_penalty, err) &&
           json_get_float(o, "penalty_alpha", where, 0, 1, &c->penalty_alpha, err) &&
           json_get_int(o, "prompt_lookup_num_tokens", where, 0, MAX_DRAFT, &c->prompt_lookup_num_tokens, err) &&
           json_get_int(o, "max_matching_ngram_size", where, 1, MOST, &c->max_matching_ngram_size, err) &&
           json_get_int(o, "num_assistant_tokens", where, 1, MAX_DRAFT, &c->num_assistant_tokens, err) &&
           json_get_int(o, "prompt_logprobs", where, 0, MAX_LOGPROBS, &c->prompt_logprobs, err) &&
           early_stopping_from_json(c, o, where, err) && logprobs_from_json(c, o, where, err);
}

void generation_config_copy(GenerationConfig *to, const GenerationConfig *from) {
    *to = *from;
    lists_share(to->lists);
    grammar_share(to->grammar);
    stops_share(to->stops);
}

void generation_config_free(GenerationConfig *c) {
    lists_release(c->lists);
    c->lists = NULL;
    grammar_release(c->grammar);
    c->grammar = NULL;
    generation_no_stops(c);
}

bool generation_from_json(GenerationConfig *c, const GenerationConfig *base, const json_t *o, const char *where,
                          Err *err) {
    if (c != base) generation_config_copy(c, base);
    if (lists_in_json(o)) {
        TokenLists *lists = lists_from_json(c->lists, o, where, err);
        if (!lists) return false;
        lists_release(c->lists);
        c->lists = lists;
    }
    const json_t *eos = json_object_get(o, "eos_token_id");
    if (eos) c->eos_given = true;
    if (json_is_null(eos)) c->eos_count = 0;
    else if (eos && !eos_from_json(c, eos, where, err)) return false;
    if (!more_ends_from_json(c, json_object_get(o, "stop_token_ids"), where, err)) return false;
    return stops_from_json(c, o, where, err) && lengths_from_json(c, o, where, err) &&
           filters_from_json(c, o, where, err) && penalties_from_json(c, o, where, err) &&
           searches_from_json(c, o, where, err) && structure_from_json(c, o, where, err);
}

static const GenerationConfig plain = {.max_new_tokens = 256,
                                       .temperature = 1,
                                       .top_p = 1,
                                       .typical_p = 1,
                                       .min_tokens_to_keep = 1,
                                       .repetition_penalty = 1,
                                       .encoder_repetition_penalty = 1,
                                       .forced_bos = -1,
                                       .pad = -1,
                                       .decay_factor = 1,
                                       .num_beams = 1,
                                       .num_beam_groups = 1,
                                       .num_return_sequences = 1,
                                       .length_penalty = 1,
                                       .max_matching_ngram_size = 2,
                                       .num_assistant_tokens = 5,
                                       .logprobs = -1,
                                       .prompt_logprobs = -1};

void generation_plain(GenerationConfig *c) {
    GenerationConfig next = plain;
    memcpy(next.eos, c->eos, sizeof next.eos);
    next.eos_count = c->eos_count;
    generation_config_free(c);
    *c = next;
}

bool generation_defaults(GenerationConfig *c, QmSource *source, Err *err) {
    ModelConfig *config = mem_new(1, sizeof *config, "config", err);
    const json_t *root = NULL;
    const char *where;
    *c = plain;
    bool ok = config && config_load(config, source, err);
    for (int i = 0; ok && i < config->eos_count; i++) c->eos[c->eos_count++] = config->eos[i];
    free(config);
    ok = ok && source_json(source, "generation_config.json", &root, &where, err);
    if (ok && root) {
        int32_t eos[MAX_STOP_IDS];
        int eos_count = c->eos_count;
        memcpy(eos, c->eos, sizeof eos);
        ok = parameters_of_file(root, where, err) && generation_from_json(c, c, root, where, err);
        c->eos_given = false;
        if (json_is_null(json_object_get(root, "eos_token_id")))
            memcpy(c->eos, eos, sizeof eos), c->eos_count = eos_count;
    }
    return ok;
}

/* Logits divided by less leave the numbers of f32: then the largest is one of many. */
static const double LEAST_TEMPERATURE = 1e-30;

bool generation_greedy(const GenerationConfig *c) { return !c->do_sample || c->temperature == 0; }

static bool searches_check(const GenerationConfig *c, Err *err) {
    int64_t best_of = c->best_of ? c->best_of : c->num_return_sequences;
    if (c->num_beams > 1 && c->num_return_sequences > c->num_beams)
        return err_as(err, QM_LIMIT, "num_return_sequences: expected at most num_beams, %lld, got %lld",
                      (long long)c->num_beams,
                      (long long)c->num_return_sequences);
    if (c->num_beams % c->num_beam_groups)
        return err_set(err, "num_beam_groups: expected a divisor of num_beams, %lld, got %lld", (long long)c->num_beams,
                       (long long)c->num_beam_groups);
    if (c->num_beam_groups > 1 && !generation_greedy(c))
        return err_set(err, "num_beam_groups: groups of beams are not sampled: expected do_sample false");
    if (c->num_beams == 1 && best_of > 1 && generation_greedy(c))
        return err_set(err,
                       "num_return_sequences, best_of: %lld greedy sequences would be equal: expected num_beams or "
                       "do_sample",
                       (long long)best_of);
    if (best_of < c->num_return_sequences)
        return err_set(err, "best_of: expected num_return_sequences, %lld, or more, got %lld",
                       (long long)c->num_return_sequences, (long long)c->best_of);
    if (c->prompt_logprobs >= 0 && c->penalty_alpha > 0)
        return err_set(err, "prompt_logprobs: not told of a prompt that is read for penalty_alpha");
    if (c->penalty_alpha > 0 && c->top_k > MAX_BEAMS)
        return err_as(err, QM_LIMIT, "top_k: expected at most %d with penalty_alpha, got %lld", MAX_BEAMS,
                      (long long)c->top_k);
    return true;
}

bool generation_check(const GenerationConfig *c, int64_t vocab, Err *err) {
    if (c->temperature > 0 && c->temperature < LEAST_TEMPERATURE)
        return err_set(err, "temperature: expected 0, which is greedy, or at least %g, got %g", LEAST_TEMPERATURE,
                       c->temperature);
    const TokenLists *l = c->lists;
    if (c->do_sample && c->top_p <= 0) return err_set(err, "top_p: expected above 0 to 1, got %g", c->top_p);
    if (c->do_sample && c->typical_p <= 0)
        return err_set(err, "typical_p: expected above 0 to 1, got %g", c->typical_p);
    if (c->repetition_penalty <= 0)
        return err_set(err, "repetition_penalty: expected above 0, got %g", c->repetition_penalty);
    if (vocab && l && l->most >= vocab)
        return err_set(err, "a list of ids names %d: outside the vocabulary of %lld", l->most, (long long)vocab);
    if (vocab && c->forced_bos >= vocab)
        return err_set(err, "forced_bos_token_id: %d is outside the vocabulary of %lld", c->forced_bos,
                       (long long)vocab);
    return searches_check(c, err);
}

/* ---- What is in force -------------------------------------------------------------------------------------------- */

static void other(Text *out, const char *name, double value, double off) {
    if (value != off) text_line(out, ", %s %g", name, value);
}

void generation_text(const GenerationConfig *c, Text *out) {
    text_line(out, "%s %lld, ", c->max_length ? "max_length" : "max_new_tokens",
              (long long)(c->max_length ? c->max_length : c->max_new_tokens));
    if (!generation_greedy(c))
        text_line(out, "temperature %g, top_k %lld, top_p %g, min_p %g, seed %lld", c->temperature, (long long)c->top_k,
                  c->top_p, c->min_p, (long long)c->seed);
    else text_line(out, "greedy");
    text_line(out, ", repetition_penalty %g", c->repetition_penalty);
    other(out, "typical_p", c->typical_p, 1);
    other(out, "epsilon_cutoff", c->epsilon_cutoff, 0);
    other(out, "eta_cutoff", c->eta_cutoff, 0);
    other(out, "encoder_repetition_penalty", c->encoder_repetition_penalty, 1);
    other(out, "presence_penalty", c->presence_penalty, 0);
    other(out, "frequency_penalty", c->frequency_penalty, 0);
    other(out, "no_repeat_ngram_size", (double)c->no_repeat_ngram_size, 0);
    other(out, "encoder_no_repeat_ngram_size", (double)c->encoder_no_repeat_ngram_size, 0);
    other(out, "min_length", (double)c->min_length, 0);
    other(out, "min_new_tokens", (double)c->min_new_tokens, 0);
    other(out, "max_time", c->max_time, 0);
    other(out, "exponential_decay_length_penalty", c->decay_factor, 1);
    other(out, "num_beams", (double)c->num_beams, 1);
    other(out, "num_beam_groups", (double)c->num_beam_groups, 1);
    other(out, "num_return_sequences", (double)c->num_return_sequences, 1);
    other(out, "best_of", (double)c->best_of, 0);
    other(out, "penalty_alpha", c->penalty_alpha, 0);
    other(out, "prompt_lookup_num_tokens", (double)c->prompt_lookup_num_tokens, 0);
    if (c->grammar) text_line(out, ", a grammar");
    if (c->lists) text_line(out, ", lists of %lld ids", (long long)c->lists->total);
    text_line(out, ", eos");
    for (int i = 0; i < c->eos_count; i++) text_line(out, " %d", c->eos[i]);
    if (!c->eos_count) text_line(out, " none");
    for (int i = 0; i < stops_count(c->stops); i++) {
        size_t bytes;
        const char *text = stops_text(c->stops, i, &bytes);
        text_line(out, "%s'%.*s'", i ? " " : ", stop ", (int)bytes, text);
    }
}
