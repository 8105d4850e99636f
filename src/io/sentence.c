/* sentence.c: see sentence.h. Source: sentence-transformers 5 (SentenceTransformer.py, models/Pooling.py). */
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "sentence.h"

const char *const pooling_names[POOLING_COUNT] = {"last", "mean"};

enum { FILE_LIMIT = 1 << 20, PATH_BYTES = 4096 };

/* A file of the folder; NULL without an error: it has none. path [PATH_BYTES] is what messages call it. */
static json_t *folder_json(const char *folder, const char *part, const char *name, char *path, Err *err) {
    int n = snprintf(path, PATH_BYTES, "%s/%s%s%s", folder, part, *part ? "/" : "", name);
    if (n < 0 || n >= PATH_BYTES) {
        err_as(err, QM_LIMIT, "%s: the name is too long", folder);
        return NULL;
    }
    return file_exists(path) ? json_file(path, FILE_LIMIT, err) : NULL;
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

static bool read_module(Sentence *s, const char *folder, const json_t *module, const char *where, Err *err) {
    const char *type = NULL, *part = "";
    char path[PATH_BYTES];
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
    json_t *root = folder_json(folder, part, "config.json", path, err);
    bool ok = root ? read_pooling(s, root, path, err) : err->kind ? false : err_set(err, "%s is missing", path);
    json_decref(root);
    return ok;
}

static bool read_prompts(Sentence *s, const char *folder, Err *err) {
    char path[PATH_BYTES];
    const char *name = NULL, *key;
    json_t *root = folder_json(folder, "", "config_sentence_transformers.json", path, err), *prompts, *value;
    bool ok = !err->kind && (!root || json_get_text(root, "default_prompt_name", path, &name, err));
    prompts = json_object_get(root, "prompts");
    if (ok && name) snprintf(s->default_prompt, sizeof s->default_prompt, "%s", name);
    if (ok && prompts && !json_is_null(prompts)) {
        if (!json_is_object(prompts)) ok = err_set(err, "%s: prompts: expected an object", path);
        else json_object_foreach(prompts, key, value)
            if (ok && !json_is_text(value)) ok = err_set(err, "%s: prompts: %s: expected a text", path,
                                                         name_text(key, strlen(key)).text);
        if (ok) s->prompts = json_incref(prompts);
    }
    json_decref(root);
    return ok;
}

bool sentence_open(Sentence *s, const char *model, Err *err) {
    char path[PATH_BYTES];
    *s = (Sentence){.pooling = POOLING_LAST, .normalize = true};
    if (!model || !folder_exists(model)) return true;
    json_t *modules = folder_json(model, "", "modules.json", path, err), *module;
    if (!modules) return !err->kind;
    size_t i;
    bool ok = json_is_array(modules) || err_set(err, "%s: expected an array of modules", path);
    s->found = true;
    s->normalize = false;
    json_array_foreach(modules, i, module) ok = ok && read_module(s, model, module, path, err);
    json_decref(modules);
    json_t *root = ok ? folder_json(model, "", "sentence_bert_config.json", path, err) : NULL;
    ok = ok && !err->kind && (!root || json_get_int(root, "max_seq_length", path, 1, INT32_MAX, &s->max_tokens, err));
    json_decref(root);
    return ok && read_prompts(s, model, err);
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
