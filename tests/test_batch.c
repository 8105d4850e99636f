/* test_batch.c: continuous batching: what a sequence says does not depend on slots, rows, neighbours or a reused
 * cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "at_path.h"
#include "drive.h"

enum { ITEMS = 13, NEW = 9, CONTEXT = 96, VOCAB = 128 };

typedef struct Run {
    Request item[ITEMS];
    int64_t next, done, dropped, stop_after, fail_after;
    bool fail_next;
} Run;

static bool next(void *user, Request **item, Err *err) {
    Run *r = user;
    if (r->fail_next && r->next == 5) return err_set(err, "no more of these");
    if (r->next < ITEMS) *item = &r->item[r->next++];
    return true;
}
static bool done(void *user, Request *item, Err *err) {
    Run *r = user;
    if (!item->g.finish) fail_msg("%s", item->failed.text);
    assert_true(item->taken <= item->first && item->first <= item->ended);
    if (++r->done == r->fail_after) return err_set(err, "the disk is full");
    return true;
}
static void drop(void *user, Request *item) {
    Run *r = user;
    assert_true(!item->g.finish || item->g.count == item->g.prompt); /* one was asked for nothing */
    r->dropped++;
}
static bool stop(void *user) {
    Run *r = user;
    return r->stop_after && r->done >= r->stop_after;
}
static const DriveCalls calls_of = {.next = next, .done = done, .drop = drop, .stop = stop};

/* Prompts of 1 to 61 tokens; three in a row begin alike, so that a slot may hold their start. Some are drawn,
 * one is given no tokens to say, one runs into the end of the context. */
static void fill_run(Run *r) {
    Err err = {0};
    *r = (Run){0};
    for (int i = 0; i < ITEMS; i++) {
        int32_t ids[CONTEXT];
        int64_t n = i == 5 ? CONTEXT - 3 : 1 + i * 5;
        for (int64_t t = 0; t < n; t++) ids[t] = (int32_t)(i / 3 * 31 + t * 7 + (t > 20 ? i : 0)) % VOCAB;
        GenerationConfig c;
        assert_true(defaults_at(&c, "tests/golden/tiny", &err));
        c.eos_count = 0;
        c.max_new_tokens = i == 7 ? 0 : NEW;
        c.do_sample = i % 2;
        c.temperature = 1;
        c.seed = 5;
        c.repetition_penalty = i == 4 ? 1.3 : 1;
        assert_true(generation_start(&r->item[i].g, &c, NULL, ids, n, &err));
        generation_config_free(&c);
        r->item[i].sequence = (uint64_t)i;
    }
}

static void free_run(Run *r) {
    for (int i = 0; i < ITEMS; i++) generation_free(&r->item[i].g);
}

static QmEngine *engine_of(const char *model, const char *mesh, int slots, int rows) {
    QmErr err = {0};
    QmEngineOptions o = {
        .size = sizeof o, .model = model, .mesh = mesh, .threads = 2, .slots = slots, .context = CONTEXT, .rows = rows};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    return e;
}

static bool run_on(QmEngine *e, Run *r, SchedulerStats *stats, Err *err) {
    DriveCalls calls = calls_of;
    calls.user = r;
    return drive_many(e, &calls, stats, err);
}

static void same_anywhere(const char *model, bool reuses) {
    static const struct { const char *mesh; int slots, rows; } cases[] = {
        {"1x1", 4, 16}, {"2x4", 8, 3}, {"1x3", 13, 1}, {"dp2,tp2", 5, 64}, {"1x1", 1, 128}};
    Run want, got;
    Err err = {0};
    SchedulerStats stats;
    fill_run(&want);
    for (int i = 0; i < ITEMS; i++) { /* alone, in an engine of its own */
        QmEngine *e = engine_of(model, "1x1", 1, 128);
        want.next = i;
        DriveCalls calls = calls_of;
        calls.user = &want;
        Run one = {.next = ITEMS - 1};
        one.item[ITEMS - 1] = want.item[i];
        calls.user = &one;
        if (!drive_many(e, &calls, NULL, &err)) fail_msg("%s", err.text);
        want.item[i] = one.item[ITEMS - 1];
        qm_engine_close(e);
    }
    assert_int_equal(want.item[5].g.count, CONTEXT + 1);
    assert_string_equal(want.item[5].g.finish, "length");
    assert_int_equal(want.item[7].g.count, want.item[7].g.prompt);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        QmEngine *e = engine_of(model, cases[c].mesh, cases[c].slots, cases[c].rows);
        fill_run(&got);
        if (!run_on(e, &got, &stats, &err)) fail_msg("%s", err.text);
        assert_int_equal(got.done, ITEMS);
        assert_int_equal(got.dropped, 0);
        int64_t reused = 0, prompts = 0, new = 0;
        for (int i = 0; i < ITEMS; i++) {
            const Generation *a = &want.item[i].g, *b = &got.item[i].g;
            if (a->count != b->count || memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids))
                fail_msg("%s: mesh %s, %d slots, %d rows: sequence %d differs", model, cases[c].mesh, cases[c].slots,
                         cases[c].rows, i);
            reused += got.item[i].reused;
            if (i != 7) prompts += b->prompt, new += b->count - b->prompt;
        }
        assert_int_equal(stats.reused, reused);
        assert_int_equal(stats.prompt + stats.reused, prompts);
        assert_int_equal(stats.decoded, new - (ITEMS - 1)); /* the last token of each is not fed */
        if (!reuses) assert_int_equal(reused, 0);
        else if (cases[c].slots == 1) assert_true(reused >= 21);
        QmSession *s = qm_session_new(e, &err); /* the slots are free again */
        assert_non_null(s);
        qm_session_free(s);
        free_run(&got);
        qm_engine_close(e);
    }
    free_run(&want);
}

