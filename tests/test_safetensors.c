/* test_safetensors.c: safetensors files read and written, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <glob.h>
#include "../src/io/safetensors.h"
#include "cpu_time.h"

#define GOOD "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"

/* A file in memory: length, header, `data` bytes of data. Its allocation ends with the file, so sanitizers see
 * overruns. */
static uint8_t *file_of(const char *header, size_t data, size_t *bytes) {
    uint64_t length = strlen(header);
    *bytes = 8 + length + data;
    uint8_t *file = malloc(*bytes);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data; i++) file[8 + length + i] = (uint8_t)i;
    return file;
}

/* Parses, and expects an error that says all of `words` (comma-separated); NULL: expects success. */
static void expect_bytes(const uint8_t *file, size_t bytes, const char *words, const char *what) {
    SafeTensors st;
    Err err = {0};
    bool ok = safetensors_parse(&st, file, bytes, "file", &err);
    if (!words) {
        if (!ok) fail_msg("%s: %s", what, err.text);
        safetensors_close(&st);
        return;
    }
    if (ok) fail_msg("%s: accepted", what);
    assert_true(err.kind);
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        if (!strstr(err.text, word)) fail_msg("%s: '%s' does not say '%s'", what, err.text, word);
}

static void expect(const char *header, size_t data, const char *words) {
    size_t bytes;
    uint8_t *file = file_of(header, data, &bytes);
    expect_bytes(file, bytes, words, header);
    free(file);
}

/* Tensors in the order of their data, found by name, with type, shape and bytes. */
static void tensors_are_read(void **state) {
    (void)state;
    Err err = {0};
    size_t bytes;
    uint8_t *file = file_of("{\"__metadata__\":{\"format\":\"pt\"},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}," GOOD ","
                            "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[22,30]},"
                            "\"none\":{\"dtype\":\"F64\",\"shape\":[0,7],\"data_offsets\":[30,30]}}   ", 30, &bytes);
    SafeTensors st;
    if (!safetensors_parse(&st, file, bytes, "file", &err)) fail_msg("%s", err.text);
    assert_int_equal(st.count, 4);
    assert_string_equal(st.tensors[0].name, "a");
    assert_string_equal(st.tensors[1].name, "b");
    const SafeTensor *a = safetensors_find(&st, "a"), *b = safetensors_find(&st, "b");
    assert_true(a && a->dtype == DTYPE_F32 && a->rank == 2 && a->dim[0] == 2 && a->dim[1] == 2 && a->bytes == 16);
    assert_true(b && b->dtype == DTYPE_BF16 && b->rank == 1 && b->dim[0] == 3 && b->data == a->data + 16 &&
                b->data[0] == 16);
    assert_int_equal(safetensors_find(&st, "scalar")->rank, 0);
    assert_int_equal(safetensors_find(&st, "none")->bytes, 0);
    assert_null(safetensors_find(&st, "c"));
    assert_null(safetensors_find(&st, "__metadata__"));
    safetensors_close(&st);
    free(file);
}

/* A file without tensors is a file. */
static void empty_header_is_read(void **state) {
    (void)state;
    expect("{}", 0, NULL);
    expect("{\"__metadata__\":{}}", 0, NULL);
    expect("{}", 1, "cover 0 bytes");
}

/* Cut at every byte, a good file is refused and says so. */
static void truncation_is_refused(void **state) {
    (void)state;
    size_t bytes;
    uint8_t *file = file_of("{" GOOD "}", 16, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *part = malloc(n ? n : 1);
        memcpy(part, file, n);
        expect_bytes(part, n, "file", "cut file");
        free(part);
    }
    expect_bytes(file, bytes, NULL, "whole file");
    free(file);
}

/* Header lengths past the file or past 100 MB, also near 2^64, read nothing. */
static void header_length_is_checked(void **state) {
    (void)state;
    size_t bytes;
    uint8_t *file = file_of("{" GOOD "}", 16, &bytes);
    static const uint64_t lengths[] = {0, 1, 100000001, 1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(file, &lengths[i], 8);
        expect_bytes(file, bytes, lengths[i] > 100000000 ? "expected at most 100000000" : "header", "header length");
    }
    uint64_t longer = bytes - 7;
    memcpy(file, &longer, 8);
    expect_bytes(file, bytes, "cut short", "header one byte too long");
    free(file);
}

