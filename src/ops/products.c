/* products.c: the products of the backward pass, cut into blocks that stay in a core's caches. See products.h.
 *
 * dx: of a block of rows and a few panels of columns, leaf by leaf; of a leaf, a piece of W at a time, which lies in
 * panels of 16 o and is turned into panels of 16 i while it is unpacked. dW: of a block of panels and columns, run by
 * run of rows; a piece of rows of both is copied so that what is read together lies together.
 */
#include <string.h>
#include "products.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t up16(int64_t n) { return (n + 15) / 16 * 16; }

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

/* A piece of W, DX_COLUMNS x DX_PANELS x 16 floats, and the sums of a block of rows, one such for every level of the
 * tree that waits, stay in the level 2 cache. */
enum { DX_ROWS = 256, DX_PANELS = 4, DX_COLUMNS = 128, DX_STEP = DX_COLUMNS + PANEL };
enum { DX_BLOCK = DX_ROWS * DX_PANELS * PANEL };

typedef struct Back {
    const Kernels *kernels;
    const BackSum *sum;
    int64_t row, rows, i, columns; /* of the block; columns: those that are there */
    int panels;
    float *piece, *unpacked, *dy, *acc; /* scratch; acc: a block for every level */
} Back;

int64_t products_dx_scratch(int levels) {
    return DX_PANELS * DX_COLUMNS * PANEL + DX_PANELS * PANEL * PANEL + DX_ROWS * DX_STEP + (levels + 1) * DX_BLOCK;
}

/* Columns o of [first, last), which lie in one panel, as [i panel][o][16 i] from `at` on in the piece. */
static void turn_panel(const Back *b, const PackedWeight *w, int64_t first, int64_t last, float *at, int64_t step) {
    const uint8_t *panel = w->data + (first / PANEL - w->first_panel) * w->panel_bytes;
    int64_t k0 = b->i - w->first_k, k1 = k0 + b->columns;
    const float *from = b->unpacked;
    if (w->type == PACKED_F32) from = (const float *)(const void *)panel + k0 * PANEL;
    else b->kernels->unpack[w->type](panel, k0, k1, b->unpacked);
    for (int p = 0; p < b->panels; p++)
        b->kernels->transpose(from + p * PANEL * PANEL + first % PANEL, PANEL, least(PANEL, b->columns - p * PANEL),
                              last - first, at + p * step, PANEL);
}

/* Adds what columns [first, last) of a pair give. */
static void add_columns(const Back *b, const BackPair *pair, int64_t first, int64_t last, float *acc) {
    for (int64_t o = first, n; o < last; o += n) {
        n = least(last - o, DX_COLUMNS);
        const float *dy = pair->dy + b->row * pair->dy_stride + o;
        for (int64_t at = o, end; at < o + n; at = end) {
            end = least(o + n, (at / PANEL + 1) * PANEL);
            turn_panel(b, pair->weight, at, end, b->piece + (at - o) * PANEL, n * PANEL);
        }
        for (int64_t r = 0; r < b->rows; r++)
            memcpy(b->dy + r * DX_STEP, dy + r * pair->dy_stride, (size_t)n * sizeof *dy);
        b->kernels->tile(b->piece, n * PANEL, b->panels, n, b->dy, DX_STEP, b->rows, acc);
    }
}

static bool add_leaf(const Back *b, int64_t leaf, float *acc) {
    bool some = false;
    for (int p = 0; p < b->sum->pairs; p++) {
        const BackPair *pair = &b->sum->pair[p];
        Range r = pair->leaf ? pair->leaf[leaf] : (Range){0, pair->weight->rows};
        if (r.first >= r.last) continue;
        if (!some) memset(acc, 0, (size_t)(b->panels * b->rows * PANEL) * sizeof *acc);
        some = true;
        add_columns(b, pair, r.first, r.last, acc);
    }
    return some;
}

/* The sum of a subtree into acc, with blocks behind it for those that wait; false if all its leaves are empty. */
static bool add_tree(const Back *b, int level, int64_t index, float *acc) {
    if (level == 0) return add_leaf(b, index, acc);
    bool left = add_tree(b, level - 1, 2 * index, acc);
    float *other = left ? acc + DX_BLOCK : acc;
    bool right = add_tree(b, level - 1, 2 * index + 1, other);
    if (left && right) b->kernels->add(acc, other, b->panels * b->rows * PANEL, acc);
    return left || right;
}

