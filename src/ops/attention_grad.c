/* attention_grad.c: see attention_grad.h. Blocks of 64 keys, and for each the blocks of 64 rows that see it, in order:
 * dk and dv of the keys stay in scratch, and so does dq of all rows, until their last keys are done. */
#include <string.h>
#include "attention_grad.h"

enum { BLOCK = ATTENTION_BLOCK, HALF = BLOCK / 2, SQUARE = BLOCK * BLOCK };

typedef struct Work {
    const Kernels *kernels;
    const AttentionGrad *a;
    int64_t wide, panels;     /* channels in whole panels */
    int64_t key, keys;        /* the block of keys */
    int64_t row, rows;        /* the block of rows that see some of them */
    float *d;                 /* [rows of the sequence] */
    float *q, *d_out, *dq;    /* of the sequence, block by block: [channel panel][row][16] */
    float *kt, *vt;           /* [key panel][channel][16]: transposed */
    float *k, *dk, *dv;       /* [channel panel][position][16] */
    float *s, *dp;            /* [key panel][row][16] */
    float *p, *ds;            /* [row][BLOCK] */
} Work;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t up16(int64_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

int64_t attention_grad_scratch(int64_t rows, int64_t channels) {
    return up16(rows) + 4 * SQUARE + (3 * rows + 5 * BLOCK) * up16(channels);
}

/* A block of rows as panels of 16 channels, zeros past the last. */
static void take_panels(const Work *w, HeadRows from, int64_t first, int64_t count, float *to) {
    w->kernels->panels(from.x + first * from.stride, from.stride, count, w->a->channels, to, count * PANEL);
}

/* Panels back to rows, times `scale`. */
static void put_panels(const Work *w, const float *from, HeadGrad to, int64_t first, int64_t count, float scale) {
    for (int64_t p = 0; p < w->panels; p++, from += count * PANEL) {
        int64_t n = least(PANEL, w->a->channels - p * PANEL);
        for (int64_t r = 0; r < count; r++)
            w->kernels->scale(from + r * PANEL, scale, n, to.x + (first + r) * to.stride + p * PANEL);
    }
}

/* Positions as panels of 16, channel by channel, zeros past the last. */
static void take_turned(const Work *w, HeadRows from, float *to) {
    if (w->keys < BLOCK) memset(to, 0, (size_t)(BLOCK * w->wide) * sizeof *to);
    for (int64_t p = 0; p < w->keys; p += PANEL, to += w->a->channels * PANEL)
        w->kernels->transpose(from.x + (w->key + p) * from.stride, from.stride, least(PANEL, w->keys - p),
                              w->a->channels, to, PANEL);
}

/* Sums of products of rows and keys below `seen`, over channels. */
static void multiply(const Work *w, const float *keys, HeadRows rows, int64_t first, int64_t count, int64_t seen,
                     float *out) {
    int panels = (int)(up16(seen) / PANEL);
    memset(out, 0, (size_t)(panels * count * PANEL) * sizeof *out);
    w->kernels->tile(keys, w->a->channels * PANEL, panels, w->a->channels, rows.x + first * rows.stride, rows.stride,
                     count, out);
}

/* P and dS of rows [first, first + count) of the block, which see keys below `seen` at most. */
static void probabilities(const Work *w, int64_t first, int64_t count, int64_t seen) {
    const AttentionGrad *a = w->a;
    multiply(w, w->kt, a->q, w->row + first, count, seen, w->s);
    multiply(w, w->vt, a->d_out, w->row + first, count, seen, w->dp);
    for (int64_t r = 0; r < count; r++) {
        int64_t t = w->row + first + r, from = a->window > 0 ? t - a->window + 1 : 0, at = (first + r) * BLOCK;
        const float *stats = a->stats + t * a->stats_step;
        SoftmaxRow row = {.scale = a->scale, .m = stats[0], .l = stats[1], .d = w->d[t]};
        w->kernels->softmax_grad(w->s + r * PANEL, w->dp + r * PANEL, count * PANEL, from - w->key,
                                 least(t + 1 - w->key, seen), &row, w->p + at, w->ds + at);
    }
}

/* What rows from `first` on give to keys [from, to), in dk or dv. */
static void add_rows(const Work *w, const float *rows, const float *x, int64_t first, int64_t from, int64_t to,
                     float *acc) {
    w->kernels->outer(rows + first * PANEL, w->rows * PANEL, (int)w->panels, w->rows - first,
                      x + first * BLOCK + from, BLOCK, to - from, acc + from * PANEL, w->keys * PANEL);
}

/* On the diagonal the first half of the rows sees nothing of the second half of the keys. */
static void block_pair(const Work *w) {
    bool halves = w->row == w->key && w->rows > HALF;
    int64_t split = halves ? HALF : w->keys, at = w->row * w->wide;
    if (halves) probabilities(w, 0, HALF, HALF);
    probabilities(w, halves ? HALF : 0, halves ? w->rows - HALF : w->rows, w->keys);
    w->kernels->tile(w->k, w->keys * PANEL, (int)w->panels, w->keys, w->ds, BLOCK, w->rows, w->dq + at);
    add_rows(w, w->q + at, w->ds, 0, 0, split, w->dk);
    add_rows(w, w->d_out + at, w->p, 0, 0, split, w->dv);
    if (!halves) return;
    add_rows(w, w->q + at, w->ds, HALF, HALF, w->keys, w->dk);
    add_rows(w, w->d_out + at, w->p, HALF, HALF, w->keys, w->dv);
}

/* The first block of keys that a row of the block sees. */
static int64_t first_key(const Work *w) {
    int64_t first = w->a->window > 0 ? w->row - w->a->window + 1 : 0;
    return first > 0 ? first / BLOCK * BLOCK : 0;
}

/* Its own rows are the first that see a key, and it is the last that they see. */
static void key_block(Work *w) {
    const AttentionGrad *a = w->a;
    size_t bytes = (size_t)(w->wide * w->keys) * sizeof *w->dk;
    take_turned(w, a->k, w->kt);
    take_turned(w, a->v, w->vt);
    take_panels(w, a->k, w->key, w->keys, w->k);
    memset(w->dk, 0, bytes);
    memset(w->dv, 0, bytes);
    for (w->row = w->key; w->row < a->rows && first_key(w) <= w->key; w->row += BLOCK) {
        w->rows = least(a->rows - w->row, BLOCK);
        block_pair(w);
    }
    put_panels(w, w->dk, a->dk, w->key, w->keys, a->scale);
    put_panels(w, w->dv, a->dv, w->key, w->keys, 1.0f);
    put_panels(w, w->dq + w->key * w->wide, a->dq, w->key, w->keys, a->scale);
}

static void share(Work *w, float *scratch) {
    int64_t each = BLOCK * w->wide, all = w->a->rows * w->wide;
    w->s = scratch;
    w->dp = w->s + SQUARE;
    w->p = w->dp + SQUARE;
    w->ds = w->p + SQUARE;
    w->kt = w->ds + SQUARE;
    w->vt = w->kt + each;
    w->k = w->vt + each;
    w->dk = w->k + each;
    w->dv = w->dk + each;
    w->q = w->dv + each;
    w->d_out = w->q + all;
    w->dq = w->d_out + all;
    w->d = w->dq + all;
}

void attention_grad(const Kernels *k, const AttentionGrad *a) {
    Work w = {.kernels = k, .a = a, .wide = up16(a->channels), .panels = up16(a->channels) / PANEL};
    share(&w, a->scratch);
    memset(w.dq, 0, (size_t)(a->rows * w.wide) * sizeof *w.dq);
    for (int64_t t = 0; t < a->rows; t++)
        w.d[t] = k->product_sum(a->o.x + t * a->o.stride, a->d_out.x + t * a->d_out.stride, a->channels);
    for (int64_t t = 0; t < a->rows; t += BLOCK) {
        take_panels(&w, a->q, t, least(a->rows - t, BLOCK), w.q + t * w.wide);
        take_panels(&w, a->d_out, t, least(a->rows - t, BLOCK), w.d_out + t * w.wide);
    }
    for (w.key = 0; w.key < a->rows; w.key += BLOCK) {
        w.keys = least(a->rows - w.key, BLOCK);
        key_block(&w);
    }
}
