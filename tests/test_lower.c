/* test_lower.c: the StableHLO text of every op that has a lowering, to the letter, as tests/golden/stablehlo/NAME.mlir;
 * each also compiles with the plugins in plugins/. Each program is the smallest with that op in it.
 *
 * QWENMESH_GOLDEN=write (`make golden-stablehlo`) writes the files anew: read the difference before you keep it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "../src/model/family.h"
#include "../src/pjrt/buckets.h"
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
#include "../src/model/train_graph.h"
#include "training_cases.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libtt.so\nleak:pjrt_c_api_cpu_plugin.so\n"; }

/* ---- The programs ------------------------------------------------------------------------------------------------ */

enum { ROWS = 8, CONTEXT = 63, SLOTS = 2 };

typedef struct LowerCase {
    const char *name;   /* of the file; the op's, or the op's and what is special after a '-' */
    Tensor (*build)(Graph *g); /* NULL: the whole model */
    const char *mesh, *type;
    int64_t slots;
    Bucket bucket;
    void (*train)(Graph *g); /* of programs that train, in place of build: these stages; of neither: the whole model's */
    int64_t labels;
    Stage first, last;
    bool sums_go_on;
} LowerCase;

#define PREFILL .bucket = {.slots = 1, .rows = ROWS, .logit_rows = 1}
#define DECODE .bucket = {.slots = SLOTS, .rows = 1, .logit_rows = SLOTS, .all_logits = true}
static const LowerCase lower_cases[] = {
    {"embed", rows_of, "1x1", "f32", SLOTS, PREFILL},
    {"rms_norm", of_rms_norm, "1x1", "f32", SLOTS, PREFILL},
    {"head_norm", of_head_norm, "1x2", "f32", SLOTS, PREFILL},
    {"linear", of_linear, "1x2", "f32", SLOTS, PREFILL},
    {"rope_table", table_of, "1x1", "f32", SLOTS, PREFILL},
    {"rope", of_rope, "1x2", "f32", SLOTS, PREFILL},
    {"cache_update", cache_of, "1x1", "f32", SLOTS, PREFILL},
    {"cache_update-decode", cache_of, "1x1", "bf16", SLOTS, DECODE},
    {"cache_update-one", cache_of, "1x1", "bf16", 1,
     .bucket = {.slots = 1, .rows = 1, .logit_rows = 1, .all_logits = true}},
    {"attention", of_attention, "1x1", "f32", SLOTS, PREFILL},
    {"attention-decode", of_attention, "1x2", "bf16", SLOTS, DECODE},
    {"attention-window", of_window, "1x1", "f32", SLOTS, PREFILL},
    {"silu_mul", of_silu_mul, "1x2", "f32", SLOTS, PREFILL},
    {"add", of_add, "1x1", "f32", SLOTS, PREFILL},
    {"scale", of_scale, "1x2", "f32", SLOTS, PREFILL},
    {"chosen_scale", of_chosen_scale, "1x2", "f32", SLOTS, PREFILL},
    {"scale_columns", of_scale_columns, "1x2", "bf16", SLOTS, PREFILL},
    {"select_rows", of_select, "1x1", "f32", SLOTS, PREFILL},
    {"argmax", of_argmax, "1x1", "f32", SLOTS, PREFILL},
    {"argmax-candidates", of_argmax, "1x2", "f32", SLOTS, DECODE},
    {"all_reduce", of_all_reduce, "2x2", "f32", SLOTS, PREFILL},
    {"reduce_argmax", of_argmax, "2x2", "f32", SLOTS, PREFILL},
    {"state", of_count, "1x2", "f32", SLOTS, PREFILL},
    {"model-decode", NULL, "2x4", "bf16", SLOTS, DECODE},
#define TRAIN .bucket = {.slots = SLOTS, .rows = ROWS, .logit_rows = SLOTS * ROWS, .all_logits = true}
#define TO_NORM .last = STAGE_NORM
    {"train-model", NULL, "dp2,tp4", "bf16", 0, TRAIN, TO_NORM},
    {"train-model-update", NULL, "dp2,tp4", "bf16", 0, TRAIN, .first = STAGE_UPDATE, .last = STAGE_UPDATE},
    {"train-heads", NULL, "1x8", "f32", 0, TRAIN, .train = of_head_norm_grad, TO_NORM, .sums_go_on = true},
    {"train-scale_columns", NULL, "1x1", "f32", 0, TRAIN, .train = of_scale_columns_grad, TO_NORM, .sums_go_on = true},
    {"train-adapter_norm", NULL, "2x4", "bf16", 0, TRAIN, .train = of_adapter_norm, TO_NORM},
    {"train-dropout", NULL, "1x8", "f32", 0, TRAIN, .train = of_dropout, TO_NORM},
    {"train-span", NULL, "1x1", "f32", 0, TRAIN, .train = of_span_loss, .labels = 2, TO_NORM},
    {"train-square", NULL, "1x1", "f32", 0, TRAIN, .train = of_square_loss, .labels = 1, TO_NORM},
    {"train-sgd", NULL, "dp2,tp4", "f32", 0, TRAIN, .train = of_sgd, .last = STAGE_UPDATE},
};
enum { LOWER_CASES = sizeof lower_cases / sizeof *lower_cases };

