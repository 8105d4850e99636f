/* processors.c: the table, and the processors that go by the history: they see the whole vocabulary, s[id]. */
#include "processors.h"
#include <float.h>
#include <math.h>
#include <string.h>
#include "lists.h"
#include "repeats.h"

static bool is_eos(const GenerationConfig *c, int32_t id) {
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos[i] == id) return true;
    return false;
}

/* A score of the whole vocabulary; parameters may name ids that the model does not have. */
static float *score_of(ProcessorCall *c, int32_t id) { return id < c->scores->count ? &c->scores->value[id] : NULL; }

static void ban(ProcessorCall *c, int32_t id) {
    float *s = score_of(c, id);
    if (s) *s = -INFINITY;
}

static void ban_eos(ProcessorCall *c) {
    for (int i = 0; i < c->config->eos_count; i++) ban(c, c->config->eos[i]);
}

/* Only these ids, with score 0. */
static void force(ProcessorCall *c, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < c->scores->count; i++) c->scores->value[i] = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        if (score_of(c, ids[i])) *score_of(c, ids[i]) = 0;
}

/* ---- Biases ------------------------------------------------------------------------------------------------------ */

static bool ends_with(const ProcessorCall *c, const IdList *ids) {
    int64_t n = ids->count - 1;
    if (n == 0) return true;
    if (ids->count > c->count) return false; /* as in Hugging Face: no shorter history, though n ids would do */
    for (int64_t i = 0; i < n; i++)
        if (c->ids[c->count - n + i] != ids->ids[i]) return false;
    return true;
}

static void bias_apply(ProcessorCall *c, const BiasList *list) {
    for (int64_t i = 0; i < list->count; i++) {
        const IdBias *row = &list->rows[i];
        float *s = score_of(c, row->ids.ids[row->ids.count - 1]);
        if (s && ends_with(c, &row->ids)) *s += row->bias;
    }
}

/* SequenceBiasLogitsProcessor: s[last] + bias when the history ends with all ids but the last. */
static bool sequence_bias_applies(const ProcessorCall *c) {
    return c->config->lists && c->config->lists->sequence_bias.count;
}
static void sequence_bias_apply(ProcessorCall *c) { bias_apply(c, &c->config->lists->sequence_bias); }

/* logit_bias (OpenAI): s[id] + bias. */
static bool logit_bias_applies(const ProcessorCall *c) {
    return c->config->lists && c->config->lists->logit_bias.count;
}
static void logit_bias_apply(ProcessorCall *c) { bias_apply(c, &c->config->lists->logit_bias); }

/* NoBadWordsLogitsProcessor: a bias of -inf; the end-of-sequence id alone is no bad word. */
static bool bad_words_applies(const ProcessorCall *c) { return c->config->lists && c->config->lists->bad_words.count; }
static void bad_words_apply(ProcessorCall *c) {
    const BiasList *list = &c->config->lists->bad_words;
    for (int64_t i = 0; i < list->count; i++) {
        const IdList *ids = &list->rows[i].ids;
        int32_t last = ids->ids[ids->count - 1];
        if (ids->count == 1 && is_eos(c->config, last)) continue;
        if (ends_with(c, ids)) ban(c, last);
    }
}

/* ---- Repetition -------------------------------------------------------------------------------------------------- */

/* Each id of [from, to) once: s < 0 ? s * p : s / p (Keskar et al. 2019). */
static void penalise(ProcessorCall *c, int64_t from, int64_t to, float p) {
    for (int64_t i = from; i < to; i++) {
        float *s = score_of(c, c->ids[i]);
        if (!s || c->work->tally[c->ids[i]]++) continue;
        *s = *s < 0 ? *s * p : *s / p;
    }
    for (int64_t i = from; i < to; i++)
        if (score_of(c, c->ids[i])) c->work->tally[c->ids[i]] = 0;
}

/* EncoderRepetitionPenaltyLogitsProcessor: ids of the prompt, by 1 / penalty. */
static bool encoder_repetition_applies(const ProcessorCall *c) { return c->config->encoder_repetition_penalty != 1; }
static void encoder_repetition_apply(ProcessorCall *c) {
    penalise(c, 0, c->prompt, (float)(1 / c->config->encoder_repetition_penalty));
}

/* RepetitionPenaltyLogitsProcessor: ids of prompt and new. */
static bool repetition_applies(const ProcessorCall *c) { return c->config->repetition_penalty != 1; }
static void repetition_apply(ProcessorCall *c) { penalise(c, 0, c->count, (float)c->config->repetition_penalty); }

/* presence_penalty, frequency_penalty (OpenAI): s - presence - n frequency, for an id that is n times among the new
 * ones. */
