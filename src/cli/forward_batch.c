/* forward_batch.c: see forward_batch.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/safetensors.h"
#include "forward_batch.h"

static int64_t elements(const SafeTensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

/* Whole numbers as i32, malloc'ed; NULL and an error. */
static int32_t *ints_of(const SafeTensor *t, Err *err) {
    int64_t n = elements(t);
    int32_t *out = mem_new((size_t)n + 1, sizeof *out, t->name, err);
    for (int64_t i = 0; out && i < n; i++) {
        int64_t v = 0;
        int32_t narrow = 0;
        if (t->dtype == DTYPE_I64) memcpy(&v, t->data + i * 8, 8);
        else memcpy(&narrow, t->data + i * 4, 4), v = narrow;
        if (v < INT32_MIN || v > INT32_MAX) {
            err_set(err, "%s[%lld]: %lld is out of range", t->name, (long long)i, (long long)v);
            free(out);
            return NULL;
        }
        out[i] = (int32_t)v;
    }
    return out;
}

static bool is_int(const SafeTensor *t) { return t->dtype == DTYPE_I32 || t->dtype == DTYPE_I64; }

/* A tensor [b, s], or [b] (columns false); NULL if absent or on error. The first sets b and s. */
static int32_t *read_ints(const SafeTensors *st, const char *name, bool columns, ForwardBatch *batch, Err *err) {
    const SafeTensor *t = err->kind ? NULL : safetensors_find(st, name);
    if (!t) return NULL;
    int rank = columns ? 2 : 1;
    if (t->rank != rank || !is_int(t) ||
        (batch->b && (t->dim[0] != batch->b || (columns && t->dim[1] != batch->s)))) {
        err_set(err, "%s: expected i32 or i64 of shape %s%s", name, columns ? "[B,S]" : "[B]",
                batch->b ? " as input_ids" : "");
        return NULL;
    }
    if (columns) batch->b = t->dim[0], batch->s = t->dim[1];
    return ints_of(t, err);
}

/* Of which shape they must be, the head decides. */
static void read_labels(const SafeTensors *st, ForwardBatch *batch, Err *err) {
    const SafeTensor *t = err->kind ? NULL : safetensors_find(st, "labels");
    if (!t) return;
    if (t->rank < 1 || t->rank > 2 || (!is_int(t) && t->dtype != DTYPE_F32)) {
        err_set(err, "labels: expected i32, i64 or f32 of shape [B], [B,S] or [B,labels]");
        return;
    }
    batch->label_rank = t->rank;
    for (int i = 0; i < t->rank; i++) batch->label_dim[i] = t->dim[i];
    if (is_int(t)) {
        batch->labels = ints_of(t, err);
        return;
    }
    batch->label_values = mem_new((size_t)elements(t) + 1, sizeof(float), "labels", err);
    if (batch->label_values) memcpy(batch->label_values, t->data, (size_t)elements(t) * sizeof(float));
}

bool forward_labels(const ForwardBatch *batch, int64_t rows, int64_t columns) {
    return batch->label_rank == 1 + (columns > 0) && batch->label_dim[0] == rows &&
           (!columns || batch->label_dim[1] == columns);
}

static bool batch_of(ForwardBatch *batch, const SafeTensors *st, Err *err) {
    batch->ids = read_ints(st, "input_ids", true, batch, err);
    if (!batch->ids && !err->kind) return err_set(err, "input_ids [B,S] is missing");
    batch->mask = read_ints(st, "attention_mask", true, batch, err);
    batch->positions = read_ints(st, "position_ids", true, batch, err);
    batch->starts = read_ints(st, "start_positions", false, batch, err);
    batch->ends = read_ints(st, "end_positions", false, batch, err);
    read_labels(st, batch, err);
    if (!err->kind && (batch->b < 1 || batch->s < 1)) err_set(err, "input_ids: empty");
    return !err->kind;
}

bool forward_batch_read(ForwardBatch *batch, const char *path, Err *err) {
    SafeTensors st;
    *batch = (ForwardBatch){0};
    if (!safetensors_open(&st, path, err)) return false;
    bool ok = batch_of(batch, &st, err);
    safetensors_close(&st);
    if (!ok) err_prefix(err, "%s", path);
    return ok;
}

void forward_batch_free(ForwardBatch *b) {
    free(b->ids), free(b->mask), free(b->positions), free(b->labels), free(b->label_values);
    free(b->starts), free(b->ends);
    *b = (ForwardBatch){0};
}
