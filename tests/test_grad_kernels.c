/* test_grad_kernels.c: the kernels of training, backward pass and optimizer: every tuned table against the reference,
 * bit for bit, and the reference against its formula in double. */
#include <float.h>
#include "kernel_checks.h"

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* outer: any numbers of panels, rows and k; it reads nothing past the rows of the last k. */
static void check_outer(const Kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        int panels = 1 + (int)random_below(6), side = round % SIDES;
        int64_t count = random_below(40), rows = 1 + random_below(50), x_step = rows + random_below(4),
                step = (count + random_below(3)) * PANEL + PANEL, acc_step = (rows + random_below(3)) * PANEL,
                n = panels * acc_step;
        Guarded gw, gx, ga, gb;
        float *w = guarded_new(&gw, (step * (panels - 1) + count * PANEL) * 4, 0);
        fill_floats(w, step * (panels - 1) + count * PANEL);
        float *x = guarded_floats(&gx, count ? (count - 1) * x_step + rows : 0, side);
        float *a = guarded_floats(&ga, n, 0), *b = guarded_new(&gb, 4 * n, 0);
        memcpy(b, a, 4 * (size_t)n);
        kernels_reference.outer(w, step, panels, count, x, x_step, rows, a, acc_step);
        kernels->outer(w, step, panels, count, x, x_step, rows, b, acc_step);
        same_bits(kernels->isa, "outer", a, b, n);
        Guarded *all[] = {&gw, &gx, &ga, &gb};
        for (int i = 0; i < 4; i++) guarded_free(all[i]);
    }
}
static void outer_matches(void **state) {
    (void)state;
    on_every_table(check_outer);
}

/* The reference: tile of the transposed rows. */
static void outer_is_tile(void **state) {
    (void)state;
    enum { PANELS = 3, COUNT = 37, ROWS = 21 };
    float w[PANELS * COUNT * PANEL], x[COUNT * ROWS], turned[ROWS * COUNT];
    float a[PANELS * ROWS * PANEL], b[PANELS * ROWS * PANEL];
    fill_floats(w, PANELS * COUNT * PANEL);
    fill_floats(x, COUNT * ROWS);
    fill_floats(a, PANELS * ROWS * PANEL);
    memcpy(b, a, sizeof b);
    kernels_reference.transpose(x, ROWS, COUNT, ROWS, turned, COUNT);
    for (int i = 0; i < COUNT * ROWS; i++) assert_true(turned[i % ROWS * COUNT + i / ROWS] == x[i]);
    kernels_reference.outer(w, COUNT * PANEL, PANELS, COUNT, x, ROWS, ROWS, a, ROWS * PANEL);
    kernels_reference.tile(w, COUNT * PANEL, PANELS, COUNT, turned, COUNT, ROWS, b);
    same_bits("reference", "outer", a, b, PANELS * ROWS * PANEL);
}

/* Signs and fractions of bf16, products next to the smallest normal number or sums that round at every step. */
static float pair_number(int round) {
    uint32_t bits = random_bits() & 0x807f0000u, exponent = round % 2 ? 62 + random_bits() % 4 : 124 + random_bits() % 7;
    float f;
    bits |= exponent << 23;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static Pair *pairs_guarded(Guarded *g, int64_t n, int side, int round) {
    Pair *p = guarded_new(g, 4 * n, side);
    for (int64_t i = 0; i < n; i++) p[i] = f32_to_bf16(pair_number(round)) | (Pair)f32_to_bf16(pair_number(round)) << 16;
    return p;
}
/* Sums: those of odd rounds may be subnormal. */
static float *sums_guarded(Guarded *g, int64_t n, int round) {
    float *p = guarded_new(g, 4 * n, 0);
    for (int64_t i = 0; i < n; i++) p[i] = round % 2 ? pair_number(0) * 0x1p-126f : pair_number(0);
    return p;
}

static void check_outer_pairs(const Kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        int panels = 1 + (int)random_below(6), side = round % SIDES;
        int64_t count = random_below(30), rows = 1 + random_below(50), x_step = rows + random_below(4),
                step = (count + random_below(3)) * PANEL + PANEL, acc_step = (rows + random_below(3)) * PANEL,
                n = panels * acc_step;
        Guarded gw, gx, ga, gb;
        Pair *w = pairs_guarded(&gw, step * (panels - 1) + count * PANEL, 0, round);
        Pair *x = pairs_guarded(&gx, count ? (count - 1) * x_step + rows : 0, side, round);
        float *a = sums_guarded(&ga, n, round), *b = guarded_new(&gb, 4 * n, 0);
        memcpy(b, a, 4 * (size_t)n);
        kernels_reference.outer_pairs(w, step, panels, count, x, x_step, rows, a, acc_step);
        kernels->outer_pairs(w, step, panels, count, x, x_step, rows, b, acc_step);
        same_bits(kernels->isa, "outer_pairs", a, b, n);
        Guarded *all[] = {&gw, &gx, &ga, &gb};
        for (int i = 0; i < 4; i++) guarded_free(all[i]);
    }
}

