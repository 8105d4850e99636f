/* plan_train.c: see plan_train.h. Sizes are those of the program that trains, a device's part of each. */
#include <stdlib.h>
#include <string.h>
#include "../model/adapter_fresh.h"
#include "../model/family.h"
#include "../model/train_graph.h"
#include "../ops/kernels.h"
#include "../ops/lanes.h"
#include "../ops/optimize8.h"
#include "plan_train.h"

#define MIB 1048576.0
#define GIB (1024.0 * MIB)
enum { HEAD_ROWS = 256 }; /* logit rows at once, as trainer.c has it */

typedef struct Training {
    TrainGraph graph;
    Partition partition;
    Program program;
    int64_t rows;     /* of a pass, on one replica                            */
    Weights *adapted; /* tensors of the adapter that is trained; NULL: none is */
    bool bf16;        /* operands of linears                                  */
} Training;

/* carried: of activations, from stage to stage. */
typedef struct TrainBytes {
    double weights, gradients, moments, averages, activations, carried;
} TrainBytes;

static double all_bytes(TrainBytes b) { return b.weights + b.gradients + b.moments + b.averages + b.activations; }

bool plan_optimizer(const char *name, OptimizerKind *out) {
    for (int i = 0; optimizer_names[i]; i++)
        if (!strcmp(name, optimizer_names[i])) return *out = (OptimizerKind)i, true;
    return false;
}

/* ---- What a device holds ----------------------------------------------------------------------------------------- */

static double all_numbers(const Node *n) {
    double size = 1;
    for (int d = 0; d < n->shape.rank; d++) size *= (double)n->shape.dim[d].size;
    return size;
}

/* Whether an op wants all of a state, or of a trained weight, on every device. */
static bool held_whole(const Program *p, const Node *n) {
    const Graph *g = &p->graph;
    for (int u = 1; u < g->count; u++)
        for (int i = 0; g->nodes[u].kind == NODE_OP && g->nodes[u].op->told && i < g->nodes[u].inputs; i++)
            if (graph_state(g, g->nodes[u].in[i]) == n) return true;
    return false;
}

static double local_numbers(const Program *p, const Node *n, int device) {
    double size = 1;
    if (node_is_state(n) && held_whole(p, n)) return all_numbers(n);
    for (int d = 0; d < n->shape.rank; d++) size *= (double)program_local(p, n, d, device);
    return size;
}

/* Of a weight that is dealt by how it is used: the largest part. */
static double weight_numbers(const Program *p, int id, int device) {
    const Graph *g = &p->graph;
    double most = 0;
    if (held_whole(p, &g->nodes[id])) return all_numbers(&g->nodes[id]);
    for (int u = id + 1; u < g->count; u++) {
        const Node *user = &g->nodes[u];
        for (int i = 0; user->kind == NODE_OP && i < user->inputs; i++) {
            Node as_used = g->nodes[id];
            if (user->in[i].id != id || !program_weight_split(p, user, i, as_used.split, NULL)) continue;
            double size = local_numbers(p, &as_used, device);
            if (size > most) most = size;
        }
    }
    return most;
}

/* Of a value of a pass. */
static double value_bytes(const Training *t, const Node *n, int device) {
    const Program *p = &t->program;
    if (!node_computed(n) || n->dead) return 0;
    if (n->value == VALUE_VECTOR || n->value == VALUE_MATRIX) return 4 * local_numbers(p, n, device);
    double rows = (double)t->rows, width = n->shape.rank > 1 ? (double)program_local(p, n, 1, device) : 1;
    if (shape_rows(&n->shape) == LOGIT_ROWS && rows > HEAD_ROWS) rows = HEAD_ROWS;
    return 4 * rows * width * (n->value == VALUE_PAIR ? 2 : 1);
}

/* Of its copy in bf16 (ops/kernels.h, Pair). */
static double pairs_bytes(const Training *t, const Node *n, int device) {
    double width = (double)program_local(&t->program, n, 1, device);
    return width > 0 ? value_bytes(t, n, device) / width * (double)pairs_step((int64_t)width) : 0;
}

/* As the CPU engine has it: src/cpu/acts.c. */
static bool reads_pairs(const Training *t, const Node *n, int input) {
    if (!t->bf16 || n->kind != NODE_OP || !n->op->quantise) return false;
    return n->op->binds == BINDS_MATRIX ? input == 0 : input % 2 == 0;
}

/* Where each value, and its copy in bf16, is last read; pairs 0: it has none. */
static void last_reads(const Training *t, int *last, int *pairs) {
    const Graph *g = &t->program.graph;
    for (int id = 1; id < g->count; id++) {
        last[id] = g->nodes[id].keep ? g->count : id;
        for (int i = 0; i < g->nodes[id].inputs; i++) {
            int in = g->nodes[id].in[i].id;
            if (in && reads_pairs(t, &g->nodes[id], i)) pairs[in] = id;
            else if (in && last[in] < id) last[in] = id;
        }
    }
}

