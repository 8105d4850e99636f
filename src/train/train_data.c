/* train_data.c: see train_data.h. Files, then samples cut and dropped, then rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "train_file.h"
#include "train_order.h"
#include "train_pack.h"

enum { GROUP_TEXTS = 1000 }; /* texts that run_clm joins at a time: the batch of datasets' map */

/* A sample that is trained on, in the memory of its file. */
typedef struct Part {
    int32_t *ids, *labels;
    int64_t count;
    TrainTarget target;
} Part;

/* Rows of one kind: to train on, or for evaluation. */
typedef struct Set {
    Part *part;
    int64_t parts;
    TrainSegment *segment; /* [plan.pieces], or of joined rows one each */
    TrainTarget *target;   /* beside segments, of a task with classes   */
    int64_t segments;
    TrainRow *row;
    int32_t *joined; /* ids, then labels, of joined rows          */
    TrainCounts counts;
} Set;

struct TrainData {
    TrainDataOptions options;
    TrainSamples *file; /* [files]: options.files, then eval_files */
    int files;
    TrainNames names;
    Set train, eval;
    int64_t *order, epoch; /* of train's rows; epoch -1: none yet      */
    int64_t torn;
};

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static bool all_text(const TrainDataOptions *o) {
    bool all = o->file_count > 0;
    for (int i = 0; i < o->file_count; i++) {
        size_t n = strlen(o->files[i]);
        all = all && n > 4 && !strcmp(o->files[i] + n - 4, ".txt");
    }
    return all;
}

static bool check_options(TrainDataOptions *o, Err *err) {
    if (o->file_count < 1) return err_as(err, QM_USAGE, "expected a file of samples to train on, got none");
    if (o->seq_len < 2 || o->seq_len > INT32_MAX)
        return err_as(err, QM_USAGE, "tokens of a row: expected 2 or more, got %lld", (long long)o->seq_len);
    if (!(o->eval_split >= 0 && o->eval_split < 1))
        return err_as(err, QM_USAGE, "the part for evaluation: expected 0 or more and below 1, got %g", o->eval_split);
    if (o->eval_split > 0 && o->eval_file_count)
        return err_as(err, QM_USAGE, "expected files for evaluation, or a part of the samples, got both");
    if (o->packing == PACKING_AUTO) o->packing = all_text(o) && !o->documents ? PACKING_BLOCKS : PACKING_NONE;
    if (o->task != TASK_CLM && o->packing != PACKING_NONE)
        return err_as(err, QM_USAGE, "packing %s is for clm: expected none for %s", train_packing_names[o->packing],
                      train_task_names[o->task]);
    return true;
}

/* A chat template that stands for another model's needs its control tokens. */
static bool check_template(const QmTokenizer *t, Err *err) {
    for (const char *need = t ? t->chat.needs : NULL; need && *need;) {
        size_t n = strcspn(need, " ");
        if (!added_set_find(&t->raw, need, n))
            return err_set(err, "the chat template needs the token %.*s, which this tokenizer lacks", (int)n, need);
        need += n + (need[n] == ' ');
    }
    return true;
}

static bool read_files(TrainData *d, const QmTokenizer *t, Err *err) {
    const TrainDataOptions *o = &d->options;
    int64_t vocab = o->vocab ? o->vocab : t ? qm_tokenizer_vocab(t) : INT32_MAX;
    TrainReader r = {.tokenizer = t,
                     .options = o,
                     .names = &d->names,
                     .vocab = vocab,
                     .end = t && o->end == END_AUTO ? qm_tokenizer_eos(t) : -1};
    d->files = o->file_count + o->eval_file_count;
    d->file = mem_new((size_t)d->files, sizeof *d->file, "samples", err);
    bool ok = d->file != NULL;
    for (int i = 0; ok && i < d->files; i++)
        ok = file_samples(&r, i < o->file_count ? o->files[i] : o->eval_files[i - o->file_count], &d->file[i], err);
    int32_t *order = NULL;
    ok = ok && names_finish(&d->names, &order, err);
    for (int i = 0; ok && i < d->files; i++) samples_rename(&d->file[i], o->task, order);
    free(order);
    return ok;
}

