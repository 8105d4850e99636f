/* test_kernels.c: the choice of a table, attention and the kernels that go element by element: every tuned table
 * against the reference, bit for bit. */
#include "kernel_checks.h"

/* ---- Attention --------------------------------------------------------------------------------------------------- */

typedef struct Case {
    AttentionCall call;
    CacheType type;
    Guarded q, k, v, scratch;
} Case;

static void fill_cache(Guarded *g, CacheType type, int64_t n, int side) {
    float *f = malloc((size_t)n * sizeof *f);
    fill_floats(f, n);
    guarded_new(g, n * (type == CACHE_F32 ? 4 : 2), side);
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = f32_to_bf16(f[i]);
        if (type == CACHE_F32) memcpy(g->data + 4 * i, &f[i], 4);
        else memcpy(g->data + 2 * i, &h, 2);
    }
    free(f);
}

/* Positions outside [first, last) hold NaN: they must not count. */
static void spoil_outside(Case *c) {
    int64_t channels = c->call.channels, end = (c->call.last + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK * ATTENTION_BLOCK;
    for (int64_t p = 0; p < end; p++)
        for (int64_t i = 0; i < channels && (p < c->call.first || p >= c->call.last); i++) {
            int64_t k = (p / K_BLOCK * channels + i) * K_BLOCK + p % K_BLOCK, v = p * channels + i;
            size_t size = c->type == CACHE_F32 ? 4 : 2;
            memset(c->k.data + (size_t)k * size, 0xff, size);
            memset(c->v.data + (size_t)v * size, 0xff, size);
        }
}

static void case_new(Case *c, CacheType type, int heads, int64_t channels, int64_t first, int64_t last, int side) {
    int64_t end = (last + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK * ATTENTION_BLOCK, stride = channels + random_below(3);
    c->type = type;
    float *q = guarded_floats(&c->q, (heads - 1) * stride + channels, side);
    fill_cache(&c->k, type, end * channels, side);
    fill_cache(&c->v, type, end * channels, side);
    void *scratch = guarded_new(&c->scratch, (attention_scratch(heads, channels) * 4 + 63) / 64 * 64, 0);
    c->call = (AttentionCall){.q = q, .q_stride = stride, .heads = heads, .k = c->k.data, .v = c->v.data,
                              .channels = channels, .first = first, .last = last, .scale = 0.37f, .scratch = scratch};
    spoil_outside(c);
}

static void case_free(Case *c) {
    guarded_free(&c->q);
    guarded_free(&c->k);
    guarded_free(&c->v);
    guarded_free(&c->scratch);
}

/* attention: any number of heads, channels that are no multiple of 16, ranges that begin and end inside blocks. */
static void check_attention(const Kernels *kernels) {
    static const int64_t channels[] = {2, 8, 10, 16, 30, 64, 80, 96, 128, 130};
    for (int type = 0; type < CACHE_COUNT; type++)
        for (int round = 0; round < 45; round++) {
            int heads = 1 + round % 15;
            int64_t n = channels[round % 10], first = round % 3 ? random_below(200) : 0,
                    last = first + 1 + random_below(200);
            Case c;
            case_new(&c, (CacheType)type, heads, n, first, last, round % SIDES);
            int64_t stride = n + random_below(3), floats = (heads - 1) * stride + n;
            Guarded ga, gb;
            float *a = guarded_floats(&ga, floats, 0), *b = guarded_new(&gb, 4 * floats, round % SIDES);
            memcpy(b, a, 4 * (size_t)floats);
            c.call.out_stride = stride;
            c.call.out = a;
            kernels_reference.attention[type](&c.call);
            c.call.out = b;
            kernels->attention[type](&c.call);
            same_bits(kernels->isa, type == CACHE_F32 ? "attention f32" : "attention bf16", a, b, floats);
            case_free(&c);
            guarded_free(&ga);
            guarded_free(&gb);
        }
}
static void attention_matches(void **state) {
    (void)state;
    on_every_table(check_attention);
}

static float merge(float old, float a, float part, float b) { return fmaf(old, a, part * b); }

/* The splitting law: blocks computed one call each and merged in order, as workers would, give the bits of one call.
 * A call of one block yields o_b / l_b; l_b and m_b are found as the header says. Values are 1 in one channel, so that
 * channel is l_b / l_b = 1 and the law is tested on the numbers that the merge keeps, from scores recomputed here. */
static void check_split(const Kernels *kernels) {
    enum { CHANNELS = 32, FIRST = 37, LAST = 64 * 5 + 11 };
    Case c;
    case_new(&c, CACHE_F32, 1, CHANNELS, FIRST, LAST, 0);
    float whole[CHANNELS], o[CHANNELS], m = 0, l = 0;
    const float *key = c.call.k, *value = c.call.v;
    c.call.out = whole;
    c.call.out_stride = CHANNELS;
    kernels->attention[CACHE_F32](&c.call);
    for (int64_t start = 0; start < LAST; start += ATTENTION_BLOCK) {
        float e[ATTENTION_BLOCK] = {0}, lane[16], o_b[CHANNELS], m_b = -INFINITY, l_b;
        int64_t lo = start < FIRST ? FIRST - start : 0,
                hi = LAST - start < ATTENTION_BLOCK ? LAST - start : ATTENTION_BLOCK;
        for (int64_t p = lo; p < hi; p++) {
            for (int64_t i = 0; i < CHANNELS; i++)
                e[p] = fmaf(c.call.q[i], key[((start + p) / K_BLOCK * CHANNELS + i) * K_BLOCK + p % K_BLOCK], e[p]);
            e[p] *= c.call.scale;
            m_b = fmaxf(m_b, e[p]);
        }
        for (int64_t p = 0; p < ATTENTION_BLOCK; p++) e[p] = p >= lo && p < hi ? exp_f32(e[p] - m_b) : 0;
        for (int i = 0; i < 16; i++) lane[i] = (e[i] + e[i + 16]) + (e[i + 32] + e[i + 48]);
        for (int step = 8; step; step /= 2)
            for (int i = 0; i < step; i++) lane[i] += lane[i + step];
        l_b = lane[0];
        for (int i = 0; i < CHANNELS; i++) {
            o_b[i] = 0;
            for (int64_t p = lo; p < hi; p++) o_b[i] = fmaf(e[p], value[(start + p) * CHANNELS + i], o_b[i]);
        }
        /* A worker's call over this block alone agrees with these parts. */
        AttentionCall part = c.call;
        float alone[CHANNELS];
        part.first = start + lo;
        part.last = start + hi;
        part.out = alone;
        kernels->attention[CACHE_F32](&part);
        for (int i = 0; i < CHANNELS; i++) {
            float expected = o_b[i] / l_b;
            same_bits(kernels->isa, "one block", &expected, &alone[i], 1);
        }
        float top = fmaxf(m, m_b), a = exp_f32(m - top), b = exp_f32(m_b - top);
        bool fresh = start == 0;
        for (int i = 0; i < CHANNELS; i++) o[i] = fresh ? o_b[i] : merge(o[i], a, o_b[i], b);
        l = fresh ? l_b : merge(l, a, l_b, b);
        m = fresh ? m_b : top;
    }
    for (int i = 0; i < CHANNELS; i++) o[i] /= l;
    same_bits(kernels->isa, "merged blocks", o, whole, CHANNELS);
    case_free(&c);
}
static void attention_splits(void **state) {
    (void)state;
    on_every_table(check_split);
    check_split(&kernels_reference);
}

/* The reference itself: near softmax(scale q k) v in double. */
static void attention_near_double(void **state) {
    (void)state;
    enum { CHANNELS = 48, HEADS = 3, FIRST = 20, LAST = 300 };
    for (int type = 0; type < CACHE_COUNT; type++) {
        Case c;
        float out[HEADS * CHANNELS];
        case_new(&c, (CacheType)type, HEADS, CHANNELS, FIRST, LAST, 0);
        c.call.out = out;
        c.call.out_stride = CHANNELS;
        kernels_reference.attention[type](&c.call);
        for (int h = 0; h < HEADS; h++) {
            double sum = 0, o[CHANNELS] = {0};
            for (int64_t p = FIRST; p < LAST; p++) {
                double s = 0;
                for (int64_t i = 0; i < CHANNELS; i++) {
                    int64_t at = (p / K_BLOCK * CHANNELS + i) * K_BLOCK + p % K_BLOCK;
                    float k = type == CACHE_F32 ? ((const float *)c.call.k)[at]
                                                : bf16_to_f32(((const uint16_t *)c.call.k)[at]);
                    s += (double)c.call.q[h * c.call.q_stride + i] * k;
                }
                double e = exp(s * (double)c.call.scale);
                sum += e;
                for (int64_t i = 0; i < CHANNELS; i++) {
                    int64_t at = p * CHANNELS + i;
                    o[i] += e * (double)(type == CACHE_F32 ? ((const float *)c.call.v)[at]
                                                           : bf16_to_f32(((const uint16_t *)c.call.v)[at]));
                }
            }
            for (int i = 0; i < CHANNELS; i++) assert_true(fabs(o[i] / sum - (double)out[h * CHANNELS + i]) < 2e-6);
        }
        case_free(&c);
    }
}

/* ---- Element by element ------------------------------------------------------------------------------------------ */

/* rms_norm, silu_mul, rope, add: 0 to 200 elements, results apart from the inputs and in their place. */
static void check_elements(const Kernels *kernels) {
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 13)
        for (int place = 0; place < 3; place++) { /* y apart, y is the first input, y is the second */
            int side = (int)(n + place) % SIDES;
            Guarded ga, gb, gc, gs, gy;
            float *a = guarded_floats(&ga, 2 * n, side), *b = guarded_floats(&gb, 2 * n, side),
                  *c = guarded_floats(&gc, n, side);
            float *s = guarded_floats(&gs, n, side), *y = guarded_floats(&gy, 2 * n, side),
                  *expected = malloc((size_t)n * 8);
            a[0] = 95.0f; /* where exp_f32(-a) is 0, ... */
            a[n - 1] = -95.0f; /* ... and where it is infinite */
            float *first = malloc((size_t)n * 8), *second = malloc((size_t)n * 8);
            memcpy(first, a, (size_t)n * 8);
            memcpy(second, b, (size_t)n * 8);
            float *out = place == 0 ? y : place == 1 ? a : b;
#define RUN(what, count, call_reference, call_tuned)                                                                   \
    do {                                                                                                               \
        memcpy(a, first, (size_t)n * 8);                                                                               \
        memcpy(b, second, (size_t)n * 8);                                                                              \
        call_reference;                                                                                                \
        call_tuned;                                                                                                    \
        same_bits(kernels->isa, what, expected, out, count);                                                           \
    } while (0)
            RUN("silu_mul", n, kernels_reference.silu_mul(a, b, n, expected), kernels->silu_mul(a, b, n, out));
            RUN("add", n, kernels_reference.add(a, b, n, expected), kernels->add(a, b, n, out));
            if (place < 2) {
                RUN("rms_norm", n, kernels_reference.rms_norm(a, b, 1e-6f, n, expected),
                    kernels->rms_norm(a, b, 1e-6f, n, out));
                RUN("rope", 2 * n, kernels_reference.rope(a, c, s, n, expected), kernels->rope(a, c, s, n, out));
            }
            free(expected);
            free(first);
            free(second);
            Guarded *all[] = {&ga, &gb, &gc, &gs, &gy};
            for (int i = 0; i < 5; i++) guarded_free(all[i]);
        }
}
static void elements_match(void **state) {
    (void)state;
    on_every_table(check_elements);
}

/* argmax: ties, signed zeros, infinities and NaN in every place. */
static void check_argmax(const Kernels *kernels) {
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.0f, 3.0f};
    for (int64_t n = 0; n < 150; n++)
        for (int kind = 0; kind < 6; kind++) {
            Guarded g;
            float *x = guarded_new(&g, 4 * n, (int)n % SIDES), best = 7, expected = 7;
            for (int64_t i = 0; i < n; i++)
                x[i] = kind == 0 ? random_float() : kind == 1 ? special[random_below(7)] : kind == 2 ? NAN :
                       kind == 3 ? (random_below(4) ? NAN : -INFINITY) : kind == 4 ? (random_below(2) ? 0.0f : -0.0f) :
                       (float)random_below(5);
            int64_t at = kernels_reference.argmax(x, n, &expected);
            assert_int_equal(kernels->argmax(x, n, &best), at);
            assert_memory_equal(&best, &expected, sizeof best);
            guarded_free(&g);
        }
}
static void argmax_matches(void **state) {
    (void)state;
    on_every_table(check_argmax);
    float best, x[] = {-INFINITY, NAN, 2, 5, 5, NAN, 1};
    assert_int_equal(kernels_reference.argmax(x, 7, &best), 3);
    assert_true(best == 5);
    assert_int_equal(kernels_reference.argmax(x, 2, &best), 0);
    assert_int_equal(kernels_reference.argmax(x + 1, 1, &best), -1);
    assert_int_equal(kernels_reference.argmax(x, 0, &best), -1);
}

