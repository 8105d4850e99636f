/* loss.h: the loss of a token, for those who have its logits. */
#ifndef LOSS_H
#define LOSS_H
#include "../graph/tree.h"

/* -log softmax(logits)[label]: bit for bit the loss that a training step gives the row, without label smoothing. */
float logits_loss(const float *logits, int64_t columns, int64_t label);
#endif
