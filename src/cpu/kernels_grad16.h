/* kernels_grad16.h: the kernels of the backward pass and of the optimizer over v16; kernels_simd16.h, which includes
 * it, has the rest. */
#ifndef KERNELS_GRAD16_H
#define KERNELS_GRAD16_H

/* ---- Products ---------------------------------------------------------------------------------------------------- */

typedef struct Parts {
    const float *w;
    const SumParts *parts;
    int64_t step, rows;
    float *acc;
} Parts;

/* Rows are reached from every third one, as in tile_block. */
INLINE void part_sums(int rows, int vectors, const SumPart *part, const float *w, int64_t step, int64_t r0,
                      v16 sum[V16_TILE_ROWS][2]) {
    const float *third[(V16_TILE_ROWS + 2) / 3];
    const int64_t x_stride = part->x_stride;
    UNROLL for (int r = 0; r < rows; r += 3) third[r / 3] = (const float *)part->x + (r0 + r) * x_stride;
    for (int64_t k = part->count; k > 0; k--, w += PANEL) {
        v16 column[2];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = v16_load(w + v * step);
        UNROLL for (int r = 0; r < rows; r++) {
            v16 xs = v16_all(third[r / 3][r % 3 * x_stride]);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_fma(column[v], xs, sum[r][v]);
        }
        UNROLL for (int r = 0; r < rows; r += 3) {
            third[r / 3]++;
            __asm__("" : "+r"(third[r / 3]));
        }
    }
}

/* Numbers that wait lie in the level 1 cache, that at hand in registers. */
INLINE void parts_block(int rows, int vectors, const Parts *t, int64_t r0, int64_t v0) {
    _Alignas(64) float stack[PARTS_DEPTH][V16_TILE_ROWS * 2][PANEL];
    v16 sum[V16_TILE_ROWS][2];
    const int64_t acc_step = t->rows * PANEL, join = t->parts->join_step;
    float *acc = t->acc + v0 * acc_step + r0 * PANEL;
    const float *w = t->w + v0 * t->step;
    int top = 0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = t->parts->part[0].begins ? v16_all(0) : v16_load(acc + v * acc_step + r * PANEL);
    for (int n = 0; n < t->parts->count; n++) {
        const SumPart *part = &t->parts->part[n];
        if (n && part->begins) {
            UNROLL for (int r = 0; r < rows; r++)
                UNROLL for (int v = 0; v < vectors; v++) {
                    v16_store(stack[top][r * vectors + v], sum[r][v]);
                    sum[r][v] = v16_all(0);
                }
            top++;
        }
        part_sums(rows, vectors, part, w, t->step, r0, sum);
        w += part->count * PANEL;
        for (int a = part->adds; a > 0; a--) {
            top--;
            UNROLL for (int r = 0; r < rows; r++)
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] = v16_add(v16_load(stack[top][r * vectors + v]), sum[r][v]);
        }
    }
    for (int j = t->parts->joins; j > 0; j--) {
        acc -= join;
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vectors; v++)
                sum[r][v] = v16_add(v16_load(acc + v * acc_step + r * PANEL), sum[r][v]);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) v16_store(acc + v * acc_step + r * PANEL, sum[r][v]);
}

INLINE void parts_rows(int rows, const Parts *t, int64_t r0, int64_t v0, int64_t v1) {
    const int together = V16_SUMS_F32 / rows >= 2 ? 2 : 1;
    int64_t v = v0;
    for (; v + together <= v1; v += together) parts_block(rows, together, t, r0, v);
    for (; v < v1; v++) parts_block(rows, 1, t, r0, v);
}

