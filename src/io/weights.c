/* weights.c: one list of tensors in front of safetensors files and GGUF. */
#include <stdlib.h>
#include <string.h>
#include "gguf.h"
#include "json.h"
#include "safetensors.h"
#include "weights.h"

enum { MAX_SHARDS = 4096, MAX_INDEX_BYTES = 64 << 20 };

struct Weights {
    WeightTensor *tensors;
    int64_t count;
    size_t capacity;
    Name *index;
    SafeTensors *shards;
    int shard_count;
    Gguf gguf;
    bool is_gguf;
    Arena arena;
};

static bool add(Weights *w, const WeightTensor *t, Err *err) {
    if (!mem_grow((void **)&w->tensors, &w->capacity, (size_t)w->count + 1, sizeof *t, "weights", err)) return false;
    w->tensors[w->count++] = *t;
    return true;
}

/* ---- safetensors -------------------------------------------------------------------------------------------------- */

static bool add_shard(Weights *w, const char *path, Err *err) {
    SafeTensors *st = &w->shards[w->shard_count];
    if (!safetensors_open(st, path, err)) return false;
    w->shard_count++;
    for (int64_t i = 0; i < st->count; i++) {
        const SafeTensor *s = &st->tensors[i];
        WeightTensor t = {.name = s->name, .file = st->file.path, .dtype = s->dtype, .rank = s->rank, .data = s->data, .bytes = s->bytes};
        if (s->rank > 4) return err_set(err, "%s: tensor %s: expected at most 4 dimensions, got %d", path, s->name, s->rank);
        memcpy(t.dim, s->dim, sizeof(int64_t) * (size_t)s->rank);
        if (!add(w, &t, err)) return false;
    }
    return true;
}

static bool plain_name(const char *name) {
    return name[0] && name[0] != '.' && !strchr(name, '/') && !strchr(name, '\\');
}

/* Every tensor of the map must be in the shard it names, and every shard's tensors in the map. */
static bool check_map(const Weights *w, const json_t *map, const char *index, Err *err) {
    const char *name;
    json_t *shard;
    json_object_foreach((json_t *)(uintptr_t)map, name, shard) {
        bool found = false;
        for (int i = 0; i < w->shard_count && !found; i++) {
            const char *file = strrchr(w->shards[i].file.path, '/');
            found = !strcmp(file ? file + 1 : w->shards[i].file.path, json_string_value(shard)) && safetensors_find(&w->shards[i], name);
        }
        if (!found) return err_set(err, "%s: %s is not in %s", index, name_text(name, strlen(name)).text, json_string_value(shard));
    }
    return true;
}

static bool open_index(Weights *w, const char *folder, const char *index, Err *err) {
    json_t *root = json_file(index, MAX_INDEX_BYTES, err), *map = root ? json_object_get(root, "weight_map") : NULL, *shard;
    const char *name;
    bool ok = root != NULL;
    if (ok && !json_is_object(map)) ok = err_set(err, "%s: expected an object weight_map", index);
    w->shards = ok ? mem_new(MAX_SHARDS, sizeof *w->shards, "shards", err) : NULL;
    ok = ok && w->shards;
    if (ok) json_object_foreach(map, name, shard) {
        const char *file = json_string_value(shard);
        bool seen = false;
        if (!file || !plain_name(file)) ok = err_set(err, "%s: %s: expected the plain name of a file", index, name_text(name, strlen(name)).text);
        if (!ok) break;
        for (int i = 0; i < w->shard_count && !seen; i++) {
            const char *p = strrchr(w->shards[i].file.path, '/');
            seen = !strcmp(p ? p + 1 : w->shards[i].file.path, file);
        }
        if (seen) continue;
        if (w->shard_count == MAX_SHARDS) ok = err_set(err, "%s: more than %d files", index, MAX_SHARDS);
        char *path = ok ? path_join(folder, file, err) : NULL;
        ok = path && add_shard(w, path, err);
        free(path);
        if (!ok) break;
    }
    ok = ok && check_map(w, map, index, err);
    json_decref(root);
    return ok;
}

static bool open_single(Weights *w, const char *path, Err *err) {
    w->shards = mem_new(1, sizeof *w->shards, "shards", err);
    return w->shards && add_shard(w, path, err);
}

/* ---- GGUF ----------------------------------------------------------------------------------------------------------- */

