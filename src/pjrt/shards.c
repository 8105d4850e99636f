/* shards.c: see shards.h. A row of a quantised tensor is read from the block before to the block after what is
 * wanted. */
#include <stdlib.h>
#include <string.h>
#include "shards.h"

typedef struct Cut {
    const Program *program;
    const Dim *dim;
    const char *split;
    int device;
    Segment *list;
    int count;
    size_t capacity;
    Err *err;
} Cut;

static Range split_range(const Program *program, char letter, int device) {
    const DeviceShard *s = &program->partition->device[device];
    return letter == 'k' ? s->kv : letter == 'g' ? s->group : letter == 'f' ? s->ffn : s->vocab;
}

static Range letter_range(const Cut *c, char letter) {
    if (!strchr(c->split, letter)) return (Range){0, c->program->graph.size[letter & 127]};
    return split_range(c->program, letter, c->device);
}

bool shard_same(const Program *program, const LowerArgument *a, int device, int other) {
    for (const char *l = a->weight_split; *l; l++) {
        Range x = split_range(program, *l, device), y = split_range(program, *l, other);
        if (x.first != y.first || x.last != y.last) return false;
    }
    return true;
}

/* Letters from `at` on, the outermost first. */
static bool cut(Cut *c, int at, int64_t from, int64_t to) {
    const char *letters = c->dim->letters;
    Range r = letter_range(c, letters[at]);
    int64_t inner = 1, local = 1;
    bool split_inside = false;
    for (const char *l = letters + at + 1; *l; l++) {
        int64_t whole = c->program->graph.size[*l & 127];
        bool is = strchr(c->split, *l) != NULL;
        inner *= whole;
        local *= partition_local(c->program->partition, *l, is, whole);
        split_inside |= is;
    }
    if (r.first >= r.last) return true;
    if (!split_inside) {
        if (!mem_grow((void **)&c->list, &c->capacity, (size_t)c->count + 1, sizeof *c->list, "shard", c->err))
            return false;
        c->list[c->count++] = (Segment){from + r.first * inner, to, (r.last - r.first) * inner};
        return true;
    }
    for (int64_t i = r.first; i < r.last; i++)
        if (!cut(c, at + 1, from + i * inner, to + (i - r.first) * local)) return false;
    return true;
}

bool shard_segments(const Program *program, const Dim *dim, const char *split, int device, Segment **list, int *count,
                    Err *err) {
    Cut c = {.program = program, .dim = dim, .split = split, .device = device, .err = err};
    bool ok = cut(&c, 0, 0, 0);
    *list = c.list;
    *count = c.count;
    return ok;
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

const void *shard_in_file(const Program *program, const LowerArgument *a, const WeightTensor *t, int device) {
    if (t->dtype != wanted(a) || t->permuted_heads) return NULL;
    if (!a->weight_split[0]) return t->data;
    const Node *n = &program->graph.nodes[a->node];
    Segment *rows = NULL, *columns = NULL, none = {0};
    int row_count = 0, column_count = 1;
    int64_t width = a->rank == 2 ? a->dim[1] : 1;
    Err err = {0}; /* no memory: then it is not found to be there */
    bool ok = shard_segments(program, &n->shape.dim[0], a->weight_split, device, &rows, &row_count, &err);
    if (ok && a->rank == 2)
        ok = shard_segments(program, &n->shape.dim[1], a->weight_split, device, &columns, &column_count, &err);
    Segment one = ok && row_count == 1 ? rows[0] : none;
    ok = ok && row_count == 1 && column_count == 1 && one.count == a->dim[0];
    if (ok && a->rank == 2) ok = columns[0].from == 0 && columns[0].count == width && n->shape.dim[1].size == width;
    free(rows);
    free(columns);
    return ok ? t->data + (size_t)(one.from * width) * (size_t)dtype_row(t->dtype)->block_bytes : NULL;
}

bool shard_fill(const Program *program, const LowerArgument *a, const WeightTensor *t, int device, void *out,
                Err *err) {
    const Node *n = &program->graph.nodes[a->node];
    DType type = wanted(a);
    size_t each = type == DTYPE_F32 ? 4 : 2;
    int last = a->rank - 1, row_count = 1, column_count = 0;
    Segment one = {0, 0, 1}, *rows = &one, *columns = NULL;
    int64_t width = a->dim[last];
    bool ok = shard_segments(program, &n->shape.dim[last], a->weight_split, device, &columns, &column_count, err);
    if (ok && a->rank == 2)
        ok = shard_segments(program, &n->shape.dim[0], a->weight_split, device, &rows, &row_count, err);
    float *work = ok ? mem_new((size_t)n->shape.dim[last].size + 1024, sizeof *work, n->name, err) : NULL;
    for (int r = 0; work && r < row_count; r++)
        for (int64_t i = 0; i < rows[r].count; i++)
            for (int c = 0; c < column_count; c++) {
                uint8_t *to = (uint8_t *)out + (size_t)((rows[r].to + i) * width + columns[c].to) * each;
                if (a->rank == 2) {
                    read_part(t, weights_row(t, rows[r].from + i), columns[c].from, columns[c].count, type, work, to);
                } else if (!t->permuted_heads) {
                    read_part(t, t->data, columns[c].from, columns[c].count, type, work, to);
                } else {
                    for (int64_t e = 0; e < columns[c].count; e++)
                        read_part(t, weights_row(t, columns[c].from + e), 0, 1, type, work, to + (size_t)e * each);
                }
            }
    ok = work != NULL;
    free(work);
    free(columns);
    if (rows != &one) free(rows);
    return ok;
}
