/* adapter.h: a LoRA adapter in PEFT's files: a folder with adapter_config.json and adapter_model.safetensors. Beside a
 * linear y = x W^T + b stands scale * (x A^T) B^T, A [rank, in], B [out, rank]; of DoRA, y = m / |W + scale B A| *
 * (x W^T + scale (x A^T) B^T) + b, with a magnitude m and a norm for each row of W. Sources: LoRA (Hu et al. 2021),
 * rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), and PEFT 0.21 for names, files and patterns.
 *
 * Modules are called as in the graph, "model.layers.0.self_attn.q_proj", whatever class of transformers the adapter was
 * made on.
 */
#ifndef ADAPTER_H
#define ADAPTER_H
#include "safetensors.h"
#include "weights.h"

#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"
#define ADAPTER_PREFIX "base_model.model." /* of every name in the file */
#define ADAPTER_A ".lora_A.weight"
#define ADAPTER_B ".lora_B.weight"
#define ADAPTER_MAGNITUDE ".lora_magnitude_vector"

enum { MAX_ADAPTER_RANK = 1 << 16, MODULE_NAME = 80 };

/* ---- adapter_config.json ---------------------------------------------------------------------------------------- */

typedef enum AdapterBias { ADAPTER_BIAS_NONE, ADAPTER_BIAS_ALL, ADAPTER_BIAS_LORA, ADAPTER_BIASES } AdapterBias;
extern const char *const adapter_biases[ADAPTER_BIASES]; /* "none", "all", "lora_only" */

/* Names of modules: a list, of which one names a module that is called so or ends in ".NAME"; or one regular expression
 * for the whole name (count 1), or every linear of the layers ("all-linear"). */
typedef struct AdapterNames {
    const char **list;
    int64_t count;
    bool pattern, all_linear;
} AdapterNames;

/* Numbers of modules by regular expression: it has to match the end of the name, from its beginning or after a dot. */
typedef struct AdapterPatterns { const char **pattern; double *value; int64_t count; } AdapterPatterns;

typedef struct AdapterConfig {
    int64_t rank;                /* r */
    double alpha, dropout;       /* dropout: of x before A, while training */
    bool rslora, dora;
    AdapterBias bias;
    AdapterNames targets, saved; /* target_modules, modules_to_save */
    bool ties_weights;           /* ensure_weight_tying */
    AdapterPatterns ranks, alphas;
    const char *base, *task;     /* base_model_name_or_path, task_type; "" where it is silent */
    double spent;                /* seconds in regular expressions: they come from files, and may be slow by intent */
    Arena arena;
} AdapterConfig;

/* Refuses what would run wrongly. `where` is for messages. Freed with adapter_config_free, after failure too. */
bool adapter_config_parse(AdapterConfig *config, const char *data, size_t bytes, const char *where, Err *err);
void adapter_config_free(AdapterConfig *config);

/* Of a module, called as in the file: rank and alpha by their patterns, else the adapter's. */
bool adapter_rank_of(AdapterConfig *config, const char *module, int64_t *rank, Err *err);
bool adapter_alpha_of(AdapterConfig *config, const char *module, double *alpha, Err *err);
/* alpha / rank, or alpha / sqrt(rank) of rsLoRA. */
double adapter_scale(const AdapterConfig *config, int64_t rank, double alpha);
/* Whether targets or saved name a module, called as in the file. */
bool adapter_names(AdapterConfig *config, const AdapterNames *names, const char *module, bool *named, Err *err);

/* ---- The folder -------------------------------------------------------------------------------------------------- */

typedef struct AdapterModule {
    char name[MODULE_NAME];
    int64_t rank;
    double scale;
    const SafeTensor *a, *b, *magnitude; /* magnitude NULL: no DoRA */
} AdapterModule;

/* A weight of the model that the adapter has instead: a bias, or what modules_to_save names. */
typedef struct AdapterWeight { char name[MODULE_NAME + 16]; const SafeTensor *tensor; } AdapterWeight;

typedef struct Adapter {
    char *path;
    AdapterConfig config;
    SafeTensors file;
    AdapterModule *modules; /* sorted by name, at least one unless there are weights */
    int64_t count;
    AdapterWeight *weights;
    int64_t weight_count;
} Adapter;

/* Checks what the files alone say: names, types, that the ranks of A and B agree. NULL and an error. */
Adapter *adapter_open(const char *path, Err *err);
/* The same of bytes in memory that outlive the result. What the fuzzer calls. */
Adapter *adapter_parse(const char *config, size_t config_bytes, const uint8_t *data, size_t bytes, const char *path,
                       Err *err);
void adapter_close(Adapter *adapter);
#endif
