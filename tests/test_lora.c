/* test_lora.c: adapters of PEFT beside a model's linears: golden logits on every mesh with the same bits, over bases of
 * every kind; several at once; worked into the weights; written and begun anew; files that must be refused. */
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
#include "../src/model/adapter_fresh.h"
#include "../src/model/adapter_merge.h"
#include "../src/model/adapter_write.h"
#include "../src/model/model_folder.h"
#include "../src/model/weight_rows.h"
#include "fixture.h"
#include "gguf_write.h"

#define MODEL "tests/golden/train-lora"
#define PLUGIN "plugins/pjrt_c_api_cpu_plugin.so"
/* XLA keeps a few bytes of each program it compiles. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

enum { B = 2, S = 24, V = 384, VALUES = B * S * V };

static char folder[] = "/tmp/qwenmesh-lora-XXXXXX";
static SafeTensors golden;

static int setup(void **state) {
    Err err = {0};
    (void)state;
    return mkdtemp(folder) && safetensors_open(&golden, MODEL "/golden.safetensors", &err) ? 0 : -1;
}
static int teardown(void **state) {
    char command[64];
    (void)state;
    safetensors_close(&golden);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A path in the test's folder; of the last four calls. */
static const char *in_folder(const char *name) {
    static char path[4][160];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

static const float *floats(const char *name) {
    const SafeTensor *t = safetensors_find(&golden, name);
    assert_non_null(t);
    return (const float *)(const void *)t->data;
}

static QmEngineOptions options_of(const char *model, const char *lora) {
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
static void logits_of(const QmEngineOptions *o, float *out) {
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
static double distance(const float *want, const float *got, int64_t count) {
    double most = 0, off = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)want[i] - (double)got[i]);
        if (!(d <= off)) off = d;
        if (fabs((double)want[i]) > most) most = fabs((double)want[i]);
    }
    return off / most;
}

static void near(const char *what, const float *want, const float *got, int64_t count, double tolerance) {
    double d = distance(want, got, count);
    if (!(d <= tolerance)) fail_msg("%s: expected within %g of the largest, got %g", what, tolerance, d);
}

static void same(const char *what, const float *want, const float *got) {
    for (int i = 0; i < VALUES; i++)
        if (memcmp(&want[i], &got[i], sizeof *got)) fail_msg("%s: number %d: expected %.9g, got %.9g", what, i,
                                                             (double)want[i], (double)got[i]);
}

static float first[VALUES], second[VALUES], third[VALUES];

/* ---- Golden ------------------------------------------------------------------------------------------------------ */

static const struct { const char *folder, *logits; } cases[] = {
    {"adapter-lora-0", "lora.logits0"}, {"adapter-lora-10", "lora.logits"}, {"adapter-rslora-0", "rslora.logits0"},
    {"adapter-dora-0", "dora.logits0"}, {"adapter-dora-5", "dora.logits"},  {"adapter-zero-0", "zero.logits0"},
    {"adapter-zero-2", "zero.logits"},
};
enum { CASES = sizeof cases / sizeof *cases };

static const char *adapter(int i) {
    static char path[2][128];
    static int at;
    at = !at;
    snprintf(path[at], sizeof path[at], MODEL "/%s", cases[i].folder);
    return path[at];
}

static void golden_on_every_mesh(void **state) {
    static const char *const meshes[] = {"1x1", "2x4", "5x3", "dp2,tp3", "1x8", "dp3,tp1"};
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int m = 0; m < (brief() ? 3 : 6); m++) {
            QmEngineOptions o = options_of(MODEL, adapter(i));
            o.mesh = meshes[m];
            o.threads = 1 + m % 3;
            o.rows = m % 2 ? 7 : 40;
            logits_of(&o, m ? second : first);
            if (!m) near(cases[i].folder, floats(cases[i].logits), first, VALUES, 1e-5);
            else same(meshes[m], first, second);
        }
}

static void every_instruction_set(void **state) {
    (void)state;
    for (int i = 1; i < 5; i += 3) {
        QmEngineOptions o = options_of(MODEL, adapter(i));
        logits_of(&o, first);
        o.isa = "reference";
        logits_of(&o, second);
        same("plain C", first, second);
    }
}

static void on_a_plugin(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    for (int i = 1; i < 5; i += 3) {
        QmEngineOptions o = options_of(MODEL, adapter(i));
        o.mesh = "1x4";
        o.backend = "pjrt";
        o.plugin = PLUGIN;
        o.weights = "f32";
        o.threads = 0;
        logits_of(&o, second);
        near(cases[i].folder, floats(cases[i].logits), second, VALUES, 1e-5);
    }
}

/* ---- Bases ------------------------------------------------------------------------------------------------------- */

