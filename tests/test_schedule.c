/* test_schedule.c: learning rates against transformers' and optax's, the length of a run, outliers, options that do not
 * go together. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "../src/train/outliers.h"
#include "../src/train/run_options.h"

/* ---- Rates ------------------------------------------------------------------------------------------------------- */

static void near(double got, double want, double relative, int64_t step) {
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("step %lld: expected %.17g, got %.17g", (long long)step, want, got);
}

/* transformers.Trainer, warm-up 3 of 12 and a cosine (golden train-accum). */
static void cosine(void **state) {
    (void)state;
    static const double want[12] = {0.0,
                                    0.0013333333333333333,
                                    0.0026666666666666666,
                                    0.004,
                                    0.0038793852415718168,
                                    0.003532088886237956,
                                    0.003,
                                    0.0023472963553338613,
                                    0.0016527036446661394,
                                    0.0010000000000000005,
                                    0.0004679111137620442,
                                    0.00012061475842818337};
    const Schedule s = {.kind = SCHEDULE_COSINE, .peak = 4e-3, .warmup = 3, .steps = 12};
    for (int i = 0; i < 12; i++)
        near(schedule_rate(&s, i + 1), want[i], 4e-16 * 4e-3 / fmax(want[i], 1e-9) + 4e-16, i + 1);
}

/* optax, in f32 (golden train-clm). */
static void line(void **state) {
    (void)state;
    static const double want[14] = {0.0,
                                    0.0010000001639127731,
                                    0.0020000000949949026,
                                    0.003000000026077032,
                                    0.0027272726874798536,
                                    0.002454545348882675,
                                    0.0021818182431161404,
                                    0.001909090904518962,
                                    0.0016363635659217834,
                                    0.0013636363437399268,
                                    0.0010909091215580702,
                                    0.0008181817829608917,
                                    0.0005454545607790351,
                                    0.0002727271930780262};
    const Schedule s = {.kind = SCHEDULE_LINEAR, .peak = 3e-3, .warmup = 3, .steps = 14};
    for (int i = 0; i < 14; i++) near(schedule_rate(&s, i + 1), want[i], 3e-7, i + 1);
    assert_true(schedule_rate(&s, 15) == 0 && schedule_rate(&s, 100) == 0);
    const Schedule plain = {.kind = SCHEDULE_LINEAR, .peak = 5e-5, .steps = 4};
    assert_true(schedule_rate(&plain, 1) == 5e-5);
    near(schedule_rate(&plain, 4), 5e-5 / 4, 0, 4);
}

static void level(void **state) {
    (void)state;
    const Schedule s = {.kind = SCHEDULE_CONSTANT, .peak = 1e-3, .warmup = 4, .steps = 9};
    for (int i = 0; i < 20; i++) near(schedule_rate(&s, i + 1), i < 4 ? 1e-3 * (i / 4.0) : 1e-3, 0, i + 1);
}

/* By the formulas of transformers' get_wsd_schedule, with the mathematical library's cosine. */
static void warmup_stable_decay(void **state) {
    (void)state;
    for (int kind = 0; kind < DECAYS; kind++)
        for (double least = 0; least < 0.2; least += 0.1) {
            const Schedule s = {.kind = SCHEDULE_WSD,
                                .peak = 2,
                                .warmup = 5,
                                .steps = 40,
                                .decay_steps = 15,
                                .decay = (DecayKind)kind,
                                .least = least};
            for (int i = 0; i < 45; i++) {
                double p = (i - 25) / 15.0, want = 1;
                if (i < 5) want = i / 5.0;
                else if (i >= 40) want = 0;
                else if (i >= 25)
                    want = kind == DECAY_COSINE   ? 0.5 * (1 + cos(M_PI * p))
                           : kind == DECAY_LINEAR ? 1 - p
                                                  : 1 - sqrt(p);
                if (i < 5 || i >= 25) want = want * (1 - least) + least;
                if (fabs(schedule_rate(&s, i + 1) - 2 * want) > 1e-15)
                    fail_msg("decay %d, step %d: expected %.17g, got %.17g", kind, i + 1, 2 * want,
                             schedule_rate(&s, i + 1));
            }
        }
}

/* The cosine is our own: beside the library's over the whole range. */
static void cosine_is_exact(void **state) {
    (void)state;
    const Schedule s = {.kind = SCHEDULE_COSINE, .peak = 1, .steps = 100000};
    for (int i = 0; i < 100000; i++) {
        double want = 0.5 * (1 + cos(M_PI * i / 100000));
        if (fabs(schedule_rate(&s, i + 1) - want) > 5e-16) fail_msg("step %d", i + 1);
    }
    assert_true(schedule_rate(&s, 1) == 1);
}