/* Blocks of the most rows, the last two nearly equal, over two panels before the next: as tile_all. */
#define EACH_ROWS(function, t, panels)                                                                                 \
    for (int64_t v0 = 0; v0 < (panels); v0 += 2)                                                                       \
        for (int64_t r = 0, n, v1 = v0 + 2 < (panels) ? v0 + 2 : (panels); r < (t)->rows; r += n) {                    \
            int64_t left = (t)->rows - r;                                                                              \
            n = left <= V16_TILE_ROWS ? left : left >= 2 * V16_TILE_ROWS ? V16_TILE_ROWS : (left + 1) / 2;             \
            switch (n) {                                                                                               \
                ROWS_OF(function, t, 1);                                                                               \
                ROWS_OF(function, t, 2);                                                                               \
                ROWS_OF(function, t, 3);                                                                               \
                ROWS_OF(function, t, 4);                                                                               \
                ROWS_OF(function, t, 5);                                                                               \
                ROWS_OF(function, t, 6);                                                                               \
                ROWS_OF(function, t, 7);                                                                               \
                ROWS_OF(function, t, 8);                                                                               \
                ROWS_OF(function, t, 9);                                                                               \
                ROWS_OF(function, t, 10);                                                                              \
                ROWS_OF(function, t, 11);                                                                              \
                ROWS_OF(function, t, 12);                                                                              \
            }                                                                                                          \
        }
#define ROWS_OF(function, t, n)                                                                                        \
    case n:                                                                                                            \
        if (n <= V16_TILE_ROWS) function(n <= V16_TILE_ROWS ? n : 1, t, r, v0, v1);                                    \
        break

static void sum_parts(const float *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc) {
    Parts t = {.w = w, .parts = parts, .step = step, .rows = rows, .acc = acc};
    EACH_ROWS(parts_rows, &t, panels)
}

typedef struct Outer {
    const float *w, *x;
    int64_t step, count, x_step, rows;
    float *acc;
    int64_t acc_step;
} Outer;

INLINE void outer_block(int rows, int vectors, const Outer *t, int64_t r0, int64_t v0) {
    v16 sum[V16_TILE_ROWS][2];
    const int64_t step = t->step, x_step = t->x_step, acc_step = t->acc_step;
    float *acc = t->acc + v0 * acc_step + r0 * PANEL;
    const float *w = t->w + v0 * step, *x = t->x + r0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_load(acc + v * acc_step + r * PANEL);
    for (int64_t k = t->count; k > 0; k--, w += PANEL, x += x_step) {
        v16 column[2];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = v16_load(w + v * step);
        UNROLL for (int r = 0; r < rows; r++) {
            v16 xs = v16_all(x[r]);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_fma(column[v], xs, sum[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) v16_store(acc + v * acc_step + r * PANEL, sum[r][v]);
}

INLINE void outer_rows(int rows, const Outer *t, int64_t r0, int64_t v0, int64_t v1) {
    const int together = V16_SUMS_F32 / rows >= 2 ? 2 : 1;
    int64_t v = v0;
    for (; v + together <= v1; v += together) outer_block(rows, together, t, r0, v);
    for (; v < v1; v++) outer_block(rows, 1, t, r0, v);
}

static void outer(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_step, int64_t rows,
                  float *acc, int64_t acc_step) {
    Outer t = {.w = w, .x = x, .step = step, .count = count, .x_step = x_step, .rows = rows, .acc = acc,
               .acc_step = acc_step};
    EACH_ROWS(outer_rows, &t, panels)
}

/* Rows lie in pages of their own, where nothing is fetched ahead: so a few rows ahead are asked for. */
enum { COPY_AHEAD = 4 };

static void copy(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t r = 0; r < rows; r++, in += in_step, out += out_step) {
        int64_t c = 0;
        for (; c + 16 <= columns; c += 16) {
            if (r + COPY_AHEAD < rows) __builtin_prefetch(in + COPY_AHEAD * in_step + c);
            v16_store(out + c, v16_load(in + c));
        }
        if (c < columns) v16_store_part(out + c, columns - c, v16_load_part(in + c, columns - c));
    }
}

static void panels(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t r = 0; r < rows; r++, in += in_step, out += PANEL) {
        int64_t c = 0;
        float *to = out;
        for (; c + 16 <= columns; c += 16, to += out_step) {
            if (r + COPY_AHEAD < rows) __builtin_prefetch(in + COPY_AHEAD * in_step + c);
            v16_store(to, v16_load(in + c));
        }
        if (c < columns) v16_store(to, v16_load_part(in + c, columns - c));
    }
}

static void transpose_part(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out,
                           int64_t out_step) {
    float block[16 * 16], turned[16 * 16];
    for (int64_t r = 0; r < 16; r++)
        v16_store(block + r * 16, r < rows ? v16_load_part(in + r * in_step, columns) : v16_all(0));
    v16_transpose(block, 16, turned, 16);
    for (int64_t c = 0; c < columns; c++) v16_store_part(out + c * out_step, rows, v16_load(turned + c * 16));
}

static void transpose(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t r = 0; r < rows; r += 16)
        for (int64_t c = 0; c < columns; c += 16) {
            const float *from = in + r * in_step + c;
            float *to = out + c * out_step + r;
            int64_t n = rows - r < 16 ? rows - r : 16, m = columns - c < 16 ? columns - c : 16;
            if (n == 16 && m == 16) v16_transpose(from, in_step, to, out_step);
            else transpose_part(from, in_step, n, m, to, out_step);
        }
}