/* ---- Samples of a set -------------------------------------------------------------------------------------------- */

static int64_t labels_of(const int32_t *labels, int64_t count) {
    int64_t n = 0;
    for (int64_t i = 1; i < count; i++) n += labels[i] != NO_LABEL;
    return n;
}

/* Whether something of a sample, cut to `count` tokens, is learnt. */
static bool has_label(const TrainDataOptions *o, const FileSample *s, const int32_t *labels, int64_t count) {
    if (count == 0) return false;
    if (o->task == TASK_SEQCLS) return true;
    if (o->task == TASK_QA) return s->target.end < count;
    if (o->task == TASK_TOKCLS) return labels[0] != NO_LABEL || labels_of(labels, count) > 0;
    return labels_of(labels, count) > 0;
}

static bool joins(TrainPacking p) { return p == PACKING_WRAPPED || p == PACKING_BLOCKS; }

/* Adds one sample: cut, unless rows are made of pieces, and dropped where nothing is left to learn. */
static void set_add(Set *set, const TrainDataOptions *o, const TrainSamples *file, const FileSample *s) {
    int64_t n = s->count;
    bool cuts = o->packing == PACKING_NONE || o->packing == PACKING_BFD;
    set->counts.samples++;
    if (cuts && n > o->seq_len) set->counts.cut++, set->counts.rest += n - o->seq_len, n = o->seq_len;
    if (!joins(o->packing) && !has_label(o, s, file->labels + s->first, n)) set->counts.dropped++;
    else set->part[set->parts++] = (Part){file->ids + s->first, file->labels + s->first, n, s->target};
}

/* Which of the samples are for evaluation: the first ones, or drawn. */
static bool split(const TrainData *d, int64_t count, bool *eval, Err *err) {
    const TrainDataOptions *o = &d->options;
    int64_t n = (int64_t)nearbyint((double)count * o->eval_split);
    if (n == 0)
        return o->eval_split == 0 || err_set(err, "no sample of %lld is for evaluation: expected a larger part than %g",
                                             (long long)count, o->eval_split);
    int64_t *order = mem_new((size_t)count, sizeof *order, "samples", err);
    if (!order) return false;
    if (o->order == ORDER_SHUFFLE && o->packing != PACKING_BLOCKS)
        train_order(o->seed, DRAW_EVAL_SPLIT, 0, count, order);
    else
        for (int64_t i = 0; i < count; i++) order[i] = i;
    for (int64_t i = 0; i < n; i++) eval[order[i]] = true;
    free(order);
    return true;
}

static bool deal(TrainData *d, Err *err) {
    const TrainDataOptions *o = &d->options;
    int64_t count = 0, more = 0, at = 0;
    for (int i = 0; i < d->files; i++) *(i < o->file_count ? &count : &more) += d->file[i].count;
    bool *eval = mem_new((size_t)count + 1, sizeof *eval, "samples", err);
    d->train.part = mem_new((size_t)count + 1, sizeof *d->train.part, "samples", err);
    d->eval.part = mem_new((size_t)(count + more) + 1, sizeof *d->eval.part, "samples", err);
    bool ok = eval && d->train.part && d->eval.part && split(d, count, eval, err);
    for (int i = 0; ok && i < d->files; i++) {
        for (int64_t k = 0; k < d->file[i].count; k++) {
            bool for_eval = i >= o->file_count || eval[at++];
            set_add(for_eval ? &d->eval : &d->train, o, &d->file[i], &d->file[i].sample[k]);
            d->torn += d->file[i].sample[k].torn;
        }
    }
    free(eval);
    return ok;
}

/* ---- Rows of a set ----------------------------------------------------------------------------------------------- */

