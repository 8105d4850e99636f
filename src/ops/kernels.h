/* kernels.h: the inner loops, as a table of functions. Plain C here (kernels.c) is the truth; src/cpu/kernels_<isa>.c
 * overwrites entries with faster ones that give the SAME BITS: every sum below has one written order, every product-sum
 * is one fused multiply-add (C's fmaf), everything else is one correctly rounded f32 operation.
 *
 * "16 lanes": lane i of a row takes elements i, i+16, i+32, ... in order; lanes are then combined as
 * (i, i+8), (i, i+4), (i, i+2), (0, 1). Missing lanes of a last partial step are left alone.
 */
#ifndef KERNELS_H
#define KERNELS_H
#include "key_bias.h"
#include "pack.h"

enum {
    ROWS_DIRECT = 16,     /* up to this many rows go through a panel once, more piece by piece (f32: unpacked) */
    ATTENTION_BLOCK = 64, /* positions per block: block b covers positions 64b .. 64b+63           */
    K_BLOCK = 16          /* positions whose keys stand together, channel by channel                   */
};

/* Activations in 8 bits: 32 columns of a row. Of x: most = max |x|, scale = most / 127 (x itself if that is NaN),
 * q = nearest(x * (127 / most)) in -127 .. 127, ties to even; all one rounded f32 operation each. Where most is 0 so
 * are scale and q. q is kept in the order of packed weights (pack.h): of each 8 columns 0 2 4 6, then 1 3 5 7. One
 * cache line, all that a row needs beside the weights. */
enum { ACT_GROUP = 32, QUAD = 4 };
typedef struct Act {
    int8_t q[ACT_GROUP];
    float scale;
    /* What an integer sum over q - zero starts from: -128 and -8 times the sum of q, -32 times the sum of each half. */
    int32_t seed8, seed4, seed6[2];
    float sum; /* scale * (float)(sum of q) */
    float unused[2];
} Act;
/* The same columns of four rows, so that one address reaches them all. A lone row has its acts side by side instead: a
 * quarter of the cache lines' sets would hold them else. */
typedef struct Quad { Act row[QUAD]; } Quad;
static inline int64_t quad_rows(int64_t rows) { return (rows + QUAD - 1) / QUAD * QUAD; }

/* Sums over columns, cut into leaves (graph/tree.h). Leaf i is of sum of[i]: 0, then each that or one more. It adds up
 * columns [first[i], last[i]) in order; then, adds[i] times, the last two numbers there are of the sum become left +
 * right. One is left of each sum. The first leaf of a sum goes on from what its acc holds, `sum_step` floats after that
 * of the sum before; all others begin at 0. A sum that is not cut is one leaf. */
enum { LEAVES_LEVELS = 6, LEAVES_MOST = 1 << LEAVES_LEVELS, LEAVES_DEPTH = LEAVES_LEVELS + 1 }; /* sums at a time */
typedef struct Leaves {
    int count; /* above 1: for at most ROWS_DIRECT rows */
    uint8_t of[LEAVES_MOST], adds[LEAVES_MOST];
    int64_t sum_step;
    int64_t first[LEAVES_MOST], last[LEAVES_MOST];
} Leaves;
static inline void leaves_one(Leaves *l, int64_t first, int64_t last) {
    l->count = 1;
    l->first[0] = first;
    l->last[0] = last;
    l->of[0] = l->adds[0] = 0;
}

/* Activations in bf16: columns 2i and 2i + 1 of a row as one number, the even one in the low half, each the nearest
 * bf16 (ties to even; NaN stays NaN); a column past an odd end is 0. Rows are an odd number of cache lines apart, so
 * that a dozen of them do not meet in one set of the L1 cache. */
typedef uint32_t Pair;
static inline int64_t pairs_step(int64_t columns) { return ((columns + 31) / 32 | 1) * 16; }

/* In which form linears take their activations. INT8: where weights are quantised, BF16: where they are bf16; all
 * other linears take f32. */
typedef enum ActType { ACT_F32, ACT_INT8, ACT_BF16, ACT_COUNT } ActType;
extern const char *const act_names[ACT_COUNT];

