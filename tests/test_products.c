/* test_products.c: the products of the backward pass: near sums in double, and the same bits with every table of
 * kernels, however rows, columns and panels are dealt, and however a step is cut into passes. */
#include "kernel_numbers.h"
#include "../src/ops/products.h"

/* A sum of `n` products of numbers below 8, in f32, against one in double. */
static void near(const char *what, float got, double expected, double size, int64_t n) {
    double bound = size * (double)(n + 4) * 0x1p-24 + 1e-30;
    if (!(fabs((double)got - expected) <= bound))
        fail_msg("%s: %.9g, expected %.9g within %.3g", what, (double)got, expected, bound);
}

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

enum { PAIRS_MOST = 3, LEAF_LEVELS_MOST = 5 };

typedef struct DxCase {
    int64_t rows, columns;
    int pairs, levels;
    PackedWeight weight[PAIRS_MOST];
    uint8_t *panels[PAIRS_MOST];
    float *dy[PAIRS_MOST], *dense[PAIRS_MOST]; /* dense: [o][columns] as unpacked */
    int64_t stride[PAIRS_MOST];
    Range leaf[PAIRS_MOST][1 << LEAF_LEVELS_MOST];
    BackPair pair[PAIRS_MOST];
    bool bf16; /* then dy and dense are, as numbers */
    Pair *paired[PAIRS_MOST];
} DxCase;

/* Random bytes would be NaN here and there; so weights are packed from bf16 numbers, or quantised from them. */
static void fill_weight(DxCase *c, int p, PackedType type, int64_t outputs) {
    int64_t panels = (outputs + PANEL - 1) / PANEL, k = c->columns, bytes = packed_panel_bytes(type, k);
    c->panels[p] = aligned_alloc(64, (size_t)(panels * bytes));
    c->dense[p] = floats_new(panels * PANEL * k);
    float *unpacked = floats_new(k * PANEL);
    uint8_t *rows[PANEL];
    for (int r = 0; r < PANEL; r++) rows[r] = malloc((size_t)k * 4);
    for (int64_t panel = 0; panel < panels; panel++) {
        uint8_t *out = c->panels[p] + panel * bytes;
        for (int r = 0; r < PANEL; r++)
            for (int64_t i = 0; i < k; i++) {
                float f = random_float();
                uint16_t h = f32_to_bf16(f);
                if (type == PACKED_F32) memcpy(rows[r] + 4 * i, &f, 4);
                else memcpy(rows[r] + 2 * i, &h, 2);
            }
        const uint8_t *there[PANEL];
        for (int r = 0; r < PANEL; r++) there[r] = panel * PANEL + r < outputs ? rows[r] : NULL;
        PackError error = {0};
        if (type == PACKED_Q8G || type == PACKED_Q4G) {
            for (int r = 0; r < PANEL; r++) there[r] = rows[r];
            pack_quantise(DTYPE_BF16, type, there, k, out, &error);
        } else {
            pack_panel(type == PACKED_F32 ? DTYPE_F32 : DTYPE_BF16, there, k, out);
        }
        kernels_reference.unpack[type](out, 0, k, unpacked);
        for (int r = 0; r < PANEL; r++)
            for (int64_t i = 0; i < k; i++) c->dense[p][(panel * PANEL + r) * k + i] = unpacked[i * PANEL + r];
    }
    for (int r = 0; r < PANEL; r++) free(rows[r]);
    free(unpacked);
    c->weight[p] = (PackedWeight){.type = type, .rows = outputs, .k = k, .panel_bytes = bytes, .panels = panels,
                                  .columns = k, .data = c->panels[p]};
}

