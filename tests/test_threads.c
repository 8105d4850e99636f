/* test_threads.c: any number of threads at once, each with sessions of its own, get the bits of one caller: on one
 * engine, on engines of their own, and with one tokenizer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fixture.h"

enum { THREADS = 4, ROUNDS = 25, PROMPT = 9, NEW = 4, TOKENS = PROMPT + NEW, VOCAB = 512, SLOTS = 8 };

static QmEngine *engine(const char *mesh, int threads, Err *err) {
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .mesh = mesh, .threads = threads,
                         .slots = SLOTS, .context = 128,
                         .rows = 4};
    return qm_engine_open(&o, err);
}

typedef struct Caller {
    QmEngine *engine; /* NULL: it opens one */
    int number, threads;
    float want[TOKENS][VOCAB];
    Err err;
} Caller;

static int32_t token(int number, int i) { return (int32_t)((number * 37 + i * 11 + 5) % VOCAB); }

/* A prompt in one call, more tokens one by one, and the last one again: in a copy, and after a crop. */
static bool say(QmEngine *e, int number, float logits[TOKENS][VOCAB], Err *err) {
    int32_t ids[TOKENS];
    float again[2][VOCAB];
    QmSession *s = qm_session_new(e, err), *copy = qm_session_new(e, err);
    for (int i = 0; i < TOKENS; i++) ids[i] = token(number, i);
    QmAppend a = {.session = s, .tokens = ids, .count = PROMPT, .logits_from = PROMPT, .logits = logits[0]};
    bool ok = s && copy && qm_forward(e, &a, 1, err);
    for (int i = PROMPT; ok && i < TOKENS; i++) {
        QmAppend one = {.session = s, .tokens = ids + i, .count = 1, .logits_from = 1, .logits = logits[i]};
        ok = qm_forward(e, &one, 1, err);
    }
    QmAppend last[2] = {{.session = s, .tokens = ids + TOKENS - 1, .count = 1, .logits_from = 1, .logits = again[0]},
                        {.session = copy, .tokens = ids + TOKENS - 1, .count = 1, .logits_from = 1,
                         .logits = again[1]}};
    ok = ok && qm_session_copy(copy, s, TOKENS - 1, err) && qm_session_crop(s, TOKENS - 1, err) &&
         qm_forward(e, last, 2, err);
    for (int i = 0; ok && i < 2; i++)
        ok = !memcmp(again[i], logits[TOKENS - 1], sizeof *again) ||
             err_set(err, "other logits %s", i ? "in a copy" : "after a crop");
    qm_session_free(copy);
    qm_session_free(s);
    return ok;
}

static void *call(void *argument) {
    Caller *c = argument;
    QmEngine *e = c->engine ? c->engine : engine("1x2", c->threads, &c->err);
    static _Thread_local float got[TOKENS][VOCAB];
    for (int i = 0; e && i < ROUNDS && !c->err.kind; i++)
        if (say(e, c->number, got, &c->err) && memcmp(got, c->want, sizeof got))
            err_set(&c->err, "other logits in round %d", i);
    if (!c->engine) qm_engine_close(e);
    return NULL;
}

