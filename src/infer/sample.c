/* sample.c: the choice of the next token: log-probabilities told, processors, then the likeliest or one draw. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "choice.h"

/* A number in [0, 1) from a counter: rounds of the splitmix64 finaliser (Steele et al. 2014) over the key's parts. */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double draw_uniform(uint64_t seed, uint64_t sequence, uint64_t position) {
    return (double)(mix(mix(mix(seed) ^ sequence) ^ position) >> 11) * 0x1p-53;
}

/* The candidate at which the running sum of the weights passes u times their total; -1 without candidates. */
static int32_t draw(const Scores *s, double u, float *weight) {
    int64_t best = scores_best(s), last = best;
    if (best < 0) return -1;
    double left = u * scores_weights(s, s->value[best], weight);
    for (int64_t i = 0; i < s->count; i++) {
        if (!(weight[i] > 0)) continue;
        last = i;
        left -= (double)weight[i];
        if (left < 0) break;
    }
    return scores_id(s, last);
}

/* ---- Log-probabilities ------------------------------------------------------------------------------------------- */

double log_total(const float *logits, int64_t vocab, float *weight) {
    Scores s = {.value = (float *)(uintptr_t)logits, .count = vocab, .all = true};
    int64_t best = scores_best(&s);
    if (best < 0) return INFINITY;
    return (double)logits[best] + log(scores_weights(&s, logits[best], weight));
}

static int by_logprob(const void *a, const void *b) {
    const TokenLogprob *x = a, *y = b;
    if (x->logprob != y->logprob) return x->logprob < y->logprob ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The n largest into out, in order, ties by id. */
static void likeliest(const float *logits, int64_t vocab, double total, int64_t n, SampleWork *w, TokenLogprob *out) {
    TokenLogprob found[2 * MAX_LOGPROBS];
    int64_t count = 0;
    float least = select_largest(logits, vocab, n, w->weight);
    for (int64_t i = 0; i < vocab && count < MAX_LOGPROBS; i++) /* above the least: fewer than n */
        if (logits[i] > least) found[count++] = (TokenLogprob){(int32_t)i, (float)((double)logits[i] - total)};
    for (int64_t i = 0; i < vocab && count < n; i++)
        if (logits[i] == least) found[count++] = (TokenLogprob){(int32_t)i, (float)((double)logits[i] - total)};
    qsort(found, (size_t)count, sizeof *found, by_logprob);
    for (int64_t i = 0; i < n; i++) out[i] = i < count ? found[i] : (TokenLogprob){-1, -INFINITY};
}

/* Room for the next token's log-probabilities; the alternatives are filled in. */
static bool logprobs_new(Generation *g, const float *logits, double total, SampleWork *w, TokenLogprob **row,
                         Err *err) {
    int64_t n = g->config.logprobs, at = g->count - g->prompt;
    *row = NULL;
    if (n < 0) return true;
    if (!mem_grow((void **)&g->logprobs, &g->logprobs_capacity, (size_t)((at + 1) * (n + 1)), sizeof *g->logprobs,
                  "log-probabilities", err))
        return false;
    *row = g->logprobs + at * (n + 1);
    if (n > 0) likeliest(logits, w->vocab, total, n, w, *row + 1);
    return true;
}

bool generation_argmax(const Generation *g) {
    const GenerationConfig *c = &g->config;
    ProcessorCall call = {.config = c, .ids = g->ids, .count = g->count, .prompt = g->prompt};
    if (!generation_greedy(c) || c->logprobs >= 0 || c->best_of > 1 || c->num_return_sequences > 1) return false;
    for (int i = 0; i < processor_count; i++)
        if (!processor_rows[i].sampling && processor_rows[i].applies(&call)) return false;
    return true;
}

bool generation_choose(Generation *g, float *logits, uint64_t sequence, SampleWork *w, int32_t *id, Err *err) {
    const GenerationConfig *c = &g->config;
    bool told = c->logprobs >= 0 || c->best_of > 1 || c->num_return_sequences > 1;
    double total = told ? log_total(logits, w->vocab, w->weight) : 0;
    float *raw = w->raw;
    TokenLogprob *row = NULL;
    if (told && !logprobs_new(g, logits, total, w, &row, err)) return false;
    if (told) memcpy(raw, logits, (size_t)w->vocab * sizeof *raw);
    Scores s = {.value = logits, .id = w->id, .count = w->vocab, .all = true};
    ProcessorCall call = {
        .config = c, .ids = g->ids, .count = g->count, .prompt = g->prompt, .scores = &s, .work = w,
        .matcher = g->matcher, .state = g->state, .spent = &g->spent};
    bool greedy = generation_greedy(c);
    processors_run(&call, !greedy);
    if (greedy) {
        int64_t best = scores_best(&s);
        *id = best < 0 ? -1 : scores_id(&s, best);
    } else {
        *id = draw(&s, draw_uniform((uint64_t)c->seed, sequence, (uint64_t)g->count), w->weight);
    }
    if (told && *id >= 0) {
        float logprob = (float)((double)raw[*id] - total);
        if (row) *row = (TokenLogprob){*id, logprob};
        g->logprob_sum += (double)logprob;
    }
    return true;
}
