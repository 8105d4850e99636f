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
    char architecture[32];                      /* the name of its family (src/model/family.c)                       */
    int64_t layers, hidden, ffn, vocab;
    int64_t heads, kv_heads, head_dim;          /* heads = kv_heads * group                                           */
    int64_t max_positions;
    double rms_norm_eps;
    Head head;
    int64_t labels;                             /* of a head with labels; 2 of HEAD_QUESTION; else 0                  */
    char problem[32];                           /* problem_type: how labels are counted as a loss; "": by their form  */
    bool tied;                                  /* lm_head shares embed_tokens                                        */
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm;                               /* queries and keys are normed, each head by itself                  */
    int64_t window[MAX_LAYERS];                 /* per layer: sliding window with the query itself, 0 = full         */
    Rope rope;
    int32_t bos, pad;                           /* -1: none; ids past the vocabulary count as none, eos too           */
    int32_t eos[MAX_EOS];
    int eos_count;
    /* What stands beside the linears (adapter.h), put there by whoever opens the model and outliving its graph. */
    const struct Adapters *adapters;            /* NULL: nothing                                                     */
    int64_t adapter_rank;                       /* of them all; 0: nothing                                           */
} ModelConfig;

/* How a family's tokenizers are read where their files leave it open. */
typedef enum PrefixRule {
    PREFIX_BY_CLASS,  /* add_prefix_space of tokenizer_config.json counts if tokenizer_class says so */
    PREFIX_BY_CONFIG, /* it counts                                                                   */
    PREFIX_BY_FILE,   /* it does not: tokenizer.json alone                                           */
} PrefixRule;
typedef struct TokenizerHabits {
    PrefixRule prefix;
    const char *pre;    /* tokenizer.ggml.pre of a GGUF file that has none and at least `tokens` tokens; NULL: gpt-2 */
    uint64_t tokens;
} TokenizerHabits;

/* What a config.json of a family means where it is silent. Sizes have no defaults: a file without them is damaged. */
typedef struct ConfigKeys {
    int64_t kv_heads, max_positions; /* kv_heads 0: as heads                                                     */
    int64_t head_dim;                /* 0: hidden / heads                                                        */
    int32_t bos, eos;
    bool qkv_bias;                   /* on q, k, v whatever the file says                                        */
    bool attention_bias, mlp_bias;   /* these keys are read: biases of q, k, v and o, and of the feed-forward    */
    bool qk_norm;
    int64_t window;                  /* default of sliding_window                                                */
    bool window_switch;              /* use_sliding_window, max_window_layers and layer_types are read           */
    bool window_gguf;                /* GGUF's attention.sliding_window is read: it is on every layer            */
} ConfigKeys;

/* A head by its name ("causal", "sequence", ...), or by the end of a class of transformers; HEAD_COUNT: none of them.
 * below: what its classes put before the names of all that stands below the head, where the graph has GRAPH_BELOW.
 * config_head.c has the table. */
typedef struct HeadRow { const char *name, *suffix, *weight; bool bias; const char *below; } HeadRow;
extern const HeadRow head_table[HEAD_COUNT];
#define GRAPH_BELOW "model."
const char *name_below(const char *name); /* what follows GRAPH_BELOW in a name of the graph; NULL: it is not below */
Head head_named(const char *name);

int64_t config_group(const ModelConfig *config); /* query heads per key/value head */
#endif
