/* scores.h: the scores of the next token while processors work on them, and selections that sort nothing: every filter
 * is "keep what is at least a threshold", and a threshold is found by radix over the bits of the floats. */
#ifndef SCORES_H
#define SCORES_H
#include "../base/base.h"

/* Candidates for the next token, ids ascending. At first every id of the vocabulary; filters leave fewer. */
typedef struct Scores {
    float *value;   /* [count], room for the vocabulary                         */
    int32_t *id;    /* [count], room for the vocabulary; unused while `all`     */
    int64_t count;
    bool all;       /* value[i] is the score of id i                            */
} Scores;

/* Working space of one caller, for one vocabulary. */
typedef struct SampleWork {
    int32_t *id;    /* [vocab] ids of candidates                                */
    float *weight;  /* [vocab] e^(value - largest)                              */
    float *key;     /* [vocab] what a filter goes by                            */
    float *raw;     /* [vocab] logits before any processor, where they are wanted afterwards */
    int32_t *tally; /* [vocab] all zero between calls: how often an id occurred */
    int64_t vocab;
} SampleWork;
bool sample_work_new(SampleWork *w, int64_t vocab, Err *err);
void sample_work_free(SampleWork *w);

static inline int32_t scores_id(const Scores *s, int64_t at) { return s->all ? (int32_t)at : s->id[at]; }

/* Place of the largest value, ties to the lowest id; NaN and -inf never win. -1 when there is nothing else. */
int64_t scores_best(const Scores *s);

/* weight[i] = e^(value[i] - largest), and their sum. A NaN weighs nothing; the largest weighs 1, even +inf. The bits
 * are the same on every machine: one polynomial, no fused steps, sums in one order. */
double scores_weights(const Scores *s, float largest, float *weight);

/* Keeps the candidates whose key is at least `least`; key is [count], and may be s->value. NaN goes. */
void scores_keep(Scores *s, const float *key, float least);

/* The greatest t such that the keys >= t weigh `target` or more together; -inf when all of them weigh less. weight
 * NULL: each weighs 1, so that t is the target-th largest key. Three passes, O(n). */
float select_threshold(const float *key, const float *weight, int64_t n, double target);

/* The k-th largest key, or -inf with fewer. For small k a bound from the largest of each of many blocks comes first,
 * and only what reaches it is looked at again. `room`: n floats, apart from key. */
float select_largest(const float *key, int64_t n, int64_t k, float *room);
#endif
