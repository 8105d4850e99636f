/* test_lower_train.c: what only programs that train have computes on XLA CPU, as lowered text, what the plain references of
 * its ops say: each op on odd shapes and meshes, and whole graphs of gradients, with rows that have no token and tokens
 * that have no label; in one program, and as a program for each stage. Each device is looked at: those that hold the same
 * have the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../src/graph/lower_train.h"
#include "../src/pjrt/client.h"
#include "../src/pjrt/plugin.h"
#include "fixture.h"
#include "plain_program.h"
#include "training_cases.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

enum { DEVICES = 8, SLOTS = 2, ROWS = 20, MOST_DP = 2, MOST_ROWS = SLOTS * ROWS * MOST_DP, CONTEXT = 140 };

static PjrtClient *client;

/* ---- A case and a mesh ------------------------------------------------------------------------------------------- */

/* padded: the last slot of a replica has rows without a token, and some tokens have no label. */
typedef struct Run {
    const Case *c;
    const char *mesh_text;
    bool padded;
    Graph g;
    Partition partition;
    Program program;
    Plainly plain;
    Gradient walked;
    StepRows step;
    int32_t row[MOST_ROWS], logit[MOST_ROWS]; /* of a row of all buckets: of the step, or -1 */
    float **value[DEVICES];                   /* [device][node]: what a program left for later ones, local */
    float **state[DEVICES];                   /* [device][state] */
    int states;
} Run;

static const int lengths[SLOTS][4] = {{7, 9, 4, 0}, {15, 5, 0, 0}};

/* Two segments or more a slot; of a padded step the last slot has one, and rows that are none's. */
static void rows_fill(Run *r) {
    StepRows *s = &r->step;
    s->rows = s->logit_rows = 0;
    for (int at = 0, slot = 0, segment = 0; slot < SLOTS * r->partition.mesh.dp; slot++)
        for (int k = 0, row = 0; row < ROWS; k++) {
            const int *length = lengths[slot % SLOTS];
            bool none = length[k] == 0 || (r->padded && slot % SLOTS == SLOTS - 1 && k > 0);
            int end = none ? ROWS : row + length[k];
            for (int i = 0; row < end; row++, i++, at++) {
                r->row[at] = none ? -1 : (int32_t)s->rows;
                r->logit[at] = -1;
                if (none) continue;
                int64_t t = s->rows++;
                s->token[t] = (int32_t)((slot * 31 + k * 13 + i * 7 + 3) % config.vocab);
                s->slot[t] = segment;
                s->index[t] = i;
                s->position[t] = (int32_t)((i + slot) % config.vocab);
                s->length[t] = length[k];
                s->place[t] = at;
                if (r->padded && i % 3 == 1 && !(r->c->labels == 2)) continue;
                r->logit[at] = (int32_t)s->logit_rows;
                s->logit_row[s->logit_rows] = (int32_t)t;
                int32_t *label = &s->label[s->logit_rows++];
                *label = (int32_t)((slot * 17 + i * 11 + config.vocab - 1) % (r->c->labels > 2 ? r->c->labels : config.vocab));
                if (r->c->labels == 2) *label = i == 1 ? SPAN_BEGINS : i == 3 ? SPAN_ENDS : 0;
                if (r->c->labels == 1) memcpy(label, &(float){(float)*label / 8}, sizeof *label);
            }
            segment++;
        }
}

static void run_open(Run *r, const Case *c, const int64_t *shape, const char *mesh_text, bool padded) {
    Mesh mesh;
    Err err = {0};
    *r = (Run){.c = c, .mesh_text = mesh_text, .padded = padded};
    shape_set(shape);
    config.labels = c->labels;
    graph_init(&r->g, &config, MOST_ROWS, CONTEXT);
    r->g.trains = true;
    if (c->rule) ruled_graph(&r->g, c->rule, c->recompute, &r->walked, &err);
    else c->build(&r->g);
    for (int id = 1; id < r->g.count; id++) {
        Node *n = &r->g.nodes[id];
        n->keep = node_computed(n) && n->kind == NODE_OP && op_trains(n->op);
    }
    if (r->g.err.kind || err.kind || !mesh_parse(&mesh, mesh_text, &err) ||
        !partition_new(&r->partition, &config, &mesh, true, &err) || !program_new(&r->program, &r->g, &r->partition, &err))
        fail_msg("%s on %s: %s%s", c->name, mesh_text, r->g.err.text, err.text);
    random_state = 88172645463325252u;
    plainly_new(&r->plain, &r->program, MOST_ROWS, SLOTS * 4 * MOST_DP);
    assert_true(step_rows_new(&r->step, MOST_ROWS, &err));
    r->states = lower_states(&r->program);
    for (int d = 0; d < DEVICES; d++) {
        r->value[d] = zeros(2 * r->program.graph.count);
        r->state[d] = zeros(2 * r->states);
    }
    rows_fill(r);
    r->step.scalars = c->scalars;
}

