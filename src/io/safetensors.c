/* safetensors.c: one file read: u64 length of the header, JSON header, data. Nothing is believed before a check. */
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "safetensors.h"

enum { HEADER_LIMIT = 100000000, TENSOR_LIMIT = 1000000, RANK_LIMIT = 8 };

static bool dtype_of(const char *name, DType *out) {
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (dtype_rows[t].safetensors && !strcmp(dtype_rows[t].safetensors, name)) return *out = (DType)t, true;
    return false;
}

/* An array of non-negative integers; count on success, -1 on error. */
static int read_integers(const json_t *array, int limit, int64_t *out, const char *where, const char *what, Err *err) {
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count > (size_t)limit)
        return err_set(err, "%s: %s: expected an array of at most %d integers", where, what, limit), -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return err_set(err, "%s: %s: item %zu: expected an integer >= 0", where, what, i), -1;
        out[i] = json_integer_value(item);
    }
    return (int)count;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} */
static bool read_tensor(SafeTensor *t, const json_t *entry, const char *where, const uint8_t *data, size_t bytes,
                        Err *err) {
    const char *dtype = NULL;
    int64_t offsets[2], elements = 1;
    size_t need;
    if (!json_get_text(entry, "dtype", where, &dtype, err)) return false;
    if (!dtype) return err_set(err, "%s: dtype is missing", where);
    if (!dtype_of(dtype, &t->dtype))
        return err_set(err, "%s: dtype %s is not supported (F32, F16, BF16, F64, BOOL and integers are)", where,
                       name_text(dtype, strlen(dtype)).text);
    t->rank = read_integers(json_object_get(entry, "shape"), RANK_LIMIT, t->dim, where, "shape", err);
    if (t->rank < 0) return false;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(elements, t->dim[i], &elements))
            return err_as(err, QM_LIMIT, "%s: shape: the number of elements does not fit 63 bits", where);
    if (!dtype_bytes(t->dtype, elements, &need))
        return err_set(err, "%s: the number of bytes does not fit 64 bits", where);
    int n = read_integers(json_object_get(entry, "data_offsets"), 2, offsets, where, "data_offsets", err);
    if (n < 0) return false;
    if (n != 2) return err_set(err, "%s: data_offsets: expected 2 integers, got %d", where, n);
    if (offsets[0] > offsets[1] || (uint64_t)offsets[1] > bytes)
        return err_set(err, "%s: data_offsets [%lld, %lld] do not lie inside the %zu bytes of data", where,
                       (long long)offsets[0], (long long)offsets[1], bytes);
    t->bytes = (size_t)(offsets[1] - offsets[0]);
    if (t->bytes != need)
        return err_set(err, "%s: %s of this shape needs %zu bytes, data_offsets give %zu", where, dtype, need,
                       t->bytes);
    t->data = data + offsets[0];
    return true;
}

