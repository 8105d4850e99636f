/* test_lora.c: adapters of PEFT beside a model's linears: golden logits on every mesh with the same bits, over bases of
 * every kind; several at once; files that must be refused. */
#include "../src/model/adapters.h"
#include "adapter_cases.h"
#include "gguf_write.h"

#define PLUGIN "plugins/pjrt_c_api_cpu_plugin.so"
/* XLA keeps a few bytes of each program it compiles. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

/* ---- Golden ------------------------------------------------------------------------------------------------------ */

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

/* ---- Other adapters ---------------------------------------------------------------------------------------------- */

static void ranks_of_their_own(void **state) {
    Maker m;
    (void)state;
    maker_ranks(&m);
    const char *path = maker_write(&m, "ranks", config_with(RANKS));
    QmEngineOptions o = options_of(MODEL, path);
    logits_of(&o, first);
    near("rank_pattern", floats("lora.logits"), first, VALUES, 1e-5);
    o.mesh = "2x4";
    logits_of(&o, second);
    same("rank_pattern on a mesh", first, second);
    /* alpha of every module by a regular expression, twice what the file says, taken back by the strength. */
    char half[256];
    snprintf(half, sizeof half, "%s:0.5", maker_write(&m, "alphas", config_with(
        RANKS ", \"alpha_pattern\": {\"layers\\\\.\\\\d+\\\\..*_(proj|none)\": 16}")));
    o = options_of(MODEL, half);
    logits_of(&o, second);
    same("alpha_pattern", first, second);
    maker_free(&m);
}

/* Biases and a head of its own, without which the tied embedding stays what it is. */
static void other_weights(void **state) {
    Maker m;
    (void)state;
    QmEngineOptions o = options_of(MODEL, adapter(1));
    logits_of(&o, first);
    maker_head(&m);
    o.lora = maker_write(&m, "head", config_with(HEAD));
    logits_of(&o, second);
    for (int i = 0; i < VALUES; i++) third[i] = 2 * first[i];
    same("a head of twice the numbers", third, second);
    o.model = in_folder("base.packed");
    logits_of(&o, second);
    same("the same beside a packed file", third, second);
    o.model = MODEL;
    maker_free(&m);
    maker_biases(&m, 0);
    o.lora = maker_write(&m, "biases", config_with(", \"bias\": \"all\""));
    logits_of(&o, second);
    same("the base's own biases", first, second);
    maker_free(&m);
    maker_biases(&m, 1); /* of v_proj: adds the sum of o_proj's columns */
    o.lora = maker_write(&m, "biases", config_with(BIASES));
    logits_of(&o, second);
    assert_true(distance(first, second, VALUES) > 1e-3);
    o.mesh = "2x4";
    logits_of(&o, third);
    same("biases on a mesh", second, third);
    maker_free(&m);
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
    Maker m;
    (void)state;
    maker_of_head(&m);
    QmEngineOptions o = options_of(MODEL, maker_write(&m, "of-head", OF_HEAD));
    logits_of(&o, first);
    o.mesh = "2x4";
    logits_of(&o, second);
    same("lm_head on a mesh", first, second);
    o.lora = NULL;
    logits_of(&o, second);
    assert_true(distance(second, first, VALUES) > 1e-3);
    maker_free(&m);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_on_every_mesh), cmocka_unit_test(every_instruction_set),
        cmocka_unit_test(on_a_plugin), cmocka_unit_test(packed_bases), cmocka_unit_test(converted_bases),
        cmocka_unit_test(gguf_bases), cmocka_unit_test(several_add_up), cmocka_unit_test(ranks_of_their_own),
        cmocka_unit_test(other_weights), cmocka_unit_test(labels_on_a_causal_base),
        cmocka_unit_test(a_head_with_an_adapter), cmocka_unit_test(bad_configurations),
        cmocka_unit_test(bad_tensors), cmocka_unit_test(bad_places),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