static void store_block(const Back *b, float *y, int64_t stride) {
    for (int p = 0; p < b->panels; p++) {
        int64_t n = least(PANEL, b->columns - p * PANEL);
        const float *from = b->acc + p * b->rows * PANEL;
        float *to = y + b->row * stride + b->i + p * PANEL;
        for (int64_t r = 0; r < b->rows; r++, from += PANEL, to += stride)
            if (n == PANEL) memcpy(to, from, PANEL * sizeof *to);
            else memcpy(to, from, (size_t)n * sizeof *to);
    }
}

void products_dx(const Kernels *k, const BackSum *sum, int64_t row0, int64_t row1, int64_t i0, int64_t i1, float *y,
                 int64_t y_stride, float *scratch) {
    Back b = {.kernels = k, .sum = sum, .piece = scratch};
    b.unpacked = b.piece + DX_PANELS * DX_COLUMNS * PANEL;
    b.dy = b.unpacked + DX_PANELS * PANEL * PANEL;
    b.acc = b.dy + DX_ROWS * DX_STEP;
    memset(b.piece, 0, DX_PANELS * DX_COLUMNS * PANEL * sizeof *b.piece); /* lanes past the last column */
    for (b.row = row0; b.row < row1; b.row += b.rows) {
        b.rows = least(row1 - b.row, DX_ROWS);
        for (b.i = i0; b.i < i1; b.i += b.columns) {
            b.columns = least(i1 - b.i, DX_PANELS * PANEL);
            b.panels = (int)(up16(b.columns) / PANEL);
            if (!add_tree(&b, sum->level, sum->index, b.acc))
                memset(b.acc, 0, (size_t)(b.panels * b.rows * PANEL) * sizeof *b.acc);
            store_block(&b, y, y_stride);
        }
    }
}

/* ---- Sums over rows in lanes ------------------------------------------------------------------------------------- */

/* Slots that a plan changes: from the lowest that a run or its additions reach. */
static int lowest(const LanePlan *plan) {
    int low = LANE_SLOTS;
    for (int i = 0; i < plan->count; i++) {
        int to = plan->run[i].slot - plan->run[i].adds;
        low = to < low ? to : low;
    }
    return low;
}

/* ---- dW ---------------------------------------------------------------------------------------------------------- */

/* A block of sums and the copies of a piece of rows stay in the level 2 cache. Columns: an odd number of cache lines,
 * so that those of one column do not meet in a few sets of level 1, and whole tiles of 12 or 6. */
enum { DW_PANELS = 16, DW_COLUMNS = 144, DW_ROWS = 128, DW_BLOCK = DW_PANELS * DW_COLUMNS * PANEL };

typedef struct Grad {
    const Kernels *kernels;
    const WeightGrad *g;
    int64_t panel, i, columns; /* of the block */
    int panels;
    float *dy, *x, *acc;       /* scratch; acc: a block for every slot */
} Grad;

int64_t products_dw_scratch(void) {
    return DW_ROWS * (DW_PANELS * PANEL + DW_COLUMNS) + LANE_SLOTS * DW_BLOCK;
}

/* Rows t .. t + n of dy in panels [panel][row][16], zeros past the outputs. */
static void take_dy(const Grad *b, int64_t t, int64_t n) {
    for (int p = 0; p < b->panels; p++) {
        int64_t o = (b->panel + p) * PANEL, width = least(PANEL, b->g->outputs - o);
        const float *from = b->g->dy + t * b->g->dy_stride + o;
        float *to = b->dy + p * n * PANEL;
        if (width < PANEL) memset(to, 0, (size_t)(n * PANEL) * sizeof *to);
        for (int64_t r = 0; r < n; r++, from += b->g->dy_stride, to += PANEL)
            if (width == PANEL) memcpy(to, from, PANEL * sizeof *to);
            else memcpy(to, from, (size_t)width * sizeof *to);
    }
}

static void chain(const Grad *b, const LaneRun *run, float *acc) {
    for (int64_t t = run->first, n; t < run->last; t += n) {
        n = least(run->last - t, DW_ROWS);
        take_dy(b, t, n);
        for (int64_t r = 0; r < n; r++)
            memcpy(b->x + r * DW_COLUMNS, b->g->x + (t + r) * b->g->x_stride + b->i,
                   (size_t)b->columns * sizeof *b->x);
        b->kernels->outer(b->dy, n * PANEL, b->panels, n, b->x, DW_COLUMNS, b->columns, acc);
    }
}

