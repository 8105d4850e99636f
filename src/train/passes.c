/* passes.c: see passes.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../ops/lanes.h"
#include "../ops/loss.h"
#include "passes.h"

/* ---- Rows ---------------------------------------------------------------------------------------------------------- */

/* The label of a token, where it counts for something: that which its row of logits is told by. */
static bool label_of(const Trainer *t, const TrainSegment *s, int64_t at, int32_t *label) {
    const TrainTarget *target = s->target;
    switch (t->task) {
    case TASK_CLM: return s->labels && at + 1 < s->count && (*label = s->labels[at + 1]) != NO_LABEL;
    case TASK_TOKCLS: return s->labels && (*label = s->labels[at]) != NO_LABEL;
    case TASK_SEQCLS:
        if (t->config.labels == 1) memcpy(label, &target->value, sizeof *label);
        else *label = target->label;
        return at + 1 == s->count;
    case TASK_QA:
        *label = (at == target->start ? SPAN_BEGINS : 0) | (at == target->end ? SPAN_ENDS : 0);
        return true;
    }
    return false;
}

int64_t tokens_of(const TrainRow *rows, int64_t count) {
    int64_t tokens = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t g = 0; g < rows[i].count; g++) tokens += rows[i].segments[g].count;
    return tokens;
}

static int64_t rows_of_head(const Trainer *t, const TrainSegment *s) {
    int64_t rows = 0;
    int32_t label;
    for (int64_t at = 0; at < s->count; at++) rows += label_of(t, s, at, &label);
    return rows;
}

int64_t labels_of(const Trainer *t, const TrainRow *rows, int64_t count) {
    int64_t labels = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t g = 0; g < rows[i].count; g++)
            labels += t->task == TASK_QA ? 1 : rows_of_head(t, &rows[i].segments[g]);
    return labels;
}

static bool target_check(const Trainer *t, const TrainSegment *s, Err *err) {
    const TrainTarget *g = s->target;
    if (t->task != TASK_SEQCLS && t->task != TASK_QA) return true;
    if (!g || s->count < 1) return err_as(err, QM_INPUT, "a sequence without a target");
    if (t->task == TASK_QA)
        return (g->context >= 0 && g->context <= g->start && g->start <= g->end && g->end < s->count) ||
               err_as(err, QM_INPUT, "an answer from token %d to %d: expected two in order from %d on, below %lld", g->start,
                      g->end, g->context, (long long)s->count);
    if (t->config.labels == 1)
        return isfinite(g->value) || err_as(err, QM_INPUT, "a target %g: expected a finite number", (double)g->value);
    return (g->label >= 0 && g->label < t->config.labels) ||
           err_as(err, QM_INPUT, "class %d: expected one below %lld", g->label, (long long)t->config.labels);
}

static bool row_check(const Trainer *t, const TrainRow *row, int64_t number, Err *err) {
    int64_t tokens = 0, vocab = t->config.vocab, labels = t->task == TASK_TOKCLS ? t->config.labels : vocab;
    for (int64_t s = 0; s < row->count; s++) {
        const TrainSegment *g = &row->segments[s];
        if (!target_check(t, g, err)) return err_prefix(err, "row %lld", (long long)number), false;
        for (int64_t i = 0; i < g->count; i++) {
            int32_t label = g->labels ? g->labels[i] : NO_LABEL;
            bool right = label == NO_LABEL || (label >= 0 && label < labels);
            if (g->ids[i] < 0 || g->ids[i] >= vocab || !right)
                return err_as(err, QM_INPUT, "row %lld, token %lld: id %d, label %d: expected ids below %lld, labels below "
                              "%lld", (long long)number, (long long)(tokens + i), g->ids[i], label, (long long)vocab,
                              (long long)labels);
        }
        tokens += g->count;
    }
    return tokens <= t->context || err_as(err, QM_LIMIT, "row %lld: %lld tokens do not fit a sequence length of %lld",
                                          (long long)number, (long long)tokens, (long long)t->context);
}

bool rows_check(const Trainer *t, const TrainRow *rows, int64_t count, Err *err) {
    for (int64_t i = 0; i < count; i++)
        if (!row_check(t, &rows[i], i, err)) return false;
    return true;
}

/* ---- A pass ------------------------------------------------------------------------------------------------------ */

/* Rows [from, to) of a step of `count`. */
typedef struct Pass { const TrainRow *rows; int64_t from, to, count; } Pass;

