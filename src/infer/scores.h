/* scores.h: the scores of the next token while processors work on them, and selections that sort nothing: every filter
 * is "keep what is at least a threshold". Passes over the whole vocabulary are those of weigh.h; what they say of
 * blocks of 256 scores lets the rest of a selection look at few of them. */
#ifndef SCORES_H
#define SCORES_H
#include "../base/base.h"
#include "weigh.h"

/* Candidates for the next token, ids ascending. At first every id of the vocabulary; filters leave fewer. */
typedef struct Scores {
    float *value;   /* [count], room for the vocabulary                         */
    int32_t *id;    /* [count], room for the vocabulary; unused while `all`     */
    int64_t count;
    bool all;       /* value[i] is the score of id i                            */
} Scores;

/* Working space of one caller, for one vocabulary. */
typedef struct SampleWork {
    const Weigh *weigh;
    int32_t *id;    /* [vocab] ids of candidates                                */
    float *weight;  /* [vocab] e^(value - largest)                              */
    float *key;     /* [vocab] what a filter goes by                            */
    float *room;    /* [2 * vocab] of selections                                */
    float *raw;     /* [vocab] logits before any processor, where they are wanted afterwards */
    int32_t *tally; /* [vocab] all zero between calls: how often an id occurred */
    float *top;     /* [blocks] largest of each block of what was looked at last */
    float *sum;     /* [blocks] weights of each block, likewise                 */
    float *moment;  /* [blocks] weight times value - largest                    */
    double *mass;   /* of select_threshold: [SELECT_MASS] weights of ranges of keys */
    int32_t *repeats; /* [repeats_room] of long n-grams, grown when asked for       */
    size_t repeats_room;
    int64_t vocab;
} SampleWork;
enum { SELECT_MASS = 2048 * 4 };
bool sample_work_new(SampleWork *w, int64_t vocab, Err *err);
void sample_work_free(SampleWork *w);

static inline int32_t scores_id(const Scores *s, int64_t at) { return s->all ? (int32_t)at : s->id[at]; }

/* The largest of n values, -inf if there is none; NaN never wins. Fills work->top. */
float scores_largest(const float *value, int64_t n, SampleWork *work);

/* Whether a row of a model's logits can be chosen from: none is NaN or +inf, and one is above -inf. */
bool logits_sound(const float *logits, int64_t vocab);

/* Place of the largest value, ties to the lowest id; NaN and -inf never win. -1 when there is nothing else. Fills
 * work->top. */
int64_t scores_best(const Scores *s, SampleWork *work);

/* The sum of e^(value[i] - largest), block by block in work->sum, and the weights themselves unless `weight` is NULL;
 * *mean (or NULL): of value - largest under these weights. A NaN weighs nothing; the largest weighs 1, even +inf. The
 * bits are the same on every machine. */
double scores_weights(const float *value, int64_t n, float largest, SampleWork *work, float *weight, double *mean);

/* Keeps the candidates whose key is at least `least`; key is [count], and may be s->value. NaN goes. top: the largest
 * of each block of keys. */
void scores_keep(Scores *s, const float *key, float least, const float *top);

/* The greatest t such that the keys >= t weigh `target` or more together; -inf when all of them weigh less. weight
 * NULL: each weighs 1, so that t is the target-th largest key. O(n). `room`: 2 n floats, apart from key and weight;
 * uses work->mass. */
float select_threshold(const float *key, const float *weight, int64_t n, double target, float *room, SampleWork *work);

/* The k-th largest key, or -inf with fewer. For small k a bound from the largest of each block comes first, and only
 * blocks that reach it are looked at again. Fills work->top; uses work->room. */
float select_largest(const float *key, int64_t n, int64_t k, SampleWork *work);
#endif
