/* safewriter_sharded.h: the weights of a model as save_pretrained writes them: NAME.safetensors, or where it would be
 * too large NAME-00001-of-0000N.safetensors with NAME.safetensors.index.json. */
#ifndef SAFEWRITER_SHARDED_H
#define SAFEWRITER_SHARDED_H
#include "dtype.h"

/* Rows [first, first + rows) of a tensor, row-major f32. A row of a tensor of rank 1 is one number. */
typedef bool SaveRead(void *owner, int64_t first, int64_t rows, float *out, Err *err);

/* A tensor that is to be saved; its numbers come from whoever has them. */
typedef struct SaveTensor {
    const char *name;
    int rank;        /* 1 or 2 */
    int64_t dim[2];
    DType as;        /* I8 or U8: whole numbers that fit into it; F32: the type of the file */
    bool whole;      /* it is read once, all rows together; else in pieces, in order */
    SaveRead *read;
    void *owner;
} SaveTensor;

#define SAVE_SHARD_BYTES ((int64_t)50000000000) /* transformers' max_shard_size="50GB" */

/* Writes into `folder`, which is there. dtype: f32, bf16 or f16, to the nearest, ties to even. The order of `tensors`
 * decides which shard has which: a tensor that does not fit closes the shard that is being filled; one larger than
 * `most_bytes` gets a shard of its own, before the one that is being filled. Within a file they stand by name. Every
 * file is on disk when true is returned; after an error some may be there. */
bool safetensors_save(const char *folder, const char *name, const SaveTensor *tensors, int64_t count, DType dtype,
                      int64_t most_bytes, Err *err);
/* Whether a file of that name is one of those that safetensors_save writes, of any number of shards. */
bool safetensors_saved_name(const char *file, const char *name);

/* Calls `take` with the rows in order, in pieces that the tensor is read in. columns: 1 of rank 1. For other
 * writers. */
typedef bool SaveTake(void *owner, const float *numbers, int64_t rows, int64_t columns, Err *err);
bool save_rows(const SaveTensor *tensor, SaveTake *take, void *owner, Err *err);
/* The number of its elements; -1 and an error that names it where its shape is none. */
int64_t save_elements(const SaveTensor *tensor, Err *err);
#endif
