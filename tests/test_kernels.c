/* test_kernels.c: the choice of a table, attention and the kernels that go element by element: every tuned table
 * against the reference, bit for bit. */
#include "kernel_checks.h"

/* ---- Attention --------------------------------------------------------------------------------------------------- */

/* Rows over the cache of one head. Row r sees its own pages, or, below `common`, those of row 0. */
typedef struct Case {
    AttentionCall call;
    CacheType type;
    AttentionRow row[ATTENTION_HEADS];
    int32_t page[ATTENTION_HEADS][8];
    Guarded q, cache, scratch;
    KeyTurns turns; /* of case_bias */
    KeyBias bias;
    int32_t *at;
} Case;

static void put_key(CacheType type, uint8_t *page, int64_t channels, int64_t p, int64_t c, float f) {
    int64_t at = (p / K_BLOCK * channels + c) * K_BLOCK + p % K_BLOCK;
    uint16_t h = f32_to_bf16(f);
    if (type == CACHE_F32) memcpy(page + 4 * at, &f, 4);
    else if (type == CACHE_BF16) memcpy(page + 2 * at, &h, 2);
    else page[at] = (uint8_t)(int8_t)(f == f ? f * 31 : 0);
}
static void put_value(CacheType type, uint8_t *page, int64_t channels, int64_t p, int64_t c, float f) {
    int64_t at = p * channels + c;
    uint16_t h = f32_to_bf16(f);
    if (type == CACHE_F32) memcpy(page + 4 * at, &f, 4);
    else if (type == CACHE_BF16) memcpy(page + 2 * at, &h, 2);
    else page[at] = (uint8_t)(int8_t)(f == f ? f * 31 : 0);
}
/* Scales of a page in 8 bits; elsewhere nothing. */
static void put_scale(CacheType type, uint8_t *half, int64_t channels, int64_t p, float f) {
    if (type == CACHE_Q8) memcpy(half + ATTENTION_BLOCK * channels + 4 * p, &f, 4);
}
static float number_of(CacheType type, const uint8_t *half, int64_t at) {
    float f;
    uint16_t h;
    if (type == CACHE_Q8) return (float)(int8_t)half[at];
    memcpy(&h, half + 2 * at, 2);
    if (type == CACHE_BF16) return bf16_to_f32(h);
    memcpy(&f, half + 4 * at, 4);
    return f;
}

/* Positions that no row sees hold NaN: they must not count. */
static void fill_page(const Case *c, int32_t page, const bool seen[ATTENTION_BLOCK]) {
    int64_t channels = c->call.channels, half = cache_page_bytes(c->type, channels);
    uint8_t *keys = c->cache.data + 2 * half * page, *values = keys + half;
    for (int64_t p = 0; p < ATTENTION_BLOCK; p++) {
        for (int64_t i = 0; i < channels; i++) {
            put_key(c->type, keys, channels, p, i, seen[p] ? random_float() / 4 : NAN);
            put_value(c->type, values, channels, p, i, seen[p] ? random_float() : NAN);
        }
        put_scale(c->type, keys, channels, p, seen[p] ? 0.03f + random_float() * 0.005f : NAN);
        put_scale(c->type, values, channels, p, seen[p] ? 0.03f + random_float() * 0.005f : NAN);
    }
}

static void case_new(Case *c, CacheType type, int rows, int heads, int64_t channels, int64_t first, int64_t last,
                     int common, int side) {
    int64_t half = cache_page_bytes(type, channels), blocks = (last + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    *c = (Case){.type = type};
    float *q = guarded_floats(&c->q, (int64_t)rows * heads * channels, side);
    guarded_new(&c->cache, 2 * half * rows * blocks, side);
    void *scratch = guarded_new(&c->scratch, (attention_scratch(heads, channels) * 4 + 63) / 64 * 64, 0);
    c->call = (AttentionCall){.row = c->row, .rows = rows, .heads = heads, .cache = c->cache.data, .channels = channels,
                              .scale = 0.37f, .scratch = scratch};
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < blocks; b++)
            c->page[r][b] = (int32_t)(b < common ? blocks - 1 - b : (r + 1) * blocks - 1 - b); /* last page first */
        c->row[r] = (AttentionRow){.q = q + r * heads * channels, .page = c->page[r],
                                   .first = first > r % 3 ? first - r % 3 : first,
                                   .last = last - r % 5 > first ? last - r % 5 : last};
    }
    for (int32_t page = 0; page < rows * blocks; page++) {
        bool seen[ATTENTION_BLOCK] = {false};
        for (int r = 0; r < rows; r++)
            for (int b = 0; b < blocks; b++)
                for (int64_t p = 0; p < ATTENTION_BLOCK && c->page[r][b] == page; p++)
                    seen[p] |= b * ATTENTION_BLOCK + p >= c->row[r].first && b * ATTENTION_BLOCK + p < c->row[r].last;
        fill_page(c, page, seen);
    }
}