static bool frequency_applies(const ProcessorCall *c) {
    return c->config->presence_penalty != 0 || c->config->frequency_penalty != 0;
}
static void frequency_apply(ProcessorCall *c) {
    int32_t *tally = c->work->tally;
    for (int64_t i = c->prompt; i < c->count; i++)
        if (score_of(c, c->ids[i])) tally[c->ids[i]]++;
    for (int64_t i = c->prompt; i < c->count; i++) {
        float *s = score_of(c, c->ids[i]);
        if (!s || !tally[c->ids[i]]) continue;
        *s -= (float)(c->config->presence_penalty + tally[c->ids[i]] * c->config->frequency_penalty);
        tally[c->ids[i]] = 0;
    }
}

/* Bans what would end an n-gram that ids [0, to) hold already: wherever the last n - 1 ids stood before, what followed.
 * Long ones by how much repeats where, so that the work is that of one pass; without memory for it, one by one. */
static void ban_ngrams(ProcessorCall *c, int64_t n, int64_t to) {
    enum { SHORT = 8 };
    SampleWork *w = c->work;
    if (c->count < n - 1) return;
    const int32_t *last = c->ids + c->count - (n - 1);
    bool known = n > SHORT && mem_grow((void **)&w->repeats, &w->repeats_room, (size_t)c->count, sizeof *w->repeats,
                                       "repeats", NULL);
    if (known) repeats_of_end(c->ids, c->count, w->repeats);
    for (int64_t at = n - 1; at < to; at++) {
        int64_t same = known ? w->repeats[at] : 0;
        while (!known && same < n - 1 && c->ids[at - (n - 1) + same] == last[same]) same++;
        if (same >= n - 1) ban(c, c->ids[at]);
    }
}

/* NoRepeatNGramLogitsProcessor (Paulus et al. 2017). */
static bool no_repeat_applies(const ProcessorCall *c) { return c->config->no_repeat_ngram_size > 0; }
static void no_repeat_apply(ProcessorCall *c) { ban_ngrams(c, c->config->no_repeat_ngram_size, c->count); }

/* EncoderNoRepeatNGramLogitsProcessor: n-grams of the prompt. */
static bool encoder_no_repeat_applies(const ProcessorCall *c) { return c->config->encoder_no_repeat_ngram_size > 0; }
static void encoder_no_repeat_apply(ProcessorCall *c) {
    ban_ngrams(c, c->config->encoder_no_repeat_ngram_size, c->prompt);
}

/* HammingDiversityLogitsProcessor: s - penalty for each earlier group of beams that chose the id (Vijayakumar et al.
 * 2016). */
static bool diversity_applies(const ProcessorCall *c) {
    return c->rival_count > 0 && c->config->diversity_penalty != 0;
}
static void diversity_apply(ProcessorCall *c) {
    int32_t *tally = c->work->tally;
    for (int64_t i = 0; i < c->rival_count; i++)
        if (score_of(c, c->rivals[i])) tally[c->rivals[i]]++;
    for (int64_t i = 0; i < c->rival_count; i++) {
        float *s = score_of(c, c->rivals[i]);
        if (!s) continue;
        *s -= (float)(tally[c->rivals[i]] * c->config->diversity_penalty);
        tally[c->rivals[i]] = 0;
    }
}

/* ---- Length ------------------------------------------------------------------------------------------------------ */

/* MinLengthLogitsProcessor: no end while prompt and new are fewer than min_length. */
static bool min_length_applies(const ProcessorCall *c) { return c->count < c->config->min_length; }
/* MinNewTokensLengthLogitsProcessor: no end while new tokens are fewer than min_new_tokens. */
static bool min_new_tokens_applies(const ProcessorCall *c) { return c->count - c->prompt < c->config->min_new_tokens; }

/* ForcedBOSTokenLogitsProcessor: the second id of all is this one. */
static bool forced_bos_applies(const ProcessorCall *c) { return c->config->forced_bos >= 0 && c->count == 1; }
static void forced_bos_apply(ProcessorCall *c) { force(c, &c->config->forced_bos, 1); }

/* ForcedEOSTokenLogitsProcessor: the last id that max_new_tokens allows is one of these. */
static bool forced_eos_applies(const ProcessorCall *c) {
    return c->config->lists && c->config->lists->forced_eos.count &&
           c->count - c->prompt == c->config->max_new_tokens - 1;
}
static void forced_eos_apply(ProcessorCall *c) {
    force(c, c->config->lists->forced_eos.ids, c->config->lists->forced_eos.count);
}

