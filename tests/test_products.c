/* test_products.c: the products of the backward pass and the gradient of attention: near sums in double, and the
 * same bits with every table of kernels, however rows, columns and panels are dealt, and however a step is cut into passes. */
#include "kernel_checks.h"
#include "../src/ops/attention_grad.h"
#include "../src/ops/products.h"

static float *floats_new(int64_t n) {
    float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}
static float *random_floats(int64_t n) {
    float *p = floats_new(n);
    for (int64_t i = 0; i < n; i++) p[i] = random_float();
    return p;
}

/* A sum of `n` products of numbers below 8, in f32, against one in double. */
static void near(const char *what, float got, double expected, double size, int64_t n) {
    double bound = size * (double)(n + 4) * 0x1p-24 + 1e-30;
    if (!(fabs((double)got - expected) <= bound))
        fail_msg("%s: %.9g, expected %.9g within %.3g", what, (double)got, expected, bound);
}

/* Every table, the plain template first. */
enum { TABLES_MOST = 8 };
static int all_tables(const Kernels *out[TABLES_MOST]) {
    int n = 0;
    out[n++] = &kernels_reference;
    out[n++] = &kernels_plain;
    for (int i = 1; kernels_name(i) && n < TABLES_MOST; i++) {
        const Kernels *k = kernels_select(kernels_name(i), NULL);
        if (k) out[n++] = k;
    }
    return n;
}

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

enum { PAIRS_MOST = 3, LEAF_LEVELS_MOST = 5 };

typedef struct DxCase {
    int64_t rows, columns;
    int pairs, levels;
    PackedWeight weight[PAIRS_MOST];
    uint8_t *panels[PAIRS_MOST];
    float *dy[PAIRS_MOST], *dense[PAIRS_MOST]; /* dense: [o][columns] as unpacked */
    Range leaf[PAIRS_MOST][1 << LEAF_LEVELS_MOST];
    BackPair pair[PAIRS_MOST];
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
    for (int p = 0; p < c->pairs; p++) {
        int64_t outputs = 1 + random_below(round % 3 == 0 ? 300 : 70), leaves = 1 << c->levels;
        fill_weight(c, p, type, outputs);
        c->dy[p] = random_floats(c->rows * (outputs + 3));
        for (int64_t l = 0, at = 0; l < leaves; l++) { /* anywhere, some empty, all columns taken */
            int64_t end = l == leaves - 1 ? outputs : at + random_below(2 * outputs / leaves + 2);
            end = end < outputs ? end : outputs;
            if (random_below(4) == 0 && l < leaves - 1) end = at;
            c->leaf[p][l] = (Range){at, end};
            at = end;
        }
        c->pair[p] = (BackPair){c->dy[p], outputs + 3, &c->weight[p], c->levels || round % 2 ? c->leaf[p] : NULL};
    }
}

static void dx_free(DxCase *c) {
    for (int p = 0; p < c->pairs; p++) free(c->panels[p]), free(c->dense[p]), free(c->dy[p]);
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
    for (int p = 0; p < c->pairs; p++)
        for (int64_t o = c->leaf[p][index].first; o < c->leaf[p][index].last; o++, some = true)
            *out = fmaf(c->dy[p][t * (c->weight[p].rows + 3) + o], c->dense[p][o * c->columns + i], *out);
    return some;
}

static void check_dx_near(const DxCase *c, const float *y) {
    for (int64_t t = 0; t < c->rows; t += 1 + random_below(7))
        for (int64_t i = 0; i < c->columns; i++) {
            double sum = 0, size = 0;
            int64_t n = 0;
            for (int p = 0; p < c->pairs; p++)
                for (int64_t o = 0; o < c->weight[p].rows; o++, n++) {
                    double term = (double)c->dy[p][t * (c->weight[p].rows + 3) + o] *
                                  (double)c->dense[p][o * c->columns + i];
                    sum += term;
                    size += fabs(term);
                }
            near("dx", y[t * (c->columns + 5) + i], sum, size, n);
        }
}

