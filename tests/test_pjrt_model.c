/* test_pjrt_model.c: golden checkpoints and the real model on the virtual devices of XLA's CPU plugin: the CPU engine's
 * logits to 1e-4 of the largest, its greedy tokens, one compilation a bucket. Every mesh and every graph is there; with
 * QWENMESH_PJRT_ALL=1 every case on every mesh, also those whose rotary table alone differs, which the host computes. Skipped where plugins/ has no plugin (dev/plugins.sh brings it). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>
#include "../src/infer/engine.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "fixture.h"

#define PLUGIN "plugins/pjrt_c_api_cpu_plugin.so"
/* XLA keeps a few bytes of each program it compiles. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

enum { PROMPT = 37, NEW = 6 };

static const char *const meshes[] = {"1x1", "1x2", "1x4", "2x4", "1x8", "8x4", "4x8", "1x32", "dp2,tp4"};
enum { MESHES = sizeof meshes / sizeof *meshes };

static bool all_of_them(void) { return getenv("QWENMESH_PJRT_ALL") != NULL; }

static QmEngine *engine_of(const char *name, const char *backend, const char *mesh, int slots) {
    char path[200];
    QmErr err = {0};
    snprintf(path, sizeof path, "tests/golden/%s", name);
    QmEngineOptions o = {.size = sizeof o, .model = path, .mesh = mesh, .threads = backend ? 0 : 2, .slots = slots, .context = 64, .rows = 40,
                         .backend = backend, .plugin = backend ? PLUGIN : NULL};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s on %s: %s", name, mesh, err.text);
    return e;
}

/* Logits of all prompt rows, then greedy tokens fed one by one, each with its logits; all slots together. */
static void run_model(QmEngine *e, int slots, float *logits, int32_t *tokens) {
    QmErr err = {0};
    int64_t vocab = qm_engine_info(e)->vocab;
    int32_t prompt[4][PROMPT];
    QmAppend a[4];
    for (int s = 0; s < slots; s++) {
        for (int i = 0; i < PROMPT; i++) prompt[s][i] = (int32_t)((i * 37 + s * 11 + 5) % vocab);
        a[s] = (QmAppend){.session = qm_session_new(e, &err),
                          .tokens = prompt[s],
                          .count = PROMPT - s,
                          .logits_from = PROMPT - s,
                          .logits = logits + (int64_t)s * (PROMPT + NEW) * vocab,
                          .argmax = tokens + s * (PROMPT + NEW)};
    }
    if (!qm_forward(e, a, slots, &err)) fail_msg("%s", err.text);
    for (int n = 0; n < NEW; n++) {
        for (int s = 0; s < slots; s++) {
            int64_t at = (n ? PROMPT - s + n : PROMPT - s);
            a[s].tokens = tokens + s * (PROMPT + NEW) + at - 1;
            a[s].count = a[s].logits_from = 1;
            a[s].logits = logits + ((int64_t)s * (PROMPT + NEW) + at) * vocab;
            a[s].argmax = tokens + s * (PROMPT + NEW) + at;
        }
        if (!qm_forward(e, a, slots, &err)) fail_msg("%s", err.text);
    }
    for (int s = 0; s < slots; s++) qm_session_free(a[s].session);
}

static void same_as_cpu(const char *name, const char *mesh, int slots) {
    QmEngine *cpu = engine_of(name, NULL, "1x1", slots), *pjrt = engine_of(name, "pjrt", mesh, slots);
    int64_t vocab = qm_engine_info(cpu)->vocab;
    size_t values = (size_t)(slots * (PROMPT + NEW) * vocab), ids = (size_t)(slots * (PROMPT + NEW));
    float *want = calloc(values, sizeof *want), *got = calloc(values, sizeof *got);
    int32_t *want_ids = calloc(ids, sizeof *want_ids), *got_ids = calloc(ids, sizeof *got_ids);
    run_model(cpu, slots, want, want_ids);
    run_model(pjrt, slots, got, got_ids);
    double most = 0, off = 0;
    for (size_t i = 0; i < values; i++) {
        if (fabs((double)want[i]) > most) most = fabs((double)want[i]);
        double d = fabs((double)want[i] - (double)got[i]);
        if (!(d <= off)) off = d;
    }
    print_message("%s on %s, %d slots: off by %.2g of the largest logit, %d programs\n", name, mesh, slots, off / most,
                  qm_engine_compilations(pjrt));
    if (!(off / most <= 1e-4)) fail_msg("%s on %s: off by %g of the largest logit", name, mesh, off / most);
    assert_memory_equal(want_ids, got_ids, ids * sizeof *got_ids);
    int compiled = qm_engine_compilations(pjrt);
    assert_in_range(compiled, 2, 3); /* decode, and the prefill buckets in use */
    run_model(pjrt, slots, got, got_ids);
    assert_int_equal(qm_engine_compilations(pjrt), compiled); /* none after the first time */
    free(want), free(got), free(want_ids), free(got_ids);
    qm_engine_close(pjrt);
    qm_engine_close(cpu);
}