/* ops: those of the program, by their place in the table; or NULL. */
static int lowered(const LowerCase *c, const char *platform, Text *text, bool *ops) {
    Err err = {0};
    TrainGraph train = {0};
    ModelGraph model = {0};
    bool trains = c->last > STAGE_FORWARD;
    Partition partition = {0};
    Program program = {0};
    Mesh mesh;
    Lower l = {0};
    config.labels = c->labels;
    if (c->train) {
        graph_init(&model.graph, &config, ROWS, CONTEXT);
        model.graph.trains = true;
        c->train(&model.graph);
        for (int id = 1; id < model.graph.count; id++) {
            Node *n = &model.graph.nodes[id];
            n->keep = node_computed(n) && n->kind == NODE_OP && op_trains(n->op);
        }
        if (model.graph.err.kind) fail_msg("%s: %s", c->name, model.graph.err.text);
    } else if (trains) {
        if (!train_graph(&train, &config, SLOTS * ROWS, CONTEXT, &(TrainGraphOptions){.embed_parts = true}, &err))
            fail_msg("%s", err.text);
    } else if (c->build) {
        graph_init(&model.graph, &config, ROWS, CONTEXT);
        Node *last = graph_node(&model.graph, c->build(&model.graph));
        if (last) last->keep = node_computed(last);
        if (model.graph.err.kind) fail_msg("%s: %s", c->name, model.graph.err.text);
    } else if (!model_graph(&model, &config, ROWS, CONTEXT, false, &err)) fail_msg("%s", err.text);
    const LowerOptions o = {.type = c->type, .platform = platform, .trains = trains, .sums_go_on = c->sums_go_on, .stage_first = c->first,
                            .stage_last = c->last, .cache_slots = c->slots, .positions = bucket_positions(CONTEXT),
                            .bucket = c->bucket,
                            .candidates = strstr(c->name, "-candidates") ? 4 : 0};
    if (!mesh_parse(&mesh, c->mesh, &err) || !partition_new(&partition, &config, &mesh, true, &err) ||
        !program_new(&program, train.count ? &train.model.graph : &model.graph, &partition, &err) ||
        !lower_program(&l, &program, &o, text, &err))
        fail_msg("%s: %s", c->name, err.text);
    for (int i = 0; ops && op_table[i]; i++)
        for (int id = 1; id < program.graph.count; id++)
            ops[i] |= program.graph.nodes[id].op == op_table[i] && lower_has(&l, id);
    config.labels = 0;
    lower_free(&l);
    if (train.count) train_graph_free(&train);
    program_free(&program);
    partition_free(&partition);
    model_graph_free(&model);
    return mesh.tp * mesh.dp;
}

/* ---- To the letter ----------------------------------------------------------------------------------------------- */

static void same_as_file(const LowerCase *c, const char *text, size_t bytes) {
    char path[128];
    size_t got;
    Err err = {0};
    snprintf(path, sizeof path, "tests/golden/stablehlo/%s.mlir", c->name);
    const char *write = getenv("QWENMESH_GOLDEN");
    if (write && !strcmp(write, "write")) {
        FILE *f = fopen(path, "w");
        if (!f || !file_put(f, text, bytes, path, &err) || !file_finish(f, path, &err))
            fail_msg("cannot write %s: %s", path, err.text);
    }
    char *want = file_read(path, 1 << 20, &got, &err);
    if (!want) fail_msg("%s", err.text);
    if (got != bytes || memcmp(want, text, bytes)) {
        size_t line = 1, at = 0;
        while (at < got && at < bytes && want[at] == text[at]) line += want[at++] == '\n';
        fail_msg("%s: line %zu differs: %.200s", path, line, text + at);
    }
    free(want);
}

static void every_text(void **state) {
    (void)state;
    for (int i = 0; i < LOWER_CASES; i++) {
        Text text = {0};
        lowered(&lower_cases[i], NULL, &text, NULL);
        same_as_file(&lower_cases[i], text.data, text.bytes);
        text_free(&text);
    }
}

