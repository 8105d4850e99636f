/* config_check.h: parts of reading a configuration that its two sources share. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H
#include <jansson.h>
#include "config.h"

/* Sizes positive and within limits, heads divisible by key/value heads. */
bool config_check(const ModelConfig *config, const char *where, Err *err);

/* A parsed config.json, and the keys of a GGUF file, of the family that config->architecture names. What would run
 * wrongly is refused: activations other than silu, rope types that are not known, keys that change the computation
 * otherwise (config_keys.c). */
bool config_read_json(ModelConfig *config, const ConfigKeys *keys, const json_t *root, const char *where, Err *err);
struct Gguf;
bool config_read_gguf(ModelConfig *config, const ConfigKeys *keys, const struct Gguf *gguf, Err *err);
/* An id, or a list of ids: what ends a sequence. The vocabulary is known. */
bool config_read_eos(ModelConfig *config, const json_t *value, const char *where, Err *err);

/* Refuses keys that change the computation in a way we do not have (config_keys.c has the table). */
bool config_keys_check(const json_t *root, const char *where, Err *err);
/* A word on stderr, once a run, about keys that are in no table. */
void config_keys_warn(const json_t *root, const char *where);

/* The head, its labels and their loss. */
bool head_from_json(ModelConfig *config, const json_t *root, const char *where, Err *err);

/* The rotary part of config.json; `config` has its sizes. */
bool rope_from_json(Rope *rope, const json_t *root, const ModelConfig *config, const char *where, Err *err);
/* YaRN's factor on cos and sin: 1 for factors up to 1. */
double rope_yarn_mscale(double factor, double mscale);
/* Numbers of a complete Rope: dim even and inside the head, factors in range. */
bool rope_check(const Rope *rope, const ModelConfig *config, const char *where, Err *err);
#endif
