/* batch.h: many sequences over an engine's slots: new ones join as slots come free, decode rows and pieces of prompts
 * share a step (continuous batching; Yu et al. 2022, chunks as in Agrawal et al. 2023). What a sequence says does not
 * depend on the others. */
#ifndef BATCH_H
#define BATCH_H
#include "generation.h"

typedef struct BatchItem {
    Generation g;         /* started by the caller; its draws are those of `sequence`         */
    uint64_t sequence;
    int64_t reused;       /* prompt tokens that a slot still had from an earlier sequence     */
    double taken, first, ended; /* clock_seconds when it got a slot, its first token, its last */
} BatchItem;

typedef struct BatchCalls {
    void *user;
    /* *item: the next sequence, or NULL when there is none. Called whenever a slot is free; the batch ends when nothing
     * runs and there is none. The item stays the caller's and must not move until `done` or `drop` has it back. */
    bool (*next)(void *user, BatchItem **item, Err *err);
    bool (*done)(void *user, BatchItem *item, Err *err); /* item->g.finish says why it ended */
    void (*drop)(void *user, BatchItem *item);           /* unfinished when the batch failed; or NULL */
    bool (*stop)(void *user); /* asked before each step: true ends the batch as "interrupted"; or NULL */
} BatchCalls;

typedef struct BatchStats {
    int64_t prompt, reused, decoded; /* tokens fed of prompts, found in slots, fed one by one */
    int64_t copied;                  /* of those found, in another slot: the cache was copied      */
    int64_t steps;
    double seconds;
} BatchStats;

/* Takes every free slot of the engine while it runs. Memory: slots x (context ids, and vocab floats where draws need
 * logits). False on error, also from a call or an interrupt; *stats (or NULL) is right in any case. */
bool batch_run(QmEngine *engine, const BatchCalls *calls, BatchStats *stats, Err *err);
#endif