static void run_close(Run *r) {
    for (int d = 0; d < DEVICES; d++) {
        for (int i = 0; i < r->program.graph.count; i++) free(r->value[d][i]);
        for (int i = 0; i < r->states; i++) free(r->state[d][i]);
        free(r->value[d]), free(r->state[d]);
    }
    step_rows_free(&r->step);
    plainly_free(&r->plain);
    program_free(&r->program);
    partition_free(&r->partition);
    gradient_free(&r->walked);
    graph_free(&r->g);
}

/* ---- Where a device's numbers are --------------------------------------------------------------------------------- */

static int64_t local_size(const LowerArgument *a) {
    int64_t size = 1;
    for (int i = 0; i < a->rank; i++) size *= a->dim[i];
    return size;
}

/* Of local indices of a dimension: those of all devices; -1: padding, or a row without a token (or label). */
static void places_of(const Run *r, const Dim *dim, const char *split, int device, int64_t local, int64_t *out) {
    int tp = r->partition.mesh.tp;
    const AxisRow *axis = axis_row(dim->letters[0]);
    for (int64_t i = 0; i < local; i++) out[i] = -1;
    if (axis && axis->role == AXIS_ROWS) {
        const int32_t *from = (axis->rows == LOGIT_ROWS ? r->logit : r->row) + device / tp * SLOTS * ROWS;
        for (int64_t i = 0; i < local; i++) out[i] = from[i];
        return;
    }
    Segments list = {0};
    Err err = {0};
    assert_true(partition_segments(&r->partition, dim->letters, split, device % tp, &list, &err));
    for (int k = 0; k < list.count; k++)
        for (int64_t i = 0; i < list.list[k].count; i++) out[list.list[k].to + i] = list.list[k].from + i;
    free(list.list);
}

static const char *split_of(const Run *r, const LowerArgument *a) {
    return a->role == ROLE_WEIGHT || a->role == ROLE_STATE ? a->weight_split : r->program.graph.nodes[a->node].split;
}

/* For each number of an argument on a device: where it is in the plain value; -1: nowhere. */
static int64_t *map_new(const Run *r, const LowerArgument *a, int device) {
    const Node *n = &r->program.graph.nodes[a->node];
    int64_t *map = malloc((size_t)(local_size(a) + 1) * sizeof *map), *dim[2], columns = 1;
    for (int i = 0; i < 2; i++) {
        dim[i] = calloc((size_t)(i < a->rank ? a->dim[i] : 1), sizeof **dim);
        if (i < a->rank) places_of(r, &n->shape.dim[i], split_of(r, a), device, a->dim[i], dim[i]);
    }
    if (a->rank == 2) columns = n->shape.dim[1].size;
    for (int64_t i = 0; i < local_size(a); i++) {
        int64_t row = dim[0][a->rank == 2 ? i / a->dim[1] : i], column = a->rank == 2 ? dim[1][i % a->dim[1]] : 0;
        map[i] = row < 0 || column < 0 ? -1 : row * columns + column;
    }
    free(dim[0]), free(dim[1]);
    return map;
}

/* ---- A program ---------------------------------------------------------------------------------------------------- */

static int32_t input_of(const Run *r, const char *name, int64_t i, int column) {
    int64_t t = r->row[i];
    int32_t draws[2];
    if (!strcmp(name, "labels")) return r->logit[i] < 0 ? LOWER_NO_LABEL : r->step.label[r->logit[i]];
    if (!strcmp(name, "segment")) return t < 0 ? -1 : r->step.slot[t];
    if (!strcmp(name, "tokens")) return t < 0 ? 0 : r->step.token[t];
    if (!strcmp(name, "positions")) return t < 0 ? 0 : r->step.position[t];
    if (strcmp(name, "draws")) fail_msg("%s: no such step input", name);
    lower_draws(&r->step.scalars, t < 0 ? 0 : r->step.place[t], draws);
    return draws[column];
}

