/* adapters.c: adapters read and added up. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "adapters.h"

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static bool name_check(const Adapters *a, const char *entry, Err *err) {
    const char *name = a->name[a->files];
    if (!*name)
        return err_as(err, QM_USAGE, "adapter %.*s: expected NAME=DIR[:SCALE], by whose name it is chosen",
                      (int)strcspn(entry, "\n"), entry);
    return !adapters_number(a, name) || err_as(err, QM_USAGE, "adapter %s: the name is taken", name);
}

int adapters_number(const Adapters *a, const char *name) {
    for (int i = 0; a && a->chosen && i < a->files; i++)
        if (!strcmp(a->name[i], name)) return i + 1;
    return 0;
}

/* One of the list: [NAME=]DIR[:SCALE], `bytes` long. What is a folder as it stands is one, whatever its name. */
static bool entry_open(Adapters *a, const char *entry, size_t bytes, Err *err) {
    char *path = arena_text(&a->arena, entry, bytes, err), *colon;
    double strength = 1;
    if (!path) return false;
    if (a->files == MAX_ADAPTERS)
        return err_as(err, QM_LIMIT, "adapters: expected at most %d", MAX_ADAPTERS);
    a->name[a->files] = "";
    if (!folder_exists(path)) {
        char *equals = strchr(path, '=');
        if (equals && equals < path + strcspn(path, "/")) *equals = 0, a->name[a->files] = path, path = equals + 1;
        if (!folder_exists(path) && (colon = strrchr(path, ':')) && !strchr(colon, '/')) {
            if (!parse_float(colon + 1, -1e6, 1e6, &strength))
                return err_as(err, QM_USAGE, "adapter %s: expected [NAME=]DIR[:SCALE] with a number as scale, got '%s'",
                              entry, colon + 1);
            *colon = 0;
        }
    }
    if (a->chosen && !name_check(a, entry, err)) return false;
    a->strength[a->files] = strength;
    if (!(a->file[a->files] = adapter_open(path, err))) return false;
    a->files++;
    return true;
}

/* ---- Modules of all files ---------------------------------------------------------------------------------------- */

static int by_module(const void *x, const void *y) {
    return strcmp(((const LinearAdapter *)x)->module, ((const LinearAdapter *)y)->module);
}

const LinearAdapter *adapters_linear(const Adapters *a, const char *module) {
    LinearAdapter key;
    if (!a || !a->count || snprintf(key.module, sizeof key.module, "%s", module) >= (int)sizeof key.module) return NULL;
    return bsearch(&key, a->linears, (size_t)a->count, sizeof key, by_module);
}

static const AdapterModule *module_of(const Adapter *file, const char *name) {
    AdapterModule key;
    snprintf(key.name, sizeof key.name, "%s", name);
    for (int64_t low = 0, high = file->count; low < high;) {
        int64_t at = (low + high) / 2;
        int c = strcmp(key.name, file->modules[at].name);
        if (!c) return &file->modules[at];
        if (c < 0) high = at;
        else low = at + 1;
    }
    return NULL;
}

/* The union, and the largest sum of ranks. */
static bool modules_join(Adapters *a, Err *err) {
    size_t most = 0;
    for (int i = 0; i < a->files; i++) most += (size_t)a->file[i]->count;
    a->linears = arena_new(&a->arena, most + 1, sizeof *a->linears, "adapters", err);
    for (int i = 0; a->linears && i < a->files; i++)
        for (int64_t k = 0; k < a->file[i]->count; k++)
            memcpy(a->linears[a->count++].module, a->file[i]->modules[k].name, MODULE_NAME);
    if (!a->linears) return false;
    if (a->count) qsort(a->linears, (size_t)a->count, sizeof *a->linears, by_module);
    int64_t all = a->count;
    a->count = 0;
    for (int64_t i = 0; i < all; i++)
        if (!a->count || by_module(&a->linears[a->count - 1], &a->linears[i]))
            a->linears[a->count++] = a->linears[i];
    for (int64_t i = 0; i < a->count; i++) {
        int64_t rank = 0;
        for (int f = 0; f < a->files; f++) {
            const AdapterModule *m = module_of(a->file[f], a->linears[i].module);
            if (m) rank += m->rank;
        }
        if (rank > a->rank) a->rank = rank;
    }
    return a->rank <= MAX_ADAPTER_RANK ||
           err_as(err, QM_LIMIT, "adapters: expected ranks of at most %d in all, got %lld", MAX_ADAPTER_RANK,
                  (long long)a->rank);
}

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

WeightTensor *adapters_tensor(Adapters *a, const char *name, const char *file, Err *err) {
    if (!mem_grow((void **)&a->tensors, &a->capacity, (size_t)a->tensor_count + 1, sizeof *a->tensors, "adapters", err))
        return NULL;
    WeightTensor *t = &a->tensors[a->tensor_count];
    *t = (WeightTensor){.file = file, .added = true};
    if (!(t->name = arena_text(&a->arena, name, strlen(name), err))) return NULL;
    a->tensor_count++;
    return t;
}

