/* train_files.h: what a run leaves on disk of its trainer: checkpoints, the model or adapter at the end, gradients. */
#ifndef TRAIN_FILES_H
#define TRAIN_FILES_H
#include "../model/model_folder.h"
#include "checkpoints.h"
#include "train_loop.h"

typedef struct TrainFiles {
    const TrainOptions *options;
    Trainer *trainer;
    Source *source, *tokenizer; /* of the model; whose tokenizer, NULL: the model's own               */
    const char *adapter;        /* a PEFT folder whose configuration the adapter has; NULL: the model is trained */
    ModelConfig config;         /* with the head that is trained                                      */
    json_t *changes;            /* of config.json: what it says of that head; owned, set after opening; NULL: nothing */
    CheckpointTensor *tensors;  /* [model.count], owned */
    Arena names;                /* of tensors as the adapter's file has them */
    int *place;                 /* [model.count] in the trainer, owned */
    CheckpointModel model;
    TrainState state;           /* what was told so far, owned */
} TrainFiles;

/* numbers: what decides the run's, owned from now on. The rest is borrowed. False: nothing is to be freed. */
bool train_files_open(TrainFiles *f, const TrainOptions *options, Trainer *trainer, Source *source, Source *tokenizer,
                      const char *adapter, json_t *numbers, Err *err);
void train_files_close(TrainFiles *f); /* safe on a zeroed one */
/* Steps and evaluations stand in the checkpoints, too. */
bool train_files_note(TrainFiles *f, const TrainEvent *event, Err *err);
/* options->out/checkpoint-STEP; and no more than options->keep of them. */
bool train_files_save(TrainFiles *f, const LoopState *state, Err *err);
/* Everything of a checkpoint. Where what decides the numbers was another there, a warning says what. */
bool train_files_load(TrainFiles *f, const char *folder, LoopState *state, Err *err);
/* The values of the checkpoint of `step` alone. */
bool train_files_take(TrainFiles *f, int64_t step, Err *err);
/* The model, or adapter, with PART_VALUE or PART_EMA of its parameters: a folder as others read it. */
bool train_files_model(TrainFiles *f, TensorPart part, const char *folder, Err *err);
/* PART_GRADIENT of all that is trained, in f32, by its names. */
bool train_files_gradients(TrainFiles *f, const char *path, Err *err);
#endif