/* Keys of a cache in 8 bits that lack their biases: some pairs of channels, positions one after another from anywhere,
 * some of them whole. Turns of any size will do. */
static void case_bias(Case *c, int64_t pages) {
    enum { POSITIONS = 1024 };
    int64_t half = c->call.channels / 4 + 1, width = 2 * (half + 1); /* some channels do not turn */
    c->turns = (KeyTurns){.half = half, .positions = POSITIONS};
    c->turns.far = malloc((size_t)(POSITIONS / TURN_POSITIONS * width) * sizeof(float));
    c->turns.near = malloc((size_t)(width * TURN_POSITIONS) * sizeof(float));
    for (int64_t i = 0; i < POSITIONS / TURN_POSITIONS * width; i++) c->turns.far[i] = random_float();
    for (int64_t i = 0; i < width * TURN_POSITIONS; i++) c->turns.near[i] = random_float();
    c->bias = (KeyBias){.pair = malloc((size_t)c->call.channels * sizeof *c->bias.pair)};
    for (int32_t i = 0; i < c->call.channels / 2; i++)
        if (random_below(3))
            c->bias.pair[c->bias.pairs++] = (BiasPair){2 * i, 2 * i + 1, (int32_t)random_below((uint32_t)half + 1),
                                                       random_float(), random_float()};
    c->at = malloc((size_t)pages * ATTENTION_BLOCK * sizeof *c->at);
    for (int64_t page = 0; page < pages; page++) {
        int32_t from = (int32_t)random_below(POSITIONS - ATTENTION_BLOCK);
        if (page % 3 == 0) from = from / TURN_POSITIONS * TURN_POSITIONS;
        for (int32_t p = 0; p < ATTENTION_BLOCK; p++)
            c->at[page * ATTENTION_BLOCK + p] = page % 4 == 1 && random_below(4) == 0 ? -1 : from + p;
    }
    c->call.bias = &c->bias;
    c->call.turns = &c->turns;
    c->call.at = c->at;
}

static void case_free(Case *c) {
    free(c->turns.far), free(c->turns.near), free(c->bias.pair), free(c->at);
    guarded_free(&c->q);
    guarded_free(&c->cache);
    guarded_free(&c->scratch);
}

static void case_out(Case *c, float *out) {
    for (int r = 0; r < c->call.rows; r++) c->row[r].out = out + r * c->call.heads * c->call.channels;
}
/* m and l of each row but every third. */
static void case_stats(Case *c, float *stats) {
    for (int r = 0; r < c->call.rows; r++) c->row[r].stats = r % 3 == 2 ? NULL : stats + 2 * r * c->call.heads;
}

/* attention: any number of rows and heads, channels that are no multiple of 16, ranges that begin and end inside
 * blocks, pages that rows share or not. */