/* Headers that are no object of tensors. */
static void header_is_checked(void **state) {
    (void)state;
    expect("[]", 0, "header,'{'");
    expect(" {}", 0, "header,'{'");
    expect("{", 0, "not valid JSON");
    expect("{} x", 0, "not valid JSON");
    expect("{\"a\":1}", 0, "tensor a,object");
    expect("{\"a\":{}}", 0, "tensor a,dtype is missing");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets");
    expect("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape");
    expect("{\"\xff\":{}}", 0, "not valid JSON");
    expect("{\"__metadata__\":{\"format\":1}}", 0, "__metadata__,format,string");
    expect("{\"__metadata__\":[]}", 0, "__metadata__,object");
    expect("{\"a\\u0000b\":{}}", 0, "not valid JSON");
}

/* A name twice. */
static void duplicates_are_refused(void **state) {
    (void)state;
    expect("{" GOOD "," GOOD "}", 16, "duplicate");
    expect("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate");
}

/* Types that are unknown, or no string. */
static void dtypes_are_checked(void **state) {
    (void)state;
    expect("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "tensor a,F8_E4M3");
    expect("{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a,f32");
    expect("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a,dtype,string");
    expect("{\"a\":{\"dtype\":\"\\u001b[31m\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype ?[31m");
}

/* Shapes that are negative, no integers, too many, or wrap. */
static void shapes_are_checked(void **state) {
    (void)state;
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape,>= 0");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "shape,integer");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "shape,array");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "shape,at most 8");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, NULL);
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "shape,63 bits");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4, "bytes");
    expect("{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", 8, "64 bits");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]}}", 4, "shape: item 0");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "needs 8 bytes,give 4");
}

/* Offsets that are reversed, outside, overlapping, or leave holes. */
static void offsets_are_checked(void **state) {
    (void)state;
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "do not lie inside");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "do not lie inside");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}", 4,
           "inside");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets,>= 0");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "expected 2");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 8, "at most 2");
    expect("{" GOOD "}", 20, "cover 16 bytes,20");
    expect("{" GOOD ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[12,16]}}", 16, "tensor b,overlaps");
    expect("{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16, "tensor b,overlaps");
    expect("{" GOOD ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[20,24]}}", 24, "tensor b,hole");
    expect("{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[1,5]}}", 5, "tensor b,hole");
    expect("{" GOOD ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}", 16, "tensor b,overlaps");
}

/* Brackets nested 100,000 deep are refused, not followed. */
static void deep_nesting_is_refused(void **state) {
    (void)state;
    size_t n = 100000;
    char *header = malloc(n + 6);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', n);
    header[5 + n] = 0;
    expect(header, 0, "not valid JSON,depth");
    free(header);
}

/* 100,000 tensors are opened, and found, in well under the time a quadratic search takes. */
static void many_tensors_are_fast(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    Text header = {0};
    Err err = {0};
    SafeTensors st;
    size_t bytes;
    for (int i = 0; i < COUNT; i++)
        text_line(&header, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "{", i, i,
                  i + 1);
    text_line(&header, "}");
    uint8_t *file = file_of(header.data, COUNT, &bytes);
    double start = cpu_seconds();
    if (!safetensors_parse(&st, file, bytes, "file", &err)) fail_msg("%s", err.text);
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_true(safetensors_find(&st, name) == &st.tensors[i]);
    }
    assert_true(cpu_seconds() - start < 20);
    safetensors_close(&st);
    text_free(&header);
    free(file);
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static const SafeTensor two[] = {
    {.name = "second \"quoted\"", .dtype = DTYPE_F32, .rank = 2, .dim = {2, 3}},
    {.name = "first", .dtype = DTYPE_BF16, .rank = 1, .dim = {5}},
};

