/* test_train_loop.c: the steps of a run with a model that counts: which rows each has, what stands between them, that a
 * run which was stopped anywhere and goes on tells what one that was not does, and what its log keeps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/base/watch.h"
#include "../src/io/json.h"
#include "../src/train/train_log.h"
#include "fixture.h"

/* ---- A model of one number --------------------------------------------------------------------------------------- */

enum { ROWS = 11, EVAL_ROWS = 3, NO_STEP = -1 };

/* Its weight moves by what rows and rates say; `told` has every event as the log would, without times. */
typedef struct Fake {
    double weight, saved_weight;
    int64_t interrupt_in, nan_at, outlier_at, evaluations, stop_after, saves, lost_from, bad_save_at;
    LoopState saved;
    Text told;
    TrainRow row;
    const TrainOptions *options;
} Fake;

static Fake fake;

static bool fake_step(void *owner, const TrainRow *rows, int64_t count, const StepNumbers *n, StepResult *r, Err *err) {
    Fake *f = owner;
    if (f->interrupt_in == n->step) return err_as(err, QM_INTERRUPTED, "interrupted");
    double gradient = 0;
    for (int64_t i = 0; i < count; i++)
        gradient += (double)rows[i].tokens / (double)(i + 3), r->tokens += rows[i].tokens, r->labels += rows[i].labels;
    *r = (StepResult){.loss = f->weight + gradient, .grad_norm = gradient, .labels = r->labels, .tokens = r->tokens};
    if (n->step == f->nan_at || (f->lost_from && n->step >= f->lost_from)) r->loss = NAN;
    if (n->step == f->outlier_at) r->grad_norm *= 100;
    r->skipped = !isfinite(r->loss) || (n->skip_norm > 0 && r->grad_norm > n->skip_norm) ||
                 (n->skip_loss > 0 && r->loss > n->skip_loss);
    if (!r->skipped) f->weight -= n->learning_rate * gradient;
    return true;
}

static bool fake_evaluate(void *owner, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err) {
    Fake *f = owner;
    (void)rows, (void)err;
    f->evaluations++;
    *loss = (double)count * (f->weight * f->weight + 1);
    *labels = count;
    return true;
}

static const TrainRow *fake_row(void *owner, int64_t epoch, int64_t index, Err *err) {
    Fake *f = owner;
    (void)err;
    assert_in_range(index, 0, ROWS - 1);
    f->row = (TrainRow){.tokens = 1 + (index + 5 * epoch) % ROWS, .labels = 1 + index, .count = 1};
    return &f->row;
}

static const TrainRow *fake_eval_row(void *owner, int64_t index, Err *err) {
    (void)err;
    assert_in_range(index, 0, EVAL_ROWS - 1);
    return fake_row(owner, 0, index, err);
}

static bool fake_save(void *owner, const LoopState *state, Err *err) {
    Fake *f = owner;
    if (state->step == f->bad_save_at) return err_as(err, QM_IO, "the disk is full");
    /* Through what a file would hold. */
    json_t *json = loop_state_json(state, err);
    assert_non_null(json);
    char *text = json_dump(json, JSON_COMPACT, "state", err);
    json_t *back = json_text(text, strlen(text), "state", err);
    if (!loop_state_read(&f->saved, back, "state", err)) fail_msg("%s", err->text);
    json_decref(json), json_decref(back), free(text);
    f->saved_weight = f->weight;
    f->saves++;
    return true;
}

static bool fake_tell(void *owner, const TrainEvent *event, Err *err) {
    Fake *f = owner;
    TrainEvent e = *event;
    (void)err;
    e.seconds = 0;
    if (train_log_line(&e, &f->told)) text_add(&f->told, "\n", 1);
    return true;
}