/* Hidden states after the embedding, every layer and the last norm: pieces of a program leave those of their layers. */
static void same_hidden(const char *mesh) {
    enum { LAYERS = 3 };
    float *states[2];
    int64_t d = 0;
    for (int k = 0; k < 2; k++) {
        QmErr err = {0};
        QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/sliding", .mesh = mesh, .context = 64, .rows = 16, .hidden = true,
                             .backend = k ? "pjrt" : NULL, .plugin = k ? PLUGIN : NULL};
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e) fail_msg("%s", err.text);
        int32_t ids[PROMPT];
        d = qm_engine_info(e)->hidden;
        assert_int_equal(qm_engine_info(e)->layers, LAYERS);
        for (int i = 0; i < PROMPT; i++) ids[i] = (int32_t)((i * 37 + 5) % qm_engine_info(e)->vocab);
        states[k] = calloc((size_t)((LAYERS + 1) * PROMPT * d), sizeof(float));
        QmAppend a = {.session = qm_session_new(e, &err), .tokens = ids, .count = PROMPT, .hidden = states[k]};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        qm_session_free(a.session);
        qm_engine_close(e);
    }
    for (int layer = 0; layer <= LAYERS; layer++) {
        double most = 0, off = 0;
        for (int64_t i = layer * PROMPT * d; i < (layer + 1) * PROMPT * d; i++) {
            most = fmax(most, fabs((double)states[0][i]));
            off = fmax(off, fabs((double)states[0][i] - (double)states[1][i]));
        }
        if (!(most > 0 && off <= 1e-5 * most)) fail_msg("%s, hidden state %d: off by %g of %g", mesh, layer, off, most);
    }
    free(states[0]), free(states[1]);
}

static void need_plugin(void) {
    if (access(PLUGIN, R_OK)) {
        print_message("no %s: dev/plugins.sh brings it\n", PLUGIN);
        skip();
    }
}

static void not_briefly(void) {
    if (!brief()) return;
    print_message("numbers are looked at in the plain build\n");
    skip();
}

static void every_case(void **state) {
    (void)state;
    need_plugin();
    static const char *const names[] = {"tiny", "heads28-4", "heads14-2", "llama-9-3", "sliding", "yarn", "qwen3-6-3",
                                        "qwen3-10-2t", "linear", "dynamic", "llama3"};
    enum { GRAPHS = 8 };
    size_t count = brief() ? 1 : all_of_them() ? sizeof names / sizeof *names : GRAPHS;
    for (size_t i = 0; i < count; i++)
        for (size_t m = 0; m < MESHES; m++)
            if (all_of_them() || m == (i % 2 ? 5 : 3)) same_as_cpu(names[i], meshes[m], 1 + (m == MESHES - 1));
}

static void every_mesh(void **state) {
    (void)state;
    need_plugin();
    for (size_t m = 0; m + 1 < MESHES; m++)
        if (!brief() || m == 4) same_as_cpu("heads28-4", meshes[m], 2);
}

static void hidden_states(void **state) {
    (void)state;
    need_plugin();
    same_hidden("2x4");
    if (!brief()) same_hidden("1x1");
}

