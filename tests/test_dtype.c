/* test_dtype.c: stored numbers and block formats against exact formulas and the reference package. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/io/dtype.h"
#include "gguf_write.h"

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* The value of a half by its definition, in double. */
static double half_value(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -v : v;
}

/* Every half becomes the float of the same value, sign of zero and quiet NaN included. */
static void f16_reads_every_half(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float got = f16_to_f32((uint16_t)h);
        double want = half_value((uint16_t)h);
        if (isnan(want)) {
            assert_true(isnan(got));
            assert_int_equal(bits_of(got), (h & 0x8000) << 16 | 0x7fc00000 | (h & 1023) << 13);
        } else {
            assert_int_equal(bits_of(got), bits_of((float)want));
        }
    }
}

/* Floats round to the nearest half, ties to even: halves themselves, midpoints, and one step to each side of them. */
static void f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double low = half_value((uint16_t)h), high = h == 0x7bff ? 65536 : half_value((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* 12 significant bits: exact */
        for (int sign = 0; sign < 2; sign++) {
            uint16_t s = sign ? 0x8000 : 0;
            float m = sign ? -middle : middle;
            assert_int_equal(f32_to_f16(sign ? -(float)low : (float)low), s | h);
            assert_int_equal(f32_to_f16(m), s | (h + (h & 1)));
            assert_int_equal(f32_to_f16(nextafterf(m, 0)), s | h);
            assert_int_equal(f32_to_f16(nextafterf(m, m * 2)), s | (h + 1));
        }
    }
    assert_int_equal(f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(f32_to_f16(1e-30f), 0);
    assert_int_equal(f32_to_f16(-1e-30f), 0x8000);
    for (uint32_t h = 0x7c01; h < 0x8000; h++) assert_true(isnan(f16_to_f32(f32_to_f16(f16_to_f32((uint16_t)h)))));
}

/* bf16 rounds to nearest even and keeps NaN and infinity. */
static void bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7f80; h++) {
        union { uint32_t u; float f; } m = {.u = h << 16 | 0x8000};
        assert_int_equal(f32_to_bf16(bf16_to_f32((uint16_t)h)), h);
        assert_int_equal(f32_to_bf16(m.f), h + (h & 1));
        m.u--;
        assert_int_equal(f32_to_bf16(m.f), h);
        m.u += 2;
        assert_int_equal(f32_to_bf16(m.f), h + 1);
    }
    assert_int_equal(f32_to_bf16(INFINITY), 0x7f80);
    assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))));
    union { uint32_t u; float f; } low_nan = {.u = 0x7f800001};
    assert_true(isnan(bf16_to_f32(f32_to_bf16(low_nan.f))));
}

/* Rows of the table: sizes that fit, unique names and numbers, readers for weights. */
static void table_is_complete(void **state) {
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const DTypeRow *row = dtype_row((DType)t);
        assert_non_null(row->name);
        assert_true(row->block >= 1 && row->block_bytes >= 1);
        assert_true(row->safetensors || row->gguf >= 0);
        if (row->block > 1) assert_non_null(row->read);
        for (int u = 0; u < t; u++) {
            assert_string_not_equal(row->name, dtype_rows[u].name);
            assert_true(row->gguf < 0 || row->gguf != dtype_rows[u].gguf);
        }
    }
}

/* Bytes of a number of elements: whole blocks, no wrap. */
static void bytes_are_checked(void **state) {
    (void)state;
    size_t bytes;
    assert_true(dtype_bytes(DTYPE_Q4_1, 64, &bytes) && bytes == 40);
    assert_true(dtype_bytes(DTYPE_Q6_K, 0, &bytes) && bytes == 0);
    assert_false(dtype_bytes(DTYPE_Q4_1, 48, &bytes));
    assert_false(dtype_bytes(DTYPE_F32, -1, &bytes));
    assert_false(dtype_bytes(DTYPE_F64, INT64_MAX, &bytes));
    assert_true(dtype_bytes(DTYPE_I8, INT64_MAX, &bytes) && bytes == INT64_MAX);
}

