/* model_options.h: what every command with a model takes, and the sampling options on top of a model's own. */
#ifndef MODEL_OPTIONS_H
#define MODEL_OPTIONS_H
#include "../base/engine_options.h"
#include "cli.h"

typedef struct ModelOptions {
    QmEngineOptions engine; /* the model among them */
    const char *chat_template;
    Texts template_args;
    bool verbose;
} ModelOptions;

#define MODEL_OPTIONS(m)                                                                                               \
    ENGINE_OPTIONS_OF_COMMANDS(ENGINE_OPTION_ROW, m)                                                                   \
    FLAG("verbose", 'v', &(m).verbose, "show the model and the effective values")
#define ENGINE_OPTION_ROW(m, field, type, standard, backends, n, l, lowest, highest, a, h)                             \
    OPTION_ROW(n, l, OPTION_OF_##type, &(m).engine.field, lowest, highest, a, h),
#define OPTION_OF_TEXT OPTION_TEXT
#define OPTION_OF_LINES OPTION_LINES
#define OPTION_OF_NUMBER OPTION_INT
#define OPTION_OF_FLAG OPTION_FLAG

/* The same options of a second engine; each is the first one's unless given. */
#define TWIN_OPTIONS(m) ENGINE_OPTIONS_OF_COMMANDS(ENGINE_TWIN_ROW, m)
#define ENGINE_TWIN_ROW(m, field, type, standard, backends, n, l, lowest, highest, a, h)                               \
    OPTION_ROW(n "-b", 0, OPTION_OF_##type, &(m).engine.field, lowest, highest, a, "B's --" n),

/* Where messages are rendered. */
#define CHAT_TEMPLATE_OPTION(m)                                                                                        \
    TEXT("chat-template", 0, &(m).chat_template, "NAME|FILE",                                                          \
         "qwen2.5, chatml, or a Jinja file (by a / or .jinja), not the model's own"),                                  \
        TEXTS("template-arg", 0, &(m).template_args, "NAME=JSON",                                                      \
              "a variable of the chat template (enable_thinking=false); may be given again")

/* --act where answers are wanted, not numbers to compare with another implementation's. */
#define ACT_DEFAULT "auto"

enum { FOLDER_BYTES = 4096 };
/* The engine's options; `folder` holds a path that they point to. */
QmEngineOptions model_engine_options(const ModelOptions *m, char folder[FOLDER_BYTES]);
/* What is in force and why: "activations int8 (auto: weights are quantised), weights q4_1, ..."; no line end. */
void model_in_force(const QmModelInfo *info, FILE *out);
/* A line on stderr where an option that changes numbers changes none in this model. */
void model_note_idle(const ModelOptions *m, const QmModelInfo *info);
/* The files at a path, opened at the first call and kept for this command, whoever else asks; NULL and an error. */
QmSource *model_source(const char *path, Err *err);
void model_sources_close(void); /* at the end of a command */
/* The model's tokenizer, with the chat template that was asked for. NULL and an error. */
QmTokenizer *model_tokenizer(const ModelOptions *m, Err *err);
QmTokenizer *model_tokenizer_of(const ModelOptions *m, QmSource *source, Err *err); /* that of a source */
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

enum { MOST_LOOKUP = 64 }; /* as qm_parameters_set has it */
/* Guesses of the next tokens, checked by the model: the same answer, sooner. */
typedef struct DraftOptions { const char *model; int64_t lookup; bool has_lookup; } DraftOptions;

#define DRAFT_OPTIONS(d)                                                                                               \
    TEXT("draft-model", 0, &(d).model, "DIR|FILE", "a smaller model of the same vocabulary that guesses ahead"),       \
    INT("lookup", 0, &(d).lookup, 0, MOST_LOOKUP, "N",                                                                   \
        "guess N tokens ahead from what the text repeats (default 0)", &(d).has_lookup)

/* The model's defaults with the given options on top; with -v, what came of it on stderr. lookup: DraftOptions, or NULL.
 * NULL and an error. */
QmParameters *sample_parameters(const SampleOptions *s, const DraftOptions *draft, const ModelOptions *m, Err *err);
#endif
