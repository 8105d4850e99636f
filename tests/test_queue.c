/* test_queue.c: who gets a slot when, and whose caches are kept: groups in turn, places in the queue, those that wait for
 * a prefix, deadlines and cancelling in the queue, in a prompt and in an answer, few rows of prompts beside answers, salts
 * and shares. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>
#include "../src/infer/prompt_shares.h"
#include "asking.h"

#define FEW "{\"max_new_tokens\": 3}"
#define SOME "{\"max_new_tokens\": 12}"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_for(double seconds) {
    struct timespec t = {0, (long)(seconds * 1e9)};
    nanosleep(&t, NULL);
}

/* One slot: six of a greedy group and two of another come in turn, whoever was first. */
static void groups_in_turn(void **state) {
    (void)state;
    static const int64_t group[8] = {7, 7, 7, 7, 7, 7, 9, 9}, place[8] = {1, 3, 5, 6, 7, 8, 2, 4};
    static Heard h[8];
    QmEngine *e = ask_open("1x1", 1, 16, 1);
    QmGenerator *g = ask_generator(e, NULL);
    for (int i = 0; i < 8; i++)
        ask(g, FEW, (QmRequest){.ids = ask_prompt(i), .count = 5, .group = (uint64_t)group[i]}, &h[i]);
    assert_int_equal(qm_generator_waiting(g), 8);
    for (int i = 0; i < 8; i++) assert_int_equal(qm_generator_position(g, h[i].number), place[i]);
    assert_int_equal(qm_generator_position(g, 1000), 0);
    ask_over = 0;
    ask_steps(g, 1);
    assert_int_equal(qm_generator_waiting(g), 7);
    assert_int_equal(qm_generator_position(g, h[0].number), 0);
    assert_int_equal(qm_generator_position(g, h[6].number), 1);
    ask_all(g);
    for (int i = 0; i < 8; i++) assert_int_equal(h[i].order, place[i]);
    qm_generator_free(g);
    qm_engine_close(e);
}

/* One that waits for a beginning that another feeds lets others pass, but not for ever. */
static void passed_by(void **state) {
    (void)state;
    static Heard first, waits, others[8];
    int32_t like[160];
    QmGenerator *g = ask_generator(ask_engine, NULL);
    memcpy(like, ask_prompt(0), sizeof like);
    like[110] = 5;
    ask(g, FEW, (QmRequest){.ids = ask_prompt(0), .count = 112}, &first);
    ask(g, FEW, (QmRequest){.ids = like, .count = 112}, &waits);
    for (int i = 0; i < 8; i++) ask(g, FEW, (QmRequest){.ids = ask_prompt(i + 1), .count = 4}, &others[i]);
    ask_all(g);
    assert_true(waits.reused >= 96);
    assert_true(others[0].taken < waits.taken && others[1].taken < waits.taken);
    assert_true(waits.taken < others[7].taken);
    qm_generator_free(g);
}

/* More samples than slots, and beams that need all of them, among others: none waits for ever. */
static void more_than_slots(void **state) {
    (void)state;
    static Heard h[12];
    static const char *const kinds[3] = {"{\"max_new_tokens\": 3, \"num_return_sequences\": 4, \"do_sample\": true, \"seed\": 2}",
                                         "{\"max_new_tokens\": 3, \"num_beams\": 4}", FEW};
    QmGenerator *g = ask_generator(ask_engine, NULL);
    for (int i = 0; i < 12; i++)
        ask(g, kinds[i % 3], (QmRequest){.ids = ask_prompt(i % 4), .count = 30, .group = (uint64_t)i % 2}, &h[i]);
    ask_all(g);
    for (int i = 0; i < 12; i++) assert_true(h[i].done == 1 && h[i].sequences == (i % 3 ? 1 : 4) && !h[i].failed.kind);
    qm_generator_free(g);
}

/* In the queue, in the prompt, in the answer: cancelled or late, it ends at the next step with what it has said, and its
 * neighbour says what it says alone. */
