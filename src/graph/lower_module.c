/* lower_module.c: the module around the body that op rows write: one sdy.manual_computation over all mesh axes: shapes
 * inside are local and collectives are explicit, so neither compiler partitions anything. One device has the same form on
 * a mesh of 1x1: Tenstorrent's compiler takes three times as long for a body that stands in main itself. */
#include <stdlib.h>
#include <string.h>
#include "lower_arguments.h"

/* ---- Shardings and types ----------------------------------------------------------------------------------------- */

int64_t lower_global(const Lower *l, const LowerArgument *a, int dim) {
    const Mesh *m = &l->program->partition->mesh;
    switch (a->split[dim]) {
    case SPLIT_DP: return a->dim[dim] * m->dp;
    case SPLIT_TP: return a->dim[dim] * m->tp;
    case SPLIT_ALL: return a->dim[dim] * m->dp * m->tp;
    default: return a->dim[dim];
    }
}

int64_t lower_argument_bytes(const LowerArgument *a) {
    int64_t size = strcmp(a->type, "bf16") ? 4 : 2;
    for (int i = 0; i < a->rank; i++) size *= a->dim[i];
    return size;
}

/* Mesh axes of a split: bit 0 x, bit 1 y. */
static int split_axes(const Lower *l, LowerSplit split) {
    bool dp = l->program->partition->mesh.dp > 1;
    switch (split) {
    case SPLIT_DP: return dp ? 1 : 0;
    case SPLIT_TP: return dp ? 2 : 3;
    case SPLIT_ALL: return 3;
    default: return 0;
    }
}

static const char *const axis_names[] = {"", "\"x\"", "\"y\"", "\"x\", \"y\""};

static void sharding_text(const Lower *l, const LowerArgument *a, bool manual, Text *out) {
    int used = 0;
    text_line(out, "<@mesh, [");
    for (int i = 0; i < a->rank; i++) {
        int axes = split_axes(l, a->split[i]);
        used |= axes;
        text_line(out, "%s{%s}", i ? ", " : "", axis_names[axes]);
    }
    text_line(out, "]");
    if (manual && used != 3) text_line(out, ", replicated={%s}", axis_names[3 & ~used]);
    text_line(out, ">");
}

static void argument_type(const Lower *l, const LowerArgument *a, bool global, char *out, size_t size) {
    int64_t dim[LOWER_MAX_RANK];
    for (int i = 0; i < a->rank; i++) dim[i] = global ? lower_global(l, a, i) : a->dim[i];
    lower_type_text(out, size, a->type, a->rank, dim);
}

static void types_text(const Lower *l, const LowerArgument *list, int count, bool global, Text *out) {
    for (int i = 0; i < count; i++) {
        char type[128];
        argument_type(l, &list[i], global, type, sizeof type);
        text_line(out, "%s%s", i ? ", " : "", type);
    }
}

/* In the order of their roles: the order a caller sees. */
static void sort_roles(LowerArgument *list, int count) {
    for (int i = 1; i < count; i++) {
        LowerArgument a = list[i];
        int at = i;
        for (; at > 0 && list[at - 1].role > a.role; at--) list[at] = list[at - 1];
        list[at] = a;
    }
}

static int alias_of(const Lower *l, const LowerArgument *a) {
    for (int i = 0; a->role == ROLE_STATE && i < l->result_count; i++)
        if (l->results[i].role == ROLE_STATE && l->results[i].state == a->state) return i;
    return -1;
}

/* ---- Roles ------------------------------------------------------------------------------------------------------- */

/* The first weight of the same type. */
static int mark_of(const Lower *l, const LowerArgument *a) {
    int i = 0;
    while (l->arguments[i].role != ROLE_WEIGHT || strcmp(l->arguments[i].type, a->type) ||
           l->arguments[i].rank != a->rank || memcmp(l->arguments[i].dim, a->dim, sizeof a->dim))
        i++;
    return i;
}

/* A weight comes in as %<name>_in and is marked as a parameter: Tenstorrent's compiler then prepares it once and keeps
 * what came of it, instead of in every step. Its mark is a call of an identity function by this name, which XLA
 * inlines; one function a type. (tt-mlir, ttcore.argument_type; the default is input.) */
static void marks_text(const Lower *l, Text *out) {
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        char type[128];
        if (a->role != ROLE_WEIGHT) continue;
        argument_type(l, a, false, type, sizeof type);
        text_line(out, "%%%s = func.call @tt.mark_%d(%%%s_in) {ttcore.argument_type = \"parameter\"} : (%s) -> %s\n",
                  a->name, mark_of(l, a), a->name, type, type);
    }
}

