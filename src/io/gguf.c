/* gguf.c: a GGUF file checked and indexed in one walk. Every count and length is compared with what is left of the file
 * before anything is allocated. */
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include "gguf.h"

enum { MIN_VALUE_BYTES = 8 + 4 + 1, MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8, MAX_ALIGNMENT = 1 << 20 };

typedef struct Cursor { const uint8_t *data; size_t bytes, at; const char *path; Err *err; } Cursor;

static bool take(Cursor *c, size_t n, const uint8_t **out, const char *what) {
    if (n > c->bytes - c->at)
        return err_set(c->err, "%s: %s at byte %zu needs %zu bytes, %zu are left", c->path, what, c->at, n, c->bytes - c->at);
    *out = c->data + c->at;
    c->at += n;
    return true;
}

static bool take_u32(Cursor *c, uint32_t *out, const char *what) {
    const uint8_t *p = NULL;
    if (!take(c, 4, &p, what)) return false;
    memcpy(out, p, 4);
    return true;
}

static bool take_u64(Cursor *c, uint64_t *out, const char *what) {
    const uint8_t *p = NULL;
    if (!take(c, 8, &p, what)) return false;
    memcpy(out, p, 8);
    return true;
}

static bool take_text(Cursor *c, GgufText *out, const char *what) {
    uint64_t n = 0;
    const uint8_t *p = NULL;
    if (!take_u64(c, &n, what) || !take(c, n, &p, what)) return false;
    *out = (GgufText){(const char *)p, n};
    return true;
}

static size_t type_bytes(uint32_t type) {
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof bytes ? bytes[type] : 0;
}

static bool take_items(Cursor *c, GgufValue *v) {
    if (v->item_type == GGUF_STRING) {
        const uint8_t *start = c->data + c->at;
        GgufText text;
        for (uint64_t i = 0; i < v->count; i++)
            if (!take_text(c, &text, "string")) return false;
        v->data = start;
        v->end = c->data + c->at;
        return true;
    }
    size_t each = type_bytes((uint32_t)v->item_type), whole;
    if (!each) return err_set(c->err, "%s: value type %d at byte %zu is unknown or nested", c->path, (int)v->item_type, c->at);
    if (!size_mul(v->count, each, &whole)) return err_set(c->err, "%s: array at byte %zu: length wraps", c->path, c->at);
    return take(c, whole, &v->data, "value");
}

static bool take_value(Cursor *c, GgufValue *v) {
    uint32_t type, item;
    if (!take_text(c, &v->key, "key") || !take_u32(c, &type, "value type")) return false;
    if (v->key.bytes == 0) return err_set(c->err, "%s: empty key at byte %zu", c->path, c->at);
    v->type = (GgufType)type;
    v->item_type = (GgufType)type;
    v->count = 1;
    if (type == GGUF_ARRAY) {
        if (!take_u32(c, &item, "array type") || !take_u64(c, &v->count, "array length")) return false;
        if (item == GGUF_ARRAY) return err_set(c->err, "%s: array of arrays at byte %zu is not supported", c->path, c->at);
        v->item_type = (GgufType)item;
        if (v->count > c->bytes) return err_set(c->err, "%s: array of %llu items in a file of %zu bytes", c->path, (unsigned long long)v->count, c->bytes);
    }
    return take_items(c, v);
}

static bool dtype_of_gguf(uint32_t type, DType *out) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtype_rows[i].gguf == (int)type) return *out = (DType)i, true;
    return false;
}

