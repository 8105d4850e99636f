/* passes.c: see passes.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../ops/lanes.h"
#include "../ops/loss.h"
#include "../ops/products.h"
#include "passes.h"
#include "train_orders.h"

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

/* Sequences of a step that pass together: their numbers are in t->sequence. */
typedef struct Pass {
    const TrainRow *rows;
    int64_t count;           /* of the step                                                                  */
    int64_t sequences, logits;
    int64_t first[MAX_DEVICES + 1]; /* in t->sequence: of each side                                          */
    const int64_t *results;  /* [count + 1] where each one's losses and scores begin among those of the step */
    int kept;                /* sums of logit rows that earlier passes have left                             */
} Pass;

static int64_t replica_of(const Trainer *t, int64_t sequence, int64_t count) {
    return partition_slot(&t->partition, sequence, count, 0);
}

/* Replicas, where rows are dealt to them in equal parts; else groups of processes (rank_groups.h). */
static int64_t sides_of(const Trainer *t) { return t->backend->uniform ? t->partition.mesh.dp : t->groups.spans; }

static int64_t side_of(const Trainer *t, int64_t sequence, int64_t count) {
    int64_t g = 0;
    if (t->backend->uniform) return replica_of(t, sequence, count);
    while (lane_of(sequence, count) >= t->groups.span[g].last) g++;
    return g;
}

/* A pass has so many sequences of every side, which follow each other. False: none are left. */
static bool pass_choose(const Trainer *t, Pass *p, int64_t number) {
    int64_t sides = sides_of(t), each = t->pass_sequences / sides, before = 0;
    p->sequences = 0;
    for (int64_t g = 0; g <= sides; g++) p->first[g] = 0;
    for (int64_t i = 0, place = 0; i < p->count; i++, place++) {
        int64_t side = side_of(t, i, p->count);
        if (side != before) place = 0, before = side;
        if (place / each != number) continue;
        t->sequence[p->sequences++] = i;
        for (int64_t g = side + 1; g <= sides; g++) p->first[g] = p->sequences;
    }
    return p->sequences > 0;
}

/* The rows of a sequence, from row `begin` of the pass on. A segment has the next free slot of the replica, of which
 * `held` are taken; but where shapes are static, the whole sequence has one. */
static bool sequence_fill(Trainer *t, Pass *p, int64_t i, int64_t *held, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    const TrainRow *row = &p->rows[i];
    int64_t begin = s->rows;
    for (int64_t g = 0; g < row->count; g++) {
        const TrainSegment *segment = &row->segments[g];
        int64_t slot = partition_slot(&t->partition, i, p->count, *held);
        *held += !t->backend->uniform;
        if (slot >= t->slots)
            return err_as(err, QM_LIMIT, "a pass of more than %lld sequences: lower the micro-batch",
                          (long long)(t->slots / t->partition.mesh.dp));
        for (int64_t at = 0; at < segment->count; at++) {
            int64_t r = s->rows++;
            s->token[r] = segment->ids[at];
            s->slot[r] = (int32_t)slot;
            s->index[r] = t->backend->uniform ? r - begin : at;
            s->position[r] = (int32_t)at;
            s->length[r] = segment->count;
            s->place[r] = i * t->context + (r - begin);
            if (!label_of(t, segment, at, &t->label[p->logits])) continue;
            t->logit_row[p->logits++] = (int32_t)r;
        }
    }
    *held += t->backend->uniform;
    return true;
}

/* The rows of a pass, and which of them have a label. */
static bool pass_fill(Trainer *t, Pass *p, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    int64_t held = 0, replica = -1;
    s->rows = s->logit_rows = p->logits = 0;
    for (int64_t j = 0; j < p->sequences; j++) {
        int64_t i = t->sequence[j];
        t->begins[j] = s->rows;
        t->logit_begins[j] = p->logits;
        if (replica_of(t, i, p->count) != replica) held = 0, replica = replica_of(t, i, p->count);
        if (!sequence_fill(t, p, i, &held, err)) return false;
    }
    t->begins[p->sequences] = s->rows;
    t->logit_begins[p->sequences] = p->logits;
    return true;
}

/* How the rows of a list, which begin so, add to this process's sums: those of its group. Replicas of static shapes sum
 * what they have in one chain: of all this they are told only whether there is a sum to add to. */
