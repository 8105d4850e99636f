/* family.h: what a family of models is, one row each: its names, what its config.json means, and its graph. A new
 * family is one row in family.c and, where its graph is none of those that are there, one file beside decoder.c. */
#ifndef FAMILY_H
#define FAMILY_H
#include "../io/source.h"
#include "../io/tensor_names.h"
#include "../io/weights.h"
#include "model_graph.h"

typedef struct Family {
    const char *name;             /* model_type of config.json, architecture of a ModelConfig                      */
    const char *gguf;             /* general.architecture; NULL: its files call themselves another family's         */
    bool divisors;                /* rotary frequencies of its GGUF files may have divisors (rope_freqs.weight)      */
    const char *classes;          /* how transformers' classes of it begin: Qwen2 of Qwen2ForCausalLM               */
    ConfigKeys keys;
    TokenizerHabits tokenizer;
    const TensorNames *names;     /* of tensors in GGUF                                                            */
    const char *embedding, *head; /* names of the checkpoint: they may be tied                                     */
    const char *typical;          /* the matrix whose type is told as the model's                                  */
    const char *const *spare;     /* endings of tensors that some checkpoints have and no model needs; ended by NULL */
    bool (*graph)(ModelGraph *m, const ModelConfig *config, int64_t rows, int64_t context, int use, Err *err);
} Family;

extern const Family *const families[]; /* ended by NULL */
const Family *family_find(const char *name, size_t bytes, bool gguf); /* by its name, or GGUF's; NULL: there is none */
const Family *family_of(const ModelConfig *config); /* by its architecture; NULL: there is none of that name */

/* ---- What a model's files say of it ----------------------------------------------------------------------------- */

/* From config.json (eos also from generation_config.json when config.json has none), else from GGUF's keys. Refuses
 * what would run wrongly: unknown families, and what config_check.h names. */
bool config_load(ModelConfig *config, Source *source, Err *err);
bool config_from_json(ModelConfig *config, const char *data, size_t bytes, const char *where, Err *err);
bool config_from_gguf(ModelConfig *config, const Gguf *gguf, Err *err);

/* The weights of a model of this family; what no model needs of them counts as used. NULL on error. */
Weights *model_weights(const ModelConfig *config, Source *source, Err *err);
/* A tied model whose checkpoint has another lm_head than its embedding is not tied, as in transformers: the head is
 * used, with a warning. */
void config_untie(ModelConfig *config, Weights *weights);

/* ---- Its graph -------------------------------------------------------------------------------------------------- */

/* For steps of at most `rows` rows and slots of `context` positions. use: USE_HIDDEN: with outputs "hidden.0" to
 * "hidden.L"; USE_TRAINING: see train_graph.h.
 * config outlives it. Freed with model_graph_free; after failure there is nothing to free. */
bool model_graph(ModelGraph *m, const ModelConfig *config, int64_t rows, int64_t context, int use, Err *err);
#endif
