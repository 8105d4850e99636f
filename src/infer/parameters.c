/* parameters.c: the tables of names. */
#include "parameters.h"
#include "../base/distance.h"
#include "../io/names.h"
#include <string.h>

/* Read by generation_config.c, lists.c and structure.c. */
static const char *const known[] = {
    "max_new_tokens", "max_length", "min_length", "min_new_tokens", "max_time", "do_sample", "temperature", "top_k",
    "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "min_tokens_to_keep", "seed", "repetition_penalty",
    "encoder_repetition_penalty", "presence_penalty", "frequency_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty",
    "remove_invalid_values", "renormalize_logits", "num_beams", "num_beam_groups", "num_return_sequences", "best_of",
    "length_penalty", "diversity_penalty", "early_stopping", "penalty_alpha", "prompt_lookup_num_tokens",
    "max_matching_ngram_size", "num_assistant_tokens", "logprobs", "top_logprobs", "prompt_logprobs",
    "eos_token_id", "stop_token_ids", "stop_strings", "stop", "suppress_tokens", "begin_suppress_tokens",
    "sequence_bias", "bad_words_ids", "logit_bias", "grammar", "regex", "json_schema", "response_format", "choices",
    "tool_calls", "thinking", "pad_token_id", NULL,
};

/* Members of Hugging Face's GenerationConfig that do not change which tokens come: how its library computes, and ids
 * that only encoder-decoder models need. */
static const char *const idle[] = {
    "bos_token_id", "decoder_start_token_id", "use_cache", "cache_implementation", "cache_config",
    "max_cache_len", "return_legacy_cache", "prefill_chunk_size", "low_memory", "compile_config", "disable_compile",
    "continuous_batching_config", "is_assistant", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
    "assistant_lookbehind", "target_lookbehind", "speculation_type", "use_mtp", "transformers_version",
    "_from_model_config", "_commit_hash", NULL,
};

/* What generate() does with these is not there. null, false, an empty list, and `off` switch each off. */
typedef struct Absent { const char *name, *what; double off; } Absent;
static const Absent absent[] = {
    {"guidance_scale", "classifier-free guidance", 1},
    {"negative_prompt_ids", "classifier-free guidance", 0},
    {"negative_prompt_attention_mask", "classifier-free guidance", 0},
    {"watermarking_config", "watermarks", 0},
    {"top_h", "the filter top-H", 0},
    {"p_less", "the filter p-less", 0},
    {"dola_layers", "contrast of layers (DoLa)", 0},
    {"constraints", "constrained beams", 0},
    {"force_words_ids", "constrained beams", 0},
    {"forced_decoder_ids", "forced ids of a decoder", 0},
    {"token_healing", "token healing", 0},
    {"assistant_early_exit", "drafts of the model's first layers", 0},
    {"assistant_ensemble_weight", "ensembles with a draft model", 0},
    {"prefix_allowed_tokens_fn", "functions; grammar, regex and json_schema bind a text", 0},
    {"logits_processor", "processors from outside", 0},
    {"stopping_criteria", "criteria from outside", 0},
    {"custom_generate", "code from outside", 0},
    {"output_scores", "scores in results; logprobs tells log-probabilities", 0},
    {"output_logits", "logits in results; the command forward writes them", 0},
    {"output_attentions", "attentions in results", 0},
    {"output_hidden_states", "hidden states in results; the command forward writes them", 0},
    {"return_dict_in_generate", "another form of results", 0},
    {NULL, NULL, 0},
};

