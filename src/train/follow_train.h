/* follow_train.h: what a rank other than 0 does about orders to train (train_orders.h). */
#ifndef FOLLOW_TRAIN_H
#define FOLLOW_TRAIN_H
#include "train_orders.h"

/* A trainer of a rank that follows. Freed with train_follower_free. */
typedef struct TrainFollower {
    Trainer *trainer;
    QmSource *source;
    int64_t seq_len;
} TrainFollower;

/* False: the order is wrong, or what it wants failed. hear: as follower_obey's. */
bool train_follower_obey(TrainFollower *f, const Order *order, Hear *hear, void *owner, Err *err);
void train_follower_free(TrainFollower *f);
/* For follow(): of this process's own. */
bool train_follow(const Order *order, Hear *hear, void *owner, Err *err);
#endif
