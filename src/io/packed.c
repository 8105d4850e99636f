/* packed.c: a packed file read and checked. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "packed.h"

enum { MAX_HEADER = 64 << 20, MAX_SECTIONS = 1 << 20, MAX_NAME = 512 };

const char *const packed_kinds[SECTION_KINDS] = {"file", "gguf", "rows", "panels"};

bool packed_sha(const void *a, size_t a_bytes, const void *b, size_t b_bytes, uint8_t out[SHA_BYTES]) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned n = SHA_BYTES;
    bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(c, a, a_bytes) == 1 &&
        (!b || EVP_DigestUpdate(c, b, b_bytes) == 1) && EVP_DigestFinal_ex(c, out, &n) == 1;
    EVP_MD_CTX_free(c);
    return ok;
}

bool packed_digest(const uint8_t *pieces, size_t count, uint8_t out[SHA_BYTES]) {
    return packed_sha(pieces, count * SHA_BYTES, NULL, 0, out);
}

size_t packed_piece(const PackedSection *s, size_t piece, size_t *bytes) {
    size_t from = (s->at / PACKED_PIECE + piece) * PACKED_PIECE, to = from + PACKED_PIECE, end = s->at + s->bytes;
    if (from < s->at) from = s->at;
    *bytes = (to < end ? to : end) - from;
    return from - s->at;
}

bool packed_verify(const Packed *packed, const PackedSection *s, Err *err) {
    size_t count = packed_pieces(s);
    uint8_t *pieces = mem_new(count, SHA_BYTES, "digests", err), all[SHA_BYTES];
    bool ok = pieces != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        size_t n, from = packed_piece(s, i, &n);
        ok = packed_sha(s->data + from, n, NULL, 0, pieces + i * SHA_BYTES);
    }
    ok = ok && packed_digest(pieces, count, all);
    free(pieces);
    if (!ok) return err_set(err, "%s: cannot hash its sections: SHA-256 is not to be had", packed->file.path);
    return !memcmp(all, s->digest, SHA_BYTES) ||
           err_set(err, "%s: section %s %s is damaged: its SHA-256 is not the header's", packed->file.path,
                   packed_kinds[s->kind], name_text(s->name, strlen(s->name)).text);
}

/* ---- The fixed part ---------------------------------------------------------------------------------------------- */

