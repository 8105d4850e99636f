/* test_model.c: the model against golden results, and the same bits on every mesh, thread count, chunking and batch. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/base/cpu.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "fixture.h"
#include "golden_cases.h"

enum { B = 2, S = 40, PAD = 7 };

static const char *act, *weights_as; /* of every engine opened; a test that sets one clears it */

static QmEngine *engine(const char *model, const char *mesh, int threads, int rows, const char *cache, bool hidden) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = model,
                         .mesh = mesh,
                         .threads = threads,
                         .slots = 4,
                         .context = 256,
                         .rows = rows,
                         .kv_cache = cache,
                         .act = act,
                         .weights = weights_as,
                         .hidden = hidden};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) print_error("%s\n", err.text);
    assert_non_null(e);
    return e;
}

/* Logits [count][vocab] of one prompt; malloc'ed. */
static float *logits_of(QmEngine *e, const int32_t *ids, int64_t count, const int32_t *positions, float *hidden) {
    QmErr err = {0};
    QmSession *s = qm_session_new(e, &err);
    float *logits = malloc((size_t)(count * qm_engine_info(e)->vocab) * sizeof(float));
    QmAppend a = {.session = s,
                  .tokens = ids,
                  .count = count,
                  .positions = positions,
                  .rope_length = positions ? S : 0,
                  .logits_from = count,
                  .logits = logits,
                  .hidden = hidden};
    if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
    qm_session_free(s);
    return logits;
}

static double worst(const float *a, const float *b, int64_t n) {
    double most = 0, diff = 0;
    for (int64_t i = 0; i < n; i++) {
        if (fabs((double)b[i]) > most) most = fabs((double)b[i]);
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= diff)) diff = d;
    }
    return diff / most;
}

static void close_to(const char *what, const float *a, const float *b, int64_t n) {
    double w = worst(a, b, n);
    if (!(w <= 1e-4)) fail_msg("%s: off by %g of the largest value", what, w);
}

/* Greedy tokens after a prompt; stops after `n`. */
static void greedy(QmEngine *e, const int32_t *prompt, int64_t count, int n, int32_t *out) {
    QmErr err = {0};
    QmSession *s = qm_session_new(e, &err);
    int32_t next = 0;
    QmAppend a = {.session = s, .tokens = prompt, .count = count, .logits_from = 1, .argmax = &next};
    for (int i = 0; i < n; i++) {
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        out[i] = next;
        a.tokens = &out[i];
        a.count = 1;
    }
    qm_session_free(s);
}

/* Rope lengths of a batch go by its longest row, as in the reference. */
static void golden_case(void **state) {
    const char *name = ((const struct GoldenCase *)*state)->name;
    char path[200];
    QmErr err = {0};
    SafeTensors st;
    snprintf(path, sizeof path, "tests/golden/%s/golden.safetensors", name);
    assert_true(safetensors_open(&st, path, &err));
    snprintf(path, sizeof path, "tests/golden/%s/golden.json", name);
    json_t *json = json_file(path, 1 << 20, &err);
    snprintf(path, sizeof path, "tests/golden/%s", name);
    QmEngine *e = engine(path, "1x1", 2, 16, "f32", true);
    const QmModelInfo *info = qm_engine_info(e);
    const int32_t *ids = (const int32_t *)(const void *)safetensors_find(&st, "input_ids")->data;
    const int32_t *positions = (const int32_t *)(const void *)safetensors_find(&st, "position_ids")->data;
    const float *want = (const float *)(const void *)safetensors_find(&st, "logits")->data;
    double loss = 0, loss_count = 0;
    for (int b = 0; b < B; b++) {
        int from = b ? PAD : 0, n = S - from;
        float *hidden = malloc((size_t)((info->layers + 1) * n * info->hidden) * sizeof(float));
        float *logits = logits_of(e, ids + b * S + from, n, positions + b * S + from, hidden);
        close_to("logits", logits, want + (b * S + from) * info->vocab, n * info->vocab);
        for (int l = 0; l <= info->layers; l++) {
            char key[32];
            snprintf(key, sizeof key, "hidden.%d", l);
            const float *h = (const float *)(const void *)safetensors_find(&st, key)->data;
            close_to(key, hidden + (int64_t)l * n * info->hidden, h + (b * S + from) * info->hidden, n * info->hidden);
        }
        /* the reference's mean also counts the first real token of a padded row, predicted from a padding row: its
         * own */
        if (b) loss += cross_entropy(want + (b * S + from - 1) * info->vocab, info->vocab, ids[b * S + from]),
            loss_count++;
        for (int t = 0; t + 1 < n; t++) {
            loss += cross_entropy(logits + t * info->vocab, info->vocab, ids[b * S + from + t + 1]);
            loss_count++;
        }
        free(hidden);
        free(logits);
    }
    double want_loss = json_number_value(json_object_get(json, "loss_shifted_mean"));
    if (!(fabs(loss / loss_count - want_loss) < 1e-5))
        fail_msg("loss %.8f, expected %.8f", loss / loss_count, want_loss);
    json_t *row = json_object_get(json, "greedy_row0_new");
    int n = (int)json_array_size(row);
    int32_t out[64];
    assert_true(n > 0 && n <= 64);
    greedy(e, ids, S, n, out);
    for (int i = 0; i < n; i++) assert_int_equal(out[i], json_integer_value(json_array_get(row, (size_t)i)));
    /* The reference keeps the longest length its dynamic rope has seen from one call to the next; ours goes by the
     * sequence. */
    row = json_array_get(json_object_get(json, "greedy_batch_new"), 1);
    n = strcmp(name, "dynamic") ? (int)json_array_size(row) : 0;
    greedy(e, ids + S + PAD, S - PAD, n, out);
    for (int i = 0; i < n; i++) assert_int_equal(out[i], json_integer_value(json_array_get(row, (size_t)i)));
    json_decref(json);
    safetensors_close(&st);
    qm_engine_close(e);
}

