/* test_pjrt_tt.c: compiling for Tenstorrent chips without hardware, where the plugin is (`make plugins`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
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
        cmocka_unit_test(what_it_would_die_of_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
