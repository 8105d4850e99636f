/* collective.h: what the ops bind at which devices meet. */
#ifndef COLLECTIVE_H
#define COLLECTIVE_H

/* Of all_reduce: its input is blocks of a partial value, which these steps of tree_finish add up. */
typedef struct ReduceBinding { const int *finish; int finish_count; } ReduceBinding;

/* Of argmax and reduce_argmax. */
typedef struct PairsBinding {
    int devices; /* of a replica: pairs per row   */
    int device;  /* of argmax: whose pair it makes */
} PairsBinding;

enum { REDUCE_CHUNK = 256 };
#endif