/* ---- Same bits --------------------------------------------------------------------------------------------------- */

    static void prompt(int32_t *ids, int n, int64_t vocab) {
    for (int i = 0; i < n; i++) ids[i] = (int32_t)((i * 7919 + 13) % vocab);
}

static void same_bits(const char *model, const char *cache, const char *const *meshes, int n) {
    int32_t ids[64];
    QmEngine *e = engine(model, "1x1", 1, 128, cache, false);
    int64_t vocab = qm_engine_info(e)->vocab;
    prompt(ids, n, vocab);
    float *want = logits_of(e, ids, n, NULL, NULL);
    qm_engine_close(e);
    size_t bytes = (size_t)(n * vocab) * sizeof(float);
    for (int m = 0; meshes[m]; m++) {
        e = engine(model, meshes[m], 1 + m % 8, 1 + (m * 5) % 37, cache, false);
        float *got = logits_of(e, ids, n, NULL, NULL);
        if (memcmp(got, want, bytes))
            fail_msg("%s %s: mesh %s differs by %g", model, cache, meshes[m], worst(got, want, n * vocab));
        free(got);
        qm_engine_close(e);
    }
    /* one row at a time, where workers repeat what is little rather than wait */
    for (int threads = 2; threads <= 4; threads += 2) {
        e = engine(model, threads == 2 ? "1x1" : "2x4", threads, 1, cache, false);
        float *got = logits_of(e, ids, n, NULL, NULL);
        if (memcmp(got, want, bytes))
            fail_msg("%s %s: rows of 1 differ by %g", model, cache, worst(got, want, n * vocab));
        free(got);
        qm_engine_close(e);
    }
    /* in a batch with others, token by token */
    QmErr err = {0};
    e = engine(model, "2x4", 2, 7, cache, false);
    QmSession *a = qm_session_new(e, &err), *b = qm_session_new(e, &err), *c = qm_session_new(e, &err);
    float *row = malloc((size_t)vocab * sizeof(float));
    for (int i = 0; i < n; i++) {
        QmAppend batch[3] = {{.session = c, .tokens = ids, .count = 1 + i % 3},
                             {.session = b, .tokens = ids + i, .count = 1, .logits_from = 1, .logits = row},
                             {.session = a, .tokens = ids + n - 1 - i, .count = 1}};
        if (!qm_forward(e, batch, 3, &err)) fail_msg("%s", err.text);
        if (memcmp(row, want + i * vocab, (size_t)vocab * sizeof(float)))
            fail_msg("%s: row %d differs in a batch", model, i);
    }
    free(row);
    free(want);
    qm_session_free(a), qm_session_free(b), qm_session_free(c);
    qm_engine_close(e);
}