static bool plan_rows(const Set *set, const TrainDataOptions *o, PackPlan *plan, Err *err) {
    int64_t *lengths = mem_new((size_t)set->parts + 1, sizeof *lengths, "a packing plan", err);
    if (!lengths) return false;
    for (int64_t i = 0; i < set->parts; i++) lengths[i] = set->part[i].count;
    bool ok = false;
    switch (o->packing) {
    case PACKING_AUTO:
    case PACKING_NONE: ok = pack_none(lengths, set->parts, o->seq_len, plan, err); break;
    case PACKING_BFD:
    case PACKING_BFD_SPLIT:
        ok = pack_bfd(lengths, set->parts, o->seq_len, o->packing == PACKING_BFD_SPLIT, plan, err);
        break;
    case PACKING_WRAPPED: ok = pack_joined(lengths, set->parts, o->seq_len, 0, true, plan, err); break;
    case PACKING_BLOCKS: ok = pack_joined(lengths, set->parts, o->seq_len, GROUP_TEXTS, false, plan, err); break;
    }
    free(lengths);
    return ok;
}

/* A segment for every piece. */
static void pieces_to_segments(Set *set, const PackPlan *plan) {
    for (int64_t i = 0; i < plan->pieces; i++) {
        PackPiece p = plan->piece[i];
        const Part *part = &set->part[p.sample];
        const TrainTarget *target = set->target ? &set->target[i] : NULL;
        set->segment[i] = (TrainSegment){part->ids + p.first, part->labels + p.first, p.count, target};
        if (set->target) set->target[i] = part->target;
        else part->labels[p.first] = NO_LABEL; /* nothing stands before it */
    }
    for (int64_t r = 0; r < plan->rows; r++)
        set->row[r] = (TrainRow){.segments = set->segment + plan->row[r], .count = plan->row[r + 1] - plan->row[r]};
    set->segments = plan->pieces;
}

/* One segment a row, whose pieces are put together. */
static bool pieces_to_rows(Set *set, const PackPlan *plan, Err *err) {
    int64_t tokens = 0, at = 0;
    for (int64_t i = 0; i < plan->pieces; i++) tokens += plan->piece[i].count;
    if (!(set->joined = mem_new((size_t)tokens * 2 + 1, sizeof *set->joined, "rows", err))) return false;
    for (int64_t r = 0; r < plan->rows; r++) {
        int64_t start = at;
        for (int64_t i = plan->row[r]; i < plan->row[r + 1]; i++) {
            PackPiece p = plan->piece[i];
            size_t bytes = (size_t)p.count * sizeof *set->joined;
            memcpy(set->joined + at, set->part[p.sample].ids + p.first, bytes);
            memcpy(set->joined + tokens + at, set->part[p.sample].labels + p.first, bytes);
            at += p.count;
        }
        set->joined[tokens + start] = NO_LABEL;
        set->segment[r] = (TrainSegment){set->joined + start, set->joined + tokens + start, at - start, NULL};
        set->row[r] = (TrainRow){.segments = &set->segment[r], .count = 1};
    }
    set->segments = plan->rows;
    return true;
}

static void count_rows(Set *set, const TrainDataOptions *o) {
    for (int64_t r = 0; r < set->counts.rows; r++) {
        TrainRow *row = &set->row[r];
        for (int64_t i = 0; i < row->count; i++) {
            const TrainSegment *s = &row->segments[i];
            row->tokens += s->count;
            row->labels += o->task == TASK_SEQCLS || o->task == TASK_QA ? 1 : labels_of(s->labels, s->count);
            row->labels += o->task == TASK_TOKCLS && s->labels[0] != NO_LABEL;
        }
        set->counts.tokens += row->tokens;
        set->counts.labels += row->labels;
    }
}

