/* test_kernels.c: packing, the reference kernels, and every tuned table against the reference, bit for bit. Inputs end
 * or begin at an unreadable page, so a read past either end is a crash; outputs stand between canaries and such
 * pages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "../src/cpu/kernels.h"
#define INLINE static inline
#define UNROLL
#include "simd16_plain.h"
#include "../src/cpu/kernels_simd16.h"
#include "../src/cpu/kernels_dot16.h"

/* The template over plain C: its logic, apart from any instruction set. */
static const Kernels kernels_plain = KERNELS_SIMD16("plain");

/* ---- Inputs that vary -------------------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint32_t random_bits(void) { /* xorshift64*, Vigna 2016 */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 2685821657736338717u >> 32);
}
static int64_t random_below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

/* Sign, 24 bits of fraction, exponent over a few powers of two: sums of these round at every step. */
static float random_float(void) {
    float f = (float)((int32_t)(random_bits() >> 7) - (1 << 24)) * 0x1p-24f;
    return ldexpf(f, (int)random_below(6) - 3);
}

static void fill_floats(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = random_float();
    for (int64_t i = 1; i < n; i++) assert_true(n < 8 || p[i] != p[i - 1]);
}

/* ---- Memory between unreadable pages ----------------------------------------------------------------------------- */

enum { PAGE = 4096, CANARY = 0xA5, SIDES = 2 };

typedef struct Guarded { uint8_t *map; size_t mapped, bytes; uint8_t *data; } Guarded;

/* `bytes` that end (side 0) or begin (side 1) at an unreadable page; the rest of their pages holds canaries. */
static void *guarded_new(Guarded *g, int64_t bytes, int side) {
    size_t inner = ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
    if (!inner) inner = PAGE;
    *g = (Guarded){.mapped = inner + 2 * PAGE, .bytes = (size_t)bytes};
    g->map = mmap(NULL, g->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->map != MAP_FAILED);
    assert_int_equal(mprotect(g->map, PAGE, PROT_NONE), 0);
    assert_int_equal(mprotect(g->map + PAGE + inner, PAGE, PROT_NONE), 0);
    memset(g->map + PAGE, CANARY, inner);
    g->data = g->map + PAGE + (side == 0 ? inner - g->bytes : 0);
    return g->data;
}

static void guarded_free(Guarded *g) {
    for (uint8_t *p = g->map + PAGE; p < g->map + g->mapped - PAGE; p++)
        if ((p < g->data || p >= g->data + g->bytes) && *p != CANARY)
            fail_msg("a byte %td from the start of a block of %zu was overwritten", p - g->data, g->bytes);
    munmap(g->map, g->mapped);
}

static float *guarded_floats(Guarded *g, int64_t n, int side) {
    float *p = guarded_new(g, 4 * n, side);
    fill_floats(p, n);
    return p;
}

static void same_bits(const char *isa, const char *what, const float *expected, const float *got, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&expected[i], &got[i], sizeof *got))
            fail_msg("%s %s: element %lld of %lld is %a, the reference has %a", isa, what, (long long)i, (long long)n,
                     (double)got[i], (double)expected[i]);
}

/* ---- The tables under test --------------------------------------------------------------------------------------- */

typedef void Check(const Kernels *k);

/* Runs a check on the plain template and on every table of this CPU; every_table_ran names those it lacks. */
static void on_every_table(Check *check) {
    check(&kernels_plain);
    for (int i = 0; kernels_name(i); i++) {
        const Kernels *k = kernels_select(kernels_name(i), NULL);
        if (k) check(k);
    }
}

/* ---- Weights as files store them --------------------------------------------------------------------------------- */

static void put_f16(uint8_t *p, float f) {
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* A row of k weights of a file type: random bytes, but finite numbers. */
static void fill_row(DType dtype, int64_t k, uint8_t *row) {
    size_t bytes;
    assert_true(dtype_bytes(dtype, k, &bytes));
    for (size_t i = 0; i < bytes; i++) row[i] = (uint8_t)random_bits();
    const DTypeRow *type = dtype_row(dtype);
    for (int64_t i = 0; i < k / type->block; i++) {
        uint8_t *b = row + i * type->block_bytes;
        float f = random_float();
        uint16_t h = f32_to_bf16(f);
        switch (dtype) {
            case DTYPE_F32: memcpy(b, &f, 4); break;
            case DTYPE_BF16: memcpy(b, &h, 2); break;
            case DTYPE_Q6_K: put_f16(b + 208, f); break;
            case DTYPE_F16: case DTYPE_Q8_0: case DTYPE_Q4_0: case DTYPE_Q5_0: put_f16(b, f); break;
            default: put_f16(b, f); put_f16(b + 2, random_float());
        }
    }
}

static const DType weight_types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_1,
                                     DTYPE_Q4_K, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q5_K, DTYPE_Q6_K};