static void dx_new(DxCase *c, int round) {
    static const PackedType types[] = {PACKED_F32, PACKED_BF16, PACKED_Q8G, PACKED_Q4G};
    PackedType type = types[round % 4];
    *c = (DxCase){.rows = 1 + random_below(round % 5 == 0 ? 600 : 40), .pairs = 1 + (int)random_below(PAIRS_MOST),
                  .levels = (int)random_below(LEAF_LEVELS_MOST + 1)};
    c->columns = packed_quantised(type) ? 32 * (1 + random_below(8)) : 1 + random_below(150);
    if (round % 10 == 4) /* more than a block of them */
        c->columns = 672 + 32 * random_below(4) - (packed_quantised(type) ? 0 : 5);
    for (int p = 0; p < c->pairs; p++) {
        int64_t outputs = 1 + random_below(round % 3 == 0 ? 300 : 70), leaves = 1 << c->levels;
        fill_weight(c, p, type, outputs);
        c->stride[p] = random_below(3) ? outputs + 3 : (outputs + 511) / 512 * 512; /* rows that meet in caches */
        c->dy[p] = random_floats(c->rows * c->stride[p]);
        for (int64_t l = 0, at = 0; l < leaves; l++) { /* anywhere, some empty, all columns taken */
            int64_t end = l == leaves - 1 ? outputs : at + random_below(2 * outputs / leaves + 2);
            end = end < outputs ? end : outputs;
            if (random_below(4) == 0 && l < leaves - 1) end = at;
            c->leaf[p][l] = (Range){at, end};
            at = end;
        }
        c->pair[p] = (BackPair){.dy = c->dy[p], .dy_stride = c->stride[p], .weight = &c->weight[p],
                                .leaf = c->levels || round % 2 ? c->leaf[p] : NULL};
    }
}

static void dx_free(DxCase *c) {
    for (int p = 0; p < c->pairs; p++) free(c->panels[p]), free(c->dense[p]), free(c->dy[p]), free(c->paired[p]);
}

