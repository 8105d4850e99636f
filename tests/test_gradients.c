/* test_gradients.c: every op that only training has computes on the CPU engine what its plain reference says, within
 * 1e-6 of the largest value: on any mesh, with any number of threads, and however a step is split into passes and the
 * rows of a pass into runs of the head, with the same bits. So do whole graphs of gradients, as near as a chain of ops
 * can be; with operands in bf16 op by op, each from what the engine made of the one before: rounding to bf16 would turn a
 * last bit into 2^-8. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../src/cpu/cpu_engine.h"
#include "../src/cpu/kernels_select.h"
#include "../src/ops/products.h"
#include "plain_program.h"
#include "training_cases.h"

/* sequences: of a pass; piece: rows of a run of the head. */
typedef struct Layout { const char *mesh; int threads, sequences; int64_t piece; } Layout;
static const Layout layouts[] = {
    {"1x1", 1, 5, 40},     {"1x1", 3, 2, 7},     {"2x4", 2, 1, 40},     {"5x3", 2, 3, 5},
    {"dp2,tp3", 3, 5, 11}, {"dp3,tp1", 2, 2, 3}, {"dp8,tp2", 2, 4, 40}, {"1x32", 1, 5, 40},
};
/* The first is longer than a block of attention, or than two; one has no label. */
static int64_t lengths[] = {70, 1, 9, 3, 12};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, SEQUENCES = 5, SHORT = 70, MOST_ROWS = 165, PIECE = 40,
       CONTEXT = 140, LABELLESS = 3 };

/* ---- A step ------------------------------------------------------------------------------------------------------ */

/* What a kept value or a state has had, in all steps: of the engine, and of the references. */
typedef struct Had { float *got, *want; size_t count, got_room, want_room; } Had;

typedef struct Both {
    const Case *c;
    const Layout *layout;
    int64_t hidden;
    Graph g;
    Partition partition;
    Program program;
    Plainly plain;
    Weights *weights;
    Gradient walked;
    void *engine;
    Had *had; /* by node of the graph */
    bool bf16;
} Both;

/* A list of logit rows, to be run piece by piece. */
typedef struct Labelled { int64_t count, begins[SEQUENCES + 1]; int32_t row[MOST_ROWS], label[MOST_ROWS]; } Labelled;

/* Sequences [from, to). Ids follow from sequence and index: they are the same on every mesh. */
static void pass_fill(const Both *b, StepRows *s, int from, int to, Labelled *l) {
    int64_t begins[SEQUENCES + 1], replica = -1, held = 0;
    s->rows = s->logit_rows = l->count = 0;
    for (int q = from; q < to; q++) {
        begins[q - from] = s->rows;
        l->begins[q - from] = l->count;
        if (partition_slot(&b->partition, q, SEQUENCES, 0) != replica) held = 0;
        replica = partition_slot(&b->partition, q, SEQUENCES, 0);
        int64_t slot = partition_slot(&b->partition, q, SEQUENCES, held++);
        for (int64_t i = 0; i < lengths[q]; i++) {
            int64_t t = s->rows++;
            s->token[t] = (int32_t)((q * 31 + i * 7 + 3) % config.vocab);
            s->slot[t] = (int32_t)slot;
            s->index[t] = i;
            s->position[t] = (int32_t)((i + q) % config.vocab);
            s->length[t] = lengths[q];
            s->place[t] = q * CONTEXT + i;
            if (q == LABELLESS || (i % 3 && i + 1 < lengths[q])) continue;
            l->row[l->count] = (int32_t)t;
            int32_t *label = &l->label[l->count++];
            *label = (int32_t)((q * 17 + i * 11 + config.vocab - 1) % (b->c->labels > 2 ? b->c->labels : config.vocab));
            if (b->c->labels == 1) memcpy(label, &(float){(float)*label / 8}, sizeof *label); /* of a number its bits */
        }
    }
    begins[to - from] = s->rows;
    l->begins[to - from] = l->count;
    lanes_plan(&s->lanes[STEP_ROWS], SEQUENCES, from, to, begins);
}

static void add_values(Had *h, const float *got, const float *want, size_t n) {
    Err err = {0};
    assert_true(mem_grow((void **)&h->got, &h->got_room, h->count + n, sizeof *got, "test", &err) &&
                mem_grow((void **)&h->want, &h->want_room, h->count + n, sizeof *want, "test", &err));
    memcpy(h->got + h->count, got, n * sizeof *got);
    memcpy(h->want + h->count, want, n * sizeof *want);
    h->count += n;
}