enum { WEIGHT_TYPES = sizeof weight_types / sizeof *weight_types };

/* One file type per packed type, for tests of kernels. */
static const DType type_of_packed[PACKED_COUNT] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_1, DTYPE_Q4_K,
                                                   DTYPE_Q5_1, DTYPE_Q6_K, DTYPE_BF16, DTYPE_BF16};

static bool made_at_load(int type) { return type == PACKED_Q8G || type == PACKED_Q4G; }

/* Columns that a matrix of this type may have, a few groups at most. */
static int64_t random_columns(int type, int64_t most) {
    int group = packed_rows[type].group;
    return group <= 2           ? 1 + random_below(most)
           : made_at_load(type) ? 32 * (1 + random_below(11))
                                : group * (1 + random_below(5));
}

/* `panels` packed panels of k random columns, step bytes apart. */
static void fill_panels(PackedType type, int64_t k, int panels, uint8_t *out) {
    DType dtype = type_of_packed[type];
    size_t bytes;
    int64_t block = dtype_row(dtype)->block, padded = (k + block - 1) / block * block;
    uint8_t *rows[PANEL], *whole = aligned_alloc(64, (size_t)packed_panel_bytes(type, padded));
    assert_true(dtype_bytes(dtype, padded, &bytes));
    for (int r = 0; r < PANEL; r++) rows[r] = malloc(bytes);
    for (int p = 0; p < panels; p++) {
        for (int r = 0; r < PANEL; r++) fill_row(dtype, padded, rows[r]);
        PackError error = {0};
        if (made_at_load((int)type)) pack_quantise(dtype, type, (const uint8_t *const *)rows, padded, whole, &error);
        else pack_panel(dtype, (const uint8_t *const *)rows, padded, whole);
        memcpy(out + p * packed_panel_bytes(type, k), whole, (size_t)packed_panel_bytes(type, k));
    }
    for (int r = 0; r < PANEL; r++) free(rows[r]);
    free(whole);
}

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

/* Every file type: a packed and unpacked row has the values that dtype's own reader gives (zeros of either sign are the
 * same value); missing rows are zero. */
static void pack_keeps_values(void **state) {
    (void)state;
    for (int t = 0; t < WEIGHT_TYPES; t++)
        for (int round = 0; round < 24; round++) {
            DType dtype = weight_types[t];
            const DTypeRow *type = dtype_row(dtype);
            PackedType packed;
            assert_true(packed_type_of(dtype, &packed));
            int64_t k = type->block * (1 + random_below(type->block == 1 ? 90 : 5));
            int present = round % 3 == 0 ? 1 + (int)random_below(PANEL) : PANEL;
            size_t bytes;
            assert_true(dtype_bytes(dtype, k, &bytes));
            Guarded row[PANEL], panel;
            const uint8_t *rows[PANEL] = {NULL};
            for (int r = 0; r < present; r++) {
                rows[r] = guarded_new(&row[r], (int64_t)bytes, r % SIDES);
                fill_row(dtype, k, row[r].data);
            }
            void *out = guarded_new(&panel, packed_panel_bytes(packed, k), 0);
            pack_panel(dtype, rows, k, out);
            float *w = malloc((size_t)k * PANEL * sizeof *w), *expected = malloc((size_t)k * sizeof *w);
            kernels_reference.unpack[packed](out, 0, k, w);
            for (int r = 0; r < PANEL; r++) {
                memset(expected, 0, (size_t)k * sizeof *w);
                if (r < present) type->read(rows[r], 0, k, expected);
                for (int64_t i = 0; i < k; i++)
                    if (!(w[i * PANEL + r] == expected[i]))
                        fail_msg("%s: row %d, k %lld of %lld is %a, the file has %a", type->name, r, (long long)i,
                                 (long long)k, (double)w[i * PANEL + r], (double)expected[i]);
            }
            free(w);
            free(expected);
            for (int r = 0; r < present; r++) guarded_free(&row[r]);
            guarded_free(&panel);
        }
}

