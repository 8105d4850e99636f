/* test_train_tasks.c: training of heads with labels: classes of sequences against torch; gradients of every task
 * against differences of its loss; the same bits on every mesh and for every split of a step; heads that begin. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/eval/head_loss.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "../src/train/task_head.h"
#include "../src/train/task_scores.h"
#include "../src/train/trainer.h"
#include "fixture.h"

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

enum { MOST = 8, S = 20, STEPS = 10 };

typedef struct Case { const char *name; TrainTask task; int64_t labels; } Case;
static const Case cases[] = {
    {"train-seqcls", TASK_SEQCLS, 3}, {"tokcls", TASK_TOKCLS, 3}, {"qa", TASK_QA, 2}, {"reward", TASK_SEQCLS, 1},
};
enum { SEQUENCES, TOKENS, ANSWERS, NUMBERS, CASES };

typedef struct Data {
    SafeTensors golden;
    int64_t count;
    TrainRow rows[MOST], packed[MOST]; /* a sequence each; the same, three a row */
    int64_t packed_count;
    TrainSegment segments[MOST];
    TrainTarget targets[MOST];
    int32_t ids[MOST][S], labels[MOST][S];
} Data;

static const SafeTensor *tensor(const Data *d, const char *name) {
    const SafeTensor *t = safetensors_find(&d->golden, name);
    if (!t) fail_msg("no %s", name);
    return t;
}
static const int32_t *ints(const Data *d, const char *name) {
    return (const int32_t *)(const void *)tensor(d, name)->data;
}
static const float *floats(const Data *d, const char *name) {
    return (const float *)(const void *)tensor(d, name)->data;
}

/* Padding is left out: a sequence is the tokens whose mask is 1. */
static void data_open(Data *d, const Case *c) {
    char path[128];
    Err err = {0};
    *d = (Data){0};
    snprintf(path, sizeof path, "tests/golden/%s/golden.safetensors", c->name);
    if (!safetensors_open(&d->golden, path, &err)) fail_msg("%s", err.text);
    const int32_t *ids = ints(d, "input_ids"), *mask = ints(d, "attention_mask");
    d->count = tensor(d, "input_ids")->dim[0];
    for (int64_t b = 0; b < d->count; b++) {
        int64_t n = 0;
        for (int64_t i = 0; i < S; i++) {
            if (!mask[b * S + i]) continue;
            d->ids[b][n] = ids[b * S + i];
            d->labels[b][n++] = c->task == TASK_TOKCLS ? ints(d, "labels")[b * S + i] : NO_LABEL;
        }
        TrainTarget *t = &d->targets[b];
        if (c->task == TASK_SEQCLS && c->labels > 1) t->label = ints(d, "labels")[b];
        if (c->task == TASK_SEQCLS && c->labels == 1) t->value = floats(d, "labels_regression")[b];
        if (c->task == TASK_QA) t->start = (int32_t)(b + 2), t->end = (int32_t)(b + 2 + 2 * (b % 2));
        d->segments[b] = (TrainSegment){d->ids[b], d->labels[b], n, t};
        d->rows[b] = (TrainRow){.segments = &d->segments[b], .count = 1, .tokens = n};
        if (b % 3 == 0) d->packed[d->packed_count++] = (TrainRow){.segments = &d->segments[b]};
        d->packed[d->packed_count - 1].count++;
        d->packed[d->packed_count - 1].tokens += n;
    }
}

static Trainer *open_model(const char *name, TrainerOptions o) {
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, "tests/golden/%s", name);
    QmSource *source = qm_source_open(path, &err);
    Trainer *t = source ? trainer_open(source, &o, &err) : NULL;
    qm_source_close(source);
    if (!t) fail_msg("%s: %s", name, err.text);
    return t;
}

