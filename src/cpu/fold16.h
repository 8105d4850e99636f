/* fold16.h: sums of leaves (ops/kernels.h) added up in pairs as they come, while they are in the L1 cache. Included
 * after v16 is there. */
#ifndef FOLD16_H
#define FOLD16_H
#include "../ops/kernels.h"
#include "inline16.h"

enum { FOLD_VECTORS = 2 * ROWS_DIRECT }; /* at most two panels of many rows, or four of few, are taken together */
typedef float FoldStack[LEAVES_DEPTH - 1][FOLD_VECTORS * PANEL];
typedef struct Fold {
    float *acc;       /* the lowest number of the sum at hand */
    FoldStack *stack; /* those on it; of one leaf not touched */
    int vectors, top;
} Fold;

INLINE float *fold_at(const Fold *f, int i) { return i ? (*f->stack)[i - 1] : f->acc; }

/* Where the numbers of leaf l go. */
INLINE float *fold_next(Fold *f, const Leaves *leaves, int l) {
    if (l && leaves->of[l] != leaves->of[l - 1]) f->acc += leaves->sum_step, f->top = 0;
    float *to = fold_at(f, f->top++);
    for (int v = 0; f->top > 1 && v < f->vectors; v++) v16_store(to + v * PANEL, v16_all(0));
    return to;
}

INLINE void fold_add(Fold *f, int adds) {
    for (; adds > 0; adds--) {
        const float *right = fold_at(f, --f->top);
        float *left = fold_at(f, f->top - 1);
        for (int v = 0; v < f->vectors; v++)
            v16_store(left + v * PANEL, v16_add(v16_load(left + v * PANEL), v16_load(right + v * PANEL)));
    }
}
#endif
