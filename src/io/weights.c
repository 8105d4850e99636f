/* weights.c: one list of tensors in front of safetensors files and GGUF. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../base/watch.h"
#include "gguf.h"
#include "json.h"
#include "model_file.h"
#include "safetensors.h"
#include "weights.h"

enum { INDEX_LIMIT = 100 << 20, RANK_LIMIT = 4 }; /* bytes of model.safetensors.index.json; as in WeightTensor */

struct Weights {
    WeightTensor *tensors;
    Name *index;          /* sorted by name, item = place in tensors */
    int64_t count;
    SafeTensors *files;   /* of a Hugging Face folder */
    int64_t file_count;
    Gguf gguf;
    char *gguf_path;      /* NULL: no GGUF */
    Packed packed;
    bool is_packed;
    uint8_t *random;      /* weights_random: where its pages are mapped, or NULL */
    size_t random_bytes;
    Arena arena;
};

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

static bool reserve(Weights *w, size_t count, Err *err) {
    w->tensors = arena_new(&w->arena, count, sizeof *w->tensors, "list of weights", err);
    w->index = arena_new(&w->arena, count, sizeof *w->index, "index of weights", err);
    return w->tensors && w->index;
}

static bool open_single(Weights *w, const char *path, Err *err) {
    if (!(w->files = mem_new(1, sizeof *w->files, "safetensors file", err))) return false;
    if (!safetensors_open(w->files, path, err)) return false;
    w->file_count = 1;
    if (!reserve(w, (size_t)w->files->count, err)) return false;
    for (int64_t i = 0; i < w->files->count; i++)
        if (!add_safetensor(w, &w->files->tensors[i], w->files->file.path, err)) return false;
    return true;
}

/* A shard must be a file beside its index: no way out of the folder. */
static bool plain_name(const char *name) {
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") && strcmp(name, "..");
}

/* Fills `shards` (one per tensor of the map) with the shards' names, checked. */
static bool read_map(const json_t *map, Name *shards, const char *path, Err *err) {
    const char *key;
    json_t *value;
    int64_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const char *name = json_string_value(value);
        if (!name || strlen(name) != json_string_length(value) || !plain_name(name))
            return err_set(err, "%s: weight_map: %s: expected the name of a file in the same folder, got %s", path,
                           name_text(key, strlen(key)).text, name ? name_text(name, strlen(name)).text : "no string");
        shards[i++] = (Name){name, strlen(name), 0};
    }
    return true;
}

/* Sorts the shards' names, opens each once, and leaves the distinct names with item = place in w->files. */
static bool open_shards(Weights *w, Name *shards, int64_t count, int64_t *distinct, const char *folder, Err *err) {
    names_sort(shards, count);
    *distinct = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || strcmp(shards[i].data, shards[*distinct - 1].data) != 0) {
            shards[*distinct] = shards[i];
            shards[*distinct].item = *distinct;
            ++*distinct;
        }
    if (!(w->files = mem_new((size_t)*distinct, sizeof *w->files, "safetensors files", err))) return false;
    for (int64_t i = 0; i < *distinct; i++) {
        char *path = path_join(folder, shards[i].data, err);
        bool gone = path && access(path, F_OK) != 0; /* an error once a tensor is nowhere else */
        bool ok = path && (gone || safetensors_open(&w->files[i], path, err));
        free(path);
        if (!ok) return false;
        w->file_count++;
    }
    return true;
}

/* Every tensor of the shards counts, as in transformers, which takes from the index the names of files only. Where two
 * shards have a tensor, the one that the index names does. An index that says otherwise than the files is stale: a
 * word, and an error only when a tensor is nowhere. */