/* What is written in pieces is read back: names, shapes, data; and it lies aligned for its reader. */
static void writing_comes_back(void **state) {
    (void)state;
    Err err = {0};
    SafeTensors st;
    uint8_t data[34];
    char path[] = "/tmp/qwenmesh-test-XXXXXX";
    close(mkstemp(path));
    for (int i = 0; i < 34; i++) data[i] = (uint8_t)(200 + i);
    SafeWriter *w = safewriter_open(path, two, 2, &err);
    if (!w) fail_msg("%s", err.text);
    for (int i = 0; i < 34; i += 17) assert_true(safewriter_data(w, data + i, 17, &err));
    if (!safewriter_close(w, &err)) fail_msg("%s", err.text);
    if (!safetensors_open(&st, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(st.count, 2);
    assert_string_equal(st.tensors[0].name, two[0].name);
    assert_int_equal(st.tensors[0].dim[1], 3);
    assert_int_equal((st.tensors[0].data - st.file.data) % 8, 0);
    assert_memory_equal(st.tensors[0].data, data, 24);
    assert_memory_equal(safetensors_find(&st, "first")->data, data + 24, 10);
    safetensors_close(&st);
    unlink(path);
}

/* Temporaries of a file. */
static size_t temporaries(const char *path) {
    char pattern[96];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.*.partial", path);
    size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* Too few and too many bytes are errors, and leave an old file of that name as it was. */
static void writing_counts_bytes(void **state) {
    (void)state;
    uint8_t data[35] = {0};
    char path[] = "/tmp/qwenmesh-test-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "old", 3), 3);
    close(fd);
    for (size_t n = 33; n <= 35; n += 2) {
        Err err = {0};
        SafeWriter *w = safewriter_open(path, two, 2, &err);
        assert_non_null(w);
        assert_int_equal(temporaries(path), 1);
        assert_int_equal(safewriter_data(w, data, n, &err), n == 33);
        assert_false(safewriter_close(w, &err));
        assert_non_null(strstr(err.text, "34"));
        assert_int_equal(temporaries(path), 0);
    }
    Err err = {0};
    size_t bytes;
    char *old = file_read(path, 100, &bytes, &err);
    assert_string_equal(old, "old");
    free(old);
    unlink(path);
}

/* What the format cannot hold, and places that cannot be written. */
static void writing_is_checked(void **state) {
    (void)state;
    static const struct { SafeTensor tensor; const char *word; } cases[] = {
        {{.name = "a", .dtype = DTYPE_Q4_0, .rank = 1, .dim = {32}}, "q4_0"},
        {{.name = "a", .dtype = DTYPE_F32, .rank = 2, .dim = {INT64_MAX, 2}}, "shape"},
        {{.name = "a", .dtype = DTYPE_F32, .rank = 1, .dim = {-1}}, "shape"},
        {{.name = "a", .dtype = DTYPE_F32, .rank = 9}, "shape"},
        {{.name = "__metadata__", .dtype = DTYPE_F32, .rank = 0}, "taken"},
        {{.name = "\xff", .dtype = DTYPE_F32, .rank = 0}, "cannot be written"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        assert_null(safewriter_open("/tmp/qwenmesh-test-none", &cases[i].tensor, 1, &err));
        if (!strstr(err.text, cases[i].word)) fail_msg("'%s' does not say '%s'", err.text, cases[i].word);
    }
    Err err = {0};
    SafeTensor twice[] = {two[0], two[0]};
    assert_null(safewriter_open("/tmp/qwenmesh-test-none", twice, 2, &err));
    assert_non_null(strstr(err.text, "taken"));
    err = (Err){0};
    assert_null(safewriter_open("/tmp/no/such/folder/file", two, 2, &err));
    assert_non_null(strstr(err.text, "/tmp/no/such/folder/file"));
    assert_int_equal(temporaries("/tmp/qwenmesh-test-none"), 0);
}

/* A full disk is an error of the writer. */
static void full_disk_is_reported(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        printf("SKIP no /dev/full here\n");
        skip();
    }
    Err err = {0};
    uint8_t data[34] = {0};
    SafeWriter *w = safewriter_open("/dev/full", two, 2, &err);
    assert_non_null(w);
    safewriter_data(w, data, 34, &err);
    assert_false(safewriter_close(w, &err));
    assert_non_null(strstr(err.text, "No space left"));
}

/* Missing, empty, and short files and folders. */
static void paths_are_checked(void **state) {
    (void)state;
    SafeTensors st;
    static const char *const paths[] = {"/no/such/file", "/tmp", "/dev/null"};
    for (size_t i = 0; i < 3; i++) {
        Err err = {0};
        assert_false(safetensors_open(&st, paths[i], &err));
        assert_non_null(strstr(err.text, paths[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_read),
        cmocka_unit_test(empty_header_is_read),
        cmocka_unit_test(truncation_is_refused),
        cmocka_unit_test(header_length_is_checked),
        cmocka_unit_test(header_is_checked),
        cmocka_unit_test(duplicates_are_refused),
        cmocka_unit_test(dtypes_are_checked),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(offsets_are_checked),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(many_tensors_are_fast),
        cmocka_unit_test(writing_comes_back),
        cmocka_unit_test(writing_counts_bytes),
        cmocka_unit_test(writing_is_checked),
        cmocka_unit_test(full_disk_is_reported),
        cmocka_unit_test(paths_are_checked),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
