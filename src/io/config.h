/* config.h: what a checkpoint says of its model, from config.json or from GGUF metadata; checked, in 64-bit. */
#ifndef CONFIG_H
#define CONFIG_H
#include "../base/base.h"

enum { MAX_LAYERS = 1024, MAX_EOS = 16, MAX_HEAD_DIM = 1024 };

typedef enum RopeType { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LONGROPE, ROPE_LLAMA3 } RopeType;

/* Rotary embedding: facts of config.json, defaults filled in. */
typedef struct Rope {
    RopeType type;
    double theta, factor;
    int64_t dim;                                /* rotated channels of a head: head_dim * partial_rotary_factor, even */
    int64_t max_positions;                      /* max_position_embeddings                                            */
    int64_t original_max;                       /* original_max_position_embeddings, or max_positions                 */
    double attention_factor;                    /* multiplies cos and sin (1 unless yarn or longrope)                 */
    double beta_fast, beta_slow;                /* yarn                                                               */
    bool truncate;                              /* yarn                                                               */
    double low_freq_factor, high_freq_factor;   /* llama3                                                             */
    /* longrope: divisors of the frequencies up to original_max and past it. GGUF stores llama3 scaling as such a list
     * (rope_freqs.weight): it is read as longrope with both lists equal and attention_factor 1. */
    double short_factor[MAX_HEAD_DIM / 2], long_factor[MAX_HEAD_DIM / 2];
} Rope;

/* What stands on the states of the last layer: logits over the vocabulary, scores of labels for a sequence or for every
 * token, scores that an answer begins or ends at a token, or nothing. */
typedef enum Head { HEAD_CAUSAL, HEAD_SEQUENCE, HEAD_TOKEN, HEAD_QUESTION, HEAD_ABSENT, HEAD_COUNT } Head;

typedef struct ModelConfig {
    char architecture[32];                      /* "qwen2", "llama", "mistral"                                        */
    int64_t layers, hidden, ffn, vocab;
    int64_t heads, kv_heads, head_dim;          /* heads = kv_heads * group                                           */
    int64_t max_positions;
    double rms_norm_eps;
    Head head;
    int64_t labels;                             /* of a head with labels; 2 of HEAD_QUESTION; else 0                  */
    char problem[32];                           /* problem_type: how labels are counted as a loss; "": by their form  */
    bool tied;                                  /* lm_head shares embed_tokens                                        */
    bool qkv_bias, o_bias, mlp_bias;
    int64_t window[MAX_LAYERS];                 /* per layer: sliding window with the query itself, 0 = full         */
    Rope rope;
    int32_t bos, pad;                           /* -1: none; ids past the vocabulary count as none, eos too           */
    int32_t eos[MAX_EOS];
    int eos_count;
} ModelConfig;

/* From a folder (config.json; eos also from generation_config.json when config.json has none), a config.json file, a
 * .gguf file, or a packed file. Refuses what would run wrongly: unknown architectures, activations other than silu,
 * rope types it does not know, keys that change the computation otherwise (config_keys.c). */
struct QmSource;
bool config_load(ModelConfig *config, struct QmSource *source, Err *err);
bool config_from_json(ModelConfig *config, const char *data, size_t bytes, const char *where, Err *err);
struct Gguf;
bool config_from_gguf(ModelConfig *config, const struct Gguf *gguf, Err *err);

/* A head by its name ("causal", "sequence", ...), or by the end of a class of transformers; HEAD_COUNT: none of them.
 * config_head.c has the table. */
typedef struct HeadRow { const char *name, *suffix, *weight; bool bias; } HeadRow;
extern const HeadRow head_table[HEAD_COUNT];
Head head_named(const char *name);

/* A tied model whose checkpoint has another lm_head than its embedding is not tied, as in transformers: the head is
 * used, with a word on stderr. */
struct Weights;
void config_untie(ModelConfig *config, struct Weights *weights);

int64_t config_group(const ModelConfig *config);      /* query heads per key/value head       */
int64_t config_parameters(const ModelConfig *config); /* weights counted once, ties included */
#endif
