/* adapter_fresh.c: see adapter_fresh.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/mix.h"
#include "adapter_fresh.h"
#include "family.h"

enum { DEFAULT_RANK = 8, DEFAULT_ALPHA = 8 };
#define DEFAULT_TARGETS "q_proj,v_proj"
#define TARGETS "targets of an adapter"
#define SAVED "saved modules of an adapter"

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static void fill(float *out, int64_t count, double bound, uint64_t seed, const char *name) {
    uint64_t key = 14695981039346656037u; /* FNV-1a of the name */
    for (const char *c = name; *c; c++) key = (key ^ (uint8_t)*c) * 1099511628211u;
    key = mix64(mix64(seed) ^ key);
    for (int64_t i = 0; i < count; i++) {
        double u = mix_unit(mix64(key ^ (uint64_t)i));
        out[i] = (float)((2 * u - 1) * bound);
    }
}

/* ---- What it says of itself -------------------------------------------------------------------------------------- */

static const char *task_of(const ModelConfig *c) {
    static const char *const tasks[HEAD_COUNT] = {[HEAD_CAUSAL] = "CAUSAL_LM", [HEAD_SEQUENCE] = "SEQ_CLS",
                                                  [HEAD_TOKEN] = "TOKEN_CLS", [HEAD_QUESTION] = "QUESTION_ANS",
                                                  [HEAD_ABSENT] = "FEATURE_EXTRACTION"};
    return tasks[c->head];
}

/* NAME,NAME into a list with room for one name more. */
static bool names_split(AdapterConfig *c, AdapterNames *names, const char *text, const char *what, Err *err) {
    size_t most = 2;
    for (const char *t = text; *t; t++) most += *t == ',';
    names->list = arena_new(&c->arena, most, sizeof *names->list, what, err);
    for (const char *t = text; names->list && (*t || !names->count); t += *t == ',') {
        size_t bytes = strcspn(t, ",");
        if (!bytes) return err_as(err, QM_USAGE, "%s: expected NAME,NAME, got '%s'", what, text);
        if (!(names->list[names->count++] = arena_text(&c->arena, t, bytes, err))) return false;
        t += bytes;
    }
    return names->list != NULL;
}

/* Those asked for, and the head that is learnt for labels. */
static bool saved_read(AdapterConfig *c, const AdapterInit *init, const ModelConfig *config, Err *err) {
    const char *head = head_table[config->head].weight;
    if (!init->saved && !head) return true;
    if (init->saved && !names_split(c, &c->saved, init->saved, SAVED, err)) return false;
    if (!c->saved.list && !(c->saved.list = arena_new(&c->arena, 1, sizeof *c->saved.list, SAVED, err))) return false;
    for (int64_t i = 0; head && i < c->saved.count; i++)
        if (!strcmp(c->saved.list[i], head)) return true;
    if (head) c->saved.list[c->saved.count++] = head;
    return true;
}

/* No path of this machine is said: of one, the folder's own name stays. */
static const char *base_of(const char *base) {
    size_t n = base ? strlen(base) : 0;
    bool local = n && (*base == '/' || *base == '.' || *base == '~' || folder_exists(base) || file_exists(base));
    if (!local) return n ? base : "";
    while (n && base[n - 1] == '/') n--;
    while (n && base[n - 1] != '/') n--;
    return base + n;
}

/* An adapter without a file of tensors. */
static Adapter *described(const AdapterInit *init, const ModelConfig *config, Err *err) {
    Adapter *f = mem_new(1, sizeof *f, "adapter", err);
    if (!f) return NULL;
    AdapterConfig *c = &f->config;
    const char *base = base_of(init->base), *task = init->task ? init->task : task_of(config);
    const char *targets = init->targets ? init->targets : DEFAULT_TARGETS;
    size_t bytes = strlen(base);
    while (bytes && base[bytes - 1] == '/') bytes--;
    c->rank = init->rank ? init->rank : DEFAULT_RANK;
    c->alpha = init->alpha != 0 ? init->alpha : DEFAULT_ALPHA;
    c->dropout = init->dropout;
    c->rslora = init->rslora;
    c->dora = init->dora;
    bool ok = ((f->path = strdup("the new adapter")) || err_as(err, QM_MEMORY, "out of memory: adapter")) &&
              (c->base = arena_text(&c->arena, base, bytes, err)) &&
              (c->task = arena_text(&c->arena, task, strlen(task), err)) &&
              names_split(c, &c->targets, targets, TARGETS, err) && saved_read(c, init, config, err);
    c->targets.all_linear = !strcmp(targets, "all-linear");
    if (ok && (c->rank < 1 || c->rank > MAX_ADAPTER_RANK))
        ok = err_as(err, QM_USAGE, "rank of an adapter: expected 1 to %d, got %lld", MAX_ADAPTER_RANK,
                    (long long)c->rank);
    if (ok) return f;
    adapter_close(f);
    return NULL;
}

