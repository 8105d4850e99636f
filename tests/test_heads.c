/* test_heads.c: models with other heads than a causal one, and with none: golden results on every mesh with the same
 * bits, on a PJRT plugin to rounding; losses as transformers has them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/eval/head_loss.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "fixture.h"

enum { B = 3, S = 20, MOST = 48 };

/* Golden tensors: an output of every row, or of the one that is pooled. */
static const struct Case {
    const char *name, *output, *golden[2];
    bool pooled;
    int columns;
    double tolerance;
} cases[] = {
    {"seqcls", "logits", {"logits"}, true, 3, 5e-6},
    {"tokcls", "logits", {"logits"}, false, 3, 5e-6},
    {"qa", "logits", {"start_logits", "end_logits"}, false, 2, 5e-6},
    {"reward", "logits", {"logits"}, true, 1, 5e-6},
    {"embed", "states", {"hidden.2"}, false, 48, 2e-5},
};
enum { CASES = sizeof cases / sizeof *cases };

static char path_text[128];
static const char *path_of(const char *name, const char *file) {
    snprintf(path_text, sizeof path_text, "tests/golden/%s/%s", name, file);
    return path_text;
}

static void open_golden(SafeTensors *st, const char *name) {
    Err err = {0};
    if (!safetensors_open(st, path_of(name, "golden.safetensors"), &err)) fail_msg("%s", err.text);
}

static const float *floats(const SafeTensors *st, const char *name) {
    const SafeTensor *t = safetensors_find(st, name);
    assert_non_null(t);
    return (const float *)(const void *)t->data;
}
static const int32_t *ints(const SafeTensors *st, const char *name) {
    return (const int32_t *)(const void *)floats(st, name);
}

/* values [B * S][columns]; rows whose mask is 0 stay zero. False: no such backend here. */
static void outputs_of(const struct Case *c, const SafeTensors *golden, const char *mesh, const char *backend,
                       float *values) {
    Err err = {0};
    QmEngineOptions o;
    qm_engine_options(&o);
    o.model = path_of(c->name, "");
    o.mesh = mesh;
    o.slots = B;
    o.context = 64;
    o.rows = 16;
    o.backend = backend;
    o.weights = !strcmp(backend, "pjrt") ? "f32" : NULL;
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s: %s", c->name, err.text);
    assert_int_equal(qm_engine_output(e, c->output), c->columns);
    assert_int_equal(qm_engine_output(e, "no such output"), 0);
    const int32_t *ids = ints(golden, "input_ids"), *mask = ints(golden, "attention_mask");
    float out[B][S * MOST];
    int32_t fed[B][S], positions[B][S];
    QmAppend append[B];
    QmOutput output[B];
    for (int b = 0; b < B; b++) {
        int64_t n = 0;
        for (int t = 0; t < S; t++) {
            if (!mask[b * S + t]) continue;
            fed[b][n] = ids[b * S + t];
            positions[b][n++] = t;
        }
        output[b] = (QmOutput){c->output, out[b]};
        append[b] = (QmAppend){.session = qm_session_new(e, &err), .tokens = fed[b], .positions = positions[b],
                               .count = n, .logits_from = n, .outputs = &output[b], .output_count = 1};
        assert_non_null(append[b].session);
    }
    if (!qm_forward(e, append, B, &err)) fail_msg("%s: %s", c->name, err.text);
    memset(values, 0, sizeof(float) * (size_t)(B * S * c->columns));
    for (int b = 0; b < B; b++) {
        for (int64_t i = 0; i < append[b].count; i++)
            memcpy(values + (b * S + positions[b][i]) * c->columns, out[b] + i * c->columns,
                   sizeof(float) * (size_t)c->columns);
        qm_session_free(append[b].session);
    }
    qm_engine_close(e);
}

static HeadRows rows_of(const struct Case *c, const SafeTensors *golden, const float *values) {
    return (HeadRows){.b = B, .s = S, .columns = c->columns, .ids = ints(golden, "input_ids"),
                      .mask = ints(golden, "attention_mask"), .values = values};
}

