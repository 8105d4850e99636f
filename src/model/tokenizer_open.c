/* tokenizer_open.c: the tokenizer of a model, whatever files it is made of. */
#include <string.h>
#include "../base/file_kind.h"
#include "../text/tokenizer.h"
#include "family.h"

enum { TOKENIZER_LIMIT = 256 << 20 }; /* bytes */

/* tokenizer_config.json; model_type of config.json, if there is one, counts too: transformers goes by it. */
static bool load_config(QmTokenizer *t, Source *source, Err *err) {
    const json_t *config, *model;
    const char *type = NULL, *where, *model_where;
    if (!source_json(source, "tokenizer_config.json", &config, &where, err)) return false;
    if (!source_json(source, "config.json", &model, &model_where, err)) return false;
    if (model && !json_get_text(model, "model_type", model_where, &type, err)) return false;
    const Family *family = type ? family_find(type, strlen(type), false) : NULL;
    return !config || tokenizer_load_config(t, config, family ? &family->tokenizer : NULL, where, err);
}

static bool load_gguf(QmTokenizer *t, const Gguf *gguf, const Source *source, Err *err) {
    GgufText name = {"", 0};
    bool ok = !gguf_find(gguf, "general.architecture") || gguf_text(gguf, "general.architecture", &name, err);
    const Family *family = family_find(name.data, name.bytes, true);
    if (ok && tokenizer_load_gguf(t, gguf, family ? &family->tokenizer : NULL, err)) return true;
    err_prefix(err, "%s", gguf->file.path ? gguf->file.path : source_path(source));
    return false;
}

/* Where newer folders keep the template, which then wins, and one for requests with tools. */
static bool load_template(QmTokenizer *t, Source *source, Err *err) {
    static const char *const names[] = {"chat_template.jinja", "additional_chat_templates/tool_use.jinja"};
    bool ok = true;
    for (int i = 0; ok && i < 2; i++) {
        SourceText jinja;
        ok = source_text(source, names[i], JINJA_MOST_BYTES, &jinja, err);
        if (ok && jinja.data)
            ok = !file_is_other(jinja.data, jinja.bytes, jinja.where, err) &&
                 chat_take(&t->chat, jinja.data, jinja.bytes, i == 1, err);
        source_text_free(&jinja);
    }
    return ok;
}

static bool load_files(QmTokenizer *t, Source *source, Err *err) {
    SourceText json;
    bool ok = source_text(source, "tokenizer.json", TOKENIZER_LIMIT, &json, err) &&
              (json.data || err_as(err, QM_IO, "cannot open %s: the model has no such file", json.where)) &&
              tokenizer_load_json(t, (const uint8_t *)json.data, json.bytes, json.where, err);
    source_text_free(&json);
    return ok && load_config(t, source, err) && load_template(t, source, err);
}

QmTokenizer *qm_tokenizer_open_from(QmSource *source, QmErr *err) {
    QmTokenizer *t = tokenizer_new(err);
    const Gguf *gguf = NULL; /* a folder's counts where it has no tokenizer.json */
    bool ok = t && (source_has(source, "tokenizer.json") || source_gguf(source, &gguf, err));
    if (ok && (gguf ? load_gguf(t, gguf, source, err) : load_files(t, source, err))) return t;
    qm_tokenizer_close(t);
    return NULL;
}

QmTokenizer *qm_tokenizer_open(const char *path, QmErr *err) {
    Source *source = source_open(path, err);
    QmTokenizer *t = source ? qm_tokenizer_open_from(source, err) : NULL;
    source_close(source);
    return t;
}