/* A prompt that begins where few positions are looked at and ends where all are. */
static void long_prompt(void **state) {
    (void)state;
    need_plugin();
    not_briefly();
    enum { LONG = 600 };
    QmErr err = {0};
    float *logits[3]; /* CPU engine; PJRT with one slot, and with two */
    int64_t vocab = 0;
    for (int k = 0; k < 3; k++) {
        QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/heads14-2", .mesh = "1x2", .slots = k ? k : 1, .context = 1200,
                             .rows = 256, .backend = k ? "pjrt" : NULL, .plugin = k ? PLUGIN : NULL};
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e) fail_msg("%s", err.text);
        vocab = qm_engine_info(e)->vocab;
        int32_t *ids = malloc(LONG * sizeof *ids);
        for (int i = 0; i < LONG; i++) ids[i] = (int32_t)((i * 7919 + 13) % vocab);
        logits[k] = malloc((size_t)(2 * vocab) * sizeof(float));
        QmAppend a = {.session = qm_session_new(e, &err), .tokens = ids, .count = 300, .logits_from = 1,
                      .logits = logits[k]};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        a = (QmAppend){.session = a.session, .tokens = ids + 300, .count = LONG - 300, .logits_from = 1,
                       .logits = logits[k] + vocab};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        /* decode, and 256 rows that look at 512 positions (three times) and at all */
        if (k) assert_int_equal(qm_engine_compilations(e), 3);
        qm_session_free(a.session);
        qm_engine_close(e);
        free(ids);
    }
    double most = 0, off = 0;
    for (int64_t i = 0; i < 4 * vocab; i++) {
        const float *got = logits[1 + i / (2 * vocab)];
        most = fmax(most, fabs((double)logits[0][i % (2 * vocab)]));
        off = fmax(off, fabs((double)logits[0][i % (2 * vocab)] - (double)got[i % (2 * vocab)]));
    }
    if (!(off <= 1e-4 * most)) fail_msg("off by %g of the largest logit", off / most);
    for (int k = 0; k < 3; k++) free(logits[k]);
}

/* Weights, activations and cache in bf16: as far from f32 as the reference's own bf16 run, neither nearer nor further.
 */
static void weights_in_bf16(void **state) {
    (void)state;
    need_plugin();
    static const char *const cases[] = {"heads28-4", "qwen3-10-2t", "tiny", "llama-9-3", "sliding"};
    enum { LENGTH = 40 };
    for (size_t i = 0; i < (brief() ? 1 : all_of_them() ? sizeof cases / sizeof *cases : 2); i++) {
        char model[100], path[200];
        QmErr err = {0};
        SafeTensors st;
        snprintf(model, sizeof model, "tests/golden/%s", cases[i]);
        snprintf(path, sizeof path, "%s/golden.safetensors", model);
        assert_true(safetensors_open(&st, path, &err));
        QmEngineOptions o = {.size = sizeof o, .model = model, .mesh = i % 2 ? "8x4" : "2x4", .slots = 1, .context = 64, .rows = LENGTH,
                             .backend = "pjrt", .plugin = PLUGIN, .weights = "bf16"};
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e) fail_msg("%s", err.text);
        size_t values = (size_t)(LENGTH * qm_engine_info(e)->vocab);
        float *got = malloc(values * sizeof *got);
        const float *f32 = (const float *)(const void *)safetensors_find(&st, "logits")->data,
                    *bf16 = (const float *)(const void *)safetensors_find(&st, "logits_bf16_compute")->data;
        QmAppend a = {.session = qm_session_new(e, &err), .count = LENGTH, .logits_from = LENGTH, .logits = got,
                      .tokens = (const int32_t *)(const void *)safetensors_find(&st, "input_ids")->data};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        double ours = 0, theirs = 0;
        for (size_t v = 0; v < values; v++) {
            ours += pow((double)got[v] - (double)f32[v], 2);
            theirs += pow((double)bf16[v] - (double)f32[v], 2);
        }
        print_message("%s in bf16: %.2f of the reference's distance to f32\n", model, sqrt(ours / theirs));
        if (!(ours <= 2.25 * theirs && ours >= 0.01 * theirs)) fail_msg("%s: %g", model, sqrt(ours / theirs));
        free(got);
        qm_session_free(a.session);
        qm_engine_close(e);
        safetensors_close(&st);
    }
}

