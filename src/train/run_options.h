/* run_options.h: what a run of training is told, with the names and defaults of transformers' Trainer. */
#ifndef RUN_OPTIONS_H
#define RUN_OPTIONS_H
#include <jansson.h>
#include "schedule.h"
#include "trainer.h"

enum { MOST_ROWS_OF_STEP = 1 << 16 };

/* Texts are borrowed; NULL: not given. Numbers that were not given have the value that train_options_new gives them. */
typedef struct TrainOptions {
    /* What is read. */
    const char *model, *init;          /* a model, or a configuration whose weights are drawn                        */
    const char *const *data, *const *eval_data;
    int data_count, eval_count;
    const char *task, *packing, *order, *mask, *end; /* words, checked                                               */
    bool documents, control_tokens;    /* train_data.h                                                               */
    const char *tokenizer, *cache;     /* whose tokenizer: a model; where tokens are kept                            */
    double eval_split;                 /* part of the data that is kept for evaluation; 0: none                      */
    int64_t seq_len, seed;
    /* How long. */
    int64_t max_steps;                 /* -1: num_train_epochs says it                                               */
    double num_train_epochs;
    int64_t batch, micro_batch;        /* rows of a step, and how many pass at once; 0: not given                    */
    int64_t device_batch, accumulation; /* the same as Trainer has it: their product is `batch`; 0: not given        */
    bool drop_last;                    /* an epoch has whole batches only                                            */
    /* The optimizer. */
    const char *optim, *scheduler, *decay;
    double learning_rate, warmup_steps, decay_steps, least_rate; /* steps below 1: a part of all                     */
    double weight_decay, beta1, beta2, epsilon, max_grad_norm, label_smoothing, z_loss, ema, skip_outliers;
    const char *moments, *muon_adjust;
    double muon_rate, muon_momentum;   /* rate -1: not given, as learning_rate                                       */
    bool recompute;
    /* LoRA. */
    int64_t lora_r;                    /* 0: none                                                                    */
    double lora_alpha, lora_dropout;   /* alpha 0: not given                                                         */
    const char *lora_targets, *modules_to_save, *init_adapter;
    bool rslora, dora;
    /* Evaluation and files. */
    int64_t eval_steps, save_steps, keep; /* 0: at the end of epochs; none but the model at the end; all             */
    int64_t eval_limit;                /* questions of eval_task                                                     */
    const char *eval_task;             /* "gsm8k": asked of every checkpoint that is evaluated                       */
    bool eval_on_start, load_best;
    const char *out, *resume, *save_dtype, *log, *gradients, *samples, *page;
    /* Made of words by train_options_check. */
    ScheduleKind schedule_kind;
    DecayKind decay_kind;
    OptimizerKind optimizer;
    bool moments_8bit, muon_as_adamw;
} TrainOptions;

/* Trainer's defaults. */
TrainOptions train_options_new(void);
/* Words become what they mean, Trainer's two batch sizes one. False: an error of kind QM_USAGE, whose text begins with
 * the option. */
bool train_options_check(TrainOptions *o, Err *err);
bool train_options_lora(const TrainOptions *o); /* whether an adapter is trained */

/* How many steps a run has, and each epoch of it, when an epoch has `rows` rows. */
typedef struct TrainLength { int64_t steps, steps_of_epoch; } TrainLength;
bool train_length(const TrainOptions *o, int64_t rows, TrainLength *length, Err *err);
Schedule train_schedule(const TrainOptions *o, int64_t steps);
/* Of step `step` (from 1), but for skip_norm and skip_loss, which follow from earlier steps. */
StepNumbers train_step_numbers(const TrainOptions *o, const Schedule *schedule, int64_t step);

/* What decides the numbers of a run of so many steps, on data of so many rows, tokens and labels an epoch, by Trainer's
 * names: what a checkpoint keeps. NULL on error; the caller's. As lines of NAME=VALUE. */
json_t *train_options_json(const TrainOptions *o, int64_t steps, int64_t rows, int64_t tokens, int64_t labels,
                           Err *err);
void train_options_text(const json_t *options, Text *out);
#endif
