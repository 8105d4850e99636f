/* engine_options.h: the one list of what an engine can be told. QmEngineOptions is checked against it, and of it are
 * made: the defaults, the command line's options and their twins of `eval compare` (--mesh-b), the message to other
 * ranks, and the refusal of what a backend does not know. */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H
#include "base.h"

enum { ON_CPU = 1, ON_PJRT = 2, ON_BOTH = ON_CPU | ON_PJRT };
/* const char *, int64_t, bool; LINES: a text that an option given several times adds a line to. */
typedef enum OptionType { TYPE_TEXT, TYPE_NUMBER, TYPE_FLAG, TYPE_LINES = TYPE_TEXT } OptionType;

/* X(context, field, type, default, backends that know it, long name, letter, lowest, highest, argument, help): what every
 * command with a model takes. A value of 0, NULL or false means the default. */
#define ENGINE_OPTIONS_OF_COMMANDS(X, c)                                                                               \
    X(c, model, TEXT, NULL, ON_BOTH, "model", 'm', 0, 0, "DIR|FILE", "Hugging Face folder, .gguf or packed file")      \
    X(c, mesh, TEXT, "1x1", ON_BOTH, "mesh", 0, 0, 0, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)")               \
    X(c, lora, LINES, NULL, ON_BOTH, "lora", 0, 0, 0, "[NAME=]DIR[:SCALE]",                                             \
      "a LoRA adapter in PEFT's files, SCALE times (default 1); given again, all add up")                              \
    X(c, threads, NUMBER, 0, ON_CPU, "threads", 't', 0, 256, "N",                                                      \
      "workers (default 0: one per core, or the CPU quota)")                                                           \
    X(c, pin, FLAG, 0, ON_CPU, "pin", 0, 0, 0, NULL,                                                                   \
      "every worker stays on a core; second threads of a core come last")                                              \
    X(c, context, NUMBER, 0, ON_BOTH, "ctx", 'c', 0, 2147483648.0, "N",                                                \
      "cache positions per sequence (default: 4096 at most)")                                                          \
    X(c, rows, NUMBER, 128, ON_BOTH, "rows", 0, 0, 8192, "N", "rows of a step, the chunk of a prefill (default 128)")  \
    X(c, kv_cache, TEXT, "f32", ON_BOTH, "cache-type", 0, 0, 0, "f32|bf16|8bit",                                       \
      "key/value cache: f32 (default), bf16 or 8bit")                                                                  \
    X(c, act, TEXT, NULL, ON_BOTH, "act", 0, 0, 0, "auto|f32|int8|bf16",                                               \
      "activations: auto (default of run, chat, generate, bench): int8 if weights are quantised, else f32; f32 "       \
      "(default elsewhere); int8: where weights are quantised; bf16: where they are bf16")                             \
    X(c, weights, TEXT, NULL, ON_BOTH, "weights", 0, 0, 0, "file|bf16|8bit|4bit",                                      \
      "file (default), or convert them at load: bf16, 8bit, 4bit; PJRT: f32, bf16")                                    \
    X(c, isa, TEXT, NULL, ON_CPU, "isa", 0, 0, 0, "NAME",                                                              \
      "no better kernels than these (default: this CPU's best): reference, avx2, avx512, avx512vnni, avx512bf16")      \
    X(c, backend, TEXT, "cpu", ON_BOTH, "backend", 0, 0, 0, "cpu|pjrt", "cpu (default) or pjrt")                       \
    X(c, plugin, TEXT, NULL, ON_PJRT, "plugin", 0, 0, 0, "FILE|cpu|tt|cuda|tpu",                                       \
      "PJRT plugin: a file, or cpu, tt, cuda, tpu (implies --backend pjrt); under mpirun: cuda")                       \
    X(c, program_cache, TEXT, NULL, ON_PJRT, "program-cache", 0, 0, 0, "DIR",                                          \
      "compiled PJRT programs (default ~/.cache/qwenmesh; none: off)")                                                 \
    X(c, candidates, TEXT, NULL, ON_PJRT, "candidates", 0, 0, 0, "N",                                                  \
      "logits a PJRT device tells of a row sampled by top-k (default 64; XLA CPU, tt: 0, whole rows)")

/* Those that a command sets by itself, or has under a name of its own. */
#define ENGINE_OPTIONS(X, c)                                                                                           \
    ENGINE_OPTIONS_OF_COMMANDS(X, c)                                                                                   \
    X(c, slots, NUMBER, 1, ON_BOTH, NULL, 0, 0, 0, NULL, NULL)                                                         \
    X(c, hidden, FLAG, 0, ON_BOTH, NULL, 0, 0, 0, NULL, NULL)                                                          \
    X(c, head, TEXT, NULL, ON_BOTH, NULL, 0, 0, 0, NULL, NULL)                                                          \
    X(c, random, TEXT, NULL, ON_BOTH, NULL, 0, 0, 0, NULL, NULL)                                                       \
    X(c, phases, FLAG, 0, ON_CPU, NULL, 0, 0, 0, NULL, NULL)                                                           \
    X(c, adapters, LINES, NULL, ON_BOTH, NULL, 0, 0, 0, NULL, NULL)

#define ENGINE_OPTION_ONE(c, field, ...) +1
enum { ENGINE_OPTION_COUNT = 0 ENGINE_OPTIONS(ENGINE_OPTION_ONE, ) };

typedef struct EngineOption {
    const char *name; /* of the field */
    OptionType type;
    size_t offset;    /* in QmEngineOptions */
    int backends;
    int64_t number;   /* the default */
    const char *text;
} EngineOption;
extern const EngineOption engine_options[ENGINE_OPTION_COUNT];

/* Where an option's value is: a const char **, int64_t * or bool *. */
void *engine_option_value(const EngineOption *option, const QmEngineOptions *in);
/* Whether something was asked for: neither nothing nor the default. */
bool engine_option_given(const EngineOption *option, const QmEngineOptions *in);
/* What a caller gave, who may know fewer options than this library, or more that it leaves alone. */
bool engine_options_take(QmEngineOptions *to, const QmEngineOptions *given, Err *err);
/* False and an error that names an option which this backend, ON_CPU or ON_PJRT called `name`, does not know. */
bool engine_options_known(const QmEngineOptions *o, int backend, const char *name, Err *err);
/* What `o` does not say, as `base` does; backend and plugin together, and nothing that the backend of `o` does not
 * know. */
void engine_options_inherit(QmEngineOptions *o, const QmEngineOptions *base);
#endif
