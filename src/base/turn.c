/* turn.c: see turn.h. */
#include "turn.h"

void turn_take(Turn *t) {
    pthread_mutex_lock(&t->lock);
    if (t->depth && pthread_equal(t->owner, pthread_self())) t->depth++;
    else {
        uint64_t mine = t->asked++;
        while (t->over != mine) pthread_cond_wait(&t->next, &t->lock);
        t->owner = pthread_self();
        t->depth = 1;
    }
    pthread_mutex_unlock(&t->lock);
}

void turn_end(Turn *t) {
    pthread_mutex_lock(&t->lock);
    if (--t->depth == 0) {
        t->over++;
        if (t->over != t->asked) pthread_cond_broadcast(&t->next);
    }
    pthread_mutex_unlock(&t->lock);
}

void turn_destroy(Turn *t) {
    pthread_cond_destroy(&t->next);
    pthread_mutex_destroy(&t->lock);
}
