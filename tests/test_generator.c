/* test_generator.c: generation through qwenmesh.h alone: what a request says is the same alone, among others, beside
 * searches, with neighbours that are cancelled, and when another thread adds them; sessions know their ids. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fixture.h"

enum { KINDS = 7, MOST_IDS = 400, PROMPT = 30 };
static const char *const kinds[KINDS] = {
    "{\"max_new_tokens\": 20}",
    "{\"max_new_tokens\": 24, \"do_sample\": true, \"seed\": 5, \"temperature\": 1.5, \"logprobs\": 2}",
    "{\"max_new_tokens\": 12, \"num_beams\": 3, \"num_return_sequences\": 2}",
    "{\"max_new_tokens\": 10, \"do_sample\": true, \"num_return_sequences\": 3, \"seed\": 9}",
    "{\"max_new_tokens\": 14, \"penalty_alpha\": 0.6, \"top_k\": 3}",
    "{\"max_new_tokens\": 30, \"prompt_lookup_num_tokens\": 4}",
    "{\"max_new_tokens\": 16, \"regex\": \"[a-z]{12}\"}",
};

static QmEngine *engine;
static QmTokenizer *tokenizer;
static QmSource *source;

static int open_all(void **state) {
    QmErr err = {0};
    (void)state;
    QmEngineOptions o;
    qm_engine_options(&o);
    o.model = "tests/golden/tiny", o.slots = 8, o.context = 128, o.rows = 16, o.threads = 2, o.hidden = true;
    source = qm_source_open(o.model, &err);
    engine = qm_engine_open(&o, &err);
    tokenizer = qm_tokenizer_open("tests/data/bytes", &err);
    if (err.kind) fprintf(stderr, "%s\n", err.text);
    return err.kind ? -1 : 0;
}

static int close_all(void **state) {
    (void)state;
    qm_tokenizer_close(tokenizer);
    qm_engine_close(engine);
    qm_source_close(source);
    return 0;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

typedef struct Heard {
    int64_t count, sequences, tokens, done;
    int32_t ids[MOST_IDS];
    float logprobs[MOST_IDS];
    char text[2048], finish[20];
    size_t bytes, streamed;
    QmErr failed;
    int64_t stop_after; /* tokens; 0: none */
} Heard;

static bool on_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Heard *h = owner;
    assert_true(request > 0 && id >= -1 && h->streamed + bytes < sizeof h->text);
    memcpy(h->text + h->streamed, text, bytes);
    h->streamed += bytes;
    return ++h->tokens != h->stop_after;
}

static void on_done(void *owner, const QmAnswer *a) {
    Heard *h = owner;
    h->done++;
    h->sequences = a->count;
    if (a->failed) h->failed = *a->failed;
    for (int64_t i = 0; i < a->count; i++) {
        const QmSequence *s = &a->sequences[i];
        assert_true(s->finish && h->count + s->count <= MOST_IDS);
        for (int64_t t = 0; t < s->count; t++) {
            if (s->logprobs) h->logprobs[h->count] = s->logprobs[t * (1 + s->alternatives)].logprob;
            h->ids[h->count++] = s->ids[t];
        }
    }
    if (a->count) snprintf(h->finish, sizeof h->finish, "%s", a->sequences->finish);
    if (a->count && h->streamed) assert_memory_equal(h->text, a->sequences->text, h->streamed);
    if (a->count) h->bytes = a->sequences->bytes;
}

static int64_t ask(QmGenerator *g, int kind, Heard *h) {
    QmErr err = {0};
    int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) ids[i] = (i < 20 ? i * 7 : i * 3 + kind) % 500; /* they begin alike */
    QmParameters *p = qm_parameters_new(source, &err);
    assert_true(p && qm_parameters_set(p, kinds[kind], strlen(kinds[kind]), &err));
    QmRequest r = {.size = sizeof r, .ids = ids, .count = PROMPT, .parameters = p, .sequence = 3,
                   .sink = {.owner = h, .token = on_token, .done = on_done}};
    int64_t number = qm_generator_add(g, &r, &err);
    if (!number) fail_msg("%s: %s", kinds[kind], err.text);
    qm_parameters_free(p);
    return number;
}

static void run(QmGenerator *g) {
    QmErr err = {0};
    while (qm_generator_busy(g))
        if (!qm_generator_step(g, &err)) fail_msg("%s", err.text);
}

static QmGenerator *generator(void) {
    QmErr err = {0};
    QmGenerator *g = qm_generator_new(engine, tokenizer, NULL, &err);
    if (!g) fail_msg("%s", err.text);
    return g;
}

static Heard alone[KINDS];

