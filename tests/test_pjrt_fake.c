/* test_pjrt_fake.c: the PJRT client against a plugin that fails in every way, and the cache of compiled programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../src/pjrt/executable_cache.h"
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
#include "../src/qwenmesh.h"
#include "../src/train/trainer.h"
#include "fixture.h"

static char fake[600], empty[600], folder[] = "/tmp/qwenmesh-test-XXXXXX";
static int (*fake_live)(void);
static int (*fake_made)(const char *);
static const char *(*fake_left)(void);

/* The plugins stand beside this test. */
static int find_fake(void **state) {
    (void)state;
    char self[512] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 || !mkdtemp(folder)) return -1;
    const char *beside = dirname(self);
    snprintf(fake, sizeof fake, "%s/fake_plugin.so", beside);
    snprintf(empty, sizeof empty, "%s/fake_empty.so", beside);
    setenv("QWENMESH_PLUGIN_CPU", fake, 1); /* so that it gets the options of XLA CPU */
    void *library = dlopen(fake, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "fake_live") : NULL;
    if (!symbol) fprintf(stderr, "%s\n", dlerror());
    memcpy(&fake_live, &symbol, sizeof symbol);
    void *made = symbol ? dlsym(library, "fake_made") : NULL, *left = made ? dlsym(library, "fake_left") : NULL;
    memcpy(&fake_made, &made, sizeof made);
    memcpy(&fake_left, &left, sizeof left);
    return left ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static PjrtClient *open_as(const char *mode, int devices, const char *cache, Err *err) {
    setenv("FAKE_PLUGIN", mode, 1);
    return pjrt_open(&(PjrtOptions){.plugin = "cpu", .devices = devices, .cache = cache}, err);
}