/* Sizes of panels are what the formats say, and no number of other kinds is a weight. */
static void pack_sizes(void **state) {
    (void)state;
    PackedType type;
    assert_int_equal(packed_panel_bytes(PACKED_F32, 3), 3 * 64);
    assert_int_equal(packed_panel_bytes(PACKED_BF16, 7), 4 * 64);
    assert_int_equal(packed_panel_bytes(PACKED_F16, 7), 4 * 64);
    assert_int_equal(packed_panel_bytes(PACKED_Q8, 32), 576);
    assert_int_equal(packed_panel_bytes(PACKED_Q8, 64), 1088);
    assert_int_equal(packed_panel_bytes(PACKED_Q4, 3584), 3584 * 16 * 5 / 8);
    assert_int_equal(packed_panel_bytes(PACKED_Q4G, 576), 4 * 1056 + 32 + 64 * 8 + 32);
    assert_int_equal(packed_panel_bytes(PACKED_Q8G, 3584), 28 * 2080);
    assert_int_equal(packed_panel_bytes(PACKED_Q6X, 3584), 3584 * 16 * 12 / 8);
    for (DType d = 0; d < DTYPE_COUNT; d++) assert_int_equal(packed_type_of(d, &type), dtype_row(d)->read != NULL);
}

/* ---- Linear ------------------------------------------------------------------------------------------------------ */

/* rows: any number of panels and rows, k ranges that begin and end inside groups, strides with gaps. */
static void check_rows(const Kernels *kernels) {
    for (int type = 0; type < PACKED_COUNT; type++)
        for (int round = 0; round < 60; round++) {
            int panels = 1 + round % 9, rows = 1 + round / 2 % ROWS_DIRECT;
            int64_t k = random_columns(type, 150);
            int64_t k0 = round % 3 ? random_below(k) : 0, k1 = round % 4 ? k0 + random_below(k - k0 + 1) : k;
            int64_t stride = k + random_below(5), bytes = packed_panel_bytes((PackedType)type, k);
            int64_t x_floats = (rows - 1) * stride + k, acc_floats = (int64_t)panels * rows * PANEL;
            Guarded gp, gx, ga, gb;
            uint8_t *panel = guarded_new(&gp, bytes * panels, 0);
            fill_panels((PackedType)type, k, panels, panel);
            float *x = guarded_floats(&gx, x_floats, round % SIDES), *a = guarded_floats(&ga, acc_floats, 0);
            float *b = guarded_new(&gb, 4 * acc_floats, round % SIDES);
            memcpy(b, a, 4 * (size_t)acc_floats);
            kernels_reference.rows[type](panel, bytes, panels, k0, k1, x, stride, rows, a);
            kernels->rows[type](panel, bytes, panels, k0, k1, x, stride, rows, b);
            same_bits(kernels->isa, packed_rows[type].name, a, b, acc_floats);
            guarded_free(&gp);
            guarded_free(&gx);
            guarded_free(&ga);
            guarded_free(&gb);
        }
}
static void rows_match(void **state) {
    (void)state;
    on_every_table(check_rows);
}

/* unpack: every value of any k range. */
static void check_unpack(const Kernels *kernels) {
    for (int type = 0; type < PACKED_COUNT; type++)
        for (int round = 0; round < 40; round++) {
            int64_t k = random_columns(type, 90);
            int64_t k0 = round % 3 ? random_below(k) : 0, k1 = round % 4 ? k0 + random_below(k - k0 + 1) : k;
            Guarded gp, gw;
            uint8_t *panel = guarded_new(&gp, packed_panel_bytes((PackedType)type, k), 0);
            fill_panels((PackedType)type, k, 1, panel);
            float *expected = malloc((size_t)(k + 1) * PANEL * 4),
                  *w = guarded_new(&gw, (k1 - k0) * PANEL * 4, round % SIDES);
            kernels_reference.unpack[type](panel, k0, k1, expected);
            kernels->unpack[type](panel, k0, k1, w);
            same_bits(kernels->isa, packed_rows[type].name, expected, w, (k1 - k0) * PANEL);
            free(expected);
            guarded_free(&gp);
            guarded_free(&gw);
        }
}
static void unpack_matches(void **state) {
    (void)state;
    on_every_table(check_unpack);
}

