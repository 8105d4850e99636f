/* adapter_cases.h: a model with adapters of PEFT, its golden logits, and adapters of a test's own making. */
#ifndef ADAPTER_CASES_H
#define ADAPTER_CASES_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../src/cpu/packed_file.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "../src/model/model_folder.h"
#include "fixture.h"

#define MODEL "tests/golden/train-lora"

enum { B = 2, S = 24, V = 384, VALUES = B * S * V };

FIXTURE char test_folder[] = "/tmp/qwenmesh-lora-XXXXXX";
FIXTURE SafeTensors golden;

FIXTURE int setup(void **state) {
    Err err = {0};
    (void)state;
    return mkdtemp(test_folder) && safetensors_open(&golden, MODEL "/golden.safetensors", &err) ? 0 : -1;
}
FIXTURE int teardown(void **state) {
    char command[64];
    (void)state;
    safetensors_close(&golden);
    snprintf(command, sizeof command, "rm -rf %s", test_folder);
    return system(command);
}

/* A path in the test's folder; of the last four calls. */
FIXTURE const char *in_folder(const char *name) {
    static char path[4][160];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", test_folder, name);
    return path[at];
}

FIXTURE const float *floats(const char *name) {
    const SafeTensor *t = safetensors_find(&golden, name);
    assert_non_null(t);
    return (const float *)(const void *)t->data;
}

FIXTURE QmEngineOptions options_of(const char *model, const char *lora) {
    QmEngineOptions o;
    qm_engine_options(&o);
    o.model = model;
    o.lora = lora;
    o.slots = B;
    o.context = 64;
    o.rows = 40;
    o.threads = 2;
    return o;
}

/* Logits [B][S][V] of the golden rows. */
FIXTURE void logits_of(const QmEngineOptions *o, float *out) {
    Err err = {0};
    QmAppend append[B];
    QmEngine *e = qm_engine_open(o, &err);
    if (!e) fail_msg("%s with %s: %s", o->model, o->lora ? o->lora : "nothing", err.text);
    const int32_t *ids = (const int32_t *)(const void *)floats("input_ids");
    for (int b = 0; b < B; b++) {
        append[b] = (QmAppend){.session = qm_session_new(e, &err), .tokens = ids + b * S, .count = S,
                               .logits_from = S, .logits = out + b * S * V};
        assert_non_null(append[b].session);
    }
    if (!qm_forward(e, append, B, &err)) fail_msg("%s", err.text);
    for (int b = 0; b < B; b++) qm_session_free(append[b].session);
    qm_engine_close(e);
}

/* The largest difference, of the largest number. */
FIXTURE double distance(const float *want, const float *got, int64_t count) {
    double most = 0, off = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)want[i] - (double)got[i]);
        if (!(d <= off)) off = d;
        if (fabs((double)want[i]) > most) most = fabs((double)want[i]);
    }
    return off / most;
}

FIXTURE void near(const char *what, const float *want, const float *got, int64_t count, double tolerance) {
    double d = distance(want, got, count);
    if (!(d <= tolerance)) fail_msg("%s: expected within %g of the largest, got %g", what, tolerance, d);
}

FIXTURE void same(const char *what, const float *want, const float *got) {
    for (int i = 0; i < VALUES; i++)
        if (memcmp(&want[i], &got[i], sizeof *got)) fail_msg("%s: number %d: expected %.9g, got %.9g", what, i,
                                                             (double)want[i], (double)got[i]);
}

FIXTURE float first[VALUES], second[VALUES], third[VALUES];

