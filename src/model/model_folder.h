/* model_folder.h: a model saved as a Hugging Face folder: weights, configuration, tokenizer. */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H
#include "../io/json.h"
#include "../io/safewriter_sharded.h"
#include "family.h"

typedef struct ModelSave {
    Source *source;            /* whose configuration and generation defaults these are                              */
    Source *tokenizer;         /* whose tokenizer; NULL: the source's                                                */
    const ModelConfig *config; /* of the source; `tied` and `head` as the weights are                                */
    const SaveTensor *tensors; /* by the names of the model's graph, in any order                                    */
    int64_t count;
    DType dtype;               /* f32, bf16 or f16                                                                   */
    int64_t shard_bytes;       /* of a file at most; 0: SAVE_SHARD_BYTES                                             */
    const json_t *changes;     /* members of config.json that are set (null: taken away), e.g. id2label; NULL: none  */
} ModelSave;

/* The folder `out`, made or added to: it is complete, or as it was (base/output_folder.h). The files of another number
 * of shards that are there are removed. config.json is the source's own with what has changed; other small files are
 * copied as they are; of a GGUF source all are written from its keys. */
bool model_folder_save(const ModelSave *save, const char *out, Err *err);
/* The same files into a folder that the caller makes complete. */
bool model_folder_write(const ModelSave *save, const char *folder, Err *err);
/* Its small files alone: what a folder needs beside weights that somebody else writes. */
bool model_folder_write_small(const ModelSave *save, const char *folder, Err *err);
/* Asked before work begins whose result goes to `out`: the folder of the source is none. */
bool model_folder_allowed(const Source *source, const char *out, Err *err);
/* What of a folder's files belongs to a saved model: FolderStale of base/output_folder.h. */
bool model_folder_stale(const char *name);

/* The order of a transformers model's state dict: embedding, layers, norm, head; in a layer attention, feed-forward,
 * norms. */
void save_order(SaveTensor *tensors, int64_t count);
#endif