/* Greedy continuations of five prompts together, as the reference has them wherever its margin is no tie. */
static void real_model_on(const char *mesh, const json_t *cases) {
    enum { PROMPTS = 5, STEPS = 24 };
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = smollm_path(), .mesh = mesh, .slots = PROMPTS, .context = 128, .rows = 32,
                         .backend = "pjrt", .plugin = PLUGIN};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    int32_t prompt[PROMPTS][64], next[PROMPTS];
    QmAppend a[PROMPTS];
    assert_int_equal(json_array_size(cases), PROMPTS);
    for (int s = 0; s < PROMPTS; s++) {
        const json_t *ids = json_object_get(json_array_get(cases, (size_t)s), "ids");
        int64_t count = (int64_t)json_array_size(ids);
        assert_in_range(count, 1, 64);
        for (int64_t i = 0; i < count; i++) prompt[s][i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
        a[s] = (QmAppend){.session = qm_session_new(e, &err), .tokens = prompt[s], .count = count, .logits_from = 1,
                          .argmax = &next[s]};
    }
    for (size_t i = 0; i < STEPS; i++) {
        if (!qm_forward(e, a, PROMPTS, &err)) fail_msg("%s", err.text);
        for (int s = 0; s < PROMPTS; s++) {
            const json_t *one = json_array_get(cases, (size_t)s);
            int32_t want = (int32_t)json_integer_value(json_array_get(json_object_get(one, "greedy_new_ids"), i));
            double margin = json_number_value(json_array_get(json_object_get(one, "greedy_margin"), i));
            if (next[s] != want && margin > 1e-3)
                fail_msg("%s, prompt %d, step %zu: %d, expected %d (margin %g)", mesh, s, i, next[s], want, margin);
            prompt[s][0] = want;
            a[s].tokens = prompt[s];
            a[s].count = 1;
        }
    }
    print_message("%s on %s: %d x %d greedy tokens, %d programs\n", smollm_path(), mesh, PROMPTS, STEPS,
                  qm_engine_compilations(e));
    for (int s = 0; s < PROMPTS; s++) qm_session_free(a[s].session);
    qm_engine_close(e);
}

static void real_model(void **state) {
    (void)state;
    need_plugin();
    not_briefly();
    if (access(smollm_path(), R_OK)) {
        print_message("no %s: `make model` brings it\n", smollm_path());
        skip();
    }
    Err err = {0};
    json_t *json = json_file("tests/golden/smollm2-135m/golden.json", 1 << 20, &err);
    assert_non_null(json);
    for (size_t m = 0; m < MESHES; m++)
        if (all_of_them() || m == 3) real_model_on(meshes[m], json_object_get(json, "cases"));
    json_decref(json);
}

static void data_parallel(void **state) {
    (void)state;
    need_plugin();
    same_as_cpu("llama-9-3", "dp2,tp4", 4);
    if (!brief()) same_as_cpu("heads28-4", "dp2,tp2", 3);
}

/* What a session copied, within a replica and across, goes on as the original would; slots of others stay. */
static void copies(const char *mesh, int slots) {
    QmErr err = {0};
    QmEngine *e = engine_of("llama-9-3", "pjrt", mesh, slots);
    int64_t vocab = qm_engine_info(e)->vocab;
    int32_t ids[PROMPT];
    float *want = calloc((size_t)vocab, sizeof *want), *got = calloc((size_t)vocab, sizeof *got);
    QmSession *session[4];
    for (int i = 0; i < PROMPT; i++) ids[i] = (int32_t)((i * 7919 + 13) % vocab);
    for (int s = 0; s < slots; s++) assert_non_null(session[s] = qm_session_new(e, &err));
    QmAppend all = {.session = session[0], .tokens = ids, .count = PROMPT, .logits_from = 1, .logits = want};
    assert_true(qm_forward(e, &all, 1, &err));
    for (int s = 1; s < slots; s++) { /* the small prefill */
        QmAppend other = {.session = session[s], .tokens = ids + s, .count = PROMPT - s - 10};
        assert_true(qm_forward(e, &other, 1, &err));
    }
    int before = qm_engine_compilations(e);
    for (int n = 5; n < PROMPT; n += 12)
        for (int s = 1; s < slots; s++) {
            QmAppend rest = {.session = session[s], .tokens = ids + n, .count = PROMPT - n, .logits_from = 1,
                             .logits = got};
            if (!qm_session_copy(session[s], session[s - 1], n, &err)) fail_msg("%s", err.text);
            assert_int_equal(qm_session_length(session[s]), n);
            assert_true(qm_forward(e, &rest, 1, &err));
            double most = 0, off = 0;
            for (int64_t v = 0; v < vocab; v++) {
                most = fmax(most, fabs((double)want[v]));
                off = fmax(off, fabs((double)want[v] - (double)got[v]));
            }
            if (!(off <= 1e-5 * most)) fail_msg("%s, slot %d from %d: off by %g", mesh, s, s - 1, off / most);
        }
    print_message("copies on %s: %d programs before, %d after\n", mesh, before, qm_engine_compilations(e));
    assert_in_range(qm_engine_compilations(e), before + 1, before + 1); /* the copier, once */
    assert_false(qm_session_copy(session[1], session[0], PROMPT + 1, &err));
    for (int s = 0; s < slots; s++) qm_session_free(session[s]);
    free(want), free(got);
    qm_engine_close(e);
}

