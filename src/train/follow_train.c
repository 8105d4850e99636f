/* follow_train.c: see follow_train.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/source.h"
#include "follow_train.h"

enum { MOST_ORDER_ROWS = 1 << 20 };

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static TrainTarget target_read(const int32_t *in) {
    TrainTarget t = {.label = in[1], .start = in[2], .end = in[3], .context = in[4]};
    memcpy(&t.value, &in[5], sizeof t.value);
    return t;
}

/* Rows as they were sent: what they point to lies in `all` and beside them. */
typedef struct HeardRows { int32_t *all; TrainRow *rows; TrainSegment *segments; TrainTarget *targets; } HeardRows;

static void rows_free(HeardRows *r) { free(r->all), free(r->rows), free(r->segments), free(r->targets); }

/* Counts of rows and of segments have to be those that the head says. What ids and labels may be the trainer asks. */
static bool rows_read(const TrainRows *h, HeardRows *r, Err *err) {
    const int32_t *counts = r->all + h->rows, *ids = counts + h->segments, *labels = ids + h->tokens,
                  *targets = labels + h->tokens;
    int64_t segment = 0, token = 0;
    for (int64_t i = 0; i < h->rows; i++) {
        if (!train_within("segments of a row", r->all[i], 0, h->segments - segment, err)) return false;
        r->rows[i] = (TrainRow){.segments = &r->segments[segment], .count = r->all[i]};
        for (int64_t end = segment + r->all[i]; segment < end; segment++) {
            if (!train_within("tokens of a segment", counts[segment], 0, h->tokens - token, err)) return false;
            r->targets[segment] = target_read(targets + segment * TARGET_NUMBERS);
            r->segments[segment] = (TrainSegment){ids + token, labels + token, counts[segment],
                                                  targets[segment * TARGET_NUMBERS] ? &r->targets[segment] : NULL};
            token += counts[segment];
        }
    }
    return train_within("segments", segment, h->segments, h->segments, err) && train_within("tokens", token, h->tokens, h->tokens, err);
}

static bool rows_hear(const TrainRows *h, int64_t seq_len, HeardRows *r, Hear *hear, void *owner, Err *err) {
    if (!train_within("rows", h->rows, 0, MOST_ORDER_ROWS, err) || !train_within("tokens", h->tokens, 0, h->rows * seq_len, err) ||
        !train_within("segments", h->segments, 0, h->tokens + h->rows, err))
        return false;
    size_t bytes = (size_t)train_rows_numbers(h) * sizeof *r->all;
    r->all = mem_new(bytes + 1, 1, "rows of a step", err);
    r->rows = mem_new((size_t)h->rows + 1, sizeof *r->rows, "rows of a step", err);
    r->segments = mem_new((size_t)h->segments + 1, sizeof *r->segments, "rows of a step", err);
    r->targets = mem_new((size_t)h->segments + 1, sizeof *r->targets, "rows of a step", err);
    return r->all && r->rows && r->segments && r->targets && hear(owner, r->all, bytes, err) && rows_read(h, r, err);
}

/* ---- A rank that follows ----------------------------------------------------------------------------------------- */

/* A trainer that does not open is none, and rank 0 knows why and will not use it. */
static bool obey_open(TrainFollower *f, Hear *hear, void *owner, Err *err) {
    TrainOpen *open = mem_new(1, sizeof *open, "an order", err);
    TrainerOptions o;
    Err ignored = {0};
    bool ok = open && hear(owner, open, sizeof *open, err) &&
              (!f->trainer || err_set(err, "order to train: a trainer is open already")) && train_open_read(open, &o, err);
    if (ok) {
        source_close(f->source);
        f->source = source_open(o.engine.model, &ignored);
        f->seq_len = o.seq_len;
        f->trainer = trainer_open_as(f->source, &o, &ignored);
    }
    free(open);
    return ok;
}

static bool obey_rows(TrainFollower *f, bool steps, Hear *hear, void *owner, Err *err) {
    TrainRows head;
    HeardRows r = {0};
    StepResult result;
    double loss;
    int64_t labels;
    bool ok = hear(owner, &head, sizeof head, err) && rows_hear(&head, f->seq_len, &r, hear, owner, err);
    if (ok && steps) ok = trainer_step(f->trainer, r.rows, head.rows, &head.numbers, &result, err);
    else if (ok) ok = trainer_evaluate(f->trainer, r.rows, head.rows, &loss, &labels, err);
    rows_free(&r);
    return ok || err->kind == QM_INTERRUPTED;
}

static bool obey_tensor(TrainFollower *f, int64_t tensor, int64_t part, bool writes, Err *err) {
    if (!train_within("tensor", tensor, 0, trainer_tensors(f->trainer) - 1, err) ||
        !train_within("part", part, 0, TENSOR_PARTS - 1, err))
        return false;
    if (!trainer_tensor(f->trainer, (int)tensor)->trained || !trainer_has(f->trainer, (int)tensor, (TensorPart)part))
        return err_set(err, "order to train: tensor %lld has no part %lld", (long long)tensor, (long long)part);
    return writes ? trainer_write(f->trainer, (int)tensor, (TensorPart)part, NULL, err)
                  : trainer_read(f->trainer, (int)tensor, (TensorPart)part, NULL, err);
}

bool train_follower_obey(TrainFollower *f, const Order *o, Hear *hear, void *owner, Err *err) {
    int64_t what = o->number[0];
    if (what == TRAIN_OPEN) return obey_open(f, hear, owner, err);
    if (!train_within("kind", what, 0, TRAIN_ORDERS - 1, err)) return false;
    if (what == TRAIN_CLOSE) return train_follower_free(f), true;
    if (!f->trainer) return err_set(err, "order to train: no trainer is open");
    if (what == TRAIN_STEP || what == TRAIN_EVALUATE) return obey_rows(f, what == TRAIN_STEP, hear, owner, err);
    return obey_tensor(f, o->number[1], o->number[2], what == TRAIN_WRITE, err);
}

void train_follower_free(TrainFollower *f) {
    trainer_close(f->trainer);
    source_close(f->source);
    *f = (TrainFollower){0};
}

bool train_follow(const Order *o, Hear *hear, void *owner, Err *err) {
    static TrainFollower follower;
    return train_follower_obey(&follower, o, hear, owner, err);
}
