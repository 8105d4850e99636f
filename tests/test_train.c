/* test_train.c: training against torch: losses, gradients, norms and weights after some steps; and the same bits on every
 * mesh, for every split of a step into passes, for every number of threads, and where steps were begun and left before. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "train_layouts.h"

/* ---- Against torch ----------------------------------------------------------------------------------------------- */

static void as_torch(void **state) {
    const Case *c = *state;
    Data d;
    data_open(&d, c);
    Trainer *t = open_trainer(c, &d, &(Layout){"1x1", 2, 4, NULL, false, 0}, NULL);
    for (int step = 0; step < c->steps; step++) {
        StepResult r;
        Err err = {0};
        StepNumbers n = numbers_of(c, &d, step);
        const TrainRow *rows = c->same_rows ? d.rows : d.rows + 4 * step;
        if (!trainer_step(t, rows, c->same_rows ? d.count : 4, &n, &r, &err)) fail_msg("%s", err.text);
        if (!(fabs(r.loss - d.loss[step]) <= 1e-5 * fabs(d.loss[step])) ||
            !(fabs(r.grad_norm - d.norm[step]) <= 2e-5 * d.norm[step]))
            fail_msg("%s, step %d: loss %.9g, norm %.9g; expected %.9g, %.9g", c->name, step, r.loss, r.grad_norm,
                     d.loss[step], d.norm[step]);
        if (d.labels[step]) assert_int_equal(r.labels, d.labels[step]);
        double factor = c->clip > 0 ? fmin(1, c->clip / (r.grad_norm + 1e-6)) : 1;
        if (step == 0 && c->gradient) compare(c, t, &d.tensors, c->gradient, PART_GRADIENT, factor, 1e-5, 0);
    }
    if (c->adapter) { /* what it has become is a folder */
        SafeTensors after;
        Err err = {0};
        char file[64];
        snprintf(file, sizeof file, "%s/adapter_model.safetensors", c->after);
        if (!safetensors_open(&after, path_of(c, file), &err)) fail_msg("%s", err.text);
        compare(c, t, &after, "", PART_VALUE, 1, 0, 1e-4);
        safetensors_close(&after);
    } else compare(c, t, &d.tensors, c->after, PART_VALUE, 1, 0, 1e-4);
    trainer_close(t);
    data_close(&d);
}

/* With moments in 8 bits losses stay within 0.01 % of torch's with moments in f32. */
static void near_f32(void **state) {
    const Case *c = *state;
    Data d;
    data_open(&d, c);
    Trainer *t = open_trainer(c, &d, &(Layout){"1x1", 2, 4, NULL, false, 0}, NULL);
    double most = 0;
    StepResult r = {0};
    for (int step = 0; step < c->steps; step++) {
        Err err = {0};
        StepNumbers n = numbers_of(c, &d, step);
        if (!trainer_step(t, d.rows, d.count, &n, &r, &err)) fail_msg("%s", err.text);
        most = fmax(most, fabs(r.loss / d.loss[step] - 1));
    }
    if (!(most < 1e-4)) fail_msg("%s: losses off by up to %.3g", c->name, most);
    assert_true(most > 1e-7); /* they are in 8 bits */
    trainer_close(t);
    data_close(&d);
}

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

