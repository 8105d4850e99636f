/* kernels_attention16.h: attention over v16; kernels_simd16.h, which includes it, has the rest. Blocks of positions
 * come one after another; in a block, the rows that share its page are worked on together. */
#ifndef KERNELS_ATTENTION16_H
#define KERNELS_ATTENTION16_H

enum { BLOCK_VECTORS = ATTENTION_BLOCK / 16 };

/* What a call keeps per row and query head, n = rows * heads of them. */
typedef struct Attend {
    const AttentionCall *call;
    int64_t c16, page_bytes;    /* page_bytes: of keys, or of values */
    float *q;                   /* [n][channels] */
    float *s;                   /* [n][64]: scores, then e                 */
    float *o, *o_b;             /* [n][c16]: sums so far, and of a block   */
    float *m, *l, *m_b, *l_b;   /* [n]: see kernels.h                      */
    float *tail;                /* [64][16]: see block_values              */
    float *t;                   /* [n][64]: what biases give to scores     */
    float *sums, *weights;      /* [64], [channels]: see block_biases      */
    const uint8_t *next;        /* keys read after this page's; NULL: nothing is asked for ahead */
} Attend;

/* Part of a block that rows have in common: rows [from, to) see its positions [lo, hi); fresh: it is their first, or
 * nothing is added up. */
typedef struct Run { int from, to; int64_t lo, hi; bool fresh; } Run;

/* Raw scores of a block for one head become e in place; m_b and l_b. scale: of the keys' positions, or NULL. bias: what
 * is added to scores, or NULL. */
INLINE void block_softmax(float s[ATTENTION_BLOCK], const float *key_scale, const float *bias, const float *value_scale,
                          float scale, const m16 inside[BLOCK_VECTORS], float *m, float *l) {
    v16 e[BLOCK_VECTORS], low = v16_all(-INFINITY), top = low;
    UNROLL for (int i = 0; i < BLOCK_VECTORS; i++) {
        v16 raw = v16_load(s + 16 * i);
        if (bias) raw = v16_fma(raw, v16_load(key_scale + 16 * i), v16_load(bias + 16 * i));
        else if (key_scale) raw = v16_mul(raw, v16_load(key_scale + 16 * i));
        e[i] = v16_mul(raw, v16_all(scale));
        top = v16_max(v16_pick(inside[i], e[i], low), top);
    }
    *m = v16_top(top);
    UNROLL for (int i = 0; i < BLOCK_VECTORS; i++) {
        e[i] = v16_pick(inside[i], v16_exp(v16_sub(e[i], v16_all(*m))), v16_all(0));
        v16_store(s + 16 * i, value_scale ? v16_mul(e[i], v16_load(value_scale + 16 * i)) : e[i]);
    }
    *l = v16_sum(v16_add(v16_add(e[0], e[1]), v16_add(e[2], e[3])));
}

/* The weights a of what was summed before and b of the new block, in place of m_b and l_b, of n heads; m and l become
 * those of both. */
INLINE void merge_sums(int64_t n, float *m, float *l, float *m_b, float *l_b) {
    for (int64_t h = 0; h < n; h += 16) {
        int64_t left = n - h;
        v16 old = v16_load_part(m + h, left), new = v16_load_part(m_b + h, left), top = v16_max(new, old);
        v16 a = v16_exp(v16_sub(old, top)), b = v16_exp(v16_sub(new, top));
        v16_store_part(m + h, left, top);
        v16_store_part(l + h, left, v16_fma(v16_load_part(l + h, left), a, v16_mul(v16_load_part(l_b + h, left), b)));
        v16_store_part(m_b + h, left, a);
        v16_store_part(l_b + h, left, b);
    }
}

/* Adds a block to the sums of n heads; m_b and l_b are lost. */
INLINE void merge_block(int64_t n, int64_t c16, float *o, float *m, float *l, const float *o_b, float *m_b,
                        float *l_b) {
    merge_sums(n, m, l, m_b, l_b);
    for (int64_t h = 0; h < n; h++)
        for (int64_t c = h * c16; c < (h + 1) * c16; c += 16) {
            v16 part = v16_mul(v16_load(o_b + c), v16_all(l_b[h]));
            v16_store(o + c, v16_fma(v16_load(o + c), v16_all(m_b[h]), part));
        }
}

