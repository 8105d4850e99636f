/* rows.h: what a step is trained on: rows, each a sequence, or several that are packed into one. */
#ifndef TRAIN_ROWS_H
#define TRAIN_ROWS_H
#include <stdint.h>

/* A label that counts for nothing. */
enum { NO_LABEL = -100 };

/* A sequence: attention stays within it, its positions start at 0. labels[i] is ids[i], or NO_LABEL, and is told from the
 * tokens before it, so labels[0] counts for nothing. */
typedef struct TrainSegment { const int32_t *ids, *labels; int64_t count; } TrainSegment;

/* tokens: of all segments. labels: that count. Gradients are summed row after row (ops/lanes.h has the order). */
typedef struct TrainRow { const TrainSegment *segments; int64_t count, tokens, labels; } TrainRow;
#endif
