/* task_head.h: the head that a task is learnt with: which one, whether the model has it, and what it begins as where it
 * has none. */
#ifndef TASK_HEAD_H
#define TASK_HEAD_H
#include "../io/config.h"
#include "../io/json.h"
#include "../io/source.h"
#include "../io/weights.h"
#include "rows.h"

/* The head of a task: HEAD_SEQUENCE of seqcls, 1 label of which is a number. */
Head task_head(TrainTask task);

/* config's head becomes that of the task. One that is there stays and has `labels` labels, or it is an error (labels 0:
 * whatever it has). A causal or bare model gets one, *missing. labels: 0 of clm, 2 of qa. */
bool task_head_configure(ModelConfig *config, TrainTask task, int64_t labels, bool *missing, Err *err);

/* The tensors of a head that begins, which join `weights`: the matrix normal with the configuration's initializer_range
 * (0.02 where it has none), as transformers draws it, a bias 0. *values: theirs, malloc'ed; outlives the weights. */
bool task_head_begin(const ModelConfig *config, QmSource *source, uint64_t seed, Weights *weights, float **values,
                     Err *err);

/* The names of the classes that a model's head has, in the order of their numbers: id2label of its config.json, where
 * any is not LABEL_N. None: *count 0. */
typedef struct TaskNames { const char **name; int count; json_t *root; } TaskNames;
bool task_names_read(TaskNames *names, const ModelConfig *config, QmSource *source, TrainTask task, Err *err);
void task_names_free(TaskNames *names);

/* What config.json says of a head of so many labels: id2label, label2id, problem_type of a number. names [count]: the
 * first ones; others are LABEL_N. NULL on error; the caller's. */
json_t *task_changes(int64_t labels, const char *const *names, int count, Err *err);
#endif
