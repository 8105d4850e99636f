/* lower_arguments.h: within src/graph: what a lowered program takes and gives, as its nodes are lowered one by one. */
#ifndef LOWER_ARGUMENTS_H
#define LOWER_ARGUMENTS_H
#include "lower.h"

LowerArgument *lower_argument(Lower *l, const char *name); /* NULL: there is none yet */
/* What the node, which has been lowered, leaves: its state, a kept value, a value for later programs. */
void lower_declare(Lower *l, const Node *n);
/* The caches that an op writes, as they are then. */
void lower_caches_declare(Lower *l, const Node *n, const Node *state);
/* Whether a node is written once for each part of the head's rows, where there are several. */
static inline bool lower_of_head(const Node *n) { return n->stage == STAGE_HEAD || n->stage == STAGE_HEAD_GRADIENT; }
/* "tensor<4x8xf32>" */
void lower_type_text(char *out, size_t size, const char *type, int rank, const int64_t *dim);
#endif