static bool take_tensor(Cursor *c, GgufTensor *t, uint64_t *offset) {
    uint32_t rank, type;
    if (!take_text(c, &t->name, "tensor name") || !take_u32(c, &rank, "rank")) return false;
    NameText name = name_text(t->name.data, t->name.bytes);
    if (rank < 1 || rank > 4) return err_set(c->err, "%s: tensor %s: expected 1 to 4 dimensions, got %u", c->path, name.text, rank);
    t->rank = (int)rank;
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t n;
        if (!take_u64(c, &n, "dimension")) return false;
        if (n < 1 || n > INT64_MAX || __builtin_mul_overflow(elements, (int64_t)n, &elements))
            return err_set(c->err, "%s: tensor %s: dimension %llu is 0 or wraps", c->path, name.text, (unsigned long long)n);
        t->dim[rank - 1 - i] = (int64_t)n;
    }
    if (!take_u32(c, &type, "tensor type") || !take_u64(c, offset, "tensor offset")) return false;
    if (!dtype_of_gguf(type, &t->dtype))
        return err_set(c->err, "%s: tensor %s: type number %u is not supported", c->path, name.text, type);
    if (t->dim[rank - 1] % dtype_row(t->dtype)->block || !dtype_bytes(t->dtype, elements, &t->bytes))
        return err_set(c->err, "%s: tensor %s: rows of %lld are no whole blocks of %s", c->path, name.text,
                       (long long)t->dim[rank - 1], dtype_row(t->dtype)->name);
    return true;
}

