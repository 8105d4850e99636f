/* key_bias.h: the constant part of keys and values, which a cache in 8 bits does without.
 *
 * A key is rope(W x + b). Where b is large (several hundred in the first and last layer of Qwen2.5-7B, beside contents
 * of a few), one scale over both leaves the content no bits. So the cache holds the key less the turned bias, and
 * attention adds what that would have given to the scores, which is known from the query alone:
 *
 *     q . rope(b, p) = sum over pairs of (qx bx + qy by) cos(p f) + (qy bx - qx by) sin(p f)
 *
 * A position is 64 a + j, and cos and sin are put together from those of 64 a and of j, here and there alike: what is
 * left out is what is added, to rounding. Pairs whose bias is no more than what the weights give anyway stay in the
 * cache. A value is W x + b too; as attention's weights sum to 1, its b is added to the result.
 */
#ifndef KEY_BIAS_H
#define KEY_BIAS_H
#include <stdint.h>

enum { TURN_POSITIONS = 64 };

/* How far positions turn pairs: cosines [half + 1], then sines. The last pair is one that does not turn: channels past
 * rope's. */
typedef struct KeyTurns {
    int64_t half;
    int64_t positions, length; /* keys of further positions (these are whole 64s) or longer sequences are kept whole */
    float *far;              /* [positions / 64][2 (half + 1)]: of 64 a, times rope's attention factor */
    float *near;             /* [2 (half + 1)][64]: of j */
} KeyTurns;

/* A pair of channels that a position turns together. */
typedef struct BiasPair { int32_t x, y, turn; float bias_x, bias_y; } BiasPair;

/* Of a layer and key/value head. */
typedef struct KeyBias {
    int64_t pairs;      /* 0: keys are kept whole */
    BiasPair *pair;
    const float *value; /* [channels]; NULL: values are kept whole */
} KeyBias;

/* key [channels], at a position or at none (-1): less the turned bias. One rounded operation each, in this order. */
static inline void key_bias_leave(const KeyBias *b, const KeyTurns *t, int32_t position, float *key) {
    if (position < 0) return;
    const float *far = t->far + position / TURN_POSITIONS * 2 * (t->half + 1);
    const float *near = t->near + position % TURN_POSITIONS;
    for (int64_t i = 0; i < b->pairs; i++) {
        const BiasPair *p = &b->pair[i];
        int64_t sine = t->half + 1 + p->turn;
        float c0 = far[p->turn], s0 = far[sine];
        float c1 = near[p->turn * TURN_POSITIONS], s1 = near[sine * TURN_POSITIONS];
        float c = c0 * c1 - s0 * s1, s = s0 * c1 + c0 * s1;
        key[p->x] = key[p->x] - (p->bias_x * c - p->bias_y * s);
        key[p->y] = key[p->y] - (p->bias_y * c + p->bias_x * s);
    }
}

/* The weights [2 pairs] of cosines and sines of j in the scores of a query [channels] at positions 64 a + j. */
static inline void key_bias_weights(const KeyBias *b, const KeyTurns *t, int64_t a, const float *q, float *weights) {
    const float *far = t->far + a * 2 * (t->half + 1);
    for (int64_t i = 0; i < b->pairs; i++) {
        const BiasPair *p = &b->pair[i];
        float c0 = far[p->turn], s0 = far[t->half + 1 + p->turn];
        float cosine = q[p->x] * p->bias_x + q[p->y] * p->bias_y, sine = q[p->y] * p->bias_x - q[p->x] * p->bias_y;
        weights[2 * i] = cosine * c0 + sine * s0;
        weights[2 * i + 1] = sine * c0 - cosine * s0;
    }
}
#endif