/* The most that lives at once: from where a value is made to where it is last read. */
static bool activations(const Training *t, int device, double *most, Err *err) {
    const Graph *g = &t->program.graph;
    int *last = mem_new((size_t)g->count, sizeof *last, "plan", err);
    int *pairs = mem_new((size_t)g->count, sizeof *pairs, "plan", err);
    double now = 0;
    *most = 0;
    if (last && pairs) last_reads(t, last, pairs);
    for (int id = 1; last && pairs && id < g->count; id++) {
        now += value_bytes(t, &g->nodes[id], device);
        if (pairs[id]) now += pairs_bytes(t, &g->nodes[id], device);
        if (now > *most) *most = now;
        for (int i = 0; i < g->nodes[id].inputs; i++) {
            int in = g->nodes[id].in[i].id;
            bool again = false; /* an input that is given twice goes once */
            for (int k = 0; k < i; k++) again = again || g->nodes[id].in[k].id == in;
            if (!in || again) continue;
            if (last[in] == id) now -= value_bytes(t, &g->nodes[in], device);
            if (pairs[in] == id) now -= pairs_bytes(t, &g->nodes[in], device);
        }
        if (last[id] == id) now -= value_bytes(t, &g->nodes[id], device);
    }
    bool ok = last && pairs;
    free(last);
    free(pairs);
    return ok;
}

/* By its name (train_graph.c); what is neither moment nor average passes values from stage to stage. */
static double *bytes_of_state(TrainBytes *b, const Node *n) {
    if (!strncmp(n->name, "ema.", 4)) return &b->averages;
    return !strncmp(n->name, "m.", 2) || !strncmp(n->name, "v.", 2) ? &b->moments : &b->carried;
}

static bool device_bytes(const Training *t, int device, TrainBytes *b, Err *err) {
    const Graph *g = &t->program.graph;
    *b = (TrainBytes){0};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        bool whole = n->trained || n->shape.rank == 1;
        if (n->kind == NODE_WEIGHT) b->weights += (whole ? 4 : 2) * weight_numbers(&t->program, id, device);
        else if (n->kind == NODE_STATE && n->type == TYPE_SUM)
            b->gradients += 4.0 * LANE_SLOTS * local_numbers(&t->program, n, device);
        else if (n->kind == NODE_STATE && node_is_coded(n)) { /* scales go with columns, as even as can be */
            double scales = (double)code_blocks(g, &n->shape.dim[1]) / (double)n->shape.dim[1].size;
            *bytes_of_state(b, n) += (1 + 4 * scales) * local_numbers(&t->program, n, device);
        } else if (n->kind == NODE_STATE && n->type == TYPE_F32)
            *bytes_of_state(b, n) += 4 * local_numbers(&t->program, n, device);
    }
    if (!activations(t, device, &b->activations, err)) return false;
    b->activations += b->carried;
    return true;
}

/* ---- What devices hand over -------------------------------------------------------------------------------------- */

/* Collectives of a pass, and those of a step; bytes that each device gives to them in a step. */
typedef struct Handed {
    int of_pass, of_step;
    double bytes;
} Handed;

static Handed handed(const Training *t, const PlanTrain *o) {
    const Graph *g = &t->program.graph;
    Handed h = {0};
    double tokens = (double)(o->batch * o->seq_len) / t->partition.mesh.dp,
           passes = (double)((o->batch + o->micro - 1) / o->micro);
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP || !n->op->collective) continue;
        bool once = n->stage >= STAGE_NORM;
        *(once ? &h.of_step : &h.of_pass) += 1;
        if (n->value == VALUE_MATRIX || n->value == VALUE_VECTOR)
            h.bytes += 4 * local_numbers(&t->program, n, 0) * (once ? 1 : passes);
        else h.bytes += 4 * tokens * (double)node_width(n);
    }
    return h;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static bool training_open(Training *t, const PlanTrain *o, const ModelConfig *config, const Mesh *mesh, bool recompute,
                          Err *err) {
    const TrainGraphOptions graph = {.optimizer = o->optimizer, .moments_8bit = o->moments_8bit, .average = o->ema, .recompute = recompute, .adapted = t->adapted};
    t->rows = (o->micro + mesh->dp - 1) / mesh->dp * o->seq_len;
    t->bf16 = o->bf16;
    return train_graph(&t->graph, config, o->micro * o->seq_len, o->seq_len, &graph, err) &&
           partition_new(&t->partition, config, mesh, false, err) &&
           program_new(&t->program, &t->graph.model.graph, &t->partition, err);
}