/* The cache of one key/value head: pages of ATTENTION_BLOCK positions, first their keys [position/16][channel][16],
 * then their values [position][channel]. CACHE_Q8: a row x of a position is int8 q = nearest(x * (127 / most)), ties to
 * even, most = max |x|, with scale = most / 127 (NaN, and q = 0, where x is not finite; 0 where most is); the scales of
 * the 64 rows, f32, follow the keys and the values. */
typedef enum CacheType { CACHE_F32, CACHE_BF16, CACHE_Q8, CACHE_COUNT } CacheType;
extern const char *const cache_names[CACHE_COUNT];
/* Bytes of the keys, or of the values, of a page. */
static inline int64_t cache_page_bytes(CacheType type, int64_t channels) {
    int64_t n = ATTENTION_BLOCK * channels;
    return type == CACHE_F32 ? 4 * n : type == CACHE_BF16 ? 2 * n : n + 4 * ATTENTION_BLOCK;
}

/* Attention of `rows` rows over one key/value head, for `heads` query heads each. For a row, and each block b that
 * meets its [first, last), with positions p of the block inside the range:
 *     s[p] = scale * sum_c q[c] k[p][c]       (c in order from 0, fmaf; in 8 bits times p's scale; then times scale)
 *     with a bias s[p] = scale * fmaf(sum, p's scale, t): t = 0; of each pair, with its weights (a, b) of key_bias.h,
 *                                              t = fmaf(a, cosine, t), t = fmaf(b, sine, t); of a whole key t = 0
 *     m_b = max s[p];  e[p] = exp_f32(s[p] - m_b), 0 outside the range
 *     l_b = sum of e over the block's 64 positions: (e[i]+e[i+16]) + (e[i+32]+e[i+48]) for i < 16, then lanes as above
 *     o_b[c] = sum_p e[p] v[p][c]             (p in order over the range only, fmaf from 0; in 8 bits with e times the
 *                                              scale of p instead of e)
 * The first block sets (m, l, o). Each next one merges: M = max(m, m_b), a = exp_f32(m - M), b = exp_f32(m_b - M),
 *     l = fmaf(l, a, l_b * b), o[c] = fmaf(o[c], a, o_b[c] * b), m = M.         out[c] = o[c] / l.
 * So a split of the blocks over workers, merged in order, gives the same bits (Milakov & Gimelshein 2018;
 * flash-decoding), and rows that share a page can be worked on together, so that it is read once (Juravsky et al. 2024,
 * "Hydragen"). */
typedef struct AttentionRow {
    const float *q;      /* [heads][channels] */
    float *out;          /* [heads][channels] */
    const int32_t *page; /* block b of this row's sequence is page[b] of the cache */
    int64_t first, last; /* positions, 0 <= first < last */
    float *stats;        /* NULL; else [heads][2]: m (zero as +0) and l at the end, unless the call leaves parts */
} AttentionRow;
typedef struct AttentionCall {
    const AttentionRow *row;
    int rows, heads;       /* >= 1; rows * heads <= attention_heads(heads) */
    const uint8_t *cache;  /* of this layer and key/value head */
    int64_t channels;      /* any even number >= 2 */
    float scale;
    float *scratch;        /* attention_scratch(heads, channels) floats, 64-byte aligned */
    /* CACHE_Q8: the pairs of the biases that keys lack; NULL: none. at[page * 64 + p]: the rotary position of a key, -1:
     * it is whole. */
    const KeyBias *bias;
    const KeyTurns *turns;
    const int32_t *at;
    float *parts;          /* NULL; else the call is of one row and adds up nothing: see attention_part */
} AttentionCall;
/* Most rows and query heads of a call, taken together: their sums must stay in the L2 cache. */
enum { ATTENTION_HEADS = 64 };
static inline int64_t attention_heads(int64_t heads) { return heads > ATTENTION_HEADS ? heads : ATTENTION_HEADS; }
static inline int64_t attention_scratch(int64_t heads, int64_t channels) {
    int64_t n = attention_heads(heads), c16 = (channels + 15) / 16 * 16, n16 = (n + 15) / 16 * 16;
    int64_t pairs = ATTENTION_BLOCK + channels; /* of a head's biases: sums at 64 positions, weights */
    /* q, s, t, o, o_b; tail; m, l */
    return n * (channels + 2 * ATTENTION_BLOCK + 2 * c16) + 16 * ATTENTION_BLOCK + 4 * n16 + pairs;
}
/* Floats of the part (o_b, m_b, l_b) of one block: o [heads][channels rounded up to 16], m [heads], l [heads]. A call
 * with `parts` leaves one for each block that meets its row's range, so that calls over pieces of a range, cut at
 * blocks, and then `merge` give what one call gives. */
