/* uniform_shards.c: see shards.h. A row of a quantised tensor is read from the block before to the block after what is
 * wanted. */
#include <stdlib.h>
#include <string.h>
#include "uniform_shards.h"

bool shard_same(const Program *program, const LowerArgument *a, int device, int other) {
    for (const char *l = a->weight_split; *l; l++) {
        Range x = partition_range(program->partition, *l, device), y = partition_range(program->partition, *l, other);
        if (x.first != y.first || x.last != y.last) return false;
    }
    return true;
}

static DType wanted(const LowerArgument *a) { return strcmp(a->type, "bf16") ? DTYPE_F32 : DTYPE_BF16; }

/* `count` elements from `from` of a stored row, in the argument's type. `work`: floats of a row and two blocks. */
static void read_part(const WeightTensor *t, const uint8_t *row, int64_t from, int64_t count, DType type, float *work,
                      void *out) {
    const DTypeRow *stored = dtype_row(t->dtype);
    if (t->dtype == type) {
        memcpy(out, row + from * stored->block_bytes, (size_t)(count * stored->block_bytes));
        return;
    }
    int64_t first = from / stored->block * stored->block,
            last = (from + count + stored->block - 1) / stored->block * stored->block;
    bool whole = type == DTYPE_F32 && first == from && last == from + count;
    float *values = whole ? out : work;
    stored->read(row, first, last - first, values);
    if (whole) return;
    values += from - first;
    if (type == DTYPE_F32) memcpy(out, values, (size_t)count * sizeof(float));
    else for (int64_t i = 0; i < count; i++) ((uint16_t *)out)[i] = f32_to_bf16(values[i]);
}

/* Where a device has its part of a dimension of a weight. */
static bool segments(const Program *program, const Node *n, const LowerArgument *a, int dim, int device, Segments *out,
                     Err *err) {
    return partition_segments(program->partition, n->shape.dim[dim].letters, a->weight_split, device, out, err);
}

const void *shard_in_file(const Program *program, const LowerArgument *a, const WeightTensor *t, int device) {
    if (t->dtype != wanted(a) || t->permuted_heads) return NULL;
    if (!a->weight_split[0]) return t->data;
    const Node *n = &program->graph.nodes[a->node];
    Segments rows = {0}, columns = {0};
    int64_t width = a->rank == 2 ? a->dim[1] : 1;
    Err err = {0}; /* no memory: then it is not found to be there */
    bool ok = segments(program, n, a, 0, device, &rows, &err) && rows.count == 1 && rows.list[0].count == a->dim[0];
    if (ok && a->rank == 2)
        ok = segments(program, n, a, 1, device, &columns, &err) && columns.count == 1 && columns.list[0].from == 0 &&
             columns.list[0].count == width && n->shape.dim[1].size == width;
    int64_t first = ok ? rows.list[0].from : 0;
    free(rows.list);
    free(columns.list);
    return ok ? t->data + (size_t)(first * width) * (size_t)dtype_row(t->dtype)->block_bytes : NULL;
}

bool shard_fill(const Program *program, const LowerArgument *a, const WeightTensor *t, int device, void *out,
                Err *err) {
    const Node *n = &program->graph.nodes[a->node];
    DType type = wanted(a);
    size_t each = type == DTYPE_F32 ? 4 : 2;
    int last = a->rank - 1;
    Segment one = {0, 0, 1};
    Segments rows = {0}, columns = {0}, *outer = a->rank == 2 ? &rows : &(Segments){.list = &one, .count = 1};
    int64_t width = a->dim[last];
    bool ok = segments(program, n, a, last, device, &columns, err);
    if (ok && a->rank == 2) ok = segments(program, n, a, 0, device, &rows, err);
    float *work = ok ? mem_new((size_t)n->shape.dim[last].size + 1024, sizeof *work, n->name, err) : NULL;
    for (int r = 0; work && r < outer->count; r++)
        for (int64_t i = 0; i < outer->list[r].count; i++)
            for (int c = 0; c < columns.count; c++) {
                const Segment *row = &outer->list[r], *column = &columns.list[c];
                uint8_t *to = (uint8_t *)out + (size_t)((row->to + i) * width + column->to) * each;
                if (a->rank == 2) {
                    read_part(t, weights_row(t, row->from + i), column->from, column->count, type, work, to);
                } else if (!t->permuted_heads) {
                    read_part(t, t->data, column->from, column->count, type, work, to);
                } else {
                    for (int64_t e = 0; e < column->count; e++)
                        read_part(t, weights_row(t, column->from + e), 0, 1, type, work, to + (size_t)e * each);
                }
            }
    ok = work != NULL;
    free(work);
    free(columns.list);
    free(rows.list);
    return ok;
}