static const char *const all_meshes[] = {"1x2", "1x3", "1x4", "2x4",  "1x7",     "1x8",
                                         "4x4", "5x3", "8x4", "1x32", "dp2,tp3", NULL};

static const char *const few_meshes[] = {"1x3", "8x4", "dp2,tp3", NULL};
static const char *const *most_meshes(void) { return brief() ? few_meshes : all_meshes; }

static void bits_heads28_4(void **state) { (void)state; same_bits("tests/golden/heads28-4", "f32", most_meshes(), 30); }
static void bits_llama_9_3(void **state) { (void)state; same_bits("tests/golden/llama-9-3", "f32", most_meshes(), 30); }
static void bits_qwen3_6_3(void **state) { (void)state; same_bits("tests/golden/qwen3-6-3", "f32", most_meshes(), 30); }
static void bits_qwen3_10_2t(void **state) {
    (void)state;
    same_bits("tests/golden/qwen3-10-2t", "8bit", most_meshes(), 30);
}
static void bits_8bit_cache(void **state) { (void)state; same_bits("tests/golden/heads28-4", "8bit", most_meshes(),
                                                                   30); }
static void bits_bf16_cache(void **state) { (void)state; same_bits("tests/golden/heads28-4", "bf16", most_meshes(),
                                                                   30); }

/* Activations in 8 bits, with weights quantised at load where the file's are not: as many bits are the same. */
static void bits_int8_8bit(void **state) {
    (void)state;
    act = "int8", weights_as = "8bit";
    same_bits("tests/golden/heads28-4", "f32", most_meshes(), 30);
    act = weights_as = NULL;
}
static void bits_int8_4bit(void **state) {
    (void)state;
    act = "int8", weights_as = "4bit";
    same_bits("tests/golden/heads14-2", "bf16", most_meshes(), 30);
    act = weights_as = NULL;
}
/* Activations in bf16, with weights that are so in the file or become so at load. */
static void bits_act_bf16(void **state) {
    (void)state;
    act = "bf16";
    same_bits("tests/golden/heads28-4", "f32", most_meshes(), 30);
    same_bits("tests/golden/heads14-2", "bf16", most_meshes(), 30);
    weights_as = "bf16";
    same_bits("tests/golden/tiny", "f32", most_meshes(), 30);
    act = weights_as = NULL;
}
static void bits_f32_4bit(void **state) {
    (void)state;
    weights_as = "4bit";
    same_bits("tests/golden/heads14-2", "f32", most_meshes(), 30);
    weights_as = NULL;
}

/* Eight bits change a logit little, and do change it. */
static void int8_is_near(void **state) {
    (void)state;
    int32_t ids[30];
    QmEngine *e = engine("tests/golden/heads28-4", "1x1", 2, 16, "f32", false);
    int64_t vocab = qm_engine_info(e)->vocab;
    prompt(ids, 30, vocab);
    float *want = logits_of(e, ids, 30, NULL, NULL);
    qm_engine_close(e);
    act = "int8", weights_as = "8bit";
    e = engine("tests/golden/heads28-4", "1x1", 2, 16, "f32", false);
    act = weights_as = NULL;
    assert_true(qm_engine_info(e)->weight_error > 0.001 && qm_engine_info(e)->weight_error < 0.02);
    float *got = logits_of(e, ids, 30, NULL, NULL);
    double off = worst(got, want, 30 * vocab);
    if (!(off > 1e-5 && off < 0.05)) fail_msg("off by %g of the largest logit", off);
    qm_engine_close(e);
    free(got);
    free(want);
}