static void pass_lanes(const Trainer *t, const Pass *p, const int64_t *begins, LanePlan *out) {
    *out = (LanePlan){.held = t->backend->uniform && t->sequence[0] > 0, .kept = t->backend->uniform};
    for (int g = 0; g < t->groups.spans && !t->backend->uniform; g++) {
        int64_t j = p->first[g], n = p->first[g + 1] - j;
        if (t->groups.group[g] == rank_group(&t->groups) && n)
            lanes_plan_of(out, t->groups.span[g], p->count, t->sequence[j], t->sequence[j] + n, begins + j);
    }
}

bool stages_run(Trainer *t, Stage first, Stage last, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    s->first = first;
    s->last = last;
    return t->backend->run(t->state, err);
}

/* ---- The head ---------------------------------------------------------------------------------------------------- */

/* The logit rows of a pass that go through the head together: as many of each side, [at, end) of the pass's. */
typedef struct Piece { int64_t at[MAX_DEVICES], end[MAX_DEVICES]; bool more; } Piece;

/* Whether logit rows l - 1 and l of the pass are a pair (ops/products.h), which a sum over rows takes at once. */
static bool is_in_pair(Trainer *t, int64_t l) {
    const StepRows *s = t->backend->rows(t->state);
    return pairs_joined(&(RowPairs){.row = t->logit_row, .slot = s->slot, .index = s->index}, l - 1);
}

/* The piece that follows; number 0: the first. */
static void piece_fill(Trainer *t, const Pass *p, int64_t number, Piece *piece) {
    StepRows *s = t->backend->rows(t->state);
    s->logit_rows = 0;
    piece->more = false;
    for (int64_t g = 0; g < sides_of(t); g++) {
        int64_t last = t->logit_begins[p->first[g + 1]], at = number ? piece->end[g] : t->logit_begins[p->first[g]];
        piece->at[g] = at;
        piece->end[g] = at + t->head_rows < last ? at + t->head_rows : last;
        if (!t->backend->uniform && piece->end[g] < last && t->head_rows > 1) piece->end[g] -= is_in_pair(t, piece->end[g]);
        piece->more |= piece->end[g] < last;
        size_t n = (size_t)(piece->end[g] - at);
        memcpy(s->logit_row + s->logit_rows, t->logit_row + at, n * sizeof *s->logit_row);
        memcpy(s->label + s->logit_rows, t->label + at, n * sizeof *s->label);
        s->logit_rows += (int64_t)n;
    }
}

/* How this process's rows of a piece add to sums: `whole` of the pass, cut. A group that is through adds nothing. */
static void piece_lanes(Trainer *t, Pass *p, const LanePlan *whole, int64_t number, const Piece *piece) {
    LanePlan *plan = &t->backend->rows(t->state)->lanes[LOGIT_ROWS];
    int64_t before = 0;
    *plan = t->backend->uniform ? *whole : (LanePlan){0};
    if (t->backend->uniform && number > 0) plan->held = 1;
    for (int g = 0; g < t->groups.spans && !t->backend->uniform; before += piece->end[g] - piece->at[g], g++) {
        int64_t last = t->logit_begins[p->first[g + 1]];
        if (t->groups.group[g] != rank_group(&t->groups) || (number > 0 && piece->at[g] == last)) continue;
        lanes_cut(whole, piece->at[g], piece->end[g], piece->end[g] == last, p->kept, plan);
        p->kept = plan->kept;
        for (int i = 0; i < plan->count; i++) plan->run[i].first += before, plan->run[i].last += before;
    }
}

/* What a run of the head gave for a piece, `width` numbers a row, in the order of the step. */
static bool piece_read(Trainer *t, const Pass *p, Tensor of, const Piece *piece, int64_t width, float *out, Err *err) {
    const float *read = t->backend->read(t->state, program_tensor(&t->program, of), err);
    if (!read) return false;
    for (int64_t g = 0; g < sides_of(t); read += (piece->end[g] - piece->at[g]) * width, g++)
        for (int64_t j = p->first[g]; j < p->first[g + 1]; j++) {
            int64_t begin = t->logit_begins[j], from = begin > piece->at[g] ? begin : piece->at[g],
                    to = t->logit_begins[j + 1] < piece->end[g] ? t->logit_begins[j + 1] : piece->end[g];
            if (from < to)
                memcpy(out + (p->results[t->sequence[j]] + from - begin) * width, read + (from - piece->at[g]) * width,
                       (size_t)((to - from) * width) * sizeof *out);
        }
    return true;
}