/* ExponentialDecayLengthPenalty: n = new tokens - start > 0: s[end] + |s[end]| (factor^n - 1). */
static bool decay_applies(const ProcessorCall *c) {
    return c->config->decay_factor != 1 && c->count - c->prompt > c->config->decay_start;
}
static void decay_apply(ProcessorCall *c) {
    double n = (double)(c->count - c->prompt - c->config->decay_start);
    for (int i = 0; i < c->config->eos_count; i++) {
        float *s = score_of(c, c->config->eos[i]);
        if (s && *s > -INFINITY) *s += (float)(fabs((double)*s) * (pow(c->config->decay_factor, n) - 1));
    }
}

/* PrefixConstrainedLogitsProcessor: only tokens that the grammar lets follow; an end where its text is whole. */
static bool grammar_applies(const ProcessorCall *c) { return c->matcher != NULL; }
static void grammar_apply(ProcessorCall *c) {
    Err err = {0};
    const uint8_t *mask = c->state >= 0 ? matcher_mask(c->matcher, c->state, &err) : NULL;
    int64_t known = mask ? matcher_tokens(c->matcher) : 0;
    float ends[MAX_STOP_IDS];
    if (err.kind) *c->fault = matcher_fault(c->matcher);
    for (int i = 0; i < c->config->eos_count; i++)
        ends[i] = score_of(c, c->config->eos[i]) ? *score_of(c, c->config->eos[i]) : 0;
    for (int64_t i = 0; i < c->scores->count; i++)
        if (i >= known || !(mask[i / 8] >> i % 8 & 1)) c->scores->value[i] = -INFINITY;
    if (!matcher_accepts(c->matcher, c->state)) return;
    for (int i = 0; i < c->config->eos_count; i++)
        if (score_of(c, c->config->eos[i])) *score_of(c, c->config->eos[i]) = ends[i];
}

/* ---- Whole ids --------------------------------------------------------------------------------------------------- */

/* InfNanRemoveLogitsProcessor: NaN becomes 0, +inf and -inf the largest and the least number. */
static bool invalid_applies(const ProcessorCall *c) { return c->config->remove_invalid_values; }
static void invalid_apply(ProcessorCall *c) {
    for (int64_t i = 0; i < c->scores->count; i++) {
        float *s = &c->scores->value[i];
        if (*s != *s) *s = 0;
        else if (isinf(*s)) *s = *s > 0 ? FLT_MAX : -FLT_MAX;
    }
}

static void ban_all(ProcessorCall *c, const IdList *list) {
    for (int64_t i = 0; i < list->count; i++) ban(c, list->ids[i]);
}

/* SuppressTokensLogitsProcessor. */
static bool suppress_applies(const ProcessorCall *c) { return c->config->lists && c->config->lists->suppress.count; }
static void suppress_apply(ProcessorCall *c) { ban_all(c, &c->config->lists->suppress); }

/* SuppressTokensAtBeginLogitsProcessor: the first new id; after a prompt of one id and a forced second, the one
 * after. */
static bool begin_applies(const ProcessorCall *c) {
    return c->config->lists && c->config->lists->begin_suppress.count &&
           c->count == c->prompt + (c->prompt == 1 && c->config->forced_bos >= 0);
}
static void begin_apply(ProcessorCall *c) { ban_all(c, &c->config->lists->begin_suppress); }

/* ---- The table: the order is that of _get_logits_processor in generation/utils.py; OpenAI's go beside their like - */

static bool temperature_applies(const ProcessorCall *c) { return c->config->temperature != 1; }
static bool top_k_applies(const ProcessorCall *c) { return c->config->top_k > 0; }
static bool top_p_applies(const ProcessorCall *c) { return c->config->top_p < 1; }
static bool min_p_applies(const ProcessorCall *c) { return c->config->min_p > 0; }
static bool typical_applies(const ProcessorCall *c) { return c->config->typical_p < 1; }
static bool epsilon_applies(const ProcessorCall *c) { return c->config->epsilon_cutoff > 0; }
static bool eta_applies(const ProcessorCall *c) { return c->config->eta_cutoff > 0; }
static bool renormalize_applies(const ProcessorCall *c) { return c->config->renormalize_logits; }

static bool always(const ProcessorCall *c) { return (void)c, true; }
static bool repetition_lowers(const ProcessorCall *c) { return (float)c->config->repetition_penalty >= 1; }
static bool encoder_repetition_lowers(const ProcessorCall *c) {
    return (float)(1 / c->config->encoder_repetition_penalty) >= 1;
}
static bool frequency_lowers(const ProcessorCall *c) {
    return c->config->presence_penalty >= 0 && c->config->frequency_penalty >= 0;
}

