/* checkpoint.c: weights found by name, checked by shape; what is wrong is one list. */
#include <string.h>
#include "../base/watch.h"
#include "checkpoint.h"

enum { MAX_LISTED = 12 };

static bool shape_fits(const WeightTensor *t, const Shape *s) {
    if (t->rank != s->rank) return false;
    for (int i = 0; i < s->rank; i++)
        if (t->dim[i] != s->dim[i].size) return false;
    return true;
}

static void list_line(Text *list, int *count, const char *format, const char *name, const char *got) {
    if (++*count <= MAX_LISTED) text_line(list, format, name_text(name, strlen(name)).text, got);
}

static void tensor_text(const WeightTensor *t, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

bool checkpoint_check(const Graph *g, Weights *weights, Err *err) {
    Text list = {0};
    int wrong = 0, unexpected = 0;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        char got[64], want[64];
        if (n->kind != NODE_WEIGHT) continue;
        WeightTensor *t = weights_find(weights, n->name);
        PackedType type;
        if (!t) {
            list_line(&list, &wrong, "\n  missing: %s%s", n->name, "");
        } else if (!shape_fits(t, &n->shape)) {
            WeightTensor w = {.rank = n->shape.rank, .dim = {n->shape.dim[0].size, n->shape.dim[1].size}};
            tensor_text(t, got, sizeof got);
            tensor_text(&w, want, sizeof want);
            char both[160];
            snprintf(both, sizeof both, "expected %s, got %s", want, got);
            list_line(&list, &wrong, "\n  wrong shape: %s: %s", n->name, both);
        } else if (!packed_type_of(t->dtype, &type)) {
            list_line(&list, &wrong, "\n  wrong type: %s: %s is no weight type", n->name, dtype_row(t->dtype)->name);
        }
    }
    for (int64_t i = 0; i < weights_count(weights); i++) {
        WeightTensor *t = weights_at(weights, i);
        if (!t->used)
            list_line(&list, &unexpected, "\n  unexpected: %s%s", t->name, "");
    }
    if (wrong + unexpected > 2 * MAX_LISTED || wrong > MAX_LISTED || unexpected > MAX_LISTED)
        text_line(&list, "\n  ...");
    if (wrong)
        err_set(err, "checkpoint does not fit the model: %d missing or wrong, %d unexpected%s", wrong, unexpected,
                list.data);
    else if (unexpected)
        watch_say(QM_WARNING, "%d tensors of the checkpoint are not used%s", unexpected,
                  list.data ? list.data : "");
    text_free(&list);
    return wrong == 0;
}