/* The local value of an argument on a device: malloc'ed. */
static float *local_new(const Run *r, const LowerArgument *a, int device, bool fresh) {
    int64_t size = local_size(a), per_row = a->rank > 1 ? a->dim[1] : 1;
    float *out = zeros(size);
    int32_t *ids = (int32_t *)(void *)out;
    if (a->role == ROLE_SHARD) lower_places(&r->partition, device % r->partition.mesh.tp, ids);
    else if (a->role == ROLE_STATE && r->state[device][a->state])
        memcpy(out, r->state[device][a->state], (size_t)size * sizeof *out);
    else if (a->role == ROLE_VALUE && r->value[device][a->node])
        memcpy(out, r->value[device][a->node], (size_t)size * sizeof *out);
    else if (!strcmp(a->name, "scalars")) lower_scalars(&r->step.scalars, fresh, out);
    else if (a->role == ROLE_STEP && a->type[0] == 'i')
        for (int64_t i = 0; i < size; i++)
            ids[i] = input_of(r, a->name, device / r->partition.mesh.tp * SLOTS * ROWS + i / per_row, (int)(i % per_row));
    else {
        const float *plain = r->plain.value[a->node];
        int64_t *map = map_new(r, a, device);
        assert_non_null(plain);
        bool sum = a->role == ROLE_STATE && r->program.graph.nodes[a->node].type == TYPE_SUM;
        for (int64_t i = 0; i < size; i++) out[i] = sum ? NAN : map[i] < 0 ? 0 : plain[map[i]];
        free(map);
    }
    return out;
}

/* Every device's results, which are states and values from then on; kept ones go to got[device][result]. */
static void lowered_run(Run *r, Lower *l, PjrtProgram *program, bool fresh, float **got[DEVICES]) {
    int devices = r->partition.mesh.tp * r->partition.mesh.dp;
    PjrtBuffer **arguments = calloc((size_t)(devices * l->argument_count) + 1, sizeof *arguments);
    PjrtBuffer **results = calloc((size_t)(devices * l->result_count) + 1, sizeof *results);
    Err err = {0};
    for (int d = 0; d < devices; d++)
        for (int i = 0; i < l->argument_count; i++) {
            const LowerArgument *a = &l->arguments[i];
            float *data = local_new(r, a, d, fresh);
            PjrtBuffer **to = &arguments[d * l->argument_count + i];
            *to = pjrt_upload(client, d, a->type[0] == 'i' ? PJRT_S32 : PJRT_F32, a->dim, a->rank, data, &err);
            free(data);
            if (!*to) fail_msg("%s", err.text);
        }
    if (!pjrt_execute(client, program, arguments, l->argument_count, results, l->result_count, &err)) fail_msg("%s", err.text);
    for (int d = 0; d < devices; d++)
        for (int i = 0; i < l->result_count; i++) {
            const LowerArgument *a = &l->results[i];
            float *data = zeros(local_size(a));
            if (!pjrt_download(client, results[d * l->result_count + i], data, (size_t)lower_argument_bytes(a), &err))
                fail_msg("%s", err.text);
            float **to = a->role == ROLE_STATE ? &r->state[d][a->state] : a->role == ROLE_VALUE ? &r->value[d][a->node] : NULL;
            if (to) free(*to), *to = data;
            got[d][i] = to ? NULL : data;
        }
    for (int i = 0; i < devices * l->argument_count; i++) pjrt_buffer_free(client, arguments[i]);
    for (int i = 0; i < devices * l->result_count; i++) pjrt_buffer_free(client, results[i]);
    free(arguments), free(results);
}

static void same(const Run *r, const LowerArgument *a, int device, const float *got, double tolerance) {
    const Node *n = &r->program.graph.nodes[a->node];
    const float *want = r->plain.value[a->node];
    int64_t *map = map_new(r, a, device), size = local_size(a);
    double most = 0;
    int seen = 0;
    for (int64_t i = 0; i < size; i++)
        if (map[i] >= 0) most = fmax(most, fabs((double)want[map[i]])), seen++;
    for (int64_t i = 0; i < size; i++)
        if (map[i] >= 0 && !(fabs((double)got[i] - (double)want[map[i]]) <= tolerance * most))
            fail_msg("%s on %s, hidden %lld, %s%s %s, device %d: number %lld is %.9g, the reference has %.9g of %.9g",
                     r->c->name, r->mesh_text, (long long)config.hidden, r->padded ? "padded " : "",
                     n->op ? n->op->name : n->name, a->name, device, (long long)i, (double)got[i], (double)want[map[i]],
                     most);
    free(map);
}

