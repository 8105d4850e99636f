/* trainer.h: a model that is trained: its parameters, gradients and moments in one engine, and a step of the optimizer.
 *
 * Nothing that a step computes depends on the mesh, the threads or the micro-batch: ops/lanes.h, graph/tree.h.
 */
#ifndef TRAINER_H
#define TRAINER_H
#include "../infer/engine.h"
#include "../model/train_graph.h"
#include "rows.h"

/* What is fixed for a run. */
typedef struct TrainerOptions {
    QmEngineOptions engine;     /* model, mesh, threads, isa, act, random                                          */
    int64_t seq_len;            /* most tokens of a row                                                            */
    int64_t micro_batch;        /* rows that pass at once; over several processes: of each group (rank_groups.h)   */
    int64_t head_rows;          /* labelled rows that pass the head at once, of each group or replica; 0: 256, on PJRT
                                   devices 512                                                                     */
    OptimizerKind optimizer;
    bool recompute;             /* of each layer only its input is kept for the backward pass                      */
    bool ema;                   /* averages of the weights are kept                                                */
    bool moments_8bit;
    const char *adapter;        /* LoRA: a PEFT folder whose adapter is trained; NULL: all parameters are          */
    TrainTask task;
    int64_t labels;             /* of the task's head; 0: as many as the model's has (qa: 2)                       */
    uint64_t seed;              /* of dropout, and of a head that the model lacks                                  */
    bool (*stop)(void);         /* asked between passes, and between their halves; NULL: never                     */
} TrainerOptions;

/* What may differ from step to step. */
typedef struct StepNumbers {
    int64_t step;               /* from 1 on: powers of beta                                                       */
    double learning_rate, beta1, beta2, epsilon, weight_decay; /* sgd: beta1 is its momentum                       */
    double max_grad_norm;       /* 0: none                                                                         */
    double skip_norm, skip_loss; /* a larger gradient norm or loss skips the update; 0: never. NaN and inf always do */
    double label_smoothing, z_loss, ema_decay;
    double muon_rate, muon_momentum; /* of what Muon updates                                                       */
    bool muon_as_adamw;         /* updates as large as AdamW's: ops/muon.c                                         */
} StepNumbers;

/* loss: mean over the labels that count: of clm and tokcls tokens, of seqcls and qa sequences. grad_norm: before the clip. */
typedef struct StepResult { double loss, grad_norm; int64_t labels, tokens; bool skipped; } StepResult;

typedef struct Trainer Trainer;

/* Refuses what cannot be trained so, before anything is read. trainer_open asks too. */
bool trainer_allows(const TrainerOptions *options, Err *err);
/* source: of the model, kept by the caller until trainer_close. NULL on error. */
Trainer *trainer_open(QmSource *source, const TrainerOptions *options, Err *err);
/* The same on a rank that follows (train_orders.h), where source may be NULL: it could not be opened. Such a rank has no
 * numbers to give, and gets none: `out` and `in` below are NULL there. */
Trainer *trainer_open_as(QmSource *source, const TrainerOptions *options, Err *err);
void trainer_close(Trainer *t);
/* One step of the optimizer over `count` rows; after an error weights and moments are as they were, also after
 * QM_INTERRUPTED, with which options' `stop` ends a step, or an evaluation, that is not through its passes. */
bool trainer_step(Trainer *t, const TrainRow *rows, int64_t count, const StepNumbers *numbers, StepResult *result,
                  Err *err);
/* The sum of the losses of these rows' labels, and how many there are: bit for bit what qm_forward gives. */
bool trainer_evaluate(Trainer *t, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err);
/* What the head gave in the last evaluation, [rows][columns], until the next call of anything: of every sequence
 * (seqcls), labelled token (tokcls) or token (qa), in order. rows 0: of clm nothing is kept. */
typedef struct TaskScores { const float *values; int64_t rows, columns; } TaskScores;
TaskScores trainer_scores(const Trainer *t);

/* ---- What a checkpoint holds ------------------------------------------------------------------------------------- */

/* PART_GRADIENT: of the last step, before the clip, until the next pass, which an evaluation is too. PART_SECOND: adamw
 * has it. */
typedef enum TensorPart { PART_VALUE, PART_GRADIENT, PART_FIRST, PART_SECOND, PART_EMA, TENSOR_PARTS } TensorPart;

/* A parameter, by its Hugging Face name (of an adapter: PEFT's). trained: it has the other parts too. */
typedef struct TrainTensor { const char *name; int rank; int64_t dim[2]; bool trained, decays; } TrainTensor;

int trainer_tensors(const Trainer *t);
const TrainTensor *trainer_tensor(const Trainer *t, int i);
bool trainer_has(const Trainer *t, int i, TensorPart part);
/* Whether a part is in 8 bits: it is read and written as f32 like all others, which changes no value. */
bool trainer_coded(const Trainer *t, int i, TensorPart part);
int64_t trainer_block_end(const Trainer *t, int i, int64_t column); /* of the block that begins there: ops/codes8.h */
/* All of a part, row-major f32: dim[0] * dim[1] numbers. */
bool trainer_read(Trainer *t, int i, TensorPart part, float *out, Err *err);
bool trainer_write(Trainer *t, int i, TensorPart part, const float *in, Err *err);
const struct Adapters *trainer_adapters(const Trainer *t); /* NULL: none */
const QmModelInfo *trainer_info(const Trainer *t);
#endif
