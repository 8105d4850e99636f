/* drive.h: one request, or requests as slots come free, through the scheduler to their end. */
#ifndef DRIVE_H
#define DRIVE_H
#include "../src/infer/scheduler.h"
#include "fixture.h"

/* ---- One ----------------------------------------------------------------------------------------------------------- */

typedef struct Driver {
    QmEngine *engine, *draft;
    uint64_t sequence;
    bool (*emit)(void *context, const float *logits, int64_t vocab, Err *err);
    void *context;
    int64_t drafted, accepted; /* out */
    bool invalid;              /* out */
} Driver;

FIXTURE bool drive_logits(void *user, const float *row, int64_t vocab, Err *err) {
    const Driver *d = user;
    return d->emit(d->context, row, vocab, err);
}

/* The answer to a copy of `start`. */
FIXTURE bool drive(Driver *d, const Generation *start, Sequences *found, Err *err) {
    Request r = {.sequence = d->sequence, .sink = {.user = d, .logits = d->emit ? drive_logits : NULL}};
    Scheduler *s = scheduler_new(d->engine, d->draft, err);
    *found = (Sequences){0};
    bool ok = s && generation_copy(&r.g, start, err) && scheduler_add(s, &r, err) && scheduler_run(s, NULL, err);
    if (ok && r.failed.kind) ok = err_from(err, &r.failed);
    d->drafted = r.drafted, d->accepted = r.accepted, d->invalid = r.invalid;
    if (ok && r.row->end) *found = r.found, r.found = (Sequences){0};
    if (ok && !r.row->end && (ok = (found->list = mem_new(1, sizeof *found->list, "sequences", err)) != NULL))
        found->list[found->count++] = r.g, r.g = (Generation){0};
    scheduler_free(s);
    request_free(&r);
    return ok;
}

/* ---- Many ---------------------------------------------------------------------------------------------------------- */

typedef struct DriveCalls {
    void *user;
    bool (*next)(void *user, Request **item, Err *err); /* NULL: there is none */
    bool (*done)(void *user, Request *item, Err *err);
    void (*drop)(void *user, Request *item);
    bool (*stop)(void *user);
} DriveCalls;

FIXTURE bool drive_many(QmEngine *e, const DriveCalls *calls, SchedulerStats *stats, Err *err) {
    Scheduler *s = scheduler_new(e, NULL, err);
    bool ok = s != NULL, more = true;
    while (ok && (more || scheduler_busy(s))) {
        while (ok && more && scheduler_waiting(s) < qm_engine_info(e)->slots) {
            Request *r = NULL;
            ok = calls->next(calls->user, &r, err);
            more = r != NULL;
            if (!ok || !r) break;
            r->sink = (Sink){.user = calls->user, .done = calls->done, .drop = calls->drop};
            if (!(ok = scheduler_add(s, r, err)) && calls->drop) calls->drop(calls->user, r);
        }
        if (ok && calls->stop && calls->stop(calls->user)) ok = err_as(err, QM_INTERRUPTED, "interrupted");
        ok = ok && scheduler_step(s, err);
    }
    if (s && stats) *stats = *scheduler_stats(s);
    scheduler_free(s);
    return ok;
}
#endif
