/* decoder.h: the graph of a decoder: see decoder.c. */
#ifndef DECODER_H
#define DECODER_H
#include "model_graph.h"

bool decoder_graph(ModelGraph *m, const ModelConfig *config, int64_t rows, int64_t context, int use, Err *err);
#endif