static Trainer *open_case(const Case *c, const char *mesh, int threads, int64_t micro_batch, const char *isa) {
    TrainerOptions o = {.seq_len = 3 * S, .micro_batch = micro_batch, .task = c->task, .labels = c->labels};
    o.engine.mesh = mesh, o.engine.threads = threads, o.engine.isa = isa;
    return open_model(c->name, o);
}

static StepResult step(Trainer *t, const TrainRow *rows, int64_t count, StepNumbers n) {
    StepResult r;
    Err err = {0};
    if (!trainer_step(t, rows, count, &n, &r, &err)) fail_msg("%s", err.text);
    return r;
}

static double loss_of(Trainer *t, const TrainRow *rows, int64_t count) {
    double loss;
    int64_t labels;
    Err err = {0};
    if (!trainer_evaluate(t, rows, count, &loss, &labels, &err)) fail_msg("%s", err.text);
    return loss / (double)labels;
}

/* ---- Against torch ----------------------------------------------------------------------------------------------- */

static void compare(const Data *d, Trainer *t, const char *prefix, TensorPart part, double factor, double relative,
                    double absolute) {
    int compared = 0;
    for (int i = 0; i < trainer_tensors(t); i++) {
        const TrainTensor *of = trainer_tensor(t, i);
        char name[160];
        Err err = {0};
        snprintf(name, sizeof name, "%s%s", prefix, of->name);
        const SafeTensor *want = safetensors_find(&d->golden, name);
        /* A bias of keys adds about the same to all scores of a row, so that its gradient is rounding. */
        if (!want || strstr(of->name, "k_proj.bias")) continue;
        size_t n = (size_t)(of->dim[0] * of->dim[1]);
        assert_int_equal(want->bytes, n * sizeof(float));
        float *got = calloc(n, sizeof *got);
        const float *w = (const float *)(const void *)want->data;
        double most = 0, worst = 0;
        if (!trainer_read(t, i, part, got, &err)) fail_msg("%s", err.text);
        for (size_t k = 0; k < n; k++) {
            most = fmax(most, fabs((double)w[k]));
            worst = fmax(worst, fabs((double)got[k] * factor - (double)w[k]));
        }
        if (!(worst <= relative * most + absolute))
            fail_msg("%s%s: off by %.3g, the largest is %.3g", prefix, of->name, worst, most);
        free(got);
        compared++;
    }
    assert_true(compared >= 2);
}

/* Scores of all sequences, and how many are right. */
static int scores_near(const Data *d, Trainer *t, const char *name, double tolerance) {
    int right = 0;
    loss_of(t, d->rows, d->count);
    TaskScores s = trainer_scores(t);
    assert_int_equal(s.rows, d->count);
    assert_int_equal(s.columns, 3);
    for (int64_t b = 0; b < s.rows; b++) {
        int64_t best = 0;
        for (int64_t k = 0; k < s.columns; k++) {
            double got = (double)s.values[b * s.columns + k];
            if (name && !(fabs(got - (double)floats(d, name)[b * s.columns + k]) <= tolerance))
                fail_msg("%s[%lld,%lld]: got %.8g", name, (long long)b, (long long)k, got);
            if (got > (double)s.values[b * s.columns + best]) best = k;
        }
        right += best == d->targets[b].label;
    }
    return right;
}