static void same(const char *what, const Heard *a, const Heard *b) {
    if (a->count != b->count || a->sequences != b->sequences || strcmp(a->finish, b->finish) ||
        memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids) ||
        memcmp(a->logprobs, b->logprobs, (size_t)a->count * sizeof *a->logprobs) || a->streamed != b->streamed ||
        memcmp(a->text, b->text, a->streamed))
        fail_msg("%s: other than alone", what);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void alone_and_together(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        QmGenerator *g = generator();
        ask(g, k, &alone[k]);
        run(g);
        qm_generator_free(g);
        assert_true(alone[k].done == 1 && !alone[k].failed.kind && alone[k].count > 0);
    }
    assert_int_equal(alone[2].sequences, 2);
    assert_int_equal(alone[3].sequences, 3);
    assert_true(alone[1].logprobs[0] < 0);
    assert_int_equal(alone[6].bytes, 12);
    QmGenerator *g = generator();
    Heard all[2 * KINDS] = {0};
    for (int k = 0; k < 2 * KINDS; k++) ask(g, k % KINDS, &all[k]);
    run(g);
    for (int k = 0; k < 2 * KINDS; k++) same(kinds[k % KINDS], &all[k], &alone[k % KINDS]);
    qm_generator_free(g);
}

/* Whichever request is cancelled, and whenever: it ends, the others do not change by a bit. */
static void cancelled(void **state) {
    (void)state;
    for (int victim = 0; victim < KINDS; victim++)
        for (int after = 0; after < 9; after += 4) {
            QmGenerator *g = generator();
            QmErr err = {0};
            Heard all[KINDS] = {0};
            int64_t number = 0;
            for (int k = 0; k < KINDS; k++) {
                int64_t n = ask(g, k, &all[k]);
                if (k == victim) number = n;
            }
            for (int i = 0; i < after; i++) assert_true(qm_generator_step(g, &err));
            qm_generator_cancel(g, number);
            qm_generator_cancel(g, 1000); /* there is none */
            run(g);
            for (int k = 0; k < KINDS; k++) {
                assert_int_equal(all[k].done, 1);
                if (k != victim) same(kinds[k], &all[k], &alone[k]);
            }
            assert_true(all[victim].count <= alone[victim].count);
            if (victim < 2) {
                assert_string_equal(all[victim].finish, "interrupted");
                assert_memory_equal(all[victim].ids, alone[victim].ids, (size_t)all[victim].count * sizeof(int32_t));
            }
            qm_generator_free(g);
        }
}

static void enough_is_enough(void **state) {
    (void)state;
    QmGenerator *g = generator();
    Heard one = {.stop_after = 3};
    ask(g, 0, &one);
    run(g);
    qm_generator_free(g);
    assert_true(one.count == 3 && one.done == 1);
    assert_string_equal(one.finish, "interrupted");
    assert_memory_equal(one.ids, alone[0].ids, 3 * sizeof(int32_t));
}

typedef struct Adder { QmGenerator *generator; Heard heard[3 * KINDS]; atomic_bool over; } Adder;

static void *add_all(void *argument) {
    Adder *a = argument;
    for (int i = 0; i < 3 * KINDS; i++) ask(a->generator, i % KINDS, &a->heard[i]);
    atomic_store(&a->over, true);
    return NULL;
}

/* A server's way: one thread steps and waits when idle, another adds. */
static void added_by_another_thread(void **state) {
    (void)state;
    static Adder a;
    pthread_t thread;
    a.generator = generator();
    assert_int_equal(pthread_create(&thread, NULL, add_all, &a), 0);
    while (!atomic_load(&a.over) || qm_generator_busy(a.generator)) {
        qm_generator_wait(a.generator, 0.01);
        run(a.generator);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < 3 * KINDS; i++) same(kinds[i % KINDS], &a.heard[i], &alone[i % KINDS]);
    qm_generator_free(a.generator);
}

static void unfinished_are_told(void **state) {
    (void)state;
    QmGenerator *g = generator();
    QmErr err = {0};
    Heard all[KINDS] = {0};
    for (int k = 0; k < KINDS; k++) ask(g, k, &all[k]);
    for (int i = 0; i < 3; i++) assert_true(qm_generator_step(g, &err));
    qm_generator_free(g);
    for (int k = 0; k < KINDS; k++) assert_true(all[k].done == 1 && all[k].failed.kind == QM_INTERRUPTED);
    QmSession *s = qm_session_new(engine, &err); /* the slots are free again */
    assert_non_null(s);
    qm_session_free(s);
}

static void bad_requests(void **state) {
    (void)state;
    static const struct { const char *json; int32_t id; int64_t count; QmErrKind kind; } cases[] = {
        {"{}", 100000, 3, QM_INPUT}, {"{}", 3, 129, QM_LIMIT}, {"{}", 3, 0, QM_INPUT},
        {"{\"num_beams\": 100}", 3, 3, QM_LIMIT}, {"{\"max_new_tokens\": 1e99}", 3, 3, QM_INPUT},
        {"{\"temprature\": 1}", 3, 3, QM_INPUT}, {"[1]", 3, 3, QM_INPUT}, {"{", 3, 3, QM_INPUT},
    };
    QmGenerator *g = generator();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        QmErr err = {0};
        Heard h = {0};
        int32_t ids[129];
        for (int t = 0; t < 129; t++) ids[t] = cases[i].id;
        QmParameters *p = qm_parameters_new(source, &err);
        QmRequest r = {.size = sizeof r, .ids = ids, .count = cases[i].count, .parameters = p,
                       .sink = {.owner = &h, .done = on_done}};
        bool set = qm_parameters_set(p, cases[i].json, strlen(cases[i].json), &err);
        if (set && qm_generator_add(g, &r, &err)) fail_msg("%s: taken", cases[i].json);
        if (err.kind != cases[i].kind) fail_msg("%s: kind %d: %s", cases[i].json, err.kind, err.text);
        assert_int_equal(h.done, 0);
        qm_parameters_free(p);
    }
    assert_false(qm_generator_busy(g));
    qm_generator_free(g);
}

