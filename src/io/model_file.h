/* model_file.h: the small files of a model (config.json, tokenizer.json, ...) wherever the model is: in its folder, or
 * inside a packed file. */
#ifndef MODEL_FILE_H
#define MODEL_FILE_H
#include "gguf.h"
#include "packed.h"

/* What loaders read of a folder: pull brings these, pack keeps the small ones. Weights: model.safetensors, else the
 * files that the index names, else the only *.gguf. */
#define MODEL_WEIGHTS "model.safetensors"
#define MODEL_INDEX "model.safetensors.index.json"
enum { MODEL_FILES = 5 };
extern const char *const model_files[MODEL_FILES]; /* the small ones: config.json, tokenizer.json, ... */

/* False and an error when nothing is at `path`; it names `qwenmesh pull` where the path looks like a repository. */
bool model_exists(const char *path, Err *err);

typedef struct ModelFile {
    char *data;  /* malloc'ed, NUL-terminated; NULL: the model has no such file */
    size_t bytes;
    char *where; /* what messages call it, malloc'ed                            */
} ModelFile;

/* `model`: a folder or a packed file; of anything else no file is there. False and an error only when a file that is
 * there cannot be read or is larger than `limit`. Free with model_file_free, also after failure. */
bool model_file_read(ModelFile *file, const char *model, const char *name, size_t limit, Err *err);
void model_file_free(ModelFile *file);

/* The GGUF data inside a packed file, which `packed` holds mapped. *found: the packed model came from GGUF; without it
 * *gguf is not opened. */
bool packed_gguf(const Packed *packed, Gguf *gguf, bool *found, Err *err);
/* What configuration and tokenizer need of a GGUF file, as a GGUF file without the weights: the keys, and the vectors
 * of rotary divisors and of block 0, whose presence says which biases the model has. */
bool gguf_extract(const Gguf *gguf, Text *out, Err *err);
#endif