/* out = o / l of one head. */
INLINE void head_out(int64_t channels, const float *o, float l, float *out) {
    int64_t c = 0;
    for (; c + 16 <= channels; c += 16) v16_store(out + c, v16_div(v16_load(o + c), v16_all(l)));
    if (c < channels) v16_store_part(out + c, channels - c, v16_div(v16_load(o + c), v16_all(l)));
}

INLINE void tile_of(CacheType type, const Tile *t, int64_t rows, int64_t vectors) {
    if (type == CACHE_F32) tile_f32(t, rows, vectors);
    else if (type == CACHE_BF16) tile_bf16(t, rows, vectors);
    else tile_q8(t, rows, vectors);
}

/* s[h][p], unscaled, of n heads from `first` on, for all 64 positions of a page. */
INLINE void block_scores(CacheType type, const Attend *w, const uint8_t *keys, int64_t first, int64_t n) {
    int64_t channels = w->call->channels;
    Tile t = {.w = keys, .w_step = K_BLOCK, .v_step = channels * K_BLOCK, .count = channels,
              .x = w->q + first * channels, .x_stride = channels, .out = w->s + first * ATTENTION_BLOCK,
              .out_stride = ATTENTION_BLOCK, .out_step = PANEL, .fresh = true, .ahead = w->next ? w->page_bytes : 0};
    tile_of(type, &t, n, ATTENTION_BLOCK / K_BLOCK);
}

/* What the biases of 64 positions from 64 a on give to a head's scores. */
INLINE void head_biases(const Attend *w, int64_t a, const float *q, float sums[ATTENTION_BLOCK]) {
    const KeyBias *b = w->call->bias;
    const KeyTurns *turns = w->call->turns;
    v16 sum[BLOCK_VECTORS];
    key_bias_weights(b, turns, a, q, w->weights);
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) sum[v] = v16_all(0);
    for (int64_t i = 0; i < b->pairs; i++) {
        const float *cosine = turns->near + b->pair[i].turn * TURN_POSITIONS,
                    *sine = cosine + (turns->half + 1) * TURN_POSITIONS;
        v16 x = v16_all(w->weights[2 * i]), y = v16_all(w->weights[2 * i + 1]);
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            sum[v] = v16_fma(x, v16_load(cosine + 16 * v), sum[v]);
            sum[v] = v16_fma(y, v16_load(sine + 16 * v), sum[v]);
        }
    }
    UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) v16_store(sums + 16 * v, sum[v]);
}

/* Of n heads from `first` on, for positions [lo, hi) of a page, which are mostly those of one 64 or of two. */
INLINE void block_biases(const Attend *w, const int32_t *at, int64_t first, int64_t n, int64_t lo, int64_t hi) {
    for (int64_t p = lo, end; p < hi; p = end) {
        int64_t a = at[p] < 0 ? -1 : at[p] / TURN_POSITIONS;
        for (end = p + 1; end < hi && (at[end] < 0 ? -1 : at[end] / TURN_POSITIONS) == a; end++) {}
        for (int64_t h = first; h < first + n; h++) {
            float *t = w->t + h * ATTENTION_BLOCK;
            if (a >= 0) head_biases(w, a, w->q + h * w->call->channels, w->sums);
            for (int64_t i = p; i < end; i++) t[i] = a < 0 ? 0 : w->sums[at[i] % TURN_POSITIONS];
        }
    }
}

/* o[h][c] of n heads from `first` on and positions [lo, hi). Whole vectors of channels come from the cache, a last
 * partial one from a zero-padded copy: nothing may be read past the cache's end. */
