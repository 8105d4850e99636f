/* queue.h: requests that wait for slots: first come, first served within a group, and groups in turn, so that one who
 * asks for much makes nobody else wait for more than one of his own. Whoever calls holds the lock of the queue. */
#ifndef QUEUE_H
#define QUEUE_H
#include "search.h"

typedef struct QueueGroup { uint64_t id; Request *first, *last; int64_t count; } QueueGroup;

typedef struct Queue {
    QueueGroup *group; /* those that have requests, the one whose turn it is first */
    int groups;
    size_t capacity;
    int64_t count;
} Queue;

bool queue_add(Queue *q, Request *r, Err *err);
void queue_free(Queue *q); /* not the requests */

/* The one that comes in round `round` (0, 1, ...) of group `at`; NULL: it has no more. All of a round come before those
 * of the next. */
Request *queue_at(const Queue *q, int at, int64_t round);
/* How many requests get a slot before it, and it: 1 or more; 0: it does not wait. */
int64_t queue_place(const Queue *q, const Request *r);
/* Takes it out; `served`: its group has had its turn. */
void queue_take(Queue *q, Request *r, bool served);
#endif