static bool say(void *owner, const char *text, size_t bytes) {
    Heard *h = owner;
    memcpy(h->text + h->streamed, text, bytes);
    h->streamed += bytes;
    return true;
}

static void one_call(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        QmErr err = {0};
        Heard h = {0};
        int32_t ids[PROMPT];
        for (int i = 0; i < PROMPT; i++) ids[i] = (i < 20 ? i * 7 : i * 3 + k) % 500;
        QmParameters *p = qm_parameters_new(source, &err), *copy = qm_parameters_copy(p, &err);
        assert_true(qm_parameters_set(copy, kinds[k], strlen(kinds[k]), &err));
        char *text = qm_parameters_text(copy, &err);
        assert_non_null(strstr(text, "max_new_tokens"));
        assert_true(qm_parameters_slots(copy) == (k == 2 || k == 4 ? 3 : k == 3 ? 2 : 1));
        assert_true(qm_parameters_hidden(copy) == (k == 4));
        if (!qm_generate(engine, tokenizer, ids, PROMPT, false, copy, say, &h, &err)) fail_msg("%s", err.text);
        if (k != 1 && k != 3) assert_int_equal(h.streamed, alone[k].bytes); /* those draw by another number */
        free(text);
        qm_parameters_free(p);
        qm_parameters_free(copy);
    }
}

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

static void sessions_know_their_ids(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[40], other[40], turned[8] = {9, 8, 7, 6, 5, 4, 3, 2}, positions[8] = {0, 1, 2, 3, 9, 9, 9, 9};
    for (int i = 0; i < 40; i++) ids[i] = i * 5, other[i] = i < 25 ? i * 5 : 1;
    QmSession *s = qm_session_new(engine, &err), *copy = qm_session_new(engine, &err);
    assert_true(qm_forward(engine, &(QmAppend){.session = s, .tokens = ids, .count = 40}, 1, &err));
    assert_true(qm_session_copy(copy, s, 33, &err));
    assert_int_equal(qm_session_sync(s, ids, 40), 40);
    assert_int_equal(qm_session_sync(s, other, 39), 25);
    assert_int_equal(qm_session_length(s), 25);
    assert_int_equal(qm_session_sync(s, ids, 10), 10);
    assert_int_equal(qm_session_sync(copy, ids, 40), 33);
    assert_int_equal(qm_session_sync(copy, other + 1, 30), 0);
    /* keys at positions of their own are no beginning of anything */
    assert_true(qm_forward(engine, &(QmAppend){.session = copy, .tokens = turned, .count = 8, .positions = positions},
                           1, &err));
    assert_int_equal(qm_session_sync(copy, turned, 8), 4);
    qm_session_free(s);
    qm_session_free(copy);
}

typedef struct Canceller { QmSession *session; atomic_bool over; } Canceller;

static void *cancel(void *argument) {
    Canceller *c = argument;
    while (!atomic_load(&c->over)) qm_session_cancel(c->session);
    return NULL;
}

/* A forward over a cancelled session ends; one over others does not. */
static void cancelled_sessions(void **state) {
    (void)state;
    QmErr err = {0}, none = {0};
    int32_t ids[120] = {0};
    QmSession *other = qm_session_new(engine, &err);
    Canceller c = {.session = qm_session_new(engine, &err)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel, &c), 0);
    while (qm_forward(engine, &(QmAppend){.session = c.session, .tokens = ids, .count = 120}, 1, &err))
        assert_true(qm_session_crop(c.session, 0, &err));
    for (int i = 0; i < 5; i++) {
        assert_true(qm_forward(engine, &(QmAppend){.session = other, .tokens = ids, .count = 120}, 1, &none));
        assert_true(qm_session_crop(other, 0, &none));
    }
    atomic_store(&c.over, true);
    pthread_join(thread, NULL);
    assert_int_equal(err.kind, QM_INTERRUPTED);
    assert_int_equal(qm_session_length(c.session), 0);
    qm_session_free(c.session);
    qm_session_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_and_together), cmocka_unit_test(cancelled),          cmocka_unit_test(enough_is_enough),
        cmocka_unit_test(added_by_another_thread), cmocka_unit_test(unfinished_are_told),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(one_call), cmocka_unit_test(sessions_know_their_ids), cmocka_unit_test(cancelled_sessions),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
