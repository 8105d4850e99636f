/* model_graph.h: a model as a graph. */
#ifndef MODEL_GRAPH_H
#define MODEL_GRAPH_H
#include <stdlib.h>
#include "heads.h"

/* What a graph is for beside logits: hidden states; or training: logits are no output, and have a stage of their own. */
enum { USE_HIDDEN = 1, USE_TRAINING = 2 };

/* What a step feeds the model and what comes out. */
typedef struct ModelGraph {
    Graph graph;
    Tensor tokens, positions, logit_rows;   /* inputs [t], [t], [r]                                       */
    ModelOutputs outputs;                   /* by name                                                    */
} ModelGraph;

static inline void model_graph_free(ModelGraph *m) {
    graph_free(&m->graph);
    free(m->outputs.list);
    *m = (ModelGraph){0};
}
#endif