/* Runs THREADS callers at once; threads: of an engine; shared: one engine for all. */
static void callers_run(const char *mesh, int threads, bool shared) {
    static Caller caller[THREADS];
    pthread_t thread[THREADS];
    Err err = {0};
    QmEngine *e = engine(mesh, threads, &err);
    if (!e) fail_msg("%s", err.text);
    for (int i = 0; i < THREADS; i++) {
        caller[i] = (Caller){.engine = shared ? e : NULL, .number = i, .threads = threads};
        if (!say(e, i, caller[i].want, &err)) fail_msg("%s", err.text);
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, call, &caller[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    qm_engine_close(e);
    for (int i = 0; i < THREADS; i++)
        if (caller[i].err.kind) fail_msg("%d workers, caller %d: %s", threads, i, caller[i].err.text);
}

static void one_engine(void **state) {
    (void)state;
    callers_run("1x1", 1, true);
    callers_run("dp2,tp2", 2, true);
}

static void engines_of_their_own(void **state) { (void)state; callers_run("1x2", 2, false); }

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

typedef struct Taker { QmEngine *engine; int taken; } Taker;

static void *take(void *argument) {
    Taker *t = argument;
    QmSession *mine[SLOTS];
    for (int round = 0; round < 4 * ROUNDS; round++) {
        int n = 0;
        for (Err err = {0}; n < SLOTS && (mine[n] = qm_session_new(t->engine, &err));) n++;
        t->taken += n;
        while (n) qm_session_free(mine[--n]);
    }
    return NULL;
}

/* No slot is lost or held twice: at the end all can be taken, and no more. */
static void slots_of_all(void **state) {
    (void)state;
    Taker taker[THREADS];
    pthread_t thread[THREADS];
    QmSession *all[SLOTS];
    Err err = {0};
    QmEngine *e = engine("1x1", 1, &err);
    for (int i = 0; i < THREADS; i++) {
        taker[i] = (Taker){.engine = e};
        assert_int_equal(pthread_create(&thread[i], NULL, take, &taker[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < SLOTS; i++) assert_non_null(all[i] = qm_session_new(e, &err));
    assert_null(qm_session_new(e, &err));
    for (int i = 0; i < SLOTS; i++) qm_session_free(all[i]);
    qm_engine_close(e);
}

/* ---- Interrupts -------------------------------------------------------------------------------------------------- */

typedef struct Long { QmEngine *engine; bool ok; atomic_bool done; Err err; } Long;

/* Calls of many chunks until one of them is stopped. */
static void *run_long(void *argument) {
    Long *l = argument;
    int32_t ids[100];
    QmSession *s = qm_session_new(l->engine, &l->err);
    for (int i = 0; i < 100; i++) ids[i] = token(1, i);
    QmAppend a = {.session = s, .tokens = ids, .count = 100};
    while (s && qm_forward(l->engine, &a, 1, &l->err) && qm_session_crop(s, 0, &l->err)) {}
    l->ok = s && qm_session_length(s) == 0;
    qm_session_free(s);
    atomic_store(&l->done, true);
    return NULL;
}

/* An interrupt ends calls of all threads, those that wait for their turn too, and none that begins later. */
static void interrupts_end_all(void **state) {
    (void)state;
    static Long l[THREADS];
    pthread_t thread[THREADS];
    static float logits[TOKENS][VOCAB];
    Err err = {0};
    QmEngine *e = engine("1x1", 2, &err);
    for (int i = 0; i < THREADS; i++) {
        l[i] = (Long){.engine = e};
        assert_int_equal(pthread_create(&thread[i], NULL, run_long, &l[i]), 0);
    }
    for (bool all = false; !all;) {
        qm_interrupt(e);
        all = true;
        for (int i = 0; i < THREADS; i++) all &= atomic_load(&l[i].done);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(l[i].ok);
        assert_string_equal(l[i].err.text, "interrupted");
    }
    if (!say(e, 0, logits, &err)) fail_msg("%s", err.text);
    qm_engine_close(e);
}

/* ---- Tokenizer --------------------------------------------------------------------------------------------------- */

static const char text[] = "Grüße aus 日本: 3.14 <|im_start|> don't \n\n  spaces";

static void *spell(void *argument) {
    Err err = {0};
    bool *ok = argument;
    *ok = true;
    for (int i = 0; *ok && i < 8 * ROUNDS; i++) {
        int32_t *ids = NULL, *more = NULL;
        char *back = NULL;
        size_t bytes;
        static const char chat[] = "[{\"role\":\"user\",\"content\":\"hi\"}]";
        int64_t n = qm_tokenizer_encode(qwen, text, sizeof text - 1, true, &ids, &err);
        int64_t m = qm_tokenizer_chat(qwen, chat, sizeof chat - 1, true, &more, NULL, &err);
        *ok = n > 0 && m > 0 && (back = qm_tokenizer_decode(qwen, ids, n, false, &bytes, &err)) &&
              bytes == sizeof text - 1 && !memcmp(back, text, bytes);
        free(ids), free(more), free(back);
    }
    return NULL;
}

static void one_tokenizer(void **state) {
    (void)state;
    bool ok[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, spell, &ok[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) assert_true(ok[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_engine), cmocka_unit_test(engines_of_their_own), cmocka_unit_test(slots_of_all),
        cmocka_unit_test(interrupts_end_all),
        cmocka_unit_test_setup_teardown(one_tokenizer, open_qwen, close_qwen),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
