/* adapter_merge.c: see adapter_merge.h. */
#include <stdlib.h>
#include <string.h>
#include "adapter_merge.h"
#include "model_folder.h"
#include "weight_rows.h"

/* One tensor that is read; of a linear with an adapter, A whole and in f32. */
typedef struct MergedRow {
    const Weights *weights;
    const WeightTensor *base;
    const LinearAdapter *linear;        /* NULL: as it is */
    const WeightTensor *up, *norm, *magnitude;
    float *down;                        /* [rank, columns] */
    int64_t rank;
} MergedRow;

/* out += scale * b A for one row, in the order of the rank. */
static void row_merge(const MergedRow *m, const float *b, float *out) {
    int64_t columns = m->base->dim[1];
    for (int64_t r = 0; r < m->rank; r++) {
        float by = (float)(m->linear->scale * (double)b[r]);
        const float *a = m->down + r * columns;
        for (int64_t k = 0; by != 0 && k < columns; k++) out[k] += by * a[k];
    }
}

static bool scaled(const MergedRow *m, int64_t row, float *out, Err *err) {
    float norm, magnitude;
    if (!weight_rows(m->norm, row, 1, &norm, err) || !weight_rows(m->magnitude, row, 1, &magnitude, err)) return false;
    for (int64_t k = 0; k < m->base->dim[1]; k++) out[k] = out[k] * norm * magnitude;
    return true;
}

static bool read_rows(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const MergedRow *m = owner;
    int64_t columns = weight_columns(m->base);
    if (!weight_rows(m->base, first, rows, out, err)) return false;
    weights_forget(m->weights, m->base, first, first + rows);
    if (!m->linear) return true;
    float *b = mem_new((size_t)m->rank, sizeof *b, "rows of an adapter", err);
    bool ok = b != NULL;
    for (int64_t i = 0; ok && i < rows; i++) {
        ok = weight_rows(m->up, first + i, 1, b, err);
        if (ok) row_merge(m, b, out + i * columns);
        if (ok && m->linear->dora) ok = scaled(m, first + i, out + i * columns, err);
    }
    free(b);
    return ok;
}

/* What stands beside the weight of that name. */
static bool linear_find(MergedRow *m, MergedWeights *of, const Adapters *a, const char *name, Err *err) {
    static const char ending[] = ".weight";
    char module[MODULE_NAME];
    size_t n = strlen(name), e = sizeof ending - 1;
    if (n <= e || strcmp(name + n - e, ending) || n - e >= sizeof module) return true;
    snprintf(module, sizeof module, "%.*s", (int)(n - e), name);
    if (!(m->linear = adapters_linear(a, module))) return true;
    const WeightTensor *down = adapters_find(a, part_name(module, ADAPTER_A).text);
    m->up = adapters_find(a, part_name(module, ADAPTER_B).text);
    m->norm = adapters_find(a, part_name(module, ADAPTER_NORM).text);
    m->magnitude = adapters_find(a, part_name(module, ADAPTER_MAGNITUDE).text);
    m->rank = a->rank;
    if (m->base->rank != 2 || down->dim[1] != m->base->dim[1] || m->up->dim[0] != m->base->dim[0])
        return err_set(err, "%s: %s: expected an adapter of a weight [%lld,%lld], got one of [%lld,%lld]", down->file,
                       module, (long long)m->base->dim[0], (long long)m->base->dim[1], (long long)m->up->dim[0],
                       (long long)down->dim[1]);
    m->down = arena_new(&of->arena, (size_t)(down->dim[0] * down->dim[1]), sizeof *m->down, "adapter", err);
    return m->down && weight_rows(down, 0, down->dim[0], m->down, err);
}

/* A weight of the plain model, from the checkpoint; a head that was tied, from the embedding. */
static bool tensor_add(MergedWeights *of, MergedRow *m, const Adapters *a, const ModelConfig *c, Weights *weights,
                       const char *name, Err *err) {
    m->weights = weights;
    m->base = weights_find(weights, name);
    if (!m->base && !strcmp(name, family_of(c)->head)) m->base = weights_find(weights, family_of(c)->embedding);
    if (!m->base || m->base->rank < 1 || m->base->rank > 2)
        return err_set(err, "the checkpoint has no tensor %s of one or two dimensions", name);
    if (a && !linear_find(m, of, a, name, err)) return false;
    of->tensors[of->count++] = (SaveTensor){.name = arena_text(&of->arena, name, strlen(name), err),
                                            .rank = m->base->rank, .dim = {m->base->dim[0], m->base->dim[1]},
                                            .whole = m->base->rank == 1, .read = read_rows, .owner = m};
    return of->tensors[of->count - 1].name != NULL;
}

bool merged_weights(MergedWeights *of, const Adapters *a, ModelConfig *c, Weights *weights, Err *err) {
    char head[MODULE_NAME];
    ModelGraph model;
    *of = (MergedWeights){0};
    snprintf(head, sizeof head, "%.*s", (int)strcspn(family_of(c)->head, "."), family_of(c)->head);
    if (c->head == HEAD_CAUSAL && adapters_linear(a, head)) c->tied = false;
    ModelConfig plain = *c;
    plain.adapters = NULL;
    plain.adapter_rank = 0;
    if (!model_graph(&model, &plain, 1, 1, false, err)) return false;
    const Graph *g = &model.graph;
    MergedRow *rows = arena_new(&of->arena, (size_t)g->count + 1, sizeof *rows, "tensors", err);
    of->tensors = rows ? arena_new(&of->arena, (size_t)g->count + 1, sizeof *of->tensors, "tensors", err) : NULL;
    bool ok = of->tensors != NULL;
    for (int id = 1; ok && id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT)
            ok = tensor_add(of, &rows[of->count], a, c, weights, g->nodes[id].name, err);
    model_graph_free(&model);
    if (!ok) return merged_weights_free(of), false;
    save_order(of->tensors, of->count);
    return true;
}

void merged_weights_free(MergedWeights *of) {
    arena_free(&of->arena);
    *of = (MergedWeights){0};
}
