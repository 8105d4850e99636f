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

/* In how many steps of at most `most` n is done, each nearly as long as the others, in multiples of `unit`. */
static int64_t even_step(int64_t n, int64_t most, int64_t unit) {
    int64_t steps = (n + most - 1) / most;
    return steps ? ((n + steps - 1) / steps + unit - 1) / unit * unit : unit;
}

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

/* Columns o go by in spans. dy of a span is copied if its rows, multiples of DX_MEET floats apart, would meet in a few
 * sets of the caches. All columns i of the block then take their part of it, a few panels at a time: their piece of W
 * is turned into the level 2 cache, and while the rows go over two panels of it those are in level 1. Numbers that
 * wait, one for every level of the tree, stay where they are. */
enum { DX_ROWS = 528, DX_WIDE = 36, DX_PANELS = 8, DX_SPAN = 192 };
enum { DX_STEP = DX_SPAN + PANEL, DX_PIECE = (DX_SPAN + 1) * PANEL, DX_BLOCK = DX_ROWS * DX_WIDE * PANEL };
/* Pairs of a panel's piece, an odd number of cache lines: each matrix may end with a column that has no other. */
enum { DX_PAIRS = (DX_SPAN / 2 + 5) * PANEL };
_Static_assert(DX_SPAN % 2 == 0 && DX_PAIRS / PANEL % 2 == 1, "spans end between pairs");
enum { DX_MEET = 512 };

typedef struct Back {
    const Kernels *kernels;
    const BackSum *sum;
    int64_t row, rows, i0, i1; /* of the block */
    bool bf16;
    float *piece, *unpacked, *dy, *acc; /* scratch; acc: a block for every level */
    Pair *paired;              /* scratch: the piece in bf16 */
    SumParts parts;            /* of the span ... */
    const BackPair *pair[PARTS_MOST]; /* ... and where each is from: columns first[] to last[] */
    int64_t first[PARTS_MOST], last[PARTS_MOST], taken;
} Back;

int64_t products_dx_scratch(int levels) {
    return DX_PANELS * (DX_PIECE + DX_PAIRS + PANEL * PANEL) + DX_ROWS * DX_STEP + (levels + 1) * DX_BLOCK;
}

static Range leaf_of(const BackPair *pair, int64_t leaf) {
    return pair->leaf ? pair->leaf[leaf] : (Range){0, pair->weight->rows};
}

/* Columns o of a subtree. */
static int64_t columns_of(const Back *b, int level, int64_t index) {
    int64_t n = 0;
    for (int p = 0; p < b->sum->pairs; p++)
        for (int64_t leaf = index << level; leaf < (index + 1) << level; leaf++) {
            Range r = leaf_of(&b->sum->pair[p], leaf);
            n += r.last - r.first;
        }
    return n;
}

/* Puts columns [first, last) of a pair into the span. */
static void take_columns(Back *b, const BackPair *pair, int64_t first, int64_t last, bool begins) {
    int part = b->parts.count++;
    int64_t row = b->row * pair->dy_stride;
    const float *dy = b->bf16 ? NULL : pair->dy + row + first;
    b->parts.part[part] = (SumPart){.x = dy, .x_stride = pair->dy_stride, .count = last - first, .begins = begins};
    if (b->bf16) {
        b->parts.part[part].x = pair->pairs + row + first / 2;
        b->parts.part[part].count = (last - first + 1) / 2;
    } else if (pair->dy_stride % DX_MEET == 0) {
        float *to = b->dy + b->taken;
        b->kernels->copy(dy, pair->dy_stride, b->rows, last - first, to, DX_STEP);
        b->parts.part[part].x = to;
        b->parts.part[part].x_stride = DX_STEP;
    }
    b->pair[part] = pair;
    b->first[part] = first;
    b->last[part] = last;
    b->taken += last - first + (b->bf16 && (last - first) % 2); /* so that a span ends after a pair */
}

