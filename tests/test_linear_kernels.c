/* test_linear_kernels.c: packing and the kernels of linears, in f32, in bf16 and in 8 bits: every tuned table against
 * the reference, bit for bit. */
#include <float.h>
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
static const DType type_of_packed[PACKED_COUNT] = {
    DTYPE_F32,  DTYPE_BF16, DTYPE_F16,  DTYPE_Q8_0, DTYPE_Q4_1, DTYPE_Q4_0, DTYPE_Q5_1,
    DTYPE_Q5_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_BF16, DTYPE_BF16};

static bool made_at_load(int type) { return type == PACKED_Q8G || type == PACKED_Q4G; }

/* Columns that a matrix of this type may have, a few groups at most. */
static int64_t random_columns(int type, int64_t most) {
    int group = packed_rows[type].group;
    return group <= 2           ? 1 + random_below(most)
           : made_at_load(type) ? 32 * (1 + random_below(11))
           : group == 64        ? 32 * (1 + random_below(11))
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
    assert_int_equal(packed_panel_bytes(PACKED_Q4Z, 3584), 3584 * 16 * 9 / 16);
    assert_int_equal(packed_panel_bytes(PACKED_Q4Z, 96), 576 + 64 + 256);
    assert_int_equal(packed_panel_bytes(PACKED_Q4K, 3584), 3584 * 16 * 37 / 64);
    assert_int_equal(packed_panel_bytes(PACKED_Q5K, 3584), 3584 * 16 * 45 / 64);
    assert_int_equal(packed_panel_bytes(PACKED_Q6K, 3584), 3584 * 16 * 53 / 64);
    for (DType d = 0; d < DTYPE_COUNT; d++) assert_int_equal(packed_type_of(d, &type), dtype_row(d)->read != NULL);
}

/* ---- Linear ------------------------------------------------------------------------------------------------------ */

/* [k0, k1) cut into up to SUMS_MOST leaves at multiples of `unit` from k0, of any sums and added up in any order there
 * can be. Returns how many sums, sum_step floats apart. */
enum { SUMS_MOST = 12 };
static int cut_leaves(Leaves *leaves, int64_t k0, int64_t k1, int64_t unit, int64_t sum_step) {
    int want = random_below(3) ? 1 : 1 + (int)random_below(SUMS_MOST), sums = 0;
    leaves->count = 0;
    leaves->sum_step = sum_step;
    for (int64_t at = k0; at < k1 || !leaves->count;) {
        int i = leaves->count++;
        bool begins = i && sums == 1 && random_below(2);
        leaves->of[i] = (uint8_t)(i ? leaves->of[i - 1] + begins : 0);
        if (begins) sums = 0;
        int64_t end = i + 1 == want ? k1 : at + (1 + random_below(1 + (k1 - at) / 2 / unit)) * unit;
        leaves->first[i] = at;
        leaves->last[i] = at = end < k1 ? end : k1;
        int most = sums++, least = at < k1 ? sums == LEAVES_DEPTH : most;
        leaves->adds[i] = (uint8_t)(least + random_below(most - least + 1));
        sums -= leaves->adds[i];
    }
    assert_int_equal(sums, 1);
    return leaves->of[leaves->count - 1] + 1;
}

/* rows: any number of panels and rows, leaves that begin and end inside groups, strides with gaps. */
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
            Leaves leaves;
            acc_floats *= cut_leaves(&leaves, k0, k1, 1, acc_floats);
            float *x = guarded_floats(&gx, x_floats, round % SIDES), *a = guarded_floats(&ga, acc_floats, 0);
            float *b = guarded_new(&gb, 4 * acc_floats, round % SIDES);
            memcpy(b, a, 4 * (size_t)acc_floats);
            kernels_reference.rows[type](panel, bytes, panels, &leaves, x, stride, rows, a);
            kernels->rows[type](panel, bytes, panels, &leaves, x, stride, rows, b);
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