/* As it lies in the file. */
static bool tensor_as_is(Adapters *a, const char *name, const Adapter *file, const SafeTensor *from, Err *err) {
    if (from->rank > 2)
        return err_set(err, "%s: %s: expected a matrix or a vector, got %d dimensions", file->path,
                       name_text(from->name, strlen(from->name)).text, from->rank);
    WeightTensor *t = adapters_tensor(a, name, file->path, err);
    if (!t) return false;
    t->dtype = from->dtype;
    t->rank = from->rank;
    t->data = from->data;
    t->bytes = from->bytes;
    memcpy(t->dim, from->dim, 2 * sizeof *t->dim);
    return true;
}

float *adapters_floats(Adapters *a, const char *name, const char *file, int64_t rows, int64_t columns, Err *err) {
    WeightTensor *t = adapters_tensor(a, name, file, err);
    size_t count;
    if (!t || !size_mul((size_t)rows, (size_t)(columns ? columns : 1), &count)) return NULL;
    float *data = arena_new(&a->arena, count, sizeof *data, t->name, err);
    t->dtype = DTYPE_F32;
    t->rank = columns ? 2 : 1;
    t->dim[0] = rows;
    t->dim[1] = columns;
    t->data = (const uint8_t *)data;
    t->bytes = count * sizeof *data;
    return data;
}

static void row_read(const SafeTensor *t, int64_t row, float *out) {
    const DTypeRow *type = dtype_row(t->dtype);
    type->read(t->data + (size_t)(row * t->dim[1]) * (size_t)type->block_bytes, 0, t->dim[1], out);
}

/* A row that goes through another adapter multiplies these by zero. */
static bool are_numbers(const Adapter *file, const char *module, const float *x, int64_t count, Err *err) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return err_set(err, "%s: %s has a number that is NaN or infinite, which would reach requests without it",
                           file->path, module);
    return true;
}

/* Whose ranks are whose. */
static bool chosen_fill(Adapters *a, LinearAdapter *l, const AdapterModule *const *m, Err *err) {
    ChosenRanks *chosen = arena_new(&a->arena, 1, sizeof *chosen, "adapters", err);
    int32_t at = 0;
    if (!(l->chosen = chosen)) return false;
    chosen->count = a->files;
    for (int i = 0; i < a->files; i++) {
        int32_t rank = m[i] ? (int32_t)m[i]->rank : 0;
        chosen->of[i].first = at;
        chosen->of[i].count = rank;
        chosen->of[i].factor = m[i] ? (float)(m[i]->scale * a->strength[i]) : 0;
        at += rank;
    }
    return true;
}

/* A and B of a module in all files, side by side in the rank. */
static bool linear_fill(Adapters *a, LinearAdapter *l, const char *name_a, const char *name_b, Err *err) {
    const AdapterModule *m[MAX_ADAPTERS], *first = NULL;
    bool same = true;
    double scale = 0;
    const char *path = NULL;
    for (int i = 0; i < a->files; i++) {
        if (!(m[i] = module_of(a->file[i], l->module))) continue;
        if (first && (first->a->dim[1] != m[i]->a->dim[1] || first->b->dim[0] != m[i]->b->dim[0]))
            return err_set(err, "%s and %s: %s has other sizes", path, a->file[i]->path, l->module);
        if (first) same &= scale == m[i]->scale * a->strength[i];
        else first = m[i], path = a->file[i]->path, scale = m[i]->scale * a->strength[i];
    }
    same |= a->chosen;
    l->scale = same ? scale : 1;
    if (a->chosen && !chosen_fill(a, l, m, err)) return false;
    int64_t in = first->a->dim[1], out = first->b->dim[0], at = 0;
    float *to_a = adapters_floats(a, name_a, path, a->rank, in, err);
    float *to_b = to_a ? adapters_floats(a, name_b, path, out, a->rank, err) : NULL;
    if (!to_b) return false;
    for (int i = 0; i < a->files; i++) {
        if (!m[i]) continue;
        for (int64_t r = 0; r < m[i]->rank; r++) row_read(m[i]->a, r, to_a + (at + r) * in);
        for (int64_t o = 0; o < out; o++) {
            float *row = to_b + o * a->rank + at;
            row_read(m[i]->b, o, row);
            for (int64_t r = 0; r < m[i]->rank && !same; r++)
                row[r] = (float)((double)row[r] * m[i]->scale * a->strength[i]);
            if (a->chosen && !are_numbers(a->file[i], l->module, row, m[i]->rank, err)) return false;
        }
        at += m[i]->rank;
    }
    return true;
}

static bool linear_join(Adapters *a, LinearAdapter *l, Err *err) {
    const AdapterModule *m = a->files == 1 && !a->chosen ? module_of(a->file[0], l->module) : NULL;
    PartName down = part_name(l->module, ADAPTER_A), up = part_name(l->module, ADAPTER_B);
    if (m && m->magnitude) {
        l->dora = true;
        if (!tensor_as_is(a, part_name(l->module, ADAPTER_MAGNITUDE).text, a->file[0], m->magnitude, err)) return false;
    }
    if (!m || m->rank != a->rank) return linear_fill(a, l, down.text, up.text, err);
    l->scale = m->scale * a->strength[0];
    l->dropout = a->file[0]->config.dropout;
    return tensor_as_is(a, down.text, a->file[0], m->a, err) && tensor_as_is(a, up.text, a->file[0], m->b, err);
}