static void pack_model(const char *model, const char *how, const char *out) {
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

/* A packed file has the bits of what it came from, an adapter beside it too; norms of DoRA come out of its panels. */
static void packed_bases(void **state) {
    (void)state;
    pack_model(MODEL, "file", in_folder("base.packed"));
    for (int i = 1; i < 5; i += 3) {
        QmEngineOptions o = options_of(MODEL, adapter(i));
        logits_of(&o, first);
        o.model = in_folder("base.packed");
        logits_of(&o, second);
        same("packed", first, second);
    }
}

/* The base in 8 bits, the adapter as it is: near to what it gives with the base in f32, and the same from a file. */
static void converted_bases(void **state) {
    (void)state;
    QmEngineOptions o = options_of(MODEL, adapter(1));
    o.weights = "8bit";
    logits_of(&o, first);
    near("8bit", floats("lora.logits"), first, VALUES, 0.06);
    o.mesh = "2x4";
    logits_of(&o, second);
    same("8bit on a mesh", first, second);
    pack_model(MODEL, "8bit", in_folder("8bit.packed"));
    o = options_of(in_folder("8bit.packed"), adapter(1));
    logits_of(&o, second);
    same("8bit, packed", first, second);
    o = options_of(MODEL, adapter(1));
    o.act = "int8";
    o.weights = "4bit";
    logits_of(&o, first);
    assert_true(distance(floats("lora.logits"), first, VALUES) < 0.5);
    o = options_of(MODEL, adapter(1));
    o.kv_cache = "8bit";
    logits_of(&o, first);
    near("cache in 8 bits", floats("lora.logits"), first, VALUES, 0.03);
}

/* Quantised GGUF and the folder of its values. */
static void gguf_bases(void **state) {
    (void)state;
    static const int which[] = {1, 4};
    for (int i = 0; i < 2; i++) {
        const char *gguf = in_folder(i ? "b.gguf" : "a.gguf"), *twin = in_folder(i ? "twin-b" : "twin-a");
        Err err = {0};
        if (!twin_gguf(MODEL, DTYPE_Q4_0, gguf, &err) || !twin_folder(MODEL, DTYPE_Q4_0, twin, &err))
            fail_msg("%s", err.text);
        QmEngineOptions o = options_of(gguf, adapter(which[i]));
        logits_of(&o, first);
        o.model = twin;
        logits_of(&o, second);
        same("GGUF", first, second);
    }
}

/* ---- Several, and how strongly ----------------------------------------------------------------------------------- */

static void several_add_up(void **state) {
    char two[512];
    (void)state;
    QmEngineOptions o = options_of(MODEL, NULL);
    logits_of(&o, third);
    snprintf(two, sizeof two, "%s:0", adapter(1));
    o.lora = two;
    logits_of(&o, first);
    near("nothing of it", third, first, VALUES, 1e-7);
    snprintf(two, sizeof two, "a=%s:0.5\nb=%s:0.5", adapter(1), adapter(1));
    logits_of(&o, first);
    near("two halves", floats("lora.logits"), first, VALUES, 1e-5);
    o.mesh = "5x3";
    logits_of(&o, second);
    same("two halves on a mesh", first, second);
    /* Other scales than the first's are in B: 2 and 4, of which a half and twice give the same sum. */
    snprintf(two, sizeof two, "%s:0.5\n%s:2", adapter(2), adapter(5));
    logits_of(&o, first);
    snprintf(two, sizeof two, "%s:2\nthe-other=%s:0.5", adapter(5), adapter(2));
    logits_of(&o, second);
    near("in the other order", first, second, VALUES, 1e-6);
    assert_true(distance(third, first, VALUES) > 1e-3);
    snprintf(two, sizeof two, "%s:0.5", adapter(2)); /* the other one's B is zero */
    logits_of(&o, second);
    near("and nothing", second, first, VALUES, 1e-6);
}

/* ---- Adapters of the test's own making --------------------------------------------------------------------------- */

typedef struct Maker { SafeTensor t[128]; float *data[128]; int64_t count; } Maker;

static float *maker_add(Maker *m, const char *name, int64_t rows, int64_t columns) {
    SafeTensor *t = &m->t[m->count];
    int64_t n = rows * (columns ? columns : 1);
    *t = (SafeTensor){.name = strdup(name), .dtype = DTYPE_F32, .rank = columns ? 2 : 1, .dim = {rows, columns},
                      .bytes = (size_t)n * sizeof(float)};
    m->data[m->count] = calloc((size_t)n, sizeof(float));
    t->data = (const uint8_t *)m->data[m->count];
    return m->data[m->count++];
}

/* All tensors of a golden adapter. */
static void maker_copy(Maker *m, const char *path) {
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

static void maker_free(Maker *m) {
    for (int64_t i = 0; i < m->count; i++) free((char *)(uintptr_t)m->t[i].name), free(m->data[i]);
}

static int maker_find(const Maker *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (strstr(m->t[i].name, name)) return i;
    fail_msg("no tensor %s", name);
    return 0;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A folder of the test's own with these files. */
static const char *maker_write(const Maker *m, const char *name, const char *config) {
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
static const char *config_with(const char *more) {
    static char text[1024];
    snprintf(text, sizeof text, CONFIG, more);
    return text;
}

/* One module has twice the rank, A and B twice: with the same alpha that is the same sum. The others are padded. */
static void ranks_of_their_own(void **state) {
    Maker m;
    (void)state;
    maker_copy(&m, adapter(1));
    int a = maker_find(&m, "1.mlp.down_proj.lora_A"), b = maker_find(&m, "1.mlp.down_proj.lora_B");
    Maker twice = m;
    int64_t in = m.t[a].dim[1], out = m.t[b].dim[0], r = 4;
    twice.count = m.count;
    float *wide_a = maker_add(&twice, m.t[a].name, 2 * r, in), *wide_b = maker_add(&twice, m.t[b].name, out, 2 * r);
    for (int64_t i = 0; i < 2 * r * in; i++) wide_a[i] = m.data[a][i % (r * in)];
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < 2 * r; i++) wide_b[o * 2 * r + i] = m.data[b][o * r + i % r];
    free((char *)(uintptr_t)twice.t[a].name), free(twice.data[a]);
    free((char *)(uintptr_t)twice.t[b].name), free(twice.data[b]);
    twice.t[a] = twice.t[twice.count - 2], twice.data[a] = twice.data[twice.count - 2];
    twice.t[b] = twice.t[twice.count - 1], twice.data[b] = twice.data[twice.count - 1];
    twice.count -= 2;
    const char *path = maker_write(&twice, "ranks", config_with(", \"rank_pattern\": {\"1.mlp.down_proj\": 8}"));
    QmEngineOptions o = options_of(MODEL, path);
    logits_of(&o, first);
    near("rank_pattern", floats("lora.logits"), first, VALUES, 1e-5);
    o.mesh = "2x4";
    logits_of(&o, second);
    same("rank_pattern on a mesh", first, second);
    /* alpha of every module by a regular expression, twice what the file says, taken back by the strength. */
    char half[256];
    snprintf(half, sizeof half, "%s:0.5", maker_write(&twice, "alphas", config_with(
        ", \"rank_pattern\": {\"1.mlp.down_proj\": 8}, "
        "\"alpha_pattern\": {\"layers\\\\.\\\\d+\\\\..*_(proj|none)\": 16}")));
    o = options_of(MODEL, half);
    logits_of(&o, second);
    same("alpha_pattern", first, second);
    maker_free(&twice);
}

/* Biases and a head of its own, without which the tied embedding stays what it is. */
static void other_weights(void **state) {
    static const char *const biases[] = {"base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias",
                                         "base_model.model.model.layers.1.self_attn.v_proj.bias"};
    Maker m;
    (void)state;
    QmEngineOptions o = options_of(MODEL, adapter(1));
    logits_of(&o, first);
    SafeTensors base;
    Err err = {0};
    if (!safetensors_open(&base, MODEL "/model.safetensors", &err)) fail_msg("%s", err.text);
    maker_copy(&m, adapter(1));
    const SafeTensor *embedding = safetensors_find(&base, "model.embed_tokens.weight");
    float *head = maker_add(&m, "base_model.model.lm_head.weight", embedding->dim[0], embedding->dim[1]);
    for (int64_t i = 0; i < embedding->dim[0] * embedding->dim[1]; i++)
        head[i] = 2 * ((const float *)(const void *)embedding->data)[i];
    o.lora = maker_write(&m, "head", config_with(", \"modules_to_save\": [\"lm_head\"]"));
    logits_of(&o, second);
    for (int i = 0; i < VALUES; i++) third[i] = 2 * first[i];
    same("a head of twice the numbers", third, second);
    o.model = in_folder("base.packed");
    logits_of(&o, second);
    same("the same beside a packed file", third, second);
    o.model = MODEL;
    maker_free(&m);
    maker_copy(&m, adapter(1));
    for (int i = 0; i < 2; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.%s.bias", i, i ? "v_proj" : "q_proj");
        const SafeTensor *bias = safetensors_find(&base, name);
        float *own = maker_add(&m, biases[i], bias->dim[0], 0);
        memcpy(own, bias->data, bias->bytes);
    }
    o.lora = maker_write(&m, "biases", config_with(", \"bias\": \"all\""));
    logits_of(&o, second);
    same("the base's own biases", first, second);
    for (int i = 0; i < 32; i++) m.data[m.count - 1][i] += 1; /* of v_proj: adds the sum of o_proj's columns */
    o.lora = maker_write(&m, "biases", config_with(", \"bias\": \"lora_only\""));
    logits_of(&o, second);
    assert_true(distance(first, second, VALUES) > 1e-3);
    o.mesh = "2x4";
    logits_of(&o, third);
    same("biases on a mesh", second, third);
    maker_free(&m);
    safetensors_close(&base);
}

/* An adapter for labels makes a classifier of a causal base. */
static void labels_on_a_causal_base(void **state) {
    Maker m;
    Err err = {0};
    (void)state;
    maker_copy(&m, adapter(1));
    float *score = maker_add(&m, "base_model.model.score.weight", 3, 96);
    for (int i = 0; i < 3 * 96; i++) score[i] = (float)(i % 7) - 3;
    QmEngineOptions o = options_of(MODEL, maker_write(&m, "labels", config_with(", \"task_type\": \"SEQ_CLS\"")));
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    assert_string_equal(qm_engine_info(e)->head, "sequence");
    assert_int_equal(qm_engine_info(e)->labels, 3);
    assert_int_equal(qm_engine_output(e, "logits"), 3);
    qm_engine_close(e);
    maker_free(&m);
}

/* Beside a head, tied or not, and where the rows are those whose logits are asked for. */
static void a_head_with_an_adapter(void **state) {
    Maker m = {0};
    (void)state;
    float *a = maker_add(&m, "base_model.model.lm_head.lora_A.weight", 4, 96);
    float *b = maker_add(&m, "base_model.model.lm_head.lora_B.weight", V, 4);
    for (int i = 0; i < 4 * 96; i++) a[i] = (float)(i % 11 - 5) / 16;
    for (int i = 0; i < V * 4; i++) b[i] = (float)(i % 13 - 6) / 16;
    QmEngineOptions o = options_of(MODEL, maker_write(&m, "of-head", "{\"peft_type\": \"LORA\", \"r\": 4, "
                                                      "\"target_modules\": [\"lm_head\"]}"));
    logits_of(&o, first);
    o.mesh = "2x4";
    logits_of(&o, second);
    same("lm_head on a mesh", first, second);
    o.lora = NULL;
    logits_of(&o, second);
    assert_true(distance(second, first, VALUES) > 1e-3);
    maker_free(&m);
}

/* ---- A model and its adapters, opened ---------------------------------------------------------------------------- */

typedef struct Opened {
    QmSource *source;
    ModelConfig config;
    Adapters *adapters;
    Weights *weights;
    ModelGraph model;
} Opened;

static bool opened_new(Opened *o, const char *model, Adapters *adapters, Err *err) {
    *o = (Opened){.adapters = adapters};
    return adapters && (o->source = source_open(model, err)) && config_load(&o->config, o->source, err) &&
           adapters_configure(adapters, &o->config, err) && (o->weights = model_weights(&o->config, o->source, err)) &&
           adapters_join(adapters, &o->config, o->weights, err) &&
           model_graph(&o->model, &o->config, 8, 64, false, err);
}

static void opened_free(Opened *o) {
    model_graph_free(&o->model);
    weights_close(o->weights);
    adapters_free(o->adapters);
    source_close(o->source);
}

static const float *part_of(const Opened *o, const char *module, const char *part) {
    const WeightTensor *t = adapters_find(o->adapters, part_name(module, part).text);
    assert_non_null(t);
    return (const float *)(const void *)t->data;
}

static void open_with(Opened *o, const char *model, const char *lora) {
    Err err = {0};
    if (!opened_new(o, model, adapters_open(lora, &err), &err)) fail_msg("%s with %s: %s", model, lora, err.text);
}

/* ---- Worked into the weights ------------------------------------------------------------------------------------- */

static const SaveTensor *merged_named(const MergedWeights *m, const char *name) {
    for (int64_t i = 0; i < m->count; i++)
        if (!strcmp(m->tensors[i].name, name)) return &m->tensors[i];
    return NULL;
}

static void save_merged(Opened *o, const MergedWeights *m, const char *out) {
    Err err = {0};
    ModelSave save = {.source = o->source, .config = &o->config, .tensors = m->tensors, .count = m->count,
                      .dtype = DTYPE_F32};
    if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
}

static void merged_into_a_folder(void **state) {
    static const char *const names[] = {"model.layers.0.self_attn.k_proj.weight",
                                        "model.layers.1.mlp.down_proj.weight"};
    (void)state;
    for (int i = 1; i < 5; i++) { /* lora-10, rslora-0, dora-0, dora-5 */
        Opened o;
        Err err = {0};
        MergedWeights m;
        open_with(&o, MODEL, adapter(i));
        if (!merged_weights(&m, o.adapters, &o.config, o.weights, &err)) fail_msg("%s", err.text);
        assert_int_equal(m.count, 26); /* a tied model of two layers */
        for (int k = 0; i == 1 && k < 2; k++) {
            char golden_name[80];
            const SaveTensor *t = merged_named(&m, names[k]);
            snprintf(golden_name, sizeof golden_name, "merged.%s", names[k]);
            float *rows = calloc((size_t)(t->dim[0] * t->dim[1]), sizeof *rows);
            for (int64_t row = 0; row < t->dim[0]; row += 16) /* in pieces */
                assert_true(t->read(t->owner, row, 16, rows + row * t->dim[1], &err));
            near(names[k], floats(golden_name), rows, t->dim[0] * t->dim[1], 3e-7);
            free(rows);
        }
        const char *out = in_folder("merged");
        save_merged(&o, &m, out);
        merged_weights_free(&m);
        opened_free(&o);
        QmEngineOptions with = options_of(out, NULL);
        logits_of(&with, first);
        near(cases[i].folder, floats(cases[i].logits), first, VALUES, 1e-5);
    }
}

/* A tied head that an adapter stands beside becomes a weight of its own; a quantised base has its own values. */
static void merged_bases(void **state) {
    Opened o;
    Err err = {0};
    MergedWeights m;
    (void)state;
    const char *lora = in_folder("of-head"), *out = in_folder("merged-head");
    open_with(&o, MODEL, lora);
    if (!merged_weights(&m, o.adapters, &o.config, o.weights, &err)) fail_msg("%s", err.text);
    assert_true(!o.config.tied && merged_named(&m, "lm_head.weight") && m.count == 27);
    save_merged(&o, &m, out);
    merged_weights_free(&m);
    opened_free(&o);
    QmEngineOptions with = options_of(out, NULL), beside = options_of(MODEL, lora);
    logits_of(&with, first);
    logits_of(&beside, second);
    near("a head of its own", second, first, VALUES, 1e-5);
    static const char *const bases[] = {"8bit.packed", "a.gguf"};
    for (int i = 0; i < 2; i++) {
        const char *base = in_folder(bases[i]);
        open_with(&o, base, adapter(1));
        if (!merged_weights(&m, o.adapters, &o.config, o.weights, &err)) fail_msg("%s", err.text);
        const SaveTensor *t = merged_named(&m, "model.layers.0.mlp.up_proj.weight");
        size_t n = (size_t)(t->dim[0] * t->dim[1]);
        float *rows = calloc(n, sizeof *rows), *plain = calloc(n, sizeof *plain);
        assert_true(t->read(t->owner, 0, t->dim[0], rows, &err));
        assert_true(weight_rows(weights_find(o.weights, t->name), 0, t->dim[0], plain, &err));
        const float *a = part_of(&o, "model.layers.0.mlp.up_proj", ADAPTER_A);
        const float *b = part_of(&o, "model.layers.0.mlp.up_proj", ADAPTER_B);
        for (int64_t r = 0; r < t->dim[0]; r++)
            for (int64_t k = 0; k < t->dim[1]; k++)
                for (int l = 0; l < 4; l++) plain[r * t->dim[1] + k] += 2 * b[r * 4 + l] * a[l * t->dim[1] + k];
        near(bases[i], plain, rows, t->dim[0] * t->dim[1], 1e-6);
        free(rows);
        free(plain);
        merged_weights_free(&m);
        opened_free(&o);
    }
}

/* ---- Written, and begun anew ------------------------------------------------------------------------------------- */

static json_t *config_of(const char *path) {
    char file[256];
    Err err = {0};
    snprintf(file, sizeof file, "%s/adapter_config.json", path);
    json_t *root = json_file(file, 1 << 20, &err);
    if (!root) fail_msg("%s", err.text);
    return root;
}

static void written_is_read(void **state) {
    (void)state;
    for (int i = 1; i < 5; i++) {
        Opened o;
        Err err = {0};
        const char *out = in_folder("written");
        open_with(&o, MODEL, adapter(i));
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
        opened_free(&o);
        QmEngineOptions a = options_of(MODEL, adapter(i)), b = options_of(MODEL, out);
        logits_of(&a, first);
        logits_of(&b, second);
        same(cases[i].folder, first, second);
        json_t *root = config_of(out);
        assert_string_equal(json_string_value(json_object_get(root, "peft_type")), "LORA");
        assert_string_equal(json_string_value(json_object_get(root, "task_type")), "CAUSAL_LM");
        assert_int_equal(json_integer_value(json_object_get(root, "r")), 4);
        assert_int_equal(json_integer_value(json_object_get(root, "lora_alpha")), 8);
        assert_int_equal(json_is_true(json_object_get(root, "use_rslora")), i == 2);
        assert_int_equal(json_is_true(json_object_get(root, "use_dora")), i > 2);
        assert_int_equal(json_array_size(json_object_get(root, "target_modules")), 7);
        assert_int_equal(json_object_size(json_object_get(root, "alpha_pattern")), 0);
        json_decref(root);
    }
    /* Different ranks and several adapters are written as one of the largest rank. */
    char two[512];
    snprintf(two, sizeof two, "%s\n%s:3", in_folder("ranks"), adapter(5));
    for (int i = 0; i < 2; i++) {
        Opened o;
        Err err = {0};
        const char *from = i ? two : in_folder("ranks"), *out = in_folder("joined");
        open_with(&o, MODEL, from);
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
        opened_free(&o);
        QmEngineOptions a = options_of(MODEL, from), b = options_of(MODEL, out);
        logits_of(&a, first);
        logits_of(&b, second);
        same("as one", first, second);
    }
}

/* Names as PEFT gives them, whatever class the model is. */
static void names_of_files(void **state) {
    static const struct { Head head; const char *name, *file; } names[] = {
        {HEAD_CAUSAL, "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
         "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"},
        {HEAD_QUESTION, "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
         "base_model.model.transformer.layers.0.mlp.up_proj.lora_A.weight"},
        {HEAD_ABSENT, "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight",
         "base_model.model.layers.0.mlp.up_proj.lora_B.weight"},
        {HEAD_CAUSAL, "model.layers.0.self_attn.q_proj.bias",
         "base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias"},
        {HEAD_ABSENT, "model.layers.0.self_attn.q_proj.bias",
         "base_model.model.layers.0.self_attn.q_proj.base_layer.bias"},
        {HEAD_SEQUENCE, "score.weight", "base_model.model.score.weight"},
    };
    Opened o;
    (void)state;
    open_with(&o, MODEL, adapter(1));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char out[160];
        o.config.head = names[i].head;
        adapter_file_name(o.adapters, &o.config, names[i].name, out, sizeof out);
        assert_string_equal(out, names[i].file);
    }
    opened_free(&o);
    /* Biases and a head come back. */
    static const char *const more[] = {"biases", "head"};
    for (int i = 0; i < 2; i++) {
        Err err = {0};
        const char *from = in_folder(more[i]), *out = in_folder("rewritten");
        open_with(&o, MODEL, from);
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
        opened_free(&o);
        QmEngineOptions a = options_of(MODEL, from), b = options_of(MODEL, out);
        logits_of(&a, first);
        logits_of(&b, second);
        same(more[i], first, second);
    }
}

static bool read_ones(void *owner, const char *name, float *out, Err *err) {
    const Opened *o = owner;
    (void)err;
    const WeightTensor *t = adapters_find(o->adapters, name);
    for (int64_t i = 0; i < t->dim[0] * (t->rank > 1 ? t->dim[1] : 1); i++) out[i] = 1;
    return true;
}

static Adapters *fresh(const AdapterInit *init, Err *err) {
    ModelConfig c;
    QmSource *source = source_open(MODEL, err);
    Adapters *a = source && config_load(&c, source, err) ? adapters_fresh(init, &c, err) : NULL;
    source_close(source);
    return a;
}

/* A tied model: what is saved has its numbers, and the other of embedding and head stays frozen. */
static void saved_whole(void **state) {
    (void)state;
    static const struct { const char *saved; bool embedding, head, tied; int norms; } saved[] = {
        {"lm_head", false, true, false, 0}, {"embed_tokens", true, false, false, 0},
        {"embed_tokens,lm_head", true, true, false, 0}, {"input_layernorm,v_proj", false, false, true, 2},
        {"norm", false, false, true, 5}, /* PEFT's rule: the end of a name */
    };
    QmEngineOptions plain = options_of(MODEL, NULL);
    logits_of(&plain, first);
    for (size_t i = 0; i < sizeof saved / sizeof *cases; i++) {
        Opened o;
        Err err = {0};
        int norms = 0;
        const AdapterInit init = {.rank = 2, .saved = saved[i].saved};
        if (!opened_new(&o, MODEL, fresh(&init, &err), &err)) fail_msg("%s", err.text);
        for (int64_t k = 0; k < o.adapters->tensor_count; k++)
            norms += strstr(o.adapters->tensors[k].name, "norm.weight") != NULL;
        const WeightTensor *embedding = adapters_find(o.adapters, "model.embed_tokens.weight");
        const WeightTensor *head = adapters_find(o.adapters, "lm_head.weight");
        bool trained[] = {embedding && !embedding->frozen, head && !head->frozen};
        if (trained[0] != saved[i].embedding || trained[1] != saved[i].head || norms != saved[i].norms ||
            o.config.tied != saved[i].tied || o.adapters->count != (i == 3 ? 2 : 4))
            fail_msg("%s: embedding %d, head %d, %d norms, tied %d, %lld linears", saved[i].saved, trained[0],
                     trained[1], norms, o.config.tied, (long long)o.adapters->count);
        const char *out = in_folder("saved");
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
        plain.lora = out;
        logits_of(&plain, second);
        same(saved[i].saved, first, second);
        opened_free(&o);
    }
}

static void begun_anew(void **state) {
    (void)state;
    AdapterInit init = {.rank = 6, .alpha = 12, .targets = "all-linear", .seed = 3, .dropout = 0.25, .base = MODEL "/"};
    QmEngineOptions plain = options_of(MODEL, NULL);
    logits_of(&plain, first);
    float begin[6 * 96] = {0};
    for (int dora = 0; dora < 2; dora++) {
        Opened o;
        Err err = {0};
        const char *out = in_folder(dora ? "fresh-dora" : "fresh");
        init.dora = dora;
        if (!opened_new(&o, MODEL, fresh(&init, &err), &err)) fail_msg("%s", err.text);
        assert_int_equal(o.adapters->count, 14);
        const WeightTensor *a = adapters_find(o.adapters, part_name("model.layers.1.self_attn.q_proj", ADAPTER_A).text);
        const float *values = (const float *)(const void *)a->data;
        double bound = 1 / sqrt(96.0), sum = 0, square = 0;
        for (int i = 0; i < 6 * 96; i++) {
            assert_true(fabs((double)values[i]) <= bound);
            sum += (double)values[i], square += (double)values[i] * (double)values[i];
            if (dora) assert_true(values[i] == begin[i]); /* by seed, name and index */
            begin[i] = values[i];
        }
        assert_true(fabs(sum / (6 * 96)) < bound / 8 && fabs(square / (6 * 96) / (bound * bound / 3) - 1) < 0.2);
        if (dora) { /* magnitudes are the norms of rows, as PEFT's */
            Maker m;
            maker_copy(&m, adapter(3));
            int at = maker_find(&m, "0.self_attn.k_proj.lora_magnitude");
            near("magnitudes", m.data[at], part_of(&o, "model.layers.0.self_attn.k_proj", ADAPTER_MAGNITUDE), 32, 1e-6);
            maker_free(&m);
        }
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
        plain.lora = out;
        logits_of(&plain, second);
        near("nothing learned yet", first, second, VALUES, 1e-6);
        json_t *root = config_of(out);
        assert_string_equal(json_string_value(json_object_get(root, "target_modules")), "all-linear");
        assert_string_equal(json_string_value(json_object_get(root, "base_model_name_or_path")), "train-lora");
        assert_true(json_real_value(json_object_get(root, "lora_dropout")) == 0.25);
        json_decref(root);
        if (!adapter_save(o.adapters, &o.config, out, DTYPE_BF16, read_ones, &o, &err)) fail_msg("%s", err.text);
        logits_of(&plain, second);
        assert_true(distance(first, second, VALUES) > 1e-2);
        opened_free(&o);
    }
    static const struct { AdapterInit init; const char *says; } wrong[] = {
        {{.targets = "q_proj,nothing"}, "no linear called nothing"}, {{.targets = ""}, "expected NAME"},
        {{.targets = "q_proj,,k_proj"}, "expected NAME"}, {{.rank = 1 << 20}, "expected 1 to 65536"},
        {{.targets = "model"}, "no linear called model"},
        {{.targets = "embed_tokens"}, "no linear called embed_tokens"},
        {{.saved = "q_proj,v_proj"}, "not saved whole"}, {{.saved = ""}, "expected NAME"},
        {{.saved = "nothing"}, "no module called nothing"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Err err = {0};
        assert_null(fresh(&wrong[i].init, &err));
        if (!strstr(err.text, wrong[i].says)) fail_msg("expected '%s', got '%s'", wrong[i].says, err.text);
    }
}

/* ---- What must be refused ---------------------------------------------------------------------------------------- */

static void refused(const char *lora, const char *says) {
    Err err = {0};
    QmEngineOptions o = options_of(MODEL, lora);
    QmEngine *e = qm_engine_open(&o, &err);
    if (e) fail_msg("%s: opened, expected '%s'", lora, says);
    if (!strstr(err.text, says)) fail_msg("expected '%s', got '%s'", says, err.text);
}

static void bad_configurations(void **state) {
    static const struct { const char *config, *says; } bad[] = {
        {"{", "not valid JSON"}, {"[]", "expected an object"}, {"{}", "peft_type: expected LORA, got nothing"},
        {"{\"peft_type\": \"IA3\"}", "expected LORA, got IA3"},
        {"{\"peft_type\": \"LORA\", \"r\": 0}", "r: expected an integer from 1"},
        {"{\"peft_type\": \"LORA\", \"r\": 8}", "expected lora_A [8,in]"},
        {"{\"peft_type\": \"LORA\", \"r\": 1000000000}", "r: expected an integer from 1 to 65536"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": \"x\"}", "lora_alpha: expected a number"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"bias\": \"some\"}", "bias: expected none, all or lora_only"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"use_dora\": true}", "has no magnitude"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"use_dora\": 1}", "use_dora: expected true or false"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"init_lora_weights\": \"pissa\"}", "changes the base model's weights"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_bias\": true}", "lora_bias is not supported"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"layer_replication\": [[0, 2]]}", "layer_replication is not supported"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"alora_invocation_tokens\": [1]}", "alora_invocation_tokens"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"trainable_token_indices\": [1]}", "trainable_token_indices"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"q_proj\"]}", "not among target_modules"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": \".*q_proj\"}", "not among target_modules"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": \"(\"}", "the pattern ("},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": 7}", "expected a list of names"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [7]}", "expected names"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"rank_pattern\": {\"q_proj\": 2}}", "expected lora_A [2,in]"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"rank_pattern\": {\"q_proj\": -2}}", "expected a number from 1"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"alpha_pattern\": {\"(a|aa)+$|q_proj(\": 2}}", "alpha_pattern"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"alpha_pattern\": {\"((\\\\w|\\\\.)+)+[!?]\": 2}}", "alpha_pattern"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"task_type\": \"SEQ_CLS\"}", "brings no score.weight"},
    };
    Maker m;
    (void)state;
    maker_copy(&m, adapter(1));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(maker_write(&m, "bad", bad[i].config), bad[i].says);
    maker_free(&m);
}

#define LONG "base_model.model.model.layers.of.a.name.that.no.graph.has.room.for."

/* A tensor is renamed, or gets another shape. */
static void bad_tensors(void **state) {
    static const struct { const char *name, *to; int64_t dim[2]; const char *says; } bad[] = {
        {"0.mlp.up_proj.lora_A", "base_model.model.model.layers.0.mlp.up_proj.lora_X.weight", {0}, "expected base"},
        {"0.mlp.up_proj.lora_A", "model.layers.0.mlp.up_proj.lora_A.weight", {0}, "expected base_model"},
        {"0.mlp.up_proj.lora_A", "base_model.model.model.layers.0.mlp.up_proj.lora_embedding_A", {0}, "expected base"},
        {"0.mlp.up_proj.lora_A", "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight", {0}, "is missing"},
        {"0.mlp.up_proj.lora_A", "base_model.model.layers.0.mlp.up_proj.lora_A.weight", {0}, NULL},
        {"0.mlp.up_proj.lora_A", "base_model.model.layers.1.mlp.up_proj.lora_A.weight", {0}, "is there twice"},
        {"0.mlp.up_proj.lora_A", NULL, {96, 4}, "expected lora_A [4,in]"},
        {"0.mlp.up_proj.lora_A", NULL, {4, 95}, "wrong shape"},
        {"0.mlp.up_proj.lora_B", NULL, {223, 4}, "wrong shape"},
        {"0.mlp.up_proj.lora_B", NULL, {0, 4}, "expected lora_A [4,in]"},
        {"0.mlp.up_proj.lora_B", "base_model.model.model.layers.0.mlp.up_proj.bias", {0}, "lora_B is missing"},
        {"0.mlp.up_proj.lora_B", LONG LONG ".lora_B.weight", {0}, "expected a name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Maker m;
        maker_copy(&m, adapter(1));
        int at = maker_find(&m, bad[i].name);
        if (bad[i].to) free((char *)(uintptr_t)m.t[at].name), m.t[at].name = strdup(bad[i].to);
        if (bad[i].dim[1]) {
            m.t[at].dim[0] = bad[i].dim[0], m.t[at].dim[1] = bad[i].dim[1];
            m.t[at].bytes = (size_t)(bad[i].dim[0] * bad[i].dim[1]) * sizeof(float);
        }
        const char *path = maker_write(&m, "bad", config_with(""));
        QmEngineOptions o = options_of(MODEL, path);
        if (bad[i].says) refused(path, bad[i].says);
        else logits_of(&o, first);
        maker_free(&m);
    }
    near("without model. in front", floats("lora.logits"), first, VALUES, 1e-5);
}

static void bad_places(void **state) {
    Maker m;
    char text[512];
    (void)state;
    refused("/nowhere", "cannot open the adapter /nowhere");
    refused("", "got nothing");
    refused(MODEL, "is no adapter: it has no adapter_config.json");
    snprintf(text, sizeof text, "%s:x", adapter(1));
    refused(text, "expected [NAME=]DIR[:SCALE] with a number");
    snprintf(text, sizeof text, "%s\n%s", adapter(1), adapter(4));
    refused(text, "a DoRA adapter scales the weights");
    snprintf(text, sizeof text, "%s\n%s", adapter(1), in_folder("head"));
    refused(text, "brings lm_head.weight");
    maker_copy(&m, adapter(1));
    maker_add(&m, "base_model.model.model.layers.0.self_attn.o_proj.bias", 96, 0);
    refused(maker_write(&m, "bad", config_with("")), "has no place in the model");
    maker_free(&m);
    m = (Maker){0};
    refused(maker_write(&m, "bad", config_with("")), "holds no tensors");
    char other[256];
    Err err = {0};
    snprintf(other, sizeof other, "%s", adapter(4)); /* sizes of another model: norms are of nothing */
    QmEngineOptions o = options_of("tests/golden/tiny", other);
    assert_null(qm_engine_open(&o, &err));
    assert_non_null(strstr(err.text, "which the model does not have"));
}

/* ---- Chosen by request -------------------------------------------------------------------------------------------- */

#define CHOICES "ten=" MODEL "/adapter-lora-10\nzero=" MODEL "/adapter-zero-2:2\nrs=" MODEL "/adapter-rslora-0:0.5"
static const struct { const char *name, *alone; } chosen[] = {
    {"ten", MODEL "/adapter-lora-10"}, {NULL, NULL}, {"rs", MODEL "/adapter-rslora-0:0.5"},
    {"zero", MODEL "/adapter-zero-2:2"}, {NULL, NULL}, {"ten", MODEL "/adapter-lora-10"}};
enum { CHOSEN = sizeof chosen / sizeof *chosen };

/* Each of a mixed batch has the bits that its adapter gives alone, and without one those of the plain model. */
static void chosen_in_one_batch(void **state) {
    static const struct { const char *mesh, *weights, *act; } bases[] = {
        {"1x1", NULL, NULL}, {"2x2", NULL, NULL}, {"dp2,tp2", NULL, NULL}, {"1x1", "8bit", "int8"}, {"1x3", "4bit", "int8"}};
    static float got[CHOSEN][S * V];
    const int32_t *ids = (const int32_t *)(const void *)floats("input_ids");
    (void)state;
    for (size_t i = 0; i < sizeof bases / sizeof *bases && (i < 2 || !brief()); i++) {
        Err err = {0};
        QmAppend append[CHOSEN];
        QmEngineOptions o = options_of(MODEL, NULL);
        o.mesh = bases[i].mesh, o.weights = bases[i].weights, o.act = bases[i].act, o.adapters = CHOICES;
        o.slots = CHOSEN;
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e) fail_msg("%s", err.text);
        assert_string_equal(qm_engine_adapter(e, 1), "zero");
        assert_null(qm_engine_adapter(e, 3));
        for (int k = 0; k < CHOSEN; k++) {
            append[k] = (QmAppend){.session = qm_session_new(e, &err), .tokens = ids, .count = S, .logits_from = S,
                                   .logits = got[k]};
            assert_true(append[k].session && qm_session_adapter(append[k].session, chosen[k].name, &err));
        }
        assert_false(qm_session_adapter(append->session, "eleven", &err));
        assert_non_null(strstr(err.text, "eleven"));
        err = (Err){0};
        if (!qm_forward(e, append, CHOSEN, &err)) fail_msg("%s", err.text);
        assert_true(qm_session_adapter(append->session, "ten", &err) && qm_session_length(append->session) == S);
        assert_true(qm_session_adapter(append->session, "rs", &err) && qm_session_length(append->session) == 0);
        for (int k = 0; k < CHOSEN; k++) qm_session_free(append[k].session);
        qm_engine_close(e);
        for (int k = 0; k < CHOSEN; k++) {
            o = options_of(MODEL, chosen[k].alone);
            o.weights = bases[i].weights, o.act = bases[i].act;
            logits_of(&o, first);
            for (int n = 0; n < S * V; n++)
                if (memcmp(&first[n], &got[k][n], sizeof *first))
                    fail_msg("%s, %s, row %d: number %d: expected %.9g, got %.9g", bases[i].mesh,
                             chosen[k].name ? chosen[k].name : "none", k, n, (double)first[n], (double)got[k][n]);
        }
        for (int k = 0; k < 2; k++) assert_true(memcmp(got[k], got[k + 1], sizeof *got)); /* they do differ */
    }
}

typedef struct Answered { char proof[65]; int32_t ids[8]; int64_t count, reused; } Answered;
static void answered(void *owner, const QmAnswer *a) {
    Answered *to = owner;
    if (a->failed) fail_msg("%s", a->failed->text);
    snprintf(to->proof, sizeof to->proof, "%s", a->sequences->proof);
    to->count = a->sequences->count;
    to->reused = a->reused;
    memcpy(to->ids, a->sequences->ids, (size_t)to->count * sizeof *to->ids);
}

static void ask_for(QmGenerator *g, QmSource *source, const char *json, const char *adapter, Answered *to) {
    Err err = {0};
    QmParameters *p = qm_parameters_new(source, &err);
    assert_true(p && qm_parameters_set(p, json, strlen(json), &err));
    QmRequest r = {.size = sizeof r, .ids = (const int32_t *)(const void *)floats("input_ids"), .count = S, .parameters = p,
                   .sink = {.owner = to, .done = answered}, .adapter = adapter, .proof = true};
    if (!qm_generator_add(g, &r, &err)) fail_msg("%s", err.text);
    qm_parameters_free(p);
}

static void answer_all(QmGenerator *g) {
    Err err = {0};
    while (qm_generator_busy(g))
        if (!qm_generator_step(g, &err)) fail_msg("%s", err.text);
}

/* Greedy, beams, lookups and samples of several adapters in one batch: what each is alone; a prompt's beginning is taken
 * over between requests of one adapter only. */
static void chosen_by_requests(void **state) {
    static const char *const kinds[] = {
        "{\"max_new_tokens\": 6, \"eos_token_id\": null}", "{\"max_new_tokens\": 6, \"num_beams\": 3, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 6, \"prompt_lookup_num_tokens\": 3, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 6, \"num_return_sequences\": 2, \"do_sample\": true, \"seed\": 4, \"eos_token_id\": null}"};
    static Answered want[4][3], got[4][3], again;
    static const char *const names[] = {"ten", NULL, "rs"}, *const alone[] = {MODEL "/adapter-lora-10", NULL,
                                                                             MODEL "/adapter-rslora-0:0.5"};
    Err err = {0};
    (void)state;
    QmSource *source = qm_source_open(MODEL, &err);
    for (int k = 0; k < 3; k++) {
        QmEngineOptions o = options_of(MODEL, alone[k]);
        o.slots = 4;
        QmEngine *e = qm_engine_open(&o, &err);
        QmGenerator *g = e ? qm_generator_new(e, NULL, NULL, &err) : NULL;
        if (!g) fail_msg("%s", err.text);
        for (int i = 0; i < 4; i++) ask_for(g, source, kinds[i], NULL, &want[i][k]), answer_all(g);
        qm_generator_free(g);
        qm_engine_close(e);
    }
    QmEngineOptions o = options_of(MODEL, NULL);
    o.adapters = CHOICES, o.slots = 9, o.mesh = "2x2";
    QmEngine *e = qm_engine_open(&o, &err);
    QmGenerator *g = e ? qm_generator_new(e, NULL, NULL, &err) : NULL;
    if (!g) fail_msg("%s", err.text);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) ask_for(g, source, kinds[i], names[k], &got[i][k]);
    answer_all(g);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            assert_string_equal(got[i][k].proof, want[i][k].proof);
            assert_memory_equal(got[i][k].ids, want[i][k].ids, sizeof want[i][k].ids);
        }
    for (int k = 0; k < 3; k++) assert_int_equal(got[0][k].reused, 0);
    ask_for(g, source, kinds[0], "ten", &again);
    answer_all(g);
    assert_int_equal(again.reused, S - 1);
    ask_for(g, source, kinds[0], "zero", &again);
    answer_all(g);
    assert_int_equal(again.reused, 0);
    QmRequest bad = {.size = sizeof bad, .adapter = "none of these"};
    assert_true(qm_generator_add(g, &bad, &err) == 0 && strstr(err.text, "none of these"));
    qm_generator_free(g);
    qm_engine_close(e);
    qm_source_close(source);
}

