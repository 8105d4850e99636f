/* sampling_filters.c: filters of samples. p[i] = softmax of the scores that are left; H = -sum p log p. Each filter keeps what
 * is at least a threshold, and always min_tokens_to_keep candidates; candidates that tie with the threshold are kept
 * too. */
#include <float.h>
#include <math.h>
#include "processors.h"

/* TemperatureLogitsWarper: s / T. */
void temperature_apply(ProcessorCall *c) {
    c->work->weigh->divide(c->scores->value, c->scores->count, (float)c->config->temperature);
}

/* Keeps the candidates whose key is at least `least`, or among the min_tokens_to_keep largest. */
static void keep(ProcessorCall *c, const float *key, float least) {
    float most = select_largest(key, c->scores->count, c->config->min_tokens_to_keep, c->work);
    scores_keep(c->scores, key, most < least ? most : least, c->work->top);
}

/* TopKLogitsWarper: the k largest (Fan et al. 2018). */
void top_k_apply(ProcessorCall *c) {
    int64_t k = c->config->top_k > c->config->min_tokens_to_keep ? c->config->top_k : c->config->min_tokens_to_keep;
    Scores *s = c->scores;
    scores_keep(s, s->value, select_largest(s->value, s->count, k, c->work), c->work->top);
}

/* The score below which p < (1 - mass) / n: all of that together is less than 1 - mass, so what is above weighs more
 * than `mass`. */
static float score_floor(const Scores *s, double mass, float top, double total) {
    return top + (float)log((1 - mass) * total / (double)s->count * 0.999);
}

/* TopPLogitsWarper: the likeliest whose p add up to top_p; the one that crosses it stays (Holtzman et al. 2020). Where
 * they add up to exactly top_p, as 0.5 + 0.3 to 0.8 in Hugging Face's test of it, the next one goes; probabilities are
 * sums of rounded numbers, so the edge is as wide as those. They are above the floor: the rest goes first, for fewer to
 * be looked at. */
#define TOP_P_EDGE 0x1p-20
void top_p_apply(ProcessorCall *c) {
    Scores *s = c->scores;
    SampleWork *w = c->work;
    float top = scores_largest(s->value, s->count, w);
    double total = scores_weights(s->value, s->count, top, w, NULL, NULL);
    keep(c, s->value, score_floor(s, c->config->top_p, top, total));
    scores_weights(s->value, s->count, top, w, w->weight, NULL);
    double mass = fmax(c->config->top_p - TOP_P_EDGE, DBL_MIN) * total;
    keep(c, s->value, select_threshold(s->value, w->weight, s->count, mass, w->room, w));
}

/* p >= `least`: s >= the largest + log(least * sum of e^(s - largest)). */
static void keep_probable(ProcessorCall *c, double least, float top, double total) {
    keep(c, c->scores->value, top + (float)log(least * total));
}

/* MinPLogitsWarper: p >= min_p times the largest p (Nguyen et al. 2024). */
void min_p_apply(ProcessorCall *c) {
    keep_probable(c, c->config->min_p, scores_largest(c->scores->value, c->scores->count, c->work), 1);
}

/* EpsilonLogitsWarper: p >= epsilon (Hewitt et al. 2022). */
void epsilon_apply(ProcessorCall *c) {
    const Scores *s = c->scores;
    float top = scores_largest(s->value, s->count, c->work);
    keep_probable(c, c->config->epsilon_cutoff, top, scores_weights(s->value, s->count, top, c->work, NULL, NULL));
}

/* EtaLogitsWarper: p >= min(epsilon, sqrt(epsilon) e^-H) (Hewitt et al. 2022); H = log(total) - the mean of
 * s - largest under p. */
void eta_apply(ProcessorCall *c) {
    const Scores *s = c->scores;
    float top = scores_largest(s->value, s->count, c->work);
    double mean, e = c->config->eta_cutoff, total = scores_weights(s->value, s->count, top, c->work, NULL, &mean);
    keep_probable(c, fmin(e, sqrt(e) * exp(mean) / total), top, total);
}

/* TypicalLogitsWarper: the candidates whose surprise -log p is nearest to H, of mass typical_p (Meister et al. 2023):
 * | -log p - H | is how far s - largest is from its mean under p. As far up as the largest and as far down as the floor
 * there is mass enough: what is farther goes first. */
void typical_apply(ProcessorCall *c) {
    Scores *s = c->scores;
    SampleWork *w = c->work;
    float top = scores_largest(s->value, s->count, w);
    double mean, total = scores_weights(s->value, s->count, top, w, NULL, &mean);
    keep(c, s->value, fminf(score_floor(s, c->config->typical_p, top, total), top + 2 * (float)mean));
    scores_weights(s->value, s->count, top, w, w->weight, NULL);
    for (int64_t i = 0; i < s->count; i++) {
        float below = s->value[i] == top ? 0 : s->value[i] - top; /* also where the largest is infinite */
        w->key[i] = -fabsf(below - (float)mean);
    }
    keep(c, w->key, select_threshold(w->key, w->weight, s->count, c->config->typical_p * total, w->room, w));
}

/* LogitNormalization: s - log(sum of e^s). */
void renormalize_apply(ProcessorCall *c) {
    Scores *s = c->scores;
    float top = scores_largest(s->value, s->count, c->work);
    double total = scores_weights(s->value, s->count, top, c->work, NULL, NULL);
    if (!(top > -INFINITY && top < INFINITY)) return;
    float log_total = (float)((double)top + log(total));
    for (int64_t i = 0; i < s->count; i++) s->value[i] -= log_total;
}