static void round_floats(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

/* Leaves of whole pairs, and gradients in bf16; weights stay as they are held. */
static void dx_in_pairs(DxCase *c) {
    c->bf16 = true;
    for (int p = 0; p < c->pairs; p++) {
        int64_t outputs = c->weight[p].rows, stride = pairs_step(outputs) + random_below(2) * PANEL;
        for (int l = 0; l < 1 << c->levels; l++) {
            Range *r = &c->leaf[p][l];
            if (r->first < outputs) r->first -= r->first % 2;
            if (r->last < outputs) r->last -= r->last % 2;
        }
        c->paired[p] = calloc((size_t)(c->rows * stride), sizeof *c->paired[p]);
        for (int64_t t = 0; t < c->rows; t++)
            kernels_reference.round(c->dy[p] + t * c->stride[p], outputs, c->paired[p] + t * stride);
        round_floats(c->dy[p], c->rows * c->stride[p]);
        round_floats(c->dense[p], (outputs + PANEL - 1) / PANEL * PANEL * c->columns);
        c->pair[p].dy = NULL, c->pair[p].pairs = c->paired[p], c->pair[p].dy_stride = stride;
    }
}

/* One number as the law has it: true if any column counts. */
static bool dx_leaves(const DxCase *c, int level, int64_t index, int64_t t, int64_t i, float *out) {
    float right;
    *out = 0;
    if (level > 0) {
        bool left = dx_leaves(c, level - 1, 2 * index, t, i, out);
        if (!dx_leaves(c, level - 1, 2 * index + 1, t, i, &right)) return left;
        *out = left ? *out + right : right;
        return true;
    }
    bool some = false;
    for (int p = 0; p < c->pairs; p++) {
        const float *dy = c->dy[p] + t * c->stride[p], *w = c->dense[p] + i;
        int64_t first = c->leaf[p][index].first, last = c->leaf[p][index].last;
        for (int64_t o = first; o < last && !c->bf16; o++) *out = fmaf(dy[o], w[o * c->columns], *out);
        for (int64_t o = first; o < last && c->bf16; o += 2) {
            bool both = o + 1 < last;
            *out = fma_flushed(both ? dy[o + 1] : 0, both ? w[(o + 1) * c->columns] : 0, *out);
            *out = fma_flushed(dy[o], w[o * c->columns], *out);
        }
        some = some || first < last;
    }
    return some;
}

static void check_dx_near(const DxCase *c, const float *y) {
    for (int64_t t = 0; t < c->rows; t += 1 + random_below(7))
        for (int64_t i = 0; i < c->columns; i++) {
            double sum = 0, size = 0;
            int64_t n = 0;
            for (int p = 0; p < c->pairs; p++)
                for (int64_t o = 0; o < c->weight[p].rows; o++, n++) {
                    double term = (double)c->dy[p][t * c->stride[p] + o] *
                                  (double)c->dense[p][o * c->columns + i];
                    sum += term;
                    size += fabs(term);
                }
            near("dx", y[t * (c->columns + 5) + i], sum, size, n);
        }
}

/* products_dx: law, double, tables, and cuts into rows and columns. What lies outside is not touched. */
static void dx_is_lawful(void **state) {
    const bool *bf16 = *state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    for (int round = 0; round < 60; round++) {
        DxCase c;
        dx_new(&c, round);
        if (*bf16) dx_in_pairs(&c);
        BackSum sum = {.pair = c.pair, .pairs = c.pairs, .level = c.levels};
        int64_t stride = c.columns + 5, n = c.rows * stride;
        float *expected = floats_new(n), *y = floats_new(n), *scratch = floats_new(products_dx_scratch(c.levels));
        for (int64_t i = 0; i < n; i++) expected[i] = -7;
        for (int64_t t = 0; t < c.rows; t++)
            for (int64_t i = 0; i < c.columns; i++)
                dx_leaves(&c, c.levels, 0, t, i, &expected[t * stride + i]);
        check_dx_near(&c, expected);
        for (int k = c.rows > 40; k < tables; k++) {
            for (int64_t i = 0; i < n; i++) y[i] = -7;
            for (int64_t i = 0; i < products_dx_scratch(c.levels); i++) scratch[i] = NAN;
            for (int64_t t = 0, end; t < c.rows; t = end) {
                end = round % 2 ? c.rows : t + 1 + random_below(c.rows - t);
                for (int64_t i = 0, to; i < c.columns; i = to) {
                    to = i + PANEL * (1 + random_below(8));
                    to = to < c.columns && k % 2 ? to : c.columns;
                    products_dx(table[k], &sum, t, end, i, to, y, stride, scratch);
                }
            }
            same_bits(table[k]->isa, "dx", expected, y, n);
        }
        free(expected), free(y), free(scratch);
        dx_free(&c);
    }
}

/* Subtrees add up to the whole; a weight that is a part of its matrix is found where it says. */
static void dx_of_subtrees(void **state) {
    const bool *bf16 = *state;
    for (int round = 0; round < 40; round++) {
        DxCase c;
        dx_new(&c, round);
        if (*bf16) dx_in_pairs(&c);
        if (!c.levels) c.levels = 1, c.leaf[0][1] = c.leaf[1][1] = c.leaf[2][1] = (Range){0, 0};
        for (int p = 0; p < c.pairs; p++) c.pair[p].leaf = c.leaf[p];
        int64_t n = c.rows * c.columns;
        float *whole = floats_new(n), *left = floats_new(n), *right = floats_new(n),
              *scratch = floats_new(products_dx_scratch(c.levels));
        BackSum sum = {.pair = c.pair, .pairs = c.pairs, .level = c.levels};
        products_dx(&kernels_reference, &sum, 0, c.rows, 0, c.columns, whole, c.columns, scratch);
        bool there[2] = {false, false};
        for (int p = 0; p < c.pairs; p++)
            for (int l = 0; l < 1 << c.levels; l++)
                there[l >> (c.levels - 1)] |= c.leaf[p][l].first < c.leaf[p][l].last;
        sum.level--;
        products_dx(&kernels_reference, &sum, 0, c.rows, 0, c.columns, left, c.columns, scratch);
        sum.index = 1;
        for (int p = 0; p < c.pairs; p++) { /* panels from the first that is needed on */
            int64_t first = c.weight[p].rows;
            for (int l = 1 << (c.levels - 1); l < 1 << c.levels; l++)
                if (c.leaf[p][l].first < c.leaf[p][l].last && c.leaf[p][l].first < first) first = c.leaf[p][l].first;
            c.weight[p].first_panel = first / PANEL;
            c.weight[p].data += first / PANEL * c.weight[p].panel_bytes;
        }
        products_dx(&kernels_reference, &sum, 0, c.rows, 0, c.columns, right, c.columns, scratch);
        if (there[0] && there[1]) kernels_reference.add(left, right, n, left);
        same_bits("reference", "subtrees", whole, there[0] ? left : right, n);
        for (int64_t i = 0; i < n; i++) assert_true(there[0] || left[i] == 0);
        for (int64_t i = 0; i < n; i++) assert_true(there[1] || right[i] == 0);
        free(whole), free(left), free(right), free(scratch);
        dx_free(&c);
    }
}

/* ---- Sums over rows ---------------------------------------------------------------------------------------------- */

/* A step of sequences, some of them long. */
enum { SEQUENCES_MOST = 20 };
typedef struct Steps { int64_t n, begins[SEQUENCES_MOST + 1]; } Steps;

static void steps_new(Steps *s, int round) {
    s->n = 1 + random_below(SEQUENCES_MOST);
    s->begins[0] = 0;
    for (int64_t i = 0; i < s->n; i++)
        s->begins[i + 1] = s->begins[i] + (round % 4 == 0 ? random_below(150) : random_below(9));
}

/* A number of the sum as ops/lanes.h has it: each lane one chain, lanes left + right. */
typedef float Chain(const void *c, int64_t t, float sum);
static bool lanes_law(const Steps *s, Chain *chain, const void *c, int first, int count, float *out) {
    if (count > 1) {
        float right;
        bool left = lanes_law(s, chain, c, first, count / 2, out);
        if (!lanes_law(s, chain, c, first + count / 2, count / 2, &right)) return left;
        *out = left ? *out + right : right;
        return true;
    }
    bool some = false;
    *out = 0;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t t = s->begins[i]; lane_of(i, s->n) == first && t <= s->begins[i + 1]; t++, some = true)
            if (t < s->begins[i + 1]) *out = chain(c, t, *out);
    return some;
}