static void training_close(Training *t) {
    program_free(&t->program);
    partition_free(&t->partition);
    train_graph_free(&t->graph);
}

static void print_totals(const PlanTrain *o, const Training *t, double most) {
    Handed h = handed(t, o);
    int64_t passes = (o->batch + o->micro - 1) / o->micro;
    printf("\ncollectives: %d a pass, %d more a step; a step of %lld pass%s hands over %.1f MiB per device\n",
           h.of_pass, h.of_step, (long long)passes, passes == 1 ? "" : "es", h.bytes / MIB);
    printf("memory: the fullest device needs %.2f GiB", most / GIB);
    if (o->memory > 0) printf(" of %.2f GiB: %s", o->memory, most / GIB <= o->memory ? "fits" : "DOES NOT FIT");
    printf("\n");
}

static bool print_devices(const PlanTrain *o, const Training *kept, const Training *again, Err *err) {
    double most = 0;
    printf(
        "device  weights MiB  gradients MiB  moments MiB  averages MiB  activations MiB  with --recompute  all MiB\n");
    for (int d = 0; d < kept->partition.mesh.tp; d++) {
        TrainBytes a, b;
        if (!device_bytes(kept, d, &a, err) || !device_bytes(again, d, &b, err)) return false;
        double all = all_bytes(o->recompute ? b : a);
        printf("%6d  %11.1f  %13.1f  %11.1f  %12.1f  %15.1f  %16.1f  %7.1f\n", d, a.weights / MIB, a.gradients / MIB,
               a.moments / MIB, a.averages / MIB, a.activations / MIB, b.activations / MIB, all / MIB);
        if (all > most) most = all;
    }
    print_totals(o, o->recompute ? again : kept, most);
    return true;
}

Adapters *plan_adapter(const PlanTrain *o, ModelConfig *config, Weights **adapted, Err *err) {
    const AdapterInit init = {.rank = o->lora_r, .targets = o->lora_targets, .saved = o->modules_to_save};
    const Family *f = family_of(config);
    Adapters *a = adapters_fresh(&init, config, err);
    if (a && adapters_configure(a, config, err) && (*adapted = weights_new(NULL, 0, err)) &&
        weights_add(*adapted, a->tensors, a->tensor_count, err)) {
        config->tied &= !adapters_find(a, f->embedding) && !adapters_find(a, f->head); /* as adapters_join has it */
        return a;
    }
    adapters_free(a);
    return NULL;
}

static int64_t trained_numbers(const TrainGraph *t) {
    const Graph *g = &t->model.graph;
    int64_t sum = 0;
    for (int i = 0; i < t->count; i++) {
        const Shape *s = &graph_node(g, t->weights[i].weight)->shape;
        sum += s->dim[0].size * (s->rank > 1 ? s->dim[1].size : 1);
    }
    return sum;
}

static void print_head(const PlanTrain *o, const Training *t) {
    printf("training %.3f M of %.1f M parameters by %s, in %s%s; a step of %lld rows of %lld tokens, %lld at once; "
           "gradients are up to %d sums each (ops/lanes.h)\n\n",
           (double)trained_numbers(&t->graph) / 1e6, (double)graph_parameters(&t->graph.model.graph) / 1e6,
           optimizer_names[o->optimizer], o->bf16 ? "bf16 with masters in f32" : "f32",
           o->moments_8bit ? ", most moments in 8 bits" : "", (long long)o->batch, (long long)o->seq_len, (long long)o->micro, LANE_SLOTS);
}

bool plan_train(const PlanTrain *plan, ModelConfig *config, const Mesh *mesh, Err *err) {
    PlanTrain o = *plan;
    Weights *adapted = NULL;
    Adapters *adapter = NULL;
    Text text = {0};
    if (!o.micro) o.micro = o.seq_len < 2048 ? 2048 / o.seq_len : 1;
    if (o.micro > o.batch) o.micro = o.batch;
    bool ok = !o.lora_r || (adapter = plan_adapter(&o, config, &adapted, err));
    Training kept = {.adapted = adapted}, again = {.adapted = adapted};
    ok = ok && training_open(&kept, &o, config, mesh, false, err) && training_open(&again, &o, config, mesh, true, err);
    if (ok) print_head(&o, &kept);
    ok = ok && print_devices(&o, &kept, &again, err);
    if (ok && o.program) {
        program_text(o.recompute ? &again.program : &kept.program, 0, &text);
        ok = text_ok(&text, "program", err);
        if (ok) printf("\n%s", text.data);
    }
    text_free(&text);
    training_close(&kept), training_close(&again);
    weights_close(adapted);
    adapters_free(adapter);
    return ok;
}
