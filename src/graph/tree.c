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

bool tree_heads(Tree *tree, int64_t kv_heads, int64_t group, int64_t channels, Err *err) {
    int lk = log2_ceil(kv_heads), lg = log2_ceil(group);
    if (lk + lg > TREE_MAX_LEVELS) return err_set(err, "too many heads: %lld", (long long)(kv_heads * group));
    if (!tree_new(tree, lk + lg, err)) return false;
    for (int64_t k = 0; k < kv_heads; k++)
        for (int64_t g = 0; g < group; g++) {
            int64_t leaf = (k << lg) + g;
            tree->first[leaf] = (k * group + g) * channels;
            tree->last[leaf] = tree->first[leaf] + channels;
        }
    return true;
}

bool tree_ffn(Tree *tree, int64_t ffn, Err *err) {
    if (!tree_new(tree, log2_ceil(FFN_LEAVES), err)) return false;
    int64_t groups = (ffn + FFN_GROUP - 1) / FFN_GROUP;
    for (int64_t i = 0; i < FFN_LEAVES; i++) {
        int64_t first = i * groups / FFN_LEAVES * FFN_GROUP, last = (i + 1) * groups / FFN_LEAVES * FFN_GROUP;
        tree->first[i] = first < ffn ? first : ffn;
        tree->last[i] = last < ffn ? last : ffn;
    }
    return true;
}

void tree_free(Tree *tree) {
    free(tree->first);
    free(tree->last);
    *tree = (Tree){0};
}

/* Whether every leaf under the subtree is empty or the device's; *any: one is the device's. */
static bool subtree_owned(const Tree *tree, const int *owner, int device, int level, int64_t index, bool *any) {
    bool all = true;
    *any = false;
    for (int64_t leaf = index << level; leaf < (index + 1) << level; leaf++) {
        if (tree->first[leaf] == tree->last[leaf]) continue;
        if (owner[leaf] == device) *any = true;
        else all = false;
    }
    return all;
}

static bool cover(const Tree *tree, const int *owner, int device, int level, int64_t index, TreeNode **nodes,
                  int *count, size_t *capacity, Err *err) {
    bool any;
    bool all = subtree_owned(tree, owner, device, level, index, &any);
    if (!any) return true;
    if (!all)
        return cover(tree, owner, device, level - 1, 2 * index, nodes, count, capacity, err) &&
               cover(tree, owner, device, level - 1, 2 * index + 1, nodes, count, capacity, err);
    if (!mem_grow((void **)nodes, capacity, (size_t)*count + 1, sizeof(TreeNode), "tree nodes", err)) return false;
    (*nodes)[(*count)++] = (TreeNode){level, index, device};
    return true;
}

bool tree_cover(const Tree *tree, const int *owner, int device, TreeNode **nodes, int *count, size_t *capacity,
                Err *err) {
    return cover(tree, owner, device, tree->levels, 0, nodes, count, capacity, err);
}

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
