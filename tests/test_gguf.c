/* test_gguf.c: GGUF files: the reference writer's, hand-made ones, and damaged ones that have broken other readers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "gguf_write.h"
#include "cpu_time.h"

/* Parses a copy whose allocation ends with the bytes, so sanitizers see overruns. */
static void expect(const void *data, size_t bytes, const char *words, const char *what) {
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    Gguf gguf;
    Err err = {0};
    bool ok = gguf_parse(&gguf, copy, bytes, "file", &err);
    if (!words && !ok) fail_msg("%s: %s", what, err.text);
    if (words && ok) fail_msg("%s: accepted", what);
    if (words) {
        char list[160], *rest = NULL;
        snprintf(list, sizeof list, "%s", words);
        for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
            if (!strstr(err.text, word)) fail_msg("%s: '%s' does not say '%s'", what, err.text, word);
    }
    gguf_close(&gguf);
    free(copy);
}

/* Finishes the writer and expects an error with these words, or success. */
static void expect_file(GgufWriter *w, const char *words, const char *what) {
    Text file = gw_file(w);
    assert_false(file.failed);
    expect(file.data, file.bytes, words, what);
    text_free(&file);
}

/* A small file with keys and two tensors. */
static GgufWriter small(void) {
    GgufWriter w = {0};
    float x[64];
    uint8_t q[68];
    for (int i = 0; i < 64; i++) x[i] = (float)i;
    quantise(DTYPE_Q8_0, x, 64, q);
    gw_text(&w, "general.architecture", "qwen2");
    gw_u32(&w, "qwen2.block_count", 7);
    gw_texts(&w, "words", (const char *const[]){"one", "", "three"}, 3);
    gw_bool(&w, "flag", true);
    gw_tensor(&w, "f", DTYPE_F32, 2, (int64_t[]){3, 2}, x, 24);
    gw_tensor(&w, "q", DTYPE_Q8_0, 2, (int64_t[]){1, 64}, q, 68);
    return w;
}

/* Every kind of value, as the reference package writes it. */
static void reference_values_are_read(void **state) {
    (void)state;
    Err err = {0};
    Gguf g;
    if (!gguf_open(&g, "tests/golden/gguf/reference.gguf", &err)) fail_msg("%s", err.text);
    static const struct { const char *key; int64_t value; } integers[] = {
        {"test.u8", 200}, {"test.i8", -100}, {"test.u16", 60000}, {"test.i16", -30000}, {"test.u32", 4000000000},
        {"test.i32", -2000000000}, {"test.i64", -(1ll << 62)}, {"test.integers", 7},
    };
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int64_t n = 0;
        if (!gguf_int(&g, integers[i].key, &n, &err)) fail_msg("%s", err.text);
        assert_int_equal(n, integers[i].value);
    }
    double f = 0;
    assert_true(gguf_float(&g, "test.f32", &f, &err) && f == 1.5);
    assert_true(gguf_float(&g, "test.f64", &f, &err) && f == -0.1);
    assert_true(gguf_float(&g, "test.i8", &f, &err) && f == -100);
    bool b = false;
    assert_true(gguf_bool(&g, "test.bool", &b, &err) && b);
    GgufText text;
    assert_true(gguf_text(&g, "test.string", &text, &err) && text.bytes == 7 &&
                !memcmp(text.data, "gr\xc3\xbc\xc3\x9f" "e", 7));
    assert_true(gguf_text(&g, "general.architecture", &text, &err) && text.bytes == 5);
    assert_false(err.kind);
    gguf_close(&g);
}

/* Arrays of strings are walked to their end, and no further. */
static void reference_strings_are_walked(void **state) {
    (void)state;
    Err err = {0};
    Gguf g;
    assert_true(gguf_open(&g, "tests/golden/gguf/reference.gguf", &err));
    const GgufValue *v = gguf_find(&g, "test.strings");
    assert_true(v && v->type == GGUF_ARRAY && v->item_type == GGUF_STRING && v->count == 4);
    const uint8_t *cursor = v->data;
    GgufText text;
    for (size_t i = 0; i < 4; i++) {
        assert_true(gguf_next_text(v, &cursor, &text));
        assert_int_equal(text.bytes, i);
        assert_memory_equal(text.data, &"\0abcdef"[i * (i - 1) / 2 + 1], i);
    }
    assert_false(gguf_next_text(v, &cursor, &text));
    v = gguf_find(&g, "test.floats");
    cursor = v->data;
    assert_false(gguf_next_text(v, &cursor, &text));
    gguf_close(&g);
}