static uint64_t number_at(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

bool packed_is(const char *path) {
    char magic[8];
    FILE *file = file_exists(path) ? fopen(path, "re") : NULL;
    bool is = file && fread(magic, 1, 8, file) == 8 && !memcmp(magic, "QMPACKED", 8);
    if (file) fclose(file);
    return is;
}

static bool check_fixed(const uint8_t *data, size_t bytes, const char *path, size_t *json, Err *err) {
    if (bytes < PACKED_HEADER || memcmp(data, "QMPACKED", 8) != 0)
        return err_set(err, "%s is no packed file: it does not begin with QMPACKED and a header", path);
    uint64_t version = number_at(data + 8, 4), header = number_at(data + 16, 8), whole = number_at(data + 24, 8);
    if (version != PACKED_VERSION)
        return err_set(err, "%s: expected packed version %d, got %llu: pack the model again", path, PACKED_VERSION,
                       (unsigned long long)version);
    if (whole != bytes)
        return err_set(err, "%s is cut short or damaged: expected %llu bytes, got %zu", path,
                       (unsigned long long)whole, bytes);
    if (header > MAX_HEADER || header > bytes - PACKED_HEADER)
        return err_set(err, "%s: a header of %llu bytes does not fit", path, (unsigned long long)header);
    uint8_t digest[SHA_BYTES];
    if (!packed_sha(data, 32, data + PACKED_HEADER, (size_t)header, digest))
        return err_set(err, "%s: cannot hash its header: SHA-256 is not to be had", path);
    if (memcmp(digest, data + 32, SHA_BYTES) != 0 || number_at(data + 12, 4) != 0)
        return err_set(err, "%s: the header is damaged: its SHA-256 does not fit", path);
    *json = (size_t)header;
    return true;
}

/* ---- Sections ---------------------------------------------------------------------------------------------------- */

static bool read_digest(const char *hex, uint8_t out[SHA_BYTES]) {
    if (!hex || strlen(hex) != 2 * SHA_BYTES || strspn(hex, "0123456789abcdef") != 2 * SHA_BYTES) return false;
    for (int i = 0; i < 2 * SHA_BYTES; i++) {
        int v = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

/* Copies a short text of the header; NULL and an error when it is missing or too long. */
static const char *take_text(Packed *p, const json_t *object, const char *key, const char *where, Err *err) {
    const char *text = NULL;
    if (!json_get_text(object, key, where, &text, err)) return NULL;
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n > MAX_NAME) {
        err_set(err, "%s: %s: expected a text of 1 to %d bytes", where, key, MAX_NAME);
        return NULL;
    }
    return arena_text(&p->arena, text, n, err);
}

/* Type and shape of a weight. */
static bool take_weight(Packed *p, const json_t *o, PackedSection *s, const char *where, Err *err) {
    const char *stored = NULL;
    const json_t *shape = json_object_get(o, "shape");
    if (!json_get_text(o, "stored", where, &stored, err)) return false;
    s->stored = DTYPE_F32;
    while (stored && s->stored < DTYPE_COUNT &&
           (strcmp(dtype_row(s->stored)->name, stored) || !dtype_row(s->stored)->read))
        s->stored++;
    if (!stored || s->stored == DTYPE_COUNT) return err_set(err, "%s: stored: expected a weight type", where);
    s->rank = (int)json_array_size(shape);
    if (!json_is_array(shape) || s->rank < (s->kind == SECTION_PANELS ? 2 : 1) || json_array_size(shape) > 2)
        return err_set(err, "%s: shape: expected a list of %s", where,
                       s->kind == SECTION_PANELS ? "two sizes" : "one or two sizes");
    for (int i = 0; i < s->rank; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        s->dim[i] = json_is_integer(size) ? (int64_t)json_integer_value(size) : 0;
        if (s->dim[i] < 1 || s->dim[i] > (int64_t)1 << 31)
            return err_set(err, "%s: shape: expected sizes of 1 to 2^31", where);
    }
    if (s->kind == SECTION_PANELS) return (s->type = take_text(p, o, "type", where, err)) != NULL;
    size_t row, all;
    bool whole = dtype_bytes(s->stored, s->dim[s->rank - 1], &row) &&
                 size_mul(row, s->rank == 2 ? (size_t)s->dim[0] : 1, &all);
    return (whole && all == s->bytes) ||
           err_set(err, "%s: expected the bytes of its shape in %s, got %zu", where, stored, s->bytes);
}

static bool take_section(Packed *p, const json_t *o, PackedSection *s, size_t end, size_t room, const char *where,
                         Err *err) {
    const char *kind = NULL, *digest = NULL;
    int64_t offset = -1, bytes = -1;
    s->type = "";
    if (!json_get_text(o, "kind", where, &kind, err) || !(s->name = take_text(p, o, "name", where, err)) ||
        !json_get_int(o, "offset", where, 0, INT64_MAX, &offset, err) ||
        !json_get_int(o, "bytes", where, 1, INT64_MAX, &bytes, err) ||
        !json_get_text(o, "sha256", where, &digest, err))
        return false;
    while (kind && s->kind < SECTION_KINDS && strcmp(packed_kinds[s->kind], kind)) s->kind++;
    if (!kind || s->kind == SECTION_KINDS) return err_set(err, "%s: kind: expected file, gguf, rows or panels", where);
    if (offset < 0 || bytes < 0) return err_set(err, "%s: offset or bytes is missing", where);
    if (!read_digest(digest, s->digest)) return err_set(err, "%s: sha256: expected 64 lower hexadecimal digits", where);
    s->offset = (size_t)offset;
    s->bytes = (size_t)bytes;
    if (s->offset % PACKED_ALIGN || s->offset < end || s->offset > room || s->bytes > room - s->offset)
        return err_set(err, "%s: %zu bytes at %zu: expected a multiple of %d, after the last section and in the file",
                       where, s->bytes, s->offset, PACKED_ALIGN);
    return s->kind < SECTION_ROWS || take_weight(p, o, s, where, err);
}

static bool index_sections(Packed *p, const char *path, Err *err) {
    for (int64_t i = 0; i < p->count; i++) {
        char key[MAX_NAME + 16];
        int n = snprintf(key, sizeof key, "%s:%s", packed_kinds[p->sections[i].kind], p->sections[i].name);
        const char *kept = arena_text(&p->arena, key, (size_t)n, err);
        if (!kept) return false;
        p->index[i] = (Name){kept, (size_t)n, i};
    }
    names_sort(p->index, p->count);
    const Name *twin = names_twin(p->index, p->count);
    return !twin || err_set(err, "%s: section %s is there twice", path, name_text(twin->data, twin->bytes).text);
}

/* The data begins `from` bytes into the file. */
static bool take_sections(Packed *p, const json_t *root, const uint8_t *data, size_t from, size_t room,
                          const char *path, Err *err) {
    const json_t *list = json_object_get(root, "sections");
    size_t count = json_array_size(list), end = 0;
    if (!json_is_array(list) || count > MAX_SECTIONS)
        return err_set(err, "%s: sections: expected a list of at most %d", path, MAX_SECTIONS);
    p->sections = arena_new(&p->arena, count, sizeof *p->sections, "sections", err);
    p->index = arena_new(&p->arena, count, sizeof *p->index, "sections", err);
    if (!p->sections || !p->index) return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *o = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(o, "name"));
        char where[256];
        snprintf(where, sizeof where, "%.100s: section %zu (%s)", path, i,
                 name ? name_text(name, strlen(name)).text : "no name");
        PackedSection *s = &p->sections[p->count++];
        if (!take_section(p, o, s, end, room, where, err)) return false;
        s->at = from + s->offset;
        s->data = data + s->at;
        end = s->offset + s->bytes;
    }
    return index_sections(p, path, err);
}

