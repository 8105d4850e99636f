/* warpers.c: filters of samples. p[i] = softmax of the scores that are left; H = -sum p log p. Each filter keeps what
 * is at least a threshold, and always min_tokens_to_keep candidates; candidates that tie with the threshold are kept
 * too. */
#include <math.h>
#include "processors.h"

/* TemperatureLogitsWarper: s / T. */
void temperature_apply(ProcessorCall *c) {
    float t = (float)c->config->temperature;
    for (int64_t i = 0; i < c->scores->count; i++) c->scores->value[i] /= t;
}

static float largest(const Scores *s) {
    int64_t best = scores_best(s);
    return best < 0 ? -INFINITY : s->value[best];
}

/* Keeps the candidates whose key is at least `least`, or among the min_tokens_to_keep largest. `room` holds floats. */
static void keep(ProcessorCall *c, const float *key, float least, float *room) {
    float most = select_largest(key, c->scores->count, c->config->min_tokens_to_keep, room);
    scores_keep(c->scores, key, most < least ? most : least);
}

/* TopKLogitsWarper: the k largest (Fan et al. 2018). */
void top_k_apply(ProcessorCall *c) {
    int64_t k = c->config->top_k > c->config->min_tokens_to_keep ? c->config->top_k : c->config->min_tokens_to_keep;
    scores_keep(c->scores, c->scores->value, select_largest(c->scores->value, c->scores->count, k, c->work->weight));
}

/* TopPLogitsWarper: the likeliest whose p add up to top_p; the one that crosses it stays (Holtzman et al. 2020). What
 * has p < (1 - top_p) / n cannot be among them, for all of that together is less than 1 - top_p: it goes first,
 * unsorted. */
void top_p_apply(ProcessorCall *c) {
    Scores *s = c->scores;
    float *weight = c->work->weight, *key = c->work->key;
    double total = scores_weights(s, largest(s), weight);
    float floor = (float)((1 - c->config->top_p) * total / (double)s->count * 0.999);
    int64_t n = 0;
    for (int64_t i = 0; i < s->count; i++) {
        bool may = weight[i] > floor;
        weight[n] = weight[i];
        key[n] = s->value[i];
        n += may;
    }
    float least = select_threshold(key, weight, n, c->config->top_p * total);
    keep(c, s->value, least, weight);
}

/* MinPLogitsWarper: p >= min_p times the largest p (Nguyen et al. 2024): s >= largest + log(min_p). */
void min_p_apply(ProcessorCall *c) {
    keep(c, c->scores->value, largest(c->scores) + (float)log(c->config->min_p), c->work->weight);
}

/* H and the log of the sum of e^s, from weights that are there already. */
static double entropy(const Scores *s, const float *weight, double total, float top) {
    double mean = 0; /* of s - top */
    for (int64_t i = 0; i < s->count; i++)
        if (weight[i] > 0 && s->value[i] < top) mean += (double)weight[i] * ((double)s->value[i] - (double)top);
    return log(total) - mean / total;
}

/* TypicalLogitsWarper: the candidates whose surprise -log p is nearest to H, of mass typical_p (Meister et al.
 * 2023). */
void typical_apply(ProcessorCall *c) {
    Scores *s = c->scores;
    float *weight = c->work->weight, *key = c->work->key, top = largest(s);
    double total = scores_weights(s, top, weight), h = entropy(s, weight, total, top);
    for (int64_t i = 0; i < s->count; i++) {
        double below = s->value[i] == top ? 0 : (double)top - (double)s->value[i];
        key[i] = (float)-fabs(log(total) + below - h);
    }
    keep(c, key, select_threshold(key, weight, s->count, c->config->typical_p * total), weight);
}

/* EpsilonLogitsWarper: p >= epsilon (Hewitt et al. 2022). */
void epsilon_apply(ProcessorCall *c) {
    float *weight = c->work->weight;
    double total = scores_weights(c->scores, largest(c->scores), weight);
    keep(c, weight, (float)(c->config->epsilon_cutoff * total), c->work->key);
}

/* EtaLogitsWarper: p >= min(epsilon, sqrt(epsilon) e^-H) (Hewitt et al. 2022). */
void eta_apply(ProcessorCall *c) {
    float *weight = c->work->weight, top = largest(c->scores);
    double e = c->config->eta_cutoff, total = scores_weights(c->scores, top, weight);
    double eta = fmin(e, sqrt(e) * exp(-entropy(c->scores, weight, total, top)));
    keep(c, weight, (float)(eta * total), c->work->key);
}

/* LogitNormalization: s - log(sum of e^s). */
void renormalize_apply(ProcessorCall *c) {
    float top = largest(c->scores);
    double total = scores_weights(c->scores, top, c->work->weight);
    if (!(top > -INFINITY && top < INFINITY)) return;
    float log_total = (float)((double)top + log(total));
    for (int64_t i = 0; i < c->scores->count; i++) c->scores->value[i] -= log_total;
}
