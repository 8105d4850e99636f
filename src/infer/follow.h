/* follow.h: the life of a rank other than 0. */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "orders.h"

/* Obeys an ORDER_TRAIN: what follows it is heard by `hear`. */
typedef bool FollowTrain(const Order *order, Hear *hear, void *owner, Err *err);

/* Until rank 0 ends. Returns the exit code. */
int follow(FollowTrain *train);
#endif