/* A base, packed. */
FIXTURE void pack_model(const char *model, const char *how, const char *out) {
    Err err = {0};
    ModelConfig config;
    ModelGraph m;
    PackedReport report = {0};
    QmSource *source = source_open(model, &err);
    Weights *w = source && config_load(&config, source, &err) ? model_weights(&config, source, &err) : NULL;
    Workers *workers = workers_new(1, false, &err);
    PackedJob job = {.graph = &m.graph, .weights = w, .source = source, .how = how, .out = out};
    if (!w || !workers || !model_graph(&m, &config, 8, 64, false, &err) ||
        !packed_file_write(&job, workers, &report, &err))
        fail_msg("%s", err.text);
    model_graph_free(&m);
    workers_free(workers);
    weights_close(w);
    source_close(source);
}

/* ---- Golden adapters ------------------------------------------------------------------------------------------- */

FIXTURE const struct { const char *folder, *logits; } cases[] = {
    {"adapter-lora-0", "lora.logits0"}, {"adapter-lora-10", "lora.logits"}, {"adapter-rslora-0", "rslora.logits0"},
    {"adapter-dora-0", "dora.logits0"}, {"adapter-dora-5", "dora.logits"},  {"adapter-zero-0", "zero.logits0"},
    {"adapter-zero-2", "zero.logits"},
};
enum { CASES = sizeof cases / sizeof *cases };

FIXTURE const char *adapter(int i) {
    static char path[2][128];
    static int at;
    at = !at;
    snprintf(path[at], sizeof path[at], MODEL "/%s", cases[i].folder);
    return path[at];
}

/* ---- Adapters of the test's own making --------------------------------------------------------------------------- */

typedef struct Maker { SafeTensor t[128]; float *data[128]; int64_t count; } Maker;

FIXTURE float *maker_add(Maker *m, const char *name, int64_t rows, int64_t columns) {
    SafeTensor *t = &m->t[m->count];
    int64_t n = rows * (columns ? columns : 1);
    *t = (SafeTensor){.name = strdup(name), .dtype = DTYPE_F32, .rank = columns ? 2 : 1, .dim = {rows, columns},
                      .bytes = (size_t)n * sizeof(float)};
    m->data[m->count] = calloc((size_t)n, sizeof(float));
    t->data = (const uint8_t *)m->data[m->count];
    return m->data[m->count++];
}

/* All tensors of a golden adapter. */
FIXTURE void maker_copy(Maker *m, const char *path) {
    SafeTensors st;
    Err err = {0};
    char file[160];
    *m = (Maker){0};
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", path);
    if (!safetensors_open(&st, file, &err)) fail_msg("%s", err.text);
    for (int64_t i = 0; i < st.count; i++) {
        const SafeTensor *t = &st.tensors[i];
        memcpy(maker_add(m, t->name, t->dim[0], t->rank > 1 ? t->dim[1] : 0), t->data, t->bytes);
    }
    safetensors_close(&st);
}

FIXTURE void maker_free(Maker *m) {
    for (int64_t i = 0; i < m->count; i++) free((char *)(uintptr_t)m->t[i].name), free(m->data[i]);
}

FIXTURE int maker_find(const Maker *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (strstr(m->t[i].name, name)) return i;
    fail_msg("no tensor %s", name);
    return 0;
}

FIXTURE void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A folder of the test's own with these files. */
FIXTURE const char *maker_write(const Maker *m, const char *name, const char *config) {
    static char path[192];
    char file[256];
    Err err = {0};
    snprintf(path, sizeof path, "%s", in_folder(name));
    mkdir(path, 0700);
    snprintf(file, sizeof file, "%s/adapter_config.json", path);
    write_text(file, config);
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", path);
    SafeWriter *w = safewriter_open(file, m->t, m->count, &err);
    for (int64_t i = 0; w && i < m->count; i++) safewriter_data(w, m->t[i].data, m->t[i].bytes, &err);
    if (!w || !safewriter_close(w, &err)) fail_msg("%s", err.text);
    return path;
}

#define CONFIG "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": \"all-linear\"%s}"
FIXTURE const char *config_with(const char *more) {
    static char text[1024];
    snprintf(text, sizeof text, CONFIG, more);
    return text;
}

