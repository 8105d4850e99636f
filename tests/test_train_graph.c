/* test_train_graph.c: what a training program hands from device to device, and from replica to replica: counted by
 * formulas, by what is handed; and every sum that is read is completed, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/graph/program.h"
#include "../src/model/adapters.h"
#include "../src/model/family.h"
#include "../src/model/train_graph.h"

static const char *const meshes[] = {"1x1", "2x4", "dp2,tp4", "8x4", "1x3", "5x3", "dp4,tp1"};
enum { MESHES = sizeof meshes / sizeof *meshes, LAYERS = 3 };

/* What of a model and a mesh decides. */
typedef struct Trained {
    ModelConfig config;
    Weights *weights;   /* of an adapter's case */
    Adapters *adapters;
    Partition partition;
    TrainGraph train;
    Program program;
    TrainGraphOptions options;
    bool heads, groups, kv, ffn, vocabulary, replicas; /* whether anybody shares them */
} Trained;

static void program_open(Trained *t, const char *mesh_text) {
    Mesh mesh;
    Err err = {0};
    if (!mesh_parse(&mesh, mesh_text, &err) || !partition_new(&t->partition, &t->config, &mesh, false, &err) ||
        !train_graph(&t->train, &t->config, 8, 64, &t->options, &err) ||
        !program_new(&t->program, &t->train.model.graph, &t->partition, &err))
        fail_msg("%s", err.text);
    t->groups = partition_shared(&t->partition, AXIS_GROUP);
    t->kv = partition_shared(&t->partition, AXIS_KV_HEAD);
    t->heads = t->groups || t->kv;
    t->ffn = partition_shared(&t->partition, AXIS_FFN);
    t->vocabulary = partition_shared(&t->partition, AXIS_VOCAB);
    t->replicas = partition_shared(&t->partition, AXIS_STEP_ROW);
}

static void trained_open(Trained *t, bool qwen3, bool tied, const char *mesh_text) {
    ModelConfig *c = &t->config;
    *c = (ModelConfig){.layers = LAYERS, .hidden = 64, .ffn = 1184, .vocab = 1000, .heads = 28, .kv_heads = 4,
                       .head_dim = 8, .max_positions = 128, .rms_norm_eps = 1e-6, .tied = tied, .qkv_bias = !qwen3,
                       .qk_norm = qwen3, .rope = {.theta = 1e4, .dim = 8, .factor = 1, .attention_factor = 1}};
    snprintf(c->architecture, sizeof c->architecture, "%s", qwen3 ? "qwen3" : "qwen2");
    program_open(t, mesh_text);
}

/* A golden model and its adapter of all linears. */
static void adapted_open(Trained *t, const char *mesh_text) {
    Err err = {0};
    Source *source = source_open("tests/golden/train-lora", &err);
    if (!source || !(t->adapters = adapters_open("tests/golden/train-lora/adapter-lora-0", &err)) ||
        !config_load(&t->config, source, &err) || !adapters_configure(t->adapters, &t->config, &err) ||
        !(t->weights = model_weights(&t->config, source, &err)) || (config_untie(&t->config, t->weights), false) ||
        !adapters_join(t->adapters, &t->config, t->weights, &err))
        fail_msg("%s", err.text);
    source_close(source);
    t->options.adapted = t->weights;
    program_open(t, mesh_text);
}

static void trained_close(Trained *t) {
    program_free(&t->program);
    train_graph_free(&t->train);
    partition_free(&t->partition);
    weights_close(t->weights);
    adapters_free(t->adapters);
}

/* Collectives of an op whose result has these axes, "t(kc)" as "tkc"; NULL: any. */
static int handed(const Trained *t, const OpRow *op, const char *axes) {
    int count = 0;
    for (int id = 1; id < t->program.graph.count; id++) {
        const Node *n = &t->program.graph.nodes[id];
        char has[2 * MAX_LETTERS + 1] = "";
        for (int d = 0; d < n->shape.rank; d++) strcat(has, n->shape.dim[d].letters);
        count += n->kind == NODE_OP && n->op == op && (!axes || !strcmp(has, axes));
    }
    return count;
}

