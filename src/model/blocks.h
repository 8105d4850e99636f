/* blocks.h: what graphs of several families are made of. */
#ifndef BLOCKS_H
#define BLOCKS_H
#include "../graph/graph.h"

/* A linear of the model, y = x W^T + bias, from axes `in` to axes `out` ("d", "(kgc)"), with what an adapter adds to
 * it. Its weights are MODULE.weight and, with `bias`, MODULE.bias. Where devices share `in`, the bias comes after the
 * all-reduce. */
Tensor dense(Graph *g, const ModelConfig *config, Tensor x, const char *out, const char *in, bool bias,
             const char *module, ...) __attribute__((format(printf, 7, 8)));
/* The same with a weight that may stand elsewhere too, as a tied head's, and without a bias. */
Tensor dense_with(Graph *g, const ModelConfig *config, Tensor x, Tensor w, const char *out, const char *in,
                  const char *module);
#endif