/* Parts of a tree of some levels, every leaf in one or two. */
static void parts_draw(SumParts *parts, int levels, int64_t *count) {
    if (levels > 0) {
        parts_draw(parts, levels - 1, count);
        parts_draw(parts, levels - 1, count);
        parts->part[parts->count - 1].adds++;
        return;
    }
    for (int more = (int)random_below(2), i = 0; i <= more; i++) {
        parts->part[parts->count] = (SumPart){.count = random_below(9), .begins = i == 0};
        *count += parts->part[parts->count++].count;
    }
}

static void check_pair_parts(const Kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        SumParts parts = {.joins = (int)random_below(3)};
        int panels = 1 + (int)random_below(4);
        int64_t count = 0, rows = 1 + random_below(40), step, n = panels * rows * PANEL, stride;
        parts_draw(&parts, (int)random_below(4), &count);
        parts.part[0].begins = random_below(3) > 0;
        parts.join_step = n;
        step = (count + random_below(3)) * PANEL + PANEL, stride = count + random_below(3) + 1;
        Guarded gw, gx, ga, gb;
        Pair *w = pairs_guarded(&gw, step * (panels - 1) + count * PANEL, 0, round);
        Pair *x = pairs_guarded(&gx, rows * stride, round % SIDES, round);
        for (int p = 0, at = 0; p < parts.count; at += (int)parts.part[p++].count)
            parts.part[p].x = x + at, parts.part[p].x_stride = stride;
        int64_t all = (parts.joins + 1) * n;
        float *a = sums_guarded(&ga, all, round), *b = guarded_new(&gb, 4 * all, 0);
        memcpy(b, a, 4 * (size_t)all);
        kernels_reference.sum_pair_parts(w, step, panels, &parts, rows, a + parts.joins * n);
        kernels->sum_pair_parts(w, step, panels, &parts, rows, b + parts.joins * n);
        same_bits(kernels->isa, "sum_pair_parts", a, b, all);
        Guarded *blocks[] = {&gw, &gx, &ga, &gb};
        for (int i = 0; i < 4; i++) guarded_free(blocks[i]);
    }
}

static void check_pair_up(const Kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        int64_t rows = 1 + random_below(9), columns = 1 + random_below(70), wide = (columns + 15) / 16 * 16,
                in_step = columns + random_below(3), in_n = (rows - 1) * in_step + columns, panel_step = PANEL,
                out_step = wide + random_below(3);
        if (round % 2) out_step = PANEL, panel_step = (rows + random_below(3)) * PANEL;
        int64_t out_n = (rows - 1) * out_step + (wide / 16 - 1) * panel_step + PANEL;
        Guarded ge, go, ga, gb;
        float *even = guarded_floats(&ge, in_n, round % SIDES), *odd = guarded_floats(&go, in_n, round % SIDES);
        even[random_below(in_n)] = round % 4 ? NAN : FLT_MAX; /* which becomes inf */
        odd[random_below(in_n)] = FLT_MIN / 2;
        Pair *a = guarded_new(&ga, 4 * out_n, 0), *b = guarded_new(&gb, 4 * out_n, (int)columns % SIDES);
        for (int64_t i = 0; i < out_n; i++) a[i] = b[i] = 7;
        const float *e = round % 5 ? even : NULL, *o = round % 7 ? odd : NULL;
        kernels_reference.pair_up(e, o, in_step, rows, columns, a, out_step, panel_step);
        kernels->pair_up(e, o, in_step, rows, columns, b, out_step, panel_step);
        for (int64_t i = 0; i < out_n; i++)
            if (a[i] != b[i]) fail_msg("%s pair_up: %08x, the reference has %08x", kernels->isa, b[i], a[i]);
        assert_int_equal(a[0], (e ? f32_to_bf16(e[0]) : 0u) | (Pair)(o ? f32_to_bf16(o[0]) : 0u) << 16);
        Guarded *all[] = {&ge, &go, &ga, &gb};
        for (int i = 0; i < 4; i++) guarded_free(all[i]);
    }
}

