/* gradient.h: from a graph to its gradients, which are more nodes of the same graph: reverse-mode differentiation
 * (Griewank & Walther 2008, ch. 3). Every op's rule is its row's `gradient`, in the op's own file.
 *
 * The walk goes from the last node to the first. What a node's readers owe it is added up before its own rule is asked.
 * Products are handed over as pairs of a gradient and a matrix, so that several linears of one value share a sum, and
 * with it a collective. Weights' gradients are states of TYPE_SUM, one for each use of the weight; but where devices have a
 * tied embedding split (embed_part), it adds to the sum of the head: two of that size would be most of a chip's memory.
 */
#ifndef GRADIENT_H
#define GRADIENT_H
#include "graph.h"

/* The gradient of one use of a trained weight; several uses, as of a tied embedding, are several of these. */
typedef struct WeightGradient { Tensor weight, sum; } WeightGradient;

typedef struct Owed { Tensor of, dy, weight; } Owed; /* weight: of a pair; else NO_TENSOR */

typedef struct Gradient {
    Graph *g;
    int count;                /* nodes of the graph before the walk                                    */
    bool *needed;             /* [count] a trained weight is behind it                                 */
    Tensor *twin;             /* [count] what stands for a value that is computed again; NO_TENSOR: itself */
    Owed *owed;
    int owed_count;
    size_t owed_capacity;
    WeightGradient *weights;  /* in the order of the walk; freed with gradient_free                    */
    int weight_count;
    size_t weight_capacity;
} Gradient;

/* Appends the gradients of all trained weights behind `of`, whose own is dy, in the stages that answer to those of the
 * forward nodes. An op without a rule is an error that names it. recompute: of each layer only what goes into it is kept
 * for the backward pass, which computes the rest again (Chen et al. 2016): the same ops, so the same bits. */
bool gradient_walk(Gradient *b, Graph *g, Tensor of, Tensor dy, bool recompute, Err *err);
void gradient_free(Gradient *b);

/* ---- For rules --------------------------------------------------------------------------------------------------- */

bool gradient_needed(const Gradient *b, Tensor x);           /* whether anybody wants the gradient of x    */
bool gradient_add(Gradient *b, Tensor x, Tensor dx);         /* dx is owed to x                            */
bool gradient_pair(Gradient *b, Tensor x, Tensor dy, Tensor weight); /* and so is dy times the matrix      */
/* The state that a use of a trained weight adds its gradient to; `axes`: not the weight's own shape; NULL: the same. */
Tensor gradient_sum(Gradient *b, Tensor weight, const char *axes);
/* A sum of the weight's shape as an earlier use of it has left it, for another to add to; NO_TENSOR: there is none. */
Tensor gradient_sum_before(const Gradient *b, Tensor weight);
#endif