static void names(void **state) {
    (void)state;
    ScheduleKind kind;
    DecayKind decay;
    assert_true(schedule_named("warmup_stable_decay", &kind) && kind == SCHEDULE_WSD);
    assert_true(schedule_named("constant_with_warmup", &kind) && kind == SCHEDULE_CONSTANT);
    assert_false(schedule_named("cos", &kind) || schedule_named("", &kind));
    assert_true(decay_named("1-sqrt", &decay) && decay == DECAY_SQRT);
    assert_false(decay_named("sqrt", &decay));
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static const char *const files[] = {"a.jsonl"};

static TrainOptions plain(void) {
    TrainOptions o = train_options_new();
    o.model = "m", o.data = files, o.data_count = 1, o.out = "o";
    return o;
}

static void defaults(void **state) {
    (void)state;
    TrainOptions o = plain();
    Err err = {0};
    if (!train_options_check(&o, &err)) fail_msg("%s", err.text);
    assert_int_equal(o.batch, 8);
    assert_int_equal(o.micro_batch, 2);
    StepNumbers n =
        train_step_numbers(&o, &(Schedule){.kind = o.schedule_kind, .peak = o.learning_rate, .steps = 10}, 1);
    assert_true(n.learning_rate == 5e-5 && n.beta1 == 0.9 && n.beta2 == 0.999 && n.epsilon == 1e-8 &&
                n.weight_decay == 0 && n.max_grad_norm == 1 && n.step == 1 && n.skip_norm == 0 && n.ema_decay == 0);
    assert_int_equal(o.optimizer, OPTIMIZER_ADAMW);
    assert_int_equal(o.schedule_kind, SCHEDULE_LINEAR);
}

/* Trainer's two batch sizes are one; epochs may be parts; warm-up below 1 is a part of all steps. */
static void lengths(void **state) {
    (void)state;
    const struct {
        int64_t batch, device, accumulation, rows, max;
        double epochs;
        bool drop;
        int64_t want_batch, epoch, steps;
    } cases[] = {
        {0, 4, 4, 33, -1, 3, false, 16, 3, 9},     {16, 4, 4, 32, -1, 1.5, false, 16, 2, 3},
        {0, 0, 2, 17, -1, 1, true, 16, 1, 1},      {8, 0, 0, 63, -1, 2, true, 8, 7, 14},
        {8, 0, 0, 63, -1, 2, false, 8, 8, 16},     {8, 0, 0, 5, 100, 2, false, 8, 1, 100},
        {4, 0, 0, 48, -1, 0.001, false, 4, 12, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TrainOptions o = plain();
        TrainLength l;
        Err err = {0};
        o.batch = cases[i].batch, o.device_batch = cases[i].device, o.accumulation = cases[i].accumulation;
        o.max_steps = cases[i].max, o.num_train_epochs = cases[i].epochs, o.drop_last = cases[i].drop;
        if (!train_options_check(&o, &err) || !train_length(&o, cases[i].rows, &l, &err))
            fail_msg("%zu: %s", i, err.text);
        assert_int_equal(o.batch, cases[i].want_batch);
        assert_int_equal(l.steps_of_epoch, cases[i].epoch);
        assert_int_equal(l.steps, cases[i].steps);
    }
    TrainOptions o = plain();
    o.warmup_steps = 0.03;
    assert_int_equal(train_schedule(&o, 101).warmup, 4);
    o.warmup_steps = 7;
    assert_int_equal(train_schedule(&o, 101).warmup, 7);
    TrainLength l;
    Err err = {0};
    o.batch = 8, o.drop_last = true;
    assert_false(train_length(&o, 7, &l, &err));
    assert_non_null(strstr(err.text, "an epoch has 7 rows: expected at least 8"));
}

typedef void Change(TrainOptions *o);
static void no_model(TrainOptions *o) { o->model = NULL; }
static void both(TrainOptions *o) { o->init = "c.json"; }
static void no_data(TrainOptions *o) { o->data_count = 0; }
static void no_out(TrainOptions *o) { o->out = NULL; }
static void bad_task(TrainOptions *o) { o->task = "seqcl"; }
static void empty_task(TrainOptions *o) { o->task = ""; }
static void bad_optim(TrainOptions *o) { o->optim = "adam"; }
static void bad_scheduler(TrainOptions *o) { o->scheduler = "polynomial"; }
static void bad_batch(TrainOptions *o) { o->batch = 8, o->device_batch = 4, o->accumulation = 4; }
static void split_and_data(TrainOptions *o) { o->eval_split = 0.1, o->eval_data = files, o->eval_count = 1; }
static void eval_nothing(TrainOptions *o) { o->eval_steps = 5; }
static void best_of_none(TrainOptions *o) { o->load_best = true, o->eval_split = 0.1; }
static void best_between(TrainOptions *o) { o->load_best = true, o->eval_split = 0.1, o->eval_steps = 7; }
static void alpha_alone(TrainOptions *o) { o->lora_alpha = 8; }
static void two_adapters(TrainOptions *o) { o->lora_r = 8, o->init_adapter = "a"; }
static void alpha_twice(TrainOptions *o) { o->lora_alpha = 8, o->init_adapter = "a"; }
static void decay_of_linear(TrainOptions *o) { o->decay_steps = 5; }
static void bad_decay(TrainOptions *o) { o->decay = "sqrt", o->scheduler = "wsd"; }
static void adapter_of_nothing(TrainOptions *o) { o->model = NULL, o->init = "c.json", o->lora_r = 4; }

static void conflicts(void **state) {
    (void)state;
    static const struct {
        Change *change;
        const char *text;
    } cases[] = {
        {no_model, "no model: expected -m MODEL"},
        {both, "--init: expected -m MODEL or --init CONFIG.json, got both"},
        {no_data, "no data: expected --data FILE"},
        {no_out, "expected -o DIR"},
        {bad_task, "--task: expected clm|seqcls|tokcls|qa, got 'seqcl'"},
        {empty_task, "--task: expected clm|"},
        {bad_optim, "--optim: expected adamw|sgd|muon, got 'adam'"},
        {bad_scheduler, "--lr-scheduler-type: expected constant|linear|cosine|wsd, got 'polynomial'"},
        {bad_batch, "--batch-size: expected 16"},
        {split_and_data, "--eval-split"},
        {eval_nothing, "--eval-steps: expected --eval-data or --eval-split"},
        {best_of_none, "--load-best-model-at-end: expected --eval-steps"},
        {best_between, "--save-steps: expected a multiple"},
        {alpha_alone, "--lora-alpha: expected --lora-r"},
        {two_adapters, "--lora-r: --init-adapter says it"},
        {alpha_twice, "--lora-alpha: --init-adapter says it"},
        {decay_of_linear, "--decay-steps: expected --lr-scheduler-type wsd"},
        {bad_decay, "--decay-type: expected cosine|linear|1-sqrt, got 'sqrt'"},
        {adapter_of_nothing, "--init: expected a trained model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TrainOptions o = plain();
        Err err = {0};
        cases[i].change(&o);
        if (train_options_check(&o, &err) || err.kind != QM_USAGE || !strstr(err.text, cases[i].text))
            fail_msg("case %zu: expected '%s', got '%s'", i, cases[i].text, err.text);
    }
}

/* ---- Outliers ---------------------------------------------------------------------------------------------------- */

static void outliers(void **state) {
    (void)state;
    OutlierWindow w = {0};
    for (int i = 0; i < OUTLIERS_LEAST; i++) {
        assert_true(outliers_limit(&w, 3) == 0); /* too few */
        outliers_add(&w, i % 2 ? 1 : 3);
        outliers_add(&w, NAN); /* counts for nothing */
        outliers_add(&w, INFINITY);
    }
    assert_true(outliers_limit(&w, 3) == 5); /* mean 2, deviation 1 */
    for (int i = 0; i < OUTLIER_WINDOW; i++) outliers_add(&w, 7);
    assert_true(outliers_limit(&w, 3) == 0); /* all the same: nothing is far from them */
    outliers_add(&w, 8);
    assert_int_equal(w.count, OUTLIER_WINDOW);
    assert_true(outliers_at(&w, OUTLIER_WINDOW - 1) == 8 && outliers_at(&w, 0) == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine),          cmocka_unit_test(line),
        cmocka_unit_test(level),           cmocka_unit_test(warmup_stable_decay),
        cmocka_unit_test(cosine_is_exact), cmocka_unit_test(names),
        cmocka_unit_test(defaults),        cmocka_unit_test(lengths),
        cmocka_unit_test(conflicts),       cmocka_unit_test(outliers),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