static void pairs_match(void **state) {
    (void)state;
    on_every_table(check_outer_pairs);
    on_every_table(check_pair_parts);
    on_every_table(check_pair_up);
}

/* The reference: outer and sums of parts are dot_pairs of the same numbers, laid out in another way. */
static void outer_pairs_is_dot(void **state) {
    (void)state;
    enum { COUNT = 37, ROWS = 5 };
    Guarded gw, gx;
    Pair *w = pairs_guarded(&gw, COUNT * PANEL, 0, 0), *x = pairs_guarded(&gx, COUNT * ROWS, 0, 0), turned[ROWS * COUNT];
    float a[ROWS * PANEL] = {0}, b[ROWS * PANEL] = {0}, c[ROWS * PANEL];
    for (int i = 0; i < COUNT * ROWS; i++) turned[i % ROWS * COUNT + i / ROWS] = x[i];
    SumParts parts = {.count = 1, .part = {{.x = turned, .x_stride = COUNT, .count = COUNT, .begins = true}}};
    Leaves leaf;
    leaves_one(&leaf, 0, 2 * COUNT);
    kernels_reference.outer_pairs(w, 0, 1, COUNT, x, ROWS, ROWS, a, 0);
    kernels_reference.dot_pairs(w, 0, 1, &leaf, turned, COUNT, ROWS, b);
    kernels_reference.sum_pair_parts(w, 0, 1, &parts, ROWS, c);
    same_bits("reference", "outer_pairs", b, a, ROWS * PANEL);
    same_bits("reference", "sum_pair_parts", b, c, ROWS * PANEL);
    guarded_free(&gw), guarded_free(&gx);
}

/* transpose: any size and steps; what lies between rows stays. */
static void check_transpose(const Kernels *kernels) {
    for (int64_t rows = 1; rows < 40; rows++)
        for (int64_t columns = 1; columns < 40; columns += 1 + random_below(3)) {
            int64_t in_step = columns + random_below(3), out_step = rows + random_below(3);
            int64_t in_n = (rows - 1) * in_step + columns, out_n = (columns - 1) * out_step + rows;
            Guarded gi, ga, gb;
            float *in = guarded_floats(&gi, in_n, (int)rows % SIDES);
            float *a = guarded_floats(&ga, out_n, 0), *b = guarded_new(&gb, 4 * out_n, (int)columns % SIDES);
            memcpy(b, a, 4 * (size_t)out_n);
            kernels_reference.transpose(in, in_step, rows, columns, a, out_step);
            kernels->transpose(in, in_step, rows, columns, b, out_step);
            same_bits(kernels->isa, "transpose", a, b, out_n);
            Guarded *all[] = {&gi, &ga, &gb};
            for (int i = 0; i < 3; i++) guarded_free(all[i]);
        }
}
static void transpose_matches(void **state) {
    (void)state;
    on_every_table(check_transpose);
}

/* ---- Element by element ------------------------------------------------------------------------------------------ */

/* Six vectors, of which a kernel reads and writes some; run with the reference and with the tuned table from the same
 * numbers, all of them compared. */
enum { VECTORS = 6 };
typedef void Elements(const Kernels *k, int64_t n, float *const v[VECTORS]);

