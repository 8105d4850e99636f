/* sentence.c: see sentence.h. Source: sentence-transformers 5 (SentenceTransformer.py, models/Pooling.py). */
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "sentence.h"

enum { FILE_LIMIT = 1 << 20 };

/* A small file of the model: its root, and what messages call it; root NULL without an error: there is none. Both are
 * the caller's: file_free, also after failure. */
typedef struct File { json_t *root; char *where; } File;

static bool file_json(File *file, Source *source, const char *name, Err *err) {
    SourceText text;
    bool ok = source_text(source, name, FILE_LIMIT, &text, err);
    *file = (File){.where = text.where};
    text.where = NULL;
    ok = ok && (!text.data || (file->root = json_text(text.data, text.bytes, file->where, err)));
    source_text_free(&text);
    return ok;
}

static void file_free(File *file) {
    json_decref(file->root);
    free(file->where);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), e = strlen(end);
    return n >= e && !strcmp(text + n - e, end);
}

/* Which of the old keys is on, or the new one's word. */
static bool read_pooling(Sentence *s, const json_t *root, const char *where, Err *err) {
    const char *mode = NULL;
    char on[64] = "";
    const char *key;
    json_t *value;
    bool prompt = true;
    if (!json_get_text(root, "pooling_mode", where, &mode, err) ||
        !json_get_bool(root, "include_prompt", where, &prompt, err))
        return false;
    static const char old[] = "pooling_mode_";
    int count = 0;
    json_object_foreach((json_t *)(uintptr_t)root, key, value) {
        if (strncmp(key, old, sizeof old - 1) || !json_is_true(value)) continue;
        count++;
        snprintf(on, sizeof on, "%s", key + sizeof old - 1);
    }
    if (mode) snprintf(on, sizeof on, "%s", mode), count = 1;
    if (!prompt) return err_as(err, QM_LIMIT, "%s: include_prompt false is not supported", where);
    if (count == 1 && (!strcmp(on, "lasttoken"))) s->pooling = POOLING_LAST;
    else if (count == 1 && (!strcmp(on, "mean") || !strcmp(on, "mean_tokens"))) s->pooling = POOLING_MEAN;
    else return err_as(err, QM_LIMIT, "%s: pooling: expected lasttoken or mean, got %s", where,
                       count > 1 ? "several" : *on ? name_text(on, strlen(on)).text : "none");
    return true;
}

static bool read_module(Sentence *s, Source *source, const json_t *module, const char *where, Err *err) {
    const char *type = NULL, *part = "";
    if (!json_get_text(module, "type", where, &type, err) || !json_get_text(module, "path", where, &part, err))
        return false;
    if (!type) return err_set(err, "%s: expected modules with a type", where);
    if (ends_with(type, ".Transformer")) {
        return !*part || err_as(err, QM_LIMIT, "%s: a model in the folder %s: give that folder", where,
                                name_text(part, strlen(part)).text);
    }
    if (ends_with(type, ".Normalize")) return s->normalize = true;
    if (!ends_with(type, ".Pooling"))
        return err_as(err, QM_LIMIT, "%s: module %s is not supported", where, name_text(type, strlen(type)).text);
    if (strstr(part, "..") || *part == '/')
        return err_set(err, "%s: path: expected a folder of the model, got %s", where,
                       name_text(part, strlen(part)).text);
    File file;
    char *name = path_join(part, "config.json", err);
    if (!name) return false;
    bool ok = file_json(&file, source, *part ? name : "config.json", err);
    if (ok && !file.root) ok = err_set(err, "%s is missing", file.where);
    ok = ok && read_pooling(s, file.root, file.where, err);
    file_free(&file);
    free(name);
    return ok;
}

static bool read_prompts(Sentence *s, Source *source, Err *err) {
    File file;
    const char *name = NULL, *key;
    json_t *prompts, *value;
    bool ok = file_json(&file, source, "config_sentence_transformers.json", err) &&
              (!file.root || json_get_text(file.root, "default_prompt_name", file.where, &name, err));
    prompts = json_object_get(file.root, "prompts");
    if (ok && name) snprintf(s->default_prompt, sizeof s->default_prompt, "%s", name);
    if (ok && prompts && !json_is_null(prompts)) {
        if (!json_is_object(prompts)) ok = err_set(err, "%s: prompts: expected an object", file.where);
        else json_object_foreach(prompts, key, value)
            if (ok && !json_is_text(value)) ok = err_set(err, "%s: prompts: %s: expected a text", file.where,
                                                         name_text(key, strlen(key)).text);
        if (ok) s->prompts = json_incref(prompts);
    }
    file_free(&file);
    return ok;
}

static bool read_length(Sentence *s, Source *source, Err *err) {
    File file;
    bool ok = file_json(&file, source, "sentence_bert_config.json", err) &&
              (!file.root ||
               json_get_int(file.root, "max_seq_length", file.where, 1, INT32_MAX, &s->max_tokens, err));
    file_free(&file);
    return ok;
}

/* All but the prompts. */
static bool read_modules(Sentence *s, Source *source, Err *err) {
    File file;
    *s = (Sentence){.pooling = POOLING_LAST, .normalize = true};
    bool ok = file_json(&file, source, "modules.json", err);
    if (ok && file.root) {
        size_t i;
        const json_t *module;
        ok = json_is_array(file.root) || err_set(err, "%s: expected an array of modules", file.where);
        s->found = true;
        s->normalize = false;
        json_array_foreach(file.root, i, module) ok = ok && read_module(s, source, module, file.where, err);
        ok = ok && read_length(s, source, err);
    }
    file_free(&file);
    return ok;
}

bool sentence_open(Sentence *s, Source *source, Err *err) {
    return read_modules(s, source, err) && (!s->found || read_prompts(s, source, err));
}

void sentence_free(Sentence *s) {
    json_decref(s->prompts);
    *s = (Sentence){0};
}

const char *sentence_prompt(const Sentence *s, const char *name, Err *err) {
    const char *asked = name ? name : s->default_prompt;
    if (!*asked) return "";
    const char *text = json_string_value(json_object_get(s->prompts, asked)), *key;
    if (text) return text;
    Text names = {0};
    json_t *value;
    json_object_foreach(s->prompts, key, value) text_line(&names, "%s%s", names.bytes ? ", " : "", key);
    err_as(err, name ? QM_USAGE : QM_INPUT, "prompt name: expected %s, got '%.60s'",
           names.data && names.bytes ? names.data : "none, as the model has no prompts", asked);
    text_free(&names);
    return NULL;
}

/* ---- As the header offers it ------------------------------------------------------------------------------------- */

bool qm_source_pooling(QmSource *source, QmPooling *pooling, QmErr *err) {
    Sentence s;
    bool ok = read_modules(&s, source, err);
    if (ok) *pooling = (QmPooling){s.pooling == POOLING_MEAN, s.normalize, s.max_tokens};
    sentence_free(&s);
    return ok;
}

char *qm_source_prompt(QmSource *source, const char *name, QmErr *err) {
    Sentence s = {0};
    bool ok = !source_has(source, "modules.json") || read_prompts(&s, source, err);
    const char *text = ok ? sentence_prompt(&s, name, err) : NULL;
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) err_as(err, QM_MEMORY, "out of memory: a prompt");
    sentence_free(&s);
    return copy;
}