/* What a program has left, against the references. The replicas' parts of a sum are added up first, unless it was
 * completed. */
static void results_check(const Run *r, const Lower *l, float **got[DEVICES], double tolerance) {
    int tp = r->partition.mesh.tp, devices = tp * r->partition.mesh.dp;
    for (int i = 0; i < l->result_count; i++) {
        const LowerArgument *a = &l->results[i];
        const Node *n = &r->program.graph.nodes[a->node];
        if (a->role == ROLE_VALUE) continue;
        bool parts = a->role == ROLE_STATE && n->type == TYPE_SUM && r->partition.mesh.dp > 1;
        for (int id = 1; id < r->program.graph.count; id++)
            parts &= !(r->program.graph.nodes[id].op == &replica_sum_row && lower_has(l, id) &&
                       graph_state(&r->program.graph, (Tensor){id}) == n);
        for (int d = 0; d < (parts ? tp : devices); d++) {
            const float *own = a->role == ROLE_STATE ? r->state[d][a->state] : got[d][i];
            float *sum = zeros(local_size(a));
            for (int64_t k = 0; k < local_size(a); k++) sum[k] = own[k];
            for (int64_t k = 0; parts && k < local_size(a); k++) sum[k] += r->state[d + tp][a->state][k];
            same(r, a, d, sum, tolerance);
            free(sum);
        }
    }
}

/* Stages [first, last] as one program, lowered and run `passes` times, beside the references. */
static void stages_run(Run *r, Stage first, Stage last, int passes, int head_parts, double tolerance) {
    Lower l = {0};
    Text text = {0};
    Err err = {0};
    const LowerOptions o = {.type = "f32", .trains = true, .sums_go_on = passes > 1, .stage_first = first, .stage_last = last,
                            .head_parts = head_parts, .platform = head_parts ? "tt" : NULL,
                            .bucket = {.slots = SLOTS, .rows = ROWS, .logit_rows = SLOTS * ROWS, .all_logits = true}};
    if (!lower_program(&l, &r->program, &o, &text, &err)) fail_msg("%s on %s: %s", r->c->name, r->mesh_text, err.text);
    if (!l.result_count) {
        r->step.first = first, r->step.last = last;
        plainly_step(&r->plain, &r->step);
        lower_free(&l), text_free(&text);
        return;
    }
    PjrtProgram *program = pjrt_compile(client, text.data, text.bytes, r->partition.mesh.tp * r->partition.mesh.dp, NULL, &err);
    if (!program) fail_msg("%s on %s: %s\n%s", r->c->name, r->mesh_text, err.text, text.data);
    for (int pass = 0; pass < passes; pass++) {
        float **got[DEVICES];
        for (int d = 0; d < DEVICES; d++) got[d] = zeros(2 * l.result_count);
        for (int k = 0; k < ROW_KINDS; k++) r->step.lanes[k].held = pass;
        for (Stage s = STAGE_FORWARD; pass == 0 && s <= last; s++) /* what the host computes for all stages */
            for (int id = 1; id < r->program.graph.count; id++) {
                const Node *n = &r->program.graph.nodes[id];
                PlainCall c = {.graph = &r->program.graph, .node = n, .step = &r->step, .rows = r->step.rows,
                               .out_width = node_width(n), .out = r->plain.value[id]};
                if (n->kind != NODE_OP || !n->op->on_host) continue;
                for (int i = 0; i < n->inputs; i++) {
                    const Node *in = graph_node(&r->program.graph, n->in[i]);
                    if (in->kind == NODE_INPUT) c.ids = step_input(&r->step, in->name);
                    else c.in[i] = r->plain.value[n->in[i].id], c.width[i] = node_width(in);
                }
                n->op->reference(&c);
            }
        lowered_run(r, &l, program, pass == 0, got); /* before the references change states */
        r->step.first = first, r->step.last = last;
        plainly_step(&r->plain, &r->step);
        results_check(r, &l, got, tolerance);
        for (int d = 0; d < DEVICES; d++) {
            for (int i = 0; i < l.result_count; i++) free(got[d][i]);
            free(got[d]);
        }
    }
    pjrt_program_free(program);
    lower_free(&l);
    text_free(&text);
}

