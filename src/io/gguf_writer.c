/* gguf_writer.c: see gguf_writer.h. Format: github.com/ggml-org/ggml, docs/gguf.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "gguf_writer.h"

struct GgufOutput {
    Text keys, infos;
    uint64_t key_count, tensor_count;
    size_t *bytes, room; /* of each tensor's data */
    uint64_t place;      /* where the next tensor's data would be */
    Output out;
    const char *path;
    uint64_t now;        /* the tensor whose data comes, and how much of it came */
    size_t done;
};

GgufOutput *gguf_writer_new(Err *err) { return mem_new(1, sizeof(GgufOutput), "GGUF writer", err); }

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static void put_u32(Text *out, uint32_t v) { text_add(out, (const char *)&v, sizeof v); }
static void put_u64(Text *out, uint64_t v) { text_add(out, (const char *)&v, sizeof v); }

void gguf_writer_item(Text *items, const char *data, size_t bytes) {
    put_u64(items, bytes);
    text_add(items, data, bytes);
}

static void key(GgufOutput *w, const char *name, size_t bytes, GgufType type) {
    gguf_writer_item(&w->keys, name, bytes);
    put_u32(&w->keys, (uint32_t)type);
    w->key_count++;
}

void gguf_writer_u32(GgufOutput *w, const char *name, uint32_t value) {
    key(w, name, strlen(name), GGUF_U32);
    put_u32(&w->keys, value);
}

void gguf_writer_f32(GgufOutput *w, const char *name, float value) {
    key(w, name, strlen(name), GGUF_F32);
    text_add(&w->keys, (const char *)&value, sizeof value);
}

void gguf_writer_bool(GgufOutput *w, const char *name, bool value) {
    key(w, name, strlen(name), GGUF_BOOL);
    text_add(&w->keys, value ? "\1" : "\0", 1);
}

void gguf_writer_text(GgufOutput *w, const char *name, const char *data, size_t bytes) {
    key(w, name, strlen(name), GGUF_STRING);
    gguf_writer_item(&w->keys, data, bytes);
}

void gguf_writer_array(GgufOutput *w, const char *name, GgufType item, uint64_t count, const Text *items) {
    key(w, name, strlen(name), GGUF_ARRAY);
    put_u32(&w->keys, (uint32_t)item);
    put_u64(&w->keys, count);
    text_add(&w->keys, items->data, items->bytes);
    w->keys.failed |= items->failed;
}

void gguf_writer_value(GgufOutput *w, const GgufValue *v) {
    key(w, v->key.data, v->key.bytes, v->type);
    if (v->type == GGUF_ARRAY) {
        put_u32(&w->keys, (uint32_t)v->item_type);
        put_u64(&w->keys, v->count);
    }
    text_add(&w->keys, (const char *)v->data, v->bytes);
}

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

bool gguf_writer_tensor(GgufOutput *w, const char *name, DType type, int rank, const int64_t *dim, Err *err) {
    int64_t elements = 1;
    size_t bytes;
    bool good = rank >= 1 && rank <= 4 && dtype_row(type)->gguf >= 0 && dim[rank - 1] % dtype_row(type)->block == 0;
    for (int i = 0; good && i < rank; i++) good = dim[i] > 0 && !__builtin_mul_overflow(elements, dim[i], &elements);
    if (!good || !dtype_bytes(type, elements, &bytes) || bytes > INT64_MAX - w->place)
        return err_set(err, "tensor %s cannot be written as %s", name_text(name, strlen(name)).text,
                       dtype_row(type)->name);
    if (!mem_grow((void **)&w->bytes, &w->room, w->tensor_count + 1, sizeof *w->bytes, "tensors", err)) return false;
    w->bytes[w->tensor_count++] = bytes;
    gguf_writer_item(&w->infos, name, strlen(name));
    put_u32(&w->infos, (uint32_t)rank);
    for (int i = rank; i-- > 0;) put_u64(&w->infos, (uint64_t)dim[i]); /* the file has the innermost first */
    put_u32(&w->infos, (uint32_t)dtype_row(type)->gguf);
    put_u64(&w->infos, w->place);
    w->place += (bytes + GGUF_WRITER_ALIGN - 1) / GGUF_WRITER_ALIGN * GGUF_WRITER_ALIGN;
    return true;
}

static bool put(GgufOutput *w, const void *data, size_t bytes, Err *err) {
    return !bytes || fwrite(data, 1, bytes, w->out.file) == bytes ||
           err_as(err, QM_IO, "cannot write %s: %s", w->path, strerror(errno));
}

static bool pad(GgufOutput *w, size_t bytes, Err *err) {
    static const char zeros[GGUF_WRITER_ALIGN];
    return put(w, zeros, (GGUF_WRITER_ALIGN - bytes % GGUF_WRITER_ALIGN) % GGUF_WRITER_ALIGN, err);
}

bool gguf_writer_begin(GgufOutput *w, const char *path, Err *err) {
    const uint32_t version = 3;
    size_t head = 4 + 4 + 8 + 8 + w->keys.bytes + w->infos.bytes;
    w->path = path;
    return text_ok(&w->keys, "keys", err) && text_ok(&w->infos, "tensors", err) && output_open(&w->out, path, err) &&
           put(w, "GGUF", 4, err) && put(w, &version, 4, err) && put(w, &w->tensor_count, 8, err) &&
           put(w, &w->key_count, 8, err) && put(w, w->keys.data, w->keys.bytes, err) &&
           put(w, w->infos.data, w->infos.bytes, err) && pad(w, head, err);
}

bool gguf_writer_data(GgufOutput *w, const void *data, size_t bytes, Err *err) {
    if (w->now >= w->tensor_count || bytes > w->bytes[w->now] - w->done)
        return err_as(err, QM_INTERNAL, "%s: more data than tensor %llu has", w->path, (unsigned long long)w->now);
    w->done += bytes;
    if (!put(w, data, bytes, err)) return false;
    if (w->done < w->bytes[w->now]) return true;
    w->done = 0;
    return pad(w, w->bytes[w->now++], err);
}

bool gguf_writer_end(GgufOutput *w, bool ok, Err *err) {
    if (!w) return false;
    if (ok && w->now < w->tensor_count)
        ok = err_as(err, QM_INTERNAL, "%s: %llu of %llu tensors were written", w->path, (unsigned long long)w->now,
                    (unsigned long long)w->tensor_count);
    ok = output_end(&w->out, ok, err);
    text_free(&w->keys);
    text_free(&w->infos);
    free(w->bytes);
    free(w);
    return ok;
}