static void elements_of(const Kernels *kernels, const char *what, Elements *run) {
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 13) {
        Guarded ga[VECTORS], gb[VECTORS];
        float *a[VECTORS], *b[VECTORS];
        for (int i = 0; i < VECTORS; i++) {
            a[i] = guarded_floats(&ga[i], n, (int)n % SIDES);
            b[i] = guarded_new(&gb[i], 4 * n, (int)n % SIDES);
            a[i][random_below(n)] = i == 0 ? 95.0f : 0.5f; /* where an exponential is 0 ... */
            a[i][n - 1] = i == 0 ? -95.0f : a[i][n - 1];   /* ... and where it is infinite */
            memcpy(b[i], a[i], 4 * (size_t)n);
        }
        run(&kernels_reference, n, a);
        run(kernels, n, b);
        for (int i = 0; i < VECTORS; i++) same_bits(kernels->isa, what, a[i], b[i], n);
        for (int i = 0; i < VECTORS; i++) guarded_free(&ga[i]), guarded_free(&gb[i]);
    }
}

static void run_silu(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->silu_mul_grad(v[0], v[1], v[2], n, v[3], v[4]);
}
static void run_silu_in_place(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->silu_mul_grad(v[0], v[1], v[2], n, v[2], v[1]);
}
static void run_silu_swapped(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->silu_mul_grad(v[0], v[1], v[2], n, v[1], v[0]);
}
static void run_norm(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    v[4][0] = k->rms_norm_grad(v[0], v[1], v[2], 1e-6f, n, v[3]);
    v[5][0] = k->rms_norm_grad(v[1], v[0], v[2], 1e-6f, n, v[2]);
    k->rms_norm_grad(v[0], v[1], v[5], 1e-6f, n, v[0]);
}
static void run_gain(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->gain_grad(v[0], v[1], 0.37f, n, v[2]);
}
static void run_scale(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->scale(v[0], 0.37f, n, v[1]);
    k->scale(v[2], -1.37f, n, v[2]);
}
static void run_sums(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    v[3][0] = k->product_sum(v[1], v[2], n);
    v[4][0] = k->max(v[1], n);
    v[5][0] = k->exp_sum(v[1], n, v[4][0]);
    double squares = k->sum_squares(v[0], n);
    v[0][0] = (float)squares, v[1][0] = (float)(squares - (double)(float)squares);
}
static void run_softmax(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->softmax_minus(v[1], n, 3.5f, 0.21f, 0.125f, v[3]);
    k->softmax_minus(v[2], n, 3.5f, 0.21f, 0.125f, v[2]);
}
static const AdamwNumbers adamw_numbers = {.clip = 0.83f, .decay = 0.999f, .beta1 = 0.9f, .rest1 = 0.1f,
                                           .beta2 = 0.95f, .rest2 = 0.05f, .step = 1e-2f, .root = 0.31f,
                                           .epsilon = 1e-8f};
static const SgdNumbers sgd_numbers = {.clip = 0.83f, .decay = 0.01f, .momentum = 0.9f, .rate = 0.02f};
static void run_adamw(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    for (int64_t i = 0; i < n; i++) v[4][i] = fabsf(v[4][i]);
    k->adamw(v[1], v[2], v[3], v[4], n, &adamw_numbers);
}
static void run_sgd(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->sgd(v[1], v[2], v[3], n, &sgd_numbers);
    k->sgd(v[4], v[5], NULL, n, &sgd_numbers);
}
static void run_average(const Kernels *k, int64_t n, float *const v[VECTORS]) {
    k->average(v[0], v[1], n, 0.99f, 0.01f);
}

