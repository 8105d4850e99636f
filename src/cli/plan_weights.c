/* plan_weights.c: how many bits a model's weights take, and which bytes a device holds. */
#include <stdlib.h>
#include <string.h>
#include "../ops/pack.h"
#include "plan.h"

enum { TYPES = 12 };

/* The types met, by number of weights; with their names in the file. */
typedef struct TypeCount { const char *name; double numbers; } TypeCount;
typedef struct Types { TypeCount type[TYPES]; int count; double numbers, bits; } Types;

static void types_add(Types *t, const char *name, double numbers, double bits) {
    int i = 0;
    while (i < t->count && strcmp(t->type[i].name, name) != 0) i++;
    if (i == TYPES) return;
    if (i == t->count) t->type[t->count++].name = name;
    t->type[i].numbers += numbers;
    t->numbers += numbers;
    t->bits += numbers * bits;
}

/* As `load` decides it: bf16 is for every matrix, 8 and 4 bits for those not quantised yet; the vocabulary keeps 8. */
static PackedType held_as(const Node *n, const char *asked, PackedType stored) {
    bool groups = n->shape.dim[1].size % 32 == 0, vocabulary = n->shape.dim[0].letters[0] == AXIS_VOCAB;
    if (!asked) return stored;
    if (!strcmp(asked, "bf16")) return PACKED_BF16;
    if (!strcmp(asked, "f32")) return PACKED_F32;
    if (packed_quantised(stored) || !groups) return stored;
    return !strcmp(asked, "8bit") || vocabulary ? PACKED_Q8G : PACKED_Q4G;
}

static const char *held_name(PackedType type) {
    return type == PACKED_Q8G ? "8bit" : type == PACKED_Q4G ? "4bit" : packed_rows[type].name;
}

/* Matrices are held in panels of 16 rows: what one takes, by number. */
static double panel_bits(PackedType type, int64_t k) {
    return 8 * (double)packed_panel_bytes(type, k) / (double)(PANEL * k);
}

static bool matrix_bits(Plan *p, int id, Weights *weights, const char *asked, Types *types, Err *err) {
    const Node *n = &p->program.graph.nodes[id];
    const WeightTensor *t = weights ? weights_find(weights, n->name) : NULL;
    int64_t k = n->shape.dim[1].size;
    PackedType stored = PACKED_BF16, type;
    if (weights && !t) return err_set(err, "%s is missing in the model's files", n->name);
    if (t && t->panels && !packed_type_named(t->panel_type, &stored))
        return err_set(err, "%s: %s: '%.20s' is no packed type", t->file, t->name, t->panel_type);
    if (t && !t->panels && !packed_type_of(t->dtype, &stored))
        return err_set(err, "%s: %s: %s is no weight type", t->file, t->name, dtype_row(t->dtype)->name);
    type = t && t->panels ? stored : held_as(n, asked, stored);
    p->bits[id] = panel_bits(type, k);
    const char *name = type != stored || !t ? held_name(type) : t->panels ? t->panel_type : dtype_row(t->dtype)->name;
    types_add(types, name, (double)n->shape.dim[0].size * (double)k, p->bits[id]);
    return true;
}

static int more_numbers(const void *a, const void *b) {
    double x = ((const TypeCount *)a)->numbers, y = ((const TypeCount *)b)->numbers;
    return (x < y) - (x > y);
}

bool plan_weights(Plan *p, Source *source, const char *asked, Err *err) {
    const Graph *g = &p->program.graph;
    Types types = {0};
    Weights *weights = NULL;
    if (!strcmp(p->cache, "8bit")) /* a scale a position and head */
        p->cache_bits = 8 + 32.0 / (double)p->config.head_dim;
    if (!(p->bits = mem_new((size_t)g->count, sizeof *p->bits, "plan", err))) return false;
    if (source_has_weights(source) && !(weights = model_weights(&p->config, source, err))) return false;
    bool ok = true;
    for (int id = 1; ok && id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT && g->nodes[id].shape.rank == 2)
            ok = matrix_bits(p, id, weights, asked, &types, err);
    qsort(types.type, (size_t)types.count, sizeof *types.type, more_numbers);
    for (int i = 0; i < types.count; i++)
        snprintf(p->weights + strlen(p->weights), sizeof p->weights - strlen(p->weights), "%s%s", i ? ", " : "",
                 types.type[i].name);
    snprintf(p->weights + strlen(p->weights), sizeof p->weights - strlen(p->weights), " (%.3g bits%s)",
             types.bits / (types.numbers > 0 ? types.numbers : 1), types.count > 1 ? " on average" : "");
    weights_close(weights);
    return ok;
}

/* ---- What a device holds ----------------------------------------------------------------------------------------- */

static double local_elements(const Plan *p, const Node *n, const char *split, int device) {
    Node as_used = *n;
    snprintf(as_used.split, sizeof as_used.split, "%s", split);
    double size = 1;
    for (int d = 0; d < n->shape.rank; d++) size *= (double)program_local(&p->program, &as_used, d, device);
    return size;
}

/* Weights by use: a tied table that is looked up whole and multiplied in shards is held twice. */
static double device_weights(const Plan *p, int device) {
    const Graph *g = &p->program.graph;
    double bytes = 0;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int i = 0; n->kind == NODE_OP && i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            char split[MAX_LETTERS + 1];
            if (in->kind != NODE_WEIGHT || !program_weight_split(&p->program, n, i, split, NULL)) continue;
            if (n->op->binds == BINDS_TABLE && p->config.tied && p->partition.mesh.tp == 1) continue;
            bytes += local_elements(p, in, split, device) * (in->shape.rank == 1 ? 32 : p->bits[n->in[i].id]) / 8;
        }
    }
    return bytes;
}

DeviceBytes plan_bytes(const Plan *p, int device) {
    Range heads = partition_range(&p->partition, AXIS_KV_HEAD, device);
    int64_t kv = heads.last - heads.first;
    double widest = 0;
    for (int id = 1; id < p->program.graph.count; id++) {
        const Node *n = &p->program.graph.nodes[id];
        if (!node_computed(n) || n->shape.rank < 2) continue;
        double w = (double)program_local(&p->program, n, 1, device);
        if (w > widest) widest = w;
    }
    int64_t replica_slots = (p->slots + p->partition.mesh.dp - 1) / p->partition.mesh.dp;
    return (DeviceBytes){.weights = device_weights(p, device),
                         .cache = 2 * p->cache_bits / 8 *
                                  (double)(p->config.layers * kv * p->config.head_dim * p->context * replica_slots),
                         .activations = 4 * (double)p->rows * (3 * (double)p->config.hidden + 3 * widest)};
}
