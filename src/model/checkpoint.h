/* checkpoint.h: whether a checkpoint holds what a model needs. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H
#include "../graph/graph.h"
#include "../io/weights.h"

/* Every weight of the graph is there, in its shape and a weight type; all that is missing, misshapen or left over is
 * named in one list. What is left over only warns. */
bool checkpoint_check(const Graph *graph, Weights *weights, Err *err);
#endif