/* Blocks of moments in 8 bits, among them rows of zeros, of the smallest and of the largest numbers, over three steps. */
enum { CODED = 256 };
typedef struct Coded { float p[CODED * PANEL]; uint8_t m[(CODED + 4) * PANEL], v[(CODED + 4) * PANEL]; } Coded;
static float coded_grad(int64_t i, int step) {
    static const float row[PANEL] = {1, 0, 1e-30f, 1e-15f, 1e25f, 3e38f, 1e-3f, 1};
    float x = (float)((i * 7919 + step * 104729) % 2003) / 1001 - 1;
    return (i % PANEL < 8 ? row[i % PANEL] : 1) * x * x * x;
}
static void coded_steps(const Kernels *k, int64_t columns, Coded *c) {
    float grad[CODED * PANEL];
    for (int64_t i = 0; i < columns * PANEL; i++) c->p[i] = (float)(i % 13) / 13;
    memset(c->m, 0, sizeof c->m), memset(c->v, 0, sizeof c->v);
    for (int64_t i = 0; i < columns * PANEL; i++) c->m[4 * PANEL + i] = 128; /* nothing: scales are 0, too */
    for (int step = 0; step < 3; step++) {
        for (int64_t i = 0; i < columns * PANEL; i++) grad[i] = coded_grad(i, step);
        k->adamw8(c->p, grad, c->m, c->v, columns, &adamw_numbers);
    }
}
static void check_coded(const Kernels *k) {
    static const int64_t sizes[] = {1, 2, 17, 64, 255, 256};
    static Coded want, got;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t bytes = (size_t)(sizes[s] + 4) * PANEL;
        coded_steps(&kernels_reference, sizes[s], &want);
        coded_steps(k, sizes[s], &got);
        if (memcmp(want.m, got.m, bytes) || memcmp(want.v, got.v, bytes) ||
            memcmp(want.p, got.p, (size_t)sizes[s] * PANEL * sizeof(float)))
            fail_msg("%s: adamw8 of %lld columns has other bits", k->isa, (long long)sizes[s]);
    }
}

static void check_elements(const Kernels *k) {
    elements_of(k, "silu_mul_grad", run_silu);
    elements_of(k, "silu_mul_grad in place", run_silu_in_place);
    elements_of(k, "silu_mul_grad, results swapped", run_silu_swapped);
    elements_of(k, "rms_norm_grad", run_norm);
    elements_of(k, "gain_grad", run_gain);
    elements_of(k, "scale", run_scale);
    elements_of(k, "sums", run_sums);
    elements_of(k, "softmax_minus", run_softmax);
    elements_of(k, "adamw", run_adamw);
    check_coded(k);
    elements_of(k, "sgd", run_sgd);
    elements_of(k, "average", run_average);
}
/* What codes stand for is near, of second moments never nothing, and has these codes again. */
static void codes_are_near(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int exponent = -120; exponent <= 120; exponent += 8) {
            float x[CODED], most = 0;
            for (int i = 0; i < CODED; i++) {
                float u = (float)(i + 1) / CODED;
                x[i] = ldexpf(kind == CODE_FIRST && i % 2 ? -u * u * u : u * u * u, exponent);
                most = fmaxf(most, fabsf(x[i]));
            }
            float scale = code_scale((CodeKind)kind, most), again = 0, value[CODED];
            for (int i = 0; i < CODED; i++) {
                double step = kind == CODE_FIRST ? 1.0 / 127 : 1.0 / 255, part = fabs((double)x[i] / (double)scale);
                double root = kind == CODE_FIRST ? sqrt(part) : sqrt(sqrt(part)), power = kind == CODE_FIRST ? 2 : 4;
                double wrong = (pow(root + step * 0.501, power) - part) * (double)scale;
                value[i] = code_value((CodeKind)kind, code_of((CodeKind)kind, x[i], scale), scale);
                if (kind == CODE_FIRST || code_of((CodeKind)kind, x[i], scale) > 1)
                    assert_true(fabs((double)value[i] - (double)x[i]) <= wrong);
                assert_true(kind == CODE_FIRST || value[i] > 0);
                again = fmaxf(again, fabsf(value[i]));
            }
            assert_true(again == 0 || code_scale((CodeKind)kind, again) == scale);
            for (int i = 0; i < CODED; i++)
                assert_int_equal(code_of((CodeKind)kind, value[i], scale), code_of((CodeKind)kind, x[i], scale));
        }
}

static void elements_match(void **state) {
    (void)state;
    on_every_table(check_elements);
}

