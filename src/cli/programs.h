/* programs.h: the programs of a model on a mesh of uniform shards, from config.json alone: what export writes and
 * compile compiles. */
#ifndef PROGRAMS_H
#define PROGRAMS_H
#include "../model/qwen2.h"
#include "../pjrt/buckets.h"
#include "cli.h"

/* As the user gives them; type NULL: not given. */
typedef struct ProgramsOptions { const char *model, *mesh, *type; int64_t context, slots, rows; } ProgramsOptions;

#define PROGRAMS_DEFAULTS {.context = 2048, .slots = 1, .rows = 128}
#define PROGRAMS_OPTIONS(o)                                                                                            \
    {"model", 'm', OPTION_TEXT, &(o).model, 0, 0, "MODEL", "folder, config.json or .gguf (or as the argument)", NULL}, \
    {"mesh", 0, OPTION_TEXT, &(o).mesh, 0, 0, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)", NULL},                \
    {"ctx", 'c', OPTION_INT, &(o).context, 1, 1 << 30, "N", "cache positions per slot (default 2048)", NULL},          \
    {"slots", 0, OPTION_INT, &(o).slots, 1, 1024, "B", "sequences held at once (default 1)", NULL},                    \
    {"rows", 0, OPTION_INT, &(o).rows, 1, 8192, "N", "rows of a prefill (default 128)", NULL}

typedef struct Programs {
    ModelConfig config;
    ModelGraph model;
    Partition partition;
    Program program;
    LowerOptions lower;         /* its type and bucket are the caller's to set */
    Bucket bucket[MAX_BUCKETS];
    int buckets;
} Programs;

/* Takes the model from the arguments where no option named it; -1, or an exit code after a message. */
int programs_arguments(const char *command, ProgramsOptions *o, int argc, char **argv, int first);
/* Into zeroed memory; to be closed whatever it returns. */
bool programs_open(Programs *p, const ProgramsOptions *o, Err *err);
void programs_close(Programs *p);
#endif