static inline int64_t attention_part(int64_t heads, int64_t channels) {
    return (heads * ((channels + 15) / 16 * 16 + 2) + 15) / 16 * 16;
}

/* A sum over k in parts, one after another in w: `count` numbers of k, against x. A part that begins starts a number at
 * 0, another goes on with the one at hand, the first with acc. After a part, `adds` times, the last two numbers become
 * left + right. One is left in the end; `joins` times, it becomes what is join_step floats before + it, there. */
enum { PARTS_MOST = 192, PARTS_DEPTH = 7 }; /* depth: most numbers at a time */
typedef struct SumPart {
    const void *x; /* floats of sum_parts, pairs of sum_pair_parts */
    int64_t x_stride, count;
    int adds;
    bool begins;
} SumPart;
typedef struct SumParts {
    int count, joins;
    int64_t join_step;
    SumPart part[PARTS_MOST];
} SumParts;

/* What softmax_grad needs of a row: its statistics as attention leaves them, d = sum of output times its gradient. */
typedef struct SoftmaxRow { float scale, m, l, d; } SoftmaxRow;

/* decay = 1 - rate * weight decay; rest = 1 - beta; step = rate / (1 - beta1^t); root = sqrt(1 - beta2^t); clip: 1, or
 * what gradients are scaled by. Each computed in double and rounded once. */
typedef struct AdamwNumbers { float clip, decay, beta1, rest1, beta2, rest2, step, root, epsilon; } AdamwNumbers;
typedef struct SgdNumbers { float clip, decay, momentum, rate; } SgdNumbers; /* decay: the weight decay itself */