static void every_op_has_a_file(void **state) {
    (void)state;
    bool trained_ops[128] = {false};
    for (int i = 0; i < LOWER_CASES; i++) {
        Text text = {0};
        if (lower_cases[i].last > STAGE_FORWARD) lowered(&lower_cases[i], NULL, &text, trained_ops);
        text_free(&text);
    }
    for (int i = 0; op_table[i]; i++) {
        bool found = !op_table[i]->stablehlo || (op_trains(op_table[i]) && trained_ops[i]);
        for (int j = 0; j < LOWER_CASES; j++) found |= !strcmp(lower_cases[j].name, op_table[i]->name);
        if (!found) fail_msg("%s has a lowering and no tests/golden/stablehlo/%s.mlir", op_table[i]->name,
                             op_table[i]->name);
    }
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* The pieces of a model of three layers, the last with a window, and what follows them. */
static void pieces_of(ModelGraph *model, Partition *partition, Program *program, int cut[5]) {
    static ModelConfig three;
    Err err = {0};
    Mesh mesh;
    int at = 1;
    three = config;
    three.layers = 3;
    three.window[2] = 16;
    assert_true(model_graph(model, &three, ROWS, CONTEXT, true, &err) && mesh_parse(&mesh, "1x2", &err) &&
                partition_new(partition, &three, &mesh, true, &err) &&
                program_new(program, &model->graph, partition, &err));
    for (int id = 1; id < program->graph.count; id++) {
        const Node *n = &program->graph.nodes[id];
        if (n->kind == NODE_OP && n->op->on_host) cut[0] = id + 1;
        if (n->cut) cut[at++] = id + 1;
    }
    assert_int_equal(at, 4);
    cut[4] = program->graph.count;
}

static int count_role(const LowerArgument *list, int count, LowerRole role) {
    int found = 0;
    for (int i = 0; i < count; i++) found += list[i].role == role;
    return found;
}

/* Equal layers have the same text, with arguments of their own; a layer with a window has another, as has the rest. */
static void pieces_have_equal_texts(void **state) {
    (void)state;
    ModelGraph model;
    Partition partition;
    Program program;
    int cut[5];
    Lower l[4];
    Text text[4] = {0};
    Err err = {0};
    pieces_of(&model, &partition, &program, cut);
    for (int i = 0; i < 4; i++) {
        LowerOptions o = {.type = "f32", .cache_slots = SLOTS, .positions = bucket_positions(CONTEXT),
                          PREFILL, .first = cut[i], .last = cut[i + 1]};
        if (!lower_program(&l[i], &program, &o, &text[i], &err)) fail_msg("%s", err.text);
        assert_int_equal(count_role(l[i].results, l[i].result_count, ROLE_VALUE), i < 3);
        assert_int_equal(count_role(l[i].arguments, l[i].argument_count, ROLE_VALUE), i < 3 ? 2 : 1); /* rope's table */
        assert_int_equal(count_role(l[i].arguments, l[i].argument_count, ROLE_STATE), i < 3 ? 2 : 0);
    }
    assert_string_equal(text[0].data, text[1].data);
    assert_string_not_equal(text[1].data, text[2].data);
    assert_int_equal(l[0].argument_count, l[1].argument_count);
    for (int i = 0; i < l[0].argument_count; i++) {
        const LowerArgument *a = &l[0].arguments[i], *b = &l[1].arguments[i];
        const Graph *g = &program.graph;
        assert_string_equal(a->name, b->name);
        if (a->role == ROLE_STATE) assert_int_equal(b->state, a->state + 2);
        if (a->role != ROLE_WEIGHT) continue;
        const char *of = g->nodes[a->node].name, *to = g->nodes[b->node].name; /* model.layers.0.NAME */
        assert_true(!strncmp(of, "model.layers.0.", 15) && !strncmp(to, "model.layers.1.", 15));
        assert_string_equal(of + 15, to + 15);
    }
    for (int i = 0; i < 4; i++) lower_free(&l[i]), text_free(&text[i]);
    program_free(&program);
    partition_free(&partition);
    model_graph_free(&model);
}

/* ---- Compilers --------------------------------------------------------------------------------------------------- */

static void all_compile(const char *plugin, const char *desc) {
    PluginFile file;
    Err err = {0};
    if (!plugin_find(plugin, &file, NULL)) {
        printf("SKIP no %s plugin: run `make plugins`\n", plugin);
        skip();
    }
    PjrtClient *client = pjrt_open(&(PjrtOptions){.plugin = plugin, .devices = 8, .system_desc = desc}, &err);
    if (!client) fail_msg("%s: %s", plugin, err.text);
    for (int i = 0; i < LOWER_CASES; i++) {
        Text text = {0};
        if (lower_cases[i].train == of_dropout && !strcmp(plugin, "tt")) continue; /* it is refused */
        if (brief() && i % 8) continue; /* compilers have no sanitizers */
        int devices = lowered(&lower_cases[i], plugin, &text, NULL);
        PjrtProgram *p = pjrt_compile(client, text.data, text.bytes, devices, NULL, &err);
        if (!p) fail_msg("%s with %s: %s", lower_cases[i].name, plugin, err.text);
        pjrt_program_free(p);
        text_free(&text);
    }
    pjrt_close(client);
}

static void xla_takes_all(void **state) {
    (void)state;
    all_compile("cpu", NULL);
}

static void tenstorrent_takes_all(void **state) {
    (void)state;
    all_compile("tt", "tests/data/tt/n300-llmbox.ttsys");
}

int main(void) {
    unsetenv("TT_COMPILE_ONLY_SYSTEM_DESC");
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op_has_a_file), cmocka_unit_test(every_text),
                                       cmocka_unit_test(pieces_have_equal_texts),
                                       cmocka_unit_test(xla_takes_all), cmocka_unit_test(tenstorrent_takes_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
