/* config_open.c: the configuration of a model, whatever files it is made of. */
#include <string.h>
#include "../base/watch.h"
#include "config_check.h"
#include "source.h"
#include "weights.h"

static bool from_config_json(ModelConfig *config, Source *source, const json_t *root, const char *where, Err *err) {
    if (!config_from_root(config, root, where, err)) return false;
    config_keys_warn(root, where);
    if (config->eos_count > 0) return true;
    return source_json(source, "generation_config.json", &root, &where, err) &&
           (!root || config_read_eos(config, json_object_get(root, "eos_token_id"), where, err));
}

static bool from_gguf(ModelConfig *config, const Source *source, const Gguf *gguf, Err *err) {
    const Packed *packed = source_packed(source);
    const char *path = gguf->file.path ? gguf->file.path : source_path(source);
    if (!config_from_gguf(config, gguf, err)) return err_prefix(err, "%s", path), false;
    /* The weights of a packed file are not with the keys. */
    if (packed) config->tied = !packed_find(packed, SECTION_PANELS, "lm_head.weight");
    return true;
}

bool config_load(ModelConfig *config, Source *source, Err *err) {
    const json_t *root;
    const Gguf *gguf;
    const char *where;
    *config = (ModelConfig){0};
    if (!source_json(source, "config.json", &root, &where, err)) return false;
    if (root) return from_config_json(config, source, root, where, err);
    if (!source_gguf(source, &gguf, err)) return false;
    if (gguf) return from_gguf(config, source, gguf, err);
    return source_packed(source) ? err_set(err, "%s holds no configuration: looked for config.json and metadata.gguf",
                                           source_path(source))
                                 : err_set(err, "%s holds no model: looked for config.json and *.gguf",
                                           source_path(source));
}

void config_untie(ModelConfig *config, Weights *weights) {
    WeightTensor *head = NULL, *embed = NULL;
    for (int64_t i = 0; config->tied && i < weights_count(weights); i++) {
        WeightTensor *t = weights_at(weights, i);
        if (!strcmp(t->name, "lm_head.weight")) head = t;
        if (!strcmp(t->name, "model.embed_tokens.weight")) embed = t;
    }
    if (!head || !embed || head->rank != embed->rank || memcmp(head->dim, embed->dim, sizeof head->dim)) return;
    if (!weights_packed(weights)) { /* packing kept the head only if it differed */
        if (head->dtype == embed->dtype && head->bytes == embed->bytes && !memcmp(head->data, embed->data, head->bytes))
            return;
        watch_say(QM_WARNING, "tie_word_embeddings is true, but lm_head.weight differs from the embedding: it is used, "
                              "and they are not tied");
    }
    config->tied = false;
}