static bool make_rows(Set *set, const TrainDataOptions *o, Err *err) {
    PackPlan plan = {0};
    int64_t given = 0;
    for (int64_t i = 0; i < set->parts; i++) given += set->part[i].count;
    bool ok = plan_rows(set, o, &plan, err);
    if (ok) {
        set->counts.rows = plan.rows;
        set->segment = mem_new((size_t)plan.pieces + 1, sizeof *set->segment, "rows", err);
        set->row = mem_new((size_t)plan.rows + 1, sizeof *set->row, "rows", err);
        if (o->task != TASK_CLM) set->target = mem_new((size_t)plan.pieces + 1, sizeof *set->target, "rows", err);
        ok = set->segment && set->row && (o->task == TASK_CLM || set->target);
    }
    if (ok && joins(o->packing)) ok = pieces_to_rows(set, &plan, err);
    else if (ok) pieces_to_segments(set, &plan);
    if (ok) count_rows(set, o);
    if (ok) set->counts.rest += given - set->counts.tokens;
    pack_free(&plan);
    free(set->part);
    set->part = NULL;
    return ok;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static bool open_all(TrainData *d, const QmTokenizer *t, Err *err) {
    const TrainDataOptions *o = &d->options;
    if (!check_template(t, err) || !read_files(d, t, err) || !deal(d, err)) return false;
    if (!make_rows(&d->train, o, err) || !make_rows(&d->eval, o, err)) return false;
    for (int i = 0; joins(o->packing) && i < d->files; i++) samples_free(&d->file[i]); /* rows have copies */
    const TrainCounts *c = &d->train.counts;
    if (c->rows == 0)
        return err_set(err,
                       "no row is left to train on: %lld samples, %lld of them without a label, rows of %lld tokens",
                       (long long)c->samples, (long long)c->dropped, (long long)o->seq_len);
    if (d->eval.counts.rows == 0 && (o->eval_split > 0 || o->eval_file_count))
        return err_set(err, "no row is left for evaluation: %lld samples, %lld of them without a label",
                       (long long)d->eval.counts.samples, (long long)d->eval.counts.dropped);
    if (d->torn)
        watch_say(QM_WARNING,
                  "%lld prompts end within a token of prompt and completion together: where the completion "
                  "begins is told by the number of the prompt's tokens",
                  (long long)d->torn);
    d->order = mem_new((size_t)c->rows, sizeof *d->order, "the order of rows", err);
    for (int64_t i = 0; d->order && i < c->rows; i++) d->order[i] = i;
    return d->order != NULL;
}

TrainData *train_data_open(const QmTokenizer *t, const TrainDataOptions *options, Err *err) {
    TrainData *d = mem_new(1, sizeof *d, "samples", err);
    if (!d) return NULL;
    d->options = *options;
    d->epoch = -1;
    bool ok = check_options(&d->options, err) && names_open(&d->names, options->names, options->name_count, err) &&
              open_all(d, t, err);
    if (ok) return d;
    train_data_close(d);
    return NULL;
}

static void set_free(Set *s) {
    free(s->part);
    free(s->segment);
    free(s->target);
    free(s->row);
    free(s->joined);
}

void train_data_close(TrainData *d) {
    if (!d) return;
    for (int i = 0; d->file && i < d->files; i++) samples_free(&d->file[i]);
    free(d->file);
    free(d->order);
    names_close(&d->names);
    set_free(&d->train);
    set_free(&d->eval);
    free(d);
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

int64_t train_rows(const TrainData *d) { return d->train.counts.rows; }
int64_t train_eval_rows(const TrainData *d) { return d->eval.counts.rows; }
const TrainRow *train_eval_row(const TrainData *d, int64_t i) { return &d->eval.row[i]; }
const TrainCounts *train_counts(const TrainData *d) { return &d->train.counts; }
const TrainCounts *train_eval_counts(const TrainData *d) { return &d->eval.counts; }
TrainTask train_task(const TrainData *d) { return d->options.task; }
TrainPacking train_packing(const TrainData *d) { return d->options.packing; }
int train_name_count(const TrainData *d) { return d->names.count; }
const char *train_name(const TrainData *d, int i) { return d->names.name[i]; }
bool train_is_regression(const TrainData *d) { return d->names.reals; }

const TrainRow *train_row(TrainData *d, int64_t epoch, int64_t i) {
    if (d->options.order == ORDER_FILE) return &d->train.row[i];
    if (epoch != d->epoch)
        train_order(d->options.seed, DRAW_EPOCH_ORDER, (uint64_t)epoch, d->train.counts.rows, d->order);
    d->epoch = epoch;
    return &d->train.row[d->order[i]];
}

const TrainTarget *train_target(const TrainData *d, const TrainSegment *s) {
    const Set *sets[] = {&d->train, &d->eval};
    for (int i = 0; i < 2; i++)
        if (sets[i]->target && s >= sets[i]->segment && s < sets[i]->segment + sets[i]->segments)
            return &sets[i]->target[s - sets[i]->segment];
    return NULL;
}
