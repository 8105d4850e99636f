/* gguf.c: a GGUF file read. Magic, version, counts; keys with values; tensor infos; padding; data. Every count and
 * length is held against the bytes that are left before anything is allocated or skipped. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "gguf.h"

enum {
    KEY_LIMIT = 65535, NAME_LIMIT = 64,  /* bytes, as the format says                                                */
    VALUE_BYTES = 8 + 1 + 4 + 1,         /* least bytes of a key with its value: length, 1 letter, type, 1 byte      */
    TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 /* of a tensor info: length, 1 letter, rank, 1 dimension, type, offset      */
};

static const struct { const char *name; size_t bytes; } value_types[] = {
    [GGUF_U8] = {"u8", 1},   [GGUF_I8] = {"i8", 1},   [GGUF_U16] = {"u16", 2},      [GGUF_I16] = {"i16", 2},
    [GGUF_U32] = {"u32", 4}, [GGUF_I32] = {"i32", 4}, [GGUF_F32] = {"f32", 4},      [GGUF_BOOL] = {"bool", 1},
    [GGUF_U64] = {"u64", 8}, [GGUF_I64] = {"i64", 8}, [GGUF_F64] = {"f64", 8},
    [GGUF_STRING] = {"string", 0},                    [GGUF_ARRAY] = {"array", 0},
};
enum { TYPE_COUNT = sizeof value_types / sizeof *value_types };

/* What is left of the file, and the file's name for messages. */
typedef struct Cursor { const uint8_t *at; size_t left; const char *path; } Cursor;

static const uint8_t *take(Cursor *c, uint64_t bytes, const char *what, Err *err) {
    if (bytes > c->left) {
        err_set(err, "%s is cut short or damaged: %s needs %llu bytes, %zu are left", c->path, what,
                (unsigned long long)bytes, c->left);
        return NULL;
    }
    const uint8_t *p = c->at;
    c->at += bytes;
    c->left -= (size_t)bytes;
    return p;
}

