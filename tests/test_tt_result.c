/* test_tt_result.c: serialised Tenstorrent programs: what is read from a made one, and from damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../src/pjrt/tt_desc.h"
#include "../src/pjrt/tt_result.h"

static const char ttir[] = "%1 = \"ttir.scaled_dot_product_attention\"(%0) : ...\n";

/* One chip of 2 channels of 1000 bytes. Layouts: 0 a tile of bf16 in DRAM (2048 bytes), 1 the same in the host's
 * memory, 2 2x3 floats in DRAM over 4 cores (96 bytes), 3 in L1. */
#define HEAD_TEXT                                                                                                      \
    "#system_desc = #ttcore.system_desc<[{role = host}], [{arch = <wormhole_b0>, num_dram_channels = 2, "              \
    "dram_channel_size = 1000, dram_unreserved_base = 100, dram_unreserved_end = 900}, {arch = <wormhole_b0>, x}]>\n" \
    "#ttnn_layout = #ttnn.ttnn_layout<(d0) -> (0, d0), <1x1>, memref<1x1x!ttcore.tile<32x32, bf16>, #dram>, "          \
    "<interleaved>>\n"                                                                                                 \
    "#ttnn_layout1 = #ttnn.ttnn_layout<(d0) -> (0, d0), <1x1>, memref<32x32xbf16, #system_memory>>\n"                  \
    "#ttnn_layout2 = #ttnn.ttnn_layout<(d0) -> (0, d0), <2x2>, memref<2x3xf32, #dram>, <interleaved>>\n"               \
    "#ttnn_layout3 = #ttnn.ttnn_layout<(d0) -> (0, d0), <1x1>, memref<8x8xf32, #l1>, <height_sharded>>\n"
#define STEP_TEXT                                                                                                      \
    "  func.func private @main_const_eval_0(%arg0: tensor<4xf32, #ttnn_layout1>) -> tensor<4xf32, #ttnn_layout> "     \
    "attributes {tt.function_type = \"const_eval\"} {\n"                                                              \
    "    %0 = \"ttnn.to_device\"(%arg0) : (tensor<4xf32, #ttnn_layout1>) -> tensor<4xf32, #ttnn_layout>\n"             \
    "    return %0 : tensor<4xf32, #ttnn_layout>\n  }\n"                                                               \
    "  func.func public @main(%arg0: tensor<4xf32, #ttnn_layout2> {ttcore.argument_type = "                            \
    "#ttcore.argument_type<input>}, %arg1: tensor<4xf32, #ttnn_layout1> {ttcore.argument_type = "                      \
    "#ttcore.argument_type<parameter>}) -> (tensor<4xf32, #ttnn_layout2>) {\n"                                         \
    "    %0 = ttcore.load_cached(@main_const_eval_0, [%arg1]) : (tensor<4xf32, #ttnn_layout1>) -> tensor<4xf32, "      \
    "#ttnn_layout>\n"                                                                                                  \
    "    \"ttnn.deallocate\"(%arg1) <{force = false}> : (tensor<4xf32, #ttnn_layout1>) -> ()\n"                        \
    "    %1 = \"ttnn.to_layout\"(%arg0) : (tensor<4xf32, #ttnn_layout2>) -> tensor<4xf32, #ttnn_layout>\n"             \
    "    %2 = \"ttnn.matmul\"(%1, %0) : (tensor<4xf32, #ttnn_layout>) -> tensor<4xf32, #ttnn_layout>\n"                \
    "    \"ttnn.deallocate\"(%1) <{force = false}> : (tensor<4xf32, #ttnn_layout>) -> ()\n"                            \
    "    %3 = \"ttnn.to_memory_config\"(%2) : (tensor<4xf32, #ttnn_layout>) -> tensor<4xf32, #ttnn_layout3>\n"         \
    "    %4 = \"ttnn.all_reduce\"(%2) <{cluster_axis = 1 : ui32}> : (tensor<4xf32, #ttnn_layout>) -> tensor<4xf32, "   \
    "#ttnn_layout2>\n"                                                                                                 \
    "    %5 = \"ttnn.all_reduce\"(%4) <{cluster_axis = 0 : ui32}> : (tensor<4xf32, #ttnn_layout2>) -> tensor<4xf32, "  \
    "#ttnn_layout2>\n"
#define END_TEXT "    return %5 : tensor<4xf32, #ttnn_layout2>\n  }\n    %9 = \"ttnn.not_in_main\"() : () -> ()\n"

static void put_u64(uint8_t *d, uint64_t v) {
    for (int i = 0; i < 8; i++) d[i] = (uint8_t)(v >> 8 * i);
}

