/* begin.h: what a run begins with where nothing has been learnt yet: weights, or an adapter. */
#ifndef BEGIN_H
#define BEGIN_H
#include "../io/source.h"
#include "run_options.h"

/* The folder options.out/initial: with --init a model with drawn weights (initial.h), with --lora-r an adapter of the
 * source, as PEFT's files. made: it is there, of the run that goes on. malloc'ed; NULL without an error: the run begins
 * with what there is. */
char *begin_folder(const TrainOptions *options, Source *source, Source *tokenizer, bool made, Err *err);
#endif