typedef struct DwCase {
    Steps steps;
    int64_t outputs, inputs;
    float *dy, *x, *r;
    /* Rows in bf16, which are these of some step; slot and index are of its rows. */
    bool bf16;
    RowPairs pairs;
    int32_t *row, *slot;
    int64_t *index;
} DwCase;
static void dw_new(DwCase *c, int round) {
    *c = (DwCase){.r = NULL};
    steps_new(&c->steps, round);
    int64_t rows = c->steps.begins[c->steps.n];
    c->outputs = 1 + random_below(round % 3 ? 50 : 300);
    c->inputs = 1 + random_below(round % 3 == 1 ? 330 : 40);
    if (round % 10 == 4) c->outputs = 800 + random_below(50); /* more than a block of them */
    if (round % 10 == 5) c->inputs = 600 + random_below(50);
    c->dy = random_floats(rows * (c->outputs + 1) + 1);
    c->x = random_floats(rows * (c->inputs + 2) + 1);
    c->r = random_floats(rows + 1);
}
static void dw_free(DwCase *c) {
    free(c->dy), free(c->x), free(c->r), free(c->row), free(c->slot), free(c->index);
}

/* Each sequence is one or several in slots of their own; of some rounds' rows only those with a label are there. */
enum { STEP_BEFORE = 3 };
static void dw_in_pairs(DwCase *c, int round) {
    int64_t rows = c->steps.begins[c->steps.n], step = STEP_BEFORE, gaps = round % 3;
    c->bf16 = true;
    round_floats(c->dy, rows * (c->outputs + 1));
    round_floats(c->x, rows * (c->inputs + 2));
    c->row = calloc((size_t)rows + 1, sizeof *c->row);
    c->slot = calloc((size_t)(4 * rows + STEP_BEFORE + 1), sizeof *c->slot);
    c->index = calloc((size_t)(4 * rows + STEP_BEFORE + 1), sizeof *c->index);
    int32_t slot = 5;
    for (int64_t i = 0; i < c->steps.n; i++, slot++) {
        int64_t at = 0;
        for (int64_t t = c->steps.begins[i]; t < c->steps.begins[i + 1]; t++) {
            if (random_below(6) == 0) slot++, at = 0;
            for (int64_t skip = gaps ? random_below(2 * gaps) : 0; skip >= 0; skip--) {
                c->row[t] = (int32_t)step;
                c->slot[step] = slot;
                c->index[step++] = at++;
            }
        }
    }
    c->pairs = (RowPairs){.row = gaps ? c->row : NULL, .slot = c->slot, .index = c->index};
    if (!gaps) c->pairs.slot += STEP_BEFORE, c->pairs.index += STEP_BEFORE;
}