/* ---- Element by element ------------------------------------------------------------------------------------------ */

/* The statements once for every sixteen of n, from i on, of which TAKE and PUT take or put `left`. */
#define EACH16(n, ...)                                                                                                 \
    do {                                                                                                               \
        int64_t i = 0;                                                                                                 \
        for (; i + 16 <= (n); i += 16) {                                                                               \
            const int64_t left = 16;                                                                                   \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
        if (i < (n)) {                                                                                                 \
            const int64_t left = (n) - i;                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    } while (0)
INLINE v16 v16_take(const float *p, int64_t left) { return left >= 16 ? v16_load(p) : v16_load_part(p, left); }
INLINE void v16_put(float *p, int64_t left, v16 x) {
    if (left >= 16) v16_store(p, x);
    else v16_store_part(p, left, x);
}
#define TAKE(p) v16_take((p) + i, left)
#define PUT(p, x) v16_put((p) + i, left, x)

/* The missing lanes of a last step add +0 to sums that are not negative zero: they begin at +0. */
static float product_sum(const float *a, const float *b, int64_t n) {
    v16 sum = v16_all(0);
    EACH16(n, sum = v16_fma(TAKE(a), TAKE(b), sum););
    return v16_sum(sum);
}

static void scale(const float *x, float factor, int64_t n, float *y) {
    EACH16(n, PUT(y, v16_mul(TAKE(x), v16_all(factor))););
}

static void softmax_grad(const float *s, const float *dp, int64_t step, int64_t lo, int64_t hi, const SoftmaxRow *row,
                         float *p, float *ds) {
    v16 by = v16_all(row->scale), m = v16_all(row->m), l = v16_all(row->l), d = v16_all(row->d), zero = v16_all(0);
    for (int64_t i = 0; i < ATTENTION_BLOCK; i += 16, s += step, dp += step) {
        m16 inside = v16_lanes(lo - i, hi - i);
        v16 e = v16_div(v16_exp(v16_sub(v16_mul(v16_load(s), by), m)), l);
        v16_store(p + i, v16_pick(inside, e, zero));
        v16_store(ds + i, v16_pick(inside, v16_mul(e, v16_sub(v16_load(dp), d)), zero));
    }
}

static void silu_mul_grad(const float *gate, const float *up, const float *dy, int64_t n, float *dgate, float *dup) {
    v16 one = v16_all(1.0f);
    EACH16(n, {
        v16 a = TAKE(gate), d = TAKE(dy), through = v16_mul(d, TAKE(up));
        v16 s = v16_div(one, v16_add(one, v16_exp(v16_sub(v16_all(-0.0f), a))));
        PUT(dup, v16_mul(d, v16_mul(a, s)));
        PUT(dgate, v16_mul(through, v16_mul(s, v16_fma(a, v16_sub(one, s), one))));
    });
}

static float rms_norm_grad(const float *x, const float *gain, const float *dy, float epsilon, int64_t d, float *dx) {
    float r = 1.0f / sqrtf(product_sum(x, x, d) / (float)d + epsilon);
    v16 rs = v16_all(r), sum = v16_all(0);
    EACH16(d, sum = v16_fma(v16_mul(TAKE(dy), TAKE(gain)), v16_mul(TAKE(x), rs), sum););
    v16 mean = v16_all(-(v16_sum(sum) / (float)d));
    EACH16(d, PUT(dx, v16_mul(v16_fma(v16_mul(TAKE(x), rs), mean, v16_mul(TAKE(dy), TAKE(gain))), rs)););
    return r;
}

static void gain_grad(const float *x, const float *dy, float r, int64_t n, float *g) {
    EACH16(n, PUT(g, v16_fma(TAKE(dy), v16_mul(TAKE(x), v16_all(r)), TAKE(g))););
}

/* ---- Softmax over long rows -------------------------------------------------------------------------------------- */

static float most(const float *x, int64_t n) {
    enum { CHAINS = 4 };
    v16 low = v16_all(-INFINITY), top[CHAINS] = {low, low, low, low};
    int64_t i = 0;
    for (; i + 16 * CHAINS <= n; i += 16 * CHAINS)
        UNROLL for (int c = 0; c < CHAINS; c++) top[c] = v16_max(v16_load(x + i + 16 * c), top[c]);
    for (; i + 16 <= n; i += 16) top[0] = v16_max(v16_load(x + i), top[0]);
    float value = v16_top(v16_max(v16_max(top[0], top[1]), v16_max(top[2], top[3])));
    for (; i < n; i++) value = x[i] > value ? x[i] : value;
    return value + 0.0f;
}

static float exp_sum(const float *z, int64_t n, float m) {
    v16 sum = v16_all(0), zero = sum;
    EACH16(n, {
        v16 e = v16_exp(v16_sub(TAKE(z), v16_all(m)));
        sum = v16_add(sum, left >= 16 ? e : v16_pick(v16_lanes(0, left), e, zero));
    });
    return v16_sum(sum);
}

static void softmax_minus(const float *z, int64_t n, float m, float inverse, float weight, float *y) {
    EACH16(n, {
        v16 e = v16_exp(v16_sub(TAKE(z), v16_all(m)));
        PUT(y, v16_mul(v16_mul(e, v16_all(inverse)), v16_all(weight)));
    });
}

/* ---- Optimizer --------------------------------------------------------------------------------------------------- */

static void adamw(float *p, const float *grad, float *m, float *v, int64_t n, const AdamwNumbers *numbers) {
    const AdamwNumbers *a = numbers;
    EACH16(n, {
        v16 g = v16_mul(TAKE(grad), v16_all(a->clip));
        v16 first = v16_add(v16_mul(TAKE(m), v16_all(a->beta1)), v16_mul(g, v16_all(a->rest1)));
        v16 second = v16_add(v16_mul(TAKE(v), v16_all(a->beta2)), v16_mul(v16_mul(g, g), v16_all(a->rest2)));
        v16 below = v16_add(v16_div(v16_sqrt(second), v16_all(a->root)), v16_all(a->epsilon));
        v16 change = v16_div(v16_mul(first, v16_all(a->step)), below);
        PUT(m, first);
        PUT(v, second);
        PUT(p, v16_sub(v16_mul(TAKE(p), v16_all(a->decay)), change));
    });
}

/* codes8.h, lane by lane. */
INLINE v16 codes_scale(CodeKind kind, v16 most) {
    v16 s = v16_max(most, v16_all(code_least[kind])), zero = v16_all(0), last = v16_all(FLT_MAX);
    return v16_pick(v16_less(zero, most), v16_pick(v16_less(s, last), s, last), zero);
}
INLINE v16 codes_value(CodeKind kind, const uint8_t *codes, v16 scale) {
    v16 c = v16_u8(codes);
    if (kind == CODE_FIRST) {
        v16 t = v16_div(v16_sub(c, v16_all(128)), v16_all(127));
        return v16_mul(v16_mul(t, v16_abs(t)), scale);
    }
    v16 t = v16_div(c, v16_all(255));
    t = v16_mul(t, t);
    return v16_mul(v16_mul(t, t), scale);
}
INLINE void codes_put(CodeKind kind, v16 x, v16 by, uint8_t *codes) {
    v16 r = v16_div(x, by), zero = v16_all(0), one = v16_all(1), top = v16_all(kind == CODE_FIRST ? 127 : 255);
    v16 q = v16_mul(kind == CODE_FIRST ? v16_sqrt(v16_abs(r)) : v16_sqrt(v16_sqrt(r)), top);
    q = v16_pick(v16_less(q, top), q, top);
    if (kind == CODE_FIRST) q = v16_add(v16_pick(v16_less(x, zero), v16_sub(zero, q), q), v16_all(128));
    else q = v16_pick(v16_less(zero, x), v16_max(q, one), q);
    v16_put_u8(codes, q);
}
INLINE void codes_store(CodeKind kind, const float *x, v16 most, int64_t columns, uint8_t *block) {
    v16 scale = codes_scale(kind, most), by = v16_pick(v16_less(v16_all(0), scale), scale, v16_all(1));
    v16_store((float *)(void *)block, scale);
    for (int64_t i = 0; i < columns; i++) codes_put(kind, v16_load(x + i * PANEL), by, block + (4 + i) * PANEL);
}

static void adamw8(float *p, const float *grad, uint8_t *m, uint8_t *v, int64_t columns, const AdamwNumbers *numbers) {
    _Alignas(64) float firsts[CODE_BLOCK * PANEL], seconds[CODE_BLOCK * PANEL];
    const AdamwNumbers *a = numbers;
    v16 m_scale = v16_load((const float *)(const void *)m), v_scale = v16_load((const float *)(const void *)v);
    v16 m_most = v16_all(0), v_most = v16_all(0);
    for (int64_t i = 0; i < columns; i++) {
        v16 g = v16_mul(v16_load(grad + i * PANEL), v16_all(a->clip));
        v16 first = codes_value(CODE_FIRST, m + (4 + i) * PANEL, m_scale), second = codes_value(CODE_SECOND, v + (4 + i) * PANEL, v_scale);
        first = v16_add(v16_mul(first, v16_all(a->beta1)), v16_mul(g, v16_all(a->rest1)));
        second = v16_add(v16_mul(second, v16_all(a->beta2)), v16_mul(v16_mul(g, g), v16_all(a->rest2)));
        v16 below = v16_add(v16_div(v16_sqrt(second), v16_all(a->root)), v16_all(a->epsilon));
        v16 change = v16_div(v16_mul(first, v16_all(a->step)), below);
        v16_store(p + i * PANEL, v16_sub(v16_mul(v16_load(p + i * PANEL), v16_all(a->decay)), change));
        v16_store(firsts + i * PANEL, first);
        v16_store(seconds + i * PANEL, second);
        m_most = v16_max(v16_abs(first), m_most);
        v_most = v16_max(v16_abs(second), v_most);
    }
    codes_store(CODE_FIRST, firsts, m_most, columns, m);
    codes_store(CODE_SECOND, seconds, v_most, columns, v);
}

static void sgd(float *p, const float *grad, float *m, int64_t n, const SgdNumbers *numbers) {
    const SgdNumbers *a = numbers;
    EACH16(n, {
        v16 old = TAKE(p), g = v16_add(v16_mul(TAKE(grad), v16_all(a->clip)), v16_mul(old, v16_all(a->decay)));
        if (m) {
            g = v16_add(v16_mul(TAKE(m), v16_all(a->momentum)), g);
            PUT(m, g);
        }
        PUT(p, v16_sub(old, v16_mul(g, v16_all(a->rate))));
    });
}

static void average(float *e, const float *p, int64_t n, float decay, float rest) {
    EACH16(n, PUT(e, v16_add(v16_mul(TAKE(e), v16_all(decay)), v16_mul(TAKE(p), v16_all(rest)))););
}

static double sum_squares(const float *x, int64_t n) {
    double lane[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int64_t j = 0; j < n - i; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++) lane[j] += lane[j + step];
    return lane[0];
}

#define KERNELS_GRAD16                                                                                                 \
    .outer = outer, .copy = copy, .transpose = transpose, .product_sum = product_sum, .scale = scale,                  \
    .softmax_grad = softmax_grad, .sum_parts = sum_parts, .panels = panels,                                            \
    .silu_mul_grad = silu_mul_grad, .rms_norm_grad = rms_norm_grad, .gain_grad = gain_grad, .max = most,               \
    .exp_sum = exp_sum, .softmax_minus = softmax_minus, .adamw = adamw, .adamw8 = adamw8, .sgd = sgd, .average = average,                \
    .sum_squares = sum_squares,
#endif