static void as_torch(void **state) {
    (void)state;
    Data d;
    Err err = {0};
    data_open(&d, &cases[SEQUENCES]);
    json_t *golden = json_file("tests/golden/train-seqcls/golden.json", 1 << 20, &err);
    if (!golden) fail_msg("%s", err.text);
    Trainer *t = open_case(&cases[SEQUENCES], "1x1", 2, 4, NULL);
    scores_near(&d, t, "logits0", 5e-6);
    for (size_t i = 0; i < STEPS; i++) {
        double loss = json_number_value(json_array_get(json_object_get(golden, "losses"), i));
        double norm = json_number_value(json_array_get(json_object_get(golden, "grad_norms"), i));
        double right = json_number_value(json_array_get(json_object_get(golden, "accuracy_before_each_step"), i));
        assert_true(scores_near(&d, t, NULL, 0) == (int)(right * (double)d.count));
        StepResult r = step(t, d.rows, d.count,
                            (StepNumbers){.step = (int64_t)i + 1, .learning_rate = 1e-3 * (double)(STEPS - i) / STEPS,
                                          .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6, .weight_decay = 0.01,
                                          .max_grad_norm = 1});
        assert_int_equal(r.labels, d.count);
        if (!(fabs(r.loss - loss) <= 1e-5 * loss + 1e-7) || !(fabs(r.grad_norm - norm) <= 2e-5 * norm))
            fail_msg("step %zu: loss %.9g, norm %.9g; expected %.9g, %.9g", i, r.loss, r.grad_norm, loss, norm);
        if (i == 0) compare(&d, t, "clipped_grad.", PART_GRADIENT, fmin(1, 1 / (r.grad_norm + 1e-6)), 1e-5, 0);
    }
    compare(&d, t, "after.", PART_VALUE, 1, 0, 1e-4);
    scores_near(&d, t, "logits", 2e-4);
    trainer_close(t);
    json_decref(golden);
    safetensors_close(&d.golden);
}

/* ---- Gradients against differences of the loss ------------------------------------------------------------------- */

/* Along its own gradient, and along signs that alternate, a tensor changes the loss as the gradient says. */
static void differences_of(const Case *c, Trainer *t, const Data *d, int i) {
    const TrainTensor *of = trainer_tensor(t, i);
    size_t n = (size_t)(of->dim[0] * of->dim[1]);
    float *value = calloc(n, sizeof *value), *moved = calloc(n, sizeof *moved), *gradient = calloc(n, sizeof *gradient);
    double length = 0, weight = 0;
    Err err = {0};
    assert_true(trainer_read(t, i, PART_VALUE, value, &err) && trainer_read(t, i, PART_GRADIENT, gradient, &err));
    for (size_t k = 0; k < n; k++) {
        length += (double)gradient[k] * (double)gradient[k];
        weight += (double)value[k] * (double)value[k];
    }
    length = sqrt(length);
    double h = 2e-3 * sqrt(weight) + 1e-3;
    for (int alternating = 0; alternating < 2 && length > 1e-4; alternating++) {
        double sides[2], slope = 0;
        for (size_t k = 0; k < n; k++)
            slope +=
                (double)gradient[k] * (alternating ? (k % 3 ? 1 : -1) / sqrt((double)n) : (double)gradient[k] / length);
        for (int side = 0; side < 2; side++) {
            for (size_t k = 0; k < n; k++) {
                double u = alternating ? (k % 3 ? 1 : -1) / sqrt((double)n) : (double)gradient[k] / length;
                moved[k] = (float)((double)value[k] + (side ? -h : h) * u);
            }
            assert_true(trainer_write(t, i, PART_VALUE, moved, &err));
            sides[side] = loss_of(t, d->packed, d->packed_count);
        }
        double got = (sides[0] - sides[1]) / (2 * h);
        if (!(fabs(got - slope) <= 2e-2 * length + 2e-4))
            fail_msg("%s: %s: a difference of %.6g, its gradient says %.6g of %.6g", c->name, of->name, got, slope,
                     length);
    }
    assert_true(trainer_write(t, i, PART_VALUE, value, &err));
    free(value), free(moved), free(gradient);
}

static void as_differences(void **state) {
    (void)state;
    for (int k = 0; k < CASES; k++) {
        Data d;
        data_open(&d, &cases[k]);
        Trainer *t = open_case(&cases[k], "1x1", 2, 2, NULL);
        StepResult r =
            step(t, d.packed, d.packed_count, (StepNumbers){.step = 1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1});
        double loss = loss_of(t, d.packed, d.packed_count);
        assert_memory_equal(&r.loss, &loss, sizeof loss);
        assert_true(r.grad_norm > 1e-2);
        for (int i = 0; i < trainer_tensors(t); i++) differences_of(&cases[k], t, &d, i);
        trainer_close(t);
        safetensors_close(&d.golden);
    }
}

