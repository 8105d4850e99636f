/* at_path.h: for tests: what a model's files say, by path. */
#ifndef AT_PATH_H
#define AT_PATH_H
#include "../src/infer/generation.h"
#include "../src/io/source.h"
#include "../src/io/config.h"
#include "../src/io/weights.h"

static inline bool config_at(ModelConfig *config, const char *path, Err *err) {
    Source *source = source_open(path, err);
    bool ok = source && config_load(config, source, err);
    source_close(source);
    return ok;
}

static inline Weights *weights_from(const char *path, Err *err) {
    Source *source = source_open(path, err);
    Weights *weights = source ? weights_open(source, err) : NULL;
    source_close(source);
    return weights;
}

static inline bool defaults_at(GenerationConfig *config, const char *path, Err *err) {
    Source *source = source_open(path, err);
    bool ok = source && generation_defaults(config, source, err);
    source_close(source);
    return ok;
}
#endif