/* The vector exponential, through silu_mul, on values spread over all of f32, infinities and NaN included. */
static void check_exponential(const Kernels *kernels) {
    enum { N = 4096 };
    static float gate[N], up[N], a[N], b[N];
    for (int round = 0; round < 16; round++) {
        for (int i = 0; i < N; i++) {
            uint32_t bits = random_bits();
            memcpy(&gate[i], &bits, 4);
            if (round % 2) gate[i] = random_float() * 40.0f;
            if (gate[i] != gate[i]) gate[i] = -INFINITY;
            up[i] = 1;
        }
        gate[7] = INFINITY;
        gate[8] = 87.33f, gate[9] = -88.72f, gate[10] = nextafterf(87.33f, 100), gate[11] = nextafterf(-88.72f, -100);
        kernels_reference.silu_mul(gate, up, N, a);
        kernels->silu_mul(gate, up, N, b);
        for (int i = 0; i < N; i++)
            if (a[i] != a[i]) assert_true(b[i] != b[i]);
            else same_bits(kernels->isa, "silu_mul", &a[i], &b[i], 1);
        gate[0] = NAN;
        kernels->silu_mul(gate, up, N, b);
        assert_true(b[0] != b[0]);
    }
}
static void exponential_matches(void **state) {
    (void)state;
    on_every_table(check_exponential);
}

