/* collective.h: what the ops bind at which devices meet. */
#ifndef COLLECTIVE_H
#define COLLECTIVE_H
#include <stdbool.h>

/* Of all_reduce and reduce_max: the input is blocks of a partial value, which these steps of tree_finish add up. */
typedef struct ReduceBinding {
    const int *finish;
    int finish_count;
    bool doubles; /* the blocks are OpRow.in_doubles */
} ReduceBinding;

/* Of argmax and reduce_argmax. */
typedef struct PairsBinding {
    int devices; /* of a replica: pairs per row   */
    int device;  /* of argmax: whose pair it makes */
} PairsBinding;

enum { REDUCE_CHUNK = 256 };
#endif
