/* state_shards.h: what this rank holds of weights that are trained, of their gradients and moments. A rank holds what its
 * devices use of a matrix: whole panels, some columns. Vectors, and matrices that devices use whole (an embedding table,
 * what DoRA makes norms of, what Muon updates), are whole on every rank, and updated by all in the same way. */
#ifndef STATE_SHARDS_H
#define STATE_SHARDS_H
#include "../ops/call.h"
#include "spread.h"

typedef struct Rect { Range rows, columns; } Rect;

typedef struct StateShard {
    StateArea held;  /* of a matrix, by this rank                                                     */
    StateArea made;  /* of a sum, by this rank: all of what its devices have, and maybe more          */
    bool whole;      /* every rank holds all of it                                                    */
    Rect *rect;      /* what each part of a group has, exactly, part after part; may be several ranks' */
    int *first;      /* [parts + 1] in rect; NULL: the same everywhere, as no device shares it. Both are the sum's */
} StateShard;

struct Cpu;
/* Of all states and trained weights: shard[node id]; after weights are loaded. Freed with shards_free, also after failure. */
bool shards_new(struct Cpu *cpu, Err *err);
void shards_free(struct Cpu *cpu);
const StateShard *state_shard(const struct Cpu *cpu, const Node *n);
/* Whether all ranks hold all of a weight that is used so. */
bool weight_whole(const Graph *g, int id);
#endif