static void session_copies(void **state) {
    (void)state;
    need_plugin();
    if (!brief()) copies("2x4", 3);
    copies("dp2,tp2", 4);
}

/* More runs in a step than XLA CPU lets a device have begun (pieces.c), then as many copies that nothing is read
 * between: without a wait in each run all stands still. Every prompt's logits are those it has alone. */
static void many_runs(void **state) {
    (void)state;
    need_plugin();
    enum { SLOTS = 24, COPIES = 3 * SLOTS, TOKENS = 20, PATIENCE = 300 };
    QmErr err = {0};
    alarm(PATIENCE);
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/sliding", .mesh = "2x4", .slots = SLOTS, .context = 64,
                         .rows = SLOTS * TOKENS, .backend = "pjrt", .plugin = PLUGIN};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    size_t vocab = (size_t)qm_engine_info(e)->vocab;
    float *together = calloc(SLOTS * vocab, sizeof(float)), *alone = calloc(SLOTS * vocab, sizeof(float));
    int32_t ids[SLOTS][TOKENS];
    QmAppend a[SLOTS];
    for (size_t s = 0; s < SLOTS; s++) {
        for (size_t i = 0; i < TOKENS; i++) ids[s][i] = (int32_t)((i * 37 + s * 11 + 5) % vocab);
        a[s] = (QmAppend){.session = qm_session_new(e, &err), .tokens = ids[s], .count = TOKENS, .logits_from = 1,
                          .logits = together + s * vocab};
    }
    for (int round = 0; round < 4; round++) {
        if (!qm_forward(e, a, SLOTS, &err)) fail_msg("%s", err.text);
        for (size_t i = 0; i < COPIES; i++)
            if (!qm_session_copy(a[i % (SLOTS - 1)].session, a[SLOTS - 1].session, TOKENS, &err))
                fail_msg("%s", err.text);
        for (size_t s = 0; s < SLOTS; s++) assert_true(qm_session_crop(a[s].session, 0, &err));
    }
    for (size_t s = 0; s < SLOTS; s++) {
        a[s].logits = alone + s * vocab;
        if (!qm_forward(e, &a[s], 1, &err)) fail_msg("%s", err.text);
    }
    double most = 0, off = 0;
    for (size_t i = 0; i < SLOTS * vocab; i++) {
        most = fmax(most, fabs((double)alone[i]));
        off = fmax(off, fabs((double)alone[i] - (double)together[i]));
    }
    if (!(most > 0 && off <= 1e-5 * most)) fail_msg("off by %g of the largest logit", off / most);
    for (size_t s = 0; s < SLOTS; s++) qm_session_free(a[s].session);
    free(together), free(alone);
    qm_engine_close(e);
    alarm(0);
}

/* What is told of a row when it is asked whether that is enough, which it never is: the whole row follows. */
typedef struct Told { float *row, floor; int64_t vocab; int times; } Told;

static bool never_enough(void *owner, const float *row, float floor) {
    Told *t = owner;
    memcpy(t->row, row, (size_t)t->vocab * sizeof *row);
    t->floor = floor;
    t->times++;
    return false;
}

/* A row of candidates beside the whole row: of each shard its k largest, to the bit, and the bound is the largest of
 * the shards' k-th; a shard that is told whole has no bound. */