typedef struct Kernels {
    const char *isa;
    /* acc[p][r][lane] = acc[p][r][lane] + sum over k of the leaves of w[p][k][lane] * x[r][k], one fmaf each.
     * p: `panels` panels `panel_step` bytes apart, r: `rows` rows (1..ROWS_DIRECT) of x, x_stride floats apart.
     * x points at k = 0. acc rows are 16 floats, 64-byte aligned. */
    void (*rows[PACKED_COUNT])(const void *panel, int64_t panel_step, int panels, const Leaves *leaves,
                               const float *x, int64_t x_stride, int rows, float *acc);
    /* w[k - k0][lane] as f32, k in [k0, k1) */
    void (*unpack[PACKED_COUNT])(const void *panel, int64_t k0, int64_t k1, float *w);
    /* acc[p][r][lane] += sum over k < count, in order, of w[k][lane] of panel p * x[r][k], one fmaf each; any number of
     * rows; panels `step` floats apart, 64-byte aligned; acc rows 16 floats, 64-byte aligned. */
    void (*tile)(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_stride,
                 int64_t rows, float *acc);
    /* n / 32 acts, `step` apart, from x[0 .. n), n a multiple of 32. */
    void (*quantise)(const float *x, int64_t n, Act *out, int step);
    /* As `rows`, with activations in 8 bits, for quantised types, leaves k0 .. k1 of multiples of 32 (of 128 with Q8G
     * and Q4G unless the ends of a sum), any number of rows: row r is row r % 4 of the quads at (Quad *)x + r / 4 *
     * x_step + k / 32; x_step 0: one row alone, act x + k / 32.
     * For what [k0, k1) has of every part of a weight group (pack.h), in order, with S = sum of (q - zero) * q_x over
     * it, exact in int32:
     *     parts of 32 and 16: acc = fmaf((float)S, scale * x.scale, acc), and of a type without a zero then
     *         acc = fmaf(min, x.sum, acc)
     *     parts of 128: t = 0; per 32 columns t = fmaf((float)S, x.scale, t); at the end acc = fmaf(t, scale, acc)
     * acc is [panels][quad_rows(rows)][16], of a row alone [panels][16]; the rows past `rows` hold anything, before and
     * after. NULL: not for this type. */
    void (*dot[PACKED_COUNT])(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const Act *x,
                              int64_t x_step, int64_t rows, float *acc);
    /* Pairs of a row x[0 .. n). */
    void (*round)(const float *x, int64_t n, Pair *out);
    /* As `rows`, with activations in bf16, for bf16 weights, any number of rows: for every pair of columns 2i, 2i + 1
     * of a leaf k0 .. k1, in order,
     *     acc = fma_flushed(w[2i + 1], x[2i + 1], acc), then acc = fma_flushed(w[2i], x[2i], acc)
     * which is what vdpbf16ps computes (Intel SDM vol. 2; dev/dpbf16.c). k0 is even; k1 is too, or the end of the
     * matrix. Row r is x_step pairs after row r - 1; x points at k = 0. acc: [panels][rows][16]. */
    void (*dot_pairs)(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const Pair *x,
                      int64_t x_step, int64_t rows, float *acc);
    void (*attention[CACHE_COUNT])(const AttentionCall *call);
    /* out [heads][channels] of a row from the parts of its blocks, in order; they are lost. 64-byte aligned. stats: as
     * in AttentionRow. */
    void (*merge)(float *parts, int64_t blocks, int heads, int64_t channels, float *out, float *stats);
    /* r = 1 / sqrtf(sum of x[i]^2 (16 lanes, fmaf) / d + epsilon);  y[i] = (x[i] * r) * gain[i]. y may be x. */
    void (*rms_norm)(const float *x, const float *gain, float epsilon, int64_t d, float *y);
    /* y[i] = (gate[i] / (1 + exp_f32(-gate[i]))) * up[i]. y may be gate or up. */
    void (*silu_mul)(const float *gate, const float *up, int64_t n, float *y);
    /* Half-split rotation of one head: for i < half, a = x[i], b = x[i+half]:
     * y[i] = a * cos[i] - b * sin[i], y[i+half] = b * cos[i] + a * sin[i] (two products, one sum, each rounded). y may
     * be x. */
    void (*rope)(const float *x, const float *cosine, const float *sine, int64_t half, float *y);
    void (*add)(const float *a, const float *b, int64_t n, float *y); /* y may be a or b */
    /* Index of the largest of n values, ties to the lowest; NaN never wins; *best its value. -1 (and *best -inf) when
     * n = 0 or all are NaN. */
    int64_t (*argmax)(const float *x, int64_t n, float *best);

    /* ---- Backward pass: kernels_grad.c, src/cpu/kernels_grad16.h ------------------------------------------------- */

    /* As `tile`, of a sum in parts: x[r][k] of a part at part.x + r * x_stride + k. */
    void (*sum_parts)(const float *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc);
    /* acc[p][r][lane] += sum over k < count, in order, of w[k][lane] of panel p * x[k][r], one fmaf each: `tile` with
     * the rows' numbers of one k side by side, x_step floats after those of the k before. acc: of panel p at
     * p * acc_step. */
    void (*outer)(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_step,
                  int64_t rows, float *acc, int64_t acc_step);
    /* out[r][c] = in[r][c], and out[c][r] = in[r][c], of any number of rows and columns; in_step and out_step: floats
     * from row to row. */
    void (*copy)(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
    /* Rows in panels of 16 columns: out[p * out_step + r * 16 + lane] = in[r][16 p + lane], 0 past the columns. */
    void (*panels)(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
    void (*transpose)(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
    /* Pairs of numbers of two rows: of row j even[j * in_step + c] in the low half and odd[j * in_step + c] in the high
     * one, each as `round` has it, at out[j * out_step + c / 16 * panel_step + c % 16]; 0 for columns past the end, up to
     * a multiple of 16. odd or even NULL: zeros. */
    void (*pair_up)(const float *even, const float *odd, int64_t in_step, int64_t rows, int64_t columns, Pair *out,
                    int64_t out_step, int64_t panel_step);
    /* As `sum_parts` and `outer`, where w is pairs of numbers of k, [k/2][16], x of a row or column too, and count says
     * how many: the even number last, as in dot_pairs. Sums of parts are added up without flushing. */
    void (*sum_pair_parts)(const Pair *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc);
    void (*outer_pairs)(const Pair *w, int64_t step, int panels, int64_t count, const Pair *x, int64_t x_step,
                        int64_t rows, float *acc, int64_t acc_step);
    float (*product_sum)(const float *a, const float *b, int64_t n); /* of a[i] * b[i]; 16 lanes, fmaf */
    void (*scale)(const float *x, float factor, int64_t n, float *y); /* y[i] = x[i] * factor. y may be x. */
    /* Of one row and the ATTENTION_BLOCK positions of a block, with s[i] = q k of position i at
     * s[i / 16 * step + i % 16], and so dp = (gradient of the output) v:
     *     p[i] = exp_f32(s[i] * scale - m) / l,  ds[i] = p[i] * (dp[i] - d);  both 0 outside [lo, hi). */
    void (*softmax_grad)(const float *s, const float *dp, int64_t step, int64_t lo, int64_t hi, const SoftmaxRow *row,
                         float *p, float *ds);
    /* Of y = silu_mul: s = 1 / (1 + exp_f32(-a)), a = gate[i]; dup[i] = dy[i] * (a * s),
     * dgate[i] = (dy[i] * up[i]) * (s * fmaf(a, 1 - s, 1)). Results may take the place of any of the three. */
    void (*silu_mul_grad)(const float *gate, const float *up, const float *dy, int64_t n, float *dgate, float *dup);
    /* Of y = rms_norm, with its r, h = x[i] * r, w = dy[i] * gain[i]: mean = sum of w * h (16 lanes, fmaf) / d,
     * dx[i] = fmaf(h, -mean, w) * r. Returns r. dx may be x or dy. */
    float (*rms_norm_grad)(const float *x, const float *gain, const float *dy, float epsilon, int64_t d, float *dx);
    /* g[i] = fmaf(dy[i], x[i] * r, g[i]): a row's part of the gradient of rms_norm's gain. */
    void (*gain_grad)(const float *x, const float *dy, float r, int64_t n, float *g);

    /* ---- Softmax over long rows ---------------------------------------------------------------------------------- */

    float (*max)(const float *x, int64_t n); /* NaN never wins; -inf of nothing; zero is +0 */
    float (*exp_sum)(const float *z, int64_t n, float m); /* of exp_f32(z[i] - m); 16 lanes */
    /* y[i] = (exp_f32(z[i] - m) * inverse) * weight. y may be z. */
    void (*softmax_minus)(const float *z, int64_t n, float m, float inverse, float weight, float *y);

    /* ---- Optimizer: kernels_optimize.c, in f32 unless said ------------------------------------------------------- */

    /* torch's AdamW: g = grad[i] * clip;  p = p * decay;  m = m * beta1 + g * rest1;  v = v * beta2 + (g * g) * rest2;
     * p = p - (m * step) / (sqrtf(v) / root + epsilon). */
    void (*adamw)(float *p, const float *grad, float *m, float *v, int64_t n, const AdamwNumbers *numbers);
    /* Of a block of `columns` columns, at most CODE_BLOCK, of a panel, with m and v in 8 bits (codes8.h): adamw of their
     * values, then both are stored by the new ones, each row with the largest of its own. */
    void (*adamw8)(float *p, const float *grad, uint8_t *m, uint8_t *v, int64_t columns, const AdamwNumbers *numbers);
    /* torch's SGD: g = grad[i] * clip + p * decay;  m = m * momentum + g, and g = m, unless m is NULL;
     * p = p - g * rate. */
    void (*sgd)(float *p, const float *grad, float *m, int64_t n, const SgdNumbers *numbers);
    void (*average)(float *e, const float *p, int64_t n, float decay, float rest); /* e = e * decay + p * rest */
    double (*sum_squares)(const float *x, int64_t n); /* in double, 16 lanes */
} Kernels;

extern const Kernels kernels_reference;

/* e^x in f32, about 1 ulp; the one exponential of the program, so that all instruction sets agree. Below -87.33 it is
 * 0, above 88.72 it is inf, NaN stays NaN. n = nearest integer to x * log2(e);  r = x - n ln2 in two fused steps;  e^r
 * by a polynomial of degree 6 (Horner, fmaf). */
float exp_f32(float x);

/* a * b + c rounded once, of numbers too small to be normal (below 2^-126) as zeros, and with a result too small as a
 * zero of its sign: what AVX does under FTZ and DAZ, which finds a result too small if it is so when rounded to 24 bits
 * whatever its exponent. a and b have the 8 bits of bf16. */
float fma_flushed(float a, float b, float c);
#endif
