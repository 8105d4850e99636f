/* sample.c: the choice of the next token: log-probabilities told, processors, then the likeliest or one draw. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/mix.h"
#include "choice.h"

double draw_uniform(uint64_t seed, uint64_t sequence, uint64_t position) {
    return mix_unit(mix64(mix64(mix64(seed) ^ sequence) ^ position));
}

/* The candidate at which the running sum of the weights, block by block and then one by one, passes u times their
 * total; -1 without candidates. */
static int32_t draw(const Scores *s, double u, SampleWork *w) {
    int64_t best = scores_best(s, w), last = best;
    if (best < 0) return -1;
    float top = s->value[best];
    double left = u * scores_weights(s->value, s->count, top, w, NULL, NULL);
    int64_t b = 0, from = -1;
    for (; b < weigh_blocks(s->count); b++) {
        if (w->sum[b] > 0) from = b * WEIGH_BLOCK;
        if (left < (double)w->sum[b]) break;
        left -= (double)w->sum[b];
    }
    if (from < 0) return scores_id(s, best);
    int64_t n = s->count - from < WEIGH_BLOCK ? s->count - from : WEIGH_BLOCK;
    scores_weights(s->value + from, n, top, w, w->weight, NULL);
    for (int64_t i = 0; i < n; i++) {
        if (!(w->weight[i] > 0)) continue;
        last = from + i;
        left -= (double)w->weight[i];
        if (left < 0) break;
    }
    return scores_id(s, last);
}

/* ---- Log-probabilities ------------------------------------------------------------------------------------------- */

double log_total(const float *logits, SampleWork *w) {
    float top = scores_largest(logits, w->vocab, w);
    if (top == -INFINITY) return INFINITY;
    return (double)top + log(scores_weights(logits, w->vocab, top, w, NULL, NULL));
}

static int by_logprob(const void *a, const void *b) {
    const QmLogprob *x = a, *y = b;
    if (x->logprob != y->logprob) return x->logprob < y->logprob ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static float logprob_of(float logit, double total) { return (float)((double)logit - total); }

/* The n largest into out, in order, ties by id. */
static void likeliest(const float *logits, int64_t vocab, double total, int64_t n, SampleWork *w, QmLogprob *out) {
    QmLogprob found[MAX_LOGPROBS];
    int64_t count = 0;
    float least = select_largest(logits, vocab, n, w);
    for (int tied = 0; tied < 2; tied++) /* above the least are fewer than n; then ties, as far as there is room */
        for (int64_t i = 0; i < vocab && count < n; i++) {
            if (!(w->top[i / WEIGH_BLOCK] >= least)) i |= WEIGH_BLOCK - 1; /* the block holds none */
            else if (tied ? logits[i] == least : logits[i] > least)
                found[count++] = (QmLogprob){(int32_t)i, logprob_of(logits[i], total)};
        }
    qsort(found, (size_t)count, sizeof *found, by_logprob);
    for (int64_t i = 0; i < n; i++) out[i] = i < count ? found[i] : (QmLogprob){-1, -INFINITY};
}

void logprobs_of(const float *logits, double total, int32_t id, int64_t n, SampleWork *w, QmLogprob *out) {
    *out = (QmLogprob){id, logprob_of(logits[id], total)};
    if (n > 0) likeliest(logits, w->vocab, total, n, w, out + 1);
}

bool generation_tell(Generation *g, const float *logits, double total, int32_t id, SampleWork *w, Err *err) {
    int64_t n = g->config.logprobs, at = g->count - g->prompt;
    g->logprob_sum += (double)logprob_of(logits[id], total);
    if (n < 0) return true;
    if (!mem_grow((void **)&g->logprobs, &g->logprobs_capacity, (size_t)((at + 1) * (n + 1)), sizeof *g->logprobs,
                  "log-probabilities", err))
        return false;
    logprobs_of(logits, total, id, n, w, g->logprobs + at * (n + 1));
    return true;
}

/* Whether log-probabilities are wanted, which take the sum over all logits. */
static bool told(const GenerationConfig *c) {
    return c->logprobs >= 0 || c->best_of > 1 || c->num_return_sequences > 1;
}

bool generation_argmax(const Generation *g) {
    const GenerationConfig *c = &g->config;
    ProcessorCall call = {
        .config = c, .ids = g->ids, .count = g->count, .prompt = g->prompt, .matcher = g->matcher};
    if (!generation_greedy(c) || told(c) || g->proof) return false;
    for (int i = 0; i < processor_count; i++)
        if (!processor_rows[i].sampling && processor_rows[i].applies(&call)) return false;
    return true;
}

bool generation_enough(Generation *g, const float *logits, float floor, SampleWork *w) {
    const GenerationConfig *c = &g->config;
    ProcessorCall call = {
        .config = c, .ids = g->ids, .count = g->count, .prompt = g->prompt, .work = w, .matcher = g->matcher};
    return !told(c) && !g->proof && processors_enough(&call, logits, floor, !generation_greedy(c));
}

bool generation_choose(Generation *g, float *logits, uint64_t sequence, SampleWork *w, int32_t *id, Err *err) {
    const GenerationConfig *c = &g->config;
    bool tell = told(c);
    if (!c->remove_invalid_values && !logits_sound(logits, w->vocab)) {
        *id = TOKEN_INVALID;
        return true;
    }
    proof_add(g->proof, logits, w->vocab);
    double total = tell ? log_total(logits, w) : 0;
    if (tell) memcpy(w->raw, logits, (size_t)w->vocab * sizeof *logits);
    Scores s = {.value = logits, .id = w->id, .count = w->vocab, .all = true};
    ProcessorCall call = {
        .config = c, .ids = g->ids, .count = g->count, .prompt = g->prompt, .scores = &s, .work = w,
        .matcher = g->matcher, .state = g->state, .fault = &g->fault};
    bool greedy = generation_greedy(c);
    processors_run(&call, !greedy);
    if (greedy) {
        int64_t best = scores_best(&s, w);
        *id = best < 0 ? TOKEN_NONE : scores_id(&s, best);
    } else {
        *id = draw(&s, draw_uniform((uint64_t)c->seed, sequence, (uint64_t)g->count), w);
    }
    return !tell || *id < 0 || generation_tell(g, w->raw, total, *id, w, err);
}

static bool next_token_enough(void *owner, const float *logits, float floor) {
    NextToken *n = owner;
    return generation_enough(n->generation, logits, floor, n->work);
}

bool next_token_ask(NextToken *n, QmAppend *entry, Err *err) {
    bool best = generation_argmax(n->generation);
    if (!best && !n->logits && !(n->logits = mem_new((size_t)n->work->vocab, sizeof *n->logits, "logits", err)))
        return false;
    entry->logits_from = 1;
    entry->argmax = best ? &n->best : NULL;
    entry->logits = best ? NULL : n->logits;
    entry->enough = next_token_enough;
    entry->owner = n;
    return true;
}

bool next_token_take(NextToken *n, uint64_t sequence, int32_t *id, Err *err) {
    if (!generation_argmax(n->generation))
        return generation_choose(n->generation, n->logits, sequence, n->work, id, err);
    *id = n->best < 0 ? TOKEN_INVALID : n->best;
    return true;
}