static const struct { const char *gguf, *hf; } names[] = {
    {"attn_norm", "input_layernorm"}, {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_gate", "mlp.gate_proj"}, {"ffn_up", "mlp.up_proj"}, {"ffn_down", "mlp.down_proj"},
};

/* "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; others keep their name. */
static void hf_name(const char *name, char *out, size_t size) {
    int layer, at = 0;
    snprintf(out, size, "%s", name);
    if (!strcmp(name, "token_embd.weight")) snprintf(out, size, "model.embed_tokens.weight");
    else if (!strcmp(name, "output.weight")) snprintf(out, size, "lm_head.weight");
    else if (!strcmp(name, "output_norm.weight")) snprintf(out, size, "model.norm.weight");
    else if (sscanf(name, "blk.%6d.%n", &layer, &at) == 1 && at) {
        const char *dot = strrchr(name + at, '.');
        for (size_t i = 0; dot && i < sizeof names / sizeof *names; i++)
            if (strlen(names[i].gguf) == (size_t)(dot - name - at) && !strncmp(names[i].gguf, name + at, (size_t)(dot - name - at)))
                snprintf(out, size, "model.layers.%d.%s%s", layer, names[i].hf, dot);
    }
}

static bool ends(const char *text, const char *end) {
    size_t n = strlen(text), e = strlen(end);
    return n >= e && !strcmp(text + n - e, end);
}

static bool open_gguf(Weights *w, const char *path, Err *err) {
    if (!gguf_open(&w->gguf, path, err)) return false;
    w->is_gguf = true;
    GgufText arch = {0};
    int64_t heads = 0, kv_heads = 0;
    bool llama = gguf_text(&w->gguf, "general.architecture", &arch, NULL) && arch.bytes == 5 && !memcmp(arch.data, "llama", 5);
    if (llama) {
        if (!gguf_int(&w->gguf, "llama.attention.head_count", &heads, err)) return false;
        kv_heads = heads;
        if (gguf_find(&w->gguf, "llama.attention.head_count_kv") && !gguf_int(&w->gguf, "llama.attention.head_count_kv", &kv_heads, err)) return false;
    }
    for (uint64_t i = 0; i < w->gguf.tensor_count; i++) {
        const GgufTensor *g = &w->gguf.tensors[i];
        NameText from = name_text(g->name.data, g->name.bytes);
        char to[192];
        hf_name(from.text, to, sizeof to);
        WeightTensor t = {.name = arena_text(&w->arena, to, strlen(to), err), .file = w->gguf.file.path, .dtype = g->dtype, .rank = g->rank,
                          .data = g->data, .bytes = g->bytes};
        memcpy(t.dim, g->dim, sizeof t.dim);
        bool q = ends(to, ".q_proj.weight") || ends(to, ".q_proj.bias"), k = ends(to, ".k_proj.weight") || ends(to, ".k_proj.bias");
        if (llama && (q || k)) {
            t.permuted_heads = q ? heads : kv_heads;
            if (t.permuted_heads < 1 || t.dim[0] % t.permuted_heads || t.dim[0] / t.permuted_heads % 2)
                return err_set(err, "%s: %s: %lld rows are not even heads of %lld", path, from.text, (long long)t.dim[0], (long long)t.permuted_heads);
        }
        if (!t.name || !add(w, &t, err)) return false;
    }
    return true;
}

/* In llama-architecture GGUF, row 2j + h of a head holds channel j + h * half of the Hugging Face order. */
const uint8_t *weights_row(const WeightTensor *t, int64_t row) {
    if (t->permuted_heads) {
        int64_t head = t->dim[0] / t->permuted_heads, half = head / 2, at = row % head;
        row = row - at + at % half * 2 + at / half;
    }
    return t->data + (size_t)row * (t->bytes / (size_t)t->dim[0]);
}

/* ---- The door -------------------------------------------------------------------------------------------------------- */

static bool open_folder(Weights *w, const char *folder, Err *err) {
    char *single = path_join(folder, "model.safetensors", err), *index = path_join(folder, "model.safetensors.index.json", err);
    char *gguf = NULL;
    bool ok = false;
    if (!single || !index) ok = false;
    else if (file_exists(single)) ok = open_single(w, single, err);
    else if (file_exists(index)) ok = open_index(w, folder, index, err);
    else if ((gguf = gguf_in_folder(folder, err))) ok = open_gguf(w, gguf, err);
    else err_set(err, "%s holds no weights: looked for model.safetensors, model.safetensors.index.json and one .gguf file", folder);
    free(single);
    free(index);
    free(gguf);
    return ok;
}

static bool index_names(Weights *w, const char *path, Err *err) {
    w->index = arena_new(&w->arena, (size_t)w->count, sizeof *w->index, "weight names", err);
    if (!w->index) return false;
    for (int64_t i = 0; i < w->count; i++) w->index[i] = (Name){w->tensors[i].name, strlen(w->tensors[i].name), i};
    names_sort(w->index, w->count);
    const Name *twin = names_twin(w->index, w->count);
    return !twin || err_set(err, "%s: tensor %s is there twice", path, name_text(twin->data, twin->bytes).text);
}

Weights *weights_open(const char *path, Err *err) {
    Weights *w = mem_new(1, sizeof *w, "weights", err);
    if (!w) return NULL;
    bool ok = folder_exists(path) ? open_folder(w, path, err) : gguf_is(path) ? open_gguf(w, path, err) : open_single(w, path, err);
    if (ok && index_names(w, path, err)) return w;
    weights_close(w);
    return NULL;
}

void weights_close(Weights *w) {
    if (!w) return;
    for (int i = 0; i < w->shard_count; i++) safetensors_close(&w->shards[i]);
    free(w->shards);
    gguf_close(&w->gguf);
    arena_free(&w->arena);
    free(w->tensors);
    free(w);
}

int64_t weights_count(const Weights *w) { return w->count; }
WeightTensor *weights_at(Weights *w, int64_t i) { return &w->tensors[i]; }
const Gguf *weights_gguf(const Weights *w) { return w->is_gguf ? &w->gguf : NULL; }

WeightTensor *weights_find(Weights *w, const char *name) {
    int64_t i = names_find(w->index, w->count, name, strlen(name));
    if (i < 0) return NULL;
    w->tensors[i].used = true;
    return &w->tensors[i];
}