typedef struct At { const DwCase *c; int64_t o, i; } At;
/* Two rows of one sequence, the even one's number last; its place in the step says what a row is. */
static float chain_pairs(const At *a, int64_t t, float sum) {
    const DwCase *c = a->c;
    int64_t rows = c->steps.begins[c->steps.n], at = c->row[t];
    bool odd = c->index[at] % 2, after = t + 1 < rows && c->row[t + 1] == at + 1 && c->slot[at] == c->slot[at + 1];
    if (odd && t > 0 && c->row[t - 1] == at - 1 && c->slot[at] == c->slot[at - 1]) return sum; /* with that */
    for (int64_t of = 1; of >= 0; of--) {
        bool there = odd ? of == 1 : of == 0 || after;
        int64_t row = t + (!odd && of);
        sum = fma_flushed(there ? c->dy[row * (c->outputs + 1) + a->o] : 0,
                          there ? c->x[row * (c->inputs + 2) + a->i] : 0, sum);
    }
    return sum;
}
static float chain_product(const void *v, int64_t t, float sum) {
    const At *a = v;
    if (a->c->bf16) return chain_pairs(a, t, sum);
    return fmaf(a->c->dy[t * (a->c->outputs + 1) + a->o], a->c->x[t * (a->c->inputs + 2) + a->i], sum);
}
static float chain_sum(const void *v, int64_t t, float sum) {
    const At *a = v;
    return sum + a->c->dy[t * (a->c->outputs + 1) + a->o];
}
static float chain_norm(const void *v, int64_t t, float sum) {
    const At *a = v;
    float h = a->c->x[t * (a->c->inputs + 2) + a->o] * a->c->r[t];
    return fmaf(a->c->dy[t * (a->c->outputs + 1) + a->o], h, sum);
}

/* Runs a step in passes of any number of sequences. Slots that a plan neither holds nor keeps are unreadable then: they
 * do not exist. */
typedef void Pass(const LanePlan *plan, const Kernels *k, const DwCase *c, float *slot[LANE_SLOTS], float *scratch,
                  int64_t from);
static void in_passes(const DwCase *c, const Kernels *k, Pass *pass, float *slots[LANE_SLOTS], int64_t size,
                      float *scratch, bool once) {
    for (int s = 0; s < LANE_SLOTS; s++)
        for (int64_t i = 0; i < size; i++) slots[s][i] = NAN;
    for (int64_t from = 0, to; from < c->steps.n; from = to) {
        LanePlan plan;
        float *slot[LANE_SLOTS] = {NULL};
        int64_t begins[SEQUENCES_MOST + 1];
        to = once ? c->steps.n : from + 1 + random_below(c->steps.n - from);
        for (int64_t i = from; i <= to; i++) begins[i - from] = c->steps.begins[i] - c->steps.begins[from];
        lanes_plan(&plan, c->steps.n, from, to, begins);
        for (int s = 0; s < LANE_SLOTS; s++)
            if (s < plan.held || s < plan.kept) slot[s] = slots[s];
        pass(&plan, k, c, slot, scratch, c->steps.begins[from]);
    }
}

static void pass_dw(const LanePlan *plan, const Kernels *k, const DwCase *c, float *slot[LANE_SLOTS], float *scratch,
                    int64_t from) {
    WeightGrad g = {.dy = c->dy + from * (c->outputs + 1), .x = c->x + from * (c->inputs + 2),
                    .dy_stride = c->outputs + 1, .x_stride = c->inputs + 2, .outputs = c->outputs,
                    .inputs = c->inputs, .plan = plan};
    RowPairs pairs = c->pairs;
    if (pairs.row) pairs.row += from;
    else pairs.slot += from, pairs.index += from;
    if (c->bf16) g.pairs = &pairs;
    int64_t panels = (c->outputs + PANEL - 1) / PANEL;
    memcpy(g.slot, slot, sizeof g.slot);
    for (int64_t p = 0, end; p < panels; p = end) {
        end = p + 1 + random_below(panels - p);
        for (int64_t i = 0, to; i < c->inputs; i = to) {
            to = i + 1 + random_below(c->inputs - i);
            products_dw(k, &g, p, end, i, to, scratch);
        }
    }
}

