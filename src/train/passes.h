/* passes.h: within src/train: the rows of a step, counted and checked, and the passes that they go through the program in:
 * of so many rows each, forward, then the head for some of its logit rows after the other, then backward. */
#ifndef PASSES_H
#define PASSES_H
#include "trainer_state.h"

int64_t tokens_of(const TrainRow *rows, int64_t count);
/* How many a loss is the mean over: an answer's sequence counts once. */
int64_t labels_of(const Trainer *t, const TrainRow *rows, int64_t count);
bool rows_check(const Trainer *t, const TrainRow *rows, int64_t count, Err *err);

bool stages_run(Trainer *t, Stage first, Stage last, Err *err);
/* All passes over `count` rows; *sum: of the losses of all labels, in the order of lanes. */
bool passes_run(Trainer *t, const TrainRow *rows, int64_t count, bool gradients, double *sum, Err *err);
#endif
