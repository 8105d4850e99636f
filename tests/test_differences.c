/* test_differences.c: gradients of whole models on the engine against differences of its own loss: also of models for
 * which there are no others' gradients to compare with, such as those with norms of queries and keys. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/train/trainer.h"
#include "fixture.h"

typedef struct Case { const char *model, *adapter; bool recompute; } Case;
static const Case cases[] = {
    {"qwen3-6-3", NULL, false}, {"qwen3-10-2t", NULL, true}, {"sliding", NULL, false}, {"llama-9-3", NULL, false},
    {"train-lora", "adapter-lora-0", false},
};
enum { CASES = sizeof cases / sizeof *cases, SEQUENCES = 3, LONGEST = 30 };

/* Differences as in test_rules.c, of a loss of about 5 that the engine's f32 leaves unsure by some 2e-7. One number is
 * moved by ONE_STEP, all by ALL_STEP of their root mean square: what four such steps leave out stays below RELATIVE of
 * the largest gradient, or of their norm. */
static const double ONE_STEP = 0.01, ALL_STEP = 0.01, RELATIVE = 1e-3, ROUNDING = 4e-7;

static const int64_t lengths[SEQUENCES] = {30, 6, 17};

typedef struct Data {
    TrainRow rows[SEQUENCES];
    TrainSegment segments[SEQUENCES];
    int32_t ids[SEQUENCES][LONGEST], labels[SEQUENCES][LONGEST];
} Data;

static void data_fill(Data *d, int64_t vocabulary) {
    random_state = 88172645463325252u;
    for (int s = 0; s < SEQUENCES; s++) {
        d->segments[s] = (TrainSegment){.ids = d->ids[s], .labels = d->labels[s], .count = lengths[s]};
        d->rows[s] = (TrainRow){.segments = &d->segments[s], .count = 1, .tokens = lengths[s]};
        for (int64_t i = 0; i < lengths[s]; i++) {
            d->ids[s][i] = (int32_t)random_below((uint32_t)vocabulary);
            d->labels[s][i] = i % 4 == 1 ? NO_LABEL : d->ids[s][i];
            d->rows[s].labels += i > 0 && d->labels[s][i] != NO_LABEL;
        }
    }
}

static Trainer *trainer_of(const Case *c) {
    Err err = {0};
    char path[128], adapter[256];
    snprintf(path, sizeof path, "tests/golden/%s", c->model);
    snprintf(adapter, sizeof adapter, "%s/%s", path, c->adapter ? c->adapter : "");
    QmSource *source = qm_source_open(path, &err);
    TrainerOptions o = {.seq_len = LONGEST, .micro_batch = 2, .recompute = c->recompute,
                        .adapter = c->adapter ? adapter : NULL};
    o.engine.mesh = "dp2,tp3";
    o.engine.threads = 1;
    Trainer *t = source ? trainer_open(source, &o, &err) : NULL;
    qm_source_close(source);
    if (!t) fail_msg("%s: %s", c->model, err.text);
    return t;
}

typedef struct Moved { Trainer *t; const Data *d; int tensor; int64_t size; float *value, *gradient, *at; } Moved;

/* The mean loss with the tensor's numbers moved: `only` one, or, where that is -1, each by its sign. */
static double loss_at(const Moved *m, const signed char *sign, int64_t only, double by) {
    Err err = {0};
    double loss;
    int64_t labels;
    for (int64_t i = 0; i < m->size; i++)
        m->at[i] = (float)((double)m->value[i] + (only < 0 ? sign[i] * by : i == only ? by : 0));
    if (!trainer_write(m->t, m->tensor, PART_VALUE, m->at, &err) ||
        !trainer_evaluate(m->t, m->d->rows, SEQUENCES, &loss, &labels, &err))
        fail_msg("%s", err.text);
    return loss / (double)labels;
}

static double difference(const Moved *m, const signed char *sign, int64_t only, double h) {
    double near = loss_at(m, sign, only, h) - loss_at(m, sign, only, -h);
    double far = loss_at(m, sign, only, 2 * h) - loss_at(m, sign, only, -2 * h);
    return (8 * near - far) / (12 * h);
}

static void derivative_check(const Case *c, const Moved *m, const signed char *sign, int64_t only, double h,
                             double want, double size) {
    double got = difference(m, sign, only, h);
    if (!(fabs(got - want) <= RELATIVE * size + ROUNDING / h))
        fail_msg("%s, %s, number %lld (-1: all): the gradient says %.7g of %.3g, differences of the loss %.7g",
                 c->model, trainer_tensor(m->t, m->tensor)->name, (long long)only, want, size, got);
}

/* All numbers at once, each up or down; then its largest gradient's, and one of any. */
static void tensor_check(const Case *c, const Moved *m) {
    signed char *sign = calloc((size_t)m->size, 1);
    double norm = 0, square = 0, along = 0;
    int64_t most = 0;
    for (int64_t i = 0; i < m->size; i++) {
        double g = (double)m->gradient[i];
        norm += g * g;
        square += (double)m->value[i] * (double)m->value[i];
        sign[i] = random_below(2) ? 1 : -1;
        along += sign[i] * g;
        if (fabs(g) > fabs((double)m->gradient[most])) most = i;
    }
    double rms = sqrt(square / (double)m->size), largest = fabs((double)m->gradient[most]);
    derivative_check(c, m, sign, -1, ALL_STEP * (rms > 0 ? rms : 0.02), along, sqrt(norm));
    derivative_check(c, m, NULL, most, ONE_STEP, (double)m->gradient[most], largest);
    int64_t any = random_below((uint32_t)m->size);
    derivative_check(c, m, NULL, any, ONE_STEP, (double)m->gradient[any], largest);
    free(sign);
}

static void as_differences(void **state) {
    const Case *c = *state;
    Trainer *t = trainer_of(c);
    Data d = {0};
    Err err = {0};
    StepResult r;
    data_fill(&d, trainer_info(t)->vocab);
    const StepNumbers still = {.step = 1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}; /* at a rate of 0 */
    if (!trainer_step(t, d.rows, SEQUENCES, &still, &r, &err)) fail_msg("%s", err.text);
    float **gradient = calloc((size_t)trainer_tensors(t), sizeof *gradient);
    for (int i = 0; i < trainer_tensors(t); i++) { /* before another pass */
        const TrainTensor *of = trainer_tensor(t, i);
        if (!of->trained) continue;
        gradient[i] = calloc((size_t)(of->dim[0] * of->dim[1]), sizeof(float));
        if (!trainer_read(t, i, PART_GRADIENT, gradient[i], &err)) fail_msg("%s", err.text);
    }
    for (int i = 0; i < trainer_tensors(t); i++) {
        const TrainTensor *of = trainer_tensor(t, i);
        Moved m = {.t = t, .d = &d, .tensor = i, .size = of->dim[0] * of->dim[1]};
        if (!of->trained) continue;
        float *room = calloc((size_t)m.size * 2, sizeof *room);
        m.value = room, m.gradient = gradient[i], m.at = room + m.size;
        if (!trainer_read(t, i, PART_VALUE, m.value, &err)) fail_msg("%s", err.text);
        tensor_check(c, &m);
        if (!trainer_write(t, i, PART_VALUE, m.value, &err)) fail_msg("%s", err.text);
        free(room), free(gradient[i]);
    }
    free(gradient);
    trainer_close(t);
}

int main(void) {
    struct CMUnitTest tests[CASES];
    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].model, .test_func = as_differences,
                                       .initial_state = (void *)(uintptr_t)&cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