/* What can only stand alone, since it replaces what another would replace or add to. */
static bool alone_check(const Adapters *a, Err *err) {
    for (int i = 0; (a->files > 1 || a->chosen) && i < a->files; i++) {
        const char *path = a->file[i]->path;
        if (a->chosen && (a->file[i]->config.dora || a->file[i]->weight_count))
            return err_set(err, "%s: %s, which rows of other requests cannot do without: expected LoRA alone where "
                                "requests choose", path, a->file[i]->config.dora
                                    ? "a DoRA adapter scales the weights" : "brings weights in place of the model's");
        if (a->file[i]->config.dora)
            return err_set(err, "%s: a DoRA adapter scales the weights and is not added to others: give it alone",
                           path);
        if (a->file[i]->weight_count)
            return err_set(err, "%s: brings %s, a weight of its own, and is not added to others: give it alone", path,
                           a->file[i]->weights[0].name);
    }
    return true;
}

static bool all_join(Adapters *a, Err *err) {
    if (!alone_check(a, err) || !modules_join(a, err)) return false;
    for (int64_t i = 0; i < a->count; i++)
        if (!linear_join(a, &a->linears[i], err)) return false;
    for (int i = 0; i < a->files; i++)
        for (int64_t k = 0; k < a->file[i]->weight_count; k++)
            if (!tensor_as_is(a, a->file[i]->weights[k].name, a->file[i], a->file[i]->weights[k].tensor, err))
                return false;
    return true;
}

static Adapters *list_open(const char *list, bool chosen, Err *err) {
    Adapters *a = mem_new(1, sizeof *a, "adapters", err);
    bool ok = a != NULL;
    if (a) a->chosen = chosen;
    for (const char *at = list; ok && *at; at += *at == '\n') {
        size_t bytes = strcspn(at, "\n");
        ok = entry_open(a, at, bytes, err);
        at += bytes;
    }
    if (ok && !a->files) ok = err_as(err, QM_USAGE, "adapters: expected [NAME=]DIR[:SCALE], got nothing");
    if (ok && all_join(a, err)) return a;
    adapters_free(a);
    return NULL;
}

Adapters *adapters_open(const char *list, Err *err) { return list_open(list, false, err); }
Adapters *adapters_open_chosen(const char *list, Err *err) { return list_open(list, true, err); }

void adapters_free(Adapters *a) {
    if (!a) return;
    for (int i = 0; i < a->files; i++) adapter_close(a->file[i]);
    free(a->tensors);
    arena_free(&a->arena);
    free(a);
}

/* ---- What a model is told ---------------------------------------------------------------------------------------- */

const WeightTensor *adapters_find(const Adapters *a, const char *name) {
    for (int64_t i = 0; i < a->tensor_count; i++)
        if (!strcmp(a->tensors[i].name, name)) return &a->tensors[i];
    return NULL;
}

/* The base of an adapter for labels is a causal model, whose head it does without. */
static bool head_take(const Adapters *a, ModelConfig *c, Err *err) {
    static const struct { const char *task; Head head; } tasks[] = {{"SEQ_CLS", HEAD_SEQUENCE},
                                                                    {"TOKEN_CLS", HEAD_TOKEN},
                                                                    {"QUESTION_ANS", HEAD_QUESTION}};
    for (int i = 0; i < 3 && a->files; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.weight", head_table[tasks[i].head].weight);
        const WeightTensor *t = adapters_find(a, name);
        if (c->head != HEAD_CAUSAL || strcmp(a->file[0]->config.task, tasks[i].task)) continue;
        int64_t most = tasks[i].head == HEAD_QUESTION ? 2 : 1 << 16, least = tasks[i].head == HEAD_QUESTION ? 2 : 1;
        if (!t || t->rank != 2 || t->dim[0] < least || t->dim[0] > most)
            return err_set(err, "%s: its task is %s, but it brings no %s [labels,hidden] for a model whose head is "
                           "'%s'", a->file[0]->path, tasks[i].task, name, head_table[c->head].name);
        c->head = tasks[i].head;
        c->labels = t->dim[0];
    }
    return true;
}

bool adapters_configure(const Adapters *a, ModelConfig *c, Err *err) {
    c->adapters = a;
    c->adapter_rank = a->rank;
    return head_take(a, c, err);
}

bool adapters_fit(const Adapters *a, const Graph *g, Err *err) {
    for (int64_t i = 0; a && i < a->tensor_count; i++) {
        const WeightTensor *t = &a->tensors[i];
        bool found = false;
        for (int id = 1; id < g->count && !found; id++)
            found = g->nodes[id].kind == NODE_WEIGHT && !strcmp(g->nodes[id].name, t->name);
        if (!found)
            return err_set(err, "%s: %s has no place in the model, which has no such linear or weight", t->file,
                           name_text(t->name, strlen(t->name)).text);
    }
    return true;
}
