/* test_linear_kernels.c: packing and the kernels of linears, in f32 and in 8 bits: every tuned table against the
 * reference, bit for bit. */
#include "kernel_checks.h"

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
            int64_t k = round % 20 == 19 ? 32 * (32 + rows) : random_columns(type, 150);
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

int main(void) {
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
