/* checkpoints.h: what a training run can go on from: folders DIR/checkpoint-STEP, each whole or not there.
 *
 *   model.safetensors (or shards with an index)   values in f32, by their names
 *   optimizer.safetensors                         NAME.exp_avg, NAME.exp_avg_sq, NAME.ema in f32; of moments in 8 bits
 *                                                 the codes (i8: c - 128, u8: c of ops/codes8.h), and the scales of
 *                                                 each row's blocks as NAME.exp_avg.scale, NAME.exp_avg_sq.scale
 *   trainer_state.json                            train_state.h; with the bytes of the files above
 *   config.json, tokenizer.json, ...              what makes it a model that every command takes
 */
#ifndef CHECKPOINTS_H
#define CHECKPOINTS_H
#include "../base/base.h"
#include "../ops/codes8.h"
#include "train_state.h"

typedef enum CheckpointPart {
    CHECKPOINT_VALUE,
    CHECKPOINT_FIRST,  /* moment */
    CHECKPOINT_SECOND,
    CHECKPOINT_EMA,    /* average of the weights */
    CHECKPOINT_PARTS
} CheckpointPart;

typedef struct CheckpointTensor {
    const char *name;
    int rank;                    /* 1 or 2 */
    int64_t dim[2];
    bool has[CHECKPOINT_PARTS];
    bool coded;                  /* its moments are in 8 bits */
} CheckpointTensor;

/* What is saved and loaded. read and write move all of one part of a tensor, row-major f32. */
typedef struct CheckpointModel {
    const CheckpointTensor *tensors;
    int64_t count;
    bool (*read)(void *owner, int64_t tensor, CheckpointPart part, float *out, Err *err);
    bool (*write)(void *owner, int64_t tensor, CheckpointPart part, const float *in, Err *err);
    /* Writes the small files of the model into `folder`; NULL: there are none. */
    bool (*small)(void *owner, const char *folder, Err *err);
    void *owner;
    const char *prefix;          /* in the file of the values, for GRAPH_BELOW of the names; NULL: that         */
    const char *weights;         /* "model" or "adapter_model": the name of the file with the values */
    /* Of a coded tensor: the end of the block of columns that begins at `column`. */
    int64_t (*block_end)(void *owner, int64_t tensor, int64_t column);
} CheckpointModel;

/* Writes DIR/checkpoint-STEP of state->step; one that is there is replaced as a whole. When true is returned it is on
 * disk, whatever happens next; after an error (a full disk) all is as it was. */
bool checkpoint_save(const char *dir, const CheckpointModel *model, const TrainState *state, Err *err);
/* Reads `folder` into the model and *state (train_state_free). All is checked before the first number is written: files
 * of the size that was saved, every tensor there in its shape and type, and no other. Errors name file and tensor. */
bool checkpoint_load(const char *folder, const CheckpointModel *model, TrainState *state, Err *err);
/* The state alone. */
bool checkpoint_state(const char *folder, TrainState *state, Err *err);

/* The checkpoint that `path` is, or the last whole one in it: malloc'ed. What is not whole gets a word. NULL and an
 * error when there is none. */
char *checkpoint_find(const char *path, Err *err);
/* Removes all but the last `keep` (0: none is removed) of those in DIR up to `step`; never that of `best` or `step`.
 * Those after `step` are of a run that was abandoned, and stay. */
bool checkpoint_keep(const char *dir, int64_t keep, int64_t step, int64_t best, Err *err);
#endif
