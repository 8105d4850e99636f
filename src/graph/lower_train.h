/* lower_train.h: what programs that train have beside others.
 *
 * A step of the optimizer is two programs (or several, of a stage each): all up to STAGE_NORM, whose small results
 * (losses, squares of gradients) say whether and with which clip the other, STAGE_UPDATE, is run. A step of several
 * passes runs the first without STAGE_NORM for all but the last.
 *
 * Step inputs, dealt to the replicas by row (t = slots * rows of one replica) unless said:
 *     tokens    i32 [t]                where the embedding is trained; else embed's rows come from the host
 *     segment   i32 [t]                rows attend to rows of their slot before them with the same number; -1: no token
 *     labels    i32 [t]                what each row is to tell, or the bits of an f32; -100: nothing
 *     logit_rows i32 [r]               where the head has r rows at once, and so labels too: which; of no label: 0
 *     draws     i32 [t, 2]             lower_draws, where a layer has dropout
 *     scalars   f32 [LOWER_SCALARS]    lower_scalars, the same on all devices
 *     n<number>                        rows of nodes that the host computes: tables of rotations, embeddings
 * A row without a token is a segment of its slot's other such rows; it has no label, so nothing comes of it.
 *
 * States, all in f32: trained weights, moments, averages, and sums. They lie where their axes are dealt to, whatever an
 * op wants (LowerArgument.weight_split). Sums (TYPE_SUM) differ between replicas until they are completed: dimension 0 of
 * all replicas' stand one after the other (SPLIT_DP, SPLIT_ALL). A vector or matrix that several devices hold (key/value
 * heads) is the same on all of them. Caches are no states here: a step is whole sequences.
 */
#ifndef LOWER_TRAIN_H
#define LOWER_TRAIN_H
#include "../ops/call.h"
#include "lower.h"

enum { LOWER_NO_LABEL = -100 };

/* Numbers of the step; those of StepScalars as the ops take them. */
typedef enum LowerScalar {
    SCALAR_FRESH,                                    /* 1: the step's first pass                       */
    SCALAR_DRAWS,                                    /* 1: dropout is on                               */
    SCALAR_LOSS_WEIGHT, SCALAR_SMOOTHING, SCALAR_REST_SMOOTHING, SCALAR_Z_LOSS,
    SCALAR_CLIP, SCALAR_LEARNING_RATE, SCALAR_WEIGHT_DECAY, SCALAR_EPSILON,
    SCALAR_BETA1, SCALAR_REST1, SCALAR_BETA2, SCALAR_REST2, /* beta, 1 - beta                          */
    SCALAR_KEEP,                                     /* 1 - learning rate * weight decay               */
    SCALAR_STEP,                                     /* learning rate / (1 - beta1^step)               */
    SCALAR_ROOT,                                     /* sqrt(1 - beta2^step)                           */
    SCALAR_AVERAGE, SCALAR_REST_AVERAGE,             /* average_decay, 1 - average_decay               */
    SCALAR_ZERO,                                     /* 0, which no compiler knows: lower_sum_start    */
    LOWER_SCALARS,
} LowerScalar;
void lower_scalars(const StepScalars *s, bool fresh, float out[LOWER_SCALARS]);
/* Of a row that stands at `place` in the step: the two halves, the low one first, of what its draws go by. */
void lower_draws(const StepScalars *s, int64_t place, int32_t out[2]);

/* ---- For op rows ------------------------------------------------------------------------------------------------- */

/* A scalar of the step: tensor<f32>, or spread to a type. */
const char *lower_scalar(Lower *l, LowerScalar scalar);
const char *lower_scalar_like(Lower *l, LowerScalar scalar, const char *type);
/* A state or trained weight that is input i, as the ops before the node left it, in f32. */
const char *lower_state_in(Lower *l, const Node *n, int i);
/* Input i in f32, whatever the program's type. */
const char *lower_f32_in(Lower *l, const Node *n, int i);
/* A weight matrix that is input i, in f32, split by all its axes whatever the op wants. */
typedef struct LowerMatrix { const char *value; int64_t rows, columns; } LowerMatrix;
LowerMatrix lower_matrix_in(Lower *l, const Node *n, int i);
/* The name that an op gives a value of rows `out` which it has computed in f32; lower_f32_done turns that into `out`,
 * which has the program's type. */
const char *lower_f32_name(Lower *l, const char *out);
void lower_f32_done(Lower *l, const char *out, int rank, const int64_t *dim);
/* Input i, a state, is then `value`: a state beside the one that the node itself is. */
void lower_state_out(Lower *l, const Node *n, int i, const char *value);
/* Input i is a sum of TYPE_SUM: the name that an op gives what it adds; lower_sum_done makes the node's value of it. */
const char *lower_sum_name(Lower *l, const Node *n);
void lower_sum_done(Lower *l, const Node *n, int i);
/* ... or what an op that adds to the sum as it lies starts from: its value before the node, else zeros. They are made of a
 * number of the step: Tenstorrent's compiler would keep constant ones from step to step. */
const char *lower_sum_start(Lower *l, const Node *n, int i);
/* `value` of node `of` as it goes into a sum over devices: key/value heads that several have are the first one's, and 0 on
 * the others; `out` where there are such. */
const char *lower_counted_once(Lower *l, const char *value, const char *out, const Node *of);
/* i1 [rows, columns]: whether a column of logits is one of the vocabulary; NULL: all are, on every device. */
const char *lower_live_columns(Lower *l, const Node *logits);
/* Which row of its part of a vocabulary that devices share each token of input 0 is, i32 [t], and whether it is
 * there at all, i1 [t], else row 0; held NULL: each device has all. */
typedef struct LowerOwn { const char *rows, *held; } LowerOwn;
LowerOwn lower_own_rows(Lower *l, const Node *n);
/* i32 [t] of `segment`. */
const char *lower_segment(Lower *l);
#endif