static bool take_u32(Cursor *c, uint32_t *out, const char *what, Err *err) {
    const uint8_t *p = take(c, sizeof *out, what, err);
    if (p) memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool take_u64(Cursor *c, uint64_t *out, const char *what, Err *err) {
    const uint8_t *p = take(c, sizeof *out, what, err);
    if (p) memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool take_text(Cursor *c, GgufText *out, const char *what, Err *err) {
    uint64_t bytes;
    const uint8_t *p;
    if (!take_u64(c, &bytes, what, err) || !(p = take(c, bytes, what, err))) return false;
    *out = (GgufText){(const char *)p, (size_t)bytes};
    return true;
}

/* A key or a tensor name: 1..limit bytes. */
static bool take_name(Cursor *c, GgufText *out, size_t limit, const char *what, Err *err) {
    if (!take_text(c, out, what, err)) return false;
    if (out->bytes >= 1 && out->bytes <= limit) return true;
    return err_set(err, "%s: %s: expected 1 to %zu bytes, got %zu", c->path, what, limit, out->bytes);
}

static bool take_bools(Cursor *c, uint64_t count, const char *what, Err *err) {
    const uint8_t *p = take(c, count, what, err);
    for (uint64_t i = 0; p && i < count; i++)
        if (p[i] > 1) return err_set(err, "%s: %s: expected a bool of 0 or 1, got %d", c->path, what, p[i]);
    return p != NULL;
}

/* `count` items of one type. A string takes 8 bytes at least, so a false count ends with the file. */
static bool take_items(Cursor *c, uint32_t type, uint64_t count, const char *what, Err *err) {
    size_t bytes;
    if (type == GGUF_BOOL) return take_bools(c, count, what, err);
    if (type != GGUF_STRING) {
        if (!size_mul((size_t)count, value_types[type].bytes, &bytes)) bytes = SIZE_MAX; /* more than any file has */
        return take(c, bytes, what, err) != NULL;
    }
    GgufText text;
    for (uint64_t i = 0; i < count; i++)
        if (!take_text(c, &text, what, err)) return false;
    return true;
}

static bool known_type(const Cursor *c, uint32_t type, const char *what, Err *err) {
    return type < TYPE_COUNT || err_set(err, "%s: %s has unknown value type %u", c->path, what, type);
}

static bool take_value(Cursor *c, GgufValue *v, uint64_t i, Err *err) {
    char what[sizeof(NameText) + 32];
    uint32_t type, item = 0;
    snprintf(what, sizeof what, "key %llu", (unsigned long long)i);
    if (!take_name(c, &v->key, KEY_LIMIT, what, err)) return false;
    snprintf(what, sizeof what, "key %s", name_text(v->key.data, v->key.bytes).text);
    if (!take_u32(c, &type, what, err) || !known_type(c, type, what, err)) return false;
    v->type = v->item_type = (GgufType)type;
    v->count = 1;
    if (type == GGUF_ARRAY) {
        if (!take_u32(c, &item, what, err) || !known_type(c, item, what, err)) return false;
        if (item == GGUF_ARRAY)
            return err_set(err, "%s: %s is an array of arrays, which is not supported", c->path, what);
        if (!take_u64(c, &v->count, what, err)) return false;
        v->item_type = (GgufType)item;
    }
    v->data = c->at;
    if (!take_items(c, (uint32_t)v->item_type, v->count, what, err)) return false;
    v->bytes = (size_t)(c->at - v->data);
    return true;
}

static bool dtype_of(uint32_t number, DType *out) {
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (dtype_rows[t].gguf >= 0 && (uint32_t)dtype_rows[t].gguf == number) return *out = (DType)t, true;
    return false;
}

static void list_types(char *out, size_t bytes) {
    size_t used = 0;
    for (int t = 0; t < DTYPE_COUNT && used < bytes; t++)
        if (dtype_rows[t].gguf >= 0 && dtype_rows[t].read)
            used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", dtype_rows[t].name);
}

/* Name, rank, dimensions (innermost first), type, offset. `data` holds the offset until the data section is known. */
static bool take_tensor(Cursor *c, GgufTensor *t, uint64_t i, uint64_t *offset, Err *err) {
    char what[sizeof(NameText) + 32], types[160] = "";
    uint32_t rank, type;
    int64_t elements = 1;
    snprintf(what, sizeof what, "tensor %llu", (unsigned long long)i);
    if (!take_name(c, &t->name, NAME_LIMIT, what, err)) return false;
    snprintf(what, sizeof what, "tensor %s", name_text(t->name.data, t->name.bytes).text);
    if (!take_u32(c, &rank, what, err)) return false;
    if (rank < 1 || rank > 4) return err_set(err, "%s: %s: expected 1 to 4 dimensions, got %u", c->path, what, rank);
    t->rank = (int)rank;
    for (int d = t->rank - 1; d >= 0; d--) {
        uint64_t n;
        if (!take_u64(c, &n, what, err)) return false;
        if (n < 1 || n > INT64_MAX)
            return err_set(err, "%s: %s: a dimension is %llu, expected 1 to 2^63 - 1", c->path, what,
                           (unsigned long long)n);
        t->dim[d] = (int64_t)n;
        if (__builtin_mul_overflow(elements, t->dim[d], &elements))
            return err_as(err, QM_LIMIT, "%s: %s: the number of elements does not fit 63 bits", c->path, what);
    }
    if (!take_u32(c, &type, what, err) || !take_u64(c, offset, what, err)) return false;
    if (!dtype_of(type, &t->dtype)) {
        list_types(types, sizeof types);
        return err_set(err, "%s: %s: tensor type %u is not supported (%s are)", c->path, what, type, types);
    }
    int block = dtype_row(t->dtype)->block;
    if (t->dim[t->rank - 1] % block)
        return err_set(err, "%s: %s: rows of %lld elements are no whole blocks of %d (%s)", c->path, what,
                       (long long)t->dim[t->rank - 1], block, dtype_row(t->dtype)->name);
    return dtype_bytes(t->dtype, elements, &t->bytes) ||
           err_set(err, "%s: %s: the number of bytes does not fit 64 bits", c->path, what);
}

/* Magic, version and the two counts. */
static bool take_header(Cursor *c, Gguf *gguf, Err *err) {
    const uint8_t *magic = take(c, 4, "the magic", err);
    if (!magic) return false;
    if (memcmp(magic, "GGUF", 4) != 0)
        return err_set(err, "%s is not a GGUF file: it begins with %02x %02x %02x %02x, expected \"GGUF\"", c->path,
                       magic[0], magic[1], magic[2], magic[3]);
    if (!take_u32(c, &gguf->version, "the version", err)) return false;
    if (gguf->version != 2 && gguf->version != 3)
        return gguf->version != 0 && (gguf->version & 0xffff) == 0
                   ? err_set(err, "%s: big-endian GGUF files are not supported", c->path)
                   : err_set(err, "%s: GGUF version %u is not supported, versions 2 and 3 are", c->path, gguf->version);
    if (!take_u64(c, &gguf->tensor_count, "the number of tensors", err) ||
        !take_u64(c, &gguf->value_count, "the number of keys", err))
        return false;
    if (gguf->value_count > c->left / VALUE_BYTES || gguf->tensor_count > c->left / TENSOR_BYTES)
        return err_set(err, "%s is cut short or damaged: %llu keys and %llu tensors do not fit in the %zu bytes left",
                       c->path, (unsigned long long)gguf->value_count, (unsigned long long)gguf->tensor_count, c->left);
    return true;
}

static bool take_values(Cursor *c, Gguf *gguf, Err *err) {
    gguf->values = arena_new(&gguf->arena, (size_t)gguf->value_count, sizeof *gguf->values, "list of keys", err);
    gguf->keys = arena_new(&gguf->arena, (size_t)gguf->value_count, sizeof *gguf->keys, "index of keys", err);
    if (!gguf->values || !gguf->keys) return false;
    for (uint64_t i = 0; i < gguf->value_count; i++) {
        GgufValue *v = &gguf->values[i];
        if (!take_value(c, v, i, err)) return false;
        gguf->keys[i] = (Name){v->key.data, v->key.bytes, (int64_t)i};
    }
    names_sort(gguf->keys, (int64_t)gguf->value_count);
    const Name *twin = names_twin(gguf->keys, (int64_t)gguf->value_count);
    return !twin || err_set(err, "%s: key %s stands twice", c->path, name_text(twin->data, twin->bytes).text);
}

static bool take_alignment(const Gguf *gguf, const char *path, uint64_t *out, Err *err) {
    int64_t n = 32;
    if (gguf_find(gguf, "general.alignment") && !gguf_int(gguf, "general.alignment", &n, err)) {
        err_prefix(err, "%s", path);
        return false;
    }
    if (n < 8 || n > 65536 || (n & (n - 1)) != 0)
        return err_set(err, "%s: general.alignment: expected a power of two from 8 to 65536, got %lld", path,
                       (long long)n);
    *out = (uint64_t)n;
    return true;
}

static int compare_place(const void *left, const void *right) {
    const GgufTensor *const *a = left, *const *b = right;
    return ((*a)->data > (*b)->data) - ((*a)->data < (*b)->data);
}

/* Sorted by place, each tensor must end before the next begins. */
static bool check_overlap(Gguf *gguf, const char *path, Err *err) {
    size_t count = (size_t)gguf->tensor_count;
    const GgufTensor **sorted = mem_new(count, sizeof *sorted, "order of tensors", err);
    if (!sorted) return false;
    for (size_t i = 0; i < count; i++) sorted[i] = &gguf->tensors[i];
    qsort(sorted, count, sizeof *sorted, compare_place);
    bool ok = true;
    for (size_t i = 1; ok && i < count; i++) {
        const GgufTensor *a = sorted[i - 1], *b = sorted[i];
        if ((size_t)(b->data - a->data) < a->bytes)
            ok = err_set(err, "%s: tensors %s and %s overlap", path, name_text(a->name.data, a->name.bytes).text,
                         name_text(b->name.data, b->name.bytes).text);
    }
    free(sorted);
    return ok;
}

/* Turns offsets into addresses; `offset` has one per tensor. */
static bool place_tensors(Cursor *c, Gguf *gguf, const uint8_t *start, const uint64_t *offset, Err *err) {
    uint64_t alignment = 0;
    if (!take_alignment(gguf, c->path, &alignment, err)) return false;
    if (gguf->tensor_count == 0) return true; /* a vocabulary alone need not be padded */
    if (!take(c, -(uint64_t)(c->at - start) & (alignment - 1), "the padding before the data", err)) return false;
    for (uint64_t i = 0; i < gguf->tensor_count; i++) {
        GgufTensor *t = &gguf->tensors[i];
        NameText name = name_text(t->name.data, t->name.bytes);
        if (offset[i] % alignment)
            return err_set(err, "%s: tensor %s: offset %llu is no multiple of %llu", c->path, name.text,
                           (unsigned long long)offset[i], (unsigned long long)alignment);
        if (offset[i] > c->left || t->bytes > c->left - (size_t)offset[i])
            return err_set(
                err, "%s is cut short or damaged: tensor %s needs %zu bytes from byte %llu of the data, %zu are there",
                c->path, name.text, t->bytes, (unsigned long long)offset[i], c->left);
        t->data = c->at + offset[i];
    }
    return check_overlap(gguf, c->path, err);
}

static bool take_tensors(Cursor *c, Gguf *gguf, const uint8_t *start, Err *err) {
    size_t count = (size_t)gguf->tensor_count;
    gguf->tensors = arena_new(&gguf->arena, count, sizeof *gguf->tensors, "list of tensors", err);
    gguf->names = arena_new(&gguf->arena, count, sizeof *gguf->names, "index of tensors", err);
    uint64_t *offset = mem_new(count, sizeof *offset, "offsets of tensors", err);
    bool ok = gguf->tensors && gguf->names && offset;
    for (size_t i = 0; ok && i < count; i++) {
        GgufTensor *t = &gguf->tensors[i];
        ok = take_tensor(c, t, i, &offset[i], err);
        gguf->names[i] = (Name){t->name.data, t->name.bytes, (int64_t)i};
    }
    if (ok) {
        names_sort(gguf->names, (int64_t)count);
        const Name *twin = names_twin(gguf->names, (int64_t)count);
        if (twin) ok = err_set(err, "%s: tensor %s stands twice", c->path, name_text(twin->data, twin->bytes).text);
    }
    ok = ok && place_tensors(c, gguf, start, offset, err);
    free(offset);
    return ok;
}

bool gguf_parse(Gguf *gguf, const uint8_t *data, size_t bytes, const char *path, Err *err) {
    *gguf = (Gguf){0};
    Cursor c = {data, bytes, path};
    if (take_header(&c, gguf, err) && take_values(&c, gguf, err) && take_tensors(&c, gguf, data, err)) return true;
    gguf_close(gguf);
    return false;
}

bool gguf_open(Gguf *gguf, const char *path, Err *err) {
    *gguf = (Gguf){0};
    MappedFile file;
    if (!file_map(&file, path, err)) return false;
    if (!gguf_parse(gguf, file.data, file.bytes, path, err)) return file_unmap(&file), false;
    gguf->file = file;
    return true;
}

void gguf_close(Gguf *gguf) {
    arena_free(&gguf->arena);
    file_unmap(&gguf->file);
    *gguf = (Gguf){0};
}

/* ---- Reading values --------------------------------------------------------------------------------------------- */

const GgufValue *gguf_find(const Gguf *gguf, const char *key) {
    int64_t i = names_find(gguf->keys, (int64_t)gguf->value_count, key, strlen(key));
    return i < 0 ? NULL : &gguf->values[i];
}

const GgufTensor *gguf_tensor(const Gguf *gguf, const char *name) {
    int64_t i = names_find(gguf->names, (int64_t)gguf->tensor_count, name, strlen(name));
    return i < 0 ? NULL : &gguf->tensors[i];
}

static const GgufValue *find_or_error(const Gguf *gguf, const char *key, Err *err) {
    const GgufValue *v = gguf_find(gguf, key);
    if (!v) err_set(err, "GGUF key %s is missing", key);
    return v;
}

static bool wrong_type(const GgufValue *v, const char *key, const char *expected, Err *err) {
    return err_set(err, "GGUF key %s: expected %s, got %s", key, expected, value_types[v->type].name);
}

/* Item i as an integer; false if it is none, or over 2^63 - 1. */
static bool integer_at(const GgufValue *v, uint64_t i, int64_t *out) {
    uint64_t u = 0;
    size_t bytes = value_types[v->item_type].bytes;
    memcpy(&u, v->data + i * bytes, bytes);
    switch (v->item_type) {
    case GGUF_U8: case GGUF_U16: case GGUF_U32: *out = (int64_t)u; return true;
    case GGUF_I8: *out = (int8_t)u; return true;
    case GGUF_I16: *out = (int16_t)u; return true;
    case GGUF_I32: *out = (int32_t)u; return true;
    case GGUF_I64: *out = (int64_t)u; return true;
    case GGUF_U64: *out = (int64_t)u; return u <= INT64_MAX;
    default: return false;
    }
}

bool gguf_int(const Gguf *gguf, const char *key, int64_t *out, Err *err) {
    const GgufValue *v = find_or_error(gguf, key, err);
    if (!v) return false;
    for (uint64_t i = 0; i < v->count; i++) {
        int64_t item;
        if (!integer_at(v, i, &item))
            return v->item_type == GGUF_U64 ? err_as(err, QM_LIMIT, "GGUF key %s: expected at most 2^63 - 1", key)
                                            : wrong_type(v, key, "an integer", err);
        if (i > 0 && item != *out)
            return err_set(err, "GGUF key %s: expected the same value for all layers, got %lld and %lld", key,
                           (long long)*out, (long long)item);
        *out = item;
    }
    return v->count > 0 || err_set(err, "GGUF key %s: expected an integer, got an empty array", key);
}

bool gguf_float(const Gguf *gguf, const char *key, double *out, Err *err) {
    const GgufValue *v = find_or_error(gguf, key, err);
    float f;
    int64_t n;
    if (!v) return false;
    if (v->type == GGUF_F64) memcpy(out, v->data, sizeof *out);
    else if (v->type == GGUF_F32) memcpy(&f, v->data, sizeof f), *out = (double)f;
    else if (v->type != GGUF_ARRAY && integer_at(v, 0, &n)) *out = (double)n;
    else return wrong_type(v, key, "a number", err);
    return true;
}

bool gguf_bool(const Gguf *gguf, const char *key, bool *out, Err *err) {
    const GgufValue *v = find_or_error(gguf, key, err);
    if (!v) return false;
    if (v->type != GGUF_BOOL) return wrong_type(v, key, "bool", err);
    *out = v->data[0] != 0;
    return true;
}

bool gguf_text(const Gguf *gguf, const char *key, GgufText *out, Err *err) {
    const GgufValue *v = find_or_error(gguf, key, err);
    if (!v) return false;
    if (v->type != GGUF_STRING) return wrong_type(v, key, "string", err);
    const uint8_t *cursor = v->data;
    return gguf_next_text(v, &cursor, out);
}

bool gguf_next_text(const GgufValue *value, const uint8_t **cursor, GgufText *out) {
    uint64_t bytes;
    if (value->item_type != GGUF_STRING || *cursor == value->data + value->bytes) return false;
    memcpy(&bytes, *cursor, sizeof bytes);
    *out = (GgufText){(const char *)*cursor + sizeof bytes, (size_t)bytes};
    *cursor += sizeof bytes + (size_t)bytes;
    return true;
}

/* ---- Finding files ---------------------------------------------------------------------------------------------- */

static bool ends_with_gguf(const char *path) {
    size_t n = strlen(path);
    return n > 5 && !strcmp(path + n - 5, ".gguf");
}

bool gguf_in_folder(const char *folder, char **path, Err *err) {
    DIR *dir = opendir(folder);
    char *found = NULL;
    bool ok = true;
    *path = NULL;
    if (!dir) return true;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (!ends_with_gguf(entry->d_name)) continue;
        char *next = path_join(folder, entry->d_name, err);
        ok = next && !found;
        if (next && found)
            err_set(err, "%s holds several .gguf files (%s and %s): name one", folder, found, next);
        if (ok) found = next;
        else free(next);
    }
    closedir(dir);
    if (ok) *path = found;
    else free(found);
    return ok;
}
