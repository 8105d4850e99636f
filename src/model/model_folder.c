/* model_folder.c: see model_folder.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../base/output.h"
#include "../base/output_folder.h"
#include "../io/json_python.h"
#include "../text/tokenizer_write.h"
#include "config_write.h"
#include "model_folder.h"

enum { SMALL_LIMIT = 256 << 20 }; /* bytes of a file that is copied */

/* Copied as they are, where the source has them. */
static const char *const tokenizer_files[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json", NULL};
static const char templates_folder[] = "additional_chat_templates";

/* ---- Small files ------------------------------------------------------------------------------------------------- */

/* As transformers writes configurations: with a line end. The value is given up. */
static bool put_json(const char *folder, const char *name, json_t *value, JsonStyle style, Err *err) {
    char *text = value ? json_python(value, style, name, err) : NULL;
    Text all = {0};
    if (text) text_line(&all, "%s\n", text);
    bool ok = text && text_ok(&all, name, err) && output_write(folder, name, all.data, all.bytes, err);
    text_free(&all);
    free(text);
    json_decref(value);
    return ok;
}

/* *had: whether the source has it. */
static bool copy_file(Source *source, const char *name, const char *folder, bool *had, Err *err) {
    SourceText text;
    bool ok = source_text(source, name, SMALL_LIMIT, &text, err);
    *had = ok && text.data;
    ok = ok && (!text.data || output_write(folder, name, text.data, text.bytes, err));
    source_text_free(&text);
    return ok;
}

/* The *.jinja files of a source that is a folder. */
static bool copy_templates(Source *source, const char *folder, Err *err) {
    char *from = path_join(source_path(source), templates_folder, err), *to = path_join(folder, templates_folder, err);
    DIR *list = from && to ? opendir(from) : NULL;
    bool ok = from && to, made = false;
    for (struct dirent *entry; ok && list && (entry = readdir(list));) {
        size_t n = strlen(entry->d_name);
        char name[320];
        bool had;
        if (n < 7 || strcmp(entry->d_name + n - 6, ".jinja") || entry->d_name[0] == '.') continue;
        ok = made || mkdir(to, 0777) == 0 || err_as(err, QM_IO, "cannot make %s: %s", to, strerror(errno));
        made = true;
        snprintf(name, sizeof name, "%s/%s", templates_folder, entry->d_name);
        ok = ok && copy_file(source, name, folder, &had, err);
    }
    if (list) closedir(list);
    free(from);
    free(to);
    return ok;
}

/* ---- Tokenizer --------------------------------------------------------------------------------------------------- */

static bool write_gguf_tokenizer(Source *source, const Gguf *gguf, int64_t positions, const char *folder, Err *err) {
    QmTokenizer *t = qm_tokenizer_open_from(source, err);
    size_t bytes = 0;
    char *text = t ? tokenizer_to_json(t, gguf, &bytes, err) : NULL;
    bool ok = text && output_write(folder, "tokenizer.json", text, bytes, err) &&
              put_json(folder, "tokenizer_config.json", tokenizer_config_to_json(t, gguf, positions, err),
                       (JsonStyle){0}, err);
    free(text);
    qm_tokenizer_close(t);
    return ok;
}

static bool write_tokenizer(const ModelSave *s, const char *folder, Err *err) {
    Source *from = s->tokenizer ? s->tokenizer : s->source;
    const Gguf *gguf = NULL;
    bool any = false, had;
    for (const char *const *name = tokenizer_files; *name; name++) {
        if (!copy_file(from, *name, folder, &had, err)) return false;
        any |= had;
    }
    if (any) return copy_templates(from, folder, err);
    if (!source_has_tokenizer(from)) return true; /* a model may have none: its data are ids */
    if (!source_gguf(from, &gguf, err)) return false;
    bool tokens = gguf && gguf_find(gguf, "tokenizer.ggml.tokens");
    return !tokens || write_gguf_tokenizer(from, gguf, s->config->max_positions, folder, err);
}

/* ---- Configuration ----------------------------------------------------------------------------------------------- */

static bool set(json_t *root, const char *key, json_t *value, Err *err) {
    return json_object_set_new(root, key, value) == 0 || err_as(err, QM_MEMORY, "out of memory: config.json");
}

/* `architectures` where the source has none or another head. */
static bool set_class(json_t *root, const ModelConfig *c, Err *err) {
    const char *old = json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
    const char *suffix = head_table[c->head].suffix;
    char name[96];
    config_class(c, name);
    size_t n = old ? strlen(old) : 0, m = strlen(suffix);
    bool other = c->head == HEAD_ABSENT && old && strstr(old, "For");
    if (old && n > m && !strcmp(old + n - m, suffix) && !other) return true;
    return set(root, "architectures", json_pack("[s]", name), err);
}

/* The source's own, key by key in its order, with what has changed. */
static json_t *changed_config(const ModelSave *s, const json_t *root, Err *err) {
    json_t *copy = json_deep_copy(root), *value;
    const char *key, *type = torch_dtype(s->dtype);
    if (!copy) return err_as(err, QM_MEMORY, "out of memory: config.json"), NULL;
    bool old = json_object_get(copy, "torch_dtype"), new = json_object_get(copy, "dtype");
    bool ok = set_class(copy, s->config, err) &&
              (!new || set(copy, "dtype", json_string(type), err)) &&
              ((new && !old) || set(copy, "torch_dtype", json_string(type), err));
    bool tied = json_is_true(json_object_get(copy, "tie_word_embeddings"));
    if (ok && s->config->head == HEAD_CAUSAL && tied != s->config->tied)
        ok = set(copy, "tie_word_embeddings", json_boolean(s->config->tied), err);
    json_object_foreach((json_t *)(uintptr_t)s->changes, key, value) {
        if (json_is_null(value)) json_object_del(copy, key);
        else ok = ok && set(copy, key, json_incref(value), err);
    }
    if (ok) return copy;
    json_decref(copy);
    return NULL;
}

static bool write_config(const ModelSave *s, const char *folder, Err *err) {
    const json_t *root;
    const char *where;
    bool had = true;
    if (!source_json(s->source, "config.json", &root, &where, err)) return false;
    json_t *made = root ? NULL : config_to_json(s->config, s->dtype, err);
    json_t *config = root || made ? changed_config(s, root ? root : made, err) : NULL;
    json_decref(made);
    if (!put_json(folder, "config.json", config, (JsonStyle){.ascii = true}, err)) return false;
    if (s->config->head != HEAD_CAUSAL) return true; /* nothing is generated */
    if (!copy_file(s->source, "generation_config.json", folder, &had, err)) return false;
    return had || root || put_json(folder, "generation_config.json", generation_to_json(s->config, err),
                                   (JsonStyle){.ascii = true}, err);
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

static bool write_weights(const ModelSave *s, const char *folder, Err *err) {
    const char *prefix = head_table[s->config->head].below;
    SaveTensor *list = mem_new((size_t)s->count + 1, sizeof *list, "tensors", err);
    Arena names = {0};
    bool ok = list != NULL;
    for (int64_t i = 0; ok && i < s->count; i++) {
        const char *below = name_below(s->tensors[i].name);
        char text[256];
        list[i] = s->tensors[i];
        if (!below) continue;
        int n = snprintf(text, sizeof text, "%s%s", prefix, below);
        ok = (list[i].name = arena_text(&names, text, (size_t)n, err)) != NULL;
    }
    if (ok) save_order(list, s->count);
    ok = ok && safetensors_save(folder, "model", list, s->count, s->dtype,
                                s->shard_bytes ? s->shard_bytes : SAVE_SHARD_BYTES, err);
    arena_free(&names);
    free(list);
    return ok;
}

/* ---- The folder -------------------------------------------------------------------------------------------------- */

bool model_folder_write_small(const ModelSave *s, const char *folder, Err *err) {
    return write_config(s, folder, err) && write_tokenizer(s, folder, err);
}

bool model_folder_write(const ModelSave *s, const char *folder, Err *err) {
    return model_folder_write_small(s, folder, err) && write_weights(s, folder, err);
}

bool model_folder_stale(const char *name) { return safetensors_saved_name(name, "model"); }

bool model_folder_allowed(const Source *source, const char *out, Err *err) {
    return !folder_exists(out) || !file_same(source_path(source), out) ||
           err_as(err, QM_USAGE, "%s: expected another folder to write than the model that is read", out);
}

bool model_folder_save(const ModelSave *s, const char *out, Err *err) {
    OutputFolder folder;
    if (!model_folder_allowed(s->source, out, err) || !output_folder_open(&folder, out, FOLDER_ADD, err)) return false;
    bool ok = model_folder_write(s, folder.path, err);
    return output_folder_end(&folder, ok, "config.json", model_folder_stale, err);
}
