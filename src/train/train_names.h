/* train_names.h: the classes that data names, collected by many threads and put in an order that does not depend on
 * them. */
#ifndef TRAIN_NAMES_H
#define TRAIN_NAMES_H
#include <jansson.h>
#include <pthread.h>
#include "../base/base.h"

enum { NAMES_MOST = 1 << 16 };

typedef struct TrainNames {
    pthread_mutex_t lock;
    json_t *number;        /* name -> number, in order of appearance                                     */
    char **name;           /* [count]; owned                                                             */
    size_t room;
    int count;
    bool given;            /* they are the model's: no others may come                                   */
    bool words;            /* some classes came as names                                                 */
    bool reals;            /* some as numbers that are no class: what is learnt is a number              */
    int64_t most;          /* the largest class that came as a number; -1: none did                      */
} TrainNames;

/* given: the model's own, or NULL. */
bool names_open(TrainNames *n, const char *const *given, int count, Err *err);
void names_close(TrainNames *n);
/* A class as data gives it. A name: *label is its number, until names_finish. A whole number from 0 on: that. Another
 * number, where `real`: *label is -1. *value is a number's own. Safe from any thread. */
bool names_take(TrainNames *n, const json_t *value, bool real, int32_t *label, float *value_out, Err *err);
/* Makes names of numbers and sorts those of words; order [count at the call], malloc'ed, says where each went; NULL
 * where nothing moves. */
bool names_finish(TrainNames *n, int32_t **order, Err *err);
/* A name, from now on the class *label. */
bool names_add(TrainNames *n, const char *name, int32_t *label, Err *err);
/* What another collection has comes to this one; order as names_finish. */
bool names_merge(TrainNames *n, const TrainNames *other, int32_t **order, Err *err);
#endif