static void check_attention(const Kernels *kernels) {
    static const int64_t channels[] = {2, 8, 10, 16, 30, 64, 80, 96, 128, 130};
    for (int type = 0; type < CACHE_COUNT; type++)
        for (int round = 0; round < 60; round++) {
            int heads = 1 + round % 15, most = ATTENTION_HEADS / heads, rows = round % 4 ? 1 + round % most : 1;
            int64_t n = channels[round % 10], first = round % 3 ? random_below(200) : 0,
                    last = first + 1 + random_below(200), floats = n * heads * rows;
            Case c;
            case_new(&c, (CacheType)type, rows, heads, n, first, last, round % 7, round % SIDES);
            if (type == CACHE_Q8 && round % 4 < 2)
                case_bias(&c, (last + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK * rows);
            Guarded ga, gb;
            float *a = guarded_floats(&ga, floats, 0), *b = guarded_new(&gb, 4 * floats, round % SIDES);
            memcpy(b, a, 4 * (size_t)floats);
            float stats[2][2 * ATTENTION_HEADS];
            for (int i = 0; i < 2 * ATTENTION_HEADS; i++) stats[0][i] = stats[1][i] = -7;
            case_out(&c, a);
            case_stats(&c, stats[0]);
            kernels_reference.attention[type](&c.call);
            case_out(&c, b);
            case_stats(&c, stats[1]);
            kernels->attention[type](&c.call);
            same_bits(kernels->isa, cache_names[type], a, b, floats);
            same_bits(kernels->isa, "stats", stats[0], stats[1], 2 * ATTENTION_HEADS);
            for (int i = 0; i < 2 * rows * heads; i++) assert_true((stats[0][i] == -7) == (i / 2 / heads % 3 == 2));
            for (int64_t i = 0; i < floats; i++) assert_true(a[i] == a[i]);
            case_free(&c);
            guarded_free(&ga);
            guarded_free(&gb);
        }
}
static void attention_matches(void **state) {
    (void)state;
    on_every_table(check_attention);
}

/* The largest call there may be: one row of more heads than ATTENTION_HEADS. */
static void check_many_heads(const Kernels *kernels) {
    enum { HEADS = ATTENTION_HEADS + 7, CHANNELS = 16 };
    Case c;
    float a[HEADS * CHANNELS], b[HEADS * CHANNELS];
    case_new(&c, CACHE_F32, 1, HEADS, CHANNELS, 3, 140, 0, 0);
    case_out(&c, a);
    kernels_reference.attention[CACHE_F32](&c.call);
    case_out(&c, b);
    kernels->attention[CACHE_F32](&c.call);
    same_bits(kernels->isa, "many heads", a, b, HEADS * CHANNELS);
    case_free(&c);
}
static void many_heads_match(void **state) {
    (void)state;
    on_every_table(check_many_heads);
}

static float merge(float old, float a, float part, float b) { return fmaf(old, a, part * b); }

/* The splitting law: blocks computed one call each and merged in order, as workers would, give the bits of one call.
 * A call of one block yields o_b / l_b; l_b and m_b are found as the header says. Values are 1 in one channel, so that
 * channel is l_b / l_b = 1 and the law is tested on the numbers that the merge keeps, from scores recomputed here. */
static void check_split(const Kernels *kernels) {
    enum { CHANNELS = 32, FIRST = 37, LAST = 64 * 5 + 11 };
    Case c;
    case_new(&c, CACHE_F32, 1, 1, CHANNELS, FIRST, LAST, 0, 0);
    float whole[CHANNELS], o[CHANNELS], m = 0, l = 0;
    c.row[0].out = whole;
    kernels->attention[CACHE_F32](&c.call);
    for (int64_t start = 0; start < LAST; start += ATTENTION_BLOCK) {
        const uint8_t *keys = c.call.cache + 2 * cache_page_bytes(CACHE_F32, CHANNELS) * c.page[0][start / 64],
                      *values = keys + cache_page_bytes(CACHE_F32, CHANNELS);
        float e[ATTENTION_BLOCK] = {0}, lane[16], o_b[CHANNELS], m_b = -INFINITY, l_b;
        int64_t lo = start < FIRST ? FIRST - start : 0,
                hi = LAST - start < ATTENTION_BLOCK ? LAST - start : ATTENTION_BLOCK;
        for (int64_t p = lo; p < hi; p++) {
            for (int64_t i = 0; i < CHANNELS; i++)
                e[p] = fmaf(c.row[0].q[i],
                            number_of(CACHE_F32, keys, (p / K_BLOCK * CHANNELS + i) * K_BLOCK + p % K_BLOCK), e[p]);
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
            for (int64_t p = lo; p < hi; p++)
                o_b[i] = fmaf(e[p], number_of(CACHE_F32, values, p * CHANNELS + i), o_b[i]);
        }
        /* A worker's call over this block alone agrees with these parts. */
        AttentionCall part = c.call;
        AttentionRow row = c.row[0];
        float alone[CHANNELS];
        part.row = &row;
        row.first = start + lo;
        row.last = start + hi;
        row.out = alone;
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

/* The parts of a row's blocks, left by calls over pieces of its range, merge into the result and the m and l that one
 * call leaves. */
static void check_merge(const Kernels *kernels) {
    enum { HEADS = 3, CHANNELS = 20, FIRST = 70, LAST = 64 * 4 + 11, CUT = 192, BLOCKS = 4 };
    Case c;
    case_new(&c, CACHE_F32, 1, HEADS, CHANNELS, FIRST, LAST, 0, 0);
    float out[2][HEADS * CHANNELS], stats[2][2 * HEADS];
    int64_t size = attention_part(HEADS, CHANNELS);
    float *parts = aligned_alloc(64, (size_t)(BLOCKS * size) * sizeof *parts);
    case_out(&c, out[0]);
    case_stats(&c, stats[0]);
    kernels->attention[CACHE_F32](&c.call);
    for (int half = 0; half < 2; half++) {
        AttentionCall piece = c.call;
        AttentionRow row = c.row[0];
        row.out = row.stats = NULL;
        row.first = half ? CUT : FIRST;
        row.last = half ? LAST : CUT;
        piece.row = &row;
        piece.parts = parts + half * 2 * size;
        kernels->attention[CACHE_F32](&piece);
    }
    kernels->merge(parts, BLOCKS, HEADS, CHANNELS, out[1], stats[1]);
    same_bits(kernels->isa, "merge", out[0], out[1], HEADS * CHANNELS);
    same_bits(kernels->isa, "stats", stats[0], stats[1], 2 * HEADS);
    for (int h = 0; h < HEADS; h++) assert_true(stats[0][2 * h + 1] >= 1);
    free(parts);
    case_free(&c);
}
static void parts_merge(void **state) {
    (void)state;
    on_every_table(check_merge);
    check_merge(&kernels_reference);
}

/* The reference itself: near softmax(scale q k) v in double. */
static void attention_near_double(void **state) {
    (void)state;
    enum { CHANNELS = 48, HEADS = 3, FIRST = 20, LAST = 300 };
    for (int type = 0; type < CACHE_COUNT; type++) {
        Case c;
        float out[HEADS * CHANNELS];
        int64_t half = cache_page_bytes((CacheType)type, CHANNELS), scales = ATTENTION_BLOCK * CHANNELS;
        case_new(&c, (CacheType)type, 1, HEADS, CHANNELS, FIRST, LAST, 0, 0);
        case_out(&c, out);
        kernels_reference.attention[type](&c.call);
        for (int h = 0; h < HEADS; h++) {
            double sum = 0, o[CHANNELS] = {0};
            for (int64_t p = FIRST; p < LAST; p++) {
                const uint8_t *keys = c.call.cache + 2 * half * c.page[0][p / ATTENTION_BLOCK], *values = keys + half;
                double s = 0;
                float ks = 1, vs = 1;
                int64_t in = p % ATTENTION_BLOCK;
                if (type == CACHE_Q8) memcpy(&ks, keys + scales + 4 * in, 4), memcpy(&vs, values + scales + 4 * in, 4);
                for (int64_t i = 0; i < CHANNELS; i++)
                    s += (double)c.row[0].q[h * CHANNELS + i] * (double)ks *
                         (double)number_of((CacheType)type, keys,
                                           (in / K_BLOCK * CHANNELS + i) * K_BLOCK + in % K_BLOCK);
                double e = exp(s * (double)c.call.scale);
                sum += e;
                for (int64_t i = 0; i < CHANNELS; i++)
                    o[i] += e * (double)vs * (double)number_of((CacheType)type, values, in * CHANNELS + i);
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
    assert_false(err.kind);
    assert_null(kernels_select("avx3", &err));
    assert_string_equal(err.text,
                        "kernels: no instruction set is called 'avx3'; expected reference, avx2, avx512, avx512vnni or "
                        "avx512bf16");
    for (int i = 0; kernels_name(i); i++) {
        Err none = {0};
        const Kernels *k = kernels_select(kernels_name(i), &none);
        assert_true(k ? !strcmp(k->isa, kernels_name(i)) : none.kind && strstr(none.text, kernels_name(i)));
    }
    assert_null(kernels_name(-1));
}

/* Every entry of every table is there. */
static void check_complete(const Kernels *k) {
    for (int i = 0; i < PACKED_COUNT; i++) assert_true(k->rows[i] && k->unpack[i]);
    for (int i = 0; i < CACHE_COUNT; i++) assert_true(k->attention[i]);
    assert_true(k->quantise && k->round && k->dot_pairs);
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
        cmocka_unit_test(attention_matches), cmocka_unit_test(many_heads_match),
        cmocka_unit_test(attention_splits),
        cmocka_unit_test(parts_merge),
        cmocka_unit_test(attention_near_double),
        cmocka_unit_test(elements_match),
        cmocka_unit_test(argmax_matches),
        cmocka_unit_test(exponential_matches),
        cmocka_unit_test(exponential_is_accurate),
        cmocka_unit_test(every_table_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
