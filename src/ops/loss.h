/* loss.h: losses of heads: of a token for those who have its logits; and the ops of those heads that tell no token. */
#ifndef LOSS_H
#define LOSS_H
#include "../graph/tree.h"
#include "../graph/graph.h"

/* -log softmax(logits)[label]: bit for bit the loss that a training step gives the row, without label smoothing. */
float logits_loss(const float *logits, int64_t columns, int64_t label);

/* The loss of one end of an answer, over all `rows` of a sequence: log(sum over t of exp(z[t] - m)) + m - z[target], m the
 * largest z[t]; z[t] is logits[2 t + column]. Sums in double, in order. Half of it is what a training step counts. */
double span_end_loss(const float *logits, int64_t rows, int column, int64_t target);

/* What a row's label says where an answer is learnt: it begins there, it ends there. */
enum { SPAN_BEGINS = 1, SPAN_ENDS = 2 };

Tensor span_loss(Graph *g, Tensor logits, Tensor labels);        /* [r,n], [r] -> [r]   */
Tensor span_loss_grad(Graph *g, Tensor logits, Tensor labels);   /* [r,n], [r] -> [r,n] */
Tensor square_loss(Graph *g, Tensor logits, Tensor labels);      /* [r,n], [r] -> [r]   */
Tensor square_loss_grad(Graph *g, Tensor logits, Tensor labels); /* [r,n], [r] -> [r,n] */
extern const OpRow span_loss_row, span_loss_grad_row, square_loss_row, square_loss_grad_row;
#endif