/* One module has twice the rank, A and B twice: with the same alpha that is the same sum. The others are padded. */
#define RANKS ", \"rank_pattern\": {\"1.mlp.down_proj\": 8}"
FIXTURE void maker_ranks(Maker *twice) {
    Maker m;
    maker_copy(&m, adapter(1));
    int a = maker_find(&m, "1.mlp.down_proj.lora_A"), b = maker_find(&m, "1.mlp.down_proj.lora_B");
    *twice = m;
    int64_t in = m.t[a].dim[1], out = m.t[b].dim[0], r = 4;
    float *wide_a = maker_add(twice, m.t[a].name, 2 * r, in), *wide_b = maker_add(twice, m.t[b].name, out, 2 * r);
    for (int64_t i = 0; i < 2 * r * in; i++) wide_a[i] = m.data[a][i % (r * in)];
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < 2 * r; i++) wide_b[o * 2 * r + i] = m.data[b][o * r + i % r];
    free((char *)(uintptr_t)twice->t[a].name), free(twice->data[a]);
    free((char *)(uintptr_t)twice->t[b].name), free(twice->data[b]);
    twice->t[a] = twice->t[twice->count - 2], twice->data[a] = twice->data[twice->count - 2];
    twice->t[b] = twice->t[twice->count - 1], twice->data[b] = twice->data[twice->count - 1];
    twice->count -= 2;
}

FIXTURE void base_open(SafeTensors *base) {
    Err err = {0};
    if (!safetensors_open(base, MODEL "/model.safetensors", &err)) fail_msg("%s", err.text);
}

/* A head of its own: twice the embedding. */
#define HEAD ", \"modules_to_save\": [\"lm_head\"]"
FIXTURE void maker_head(Maker *m) {
    SafeTensors base;
    base_open(&base);
    maker_copy(m, adapter(1));
    const SafeTensor *embedding = safetensors_find(&base, "model.embed_tokens.weight");
    float *head = maker_add(m, "base_model.model.lm_head.weight", embedding->dim[0], embedding->dim[1]);
    for (int64_t i = 0; i < embedding->dim[0] * embedding->dim[1]; i++)
        head[i] = 2 * ((const float *)(const void *)embedding->data)[i];
    safetensors_close(&base);
}

/* The base's biases, of v_proj with `more` in each. */
#define BIASES ", \"bias\": \"lora_only\""
FIXTURE void maker_biases(Maker *m, float more) {
    static const char *const theirs[] = {"model.layers.0.self_attn.q_proj.bias", "model.layers.1.self_attn.v_proj.bias"};
    static const char *const ours[] = {"base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias",
                                       "base_model.model.model.layers.1.self_attn.v_proj.bias"};
    SafeTensors base;
    base_open(&base);
    maker_copy(m, adapter(1));
    for (int i = 0; i < 2; i++) {
        const SafeTensor *bias = safetensors_find(&base, theirs[i]);
        memcpy(maker_add(m, ours[i], bias->dim[0], 0), bias->data, bias->bytes);
    }
    for (int64_t i = 0; i < m->t[m->count - 1].dim[0]; i++) m->data[m->count - 1][i] += more;
    safetensors_close(&base);
}

/* A and B of the head alone. */
#define OF_HEAD "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"lm_head\"]}"
FIXTURE void maker_of_head(Maker *m) {
    *m = (Maker){0};
    float *a = maker_add(m, "base_model.model.lm_head.lora_A.weight", 4, 96);
    float *b = maker_add(m, "base_model.model.lm_head.lora_B.weight", V, 4);
    for (int i = 0; i < 4 * 96; i++) a[i] = (float)(i % 11 - 5) / 16;
    for (int i = 0; i < V * 4; i++) b[i] = (float)(i % 13 - 6) / 16;
}

/* Writes what one of these made, and frees it. */
FIXTURE const char *made(Maker *m, const char *name, const char *config) {
    maker_write(m, name, config);
    maker_free(m);
    return in_folder(name);
}
#endif
