/* tensor_names.h: names of a family's GGUF tensors as Hugging Face's. */
#ifndef TENSOR_NAMES_H
#define TENSOR_NAMES_H
#include "gguf.h"

/* Which heads the rows of a tensor are permuted by (see weights_row), in files that permute them. */
typedef enum RowHeads { ROWS_PLAIN, ROWS_OF_HEADS, ROWS_OF_KV_HEADS } RowHeads;

/* Of names that end in .weight or .bias, what stands before that; in layers also after blk.N. or, in the graph, after
 * TensorNames.layers and N. */
typedef struct NamePair { const char *gguf, *hf; RowHeads rows; } NamePair;

typedef struct TensorNames {
    const NamePair *outer, *layer; /* each ended by a NULL */
    const char *layers;            /* before a layer's number in the graph: "model.layers." */
    bool permuted;                 /* the rows of some are permuted for rotary embedding */
} TensorNames;

/* The Hugging Face name of "blk.12.attn_q.weight"; an unknown name stays as it is. `name` has at most 64 bytes. */
RowHeads tensor_name(const TensorNames *names, GgufText name, char out[128]);
/* The other way: the GGUF name of "model.layers.12.self_attn.q_proj.weight". False: the family has no such tensor
 * there. */
bool tensor_gguf_name(const TensorNames *names, const char *name, char out[128], RowHeads *rows);
#endif
