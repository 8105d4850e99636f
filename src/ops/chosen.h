/* chosen.h: ranks of adapters of which every row has one, or none. */
#ifndef CHOSEN_H
#define CHOSEN_H
#include "../graph/graph.h"

enum { CHOSEN_MOST = 64 };
typedef struct ChosenRanks {
    int32_t count;
    struct { int32_t first, count; float factor; } of[CHOSEN_MOST]; /* ascending, apart */
} ChosenRanks;

/* y[t] = factor x[t] in the ranks of adapter which[t] - 1, and zero elsewhere; which[t] 0: none. */
Tensor chosen_scale(Graph *g, Tensor x, Tensor which, const ChosenRanks *ranks); /* [t,l], [t] -> [t,l] */
#endif