static void count_check(const Trained *t, const char *mesh, const OpRow *op, const char *axes, int want) {
    int got = handed(t, op, axes);
    if (got != want)
        fail_msg("%s on %s: %d of %s [%s], expected %d", t->config.architecture, mesh, got, op->name, axes ? axes : "",
                 want);
}

/* States of TYPE_SUM: a gradient each, of one use of a weight. */
static int sums_of(const Trained *t) {
    int count = 0;
    for (int id = 1; id < t->program.graph.count; id++)
        count += t->program.graph.nodes[id].kind == NODE_STATE && t->program.graph.nodes[id].type == TYPE_SUM;
    return count;
}

/* A layer has two sums over devices forward, and two backward: the attention's over heads, the other's over the ffn. */
static void collectives(void **state) {
    (void)state;
    for (int m = 0; m < MESHES; m++)
        for (int model = 0; model < 8; model++) {
            bool qwen3 = model & 1, tied = model & 2, again = model & 4;
            const char *mesh = meshes[m];
            Trained t = {.options = {.recompute = again}};
            trained_open(&t, qwen3, tied, mesh);
            /* The last sum of a layer is not computed again: the backward pass does not read what it hands on. */
            int heads = t.heads, ffn = t.ffn, weights = t.train.count, forward = LAYERS * (again ? 3 : 2);
            count_check(&t, mesh, &all_reduce_row, "td", forward + LAYERS * (heads + ffn));
            count_check(&t, mesh, &all_reduce_row, "tkc", t.groups ? 2 * LAYERS : 0); /* of sum_group: dk, dv */
            count_check(&t, mesh, &all_reduce_row, "rd", t.vocabulary);
            count_check(&t, mesh, &all_reduce_row, "r", t.vocabulary ? 3 : 0);
            count_check(&t, mesh, &reduce_max_row, "r", t.vocabulary);
            count_check(&t, mesh, &all_reduce_row, "d", LAYERS * (heads + ffn)); /* squares of o_proj and down_proj */
            count_check(&t, mesh, &all_reduce_row, "c", qwen3 ? LAYERS * (heads + t.kv) : 0); /* gains of heads */
            assert_int_equal(sums_of(&t), weights + tied);
            count_check(&t, mesh, &replica_sum_row, NULL, t.replicas ? weights + tied : 0);
            int all = forward + LAYERS * (heads + ffn) * 2 + (t.groups ? 2 * LAYERS : 0) + 5 * t.vocabulary +
                      (qwen3 ? LAYERS * (heads + t.kv) : 0) + (t.replicas ? weights + tied : 0);
            assert_int_equal(program_collectives(&t.program, NULL), all);
            trained_close(&t);
        }
}

