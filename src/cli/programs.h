/* programs.h: the programs of a model on a mesh of uniform shards, from config.json alone: what export writes and
 * compile compiles. */
#ifndef PROGRAMS_H
#define PROGRAMS_H
#include "../model/family.h"
#include "../pjrt/buckets.h"
#include "cli.h"

/* As the user gives them; type NULL: not given. */
typedef struct ProgramsOptions { const char *model, *mesh, *type; int64_t context, slots, rows; } ProgramsOptions;

#define PROGRAMS_DEFAULTS {.context = 2048, .slots = 1, .rows = 128}
#define PROGRAMS_OPTIONS(o)                                                                                            \
    TEXT("model", 'm', &(o).model, "MODEL", "folder, config.json or .gguf (or as the argument)"),                      \
    TEXT("mesh", 0, &(o).mesh, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)"),                                     \
    INT("ctx", 'c', &(o).context, 1, 1 << 30, "N", "cache positions per slot (default 2048)"),                         \
    INT("slots", 0, &(o).slots, 1, 1024, "B", "sequences held at once (default 1)"),                                   \
    INT("rows", 0, &(o).rows, 1, 8192, "N", "rows of a prefill (default 128)")

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