/* ---- The losses that forward tells ------------------------------------------------------------------------------- */

static void as_the_heads_losses(void **state) {
    (void)state;
    for (int k = 0; k < CASES; k++) {
        Data d;
        Err err = {0};
        data_open(&d, &cases[k]);
        Trainer *t = open_case(&cases[k], "2x2", 2, 3, NULL);
        int64_t columns = cases[k].labels;
        for (int64_t b = 0; b < d.count; b++) {
            double got = loss_of(t, &d.rows[b], 1), want = 0;
            TaskScores s = trainer_scores(t);
            const TrainTarget *target = &d.targets[b];
            HeadRows rows = {.b = 1, .s = s.rows, .columns = columns, .values = s.values};
            int32_t labels[S], count = 0;
            for (int64_t i = 0; i < d.segments[b].count; i++)
                if (d.labels[b][i] != NO_LABEL) labels[count++] = d.labels[b][i];
            if (k == SEQUENCES) assert_true(loss_classes(s.values, 1, columns, &target->label, &want, &err));
            if (k == TOKENS) assert_true(count == s.rows && loss_tokens(&rows, labels, false, &want, &err));
            if (k == ANSWERS) assert_true(loss_span(&rows, &target->start, &target->end, &want, &err));
            if (k == NUMBERS) want = loss_squares(s.values, 1, &target->value);
            if (k == SEQUENCES || k == TOKENS) assert_memory_equal(&got, &want, sizeof got);
            else if (!(fabs(got - want) <= 1e-6 * want + 1e-9))
                fail_msg("%s: %.9g, not %.9g", cases[k].name, got, want);
        }
        trainer_close(t);
        safetensors_close(&d.golden);
    }
}

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

typedef struct Layout { const char *mesh; int threads; int64_t micro_batch; const char *isa; } Layout;
static const Layout layouts[] = {
    {"1x1", 2, 4, NULL},     {"1x1", 1, 1, "reference"}, {"2x4", 2, 2, NULL},     {"1x8", 3, 3, NULL},
    {"8x4", 2, 3, NULL},     {"1x32", 2, 4, NULL},       {"5x3", 2, 1, NULL},     {"dp2,tp4", 2, 4, NULL},
    {"dp4,tp2", 8, 2, NULL}, {"dp8,tp1", 2, 4, NULL},    {"dp2,tp3", 2, 3, NULL},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, BIT_STEPS = 2 };

static size_t trained(const Case *c, const Data *d, const Layout *l, bool packed, float **out) {
    Trainer *t = open_case(c, l->mesh, l->threads, l->micro_batch, l->isa);
    const TrainRow *rows = packed ? d->packed : d->rows;
    int64_t many = packed ? d->packed_count : d->count;
    Err err = {0};
    size_t count = 0, capacity = 0;
    *out = NULL;
    for (int i = 0; i < BIT_STEPS; i++) {
        StepNumbers n = {.step = i + 1, .learning_rate = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8,
                         .weight_decay = 0.1, .max_grad_norm = 1, .label_smoothing = 0.1};
        StepResult r = step(t, rows, many, n);
        double numbers[] = {r.loss, r.grad_norm, loss_of(t, rows, many)};
        assert_true(mem_grow((void **)out, &capacity, count + 6, sizeof **out, "test", &err));
        memcpy(*out + count, numbers, sizeof numbers);
        count += 6;
    }
    for (int i = 0; i < trainer_tensors(t); i++) {
        size_t n = (size_t)(trainer_tensor(t, i)->dim[0] * trainer_tensor(t, i)->dim[1]);
        for (TensorPart part = PART_VALUE; part <= PART_SECOND; part++) {
            assert_true(mem_grow((void **)out, &capacity, count + n, sizeof **out, "test", &err));
            if (!trainer_read(t, i, part, *out + count, &err)) fail_msg("%s", err.text);
            count += n;
        }
    }
    trainer_close(t);
    return count;
}

