/* test_ops.c: every op of the table computes on the CPU engine, on any mesh, what its plain reference says: within 1e-6
 * of the largest value, and with the same bits on all meshes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/cpu/cpu_engine.h"
#include "../src/pjrt/pjrt.h"
#include "../src/pjrt/plugin.h"
#include "fixture.h"
#include "op_cases.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

/* ---- Ops that only tests have ------------------------------------------------------------------------------------ */

/* Two results: the sum and the difference of two values. */
static bool both_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = graph_node(g, n->in[0])->shape;
    return true;
}
static void both_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        for (int64_t i = t * w + c->columns.first; i < t * w + c->columns.last; i++) {
            c->out[i] = c->in[0][i] + c->in[1][i];
            if (c->more[0]) c->more[0][i] = c->in[0][i] - c->in[1][i];
        }
}
static void both_reference(const PlainCall *c) {
    for (int64_t i = 0; i < c->rows * c->out_width; i++) {
        c->out[i] = c->in[0][i] + c->in[1][i];
        if (c->more[0]) c->more[0][i] = c->in[0][i] - c->in[1][i];
    }
}
static const OpRow both_row = {.name = "both", .factors = "tf,tf->tf,tf", .shape = both_shape, .units = call_rows,
                               .run = both_run, .reference = both_reference, .results = 1};

/* ---- The graphs -------------------------------------------------------------------------------------------------- */

static Tensor of_learned(Graph *g) { /* a table looked up by positions */
    return add(g, rows_of(g), embed(g, input(g, "positions", "t"), weight(g, "vd", "places")));
}
static Tensor of_back(Graph *g) { /* a sum over the vocabulary */
    return linear(g, logits_of(g), weight(g, "dv", "back"), NO_TENSOR);
}
static Tensor of_both(Graph *g) {
    Tensor a = projected(g, "fd", "a"), sum = graph_op(g, &both_row, &(Node){.in = {a, projected(g, "fd", "b")}});
    return silu_mul(g, graph_result(g, sum, 1), sum);
}
static Tensor of_cross(Graph *g) { /* attention over a state that another op has written */
    Tensor q = projected(g, "(kgc)d", "q_proj");
    cache_of(g);
    return attention(g, q, state(g, "s(kc)", TYPE_CACHE, "cache"), 0);
}

static const struct { const char *op; Tensor (*build)(Graph *g); bool lowered; } cases[] = {
    {"embed", rows_of, true}, {"embed by positions", of_learned, true}, {"rms_norm", of_rms_norm, true},
    {"head_norm", of_head_norm, true},
    {"linear", of_linear, true}, {"rope_table", table_of, false}, {"rope", of_rope, true},
    {"cache_update, attention", of_attention, true}, {"window", of_window, true},
    {"attention over a state", of_cross, true}, {"silu_mul", of_silu_mul, true},
    {"add", of_add, true}, {"scale", of_scale, true}, {"scale_columns", of_scale_columns, true},
    {"select_rows", of_select, true}, {"argmax, reduce_argmax", of_argmax, true},
    {"all_reduce", of_all_reduce, true}, {"all_reduce over the vocabulary", of_back, true},
    {"two results", of_both, false}, {"a state", of_count, false}, 
};
enum { CASES = sizeof cases / sizeof *cases };

/* hidden, ffn, vocab, kv heads, group, channels, turned channels */
static const int64_t shapes[][7] = {
    {64, 64, 64, 2, 2, 16, 16}, {24, 33, 87, 3, 3, 6, 4}, {8, 1, 71, 1, 1, 2, 2}, {40, 300, 600, 2, 7, 4, 4}};
static const char *const meshes[] = {"1x1", "1x3", "2x4", "5x3", "dp2,tp3", "1x32", "dp3,tp1"};
enum { SHAPES = 4, MESHES = 7, MOST_ROWS = 96, SLOTS = 3, PLACES = 12, CONTEXT = 140, STEPS = 3, WIDEST = 600 };

