/* model_options.h: what every command with a model takes, and the sampling options on top of a model's own. */
#ifndef MODEL_OPTIONS_H
#define MODEL_OPTIONS_H
#include "../infer/generation.h"
#include "cli.h"

typedef struct ModelOptions {
    const char *model, *mesh, *kv_cache, *isa, *act, *backend, *plugin, *program_cache, *weights, *candidates;
    const char *chat_template;
    int64_t threads, context, slots, rows;
    bool verbose, pin;
} ModelOptions;

#define MODEL_OPTIONS(m)                                                                                               \
    TEXT("model", 'm', &(m).model, "DIR|FILE", "Hugging Face folder, .gguf or packed file"),                           \
    TEXT("mesh", 0, &(m).mesh, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)"),                                     \
    INT("threads", 't', &(m).threads, 0, 256, "N", "workers (default 0: one per core, or the CPU quota)"),             \
    FLAG("pin", 0, &(m).pin, "every worker stays on a core; second threads of a core come last"),                      \
    INT("ctx", 'c', &(m).context, 0, 2147483648.0, "N", "cache positions per sequence (default: 4096 at most)"),       \
    INT("rows", 0, &(m).rows, 0, 8192, "N", "rows of a step, the chunk of a prefill (default 128)"),                   \
    TEXT("cache-type", 0, &(m).kv_cache, "f32|bf16|8bit", "key/value cache: f32 (default), bf16 or 8bit"),             \
    TEXT("act", 0, &(m).act, "auto|f32|int8|bf16",                                                                     \
         "activations: auto (default of run, chat, generate, bench): int8 if weights are quantised, else f32; f32 "    \
         "(default elsewhere); int8: where weights are quantised; bf16: where they are bf16"),                         \
    TEXT("weights", 0, &(m).weights, "file|bf16|8bit|4bit",                                                            \
         "file (default), or convert them at load: bf16, 8bit, 4bit; PJRT: f32, bf16"),                                \
    TEXT("isa", 0, &(m).isa, "NAME",                                                                                   \
         "no better kernels than these (default: this CPU's best): reference, avx2, avx512, avx512vnni, avx512bf16"),  \
    TEXT("backend", 0, &(m).backend, "cpu|pjrt", "cpu (default) or pjrt"),                                             \
    TEXT("plugin", 0, &(m).plugin, "FILE|cpu|tt|cuda|tpu",                                                             \
         "PJRT plugin: a file, or cpu, tt, cuda, tpu (implies --backend pjrt); under mpirun: cuda"),                   \
    TEXT("program-cache", 0, &(m).program_cache, "DIR",                                                                \
         "compiled PJRT programs (default ~/.cache/qwenmesh; none: off)"),                                             \
    TEXT("candidates", 0, &(m).candidates, "N",                                                                        \
         "logits a PJRT device tells of a row sampled by top-k (default 64; XLA CPU, tt: 0, whole rows)"),             \
    FLAG("verbose", 'v', &(m).verbose, "show the model and the effective values")

/* Where messages are rendered. */
#define CHAT_TEMPLATE_OPTION(m)                                                                                        \
    TEXT("chat-template", 0, &(m).chat_template, "NAME|FILE",                                                          \
         "qwen2.5, chatml, or a file (by a / or .jinja) that holds one of these; not the model's own")

/* --act where answers are wanted, not numbers to compare with another implementation's. */
#define ACT_DEFAULT "auto"

enum { FOLDER_BYTES = 512 };
/* The engine's options; `folder` holds a path that they point to. */
QmEngineOptions model_engine_options(const ModelOptions *m, char folder[FOLDER_BYTES]);
/* What is in force and why: "activations int8 (auto: weights are quantised), weights q4_1, ..."; no line end. */
void model_in_force(const QmModelInfo *info, FILE *out);
/* A line on stderr where an option that changes numbers changes none in this model. */
void model_note_idle(const ModelOptions *m, const QmModelInfo *info);
/* The model's tokenizer, with the chat template that was asked for. NULL and an error. */
QmTokenizer *model_tokenizer(const ModelOptions *m, Err *err);
/* NULL and a printed error; *code is the exit code then. */
QmEngine *model_open(const char *command, const ModelOptions *m, bool hidden, int *code);

/* From now on Ctrl-C stops what the engine runs and sets interrupted(); NULL ends that. One engine at a time. */
void interrupt_stops(QmEngine *engine);
bool interrupted(void);
/* A file descriptor to poll: readable from a Ctrl-C on until interrupt_clear(). -1: none to be had. */
int interrupt_event(void);
void interrupt_clear(void);

/* Sampling options: each is taken only if given. */
typedef struct SampleOptions {
    int64_t n, top_k, seed;
    double temperature, top_p, min_p, repeat_penalty;
    const char *stop, *grammar, *json_schema, *regex;
    bool has_n, has_top_k, has_seed, has_temperature, has_top_p, has_min_p, has_repeat_penalty, ignore_eos;
} SampleOptions;

#define SAMPLE_OPTIONS(s)                                                                                              \
    INT("n-predict", 'n', &(s).n, 0, 1 << 30, "N", "new tokens at most (default 256)", &(s).has_n),                    \
    FLOAT("temp", 0, &(s).temperature, 0, 1e6, "T", "temperature; 0 is greedy (default: the model's)",                 \
          &(s).has_temperature),                                                                                       \
    INT("top-k", 0, &(s).top_k, 0, 1 << 30, "K", "keep the K likeliest; 0 is off (default: the model's)",              \
        &(s).has_top_k),                                                                                               \
    FLOAT("top-p", 0, &(s).top_p, 0, 1, "P", "keep the likeliest of mass P (default: the model's)", &(s).has_top_p),   \
    FLOAT("min-p", 0, &(s).min_p, 0, 1, "P", "drop below P times the likeliest (default: the model's)",                \
          &(s).has_min_p),                                                                                             \
    FLOAT("repeat-penalty", 0, &(s).repeat_penalty, 1e-6, 1e6, "R",                                                    \
          "penalty of ids already there (default: the model's)", &(s).has_repeat_penalty),                             \
    INT("seed", 's', &(s).seed, 0, 9e18, "N", "seed of the draws (default 0)", &(s).has_seed),                         \
    TEXT("stop", 0, &(s).stop, "TEXT", "stop at this text"),                                                           \
    TEXT("grammar", 0, &(s).grammar, "FILE|TEXT", "the answer keeps to this grammar (GBNF)"),                          \
    TEXT("json-schema", 0, &(s).json_schema, "FILE|JSON", "the answer is JSON of this schema"),                        \
    TEXT("regex", 0, &(s).regex, "TEXT", "the whole answer matches this regular expression"),                          \
    FLAG("ignore-eos", 0, &(s).ignore_eos, "go on past end-of-sequence tokens")

/* Guesses of the next tokens, checked by the model: the same answer, sooner. */
typedef struct DraftOptions { const char *model; int64_t lookup; bool has_lookup; } DraftOptions;

#define DRAFT_OPTIONS(d)                                                                                               \
    TEXT("draft-model", 0, &(d).model, "DIR|FILE", "a smaller model of the same vocabulary that guesses ahead"),       \
    INT("lookup", 0, &(d).lookup, 0, MAX_DRAFT, "N",                                                                   \
        "guess N tokens ahead from what the text repeats (default 0)", &(d).has_lookup)

/* The model's defaults with the given options on top; with -v, what came of it on stderr. */
bool sample_options_config(const SampleOptions *s, const ModelOptions *m, GenerationConfig *c, Err *err);
#endif
