/* test_ops.c: every op of the table computes on the CPU engine, on any mesh, what its plain reference says: within 1e-6
 * of the largest value, and with the same bits on all meshes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../src/cpu/cpu_engine.h"
#include "../src/pjrt/pjrt.h"
#include "../src/pjrt/plugin.h"
#include "plain_program.h"

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
    {"add", of_add, true}, {"scale", of_scale, true}, {"chosen_scale", of_chosen_scale, true}, {"scale_columns", of_scale_columns, true},
    {"select_rows", of_select, true}, {"argmax, reduce_argmax", of_argmax, true},
    {"all_reduce", of_all_reduce, true}, {"all_reduce over the vocabulary", of_back, true},
    {"two results", of_both, false}, {"a state", of_count, false}, 
};
enum { CASES = sizeof cases / sizeof *cases };

static const char *const meshes[] = {"1x1", "1x3", "2x4", "5x3", "dp2,tp3", "1x32", "dp3,tp1"};
enum { MESHES = 7, MOST_ROWS = 96, SLOTS = 3, PLACES = 12, CONTEXT = 140, STEPS = 3, WIDEST = 600 };

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
            s->adapter[t] = (sequence + i / 7) % 3;
            s->position[t] = (int32_t)(i % config.vocab);
            s->length[t] = to[step][sequence];
            if (i % 3 == 0 || i + 1 == to[step][sequence]) s->logit_row[s->logit_rows++] = (int32_t)t;
        }
    }
}

/* ---- The same on the engine -------------------------------------------------------------------------------------- */

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
    plainly_new(&plain, &program, MOST_ROWS, PLACES);
    Weights *weights = plainly_weights(&plain);
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
    bool seen[128] = {false};
    int shapes_tried = brief() ? 2 : SHAPES, meshes_tried = brief() ? 5 : MESHES;
    for (int c = 0; c < CASES; c++)
        for (int s = 0; s < shapes_tried; s++)
            for (int m = 0; m < meshes_tried; m++) {
                int64_t n = both_ways(&backend_cpu, c, shapes[s], meshes[m], 1e-6, m ? got : want, seen);
                if (m && memcmp(want, got, (size_t)n * sizeof *got))
                    fail_msg("%s: other bits on %s", cases[c].op, meshes[m]);
            }
    for (int i = 0; op_table[i]; i++)
        if (!seen[i] && !op_trains(op_table[i])) fail_msg("%s is in no case", op_table[i]->name);
}

/* XLA's sums have an order of their own, so to rounding only. A state counts executions there, of which a step may be
 * several. */
static void plugin_is_reference(void **state) {
    (void)state;
    static float out[STEPS * MOST_ROWS * WIDEST];
    bool seen[128] = {false};
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
    plainly_new(&plain, &program, MOST_ROWS, PLACES);
    Weights *weights = plainly_weights(&plain);
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