static void compare(const struct Case *c, const SafeTensors *golden, const float *values, double tolerance) {
    HeadRows rows = rows_of(c, golden, values);
    Err err = {0};
    int halves = c->golden[1] ? 2 : 1, each = c->columns / halves;
    for (int i = 0; i < (c->pooled ? B : B * S); i++) {
        int64_t row = c->pooled ? pool_row(&rows, i, 0, &err) : i;
        if (row < 0) fail_msg("%s", err.text);
        if (!head_fed(&rows, row)) continue;
        for (int k = 0; k < c->columns; k++) {
            double want = (double)floats(golden, c->golden[k / each])[i * each + k % each];
            double got = (double)values[row * c->columns + k];
            if (!(fabs(got - want) <= tolerance))
                fail_msg("%s, row %d, column %d: expected %.8g, got %.8g", c->name, i, k, want, got);
        }
    }
}

static void golden_on_every_mesh(void **state) {
    (void)state;
    static const char *const meshes[] = {"1x1", "2x4", "1x8", "8x4", "1x32", "dp2,tp2", "1x3"};
    for (int i = 0; i < CASES; i++) {
        SafeTensors golden;
        float first[B * S * MOST], other[B * S * MOST];
        open_golden(&golden, cases[i].name);
        outputs_of(&cases[i], &golden, meshes[0], "cpu", first);
        compare(&cases[i], &golden, first, cases[i].tolerance);
        for (int m = 1; m < (brief() ? 2 : 7); m++) {
            outputs_of(&cases[i], &golden, meshes[m], "cpu", other);
            assert_memory_equal(first, other, sizeof(float) * (size_t)(B * S * cases[i].columns));
        }
        safetensors_close(&golden);
    }
}

static void golden_on_a_plugin(void **state) {
    (void)state;
    if (brief()) return; /* the plugin is not ours to check */
    if (access("plugins/pjrt_c_api_cpu_plugin.so", R_OK)) skip();
    for (int i = 0; i < CASES; i++) {
        SafeTensors golden;
        float values[B * S * MOST];
        open_golden(&golden, cases[i].name);
        outputs_of(&cases[i], &golden, i % 2 ? "1x2" : "2x2", "pjrt", values);
        compare(&cases[i], &golden, values, 5e-5);
        safetensors_close(&golden);
    }
}

/* ---- Losses ----------------------------------------------------------------------------------------------------- */

static double golden_number(const char *name, const char *key, int at) {
    Err err = {0};
    json_t *root = json_file(path_of(name, "golden.json"), 1 << 20, &err);
    if (!root) fail_msg("%s", err.text);
    const json_t *value = json_object_get(root, key);
    double number = json_number_value(at < 0 ? value : json_array_get(value, (size_t)at));
    json_decref(root);
    return number;
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) <= 2e-6)) fail_msg("expected %.8f, got %.8f", want, got);
}

static void losses_of_classes(void **state) {
    (void)state;
    SafeTensors st;
    Err err = {0};
    double loss;
    open_golden(&st, "seqcls");
    assert_true(loss_classes(floats(&st, "logits"), B, 3, ints(&st, "labels"), &loss, &err));
    assert_near(loss, golden_number("seqcls", "loss_single_label", -1));
    assert_near(loss_binary(floats(&st, "logits"), B * 3, floats(&st, "labels_multi")),
                golden_number("seqcls", "loss_multi_label", -1));
    const int32_t wrong[B] = {0, 3, 1};
    assert_false(loss_classes(floats(&st, "logits"), B, 3, wrong, &loss, &err));
    assert_string_equal(err.text, "labels[1]: 3 is neither -100 nor an id below 3");
    safetensors_close(&st);
    open_golden(&st, "reward");
    assert_near(loss_squares(floats(&st, "logits"), B, floats(&st, "labels_regression")),
                golden_number("reward", "loss_regression", -1));
    safetensors_close(&st);
}

static void losses_of_tokens(void **state) {
    (void)state;
    SafeTensors st;
    Err err = {0};
    double loss;
    open_golden(&st, "tokcls");
    HeadRows rows = rows_of(&cases[1], &st, floats(&st, "logits"));
    assert_true(loss_tokens(&rows, ints(&st, "labels"), false, &loss, &err));
    assert_near(loss, golden_number("tokcls", "loss", -1));
    safetensors_close(&st);
}

