/* tree.h: the fixed binary tree in which a split sum is added up, so that its bits do not depend on who adds what.
 *
 * The reduced dimension is cut into leaves, a power of two of them, some empty. A leaf is summed in order; two
 * neighbours are added, then two pairs, and so on; an empty subtree is left out. Two kinds: 'h', the heads of o_proj on
 * the (k, g) grid, both sides padded to powers of two; 'f', 32 nearly equal ranges of whole groups of 32 ffn
 * columns. */
#ifndef TREE_H
#define TREE_H
#include "../base/base.h"

enum { TREE_MAX_LEVELS = 24, FFN_LEAVES = 32, FFN_GROUP = 32 };

typedef struct Tree {
    int levels;           /* 2^levels leaves */
    int64_t *first, *last; /* [leaves] columns of the reduced dimension; first == last: empty */
} Tree;

/* A subtree: 2^level leaves from index << level. */
typedef struct TreeNode { int level; int64_t index; int device; } TreeNode;

bool tree_heads(Tree *tree, int64_t kv_heads, int64_t group, int64_t channels, Err *err);
bool tree_ffn(Tree *tree, int64_t ffn, Err *err);
void tree_free(Tree *tree);

/* The fewest subtrees that cover exactly the leaves whose owner[leaf] == device, appended in leaf order. Empty leaves
 * belong to everyone. */
bool tree_cover(const Tree *tree, const int *owner, int device, TreeNode **nodes, int *count, size_t *capacity,
                Err *err);

/* How nodes that together hold every leaf finish the sum: steps >= 0 push that node, -1 adds the two on top. Returns
 * the number of steps (at most 2 * count), *depth the most values stacked at once. */
int tree_finish(const Tree *tree, const TreeNode *nodes, int count, int *steps, int *depth);
#endif