static bool add_mapped(Weights *w, const json_t *map, const Name *shards, int64_t distinct, const char *folder,
                       const char *path, Err *err) {
    const char *key, *odd = NULL;
    json_t *value;
    for (int64_t f = 0; f < w->file_count; f++) {
        for (int64_t i = 0; i < w->files[f].count; i++) {
            const SafeTensor *t = &w->files[f].tensors[i];
            const char *name = json_string_value(json_object_get(map, t->name));
            int64_t place = name ? names_find(shards, distinct, name, strlen(name)) : f;
            if (place != f && safetensors_find(&w->files[place], t->name)) continue;
            if (place != f || !name) odd = t->name;
            if (!add_safetensor(w, t, w->files[f].file.path, err)) return false;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        bool found = false;
        for (int64_t f = 0; !found && f < w->file_count; f++) found = safetensors_find(&w->files[f], key) != NULL;
        const char *shard = json_string_value(value);
        if (!found && !w->files[names_find(shards, distinct, shard, strlen(shard))].file.path)
            return err_as(err, QM_IO, "cannot open %s, where %s puts %s: %s", name_text(shard, strlen(shard)).text,
                          path,
                          name_text(key, strlen(key)).text, strerror(ENOENT));
        if (!found)
            return err_set(err, "%s: tensor %s is not in %s/%s, where the index puts it, nor in the other files", path,
                           name_text(key, strlen(key)).text, folder, name_text(shard, strlen(shard)).text);
    }
    if (odd)
        watch_say(QM_WARNING, "%s is stale: %s is not where it says; the files count", path,
                  name_text(odd, strlen(odd)).text);
    return true;
}

/* Tensors of all shards. */
static size_t count_tensors(const Weights *w) {
    size_t count = 0;
    for (int64_t f = 0; f < w->file_count; f++) count += (size_t)w->files[f].count;
    return count;
}

/* metadata.total_size is not held against the files: writers disagree on whether tied weights count twice. */
static bool open_index(Weights *w, const char *folder, const char *path, Err *err) {
    json_t *root = json_file(path, INDEX_LIMIT, err);
    const json_t *map = json_object_get(root, "weight_map");
    int64_t count = (int64_t)json_object_size(map), distinct = 0;
    Name *shards = NULL;
    bool ok = root != NULL;
    if (ok && count == 0) ok = err_set(err, "%s: expected a weight_map with tensor and file names", path);
    if (ok) ok = (shards = mem_new((size_t)count, sizeof *shards, "list of shards", err)) != NULL;
    ok = ok && read_map(map, shards, path, err) && open_shards(w, shards, count, &distinct, folder, err) &&
         reserve(w, count_tensors(w), err) && add_mapped(w, map, shards, distinct, folder, path, err);
    free(shards);
    json_decref(root);
    return ok;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

/* Names of llama.cpp's src/llama-arch.cpp and of transformers' modeling_llama.py. In the second table the name stands
 * between blk.N. and .weight or .bias. */
static const char *const outer_names[][2] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"},
};
static const char *const layer_names[][2] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

static const char *translate(const char *const table[][2], size_t count, const char *name, size_t bytes) {
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i][0]) == bytes && !memcmp(table[i][0], name, bytes)) return table[i][1];
    return NULL;
}

/* The Hugging Face name of "blk.12.attn_q.weight"; an unknown name stays as it is. `name` has at most 64 bytes. */
static void hf_name(GgufText name, char out[128]) {
    const char *data = name.data, *end = data + name.bytes, *dot = end, *hf = NULL;
    while (dot > data && dot[-1] != '.') dot--; /* after the last dot: "weight" or "bias" */
    size_t stem = dot > data ? (size_t)(dot - 1 - data) : 0;
    snprintf(out, 128, "%.*s", (int)name.bytes, data);
    if (!(end - dot == 6 && !memcmp(dot, "weight", 6)) && !(end - dot == 4 && !memcmp(dot, "bias", 4))) return;
    if (stem < 4 || memcmp(data, "blk.", 4) != 0) {
        hf = translate(outer_names, sizeof outer_names / sizeof *outer_names, data, stem);
        if (hf) snprintf(out, 128, "%s.%.*s", hf, (int)(end - dot), dot);
        return;
    }
    size_t digits = strspn(out + 4, "0123456789"), part = 4 + digits + 1;
    if (digits == 0 || part >= stem || data[4 + digits] != '.') return;
    hf = translate(layer_names, sizeof layer_names / sizeof *layer_names, data + part, stem - part);
    if (hf) snprintf(out, 128, "model.layers.%.*s.%s.%.*s", (int)digits, data + 4, hf, (int)(end - dot), dot);
}

/* Heads by which the rows of attn_q and attn_k are permuted in files of architecture "llama" (see weights_row); 0:
 * none. */