/* The head for all labels of the pass, so many at a time. */
static bool head_run(Trainer *t, Pass *p, bool gradients, Err *err) {
    bool scores = !gradients && t->train.scores.id;
    LanePlan whole;
    Piece piece = {.more = true};
    pass_lanes(t, p, t->logit_begins, &whole);
    for (int64_t number = 0; piece.more; number++) {
        piece_fill(t, p, number, &piece);
        piece_lanes(t, p, &whole, number, &piece);
        if (!stages_run(t, STAGE_HEAD, gradients ? STAGE_HEAD_GRADIENT : STAGE_HEAD, err) ||
            !piece_read(t, p, t->train.loss, &piece, 1, t->loss, err) ||
            (scores && !piece_read(t, p, t->train.scores, &piece, t->config.labels, t->scores, err)))
            return false;
    }
    t->backend->rows(t->state)->logit_rows = 0;
    return true;
}

/* ---- A step ------------------------------------------------------------------------------------------------------ */

/* Whether to go on with a step, or to leave it: rank 0 asks, and tells all. */
static bool go_on(Trainer *t, Err *err) {
    int64_t stops = t->stop && t->stop();
    train_decided(&stops, sizeof stops);
    return !stops || err_as(err, QM_INTERRUPTED, "interrupted within a step");
}

/* Where each sequence's losses begin; room for all of them, and for scores. NULL on error. */
static int64_t *results_new(Trainer *t, const TrainRow *rows, int64_t count, bool scores, Err *err) {
    int64_t *begins = mem_new((size_t)count + 1, sizeof *begins, "losses", err);
    for (int64_t i = 0; begins && i < count; i++) {
        begins[i + 1] = begins[i];
        for (int64_t g = 0; g < rows[i].count; g++) begins[i + 1] += rows_of_head(t, &rows[i].segments[g]);
    }
    if (!begins) return NULL;
    size_t all = (size_t)begins[count];
    if (mem_grow((void **)&t->loss, &t->loss_capacity, all + 1, sizeof *t->loss, "losses", err) &&
        (!scores || mem_grow((void **)&t->scores, &t->scores_capacity, all * (size_t)t->config.labels + 1,
                             sizeof *t->scores, "scores", err)))
        return begins;
    free(begins);
    return NULL;
}

/* Of all labels of a step, in the order of lanes. */
static bool losses_sum(const Trainer *t, int64_t count, const int64_t *results, double *sum, Err *err) {
    double *losses = mem_new((size_t)results[count] + 1, sizeof *losses, "losses", err);
    for (int64_t i = 0; losses && i < results[count]; i++) losses[i] = (double)t->loss[i];
    if (losses) *sum = lanes_sum(losses, count, results);
    free(losses);
    return losses != NULL;
}

bool passes_run(Trainer *t, const TrainRow *rows, int64_t count, bool gradients, double *sum, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    bool scores = !gradients && t->train.scores.id, ok = true;
    int64_t *results = results_new(t, rows, count, scores, err);
    Pass p = {.rows = rows, .count = count, .results = results};
    for (s->passes = 0; results && pass_choose(t, &p, s->passes);) s->passes++;
    s->sequences = count;
    for (int64_t number = 0; results && ok && pass_choose(t, &p, number); number++) {
        ok = (number == 0 || go_on(t, err)) && pass_fill(t, &p, err);
        if (!ok) break;
        s->pass = number;
        pass_lanes(t, &p, t->begins, &s->lanes[STEP_ROWS]);
        ok = stages_run(t, STAGE_FORWARD, STAGE_FORWARD, err) && head_run(t, &p, gradients, err) &&
             (!gradients || (go_on(t, err) && stages_run(t, STAGE_GRADIENT, STAGE_GRADIENT, err)));
    }
    ok = ok && results && losses_sum(t, count, results, sum, err);
    t->score_rows = ok && scores ? results[count] : 0;
    free(results);
    return ok;
}