/* Of forward ops linears alone. All rows of a pass are computed anew with every piece of the head. */
static bool is_recorded(const Node *n) {
    if (!op_trains(n->op) && n->op != &linear_row) return false;
    return shape_rows(&n->shape) != STEP_ROWS || (n->stage != STAGE_HEAD && n->stage != STAGE_HEAD_GRADIENT);
}

/* What the engine has made of a node is what those that read it go on from. On a mesh of one device every node of the
 * program is one of the graph. */
static void taken_from_engine(const void *of, int program_id, const StepRows *s) {
    const Both *b = of;
    for (int id = 1; id < b->g.count; id++) {
        const Node *n = &b->g.nodes[id];
        bool mine = program_tensor(&b->program, (Tensor){id}).id == program_id;
        bool result = n->kind == NODE_RESULT && program_tensor(&b->program, n->in[0]).id == program_id;
        Tensor t = program_tensor(&b->program, (Tensor){id});
        Err err = {0};
        if (!(mine || result) || !n->keep) continue;
        const float *got = backend_cpu.read(b->engine, t, &err);
        if (!got) fail_msg("%s: %s", b->c->name, err.text);
        size_t floats = (size_t)(rows_of_node(s, n) * node_width(n));
        if (is_recorded(n)) add_values(&b->had[id], got, b->plain.value[t.id], floats);
        memcpy(b->plain.value[t.id], got, floats * sizeof *got);
    }
}

static void stages_run(const Both *b, Stage first, Stage last) {
    StepRows *s = backend_cpu.rows(b->engine);
    Err err = {0};
    s->first = first;
    s->last = last;
    if (!b->bf16) plainly_step(&b->plain, s);
    if (!backend_cpu.run(b->engine, &err)) fail_msg("%s on %s: %s", b->c->name, b->layout->mesh, err.text);
    if (b->plain.after) {
        plainly_step(&b->plain, s);
        return;
    }
    for (int id = 1; id < b->g.count; id++) {
        const Node *n = &b->g.nodes[id];
        Tensor t = program_tensor(&b->program, (Tensor){id});
        if (!n->keep || n->stage < first || n->stage > last || !is_recorded(n)) continue;
        const float *got = backend_cpu.read(b->engine, t, &err);
        if (!got) fail_msg("%s: %s", b->c->name, err.text);
        add_values(&b->had[id], got, b->plain.value[t.id], (size_t)(rows_of_node(s, n) * node_width(n)));
    }
}

static void head_run(const Both *b, const Labelled *l, int from, int to, int *kept) {
    StepRows *s = backend_cpu.rows(b->engine);
    LanePlan whole;
    int64_t piece = b->c->labels == 2 ? PIECE : b->layout->piece; /* no run parts a sequence with an answer */
    lanes_plan(&whole, SEQUENCES, from, to, l->begins);
    for (int64_t at = 0, end; at == 0 || at < l->count; at = end) {
        end = at + piece < l->count ? at + piece : l->count;
        RowPairs pairs = {.row = l->row, .slot = s->slot, .index = s->index};
        if (end < l->count && piece > 1 && pairs_joined(&pairs, end - 1)) end--;
        lanes_cut(&whole, at, end, end == l->count, *kept, &s->lanes[LOGIT_ROWS]);
        *kept = s->lanes[LOGIT_ROWS].kept;
        s->logit_rows = end - at;
        memcpy(s->logit_row, l->row + at, (size_t)(end - at) * sizeof *l->row);
        memcpy(s->label, l->label + at, (size_t)(end - at) * sizeof *l->label);
        stages_run(b, STAGE_HEAD, STAGE_HEAD_GRADIENT);
        if (!l->count) break;
    }
    s->logit_rows = 0;
}

/* What states and trained weights hold; of rows the first `rows`. */
static void states_read(const Both *b, int64_t rows) {
    for (int id = 1; id < b->g.count; id++) {
        const Node *n = &b->g.nodes[id];
        Err err = {0};
        if (!node_is_state(n) || n->type == TYPE_CACHE || (n->value == VALUE_ROWS) != (rows > 0)) continue;
        Tensor t = program_tensor(&b->program, (Tensor){id});
        size_t floats = (size_t)(n->value == VALUE_ROWS ? rows * node_width(n) : node_size(n));
        float *data = calloc(floats + 1, sizeof *data);
        if (!backend_cpu.state_read(b->engine, t, data, &err)) fail_msg("%s: %s", n->name, err.text);
        add_values(&b->had[id], data, b->plain.value[t.id], floats);
        free(data);
    }
}

