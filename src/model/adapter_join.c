/* adapter_join.c: the tensors of adapters join those of a model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "adapters.h"
#include "family.h"
#include "weight_rows.h"

/* Where embedding and head are one tensor and the adapter brings only one of them, the other stays what it was, unless
 * the adapter says that both are tied to it. */
static bool untie(Adapters *a, ModelConfig *c, Weights *weights, Err *err) {
    const Family *f = family_of(c);
    const WeightTensor *embedding = adapters_find(a, f->embedding), *head = adapters_find(a, f->head);
    if (!c->tied || c->head != HEAD_CAUSAL || (!embedding && !head)) return true;
    const WeightTensor *base = weights_find(weights, f->embedding);
    const WeightTensor *other = a->file[0]->config.ties_weights ? (embedding ? embedding : head) : base;
    WeightTensor copy = other ? *other : (WeightTensor){0};
    c->tied = false;
    if (!other || (embedding && head)) return true; /* a missing embedding is named with all that is missing */
    bool lacks_head = !head;
    if (!lacks_head && other == base) return true; /* the embedding is the base's, as it stands */
    WeightTensor *t = adapters_tensor(a, lacks_head ? f->head : f->embedding, copy.file, err);
    if (!t) return false;
    copy.name = t->name;
    copy.added = true;
    copy.frozen = other == base;
    *t = copy;
    return true;
}

bool adapter_norms(const WeightTensor *w, const float *a, const float *b, int64_t rank, double scale, int64_t first,
                   int64_t count, float *inverse, Err *err) {
    int64_t in = w->dim[1];
    float factor = (float)scale, *row = mem_new((size_t)in, 2 * sizeof *row, "rows of a weight", err);
    bool ok = row != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        float *added = row + in;
        double square = 0;
        memset(added, 0, (size_t)in * sizeof *added);
        ok = weight_rows(w, first + i, 1, row, err);
        for (int64_t r = 0; ok && r < rank; r++)
            for (int64_t k = 0; k < in; k++) added[k] += b[i * rank + r] * a[r * in + k];
        for (int64_t k = 0; ok && k < in; k++) {
            double value = (double)(row[k] + factor * added[k]);
            square += value * value;
        }
        inverse[i] = (float)(1 / sqrt(square));
    }
    free(row);
    return ok;
}

/* Rows of an adapter's own matrix, all of them, in f32. */
static float *floats_of(const WeightTensor *t, Err *err) {
    float *out = mem_new((size_t)(t->dim[0] * t->dim[1]), sizeof *out, "adapters", err);
    if (out && weight_rows(t, 0, t->dim[0], out, err)) return out;
    free(out);
    return NULL;
}

static bool norm_join(Adapters *a, const LinearAdapter *l, Weights *weights, Err *err) {
    char base[MODULE_NAME + 8];
    snprintf(base, sizeof base, "%s.weight", l->module);
    const WeightTensor *w = weights_find(weights, base);
    const WeightTensor *a_of = adapters_find(a, part_name(l->module, ADAPTER_A).text);
    const WeightTensor *b_of = adapters_find(a, part_name(l->module, ADAPTER_B).text);
    if (!w || w->rank != 2 || w->dim[0] != b_of->dim[0] || w->dim[1] != a_of->dim[1])
        return err_set(err, "%s: %s is for a weight [%lld,%lld], which the model does not have", a_of->file, l->module,
                       (long long)b_of->dim[0], (long long)a_of->dim[1]);
    float *down = floats_of(a_of, err), *up = down ? floats_of(b_of, err) : NULL;
    PartName norm = part_name(l->module, ADAPTER_NORM), magnitude = part_name(l->module, ADAPTER_MAGNITUDE);
    float *inverse = up ? adapters_floats(a, norm.text, w->file, w->dim[0], 0, err) : NULL;
    bool ok = inverse && adapter_norms(w, down, up, a->rank, l->scale, 0, w->dim[0], inverse, err);
    const WeightTensor *to = ok && a->fresh ? adapters_find(a, magnitude.text) : NULL;
    for (int64_t i = 0; to && i < w->dim[0]; i++) ((float *)(uintptr_t)to->data)[i] = 1 / inverse[i];
    free(down);
    free(up);
    return ok;
}

/* What a new adapter has in the place of the model's weights begins with their numbers. */
static bool saved_fill(const Adapters *a, const ModelConfig *c, Weights *weights, Err *err) {
    const Family *f = family_of(c);
    for (int64_t i = 0; i < a->tensor_count; i++) {
        const WeightTensor *to = &a->tensors[i], *w;
        if (!strncmp(to->name, ADAPTER_PREFIX, sizeof ADAPTER_PREFIX - 1)) continue;
        bool head = c->tied && !strcmp(to->name, f->head);
        if (!(w = weights_find(weights, head ? f->embedding : to->name)) || w->rank != to->rank ||
            w->dim[0] != to->dim[0] || (w->rank == 2 && w->dim[1] != to->dim[1]))
            return err_set(err, "the model lacks %s, or has another shape of it", to->name);
        if (!weight_rows(w, 0, w->dim[0], (float *)(uintptr_t)to->data, err)) return false;
    }
    return true;
}

bool adapters_join(Adapters *a, ModelConfig *c, Weights *weights, Err *err) {
    if ((a->fresh && !saved_fill(a, c, weights, err)) || !untie(a, c, weights, err)) return false;
    for (int64_t i = 0; i < a->count; i++)
        if (a->linears[i].dora && !norm_join(a, &a->linears[i], weights, err)) return false;
    return weights_add(weights, a->tensors, a->tensor_count, err);
}
