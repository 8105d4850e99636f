/* adapter_fresh.c: see adapter_fresh.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/mix.h"
#include "adapter_fresh.h"
#include "family.h"

enum { DEFAULT_RANK = 8, DEFAULT_ALPHA = 8 };
#define DEFAULT_TARGETS "q_proj,v_proj"

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

static bool targets_read(AdapterConfig *c, const char *targets, Err *err) {
    size_t most = 1;
    for (const char *t = targets; *t; t++) most += *t == ',';
    c->targets.all_linear = !strcmp(targets, "all-linear");
    c->targets.list = arena_new(&c->arena, most, sizeof *c->targets.list, "targets of an adapter", err);
    for (const char *t = targets; c->targets.list && *t; t += *t == ',') {
        size_t bytes = strcspn(t, ",");
        if (!bytes) return err_as(err, QM_USAGE, "targets of an adapter: expected NAME,NAME or all-linear, got '%s'",
                                  targets);
        if (!(c->targets.list[c->targets.count++] = arena_text(&c->arena, t, bytes, err))) return false;
        t += bytes;
    }
    return c->targets.list && (c->targets.count ||
                               err_as(err, QM_USAGE, "targets of an adapter: expected NAME,NAME or all-linear"));
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
              targets_read(c, init->targets ? init->targets : DEFAULT_TARGETS, err);
    if (ok && (c->rank < 1 || c->rank > MAX_ADAPTER_RANK))
        ok = err_as(err, QM_USAGE, "rank of an adapter: expected 1 to %d, got %lld", MAX_ADAPTER_RANK,
                    (long long)c->rank);
    if (ok) return f;
    adapter_close(f);
    return NULL;
}

/* ---- Its modules ------------------------------------------------------------------------------------------------- */

/* The module of a linear, by its weight; false: it is none, or a head that has no weight of its own. */
static bool module_name(const ModelConfig *c, const Graph *g, const Node *n, char module[MODULE_NAME]) {
    static const char ending[] = ".weight";
    const Node *w = graph_node(g, n->in[1]);
    if (n->op->binds != BINDS_MATRIX || !w || w->kind != NODE_WEIGHT || !strcmp(w->name, family_of(c)->embedding))
        return false;
    size_t bytes = strlen(w->name), e = sizeof ending - 1;
    if (bytes <= e || bytes - e >= MODULE_NAME || strcmp(w->name + bytes - e, ending)) return false;
    snprintf(module, MODULE_NAME, "%.*s", (int)(bytes - e), w->name);
    return true;
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

/* Every target names something. */
static bool targets_found(Adapters *a, Err *err) {
    AdapterConfig *c = &a->file[0]->config;
    for (int64_t i = 0; i < c->targets.count; i++) {
        AdapterNames one = {.list = c->targets.list + i, .count = 1, .all_linear = c->targets.all_linear};
        bool found = false;
        for (int64_t k = 0; k < a->count && !found; k++)
            if (!adapter_names(c, &one, a->linears[k].module, &found, err)) return false;
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
        if (named && !linear_add(a, module, &graph_node(g, g->nodes[id].in[1])->shape, seed, err)) return false;
    }
    if (!a->linears) return false;
    if (a->count) qsort(a->linears, (size_t)a->count, sizeof *a->linears, by_module);
    return targets_found(a, err);
}

Adapters *adapters_fresh(const AdapterInit *init, const ModelConfig *config, Err *err) {
    ModelConfig plain = *config;
    ModelGraph model = {0};
    plain.adapters = NULL;
    plain.adapter_rank = 0;
    Adapters *a = mem_new(1, sizeof *a, "adapters", err);
    bool ok = a && (a->file[0] = described(init, config, err)) && model_graph(&model, &plain, 1, 1, false, err);
    if (ok) {
        a->files = 1;
        a->strength[0] = 1;
        a->fresh = true;
        ok = linears_add(a, &plain, &model.graph, init->seed, err);
        model_graph_free(&model);
        if (ok) return a;
    } else if (a) {
        adapter_close(a->file[0]);
        a->file[0] = NULL;
    }
    adapters_free(a);
    return NULL;
}
