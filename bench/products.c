/* products.c: how fast the three products of a linear are, forward, dx and dW, and the backward pass of attention, next
 * to the peak of fused multiply-adds of one core, in turns, since other programs and guests move both. One thread, by
 * its own clock of the CPU; best and median are printed.
 *     build/bench/products [REPETITIONS [WORD [ISA [bf16]]]]
 * (7; only products whose name has the word; "" the best; operands in bf16, next to the peak of their products) */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../src/base/cpu.h"
#include "../src/cpu/kernels_select.h"
#include "../src/ops/attention_grad.h"
#include "../src/ops/call.h"
#include "../src/ops/products.h"

enum { REPETITIONS_MOST = 99, ITEMS_MOST = 100, PAIRS_MOST = 3 };
/* Most floats of an activation, of a weight and of scratch. */
enum { ROWS_MOST = 2048, VOCAB = 49152, X_MOST = ROWS_MOST * VOCAB / 4, W_MOST = VOCAB * 896, SCRATCH = 8 << 20 };

typedef enum Tree3 { NO_TREE, HEADS, RANGES, PANELS } Tree3;
typedef struct Item Item;
struct Item {
    const char *name;
    double (*run)(const Item *item); /* returns flops */
    int64_t rows, outputs[PAIRS_MOST], inputs;
    Tree3 tree;
    double seen[REPETITIONS_MOST];
};

static const Kernels *kernels;
static bool bf16;
static float *dy, *x, *y, *weights, *scratch;
static Pair *pairs; /* of the rows at hand: the engine makes them once for all who read them */
static Blocking blocking;

static int64_t pairs_of(const float *from, int64_t rows, int64_t columns, Pair *to) {
    for (int64_t t = 0; t < rows; t++) kernels->round(from + t * columns, columns, to + t * pairs_step(columns));
    return rows * pairs_step(columns);
}

static PackedWeight weight_of(int64_t outputs, int64_t inputs, int64_t panel) {
    int64_t bytes = packed_panel_bytes(PACKED_F32, inputs);
    return (PackedWeight){.type = PACKED_F32, .rows = outputs, .k = inputs, .panel_bytes = bytes,
                          .panels = (outputs + PANEL - 1) / PANEL, .columns = inputs,
                          .data = (const uint8_t *)weights + panel * bytes};
}

static double run_forward(const Item *item) {
    static const Graph graph = {.trains = true};
    PackedWeight w = weight_of(item->outputs[0], item->inputs, 0);
    StepRows step = {.rows = item->rows};
    Call call = {.kernels = kernels, .step = &step, .row1 = item->rows, .columns = {0, w.rows}, .in = {x},
                 .out = y, .in_width = {item->inputs}, .out_width = w.rows, .scratch = scratch,
                 .graph = &graph, .matrix = {.weight = &w, .blocking = &blocking}};
    if (bf16) {
        call.matrix.act = ACT_BF16, call.matrix.acts = pairs, call.matrix.acts_step = pairs_step(item->inputs);
        pairs_of(x, item->rows, item->inputs, pairs);
    }
    for (int64_t u = 0; u < w.panels; u += 8) linear_row.run(&call, u, u + 8 < w.panels ? u + 8 : w.panels);
    return 2.0 * (double)item->rows * (double)(w.rows * w.k);
}

/* Heads of 64 channels, ranges of ffn, panels of the vocabulary. */
static bool tree_of(const Item *item, int64_t outputs, Tree *tree, Err *err) {
    int64_t group = outputs == item->outputs[0] ? outputs / 192 : 1;
    if (item->tree == HEADS) return tree_grid(tree, 3, group, 64, err);
    return item->tree == RANGES ? tree_ranges(tree, outputs, err) : tree_panels(tree, outputs, err);
}