static const Layout layouts[] = {
    {"1x1", 1, 1, "reference", false, 0}, {"1x1", 2, 4, NULL, false, 0},  {"1x1", 3, 3, NULL, false, 0},
    {"2x4", 2, 2, NULL, false, 0},     {"1x8", 2, 4, NULL, false, 0},     {"8x4", 2, 3, NULL, false, 0},
    {"1x32", 2, 4, NULL, false, 0},    {"5x3", 2, 1, NULL, false, 3},     {"dp2,tp4", 2, 4, NULL, false, 1},
    {"dp4,tp2", 2, 2, NULL, false, 0}, {"dp8,tp1", 8, 4, NULL, false, 0}, {"dp2,tp3", 2, 3, NULL, false, 0},
    {"dp3,tp1", 2, 4, NULL, false, 0}, {"1x1", 2, 4, NULL, true, 0},      {"dp2,tp4", 2, 1, NULL, true, 0},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void same_bits(void **state) { same_on(*state, layouts, LAYOUTS, 4, NULL); }

/* ---- Dropout ----------------------------------------------------------------------------------------------------- */

/* A copy of the adapter's folder that says dropout. */
static void dropped_folder(const Case *c, char folder[64]) {
    Err err = {0};
    json_error_t error;
    char from[sizeof path], file[128], config[sizeof path + 40];
    snprintf(folder, 64, "/tmp/qwenmesh-dropout-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof from, "%s", path_of(c, c->adapter));
    snprintf(config, sizeof config, "%s/adapter_config.json", from);
    json_t *j = json_load_file(config, 0, &error);
    assert_non_null(j);
    json_object_set_new(j, "lora_dropout", json_real(0.25));
    snprintf(file, sizeof file, "%s/adapter_config.json", folder);
    assert_int_equal(json_dump_file(j, file, 0), 0);
    json_decref(j);
    MappedFile m;
    snprintf(config, sizeof config, "%s/adapter_model.safetensors", from);
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", folder);
    assert_true(file_map(&m, config, &err));
    FILE *f = fopen(file, "wb");
    assert_true(f && fwrite(m.data, 1, m.bytes, f) == m.bytes && !fclose(f));
    file_unmap(&m);
}

static double dropped_loss(const Case *c, const Data *d, const char *folder, const Layout *l, uint64_t seed, int step,
                           double *evaluated) {
    Err err = {0};
    QmSource *source = qm_source_open(path_of(c, ""), &err);
    TrainerOptions o = {.seq_len = d->longest, .micro_batch = l->micro_batch, .recompute = l->recompute,
                        .adapter = folder, .seed = seed};
    o.engine.mesh = l->mesh;
    o.engine.threads = l->threads;
    Trainer *t = trainer_open(source, &o, &err);
    if (!t) fail_msg("%s", err.text);
    StepNumbers n = numbers_of(c, d, step);
    StepResult r;
    int64_t labels;
    assert_true(trainer_evaluate(t, d->rows, d->count, evaluated, &labels, &err));
    *evaluated /= (double)labels;
    for (int i = 0; i < 2; i++, n.step++) assert_true(trainer_step(t, d->rows, d->count, &n, &r, &err));
    trainer_close(t);
    qm_source_close(source);
    return r.loss;
}

static void drops_alike(void **state) {
    const Case *c = *state;
    Data d;
    char folder[64], file[128];
    double plain, evaluated, loss;
    data_open(&d, c);
    dropped_folder(c, folder);
    loss = dropped_loss(c, &d, folder, &layouts[1], 7, 0, &evaluated);
    plain = d.loss[0];
    assert_true(fabs(evaluated - plain) < 1e-4 && fabs(loss - d.loss[1]) > 1e-4); /* training alone drops */
    for (int i = 0; i < LAYOUTS; i += 4) {
        double other = dropped_loss(c, &d, folder, &layouts[i], 7, 0, &evaluated);
        assert_memory_equal(&other, &loss, sizeof loss);
    }
    assert_true(loss != dropped_loss(c, &d, folder, &layouts[1], 8, 0, &evaluated));
    assert_true(loss != dropped_loss(c, &d, folder, &layouts[1], 7, 1, &evaluated));
    snprintf(file, sizeof file, "%s/adapter_config.json", folder), unlink(file);
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", folder), unlink(file);
    rmdir(folder);
    data_close(&d);
}

/* ---- The loss of forward ----------------------------------------------------------------------------------------- */

static void as_forward(void **state) { same_as_forward(*state, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[1]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[2]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[4]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[5]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[6]),
        cmocka_unit_test_prestate(as_torch, (void *)(uintptr_t)&cases[7]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[5]),
        cmocka_unit_test_prestate(drops_alike, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(as_forward, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(as_forward, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(as_forward, (void *)(uintptr_t)&cases[5]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[1]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[2]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[6]),
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[8]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[8]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
