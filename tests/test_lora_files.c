/* test_lora_files.c: adapters worked into the weights, written as PEFT writes them, and begun anew. */
#include "../src/model/adapter_fresh.h"
#include "../src/model/adapter_merge.h"
#include "../src/model/adapter_write.h"
#include "../src/model/weight_rows.h"
#include "adapter_cases.h"
#include "gguf_write.h"

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
    Maker maker;
    maker_of_head(&maker);
    const char *lora = made(&maker, "of-head", OF_HEAD), *out = in_folder("merged-head");
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
    pack_model(MODEL, "8bit", in_folder(bases[0]));
    if (!twin_gguf(MODEL, DTYPE_Q4_0, in_folder(bases[1]), &err)) fail_msg("%s", err.text);
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

/* What `from` names and what is written of it to `out` give the same logits. */
static void written_again(const char *what, const char *from, const char *out) {
    Opened o;
    Err err = {0};
    open_with(&o, MODEL, from);
    if (!adapter_save(o.adapters, &o.config, out, DTYPE_F32, NULL, NULL, &err)) fail_msg("%s", err.text);
    opened_free(&o);
    QmEngineOptions a = options_of(MODEL, from), b = options_of(MODEL, out);
    logits_of(&a, first);
    logits_of(&b, second);
    same(what, first, second);
}

static void written_is_read(void **state) {
    (void)state;
    for (int i = 1; i < 5; i++) {
        const char *out = in_folder("written");
        written_again(cases[i].folder, adapter(i), out);
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
    Maker maker;
    maker_ranks(&maker);
    snprintf(two, sizeof two, "%s\n%s:3", made(&maker, "ranks", config_with(RANKS)), adapter(5));
    for (int i = 0; i < 2; i++) written_again("as one", i ? two : in_folder("ranks"), in_folder("joined"));
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
    Maker maker;
    maker_biases(&maker, 1);
    made(&maker, "biases", config_with(BIASES));
    maker_head(&maker);
    made(&maker, "head", config_with(HEAD));
    for (int i = 0; i < 2; i++) written_again(more[i], in_folder(more[i]), in_folder("rewritten"));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_into_a_folder), cmocka_unit_test(merged_bases),
        cmocka_unit_test(written_is_read), cmocka_unit_test(names_of_files), cmocka_unit_test(begun_anew),
        cmocka_unit_test(saved_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