INLINE void block_values(CacheType type, const Attend *w, const uint8_t *values, int64_t first, int64_t n, int64_t lo,
                         int64_t hi, float *o) {
    int64_t channels = w->call->channels, whole = channels / 16 * 16;
    Tile t = {.w = cache_from(type, values, lo * channels), .w_step = channels, .v_step = 16, .count = hi - lo,
              .x = w->s + first * ATTENTION_BLOCK + lo, .x_stride = ATTENTION_BLOCK, .out = o + first * w->c16,
              .out_stride = w->c16, .out_step = PANEL, .fresh = true, .ahead = w->next ? w->next - values : 0};
    tile_of(type, &t, n, whole / 16);
    if (whole == channels) return;
    for (int64_t p = lo; p < hi; p++)
        for (int64_t c = 0; c < 16; c++) {
            const void *at = cache_from(type, values, p * channels + whole + c);
            w->tail[(p - lo) * 16 + c] = whole + c >= channels ? 0
                                       : type == CACHE_F32     ? *(const float *)at
                                       : type == CACHE_BF16    ? bf16_to_f32(*(const uint16_t *)at)
                                                               : (float)*(const int8_t *)at;
        }
    t.ahead = 0;
    t.w = w->tail;
    t.w_step = 16;
    t.out += whole;
    tile_f32(&t, n, 1);
}

/* Adds a block to the sums of a run's rows. */
INLINE void block_run(CacheType type, const Attend *w, const uint8_t *keys, const Run *r) {
    const AttentionCall *call = w->call;
    int64_t first = r->from * call->heads, n = (r->to - r->from) * call->heads;
    const uint8_t *values = keys + w->page_bytes;
    const float *key_scale = NULL, *value_scale = NULL;
    if (type == CACHE_Q8) {
        key_scale = (const float *)(const void *)(keys + ATTENTION_BLOCK * call->channels);
        value_scale = (const float *)(const void *)(values + ATTENTION_BLOCK * call->channels);
    }
    float *m = r->fresh ? w->m : w->m_b, *l = r->fresh ? w->l : w->l_b, *o = r->fresh ? w->o : w->o_b;
    m16 inside[BLOCK_VECTORS];
    for (int i = 0; i < BLOCK_VECTORS; i++) inside[i] = v16_lanes(r->lo - 16 * i, r->hi - 16 * i);
    bool biased = type == CACHE_Q8 && call->bias;
    int64_t page = (keys - call->cache) / (2 * w->page_bytes);
    if (biased) block_biases(w, call->at + page * ATTENTION_BLOCK, first, n, r->lo, r->hi);
    for (int64_t h = first; h < first + n; h++)
        block_softmax(w->s + h * ATTENTION_BLOCK, key_scale, biased ? w->t + h * ATTENTION_BLOCK : NULL, value_scale,
                      call->scale, inside, &m[h], &l[h]);
    block_values(type, w, values, first, n, r->lo, r->hi, o);
    if (r->fresh) return;
    merge_block(n, w->c16, w->o + first * w->c16, w->m + first, w->l + first, w->o_b + first * w->c16, w->m_b + first,
                w->l_b + first);
}

/* What row r sees of the block that starts at `start`. */
INLINE Run run_of(const AttentionCall *call, int r, int64_t start) {
    int64_t lo = call->row[r].first - start, hi = call->row[r].last - start;
    return (Run){.from = r, .to = r + 1, .lo = lo > 0 ? lo : 0, .hi = hi < ATTENTION_BLOCK ? hi : ATTENTION_BLOCK,
                 .fresh = lo >= 0 || call->parts};
}

/* The block's part of all rows. Where a page is one row's, as in decode, its values are asked for while keys are read,
 * and the next page's keys while values are: memory would wait for the products else. */
