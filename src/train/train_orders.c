/* train_orders.c: see train_orders.h. */
#include <stdlib.h>
#include <string.h>
#include "../base/transport.h"
#include "../infer/lead.h"
#include "train_orders.h"

/* ---- Options ----------------------------------------------------------------------------------------------------- */

bool train_open_write(TrainOpen *open, const char *model, const TrainerOptions *o, Err *err) {
    QmEngineOptions engine = o->engine;
    engine.model = model;
    memset(open, 0, sizeof *open);
    open->seq_len = o->seq_len;
    open->micro_batch = o->micro_batch;
    open->labels = o->labels;
    open->optimizer = o->optimizer;
    open->task = o->task;
    open->recompute = o->recompute;
    open->ema = o->ema;
    open->moments_8bit = o->moments_8bit;
    open->adapted = o->adapter != NULL;
    open->seed = o->seed;
    if (o->adapter && snprintf(open->adapter, sizeof open->adapter, "%s", o->adapter) >= (int)sizeof open->adapter)
        return err_as(err, QM_LIMIT, "%.40s...: expected a path of less than %d bytes", o->adapter, ORDER_TEXT_BYTES);
    return open_order_write(&open->engine, &engine, err);
}

bool train_within(const char *what, int64_t value, int64_t first, int64_t last, Err *err) {
    return (value >= first && value <= last) ||
           err_set(err, "order to train: %s: expected %lld to %lld, got %lld", what, (long long)first, (long long)last,
                   (long long)value);
}

bool train_open_read(const TrainOpen *open, TrainerOptions *o, Err *err) {
    *o = (TrainerOptions){.seq_len = open->seq_len, .micro_batch = open->micro_batch, .labels = open->labels,
                          .recompute = open->recompute != 0, .ema = open->ema != 0, .moments_8bit = open->moments_8bit != 0,
                          .seed = open->seed};
    if (!open_order_read(&open->engine, &o->engine, err) ||
        !train_within("optimizer", open->optimizer, 0, OPTIMIZER_MUON, err) || !train_within("task", open->task, 0, TASK_QA, err) ||
        !train_within("labels", open->labels, 0, INT32_MAX, err) || !train_within("tokens of a row", open->seq_len, 1, MAX_ROWS, err) ||
        !train_within("rows that pass at once", open->micro_batch, 1, MAX_ROWS, err))
        return false;
    if (!o->engine.model) return err_set(err, "order to train: no model is named");
    if (open->adapted && !memchr(open->adapter, 0, sizeof open->adapter))
        return err_set(err, "order to train: the adapter's name has no end");
    o->optimizer = (OptimizerKind)open->optimizer;
    o->task = (TrainTask)open->task;
    o->adapter = open->adapted ? open->adapter : NULL;
    return true;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

int64_t train_rows_numbers(const TrainRows *h) { return h->rows + (1 + TARGET_NUMBERS) * h->segments + 2 * h->tokens; }

static void target_write(const TrainTarget *t, int32_t *out) {
    out[0] = t != NULL;
    if (!t) return;
    out[1] = t->label, out[2] = t->start, out[3] = t->end, out[4] = t->context;
    memcpy(&out[5], &t->value, sizeof out[5]);
}

int32_t *train_rows_write(TrainRows *h, const TrainRow *rows, int64_t count, Err *err) {
    h->rows = count;
    h->segments = h->tokens = 0;
    for (int64_t i = 0; i < count; h->segments += rows[i++].count)
        for (int64_t k = 0; k < rows[i].count; k++) h->tokens += rows[i].segments[k].count;
    int32_t *all = mem_new((size_t)train_rows_numbers(h) + 1, sizeof *all, "rows of a step", err);
    if (!all) return NULL;
    int32_t *counts = all + h->rows, *ids = counts + h->segments, *labels = ids + h->tokens, *targets = labels + h->tokens;
    for (int64_t i = 0; i < count; i++) {
        all[i] = (int32_t)rows[i].count;
        for (int64_t k = 0; k < rows[i].count; k++, targets += TARGET_NUMBERS) {
            const TrainSegment *s = &rows[i].segments[k];
            *counts++ = (int32_t)s->count;
            memcpy(ids, s->ids, (size_t)s->count * sizeof *ids);
            for (int64_t at = 0; at < s->count; at++) labels[at] = s->labels ? s->labels[at] : NO_LABEL;
            target_write(s->target, targets);
            ids += s->count, labels += s->count;
        }
    }
    return all;
}

/* ---- Rank 0 ------------------------------------------------------------------------------------------------------ */

static bool leads(void) { return transport_ranks() > 1 && transport_rank() == 0; }

void train_lead(TrainOrder what, int64_t tensor, int64_t part) {
    Order o = {.kind = ORDER_TRAIN, .number = {what, tensor, part}};
    if (leads()) lead_tell(&o, sizeof o, what == TRAIN_OPEN ? PATIENCE_OPEN : PATIENCE_STEP);
}

bool train_lead_open(const char *model, const TrainerOptions *options, Err *err) {
    TrainOpen *open = leads() ? mem_new(1, sizeof *open, "an order", err) : NULL;
    bool ok = !leads() || (open && train_open_write(open, model, options, err));
    if (ok && open) {
        train_lead(TRAIN_OPEN, 0, 0);
        lead_tell(open, sizeof *open, PATIENCE_OPEN);
    }
    free(open);
    return ok;
}

bool train_lead_rows(TrainOrder what, const TrainRow *rows, int64_t count, const StepNumbers *numbers, Err *err) {
    TrainRows head = {0};
    if (!leads()) return true;
    if (numbers) head.numbers = *numbers;
    int32_t *all = train_rows_write(&head, rows, count, err);
    if (!all) return false;
    train_lead(what, 0, 0);
    lead_tell(&head, sizeof head, PATIENCE_STEP);
    lead_tell(all, (size_t)train_rows_numbers(&head) * sizeof *all, PATIENCE_STEP);
    free(all);
    return true;
}

void train_decided(void *decision, size_t bytes) {
    if (transport_ranks() == 1) return;
    if (transport_rank() == 0) lead_tell(decision, bytes, PATIENCE_STEP);
    else lead_hear(decision, bytes, PATIENCE_STEP);
}

bool train_together(bool ok, const Err *err) {
    if (!ok && err->kind != QM_INTERRUPTED && transport_ranks() > 1) transport_fail("%s", err->text);
    return ok;
}
