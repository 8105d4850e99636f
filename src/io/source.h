/* source.h: a model's files, whatever it is: a Hugging Face folder, a .gguf file, a packed file, or a lone config.json
 * or .safetensors file. Every file is opened and parsed at most once, when somebody first asks for what it holds;
 * configuration, weights, tokenizer and generation defaults all come from here. Any thread may ask. */
#ifndef SOURCE_H
#define SOURCE_H
#include "gguf.h"
#include "json.h"
#include "packed.h"
#include "shards.h"

/* What a folder may hold: pull brings these, pack keeps the small ones. Weights: model.safetensors, else the files that
 * the index names, else the only *.gguf. */
#define MODEL_WEIGHTS "model.safetensors"
#define MODEL_INDEX "model.safetensors.index.json"
enum { MODEL_FILES = 5 };
extern const char *const model_files[MODEL_FILES]; /* the small ones: config.json, tokenizer.json, ... */

typedef struct QmSource Source;

/* False: nothing is at `path` (the error names `qwenmesh pull` where that looks like a repository), or what is there
 * cannot be read. A folder's files are not looked at yet. */
Source *source_open(const char *path, Err *err);
Source *source_keep(Source *source); /* one more holder, who closes it too */
void source_close(Source *source);   /* the last one ends it; NULL is none */

const char *source_path(const Source *source);
const Packed *source_packed(const Source *source); /* NULL: the model is no packed file */

/* The GGUF file: the model itself, or the only one of a folder, or the keys in a packed file. *gguf NULL without an
 * error: there is none. Lives as long as the source, as all below. */
bool source_gguf(Source *source, const Gguf **gguf, Err *err);
/* The safetensors files of a folder, or the lone one. *shards NULL without an error: there are none. */
bool source_shards(Source *source, const Shards **shards, Err *err);

/* A small file parsed: "config.json" (a lone file is one), "generation_config.json" or "tokenizer_config.json". *root
 * NULL without an error: the model has no such file. *where is what messages call it. */
bool source_json(Source *source, const char *name, const json_t **root, const char **where, Err *err);

/* A small file as it is, for its one reader: read anew at every call. `data` is malloc'ed and NUL-terminated; NULL: the
 * model has no such file. Free with source_text_free, also after failure. */
typedef struct SourceText {
    char *data;
    size_t bytes;
    char *where; /* what messages call it, malloc'ed */
} SourceText;
bool source_text(Source *source, const char *name, size_t limit, SourceText *text, Err *err);
void source_text_free(SourceText *text);

bool source_has(const Source *source, const char *name); /* is there such a small file? */
bool source_has_weights(Source *source);                 /* or a configuration alone */
bool source_has_tokenizer(Source *source);
#endif