/* Tensors of the reference package: shapes outermost first, types, and the values they were made of. */
static void reference_tensors_are_read(void **state) {
    (void)state;
    Err err = {0};
    Gguf g;
    assert_true(gguf_open(&g, "tests/golden/gguf/reference.gguf", &err));
    assert_int_equal(g.tensor_count, 6);
    static const struct { const char *name; DType type; float most; } cases[] = {
        {"matrix.f32", DTYPE_F32, 0}, {"matrix.f16", DTYPE_F16, 0}, {"matrix.bf16", DTYPE_BF16, 0},
        {"matrix.q8_0", DTYPE_Q8_0, 0.04f}, {"matrix.q4_1", DTYPE_Q4_1, 0.14f},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        float out[128];
        const GgufTensor *t = gguf_tensor(&g, cases[k].name);
        assert_true(t && t->dtype == cases[k].type && t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 64);
        assert_int_equal(t->bytes, 128 / dtype_row(t->dtype)->block * dtype_row(t->dtype)->block_bytes);
        dtype_row(t->dtype)->read(t->data, 0, 128, out);
        for (int i = 0; i < 128; i++) assert_true(fabsf(out[i] - ((float)i / 8 - 8)) <= cases[k].most);
    }
    const GgufTensor *cube = gguf_tensor(&g, "cube");
    assert_true(cube && cube->rank == 3 && cube->dim[0] == 2 && cube->dim[1] == 3 && cube->dim[2] == 4);
    assert_null(gguf_tensor(&g, "matrix"));
    gguf_close(&g);
}

/* Values of another type, absent, differing per layer, or too large are errors that name the key. */
static void typed_reads_are_checked(void **state) {
    (void)state;
    Err err = {0};
    Gguf g;
    int64_t n;
    double f;
    bool b;
    GgufText text;
    assert_true(gguf_open(&g, "tests/golden/gguf/reference.gguf", &err));
#define REFUSED(call, word) (err = (Err){0}, !(call) && strstr(err.text, word))
    assert_true(REFUSED(gguf_int(&g, "test.none", &n, &err), "test.none is missing"));
    assert_true(REFUSED(gguf_int(&g, "test.f32", &n, &err), "test.f32: expected an integer, got f32"));
    assert_true(REFUSED(gguf_int(&g, "test.bool", &n, &err), "got bool"));
    assert_true(REFUSED(gguf_int(&g, "test.u64", &n, &err), "2^63"));
    assert_true(REFUSED(gguf_int(&g, "test.strings", &n, &err), "got array"));
    assert_true(REFUSED(gguf_int(&g, "test.string", &n, &err), "got string"));
    assert_true(REFUSED(gguf_float(&g, "test.string", &f, &err), "expected a number"));
    assert_true(REFUSED(gguf_float(&g, "test.floats", &f, &err), "got array"));
    assert_true(REFUSED(gguf_bool(&g, "test.u8", &b, &err), "expected bool"));
    assert_true(REFUSED(gguf_text(&g, "test.strings", &text, &err), "expected string"));
    gguf_close(&g);
    GgufWriter w = {0};
    gw_array(&w, "a", GGUF_U32, (uint32_t[]){3, 3, 4}, 3, 12);
    gw_array(&w, "none", GGUF_U32, NULL, 0, 0);
    Text file = gw_file(&w);
    err = (Err){0};
    assert_true(gguf_parse(&g, (const uint8_t *)file.data, file.bytes, "file", &err));
#undef REFUSED
    err = (Err){0};
    assert_false(gguf_int(&g, "a", &n, &err));
    assert_non_null(strstr(err.text, "3 and 4"));
    err = (Err){0};
    assert_false(gguf_int(&g, "none", &n, &err));
    gguf_close(&g);
    text_free(&file);
}

/* Cut at every byte, a good file is refused. */
static void truncation_is_refused(void **state) {
    (void)state;
    GgufWriter w = small();
    Text file = gw_file(&w);
    for (size_t n = 0; n < file.bytes; n++) expect(file.data, n, "file", "cut file");
    expect(file.data, file.bytes, NULL, "whole file");
    text_free(&file);
}

