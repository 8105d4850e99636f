/* linear_grad.h: what the ops of gradients bind. */
#ifndef LINEAR_GRAD_H
#define LINEAR_GRAD_H
#include "../graph/graph.h"
#include "lanes.h"
#include "linear.h"

enum { PRODUCT_PAIRS = 3, STATES_BOUND = 5 };

/* Of linear_dx: the matrices, and which of the rows of each go into which leaf of a sum that devices share. */
typedef struct ProductsBinding {
    const PackedWeight *weight[PRODUCT_PAIRS];
    const Tree *tree;                   /* NULL: the sum is one leaf */
    const Range *leaf[PRODUCT_PAIRS];   /* [leaves]                  */
    int pairs;
    const Pair *acts[PRODUCT_PAIRS];    /* the gradients in bf16, of all rows; NULL: they are taken in f32 */
    int64_t acts_step[PRODUCT_PAIRS];   /* pairs from row to row                                           */
} ProductsBinding;

/* What of a matrix: so many panels, and columns of them. */
typedef struct StateArea { Range panels, columns; } StateArea;

/* Of ops that write states: where each input lies that is one, vectors as they are, matrices in panels of f32 as
 * PACKED_F32 has them; and the slots of the state of TYPE_SUM among them, of `floats` numbers each. held: what lies there
 * of a matrix, [panel][column][16]; made: what of that this process sums up. Of vectors columns that other processes'
 * devices have are summed up too, and nobody reads them. */
typedef struct StatesBinding {
    StateArea held, made;
    float *of[STATES_BOUND];
    float *slot[LANE_SLOTS];
    int64_t floats;
    const Tree *tree; /* of a sum that devices share; else NULL */
    ActType act;      /* in which form linear_dw takes its operands: f32 or bf16 */
} StatesBinding;

/* Letters of the sum that devices share in a linear_dx; "": none. */
const char *dx_sum_letters(const Graph *g, const Node *n);
bool linear_gradient(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
#endif
