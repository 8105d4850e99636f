/* slots.h: the slots of a scheduler and what their caches hold, for the requests that may go on from it: those of the
 * same salt and the same adapter. No slot belongs to a group, but a group that holds more than its share of the free ones
 * gives up its own beginnings first. */
#ifndef SLOTS_H
#define SLOTS_H
#include "search.h"

typedef struct Slot {
    QmSession *session;
    Request *user;   /* NULL: free, but the cache is kept */
    uint64_t group;  /* who had it last                   */
} Slot;

typedef struct Slots {
    Slot *slot;      /* [count] */
    int count, free;
} Slots;

bool slots_new(Slots *s, QmEngine *engine, Err *err); /* every free slot of the engine; freed with slots_free, also after failure */
void slots_free(Slots *s);

/* Ids at the start of a request's prompt that the session holds and the request may see. */
int64_t slot_holds(const QmSession *session, const Request *r);
/* The most of those in a free slot. */
int64_t slots_hold(const Slots *s, const Request *r);
/* Takes a free slot for a request: with `share` the one that holds most of the prompt; of equals one whose loss is least.
 * Its session then has that much in its cache, and no more. *held: how much. NULL and an error. */
QmSession *slots_take(Slots *s, Request *r, bool share, int64_t *held, Err *err);
/* All that a request has are free, and keep their caches. */
void slots_leave(Slots *s, const Request *r);
#endif
