/* weights.c: one list of tensors in front of safetensors files, GGUF and packed files. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "config.h"
#include "source.h"
#include "tensor_names.h"
#include "weights.h"
#include "weights_random.h"

enum { RANK_LIMIT = 4 }; /* as in WeightTensor */

struct Weights {
    WeightTensor *tensors;
    Name *index;          /* sorted by name, item = place in tensors       */
    int64_t count;
    Source *source;       /* NULL: they are no file's                      */
    const Gguf *gguf;     /* the file they are from, or NULL               */
    uint8_t *random;      /* weights_random: where its pages are mapped, or NULL */
    size_t random_bytes;
    Arena arena;
};

static bool reserve(Weights *w, size_t count, Err *err) {
    w->tensors = arena_new(&w->arena, count, sizeof *w->tensors, "list of weights", err);
    w->index = arena_new(&w->arena, count, sizeof *w->index, "index of weights", err);
    return w->tensors && w->index;
}

/* ---- Safetensors ------------------------------------------------------------------------------------------------ */

static bool add_safetensor(Weights *w, const SafeTensor *t, const char *file, Err *err) {
    if (t->rank > RANK_LIMIT)
        return err_as(err, QM_LIMIT, "%s: tensor %s: expected at most %d dimensions, got %d", file,
                       name_text(t->name, strlen(t->name)).text, RANK_LIMIT, t->rank);
    WeightTensor *out = &w->tensors[w->count++];
    *out = (WeightTensor){
        .name = t->name, .file = file, .dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(out->dim, t->dim, sizeof out->dim);
    return true;
}

static bool add_shards(Weights *w, const Shards *shards, Err *err) {
    if (!reserve(w, (size_t)shards->count, err)) return false;
    for (int64_t i = 0; i < shards->count; i++)
        if (!add_safetensor(w, shards->tensors[i].tensor, shards->tensors[i].file, err)) return false;
    return true;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

/* Query and key/value heads, where rows are permuted by them. */
static bool heads_of(const Gguf *gguf, int64_t heads[3], Err *err) {
    GgufText architecture = {0};
    char q[96], k[96];
    if (!gguf_text(gguf, "general.architecture", &architecture, err)) return false;
    int bytes = architecture.bytes < 64 ? (int)architecture.bytes : 64;
    snprintf(q, sizeof q, "%.*s.attention.head_count", bytes, architecture.data);
    snprintf(k, sizeof k, "%.*s.attention.head_count_kv", bytes, architecture.data);
    if (!gguf_int(gguf, q, &heads[ROWS_OF_HEADS], err)) return false;
    heads[ROWS_OF_KV_HEADS] = heads[ROWS_OF_HEADS];
    if (gguf_find(gguf, k) && !gguf_int(gguf, k, &heads[ROWS_OF_KV_HEADS], err)) return false;
    for (int i = 1; i <= 2; i++)
        if (heads[i] < 1 || heads[i] > 1 << 20)
            return err_set(err, "GGUF keys %s and %s: expected 1 to 2^20, got %lld and %lld", q, k,
                           (long long)heads[ROWS_OF_HEADS], (long long)heads[ROWS_OF_KV_HEADS]);
    return true;
}

static bool add_gguf(Weights *w, const GgufTensor *t, const char *file, const TensorNames *names,
                     const int64_t heads[3], Err *err) {
    char name[128];
    WeightTensor *out = &w->tensors[w->count++];
    *out = (WeightTensor){.file = file, .dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(out->dim, t->dim, sizeof out->dim);
    out->permuted_heads = heads[tensor_name(names, t->name, name)];
    if (!(out->name = arena_text(&w->arena, name, strlen(name), err))) return false;
    if (out->permuted_heads && out->dim[0] % (2 * out->permuted_heads) != 0)
        return err_set(err, "%s: tensor %s: %lld rows are no pairs of rows for %lld heads", file,
                       name_text(t->name.data, t->name.bytes).text, (long long)out->dim[0],
                       (long long)out->permuted_heads);
    if (out->rank == 1 && out->permuted_heads && dtype_row(t->dtype)->block > 1)
        return err_set(err, "%s: tensor %s: expected a bias without blocks, got %s", file,
                       name_text(t->name.data, t->name.bytes).text, dtype_row(t->dtype)->name);
    return true;
}

static bool add_gguf_file(Weights *w, const Gguf *gguf, const char *path, const TensorNames *names, Err *err) {
    int64_t heads[3] = {0}, parts = 1;
    w->gguf = gguf;
    bool ok = !names->permuted || heads_of(gguf, heads, err);
    if (ok && gguf_find(gguf, "split.count")) ok = gguf_int(gguf, "split.count", &parts, err);
    if (ok && parts > 1)
        ok = err_set(err, "one of %lld parts: join them first with llama-gguf-split --merge", (long long)parts);
    if (!ok) {
        err_prefix(err, "%s", path);
        return false;
    }
    if (!reserve(w, (size_t)gguf->tensor_count, err)) return false;
    for (uint64_t i = 0; i < gguf->tensor_count; i++)
        if (!add_gguf(w, &gguf->tensors[i], path, names, heads, err)) return false;
    return true;
}

/* ---- Packed ----------------------------------------------------------------------------------------------------- */

/* A matrix whose rows are looked up too may have a section of each kind: one tensor. */
static bool add_packed(Weights *w, const Packed *packed, Err *err) {
    const char *path = packed->file.path;
    if (!reserve(w, (size_t)packed->count, err)) return false;
    for (int64_t i = 0; i < packed->count; i++) {
        const PackedSection *s = &packed->sections[i], *rows = NULL;
        if (s->kind < SECTION_ROWS) continue;
        if (s->kind == SECTION_ROWS && packed_find(packed, SECTION_PANELS, s->name)) continue;
        WeightTensor *t = &w->tensors[w->count++];
        *t = (WeightTensor){.name = s->name, .file = path, .dtype = s->stored, .rank = s->rank};
        memcpy(t->dim, s->dim, sizeof s->dim);
        if (s->kind == SECTION_PANELS) {
            t->panels = s->data;
            t->panel_type = s->type;
            t->panel_bytes = s->bytes;
            rows = packed_find(packed, SECTION_ROWS, s->name);
            bool same = !rows || (rows->rank == s->rank && !memcmp(rows->dim, s->dim, sizeof s->dim) &&
                                  rows->stored == s->stored);
            if (!same)
                return err_set(err, "%s: rows and panels of %s differ in shape or type", path,
                               name_text(s->name, strlen(s->name)).text);
        } else {
            rows = s;
        }
        if (rows) t->data = rows->data, t->bytes = rows->bytes;
    }
    return true;
}

/* ---- The door --------------------------------------------------------------------------------------------------- */

static bool add_source(Weights *w, Source *source, const TensorNames *names, Err *err) {
    const Packed *packed = source_packed(source);
    const Shards *shards;
    const Gguf *gguf;
    if (packed) return add_packed(w, packed, err);
    if (!source_shards(source, &shards, err)) return false;
    if (shards) return add_shards(w, shards, err);
    if (!source_gguf(source, &gguf, err)) return false;
    if (gguf) return add_gguf_file(w, gguf, gguf->file.path ? gguf->file.path : source_path(source), names, err);
    return err_set(err, "%s holds no weights: looked for " MODEL_WEIGHTS ", " MODEL_INDEX " and *.gguf%s",
                   source_path(source), source_has(source, "pytorch_model.bin")
                       ? "; pytorch_model.bin is there, but pickled weights are not read" : "");
}

static bool index_names(Weights *w, const char *path, Err *err) {
    for (int64_t i = 0; i < w->count; i++) w->index[i] = (Name){w->tensors[i].name, strlen(w->tensors[i].name), i};
    names_sort(w->index, w->count);
    const Name *twin = names_twin(w->index, w->count);
    return !twin || err_set(err, "%s: two tensors are called %s", path, name_text(twin->data, twin->bytes).text);
}

Weights *weights_open(Source *source, const TensorNames *names, Err *err) {
    Weights *w = mem_new(1, sizeof *w, "weights", err);
    if (!w) return NULL;
    w->source = source_keep(source);
    if (add_source(w, source, names, err) && index_names(w, source_path(source), err)) return w;
    weights_close(w);
    return NULL;
}

Weights *weights_new(const WeightTensor *tensors, int64_t count, Err *err) {
    Weights *w = mem_new(1, sizeof *w, "weights", err);
    bool ok = w && reserve(w, (size_t)count, err);
    for (int64_t i = 0; ok && i < count; i++) {
        w->tensors[i] = tensors[i];
        ok = (w->tensors[i].name = arena_text(&w->arena, tensors[i].name, strlen(tensors[i].name), err)) != NULL;
    }
    if (ok) w->count = count;
    if (ok && index_names(w, "weights in memory", err)) return w;
    weights_close(w);
    return NULL;
}

/* ---- Generated values ------------------------------------------------------------------------------------------- */

/* Gains of norms are 1, so that activations keep their size; biases are small. */
static bool random_vector(Weights *w, WeightTensor *t, Err *err) {
    float *v = arena_new(&w->arena, (size_t)t->dim[0], sizeof *v, t->name, err);
    for (int64_t i = 0; v && i < t->dim[0]; i++) v[i] = t->gain ? 1.0f : (float)(i % 13 - 6) * 1e-3f;
    t->dtype = DTYPE_F32;
    t->data = (const uint8_t *)v;
    t->bytes = (size_t)t->dim[0] * sizeof *v;
    return v != NULL;
}

Weights *weights_random(const WeightTensor *tensors, int64_t count, DType dtype, Err *err) {
    Weights *w = weights_new(tensors, count, err);
    size_t most = 0;
    bool ok = w != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        WeightTensor *t = &w->tensors[i];
        t->file = "generated weights";
        t->generated = true;
        if (t->rank == 1) {
            ok = random_vector(w, t, err);
            continue;
        }
        size_t row;
        t->dtype = dtype;
        if (!dtype_bytes(dtype, t->dim[1], &row) || !size_mul(row, (size_t)t->dim[0], &t->bytes))
            ok = err_set(err, "%s: rows of %lld are no whole blocks of %s", t->name, (long long)t->dim[1],
                         dtype_row(dtype)->name);
        if (t->bytes > most) most = t->bytes;
    }
    ok = ok && random_pages(dtype, most, &w->random, &w->random_bytes, err);
    for (int64_t i = 0; ok && i < count; i++)
        if (w->tensors[i].rank > 1) w->tensors[i].data = w->random;
    if (ok) return w;
    weights_close(w);
    return NULL;
}

/* ---- More of them ------------------------------------------------------------------------------------------------ */

bool weights_add(Weights *w, const WeightTensor *tensors, int64_t count, Err *err) {
    WeightTensor *before = w->tensors;
    Name *index = w->index;
    int64_t had = w->count, total = had;
    if (!reserve(w, (size_t)(had + count), err)) return w->tensors = before, w->index = index, false;
    if (had) memcpy(w->tensors, before, (size_t)had * sizeof *before), memcpy(w->index, index, (size_t)had * sizeof *index);
    for (int64_t i = 0; i < count; i++) {
        WeightTensor *to = weights_find(w, tensors[i].name); /* the index is that of the `had` */
        const char *name = to ? to->name : arena_text(&w->arena, tensors[i].name, strlen(tensors[i].name), err);
        if (!name) return false;
        if (!to) to = &w->tensors[total++];
        *to = tensors[i];
        to->name = name;
        to->added = true;
    }
    w->count = total;
    return index_names(w, "weights and what is added to them", err);
}

/* ---- Closing and finding ---------------------------------------------------------------------------------------- */

void weights_close(Weights *w) {
    if (!w) return;
    if (w->random) munmap(w->random, w->random_bytes);
    source_close(w->source);
    arena_free(&w->arena);
    free(w);
}

int64_t weights_count(const Weights *w) { return w->count; }

WeightTensor *weights_at(Weights *w, int64_t i) { return i >= 0 && i < w->count ? &w->tensors[i] : NULL; }

/* As any class of transformers calls it: an adapter or a new head may be for a file of another one. */
static int64_t find_below_head(const Weights *w, const char *name) {
    const char *rest = name_below(name);
    char text[160];
    int64_t i = -1;
    for (int h = HEAD_COUNT - 1; rest && i < 0 && h >= 0; h--) {
        int n = snprintf(text, sizeof text, "%s%s", head_table[h].below, rest);
        if (n >= 0 && n < (int)sizeof text) i = names_find(w->index, w->count, text, (size_t)n);
    }
    return i;
}

WeightTensor *weights_find(Weights *w, const char *name) {
    int64_t i = names_find(w->index, w->count, name, strlen(name));
    if (i < 0) i = find_below_head(w, name);
    if (i < 0) return NULL;
    w->tensors[i].used = true;
    return &w->tensors[i];
}

void weights_forget(const Weights *w, const WeightTensor *t, int64_t first, int64_t last) {
    bool mapped = !t->added && ((w->source && !source_packed(w->source)) || t->data == w->random);
    if (!mapped || !t->data || first >= t->dim[0]) return;
    size_t row = t->bytes / (size_t)t->dim[0], page = (size_t)sysconf(_SC_PAGESIZE);
    if (last > t->dim[0]) last = t->dim[0];
    uintptr_t from = ((uintptr_t)t->data + (size_t)first * row + page - 1) & ~(uintptr_t)(page - 1);
    uintptr_t to = ((uintptr_t)t->data + (size_t)last * row) & ~(uintptr_t)(page - 1);
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

const Gguf *weights_gguf(const Weights *w) { return w->gguf; }

const Packed *weights_packed(const Weights *w) { return w->source ? source_packed(w->source) : NULL; }

/* convert_hf_to_gguf.py (LlamaModel.permute) reshapes the rows [heads][2][half] and swaps the last two: row j * half +
 * i of a head goes to row 2 i + j, so that rotary pairs lie side by side. */
const uint8_t *weights_row(const WeightTensor *t, int64_t row) {
    if (t->dim[0] == 0) return t->data; /* a scalar, or nothing */
    if (t->permuted_heads) {
        int64_t rows = t->dim[0] / t->permuted_heads, head = row / rows, r = row % rows, half = rows / 2;
        row = head * rows + 2 * (r % half) + r / half;
    }
    return t->data + (size_t)row * (t->bytes / (size_t)t->dim[0]);
}