/* Every byte of the file set to 0, 255 and with one bit flipped: accepted or refused, never overrun. */
static void damaged_bytes_are_survived(void **state) {
    (void)state;
    GgufWriter w = small();
    Text file = gw_file(&w);
    for (size_t i = 0; i < file.bytes; i++)
        for (int how = 0; how < 10; how++) {
            uint8_t *copy = malloc(file.bytes);
            memcpy(copy, file.data, file.bytes);
            copy[i] = how == 8 ? 0 : how == 9 ? 255 : (uint8_t)(copy[i] ^ 1 << how);
            Gguf g;
            Err err = {0};
            bool ok = gguf_parse(&g, copy, file.bytes, "file", &err);
            assert_int_equal(ok, !err.kind);
            for (uint64_t t = 0; ok && t < g.tensor_count; t++) {
                const GgufTensor *x = &g.tensors[t];
                assert_true(x->data >= copy && x->data + x->bytes <= copy + file.bytes);
            }
            gguf_close(&g);
            free(copy);
        }
    text_free(&file);
}

/* Other magics, versions 0, 1 and 4, and big-endian files. */
static void header_is_checked(void **state) {
    (void)state;
    static const struct { uint32_t version; const char *words; } cases[] = {
        {1, "version 1,versions 2 and 3"}, {2, NULL}, {4, "version 4"}, {0x03000000, "big-endian"},
        {UINT32_MAX, "version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufWriter w = small();
        w.version = cases[i].version;
        expect_file(&w, cases[i].words, "version");
    }
    GgufWriter w = small();
    Text file = gw_file(&w);
    file.data[4] = 0;
    expect(file.data, file.bytes, "version 0", "version 0");
    memcpy(file.data, "GGML", 4);
    expect(file.data, file.bytes, "not a GGUF file,47 47 4d 4c", "magic");
    text_free(&file);
    expect("", 0, "cut short", "empty");
}

/* Counts of keys and tensors that no file of this size can hold allocate nothing (ggml#1516, gguf-py#27188). */
static void huge_counts_are_refused(void **state) {
    (void)state;
    static const uint64_t counts[] = {8, 1000000, 1ull << 32, 1ull << 60, 1ull << 63, UINT64_MAX, UINT64_MAX / 56 + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t at = 8; at <= 16; at += 8) {
            uint8_t file[43] = "GGUF\3";
            memcpy(file + at, &counts[i], 8);
            expect(file, sizeof file, "do not fit in the 19 bytes", "counts");
        }
}

/* String and array lengths past the file, near 2^64, and products that wrap (ggml#709, CVE-2025-53630). */
static void huge_lengths_are_refused(void **state) {
    (void)state;
    static const uint64_t lengths[] = {100,        1ull << 31, 1ull << 32,     1ull << 61,
                                       1ull << 62, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        GgufWriter w = {0};
        gw_put_u64(&w.keys, lengths[i]); /* the key */
        gw_put(&w.keys, "key\0\0\0\0\0\0\0\0\0", 12);
        w.key_count = 1;
        expect_file(&w, "cut short,key 0", "length of a key");
        gw_key(&w, "s", GGUF_STRING, &lengths[i], 8);
        expect_file(&w, "cut short,key s", "length of a string");
        for (uint32_t item = GGUF_U8; item <= GGUF_F64; item++) {
            if (item == GGUF_ARRAY) continue;
            gw_array(&w, "a", (GgufType)item, "\0\0\0\0\0\0\0\0", lengths[i], 8);
            expect_file(&w, "cut short,key a", "length of an array");
        }
        gw_info(&w, "t", 0, 1, (int64_t[]){1}, 0);
        memcpy(w.infos.data, &lengths[i], 8);
        expect_file(&w, lengths[i] == 100 ? "cut short" : "cut short,tensor 0", "length of a name");
    }
}

/* Value types that are unknown, arrays of unknown items (llama.cpp#26690) and of arrays, bools that are none. */
static void value_types_are_checked(void **state) {
    (void)state;
    GgufWriter w = {0};
    gw_key(&w, "k", (GgufType)13, "\0\0\0\0", 4);
    expect_file(&w, "key k,type 13", "unknown type");
    gw_key(&w, "k", (GgufType)0x80000000u, "\0\0\0\0", 4);
    expect_file(&w, "key k,type 2147483648", "huge type");
    gw_array(&w, "k", (GgufType)99, "\0\0\0\0", 1, 4);
    expect_file(&w, "key k,type 99", "array of unknown");
    gw_array(&w, "k", GGUF_ARRAY, "\0\0\0\0\1\0\0\0\0\0\0\0\0", 1, 13);
    expect_file(&w, "key k,array of arrays", "array of arrays");
    gw_key(&w, "k", GGUF_BOOL, "\2", 1);
    expect_file(&w, "key k,bool,got 2", "bool of 2");
    gw_array(&w, "k", GGUF_BOOL, "\1\0\3", 3, 3);
    expect_file(&w, "key k,got 3", "array with a bool of 3");
}

/* Empty and over-long names, keys and tensors that stand twice. */
static void names_are_checked(void **state) {
    (void)state;
    static char name[65537];
    memset(name, 'n', sizeof name - 1);
    GgufWriter w = {0};
    gw_u32(&w, "", 1);
    expect_file(&w, "key 0,1 to 65535", "empty key");
    gw_bool(&w, name, true);
    expect_file(&w, "key 0,65536", "long key");
    gw_bool(&w, name + 1, true);
    expect_file(&w, NULL, "longest key");
    gw_bool(&w, "a", true), gw_bool(&w, "b", true), gw_bool(&w, "a", false);
    expect_file(&w, "key a stands twice", "key twice");
    gw_bool(&w, "\x1b[2J\xff", true), gw_bool(&w, "\x1b[2J\xff", true);
    expect_file(&w, "key ?[2J? stands twice", "control characters in a message");
    gw_tensor(&w, "", DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
    expect_file(&w, "tensor 0,1 to 64", "empty name");
    gw_tensor(&w, name + sizeof name - 66, DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
    expect_file(&w, "tensor 0,got 65", "long name");
    gw_tensor(&w, name + sizeof name - 65, DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
    expect_file(&w, NULL, "longest name");
    for (int i = 0; i < 2; i++) gw_tensor(&w, "t", DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
    expect_file(&w, "tensor t stands twice", "tensor twice");
}

/* Ranks, dimensions and products: 0, past 4, zero, negative, wrapping (llama.cpp#18674, GHSA-vgg9-87g3-85w8). */
static void shapes_are_checked(void **state) {
    (void)state;
    static const struct { uint32_t rank; int64_t dim[4]; int type; const char *words; } cases[] = {
        {0, {0}, 0, "expected 1 to 4 dimensions,got 0"},
        {1, {0}, 0, "a dimension is 0"},
        {1, {-1}, 0, "a dimension is 18446744073709551615"},
        {1, {INT64_MIN}, 0, "a dimension is 9223372036854775808"},
        {2, {1ll << 32, 1ll << 32}, 0, "63 bits"},
        {4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, "63 bits"},
        {2, {(1ll << 42) + 1, 1ll << 22}, 8, "63 bits"},
        {1, {1ll << 62}, 0, "64 bits"},
        {1, {INT64_MAX}, 28, "64 bits"},
        {1, {1ll << 61}, 0, "cut short"},
        {2, {2, 48}, 8, "48 elements,blocks of 32,q8_0"},
        {2, {256, 32}, 14, "32 elements,blocks of 256,q6_K"},
        {1, {4}, 10, "tensor type 10,q4_K"},
        {1, {4}, 4, "tensor type 4"},
        {1, {4}, -1, "tensor type 4294967295"},
        {4, {1, 2, 1, 1}, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufWriter w = {0};
        gw_info(&w, "t", cases[i].type, cases[i].rank, cases[i].dim, 0);
        gw_put(&w.data, "abcdefgh", 8);
        expect_file(&w, cases[i].words, cases[i].words ? cases[i].words : "good shape");
    }
    GgufWriter w = {0};
    gw_put_text(&w.infos, "t", 1);
    gw_put_u32(&w.infos, 5);
    for (int i = 0; i < 12; i++) gw_put_u32(&w.infos, 0);
    w.tensor_count = 1;
    expect_file(&w, "1 to 4 dimensions,got 5", "rank 5");
}

/* Offsets that are unaligned, outside, wrapping, or make tensors overlap; the same bytes twice overlap too. */
static void offsets_are_checked(void **state) {
    (void)state;
    static const struct { uint64_t first, second; const char *words; } cases[] = {
        {0, 32, NULL}, {32, 0, NULL}, {0, 96, NULL},
        {4, 32, "no multiple of 32"},
        {0, 0, "overlap"},
        {32, 32, "overlap"},
        {0, 128, "cut short,tensor b"},
        {1ull << 63, 0, "cut short,tensor a"},
        {UINT64_MAX - 31, 0, "cut short,tensor a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufWriter w = {0};
        gw_info(&w, "a", 0, 1, (int64_t[]){8}, cases[i].first);
        gw_info(&w, "b", 0, 1, (int64_t[]){8}, cases[i].second);
        for (int k = 0; k < 128; k++) gw_put(&w.data, "x", 1);
        expect_file(&w, cases[i].words, "offsets");
    }
    GgufWriter w = {0};
    gw_info(&w, "a", 0, 1, (int64_t[]){9}, 0); /* four bytes into the next */
    gw_info(&w, "b", 0, 1, (int64_t[]){8}, 32);
    for (int k = 0; k < 64; k++) gw_put(&w.data, "x", 1);
    expect_file(&w, "tensors a and b overlap", "overlap by four bytes");
}

/* Alignment: powers of two from 8 to 65536, of any integer type (GHSA-96jg-mvhq-q7q7, llama.cpp#26318). */
static void alignment_is_checked(void **state) {
    (void)state;
    static const struct { uint32_t alignment; const char *words; } cases[] = {
        {8, NULL}, {16, NULL}, {64, NULL}, {65536, NULL},
        {0, "power of two"}, {1, "power of two"}, {4, "power of two"}, {24, "power of two"}, {131072, "power of two"},
        {0x80000000u, "power of two"}, {UINT32_MAX, "power of two"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        GgufWriter w = {.alignment = cases[i].words ? 32 : cases[i].alignment};
        gw_u32(&w, "general.alignment", cases[i].alignment);
        for (int k = 0; k < 2; k++) gw_tensor(&w, k ? "a" : "b", DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
        expect_file(&w, cases[i].words, "alignment");
    }
    GgufWriter w = {0};
    gw_text(&w, "general.alignment", "32");
    expect_file(&w, "general.alignment,integer,string", "alignment of another type");
    gw_key(&w, "general.alignment", GGUF_U64, &(uint64_t){1ull << 63}, 8);
    expect_file(&w, "general.alignment", "alignment of 2^63");
    gw_key(&w, "general.alignment", GGUF_U16, &(uint16_t){64}, 2);
    expect_file(&w, NULL, "alignment as u16");
}

/* 100,000 keys and tensors are opened in well under the time a quadratic check takes. */
static void many_names_are_fast(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    GgufWriter w = {.alignment = 8};
    gw_u32(&w, "general.alignment", 8);
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        gw_bool(&w, name, true);
        gw_tensor(&w, name, DTYPE_F64, 1, (int64_t[]){1}, "abcdefgh", 8);
    }
    double start = cpu_seconds();
    expect_file(&w, NULL, "many names");
    assert_true(cpu_seconds() - start < 20);
}

/* A folder's only GGUF file is found, several are an error. */
static void files_are_found(void **state) {
    (void)state;
    char folder[] = "/tmp/qwenmesh-test-XXXXXX", *found;
    Err err = {0};
    assert_non_null(mkdtemp(folder));
    assert_true(gguf_in_folder(folder, &found, &err) && !found);
    char *a = path_join(folder, "a.gguf", &err), *b = path_join(folder, "b.gguf", &err);
    assert_true(file_write(a, "GGUF", 4, &err));
    assert_true(gguf_in_folder(folder, &found, &err));
    assert_string_equal(found, a);
    free(found);
    assert_true(file_write(b, "GGUF", 4, &err));
    assert_false(gguf_in_folder(folder, &found, &err));
    assert_null(found);
    assert_non_null(strstr(err.text, "several"));
    const char *paths[] = {a, b};
    for (int i = 0; i < 2; i++) unlink(paths[i]);
    rmdir(folder);
    free(a), free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_values_are_read),
        cmocka_unit_test(reference_strings_are_walked),
        cmocka_unit_test(reference_tensors_are_read),
        cmocka_unit_test(typed_reads_are_checked),
        cmocka_unit_test(truncation_is_refused),
        cmocka_unit_test(damaged_bytes_are_survived),
        cmocka_unit_test(header_is_checked),
        cmocka_unit_test(huge_counts_are_refused),
        cmocka_unit_test(huge_lengths_are_refused),
        cmocka_unit_test(value_types_are_checked),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(offsets_are_checked),
        cmocka_unit_test(alignment_is_checked),
        cmocka_unit_test(many_names_are_fast),
        cmocka_unit_test(files_are_found),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