static double run_dx(const Item *item) {
    static Range leaf[PAIRS_MOST][1 << 16];
    Err err = {0};
    PackedWeight w[PAIRS_MOST];
    BackPair pair[PAIRS_MOST];
    BackSum sum = {.pair = pair};
    double flops = 0;
    int64_t paired = 0;
    for (int64_t panel = 0, at = 0; sum.pairs < PAIRS_MOST && item->outputs[sum.pairs]; sum.pairs++) {
        int64_t outputs = item->outputs[sum.pairs];
        w[sum.pairs] = weight_of(outputs, item->inputs, panel);
        pair[sum.pairs] = (BackPair){.dy = dy + at, .dy_stride = outputs, .weight = &w[sum.pairs]};
        if (bf16) {
            pair[sum.pairs].pairs = pairs + paired;
            pair[sum.pairs].dy_stride = pairs_step(outputs);
            paired += pairs_of(dy + at, item->rows, outputs, pairs + paired);
        }
        panel += w[sum.pairs].panels;
        at += item->rows * outputs;
        flops += 2.0 * (double)item->rows * (double)(outputs * item->inputs);
        if (item->tree == NO_TREE) continue;
        Tree tree;
        if (!tree_of(item, outputs, &tree, &err)) exit(1);
        if (tree.levels > sum.level) sum.level = tree.levels;
        for (int l = 0; l < 1 << sum.level; l++) { /* a key/value head is with its first query head */
            int small = l >> (sum.level - tree.levels);
            bool first = l == small << (sum.level - tree.levels);
            leaf[sum.pairs][l] = first ? (Range){tree.first[small], tree.last[small]} : (Range){0, 0};
        }
        pair[sum.pairs].leaf = leaf[sum.pairs];
        tree_free(&tree);
    }
    products_dx(kernels, &sum, 0, item->rows, 0, item->inputs, y, item->inputs, scratch);
    return flops;
}

static double run_dw(const Item *item) {
    int64_t outputs = item->outputs[0], panels = (outputs + PANEL - 1) / PANEL;
    LanePlan plan = {.count = 1, .run = {{.last = item->rows, .fresh = true}}, .kept = 1};
    WeightGrad g = {.dy = dy, .x = x, .dy_stride = outputs, .x_stride = item->inputs, .outputs = outputs,
                    .inputs = item->inputs, .plan = &plan, .slot = {weights}};
    static int64_t index[ROWS_MOST];
    static int32_t slot[ROWS_MOST];
    for (int64_t t = 0; t < item->rows; t++) index[t] = t;
    RowPairs rows = {.slot = slot, .index = index};
    if (bf16) g.pairs = &rows;
    products_dw(kernels, &g, 0, panels, 0, item->inputs, scratch);
    return 2.0 * (double)item->rows * (double)(outputs * item->inputs);
}

/* Flops of what is seen: 5 products of half a square. */
static double run_attention(const Item *item) {
    int64_t c = item->inputs, n = item->rows * c;
    AttentionGrad a = {.q = {x, c}, .k = {x + n, c}, .v = {x + 2 * n, c}, .o = {x + 3 * n, c}, .d_out = {dy, c},
                       .stats = dy + n, .stats_step = 2, .rows = item->rows, .channels = c, .scale = 0.1f,
                       .dq = {y, c}, .dk = {y + n, c}, .dv = {y + 2 * n, c}, .scratch = scratch};
    attention_grad(kernels, &a);
    return 5.0 * (double)(item->rows * (item->rows + 1) * c);
}