const ProcessorRow processor_rows[] = {
    {"SequenceBiasLogitsProcessor", false, sequence_bias_applies, sequence_bias_apply, NULL},
    {"logit_bias", false, logit_bias_applies, logit_bias_apply, NULL},
    {"HammingDiversityLogitsProcessor", false, diversity_applies, diversity_apply, NULL},
    {"EncoderRepetitionPenaltyLogitsProcessor", false, encoder_repetition_applies, encoder_repetition_apply,
     encoder_repetition_lowers},
    {"RepetitionPenaltyLogitsProcessor", false, repetition_applies, repetition_apply, repetition_lowers},
    {"frequency_penalty", false, frequency_applies, frequency_apply, frequency_lowers},
    {"NoRepeatNGramLogitsProcessor", false, no_repeat_applies, no_repeat_apply, always},
    {"EncoderNoRepeatNGramLogitsProcessor", false, encoder_no_repeat_applies, encoder_no_repeat_apply, always},
    {"NoBadWordsLogitsProcessor", false, bad_words_applies, bad_words_apply, always},
    {"MinLengthLogitsProcessor", false, min_length_applies, ban_eos, always},
    {"MinNewTokensLengthLogitsProcessor", false, min_new_tokens_applies, ban_eos, always},
    {"PrefixConstrainedLogitsProcessor", false, grammar_applies, grammar_apply, NULL},
    {"ForcedBOSTokenLogitsProcessor", false, forced_bos_applies, forced_bos_apply, NULL},
    {"ForcedEOSTokenLogitsProcessor", false, forced_eos_applies, forced_eos_apply, NULL},
    {"InfNanRemoveLogitsProcessor", false, invalid_applies, invalid_apply, NULL},
    {"ExponentialDecayLengthPenalty", false, decay_applies, decay_apply, NULL},
    {"SuppressTokensLogitsProcessor", false, suppress_applies, suppress_apply, always},
    {"SuppressTokensAtBeginLogitsProcessor", false, begin_applies, begin_apply, always},
    {"TemperatureLogitsWarper", true, temperature_applies, temperature_apply, NULL},
    {"TopKLogitsWarper", true, top_k_applies, top_k_apply, NULL},
    {"TopPLogitsWarper", true, top_p_applies, top_p_apply, NULL},
    {"MinPLogitsWarper", true, min_p_applies, min_p_apply, NULL},
    {"TypicalLogitsWarper", true, typical_applies, typical_apply, NULL},
    {"EpsilonLogitsWarper", true, epsilon_applies, epsilon_apply, NULL},
    {"EtaLogitsWarper", true, eta_applies, eta_apply, NULL},
    {"LogitNormalization", false, renormalize_applies, renormalize_apply, NULL},
};
const int processor_count = (int)(sizeof processor_rows / sizeof *processor_rows);

void processors_run(ProcessorCall *call, bool sampling) {
    for (int i = 0; i < processor_count; i++) {
        const ProcessorRow *row = &processor_rows[i];
        if ((sampling || !row->sampling) && row->applies(call)) row->apply(call);
    }
}

/* Runs the processors before the first filter on a copy of the row; false: one of them may raise a score. */
static bool run_lowering(ProcessorCall *c, bool sampling) {
    for (int i = 0; i < processor_count; i++) {
        const ProcessorRow *row = &processor_rows[i];
        if (row->sampling && sampling) return true; /* from here on filters see what is left */
        if (row->sampling || !row->applies(c)) continue;
        if (!row->lowers || !row->lowers(c)) return false;
        row->apply(c);
    }
    return true;
}

bool processors_enough(const ProcessorCall *call, const float *logits, float floor, bool sampling) {
    const GenerationConfig *config = call->config;
    if (call->matcher || (sampling && config->top_k < 1)) return false;
    int64_t need = config->top_k > config->min_tokens_to_keep ? config->top_k : config->min_tokens_to_keep;
    if (!sampling) need = 1;
    SampleWork *w = call->work;
    Scores s = {.value = w->raw, .id = w->id, .count = w->vocab, .all = true};
    ProcessorCall c = *call;
    c.scores = &s;
    memcpy(w->raw, logits, (size_t)w->vocab * sizeof *logits);
    if (!run_lowering(&c, sampling)) return false;
    if (sampling && temperature_applies(&c)) { /* a quotient may round to another's: they are compared after it */
        temperature_apply(&c);
        w->weigh->divide(&floor, 1, (float)config->temperature);
    }
    for (int64_t i = 0; i < w->vocab && need > 0; i++) need -= w->raw[i] > floor;
    return need == 0;
}