static void mark_functions_text(const Lower *l, Text *out) {
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        char type[128];
        if (a->role != ROLE_WEIGHT || mark_of(l, a) != i) continue;
        argument_type(l, a, false, type, sizeof type);
        text_line(out, "func.func private @tt.mark_%d(%%w: %s) -> %s {\n  return %%w : %s\n}\n", i, type, type, type);
    }
}

/* ---- The module -------------------------------------------------------------------------------------------------- */

static void signature_text(const Lower *l, Text *out) {
    text_line(out, "func.func public @main(");
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        char type[128];
        int alias = alias_of(l, a);
        argument_type(l, a, true, type, sizeof type);
        text_line(out, "%s%%g_%s: %s {sdy.sharding = #sdy.sharding", i ? ",\n    " : "", a->name, type);
        sharding_text(l, a, false, out);
        if (alias >= 0) text_line(out, ", tf.aliasing_output = %d : i32", alias);
        text_line(out, "}");
    }
    text_line(out, ") -> (");
    for (int i = 0; i < l->result_count; i++) {
        char type[128];
        argument_type(l, &l->results[i], true, type, sizeof type);
        text_line(out, "%s%s", i ? ",\n    " : "", type);
        text_line(out, " {sdy.sharding = #sdy.sharding");
        sharding_text(l, &l->results[i], false, out);
        text_line(out, "}");
    }
    text_line(out, ") {\n");
}

static const char *result_name(Lower *l, const LowerArgument *a) {
    return a->value ? a->value : lower_word(l, "%%%s", a->name);
}

static void return_text(Lower *l, Text *out) {
    text_line(out, "sdy.return ");
    for (int i = 0; i < l->result_count; i++) text_line(out, "%s%s", i ? ", " : "", result_name(l, &l->results[i]));
    text_line(out, " : ");
    types_text(l, l->results, l->result_count, false, out);
    text_line(out, "\n");
}

static void shardings_text(const Lower *l, const LowerArgument *list, int count, Text *out) {
    text_line(out, "[");
    for (int i = 0; i < count; i++) {
        if (i) text_line(out, ", ");
        sharding_text(l, &list[i], true, out);
    }
    text_line(out, "]");
}

static void manual_text(Lower *l, Text *out) {
    text_line(out, "%%R:%d = sdy.manual_computation(", l->result_count);
    for (int i = 0; i < l->argument_count; i++) text_line(out, "%s%%g_%s", i ? ", " : "", l->arguments[i].name);
    text_line(out, ")\n  in_shardings=");
    shardings_text(l, l->arguments, l->argument_count, out);
    text_line(out, "\n  out_shardings=");
    shardings_text(l, l->results, l->result_count, out);
    text_line(out, "\n  manual_axes={\"x\", \"y\"} (");
    for (int i = 0; i < l->argument_count; i++) {
        char type[128];
        argument_type(l, &l->arguments[i], false, type, sizeof type);
        text_line(out, "%s%%%s%s: %s", i ? ", " : "", l->arguments[i].name,
                  l->arguments[i].role == ROLE_WEIGHT ? "_in" : "", type);
    }
    text_line(out, ") {\n");
    marks_text(l, out);
    text_add(out, l->body.data, l->body.bytes);
    return_text(l, out);
    text_line(out, "} : (");
    types_text(l, l->arguments, l->argument_count, true, out);
    text_line(out, ") -> (");
    types_text(l, l->results, l->result_count, true, out);
    text_line(out, ")\nreturn ");
    for (int i = 0; i < l->result_count; i++) text_line(out, "%s%%R#%d", i ? ", " : "", i);
    text_line(out, " : ");
    types_text(l, l->results, l->result_count, true, out);
    text_line(out, "\n");
}

static void module_text(Lower *l, Text *out) {
    text_line(out, "module @qwenmesh attributes {mhlo.num_partitions = %d : i32, mhlo.num_replicas = 1 : i32} {\n",
              l->mesh[0] * l->mesh[1]);
    text_line(out, "sdy.mesh @mesh = <[\"x\"=%d, \"y\"=%d]>\n", l->mesh[0], l->mesh[1]);
    signature_text(l, out);
    manual_text(l, out);
    text_line(out, "}\n");
    mark_functions_text(l, out);
    if (l->functions.data) text_add(out, l->functions.data, l->functions.bytes);
    text_line(out, "}\n");
}