static void same_bits(void **state) {
    (void)state;
    for (int k = 0; k < CASES; k++) {
        Data d;
        data_open(&d, &cases[k]);
        for (int packed = 0; packed < 2; packed++) {
            float *first, *other;
            size_t count = trained(&cases[k], &d, &layouts[0], packed, &first);
            for (int i = 1; i < LAYOUTS; i++) {
                if (brief() && (i + k) % 4) continue;
                assert_int_equal(trained(&cases[k], &d, &layouts[i], packed, &other), count);
                for (size_t n = 0; n < count; n++)
                    if (memcmp(&first[n], &other[n], sizeof *first))
                        fail_msg("%s on %s, %lld rows at a time: number %zu of %zu is %.9g, not %.9g", cases[k].name,
                                 layouts[i].mesh, (long long)layouts[i].micro_batch, n, count, (double)other[n],
                                 (double)first[n]);
                free(other);
            }
            free(first);
        }
        safetensors_close(&d.golden);
    }
}

/* ---- Heads that begin -------------------------------------------------------------------------------------------- */

/* A causal model gets a head, and learns a small set by heart. */
static void new_heads_learn(void **state) {
    (void)state;
    static const Case made[] = {
        {"train", TASK_SEQCLS, 4}, {"train", TASK_TOKCLS, 5}, {"train", TASK_QA, 0}, {"train", TASK_SEQCLS, 1}};
    int32_t ids[6][12], labels[6][12];
    TrainTarget targets[6];
    TrainSegment segments[6];
    TrainRow rows[6];
    for (int32_t b = 0; b < 6; b++) {
        for (int32_t i = 0; i < 12; i++)
            ids[b][i] = 5 + (b * 37 + i * 11) % 90, labels[b][i] = i % 3 ? (b + i) % 5 : NO_LABEL;
        targets[b] = (TrainTarget){.label = b % 4, .start = b, .end = b + b % 3, .value = (float)b / 2 - 1};
        segments[b] = (TrainSegment){ids[b], labels[b], 12, &targets[b]};
        rows[b] = (TrainRow){.segments = &segments[b], .count = 1, .tokens = 12};
    }
    for (int k = 0; k < 4; k++) {
        TrainerOptions o = {.seq_len = 12, .micro_batch = 6, .task = made[k].task, .labels = made[k].labels, .seed = 7};
        o.engine.mesh = "1x2", o.engine.threads = 2;
        Trainer *t = open_model(made[k].name, o);
        double before = loss_of(t, rows, 6), after = 0;
        for (int i = 0; i < 60; i++)
            after = step(t, rows, 6, (StepNumbers){.step = i + 1, .learning_rate = 3e-3, .beta1 = 0.9, .beta2 = 0.95,
                                                   .epsilon = 1e-8, .max_grad_norm = 1}).loss;
        if (!(before > 0.1) || !(after < 0.02)) fail_msg("task %d: from %.6g to %.6g", k, before, after);
        trainer_close(t);
    }
}