/* ---- Its modules ------------------------------------------------------------------------------------------------- */

/* The module of a weight: what stands before ".weight" or, with `bias`, ".bias". */
static bool module_of_weight(const char *weight, bool bias, char module[MODULE_NAME]) {
    const char *dot = strrchr(weight, '.');
    size_t bytes = dot ? (size_t)(dot - weight) : 0;
    if (!bytes || bytes >= MODULE_NAME || (strcmp(dot, ".weight") && !(bias && !strcmp(dot, ".bias")))) return false;
    snprintf(module, MODULE_NAME, "%.*s", (int)bytes, weight);
    return true;
}

/* The module of a linear, by its weight; false: it is none, or a head that has no weight of its own. */
static bool module_name(const ModelConfig *c, const Graph *g, const Node *n, char module[MODULE_NAME]) {
    const Node *w = graph_node(g, n->in[1]);
    return n->op->binds == BINDS_MATRIX && w && w->kind == NODE_WEIGHT && strcmp(w->name, family_of(c)->embedding) &&
           module_of_weight(w->name, false, module);
}

/* PEFT finds what is saved by the end of its name alone: "norm" is input_layernorm, too. found [names]: set for each
 * name that is the module's; NULL: not asked. */
static bool is_saved(const AdapterConfig *c, const char *module, bool *found) {
    bool any = false;
    for (int64_t i = 0; i < c->saved.count; i++) {
        size_t n = strlen(module), e = strlen(c->saved.list[i]);
        if (n < e || strcmp(module + n - e, c->saved.list[i])) continue;
        any = true;
        if (found) found[i] = true;
    }
    return any;
}

static bool linear_add(Adapters *a, const char *module, const Shape *w, uint64_t seed, Err *err) {
    const AdapterConfig *c = &a->file[0]->config;
    LinearAdapter *l = &a->linears[a->count++];
    snprintf(l->module, sizeof l->module, "%s", module);
    l->scale = adapter_scale(c, c->rank, c->alpha);
    l->dora = c->dora;
    int64_t out = w->dim[0].size, in = w->dim[1].size;
    PartName down = part_name(module, ADAPTER_A);
    const char *path = a->file[0]->path;
    float *values = adapters_floats(a, down.text, path, c->rank, in, err);
    if (!values) return false;
    fill(values, c->rank * in, 1 / sqrt((double)in), seed, down.text);
    return adapters_floats(a, part_name(module, ADAPTER_B).text, path, out, c->rank, err) &&
           (!c->dora || adapters_floats(a, part_name(module, ADAPTER_MAGNITUDE).text, path, out, 0, err));
}

static int by_module(const void *x, const void *y) {
    return strcmp(((const LinearAdapter *)x)->module, ((const LinearAdapter *)y)->module);
}

/* Zeros, until the adapter is joined with the model. */
static bool saved_add(Adapters *a, const Graph *g, Err *err) {
    AdapterConfig *c = &a->file[0]->config;
    char module[MODULE_NAME];
    bool *found = arena_new(&c->arena, (size_t)c->saved.count + 1, sizeof *found, SAVED, err);
    for (int id = 1; found && id < g->count; id++) {
        const Node *w = &g->nodes[id];
        if (w->kind != NODE_WEIGHT || !module_of_weight(w->name, true, module)) continue;
        if (is_saved(c, module, found) && !adapters_floats(a, w->name, a->file[0]->path, w->shape.dim[0].size,
                                                           w->shape.rank > 1 ? w->shape.dim[1].size : 0, err))
            return false;
    }
    for (int64_t i = 0; found && i < c->saved.count; i++)
        if (!found[i]) return err_as(err, QM_USAGE, SAVED ": the model has no module called %s", c->saved.list[i]);
    return found != NULL;
}

