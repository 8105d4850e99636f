/* task_scores.c: see task_scores.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "task_scores.h"

enum { MOST_ANSWER = 30 }; /* tokens: run_qa's max_answer_length */

static int32_t best_of(const float *row, int64_t columns) {
    int32_t best = 0;
    for (int32_t i = 1; i < columns; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

/* ---- Classes and numbers ----------------------------------------------------------------------------------------- */

static bool add_class(TaskTally *t, int32_t got, int32_t want, Err *err) {
    size_t n = (size_t)t->count + 1;
    if (!mem_grow((void **)&t->got, &t->got_room, n, sizeof *t->got, "scores", err) ||
        !mem_grow((void **)&t->want, &t->want_room, n, sizeof *t->want, "scores", err))
        return false;
    t->got[t->count] = got;
    t->want[t->count++] = want;
    return true;
}

static bool add_number(TaskTally *t, double told, double right, Err *err) {
    size_t n = (size_t)t->count + 1;
    if (!mem_grow((void **)&t->told, &t->told_room, n, sizeof *t->told, "scores", err) ||
        !mem_grow((void **)&t->right, &t->right_room, n, sizeof *t->right, "scores", err))
        return false;
    t->told[t->count] = told;
    t->right[t->count++] = right;
    return true;
}

static const char *name_of(const TaskTally *t, int32_t class) { return class < t->name_count ? t->names[class] : "O"; }

/* Whether the classes are tags of entities. */
static bool has_entities(const TaskTally *t) {
    for (int i = 0; i < t->name_count; i++)
        if (!strncmp(t->names[i], "B-", 2) || !strncmp(t->names[i], "I-", 2)) return true;
    return false;
}

/* The tags of a sequence's labelled tokens, which are its words; *row: of its first, then behind its last. */
static bool add_tags(TaskTally *t, const TrainSegment *s, const TaskScores *scores, int64_t *row, Err *err) {
    const char **got = mem_new(2 * (size_t)s->count + 1, sizeof *got, "tags", err), **want = got + s->count;
    int64_t n = 0;
    bool ok = got != NULL;
    for (int64_t i = 0; ok && s->labels && i < s->count; i++) {
        if (s->labels[i] == NO_LABEL) continue;
        int32_t best = best_of(scores->values + *row * scores->columns, scores->columns);
        ++*row;
        got[n] = name_of(t, best);
        want[n++] = name_of(t, s->labels[i]);
        ok = add_class(t, best, s->labels[i], err);
    }
    if (ok) entities_add(&t->entities, got, want, n);
    free(got);
    return ok;
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

typedef struct Answer { int64_t start, end; } Answer;

/* The best pair, the first of equals; z [count][2]. */
static Answer answer_of(const float *z, int64_t from, int64_t count) {
    Answer best = {from, from};
    double most = -INFINITY;
    for (int64_t a = from; a < count; a++)
        for (int64_t b = a; b < count && b < a + MOST_ANSWER; b++) {
            double sum = (double)z[2 * a] + (double)z[2 * b + 1];
            if (sum > most) most = sum, best = (Answer){a, b};
        }
    return best;
}

/* How the tokens of two answers agree. */
static void compare_tokens(const int32_t *ids, Answer got, Answer want, double *exact, double *f1) {
    int64_t n = got.end - got.start + 1, m = want.end - want.start + 1, both = 0;
    *exact = n == m && !memcmp(ids + got.start, ids + want.start, (size_t)n * sizeof *ids);
    for (int64_t i = got.start; i <= got.end; i++) { /* each as often as both have it */
        int64_t before = 0, have = 0;
        for (int64_t k = got.start; k < i; k++) before += ids[k] == ids[i];
        for (int64_t k = want.start; k <= want.end; k++) have += ids[k] == ids[i];
        both += before < have;
    }
    *f1 = both ? 2 * (double)both / (double)(n + m) : 0;
}

static char *text_of(const TaskTally *t, const int32_t *ids, Answer a, Err *err) {
    return qm_tokenizer_decode(t->tokenizer, ids + a.start, a.end - a.start + 1, true, NULL, err);
}

static bool add_answer(TaskTally *t, const TrainSegment *s, const float *z, Err *err) {
    Answer got = answer_of(z, s->target->context, s->count), want = {s->target->start, s->target->end};
    double exact = 0, f1 = 0;
    if (!t->tokenizer) compare_tokens(s->ids, got, want, &exact, &f1);
    else {
        char *told = text_of(t, s->ids, got, err), *right = told ? text_of(t, s->ids, want, err) : NULL;
        const char *list[] = {right};
        bool ok = right && metric_answer(told, list, 1, &exact, &f1, err);
        free(told), free(right);
        if (!ok) return false;
    }
    t->answers++;
    t->exact += exact;
    t->f1 += f1;
    return true;
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

static bool add_segment(TaskTally *t, const TrainSegment *s, const TaskScores *scores, int64_t *row, Err *err) {
    const float *z = scores->values + *row * scores->columns;
    switch (t->task) {
    case TASK_CLM: return true;
    case TASK_TOKCLS: return add_tags(t, s, scores, row, err);
    case TASK_SEQCLS:
        ++*row;
        if (scores->columns == 1) return add_number(t, (double)*z, (double)s->target->value, err);
        return add_class(t, best_of(z, scores->columns), s->target->label, err);
    case TASK_QA: *row += s->count; return add_answer(t, s, z, err);
    }
    return true;
}

bool task_tally_add(TaskTally *t, const TrainRow *rows, int64_t count, const TaskScores *scores, Err *err) {
    int64_t row = 0;
    t->columns = scores->columns;
    for (int64_t i = 0; i < count; i++)
        for (int64_t g = 0; g < rows[i].count; g++)
            if (!add_segment(t, &rows[i].segments[g], scores, &row, err)) return false;
    return t->task == TASK_CLM || row == scores->rows ||
           err_as(err, QM_INTERNAL, "scores of %lld rows, expected %lld", (long long)scores->rows, (long long)row);
}

static bool class_metrics(const TaskTally *t, TaskMetric *out, int *count, Err *err) {
    ClassMetrics m;
    if (!metric_classes(t->got, t->want, t->count, (int)t->columns, &m, err)) return false;
    out[(*count)++] = (TaskMetric){"accuracy", m.accuracy};
    if (t->task == TASK_TOKCLS && has_entities(t)) {
        out[(*count)++] = (TaskMetric){"precision", entities_precision(&t->entities)};
        out[(*count)++] = (TaskMetric){"recall", entities_recall(&t->entities)};
        out[(*count)++] = (TaskMetric){"f1", entities_f1(&t->entities)};
        return true;
    }
    bool two = t->columns == 2 && t->task == TASK_SEQCLS;
    out[(*count)++] = two ? (TaskMetric){"f1", m.f1} : (TaskMetric){"f1_macro", m.f1_macro};
    if (t->task == TASK_SEQCLS) out[(*count)++] = (TaskMetric){"matthews_correlation", m.mcc};
    return true;
}

static bool number_metrics(const TaskTally *t, TaskMetric *out, int *count, Err *err) {
    double spearman;
    if (!metric_spearman(t->told, t->right, t->count, &spearman, err)) return false;
    out[(*count)++] = (TaskMetric){"pearson", metric_pearson(t->told, t->right, t->count)};
    out[(*count)++] = (TaskMetric){"spearmanr", spearman};
    return true;
}

bool task_tally_end(TaskTally *t, TaskMetric *out, int *count, Err *err) {
    bool ok = true;
    *count = 0;
    if (t->answers) {
        out[(*count)++] = (TaskMetric){"exact_match", t->exact / (double)t->answers};
        out[(*count)++] = (TaskMetric){"f1", t->f1 / (double)t->answers};
    } else if (t->count) ok = (t->columns == 1 ? number_metrics : class_metrics)(t, out, count, err);
    t->count = t->answers = 0;
    t->exact = t->f1 = 0;
    t->entities = (EntityTally){0};
    return ok;
}

void task_tally_free(TaskTally *t) {
    free(t->got), free(t->want), free(t->told), free(t->right);
    *t = (TaskTally){0};
}