/* products_dx: law, double, tables, and cuts into rows and columns. What lies outside is not touched. */
static void dx_is_lawful(void **state) {
    (void)state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    for (int round = 0; round < 60; round++) {
        DxCase c;
        dx_new(&c, round);
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
    (void)state;
    for (int round = 0; round < 40; round++) {
        DxCase c;
        dx_new(&c, round);
        if (!c.levels) c.levels = 1, c.leaf[0][1] = c.leaf[1][1] = c.leaf[2][1] = (Range){0, 0};
        for (int p = 0; p < c.pairs; p++) c.pair[p].leaf = c.leaf[p];
        int64_t n = c.rows * c.columns;
        float *whole = floats_new(n), *left = floats_new(n), *right = floats_new(n),
              *scratch = floats_new(products_dx_scratch(c.levels));
        BackSum sum = {.pair = c.pair, .pairs = c.pairs, .level = c.levels};
        products_dx(&kernels_plain, &sum, 0, c.rows, 0, c.columns, whole, c.columns, scratch);
        bool there[2] = {false, false};
        for (int p = 0; p < c.pairs; p++)
            for (int l = 0; l < 1 << c.levels; l++)
                there[l >> (c.levels - 1)] |= c.leaf[p][l].first < c.leaf[p][l].last;
        sum.level--;
        products_dx(&kernels_plain, &sum, 0, c.rows, 0, c.columns, left, c.columns, scratch);
        sum.index = 1;
        for (int p = 0; p < c.pairs; p++) { /* panels from the first that is needed on */
            int64_t first = c.weight[p].rows;
            for (int l = 1 << (c.levels - 1); l < 1 << c.levels; l++)
                if (c.leaf[p][l].first < c.leaf[p][l].last && c.leaf[p][l].first < first) first = c.leaf[p][l].first;
            c.weight[p].first_panel = first / PANEL;
            c.weight[p].data += first / PANEL * c.weight[p].panel_bytes;
        }
        products_dx(&kernels_plain, &sum, 0, c.rows, 0, c.columns, right, c.columns, scratch);
        if (there[0] && there[1]) kernels_reference.add(left, right, n, left);
        same_bits("plain", "subtrees", whole, there[0] ? left : right, n);
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
} DwCase;
static void dw_new(DwCase *c, int round) {
    steps_new(&c->steps, round);
    int64_t rows = c->steps.begins[c->steps.n];
    c->outputs = 1 + random_below(round % 3 ? 50 : 300);
    c->inputs = 1 + random_below(round % 3 == 1 ? 330 : 40);
    c->dy = random_floats(rows * (c->outputs + 1) + 1);
    c->x = random_floats(rows * (c->inputs + 2) + 1);
    c->r = random_floats(rows + 1);
}
static void dw_free(DwCase *c) { free(c->dy), free(c->x), free(c->r); }

typedef struct At { const DwCase *c; int64_t o, i; } At;
static float chain_product(const void *v, int64_t t, float sum) {
    const At *a = v;
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
    (void)state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    float *scratch = floats_new(products_dw_scratch());
    for (int round = 0; round < 40; round++) {
        DwCase c;
        dw_new(&c, round);
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

/* ---- Attention --------------------------------------------------------------------------------------------------- */

/* A head: q, k, v and the output's gradient in f32; o and stats from the kernel over a cache of its keys and values. */
typedef struct HeadCase {
    int64_t rows, channels, window, stride;
    float scale, *in[5], *stats, *out[3]; /* in: q, k, v, o, d_out; out: dq, dk, dv */
} HeadCase;

static void head_forward(HeadCase *c) {
    int64_t blocks = (c->rows + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK, half = ATTENTION_BLOCK * c->channels;
    float *cache = floats_new(blocks * 2 * half), *scratch = floats_new(attention_scratch(1, c->channels));
    int32_t *page = malloc((size_t)blocks * sizeof *page);
    memset(cache, 0, (size_t)(blocks * 2 * half) * sizeof *cache);
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < c->channels; i++) {
            float *keys = cache + t / ATTENTION_BLOCK * 2 * half;
            int64_t p = t % ATTENTION_BLOCK;
            keys[(p / K_BLOCK * c->channels + i) * K_BLOCK + p % K_BLOCK] = c->in[1][t * c->stride + i];
            keys[half + p * c->channels + i] = c->in[2][t * c->stride + i];
        }
    for (int64_t b = 0; b < blocks; b++) page[b] = (int32_t)b;
    for (int64_t t = 0; t < c->rows; t++) {
        AttentionRow row = {.q = c->in[0] + t * c->stride, .out = c->in[3] + t * c->stride, .page = page,
                            .first = c->window && t >= c->window ? t - c->window + 1 : 0, .last = t + 1,
                            .stats = c->stats + 2 * t};
        AttentionCall call = {.row = &row, .rows = 1, .heads = 1, .cache = (const uint8_t *)cache,
                              .channels = c->channels, .scale = c->scale, .scratch = scratch};
        kernels_reference.attention[CACHE_F32](&call);
    }
    free(cache), free(scratch), free(page);
}

static void head_new(HeadCase *c, int64_t rows, int64_t channels, int64_t window) {
    *c = (HeadCase){.rows = rows, .channels = channels, .window = window, .stride = channels + 3, .scale = 0.23f};
    for (int i = 0; i < 5; i++) c->in[i] = random_floats(rows * c->stride);
    for (int i = 0; i < 3; i++) c->out[i] = floats_new(rows * c->stride);
    c->stats = floats_new(2 * rows);
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < rows * c->stride; j++) c->out[i][j] = -7;
    head_forward(c);
}
static void head_free(HeadCase *c) {
    for (int i = 0; i < 5; i++) free(c->in[i]);
    for (int i = 0; i < 3; i++) free(c->out[i]);
    free(c->stats);
}

static void head_grad(const HeadCase *c, const Kernels *k, float *const out[3]) {
    int64_t n = attention_grad_scratch(c->rows, c->channels);
    float *scratch = floats_new(n);
    for (int64_t i = 0; i < n; i++) scratch[i] = NAN;
    AttentionGrad a = {.stats = c->stats, .stats_step = 2, .rows = c->rows, .channels = c->channels,
                       .window = c->window, .scale = c->scale, .scratch = scratch};
    a.q = (HeadRows){c->in[0], c->stride}, a.k = (HeadRows){c->in[1], c->stride};
    a.v = (HeadRows){c->in[2], c->stride}, a.o = (HeadRows){c->in[3], c->stride};
    a.d_out = (HeadRows){c->in[4], c->stride};
    a.dq = (HeadGrad){out[0], c->stride}, a.dk = (HeadGrad){out[1], c->stride};
    a.dv = (HeadGrad){out[2], c->stride};
    attention_grad(k, &a);
    free(scratch);
}

/* The loss sum(o * d_out) in double, for q, k and v as they are. */
static double head_loss(const HeadCase *c, double *const in[3]) {
    double loss = 0, *p = malloc((size_t)c->rows * sizeof *p);
    for (int64_t t = 0; t < c->rows; t++) {
        int64_t first = c->window && t >= c->window ? t - c->window + 1 : 0;
        double sum = 0;
        for (int64_t j = first; j <= t; j++) {
            double s = 0;
            for (int64_t i = 0; i < c->channels; i++)
                s += in[0][t * c->channels + i] * in[1][j * c->channels + i];
            sum += p[j] = exp(s * (double)c->scale);
        }
        for (int64_t j = first; j <= t; j++)
            for (int64_t i = 0; i < c->channels; i++)
                loss += p[j] / sum * in[2][j * c->channels + i] * (double)c->in[4][t * c->stride + i];
    }
    free(p);
    return loss;
}

/* Against finite differences of the forward pass in double. */
static void attention_grad_is_a_gradient(void **state) {
    (void)state;
    static const struct { int64_t rows, channels, window; } cases[] = {{1, 2, 0},  {5, 4, 0},   {67, 6, 0},
                                                                       {70, 10, 9}, {40, 18, 1}, {140, 2, 70}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        HeadCase c;
        double *in[3];
        head_new(&c, cases[n].rows, cases[n].channels, cases[n].window);
        head_grad(&c, &kernels_reference, c.out);
        for (int a = 0; a < 3; a++) {
            in[a] = malloc((size_t)(c.rows * c.channels) * sizeof(double));
            for (int64_t i = 0; i < c.rows * c.channels; i++)
                in[a][i] = (double)c.in[a][i / c.channels * c.stride + i % c.channels];
        }
        for (int a = 0; a < 3; a++)
            for (int64_t i = 0; i < c.rows * c.channels; i += 1 + random_below(c.rows)) {
                double h = 1e-5, x = in[a][i], up, down;
                in[a][i] = x + h;
                up = head_loss(&c, in);
                in[a][i] = x - h;
                down = head_loss(&c, in);
                in[a][i] = x;
                double expected = (up - down) / (2 * h);
                double got = (double)c.out[a][i / c.channels * c.stride + i % c.channels];
                if (fabs(got - expected) > 2e-4 + 1e-4 * fabs(expected))
                    fail_msg("rows %lld, input %d, element %lld: %g, finite difference %g", (long long)c.rows, a,
                             (long long)i, got, expected);
            }
        for (int a = 0; a < 3; a++) free(in[a]);
        head_free(&c);
    }
}

/* The law of attention_grad.h, written out. Terms that are not seen are zeros and change nothing. */
static void head_law(const HeadCase *c, float *const out[3]) {
    float *p = malloc((size_t)(c->rows * c->rows) * sizeof *p), *ds = malloc((size_t)(c->rows * c->rows) * sizeof *p);
    int64_t n = c->rows, stride = c->stride;
    for (int64_t t = 0; t < n; t++) {
        float d = kernels_reference.product_sum(c->in[3] + t * stride, c->in[4] + t * stride, c->channels);
        for (int64_t j = 0; j < n; j++) {
            float s = 0, dp = 0;
            for (int64_t i = 0; i < c->channels; i++) {
                s = fmaf(c->in[0][t * stride + i], c->in[1][j * stride + i], s);
                dp = fmaf(c->in[4][t * stride + i], c->in[2][j * stride + i], dp);
            }
            bool seen = j <= t && (!c->window || j > t - c->window);
            p[t * n + j] = seen ? exp_f32(s * c->scale - c->stats[2 * t]) / c->stats[2 * t + 1] : 0;
            ds[t * n + j] = seen ? p[t * n + j] * (dp - d) : 0;
        }
    }
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < c->channels; i++) {
            float dq = 0, dk = 0, dv = 0;
            for (int64_t j = 0; j < n; j++) {
                dq = fmaf(ds[t * n + j], c->in[1][j * stride + i], dq);
                dk = fmaf(ds[j * n + t], c->in[0][j * stride + i], dk);
                dv = fmaf(p[j * n + t], c->in[4][j * stride + i], dv);
            }
            out[0][t * stride + i] = dq * c->scale;
            out[1][t * stride + i] = dk * c->scale;
            out[2][t * stride + i] = dv;
        }
    free(p), free(ds);
}

/* A row's P sums to 1, with every table; dq, dk, dv have the law's bits, and nothing between rows is touched. */
static void attention_grad_is_lawful(void **state) {
    (void)state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    static const int64_t channels[] = {2, 16, 10, 64, 30, 80};
    for (int round = 0; round < 24; round++) {
        HeadCase c;
        float *expected[3], *got[3];
        int64_t rows = 1 + random_below(round % 3 ? 90 : 260);
        head_new(&c, rows, channels[round % 6], round % 4 == 1 ? 1 + random_below(100) : 0);
        for (int a = 0; a < 3; a++) {
            expected[a] = floats_new(rows * c.stride), got[a] = floats_new(rows * c.stride);
            memcpy(expected[a], c.out[a], (size_t)(rows * c.stride) * sizeof(float));
        }
        head_law(&c, expected);
        for (int k = 0; k < tables; k++) {
            for (int a = 0; a < 3; a++) memcpy(got[a], c.out[a], (size_t)(rows * c.stride) * sizeof(float));
            head_grad(&c, table[k], got);
            static const char *const names[] = {"dq", "dk", "dv"};
            for (int a = 0; a < 3; a++) same_bits(table[k]->isa, names[a], expected[a], got[a], rows * c.stride);
        }
        for (int a = 0; a < 3; a++) free(expected[a]), free(got[a]);
        head_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dx_is_lawful),
        cmocka_unit_test(dx_of_subtrees),
        cmocka_unit_test(dw_is_lawful),
        cmocka_unit_test(vectors_are_lawful),
        cmocka_unit_test(attention_grad_is_a_gradient),
        cmocka_unit_test(attention_grad_is_lawful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