/* Whether a target names a linear that is saved whole. */
static bool target_saved(Adapters *a, const AdapterNames *target, bool *found, Err *err) {
    AdapterConfig *c = &a->file[0]->config;
    for (int64_t i = 0; i < a->tensor_count && !*found; i++) {
        const char *name = a->tensors[i].name;
        char module[MODULE_NAME];
        if (!strncmp(name, ADAPTER_PREFIX, sizeof ADAPTER_PREFIX - 1) || a->tensors[i].rank < 2 ||
            !module_of_weight(name, false, module))
            continue;
        if (!adapter_names(c, target, module, found, err)) return false;
    }
    return true;
}

/* Every target names something. */
static bool targets_found(Adapters *a, Err *err) {
    AdapterConfig *c = &a->file[0]->config;
    for (int64_t i = 0; i < c->targets.count; i++) {
        AdapterNames one = {.list = c->targets.list + i, .count = 1, .all_linear = c->targets.all_linear};
        bool found = false;
        for (int64_t k = 0; k < a->count && !found; k++)
            if (!adapter_names(c, &one, a->linears[k].module, &found, err)) return false;
        if (!found && !target_saved(a, &one, &found, err)) return false;
        if (!found)
            return err_as(err, QM_USAGE, "targets of an adapter: the model has no linear called %s",
                          c->targets.list[i]);
    }
    return true;
}

static bool linears_add(Adapters *a, const ModelConfig *config, const Graph *g, uint64_t seed, Err *err) {
    AdapterConfig *c = &a->file[0]->config;
    char module[MODULE_NAME];
    a->rank = c->rank;
    a->linears = arena_new(&a->arena, (size_t)g->count, sizeof *a->linears, "adapters", err);
    for (int id = 1; a->linears && id < g->count; id++) {
        bool named = false;
        if (!g->nodes[id].op || !module_name(config, g, &g->nodes[id], module)) continue;
        if (!adapter_names(c, &c->targets, module, &named, err)) return false;
        const Shape *shape = &graph_node(g, g->nodes[id].in[1])->shape;
        if (named && !is_saved(c, module, NULL) && !linear_add(a, module, shape, seed, err)) return false;
    }
    if (!a->linears) return false;
    if (a->count) qsort(a->linears, (size_t)a->count, sizeof *a->linears, by_module);
    return targets_found(a, err) &&
           (a->count || err_as(err, QM_USAGE, TARGETS ": expected a linear that is not saved whole, too"));
}

/* Where one of a tied embedding and its head is saved, they part: adapters_join. */
static bool parts_tied(const AdapterConfig *c, const ModelConfig *config) {
    const Family *f = family_of(config);
    const char *const both[] = {f->embedding, f->head};
    bool parts = false;
    for (int i = 0; i < 2; i++) {
        char module[MODULE_NAME];
        parts |= module_of_weight(both[i], false, module) && is_saved(c, module, NULL);
    }
    return parts;
}

Adapters *adapters_fresh(const AdapterInit *init, const ModelConfig *config, Err *err) {
    ModelConfig plain = *config;
    ModelGraph model = {0};
    plain.adapters = NULL;
    plain.adapter_rank = 0;
    Adapters *a = mem_new(1, sizeof *a, "adapters", err);
    bool ok = a && (a->file[0] = described(init, config, err));
    plain.tied = config->tied && ok && !parts_tied(&a->file[0]->config, config);
    if ((ok = ok && model_graph(&model, &plain, 1, 1, false, err))) {
        a->files = 1;
        a->strength[0] = 1;
        a->fresh = true;
        ok = saved_add(a, &model.graph, err) && linears_add(a, &plain, &model.graph, init->seed, err);
        model_graph_free(&model);
        if (ok) return a;
    } else if (a) {
        adapter_close(a->file[0]);
        a->file[0] = NULL;
    }
    adapters_free(a);
    return NULL;
}