static void shape_set(const int64_t *s) {
    config.hidden = s[0], config.ffn = s[1], config.vocab = s[2];
    config.kv_heads = s[3], config.heads = s[3] * s[4], config.head_dim = s[5];
    config.rope.dim = s[6];
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* A prompt for each sequence, then some rows of some, then one of each; sorted by replica. Ids follow from sequence and
 * index, so that a sequence is the same on every mesh. */
static bool lone; /* one row of one sequence instead: one execution on a plugin */
static void step_fill(StepRows *s, int step, const Partition *p) {
    static const int from[STEPS][SLOTS] = {{0, 0, 0}, {70, 1, 9}, {71, 1, 12}};
    static const int to[STEPS][SLOTS] = {{70, 1, 9}, {71, 1, 12}, {72, 2, 13}};
    int64_t held = 0;
    s->rows = s->logit_rows = 0;
    for (int sequence = 0; sequence < SLOTS; sequence++, held++) { /* those of a replica follow each other */
        int64_t replica = partition_slot(p, sequence, SLOTS, 0);
        if (sequence && replica != partition_slot(p, sequence - 1, SLOTS, 0)) held = 0;
        for (int i = lone ? step : from[step][sequence]; i < (lone ? step + !sequence : to[step][sequence]); i++) {
            int64_t t = s->rows++;
            s->token[t] = (int32_t)((sequence * 31 + i * 7 + 3) % config.vocab);
            s->slot[t] = (int32_t)partition_slot(p, sequence, SLOTS, held);
            s->index[t] = i;
            s->position[t] = (int32_t)(i % config.vocab);
            s->length[t] = to[step][sequence];
            if (i % 3 == 0 || i + 1 == to[step][sequence]) s->logit_row[s->logit_rows++] = (int32_t)t;
        }
    }
}

static int64_t rows_of_node(const StepRows *s, const Node *n) {
    RowKind kind = shape_rows(&n->shape);
    return kind == LOGIT_ROWS ? s->logit_rows : kind == STEP_ROWS ? s->rows
           : n->value == VALUE_MATRIX ? n->shape.dim[0].size : 1;
}

/* ---- A program, plainly ------------------------------------------------------------------------------------------ */

typedef struct Plainly { const Program *program; float **value, **keys; } Plainly;

static void *zeros(int64_t n) {
    void *p = calloc((size_t)n, sizeof(float));
    assert_non_null(p);
    return p;
}

/* Random weights, and zero states. */
static void plainly_new(Plainly *p, const Program *program) {
    const Graph *g = &program->graph;
    *p = (Plainly){program, calloc((size_t)g->count, sizeof(float *)), calloc((size_t)g->count, sizeof(float *))};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        int64_t columns = n->shape.rank > 1 ? n->shape.dim[1].size : 1, size = n->shape.dim[0].size * columns;
        if (n->kind == NODE_STATE && n->type == TYPE_CACHE) p->keys[id] = zeros(2 * PLACES * size);
        else if (n->kind == NODE_STATE) p->value[id] = zeros(size);
        else if (n->kind == NODE_WEIGHT) {
            p->value[id] = zeros(size);
            for (int64_t i = 0; i < size; i++)
                p->value[id][i] = ((float)random_below(20001) / 10000 - 1) * (n->shape.rank > 1 ? 0.5f : 1);
        } else if (n->op) p->value[id] = n->op->writes_state ? NULL : zeros(MOST_ROWS * WIDEST);
    }
}

static void plainly_free(Plainly *p) {
    for (int id = 1; id < p->program->graph.count; id++) free(p->value[id]), free(p->keys[id]);
    free(p->value), free(p->keys);
}