/* exp_f32: at most 2 ulp from the true value where that is a normal number, and as written outside. */
static void exponential_is_accurate(void **state) {
    (void)state;
    double worst = 0;
    for (uint32_t bits = 0; bits < 0xffffff00u - 977; bits += 977) {
        float x;
        memcpy(&x, &bits, 4);
        if (!(x >= -87.33f && x <= 88.72f)) continue;
        long double truth = expl((long double)x);
        int exponent;
        frexpl(truth, &exponent);
        double error = (double)fabsl(((long double)exp_f32(x) - truth) / ldexpl(1, exponent - 24));
        worst = error > worst ? error : worst;
    }
    print_message("exp_f32: at most %.3f ulp off\n", worst);
    assert_true(worst > 0.4 && worst <= 2);
    assert_true(exp_f32(0) == 1);
    assert_true(exp_f32(-INFINITY) == 0 && exp_f32(-88) == 0 && exp_f32(-1e30f) == 0);
    assert_true(isinf(exp_f32(INFINITY)) && isinf(exp_f32(89)) && isfinite(exp_f32(88.72f)));
    assert_true(isnan(exp_f32(NAN)) && isnan(exp_f32(-NAN)));
}

/* ---- Choosing ---------------------------------------------------------------------------------------------------- */

/* kernels_select: the reference everywhere, a name that does not exist is an error that lists those that do. */
static void select_by_name(void **state) {
    (void)state;
    Err err = {0};
    assert_ptr_equal(kernels_select("reference", &err), &kernels_reference);
    const Kernels *best = kernels_select(NULL, &err);
    assert_non_null(best);
    print_message("kernels: %s\n", best->isa);
    assert_false(err.set);
    assert_null(kernels_select("avx3", &err));
    assert_string_equal(err.text,
                        "kernels: no instruction set is called 'avx3'; expected reference, avx2, avx512 or avx512vnni");
    for (int i = 0; kernels_name(i); i++) {
        Err none = {0};
        const Kernels *k = kernels_select(kernels_name(i), &none);
        assert_true(k ? !strcmp(k->isa, kernels_name(i)) : none.set && strstr(none.text, kernels_name(i)));
    }
    assert_null(kernels_name(-1));
}

