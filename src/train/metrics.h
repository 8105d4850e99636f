/* metrics.h: how well classes, numbers, entities and answers were told, as scikit-learn, SciPy, seqeval and SQuAD's
 * script have it. Sums in double, in order. */
#ifndef METRICS_H
#define METRICS_H
#include "../base/base.h"
#include "rows.h"

/* f1: of class 1, as for two classes; f1_macro: mean over the classes that occur in either list; mcc: Matthews
 * correlation, of any number of classes (Gorodkin 2004). A ratio over nothing is 0. */
typedef struct ClassMetrics { double accuracy, f1, f1_macro, mcc; int64_t count; } ClassMetrics;

/* got, want [count]: classes below `classes`; where `want` is NO_LABEL nothing counts. */
bool metric_classes(const int32_t *got, const int32_t *want, int64_t count, int classes, ClassMetrics *out, Err *err);

/* Correlations. NaN: one list is constant, or count < 2. Spearman: of ranks, equal numbers share the mean of theirs. */
double metric_pearson(const double *x, const double *y, int64_t count);
bool metric_spearman(const double *x, const double *y, int64_t count, double *out, Err *err);

/* Entities in tags of IOB2 (and E-, S-): as many as `got` has, `want` has, and both have with type and borders. An I-
 * that nothing begins begins one itself, as conlleval has it. */
typedef struct EntityTally { int64_t got, want, right; } EntityTally;
/* One sequence: tags [count], as "B-LOC" or "O". */
void entities_add(EntityTally *tally, const char *const *got, const char *const *want, int64_t count);
double entities_precision(const EntityTally *t);
double entities_recall(const EntityTally *t);
double entities_f1(const EntityTally *t);

/* Texts of answers, small letters, without ASCII punctuation and articles: whether they are equal, and the F1 of their
 * words. exact, f1: the best over the `count` answers that are right; none: an empty text is. */
bool metric_answer(const char *got, const char *const *want, int count, double *exact, double *f1, Err *err);
#endif