static void step_run(const Both *b, int64_t step) {
    StepRows *s = backend_cpu.rows(b->engine);
    Labelled labelled;
    int kept = 0;
    s->scalars = b->c->scalars;
    s->scalars.step += step;
    for (int from = 0, to; from < SEQUENCES; from = to) {
        to = from + b->layout->sequences < SEQUENCES ? from + b->layout->sequences : SEQUENCES;
        pass_fill(b, s, from, to, &labelled);
        stages_run(b, STAGE_FORWARD, STAGE_FORWARD);
        head_run(b, &labelled, from, to, &kept);
        stages_run(b, STAGE_GRADIENT, STAGE_GRADIENT);
        states_read(b, s->rows);
    }
    stages_run(b, STAGE_NORM, STAGE_UPDATE);
    states_read(b, 0);
}

/* ---- A case ------------------------------------------------------------------------------------------------------ */

/* The first layout has the best kernels of this CPU, the others one table after another. */
static const char *kernels_of(const Layout *l) {
    const char *name = kernels_name((int)(l - layouts) % 6);
    return l != layouts && name && kernels_select(name, NULL) ? name : NULL;
}

static void both_open(Both *b, const Case *c, const int64_t *shape, const Layout *layout, bool bf16) {
    Mesh mesh;
    Err err = {0};
    *b = (Both){.c = c, .layout = layout, .hidden = shape[0], .bf16 = bf16};
    shape_set(shape);
    config.labels = c->labels;
    lengths[0] = c->longest ? c->longest : SHORT;
    graph_init(&b->g, &config, MOST_ROWS, CONTEXT);
    b->g.trains = true;
    if (c->rule) ruled_graph(&b->g, c->rule, c->recompute, &b->walked, &err);
    else c->build(&b->g);
    for (int id = 1; id < b->g.count; id++) {
        Node *n = &b->g.nodes[id];
        n->keep = node_computed(n) && (op_trains(n->op) || bf16) && !n->dead && n->value != VALUE_PAIR;
    }
    if (b->g.err.kind || err.kind || !mesh_parse(&mesh, layout->mesh, &err) ||
        !partition_new(&b->partition, &config, &mesh, false, &err) ||
        !program_new(&b->program, &b->g, &b->partition, &err))
        fail_msg("%s on %s: %s%s", c->name, layout->mesh, b->g.err.text, err.text);
    random_state = 88172645463325252u; /* the same weights on every mesh */
    plainly_new(&b->plain, &b->program, MOST_ROWS, SEQUENCES * b->partition.mesh.dp);
    b->weights = plainly_weights(&b->plain);
    b->had = calloc((size_t)b->g.count, sizeof *b->had);
    BackendOptions o = {.threads = layout->threads, .slots = SEQUENCES * b->partition.mesh.dp, .context = CONTEXT,
                        .rows = MOST_ROWS, .logit_rows = PIECE, .sum_slots = LANE_SLOTS, .candidates = -1,
                        .act = bf16 ? ACT_BF16 : ACT_F32, .isa = bf16 ? kernels_of(layout) : NULL};
    b->plain.bf16 = bf16;
    b->plain.of = b;
    b->plain.after = bf16 && layout == layouts ? taken_from_engine : NULL;
    b->engine = backend_cpu.open(&b->program, b->weights, &o, &err);
    if (!b->engine) fail_msg("%s on %s: %s", c->name, layout->mesh, err.text);
}

static void both_close(Both *b) {
    for (int id = 0; id < b->g.count; id++) free(b->had[id].got), free(b->had[id].want);
    free(b->had);
    backend_cpu.close(b->engine);
    weights_close(b->weights);
    plainly_free(&b->plain);
    program_free(&b->program);
    partition_free(&b->partition);
    gradient_free(&b->walked);
    graph_free(&b->g);
}

static const char *label_of(const Node *n) { return n->op ? n->op->name : n->name; }