/* Blocks of every format give the bits of the reference package, from any block on. */
static void blocks_match_reference(void **state) {
    (void)state;
    Err err = {0};
    SafeTensors st;
    int types = 0;
    if (!safetensors_open(&st, "tests/golden/gguf/blocks.safetensors", &err)) fail_msg("%s", err.text);
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const DTypeRow *row = dtype_row((DType)t);
        char name[32];
        if (row->block == 1) continue;
        snprintf(name, sizeof name, "%s.blocks", row->name);
        const SafeTensor *blocks = safetensors_find(&st, name);
        snprintf(name, sizeof name, "%s.values", row->name);
        const SafeTensor *values = safetensors_find(&st, name);
        assert_non_null(blocks);
        assert_non_null(values);
        int64_t count = values->dim[0] * values->dim[1];
        assert_int_equal(blocks->dim[1], row->block_bytes);
        float *out = malloc(values->bytes), want;
        for (int64_t first = 0; first < count; first += 3 * row->block) {
            row->read(blocks->data, first, count - first, out);
            for (int64_t i = first; i < count; i++) {
                memcpy(&want, values->data + 4 * i, 4);
                if (bits_of(out[i - first]) != bits_of(want))
                    fail_msg("%s element %lld: %.9g, expected %.9g", row->name, (long long)i, (double)out[i - first], (double)want);
            }
        }
        free(out);
        types++;
    }
    assert_int_equal(types, 8);
    safetensors_close(&st);
}

/* Plain types are read at any place and any count, unaligned. */
static void plain_types_read_unaligned(void **state) {
    (void)state;
    static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (size_t k = 0; k < 3; k++) {
        const DTypeRow *row = dtype_row(types[k]);
        uint8_t raw[1 + 4 * 50];
        float x[50], out[51];
        for (int i = 0; i < 50; i++) x[i] = (float)(i - 25) * 0.25f;
        quantise(types[k], x, 50, raw + 1);
        for (int64_t first = 0; first < 50; first++)
            for (int64_t count = 0; count <= 50 - first; count++) {
                for (int i = 0; i < 51; i++) out[i] = -99;
                row->read(raw + 1, first, count, out);
                for (int64_t i = 0; i < count; i++) assert_true(bits_of(out[i]) == bits_of(x[first + i]));
                assert_true(out[count] == -99);
            }
    }
}

/* The quantisers of the tests come back within half a step of their format; within one where the largest value is the
 * lowest q, and its opposite has none; K types round their scales too. */
static void quantisers_come_back(void **state) {
    (void)state;
    static const struct { DType type; float most; } cases[] = {
        {DTYPE_Q8_0, 0.005f}, {DTYPE_Q4_0, 0.126f}, {DTYPE_Q4_1, 0.068f}, {DTYPE_Q5_0, 0.063f}, {DTYPE_Q5_1, 0.033f},
        {DTYPE_Q4_K, 0.1f},  {DTYPE_Q5_K, 0.06f}, {DTYPE_Q6_K, 0.04f}, {DTYPE_F16, 0.0005f}, {DTYPE_BF16, 0.004f},
    };
    float x[512], y[512];
    uint8_t raw[4 * 512];
    for (int i = 0; i < 512; i++) x[i] = (float)sin(i * i * 0.37) * (i < 256 ? 1 : 0.3f);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        float worst = 0;
        quantise(cases[k].type, x, 512, raw);
        dtype_row(cases[k].type)->read(raw, 0, 512, y);
        for (int i = 0; i < 512; i++) worst = fmaxf(worst, fabsf(x[i] - y[i]));
        if (worst > cases[k].most || worst == 0)
            fail_msg("%s: off by %g, expected at most %g", dtype_row(cases[k].type)->name, (double)worst, (double)cases[k].most);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_reads_every_half),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(table_is_complete),
        cmocka_unit_test(bytes_are_checked),
        cmocka_unit_test(blocks_match_reference),
        cmocka_unit_test(plain_types_read_unaligned),
        cmocka_unit_test(quantisers_come_back),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