static int by_data(const void *a, const void *b) {
    const GgufTensor *x = *(GgufTensor *const *)a, *y = *(GgufTensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static bool no_overlap(Gguf *g, const char *path, Err *err) {
    GgufTensor **order = arena_new(&g->arena, g->tensor_count, sizeof *order, "tensor order", err);
    if (!order) return false;
    for (uint64_t i = 0; i < g->tensor_count; i++) order[i] = &g->tensors[i];
    qsort(order, g->tensor_count, sizeof *order, by_data);
    for (uint64_t i = 1; i < g->tensor_count; i++)
        if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
            return err_set(err, "%s: tensors %s and %s overlap", path, name_text(order[i - 1]->name.data, order[i - 1]->name.bytes).text,
                           name_text(order[i]->name.data, order[i]->name.bytes).text);
    return true;
}

static bool sort_names(Gguf *g, const char *path, Err *err) {
    g->keys = arena_new(&g->arena, g->value_count, sizeof *g->keys, "keys", err);
    g->names = arena_new(&g->arena, g->tensor_count, sizeof *g->names, "names", err);
    if (!g->keys || !g->names) return false;
    for (uint64_t i = 0; i < g->value_count; i++) g->keys[i] = (Name){g->values[i].key.data, g->values[i].key.bytes, (int64_t)i};
    for (uint64_t i = 0; i < g->tensor_count; i++) g->names[i] = (Name){g->tensors[i].name.data, g->tensors[i].name.bytes, (int64_t)i};
    names_sort(g->keys, (int64_t)g->value_count);
    names_sort(g->names, (int64_t)g->tensor_count);
    const Name *twin = names_twin(g->keys, (int64_t)g->value_count);
    if (!twin) twin = names_twin(g->names, (int64_t)g->tensor_count);
    return !twin || err_set(err, "%s: %s is there twice", path, name_text(twin->data, twin->bytes).text);
}

static bool header(Cursor *c, Gguf *g) {
    const uint8_t *magic = NULL;
    if (!take(c, 4, &magic, "magic")) return false;
    if (memcmp(magic, "GGUF", 4)) return err_set(c->err, "%s: not a GGUF file: it does not begin with GGUF", c->path);
    if (!take_u32(c, &g->version, "version")) return false;
    if (g->version != 2 && g->version != 3)
        return err_set(c->err, "%s: GGUF version %u: expected 2 or 3, little-endian", c->path, g->version);
    if (!take_u64(c, &g->tensor_count, "tensor count") || !take_u64(c, &g->value_count, "key count")) return false;
    size_t left = c->bytes - c->at;
    if (g->tensor_count > left / MIN_TENSOR_BYTES || g->value_count > left / MIN_VALUE_BYTES)
        return err_set(c->err, "%s: %llu tensors and %llu keys cannot be in %zu bytes", c->path, (unsigned long long)g->tensor_count,
                       (unsigned long long)g->value_count, c->bytes);
    return true;
}

bool gguf_parse(Gguf *g, const uint8_t *data, size_t bytes, const char *path, Err *err) {
    *g = (Gguf){0};
    Cursor c = {data, bytes, 0, path, err};
    if (!header(&c, g)) return false;
    g->values = arena_new(&g->arena, g->value_count, sizeof *g->values, "GGUF keys", err);
    g->tensors = arena_new(&g->arena, g->tensor_count, sizeof *g->tensors, "GGUF tensors", err);
    uint64_t *offsets = arena_new(&g->arena, g->tensor_count, sizeof *offsets, "GGUF tensors", err);
    if (!g->values || !g->tensors || !offsets) goto failed;
    for (uint64_t i = 0; i < g->value_count; i++)
        if (!take_value(&c, &g->values[i])) goto failed;
    for (uint64_t i = 0; i < g->tensor_count; i++)
        if (!take_tensor(&c, &g->tensors[i], &offsets[i])) goto failed;
    if (!sort_names(g, path, err)) goto failed;
    int64_t alignment = 32;
    if (gguf_find(g, "general.alignment") && !gguf_int(g, "general.alignment", &alignment, err)) goto failed;
    if (alignment < 1 || alignment > MAX_ALIGNMENT || alignment & (alignment - 1)) {
        err_set(err, "%s: general.alignment: expected a power of two up to %d, got %lld", path, MAX_ALIGNMENT, (long long)alignment);
        goto failed;
    }
    size_t base = (c.at + (size_t)alignment - 1) & ~((size_t)alignment - 1); /* at <= bytes, alignment small: no wrap */
    for (uint64_t i = 0; i < g->tensor_count; i++) {
        GgufTensor *t = &g->tensors[i];
        size_t start, end;
        if (offsets[i] % (uint64_t)alignment || !size_add(base, offsets[i], &start) || !size_add(start, t->bytes, &end) || end > bytes) {
            err_set(err, "%s: tensor %s: %zu bytes at offset %llu are not aligned or not inside the file of %zu", path,
                    name_text(t->name.data, t->name.bytes).text, t->bytes, (unsigned long long)offsets[i], bytes);
            goto failed;
        }
        t->data = data + start;
    }
    if (no_overlap(g, path, err)) return true;
failed:
    gguf_close(g);
    return false;
}

bool gguf_open(Gguf *g, const char *path, Err *err) {
    MappedFile file;
    *g = (Gguf){0};
    if (!file_map(&file, path, err)) return false;
    if (!gguf_parse(g, file.data, file.bytes, path, err)) {
        file_unmap(&file);
        return false;
    }
    g->file = file;
    return true;
}

void gguf_close(Gguf *g) {
    arena_free(&g->arena);
    file_unmap(&g->file);
    *g = (Gguf){0};
}

/* ---- Reading ---------------------------------------------------------------------------------------------------------- */

const GgufValue *gguf_find(const Gguf *g, const char *key) {
    int64_t i = names_find(g->keys, (int64_t)g->value_count, key, strlen(key));
    return i < 0 ? NULL : &g->values[i];
}

const GgufTensor *gguf_tensor(const Gguf *g, const char *name) {
    int64_t i = names_find(g->names, (int64_t)g->tensor_count, name, strlen(name));
    return i < 0 ? NULL : &g->tensors[i];
}

static const GgufValue *find(const Gguf *g, const char *key, const char *want, Err *err) {
    const GgufValue *v = gguf_find(g, key);
    if (!v) err_set(err, "GGUF key %s is missing: expected %s", key, want);
    return v;
}

/* One number of any width at p. */
static bool number(GgufType type, const uint8_t *p, double *real, int64_t *whole) {
    union { uint8_t b[8]; uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; uint64_t u64; int64_t i64; float f; double d; } u = {0};
    memcpy(u.b, p, type_bytes((uint32_t)type));
    switch (type) {
    case GGUF_U8: *whole = u.u8; break;
    case GGUF_I8: *whole = u.i8; break;
    case GGUF_U16: *whole = u.u16; break;
    case GGUF_I16: *whole = u.i16; break;
    case GGUF_U32: *whole = u.u32; break;
    case GGUF_I32: *whole = u.i32; break;
    case GGUF_I64: *whole = u.i64; break;
    case GGUF_U64: if (u.u64 > INT64_MAX) return false; *whole = (int64_t)u.u64; break;
    case GGUF_F32: *real = (double)u.f; return true;
    case GGUF_F64: *real = u.d; return true;
    default: return false;
    }
    *real = (double)*whole;
    return true;
}

bool gguf_int(const Gguf *g, const char *key, int64_t *out, Err *err) {
    const GgufValue *v = find(g, key, "an integer", err);
    if (!v) return false;
    double real;
    int64_t first;
    if (v->count < 1 || v->item_type == GGUF_F32 || v->item_type == GGUF_F64 || !number(v->item_type, v->data, &real, &first))
        return err_set(err, "GGUF key %s: expected an integer", key);
    for (uint64_t i = 1; i < v->count; i++) { /* per layer: all the same */
        int64_t other;
        number(v->item_type, v->data + i * type_bytes((uint32_t)v->item_type), &real, &other);
        if (other != first) return err_set(err, "GGUF key %s: values that differ between layers are not supported", key);
    }
    *out = first;
    return true;
}

bool gguf_float(const Gguf *g, const char *key, double *out, Err *err) {
    const GgufValue *v = find(g, key, "a number", err);
    int64_t whole;
    if (!v) return false;
    return (v->type != GGUF_ARRAY && number(v->type, v->data, out, &whole)) || err_set(err, "GGUF key %s: expected a number", key);
}

bool gguf_bool(const Gguf *g, const char *key, bool *out, Err *err) {
    const GgufValue *v = find(g, key, "true or false", err);
    if (!v) return false;
    if (v->type != GGUF_BOOL) return err_set(err, "GGUF key %s: expected true or false", key);
    *out = *v->data != 0;
    return true;
}

bool gguf_text(const Gguf *g, const char *key, GgufText *out, Err *err) {
    const GgufValue *v = find(g, key, "a string", err);
    if (!v) return false;
    if (v->type != GGUF_STRING) return err_set(err, "GGUF key %s: expected a string", key);
    uint64_t n;
    memcpy(&n, v->data, 8);
    *out = (GgufText){(const char *)v->data + 8, n};
    return true;
}

bool gguf_next_text(const GgufValue *v, const uint8_t **cursor, GgufText *out) {
    uint64_t n;
    if (v->item_type != GGUF_STRING || *cursor < v->data || *cursor >= v->end) return false;
    memcpy(&n, *cursor, 8);
    *out = (GgufText){(const char *)*cursor + 8, n};
    *cursor += 8 + n;
    return true;
}

bool gguf_is(const char *path) {
    size_t n = strlen(path);
    if (n > 5 && !strcmp(path + n - 5, ".gguf")) return true;
    FILE *f = file_exists(path) ? fopen(path, "rb") : NULL;
    char magic[4];
    bool is = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "GGUF", 4);
    if (f) fclose(f);
    return is;
}

char *gguf_in_folder(const char *folder, Err *err) {
    DIR *dir = opendir(folder);
    char *found = NULL;
    if (!dir) return NULL;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n <= 5 || strcmp(e->d_name + n - 5, ".gguf")) continue;
        if (found) {
            err_set(err, "%s holds several .gguf files: name one", folder);
            free(found);
            found = NULL;
            break;
        }
        if (!(found = path_join(folder, e->d_name, err))) break;
    }
    closedir(dir);
    return found;
}