/* softmax_grad: any range of a block; what lies outside may be anything. */
static void check_softmax_grad(const Kernels *kernels) {
    for (int round = 0; round < 300; round++) {
        enum { STEP = 48, N = 3 * STEP + 16 };
        float s[N], dp[N], p[2][ATTENTION_BLOCK], ds[2][ATTENTION_BLOCK];
        int64_t lo = random_below(90) - 20, hi = random_below(65);
        SoftmaxRow row = {.scale = 0.3f, .m = 2.5f, .l = 3.7f, .d = 0.4f};
        for (int i = 0; i < N; i++) {
            bool inside = i % STEP < 16 && i / STEP * 16 + i % STEP >= lo && i / STEP * 16 + i % STEP < hi;
            s[i] = inside ? random_float() : random_below(2) ? NAN : 1e30f;
            dp[i] = inside ? random_float() : NAN;
        }
        kernels_reference.softmax_grad(s, dp, STEP, lo, hi, &row, p[0], ds[0]);
        kernels->softmax_grad(s, dp, STEP, lo, hi, &row, p[1], ds[1]);
        same_bits(kernels->isa, "p", p[0], p[1], ATTENTION_BLOCK);
        same_bits(kernels->isa, "ds", ds[0], ds[1], ATTENTION_BLOCK);
        for (int64_t i = 0; i < ATTENTION_BLOCK; i++) assert_true((i >= lo && i < hi) == (p[0][i] != 0));
    }
}
static void softmax_grad_matches(void **state) {
    (void)state;
    on_every_table(check_softmax_grad);
}

/* max: ties, zeros of either sign, infinities, NaN in every place. */
static void check_max(const Kernels *kernels) {
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.0f, -3.0f};
    for (int64_t n = 0; n < 150; n++)
        for (int kind = 0; kind < 4; kind++) {
            Guarded g;
            float *x = guarded_new(&g, 4 * n, (int)n % SIDES);
            for (int64_t i = 0; i < n; i++)
                x[i] = kind == 0 ? random_float() : kind == 1 ? special[random_below(7)] : kind == 2 ? NAN :
                       (random_below(2) ? 0.0f : -0.0f);
            float a = kernels_reference.max(x, n), b = kernels->max(x, n);
            same_bits(kernels->isa, "max", &a, &b, 1);
            guarded_free(&g);
        }
}
static void max_matches(void **state) {
    (void)state;
    on_every_table(check_max);
    assert_true(kernels_reference.max(NULL, 0) == -INFINITY);
}

/* ---- The reference against formulas in double -------------------------------------------------------------------- */

static void close_to(const char *what, float got, double expected, double bound) {
    if (!(fabs((double)got - expected) <= bound * (1 + fabs(expected))))
        fail_msg("%s: %.9g, the formula gives %.9g", what, (double)got, expected);
}

static double silu_double(double a, double u) { return a / (1 + exp(-a)) * u; }

/* Finite differences of the forward formulas. */
static void gradients_are_gradients(void **state) {
    (void)state;
    enum { N = 50 };
    float a[N], u[N], dy[N], da[N], du[N];
    fill_floats(a, N), fill_floats(u, N), fill_floats(dy, N);
    kernels_reference.silu_mul_grad(a, u, dy, N, da, du);
    for (int i = 0; i < N; i++) {
        double h = 1e-5, x = (double)a[i], y = (double)u[i], d = (double)dy[i];
        close_to("dgate", da[i], d * (silu_double(x + h, y) - silu_double(x - h, y)) / (2 * h), 1e-5);
        close_to("dup", du[i], d * (silu_double(x, y + h) - silu_double(x, y - h)) / (2 * h), 1e-5);
    }
    float r = kernels_reference.rms_norm_grad(a, u, dy, 1e-3f, N, da);
    memset(du, 0, sizeof du);
    kernels_reference.gain_grad(a, dy, r, N, du);
    for (int i = 0; i < N; i++) {
        double loss[2], h = 1e-5, size = 0;
        for (int side = 0; side < 2; side++) {
            double sum = 0;
            loss[side] = size = 0;
            for (int j = 0; j < N; j++) {
                double x = (double)a[j] + (j == i) * (side ? h : -h);
                size += x * x;
            }
            for (int j = 0; j < N; j++) {
                double x = (double)a[j] + (j == i) * (side ? h : -h);
                sum += x / sqrt(size / N + (double)1e-3f) * (double)u[j] * (double)dy[j];
            }
            loss[side] = sum;
        }
        close_to("norm", da[i], (loss[1] - loss[0]) / (2 * h), 1e-5);
        close_to("gain", du[i], (double)dy[i] * (double)a[i] * (double)r, 1e-6);
    }
}