static void ends_anywhere(void **state) {
    (void)state;
    static Heard alone, neighbour, blocker[3], victim;
    QmGenerator *g = ask_generator(ask_engine, NULL);
    ask(g, SOME, (QmRequest){.ids = ask_prompt(1), .count = 20}, &alone);
    ask_all(g);
    for (int late = 0; late < 2; late++)
        for (int stage = 0; stage < 3; stage++) { /* queue, prompt, answer */
            int64_t length = stage == 1 ? 120 : 10;
            double end = late ? now() + 0.02 : 0;
            ask(g, SOME, (QmRequest){.ids = ask_prompt(1), .count = 20}, &neighbour);
            for (int i = 0; stage == 0 && i < 3; i++) ask(g, SOME, (QmRequest){.ids = ask_prompt(i + 2), .count = 9}, &blocker[i]);
            ask(g, "{\"max_new_tokens\": 100}", (QmRequest){.ids = ask_prompt(6), .count = length, .deadline = end}, &victim);
            while (stage == 2 ? victim.tokens < 2 : stage == 1 && neighbour.tokens < 1) ask_steps(g, 1);
            if (stage == 0) ask_steps(g, 1);
            assert_int_equal(qm_generator_waiting(g), stage == 0);
            if (late) sleep_for(0.025);
            else qm_generator_cancel(g, victim.number);
            ask_steps(g, 1);
            if (victim.done != 1) fail_msg("stage %d: it goes on", stage);
            assert_string_equal(victim.finish, late ? "time" : "interrupted");
            assert_string_equal(victim.ended, victim.finish);
            if (stage == 2) assert_true(victim.count[0] >= 2 && victim.count[0] < 100);
            else assert_int_equal(victim.count[0], 0);
            ask_all(g);
            assert_int_equal(neighbour.count[0], alone.count[0]);
            assert_memory_equal(neighbour.ids[0], alone.ids[0], sizeof alone.ids[0]);
        }
    qm_generator_free(g);
}

/* Samples that end early are an answer as far as they are; beams are none, and say why. */
static void searches_end_early(void **state) {
    (void)state;
    static Heard samples, beams;
    QmGenerator *g = ask_generator(ask_engine, NULL);
    ask(g, "{\"max_new_tokens\": 50, \"num_return_sequences\": 3, \"do_sample\": true, \"seed\": 1}",
        (QmRequest){.ids = ask_prompt(1), .count = 20}, &samples);
    ask_steps(g, 6);
    qm_generator_cancel(g, samples.number);
    ask_all(g);
    assert_true(samples.sequences == 3 && samples.count[0] > 0 && samples.count[0] < 50);
    assert_string_equal(samples.finish, "interrupted");
    ask(g, "{\"max_new_tokens\": 50, \"num_beams\": 3}", (QmRequest){.ids = ask_prompt(1), .count = 20}, &beams);
    ask_steps(g, 6);
    qm_generator_cancel(g, beams.number);
    ask_all(g);
    assert_true(beams.done == 1 && beams.sequences == 0 && !beams.failed.kind);
    assert_string_equal(beams.ended, "interrupted");
    qm_generator_free(g);
}

/* The fewer rows of a prompt a step may have, the more the other says meanwhile; both say the same. */
static void few_rows_of_prompts(void **state) {
    (void)state;
    static const int64_t caps[4] = {0, 1, 5, 1000};
    static Heard talks, reads, want[2];
    for (int i = 0; i < 4; i++) {
        QmGenerator *g = ask_generator(ask_engine, NULL);
        qm_generator_prefill_rows(g, caps[i]);
        ask(g, "{\"max_new_tokens\": 140}", (QmRequest){.ids = ask_prompt(1), .count = 10}, &talks);
        ask_steps(g, 3);
        ask(g, FEW, (QmRequest){.ids = ask_prompt(2), .count = 120}, &reads);
        int64_t before = talks.tokens, rows = caps[i] == 0 || caps[i] > 15 ? 15 : caps[i];
        while (!reads.tokens) ask_steps(g, 1);
        assert_int_equal(talks.tokens - before, (120 + rows - 1) / rows);
        ask_all(g);
        if (i == 0) want[0] = talks, want[1] = reads;
        assert_memory_equal(talks.ids, want[0].ids, sizeof talks.ids);
        assert_memory_equal(reads.ids, want[1].ids, sizeof reads.ids);
        qm_generator_free(g);
    }
}

