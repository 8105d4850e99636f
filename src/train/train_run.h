/* train_run.h: a run of training, whole: data, model, checkpoints and files as its options say. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H
#include "train_data.h"
#include "train_loop.h"

typedef struct TrainJob {
    TrainOptions options;         /* checked                                                                  */
    QmEngineOptions engine;
    QmSource *source;             /* of the model, or configuration; kept by the caller until the run is closed */
    QmSource *tokenizer_source;   /* whose tokenizer the model is saved with; NULL: the source's. Kept likewise */
    const QmTokenizer *tokenizer; /* NULL: every sample has ids. Kept likewise                                 */
    TrainEar ear;                 /* told what happens, after log and page                                     */
    bool (*stop)(void);
    /* Asked at evaluations where options.eval_task is: what the model in a folder, with the adapter in another (NULL:
     * none), makes of it. */
    bool (*score)(void *owner, const char *model, const char *adapter, double *score, Err *err);
    void *score_owner;
} TrainJob;

typedef struct TrainRun TrainRun;

/* Reads and checks all data; finds where a run goes on. `job` is copied. NULL on error. */
TrainRun *train_run_open(const TrainJob *job, Err *err);
void train_run_close(TrainRun *run); /* NULL is none */
TrainData *train_run_data(TrainRun *run);
int64_t train_run_steps(const TrainRun *run);
/* All steps, then the model, or adapter, at the root of options.out. With max_steps 0 nothing but the samples that are
 * asked for. */
bool train_run_go(TrainRun *run, Err *err);
/* What came of it, after train_run_go; trained: parameters that change. */
typedef struct TrainOutcome { LoopState state; int64_t steps, parameters, trained; } TrainOutcome;
TrainOutcome train_run_outcome(const TrainRun *run);
#endif