/* A bf16 checkpoint with activations in bf16 is nearer to the f32 reference than the reference's own run in bf16. */
static void act_bf16_is_near(void **state) {
    (void)state;
    static const char *const cases[] = {"heads28-4", "heads14-2", "llama-9-3"};
    for (int i = 0; i < 3; i++) {
        char path[200];
        QmErr err = {0};
        SafeTensors st;
        snprintf(path, sizeof path, "tests/golden/%s/golden.safetensors", cases[i]);
        assert_true(safetensors_open(&st, path, &err));
        snprintf(path, sizeof path, "tests/golden/%s", cases[i]);
        const int32_t *ids = (const int32_t *)(const void *)safetensors_find(&st, "input_ids")->data;
        const float *want = (const float *)(const void *)safetensors_find(&st, "logits")->data;
        const float *low = (const float *)(const void *)safetensors_find(&st, "logits_bf16_compute")->data;
        act = "bf16";
        QmEngine *e = engine(path, "1x1", 2, 16, "f32", false);
        act = NULL;
        assert_string_equal(qm_engine_info(e)->act, "bf16");
        int64_t vocab = qm_engine_info(e)->vocab;
        float *got = logits_of(e, ids, S, NULL, NULL);
        double off = 0, spread = 0;
        for (int64_t j = 0; j < S * vocab; j++) {
            off += ((double)got[j] - (double)want[j]) * ((double)got[j] - (double)want[j]);
            spread += ((double)low[j] - (double)want[j]) * ((double)low[j] - (double)want[j]);
        }
        print_message("%s: off by %.5f, the reference in bf16 by %.5f (root mean square)\n", cases[i],
                      sqrt(off / (double)(S * vocab)), sqrt(spread / (double)(S * vocab)));
        if (!(off > 0 && off < spread)) fail_msg("%s: off by %g, the reference in bf16 by %g", cases[i], off, spread);
        qm_engine_close(e);
        safetensors_close(&st);
        free(got);
    }
}

/* Blocks of rows and pieces of panels that fit caches of other sizes: the same bits, whatever the activations. */
static void bits_any_caches(void **state) {
    (void)state;
    enum { ROWS = 203 };
    static const CpuCaches caches[] = {{1, 1}, {48 << 10, 2 << 20}, {12 << 10, 200 << 10}, {1 << 20, 64 << 20}};
    static const char *const forms[][3] = {{"f32", NULL, "heads28-4"}, {"int8", "8bit", "heads28-4"},
                                           {"int8", "4bit", "heads14-2"}, {"bf16", "bf16", "llama-9-3"}};
    int32_t ids[ROWS];
    for (int f = 0; f < 4; f++) {
        char path[100];
        float *want = NULL;
        snprintf(path, sizeof path, "tests/golden/%s", forms[f][2]);
        act = forms[f][0], weights_as = forms[f][1];
        for (int i = -1; i < 4; i++) { /* -1: this machine's, few rows at a time */
            if (i >= 0) cpu_caches_set(caches[i]);
            QmEngine *e = engine(path, i % 2 ? "1x3" : "1x1", 2, i < 0 ? 12 : 256, "f32", false);
            cpu_caches_set((CpuCaches){0});
            int64_t vocab = qm_engine_info(e)->vocab;
            prompt(ids, ROWS, vocab);
            float *got = logits_of(e, ids, ROWS, NULL, NULL);
            if (want && memcmp(got, want, (size_t)(ROWS * vocab) * sizeof *got))
                fail_msg("%s %s: caches %d differ by %g", path, act, i, worst(got, want, ROWS * vocab));
            if (want) free(got);
            else want = got;
            qm_engine_close(e);
        }
        free(want);
    }
    act = weights_as = NULL;
}

static bool have_smollm2(void) {
    if (file_exists(smollm_path())) return true;
    printf("SKIP %s is not here: `make model` brings it\n", smollm_path());
    return false;
}

static void bits_smollm2(void **state) {
    (void)state;
    if (!have_smollm2()) skip();
    same_bits(smollm_path(), "f32", most_meshes(), 12);
}

static void bits_smollm2_act(const char *type, const char *weights, const char *const *meshes) {
    act = type, weights_as = weights;
    same_bits(smollm_path(), "f32", meshes, 12);
    int32_t ids[12];
    float *logits[3] = {NULL};
    const char *const tables[] = {NULL, "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        QmEngineOptions o = {.size = sizeof o, .model = smollm_path(), .act = act, .weights = weights_as,
                             .isa = tables[i],
                             .context = 64};
        QmErr err = {0};
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e && strstr(err.text, "this CPU has no")) continue;
        assert_non_null(e);
        int64_t vocab = qm_engine_info(e)->vocab;
        prompt(ids, 12, vocab);
        logits[i] = logits_of(e, ids, 12, NULL, NULL);
        qm_engine_close(e);
        if (i) assert_memory_equal(logits[i], logits[0], (size_t)(12 * vocab) * sizeof(float));
    }
    for (int i = 0; i < 3; i++) free(logits[i]);
    act = weights_as = NULL;
}
static void bits_smollm2_int8(void **state) {
    (void)state;
    if (!have_smollm2()) skip();
    bits_smollm2_act("int8", NULL, most_meshes());
}
static void bits_smollm2_bf16(void **state) {
    (void)state;
    if (!have_smollm2()) skip();
    bits_smollm2_act("bf16", "bf16", few_meshes);
}