static void refuses(const char *mode, const char *expected) {
    Err err = {0};
    assert_null(open_as(mode, 2, NULL, &err));
    if (!strstr(err.text, expected)) fail_msg("%s: expected '%s', got '%s'", mode, expected, err.text);
    assert_int_equal(fake_live(), 0);
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

static void plugins_that_cannot_be_used(void **state) {
    (void)state;
    refuses("old", "expected PJRT API 0.57 or newer of major version 0, got 0.56");
    refuses("major", "got 1.114");
    refuses("null", "GetPjrtApi returned no table");
    refuses("short", "without PJRT_Executable_Destroy, which is needed"); /* 38 functions */
    refuses("few", "expected 2 devices, got 1");
#define X(name, number, needed)                                                                                       \
    if (needed) refuses("missing=" #name, "without PJRT_" #name ", which is needed");
    PJRT_SLOTS(X)
#undef X
    Err err = {0};
    setenv("FAKE_PLUGIN", "", 1);
    assert_null(pjrt_open(&(PjrtOptions){.plugin = empty, .devices = 1}, &err));
    assert_non_null(strstr(err.text, "is no PJRT plugin: it has no GetPjrtApi"));
    err = (Err){0};
    assert_null(pjrt_open(&(PjrtOptions){.plugin = "tests/test_pjrt_fake.c", .devices = 1}, &err));
    assert_non_null(strstr(err.text, "cannot load the PJRT plugin tests/test_pjrt_fake.c"));
    err = (Err){0};
    assert_null(pjrt_open(&(PjrtOptions){.plugin = "cpu", .devices = 0}, &err));
    assert_string_equal(err.text, "devices: expected 1 to 4096, got 0");
}

static void what_is_missing_but_not_needed(void **state) {
    (void)state;
    Err err = {0};
    PjrtClient *c = open_as("missing=Executable_Serialize", 1, NULL, &err);
    assert_non_null(c);
    PjrtProgram *p = pjrt_compile(c, "m", 1, 1, NULL, &err);
    uint8_t *data;
    size_t bytes;
    assert_non_null(p);
    assert_false(pjrt_program_serialize(p, &data, &bytes, &err));
    assert_non_null(strstr(err.text, "has no PJRT_Executable_Serialize"));
    pjrt_program_free(p);
    pjrt_close(c);
    c = open_as("missing=Device_MemoryStats", 1, NULL, NULL);
    int64_t a, b, l;
    assert_false(pjrt_memory(c, 0, &a, &b, &l));
    pjrt_close(c);
    assert_int_equal(fake_live(), 0);
}

/* ---- A whole run ------------------------------------------------------------------------------------------------- */

enum { N = 3 };

/* Opens, compiles, uploads a row of numbers to each device, runs twice, reads back. False with an error at the first
 * failure; nothing is left behind either way. */
static bool whole_run(const char *mode, Err *err) {
    PjrtClient *c = open_as(mode, N, NULL, err);
    PjrtProgram *p = c ? pjrt_compile(c, "module", 6, N, NULL, err) : NULL;
    PjrtBuffer *argument[N] = {0}, *first[N] = {0}, *second[N] = {0};
    bool ok = p != NULL;
    for (int d = 0; ok && d < N; d++)
        ok = (argument[d] = pjrt_upload(c, d, PJRT_S32, (int64_t[]){2}, 1, (int[]){d, 10 * d}, err)) != NULL;
    ok = ok && pjrt_execute(c, p, argument, 1, first, 1, err) && pjrt_execute(c, p, first, 1, second, 1, err);
    for (int d = 0; !ok && d < N; d++) assert_null(second[d]); /* a run that fails fills no result */
    for (int d = 0; ok && d < N; d++) {
        int back[2] = {-1, -1};
        ok = pjrt_wait(c, second[d], err) && pjrt_download(c, second[d], back, sizeof back, err);
        if (ok && (back[0] != d || back[1] != 10 * d)) ok = err_set(err, "device %d: got %d %d", d, back[0], back[1]);
    }
    for (int d = 0; d < N; d++) {
        if (c) pjrt_buffer_free(c, argument[d]), pjrt_buffer_free(c, first[d]), pjrt_buffer_free(c, second[d]);
    }
    pjrt_program_free(p);
    pjrt_close(c);
    return ok;
}

static void every_call_can_fail(void **state) {
    (void)state;
    Err err = {0};
    if (!whole_run("", &err)) fail_msg("%s", err.text);
    assert_int_equal(fake_live(), 0);
    static const char *const calls[] = {"Plugin_Initialize",
                                        "Event_Await",
                                        "Client_Create",
                                        "Client_PlatformName",
                                        "Client_PlatformVersion",
                                        "Client_Devices",
                                        "Client_AddressableDevices",
                                        "Client_Compile",
                                        "Client_BufferFromHostBuffer",
                                        "Client_BufferFromHostBuffer@3",
                                        "DeviceDescription_Id",
                                        "DeviceDescription_Id@4",
                                        "DeviceDescription_Kind",
                                        "Device_GetDescription",
                                        "Executable_NumOutputs",
                                        "LoadedExecutable_GetExecutable",
                                        "LoadedExecutable_AddressableDevices",
                                        "LoadedExecutable_Execute",
                                        "LoadedExecutable_Execute@2",
                                        "Buffer_ElementType",
                                        "Buffer_Dimensions",
                                        "Buffer_ToHostBuffer",
                                        "Buffer_ToHostBuffer@2",
                                        "Buffer_ReadyEvent"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char mode[64], expected[128];
        const int name = (int)strcspn(calls[i], "@");
        for (int memory = 0; memory < 2; memory++) {
            err = (Err){0};
            snprintf(mode, sizeof mode, "%s=%s", memory ? "memory" : "error", calls[i]);
            snprintf(expected, sizeof expected,
                     memory ? "PJRT_%.*s failed (RESOURCE_EXHAUSTED): out of memory on the device: fake failure"
                            : "PJRT_%.*s failed (INTERNAL): fake failure",
                     name, calls[i]);
            if (whole_run(mode, &err)) fail_msg("%s: expected a failure", mode);
            if (strcmp(err.text, expected) != 0) fail_msg("%s: expected '%s', got '%s'", mode, expected, err.text);
            if (fake_live() != 0) fail_msg("%s: objects left: %d", mode, fake_live());
        }
    }
    err = (Err){0};
    assert_false(whole_run("late", &err));
    assert_string_equal(err.text, "PJRT_Event_Await failed (INTERNAL): fake failure in the run");
    assert_int_equal(fake_live(), 0);
}

static void devices_go_by_id_and_arguments_by_device(void **state) {
    (void)state;
    Err err = {0};
    PjrtClient *c = open_as("", 4, NULL, &err);
    PjrtProgram *p = pjrt_compile(c, "m", 1, 2, NULL, &err);
    assert_non_null(p);
    assert_int_equal(pjrt_info(c)->devices, 4);
    assert_string_equal(pjrt_info(c)->device_kind, "paper");
    Text text = {0};
    pjrt_attributes(c, &text);
    assert_non_null(strstr(
        text.data, "plugin.list = 1 2 3\nplugin.real = 0.5\nplugin.flag = true\nplugin.odd = of unknown type 99\n"
                   "device0 = a fake device\n"));
    text_free(&text);
    int64_t in_use, peak, limit;
    assert_true(pjrt_memory(c, 3, &in_use, &peak, &limit));
    assert_int_equal(in_use, 1000);
    assert_int_equal(limit, 2000);
    assert_false(pjrt_memory(c, 4, &in_use, &peak, &limit));
    PjrtProgramMemory memory;
    assert_true(pjrt_program_memory(p, &memory));
    assert_int_equal(memory.arguments, 42);
    /* Refusals of our own, before the plugin is asked. */
    assert_null(pjrt_compile(c, "m", 1, 5, NULL, &err));
    assert_string_equal(err.text, "expected a program for 1 to 4 devices, got 5");
    err = (Err){0};
    assert_null(pjrt_upload(c, 4, PJRT_F32, NULL, 0, &(float){1}, &err));
    assert_string_equal(err.text, "upload: expected a device from 0 to 3, got 4");
    err = (Err){0};
    assert_null(pjrt_upload(c, 0, PJRT_F32, (int64_t[]){INT64_MAX, 8}, 2, &(float){1}, &err));
    assert_non_null(strstr(err.text, "upload: expected 0 to 8 dimensions"));
    err = (Err){0};
    PjrtBuffer *x = pjrt_upload(c, 0, PJRT_BF16, (int64_t[]){3}, 1, (uint16_t[]){1, 2, 3}, &err), *none[4] = {0};
    uint16_t back[3];
    assert_false(pjrt_download(c, x, back, 4, &err));
    assert_string_equal(err.text, "download: expected room for 6 bytes, got 4");
    err = (Err){0};
    assert_false(pjrt_execute(c, p, (PjrtBuffer *[]){x, NULL}, 1, none, 1, &err));
    assert_string_equal(err.text, "execute: argument 0 of device 1 is missing");
    err = (Err){0};
    assert_false(pjrt_execute(c, p, (PjrtBuffer *[]){x, x}, 1, none, 2, &err));
    assert_string_equal(err.text, "execute: expected room for 1 results, got 2");
    pjrt_buffer_free(c, x);
    pjrt_buffer_free(c, NULL);
    pjrt_program_free(p);
    pjrt_close(c);
    assert_int_equal(fake_live(), 0);
}

/* ---- The backend ------------------------------------------------------------------------------------------------- */

/* Opens a model on two devices, feeds a prompt and two tokens, copies a session, reads logits, closes. The results are
 * all zero: only what is made and destroyed counts here. */
static bool whole_model(const char *mode, QmErr *err) {
    setenv("FAKE_PLUGIN", mode, 1);
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .mesh = "1x2", .slots = 2, .context = 32,
                         .rows = 8,
                         .backend = "pjrt", .plugin = "cpu"};
    QmEngine *e = qm_engine_open(&o, err);
    if (!e) return false;
    int32_t ids[5] = {1, 2, 3, 4, 5}, best[5];
    float *logits = calloc((size_t)qm_engine_info(e)->vocab * 5, sizeof *logits);
    QmSession *a = qm_session_new(e, err), *b = qm_session_new(e, err);
    QmAppend prompt = {.session = a, .tokens = ids, .count = 5, .logits_from = 5, .logits = logits, .argmax = best};
    QmAppend both[] = {{.session = a, .tokens = ids, .count = 1, .logits_from = 1, .argmax = best},
                       {.session = b, .tokens = ids, .count = 1, .logits_from = 1, .argmax = best + 1}};
    bool ok = qm_forward(e, &prompt, 1, err) && qm_session_copy(b, a, 4, err) && qm_forward(e, both, 2, err) &&
              qm_forward(e, both, 2, err);
    QmErr again = {0};
    if (!ok) qm_forward(e, both, 2, &again); /* works or says why, after any failure */
    qm_session_free(a);
    qm_session_free(b);
    free(logits);
    qm_engine_close(e);
    return ok;
}

/* The N-th call of each function fails, for every N that a whole use of a model makes: nothing is left of any kind. */
static void calls_fail_in_turn(bool (*use)(const char *mode, QmErr *err), const char *const *calls, size_t count) {
    static const char *const kinds[] = {"client", "loaded executable", "executable", "buffer", "event"};
    QmErr err = {0};
    int made[5];
    for (int k = 0; k < 5; k++) made[k] = fake_made(kinds[k]);
    if (!use("", &err)) fail_msg("%s", err.text);
    for (int k = 0; k < 5; k++)
        if (fake_made(kinds[k]) <= made[k]) fail_msg("no %s was made", kinds[k]);
    assert_string_equal(fake_left(), "");
    for (size_t i = 0; i < count; i++) {
        int n = 1;
        for (;; n++) {
            char mode[80];
            err = (QmErr){0};
            snprintf(mode, sizeof mode, "error=%s@%d", calls[i], n);
            bool ok = use(mode, &err);
            if (*fake_left()) fail_msg("%s: left are %s", mode, fake_left());
            if (ok) break;
            if (!strstr(err.text, "fake failure")) fail_msg("%s: %s", mode, err.text);
        }
        print_message("%s: %d calls\n", calls[i], n - 1);
        assert_true(n > 1);
    }
}

static const char *const model_calls[] = {
    "Client_Create", "Client_Compile", "Client_BufferFromHostBuffer", "Executable_NumOutputs",
    "LoadedExecutable_GetExecutable", "LoadedExecutable_AddressableDevices", "LoadedExecutable_Execute",
    "Buffer_ElementType", "Buffer_Dimensions", "Buffer_ToHostBuffer", "Event_IsReady", "Event_Await"};
enum { MODEL_CALLS = sizeof model_calls / sizeof *model_calls };

static void every_call_of_a_model_can_fail(void **state) {
    (void)state;
    calls_fail_in_turn(whole_model, model_calls, MODEL_CALLS);
}

/* Two steps, the first in two passes, an evaluation between them, and a tensor read and written. */
static bool whole_training(const char *mode, QmErr *err) {
    static const int32_t ids[] = {1, 2, 3, 4};
    static const TrainSegment segments[] = {{ids, ids, 4, NULL}, {ids, ids, 3, NULL}};
    static const TrainRow rows[] = {{&segments[0], 1, 4, 3}, {&segments[1], 1, 3, 2}};
    setenv("FAKE_PLUGIN", mode, 1);
    QmSource *source = qm_source_open("tests/golden/train", err);
    TrainerOptions o = {.seq_len = 4, .micro_batch = 1};
    o.engine.mesh = "1x2", o.engine.backend = "pjrt", o.engine.plugin = "cpu";
    Trainer *t = source ? trainer_open(source, &o, err) : NULL;
    qm_source_close(source);
    if (!t) return false;
    StepNumbers n = {.step = 1, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-8, .max_grad_norm = 1};
    StepResult r;
    double loss;
    int64_t labels;
    float *values = calloc(1 << 16, sizeof *values);
    bool ok = trainer_step(t, rows, 2, &n, &r, err) && trainer_evaluate(t, rows, 1, &loss, &labels, err) &&
              trainer_read(t, 0, PART_VALUE, values, err) && trainer_write(t, 0, PART_VALUE, values, err) &&
              trainer_step(t, rows, 1, &n, &r, err);
    QmErr again = {0};
    if (!ok) trainer_step(t, rows, 1, &n, &r, &again); /* works or says why, after any failure */
    free(values);
    trainer_close(t);
    return ok;
}

static void every_call_of_a_training_can_fail(void **state) {
    (void)state;
    calls_fail_in_turn(whole_training, model_calls, MODEL_CALLS);
}

/* A plugin that makes copies of what it is lent is given copies: nothing is held twice. */
static void weights_are_lent_or_copied(void **state) {
    (void)state;
    QmErr err = {0};
    int lent = fake_made("lent buffer"), buffers = fake_made("buffer");
    if (!whole_model("", &err)) fail_msg("%s", err.text);
    assert_true(fake_made("lent buffer") - lent > 30);
    buffers = fake_made("buffer") - buffers;
    for (int i = 0; i < 2; i++) {
        int before = fake_made("buffer");
        lent = fake_made("lent buffer");
        if (!whole_model(i ? "copies" : "missing=Event_IsReady", &err)) fail_msg("%s", err.text);
        assert_int_equal(fake_made("lent buffer"), lent);
        assert_int_equal(fake_made("buffer") - before, i ? buffers : buffers - 1); /* the one it was tried with */
        assert_string_equal(fake_left(), "");
    }
}

/* ---- Cache ------------------------------------------------------------------------------------------------------- */

static bool compile_cached(const char *mode, const char *text, int devices) {
    Err err = {0};
    bool cached = false;
    PjrtClient *c = open_as(mode, 4, folder, &err);
    PjrtProgram *p = c ? pjrt_compile(c, text, strlen(text), devices, &cached, &err) : NULL;
    if (!p) fail_msg("%s", err.text);
    pjrt_program_free(p);
    pjrt_close(c);
    assert_int_equal(fake_live(), 0);
    return cached;
}

static void compiled_once(void **state) {
    (void)state;
    assert_false(compile_cached("", "one", 2));
    assert_true(compile_cached("", "one", 2));
    assert_false(compile_cached("", "two", 2));
    assert_false(compile_cached("", "one", 3));
    assert_true(compile_cached("", "one", 2));
    setenv("XLA_FLAGS", "--xla_dump_to=nowhere --xla_cpu_collective_call_warn_stuck_timeout_seconds=1 "
           "--xla_cpu_collective_call_terminate_timeout_seconds=1", 1);
    assert_false(compile_cached("", "one", 2)); /* flags change what is compiled */
    unsetenv("XLA_FLAGS");
    assert_true(compile_cached("", "one", 2));
    /* A program that the plugin does not take back is compiled anew. */
    assert_false(compile_cached("error=Executable_DeserializeAndLoad", "one", 2));
    assert_false(compile_cached("unloadable", "one", 2));
    assert_false(compile_cached("missing=Executable_DeserializeAndLoad", "one", 2));
    assert_false(compile_cached("error=Executable_Serialize", "three", 2));
    assert_false(compile_cached("", "three", 2));
    assert_true(compile_cached("", "three", 2));
}

static void damage_is_seen(void **state) {
    (void)state;
    ProgramCache cache;
    CacheKey key, other;
    uint8_t program[300], *back;
    size_t bytes, whole;
    for (size_t i = 0; i < sizeof program; i++) program[i] = (uint8_t)random_below(256);
    assert_true(cache_key(&(CachePart){"ab", 2}, 1, &key, NULL));
    assert_true(cache_key((CachePart[]){{"a", 1}, {"b", 1}}, 2, &other, NULL));
    assert_memory_not_equal(&key, &other, sizeof key);
    cache_open(&cache, folder);
    assert_non_null(cache.folder);
    assert_null(cache_read(&cache, &key, &bytes));
    cache_write(&cache, &key, program, sizeof program);
    back = cache_read(&cache, &key, &bytes);
    assert_non_null(back);
    assert_int_equal(bytes, sizeof program);
    assert_memory_equal(back, program, bytes);
    free(back);
    char path[256];
    int n = snprintf(path, sizeof path, "%s/", folder);
    for (int i = 0; i < CACHE_KEY_BYTES; i++) n += snprintf(path + n, sizeof path - (size_t)n, "%02x", key.byte[i]);
    snprintf(path + n, sizeof path - (size_t)n, ".pjrt");
    char *file = file_read(path, 1 << 20, &whole, NULL);
    assert_non_null(file);
    for (size_t at = 0; at < whole; at++) { /* any byte wrong */
        FILE *f = fopen(path, "r+");
        fseek(f, (long)at, SEEK_SET);
        fputc(file[at] ^ (1 << random_below(8)), f);
        fclose(f);
        if ((back = cache_read(&cache, &key, &bytes))) fail_msg("byte %zu of %zu wrong, and not seen", at, whole);
        cache_write(&cache, &key, program, sizeof program); /* replaces it */
    }
    for (size_t length = 0; length < whole; length += 7) { /* cut short */
        assert_int_equal(truncate(path, (off_t)length), 0);
        assert_null(cache_read(&cache, &key, &bytes));
        cache_write(&cache, &key, program, sizeof program);
    }
    FILE *f = fopen(path, "a"); /* longer */
    fputc(0, f);
    fclose(f);
    assert_null(cache_read(&cache, &key, &bytes));
    cache_write(&cache, &key, program, sizeof program);
    assert_int_equal(chmod(path, 0666), 0); /* others could have written native code into it */
    assert_null(cache_read(&cache, &key, &bytes));
    cache_write(&cache, &key, program, sizeof program);
    back = cache_read(&cache, &key, &bytes);
    assert_non_null(back);
    free(back);
    free(file);
    cache_close(&cache);
}

/* Over the limit what was used longest ago goes, with parts that writers left behind; other files stay. */
static void cache_keeps_to_its_limit(void **state) {
    (void)state;
    ProgramCache cache;
    CacheKey key[4] = {{{0}}};
    uint8_t program[1000] = {1}, *back;
    size_t bytes;
    char small[128], path[256];
    snprintf(small, sizeof small, "%s/small", folder);
    cache_open(&cache, small);
    assert_non_null(cache.folder);
    assert_true(cache.limit == CACHE_LIMIT);
    snprintf(path, sizeof path, "%s/notes.txt", small);
    fclose(fopen(path, "w"));
    snprintf(path, sizeof path, "%s/.part-abcdef", small);
    FILE *left = fopen(path, "w");
    fprintf(left, "%3000d", 7);
    fclose(left);
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    cache.limit = 3 * 1200;
    for (int i = 0; i < 4; i++) {
        key[i].byte[0] = (uint8_t)i;
        cache_write(&cache, &key[i], program, sizeof program);
        usleep(20000);
        if (i < 2) continue;
        back = cache_read(&cache, &key[0], &bytes); /* in use all the time */
        assert_non_null(back);
        free(back);
        usleep(20000);
    }
    for (int i = 0; i < 4; i++) {
        back = cache_read(&cache, &key[i], &bytes);
        if (!back != (i == 1)) fail_msg("program %d: %s", i, back ? "still there" : "gone");
        free(back);
    }
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/notes.txt", small);
    assert_int_equal(access(path, F_OK), 0);
    cache_close(&cache);
}

static void caches_that_cannot_be_used(void **state) {
    (void)state;
    ProgramCache cache;
    CacheKey key = {{1}};
    size_t bytes;
    cache_open(&cache, "tests/test_pjrt_fake.c/below"); /* warns; then nothing is kept */
    assert_null(cache.folder);
    assert_true(cache.warned);
    cache_write(&cache, &key, (const uint8_t *)"x", 1);
    assert_null(cache_read(&cache, &key, &bytes));
    cache_close(&cache);
    cache_open(&cache, "/tmp"); /* others can write there */
    assert_null(cache.folder);
    cache_close(&cache);
    char deep[128];
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    cache_open(&cache, deep);
    assert_non_null(cache.folder);
    assert_true(folder_exists(deep));
    assert_int_equal(rmdir(deep), 0);
    cache_write(&cache, &key, (const uint8_t *)"x", 1);
    assert_true(cache.warned);
    cache_close(&cache);
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

static void plugins_are_found(void **state) {
    (void)state;
    PluginFile file;
    Err err = {0};
    assert_true(plugin_find("cpu", &file, &err));
    assert_string_equal(file.path, fake);
    assert_int_equal(file.kind, PLUGIN_CPU);
    assert_false(plugin_find("gpu", &file, &err));
    assert_string_equal(err.text, "unknown PJRT plugin 'gpu': expected cpu, tt, cuda, tpu or a plugin's file");
    err = (Err){0};
    assert_false(plugin_find("none.so", &file, &err));
    assert_string_equal(err.text, "no PJRT plugin at ./none.so: expected a file");
    char site[256], library[900], old[256] = "";
    snprintf(site, sizeof site, "mkdir -p %s/env/lib/python3.9/site-packages/libtpu", folder);
    assert_int_equal(system(site), 0);
    snprintf(library, sizeof library, "cp %s %s/env/lib/python3.9/site-packages/libtpu/libtpu.so", empty, folder);
    assert_int_equal(system(library), 0);
    if (getenv("VIRTUAL_ENV")) snprintf(old, sizeof old, "%s", getenv("VIRTUAL_ENV"));
    snprintf(site, sizeof site, "%s/env", folder);
    setenv("VIRTUAL_ENV", site, 1);
    err = (Err){0};
    assert_true(plugin_find("tpu", &file, &err));
    assert_int_equal(file.kind, PLUGIN_TPU);
    snprintf(library, sizeof library, "%s/env/lib/python3.9/site-packages/libtpu/libtpu.so", folder);
    assert_string_equal(file.path, library);
    if (*old) setenv("VIRTUAL_ENV", old, 1);
    else unsetenv("VIRTUAL_ENV");
    setenv("QWENMESH_PLUGIN_TPU", "/nowhere/x.so", 1);
    assert_false(plugin_find("tpu", &file, &err));
    assert_string_equal(err.text, "QWENMESH_PLUGIN_TPU: expected a plugin's file, got /nowhere/x.so");
    unsetenv("QWENMESH_PLUGIN_TPU");
    PluginFile list[2];
    assert_int_equal(plugin_list(list, 1), 1);
    assert_string_equal(list[0].path, fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_that_cannot_be_used),
        cmocka_unit_test(what_is_missing_but_not_needed),
        cmocka_unit_test(every_call_can_fail),
        cmocka_unit_test(devices_go_by_id_and_arguments_by_device),
        cmocka_unit_test(every_call_of_a_model_can_fail),
        cmocka_unit_test(every_call_of_a_training_can_fail),
        cmocka_unit_test(weights_are_lent_or_copied),
        cmocka_unit_test(compiled_once),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(cache_keeps_to_its_limit),
        cmocka_unit_test(caches_that_cannot_be_used),
        cmocka_unit_test(plugins_are_found),
    };
    return cmocka_run_group_tests(tests, find_fake, remove_folder);
}