/* malloc'ed to its exact size, so that a sanitizer sees every byte too far. */
static uint8_t *serialised(const char *ttnn, size_t *bytes) {
    size_t a = strlen(ttir), b = strlen(ttnn);
    uint8_t *d = malloc(*bytes = 56 + a + b + 4);
    memcpy(d, "TTSERv00", 8);
    const uint64_t part[6] = {0, a, a, b, a + b, 4};
    for (int i = 0; i < 6; i++) put_u64(d + 8 + 8 * i, part[i]);
    memcpy(d + 56, ttir, a);
    memcpy(d + 56 + a, ttnn, b);
    memcpy(d + 56 + a + b, "FLAT", 4);
    return d;
}

static TtReport report_of(const char *ttnn) {
    size_t bytes;
    Err err = {0};
    uint8_t *d = serialised(ttnn, &bytes);
    TtResult result;
    TtReport r = {0};
    if (!tt_result_read(d, bytes, &result, &err) || !tt_report_read(&result, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(result.flatbuffer.bytes, 4);
    assert_memory_equal(result.flatbuffer.data, "FLAT", 4);
    free(d);
    return r;
}

static int64_t count_of(const TtReport *r, const char *name) {
    for (int i = 0; i < r->ops; i++)
        if (!strcmp(r->op[i].name, name)) return r->op[i].count;
    return 0;
}

static void what_a_program_is(void **state) {
    (void)state;
    TtReport r = report_of(HEAD_TEXT STEP_TEXT END_TEXT);
    assert_int_equal(r.ops, 4); /* deallocate and what the cache holds are no operations of a step */
    assert_string_equal(r.op[0].name, "all_reduce");
    assert_int_equal(count_of(&r, "all_reduce"), 2);
    assert_int_equal(count_of(&r, "matmul"), 1);
    assert_int_equal(count_of(&r, "not_in_main"), 0);
    assert_int_equal(r.collective[TT_ALL_REDUCE][0], 1);
    assert_int_equal(r.collective[TT_ALL_REDUCE][1], 1);
    assert_int_equal(r.inputs, 1);
    assert_int_equal(r.parameters, 1);
    assert_int_equal(r.const_evals, 1);
    assert_int_equal(r.host_ops + r.host_moves + r.const_eval_host, 0);
    assert_int_equal(r.attention, 1);
    assert_int_equal(r.parameter_bytes, 2048);
    assert_true(r.parameters_on_host);
    assert_int_equal(r.argument_bytes, 96);
    assert_int_equal(r.prepared_bytes, 2048);
    assert_int_equal(r.relayout_bytes, 2048);
    assert_int_equal(r.temporary_bytes, 2 * 2048); /* %1 and %2; then %2, %4 and %5 */
    assert_string_equal(r.arch, "wormhole_b0");
    assert_int_equal(r.chips, 2);
    assert_int_equal(r.dram_bytes, 2000);
    assert_int_equal(r.dram_usable, 1600);
    tt_report_free(&r);
}

static void the_host_is_seen(void **state) {
    (void)state;
    TtReport r = report_of(
        HEAD_TEXT STEP_TEXT "    %6 = \"ttnn.from_device\"(%5) : (tensor<4xf32, #ttnn_layout2>) -> tensor<4xf32, "
        "#ttnn_layout1>\n    %7 = call @cpu_hoisted_ttir_sort_1(%6) : (tensor<4xf32>) -> tensor<4xf32>\n" END_TEXT
        "  func.func private @cpu_hoisted_ttir_sort_1(tensor<4xf32>) -> tensor<4xf32> attributes "
        "{ttir.cpu_hoisted_call}\n  func.func private @c(%arg0: t) attributes {tt.function_type = \"const_eval\"} {\n"
        "    %0 = call @cpu_hoisted_ttir_add_2(%arg0) : (t) -> t\n  }\n");
    assert_int_equal(r.host_ops, 1);
    assert_int_equal(r.host_moves, 1);
    assert_string_equal(r.host_op, "from_device");
    assert_int_equal(r.const_eval_host, 1);
    tt_report_free(&r);
}

static bool reads(const uint8_t *data, size_t bytes, Err *err) {
    TtResult result;
    TtReport r;
    *err = (Err){0};
    if (!tt_result_read(data, bytes, &result, err) || !tt_report_read(&result, &r, err)) return false;
    tt_report_free(&r);
    return true;
}

static void cut_and_wrong_containers(void **state) {
    (void)state;
    size_t bytes;
    Err err;
    uint8_t *d = serialised(HEAD_TEXT STEP_TEXT END_TEXT, &bytes);
    assert_true(reads(d, bytes, &err));
    for (size_t n = 0; n < bytes; n++) { /* cut anywhere: the last part no longer fits */
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, d, n);
        assert_false(reads(cut, n, &err));
        assert_non_null(strstr(err.text, n < 56 ? "expected a serialised Tenstorrent program" : "expected it inside"));
        free(cut);
    }
    for (int field = 0; field < 6; field++) {
        static const uint64_t wrong[] = {UINT64_MAX, UINT64_MAX - 55, INT64_MAX, 1u << 30};
        uint8_t old[8];
        memcpy(old, d + 8 + 8 * field, 8);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            put_u64(d + 8 + 8 * field, wrong[i]);
            assert_false(reads(d, bytes, &err));
            assert_non_null(strstr(err.text, field < 2 ? "TTIR text" : field < 4 ? "TTNN text" : "flatbuffer"));
        }
        memcpy(d + 8 + 8 * field, old, 8);
    }
    d[0] = 'X';
    assert_false(reads(d, bytes, &err));
    free(d);
}

