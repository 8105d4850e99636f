/* test_pjrt.c: the PJRT client on the real XLA CPU plugin, where there is one (`make plugins`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
#include "fixture.h"
#include "stablehlo_text.h"

/* What the plugin itself never frees is not ours. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\nleak:xla_cpu_pjrt.so\n"; }

enum { DEVICES = 32 };
static PjrtClient *client;
static char folder[] = "/tmp/qwenmesh-test-XXXXXX";

static PjrtClient *open_client(Err *err) {
    return pjrt_open(&(PjrtOptions){.plugin = "cpu", .devices = DEVICES, .cache = folder}, err);
}

static int open_cpu(void **state) {
    (void)state;
    PluginFile file;
    Err err = {0};
    if (!plugin_find("cpu", &file, &err)) return 0; /* every test then skips */
    if (!mkdtemp(folder)) return -1;
    client = open_client(&err);
    if (!client) fprintf(stderr, "%s\n", err.text);
    return client ? 0 : -1;
}

static int close_cpu(void **state) {
    (void)state;
    if (!client) return 0;
    pjrt_close(client);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#define NEEDS_CPU                                                                                                     \
    (void)state;                                                                                                      \
    if (!client) {                                                                                                    \
        puts("SKIP no XLA CPU plugin: run `make plugins`");                                                           \
        skip();                                                                                                       \
    }

static PjrtProgram *compiled(const char *text, int partitions, bool *cached) {
    Err err = {0};
    PjrtProgram *p = pjrt_compile(client, text, strlen(text), partitions, cached, &err);
    if (!p) fail_msg("%s", err.text);
    return p;
}

static PjrtBuffer *up(int device, PjrtType type, const int64_t *dim, int rank, const void *data) {
    Err err = {0};
    PjrtBuffer *b = pjrt_upload(client, device, type, dim, rank, data, &err);
    if (!b) fail_msg("%s", err.text);
    return b;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void says_what_it_is(void **state) {
    NEEDS_CPU
    const PjrtInfo *info = pjrt_info(client);
    assert_string_equal(info->platform, "cpu");
    assert_int_equal(info->api_major, 0);
    assert_true(info->api_minor >= PJRT_MINOR_OLDEST);
    assert_int_equal(info->devices, DEVICES);
    assert_int_equal(info->all_devices, DEVICES);
    assert_true(info->can_load && info->donates && info->executes);
    Text text = {0};
    pjrt_attributes(client, &text);
    assert_non_null(strstr(text.data, "plugin.xla_version = "));
    assert_non_null(strstr(text.data, "plugin.stablehlo_current_version = 1 "));
    assert_non_null(strstr(text.data, "device31 = "));
    text_free(&text);
}

/* Device d holds columns 2d and 2d+1 of x, which vary, and their rows of w. */
static void sums_over(int n) {
    Text text = {0};
    Err err = {0};
    float x[4][2 * DEVICES], w[2 * DEVICES][6], expected[4][6] = {{0}}, got[4][6];
    PjrtBuffer *argument[2 * DEVICES], *result[DEVICES], *again[DEVICES];
    for (int k = 0; k < 2 * n; k++) {
        for (int t = 0; t < 4; t++) x[t][k] = (float)((int)random_below(9) - 4);
        for (int o = 0; o < 6; o++) w[k][o] = (float)((int)random_below(9) - 4);
        for (int t = 0; t < 4; t++)
            for (int o = 0; o < 6; o++) expected[t][o] += x[t][k] * w[k][o]; /* small integers: exact in any order */
    }
    row_parallel(&text, n);
    PjrtProgram *p = compiled(text.data, n, NULL);
    assert_int_equal(pjrt_program_results(p), 1);
    for (int d = 0; d < n; d++) {
        float part[4][2];
        for (int t = 0; t < 4; t++) part[t][0] = x[t][2 * d], part[t][1] = x[t][2 * d + 1];
        argument[2 * d] = up(d, PJRT_F32, (int64_t[]){4, 2}, 2, part);
        argument[2 * d + 1] = up(d, PJRT_F32, (int64_t[]){2, 6}, 2, w[2 * d]);
    }
    assert_true(pjrt_execute(client, p, argument, 2, result, 1, &err));
    assert_true(pjrt_execute(client, p, argument, 2, again, 1, &err));
    for (int d = 0; d < n; d++) {
        assert_true(pjrt_wait(client, result[d], &err));
        assert_true(pjrt_download(client, result[d], got, sizeof got, &err));
        assert_memory_equal(got, expected, sizeof got);
        assert_true(pjrt_download(client, again[d], got, sizeof got, &err));
        assert_memory_equal(got, expected, sizeof got);
        pjrt_buffer_free(client, result[d]);
        pjrt_buffer_free(client, again[d]);
    }
    for (int i = 0; i < 2 * n; i++) pjrt_buffer_free(client, argument[i]);
    pjrt_program_free(p);
    text_free(&text);
}

static void all_reduce_on_every_count(void **state) {
    NEEDS_CPU
    static const int counts[] = {1, 2, 3, 4, 8, 32};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) sums_over(counts[i]);
}

static void every_type_and_rank_comes_back(void **state) {
    NEEDS_CPU
    static const PjrtType types[] = {PJRT_S32, PJRT_U8, PJRT_F32, PJRT_BF16};
    static const size_t bytes_of[] = {4, 1, 4, 2};
    Err err = {0};
    uint8_t data[4096], back[4096];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(random_below(256) & 0x3f); /* no NaN, whose bits may change */
    for (size_t t = 0; t < 4; t++) {
        for (int rank = 0; rank <= 8; rank++) {
            int64_t dim[8];
            size_t bytes = bytes_of[t];
            for (int i = 0; i < rank; i++) dim[i] = 1 + (i + rank) % 3, bytes *= (size_t)dim[i];
            PjrtBuffer *b = up((int)t, types[t], dim, rank, data);
            memset(back, 0xee, sizeof back);
            if (!pjrt_download(client, b, back, bytes, &err))
                fail_msg("type %d rank %d: %s", (int)types[t], rank, err.text);
            assert_memory_equal(data, back, bytes);
            assert_int_equal(back[bytes], 0xee);
            assert_false(pjrt_download(client, b, back, bytes + 1, &err));
            assert_non_null(strstr(err.text, "download: expected room for"));
            err = (Err){0};
            pjrt_buffer_free(client, b);
        }
    }
    PjrtBuffer *nothing = up(0, PJRT_F32, (int64_t[]){3, 0}, 2, data);
    assert_true(pjrt_download(client, nothing, NULL, 0, &err));
    pjrt_buffer_free(client, nothing);
    assert_null(pjrt_upload(client, 0, PJRT_F32, (int64_t[]){-1}, 1, data, &err));
    assert_null(pjrt_upload(client, 0, PJRT_F32, (int64_t[]){1}, 9, data, &err));
    assert_null(pjrt_upload(client, 0, (PjrtType)99, (int64_t[]){1}, 1, data, &err));
    assert_null(pjrt_upload(client, DEVICES, PJRT_F32, (int64_t[]){1}, 1, data, &err));
}

static void upload_copies(void **state) {
    NEEDS_CPU
    Err err = {0};
    enum { COUNT = 100003 };
    float *data = calloc(COUNT, sizeof *data), *back = calloc(COUNT, sizeof *back);
    for (int i = 0; i < COUNT; i++) data[i] = (float)i;
    PjrtBuffer *b = up(5, PJRT_F32, (int64_t[]){COUNT}, 1, data);
    memset(data, 0, COUNT * sizeof *data);
    assert_true(pjrt_download(client, b, back, COUNT * sizeof *back, &err));
    for (int i = 0; i < COUNT; i++) assert_true(back[i] == (float)i);
    pjrt_buffer_free(client, b);
    free(data);
    free(back);
}

static void donated_arguments_are_consumed(void **state) {
    NEEDS_CPU
    Err err = {0};
    const float x[5] = {1, 2, 3, 4, 5};
    float y[5];
    PjrtProgram *p = compiled(DONATING, 1, NULL);
    PjrtProgramMemory memory;
    assert_true(pjrt_program_memory(p, &memory));
    assert_true(memory.arguments >= 20 && memory.aliased >= 20);
    PjrtBuffer *a = up(0, PJRT_F32, (int64_t[]){5}, 1, x), *r[2], *s[2];
    assert_true(pjrt_execute(client, p, &a, 1, r, 2, &err));
    assert_false(pjrt_download(client, a, y, sizeof y, &err));
    err = (Err){0};
    assert_false(pjrt_execute(client, p, &a, 1, s, 2, &err));
    assert_non_null(strstr(err.text, "PJRT_LoadedExecutable_Execute failed"));
    err = (Err){0};
    assert_true(pjrt_execute(client, p, &r[0], 1, s, 2, &err)); /* results go straight into the next run */
    assert_true(pjrt_download(client, s[0], y, sizeof y, &err));
    assert_true(y[0] == 3 && y[4] == 7);
    assert_true(pjrt_download(client, s[1], y, sizeof y, &err));
    assert_true(y[0] == 4 && y[4] == 12);
    PjrtBuffer *all[] = {a, r[0], r[1], s[0], s[1]};
    for (int i = 0; i < 5; i++) pjrt_buffer_free(client, all[i]);
    pjrt_program_free(p);
}

static void wrong_arguments_are_refused(void **state) {
    NEEDS_CPU
    Err err = {0};
    PjrtProgram *p = compiled(DONATING, 1, NULL);
    const float x[6] = {0};
    PjrtBuffer *good = up(0, PJRT_F32, (int64_t[]){5}, 1, x), *shape = up(0, PJRT_F32, (int64_t[]){6}, 1, x),
               *r[2] = {0};
    PjrtBuffer *place = up(1, PJRT_F32, (int64_t[]){5}, 1, x);
    PjrtBuffer *const wrong[] = {shape, place};
    for (int i = 0; i < 2; i++) {
        err = (Err){0};
        assert_false(pjrt_execute(client, p, &wrong[i], 1, r, 2, &err));
        assert_non_null(strstr(err.text, "PJRT_LoadedExecutable_Execute failed (INVALID_ARGUMENT): "));
        assert_true(!r[0] && !r[1]);
    }
    err = (Err){0};
    assert_false(pjrt_execute(client, p, (PjrtBuffer *[]){good, good}, 2, r, 2, &err));
    assert_non_null(strstr(err.text, "supplied 2 "));
    err = (Err){0};
    assert_true(pjrt_execute(client, p, &good, 1, r, 2, &err)); /* still usable */
    PjrtBuffer *all[] = {good, shape, place, r[0], r[1]};
    for (int i = 0; i < 5; i++) pjrt_buffer_free(client, all[i]);
    pjrt_program_free(p);
}

static void compile_errors_have_the_plugins_words(void **state) {
    NEEDS_CPU
    static const struct { const char *text, *expected;
    } wrong[] = {
        {"func.func public @main() -> tensor<f32> { nonsense }", "error: custom op 'nonsense' is unknown"},
        {"", "PJRT_Client_Compile failed"},
        {"func.func public @main(%x: tensor<2xf32>) -> tensor<3xf32> {\n  return %x : tensor<2xf32>\n}",
         "tensor<2xf32>"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Err err = {0};
        assert_null(pjrt_compile(client, wrong[i].text, strlen(wrong[i].text), 1, NULL, &err));
        if (!strstr(err.text, wrong[i].expected)) fail_msg("expected '%s', got '%s'", wrong[i].expected, err.text);
    }
}

/* The one file of the cache whose program was compiled last. */
static void only_file(char *out, size_t size) {
    DIR *d = opendir(folder);
    int count = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') count++, snprintf(out, size, "%s/%s", folder, e->d_name);
    closedir(d);
    assert_int_equal(count, 1);
}

static void compiled_programs_are_kept(void **state) {
    NEEDS_CPU
    char command[128], path[512];
    snprintf(command, sizeof command, "rm -f %s/*", folder);
    assert_int_equal(system(command), 0);
    bool cached = true;
    PjrtProgram *p = compiled(DONATING, 1, &cached);
    assert_false(cached);
    pjrt_program_free(p);
    Err err = {0};
    pjrt_close(client); /* as a second process would find it */
    client = open_client(&err);
    assert_non_null(client);
    p = compiled(DONATING, 1, &cached);
    assert_true(cached);
    const float x[5] = {1, 2, 3, 4, 5};
    float y[5];
    PjrtBuffer *a = up(0, PJRT_F32, (int64_t[]){5}, 1, x), *r[2];
    assert_true(pjrt_execute(client, p, &a, 1, r, 2, &err));
    assert_true(pjrt_download(client, r[1], y, sizeof y, &err));
    assert_true(y[0] == 2 && y[4] == 10);
    PjrtBuffer *all[] = {a, r[0], r[1]};
    for (int i = 0; i < 3; i++) pjrt_buffer_free(client, all[i]);
    uint8_t *data;
    size_t bytes;
    assert_true(pjrt_program_serialize(p, &data, &bytes, &err));
    assert_true(bytes > 100);
    free(data);
    pjrt_program_free(p);
    only_file(path, sizeof path);
    size_t whole;
    char *file = file_read(path, 1 << 20, &whole, &err);
    assert_non_null(file);
    for (size_t at = 0; at < whole; at += whole / 40) { /* tests/test_pjrt_fake.c tries every byte */
        FILE *f = fopen(path, "r+");
        fseek(f, (long)at, SEEK_SET);
        fputc(file[at] ^ 1, f);
        fclose(f);
        pjrt_program_free(compiled(DONATING, 1, &cached));
        assert_false(cached);
    }
    pjrt_program_free(compiled(DONATING, 1, &cached));
    assert_true(cached);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(all_reduce_on_every_count),
        cmocka_unit_test(every_type_and_rank_comes_back),
        cmocka_unit_test(upload_copies),
        cmocka_unit_test(donated_arguments_are_consumed),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(compile_errors_have_the_plugins_words),
        cmocka_unit_test(compiled_programs_are_kept),
    };
    return cmocka_run_group_tests(tests, open_cpu, close_cpu);
}
