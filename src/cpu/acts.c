/* acts.c: in which form linears take their activations, and what is said of it. All of it follows from the file and the
 * options, nothing from the processor, the mesh or the rank: bits depend on it. */
#include <stdlib.h>
#include "cpu_state.h"

/* Why a linear keeps f32. */
typedef enum Kept { KEPT_NOT, KEPT_WEIGHTS, KEPT_SUMS, KEPT_COUNT } Kept;

/* Whether every leaf of the tree begins and ends at a multiple of `group` or the end of k. */
static bool leaves_whole(const Tree *tree, int64_t group, int64_t k) {
    for (int64_t i = 0; tree && i < (int64_t)1 << tree->levels; i++)
        if (tree->first[i] % group || (tree->last[i] % group && tree->last[i] != k)) return false;
    return true;
}

/* In 8 bits if its weights are quantised, in bf16 if they are bf16 or made so as they are read, and if every sum is over
 * whole groups, or over whole pairs. */
static Kept kept(const Cpu *cpu, const Node *n, ActType act) {
    const PackedWeight *w = &cpu->load.weights[n->in[1].id].packed;
    const SumTree *sum = program_sum(cpu->program, n);
    bool held = act == ACT_INT8 ? packed_quantised(w->type) : w->type == PACKED_BF16 || cpu->program->graph.trains;
    if (!held) return KEPT_WEIGHTS;
    if (act == ACT_INT8 && w->k % ACT_GROUP) return KEPT_SUMS;
    return leaves_whole(sum ? &sum->tree : NULL, act == ACT_INT8 ? ACT_GROUP : 2, w->k) ? KEPT_NOT : KEPT_SUMS;
}

static bool is_linear(const Cpu *cpu, const Node *n) {
    return n->kind == NODE_OP && n->op->quantise && n->op->binds == BINDS_MATRIX &&
           cpu->load.weights[n->in[1].id].as_matrix;
}

/* Gradients of a sum for dx, whose leaves are whole pairs of each matrix's rows. */
static bool is_paired_dx(const Cpu *cpu, const Node *n) {
    const Graph *g = &cpu->program->graph;
    if (n->kind != NODE_OP || !n->op->quantise || n->op->binds != BINDS_PRODUCTS) return false;
    for (int i = 0; i < n->inputs; i += 2) {
        const Dim *dim = &graph_node(g, n->in[i])->shape.dim[1];
        const SumTree *sum = partition_sum(cpu->program->partition, axis_sum_letters(dim->letters));
        if (!leaves_whole(sum ? &sum->tree : NULL, 2, dim->size)) return false;
    }
    return true;
}

ActType cpu_act(const Cpu *cpu, const Node *n, int input) {
    ActType act = cpu->options.act;
    if (act == ACT_BF16 && input % 2 == 0 && is_paired_dx(cpu, n)) return act;
    return act != ACT_F32 && input == 0 && is_linear(cpu, n) && kept(cpu, n, act) == KEPT_NOT ? act : ACT_F32;
}

/* Why the linears are in the form they are in, `count` of them for each reason. */
static void tell(BackendInfo *info, const BackendOptions *o, ActType tried, const int count[KEPT_COUNT]) {
    const char *type = tried == ACT_BF16 ? "bf16" : "quantised";
    size_t size = sizeof info->act_why, at = 0;
    if (!count[KEPT_NOT]) {
        const char *asked = o->act_auto ? "auto" : tried == ACT_F32 ? "" : act_names[tried];
        if (tried == ACT_F32) snprintf(info->act_why, size, "%s", o->act_given ? "as asked" : "the default");
        else snprintf(info->act_why, size, "%s: no %s weights%s", asked, type,
                      count[KEPT_SUMS] ? " with whole groups in every sum" : "");
        return;
    }
    at += (size_t)snprintf(info->act_why, size, "%s", o->act_auto ? "auto: weights are quantised" : "as asked");
    if (info->act_linears == info->linears) return;
    at += (size_t)snprintf(info->act_why + at, size - at, "; %d of %d linears keep f32:",
                           info->linears - info->act_linears, info->linears);
    if (count[KEPT_WEIGHTS])
        at += (size_t)snprintf(info->act_why + at, size - at, " weights of %d are not %s%s", count[KEPT_WEIGHTS], type,
                               count[KEPT_SUMS] ? "," : "");
    if (count[KEPT_SUMS])
        snprintf(info->act_why + at, size - at, " sums of %d are cut within groups of %d columns", count[KEPT_SUMS],
                 tried == ACT_INT8 ? ACT_GROUP : 2);
}

void cpu_acts_choose(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    ActType tried = cpu->options.act_auto ? ACT_INT8 : cpu->options.act;
    int count[KEPT_COUNT] = {0};
    for (int id = 1; id < g->count; id++) {
        if (!is_linear(cpu, &g->nodes[id])) continue;
        cpu->info.linears++;
        if (tried != ACT_F32) count[kept(cpu, &g->nodes[id], tried)]++;
    }
    cpu->info.act_linears = count[KEPT_NOT];
    cpu->options.act = count[KEPT_NOT] ? tried : ACT_F32;
    cpu->info.act = act_names[cpu->options.act];
    tell(&cpu->info, &cpu->options, tried, count);
}
