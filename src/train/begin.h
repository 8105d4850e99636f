/* begin.h: what a run begins with where nothing has been learnt yet: weights, or an adapter. */
#ifndef BEGIN_H
#define BEGIN_H
#include "../io/source.h"
#include "rows.h"
#include "run_options.h"

/* The folder options.out/initial: with --init a model with drawn weights (initial.h), with --lora-r an adapter of the
 * source, as PEFT's files; what options.modules_to_save names, and of a task (task, labels: task_head.h) its head, it
 * brings whole, as PEFT's modules_to_save. made: it is there, of the run that goes on. malloc'ed; NULL without an error: the run begins
 * with what there is. */
char *begin_folder(const TrainOptions *options, TrainTask task, int64_t labels, Source *source, Source *tokenizer,
                   bool made, Err *err);
#endif
