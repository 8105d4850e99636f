/* qwen2.h: the model as a graph. */
#ifndef QWEN2_H
#define QWEN2_H
#include "../graph/graph.h"

/* What a step feeds the model and what comes out. */
typedef struct ModelGraph {
    Graph graph;
    Tensor tokens, positions, logit_rows;   /* inputs [t], [t], [r]                                       */
    Tensor logits;                          /* [r,v], split over v                                        */
    Tensor best;                            /* [r], (max, id) of each row: greedy without reading logits  */
    Tensor hidden[MAX_LAYERS + 1];          /* [t,d] after embedding, each layer, the last after the norm */
    int hidden_count;                       /* layers + 1, or 0 when not asked for                        */
} ModelGraph;

/* Builds the graph for steps of at most `rows` rows and slots of `context` positions. config outlives it. */
bool model_graph(ModelGraph *m, const ModelConfig *config, int64_t rows, int64_t context, bool hidden, Err *err);
void model_graph_free(ModelGraph *m);
#endif
