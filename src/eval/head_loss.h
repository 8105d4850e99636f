/* head_loss.h: losses of the heads on a model, as transformers 5 has them (loss_utils.py), and where a sequence is
 * pooled. Sums in double; a mean over nothing is 0. Values are [b * s][columns] of rows that were fed. */
#ifndef HEAD_LOSS_H
#define HEAD_LOSS_H
#include "../base/base.h"

/* Rows of a batch, all [b * s]. mask 0: not fed; NULL: all are. */
typedef struct HeadRows { int64_t b, s, columns; const int32_t *ids, *mask; const float *values; } HeadRows;
static inline bool head_fed(const HeadRows *r, int64_t i) { return !r->mask || r->mask[i]; }

/* -log softmax(row)[target] */
double cross_entropy(const float *row, int64_t columns, int64_t target);
/* Mean cross-entropy over labels [b * s], -100 and rows that were not fed left out. shifted: label i + 1 is for row
 * i. Bit for bit the loss of a training step over the same sequences: summed as ops/lanes.h says. */
bool loss_tokens(const HeadRows *r, const int32_t *labels, bool shifted, double *loss, Err *err);

/* The row that stands for sequence b: of its last id that is not padding, whatever the mask says; of one of nothing but
 * padding the first. pad -1: none is known, which only a batch of one can do without. -1 and an error. */
int64_t pool_row(const HeadRows *r, int64_t b, int32_t pad, Err *err);

/* Losses of pooled scores [b][columns]: labels [b]; or values, [b] numbers of a regression or [b][columns], a
 * regression or ("multi_label_classification") each label's own yes or no. */
bool loss_classes(const float *scores, int64_t b, int64_t columns, const int32_t *labels, double *loss, Err *err);
double loss_squares(const float *scores, int64_t count, const float *values);
double loss_binary(const float *scores, int64_t count, const float *values);

/* Where an answer begins and ends: values [b * s][2], positions [b]. One outside the row does not count. Padding that
 * was not fed takes no part. */
bool loss_span(const HeadRows *r, const int32_t *starts, const int32_t *ends, double *loss, Err *err);
#endif
