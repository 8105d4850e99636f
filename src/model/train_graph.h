/* train_graph.h: a model's graph with its loss, the gradients of what is trained, and the optimizer's step. */
#ifndef TRAIN_GRAPH_H
#define TRAIN_GRAPH_H
#include "../io/weights.h"
#include "model_graph.h"

/* OPTIMIZER_MUON: Muon on the matrices of layers, of an adapter too; AdamW on embeddings, heads, gains and biases. */
typedef enum OptimizerKind { OPTIMIZER_ADAMW, OPTIMIZER_SGD, OPTIMIZER_MUON } OptimizerKind;
extern const char *const optimizer_names[];

/* A parameter that is trained. */
typedef struct TrainedWeight {
    Tensor weight, gradient;       /* of the whole step: a state, or, of a gain that heads share, a value       */
    Tensor first, second, average; /* states of the weight's shape; NO_TENSOR: the optimizer has none           */
    Tensor squares;                /* of the gradient: sums of its rows, [o]                                    */
    bool decays;
} TrainedWeight;

typedef struct TrainGraph {
    ModelGraph model;
    Tensor labels;                 /* input [r]: the id, or class, that each logit row is to tell; of a head of
                                      answers, and of one of a number, what ops/loss.h says                     */
    Tensor loss;                   /* [r], without weights                                                      */
    Tensor scores;                 /* [r,n] of a head with labels; else NO_TENSOR                               */
    TrainedWeight *weights;        /* in the order of the model's graph                                         */
    int count;
} TrainGraph;

enum { MOMENTS_8BIT = 4096 }; /* at least: less saves nothing, and may weigh more (Dettmers et al. 2021, section 2) */
typedef struct TrainGraphOptions {
    OptimizerKind optimizer;
    bool moments_8bit;             /* AdamW's, of matrices that are no table of embeddings and have MOMENTS_8BIT numbers */
    bool recompute;                /* of each layer only what goes into it is kept for the backward pass        */
    bool average;                  /* averages of weights are kept                                              */
    bool embed_parts;              /* a trained embedding is looked up where its rows are (embed_part): of a backend
                                      that has it split, with uniform shards                                    */
    Weights *adapted;              /* what an adapter has brought to these is trained, and nothing else; NULL: all */
} TrainGraphOptions;

/* For passes of at most `rows` rows, sequences of `context` positions. Names of weights that are no bias and of no norm
 * decay, as in transformers' Trainer. Freed with train_graph_free. */
bool train_graph(TrainGraph *t, const ModelConfig *config, int64_t rows, int64_t context,
                 const TrainGraphOptions *options, Err *err);
void train_graph_free(TrainGraph *t);
#endif
