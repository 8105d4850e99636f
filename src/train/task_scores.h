/* task_scores.h: how well the rows of an evaluation were told, by their task's metrics (metrics.h), under the names of
 * transformers' examples. All are shares of 1, or correlations.
 *
 *   seqcls  accuracy; f1 (of class 1, of two classes), else f1_macro; matthews_correlation; of numbers pearson, spearmanr
 *   tokcls  accuracy; where the classes are tags as B-LOC and I-LOC precision, recall and f1 of entities, else f1_macro
 *   qa      exact_match and f1 of the answers' words, as SQuAD's script counts them. An answer is the best pair of a
 *           first and a last token of the context, at most 30 of them; its text is theirs, and so is the right one's.
 *           Without a tokenizer: of the tokens themselves. */
#ifndef TASK_SCORES_H
#define TASK_SCORES_H
#include "metrics.h"
#include "trainer.h"

enum { MOST_METRICS = 6 };
typedef struct TaskMetric { const char *name; double value; } TaskMetric; /* NaN: it has no value */

/* Zeroed but for what is borrowed. */
typedef struct TaskTally {
    TrainTask task;
    const QmTokenizer *tokenizer; /* of qa; NULL: none                       */
    const char **names;           /* [name_count] of classes; may be none    */
    int name_count;
    int32_t *got, *want;          /* [count] classes                         */
    double *told, *right;         /* [count] numbers                         */
    size_t got_room, want_room, told_room, right_room;
    int64_t count, answers;
    int64_t columns;
    EntityTally entities;
    double exact, f1;             /* sums over answers                       */
} TaskTally;

/* Rows that were evaluated, with what the head gave for them. */
bool task_tally_add(TaskTally *tally, const TrainRow *rows, int64_t count, const TaskScores *scores, Err *err);
/* out [MOST_METRICS]; *count: how many there are. The tally begins anew. */
bool task_tally_end(TaskTally *tally, TaskMetric *out, int *count, Err *err);
void task_tally_free(TaskTally *tally);
#endif