/* torch's formulas with the same numbers, three steps. */
static void optimizers_are_torch(void **state) {
    (void)state;
    enum { N = 20 };
    float p[N], g[N], m[N] = {0}, v[N] = {0}, q[N], buffer[N] = {0};
    double rate = 0.01, decay = 0.1, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8, momentum = 0.8;
    double dp[N], dm[N] = {0}, dv[N] = {0}, dq[N], db[N] = {0};
    fill_floats(p, N);
    memcpy(q, p, sizeof q);
    for (int i = 0; i < N; i++) dp[i] = dq[i] = (double)p[i];
    for (int t = 1; t <= 3; t++) {
        double correct1 = 1 - pow(beta1, t), correct2 = 1 - pow(beta2, t);
        AdamwNumbers a = {.clip = 0.5f, .decay = (float)(1 - rate * decay), .beta1 = (float)beta1,
                          .rest1 = (float)(1 - beta1), .beta2 = (float)beta2, .rest2 = (float)(1 - beta2),
                          .step = (float)(rate / correct1), .root = (float)sqrt(correct2), .epsilon = (float)epsilon};
        SgdNumbers s = {.clip = 0.5f, .decay = (float)decay, .momentum = (float)momentum, .rate = (float)rate};
        fill_floats(g, N);
        kernels_reference.adamw(p, g, m, v, N, &a);
        kernels_reference.sgd(q, g, buffer, N, &s);
        for (int i = 0; i < N; i++) {
            double grad = (double)g[i] * 0.5;
            dp[i] *= 1 - rate * decay;
            dm[i] = beta1 * dm[i] + (1 - beta1) * grad;
            dv[i] = beta2 * dv[i] + (1 - beta2) * grad * grad;
            dp[i] -= rate / correct1 * dm[i] / (sqrt(dv[i]) / sqrt(correct2) + epsilon);
            db[i] = momentum * db[i] + grad + decay * dq[i];
            dq[i] -= rate * db[i];
            close_to("adamw", p[i], dp[i], 1e-6);
            close_to("sgd", q[i], dq[i], 1e-6);
        }
    }
}

static void sums_are_sums(void **state) {
    (void)state;
    enum { N = 1000 };
    static float x[N], y[N], e[N];
    double squares = 0, product = 0, sum = 0;
    fill_floats(x, N), fill_floats(y, N);
    float m = kernels_reference.max(x, N);
    for (int i = 0; i < N; i++) {
        squares += (double)x[i] * (double)x[i];
        product += (double)x[i] * (double)y[i];
        sum += exp((double)x[i] - (double)m);
        assert_true(x[i] <= m);
    }
    assert_true(fabs(kernels_reference.sum_squares(x, N) - squares) < 1e-12 * squares);
    close_to("product_sum", kernels_reference.product_sum(x, y, N), product, 1e-3);
    close_to("exp_sum", kernels_reference.exp_sum(x, N, m), sum, 1e-5);
    kernels_reference.softmax_minus(x, N, m, (float)(1 / sum), 0.25f, e);
    double whole = 0;
    for (int i = 0; i < N; i++) whole += (double)e[i];
    assert_true(fabs(whole - 0.25) < 1e-5);
    kernels_reference.average(x, y, N, 0.75f, 0.25f);
}

static void check_complete(const Kernels *k) {
    assert_true(k->outer && k->transpose && k->product_sum && k->scale && k->softmax_grad && k->silu_mul_grad);
    assert_true(k->rms_norm_grad && k->gain_grad && k->max && k->exp_sum && k->softmax_minus);
    assert_true(k->adamw && k->adamw8 && k->sgd && k->average && k->sum_squares);
}
static void tables_are_complete(void **state) {
    (void)state;
    on_every_table(check_complete);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_complete), cmocka_unit_test(outer_matches),
        cmocka_unit_test(outer_is_tile),       cmocka_unit_test(transpose_matches),
        cmocka_unit_test(pairs_match),         cmocka_unit_test(outer_pairs_is_dot),
        cmocka_unit_test(elements_match),      cmocka_unit_test(softmax_grad_matches),
        cmocka_unit_test(max_matches),         cmocka_unit_test(gradients_are_gradients),
        cmocka_unit_test(optimizers_are_torch), cmocka_unit_test(sums_are_sums),
        cmocka_unit_test(codes_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