/* With the reference's own logits of padding, its loss; without padding, that of a row by itself. */
static void losses_of_spans(void **state) {
    (void)state;
    SafeTensors st;
    Err err = {0};
    double loss;
    float values[B * S * 2];
    open_golden(&st, "qa");
    for (int i = 0; i < B * S * 2; i++) values[i] = floats(&st, i % 2 ? "end_logits" : "start_logits")[i / 2];
    HeadRows rows = rows_of(&cases[2], &st, values);
    const int32_t *starts = ints(&st, "start_positions"), *ends = ints(&st, "end_positions");
    rows.mask = NULL;
    assert_true(loss_span(&rows, starts, ends, &loss, &err));
    assert_near(loss, golden_number("qa", "loss", -1));
    rows.b = 1;
    assert_true(loss_span(&rows, starts, ends, &loss, &err));
    assert_near(loss, (golden_number("qa", "loss_rows_start", 0) + golden_number("qa", "loss_rows_end", 0)) / 2);
    const int32_t outside[] = {S + 7};
    assert_true(loss_span(&rows, outside, ends, &loss, &err));
    assert_near(loss, golden_number("qa", "loss_rows_end", 0) / 2);
    safetensors_close(&st);
}

static void the_last_id_that_is_no_padding(void **state) {
    (void)state;
    const int32_t ids[] = {5, 6, 0, 0, 0, 7, 0, 8, 0, 0, 0, 0}, mask[] = {1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0};
    HeadRows rows = {.b = 3, .s = 4, .ids = ids, .mask = mask};
    Err err = {0};
    assert_int_equal(pool_row(&rows, 0, 0, &err), 1);
    assert_int_equal(pool_row(&rows, 1, 0, &err), 7);
    assert_int_equal(pool_row(&rows, 2, 0, &err), 8); /* nothing but padding: the first */
    assert_int_equal(pool_row(&rows, 0, -1, &err), -1);
    err = (Err){0};
    assert_int_equal(pool_row(&rows, 0, 6, &err), -1); /* then the last id is masked */
    assert_non_null(strstr(err.text, "attention_mask is 0"));
}

static void what_a_head_has_not(void **state) {
    (void)state;
    Err err = {0};
    QmEngineOptions o;
    float row[64];
    qm_engine_options(&o);
    o.model = "tests/golden/tiny";
    o.head = "none";
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    assert_string_equal(qm_engine_info(e)->head, "none");
    QmSession *s = qm_session_new(e, &err);
    const int32_t token = 5;
    QmAppend a = {.session = s, .tokens = &token, .count = 1, .logits_from = 1, .logits = row};
    assert_false(qm_forward(e, &a, 1, &err));
    assert_string_equal(err.text, "entry 0: no output \"logits\" of a row: the model's head is 'none'");
    err = (Err){0};
    const QmOutput states = {"states", row};
    a = (QmAppend){.session = s, .tokens = &token, .count = 1, .logits_from = 1, .outputs = &states, .output_count = 1};
    if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
    qm_session_free(s);
    qm_engine_close(e);
    o.model = "tests/golden/seqcls";
    o.head = NULL;
    if (!(e = qm_engine_open(&o, &err))) fail_msg("%s", err.text);
    QmTokenizer *t = qm_tokenizer_open("tests/data/bytes", &err);
    assert_null(qm_generator_new(e, t, NULL, &err));
    assert_non_null(strstr(err.text, "expected a model with a causal head, got 'sequence'"));
    err = (Err){0};
    qm_tokenizer_close(t);
    qm_engine_close(e);
    o.head = "causal";
    assert_null(qm_engine_open(&o, &err));
    assert_non_null(strstr(err.text, "head: expected none or the model's own, sequence, got 'causal'"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_on_every_mesh), cmocka_unit_test(golden_on_a_plugin),
        cmocka_unit_test(losses_of_classes),    cmocka_unit_test(losses_of_tokens),
        cmocka_unit_test(losses_of_spans),      cmocka_unit_test(the_last_id_that_is_no_padding),
        cmocka_unit_test(what_a_head_has_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
