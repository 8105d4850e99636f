/* request_fields.c: the members that chats and completions share, and what clients of vLLM and llama.cpp add. */
#include <stdlib.h>
#include <string.h>
#include "chat_request.h"

enum { MOST = 1 << 30 };

static const NumberField numbers[] = {
    {"temperature", "temperature", 0, 2, false},
    {"top_p", "top_p", 0, 1, false},
    {"presence_penalty", "presence_penalty", -2, 2, false},
    {"frequency_penalty", "frequency_penalty", -2, 2, false},
    {"top_k", "top_k", -1, MOST, true},
    {"min_p", "min_p", 0, 1, false},
    {"typical_p", "typical_p", 0, 1, false},
    {"repeat_penalty", "repetition_penalty", 1e-6, 1e6, false},
    {"repetition_penalty", "repetition_penalty", 1e-6, 1e6, false},
    {"min_tokens", "min_new_tokens", 0, MOST, true},
};

/* Generation parameters that a body may have under their own names: qm_parameters_set checks them. */
static const char *const own[] = {
    "epsilon_cutoff", "eta_cutoff", "min_tokens_to_keep", "encoder_repetition_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "renormalize_logits", "sequence_bias",
    "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "max_time", "num_beams", "num_beam_groups",
    "length_penalty", "diversity_penalty", "early_stopping", "penalty_alpha", "prompt_lookup_num_tokens",
    "max_matching_ngram_size", NULL,
};

/* What may bind the form of the text. */
static const char *const structures[] = {
    "response_format", "json_schema", "grammar", "regex", "guided_json", "guided_regex", "guided_choice",
    "guided_grammar", "structured_outputs", NULL,
};

/* Further members that are read below. */
static const char *const others[] = {
    "model", "max_completion_tokens", "max_tokens", "n_predict", "n", "stop", "seed", "logit_bias", "stop_token_ids",
    "ignore_eos", "stream", "stream_options", "return_token_ids", "qwenmesh", NULL,
};

/* What clients send that has nothing to change here; not worth a line of a log. */
static const char *const idle[] = {
    "user", "store", "metadata", "service_tier", "reasoning_effort", "verbosity", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "modalities", "prediction", "web_search_options", "cache_prompt",
    "id_slot", "cache_salt", "priority", "guided_decoding_backend", "request_id", NULL,
};

static bool among(const char *name, const char *const *list) {
    while (*list && strcmp(*list, name)) list++;
    return *list != NULL;
}

static bool is_number(const char *name) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(numbers[i].name, name)) return true;
    return false;
}

void request_unknown(ChatRequest *r, const json_t *body, const char *const *more) {
    const char *name;
    json_t *value;
    size_t at = strlen(r->unknown);
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        if (among(name, more) || among(name, others) || among(name, own) || among(name, structures) ||
            among(name, idle) || is_number(name))
            continue;
        NameText shown = name_text(name, strlen(name));
        if (at + strlen(shown.text) + 3 > sizeof r->unknown) return;
        at += (size_t)snprintf(r->unknown + at, sizeof r->unknown - at, "%s%s", at ? ", " : "", shown.text);
    }
}

/* -1 means no bound, as in llama.cpp. The first that is there wins. */
static bool read_length(ChatRequest *r, const json_t *body, int64_t least, Err *err) {
    static const char *const names[] = {"max_completion_tokens", "max_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *value = request_member(body, names[i]);
        if (!value) continue;
        int64_t v = json_integer_value(value);
        if (!json_is_integer(value) || v < -1 || (v >= 0 && v < least))
            return request_wrong(r, err, names[i], "expected an integer of %lld or more", (long long)least);
        r->max_new = v;
        return true;
    }
    return true;
}

static bool read_bias(ChatRequest *r, const json_t *body, Err *err) {
    json_t *bias = request_member(body, "logit_bias"), *value;
    const char *key;
    if (!bias) return true;
    if (!json_is_object(bias)) return request_wrong(r, err, "logit_bias", "expected an object {\"id\": bias}");
    if (json_object_size(bias) > MAX_BIASES)
        return request_wrong(r, err, "logit_bias", "expected at most %d ids, got %zu", MAX_BIASES,
                             json_object_size(bias));
    if (json_object_size(bias) == 0) return true;
    json_object_foreach(bias, key, value) {
        int64_t id;
        double v = json_number_value(value);
        if (!parse_int(key, 0, INT32_MAX, &id))
            return request_wrong(r, err, "logit_bias", "expected ids, got \"%s\"", name_text(key, strlen(key)).text);
        if (!json_is_number(value) || v < -100 || v > 100)
            return request_wrong(r, err, "logit_bias", "%s: expected a number from -100 to 100", key);
    }
    return request_put(r, "logit_bias", json_incref(bias), err);
}

static bool read_stop_ids(ChatRequest *r, const json_t *body, Err *err) {
    enum { MOST_IDS = 32 };
    const json_t *list = request_member(body, "stop_token_ids"), *id;
    size_t i, count = json_array_size(list);
    if (!list) return true;
    if (!json_is_array(list) || count > MOST_IDS)
        return request_wrong(r, err, "stop_token_ids", "expected a list of at most %d ids", MOST_IDS);
    if (!(r->stop_ids = mem_new(count ? count : 1, sizeof *r->stop_ids, "stop ids", err))) return false;
    json_array_foreach(list, i, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return request_wrong(r, err, "stop_token_ids", "expected ids");
        r->stop_ids[r->stop_id_count++] = (int32_t)json_integer_value(id);
    }
    return true;
}

static bool read_stream(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *options = request_member(body, "stream_options");
    if (!request_flag(r, body, "stream", &r->stream, err)) return false;
    if (!options) return true;
    if (!json_is_object(options)) return request_wrong(r, err, "stream_options", "expected an object");
    if (!r->stream) return request_wrong(r, err, "stream_options", "expected \"stream\": true with it");
    return request_flag(r, options, "include_usage", &r->include_usage, err) &&
           request_flag(r, options, "continuous_usage_stats", &r->continuous_usage, err) &&
           request_padding(r, options, err);
}

static bool read_own(ChatRequest *r, const json_t *body, Err *err) {
    json_t *value, *options = request_member(body, "qwenmesh");
    for (const char *const *name = own; *name; name++)
        if ((value = request_member(body, *name)) && !request_put(r, *name, json_incref(value), err)) return false;
    for (const char *const *name = structures; *name; name++) {
        if (!(value = request_member(body, *name))) continue;
        if (!r->structure && !(r->structure = json_object())) return request_memory(err);
        if (json_object_set(r->structure, *name, value)) return request_memory(err);
    }
    if (!options) return true;
    if (!json_is_object(options)) return request_wrong(r, err, "qwenmesh", "expected an object");
    r->options = json_incref(options);
    return request_flag(r, options, "proof", &r->proof, err);
}

bool request_fields(ChatRequest *r, const json_t *body, int64_t least, Err *err) {
    return request_model(r, body, err) && read_length(r, body, least, err) &&
           request_count(r, body, "n", 1, MAX_CHOICES, &r->n, err) &&
           request_numbers(r, body, numbers, (int)(sizeof numbers / sizeof *numbers), err) &&
           request_sampling(r, err) && request_stops(r, request_member(body, "stop"), "stop", err) &&
           request_seed(r, request_member(body, "seed"), err) && read_bias(r, body, err) &&
           read_stop_ids(r, body, err) && request_flag(r, body, "ignore_eos", &r->ignore_eos, err) &&
           request_flag(r, body, "return_token_ids", &r->token_ids, err) && read_stream(r, body, err) &&
           read_own(r, body, err);
}
