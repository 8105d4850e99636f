/* at_path.h: for tests: what a model's files say, by path. */
#ifndef AT_PATH_H
#define AT_PATH_H
#include "../src/infer/generation.h"
#include "../src/model/family.h"

static inline bool config_at(ModelConfig *config, const char *path, Err *err) {
    Source *source = source_open(path, err);
    bool ok = source && config_load(config, source, err);
    source_close(source);
    return ok;
}

/* GGUF's tensors by the names of the family that it says it is, else as they are: tests need no configuration. */
static inline const TensorNames *names_at(Source *source) {
    static const NamePair nothing[1];
    static const TensorNames none = {nothing, nothing, "model.layers.", false};
    const Gguf *gguf = NULL;
    GgufText name = {"", 0};
    Err ignored = {0};
    if (source_packed(source) || !source_gguf(source, &gguf, &ignored) || !gguf) return &none;
    if (!gguf_text(gguf, "general.architecture", &name, &ignored)) return &none;
    for (const Family *const *f = families; *f; f++)
        if ((*f)->gguf && strlen((*f)->gguf) == name.bytes && !memcmp((*f)->gguf, name.data, name.bytes))
            return (*f)->names;
    return &none;
}

static inline Weights *weights_from(const char *path, Err *err) {
    Source *source = source_open(path, err);
    Weights *weights = source ? weights_open(source, names_at(source), err) : NULL;
    source_close(source);
    return weights;
}

static inline bool defaults_at(GenerationConfig *config, const char *path, Err *err) {
    Source *source = source_open(path, err);
    bool ok = source && generation_defaults(config, source, err);
    source_close(source);
    return ok;
}

/* Numbers of the model's weights; -1: it has no graph. */
static inline int64_t parameters_of(const ModelConfig *config) {
    ModelGraph *m = calloc(1, sizeof *m);
    Err err = {0};
    int64_t count = m && model_graph(m, config, 1, 1, false, &err) ? graph_parameters(&m->graph) : -1;
    if (count >= 0) model_graph_free(m);
    free(m);
    return count;
}
#endif
