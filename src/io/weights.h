/* weights.h: the tensors of a checkpoint, by name, wherever they are stored. One door in front of a Hugging Face folder
 * (one or many safetensors files), a GGUF file and a packed file; data stays in the mapped file. Names are Hugging
 * Face's in every case: GGUF names (blk.0.attn_q.weight) are mapped, and rows that GGUF permuted for rotary embedding
 * are put back. */
#ifndef WEIGHTS_H
#define WEIGHTS_H
#include "dtype.h"

typedef struct WeightTensor {
    const char *name;       /* Hugging Face name                                                                  */
    const char *file;       /* path, for messages                                                                 */
    DType dtype;
    int rank;               /* <= 4                                                                               */
    int64_t dim[4];         /* outermost first: [out, in]                                                         */
    const uint8_t *data;    /* in the mapped file, row after row                                                  */
    size_t bytes;
    int64_t permuted_heads; /* 0, or: the rows are those of this many heads, and row r is at weights_row(r)        */
    const uint8_t *panels;  /* of a packed file: the matrix as the CPU engine holds it; `data` is then NULL unless
                               the rows are stored too                                                            */
    const char *panel_type; /* name of their packed type                                                          */
    size_t panel_bytes;     /* of all panels                                                                      */
    bool generated;         /* its pages are those of other tensors, too                                          */
    bool added;             /* by weights_add: not of the checkpoint's files                                      */
    bool frozen;            /* added, but with the checkpoint's own numbers: no part of what was added            */
    bool gain;              /* of a norm: for weights_random                                                      */
    bool used;              /* set by weights_find                                                                */
} WeightTensor;

typedef struct Weights Weights;

/* Of a folder (model.safetensors, else the shards of model.safetensors.index.json, else its only .gguf file), a
 * .safetensors file, a .gguf file, or a packed file. `names`: of GGUF tensors. Keeps the source. NULL on error. */
struct QmSource;
struct TensorNames;
Weights *weights_open(struct QmSource *source, const struct TensorNames *names, Err *err);
/* From a list in memory: names are copied; data is borrowed and outlives the result. NULL on error (two of a name). */
Weights *weights_new(const WeightTensor *tensors, int64_t count, Err *err);
/* Generated values for the tensors of the list (name, rank, dim and gain; the rest is filled in), for measuring speed:
 * matrices of `dtype`, vectors of f32, values spread as a trained model's are. All share a few MiB of pages, mapped
 * again and again, so that a model of any size takes no memory but its packed copy. */
Weights *weights_random(const WeightTensor *tensors, int64_t count, DType dtype, Err *err);
/* More tensors, as of an adapter: one of a name that is there already takes its place. Names are copied; data is borrowed
 * and outlives the weights. What weights_find and weights_at gave before is no longer valid. */
bool weights_add(Weights *weights, const WeightTensor *tensors, int64_t count, Err *err);
void weights_close(Weights *weights);
int64_t weights_count(const Weights *weights);
WeightTensor *weights_at(Weights *weights, int64_t i);
/* By name, or NULL (no error); marks it used. */
WeightTensor *weights_find(Weights *weights, const char *name);
/* Rows [first, last) are not needed soon: their pages leave this process's memory (not the page cache), and come back
 * when they are read. Nothing is done for weights that are not in a mapped file. */
void weights_forget(const Weights *weights, const WeightTensor *tensor, int64_t first, int64_t last);
/* The GGUF file, or NULL when the checkpoint is none. */
const struct Gguf *weights_gguf(const Weights *weights);
/* The packed file, or NULL when the checkpoint is none. */
const struct Packed *weights_packed(const Weights *weights);

/* Where row `row` of the matrix starts in the file (undoes the rotary permutation of llama-architecture GGUF files). A
 * row of a tensor of rank 1 is one element: a bias permuted like its matrix is read element by element. */
const uint8_t *weights_row(const WeightTensor *tensor, int64_t row);
#endif