INLINE void block_rows(CacheType type, Attend *w, int64_t start, int64_t last) {
    const AttentionCall *call = w->call;
    for (int from = 0, to; from < call->rows; from = to) {
        Run run = run_of(call, from, start);
        int32_t page = 0;
        to = from + 1;
        if (run.lo >= run.hi) continue;
        page = call->row[from].page[start / ATTENTION_BLOCK];
        for (; to < call->rows; to++) {
            Run next = run_of(call, to, start);
            if (next.lo >= next.hi || call->row[to].page[start / ATTENTION_BLOCK] != page) break;
        }
        const uint8_t *keys = call->cache + (size_t)page * 2 * (size_t)w->page_bytes;
        if (to < call->rows) page = call->row[to].page[start / ATTENTION_BLOCK];
        else if (start + ATTENTION_BLOCK < last) page = call->row[0].page[start / ATTENTION_BLOCK + 1];
        w->next = to == from + 1 && page >= 0 ? call->cache + (size_t)page * 2 * (size_t)w->page_bytes : NULL;
        block_scores(type, w, keys, from * call->heads, (to - from) * call->heads);
        for (int r = from + 1; r < to; r++) {
            Run next = run_of(call, r, start);
            if (next.lo == run.lo && next.hi == run.hi && next.fresh == run.fresh) {
                run.to = r + 1;
                continue;
            }
            block_run(type, w, keys, &run);
            run = next;
        }
        block_run(type, w, keys, &run);
    }
}

/* The sums are those of a part. */
INLINE void part_of(Attend *w, float *part) {
    w->o = part;
    w->m = part + w->call->heads * w->c16;
    w->l = w->m + w->call->heads;
}

INLINE void attention_of(CacheType type, const AttentionCall *call) {
    int64_t heads = call->heads, n = call->rows * heads, n16 = (n + 15) / 16 * 16, channels = call->channels;
    Attend w = {.call = call, .c16 = (channels + 15) / 16 * 16, .page_bytes = cache_page_bytes(type, channels)};
    w.s = call->scratch;
    w.o = w.s + n * ATTENTION_BLOCK;
    w.o_b = w.o + n * w.c16;
    w.tail = w.o_b + n * w.c16;
    w.m = w.tail + 16 * ATTENTION_BLOCK;
    w.l = w.m + n16;
    w.m_b = w.l + n16;
    w.l_b = w.m_b + n16;
    w.t = w.l_b + n16;
    w.sums = w.t + n * ATTENTION_BLOCK;
    w.weights = w.sums + ATTENTION_BLOCK;
    w.q = w.weights + channels;
    int64_t first = INT64_MAX, last = 0;
    for (int r = 0; r < call->rows; r++) {
        const AttentionRow *row = &call->row[r];
        memcpy(w.q + r * heads * channels, row->q, (size_t)(heads * channels) * sizeof(float));
        if (row->first < first) first = row->first;
        if (row->last > last) last = row->last;
    }
    if (call->parts) part_of(&w, call->parts);
    for (int64_t start = first / ATTENTION_BLOCK * ATTENTION_BLOCK; start < last; start += ATTENTION_BLOCK) {
        block_rows(type, &w, start, last);
        if (call->parts) part_of(&w, w.o + attention_part(heads, channels));
    }
    for (int64_t h = 0; h < n && !call->parts; h++)
        head_out(channels, w.o + h * w.c16, w.l[h], call->row[h / heads].out + h % heads * channels);
    for (int64_t h = 0; h < n && !call->parts; h++) {
        float *stats = call->row[h / heads].stats;
        if (stats) stats[2 * (h % heads)] = w.m[h] + 0.0f, stats[2 * (h % heads) + 1] = w.l[h];
    }
}

static void attention_f32(const AttentionCall *call) { attention_of(CACHE_F32, call); }
static void attention_bf16(const AttentionCall *call) { attention_of(CACHE_BF16, call); }
static void attention_q8(const AttentionCall *call) { attention_of(CACHE_Q8, call); }

static void attention_merge(float *parts, int64_t blocks, int heads, int64_t channels, float *out, float *stats) {
    int64_t c16 = (channels + 15) / 16 * 16, size = attention_part(heads, channels);
    float *m = parts + heads * c16, *l = m + heads;
    for (int64_t at = size; at < blocks * size; at += size)
        merge_block(heads, c16, parts, m, l, parts + at, m + at, l + at);
    for (int64_t h = 0; h < heads; h++) head_out(channels, parts + h * c16, l[h], out + h * channels);
    for (int64_t h = 0; h < heads && stats; h++) stats[2 * h] = m[h] + 0.0f, stats[2 * h + 1] = l[h];
}
#endif