/* The draws are the seed's, of the deviation that transformers has, and a bias begins with 0. */
static void new_heads_are_drawn(void **state) {
    (void)state;
    float values[3][5 * 64], bias[5];
    Err err = {0};
    for (int k = 0; k < 3; k++) {
        TrainerOptions o = {.seq_len = 12, .micro_batch = 1, .task = TASK_TOKCLS, .labels = 5, .seed = k == 2 ? 8 : 7};
        o.engine.mesh = k == 1 ? "dp2,tp2" : "1x1";
        Trainer *t = open_model("train", o);
        int found = 0;
        for (int i = 0; i < trainer_tensors(t); i++) {
            const TrainTensor *of = trainer_tensor(t, i);
            assert_null(strstr(of->name, "lm_head"));
            if (!strcmp(of->name, "score.weight"))
                found++, assert_true(trainer_read(t, i, PART_VALUE, values[k], &err));
            if (!strcmp(of->name, "score.bias")) found++, assert_true(trainer_read(t, i, PART_VALUE, bias, &err));
        }
        assert_int_equal(found, 2);
        for (int i = 0; i < 5; i++) assert_true(bias[i] == 0);
        trainer_close(t);
    }
    assert_memory_equal(values[0], values[1], sizeof values[0]);
    assert_memory_not_equal(values[0], values[2], sizeof values[0]);
    double sum = 0, squares = 0;
    for (int i = 0; i < 5 * 64; i++)
        sum += (double)values[0][i], squares += (double)values[0][i] * (double)values[0][i];
    assert_true(fabs(sum / 320) < 4 * 0.02 / sqrt(320));
    assert_true(fabs(sqrt(squares / 320) / 0.02 - 1) < 4 / sqrt(640));
}

/* ---- Metrics ----------------------------------------------------------------------------------------------------- */

static double metric(const TaskMetric *list, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name)) return list[i].value;
    fail_msg("no %s", name);
    return 0;
}

/* The best pair stands in the context, in order, 30 tokens at most: of rows that say otherwise the next best. */
static void metrics_of_answers(void **state) {
    (void)state;
    enum { T = 50 };
    int32_t ids[T];
    float z[3][T][2] = {{{0}}};
    for (int i = 0; i < T; i++) ids[i] = i;
    const TrainTarget targets[3] = {{.start = 5, .end = 7, .context = 4}, {.start = 10, .end = 13, .context = 4},
                                    {.start = 45, .end = 45, .context = 4}};
    TrainSegment segments[3];
    for (int i = 0; i < 3; i++) segments[i] = (TrainSegment){ids, NULL, T, &targets[i]};
    const TrainRow row = {.segments = segments, .count = 3, .tokens = 3 * T};
    z[0][1][0] = z[0][2][1] = 9, z[0][5][0] = z[0][7][1] = 5;  /* the question scores higher */
    z[1][12][0] = 8, z[1][11][1] = 8, z[1][15][1] = 7;         /* an end before the beginning; 12 to 15 is told */
    z[2][6][0] = 9, z[2][45][0] = 8, z[2][45][1] = 8;          /* from 6 it would be too long */
    TaskTally tally = {.task = TASK_QA};
    TaskMetric out[MOST_METRICS];
    int count;
    Err err = {0};
    assert_true(task_tally_add(&tally, &row, 1, &(TaskScores){&z[0][0][0], 3 * T, 2}, &err));
    assert_true(task_tally_end(&tally, out, &count, &err));
    assert_true(fabs(metric(out, count, "exact_match") - 2.0 / 3) < 1e-12);
    assert_true(fabs(metric(out, count, "f1") - (1 + 2 * 2.0 / 8 + 1) / 3) < 1e-12);
    assert_true(task_tally_end(&tally, out, &count, &err) && count == 0); /* it began anew */
    assert_false(task_tally_add(&tally, &row, 1, &(TaskScores){&z[0][0][0], T, 2}, &err));
    task_tally_free(&tally);
}

/* Tags of words: entities where the names are of that kind, across two sequences. */
static void metrics_of_tags(void **state) {
    (void)state;
    const char *names[] = {"B-X", "I-X", "O"};
    const int32_t ids[] = {5, 6, 7, 8}, labels[2][4] = {{0, 1, NO_LABEL, 2}, {2, NO_LABEL, 0, 2}};
    const float z[6][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 0}, {1, 0, 0}, {0, 0, 1}};
    const TrainSegment segments[] = {{ids, labels[0], 4, NULL}, {ids, labels[1], 4, NULL}};
    const TrainRow rows[] = {{.segments = &segments[0], .count = 1}, {.segments = &segments[1], .count = 1}};
    TaskTally tally = {.task = TASK_TOKCLS, .names = names, .name_count = 3};
    TaskMetric out[MOST_METRICS];
    int count;
    Err err = {0};
    assert_true(task_tally_add(&tally, rows, 2, &(TaskScores){&z[0][0], 6, 3}, &err));
    assert_true(task_tally_end(&tally, out, &count, &err));
    assert_true(fabs(metric(out, count, "accuracy") - 5.0 / 6) < 1e-12);
    assert_true(fabs(metric(out, count, "precision") - 2.0 / 3) < 1e-12 && metric(out, count, "recall") == 1);
    assert_true(fabs(metric(out, count, "f1") - 0.8) < 1e-12);
    task_tally_free(&tally);
}

