/* test_initial.c: models that have learnt nothing yet: the same bits for a seed, of the spread that is asked for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/base/output_folder.h"
#include "../src/io/safetensors.h"
#include "../src/train/initial.h"
#include "../src/train/plain_math.h"

#define CONFIG "tests/golden/tiny/config.json"

static void plain(void **state) {
    (void)state;
    for (int i = 0; i <= 2000; i++) {
        double x = (i - 1000) / 2000.0, y = pow(1.05, i - 1990);
        if (fabs(plain_sin_pi(x) - sin(M_PI * x)) > 4e-16) fail_msg("sin(pi %g)", x);
        if (fabs(plain_log(y) - log(y)) > 4e-16 * fmax(1, fabs(log(y)))) fail_msg("log %g", y);
    }
    assert_true(plain_log(1) == 0 && plain_sin_pi(0) == 0);
}

/* Mean, spread, skew and tails of draws, and that places and tensors have draws of their own. */
static void normal(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    double sum[5] = {0};
    int far = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double x = initial_normal(1, 7, i);
        for (int k = 1; k < 5; k++) sum[k] += pow(x, k);
        far += fabs(x) > 3;
    }
    assert_true(fabs(sum[1] / COUNT) < 0.01 && fabs(sum[2] / COUNT - 1) < 0.01);
    assert_true(fabs(sum[3] / COUNT) < 0.03 && fabs(sum[4] / COUNT - 3) < 0.1);
    assert_in_range(far, COUNT * 0.0022, COUNT * 0.0032);
    assert_true(initial_normal(1, 7, 0) != initial_normal(1, 8, 0) &&
                initial_normal(1, 7, 0) != initial_normal(2, 7, 0));
}

static char *make(char folder[32], uint64_t seed) {
    Err err = {0};
    strcpy(folder, "/tmp/initial.XXXXXX");
    assert_non_null(mkdtemp(folder));
    Source *source = source_open(CONFIG, &err);
    if (!source || !initial_model(source, NULL, seed, folder, &err)) fail_msg("%s", err.text);
    source_close(source);
    return path_join(folder, "model.safetensors", &err);
}

static void drop(const char *folder, char *path) {
    Err err = {0};
    free(path);
    if (!output_folder_remove(folder, &err)) fail_msg("%s", err.text);
}

static void same_bits(void **state) {
    (void)state;
    char folder[3][32], *path[3];
    char *text[3];
    size_t bytes[3];
    Err err = {0};
    for (int i = 0; i < 3; i++) {
        path[i] = make(folder[i], i < 2 ? 42 : 43);
        assert_non_null(text[i] = file_read(path[i], 1 << 24, &bytes[i], &err));
        assert_int_equal(bytes[i], bytes[0]);
    }
    assert_memory_equal(text[0], text[1], bytes[0]);
    assert_true(memcmp(text[0], text[2], bytes[0]) != 0);
    for (int i = 0; i < 3; i++) free(text[i]), drop(folder[i], path[i]);
}

/* Every tensor that the checkpoint of that shape has; gains 1, biases 0, matrices spread; and it runs. */
static void of_its_form(void **state) {
    (void)state;
    char folder[32], *path = make(folder, 42);
    SafeTensors st;
    Err err = {0};
    if (!safetensors_open(&st, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(st.count, 39);
    for (int64_t i = 0; i < st.count; i++) {
        const SafeTensor *t = &st.tensors[i];
        const float *x = (const float *)(const void *)t->data;
        size_t n = t->bytes / 4;
        double square = 0;
        for (size_t k = 0; k < n; k++) {
            square += (double)x[k] * x[k];
            if (t->rank == 1 && x[k] != (strstr(t->name, "norm") ? 1 : 0)) fail_msg("%s: %g", t->name, (double)x[k]);
        }
        if (t->rank == 2 && fabs(sqrt(square / (double)n) - 0.02) > 0.002)
            fail_msg("%s: spread %g", t->name, sqrt(square / (double)n));
    }
    safetensors_close(&st);
    QmEngineOptions o = {.size = sizeof o, .model = folder};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    qm_engine_close(e);
    drop(folder, path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain), cmocka_unit_test(normal), cmocka_unit_test(same_bits),
                                       cmocka_unit_test(of_its_form)};
    return cmocka_run_group_tests_name("initial", tests, NULL, NULL);
}
