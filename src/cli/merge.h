/* merge.h: what `merge` does, for `pack` too. */
#ifndef MERGE_H
#define MERGE_H
#include "cli.h"

/* Whether a path is that of a GGUF file by its ending. */
bool names_gguf(const char *path);
/* Reads the model at `path`, adds the adapters of `lora` (a line each; NULL: none), and writes it to `out`: a GGUF file
 * by its name, else a folder. dtype: the type's name, NULL: the model's own. shards: most bytes of a file of a folder,
 * as text; NULL: transformers' default. Prints what was written; ends early on SIGINT and SIGTERM. */
bool model_merge(const char *path, const char *lora, const char *out, const char *dtype, const char *shards, Err *err);
#endif