/* tile: 1 to 40 rows, any count, none included. */
static void check_tile(const Kernels *kernels) {
    for (int64_t rows = 1; rows <= 40; rows++)
        for (int side = 0; side < SIDES; side++) {
            int64_t count = side ? random_below(4) : 1 + random_below(70), stride = count + random_below(5);
            Guarded gw, gx, ga, gb;
            float *w = guarded_floats(&gw, count * PANEL, side),
                  *x = guarded_floats(&gx, (rows - 1) * stride + count, side);
            float *a = guarded_floats(&ga, rows * PANEL, 0), *b = guarded_new(&gb, rows * PANEL * 4, side);
            memcpy(b, a, (size_t)rows * PANEL * 4);
            kernels_reference.tile(w, count, x, stride, rows, a);
            kernels->tile(w, count, x, stride, rows, b);
            same_bits(kernels->isa, "tile", a, b, rows * PANEL);
            guarded_free(&gw);
            guarded_free(&gx);
            guarded_free(&ga);
            guarded_free(&gb);
        }
}
static void tile_matches(void **state) {
    (void)state;
    on_every_table(check_tile);
}

/* rows = unpack, then tile, for every table: one row and many rows of a batch get the same bits. k may be cut
 * anywhere. */
static void check_rows_are_tiles(const Kernels *kernels) {
    enum { K = 224, ROWS = 3 };
    _Alignas(64) float a[ROWS * PANEL], b[ROWS * PANEL], w[K * PANEL], x[ROWS * K];
    for (int type = 0; type < PACKED_COUNT; type++) {
        int64_t bytes = packed_panel_bytes((PackedType)type, K), cut = 1 + random_below(K - 1);
        uint8_t *panel = aligned_alloc(64, (size_t)bytes);
        fill_panels((PackedType)type, K, 1, panel);
        fill_floats(x, ROWS * K);
        fill_floats(a, ROWS * PANEL);
        memcpy(b, a, sizeof a);
        kernels->rows[type](panel, bytes, 1, 0, cut, x, K, ROWS, a);
        kernels->rows[type](panel, bytes, 1, cut, K, x, K, ROWS, a);
        kernels->unpack[type](panel, 0, K, w);
        kernels->tile(w, K, x, K, ROWS, b);
        same_bits(kernels->isa, packed_rows[type].name, a, b, ROWS * PANEL);
        free(panel);
    }
}
static void rows_are_tiles(void **state) {
    (void)state;
    on_every_table(check_rows_are_tiles);
}

/* ---- Activations in 8 bits --------------------------------------------------------------------------------------- */

/* Rows of floats and their quads; some columns are zero, tiny, infinite or NaN, some rows hold one large number. */
static void fill_activations(float *x, int64_t n, int round) {
    static const float special[] = {0, -0.0f, 1e-42f, 3e38f, INFINITY, -INFINITY, NAN, 1e-38f};
    fill_floats(x, n);
    if (round % 3 == 0) for (int64_t i = 0; i < n / 32 * 32; i += 32) x[i + random_below(32)] *= 1000;
    if (round % 5 == 0)
        for (int64_t i = 0; i < n; i += 1 + random_below(90)) x[i] = special[random_below(6 + round / 5 % 2 * 2)];
    if (round % 7 == 0) memset(x, 0, 32 * sizeof *x);
}

static void check_quantise(const Kernels *kernels) {
    for (int round = 0; round < 120; round++) {
        int64_t n = ACT_GROUP * (1 + random_below(6)), bytes = n / ACT_GROUP * (int64_t)sizeof(Quad);
        Guarded gx, gq;
        float *x = guarded_floats(&gx, n, round % SIDES);
        fill_activations(x, n, round);
        Quad *a = calloc(1, (size_t)bytes), *b = guarded_new(&gq, bytes, 0);
        memset(b, 0, (size_t)bytes);
        kernels_reference.quantise(x, n, a, round % QUAD);
        kernels->quantise(x, n, b, round % QUAD);
        for (int64_t g = 0; g < n / ACT_GROUP; g++)
            if (a[g].scale[round % QUAD] == a[g].scale[round % QUAD] && memcmp(&a[g], &b[g], sizeof *a))
                fail_msg("%s quantise: round %d, group %lld differs", kernels->isa, round, (long long)g);
            else if (a[g].scale[round % QUAD] != a[g].scale[round % QUAD])
                assert_true(b[g].scale[round % QUAD] != b[g].scale[round % QUAD]);
        free(a);
        guarded_free(&gx);
        guarded_free(&gq);
    }
}
static void quantise_matches(void **state) {
    (void)state;
    on_every_table(check_quantise);
}

