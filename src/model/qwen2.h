/* qwen2.h: the model as a graph. */
#ifndef QWEN2_H
#define QWEN2_H
#include "heads.h"

/* What a step feeds the model and what comes out. */
typedef struct ModelGraph {
    Graph graph;
    Tensor tokens, positions, logit_rows;   /* inputs [t], [t], [r]                                       */
    ModelOutputs outputs;                   /* by name                                                    */
} ModelGraph;

/* Builds the graph for steps of at most `rows` rows and slots of `context` positions. hidden: with outputs "hidden.0" to
 * "hidden.L". config outlives it. */
bool model_graph(ModelGraph *m, const ModelConfig *config, int64_t rows, int64_t context, bool hidden, Err *err);
void model_graph_free(ModelGraph *m);
#endif
