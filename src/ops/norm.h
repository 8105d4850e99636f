/* norm.h: what others ask of norms. */
#ifndef NORM_H
#define NORM_H
#include "../graph/graph.h"

typedef struct NormAttributes { float epsilon; } NormAttributes;

bool rms_norm_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool head_norm_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool norm_has_gain(const Graph *g, int weight); /* whether a weight is the gain of a norm: 1 where a model is made up */
#endif