static void bad_choices(void **state) {
    static const struct { const char *lora, *adapters, *want; } bad[] = {
        {NULL, "d=" MODEL "/adapter-dora-5", "DoRA"}, {NULL, MODEL "/adapter-lora-10", "NAME=DIR"},
        {NULL, "a=" MODEL "/adapter-lora-10\na=" MODEL "/adapter-zero-2", "the name is taken"},
        {MODEL "/adapter-lora-10", "a=" MODEL "/adapter-lora-10", "not both"}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        Err err = {0};
        QmEngineOptions o = options_of(MODEL, bad[i].lora);
        o.adapters = bad[i].adapters;
        assert_null(qm_engine_open(&o, &err));
        if (!strstr(err.text, bad[i].want)) fail_msg("expected '%s', got '%s'", bad[i].want, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_on_every_mesh), cmocka_unit_test(every_instruction_set), cmocka_unit_test(on_a_plugin),
        cmocka_unit_test(packed_bases),         cmocka_unit_test(converted_bases),       cmocka_unit_test(gguf_bases),
        cmocka_unit_test(several_add_up),       cmocka_unit_test(ranks_of_their_own),
        cmocka_unit_test(other_weights),        cmocka_unit_test(labels_on_a_causal_base),
        cmocka_unit_test(a_head_with_an_adapter), cmocka_unit_test(merged_into_a_folder),
        cmocka_unit_test(merged_bases),         cmocka_unit_test(written_is_read),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(begun_anew), cmocka_unit_test(saved_whole),           cmocka_unit_test(bad_configurations),    cmocka_unit_test(bad_tensors),
        cmocka_unit_test(bad_places),           cmocka_unit_test(chosen_in_one_batch),
        cmocka_unit_test(chosen_by_requests),   cmocka_unit_test(bad_choices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