/* Panels of a slot's block to acc, or back. */
static void move_block(const Grad *b, int slot, bool back) {
    for (int p = 0; p < b->panels; p++) {
        float *whole = b->g->slot[slot] + ((b->panel + p) * b->g->inputs + b->i) * PANEL;
        float *acc = b->acc + slot * DW_BLOCK + p * b->columns * PANEL;
        size_t bytes = (size_t)(b->columns * PANEL) * sizeof *acc;
        if (back) memcpy(whole, acc, bytes);
        else memcpy(acc, whole, bytes);
    }
}

static void grad_block(const Grad *b) {
    const LanePlan *plan = b->g->plan;
    int64_t size = b->panels * b->columns * PANEL;
    int low = lowest(plan);
    for (int s = low; s < plan->held; s++) move_block(b, s, false);
    for (int i = 0; i < plan->count; i++) {
        const LaneRun *run = &plan->run[i];
        float *top = b->acc + run->slot * DW_BLOCK;
        if (run->fresh) memset(top, 0, (size_t)size * sizeof *top);
        chain(b, run, top);
        for (int n = 0; n < run->adds; n++, top -= DW_BLOCK)
            b->kernels->add(top - DW_BLOCK, top, size, top - DW_BLOCK);
    }
    for (int s = low; s < plan->kept; s++) move_block(b, s, true);
}

void products_dw(const Kernels *k, const WeightGrad *g, int64_t p0, int64_t p1, int64_t i0, int64_t i1,
                 float *scratch) {
    Grad b = {.kernels = k, .g = g, .dy = scratch};
    b.acc = b.dy + DW_ROWS * DW_PANELS * PANEL;
    b.x = b.acc + LANE_SLOTS * DW_BLOCK;
    for (b.panel = p0; b.panel < p1; b.panel += b.panels) {
        b.panels = (int)least(p1 - b.panel, DW_PANELS);
        for (b.i = i0; b.i < i1; b.i += b.columns) {
            b.columns = least(i1 - b.i, DW_COLUMNS);
            grad_block(&b);
        }
    }
}

/* ---- Vectors ----------------------------------------------------------------------------------------------------- */

enum { SUM_COLUMNS = 512 };

int64_t products_sum_scratch(void) { return LANE_SLOTS * SUM_COLUMNS; }

static void sum_columns(const Kernels *k, const VectorGrad *g, int64_t i, int64_t n, float *acc) {
    const LanePlan *plan = g->plan;
    int low = lowest(plan);
    size_t bytes = (size_t)n * sizeof *acc;
    for (int s = low; s < plan->held; s++) memcpy(acc + s * SUM_COLUMNS, g->slot[s] + i, bytes);
    for (int j = 0; j < plan->count; j++) {
        const LaneRun *run = &plan->run[j];
        float *top = acc + run->slot * SUM_COLUMNS;
        if (run->fresh) memset(top, 0, bytes);
        for (int64_t t = run->first; t < run->last; t++) {
            const float *dy = g->dy + t * g->dy_stride + i;
            if (g->r) k->gain_grad(g->x + t * g->x_stride + i, dy, g->r[t], n, top);
            else k->add(top, dy, n, top);
        }
        for (int a = 0; a < run->adds; a++, top -= SUM_COLUMNS) k->add(top - SUM_COLUMNS, top, n, top - SUM_COLUMNS);
    }
    for (int s = low; s < plan->kept; s++) memcpy(g->slot[s] + i, acc + s * SUM_COLUMNS, bytes);
}

static void sum_all(const Kernels *k, const VectorGrad *g, int64_t i0, int64_t i1, float *scratch) {
    for (int64_t i = i0; i < i1; i += SUM_COLUMNS) sum_columns(k, g, i, least(i1 - i, SUM_COLUMNS), scratch);
}

void products_sum(const Kernels *k, const VectorGrad *g, int64_t i0, int64_t i1, float *scratch) {
    VectorGrad plain = *g;
    plain.r = NULL;
    sum_all(k, &plain, i0, i1, scratch);
}

void products_norm_sum(const Kernels *k, const VectorGrad *g, int64_t i0, int64_t i1, float *scratch) {
    sum_all(k, g, i0, i1, scratch);
}