/* Continuations of the real model, except where the reference's margin is below 0.01. */
static void golden_smollm2(void **state) {
    (void)state;
    if (!have_smollm2()) skip();
    QmErr err = {0};
    json_t *json = json_file("tests/golden/smollm2-135m/golden.json", 1 << 22, &err), *one;
    size_t at;
    QmEngine *e = engine(smollm_path(), "2x4", 2, 64, "f32", false);
    json_array_foreach(json_object_get(json, "cases"), at, one) {
        json_t *ids = json_object_get(one, "ids"), *want = json_object_get(one, "greedy_new_ids"),
               *margin = json_object_get(one, "greedy_margin");
        int32_t in[256], out[256];
        int n = (int)json_array_size(ids), m = (int)json_array_size(want);
        for (int i = 0; i < n; i++) in[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
        greedy(e, in, n, m, out);
        for (int i = 0; i < m; i++) {
            if (json_number_value(json_array_get(margin, (size_t)i)) < 0.01) break;
            if (out[i] != json_integer_value(json_array_get(want, (size_t)i)))
                fail_msg("case %zu, token %d: %d", at, i, out[i]);
        }
    }
    json_decref(json);
    qm_engine_close(e);
}

/* An interrupt stops a forward that runs; one that came while none ran is gone, and the next forward is whole. */
static void interrupt_between(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[] = {5, 6, 7}, best[3];
    QmEngine *e = engine("tests/golden/tiny", "1x1", 1, 8, "f32", false);
    QmSession *s = qm_session_new(e, &err);
    QmAppend a = {.session = s, .tokens = ids, .count = 3, .logits_from = 3, .argmax = best};
    qm_interrupt(e);
    if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
    assert_int_equal(qm_session_length(s), 3);
    qm_session_free(s);
    qm_engine_close(e);
}

typedef struct Nag { QmEngine *engine; atomic_bool done; } Nag;

static void *nag_main(void *argument) {
    Nag *nag = argument;
    while (!atomic_load(&nag->done)) qm_interrupt(nag->engine);
    return NULL;
}

/* While it runs, it stops between two steps: an error, and no session has changed. */
static void interrupt_within(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[200];
    QmEngine *e = engine("tests/golden/tiny", "1x1", 1, 1, "f32", false);
    QmSession *s = qm_session_new(e, &err);
    prompt(ids, 200, qm_engine_info(e)->vocab);
    QmAppend a = {.session = s, .tokens = ids, .count = 200};
    Nag nag = {.engine = e};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, nag_main, &nag), 0);
    bool ok = true; /* until the other thread gets a core while a forward runs */
    for (int i = 0; i < 2000 && (ok = qm_forward(e, &a, 1, &err)); i++) assert_true(qm_session_crop(s, 0, &err));
    atomic_store(&nag.done, true);
    pthread_join(thread, NULL);
    assert_false(ok);
    assert_string_equal(err.text, "interrupted");
    assert_int_equal(qm_session_length(s), 0);
    qm_session_free(s);
    qm_engine_close(e);
}

int main(void) {
    const struct CMUnitTest others[] = {
        cmocka_unit_test(bits_qwen3_6_3), cmocka_unit_test(bits_qwen3_10_2t), cmocka_unit_test(golden_smollm2),
        cmocka_unit_test(bits_heads28_4), cmocka_unit_test(bits_llama_9_3), cmocka_unit_test(bits_bf16_cache),
        cmocka_unit_test(bits_8bit_cache), cmocka_unit_test(bits_smollm2), cmocka_unit_test(interrupt_between),
        cmocka_unit_test(interrupt_within), cmocka_unit_test(bits_int8_8bit), cmocka_unit_test(bits_int8_4bit),
        cmocka_unit_test(bits_f32_4bit), cmocka_unit_test(int8_is_near), cmocka_unit_test(bits_smollm2_int8),
        cmocka_unit_test(bits_act_bf16), cmocka_unit_test(act_bf16_is_near), cmocka_unit_test(bits_smollm2_bf16),
        cmocka_unit_test(bits_any_caches),
    };
    enum { OTHERS = sizeof others / sizeof *others };
    struct CMUnitTest tests[GOLDEN_CASES + OTHERS];
    golden_tests(tests, golden_case, others, OTHERS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