/* Puts a subtree into the span; false if it is empty. */
static bool take_tree(Back *b, int level, int64_t index) {
    if (level > 0) {
        bool left = take_tree(b, level - 1, 2 * index), right = take_tree(b, level - 1, 2 * index + 1);
        if (left && right) b->parts.part[b->parts.count - 1].adds++;
        return left || right;
    }
    bool some = false;
    for (int p = 0; p < b->sum->pairs; p++) {
        Range r = leaf_of(&b->sum->pair[p], index);
        if (r.first >= r.last) continue;
        take_columns(b, &b->sum->pair[p], r.first, r.last, !some);
        some = true;
    }
    return some;
}

/* Columns o of [first, last), which lie in one panel, and columns [i, i1) as [i panel][o][16 i] at `to`. */
static void turn_panel(const Back *b, const PackedWeight *w, int64_t first, int64_t last, int64_t i, int64_t i1,
                       float *to) {
    const uint8_t *panel = w->data + (first / PANEL - w->first_panel) * w->panel_bytes;
    const float *from = b->unpacked;
    if (w->type == PACKED_F32) from = (const float *)(const void *)panel + (i - w->first_k) * PANEL;
    else b->kernels->unpack[w->type](panel, i - w->first_k, i1 - w->first_k, b->unpacked);
    from += first % PANEL;
    for (; i < i1; i += PANEL, from += PANEL * PANEL, to += DX_PIECE)
        b->kernels->transpose(from, PANEL, least(PANEL, i1 - i), last - first, to, PANEL);
}

/* Asks for columns [i, i1) of the panel with column `o`: waiting for them takes a tenth of the time otherwise. */
static void ask_panel(const PackedWeight *w, int64_t o, int64_t i, int64_t i1) {
    const uint8_t *panel = w->data + (o / PANEL - w->first_panel) * w->panel_bytes;
    const uint8_t *end = panel + packed_panel_bytes(w->type, i1 - w->first_k);
    for (panel += packed_panel_bytes(w->type, i - w->first_k); panel < end; panel += 64)
        __builtin_prefetch(panel, 0, 2);
}

/* The span's piece of W for columns [i, i1), whose next ones, up to `next`, are asked for. */
static void turn_span(const Back *b, int64_t i, int64_t i1, int64_t next) {
    float *to = b->piece;
    for (int n = 0; n < b->parts.count; n++) {
        const PackedWeight *w = b->pair[n]->weight;
        int64_t o = b->first[n], last = b->last[n];
        for (int64_t end; o < last; to += (end - o) * PANEL, o = end) {
            end = least(last, (o / PANEL + 1) * PANEL);
            turn_panel(b, w, o, end, i, i1, to);
            if (i1 < next) ask_panel(w, o, i1, next);
        }
    }
}

/* Panels of the turned piece in bf16: a part's last column may have no other beside it. */
static void pair_span(const Back *b, int panels) {
    for (int p = 0; p < panels; p++) {
        const float *from = b->piece + p * DX_PIECE;
        Pair *to = b->paired + p * DX_PAIRS;
        for (int n = 0; n < b->parts.count; n++) {
            int64_t columns = b->last[n] - b->first[n], both = columns / 2;
            b->kernels->pair_up(from, from + PANEL, 2 * PANEL, both, PANEL, to, PANEL, 0);
            if (columns % 2)
                b->kernels->pair_up(from + 2 * both * PANEL, NULL, 0, 1, PANEL, to + both * PANEL, PANEL, 0);
            from += columns * PANEL;
            to += (columns + 1) / 2 * PANEL;
        }
    }
}