static Item items[ITEMS_MOST] = {
    {"forward 576 x 576", run_forward, 512, {576}, 576, NO_TREE, {0}},
    {"forward 1536 x 576", run_forward, 512, {1536}, 576, NO_TREE, {0}},
    {"forward 576 x 1536", run_forward, 512, {576}, 1536, NO_TREE, {0}},
    {"forward 576 x 1536, 2048 rows", run_forward, 2048, {576}, 1536, NO_TREE, {0}},
    {"forward 4864 x 896", run_forward, 512, {4864}, 896, NO_TREE, {0}},
    {"forward 896 x 4864", run_forward, 512, {896}, 4864, NO_TREE, {0}},
    {"forward 49152 x 576", run_forward, 512, {VOCAB}, 576, NO_TREE, {0}},
    {"dx 576 x 576", run_dx, 512, {576}, 576, NO_TREE, {0}},
    {"dx qkv x 576, heads", run_dx, 512, {576, 192, 192}, 576, HEADS, {0}},
    {"dx 2 x 1536 x 576, ranges", run_dx, 512, {1536, 1536}, 576, RANGES, {0}},
    {"dx 576 x 1536", run_dx, 512, {576}, 1536, NO_TREE, {0}},
    {"dx 576 x 1536, 2048 rows", run_dx, 2048, {576}, 1536, NO_TREE, {0}},
    {"dx 2 x 4864 x 896, ranges", run_dx, 512, {4864, 4864}, 896, RANGES, {0}},
    {"dx 896 x 4864", run_dx, 512, {896}, 4864, NO_TREE, {0}},
    {"dx 49152 x 576", run_dx, 512, {VOCAB}, 576, NO_TREE, {0}},
    {"dx 49152 x 576, panels", run_dx, 512, {VOCAB}, 576, PANELS, {0}},
    {"dw 576 x 576", run_dw, 512, {576}, 576, NO_TREE, {0}},
    {"dw 1536 x 576", run_dw, 512, {1536}, 576, NO_TREE, {0}},
    {"dw 576 x 1536", run_dw, 512, {576}, 1536, NO_TREE, {0}},
    {"dw 576 x 1536, 2048 rows", run_dw, 2048, {576}, 1536, NO_TREE, {0}},
    {"dw 4864 x 896", run_dw, 512, {4864}, 896, NO_TREE, {0}},
    {"dw 896 x 4864", run_dw, 512, {896}, 4864, NO_TREE, {0}},
    {"dw 49152 x 576", run_dw, 512, {VOCAB}, 576, NO_TREE, {0}},
    {"attention 512 x 64", run_attention, 512, {0}, 64, NO_TREE, {0}},
    {"attention 2048 x 64", run_attention, 2048, {0}, 64, NO_TREE, {0}},
};

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* Uniform in -1 .. 1, another for every element: equal or subnormal numbers would distort times. */
static float *floats_new(int64_t n, Err *err) {
    float *p = mem_pages_new((size_t)n * sizeof *p, "numbers", err);
    uint32_t state = 1;
    for (int64_t i = 0; p && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return p;
}

int main(int argc, char **argv) {
    Err err = {0};
    int64_t repetitions = 7;
    if (argc > 1 && !parse_int(argv[1], 1, REPETITIONS_MOST, &repetitions)) {
        fprintf(stderr, "products: repetitions are 1 to %d, got '%s'\n", REPETITIONS_MOST, argv[1]);
        return 2;
    }
    kernels = kernels_select(argc > 3 && *argv[3] ? argv[3] : NULL, &err);
    bf16 = argc > 4 && !strcmp(argv[4], "bf16");
    if (kernels) dy = floats_new(X_MOST, &err);
    if (dy) x = floats_new(ROWS_MOST * 4864, &err);
    if (x) y = floats_new(X_MOST, &err);
    if (y) weights = floats_new(W_MOST, &err);
    if (weights) scratch = floats_new(SCRATCH, &err);
    if (scratch) pairs = mem_pages_new((size_t)X_MOST * sizeof *pairs, "pairs", &err);
    if (!pairs) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    blocking = linear_blocking(cpu_caches());
    double peak[REPETITIONS_MOST];
    cpu_pin(0);
    for (int r = 0; r < repetitions; r++) {
        peak[r] = (bf16 ? cpu_pair_peak : cpu_fma_peak)(1, 0.2, &err);
        for (Item *item = items; item->name; item++) {
            if (argc > 2 && !strstr(item->name, argv[2])) continue;
            double start = thread_seconds(), flops = item->run(item);
            item->seen[r] = flops / (thread_seconds() - start);
        }
    }
    qsort(peak, (size_t)repetitions, sizeof *peak, by_value);
    double top = peak[repetitions - 1]; /* it goes by the clock, not by the thread's own time */
    printf("%-32s %9s %9s  GFLOP/s, %s\n", "one thread", "best", "median", kernels->isa);
    printf("%-32s %9.1f\n", bf16 ? "peak of bf16 products" : "fused multiply-add peak", top / 1e9);
    for (Item *item = items; item->name; item++) {
        qsort(item->seen, (size_t)repetitions, sizeof *item->seen, by_value);
        double best = item->seen[repetitions - 1], median = item->seen[repetitions / 2];
        if (best > 0)
            printf("%-32s %9.1f %9.1f  %3.0f %% %3.0f %%\n", item->name, best / 1e9, median / 1e9, 100 * best / top,
                   100 * median / top);
    }
    return 0;
}
