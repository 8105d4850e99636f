/* turn.h: a lock that threads get in the order in which they asked: one that takes it again and again, as a loop of steps
 * does, cannot keep the others out. Whoever has it may take it again. */
#ifndef TURN_H
#define TURN_H
#include <pthread.h>
#include <stdint.h>

typedef struct Turn {
    pthread_mutex_t lock; /* of what follows, never held for long */
    pthread_cond_t next;
    uint64_t asked, over; /* turns that were asked for, that have ended */
    pthread_t owner;      /* while depth > 0 */
    int depth;
} Turn;
#define TURN_INITIALIZER {.lock = PTHREAD_MUTEX_INITIALIZER, .next = PTHREAD_COND_INITIALIZER}

void turn_take(Turn *turn);
void turn_end(Turn *turn);
void turn_destroy(Turn *turn); /* nobody has it or waits for it */
#endif
