/* rows.h: what a step is trained on: rows, each a sequence, or several that are packed into one. */
#ifndef TRAIN_ROWS_H
#define TRAIN_ROWS_H
#include <stdint.h>

/* What is learnt: the next tokens, the class (or number) of a sequence, of each token, where an answer stands. */
typedef enum TrainTask { TASK_CLM, TASK_SEQCLS, TASK_TOKCLS, TASK_QA } TrainTask;

/* A label that counts for nothing. */
enum { NO_LABEL = -100 };

/* Of a sample whose task is not clm. tokcls: the labels of its segment are classes, each for its own token, or
 * NO_LABEL. */
typedef struct TrainTarget {
    int32_t label;        /* seqcls: the class; -1: a regression                                                     */
    int32_t start, end;   /* qa: tokens that the answer begins and ends with                                         */
    float value;          /* of a regression                                                                         */
    int32_t context;      /* qa: the token that the context begins with; 0 where it is not told                      */
} TrainTarget;

/* A sequence: attention stays within it, its positions start at 0. clm: labels[i] is ids[i], or NO_LABEL, and is told
 * from the tokens before it, so labels[0] counts for nothing. target: of seqcls and qa; else it may be NULL. */
typedef struct TrainSegment {
    const int32_t *ids, *labels;
    int64_t count;
    const TrainTarget *target;
} TrainSegment;

/* tokens: of all segments. labels: that count. Gradients are summed row after row (ops/lanes.h has the order). */
typedef struct TrainRow { const TrainSegment *segments; int64_t count, tokens, labels; } TrainRow;
#endif
