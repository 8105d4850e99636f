/* attention_grad.c: see attention_grad.h. Blocks of 64 keys, and for each the blocks of 64 rows that see it, in order:
 * dk and dv of the keys stay in scratch, dq of the rows goes on where it will stand. */
#include <string.h>
#include "attention_grad.h"

enum { BLOCK = ATTENTION_BLOCK, SQUARE = BLOCK * BLOCK };

typedef struct Work {
    const Kernels *kernels;
    const AttentionGrad *a;
    int64_t wide, panels;     /* channels in whole panels */
    int64_t key, keys;        /* the block of keys */
    int64_t row, rows;        /* the block of rows that see some of them */
    float *d;                 /* [rows of the sequence] */
    float *kt, *vt;           /* [key panel][channel][16]: transposed */
    float *k, *q, *d_out;     /* [channel panel][position or row][16] */
    float *s, *dp;            /* [key panel][row][16] */
    float *p, *ds;            /* [row][BLOCK] */
    float *dk, *dv, *dq;      /* [channel panel][position or row][16] */
} Work;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t wide_of(int64_t channels) { return (channels + PANEL - 1) / PANEL * PANEL; }

int64_t attention_grad_scratch(int64_t rows, int64_t channels) {
    return (rows + 15) / 16 * 16 + 4 * SQUARE + 8 * BLOCK * wide_of(channels);
}

/* Rows as panels of 16 channels, zeros past the last. */
static void take_panels(const Work *w, HeadRows from, int64_t first, int64_t count, float *to) {
    for (int64_t p = 0; p < w->panels; p++, to += count * PANEL) {
        int64_t n = least(PANEL, w->a->channels - p * PANEL);
        const float *x = from.x + first * from.stride + p * PANEL;
        if (n < PANEL) memset(to, 0, (size_t)(count * PANEL) * sizeof *to);
        w->kernels->copy(x, from.stride, count, n, to, PANEL);
    }
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

/* P and dS of the block. */
static void probabilities(const Work *w) {
    const AttentionGrad *a = w->a;
    int64_t step = w->rows * PANEL, channels = a->channels;
    int panels = (int)((w->keys + PANEL - 1) / PANEL);
    memset(w->s, 0, (size_t)(panels * step) * sizeof *w->s);
    memset(w->dp, 0, (size_t)(panels * step) * sizeof *w->dp);
    w->kernels->tile(w->kt, channels * PANEL, panels, channels, a->q.x + w->row * a->q.stride, a->q.stride, w->rows,
                     w->s);
    w->kernels->tile(w->vt, channels * PANEL, panels, channels, a->d_out.x + w->row * a->d_out.stride,
                     a->d_out.stride, w->rows, w->dp);
    for (int64_t r = 0; r < w->rows; r++) {
        int64_t t = w->row + r, first = a->window > 0 ? t - a->window + 1 : 0;
        const float *stats = a->stats + t * a->stats_step;
        SoftmaxRow row = {.scale = a->scale, .m = stats[0], .l = stats[1], .d = w->d[t]};
        w->kernels->softmax_grad(w->s + r * PANEL, w->dp + r * PANEL, step, first - w->key,
                                 least(t + 1 - w->key, w->keys), &row, w->p + r * BLOCK, w->ds + r * BLOCK);
    }
}

/* The block's part of dq, on what is there of rows that see keys before; of the last keys they see, times scale. */
static void add_dq(const Work *w, bool fresh, bool last) {
    const AttentionGrad *a = w->a;
    HeadRows so_far = {a->dq.x, a->dq.stride};
    if (fresh) memset(w->dq, 0, (size_t)(w->wide * w->rows) * sizeof *w->dq);
    else take_panels(w, so_far, w->row, w->rows, w->dq);
    w->kernels->tile(w->k, w->keys * PANEL, (int)w->panels, w->keys, w->ds, BLOCK, w->rows, w->dq);
    put_panels(w, w->dq, a->dq, w->row, w->rows, last ? a->scale : 1.0f);
}

/* The first block of keys that a row of the block sees. */
static int64_t first_key(const Work *w) {
    int64_t first = w->a->window > 0 ? w->row - w->a->window + 1 : 0;
    return first > 0 ? first / BLOCK * BLOCK : 0;
}

static void key_block(Work *w) {
    const AttentionGrad *a = w->a;
    size_t bytes = (size_t)(w->wide * w->keys) * sizeof *w->dk;
    take_turned(w, a->k, w->kt);
    take_turned(w, a->v, w->vt);
    take_panels(w, a->k, w->key, w->keys, w->k);
    memset(w->dk, 0, bytes);
    memset(w->dv, 0, bytes);
    for (w->row = w->key; w->row < a->rows; w->row += BLOCK) {
        if (first_key(w) > w->key) break;
        w->rows = least(a->rows - w->row, BLOCK);
        take_panels(w, a->q, w->row, w->rows, w->q);
        take_panels(w, a->d_out, w->row, w->rows, w->d_out);
        probabilities(w);
        add_dq(w, first_key(w) == w->key, w->row == w->key);
        w->kernels->outer(w->q, w->rows * PANEL, (int)w->panels, w->rows, w->ds, BLOCK, w->keys, w->dk,
                           w->keys * PANEL);
        w->kernels->outer(w->d_out, w->rows * PANEL, (int)w->panels, w->rows, w->p, BLOCK, w->keys, w->dv,
                           w->keys * PANEL);
    }
    put_panels(w, w->dk, a->dk, w->key, w->keys, a->scale);
    put_panels(w, w->dv, a->dv, w->key, w->keys, 1.0f);
}

void attention_grad(const Kernels *k, const AttentionGrad *a) {
    Work w = {.kernels = k, .a = a, .wide = wide_of(a->channels), .panels = wide_of(a->channels) / PANEL};
    int64_t each = BLOCK * w.wide;
    w.s = a->scratch;
    w.dp = w.s + SQUARE;
    w.p = w.dp + SQUARE;
    w.ds = w.p + SQUARE;
    w.kt = w.ds + SQUARE;
    w.vt = w.kt + each;
    w.k = w.vt + each;
    w.q = w.k + each;
    w.d_out = w.q + each;
    w.dk = w.d_out + each;
    w.dv = w.dk + each;
    w.dq = w.dv + each;
    w.d = w.dq + each;
    for (int64_t t = 0; t < a->rows; t++)
        w.d[t] = k->product_sum(a->o.x + t * a->o.stride, a->d_out.x + t * a->d_out.stride, a->channels);
    for (w.key = 0; w.key < a->rows; w.key += BLOCK) {
        w.keys = least(a->rows - w.key, BLOCK);
        key_block(&w);
    }
}
