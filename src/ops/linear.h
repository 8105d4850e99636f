/* linear.h: what a matrix product binds, and how it is cut. */
#ifndef LINEAR_H
#define LINEAR_H
#include "../base/cpu.h"
#include "../graph/tree.h"
#include "kernels.h"

/* A weight matrix [rows][k] in panels of 16 rows; or of it what this process's devices use: `panels` of them from
 * first_panel on, of `columns` columns from first_k on, which is a whole number of groups. */
typedef struct PackedWeight {
    PackedType type;
    int64_t rows, k, panel_bytes;
    int64_t first_panel, panels, first_k, columns;
    const uint8_t *data;
} PackedWeight;

/* How linears of many rows are cut, so that what is used again is still in a cache. No bit depends on it. */
typedef struct Blocking {
    int64_t floats, quads, pairs; /* columns of a panel at a time: unpacked, against quads, against pairs */
    int64_t quad_bytes;           /* quads of a block of rows */
} Blocking;
Blocking linear_blocking(CpuCaches caches);

/* Of linear; `quantise` has its last three. */
typedef struct MatrixBinding {
    const PackedWeight *weight;
    const Blocking *blocking;
    const Tree *tree;            /* of a partial result, else NULL: the tree ...                            */
    const TreeNode *nodes;       /* ... and its subtrees, each a [rows][width] block of the partial value   */
    int node_first, node_last;   /* those that this process adds up                                         */
    ActType act;        /* the form it takes its activations in; quantise: the form it makes                    */
    void *acts;         /* activations in that form unless it is f32: call_quads, call_pairs                    */
    int64_t acts_step;  /* from four rows to the next in quads, k / 32; from a row to the next in pairs         */
} MatrixBinding;

enum { LINEAR_PANELS = 4, PAIR_PANELS = 4, TILE_PANELS = 4 };
#endif
