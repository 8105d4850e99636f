/* saved_weights.c: a checkpoint's own weights as tensors to save. */
#include <string.h>
#include "model_folder.h"

typedef struct SavedRow { const Weights *weights; const WeightTensor *tensor; } SavedRow;

/* A row of a tensor of rank 1 is one number, and may be permuted as its matrix is. */
static bool read_rows(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const SavedRow *row = owner;
    const WeightTensor *t = row->tensor;
    DTypeRead *read = dtype_row(t->dtype)->read;
    int64_t columns = t->rank > 1 ? t->dim[1] : 1;
    if (!t->data || !read)
        return err_set(err, "%s: tensor %s has no rows that can be read: expected a folder or a GGUF file", t->file,
                       name_text(t->name, strlen(t->name)).text);
    if (t->rank == 1 && !t->permuted_heads) {
        int64_t block = dtype_row(t->dtype)->block;
        if (first % block == 0 && rows % block == 0) return read(t->data, first, rows, out), true;
    }
    for (int64_t r = 0; r < rows; r++) read(weights_row(t, first + r), 0, columns, out + r * columns);
    weights_forget(row->weights, t, first, first + rows);
    return true;
}

bool saved_weights(SavedWeights *s, const Graph *g, Weights *weights, Err *err) {
    *s = (SavedWeights){0};
    SavedRow *rows = arena_new(&s->arena, (size_t)g->count + 1, sizeof *rows, "tensors", err);
    s->tensors = rows ? arena_new(&s->arena, (size_t)g->count + 1, sizeof *s->tensors, "tensors", err) : NULL;
    if (!s->tensors) return saved_weights_free(s), false;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_WEIGHT) continue;
        WeightTensor *t = weights_find(weights, n->name);
        if (!t || t->rank < 1 || t->rank > 2) {
            saved_weights_free(s);
            return err_set(err, "the checkpoint has no tensor %s of one or two dimensions", n->name);
        }
        bool twice = false;
        for (int64_t i = 0; i < s->count; i++) twice |= !strcmp(s->tensors[i].name, n->name);
        if (twice) continue;
        rows[s->count] = (SavedRow){weights, t};
        s->tensors[s->count] = (SaveTensor){.name = n->name, .rank = t->rank, .dim = {t->dim[0], t->dim[1]},
                                            .read = read_rows, .owner = &rows[s->count]};
        s->count++;
    }
    save_order(s->tensors, s->count);
    return true;
}

void saved_weights_free(SavedWeights *s) {
    arena_free(&s->arena);
    *s = (SavedWeights){0};
}