static void hostile_texts(void **state) {
    (void)state;
    static const struct { const char *text, *says; /* NULL: is read */ } cases[] = {
        {"", "got none"},
        {"no operations\n\n\n", "got none"},
        {"#ttnn_layout99999999999999999999 = #ttnn.ttnn_layout<>, memref<1xf32, #dram>\n", "fewer layouts"},
        {"#ttnn_layout3 = memref<\n#ttnn_layout4 = x, memref<99999999999999x99999999999999x9999999999xf32, #dram>\n"
         "func.func public @main(%arg0: tensor<#ttnn_layout4>, %arg1: #ttnn_layout4, %arg2: #ttnn_layout77) -> () {\n"
         "%1 = \"ttnn.a\"() : () -> #ttnn_layout4, #ttnn_layout4\n%18446744073709551617 = \"ttnn.b\"() : () -> "
         "#ttnn_layout4\n\"ttnn.deallocate\"(%999999999)\n\"ttnn.deallocate\"(%",  NULL},
        {"func.func public @main(%arg%arg%arg%arg) -> {\n%0 = \"ttnn.", "got none"},
        {"func.func public @main(\n\"ttnn.a_name_that_is_much_longer_than_any_name_of_an_operation_ever_was\"()", NULL},
        {"#system_desc = {arch = <, num_dram_channels = 99999999999999999999, dram_channel_size = 9999999999999999\n"
         "func.func public @main() {\n%0 = \"ttnn.a\"() : () -> ()", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bytes;
        Err err;
        uint8_t *d = serialised(cases[i].text, &bytes);
        bool ok = reads(d, bytes, &err);
        if (ok != !cases[i].says) fail_msg("case %zu: %s", i, ok ? "expected an error" : err.text);
        if (!ok && !strstr(err.text, cases[i].says)) fail_msg("expected %s in: %s", cases[i].says, err.text);
        free(d);
    }
}

/* Long lines of what looks like arguments or layouts take time in proportion to their length. */
static void long_lines(void **state) {
    (void)state;
    Text t = {0};
    text_line(&t, "func.func public @main(");
    for (int i = 0; i < 50000; i++) text_line(&t, "%%arg");
    text_line(&t, "\n%%0 = \"ttnn.a\"() : ");
    for (int i = 0; i < 50000; i++) text_line(&t, " -> #ttnn_layout");
    clock_t start = clock();
    TtReport r = report_of(t.data);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10);
    assert_int_equal(r.inputs, 50000);
    tt_report_free(&r);
    text_free(&t);
}

static void descriptions_are_found(void **state) {
    (void)state;
    char path[512], small[8];
    Err err = {0};
    assert_true(tt_desc_find("n300-llmbox", path, sizeof path, &err) && file_exists(path));
    assert_true(tt_desc_find("tests/data/tt/p150.ttsys", path, sizeof path, &err));
    assert_string_equal(path, "tests/data/tt/p150.ttsys");
    assert_false(tt_desc_find("n151", path, sizeof path, &err));
    assert_non_null(strstr(err.text, "no system description 'n151': expected a file, or n151.ttsys in"));
    err = (Err){0};
    assert_false(tt_desc_find("none/at/all.ttsys", path, sizeof path, &err));
    assert_non_null(strstr(err.text, "none/at/all.ttsys"));
    err = (Err){0};
    assert_false(tt_desc_find("tests/data/tt/p150.ttsys", small, sizeof small, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_program_is), cmocka_unit_test(the_host_is_seen),
        cmocka_unit_test(cut_and_wrong_containers), cmocka_unit_test(hostile_texts),
        cmocka_unit_test(long_lines), cmocka_unit_test(descriptions_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