static int compare_place(const void *left, const void *right) {
    const SafeTensor *a = left, *b = right;
    if (a->data != b->data) return a->data < b->data ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Sorts by place; the tensors must follow each other without overlap or hole from the first byte to the last. */
static bool check_cover(SafeTensors *st, const char *path, const uint8_t *data, size_t bytes, Err *err) {
    qsort(st->tensors, (size_t)st->count, sizeof *st->tensors, compare_place);
    size_t at = 0;
    for (int64_t i = 0; i < st->count; i++) {
        const SafeTensor *t = &st->tensors[i];
        size_t begin = (size_t)(t->data - data);
        if (begin != at)
            return err_set(err, "%s: tensor %s: %s: expected its data at byte %zu of the data, got %zu", path,
                           name_text(t->name, strlen(t->name)).text,
                           begin < at ? "overlaps another tensor" : "leaves a hole before it", at, begin);
        at += t->bytes;
    }
    return at == bytes || err_set(err, "%s: the tensors cover %zu bytes of data, the file has %zu", path, at, bytes);
}

static bool check_metadata(const json_t *metadata, const char *path, Err *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return err_set(err, "%s: __metadata__: expected an object", path);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
        if (!json_is_string(value))
            return err_set(err, "%s: __metadata__: %s: expected a string", path, name_text(key, strlen(key)).text);
    return true;
}

static bool read_header(SafeTensors *st, json_t *header, const uint8_t *data, size_t bytes, const char *path,
                        Err *err) {
    size_t count = json_object_size(header);
    if (!json_is_object(header)) return err_set(err, "%s: header: expected a JSON object", path);
    if (count > TENSOR_LIMIT) return err_as(err, QM_LIMIT, "%s: %zu tensors, expected at most %d", path, count,
                                            TENSOR_LIMIT);
    st->tensors = arena_new(&st->arena, count, sizeof *st->tensors, "list of tensors", err);
    st->index = arena_new(&st->arena, count, sizeof *st->index, "index of tensors", err);
    if (!st->tensors || !st->index) return false;
    const char *key;
    json_t *entry;
    json_object_foreach(header, key, entry) {
        if (!strcmp(key, "__metadata__")) {
            if (!check_metadata(entry, path, err)) return false;
            continue;
        }
        SafeTensor *t = &st->tensors[st->count++];
        char where[sizeof(NameText) + 16];
        snprintf(where, sizeof where, "tensor %s", name_text(key, strlen(key)).text);
        if (!(t->name = arena_text(&st->arena, key, strlen(key), err))) return false;
        if (!read_tensor(t, entry, where, data, bytes, err)) {
            err_prefix(err, "%s", path);
            return false;
        }
    }
    if (!check_cover(st, path, data, bytes, err)) return false;
    for (int64_t i = 0; i < st->count; i++)
        st->index[i] = (Name){st->tensors[i].name, strlen(st->tensors[i].name), i};
    names_sort(st->index, st->count); /* duplicates were refused by the JSON reader */
    return true;
}

bool safetensors_parse(SafeTensors *st, const uint8_t *data, size_t bytes, const char *path, Err *err) {
    *st = (SafeTensors){0};
    uint64_t length;
    if (bytes < sizeof length) return err_set(err, "%s: %zu bytes are too few for a safetensors file", path, bytes);
    memcpy(&length, data, sizeof length);
    data += sizeof length;
    bytes -= sizeof length;
    if (length > HEADER_LIMIT)
        return err_as(err, QM_LIMIT, "%s: not a safetensors file: header length %llu, expected at most %d", path,
                      (unsigned long long)length, HEADER_LIMIT);
    if (length > bytes)
        return err_set(err, "%s is cut short: a header of %llu bytes, but only %zu bytes follow", path,
                       (unsigned long long)length, bytes);
    if (length == 0 || data[0] != '{') return err_set(err, "%s: header: expected '{' as its first byte", path);
    char where[1024];
    snprintf(where, sizeof where, "%s: header", path);
    json_t *header = json_text((const char *)data, (size_t)length, where, err);
    bool ok = header && read_header(st, header, data + length, bytes - (size_t)length, path, err);
    json_decref(header);
    if (!ok) safetensors_close(st);
    return ok;
}

bool safetensors_is(const uint8_t *data, size_t bytes) {
    return bytes > 8 && data[8] == '{' && !data[7] && !data[6];
}

bool safetensors_open(SafeTensors *st, const char *path, Err *err) {
    *st = (SafeTensors){0};
    MappedFile file;
    if (!file_map(&file, path, err)) return false;
    if (!safetensors_parse(st, file.data, file.bytes, path, err)) return file_unmap(&file), false;
    st->file = file;
    return true;
}

void safetensors_close(SafeTensors *st) {
    arena_free(&st->arena);
    file_unmap(&st->file);
    *st = (SafeTensors){0};
}

const SafeTensor *safetensors_find(const SafeTensors *st, const char *name) {
    int64_t i = names_find(st->index, st->count, name, strlen(name));
    return i < 0 ? NULL : &st->tensors[i];
}