/* Whether it has been asked so often. */
static bool fake_stop(void) {
    if (fake.stop_after > 0) fake.stop_after--;
    return fake.stop_after == 0;
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

static TrainOptions options_of_tests(void) {
    static const char *const files[] = {"a"};
    TrainOptions o = train_options_new();
    Err err = {0};
    o.model = "m", o.data = files, o.data_count = 1, o.out = "o", o.batch = 4, o.num_train_epochs = 4,
    o.learning_rate = 0.01;
    o.eval_split = 0.1, o.eval_steps = 3, o.save_steps = 5, o.warmup_steps = 2, o.scheduler = "cosine";
    if (!train_options_check(&o, &err)) fail_msg("%s", err.text);
    return o;
}

/* From a state, with what `fake` is told to do. */
static bool run(const TrainOptions *o, LoopState from, LoopState *to, Err *err) {
    TrainLoop l = {.options = o,
                   .model = {&fake, fake_step, fake_evaluate},
                   .saver = {&fake, fake_save},
                   .ear = {&fake, fake_tell},
                   .feed = {&fake, ROWS, EVAL_ROWS, fake_row, fake_eval_row},
                   .stop = fake_stop,
                   .state = from};
    assert_true(train_length(o, ROWS, &l.length, err));
    l.schedule = train_schedule(o, l.length.steps);
    bool ok = train_loop(&l, err);
    if (to) *to = l.state;
    return ok;
}

static void begin(void) {
    text_free(&fake.told);
    fake = (Fake){.weight = 1,
                  .saved_weight = 1,
                  .saved = loop_state_new(),
                  .interrupt_in = NO_STEP,
                  .nan_at = NO_STEP,
                  .outlier_at = NO_STEP,
                  .stop_after = NO_STEP};
}

static int count_of(const char *word) {
    int n = 0;
    for (const char *p = fake.told.data; (p = strstr(p, word)); p++) n++;
    return n;
}

static void whole_run(void **state) {
    (void)state;
    TrainOptions o = options_of_tests();
    LoopState end;
    Err err = {0};
    begin();
    if (!run(&o, loop_state_new(), &end, &err)) fail_msg("%s", err.text);
    assert_int_equal(end.step, 12); /* 3 steps an epoch, the last of 3 rows */
    assert_int_equal(end.labels, 4 * 66);
    assert_int_equal(count_of("\"loss\""), 12);
    assert_int_equal(count_of("eval_loss"), 4);
    assert_int_equal(fake.saves, 3); /* 5, 10, 12 */
    assert_int_equal(end.best_step, 12);
    assert_int_equal(end.kept_step, 12);
    assert_non_null(strstr(fake.told.data, "{\"step\":1,\"epoch\":0.333333333333333"));
    assert_non_null(strstr(fake.told.data, "\"learning_rate\":0.0,\"labels\":10,"));
    assert_non_null(strstr(fake.told.data, "{\"step\":3,\"epoch\":1.0,\"loss\""));
}

/* Stopped after any step, or within one, and gone on from what was saved: the same words. */
static void stopped_anywhere(void **state) {
    (void)state;
    TrainOptions o = options_of_tests();
    LoopState end, again;
    Err err = {0};
    o.eval_on_start = true;
    begin();
    assert_true(run(&o, loop_state_new(), &end, &err));
    char *whole = strdup(fake.told.data);
    double weight = fake.weight;
    int stops = 0;
    for (int within = 0; within < 2; within++)
        for (int64_t at = 1; at < 12; at++) {
            Err stopped = {0}, none = {0};
            begin();
            if (within) fake.interrupt_in = at + 1;
            else fake.stop_after = at; /* questions: before steps, and within evaluations */
            assert_false(run(&o, loop_state_new(), &again, &stopped));
            assert_int_equal(stopped.kind, QM_INTERRUPTED);
            if (again.step == 0) continue;                 /* nothing to go on from */
            assert_int_equal(fake.saved.step, again.step); /* nothing is lost */
            stops++;
            Text first = fake.told;
            LoopState from = fake.saved;
            double at_weight = fake.saved_weight;
            fake.told = (Text){0};
            begin();
            fake.weight = at_weight;
            if (!run(&o, from, &again, &none)) fail_msg("%s", none.text);
            Text both = {0};
            text_add(&both, first.data, first.bytes);
            text_add(&both, fake.told.data, fake.told.bytes);
            assert_string_equal(both.data, whole);
            assert_true(fake.weight == weight && again.labels == end.labels && again.best_loss == end.best_loss);
            text_free(&first), text_free(&both);
        }
    assert_int_equal(stops, 20);
    free(whole);
}

/* ---- What is skipped --------------------------------------------------------------------------------------------- */

static int warnings;
static void on_message(void *owner, QmLevel level, const char *text) {
    (void)owner, (void)text;
    warnings += level == QM_WARNING;
}

static void skips(void **state) {
    (void)state;
    TrainOptions o = options_of_tests();
    LoopState end;
    Err err = {0};
    qm_watch(&(QmWatch){.message = on_message});
    begin();
    warnings = 0;
    fake.nan_at = 4;
    assert_true(run(&o, loop_state_new(), &end, &err));
    assert_int_equal(end.skipped, 1);
    assert_int_equal(warnings, 1);
    assert_int_equal(count_of("\"skipped\":\"not finite\""), 1);
    assert_int_equal(count_of("{\"step\":4,\"epoch\":1.33333333333333"), 1);
    assert_int_equal(count_of("\"loss\":null"), 1);
    /* An outlier is one after enough steps; the window goes through a checkpoint. */
    o.skip_outliers = 5, o.num_train_epochs = 20, o.learning_rate = 0;
    for (int cut = 0; cut < 2; cut++) {
        begin();
        fake.outlier_at = 45;
        LoopState from = loop_state_new();
        if (cut) {
            Err stopped = {0};
            fake.interrupt_in = 42;
            assert_false(run(&o, from, NULL, &stopped));
            from = fake.saved;
            fake.interrupt_in = NO_STEP;
        }
        assert_true(run(&o, from, &end, &err));
        assert_int_equal(end.skipped, 1);
        assert_int_equal(count_of("\"skipped\":\"grad_norm\""), 1);
    }
    /* Never finite again: it ends, and says from where. */
    begin();
    fake.lost_from = 7;
    assert_false(run(&o, loop_state_new(), &end, &err));
    assert_non_null(strstr(err.text, "no finite loss in the last 16 steps, from 7 on"));
    assert_non_null(strstr(err.text, "the last checkpoint is of step 20"));
    qm_watch(NULL);
}

static void save_fails(void **state) {
    (void)state;
    TrainOptions o = options_of_tests();
    Err err = {0}, other = {0};
    begin();
    fake.bad_save_at = 10;
    assert_false(run(&o, loop_state_new(), NULL, &err));
    assert_int_equal(err.kind, QM_IO);
    assert_int_equal(fake.saved.step, 5);
    begin();
    fake.bad_save_at = 7, fake.interrupt_in = 8;
    assert_false(run(&o, loop_state_new(), NULL, &other));
    assert_int_equal(other.kind, QM_IO); /* not "interrupted": what was done is lost */
}

/* ---- The log ----------------------------------------------------------------------------------------------------- */

static void write_log(const char *path, const LoopState *from, int64_t first, int64_t last) {
    Err err = {0};
    TrainLog *log = train_log_open(path, from, &err);
    if (!log) fail_msg("%s", err.text);
    for (int64_t i = first; i <= last; i++) {
        TrainEvent e = {.kind = TRAIN_STEPPED,
                        .step = i,
                        .loss = 1.0 / (double)i,
                        .grad_norm = i == 3 ? NAN : 1,
                        .learning_rate = 1e-5};
        assert_true(train_log_add(log, &e, &err));
        if (i % 2) continue;
        e = (TrainEvent){.kind = TRAIN_EVALUATED, .step = i, .loss = 800, .perplexity = INFINITY, .labels = 3};
        assert_true(train_log_add(log, &e, &err));
    }
    assert_true(train_log_sync(log, &err) && train_log_close(log, &err));
}

static char *whole_file(const char *path) {
    Err err = {0};
    size_t bytes;
    char *text = file_read(path, 1 << 20, &bytes, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

/* Whatever stands behind the state that is gone on from is cut off, half lines too. */
static void log_goes_on(void **state) {
    (void)state;
    char folder[] = "/tmp/train_log.XXXXXX", path[64];
    Err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    write_log(path, NULL, 1, 8);
    char *want = whole_file(path);
    assert_null(train_log_open(path, NULL, &err));
    assert_non_null(strstr(err.text, "is there already"));
    assert_non_null(strstr(want, "\"grad_norm\":null"));
    assert_non_null(strstr(want, "\"eval_perplexity\":null"));
    for (int64_t at = 0; at <= 8; at++)
        for (int torn = 0; torn < 2; torn++) {
            LoopState from = loop_state_new();
            from.step = at, from.evaluated = at - at % 2;
            if (torn) assert_int_equal(truncate(path, (off_t)strlen(want) - 9), 0);
            if (torn && at == 8) from.step = 7, from.evaluated = 6;
            write_log(path, &from, from.step + 1, 8);
            char *got = whole_file(path);
            assert_string_equal(got, want);
            free(got);
        }
    /* What is no log is not cut. */
    FILE *f = fopen(path, "w");
    fputs("{\"step\":1,\"los\":2}\n", f);
    fclose(f);
    LoopState from = loop_state_new();
    err = (Err){0};
    assert_null(train_log_open(path, &from, &err));
    assert_non_null(strstr(err.text, "cannot resume"));
    free(want);
    unlink(path), rmdir(folder);
}

/* A state from a file is looked at. */
static void bad_states(void **state) {
    (void)state;
    static const char *const cases[] = {
        "[]",
        "{}",
        "{\"step\":-1}",
        "{\"step\":1.5}",
        "{\"step\":1,\"labels\":1,\"tokens\":1,\"skipped\":0,\"evaluated\":-2,\"best_step\":0,\"kept_step\":0,\"kept_"
        "loss\":0,\"best_loss\":0,\"eval_loss\":0,\"losses\":[],\"norms\":[]}",
        "{\"step\":1,\"labels\":1,\"tokens\":1,\"skipped\":0,\"evaluated\":-1,\"best_step\":0,\"kept_step\":0,\"kept_"
        "loss\":0,\"best_loss\":\"\",\"eval_loss\":0,\"losses\":[],\"norms\":[]}",
        "{\"step\":1,\"labels\":1,\"tokens\":1,\"skipped\":0,\"evaluated\":-1,\"best_step\":0,\"kept_step\":0,\"kept_"
        "loss\":0,\"best_loss\":0,\"eval_loss\":0,\"losses\":{},\"norms\":[]}",
        "{\"step\":1,\"labels\":1,\"tokens\":1,\"skipped\":0,\"evaluated\":-1,\"best_step\":0,\"kept_step\":0,\"kept_"
        "loss\":0,\"best_loss\":0,\"eval_loss\":0,\"losses\":[null],\"norms\":[]}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        LoopState s;
        json_t *json = json_text(cases[i], strlen(cases[i]), "state", &err);
        assert_non_null(json);
        if (loop_state_read(&s, json, "state", &err) || strncmp(err.text, "state", 5))
            fail_msg("case %zu: '%s'", i, err.text);
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_run),  cmocka_unit_test(stopped_anywhere), cmocka_unit_test(skips),
        cmocka_unit_test(save_fails), cmocka_unit_test(log_goes_on),      cmocka_unit_test(bad_states),
    };
    int failed = cmocka_run_group_tests_name("train loop", tests, NULL, NULL);
    text_free(&fake.told);
    return failed;
}
