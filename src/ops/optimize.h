/* optimize.h: what rules of optimizers share. */
#ifndef OPTIMIZE_H
#define OPTIMIZE_H
#include "call.h"

typedef struct UpdateAttributes { bool decays; } UpdateAttributes;
AdamwNumbers adamw_numbers(const StepScalars *s, bool decays);
/* The result has the shape of the first input, which all have. */
bool update_shape(const Graph *g, const Node *n, Shape *out, Err *err);
Cost update_cost(const Graph *g, const Node *n);
static inline bool update_decays(const Node *n) { return ((const UpdateAttributes *)n->attributes)->decays; }
#endif
