/* test_pjrt_tt.c: compiling for Tenstorrent chips without hardware, where the plugin is (`make plugins`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../src/model/family.h"
#include "../src/pjrt/buckets.h"
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
#include "../src/pjrt/tt_result.h"
#include "at_path.h"
#include "fixture.h"
#include "stablehlo_text.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libtt.so\n"; }

static bool found(void) {
    PluginFile file;
    if (plugin_find("tt", &file, NULL)) return true;
    puts("SKIP no tt plugin: run `make plugins`");
    return false;
}

static PjrtClient *open_tt(const char *desc, int devices, Err *err) {
    return pjrt_open(&(PjrtOptions){.plugin = "tt", .devices = devices, .system_desc = desc}, err);
}

static bool contains(const uint8_t *data, size_t bytes, const char *text) {
    return memmem(data, bytes, text, strlen(text));
}

static void compiles_for(const char *desc, int devices, const char *kind) {
    Err err = {0};
    PjrtClient *c = open_tt(desc, devices, &err);
    if (!c) fail_msg("%s: %s", desc, err.text);
    const PjrtInfo *info = pjrt_info(c);
    assert_string_equal(info->platform, "tt");
    assert_int_equal(info->devices, devices);
    assert_false(info->executes || info->can_load);
    if (!strstr(info->device_kind, kind)) fail_msg("%s: expected %s, got %s", desc, kind, info->device_kind);
    assert_null(open_tt(desc, devices, &err));
    assert_non_null(strstr(err.text, "expected one client in a process, got a second"));
    err = (Err){0};
    Text text = {0};
    row_parallel(&text, devices);
    PjrtProgram *p = pjrt_compile(c, text.data, text.bytes, devices, NULL, &err);
    if (!p) fail_msg("%s: %s", desc, err.text);
    uint8_t *data;
    size_t bytes;
    assert_true(pjrt_program_serialize(p, &data, &bytes, &err));
    assert_true(contains(data, bytes, "TTSERv00") && contains(data, bytes, "ttnn.matmul"));
    assert_int_equal(contains(data, bytes, "ttnn.all_reduce"), devices > 1);
    free(data);
    pjrt_program_free(p);
    assert_null(pjrt_compile(c, "nonsense", 8, devices, NULL, &err));
    assert_non_null(strstr(err.text, "PJRT_Client_Compile failed"));
    text_free(&text);
    pjrt_close(c);
}

static void every_description_compiles(void **state) {
    (void)state;
    if (!found()) skip();
    compiles_for("tests/data/tt/n150.ttsys", 1, "Wormhole");
    compiles_for("tests/data/tt/n300.ttsys", 2, "Wormhole");
    compiles_for("tests/data/tt/n300-llmbox.ttsys", 8, "Wormhole");
    compiles_for("tests/data/tt/p150.ttsys", 1, "Blackhole");
    compiles_for("tests/data/tt/galaxy-32.ttsys", 32, "Wormhole");
}

static int count_of(const uint8_t *data, size_t bytes, const char *text) {
    int count = 0;
    for (const uint8_t *p = data; (p = memmem(p, bytes - (size_t)(p - data), text, strlen(text))); p++) count++;
    return count;
}

/* Weights are parameters, in TTIR too; caches and inputs are not. Const-eval is the device's. */
static void roles_and_host(const Lower *l, const uint8_t *data, size_t bytes) {
    Err err = {0};
    TtResult result;
    TtReport r;
    int weights = 0;
    for (int i = 0; i < l->argument_count; i++) weights += l->arguments[i].role == ROLE_WEIGHT;
    if (!tt_result_read(data, bytes, &result, &err) || !tt_report_read(&result, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.parameters, weights);
    assert_int_equal(r.inputs, l->argument_count - weights);
    const uint8_t *ttir = (const uint8_t *)result.ttir.data;
    assert_int_equal(count_of(ttir, result.ttir.bytes, "argument_type<parameter>"), weights);
    assert_int_equal(r.host_ops + r.host_moves + r.const_eval_host, 0);
    assert_true(r.const_evals > 28 * 4 && r.parameters_on_host && r.prepared_bytes > r.parameter_bytes / 10 * 9);
    assert_int_equal(r.dram_bytes, INT64_C(12) << 30);
    tt_report_free(&r);
}

/* The whole of Qwen2.5-7B, 28 layers, as one bucket: attention arrives as one op, caches are written on the device, two
 * reductions a layer and axis, and nothing is moved to the host. */
static void model_compiles(const char *desc, const char *mesh_text, int axes) {
    Err err = {0};
    ModelConfig *config = calloc(1, sizeof *config);
    ModelGraph model;
    Partition partition;
    Program program;
    Mesh mesh;
    Bucket list[MAX_BUCKETS];
    assert_true(mesh_parse(&mesh, mesh_text, &err) && config_at(config, "tests/golden/configs/7b.json", &err) &&
                model_graph(&model, config, 128, 2047, false, &err) &&
                partition_new(&partition, config, &mesh, true, &err) &&
                program_new(&program, &model.graph, &partition, &err));
    bucket_list(32, 128, 0, list);
    PjrtClient *c = open_tt(desc, mesh.tp, &err);
    for (int i = 0; c && i < 3; i += 2) { /* decode of 32 slots, prefill of 128 rows */
        LowerOptions o = {.type = "bf16", .cache_slots = 32, .positions = bucket_positions(2047), .bucket = list[i]};
        Lower l;
        Text text = {0};
        uint8_t *data = NULL;
        size_t bytes = 0;
        char name[64];
        bucket_name(&list[i], name, sizeof name);
        double start = clock_seconds();
        PjrtProgram *p = lower_program(&l, &program, &o, &text, &err)
                             ? pjrt_compile(c, text.data, text.bytes, mesh.tp, NULL, &err) : NULL;
        if (!p || !pjrt_program_serialize(p, &data, &bytes, &err)) fail_msg("%s on %s: %s", name, mesh_text, err.text);
        print_message("7B %s on %s: %.1f s\n", name, mesh_text, clock_seconds() - start);
        assert_int_equal(count_of(data, bytes, "\"ttir.scaled_dot_product_attention\"("), 28);
        assert_int_equal(count_of(data, bytes, "\"ttir.all_reduce\"("), 28 * 2 * axes);
        assert_true(contains(data, bytes, "ttnn.rows_scatter") && !contains(data, bytes, "hoist"));
        roles_and_host(&l, data, bytes);
        free(data);
        pjrt_program_free(p);
        lower_free(&l);
        text_free(&text);
    }
    if (!c) fail_msg("%s: %s", mesh_text, err.text);
    pjrt_close(c);
    program_free(&program);
    partition_free(&partition);
    model_graph_free(&model);
    free(config);
}

static void whole_model_compiles(void **state) {
    (void)state;
    if (!found()) skip();
    model_compiles("tests/data/tt/n300-llmbox.ttsys", "2x4", 2);
    if (brief()) return; /* the compiler itself has no sanitizer */
    model_compiles("tests/data/tt/n300-llmbox.ttsys", "1x8", 1);
    model_compiles("tests/data/tt/galaxy-32.ttsys", "8x4", 2);
    model_compiles("tests/data/tt/galaxy-32.ttsys", "4x8", 2);
    model_compiles("tests/data/tt/galaxy-32.ttsys", "1x32", 1);
}

/* What the compiler has no operation for, it gives to the host: the report must see that. */
static void work_of_the_host_is_seen(void **state) {
    (void)state;
    if (!found()) skip();
    static const char text[] =
        "module @m attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {\n"
        "func.func public @main(%a: tensor<32x64xf32>, %b: tensor<32x64xf32>) -> tensor<32x64xf32> {\n"
        "%r = stablehlo.einsum %a, %b, config=\"ab,ab->ab\" : (tensor<32x64xf32>, tensor<32x64xf32>) -> "
        "tensor<32x64xf32>\nreturn %r : tensor<32x64xf32>\n}\n}\n";
    Err err = {0};
    uint8_t *data = NULL;
    size_t bytes = 0;
    TtResult result;
    TtReport r = {0};
    PjrtClient *c = open_tt("tests/data/tt/n150.ttsys", 1, &err);
    PjrtProgram *p = c ? pjrt_compile(c, text, sizeof text - 1, 1, NULL, &err) : NULL;
    if (!p || !pjrt_program_serialize(p, &data, &bytes, &err) || !tt_result_read(data, bytes, &result, &err) ||
        !tt_report_read(&result, &r, &err))
        fail_msg("%s", err.text);
    assert_int_equal(r.host_ops, 1);
    assert_true(r.host_moves >= 2);
    assert_int_equal(r.parameters, 0);
    assert_int_equal(r.inputs, 2);
    tt_report_free(&r);
    free(data);
    pjrt_program_free(p);
    pjrt_close(c);
}

/* The plugin would end the process on these. */
static void what_it_would_die_of_is_refused(void **state) {
    (void)state;
    if (!found()) skip();
    static const struct { const char *desc; int devices; const char *expected; } wrong[] = {
        {"tests/data/README.md", 1, "tests/data/README.md: expected a Tenstorrent system description (TTSY)"},
        {"tests/data/tt/none.ttsys", 1, "cannot open tests/data/tt/none.ttsys"},
        {"tests/data/tt/n300.ttsys", 4, "expected 4 devices, got 2"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Err err = {0};
        assert_null(open_tt(wrong[i].desc, wrong[i].devices, &err));
        if (!strstr(err.text, wrong[i].expected)) fail_msg("expected '%s', got '%s'", wrong[i].expected, err.text);
    }
    Err err = {0};
    char cut[] = "/tmp/qwenmesh-test-XXXXXX";
    size_t bytes;
    char *data = file_read("tests/data/tt/n150.ttsys", 1 << 20, &bytes, &err);
    const int fd = mkstemp(cut);
    assert_true(data && fd >= 0 && write(fd, data, bytes / 2) == (ssize_t)(bytes / 2));
    close(fd);
    assert_null(open_tt(cut, 1, &err));
    assert_non_null(strstr(err.text, "expected a Tenstorrent system description (TTSY), got 384 bytes"));
    unlink(cut);
    free(data);
    err = (Err){0};
    if (folder_exists("/dev/tenstorrent")) return;
    assert_null(open_tt(NULL, 1, &err));
    assert_non_null(strstr(err.text, "expected Tenstorrent hardware at /dev/tenstorrent, got none"));
}

int main(void) {
    unsetenv("TT_COMPILE_ONLY_SYSTEM_DESC");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_description_compiles),
        cmocka_unit_test(whole_model_compiles),
        cmocka_unit_test(work_of_the_host_is_seen),
        cmocka_unit_test(what_it_would_die_of_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