static bool start(Lower *l, const Program *program, const LowerOptions *o, Err *err) {
    const Mesh *mesh = &program->partition->mesh;
    const Graph *g = &program->graph;
    *l = (Lower){.program = program, .bucket = o->bucket, .cache_slots = o->cache_slots, .positions = o->positions,
                 .first = o->last ? o->first : 1, .last = o->last ? o->last : g->count, .type = o->type,
                 .platform = o->platform, .trains = o->trains, .sums_go_on = o->sums_go_on, .stage_first = o->stage_first,
                 .stage_last = o->stage_last, .parts = o->head_parts, .part = -1, .candidates = o->candidates, .mesh = {mesh->rank == 2 ? mesh->dim[0] : 1, mesh->dim[mesh->rank == 2]}};
    for (int id = l->last - 1; id >= l->first && !l->trains; id--)
        if (g->nodes[id].kind == NODE_OP && g->nodes[id].op->writes_state)
            l->state = graph_state(g, (Tensor){id})->state;
    if (l->parts > 1 && (!o->bucket.all_logits || lower_rows(l) % l->parts))
        return err_as(err, QM_INTERNAL, "lowering: %d parts of a head of %lld rows", l->parts, (long long)lower_rows(l));
    return program->partition->uniform || err_as(err, QM_INTERNAL, "lowering: expected a partition of uniform shards");
}

static bool finish(Lower *l, Text *text, Err *err) {
    sort_roles(l->arguments, l->argument_count);
    sort_roles(l->results, l->result_count);
    module_text(l, text);
    if (l->err.kind) return err_from(err, &l->err);
    return text_ok(&l->body, "program text", err) && text_ok(&l->functions, "program text", err) &&
           text_ok(text, "program text", err);
}

/* ---- The head in parts ------------------------------------------------------------------------------------------- */

/* The whole of what the parts of a node have: their last, of a sum; else rows, one part after the other. */
static void parts_join(Lower *l, const Node *n) {
    const Graph *g = &l->program->graph;
    const char *out = lower_out(l, n), *list = "", *types = "", *part = NULL;
    bool later = n->keep || n->op->accumulates;
    for (int id = 1; id < g->count; id++)
        for (int i = 0; i < g->nodes[id].inputs; i++) later |= !lower_of_head(&g->nodes[id]) && graph_node(g, g->nodes[id].in[i]) == n;
    if (!later) return;
    for (l->part = 0; l->part < l->parts; l->part++) {
        l->bucket.logit_rows = lower_rows(l) / l->parts;
        part = lower_out(l, n);
        /* rows that are put somewhere lie there as rows of all: in a part, as it takes them */
        const char *comma = l->part ? ", " : "", *type = lower_tensor(l, n->op->writes_state ? graph_node(g, n->in[0]) : n);
        list = lower_word(l, "%s%s%s", list, comma, part);
        types = lower_word(l, "%s%s%s", types, comma, type);
    }
    l->part = -1;
    l->bucket.logit_rows = lower_rows(l);
    const char *whole = lower_tensor(l, n);
    if (n->op->accumulates) lower_reshape(l, out, part, whole, whole);
    else lower_line(l, "%s = stablehlo.concatenate %s, dim = 0 : (%s) -> %s", out, list, types, whole);
}