static bool permuted(const Gguf *gguf, int64_t *q_heads, int64_t *k_heads, Err *err) {
    GgufText architecture = {0};
    *q_heads = *k_heads = 0;
    if (!gguf_text(gguf, "general.architecture", &architecture, err)) return false;
    if (architecture.bytes != 5 || memcmp(architecture.data, "llama", 5) != 0) return true;
    const char *q = "llama.attention.head_count", *k = "llama.attention.head_count_kv";
    if (!gguf_int(gguf, q, q_heads, err)) return false;
    *k_heads = *q_heads;
    if (gguf_find(gguf, k) && !gguf_int(gguf, k, k_heads, err)) return false;
    return (*q_heads > 0 && *q_heads <= 1 << 20 && *k_heads > 0 && *k_heads <= 1 << 20) ||
           err_set(err, "GGUF keys %s and %s: expected 1 to 2^20, got %lld and %lld", q, k, (long long)*q_heads,
                   (long long)*k_heads);
}

static bool add_gguf(Weights *w, const GgufTensor *t, int64_t q_heads, int64_t k_heads, Err *err) {
    char name[128];
    hf_name(t->name, name);
    WeightTensor *out = &w->tensors[w->count++];
    *out = (WeightTensor){.file = w->gguf_path, .dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(out->dim, t->dim, sizeof out->dim);
    if (!(out->name = arena_text(&w->arena, name, strlen(name), err))) return false;
    if (strstr(name, ".self_attn.q_proj.")) out->permuted_heads = q_heads;
    if (strstr(name, ".self_attn.k_proj.")) out->permuted_heads = k_heads;
    if (out->permuted_heads && out->dim[0] % (2 * out->permuted_heads) != 0)
        return err_set(err, "%s: tensor %s: %lld rows are no pairs of rows for %lld heads", w->gguf_path,
                       name_text(t->name.data, t->name.bytes).text, (long long)out->dim[0],
                       (long long)out->permuted_heads);
    if (out->rank == 1 && out->permuted_heads && dtype_row(t->dtype)->block > 1)
        return err_set(err, "%s: tensor %s: expected a bias without blocks, got %s", w->gguf_path,
                       name_text(t->name.data, t->name.bytes).text, dtype_row(t->dtype)->name);
    return true;
}

static bool open_gguf(Weights *w, const char *path, Err *err) {
    int64_t q_heads, k_heads, parts = 1;
    if (!(w->gguf_path = strdup(path))) return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    if (!gguf_open(&w->gguf, path, err)) return false;
    bool ok = permuted(&w->gguf, &q_heads, &k_heads, err);
    if (ok && gguf_find(&w->gguf, "split.count")) ok = gguf_int(&w->gguf, "split.count", &parts, err);
    if (ok && parts > 1)
        ok = err_set(err, "one of %lld parts: join them first with llama-gguf-split --merge", (long long)parts);
    if (!ok) {
        err_prefix(err, "%s", path);
        return false;
    }
    if (!reserve(w, (size_t)w->gguf.tensor_count, err)) return false;
    for (uint64_t i = 0; i < w->gguf.tensor_count; i++)
        if (!add_gguf(w, &w->gguf.tensors[i], q_heads, k_heads, err)) return false;
    return true;
}

/* ---- Packed ----------------------------------------------------------------------------------------------------- */

/* A matrix whose rows are looked up too may have a section of each kind: one tensor. */
static bool open_packed(Weights *w, const char *path, Err *err) {
    if (!packed_open(&w->packed, path, err)) return false;
    w->is_packed = true;
    if (!reserve(w, (size_t)w->packed.count, err)) return false;
    for (int64_t i = 0; i < w->packed.count; i++) {
        const PackedSection *s = &w->packed.sections[i], *rows = NULL;
        if (s->kind < SECTION_ROWS) continue;
        if (s->kind == SECTION_ROWS && packed_find(&w->packed, SECTION_PANELS, s->name)) continue;
        WeightTensor *t = &w->tensors[w->count++];
        *t = (WeightTensor){.name = s->name, .file = w->packed.file.path, .dtype = s->stored, .rank = s->rank};
        memcpy(t->dim, s->dim, sizeof s->dim);
        if (s->kind == SECTION_PANELS) {
            t->panels = s->data;
            t->panel_type = s->type;
            t->panel_bytes = s->bytes;
            rows = packed_find(&w->packed, SECTION_ROWS, s->name);
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

static bool open_folder(Weights *w, const char *folder, Err *err) {
    char *single = path_join(folder, MODEL_WEIGHTS, err), *bin = path_join(folder, "pytorch_model.bin", err);
    char *index = path_join(folder, MODEL_INDEX, err), *gguf = NULL;
    bool ok = single && bin && index;
    if (ok && file_exists(single)) ok = open_single(w, single, err);
    else if (ok && file_exists(index)) ok = open_index(w, folder, index, err);
    else if (ok && (gguf = gguf_in_folder(folder, err))) ok = open_gguf(w, gguf, err);
    else if (ok)
        ok = err_set(err, "%s holds no weights: looked for " MODEL_WEIGHTS ", " MODEL_INDEX " and *.gguf%s", folder,
                     file_exists(bin) ? "; pytorch_model.bin is there, but pickled weights are not read" : "");
    free(single);
    free(bin);
    free(index);
    free(gguf);
    return ok;
}

static bool index_names(Weights *w, const char *path, Err *err) {
    for (int64_t i = 0; i < w->count; i++) w->index[i] = (Name){w->tensors[i].name, strlen(w->tensors[i].name), i};
    names_sort(w->index, w->count);
    const Name *twin = names_twin(w->index, w->count);
    return !twin || err_set(err, "%s: two tensors are called %s", path, name_text(twin->data, twin->bytes).text);
}

static bool is_json(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".json");
}

Weights *weights_open(const char *path, Err *err) {
    Weights *w = mem_new(1, sizeof *w, "weights", err);
    if (!w) return NULL;
    bool ok = !model_exists(path, err) ? false
              : folder_exists(path)    ? open_folder(w, path, err)
              : packed_is(path)        ? open_packed(w, path, err)
              : gguf_is(path)          ? open_gguf(w, path, err)
              : is_json(path)
                  ? err_set(err, "%s holds no weights: expected its folder, a .gguf or a packed file", path)
                  : open_single(w, path, err);
    if (ok && index_names(w, path, err)) return w;
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

enum { RANDOM_PAGES = 1021 }; /* of the block: a prime, so that it repeats out of step with rows */

/* Where a block has its f16 scale and minimum; -1: none. */
static const struct { DType type; int scale, min; } blocks[] = {
    {DTYPE_Q8_0, 0, -1}, {DTYPE_Q4_0, 0, -1}, {DTYPE_Q4_1, 0, 2},   {DTYPE_Q5_0, 0, -1},
    {DTYPE_Q5_1, 0, 2},  {DTYPE_Q4_K, 0, 2},  {DTYPE_Q5_K, 0, 2},   {DTYPE_Q6_K, 208, -1},
};

static uint32_t random_next(uint64_t *state) { /* xorshift64*, Vigna 2016 */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * 2685821657736338717u >> 32);
}

/* Plain numbers of either sign between 1/128 and 1/32: no zeros, no subnormals, which would change the speed. */
static bool random_plain(DType type, uint8_t *data, size_t bytes) {
    uint64_t state = 88172645463325252u;
    for (size_t at = 0; at < bytes; at += (size_t)dtype_row(type)->block_bytes) {
        uint32_t r = random_next(&state), u = (r & 0x80ffffffu) + 0x3c000000u;
        float f;
        memcpy(&f, &u, sizeof f);
        uint16_t half = type == DTYPE_BF16 ? f32_to_bf16(f) : f32_to_f16(f);
        if (type == DTYPE_F32) memcpy(data + at, &f, sizeof f);
        else if (type == DTYPE_BF16 || type == DTYPE_F16) memcpy(data + at, &half, sizeof half);
        else return false;
    }
    return true;
}

/* Random digits under a scale that makes values of about 1/64. */
static bool random_blocks(DType type, uint8_t *data, size_t bytes) {
    uint64_t state = 88172645463325252u;
    size_t i = 0, count = sizeof blocks / sizeof *blocks, block = (size_t)dtype_row(type)->block_bytes;
    while (i < count && blocks[i].type != type) i++;
    if (i == count) return random_plain(type, data, bytes);
    for (size_t at = 0; at < bytes; at++) data[at] = (uint8_t)random_next(&state);
    double digits = type == DTYPE_Q8_0 ? 128 : type == DTYPE_Q5_0 || type == DTYPE_Q5_1 ? 16 : 8;
    if (type == DTYPE_Q4_K || type == DTYPE_Q5_K) digits *= 32; /* times a scale of 6 bits */
    if (type == DTYPE_Q6_K) digits *= 4 * 64;
    for (size_t at = 0; at < bytes; at += block) {
        uint16_t scale = f32_to_f16((float)((1.0 + random_next(&state) / 4294967296.0) / 64 / digits));
        uint16_t min = blocks[i].min >= 0 && type != DTYPE_Q4_K && type != DTYPE_Q5_K
                           ? (uint16_t)(0x8000 | f32_to_f16(1.0f / 64))
                           : scale;
        memcpy(data + at + blocks[i].scale, &scale, sizeof scale);
        if (blocks[i].min >= 0) memcpy(data + at + blocks[i].min, &min, sizeof min);
    }
    return true;
}

/* Maps `bytes` of address space onto one block of values, over and over. */
static bool random_map(Weights *w, DType type, size_t bytes, Err *err) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), unit = (size_t)dtype_row(type)->block_bytes;
    size_t block = (RANDOM_PAGES + unit - 1) / unit * unit * page;
    w->random_bytes = (bytes + block - 1) / block * block;
    int fd = memfd_create("generated weights", MFD_CLOEXEC);
    void *all = mmap(NULL, w->random_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all != MAP_FAILED) w->random = all;
    bool ok = fd >= 0 && all != MAP_FAILED && ftruncate(fd, (off_t)block) == 0, known = true;
    if (ok) {
        uint8_t *first = mmap(NULL, block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ok = first != MAP_FAILED;
        known = !ok || random_blocks(type, first, block);
        if (ok) munmap(first, block);
    }
    for (size_t at = 0; ok && at < w->random_bytes; at += block)
        ok = mmap(w->random + at, block, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    if (!ok) err_as(err, QM_IO, "generated weights: cannot map %zu bytes: %s", w->random_bytes, strerror(errno));
    if (fd >= 0) close(fd);
    return ok && (known || err_set(err, "generated weights: %s is no weight type", dtype_row(type)->name));
}

/* Vectors are 1 where they are gains of norms, so that activations keep their size, and small as biases. */
static bool random_vector(Weights *w, WeightTensor *t, Err *err) {
    size_t n = strlen(t->name);
    bool gain = n > 12 && !strcmp(t->name + n - 11, "norm.weight");
    float *v = arena_new(&w->arena, (size_t)t->dim[0], sizeof *v, t->name, err);
    for (int64_t i = 0; v && i < t->dim[0]; i++) v[i] = gain ? 1.0f : (float)(i % 13 - 6) * 1e-3f;
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
    ok = ok && random_map(w, dtype, most, err);
    for (int64_t i = 0; ok && i < count; i++)
        if (w->tensors[i].rank > 1) w->tensors[i].data = w->random;
    if (ok) return w;
    weights_close(w);
    return NULL;
}

/* ---- Closing and finding ---------------------------------------------------------------------------------------- */

void weights_close(Weights *w) {
    if (!w) return;
    if (w->random) munmap(w->random, w->random_bytes);
    for (int64_t i = 0; i < w->file_count; i++) safetensors_close(&w->files[i]);
    free(w->files);
    gguf_close(&w->gguf);
    packed_close(&w->packed);
    free(w->gguf_path);
    arena_free(&w->arena);
    free(w);
}

int64_t weights_count(const Weights *w) { return w->count; }

WeightTensor *weights_at(Weights *w, int64_t i) { return i >= 0 && i < w->count ? &w->tensors[i] : NULL; }

WeightTensor *weights_find(Weights *w, const char *name) {
    int64_t i = names_find(w->index, w->count, name, strlen(name));
    if (i < 0) return NULL;
    w->tensors[i].used = true;
    return &w->tensors[i];
}

void weights_forget(const Weights *w, const WeightTensor *t, int64_t first, int64_t last) {
    bool mapped = w->file_count || w->gguf_path || t->data == w->random;
    if (!mapped || !t->data || first >= t->dim[0]) return;
    size_t row = t->bytes / (size_t)t->dim[0], page = (size_t)sysconf(_SC_PAGESIZE);
    if (last > t->dim[0]) last = t->dim[0];
    uintptr_t from = ((uintptr_t)t->data + (size_t)first * row + page - 1) & ~(uintptr_t)(page - 1);
    uintptr_t to = ((uintptr_t)t->data + (size_t)last * row) & ~(uintptr_t)(page - 1);
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

const Gguf *weights_gguf(const Weights *w) { return w->gguf_path ? &w->gguf : NULL; }

const Packed *weights_packed(const Weights *w) { return w->is_packed ? &w->packed : NULL; }

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
