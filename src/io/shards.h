/* shards.h: the safetensors files of one checkpoint as one list of tensors. */
#ifndef SHARDS_H
#define SHARDS_H
#include "safetensors.h"

typedef struct ShardTensor {
    const SafeTensor *tensor;
    const char *file; /* path, for messages */
} ShardTensor;

typedef struct Shards {
    SafeTensors *files;
    int64_t file_count;
    ShardTensor *tensors; /* those that count, no two of a name but in damaged files */
    int64_t count;
} Shards;

bool shards_open_file(Shards *shards, const char *path, Err *err);
/* A file that is mapped already, and stays so. */
bool shards_parse(Shards *shards, const MappedFile *file, Err *err);
/* What `index`, a file of `folder` as model.safetensors.index.json has it, names. Every tensor of the files counts, as
 * in transformers, which takes from the index the names of files only. Where two files have a tensor, the one that the
 * index names does. An index that says otherwise than the files is stale: a word, and an error only when a tensor is
 * nowhere. */
bool shards_open_index(Shards *shards, const char *folder, const char *index, Err *err);
void shards_close(Shards *shards); /* also after failure */
#endif