/* Sums up the span as number `top`, or onto it, and joins it to those before. */
static void sum_span(Back *b, int top, int joins) {
    b->parts.joins = joins;
    b->parts.join_step = DX_BLOCK;
    for (int64_t i = b->i0, end, next; i < b->i1; i = end) {
        end = least(b->i1, i + DX_PANELS * PANEL);
        next = least(b->i1, end + DX_PANELS * PANEL);
        turn_span(b, i, end, next);
        int panels = (int)(up16(end - i) / PANEL);
        float *acc = b->acc + top * DX_BLOCK + (i - b->i0) * b->rows;
        if (b->bf16) {
            pair_span(b, panels);
            b->kernels->sum_pair_parts(b->paired, DX_PAIRS, panels, &b->parts, b->rows, acc);
        } else {
            b->kernels->sum_parts(b->piece, DX_PIECE, panels, &b->parts, b->rows, acc);
        }
    }
    b->parts.count = 0;
    b->taken = 0;
}

/* A leaf of any length, of `left` columns. */
static void sum_leaf(Back *b, int64_t leaf, int64_t left, int top, int joins) {
    bool begins = true;
    for (int p = 0; p < b->sum->pairs; p++) {
        Range r = leaf_of(&b->sum->pair[p], leaf);
        for (int64_t o = r.first, n; o < r.last; o += n, left -= n) {
            n = least(r.last - o, DX_SPAN - b->taken);
            take_columns(b, &b->sum->pair[p], o, o + n, begins);
            begins = false;
            if (b->taken < DX_SPAN && left > n && b->parts.count < PARTS_MOST) continue;
            sum_span(b, top, left == n ? joins : 0);
        }
    }
}

/* The sum of a subtree that is not empty as number `top`, joined to those before. */
static void sum_tree(Back *b, int level, int64_t index, int top, int joins) {
    int64_t columns = columns_of(b, level, index);
    if (columns <= DX_SPAN && level < PARTS_DEPTH && b->sum->pairs << level <= PARTS_MOST) {
        take_tree(b, level, index);
        sum_span(b, top, joins);
        return;
    }
    if (level == 0) {
        sum_leaf(b, index, columns, top, joins);
        return;
    }
    bool left = columns_of(b, level - 1, 2 * index) > 0, right = columns_of(b, level - 1, 2 * index + 1) > 0;
    if (left) sum_tree(b, level - 1, 2 * index, top, right ? 0 : joins);
    if (right) sum_tree(b, level - 1, 2 * index + 1, top + left, joins + left);
}

/* Row by row, each in one go: they are far from each other, and mostly in no cache. */
static void store_block(const Back *b, float *y, int64_t stride) {
    int64_t whole = (b->i1 - b->i0) / PANEL, rest = (b->i1 - b->i0) % PANEL;
    for (int64_t r = 0; r < b->rows; r++) {
        const float *from = b->acc + r * PANEL;
        float *to = y + (b->row + r) * stride + b->i0;
        b->kernels->copy(from, b->rows * PANEL, whole, PANEL, to, PANEL);
        if (rest) b->kernels->copy(from + whole * b->rows * PANEL, 0, 1, rest, to + whole * PANEL, 0);
    }
}