/* tile: 1 to 40 rows of 1 to 3 panels, which need not touch, any count, none included. */
static void check_tile(const Kernels *kernels) {
    for (int64_t rows = 1; rows <= 40; rows++)
        for (int side = 0; side < SIDES; side++) {
            int64_t count = side ? random_below(4) : 1 + random_below(70), stride = count + random_below(5);
            int panels = 1 + (int)random_below(3);
            int64_t step = (count + random_below(3)) * PANEL;
            Guarded gw, gx, ga, gb;
            float *w = guarded_floats(&gw, (panels - 1) * step + count * PANEL, side),
                  *x = guarded_floats(&gx, (rows - 1) * stride + count, side);
            float *a = guarded_floats(&ga, panels * rows * PANEL, 0),
                  *b = guarded_new(&gb, panels * rows * PANEL * 4, side);
            memcpy(b, a, (size_t)(panels * rows) * PANEL * 4);
            kernels_reference.tile(w, step, panels, count, x, stride, rows, a);
            kernels->tile(w, step, panels, count, x, stride, rows, b);
            same_bits(kernels->isa, "tile", a, b, panels * rows * PANEL);
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
        Leaves piece;
        leaves_one(&piece, 0, cut);
        kernels->rows[type](panel, bytes, 1, &piece, x, K, ROWS, a);
        leaves_one(&piece, cut, K);
        kernels->rows[type](panel, bytes, 1, &piece, x, K, ROWS, a);
        kernels->unpack[type](panel, 0, K, w);
        kernels->tile(w, 0, 1, K, x, K, ROWS, b);
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

/* Acts that stand apart by any step; nothing between them is written. */
static void check_quantise(const Kernels *kernels) {
    for (int round = 0; round < 120; round++) {
        int step = 1 + round % QUAD;
        int64_t n = ACT_GROUP * (1 + random_below(6)), acts = (n / ACT_GROUP - 1) * step + 1;
        Guarded gx, gq;
        float *x = guarded_floats(&gx, n, round % SIDES);
        fill_activations(x, n, round);
        Act *a = calloc((size_t)acts, sizeof *a), *b = guarded_new(&gq, acts * (int64_t)sizeof *b, 0);
        memset(b, 0, (size_t)acts * sizeof *b);
        kernels_reference.quantise(x, n, a, step);
        kernels->quantise(x, n, b, step);
        for (int64_t g = 0; g < acts; g++)
            if (a[g].scale == a[g].scale && memcmp(&a[g], &b[g], sizeof *a))
                fail_msg("%s quantise: round %d, act %lld differs", kernels->isa, round, (long long)g);
            else if (a[g].scale != a[g].scale)
                assert_true(b[g].scale != b[g].scale);
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
    Act act;
    for (int round = 0; round < 50; round++) {
        float most = 0;
        int sum = 0, half = 0;
        fill_floats(x, ACT_GROUP);
        for (int i = 0; i < ACT_GROUP; i++) most = fmaxf(most, fabsf(x[i]));
        kernels_reference.quantise(x, ACT_GROUP, &act, 1);
        assert_true(act.scale == most / 127);
        for (int i = 0; i < ACT_GROUP; i++) {
            int q = act.q[i], at = i / 8 * 8 + order[i % 8];
            assert_true(fabs((double)x[at] / (double)act.scale - q) <= 0.5001);
            sum += q;
            half += i < 16 ? q : 0;
        }
        assert_int_equal(act.seed8, -128 * sum);
        assert_int_equal(act.seed4, -8 * sum);
        assert_int_equal(act.seed6[0], -32 * half);
        assert_int_equal(act.seed6[1], -32 * (sum - half));
        assert_true(act.sum == act.scale * (float)sum);
    }
}

/* dot: every type, 1 to 27 rows in quads and one alone, 1 to 9 panels, leaves that begin and end inside wide groups.
 * Only the rows asked for. */
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
            bool lone = round > 70;
            if (lone) rows = 1, four = 1;
            Act *x = guarded_new(&gx, (lone ? k / 32 : four * quads) * (int64_t)sizeof *x, 0);
            float *one = malloc((size_t)k * sizeof *one);
            for (int64_t r = 0; r < rows; r++) {
                fill_floats(one, k);
                if (round % 2)
                    for (int64_t i = 0; i < k; i++) one[i] = one[i] < 0 ? -1 : 1; /* all sums at their largest */
                kernels_reference.quantise(one, k, x + r / 4 * quads * QUAD + r % 4, lone ? 1 : QUAD);
            }
            Leaves leaves;
            int sums = 1;
            if (rows <= ROWS_DIRECT) sums = cut_leaves(&leaves, k0, k1, 32, panels * four * PANEL);
            else leaves_one(&leaves, k0, k1);
            float *a = guarded_floats(&ga, sums * panels * four * PANEL, 0),
                  *b = guarded_new(&gb, sums * panels * four * PANEL * 4, 0);
            memcpy(b, a, (size_t)(sums * panels * four * PANEL) * 4);
            kernels_reference.dot[type](panel, bytes, panels, &leaves, x, lone ? 0 : quads, rows, a);
            kernels->dot[type](panel, bytes, panels, &leaves, x, lone ? 0 : quads, rows, b);
            for (int p = 0; p < sums * panels; p++)
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
        float w[K * PANEL], x[K], acc[PANEL] = {0};
        Act acts[K / ACT_GROUP];
        fill_panels((PackedType)type, K, 1, panel);
        fill_floats(x, K);
        kernels_reference.unpack[type](panel, 0, K, w);
        kernels_reference.quantise(x, K, acts, 1);
        Leaves whole;
        leaves_one(&whole, 0, K);
        kernels_reference.dot[type](panel, 0, 1, &whole, acts, 0, 1, acc);
        for (int i = 0; i < PANEL; i++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; k++) {
                const Act *act = &acts[k / 32];
                int at = k % 32 / 8 * 8 + k % 8;
                double v = (double)act->q[at] * (double)act->scale;
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
        Leaves whole;
        leaves_one(&whole, 0, K);
        kernels_reference.rows[type](panel, 0, 1, &whole, x, 0, 1, acc);
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

/* ---- Activations in bf16 ----------------------------------------------------------------------------------------- */

/* Rows in bf16: whatever bits, subnormals, infinities and NaN among them, each the nearest of what was given. */
static void check_round(const Kernels *kernels) {
    for (int round = 0; round < 200; round++) {
        int64_t n = 1 + random_below(100), pairs = (n + 1) / 2;
        Guarded gx, gp;
        float *x = guarded_floats(&gx, n, round % SIDES);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits = random_bits();
            if (round % 3 == 0) bits &= 0x807fffff;            /* subnormal */
            if (round % 3 == 1) bits |= 0x7f800000;            /* NaN, seldom infinite */
            if (round % 5 == 0) bits = (bits & 0xffff0000) | 0x8000; /* a tie */
            memcpy(&x[i], &bits, sizeof bits);
        }
        Pair *want = malloc((size_t)pairs * sizeof *want), *got = guarded_new(&gp, pairs * (int64_t)sizeof *got, 0);
        kernels_reference.round(x, n, want);
        kernels->round(x, n, got);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(f32_to_bf16(x[i]), (uint16_t)(want[i / 2] >> i % 2 * 16));
        assert_true(n % 2 == 0 || want[n / 2] >> 16 == 0);
        if (memcmp(want, got, (size_t)pairs * sizeof *got))
            fail_msg("%s round: %lld differ", kernels->isa, (long long)n);
        free(want);
        guarded_free(&gx);
        guarded_free(&gp);
    }
}
static void round_matches(void **state) {
    (void)state;
    on_every_table(check_round);
}

/* As same_bits, but a NaN may be any NaN. */
static void same_values(const char *isa, const float *expected, const float *got, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (expected[i] == expected[i] || got[i] == got[i]) same_bits(isa, "dot_pairs", expected + i, got + i, 1);
}

/* A bf16 at some edge: zero, subnormal, next to one, largest, infinite, NaN; or with products near 2^-126. */
static uint16_t edge_bf16(void) {
    static const uint16_t edge[] = {0, 0x8000, 1, 0x807f, 0x80, 0x8081, 0x3f80, 0xbf81, 0x7f7f, 0x7f80, 0xff80, 0x7fc1};
    uint32_t r = random_bits();
    if (r % 4 == 0) return edge[random_below(r % 3 ? 9 : 12)]; /* few that spoil a whole sum */
    return (uint16_t)((r >> 8 & 0x807f) | (60 + (r >> 16) % 8) << 7);
}

/* dot_pairs: 1 to 40 rows, 1 to 9 panels, leaves that begin and end anywhere even or at an odd end. */
static void check_pairs(const Kernels *kernels) {
    for (int round = 0; round < 160; round++) {
        bool edges = round % 2;
        int panels = 1 + round % 9;
        int64_t rows = round < 40 ? round + 1 : 1 + random_below(40), k = 1 + random_below(round % 7 ? 60 : 300);
        int64_t k0 = round % 3 ? random_below(k) / 2 * 2 : 0, k1 = round % 4 ? k0 + random_below(k - k0) / 2 * 2 : k;
        int64_t bytes = packed_panel_bytes(PACKED_BF16, k), x_step = (k + 1) / 2 + random_below(3);
        Guarded gp, gx, ga, gb;
        uint8_t *panel = guarded_new(&gp, bytes * panels, 0);
        fill_panels(PACKED_BF16, k, panels, panel);
        Pair *x = guarded_new(&gx, ((rows - 1) * x_step + (k + 1) / 2) * 4, round % SIDES);
        for (int64_t r = 0; r < rows; r++) {
            float *one = malloc((size_t)k * sizeof *one);
            fill_floats(one, k);
            kernels_reference.round(one, k, x + r * x_step);
            free(one);
        }
        Leaves leaves;
        int64_t sums = 1, floats = panels * rows * PANEL;
        if (rows <= ROWS_DIRECT) sums = cut_leaves(&leaves, k0, k1, 2, floats);
        else leaves_one(&leaves, k0, k1);
        floats *= sums;
        float *a = guarded_floats(&ga, floats, 0), *b = guarded_new(&gb, floats * 4, 0);
        if (edges) {
            for (int64_t i = 0; i < bytes * panels / 2; i++) ((uint16_t *)(void *)panel)[i] = edge_bf16();
            for (int64_t i = 0; i < rows * (k + 1) / 2 - 1; i++)
                if (i < (rows - 1) * x_step + (k + 1) / 2) x[i] = edge_bf16() | (Pair)edge_bf16() << 16;
            for (int64_t i = 0; i < floats; i++)
                a[i] = random_below(3) ? ldexpf(a[i], -125 - (int)random_below(8)) : 0;
        }
        memcpy(b, a, (size_t)floats * 4);
        kernels_reference.dot_pairs(panel, bytes, panels, &leaves, x, x_step, rows, a);
        kernels->dot_pairs(panel, bytes, panels, &leaves, x, x_step, rows, b);
        same_values(kernels->isa, a, b, floats);
        guarded_free(&gp);
        guarded_free(&gx);
        guarded_free(&ga);
        guarded_free(&gb);
    }
    assert_true(FLT_MIN / 2 > 0 && kernels_pairs_conform(kernels)); /* flushing ended with the call */
}
static void pairs_match(void **state) {
    (void)state;
    on_every_table(check_pairs);
}

/* fma_flushed: an exact sum in integers, where products are at most 2^-112, against what the manual says. */
static void flushed_is_exact(void **state) {
    (void)state;
    long tiny = 0, edge = 0;
    for (int round = 0; round < 400000; round++) {
        /* a * b + c in units of 2^-166: 16 bits up to 20 up, and 24 bits up to 20 up */
        int64_t a = 128 + random_below(128), b = 128 + random_below(128), c = (1 << 23) + random_below(1 << 23);
        int ab_up = (int)random_below(16), c_up = 17 + (int)random_below(3), half = ab_up / 2;
        if (round % 2) a = -a;
        if (round % 4 == 3) { /* the sum lands next to 2^-126, 2^40 units, where half a step below is 2^15 */
            ab_up = (int)random_below(3), half = 0, c_up = 17;
            c = (1 << 23) + random_below(2);
            if (random_below(3) == 0) a = -128, b = 128;
        }
        float fa = ldexpf((float)a, -83 + half), fb = ldexpf((float)b, -83 + ab_up - half),
              fc = ldexpf((float)c, c_up - 166);
        if (fabsf(fc) < FLT_MIN) fc = 0, c = 0;
        int64_t sum = a * b * ((int64_t)1 << ab_up) + c * ((int64_t)1 << c_up), size = sum < 0 ? -sum : sum;
        /* nearest number of 24 bits, ties to even, whatever its exponent */
        int up = 0;
        while (size >> up >= 1 << 24) up++;
        int64_t kept = size >> up, rest = size - (kept << up), middle = up ? (int64_t)1 << (up - 1) : 0;
        if (up && (rest > middle || (rest == middle && (kept & 1)))) kept++;
        int64_t rounded = kept << up;
        edge += rounded == (int64_t)1 << 40;
        if (rounded < (int64_t)1 << 40) rounded = 0, tiny++;
        float want = ldexpf((float)rounded, -166), got = fma_flushed(fa, fb, fc);
        if (sum < 0) want = -want;
        if (want != got || signbit(want) != signbit(got))
            fail_msg("%a * %a + %a is %a, expected %a", (double)fa, (double)fb, (double)fc, (double)got, (double)want);
    }
    print_message("too small: %ld, rounded up to the smallest: %ld\n", tiny, edge);
    assert_true(tiny > 1000 && edge > 10);
}

/* The check of the instruction finds each way of being wrong. */
static int wrong;
static float wrong_fma(float a, float b, float c) {
    return wrong == 0 ? fmaf(a, b, c) : wrong == 1 ? a * b + c : fma_flushed(a, b, c);
}
static void wrong_pairs(const void *panel, int64_t step, int panels, const Leaves *leaf, const Pair *x,
                        int64_t x_step, int64_t rows, float *acc) {
    assert_true(step == 0 && panels == 1 && leaf->count == 1 && leaf->first[0] == 0 && leaf->last[0] == 2);
    assert_true(rows == 1 && x_step == 1);
    for (int i = 0; i < PANEL; i++) {
        uint16_t w[2];
        memcpy(w, (const uint8_t *)panel + 4 * i, sizeof w);
        float x0 = bf16_to_f32((uint16_t)*x), x1 = bf16_to_f32((uint16_t)(*x >> 16));
        float w0 = bf16_to_f32(w[0]), w1 = bf16_to_f32(w[1]);
        if (wrong == 2) acc[i] = wrong_fma(x1, w1, wrong_fma(x0, w0, acc[i]));
        else if (wrong == 3) acc[i] += x0 * w0 + x1 * w1;
        else if (wrong == 4) acc[i] = (float)((double)x0 * (double)w0 + (double)x1 * (double)w1 + (double)acc[i]);
        else acc[i] = wrong_fma(x0, w0, wrong_fma(x1, w1, acc[i]));
    }
}
static void law_is_checked(void **state) {
    (void)state;
    Kernels k = kernels_reference;
    k.dot_pairs = wrong_pairs;
    for (wrong = 0; wrong < 5; wrong++)
        if (kernels_pairs_conform(&k)) fail_msg("wrong in way %d, and not found", wrong);
    assert_true(kernels_pairs_conform(&k)); /* way 5 is right */
}

/* The reference itself: near the sum in double of what was rounded. */
static void pairs_near_double(void **state) {
    (void)state;
    enum { K = 767 };
    uint8_t *panel = aligned_alloc(64, (size_t)packed_panel_bytes(PACKED_BF16, K));
    float w[K * PANEL], x[K], acc[PANEL] = {0};
    Pair pairs[(K + 1) / 2];
    fill_panels(PACKED_BF16, K, 1, panel);
    fill_floats(x, K);
    kernels_reference.unpack[PACKED_BF16](panel, 0, K, w);
    kernels_reference.round(x, K, pairs);
    Leaves whole;
    leaves_one(&whole, 0, K);
    kernels_reference.dot_pairs(panel, 0, 1, &whole, pairs, 0, 1, acc);
    for (int i = 0; i < PANEL; i++) {
        double sum = 0, size = 0;
        for (int k = 0; k < K; k++) {
            double product = (double)w[k * PANEL + i] * (double)bf16_to_f32((uint16_t)(pairs[k / 2] >> k % 2 * 16));
            sum += product;
            size += fabs(product);
        }
        assert_true(fabs(acc[i] - sum) <= 1e-6 * size && size > 0);
    }
    free(panel);
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
        cmocka_unit_test(round_matches),
        cmocka_unit_test(pairs_match),
        cmocka_unit_test(pairs_near_double),
        cmocka_unit_test(flushed_is_exact),
        cmocka_unit_test(law_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
