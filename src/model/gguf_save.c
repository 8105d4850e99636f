/* gguf_save.c: see gguf_save.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/quant_write.h"
#include "gguf_keys.h"
#include "gguf_save.h"

/* general.file_type: enum llama_ftype of llama.h. */
static int file_type(DType dtype) {
    return dtype == DTYPE_F32 ? 0 : dtype == DTYPE_F16 ? 1 : dtype == DTYPE_Q4_0 ? 2 : dtype == DTYPE_Q8_0 ? 7 : 32;
}

/* A tensor on its way. */
typedef struct Sent {
    const SaveTensor *tensor;
    GgufOutput *out;
    char name[128];
    RowHeads rows;
    DType dtype;
    uint8_t *packed;  /* of as many rows as come at once */
    size_t room;
    float *all;       /* of a permuted tensor: rows so far */
    int64_t done;
} Sent;

static DType type_of(const ModelSave *s, const SaveTensor *t) {
    const Family *f = family_of(s->config);
    DType type = t->rank == 1 ? DTYPE_F32 : s->dtype;
    if (type == DTYPE_Q4_0 && (!strcmp(t->name, f->embedding) || !strcmp(t->name, f->head))) type = DTYPE_Q8_0;
    return t->rank == 2 && t->dim[1] % dtype_row(type)->block ? DTYPE_F16 : type;
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

static bool send(Sent *s, const float *numbers, int64_t rows, int64_t columns, Err *err) {
    size_t row;
    if (!dtype_bytes(s->dtype, columns, &row)) return err_as(err, QM_INTERNAL, "%s: no whole blocks", s->name);
    if (!mem_grow((void **)&s->packed, &s->room, row * (size_t)rows, 1, s->name, err)) return false;
    if (!dtype_write(s->dtype, numbers, rows * columns, s->packed))
        return err_set(err,
                       "tensor %s cannot be written as %s: expected finite numbers whose scale is in the range of f16",
                       s->tensor->name, dtype_row(s->dtype)->name);
    return gguf_writer_data(s->out, s->packed, row * (size_t)rows, err);
}

static bool take_rows(void *owner, const float *numbers, int64_t rows, int64_t columns, Err *err) {
    Sent *s = owner;
    if (!s->all) return send(s, numbers, rows, columns, err);
    memcpy(s->all + s->done * columns, numbers, (size_t)(rows * columns) * sizeof *numbers);
    s->done += rows;
    return true;
}

/* Row 2 i + j of a head is row j * half + i of Hugging Face's (weights_row undoes it). */
static bool send_permuted(Sent *s, int64_t heads, Err *err) {
    int64_t columns = s->tensor->rank > 1 ? s->tensor->dim[1] : 1, rows = s->tensor->dim[0], of = rows / heads;
    if (rows % (2 * heads))
        return err_set(err, "tensor %s: %lld rows are no pairs of rows for %lld heads", s->tensor->name,
                       (long long)rows, (long long)heads);
    float *turned = mem_new((size_t)(rows * columns), sizeof *turned, s->name, err);
    bool ok = turned && (s->all = mem_new((size_t)(rows * columns), sizeof *s->all, s->name, err)) &&
              save_rows(s->tensor, take_rows, s, err);
    for (int64_t r = 0; ok && r < rows; r++) {
        int64_t head = r / of, in = r % of;
        memcpy(turned + r * columns, s->all + (head * of + in % 2 * (of / 2) + in / 2) * columns,
               (size_t)columns * sizeof *turned);
    }
    ok = ok && send(s, turned, rows, columns, err);
    free(turned);
    free(s->all);
    s->all = NULL;
    return ok;
}

static bool send_tensor(Sent *s, const ModelConfig *c, Err *err) {
    bool ok = s->rows == ROWS_PLAIN ? save_rows(s->tensor, take_rows, s, err)
                                    : send_permuted(s, s->rows == ROWS_OF_HEADS ? c->heads : c->kv_heads, err);
    free(s->packed);
    return ok;
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static bool declare(const ModelSave *save, GgufOutput *out, Sent *list, Err *err) {
    const TensorNames *names = family_of(save->config)->names;
    for (int64_t i = 0; i < save->count; i++) {
        Sent *s = &list[i];
        const SaveTensor *t = &save->tensors[i];
        *s = (Sent){.tensor = t, .out = out, .dtype = type_of(save, t)};
        if (!tensor_gguf_name(names, t->name, s->name, &s->rows))
            return err_set(err, "tensor %s has no name in GGUF", name_text(t->name, strlen(t->name)).text);
        if (save_elements(t, err) < 0 || !gguf_writer_tensor(out, s->name, s->dtype, t->rank, t->dim, err))
            return false;
    }
    return true;
}

bool gguf_save(const ModelSave *save, const char *path, Err *err) {
    float divisors[MAX_HEAD_DIM / 2];
    const Rope *rope = &save->config->rope;
    bool divided = gguf_rope_divisors(rope, divisors);
    if (!dtype_writable(save->dtype))
        return err_as(err, QM_USAGE, "expected f32, f16, bf16, q8_0 or q4_0, got %s", dtype_row(save->dtype)->name);
    GgufOutput *out = gguf_writer_new(err);
    Sent *list = out ? mem_new((size_t)save->count + 1, sizeof *list, "tensors", err) : NULL;
    bool ok = list && gguf_keys(save, out, err);
    if (ok) gguf_writer_u32(out, "general.file_type", (uint32_t)file_type(save->dtype));
    if (ok) gguf_writer_u32(out, "general.quantization_version", 2);
    ok = ok &&
         (!divided || gguf_writer_tensor(out, "rope_freqs.weight", DTYPE_F32, 1, (int64_t[]){rope->dim / 2}, err)) &&
         declare(save, out, list, err) && gguf_writer_begin(out, path, err) &&
         (!divided || gguf_writer_data(out, divisors, (size_t)(rope->dim / 2) * sizeof *divisors, err));
    for (int64_t i = 0; ok && i < save->count; i++) ok = send_tensor(&list[i], save->config, err);
    free(list);
    return gguf_writer_end(out, ok, err);
}
