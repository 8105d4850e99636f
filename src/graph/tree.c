/* tree.c: leaves, covers by subtrees, and the order in which subtrees finish a sum. */
#include <stdlib.h>
#include "tree.h"

static int log2_ceil(int64_t n) {
    int l = 0;
    while (((int64_t)1 << l) < n) l++;
    return l;
}

static bool tree_new(Tree *tree, int levels, Err *err) {
    *tree = (Tree){.levels = levels};
    size_t leaves = (size_t)1 << levels;
    tree->first = mem_new(leaves, sizeof(int64_t), "reduction tree", err);
    tree->last = mem_new(leaves, sizeof(int64_t), "reduction tree", err);
    return tree->first && tree->last;
}

bool tree_grid(Tree *tree, int64_t outer, int64_t inner, int64_t each, Err *err) {
    int lo = log2_ceil(outer), li = log2_ceil(inner);
    if (lo + li > TREE_MAX_LEVELS)
        return err_as(err, QM_LIMIT, "%lld parts of a sum: expected at most 2^%d", (long long)(outer * inner),
                      TREE_MAX_LEVELS);
    if (!tree_new(tree, lo + li, err)) return false;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t leaf = (o << li) + i;
            tree->first[leaf] = (o * inner + i) * each;
            tree->last[leaf] = tree->first[leaf] + each;
        }
    return true;
}

static Range leaf_range(int64_t size, int64_t leaf, int64_t leaves, int64_t group) {
    int64_t groups = (size + group - 1) / group;
    int64_t first = leaf * groups / leaves * group, last = (leaf + 1) * groups / leaves * group;
    return (Range){first < size ? first : size, last < size ? last : size};
}

Range tree_range(int64_t columns, int64_t leaf) { return leaf_range(columns, leaf, FFN_LEAVES, FFN_GROUP); }
Range tree_panel_range(int64_t rows, int64_t leaf) { return leaf_range(rows, leaf, VOCAB_LEAVES, VOCAB_GROUP); }

static bool tree_leaves(Tree *tree, int64_t size, int64_t leaves, Range (*range)(int64_t, int64_t), Err *err) {
    if (!tree_new(tree, log2_ceil(leaves), err)) return false;
    for (int64_t i = 0; i < leaves; i++) {
        Range r = range(size, i);
        tree->first[i] = r.first;
        tree->last[i] = r.last;
    }
    return true;
}

bool tree_ranges(Tree *tree, int64_t columns, Err *err) {
    return tree_leaves(tree, columns, FFN_LEAVES, tree_range, err);
}

bool tree_panels(Tree *tree, int64_t rows, Err *err) {
    return tree_leaves(tree, rows, VOCAB_LEAVES, tree_panel_range, err);
}

void tree_free(Tree *tree) {
    free(tree->first);
    free(tree->last);
    *tree = (Tree){0};
}

/* ---- Covers ------------------------------------------------------------------------------------------------------ */

enum { NOBODY = -1, SEVERAL = -2 };

typedef struct Cover {
    const Tree *tree;
    const int *owner;
    TreeNode **nodes;
    int *count;
    size_t *capacity;
    Err *err;
    bool failed;
} Cover;

static void cover_add(Cover *c, int level, int64_t index, int owner) {
    size_t count = (size_t)*c->count;
    if (owner < 0 || c->failed) return;
    c->failed = !mem_grow((void **)c->nodes, c->capacity, count + 1, sizeof(TreeNode), "tree nodes", c->err);
    if (c->failed) return;
    (*c->nodes)[(*c->count)++] = (TreeNode){level, index, owner};
}

/* Who owns a subtree; adds the largest ones within that have one owner, unless it has one as a whole. */
static int cover(Cover *c, int level, int64_t index) {
    if (level == 0) return c->tree->first[index] < c->tree->last[index] ? c->owner[index] : NOBODY;
    int left = cover(c, level - 1, 2 * index), right = cover(c, level - 1, 2 * index + 1);
    if (left == right || right == NOBODY) return left;
    if (left == NOBODY) return right;
    cover_add(c, level - 1, 2 * index, left);
    cover_add(c, level - 1, 2 * index + 1, right);
    return SEVERAL;
}

static int by_owner(const void *a, const void *b) {
    const TreeNode *x = a, *y = b;
    int64_t i = x->index << x->level, j = y->index << y->level;
    return x->device != y->device ? (x->device > y->device) - (x->device < y->device) : (i > j) - (i < j);
}

bool tree_cover(const Tree *tree, const int *owner, TreeNode **nodes, int *count, size_t *capacity, Err *err) {
    Cover c = {tree, owner, nodes, count, capacity, err, false};
    cover_add(&c, tree->levels, 0, cover(&c, tree->levels, 0));
    if (*count) qsort(*nodes, (size_t)*count, sizeof **nodes, by_owner);
    return !c.failed;
}

/* ---- Finishing --------------------------------------------------------------------------------------------------- */

typedef struct Finish { const TreeNode *nodes; int count, steps_count, stacked, depth, *steps; } Finish;

/* Emits the steps of one subtree; false if it holds nothing. */
static bool finish(Finish *f, int level, int64_t index) {
    bool inside = false;
    for (int i = 0; i < f->count; i++) {
        const TreeNode *n = &f->nodes[i];
        if (n->level == level && n->index == index) {
            f->steps[f->steps_count++] = i;
            if (++f->stacked > f->depth) f->depth = f->stacked;
            return true;
        }
        inside |= n->level < level && n->index >> (level - n->level) == index;
    }
    if (!inside) return false;
    bool left = finish(f, level - 1, 2 * index), right = finish(f, level - 1, 2 * index + 1);
    if (left && right) {
        f->steps[f->steps_count++] = -1;
        f->stacked--;
    }
    return left || right;
}

int tree_finish(const Tree *tree, const TreeNode *nodes, int count, int *steps, int *depth) {
    Finish f = {.nodes = nodes, .count = count, .steps = steps};
    finish(&f, tree->levels, 0);
    *depth = f.depth;
    return f.steps_count;
}