/* ---- What cannot be ---------------------------------------------------------------------------------------------- */

static void refused(const char *model, TrainTask task, int64_t labels, const char *says) {
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, "tests/golden/%s", model);
    QmSource *source = qm_source_open(path, &err);
    TrainerOptions o = {.seq_len = 16, .micro_batch = 1, .task = task, .labels = labels};
    assert_null(trainer_open(source, &o, &err));
    if (!strstr(err.text, says)) fail_msg("expected '%s' in '%s'", says, err.text);
    qm_source_close(source);
}

static void row_refused(const Case *c, TrainTarget target, int32_t label, const char *says) {
    const int32_t ids[] = {5, 6, 7}, labels[] = {NO_LABEL, label, NO_LABEL};
    const TrainSegment segment = {ids, labels, 3, &target};
    const TrainRow row = {.segments = &segment, .count = 1, .tokens = 3};
    Trainer *t = open_case(c, "1x1", 1, 1, NULL);
    StepResult r;
    Err err = {0};
    assert_false(trainer_step(t, &row, 1, &(StepNumbers){.step = 1}, &r, &err));
    if (!strstr(err.text, says)) fail_msg("expected '%s' in '%s'", says, err.text);
    trainer_close(t);
}

static void errors(void **state) {
    (void)state;
    refused("train-seqcls", TASK_SEQCLS, 5, "head 'sequence' has 3 labels: expected 5");
    refused("train-seqcls", TASK_TOKCLS, 3, "the model's head is 'sequence': expected 'token'");
    refused("train-seqcls", TASK_CLM, 0, "the model's head is 'sequence': expected 'causal'");
    refused("train", TASK_SEQCLS, 0, "the model has no head 'sequence'");
    ModelConfig config = {.head = HEAD_SEQUENCE, .labels = 3, .problem = "multi_label_classification"};
    Err err = {0};
    bool missing;
    assert_false(task_head_configure(&config, TASK_SEQCLS, 3, &missing, &err));
    assert_non_null(strstr(err.text, "multi_label_classification of 3 labels"));
    row_refused(&cases[SEQUENCES], (TrainTarget){.label = 3}, NO_LABEL, "row 0: class 3: expected one below 3");
    row_refused(&cases[SEQUENCES], (TrainTarget){.label = -1}, NO_LABEL, "class -1");
    row_refused(&cases[TOKENS], (TrainTarget){0}, 3, "token 1: id 6, label 3");
    row_refused(&cases[TOKENS], (TrainTarget){0}, NO_LABEL, "no label to learn from");
    row_refused(&cases[ANSWERS], (TrainTarget){.start = 1, .end = 3}, NO_LABEL, "an answer from token 1 to 3");
    row_refused(&cases[ANSWERS], (TrainTarget){.start = 2, .end = 1}, NO_LABEL, "an answer from token 2 to 1");
    row_refused(&cases[NUMBERS], (TrainTarget){.value = NAN}, NO_LABEL, "expected a finite number");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_torch),        cmocka_unit_test(as_differences),      cmocka_unit_test(as_the_heads_losses),
        cmocka_unit_test(new_heads_learn), cmocka_unit_test(new_heads_are_drawn), cmocka_unit_test(errors),
        cmocka_unit_test(same_bits),       cmocka_unit_test(metrics_of_answers),  cmocka_unit_test(metrics_of_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
