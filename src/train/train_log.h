/* train_log.h: a run as JSON lines, one a step and one an evaluation. A number that is not finite is null.
 *
 *   {"step":3,"epoch":0.25,"loss":..,"grad_norm":..,"learning_rate":..,"labels":..,"tokens":..,"seconds":..}
 *   {"step":3,"epoch":0.25,"eval_loss":..,"eval_perplexity":..,"eval_labels":..,"gsm8k":..,"eval_seconds":..}
 *
 * An evaluation of a task with classes or answers also has its metrics (task_scores.h): "eval_accuracy", "eval_f1" ...
 * A step whose update was left out has "skipped", and why. */
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H
#include "train_loop.h"

typedef struct TrainLog TrainLog;

/* A new file, which must not be there already; or, with a state to go on from, what is there up to that state: lines of
 * steps that a lost run did after its last checkpoint are cut off, a missing file is begun anew. A pipe or device, "-"
 * too, is written to as it is. NULL on error. */
TrainLog *train_log_open(const char *path, const LoopState *from, Err *err);
bool train_log_add(TrainLog *log, const TrainEvent *event, Err *err); /* at once, for who watches it */
/* What was added is on disk: before a checkpoint says that it goes on from there. */
bool train_log_sync(TrainLog *log, Err *err);
bool train_log_close(TrainLog *log, Err *err); /* NULL is none */
/* The line of an event, without its end; false for one that has none. */
bool train_log_line(const TrainEvent *event, Text *out);
/* What a line says. False and an error: it is none of a log's. */
bool train_log_read(const char *data, size_t bytes, const char *where, TrainEvent *event, Err *err);
#endif