static void same_tiny(void **state) { (void)state; same_anywhere("tests/golden/tiny", true); }
/* Rotary frequencies that go by the length: the start of another sequence must not be taken over. */
static void same_dynamic(void **state) { (void)state; same_anywhere("tests/golden/dynamic", false); }

/* Prompts that begin alike are copied into each slot once; after that a slot goes on from what it holds, though a
 * running neighbour may by chance share a few ids more. */
static void copies_once(void **state) {
    (void)state;
    enum { SLOTS = 4, SHARED = 40 };
    Run r = {0};
    Err err = {0};
    SchedulerStats stats;
    QmEngine *e = engine_of("tests/golden/tiny", "1x1", SLOTS, 64);
    GenerationConfig c;
    assert_true(defaults_at(&c, "tests/golden/tiny", &err));
    c.eos_count = 0;
    for (int i = 0; i < ITEMS; i++) {
        int32_t ids[SHARED + 10];
        for (int t = 0; t < SHARED + 10; t++)
            ids[t] = t < SHARED ? t * 3 : t < SHARED + 3 + i % 2 ? 7 : i * 10 + t % 10;
        c.max_new_tokens = 3 + i % 5;
        assert_true(generation_start(&r.item[i].g, &c, NULL, ids, SHARED + 10, &err));
    }
    generation_config_free(&c);
    if (!run_on(e, &r, &stats, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.done, ITEMS);
    assert_true(stats.copied >= (SLOTS - 1) * SHARED && stats.copied <= (SLOTS - 1) * (SHARED + 10));
    assert_true(stats.reused >= (ITEMS - 1) * SHARED);
    free_run(&r);
    qm_engine_close(e);
}

static void ends_early(void **state) {
    (void)state;
    Run r;
    QmEngine *e = engine_of("tests/golden/tiny", "1x1", 4, 16);
    for (int kind = 0; kind < 4; kind++) {
        Err err = {0};
        SchedulerStats stats = {0};
        fill_run(&r);
        r.fail_next = kind == 0;
        r.fail_after = kind == 1 ? 3 : 0;
        r.stop_after = kind == 2 ? 3 : 0;
        if (kind == 3) r.item[2].g.ids[0] = 1 << 30; /* outside the vocabulary: found by the engine */
        assert_false(run_on(e, &r, &stats, &err));
        static const char *const why[] = {"no more of these", "the disk is full", "interrupted", "vocabulary"};
        if (!strstr(err.text, why[kind])) fail_msg("expected '%s', got '%s'", why[kind], err.text);
        assert_int_equal(r.done + r.dropped, r.next); /* every one comes back, once */
        assert_true(r.dropped >= 1);
        free_run(&r);
        Run again;
        Err none = {0};
        fill_run(&again);
        if (!run_on(e, &again, NULL, &none)) fail_msg("%s", none.text);
        assert_int_equal(again.done, ITEMS);
        free_run(&again);
    }
    QmErr err = {0};
    QmSession *held[4];
    for (int i = 0; i < 4; i++) assert_non_null(held[i] = qm_session_new(e, &err));
    fill_run(&r);
    assert_false(run_on(e, &r, NULL, &err));
    assert_non_null(strstr(err.text, "all 4 slots are taken"));
    qm_session_free(held[2]);
    QmErr none = {0};
    assert_true(run_on(e, &r, NULL, &none)); /* with the one that is free */
    free_run(&r);
    for (int i = 0; i < 4; i++)
        if (i != 2) qm_session_free(held[i]);
    qm_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_tiny),
        cmocka_unit_test(same_dynamic),
        cmocka_unit_test(copies_once),
        cmocka_unit_test(ends_early),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
