/* heads.h: what stands on a model's last states, and what a model gives by name. */
#ifndef HEADS_H
#define HEADS_H
#include "../graph/graph.h"

/* A result that the host can read after a step. Of logit rows: "logits" [r,v] (of a head with labels [r,n]), "best"
 * [r,2], the largest logit and its id, "states" [r,d] where there is no head. Of step rows: "hidden.N" [t,d], after the
 * embedding, each layer, the last after the final norm. */
typedef struct ModelOutput { char name[16]; Tensor tensor; } ModelOutput;

typedef struct ModelOutputs { ModelOutput *list; int count; size_t capacity; } ModelOutputs;

/* Names a value that is then never overwritten within a step. Out of memory is the graph's error. */
void output_add(ModelOutputs *outputs, Graph *g, Tensor value, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* NO_TENSOR: the model has no such output. */
Tensor output_find(const ModelOutputs *outputs, const char *name);

/* The configuration's head over states [r,d], which are normed. embeddings: of a tied causal model. */
void head_add(ModelOutputs *outputs, Graph *g, const ModelConfig *config, Tensor states, Tensor embeddings);
#endif
