/* config_write.h: a config.json for a model whose files have none: one that was read from GGUF's keys. */
#ifndef CONFIG_WRITE_H
#define CONFIG_WRITE_H
#include "../io/dtype.h"
#include "../io/json.h"
#include "family.h"

/* The configuration as transformers reads it, with dtype as that of the weights. An error names what has no place
 * there. Free with json_decref. */
json_t *config_to_json(const ModelConfig *config, DType dtype, Err *err);
/* generation_config.json: the ids that begin, end and pad. */
json_t *generation_to_json(const ModelConfig *config, Err *err);
/* What transformers calls a type of weights: "float32", "bfloat16", "float16". */
const char *torch_dtype(DType dtype);
/* The class with the configuration's head: "Qwen2ForCausalLM". */
void config_class(const ModelConfig *config, char out[96]);
#endif
