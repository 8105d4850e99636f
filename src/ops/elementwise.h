/* elementwise.h: rules of gradients that stand apart from their ops' files. */
#ifndef ELEMENTWISE_H
#define ELEMENTWISE_H
#include "../graph/graph.h"

bool silu_mul_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool add_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool select_rows_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool embed_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
bool embed_part_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy); /* it adds to a tied head's sum */
bool attention_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
#endif
