/* train_loop.h: the steps of a run, their order, and what stands between them: evaluation, saving, skipping, stopping.
 * What is trained, on what, where it is saved and who is told are behind functions, each with an owner of its own. */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H
#include <jansson.h>
#include "outliers.h"
#include "run_options.h"
#include "task_scores.h"

typedef struct TrainModel {
    void *owner;
    bool (*step)(void *owner, const TrainRow *rows, int64_t count, const StepNumbers *numbers, StepResult *result,
                 Err *err);
    bool (*evaluate)(void *owner, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err);
    /* Of options.eval_task, at every evaluation; NULL: none is asked for. */
    bool (*score)(void *owner, double *score, Err *err);
    /* Of the rows that were evaluated since the last call: out [MOST_METRICS]; NULL: there are none. */
    bool (*metrics)(void *owner, TaskMetric *out, int *count, Err *err);
} TrainModel;

/* Rows are borrowed until the next call for one of another epoch. NULL on error. */
typedef struct TrainFeed {
    void *owner;
    int64_t rows, eval_rows; /* of an epoch; for evaluation, 0: none */
    const TrainRow *(*row)(void *owner, int64_t epoch, int64_t index, Err *err);
    const TrainRow *(*eval_row)(void *owner, int64_t index, Err *err);
} TrainFeed;

/* Where a run stands: all that the next step needs beside the trained tensors. */
typedef struct LoopState {
    int64_t step, labels, tokens, skipped; /* done so far                                                   */
    int64_t evaluated;              /* the last step that was evaluated; -1: none                           */
    int64_t best_step, kept_step;   /* the one, after step 0, with the least loss of evaluation; likewise of those
                                       that are in a checkpoint; 0: none                                    */
    double eval_loss, best_loss, kept_loss;
    OutlierWindow losses, norms;    /* kept where skip_outliers is asked for                                */
} LoopState;

LoopState loop_state_new(void);
/* As a checkpoint holds it: every bit of every number. */
json_t *loop_state_json(const LoopState *state, Err *err); /* NULL on error; the caller's */
bool loop_state_read(LoopState *state, const json_t *json, const char *where, Err *err);

/* save: a checkpoint of this state, whole or not at all. */
typedef struct TrainSaver { void *owner; bool (*save)(void *owner, const LoopState *state, Err *err); } TrainSaver;

typedef enum TrainEventKind { TRAIN_BEGUN, TRAIN_STEPPED, TRAIN_EVALUATED, TRAIN_SAVED } TrainEventKind;

/* What has happened; `step` is the last one that is done. */
typedef struct TrainEvent {
    TrainEventKind kind;
    int64_t step, steps;
    double epoch;                   /* epochs so far, of TRAIN_STEPPED and TRAIN_EVALUATED as the rest             */
    double loss, grad_norm, learning_rate, seconds; /* grad_norm before the clip; rate in force in that step       */
    int64_t labels, tokens;         /* of the step, or of the evaluation                                           */
    const char *skipped;            /* why its update was left out; NULL: it was not                               */
    double perplexity;              /* of an evaluation, whose loss is `loss`; inf where exp overflows             */
    bool scored;                    /* options.eval_task was asked, with this share of right answers:               */
    double score;
    TaskMetric metrics[MOST_METRICS]; /* of an evaluation of a task with classes or answers                        */
    int metric_count;
    bool best;                      /* the least loss of evaluation so far                                         */
} TrainEvent;

/* False and an error end the run. */
typedef struct TrainEar { void *owner; bool (*tell)(void *owner, const TrainEvent *event, Err *err); } TrainEar;

typedef struct TrainLoop {
    const TrainOptions *options;
    TrainLength length;
    Schedule schedule;
    TrainModel model;
    TrainFeed feed;
    TrainSaver saver;
    TrainEar ear;
    bool (*stop)(void);             /* asked between steps; NULL: never */
    LoopState state;
} TrainLoop;

/* From state.step to the last step. Stopped, it saves what is done and ends with QM_INTERRUPTED; interrupted within a
 * step or an evaluation likewise, and that step does not count. */
bool train_loop(TrainLoop *loop, Err *err);
#endif