/* The reference: scale, numbers, seeds and sums are what kernels.h says, and q * scale is near x. */
static void quantise_is_near(void **state) {
    (void)state;
    static const int order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    float x[ACT_GROUP];
    Quad quad;
    for (int round = 0; round < 50; round++) {
        float most = 0;
        int sum = 0, half = 0;
        fill_floats(x, ACT_GROUP);
        for (int i = 0; i < ACT_GROUP; i++) most = fmaxf(most, fabsf(x[i]));
        kernels_reference.quantise(x, ACT_GROUP, &quad, 2);
        assert_true(quad.scale[2] == most / 127);
        for (int i = 0; i < ACT_GROUP; i++) {
            int q = quad.q[2][i], at = i / 8 * 8 + order[i % 8];
            assert_true(fabs((double)x[at] / (double)quad.scale[2] - q) <= 0.5001);
            sum += q;
            half += i < 16 ? q : 0;
        }
        assert_int_equal(quad.seed8[2], -128 * sum);
        assert_int_equal(quad.seed4[2], -8 * sum);
        assert_true(quad.sum[2] == quad.scale[2] * (float)sum && quad.half[0][2] == quad.scale[2] * (float)half);
        assert_true(quad.half[1][2] == quad.scale[2] * (float)(sum - half));
    }
}

/* dot: every type, 1 to 27 rows, 1 to 9 panels, ranges that begin and end inside wide groups. Only the rows asked
 * for. */
static void check_dot(const Kernels *kernels) {
    for (int type = 0; type < PACKED_COUNT; type++)
        for (int round = 0; kernels_reference.dot[type] && round < 81; round++) {
            int panels = 1 + round % 9;
            int64_t rows = round < 27 ? round + 1 : 1 + random_below(27), k = (random_columns(type, 0) + 31) / 32 * 32;
            int64_t k0 = round % 3 ? random_below(k / 32) * 32 : 0, k1 = k0 + (1 + random_below((k - k0) / 32)) * 32;
            int64_t bytes = packed_panel_bytes((PackedType)type, k), quads = k / 32 + random_below(3),
                    four = quad_rows(rows);
            Guarded gp, gx, ga, gb;
            uint8_t *panel = guarded_new(&gp, bytes * panels, 0);
            fill_panels((PackedType)type, k, panels, panel);
            Quad *x = guarded_new(&gx, four / 4 * quads * (int64_t)sizeof(Quad), 0);
            float *one = malloc((size_t)k * sizeof *one);
            for (int64_t r = 0; r < rows; r++) {
                fill_floats(one, k);
                if (round % 2)
                    for (int64_t i = 0; i < k; i++) one[i] = one[i] < 0 ? -1 : 1; /* all sums at their largest */
                kernels_reference.quantise(one, k, x + r / 4 * quads, (int)(r % 4));
            }
            float *a = guarded_floats(&ga, panels * four * PANEL, 0),
                  *b = guarded_new(&gb, panels * four * PANEL * 4, 0);
            memcpy(b, a, (size_t)(panels * four * PANEL) * 4);
            kernels_reference.dot[type](panel, bytes, panels, k0, k1, x, quads, rows, a);
            kernels->dot[type](panel, bytes, panels, k0, k1, x, quads, rows, b);
            for (int p = 0; p < panels; p++)
                same_bits(kernels->isa, packed_rows[type].name, a + p * four * PANEL, b + p * four * PANEL,
                          rows * PANEL);
            free(one);
            guarded_free(&gp);
            guarded_free(&gx);
            guarded_free(&ga);
            guarded_free(&gb);
        }
}
static void dot_matches(void **state) {
    (void)state;
    on_every_table(check_dot);
}

/* The reference itself: near the sum in double of the weights times the activations as quantised, and the largest
 * numbers there are do not overflow: 128 columns of 255 or 15 against 127. */