void products_dx(const Kernels *k, const BackSum *sum, int64_t row0, int64_t row1, int64_t i0, int64_t i1, float *y,
                 int64_t y_stride, float *scratch) {
    Back b = {.kernels = k, .sum = sum, .bf16 = sum->pair[0].pairs != NULL, .piece = scratch};
    int64_t rows = even_step(row1 - row0, DX_ROWS, 1), wide = even_step(i1 - i0, DX_WIDE * PANEL, PANEL);
    bool some = columns_of(&b, sum->level, sum->index) > 0;
    b.unpacked = b.piece + DX_PANELS * DX_PIECE;
    b.dy = b.unpacked + DX_PANELS * PANEL * PANEL;
    b.acc = b.dy + DX_ROWS * DX_STEP;
    b.paired = (Pair *)(void *)(b.acc + (sum->level + 1) * DX_BLOCK);
    if (i1 % PANEL) memset(b.piece, 0, DX_PANELS * DX_PIECE * sizeof *b.piece); /* lanes past the last column */
    for (b.row = row0; b.row < row1; b.row += b.rows) {
        b.rows = least(row1 - b.row, rows);
        for (b.i0 = i0; b.i0 < i1; b.i0 = b.i1) {
            b.i1 = least(i1, b.i0 + wide);
            if (some) sum_tree(&b, sum->level, sum->index, 0, 0);
            else memset(b.acc, 0, (size_t)(up16(b.i1 - b.i0) * b.rows) * sizeof *b.acc);
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

/* Rows, or pairs of them, go by in spans, of which dy and x are copied once for all of a block of G. A few columns of x, in the level 2
 * cache, meet two panels of dy at a time, in level 1. These columns are an odd number of cache lines, so that those of
 * one do not meet in a few sets of level 1, and whole tiles of 12 or 6. */
enum { DW_PANELS = 48, DW_COLUMNS = 144, DW_GROUPS = 4, DW_SPAN = 192 };
enum { DW_STEP = (DW_SPAN + 1) * PANEL, DW_BLOCK = DW_PANELS * DW_GROUPS * DW_COLUMNS * PANEL };

/* ---- Pairs of rows ------------------------------------------------------------------------------------------------ */

/* `pairs` pairs of rows from `row` on, of each both, or of one pair one alone. */
typedef struct PairRun { int64_t row, pairs; bool even, odd; } PairRun;

/* At most `most` pairs of rows [first, last) as runs; returns where they end. */
static int64_t pair_runs(const RowPairs *p, int64_t first, int64_t last, int64_t most, PairRun *run, int *runs,
                         int64_t *pairs) {
    int64_t t = first;
    for (*runs = 0, *pairs = 0; t < last && *pairs < most; ++*pairs) {
        bool odd = pairs_odd(p, t), both = !odd && t + 1 < last && pairs_joined(p, t);
        PairRun *before = *runs ? &run[*runs - 1] : NULL;
        if (both && before && before->even && before->odd) before->pairs++;
        else run[(*runs)++] = (PairRun){t, 1, !odd, odd || both};
        t += 1 + both;
    }
    return t;
}

static void pair_copy(const Kernels *k, const PairRun *run, int runs, const float *from, int64_t stride, int64_t columns,
                      Pair *to, int64_t to_step, int64_t panel_step) {
    for (int i = 0; i < runs; to += run[i++].pairs * to_step) {
        const float *row = from + run[i].row * stride;
        bool both = run[i].even && run[i].odd;
        k->pair_up(run[i].even ? row : NULL, both ? row + stride : run[i].odd ? row : NULL, 2 * stride, run[i].pairs,
                   columns, to, to_step, panel_step);
    }
}

/* A block of a slot, panels `step` floats apart. */
typedef struct Sums { float *acc; int64_t step; } Sums;

typedef struct Grad {
    const Kernels *kernels;
    const WeightGrad *g;
    int64_t panel, i, columns;  /* of the block */
    int panels;
    float *dy, *x, *acc;        /* scratch; acc: a block for every slot */
    Sums slot[LANE_SLOTS];
} Grad;

int64_t products_dw_scratch(void) {
    return DW_PANELS * DW_STEP + DW_COLUMNS * DW_SPAN + LANE_SLOTS * DW_BLOCK;
}

/* Adds rows [first, last) to sums, or makes these. */
static void sum_rows(const Grad *b, int64_t first, int64_t last, const Sums *s) {
    const WeightGrad *g = b->g;
    int64_t o = b->panel * PANEL, outputs = least(b->panels * PANEL, g->outputs - o);
    b->kernels->panels(g->dy + first * g->dy_stride + o, g->dy_stride, last - first, outputs, b->dy, DW_STEP);
    for (int64_t i = 0, n; i < b->columns; i += n) {
        n = least(b->columns - i, DW_COLUMNS);
        b->kernels->copy(g->x + first * g->x_stride + b->i + i, g->x_stride, last - first, n, b->x, DW_COLUMNS);
        b->kernels->outer(b->dy, DW_STEP, b->panels, last - first, b->x, DW_COLUMNS, n, s->acc + i * PANEL, s->step);
    }
}

/* Adds rows from `first` on, as many as make `pairs` pairs, to sums; returns where they end. */
static int64_t sum_row_pairs(const Grad *b, int64_t first, int64_t last, int64_t pairs, const Sums *s) {
    const WeightGrad *g = b->g;
    int64_t o = b->panel * PANEL, outputs = least(b->panels * PANEL, g->outputs - o);
    PairRun run[DW_SPAN];
    int runs = 0;
    first = pair_runs(g->pairs, first, last, pairs, run, &runs, &pairs);
    Pair *dy = (Pair *)(void *)b->dy, *x = (Pair *)(void *)b->x;
    pair_copy(b->kernels, run, runs, g->dy + o, g->dy_stride, outputs, dy, PANEL, DW_STEP);
    for (int64_t i = 0, n; i < b->columns; i += n) {
        n = least(b->columns - i, DW_COLUMNS);
        pair_copy(b->kernels, run, runs, g->x + b->i + i, g->x_stride, n, x, DW_COLUMNS, PANEL);
        b->kernels->outer_pairs(dy, DW_STEP, b->panels, pairs, x, DW_COLUMNS, n, s->acc + i * PANEL, s->step);
    }
    return first;
}

static void each_panel(const Grad *b, const Sums *to, const Sums *from) {
    for (int p = 0; p < b->panels; p++) {
        float *acc = to->acc + p * to->step;
        size_t bytes = (size_t)(b->columns * PANEL) * sizeof *acc;
        if (from) memcpy(acc, from->acc + p * from->step, bytes);
        else memset(acc, 0, bytes);
    }
}

static void sum_run(const Grad *b, const LaneRun *run) {
    const Sums *top = &b->slot[run->slot];
    int64_t rows = run->last - run->first, step = even_step(b->g->pairs ? (rows + 1) / 2 : rows, DW_SPAN, 1);
    if (run->fresh) each_panel(b, top, NULL);
    for (int64_t t = run->first; t < run->last;) {
        if (b->g->pairs) t = sum_row_pairs(b, t, run->last, step, top);
        else sum_rows(b, t, least(run->last, t + step), top), t += step;
    }
    for (int n = 0; n < run->adds; n++, top--)
        for (int p = 0; p < b->panels; p++) {
            float *left = top[-1].acc + p * top[-1].step;
            b->kernels->add(left, top->acc + p * top->step, b->columns * PANEL, left);
        }
}

/* What is kept is summed up where it stands, the rest in scratch. */
static void sum_block(Grad *b) {
    const LanePlan *plan = b->g->plan;
    for (int s = lowest(plan); s < LANE_SLOTS; s++) {
        Sums whole = {NULL, b->g->inputs * PANEL}, own = {b->acc + s * DW_BLOCK, b->columns * PANEL};
        if (s < plan->held || s < plan->kept) whole.acc = b->g->slot[s] + (b->panel * b->g->inputs + b->i) * PANEL;
        b->slot[s] = s < plan->kept ? whole : own;
        if (s < plan->held && s >= plan->kept) each_panel(b, &own, &whole);
    }
    for (int i = 0; i < plan->count; i++) sum_run(b, &plan->run[i]);
}

void products_dw(const Kernels *k, const WeightGrad *g, int64_t p0, int64_t p1, int64_t i0, int64_t i1,
                 float *scratch) {
    Grad b = {.kernels = k, .g = g, .dy = scratch};
    int64_t panels = even_step(p1 - p0, DW_PANELS, 1);
    int64_t columns = even_step(i1 - i0, DW_GROUPS * DW_COLUMNS, DW_COLUMNS);
    b.acc = b.dy + DW_PANELS * DW_STEP;
    b.x = b.acc + LANE_SLOTS * DW_BLOCK;
    for (b.panel = p0; b.panel < p1; b.panel += b.panels) {
        b.panels = (int)least(p1 - b.panel, panels);
        for (b.i = i0; b.i < i1; b.i += b.columns) {
            b.columns = least(i1 - b.i, columns);
            sum_block(&b);
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