/* What other programs call it. */
typedef struct Elsewhere { const char *name, *here; } Elsewhere;
static const Elsewhere elsewhere[] = {
    {"max_tokens", "\"max_new_tokens\""},
    {"max_completion_tokens", "\"max_new_tokens\""},
    {"max_output_tokens", "\"max_new_tokens\""},
    {"n_predict", "\"max_new_tokens\""},
    {"num_predict", "\"max_new_tokens\""},
    {"min_tokens", "\"min_new_tokens\""},
    {"n", "\"num_return_sequences\""},
    {"ignore_eos", "\"eos_token_id\": null"},
    {"repeat_penalty", "\"repetition_penalty\""},
    {"guided_regex", "\"regex\""},
    {"guided_json", "\"json_schema\""},
    {"guided_grammar", "\"grammar\""},
    {"guided_choice", "\"choices\""},
    {"structured_outputs", "\"regex\", \"json_schema\" or \"grammar\""},
    {"guided_decoding", "\"regex\", \"json_schema\" or \"grammar\""},
    {"format", "\"response_format\" or \"json_schema\""},
    {"schema", "\"json_schema\""},
    {"ebnf", "\"grammar\""},
    {"allowed_token_ids", "\"logit_bias\" or \"suppress_tokens\""},
    {"bad_words", "\"bad_words_ids\""},
    {"use_beam_search", "\"num_beams\""},
    {"beam_width", "\"num_beams\""},
    {"num_samples", "\"num_return_sequences\""},
    {"random_seed", "\"seed\""},
    {"input_ids", "\"ids\""},
    {"prompt_token_ids", "\"ids\""},
    {"inputs", "\"prompt\""},
    {"input", "\"prompt\""},
    {"text", "\"prompt\""},
    {NULL, NULL},
};

static bool among(const char *name, const char *const *list) {
    for (; list && *list; list++)
        if (!strcmp(name, *list)) return true;
    return false;
}

static const char *nearest(const char *name, const char *const *a, const char *const *b) {
    const char *const *lists[] = {a, b};
    const char *best = NULL;
    int least = (int)strlen(name) / 3 + 1;
    for (int i = 0; i < 2; i++)
        for (const char *const *one = lists[i]; one && *one; one++) {
            int d = text_distance(name, *one, least);
            if (d < least || (!best && d == least)) best = *one, least = d;
        }
    return best;
}

static bool unknown(const char *name, const char *const *more, const char *where, Err *err) {
    for (const Elsewhere *e = elsewhere; e->name; e++)
        if (!strcmp(name, e->name)) return err_set(err, "%s: unknown member \"%s\": expected %s", where, name, e->here);
    const char *near = nearest(name, known, more);
    if (near) return err_set(err, "%s: unknown member \"%s\": did you mean \"%s\"?", where,
                                 name_text(name, strlen(name)).text, near);
    return err_set(err, "%s: unknown member \"%s\": expected a generation parameter%s", where,
                   name_text(name, strlen(name)).text, more ? ", or what the prompt is" : "");
}

static bool is_off(const Absent *a, const json_t *value) {
    return !value || json_is_null(value) || json_is_false(value) ||
           (a->off != 0 && json_is_number(value) && json_number_value(value) == a->off) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool absent_refused(const json_t *object, const char *where, Err *err) {
    for (const Absent *a = absent; a->name; a++)
        if (!is_off(a, json_object_get(object, a->name)))
            return err_set(err, "%s: \"%s\" is not supported (%s)", where, a->name, a->what);
    return true;
}

static bool is_absent(const char *name) {
    for (const Absent *a = absent; a->name; a++)
        if (!strcmp(name, a->name)) return true;
    return false;
}

bool parameters_known(const json_t *object, const char *const *more, const char *where, Err *err) {
    const char *name;
    json_t *value;
    if (!absent_refused(object, where, err)) return false;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        if (!among(name, known) && !among(name, more) && !among(name, idle) && !is_absent(name))
            return unknown(name, more, where, err);
    }
    return true;
}

bool parameters_of_file(const json_t *object, const char *where, Err *err) {
    return absent_refused(object, where, err);
}

bool members_known(const json_t *object, const char *const *list, const char *where, const char *what, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        if (among(name, list)) continue;
        const char *near = nearest(name, list, NULL);
        NameText shown = name_text(name, strlen(name));
        if (near)
            return err_set(err, "%s: %s: unknown member \"%s\": did you mean \"%s\"?", where, what, shown.text, near);
        return err_set(err, "%s: %s: unknown member \"%s\"", where, what, shown.text);
    }
    return true;
}
