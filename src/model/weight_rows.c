/* weight_rows.c: see weight_rows.h. */
#include <stdlib.h>
#include "../ops/kernels.h"
#include "weight_rows.h"

/* Rows of one panel, lane by lane. */
static void lanes_read(const WeightTensor *t, PackedType type, int64_t first, int64_t last, float *floats, float *out) {
    int64_t k = t->dim[1], panel = first / PANEL;
    kernels_reference.unpack[type](t->panels + panel * packed_panel_bytes(type, k), 0, k, floats);
    for (int64_t row = first; row < last; row++)
        for (int64_t i = 0; i < k; i++) out[(row - first) * k + i] = floats[i * PANEL + row % PANEL];
}

static bool panels_read(const WeightTensor *t, int64_t first, int64_t count, float *out, Err *err) {
    PackedType type;
    size_t floats;
    if (!packed_type_named(t->panel_type, &type))
        return err_set(err, "%s: %s: '%.20s' is no packed type", t->file, t->name, t->panel_type);
    if (!size_mul((size_t)t->dim[1], PANEL * sizeof(float), &floats)) return err_set(err, "%s: sizes wrap", t->name);
    float *panel = mem_pages_new(floats, "rows of a weight", err);
    for (int64_t row = first, last; panel && row < first + count; row = last) {
        last = (row / PANEL + 1) * PANEL;
        if (last > first + count) last = first + count;
        lanes_read(t, type, row, last, panel, out + (row - first) * t->dim[1]);
    }
    if (panel) mem_pages_free(panel, floats);
    return panel != NULL;
}

bool weight_rows(const WeightTensor *t, int64_t first, int64_t count, float *out, Err *err) {
    const DTypeRow *type = dtype_row(t->dtype);
    int64_t columns = weight_columns(t);
    if (first < 0 || count < 0 || t->rank < 1 || t->rank > 2 || first > t->dim[0] - count)
        return err_as(err, QM_INTERNAL, "%s: rows %lld to %lld of %lld", t->name, (long long)first,
                      (long long)(first + count), (long long)t->dim[0]);
    if (!t->data && t->panels) return panels_read(t, first, count, out, err);
    if (!t->data || !type->read || (t->rank > 1 && columns % type->block) || (t->rank == 1 && t->dim[0] % type->block))
        return err_set(err, "%s: %s: %s is no weight type, or its rows are no whole blocks", t->file, t->name,
                       type->name);
    if (t->rank == 1 && type->block > 1) {
        if (first || count != t->dim[0])
            return err_as(err, QM_INTERNAL, "%s: a vector in blocks is read whole", t->name);
        type->read(t->data, 0, count, out);
        return true;
    }
    for (int64_t i = 0; i < count; i++) type->read(weights_row(t, first + i), 0, columns, out + i * columns);
    return true;
}
