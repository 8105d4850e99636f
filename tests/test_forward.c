/* test_forward.c: the command `forward` as others use it to check us: its files against golden results. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "golden_cases.h"

enum { B = 2, S = 40, IGNORED = 10 }; /* IGNORED: a real token of row 0 whose label is -100 */

/* Runs the command on an input file; the result is open in *out, its file already unlinked. */
static void forward(const char *name, const char *in, const char *more, SafeTensors *out) {
    const char *program = getenv("QWENMESH");
    char path[] = "/tmp/qwenmesh-test-XXXXXX", command[512];
    Err err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, "%s forward -m tests/golden/%s --in %s --out %s --hidden %s",
             program ? program : "./qwenmesh", name, in, path, more);
    int status = system(command);
    if (status != 0) fail_msg("%s: status %d", command, status);
    if (!safetensors_open(out, path, &err)) fail_msg("%s", err.text);
    unlink(path);
}

static const float *floats(const SafeTensors *st, const char *name) {
    return (const float *)(const void *)safetensors_find(st, name)->data;
}
static const int32_t *ints(const SafeTensors *st, const char *name) {
    return (const int32_t *)(const void *)safetensors_find(st, name)->data;
}

/* Rows that are fed agree to 1e-4 of the largest value; padding rows are zero. */
static void compare(const SafeTensors *got, const SafeTensors *want, const char *name) {
    const SafeTensor *g = safetensors_find(got, name), *w = safetensors_find(want, name);
    const int32_t *mask = ints(want, "attention_mask");
    double most = 0, worst = 0;
    assert_non_null(g);
    assert_int_equal(g->rank, 3);
    assert_true(g->dim[0] == B && g->dim[1] == S && g->dim[2] == w->dim[2]);
    for (int64_t i = 0; i < B * S * g->dim[2]; i++) {
        double a = (double)floats(got, name)[i], b = (double)floats(want, name)[i];
        if (!mask[i / g->dim[2]]) {
            assert_true(a == 0);
            continue;
        }
        if (fabs(b) > most) most = fabs(b);
        if (!(fabs(a - b) <= worst)) worst = fabs(a - b);
    }
    if (!(worst <= 1e-4 * most)) fail_msg("%s: off by %g of the largest value", name, worst / most);
}

static void golden_case(void **state) {
    const struct GoldenCase *c = *state;
    char path[128], key[32];
    Err err = {0};
    SafeTensors want, got;
    snprintf(path, sizeof path, "tests/golden/%s/golden.safetensors", c->name);
    assert_true(safetensors_open(&want, path, &err));
    forward(c->name, path, c->forward, &got);
    compare(&got, &want, "logits");
    int layer = 0;
    for (;; layer++) {
        snprintf(key, sizeof key, "hidden.%d", layer);
        if (!safetensors_find(&want, key)) break;
        compare(&got, &want, key);
    }
    assert_true(layer > 2);
    assert_null(safetensors_find(&got, key));
    safetensors_close(&got);
    safetensors_close(&want);
}

/* labels shift by one; -100 and rows that are not fed do not count. With the one ignored here, and the first real token
 * of the padded row, which the reference predicts from a padding row, the mean is the reference's. */
static void loss(void **state) {
    (void)state;
    Err err = {0};
    SafeTensors want, got;
    char path[] = "/tmp/qwenmesh-test-XXXXXX";
    int32_t labels[B * S];
    assert_true(safetensors_open(&want, "tests/golden/tiny/golden.safetensors", &err));
    const int32_t *ids = ints(&want, "input_ids"), *mask = ints(&want, "attention_mask");
    int64_t counted = 0, vocab = safetensors_find(&want, "logits")->dim[2];
    for (int i = 0; i < B * S; i++) {
        labels[i] = mask[i] && i != IGNORED ? ids[i] : -100;
        counted += i % S && mask[i] && mask[i - 1] && i != IGNORED;
    }
    const char *names[] = {"input_ids", "attention_mask", "position_ids"};
    SafeTensor tensors[4];
    for (int i = 0; i < 3; i++) tensors[i] = *safetensors_find(&want, names[i]);
    tensors[3] = (SafeTensor){.name = "labels", .dtype = DTYPE_I32, .rank = 2, .dim = {B, S}, .bytes = sizeof labels};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    SafeWriter *w = safewriter_open(path, tensors, 4, &err);
    for (int i = 0; i < 3; i++) assert_true(safewriter_data(w, tensors[i].data, tensors[i].bytes, &err));
    assert_true(safewriter_data(w, labels, sizeof labels, &err));
    assert_true(safewriter_close(w, &err));
    forward("tiny", path, ">/dev/null", &got);
    unlink(path);
    int first = S;
    while (!mask[first]) first++;
    double padded = cross_entropy(floats(&want, "logits") + (first - 1) * vocab, vocab, ids[first]);
    double ignored = cross_entropy(floats(&want, "logits") + (IGNORED - 1) * vocab, vocab, ids[IGNORED]);
    double mean = ((double)floats(&got, "loss")[0] * (double)counted + padded + ignored) / (double)(counted + 2);
    json_t *json = json_file("tests/golden/tiny/golden.json", 1 << 20, &err);
    double expected = json_number_value(json_object_get(json, "loss_shifted_mean"));
    if (!(fabs(mean - expected) < 1e-5)) fail_msg("loss %.8f, expected %.8f", mean, expected);
    json_decref(json);
    safetensors_close(&got);
    safetensors_close(&want);
}

int main(void) {
    const struct CMUnitTest others[] = {cmocka_unit_test(loss)};
    struct CMUnitTest tests[GOLDEN_CASES + 1];
    golden_tests(tests, golden_case, others, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