/* The rows of a pass, and which of them have a label. */
static bool pass_fill(Trainer *t, const Pass *p, int64_t *logits, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    int64_t dp = t->partition.mesh.dp, held = 0, replica = -1;
    s->rows = s->logit_rows = *logits = 0;
    for (int64_t i = p->from; i < p->to; i++) {
        const TrainRow *row = &p->rows[i];
        t->begins[i - p->from] = s->rows;
        t->logit_begins[i - p->from] = *logits;
        for (int64_t g = 0; g < row->count; g++) {
            const TrainSegment *segment = &row->segments[g];
            if (partition_slot(&t->partition, i, p->count, 0) != replica)
                held = 0, replica = partition_slot(&t->partition, i, p->count, 0);
            int64_t slot = partition_slot(&t->partition, i, p->count, held++);
            if (slot >= t->slots)
                return err_as(err, QM_LIMIT, "a pass of more than %lld sequences: lower the micro-batch",
                              (long long)(t->slots / dp));
            for (int64_t at = 0; at < segment->count; at++) {
                int64_t r = s->rows++;
                s->token[r] = segment->ids[at];
                s->slot[r] = (int32_t)slot;
                s->index[r] = at;
                s->position[r] = (int32_t)at;
                s->length[r] = segment->count;
                s->place[r] = i * t->context + (r - t->begins[i - p->from]);
                if (!label_of(t, segment, at, &t->label[*logits])) continue;
                t->logit_row[(*logits)++] = (int32_t)r;
            }
        }
    }
    t->begins[p->to - p->from] = s->rows;
    t->logit_begins[p->to - p->from] = *logits;
    return true;
}

bool stages_run(Trainer *t, Stage first, Stage last, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    s->first = first;
    s->last = last;
    return t->backend->run(t->state, err);
}

/* What the head gave for `rows` logit rows goes to the end of t->scores. */
static bool scores_keep(Trainer *t, int64_t rows, Err *err) {
    size_t n = (size_t)t->config.labels, all = (size_t)(t->score_rows + rows) * n;
    const float *read = t->backend->read(t->state, program_tensor(&t->program, t->train.scores), err);
    if (!read || !mem_grow((void **)&t->scores, &t->scores_capacity, all + 1, sizeof *t->scores, "scores", err))
        return false;
    memcpy(t->scores + (size_t)t->score_rows * n, read, (size_t)rows * n * sizeof *read);
    t->score_rows += rows;
    return true;
}

/* The head for all labels of the pass, so many at a time; their losses to loss[0 .. logits). kept: sums of logit rows
 * that earlier passes have left. */
static bool head_run(Trainer *t, const Pass *p, int64_t logits, bool gradients, int *kept, double *loss, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    Tensor values = program_tensor(&t->program, t->train.loss);
    LanePlan whole;
    lanes_plan(&whole, p->count, p->from, p->to, t->logit_begins);
    for (int64_t at = 0, end; at == 0 || at < logits; at = end) {
        end = at + t->head_rows < logits ? at + t->head_rows : logits;
        lanes_cut(&whole, at, end, end == logits, *kept, &s->lanes[LOGIT_ROWS]);
        *kept = s->lanes[LOGIT_ROWS].kept;
        s->logit_rows = end - at;
        memcpy(s->logit_row, t->logit_row + at, (size_t)(end - at) * sizeof *s->logit_row);
        memcpy(s->label, t->label + at, (size_t)(end - at) * sizeof *s->label);
        if (!stages_run(t, STAGE_HEAD, gradients ? STAGE_HEAD_GRADIENT : STAGE_HEAD, err)) return false;
        const float *read = t->backend->read(t->state, values, err);
        if (!read) return false;
        for (int64_t i = at; i < end; i++) loss[i] = (double)read[i - at];
        if (!gradients && t->train.scores.id && !scores_keep(t, end - at, err)) return false;
        if (!logits) break;
    }
    s->logit_rows = 0;
    return true;
}

bool passes_run(Trainer *t, const TrainRow *rows, int64_t count, bool gradients, double *sum, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    int64_t all = tokens_of(rows, count), done = 0, logits; /* of which some have labels */
    int kept = 0;
    int64_t *begins = mem_new((size_t)count + 1, sizeof *begins, "losses", err);
    bool ok = begins && mem_grow((void **)&t->loss, &t->loss_capacity, (size_t)all + 1, sizeof *t->loss, "losses", err);
    for (int64_t from = 0, to; ok && from < count; from = to) {
        to = from + t->micro_batch < count ? from + t->micro_batch : count;
        Pass p = {rows, from, to, count};
        ok = pass_fill(t, &p, &logits, err);
        if (!ok) break;
        lanes_plan(&s->lanes[STEP_ROWS], count, from, to, t->begins);
        for (int64_t i = from; i < to; i++) begins[i] = done + t->logit_begins[i - from];
        ok = stages_run(t, STAGE_FORWARD, STAGE_FORWARD, err) &&
             head_run(t, &p, logits, gradients, &kept, t->loss + done, err) &&
             (!gradients || stages_run(t, STAGE_GRADIENT, STAGE_GRADIENT, err));
        done += logits;
    }
    if (ok) begins[count] = done, *sum = lanes_sum(t->loss, count, begins);
    free(begins);
    return ok;
}
