/* tensor_names.h: names of GGUF tensors as Hugging Face's. */
#ifndef TENSOR_NAMES_H
#define TENSOR_NAMES_H
#include "gguf.h"

/* The Hugging Face name of "blk.12.attn_q.weight"; an unknown name stays as it is. `name` has at most 64 bytes. */
void tensor_name(GgufText name, char out[128]);
#endif