/* Half of the rows to the earliest, the others to the shortest; all are given as long as anybody needs some. */
static void rows_are_dealt(void **state) {
    (void)state;
    static const struct { int64_t rows, left[4], given[4]; } dealt[] = {
        {32, {100, 0}, {32, 0}},          {32, {100, 100, 100}, {32, 0, 0}}, {32, {100, 10, 20}, {16, 10, 6}},
        {33, {100, 8, 8, 30}, {17, 8, 8}}, {32, {10, 50, 9}, {10, 13, 9}},    {128, {10, 50, 9}, {10, 50, 9}},
        {1, {100, 1}, {1, 0}},            {0, {100, 1}, {1, 0}},             {2, {100, 1}, {1, 1}},
        {-5, {7}, {1}},                   {32, {20, 30, 30}, {20, 12, 0}},   {32, {90, 80, 5}, {27, 0, 5}}};
    for (size_t i = 0; i < sizeof dealt / sizeof *dealt; i++) {
        PromptShare list[4];
        int count = 0;
        for (; count < 4 && dealt[i].left[count]; count++) list[count] = (PromptShare){.left = dealt[i].left[count]};
        prompt_shares(list, count, dealt[i].rows);
        for (int k = 0; k < count; k++)
            if (list[k].rows != dealt[i].given[k])
                fail_msg("case %zu, prompt %d: expected %d rows, got %d", i, k, (int)dealt[i].given[k], (int)list[k].rows);
    }
    prompt_shares(NULL, 0, 5);
    for (int i = 0; i < 1000; i++) {
        PromptShare list[6];
        int count = 1 + (int)random_below(6);
        int64_t rows = 1 + random_below(64), all = 0, given = 0;
        for (int k = 0; k < count; k++) all += (list[k] = (PromptShare){.left = 1 + random_below(40)}).left;
        prompt_shares(list, count, rows);
        for (int k = 0; k < count; k++) {
            assert_true(list[k].rows >= 0 && list[k].rows <= list[k].left);
            given += list[k].rows;
        }
        assert_int_equal(given, all < rows ? all : rows);
        assert_true(list->rows == list->left || list->rows >= (rows + 1) / 2);
    }
}

/* Where nobody said how many: 32 rows of prompts, and 4 for each of more than 8 that decode. */
static void rows_by_default(void **state) {
    (void)state;
    static Heard talks[10], reads, want;
    QmEngine *e = ask_open("1x1", 11, 128, 1);
    for (int i = 0; i < 3; i++) {
        int talkers = i ? 10 : 1, steps = 0;
        QmGenerator *g = ask_generator(e, NULL);
        if (i == 2) qm_generator_prefill_rows(g, 3), qm_generator_prefill_rows(g, -1);
        for (int k = 0; k < talkers; k++)
            ask(g, "{\"max_new_tokens\": 40}", (QmRequest){.ids = ask_prompt(k + 3), .count = 9}, &talks[k]);
        ask_steps(g, 2);
        ask(g, FEW, (QmRequest){.ids = ask_prompt(2), .count = 120}, &reads);
        for (; !reads.tokens; steps++) ask_steps(g, 1);
        assert_int_equal(steps, i ? 3 : 4);
        ask_all(g);
        if (i == 0) want = reads;
        assert_memory_equal(reads.ids, want.ids, sizeof reads.ids);
        qm_generator_free(g);
    }
    qm_engine_close(e);
}

/* A short prompt does not wait for a long one before it; and however many short ones come, they leave the long one half. */
static void short_beside_long(void **state) {
    (void)state;
    static Heard talks, long_one, short_one;
    QmGenerator *g = ask_generator(ask_engine, NULL);
    qm_generator_prefill_rows(g, 8);
    ask(g, "{\"max_new_tokens\": 140}", (QmRequest){.ids = ask_prompt(1), .count = 10}, &talks);
    ask_steps(g, 2);
    ask(g, FEW, (QmRequest){.ids = ask_prompt(2), .count = 120}, &long_one);
    int steps = 0, came = 0;
    for (; !long_one.tokens; steps++) {
        if (came == 0 || short_one.done)
            ask(g, "{\"max_new_tokens\": 1}", (QmRequest){.ids = ask_prompt(3 + came++), .count = 12}, &short_one);
        ask_steps(g, 1);
        if (steps < 2) assert_int_equal(short_one.done, 0);
        if (steps == 2) assert_int_equal(short_one.done, 1);
    }
    assert_int_equal(steps, 29); /* 4 rows each, and 8 in the last, when it is the shorter one */
    assert_int_equal(came, 10);
    ask_all(g);
    qm_generator_free(g);
}

