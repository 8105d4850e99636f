/* safewriter.c: one safetensors file written, tensor after tensor, so that no checkpoint need lie in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "json.h"
#include "safetensors.h"

struct SafeWriter {
    Output out;
    char *path;
    size_t declared, done; /* bytes of data */
    bool failed;
};

static void writer_free(SafeWriter *w) {
    output_close(&w->out);
    free(w->path);
    free(w);
}

/* Adds one tensor to the header, its data from byte w->declared on. */
static bool declare(SafeWriter *w, json_t *header, const SafeTensor *t, Err *err) {
    const char *dtype = dtype_row(t->dtype)->safetensors;
    int64_t elements = 1;
    size_t bytes, end;
    if (!dtype) return err_set(err, "%s: %s cannot be stored as %s", w->path, t->name, dtype_row(t->dtype)->name);
    json_t *shape = json_array();
    bool good = t->rank >= 0 && t->rank <= 8 && shape;
    for (int i = 0; good && i < t->rank; i++)
        good = t->dim[i] >= 0 && !__builtin_mul_overflow(elements, t->dim[i], &elements) &&
               json_array_append_new(shape, json_integer(t->dim[i])) == 0;
    if (!good || !dtype_bytes(t->dtype, elements, &bytes) || !size_add(w->declared, bytes, &end) || end > INT64_MAX) {
        json_decref(shape);
        return err_set(err, "%s: %s: its shape cannot be written", w->path, t->name);
    }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                              (json_int_t)w->declared, (json_int_t)end);
    if (json_object_get(header, t->name)) {
        json_decref(entry);
        return err_set(err, "%s: the tensor name %s is taken", w->path, t->name);
    }
    if (json_object_set_new(header, t->name, entry) != 0)
        return err_set(err, "%s: the tensor name %s cannot be written", w->path, t->name);
    w->declared = end;
    return true;
}

/* Length, header, and spaces that align the data to 8 bytes. */
static bool write_header(SafeWriter *w, const json_t *header, Err *err) {
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return err_as(err, QM_MEMORY, "out of memory: header of %s", w->path);
    size_t bytes = strlen(text), spaces = (8 - bytes % 8) % 8;
    uint64_t length = bytes + spaces;
    bool ok = fwrite(&length, sizeof length, 1, w->out.file) == 1 && fwrite(text, 1, bytes, w->out.file) == bytes &&
              fwrite("       ", 1, spaces, w->out.file) == spaces;
    free(text);
    return ok || err_as(err, QM_IO, "cannot write %s: %s", w->path, strerror(errno));
}

SafeWriter *safewriter_open(const char *path, const SafeTensor *tensors, int64_t count, Err *err) {
    SafeWriter *w = mem_new(1, sizeof *w, "safetensors writer", err);
    if (!w) return NULL;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt"); /* transformers asks for this key */
    bool ok = header && (w->path = strdup(path));
    if (!ok) err_as(err, QM_MEMORY, "out of memory: header of %s", path);
    for (int64_t i = 0; ok && i < count; i++) ok = declare(w, header, &tensors[i], err);
    ok = ok && output_open(&w->out, path, err);
    ok = ok && write_header(w, header, err);
    json_decref(header);
    if (ok) return w;
    writer_free(w);
    return NULL;
}

bool safewriter_data(SafeWriter *w, const void *data, size_t bytes, Err *err) {
    if (bytes > w->declared - w->done) {
        w->failed = true;
        return err_set(err, "%s: more data than the %zu bytes declared", w->path, w->declared);
    }
    if (bytes && fwrite(data, 1, bytes, w->out.file) != bytes) {
        w->failed = true;
        return err_as(err, QM_IO, "cannot write %s: %s", w->path, strerror(errno));
    }
    w->done += bytes;
    return true;
}

bool safewriter_close(SafeWriter *w, Err *err) {
    bool ok = !w->failed || err_set(err, "%s was not written", w->path);
    if (ok && w->done != w->declared)
        ok = err_set(err, "%s: %zu bytes of data written, %zu declared", w->path, w->done, w->declared);
    ok = ok && output_commit(&w->out, err);
    writer_free(w);
    return ok;
}