bool packed_parse(Packed *p, const uint8_t *data, size_t bytes, const char *path, Err *err) {
    size_t json = 0;
    *p = (Packed){0};
    if (!check_fixed(data, bytes, path, &json, err)) return false;
    size_t from = (PACKED_HEADER + json + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
    json_t *root = json_text((const char *)data + PACKED_HEADER, json, path, err);
    bool ok = root && (p->layout = take_text(p, root, "layout", path, err)) &&
              (p->weights = take_text(p, root, "weights", path, err)) &&
              json_get_float(root, "error", path, 0, 1e30, &p->error, err) &&
              take_sections(p, root, data, from, from < bytes ? bytes - from : 0, path, err);
    json_decref(root);
    if (!ok) packed_close(p);
    return ok;
}

bool packed_open(Packed *p, const char *path, Err *err) {
    MappedFile file;
    *p = (Packed){0};
    if (!file_map(&file, path, err)) return false;
    if (!packed_parse(p, file.data, file.bytes, path, err)) {
        file_unmap(&file);
        return false;
    }
    p->file = file;
    return true;
}

void packed_close(Packed *p) {
    arena_free(&p->arena);
    file_unmap(&p->file);
    *p = (Packed){0};
}

const PackedSection *packed_find(const Packed *p, SectionKind kind, const char *name) {
    char key[MAX_NAME + 16];
    int n = snprintf(key, sizeof key, "%s:%s", packed_kinds[kind], name);
    int64_t i = n > 0 && (size_t)n < sizeof key ? names_find(p->index, p->count, key, (size_t)n) : -1;
    return i < 0 ? NULL : &p->sections[i];
}