/* Every entry of every table is there. */
static void check_complete(const Kernels *k) {
    for (int i = 0; i < PACKED_COUNT; i++) assert_true(k->rows[i] && k->unpack[i]);
    for (int i = 0; i < CACHE_COUNT; i++) assert_true(k->attention[i]);
    assert_true(k->tile && k->rms_norm && k->silu_mul && k->rope && k->add && k->argmax);
}
static void tables_are_complete(void **state) {
    (void)state;
    on_every_table(check_complete);
}

/* Skipped, with the name, when some table cannot run on this CPU: the tests above then prove less than they could. */
static void every_table_ran(void **state) {
    (void)state;
    bool missing = false;
    for (int i = 0; kernels_name(i); i++) {
        Err err = {0};
        if (kernels_select(kernels_name(i), &err)) continue;
        print_message("SKIP %s\n", err.text);
        missing = true;
    }
    if (missing) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select_by_name),
        cmocka_unit_test(tables_are_complete),
        cmocka_unit_test(attention_matches),
        cmocka_unit_test(attention_splits),
        cmocka_unit_test(attention_near_double),
        cmocka_unit_test(elements_match),
        cmocka_unit_test(argmax_matches),
        cmocka_unit_test(exponential_matches),
        cmocka_unit_test(exponential_is_accurate),
        cmocka_unit_test(every_table_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