static void plainly_step(Plainly *p, const StepRows *s) {
    const Graph *g = &p->program->graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP) continue;
        const Node *put = graph_node(g, n->in[0]), *written = n->op->writes_state ? graph_state(g, (Tensor){id}) : NULL;
        PlainCall c = {.graph = g, .node = n, .step = s, .rows = rows_of_node(s, written ? put : n),
                       .out_width = node_width(n), .out = p->value[written ? written - g->nodes : id]};
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]), *state = graph_state(g, n->in[i]);
            if (!in) continue;
            c.in[i] = p->value[state ? state - g->nodes : n->in[i].id];
            c.width[i] = node_width(in);
            if (in->kind == NODE_INPUT) c.ids = step_input(s, in->name);
            if (!state || state->type != TYPE_CACHE) continue;
            c.positions = state->shape.dim[0].size;
            c.keys = p->keys[state - g->nodes];
            c.values = c.keys + PLACES * c.positions * node_width(state);
        }
        for (int u = id + 1; u < g->count; u++)
            if (g->nodes[u].kind == NODE_RESULT && g->nodes[u].in[0].id == id)
                c.more[g->nodes[u].result - 1] = p->value[u];
        n->op->reference(&c);
    }
}

/* ---- The same on the engine -------------------------------------------------------------------------------------- */

static Weights *weights_of(const Plainly *p) {
    const Graph *g = &p->program->graph;
    WeightTensor list[16] = {0};
    int64_t count = 0;
    Err err = {0};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_WEIGHT) continue;
        WeightTensor *t = &list[count++];
        *t = (WeightTensor){.name = n->name, .file = "test", .dtype = DTYPE_F32, .rank = n->shape.rank,
                            .data = (const uint8_t *)p->value[id], .bytes = sizeof(float)};
        for (int d = 0; d < n->shape.rank; d++) t->bytes *= (size_t)(t->dim[d] = n->shape.dim[d].size);
    }
    Weights *w = weights_new(list, count, &err);
    if (!w) fail_msg("%s", err.text);
    return w;
}

/* Runs the steps both ways; out: the engine's results. Returns how many numbers. */
static int64_t both_ways(const Backend *backend, int number, const int64_t *shape, const char *mesh_text,
                         double tolerance, float *out, bool *seen) {
    Graph g;
    Partition partition;
    Program program;
    Plainly plain;
    Mesh mesh;
    Err err = {0};
    int64_t count = 0;
    shape_set(shape);
    graph_init(&g, &config, MOST_ROWS, CONTEXT);
    Tensor last = cases[number].build(&g);
    if (graph_node(&g, last)) graph_node(&g, last)->keep = true;
    if (g.err.kind || !mesh_parse(&mesh, mesh_text, &err) ||
        !partition_new(&partition, &config, &mesh, backend->uniform, &err) ||
        !program_new(&program, &g, &partition, &err))
        fail_msg("%s: %s%s", cases[number].op, g.err.text, err.text);
    random_state = 88172645463325252u; /* the same weights on every mesh */
    plainly_new(&plain, &program);
    Weights *weights = weights_of(&plain);
    BackendOptions o = {.threads = 2, .slots = SLOTS * partition.mesh.dp, .context = CONTEXT, .rows = MOST_ROWS};
    void *engine = backend->open(&program, weights, &o, &err);
    if (!engine) fail_msg("%s on %s: %s", cases[number].op, mesh_text, err.text);
    Tensor kept = program_tensor(&program, last);
    const Node *n = graph_node(&program.graph, kept);
    for (int step = 0; step < STEPS; step++) {
        StepRows *s = backend->rows(engine);
        step_fill(s, step, &partition);
        plainly_step(&plain, s);
        const float *got = backend->run(engine, &err) ? backend->read(engine, kept, &err) : NULL;
        if (!got) fail_msg("%s on %s: %s", cases[number].op, mesh_text, err.text);
        int64_t w = node_width(n), rows = rows_of_node(s, n);
        const float *want = plain.value[kept.id];
        double most = 0;
        for (int64_t i = 0; i < rows * w; i++) most = fabs((double)want[i]) > most ? fabs((double)want[i]) : most;
        for (int64_t i = 0; i < rows * w; i++)
            if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * most))
                fail_msg("%s on %s, hidden %lld, step %d: row %lld, column %lld is %.9g, the reference has %.9g",
                         cases[number].op, mesh_text, (long long)shape[0], step, (long long)(i / w),
                         (long long)(i % w), (double)got[i], (double)want[i]);
        memcpy(out + count, got, (size_t)(rows * w) * sizeof *out);
        count += rows * w;
    }
    for (int i = 0; op_table[i]; i++)
        for (int id = 1; id < program.graph.count; id++) seen[i] |= program.graph.nodes[id].op == op_table[i];
    backend->close(engine);
    weights_close(weights);
    plainly_free(&plain);
    program_free(&program);
    partition_free(&partition);
    graph_free(&g);
    return count;
}

