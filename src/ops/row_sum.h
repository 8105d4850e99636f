/* row_sum.h: what an op binds that sums over the rows of a step, as the gradient of a weight does. */
#ifndef ROW_SUM_H
#define ROW_SUM_H
#include "../graph/tree.h"

/* Leaf i of the tree is sequence i. A replica makes the subtrees of its sequences, each a block of the partial value; a
 * sequence without rows in the step is a leaf of zeros. */
typedef struct RowSumBinding {
    const Tree *tree;
    const TreeNode *nodes;     /* of all replicas                                            */
    int node_first, node_last; /* of this one                                                */
    int64_t sequence;          /* its first: slot s of it is sequence + s / replicas         */
    int replicas;
} RowSumBinding;
#endif