/* products_dw: law, double, tables, units, passes. */
static void dw_is_lawful(void **state) {
    const bool *bf16 = *state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    float *scratch = floats_new(products_dw_scratch());
    for (int round = 0; round < 40; round++) {
        DwCase c;
        dw_new(&c, round);
        if (*bf16) dw_in_pairs(&c, round);
        int64_t panels = (c.outputs + PANEL - 1) / PANEL, size = panels * c.inputs * PANEL;
        float *expected = floats_new(size), *slot[LANE_SLOTS];
        for (int s = 0; s < LANE_SLOTS; s++) slot[s] = floats_new(size);
        memset(expected, 0, (size_t)size * sizeof *expected);
        for (int64_t o = 0; o < c.outputs; o++)
            for (int64_t i = 0; i < c.inputs; i++) {
                float *at = &expected[(o / PANEL * c.inputs + i) * PANEL + o % PANEL];
                At a = {&c, o, i};
                double sum = 0, size_of = 0;
                lanes_law(&c.steps, chain_product, &a, 0, LANES, at);
                for (int64_t t = 0; t < c.steps.begins[c.steps.n]; t++) {
                    double term = (double)c.dy[t * (c.outputs + 1) + o] * (double)c.x[t * (c.inputs + 2) + i];
                    sum += term;
                    size_of += fabs(term);
                }
                near("dW", *at, sum, size_of, c.steps.begins[c.steps.n]);
            }
        for (int k = round % 4 == 0; k < tables; k++) {
            in_passes(&c, table[k], pass_dw, slot, size, scratch, k % 3 == 0);
            same_bits(table[k]->isa, "dW", expected, slot[0], size);
        }
        for (int s = 0; s < LANE_SLOTS; s++) free(slot[s]);
        free(expected);
        dw_free(&c);
    }
    free(scratch);
}

static VectorGrad vector_of(const LanePlan *plan, const DwCase *c, float *slot[LANE_SLOTS], int64_t from) {
    VectorGrad g = {.dy = c->dy + from * (c->outputs + 1), .x = c->x + from * (c->inputs + 2), .r = c->r + from,
                    .dy_stride = c->outputs + 1, .x_stride = c->inputs + 2, .plan = plan};
    memcpy(g.slot, slot, sizeof g.slot);
    return g;
}
static int64_t vector_columns(const DwCase *c) { return c->outputs < c->inputs ? c->outputs : c->inputs; }
static void pass_sum(const LanePlan *plan, const Kernels *k, const DwCase *c, float *slot[LANE_SLOTS], float *scratch,
                     int64_t from) {
    VectorGrad g = vector_of(plan, c, slot, from);
    for (int64_t i = 0, to, n = vector_columns(c); i < n; i = to) {
        to = i + 1 + random_below(n - i);
        products_sum(k, &g, i, to, scratch);
    }
}
static void pass_norm(const LanePlan *plan, const Kernels *k, const DwCase *c, float *slot[LANE_SLOTS], float *scratch,
                      int64_t from) {
    VectorGrad g = vector_of(plan, c, slot, from);
    products_norm_sum(k, &g, 0, vector_columns(c), scratch);
}

/* products_sum and products_norm_sum. */
static void vectors_are_lawful(void **state) {
    (void)state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    float *scratch = floats_new(products_sum_scratch());
    for (int round = 0; round < 60; round++) {
        DwCase c;
        dw_new(&c, round);
        int64_t n = vector_columns(&c);
        float *expected = floats_new(n), *slot[LANE_SLOTS];
        for (int s = 0; s < LANE_SLOTS; s++) slot[s] = floats_new(n);
        for (int k = 0; k < tables; k++)
            for (int norm = 0; norm < 2; norm++) {
                for (int64_t o = 0; o < n; o++)
                    lanes_law(&c.steps, norm ? chain_norm : chain_sum, &(At){&c, o, 0}, 0, LANES, &expected[o]);
                in_passes(&c, table[k], norm ? pass_norm : pass_sum, slot, n, scratch, k % 3 == 0);
                same_bits(table[k]->isa, norm ? "gain" : "bias", expected, slot[0], n);
            }
        for (int s = 0; s < LANE_SLOTS; s++) free(slot[s]);
        free(expected);
        dw_free(&c);
    }
    free(scratch);
}

int main(void) {
    static bool f32 = false, bf16 = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(dx_is_lawful, &f32),
        cmocka_unit_test_prestate(dx_is_lawful, &bf16),
        cmocka_unit_test_prestate(dx_of_subtrees, &f32),
        cmocka_unit_test_prestate(dx_of_subtrees, &bf16),
        cmocka_unit_test_prestate(dw_is_lawful, &f32),
        cmocka_unit_test_prestate(dw_is_lawful, &bf16),
        cmocka_unit_test(vectors_are_lawful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