static void as_reference(const Both *b, double tolerance) {
    for (int id = 1; id < b->g.count; id++) {
        const Had *h = &b->had[id];
        const Node *n = &b->g.nodes[id];
        double most = 0;
        assert_true(h->count || !((n->keep && is_recorded(n)) || (node_is_state(n) && n->type != TYPE_CACHE)));
        for (size_t i = 0; i < h->count; i++) most = fmax(most, fabs((double)h->want[i]));
        for (size_t i = 0; i < h->count; i++)
            if (!(fabs((double)h->got[i] - (double)h->want[i]) <= tolerance * most))
                fail_msg("%s on %s, hidden %lld, %s (node %d): number %zu is %.9g, the reference has %.9g of %.9g",
                         b->c->name, b->layout->mesh, (long long)b->hidden, label_of(n), id, i,
                         (double)h->got[i], (double)h->want[i], most);
    }
}

static void same_bits(const Both *a, const Both *b) {
    for (int id = 1; id < a->g.count; id++) {
        const Had *x = &a->had[id], *y = &b->had[id];
        assert_int_equal(x->count, y->count);
        for (size_t i = 0; i < x->count; i++)
            if (memcmp(&x->got[i], &y->got[i], sizeof *x->got))
                fail_msg("%s, hidden %lld, %s: number %zu is %.9g on %s, %d threads, but %.9g on %s, %d threads",
                         a->c->name, (long long)a->hidden, label_of(&a->g.nodes[id]), i, (double)x->got[i],
                         a->layout->mesh, a->layout->threads, (double)y->got[i], b->layout->mesh, b->layout->threads);
    }
}

static void case_run(const Case *c, int shapes_tried, int64_t steps, double tolerance, bool bf16, bool *seen) {
    for (int s = 0; s < (brief() ? 2 : shapes_tried); s++) {
        Both first, other;
        for (int l = 0; l < (brief() ? 5 : LAYOUTS); l++) {
            Both *b = l ? &other : &first;
            both_open(b, c, shapes[s], &layouts[l], bf16);
            for (int64_t step = 0; step < steps; step++) step_run(b, step);
            if (!bf16 || l == 0) as_reference(b, c->tolerance > 0 ? c->tolerance : tolerance);
            for (int i = 0; op_table[i]; i++)
                for (int id = 1; id < b->program.graph.count; id++)
                    seen[i] |= b->program.graph.nodes[id].op == op_table[i];
            if (l) same_bits(&first, &other), both_close(&other);
        }
        both_close(&first);
    }
}

static void run_is_reference(void **state) {
    for (int c = 0; c < CASES; c++) case_run(&cases[c], SHAPES, 2, 1e-6, false, *state);
}

/* A dozen ops one behind the other, scores of attention among them, whose rounding grows by their size. */
static void graphs_are_references(void **state) {
    bool seen[128] = {false};
    (void)state;
    for (int c = 0; c < RULE_CASES; c++) {
        Case of = {.name = rule_cases[c].name, .scalars = {LOSS, .label_smoothing = 0.1, .z_loss = 0.02},
                   .rule = &rule_cases[c], .recompute = c % 2};
        if (rule_is_there(&rule_cases[c])) case_run(&of, SHAPES - 1, 1, 1e-5, false, seen);
    }
}

/* The three products of linears, and graphs of many of them. */
static void in_bf16(void **state) {
    static const char *const rules[] = {"a block of attention", "a block of feed-forward", "many linears of one value",
                                        "one weight twice"};
    enum { RULES = sizeof rules / sizeof *rules };
    bool seen[128] = {false};
    int found = 0;
    (void)state;
    for (int c = 0; c < CASES; c++)
        if (!strncmp(cases[c].name, "linear_d", 8)) case_run(&cases[c], SHAPES, 2, 1e-6, true, seen);
    for (int c = 0; c < RULE_CASES; c++)
        for (int i = 0; i < RULES; i++) {
            Case of = {.name = rule_cases[c].name, .scalars = {LOSS}, .rule = &rule_cases[c], .recompute = c % 2};
            if (strcmp(rules[i], rule_cases[c].name)) continue;
            case_run(&of, SHAPES - 1, 1, 1e-6, true, seen);
            found++;
        }
    assert_int_equal(found, RULES);
}

/* An op of the table that no case has is one that no test knows. */
static void all_are_tested(void **state) {
    const bool *seen = *state;
    for (int i = 0; op_table[i]; i++)
        if (op_trains(op_table[i]) && !seen[i]) fail_msg("%s is in no case", op_table[i]->name);
}

int main(void) {
    static bool seen[128];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(run_is_reference, seen),
        cmocka_unit_test_prestate(all_are_tested, seen),
        cmocka_unit_test(graphs_are_references),
        cmocka_unit_test(in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