/* ---- The tests ---------------------------------------------------------------------------------------------------- */

static bool loses(const Case *c) { return strstr(c->name, "loss") != NULL; }
/* One norm behind the other, whose gradient is a difference of like numbers: rounding grows as it does in graphs. */
static double tolerance_of(const Case *c) { return strstr(c->name, "put_rows") ? 1e-5 : 1e-6; }
static bool updates(const Case *c) { return c->scalars.learning_rate > 0; }

/* With QWENMESH_PJRT_ALL=1 on every mesh, else on one each. */
static void ops_are_references(void **state) {
    static const char *const meshes[] = {"2x4", "dp2,tp3", "1x8"};
    int each = getenv("QWENMESH_PJRT_ALL") ? 3 : 1;
    (void)state;
    for (int c = 0; c < CASES; c += brief() ? 5 : 1)
        for (int m = 0; m < each; m++) {
            Run r;
            double near = tolerance_of(&cases[c]);
            if (cases[c].only_cpu) continue;
            run_open(&r, &cases[c], shapes[c % 2 ? 3 : 1], meshes[(c + m) % 3], loses(&cases[c]));
            if (updates(&cases[c])) {
                stages_run(&r, STAGE_FORWARD, STAGE_NORM, 1, 0, near);
                stages_run(&r, STAGE_UPDATE, STAGE_UPDATE, 1, 0, near);
            } else {
                stages_run(&r, STAGE_FORWARD, STAGE_GRADIENT, 2, 0, near);
                stages_run(&r, STAGE_NORM, STAGE_NORM, 1, 0, near);
            }
            run_close(&r);
        }
}

/* Chains of a dozen ops, one of whose layers is computed again; every second one as a program for each stage. */
static void graphs_are_references(void **state) {
    static const char *const meshes[] = {"dp2,tp3", "2x4", "1x8"};
    (void)state;
    for (int c = 0; c < (brief() ? 1 : RULE_CASES); c++) {
        Case of = {.name = rule_cases[c].name, .scalars = {LOSS, .label_smoothing = 0.1, .z_loss = 0.02, .step = 2},
                   .rule = &rule_cases[c], .recompute = c % 2};
        Run r;
        if (c % 3 && !strstr("a tied embedding, head_norm, two kinds of rope, one weight twice", of.name)) continue;
        run_open(&r, &of, shapes[c % 2 ? 3 : 1], meshes[c % 3], true);
        if (c % 2) stages_run(&r, STAGE_FORWARD, STAGE_GRADIENT, 2, 0, 1e-5);
        else for (Stage s = STAGE_FORWARD; s <= STAGE_GRADIENT; s++) stages_run(&r, s, s, 1, 0, 1e-5);
        run_close(&r);
    }
}

/* The head written once for each part of its rows, as for Tenstorrent's compiler, in steps of one pass and of two. */
static void heads_in_parts(void **state) {
    static const char *const meshes[] = {"dp2,tp4", "2x4"};
    (void)state;
    for (int c = 0, done = 0; c < RULE_CASES && done < (brief() ? 1 : 2); c++) {
        Case of = {.name = rule_cases[c].name, .scalars = {LOSS, .label_smoothing = 0.1, .z_loss = 0.02, .step = 2},
                   .rule = &rule_cases[c]};
        Run r;
        if (!strstr("a tied embedding, one weight twice", of.name)) continue;
        run_open(&r, &of, shapes[3], meshes[done], true);
        for (int id = 1; id < r.program.graph.count; id++) { /* of parts only what they are joined to can be looked at */
            Node *n = &r.program.graph.nodes[id];
            n->keep &= n->op == &token_loss_row;
        }
        stages_run(&r, STAGE_FORWARD, STAGE_GRADIENT, 1 + done, 4, 1e-5);
        run_close(&r);
        done++;
    }
}

int main(void) {
    Err err = {0};
    ruled_parts = true;
    PluginFile file;
    const struct CMUnitTest tests[] = {cmocka_unit_test(ops_are_references), cmocka_unit_test(graphs_are_references),
                                       cmocka_unit_test(heads_in_parts)};
    if (!plugin_find("cpu", &file, NULL)) {
        printf("SKIP no cpu plugin: run `make plugins`\n");
        return 0;
    }
    client = pjrt_open(&(PjrtOptions){.plugin = "cpu", .devices = DEVICES}, &err);
    if (!client) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pjrt_close(client);
    return failed;
}
