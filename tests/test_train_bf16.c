/* test_train_bf16.c: training with operands of linears in bf16 (`--act bf16`): the same bits on every mesh, for every split
 * of a step into passes, every number of threads and every instruction set; the loss of forward in bf16 to the bit; and
 * near training in f32, yet not it. What each product computes is held against its reference in test_gradients.c. */
#include "train_layouts.h"

static const char bf16[] = "bf16";

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

static const Layout layouts[] = {
    {"1x1", 1, 1, "avx512", false, 0},   {"1x1", 2, 4, NULL, false, 0},    {"1x1", 3, 3, "avx2", false, 0},
    {"2x4", 2, 2, NULL, false, 0},       {"5x3", 2, 1, "avx2", true, 0},   {"dp2,tp4", 2, 4, NULL, true, 0},
    {"1x32", 2, 4, NULL, false, 0},      {"dp3,tp1", 2, 4, NULL, false, 0}, {"dp8,tp1", 8, 4, "avx2", false, 0},
    {"dp2,tp3", 2, 3, NULL, true, 0},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };
/* Plain C takes a hundred times as long: a case's smallest work will do. */
static const Layout plainly[] = {{"dp2,tp3", 2, 2, "reference", false, 0}, {"1x1", 2, 4, NULL, false, 0}};

static void same_bits(void **state) { same_on(*state, layouts, LAYOUTS, 4, bf16); }
static void same_plainly(void **state) { same_on(*state, plainly, 1, 1, bf16); }
static void as_forward(void **state) { same_as_forward(*state, bf16); }

/* ---- Beside f32 -------------------------------------------------------------------------------------------------- */

/* Operands are off by up to 2^-9 of themselves, and by a third of its square on average: a sum of products of two such
 * by sqrt(2/3) 2^-9 of the size of its terms' root of squares, and what passes two layers of four sums each, one behind
 * the other, by sqrt(8) of that, 2.3 * 2^-9 of about 1. A logit is off by so much of its size, which is below 1 in models
 * that have just begun; the loss of a label by that of one logit and of a mean of all, the mean of over a hundred labels
 * by a tenth of it. LOSS has four times this of room; so has NORM, of which each part is off as a sum is. GRADIENT is of a
 * tensor's largest, of which the worst of thousands of numbers lies at four times the mean. */
static const double LOSS = 0x1p-9, NORM = 0x1p-7, GRADIENT = 0x1p-5;

static void near_f32(void **state) {
    const Case *c = *state;
    Data d;
    Err err = {0};
    data_open(&d, c);
    const Layout l = {"1x1", 2, 4, NULL, false, 0};
    Trainer *t[2] = {open_trainer(c, &d, &l, NULL), open_trainer(c, &d, &l, bf16)};
    for (int step = 0; step < c->steps; step++) {
        StepResult r[2];
        StepNumbers n = numbers_of(c, &d, step);
        const TrainRow *rows = c->same_rows ? d.rows : d.rows + 4 * step;
        for (int i = 0; i < 2; i++)
            if (!trainer_step(t[i], rows, c->same_rows ? d.count : 4, &n, &r[i], &err)) fail_msg("%s", err.text);
        double off = fabs(r[1].loss - d.loss[step]), norm_off = fabs(r[1].grad_norm - d.norm[step]);
        if (!(off <= LOSS * d.loss[step] && norm_off <= NORM * d.norm[step]))
            fail_msg("%s, step %d: loss %.9g, norm %.9g; expected about %.9g, %.9g", c->name, step, r[1].loss,
                     r[1].grad_norm, d.loss[step], d.norm[step]);
        assert_true(r[0].loss != r[1].loss && r[0].grad_norm != r[1].grad_norm);
    }
    for (int i = 0; i < 2; i++) trainer_close(t[i]);
    data_close(&d);
}

/* Of the first step: no tensor's gradient is that of f32. */
static void gradients_near_f32(void **state) {
    const Case *c = *state;
    Data d;
    Err err = {0};
    data_open(&d, c);
    const Layout l = {"1x1", 2, 4, NULL, false, 0};
    Trainer *t[2] = {open_trainer(c, &d, &l, NULL), open_trainer(c, &d, &l, bf16)};
    StepResult r;
    StepNumbers numbers = numbers_of(c, &d, 0);
    for (int i = 0; i < 2; i++) assert_true(trainer_step(t[i], d.rows, d.count, &numbers, &r, &err));
    for (int i = 0; i < trainer_tensors(t[0]); i++) {
        const TrainTensor *of = trainer_tensor(t[0], i);
        if (!of->trained || strstr(of->name, "k_proj.bias")) continue; /* of which rounding is all */
        int64_t n = of->dim[0] * of->dim[1], same = 0;
        float *got[2];
        double most = 0, worst = 0;
        for (int k = 0; k < 2; k++) {
            got[k] = calloc((size_t)n, sizeof *got[k]);
            if (!trainer_read(t[k], i, PART_GRADIENT, got[k], &err)) fail_msg("%s", err.text);
        }
        for (int64_t k = 0; k < n; k++) {
            most = fmax(most, fabs((double)got[0][k]));
            worst = fmax(worst, fabs((double)got[1][k] - (double)got[0][k]));
            same += got[0][k] == got[1][k];
        }
        if (!(worst > 0 && worst <= GRADIENT * most))
            fail_msg("%s: %s: off by %.3g, the largest is %.3g", c->name, of->name, worst, most);
        for (int k = 0; k < 2; k++) free(got[k]);
    }
    for (int i = 0; i < 2; i++) trainer_close(t[i]);
    data_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[1]),
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[2]),
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(near_f32, (void *)(uintptr_t)&cases[5]),
        cmocka_unit_test_prestate(gradients_near_f32, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(as_forward, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[0]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[1]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[2]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[3]),
        cmocka_unit_test_prestate(same_bits, (void *)(uintptr_t)&cases[5]),
        cmocka_unit_test_prestate(same_plainly, (void *)(uintptr_t)&cases[3]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
