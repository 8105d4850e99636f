/* train_score.h: what a model in training makes of GSM8K. */
#ifndef TRAIN_SCORE_H
#define TRAIN_SCORE_H
#include "model_options.h"

/* options: of the engine that trains. limit: questions, the first ones. data: as eval's --data, or NULL. */
typedef struct TrainScorer {
    const ModelOptions *options;
    const char *data;
    int64_t limit;
    bool (*stop)(void);
} TrainScorer;

/* The share of questions that the model in the folder `model`, with the adapter in the folder `adapter` (NULL: none),
 * answers with the right number behind "####": asked without examples, as a chat where there is a template, greedily.
 * owner: a TrainScorer. False and an error, of kind QM_INTERRUPTED when it was stopped. */
bool train_score(void *owner, const char *model, const char *adapter, double *score, Err *err);
#endif
