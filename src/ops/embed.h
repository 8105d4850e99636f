/* embed.h: what a look-up binds. */
#ifndef EMBED_H
#define EMBED_H
#include "../io/weights.h"
#include "linear.h"

typedef struct TableBinding {
    const WeightTensor *table;  /* as stored */
    const PackedWeight *packed; /* where the table has no rows of its own, or is trained: then table is NULL */
} TableBinding;
#endif