/* Who reads a sum, other than by adding to it, reads it complete; and it is completed once. */
static void sums_are_whole(void **state) {
    (void)state;
    for (int m = 0; m < MESHES; m++)
        for (int model = 0; model < 4; model++) {
            Trained t = {.options = {.recompute = model & 1}};
            trained_open(&t, model & 1, model & 2, meshes[m]);
            const Graph *g = &t.program.graph;
            int *completed = calloc((size_t)g->count, sizeof(int)), *read = calloc((size_t)g->count, sizeof(int));
            for (int id = 1; id < g->count; id++) {
                const Node *n = &g->nodes[id];
                if (n->kind != NODE_OP) continue;
                for (int i = 0; i < n->inputs; i++) {
                    const Node *in = graph_node(g, n->in[i]), *sum = graph_state(g, n->in[i]);
                    if (!sum || sum->type != TYPE_SUM) continue;
                    if (n->op->collective) completed[sum - g->nodes]++;
                    else if (n->op->accumulates) assert_ptr_equal(in, sum); /* once for all rows of a pass */
                    else {
                        read[sum - g->nodes]++;
                        if (t.replicas ? in->op->accumulates : in->kind == NODE_STATE)
                            fail_msg("%s reads %s as a part of it", n->op->name, sum->name);
                    }
                }
                if (n->op->collective && n->op != &replica_sum_row) { /* of a partial value, and of one that is read */
                    bool used = n->keep;
                    assert_true(graph_node(g, n->in[0])->partial[0]);
                    for (int u = id + 1; u < g->count; u++)
                        for (int i = 0; i < g->nodes[u].inputs; i++) used |= g->nodes[u].in[i].id == id;
                    if (!used) fail_msg("on %s, node %d, %s: nobody reads it", meshes[m], id, n->op->name);
                }
                for (int i = 0; i < n->inputs && !n->op->collective; i++) {
                    const Node *in = graph_node(g, n->in[i]);
                    if (in && in->partial[0] && !in->op->accumulates)
                        fail_msg("on %s, %s reads a part of %s", meshes[m], n->op->name, in->op->name);
                }
            }
            for (int id = 1; id < g->count; id++) {
                if (g->nodes[id].kind != NODE_STATE || g->nodes[id].type != TYPE_SUM) continue;
                assert_true(read[id] > 0);
                assert_int_equal(completed[id], t.replicas);
            }
            free(completed), free(read);
            trained_close(&t);
        }
}

/* Of what is frozen nothing is owed to anybody: no gradient, and none to the first layer's rows. */
static void collectives_of_adapters(void **state) {
    (void)state;
    for (int m = 0; m < MESHES; m++) {
        Trained t = {0};
        adapted_open(&t, meshes[m]);
        int layers = (int)t.config.layers, heads = t.heads, ffn = t.ffn, modules = 7;
        assert_int_equal(t.train.count, 2 * modules * layers);
        count_check(&t, meshes[m], &all_reduce_row, "td", layers * (2 + ffn) + (layers - 1) * heads);
        /* What A of o_proj and down_proj gives; what B of the others owes to A. */
        count_check(&t, meshes[m], &all_reduce_row, "tl", layers * (2 + heads + 2 * t.kv + 2 * ffn));
        count_check(&t, meshes[m], &all_reduce_row, "tkc", t.groups ? 2 * layers : 0);
        count_check(&t, meshes[m], &all_reduce_row, "l", layers * (heads + ffn)); /* squares of their A */
        count_check(&t, meshes[m], &all_reduce_row, "d", 0);
        count_check(&t, meshes[m], &all_reduce_row, "rd", t.vocabulary);
        count_check(&t, meshes[m], &all_reduce_row, "r", t.vocabulary ? 3 : 0);
        assert_int_equal(sums_of(&t), t.train.count);
        count_check(&t, meshes[m], &replica_sum_row, NULL, t.replicas ? t.train.count : 0);
        trained_close(&t);
    }
}

/* Where layers are computed again, the backward pass reads of the forward pass what goes into a layer and what is made
 * once for all, and nothing else. */
static void only_inputs_are_kept(void **state) {
    (void)state;
    for (int model = 0; model < 2; model++) {
        Trained t = {.options = {.recompute = true}};
        int layers = 0;
        trained_open(&t, model, false, "dp2,tp4");
        const Graph *g = &t.program.graph;
        for (int id = 1; id < g->count; id++) {
            const Node *n = &g->nodes[id];
            layers += n->cut && n->stage == STAGE_FORWARD;
            for (int i = 0; n->op && n->stage == STAGE_GRADIENT && i < n->inputs; i++) {
                const Node *in = graph_node(g, n->in[i]);
                if (!in || !in->op || in->op->writes_state || in->stage != STAGE_FORWARD) continue;
                if (!in->cut && !in->op->on_host)
                    fail_msg("%s reads %s, which is to be made again", n->op->name, in->op->name);
            }
        }
        assert_int_equal(layers, LAYERS);
        trained_close(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(collectives), cmocka_unit_test(collectives_of_adapters),
                                       cmocka_unit_test(sums_are_whole), cmocka_unit_test(only_inputs_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
