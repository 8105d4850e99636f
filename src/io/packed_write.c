/* packed_write.c: a packed file written: pieces in any order from any thread, the header last. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "json.h"
#include "packed.h"

static size_t aligned(size_t n) { return (n + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN; }

bool packed_writer_open(PackedWriter *w, const char *path, Err *err) {
    struct stat st;
    *w = (PackedWriter){.fd = -1};
    if (lstat(path, &st) == 0 && !packed_is(path))
        return err_set(err, "%s is there and is no packed file: remove it first, or choose another name", path);
    if (!(w->path = strdup(path))) return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    if (!output_open(&w->out, path, err)) return false;
    w->fd = fileno(w->out.file);
    return true;
}

bool packed_writer_add(PackedWriter *w, const PackedSection *section, Err *err) {
    if (!mem_grow((void **)&w->sections, &w->capacity, (size_t)w->count + 1, sizeof *w->sections, "sections", err))
        return false;
    PackedSection *s = &w->sections[w->count++];
    *s = *section;
    s->name = arena_text(&w->arena, section->name, strlen(section->name), err);
    const char *type = section->type ? section->type : "";
    s->type = arena_text(&w->arena, type, strlen(type), err);
    return s->name && s->type;
}

/* ---- The header -------------------------------------------------------------------------------------------------- */

static json_t *section_json(const PackedSection *s) {
    char hex[2 * SHA_BYTES + 1];
    for (int i = 0; i < SHA_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", s->digest[i]);
    json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:s}", "kind", packed_kinds[s->kind], "name", s->name, "offset",
                          (json_int_t)s->offset, "bytes", (json_int_t)s->bytes, "sha256", hex);
    if (!o || s->kind < SECTION_ROWS) return o;
    json_t *shape = json_array();
    bool ok = true;
    for (int i = 0; i < s->rank; i++) ok &= json_array_append_new(shape, json_integer(s->dim[i])) == 0;
    ok &= json_object_set_new(o, "shape", shape) == 0;
    ok &= json_object_set_new(o, "stored", json_string(dtype_row(s->stored)->name)) == 0;
    if (s->kind == SECTION_PANELS) ok &= json_object_set_new(o, "type", json_string(s->type)) == 0;
    if (ok) return o;
    json_decref(o);
    return NULL;
}

/* malloc'ed; NULL and an error when there is no memory. */
static char *header_text(const PackedWriter *w, double error, Err *err) {
    json_t *list = json_array();
    for (int64_t i = 0; i < w->count; i++) json_array_append_new(list, section_json(&w->sections[i]));
    json_t *root = json_pack("{s:s,s:s,s:f,s:o}", "layout", w->layout, "weights", w->weights, "error", error,
                             "sections", list);
    char *text = root && json_array_size(list) == (size_t)w->count ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) err_set(err, "%s: cannot write the header: out of memory, or a name is no UTF-8", w->path);
    return text;
}

static void number_put(uint8_t *p, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool put_at(const PackedWriter *w, const void *data, size_t bytes, size_t at, Err *err) {
    const uint8_t *from = data;
    while (bytes > 0) {
        ssize_t n = pwrite(w->fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_as(err, QM_IO, "cannot write %s: %s", w->path,
                                  n ? strerror(errno) : "nothing was taken");
        from += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

bool packed_writer_start(PackedWriter *w, const char *layout, const char *weights, Err *err) {
    size_t end = 0;
    w->layout = layout;
    w->weights = weights;
    w->digests = arena_new(&w->arena, (size_t)w->count, sizeof *w->digests, "digests", err);
    if (!w->digests) return false;
    for (int64_t i = 0; i < w->count; i++) {
        PackedSection *s = &w->sections[i];
        s->offset = aligned(end);
        end = s->offset + s->bytes;
    }
    /* The error's digits are the only part whose length is not known yet. */
    char *text = header_text(w, 0, err);
    if (!text) return false;
    size_t data = aligned(PACKED_HEADER + strlen(text) + 32);
    w->header = data - PACKED_HEADER;
    w->bytes = data + end;
    free(text);
    for (int64_t i = 0; i < w->count; i++) {
        PackedSection *s = &w->sections[i];
        s->at = data + s->offset;
        if (!(w->digests[i] = arena_new(&w->arena, packed_pieces(s), SHA_BYTES, "digests", err))) return false;
    }
    int why = posix_fallocate(w->fd, 0, (off_t)w->bytes);
    return !why || err_as(err, QM_IO, "cannot write %s: %.1f MiB: %s", w->path, (double)w->bytes / (1 << 20),
                          strerror(why));
}

static bool hashed(const PackedWriter *w, bool ok, Err *err) {
    return ok || err_as(err, QM_IO, "cannot write %s: its SHA-256 is not to be had", w->path);
}

bool packed_writer_put(PackedWriter *w, int64_t section, size_t piece, const void *data, Err *err) {
    const PackedSection *s = &w->sections[section];
    size_t bytes, from = packed_piece(s, piece, &bytes);
    return hashed(w, packed_sha(data, bytes, NULL, 0, w->digests[section] + piece * SHA_BYTES), err) &&
           put_at(w, data, bytes, s->at + from, err);
}

bool packed_writer_finish(PackedWriter *w, double error, Err *err) {
    uint8_t fixed[PACKED_HEADER] = "QMPACKED";
    for (int64_t i = 0; i < w->count; i++)
        if (!hashed(w, packed_digest(w->digests[i], packed_pieces(&w->sections[i]), w->sections[i].digest), err))
            return false;
    char *text = header_text(w, error, err);
    if (!text) return false;
    size_t n = strlen(text), room = w->header;
    /* JSON takes blanks at its end: the header always fills the room that was reserved. */
    char *padded = n <= room ? mem_new(room, 1, "header", err) : NULL;
    if (padded) memcpy(padded, text, n), memset(padded + n, ' ', room - n);
    free(text);
    if (!padded) return err_set(err, "%s: the header does not fit", w->path);
    number_put(fixed + 8, PACKED_VERSION, 4);
    number_put(fixed + 16, room, 8);
    number_put(fixed + 24, w->bytes, 8);
    bool ok = hashed(w, packed_sha(fixed, 32, padded, room, fixed + 32), err) &&
              put_at(w, padded, room, PACKED_HEADER, err) && put_at(w, fixed, sizeof fixed, 0, err);
    free(padded);
    return ok && output_commit(&w->out, err);
}

void packed_writer_close(PackedWriter *w) {
    output_close(&w->out);
    free(w->path);
    free(w->sections);
    arena_free(&w->arena);
    *w = (PackedWriter){.fd = -1};
}
