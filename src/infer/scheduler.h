/* scheduler.h: many requests over an engine's slots: new ones join as slots come free, decode rows and pieces of prompts
 * share a step (continuous batching; Yu et al. 2022, chunks as in Agrawal et al. 2023). What a request says does not
 * depend on the others, nor on whether one of them is cancelled.
 *
 * Threads: scheduler_add, _waiting, _place, _prefill_rows, _wake and request_cancel from any; the others from one at a time, which runs the steps
 * and calls the sinks. */
#ifndef SCHEDULER_H
#define SCHEDULER_H
#include "search.h"

typedef struct Scheduler Scheduler;

typedef QmGeneratorStats SchedulerStats;

/* Takes every free slot of the engine, and keeps it. draft: a smaller model of the same vocabulary, or NULL. Memory: slots
 * x context ids, and vocab floats for each request whose draws need logits. */
Scheduler *scheduler_new(QmEngine *engine, QmEngine *draft, Err *err);
/* Requests that have not ended are dropped. */
void scheduler_free(Scheduler *s);

/* Takes a request: its members from g to deadline are set, the rest is zero. It stays the owner's, and must not move until
 * its sink has it back. First come, first served in a group, and groups in turn. False, and not taken: it could never run
 * here. */
bool scheduler_add(Scheduler *s, Request *r, Err *err);
/* Ends a request at the next step, wherever it is: with finish "interrupted" and the text so far, or without an answer
 * where a search has none yet. Its deadline does the same, with finish "time". */
void request_cancel(Request *r);
/* While a request decodes, at most so many rows of a step are of prompts, so that it waits less for its next token; 0: as
 * many as are left; below 0, and at first: as prompt_shares.h has it. No bit depends on it. */
void scheduler_prefill_rows(Scheduler *s, int64_t rows);

/* Admits requests, runs one step of the model for all that run, and tells their sinks. A request that fails is told so
 * and the others go on; false when the engine or an owner failed, then all are as before the step. */
bool scheduler_step(Scheduler *s, Err *err);
bool scheduler_busy(Scheduler *s);      /* whether anything runs or waits           */
int64_t scheduler_waiting(Scheduler *s); /* requests that have no slot yet          */
int64_t scheduler_place(Scheduler *s, const Request *r); /* of one among them, from 1 on; 0: it has a slot */
/* Until something is added or woken, or the time is over; at once while anything runs or waits. */
void scheduler_wait(Scheduler *s, double seconds);
void scheduler_wake(Scheduler *s);
const SchedulerStats *scheduler_stats(const Scheduler *s);

/* Steps until nothing is left, or `stop` (or NULL), asked before each step, says so: QM_INTERRUPTED. */
bool scheduler_run(Scheduler *s, bool (*stop)(void), Err *err);
#endif