/* All nodes of the head, for one part of its rows after the other. */
static void parts_lower(Lower *l) {
    const Graph *g = &l->program->graph;
    for (int part = 0; part < l->parts; part++) {
        l->part = part;
        l->bucket.logit_rows = lower_rows(l) / l->parts;
        for (int id = l->first; id < l->last; id++)
            if (g->nodes[id].kind == NODE_OP && lower_of_head(&g->nodes[id]) && lower_has(l, id))
                g->nodes[id].op->stablehlo(l, &g->nodes[id]);
    }
    l->part = -1;
    l->bucket.logit_rows = lower_rows(l);
    for (int id = l->first; id < l->last; id++)
        if (g->nodes[id].kind == NODE_OP && lower_of_head(&g->nodes[id]) && lower_has(l, id)) parts_join(l, &g->nodes[id]);
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

bool lower_program(Lower *l, const Program *program, const LowerOptions *o, Text *text, Err *err) {
    bool parts_done = false;
    if (!start(l, program, o, err)) return false;
    for (int id = l->first; id < l->last; id++) {
        const Node *n = &program->graph.nodes[id];
        if (!n->op || !lower_has(l, id) || (l->trains && n->kind == NODE_RESULT)) continue;
        bool in_parts = l->parts > 1 && lower_of_head(n);
        if (!n->op->stablehlo)
            return err_as(err, QM_INTERNAL, "%s has no StableHLO: %s", n->op->name, n->op->none[FACET_STABLEHLO]);
        if (in_parts && !parts_done) parts_lower(l), parts_done = true;
        if (n->kind == NODE_OP && !in_parts) n->op->stablehlo(l, n);
        lower_declare(l, n);
        for (int r = id + 1; l->trains && n->op->results && r < program->graph.count; r++)
            if (program->graph.nodes[r].kind == NODE_RESULT && program->graph.nodes[r].in[0].id == id)
                lower_declare(l, &program->graph.nodes[r]);
    }
    return finish(l, text, err);
}

/* ---- Copies of a slot's caches ----------------------------------------------------------------------------------- */

/* "%from_i" and so on: the slot as a number for slices, which clamp it, and whether it is one of this replica's. */
static void copy_slots(Lower *l, const char *name) {
    const char *slot = lower_step_input(l, name, "i32", 1, 0, 0);
    lower_line(l, "%%%s_i = stablehlo.reshape %s : (tensor<1xi32>) -> tensor<i32>", name, slot);
    lower_line(l, "%%%s_h = stablehlo.compare GE, %%%s_i, %%zero, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>",
               name, name);
}

static void copy_slice(Lower *l, const char *out, const char *suffix, const char *cache, const char *slot,
                       const LowerArgument *a) {
    lower_line(l,
               "%s%s = stablehlo.dynamic_slice %s, %%%s_i, %%zero, %%zero, %%zero, sizes = [1, %lld, %lld, %lld] : "
               "(%s, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> %s",
               out, suffix, cache, slot, (long long)a->dim[1], (long long)a->dim[2], (long long)a->dim[3],
               lower_type(l, NULL, 4, a->dim[0], a->dim[1], a->dim[2], a->dim[3]),
               lower_type(l, NULL, 4, (int64_t)1, a->dim[1], a->dim[2], a->dim[3]));
}

/* Between replicas the source's slice is the only one that is not zero in a sum over all. */
static void copy_across(Lower *l, const char *out, const char *cache, const LowerArgument *a) {
    const char *one = lower_type(l, NULL, 4, (int64_t)1, a->dim[1], a->dim[2], a->dim[3]);
    lower_line(l, "%s_0 = stablehlo.constant dense<0.0> : %s", out, one);
    lower_line(l, "%s_m = stablehlo.select %%from_h, %s_s, %s_0 : tensor<i1>, %s", out, out, out, one);
    lower_reduce(l, 0, "add", lower_word(l, "%s_m", out), lower_word(l, "%s_a", out), l->type, one);
    copy_slice(l, out, "_o", cache, "to", a);
    lower_line(l, "%s_n = stablehlo.select %%to_h, %s_a, %s_o : tensor<i1>, %s", out, out, out, one);
}

static void copy_cache(Lower *l, const Node *update, int v) {
    int64_t c = lower_channels(l);
    const char *out = lower_word(l, "%s%s", lower_out(l, update), v ? "v" : "k");
    const Node *state = graph_state(&l->program->graph, (Tensor){(int)(update - l->program->graph.nodes)});
    const char *cache = lower_cache(l, state, v, lower_dim(l, update, 1) / c, c);
    const LowerArgument *found = lower_argument(l, cache + 1);
    if (!found) return;
    LowerArgument a = *found;
    bool across = l->program->partition->mesh.dp > 1;
    copy_slice(l, out, "_s", cache, "from", &a);
    if (across) copy_across(l, out, cache, &a);
    const char *whole = lower_type(l, NULL, 4, a.dim[0], a.dim[1], a.dim[2], a.dim[3]);
    lower_line(l,
               "%s = stablehlo.dynamic_update_slice %s, %s%s, %%to_i, %%zero, %%zero, %%zero : (%s, %s, tensor<i32>, "
               "tensor<i32>, tensor<i32>, tensor<i32>) -> %s",
               out, cache, out, across ? "_n" : "_s", whole,
               lower_type(l, NULL, 4, (int64_t)1, a.dim[1], a.dim[2], a.dim[3]), whole);
}

bool lower_copy(Lower *l, const Program *program, const LowerOptions *o, Text *text, Err *err) {
    if (!start(l, program, o, err)) return false;
    lower_line(l, "%%zero = stablehlo.constant dense<0> : tensor<i32>");
    copy_slots(l, "from");
    copy_slots(l, "to");
    for (int id = 1; id < program->graph.count; id++) {
        const Node *n = &program->graph.nodes[id];
        const Node *state = graph_state(&program->graph, (Tensor){id});
        if (n->kind != NODE_OP || !state || state->type != TYPE_CACHE) continue;
        for (int v = 0; v < 2; v++) copy_cache(l, n, v);
        lower_caches_declare(l, n, state);
    }
    return finish(l, text, err);
}

void lower_free(Lower *l) {
    free(l->arguments);
    free(l->results);
    free(l->once);
    for (size_t i = 0; i < l->words.blocks; i++) free(l->words.block[i]);
    free(l->words.block);
    text_free(&l->body);
    text_free(&l->functions);
    *l = (Lower){0};
}