static void run_is_reference(void **state) {
    (void)state;
    static float want[STEPS * MOST_ROWS * WIDEST], got[STEPS * MOST_ROWS * WIDEST];
    bool seen[64] = {false};
    int shapes_tried = brief() ? 2 : SHAPES, meshes_tried = brief() ? 5 : MESHES;
    for (int c = 0; c < CASES; c++)
        for (int s = 0; s < shapes_tried; s++)
            for (int m = 0; m < meshes_tried; m++) {
                int64_t n = both_ways(&backend_cpu, c, shapes[s], meshes[m], 1e-6, m ? got : want, seen);
                if (m && memcmp(want, got, (size_t)n * sizeof *got))
                    fail_msg("%s: other bits on %s", cases[c].op, meshes[m]);
            }
    for (int i = 0; op_table[i]; i++)
        if (!seen[i] && op_table[i]->none[FACET_STABLEHLO] == NULL) fail_msg("%s is in no case", op_table[i]->name);
}

/* XLA's sums have an order of their own, so to rounding only. A state counts executions there, of which a step may be
 * several. */
static void plugin_is_reference(void **state) {
    (void)state;
    static float out[STEPS * MOST_ROWS * WIDEST];
    bool seen[64];
    PluginFile file;
    if (brief() || !plugin_find("cpu", &file, NULL)) {
        printf("SKIP no cpu plugin: run `make plugins`\n");
        skip();
    }
    for (int c = 0; c < CASES; c++)
        if (cases[c].lowered) both_ways(&backend_pjrt, c, shapes[c % 2], c % 2 ? "1x2" : "2x4", 2e-6, out, seen);
    lone = true;
    for (int c = 0; c < CASES; c++)
        if (cases[c].build == of_count) both_ways(&backend_pjrt, c, shapes[0], "1x2", 2e-6, out, seen);
    lone = false;
}

/* What a step does not have is an error when a program is opened. */
static void strange_input(void **state) {
    (void)state;
    Graph g;
    Partition partition;
    Program program;
    Plainly plain;
    Mesh mesh;
    Err err = {0};
    shape_set(shapes[0]);
    graph_init(&g, &config, 8, 64);
    embed(&g, input(&g, "segments", "t"), weight(&g, "vd", "embed"));
    assert_true(mesh_parse(&mesh, "1x2", &err) && partition_new(&partition, &config, &mesh, false, &err) &&
                program_new(&program, &g, &partition, &err));
    plainly_new(&plain, &program);
    Weights *weights = weights_of(&plain);
    BackendOptions o = {.threads = 1, .slots = 1, .context = 64, .rows = 8};
    assert_null(backend_cpu.open(&program, weights, &o, &err));
    assert_string_equal(err.text, "embed: a step has no input segments");
    weights_close(weights);
    plainly_free(&plain);
    program_free(&program);
    partition_free(&partition);
    graph_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(run_is_reference), cmocka_unit_test(plugin_is_reference),
                                       cmocka_unit_test(strange_input)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