static void same_candidates(const QmEngine *e, const Told *told, const float *logits, int64_t k, const char *what) {
    float floor = -INFINITY;
    for (int d = 0; d < e->program.partition->mesh.tp; d++) {
        Range v = partition_range(e->program.partition, AXIS_VOCAB, d);
        float least = INFINITY, rest = -INFINITY;
        int64_t count = 0, size = v.last - v.first;
        for (int64_t i = v.first; i < v.last; i++) {
            bool is = told->row[i] != -INFINITY;
            if (is && memcmp(&told->row[i], &logits[i], sizeof(float))) fail_msg("%s: id %d", what, (int)i);
            if (is) count++, least = fminf(least, logits[i]);
            else rest = fmaxf(rest, logits[i]);
        }
        if (count != (k < size ? k : size)) fail_msg("%s: %d candidates of shard %d", what, (int)count, d);
        if (rest > least) fail_msg("%s, shard %d: %g is no candidate, %g is one", what, d, (double)rest, (double)least);
        if (size > k) floor = fmaxf(floor, least);
    }
    if (memcmp(&floor, &told->floor, sizeof floor))
        fail_msg("%s: expected the bound %g, got %g", what, (double)floor, (double)told->floor);
}

static void candidates_on(const char *mesh, const char *k, int slots) {
    QmErr err = {0};
    char what[64];
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/llama-9-3", .mesh = mesh, .slots = slots, .context = 64, .rows = 40,
                         .backend = "pjrt", .plugin = PLUGIN, .candidates = k};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    int64_t vocab = qm_engine_info(e)->vocab;
    int32_t ids[PROMPT];
    Told told[4];
    QmAppend a[4];
    for (int s = 0; s < slots; s++) {
        told[s] = (Told){.row = calloc((size_t)vocab, sizeof(float)), .vocab = vocab};
        for (int i = 0; i < PROMPT; i++) ids[i] = (int32_t)((i * 37 + 5) % vocab);
        a[s] = (QmAppend){.session = qm_session_new(e, &err), .tokens = ids, .count = PROMPT - s, .logits_from = 1,
                          .logits = calloc((size_t)vocab, sizeof(float)), .enough = never_enough, .owner = &told[s]};
    }
    for (int step = 0; step < 3; step++) { /* the prompts, then single rows of all slots */
        if (!qm_forward(e, a, slots, &err)) fail_msg("%s", err.text);
        for (int s = 0; s < slots; s++) {
            snprintf(what, sizeof what, "%s, %s a device, slot %d, step %d", mesh, k, s, step);
            assert_int_equal(told[s].times, step + 1);
            same_candidates(e, &told[s], a[s].logits, strtol(k, NULL, 10), what);
            a[s].count = 1;
        }
    }
    for (int s = 0; s < slots; s++) {
        qm_session_free(a[s].session);
        free(told[s].row), free(a[s].logits);
    }
    qm_engine_close(e);
}

/* One candidate, a few, all but one of a shard, all of it. */
static void candidates(void **state) {
    (void)state;
    need_plugin();
    if (!brief()) candidates_on("2x4", "1", 2);
    if (all_of_them()) candidates_on("2x4", "63", 2);
    if (!brief()) candidates_on("1x4", "127", 1);
    candidates_on("dp2,tp4", "128", 3);
    if (!brief()) candidates_on("1x3", "5", 2); /* shards of different sizes */
}

static void bad_options(void **state) {
    (void)state;
    static const struct { const char *plugin, *weights, *says;
    } cases[] = {{"no/such/plugin.so", NULL, "no/such/plugin.so"},
                 {PLUGIN, "4bit", "f32 or bf16"},
                 {"Makefile", NULL, "Makefile"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        QmErr err = {0};
        QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny",
                             .backend = "pjrt",
                             .plugin = cases[i].plugin,
                             .weights = cases[i].weights};
        if (!strcmp(cases[i].plugin, PLUGIN) && access(PLUGIN, R_OK)) continue;
        assert_null(qm_engine_open(&o, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("expected %s in: %s", cases[i].says, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case), cmocka_unit_test(every_mesh),
                                       cmocka_unit_test(data_parallel),
                                       cmocka_unit_test(session_copies), cmocka_unit_test(many_runs),
                                       cmocka_unit_test(candidates),
                                       cmocka_unit_test(hidden_states),
                                       cmocka_unit_test(long_prompt),
                                       cmocka_unit_test(weights_in_bf16), cmocka_unit_test(real_model),
                                       cmocka_unit_test(bad_options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
