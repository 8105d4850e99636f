/* test_errors.c: every kind of error through the public functions, the exit code of each, and who is told of warnings:
 * the library itself prints nothing. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/base/watch.h"
#include "fixture.h"

#define TINY "tests/golden/tiny"

/* ---- What cannot be opened --------------------------------------------------------------------------------------- */

static const struct { const char *what; QmEngineOptions options; QmErrKind kind; } refused[] = {
    {"no model", {.model = NULL}, QM_USAGE},
    {"a mesh of nothing", {.model = TINY, .mesh = "0"}, QM_USAGE},
    {"a backend that is none", {.model = TINY, .backend = "abacus"}, QM_USAGE},
    {"a cache type that is none", {.model = TINY, .kv_cache = "3bit"}, QM_USAGE},
    {"kernels that are none", {.model = TINY, .isa = "mmx"}, QM_USAGE},
    {"more slots than there are", {.model = TINY, .slots = 100000}, QM_USAGE},
    {"no such file", {.model = "tests/golden/nowhere"}, QM_IO},
    {"a file that is no model", {.model = "tests/golden/README.md"}, QM_INPUT},
    {"more memory than addresses", {.model = TINY, .slots = 48, .context = (int64_t)1 << 31}, QM_MEMORY},
    {"a plugin that is none", {.model = TINY, .backend = "pjrt", .plugin = TINY "/config.json"}, QM_DEVICE},
};

static void kinds_of_opening(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        QmErr err = {0};
        QmEngineOptions o = refused[i].options;
        o.size = sizeof o;
        QmEngine *e = qm_engine_open(&o, &err);
        if (e || err.kind != refused[i].kind)
            fail_msg("%s: expected kind %d, got %d: %s", refused[i].what, refused[i].kind, err.kind, err.text);
    }
}

/* An option that the backend does not know is an error, not ignored; whose default is given is none. */
static void options_of_the_other_backend(void **state) {
    (void)state;
    const struct { QmEngineOptions o; const char *field; } cases[] = {
        {{.model = TINY, .backend = "pjrt", .isa = "avx2"}, "isa"},
        {{.model = TINY, .backend = "pjrt", .pin = true}, "pin"},
        {{.model = TINY, .backend = "pjrt", .phases = true}, "phases"},
        {{.model = TINY, .backend = "pjrt", .threads = 2}, "threads"},
        {{.model = TINY, .plugin = "cpu"}, "plugin"},
        {{.model = TINY, .candidates = "8", .backend = "cpu"}, "candidates"},
        {{.model = TINY, .program_cache = "/tmp"}, "program_cache"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        QmEngineOptions o = cases[i].o;
        QmErr err = {0};
        o.size = sizeof o;
        assert_null(qm_engine_open(&o, &err));
        if (err.kind != QM_USAGE || strncmp(err.text, cases[i].field, strlen(cases[i].field))) fail_msg("%s", err.text);
    }
}

/* Callers of another version know fewer options, or more. */
static void options_of_other_sizes(void **state) {
    (void)state;
    struct { QmEngineOptions o; int64_t more[2]; } newer = {0};
    QmErr err = {0};
    qm_engine_options(&newer.o);
    assert_true(newer.o.size == sizeof newer.o && newer.o.rows == 128 && newer.o.slots == 1 && !newer.o.threads);
    assert_string_equal(newer.o.mesh, "1x1");
    newer.o.model = TINY;
    newer.o.context = 16;
    newer.o.size = sizeof newer;
    QmEngine *e = qm_engine_open(&newer.o, &err);
    assert_non_null(e);
    qm_engine_close(e);
    newer.more[1] = 7;
    assert_null(qm_engine_open(&newer.o, &err));
    assert_int_equal(err.kind, QM_USAGE);
    err = (QmErr){0};
    newer.o.size = 0;
    assert_null(qm_engine_open(&newer.o, &err));
    assert_non_null(strstr(err.text, "qm_engine_options"));
    err = (QmErr){0};
    newer.o.isa = "none such"; /* beyond what this caller knows */
    newer.o.size = offsetof(QmEngineOptions, isa);
    assert_non_null(e = qm_engine_open(&newer.o, &err));
    qm_engine_close(e);
}

/* ---- What an engine refuses -------------------------------------------------------------------------------------- */

static void kinds_of_sessions(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[40] = {1, 2, 3}, outside = 1 << 20;
    QmEngine *e = qm_engine_open(&(QmEngineOptions){.size = sizeof(QmEngineOptions), .model = TINY, .context = 32},
                                 &err);
    assert_non_null(e);
    QmSession *s = qm_session_new(e, &err);
    assert_int_equal(err.kind, QM_OK);
    assert_null(qm_session_new(e, &err));
    assert_int_equal(err.kind, QM_LIMIT);
    err = (QmErr){0};
    assert_false(qm_forward(e, &(QmAppend){.session = s, .tokens = ids, .count = 33}, 1, &err));
    assert_int_equal(err.kind, QM_LIMIT);
    err = (QmErr){0};
    assert_false(qm_forward(e, &(QmAppend){.session = s, .tokens = &outside, .count = 1}, 1, &err));
    assert_int_equal(err.kind, QM_INPUT);
    err = (QmErr){0};
    assert_false(qm_session_crop(s, 1, &err));
    assert_int_equal(err.kind, QM_USAGE);
    assert_false(qm_session_crop(s, -1, &err)); /* the first one stays */
    assert_non_null(strstr(err.text, "got 1"));
    qm_session_free(s);
    qm_engine_close(e);
}

typedef struct Stopper { QmEngine *engine; atomic_bool over; } Stopper;

static void *stop(void *argument) {
    Stopper *s = argument;
    while (!atomic_load(&s->over)) qm_interrupt(s->engine);
    return NULL;
}

static void interrupts_have_a_kind(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[256] = {0};
    Stopper stopper = {.engine = qm_engine_open(&(QmEngineOptions){.size = sizeof(QmEngineOptions), .model = TINY,
                                                .context = 256, .rows = 1}, &err)};
    QmSession *s = qm_session_new(stopper.engine, &err);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop, &stopper), 0);
    while (qm_forward(stopper.engine, &(QmAppend){.session = s, .tokens = ids, .count = 256}, 1, &err))
        assert_true(qm_session_crop(s, 0, &err));
    atomic_store(&stopper.over, true);
    pthread_join(thread, NULL);
    assert_int_equal(err.kind, QM_INTERRUPTED);
    qm_session_free(s);
    qm_engine_close(stopper.engine);
}