static void dot_near_double(void **state) {
    (void)state;
    static const int order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    enum { K = 768 };
    for (int type = 0; type < PACKED_COUNT; type++) {
        if (!kernels_reference.dot[type]) continue;
        uint8_t *panel = aligned_alloc(64, (size_t)packed_panel_bytes((PackedType)type, K));
        float w[K * PANEL], x[K], acc[QUAD * PANEL] = {0};
        Quad quads[K / ACT_GROUP];
        fill_panels((PackedType)type, K, 1, panel);
        fill_floats(x, K);
        kernels_reference.unpack[type](panel, 0, K, w);
        kernels_reference.quantise(x, K, quads, 0);
        kernels_reference.dot[type](panel, 0, 1, 0, K, quads, 0, 1, acc);
        for (int i = 0; i < PANEL; i++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; k++) {
                const Quad *q = &quads[k / 32];
                int at = k % 32 / 8 * 8 + k % 8;
                double v = (double)q->q[0][at] * (double)q->scale[0];
                double weight = (double)w[(k / 8 * 8 + order[k % 8]) * PANEL + i];
                sum += weight * v;
                size += fabs(weight * v);
            }
            if (!(fabs(acc[i] - sum) <= 3e-6 * size && size > 0))
                fail_msg("%s: lane %d is %g, expected %g", packed_rows[type].name, i, (double)acc[i], sum);
        }
        free(panel);
    }
}

/* Q8G, Q4G: the error reported is the error there is, and as small as the formats promise. */
static void quantised_weights_are_near(void **state) {
    (void)state;
    enum { K = 416 };
    for (int type = PACKED_Q8G; type <= PACKED_Q4G; type++) {
        uint8_t *panel = aligned_alloc(64, (size_t)packed_panel_bytes((PackedType)type, K));
        static float row[PANEL][K], w[K * PANEL];
        const uint8_t *rows[PANEL] = {NULL};
        PackError error = {0};
        double square = 0, off = 0;
        for (int r = 0; r < PANEL - 3; r++) {
            fill_floats(row[r], K);
            rows[r] = (const uint8_t *)row[r];
        }
        pack_quantise(DTYPE_F32, (PackedType)type, rows, K, panel, &error);
        kernels_reference.unpack[type](panel, 0, K, w);
        for (int r = 0; r < PANEL; r++)
            for (int k = 0; k < K; k++) {
                double d = (double)w[k * PANEL + r] - (rows[r] ? (double)row[r][k] : 0);
                square += rows[r] ? (double)row[r][k] * (double)row[r][k] : 0;
                off += d * d;
            }
        assert_true(fabs(error.square - square) <= 1e-9 * square && fabs(error.error - off) <= 1e-6 * off);
        double relative = sqrt(off / square);
        print_message("%s: relative error %.4f\n", packed_rows[type].name, relative);
        assert_true(relative > 0 && relative < (type == PACKED_Q8G ? 0.02 : 0.35));
        free(panel);
    }
}

/* The reference itself: near the sum in double. */
static void rows_near_double(void **state) {
    (void)state;
    enum { K = 768 };
    for (int type = 0; type < PACKED_COUNT; type++) {
        uint8_t *panel = aligned_alloc(64, (size_t)packed_panel_bytes((PackedType)type, K));
        float w[K * PANEL], x[K], acc[PANEL] = {0};
        fill_panels((PackedType)type, K, 1, panel);
        fill_floats(x, K);
        kernels_reference.unpack[type](panel, 0, K, w);
        kernels_reference.rows[type](panel, 0, 1, 0, K, x, 0, 1, acc);
        for (int i = 0; i < PANEL; i++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; k++) {
                sum += (double)w[k * PANEL + i] * x[k];
                size += fabs((double)w[k * PANEL + i] * x[k]);
            }
            assert_true(fabs(acc[i] - sum) <= 1e-6 * size && size > 0);
        }
        free(panel);
    }
}

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
        cmocka_unit_test(pack_sizes),
        cmocka_unit_test(pack_keeps_values),
        cmocka_unit_test(rows_match),
        cmocka_unit_test(unpack_matches),
        cmocka_unit_test(tile_matches),
        cmocka_unit_test(rows_are_tiles),
        cmocka_unit_test(rows_near_double),
        cmocka_unit_test(quantise_matches),
        cmocka_unit_test(quantise_is_near),
        cmocka_unit_test(dot_matches),
        cmocka_unit_test(dot_near_double),
        cmocka_unit_test(quantised_weights_are_near),
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
