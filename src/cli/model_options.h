/* model_options.h: what every command with a model takes, and the sampling options on top of a model's own. */
#ifndef MODEL_OPTIONS_H
#define MODEL_OPTIONS_H
#include "../infer/generation.h"
#include "cli.h"

typedef struct ModelOptions {
    const char *model, *mesh, *kv_cache, *isa, *act, *backend, *plugin, *program_cache, *weights, *candidates;
    int64_t threads, context, slots, rows;
    bool rope_bf16, verbose, pin;
} ModelOptions;

#define MODEL_OPTIONS(m)                                                                                               \
    {"model", 'm', OPTION_TEXT, &(m).model, 0, 0, "DIR|FILE", "Hugging Face folder, .gguf or packed file", NULL},      \
    {"mesh", 0, OPTION_TEXT, &(m).mesh, 0, 0, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)", NULL},                \
    {"threads", 't', OPTION_INT, &(m).threads, 0, 256, "N", "workers (default 0: one per core)", NULL},                \
    {"pin", 0, OPTION_FLAG, &(m).pin, 0, 0, NULL,                                                                      \
     "every worker stays on a core; second threads of a core come last", NULL},                                        \
    {"ctx", 'c', OPTION_INT, &(m).context, 0, 2147483648.0, "N",                                                       \
     "cache positions per sequence (default: 4096 at most)", NULL},                                                    \
    {"rows", 0, OPTION_INT, &(m).rows, 0, 8192, "N", "rows of a step, the chunk of a prefill (default 128)", NULL},    \
    {"cache-type", 0, OPTION_TEXT, &(m).kv_cache, 0, 0, "TYPE", "key/value cache: f32 (default), bf16 or 8bit", NULL}, \
    {"act", 0, OPTION_TEXT, &(m).act, 0, 0, "TYPE",                                                                    \
     "activations: f32 (default); int8: where weights are quantised; bf16: where they are bf16", NULL},                \
    {"weights", 0, OPTION_TEXT, &(m).weights, 0, 0, "TYPE",                                                            \
     "file (default), or convert them at load: bf16, 8bit, 4bit; PJRT: f32, bf16", NULL},                              \
    {"isa", 0, OPTION_TEXT, &(m).isa, 0, 0, "NAME",                                                                    \
     "no better kernels than these: reference, avx2, avx512, avx512vnni, avx512bf16", NULL},                           \
    {"backend", 0, OPTION_TEXT, &(m).backend, 0, 0, "NAME", "cpu (default) or pjrt", NULL},                            \
    {"plugin", 0, OPTION_TEXT, &(m).plugin, 0, 0, "FILE|NAME",                                                         \
     "PJRT plugin: a file, or cpu, tt, cuda, tpu (implies --backend pjrt); under mpirun: cuda", NULL},                 \
    {"program-cache", 0, OPTION_TEXT, &(m).program_cache, 0, 0, "DIR",                                                 \
     "compiled PJRT programs (default ~/.cache/qwenmesh; none: off)", NULL},                                           \
    {"candidates", 0, OPTION_TEXT, &(m).candidates, 0, 0, "N",                                                         \
     "logits a PJRT device tells of a row sampled by top-k (default 64; XLA CPU, tt: 0, whole rows)", NULL},           \
    {"rope-bf16", 0, OPTION_FLAG, &(m).rope_bf16, 0, 0, NULL,                                                          \
     "rotary frequencies rounded to bf16, as after PyTorch's .to(bfloat16)", NULL},                                    \
    {"verbose", 'v', OPTION_FLAG, &(m).verbose, 0, 0, NULL, "show the model and the effective values", NULL}

enum { FOLDER_BYTES = 512 };
/* The engine's options; `folder` holds a path that they point to. */
QmEngineOptions model_engine_options(const ModelOptions *m, char folder[FOLDER_BYTES]);
/* NULL and a printed error; *code is the exit code then. */
QmEngine *model_open(const char *command, const ModelOptions *m, bool hidden, int *code);

/* From now on Ctrl-C stops what the engine runs and sets interrupted(); NULL ends that. One engine at a time. */
void interrupt_stops(QmEngine *engine);
bool interrupted(void);
void interrupt_clear(void);

/* Sampling options: each is taken only if given. */
typedef struct SampleOptions {
    int64_t n, top_k, seed;
    double temperature, top_p, min_p, repeat_penalty;
    const char *stop, *grammar, *json_schema, *regex;
    bool has_n, has_top_k, has_seed, has_temperature, has_top_p, has_min_p, has_repeat_penalty, ignore_eos;
} SampleOptions;

#define SAMPLE_OPTIONS(s)                                                                                              \
    {"n-predict", 'n', OPTION_INT, &(s).n, 0, 1 << 30, "N", "new tokens at most (default 256)", &(s).has_n},           \
    {"temp", 0, OPTION_FLOAT, &(s).temperature, 0, 1e6, "T", "temperature; 0 is greedy", &(s).has_temperature},        \
    {"top-k", 0, OPTION_INT, &(s).top_k, 0, 1 << 30, "K", "keep the K likeliest; 0 is off", &(s).has_top_k},           \
    {"top-p", 0, OPTION_FLOAT, &(s).top_p, 0, 1, "P", "keep the likeliest of mass P", &(s).has_top_p},                 \
    {"min-p", 0, OPTION_FLOAT, &(s).min_p, 0, 1, "P", "drop below P times the likeliest", &(s).has_min_p},             \
    {"repeat-penalty", 0, OPTION_FLOAT, &(s).repeat_penalty, 1e-6, 1e6, "R",                                           \
     "penalty of ids already there", &(s).has_repeat_penalty},                                                         \
    {"seed", 's', OPTION_INT, &(s).seed, 0, 9e18, "N", "seed of the draws (default 0)", &(s).has_seed},                \
    {"stop", 0, OPTION_TEXT, &(s).stop, 0, 0, "TEXT", "stop at this text", NULL},                                      \
    {"grammar", 0, OPTION_TEXT, &(s).grammar, 0, 0, "FILE", "the answer keeps to this grammar (GBNF)", NULL},          \
    {"json-schema", 0, OPTION_TEXT, &(s).json_schema, 0, 0, "FILE", "the answer is JSON of this schema", NULL},        \
    {"regex", 0, OPTION_TEXT, &(s).regex, 0, 0, "TEXT", "the whole answer matches this regular expression", NULL},     \
    {"ignore-eos", 0, OPTION_FLAG, &(s).ignore_eos, 0, 0, NULL, "go on past end-of-sequence tokens", NULL}

/* Guesses of the next tokens, checked by the model: the same answer, sooner. */
typedef struct DraftOptions { const char *model; int64_t lookup; bool has_lookup; } DraftOptions;

#define DRAFT_OPTIONS(d)                                                                                               \
    {"draft-model", 0, OPTION_TEXT, &(d).model, 0, 0, "DIR|FILE",                                                      \
     "a smaller model of the same vocabulary that guesses ahead", NULL},                                               \
    {"lookup", 0, OPTION_INT, &(d).lookup, 0, MAX_DRAFT, "N",                                                          \
     "guess N tokens ahead from what the text repeats", &(d).has_lookup}

/* The model's defaults with the given options on top; with -v, what came of it on stderr. */
bool sample_options_config(const SampleOptions *s, const ModelOptions *m, GenerationConfig *c, Err *err);
#endif