static void exit_codes_follow(void **state) {
    (void)state;
    const int want[] = {[QM_OK] = 0, [QM_USAGE] = 2, [QM_INPUT] = 1, [QM_LIMIT] = 1, [QM_MEMORY] = 1,
                        [QM_INTERRUPTED] = 130, [QM_IO] = 1, [QM_DEVICE] = 1, [QM_INTERNAL] = 1};
    for (int kind = QM_OK; kind <= QM_INTERNAL; kind++)
        assert_int_equal(err_exit_code(&(QmErr){.kind = (QmErrKind)kind}), want[kind]);
}

/* ---- Who is told ------------------------------------------------------------------------------------------------- */

typedef struct Told { int warnings, shows, ends; char text[2200]; } Told;

static void told_message(void *owner, QmLevel level, const char *text) {
    Told *t = owner;
    t->warnings += level == QM_WARNING;
    snprintf(t->text, sizeof t->text, "%s", text);
}

static void told_progress(void *owner, const char *what, int64_t done, int64_t total) {
    Told *t = owner;
    assert_true(what && done <= total);
    if (done < 0) t->ends++;
    else t->shows++;
}

/* A copy of the model whose configuration has a key that nothing knows. */
static void odd_model(const char *folder) {
    char command[512];
    snprintf(command, sizeof command,
             "mkdir -p %s && cp " TINY "/* %s/ && sed -i '0,/{/s//{\"flux_capacitor\": 1,/' %s/config.json", folder,
             folder, folder);
    assert_int_equal(system(command), 0);
}

static void watches_are_told(void **state) {
    (void)state;
    QmErr err = {0};
    char folder[64], command[96];
    Told all = {0}, own = {0};
    snprintf(folder, sizeof folder, "/tmp/qm-errors-%d", (int)getpid());
    odd_model(folder);
    const QmWatch of_engine = {.message = told_message, .progress = told_progress, .owner = &own};
    qm_watch(&(QmWatch){.message = told_message, .progress = told_progress, .owner = &all});
    int saved = dup(STDERR_FILENO), pipes[2];
    char said[8];
    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    QmEngine *silent = qm_engine_open(&(QmEngineOptions){.size = sizeof(QmEngineOptions), .model = folder,
                                      .watch = &of_engine}, &err);
    QmEngine *plain = qm_engine_open(&(QmEngineOptions){.size = sizeof(QmEngineOptions), .model = folder}, &err);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    assert_true(silent && plain);
    assert_int_equal(read(pipes[0], said, sizeof said), 0);
    close(pipes[0]);
    assert_true(own.warnings == 1 && all.warnings <= 1); /* one process may say it once */
    assert_non_null(strstr(own.text, "flux_capacitor"));
    assert_true(own.shows > 0 && own.ends == 1 && all.shows > 0 && all.ends == 1);
    int before = all.warnings;
    watch_say(QM_WARNING, "everybody listens");
    qm_watch(NULL);
    watch_say(QM_WARNING, "nobody listens");
    assert_true(all.warnings == before + 1 && !strcmp(all.text, "everybody listens"));
    qm_engine_close(silent);
    qm_engine_close(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_opening), cmocka_unit_test(kinds_of_sessions),
        cmocka_unit_test(interrupts_have_a_kind),
        cmocka_unit_test(exit_codes_follow), cmocka_unit_test(watches_are_told),
        cmocka_unit_test(options_of_the_other_backend), cmocka_unit_test(options_of_other_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
