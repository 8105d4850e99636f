/* tree.h: the fixed binary tree in which a split sum is added up, so that its bits do not depend on who adds what.
 *
 * The reduced dimension is cut into leaves, a power of two of them, some empty. A leaf is summed in order; two
 * neighbours are added, then two pairs, and so on; an empty subtree is left out. Which sum goes by which tree: axis.c.
 */
#ifndef TREE_H
#define TREE_H
#include "../base/base.h"

enum { TREE_MAX_LEVELS = 24, FFN_LEAVES = 32, FFN_GROUP = 32, VOCAB_LEAVES = 32, VOCAB_GROUP = 16 };

typedef struct Tree {
    int levels;           /* 2^levels leaves */
    int64_t *first, *last; /* [leaves] columns of the reduced dimension; first == last: empty */
} Tree;

typedef struct Range { int64_t first, last; } Range;

/* A subtree: 2^level leaves from index << level. */
typedef struct TreeNode { int level; int64_t index; int device; } TreeNode;

/* A grid of outer x inner leaves of `each` columns, both sides padded to powers of two: heads; sequences. */
bool tree_grid(Tree *tree, int64_t outer, int64_t inner, int64_t each, Err *err);
/* FFN_LEAVES nearly equal ranges of whole groups of FFN_GROUP columns. */
bool tree_ranges(Tree *tree, int64_t columns, Err *err);
Range tree_range(int64_t columns, int64_t leaf); /* columns of leaf `leaf` of these */
/* VOCAB_LEAVES nearly equal ranges of whole panels of VOCAB_GROUP rows. */
bool tree_panels(Tree *tree, int64_t rows, Err *err);
Range tree_panel_range(int64_t rows, int64_t leaf);
void tree_free(Tree *tree);

/* The fewest subtrees that hold exactly the leaves of one owner each, appended owner after owner in leaf order.
 * owner [leaves], of which those of empty leaves are not read: they belong to everyone. */
bool tree_cover(const Tree *tree, const int *owner, TreeNode **nodes, int *count, size_t *capacity, Err *err);

/* How nodes that together hold every leaf finish the sum: steps >= 0 push that node, -1 adds the two on top. Returns
 * the number of steps (at most 2 * count), *depth the most values stacked at once. */
int tree_finish(const Tree *tree, const TreeNode *nodes, int count, int *steps, int *depth);
#endif