/* A prefix is reused within a salt alone; and a beam's copies have their request's. */
static void salts(void **state) {
    (void)state;
    static const struct { uint64_t salt; int64_t reused; const char *json; } asked[] = {
        {1, 0, FEW}, {2, 0, FEW}, {1, 39, FEW}, {2, 39, "{\"max_new_tokens\": 3, \"num_beams\": 2}"}, {3, 0, FEW},
        {0, 0, FEW}, {0, 39, FEW}};
    static Heard h, want;
    QmGenerator *g = ask_generator(ask_engine, NULL);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        ask(g, asked[i].json, (QmRequest){.ids = ask_prompt(3), .count = 40, .salt = asked[i].salt}, &h);
        ask_all(g);
        if (i == 0) want = h;
        if (h.reused != asked[i].reused) fail_msg("request %zu: %lld ids reused", i, (long long)h.reused);
        if (i != 3) assert_memory_equal(h.ids, want.ids, sizeof h.ids);
    }
    /* at the same time: one may wait for the other's, if it may have it */
    static Heard pair[2];
    for (int same = 0; same < 2; same++) {
        for (int i = 0; i < 2; i++)
            ask(g, FEW, (QmRequest){.ids = ask_prompt(4 + same), .count = 60, .salt = (uint64_t)(10 + 2 * same + i * !same)},
                &pair[i]);
        Err err = {0};
        if (!qm_generator_step(g, &err)) fail_msg("%s", err.text);
        assert_int_equal(qm_generator_waiting(g), same); /* nor does it wait for what it may not have: time would tell */
        ask_all(g);
        assert_true(same ? pair[1].reused >= 48 : pair[1].reused == 0);
    }
    qm_generator_free(g);
}

/* Who floods the slots with beginnings evicts his own, not another's. */
static void shares(void **state) {
    (void)state;
    static Heard h;
    QmGenerator *g = ask_generator(ask_engine, NULL);
    for (int i = 0; i < 20; i++) {
        ask(g, FEW, (QmRequest){.ids = ask_prompt(i == 1 ? 40 : i), .count = 30 + i, .group = 1 + (i == 1)}, &h);
        ask_all(g);
    }
    ask(g, FEW, (QmRequest){.ids = ask_prompt(40), .count = 31, .group = 2}, &h);
    ask_all(g);
    assert_int_equal(h.reused, 30);
    qm_generator_free(g);
}

/* ---- Many threads ------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 12 };
typedef struct Client { QmGenerator *generator; int number; Heard heard[EACH]; atomic_int over; } Client;
static Client client[THREADS];
static atomic_int asked_all;

static void *ask_and_cancel(void *argument) {
    Client *c = argument;
    for (int i = 0; i < EACH; i++) {
        ask(c->generator, i % 3 ? FEW : SOME, (QmRequest){.ids = ask_prompt(c->number), .count = 20, .group = (uint64_t)c->number,
            .salt = (uint64_t)(i % 2), .deadline = i % 5 == 4 ? now() + 0.001 : 0}, &c->heard[i]);
        if (i % 4 == 3) qm_generator_cancel(c->generator, c->heard[i].number);
        (void)qm_generator_position(c->generator, c->heard[i].number);
        (void)qm_generator_waiting(c->generator);
        qm_generator_prefill_rows(c->generator, i);
    }
    atomic_fetch_add(&asked_all, 1);
    return NULL;
}

static void many_threads(void **state) {
    (void)state;
    pthread_t thread[THREADS];
    QmGenerator *g = ask_generator(ask_engine, NULL);
    for (int i = 0; i < THREADS; i++) {
        client[i].generator = g;
        client[i].number = i;
        assert_int_equal(pthread_create(&thread[i], NULL, ask_and_cancel, &client[i]), 0);
    }
    while (atomic_load(&asked_all) < THREADS || qm_generator_busy(g)) {
        qm_generator_wait(g, 0.01);
        ask_all(g);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < EACH; k++) assert_true(client[i].heard[k].done == 1 && !client[i].heard[k].failed.kind);
    qm_generator_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_in_turn),     cmocka_unit_test(passed_by), cmocka_unit_test(more_than_slots),
        cmocka_unit_test(ends_anywhere),      cmocka_unit_test(searches_end_early),
        cmocka_unit_test(few_rows_of_prompts), cmocka_unit_test(rows_are_dealt), cmocka_unit_test(rows_by_default),
        cmocka_unit_test(short_beside_long),  cmocka_unit_test(salts),    cmocka_unit_test(shares),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, ask_begin, ask_end);
}
