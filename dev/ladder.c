/* ladder.c: variants of a table of kernels beside each other; ladder.sh builds it with VARIANTS(V).
 *     ladder ROUNDS THREADS dot|rows|pairs TYPE ROWS[c] K[/LEAVES]
 * A round goes through all of them in turns, and through reading the same bytes, as one stream and panels side by
 * side. Printed are the median and the median of the rounds' ratios to the first variant. More rows than ROWS_DIRECT,
 * or ROWS with a c, go over a few panels that stay in cache, and are counted in operations. LEAVES: what a row-parallel
 * linear adds up in a tree, a power of two. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/base/base.h"
#include "../src/base/cpu.h"
#include "../src/cpu/kernels_select.h"

#define DECLARE(name) extern const Kernels kernels_##name;
VARIANTS(DECLARE)
#define ENTRY(name) {#name, &kernels_##name, 0},
typedef struct Variant { const char *name; const Kernels *kernels; int streams; } Variant; /* no kernels: reading */
static const Variant variants[] = {VARIANTS(ENTRY){"read", NULL, 1}, {"read, side by side", NULL, 4}};
enum { COUNT = sizeof variants / sizeof *variants, PANELS = 4, BYTES = 160 << 20, CACHED = 96 << 10 };
enum { THREADS = 2, ROUNDS_MOST = 200 };
typedef enum Kind { DOT, ROWS, PAIRS } Kind;

static Kind kind;
static PackedType type;
static int rows;
static int64_t columns, panels, step; /* panels of a thread, bytes from one to the next */
static Leaves leaves;
static bool cached;
static uint8_t *weights;
static void *acts;
static volatile uint64_t sink;

typedef struct Racer { const Variant *variant; int index; float *acc; double did; } Racer;

static void read_lines(const uint8_t *p, int64_t bytes, int streams) {
    uint64_t sum[8] = {0};
    for (int64_t i = 0; i + 64 <= bytes / streams; i += 64)
        for (int s = 0; s < streams; s++) {
            const uint64_t *line = (const void *)(p + s * (bytes / streams) + i);
            for (int j = 0; j < 8; j++) sum[j] |= line[j];
        }
    for (int j = 0; j < 8; j++) sink |= sum[j];
}

static int vectors(void) { /* of a panel's sums; rows of a quad that are not there hold anything */
    return kind == DOT && rows > 1 ? (int)quad_rows(rows) : rows;
}

static void *race(void *racer) {
    Racer *r = racer;
    const Kernels *k = r->variant->kernels;
    const uint8_t *mine = weights + r->index * panels * step;
    int64_t fit = CACHED / step / PANELS * PANELS;
    cpu_pin(r->index);
    for (int64_t p = 0; p < panels; p += PANELS) {
        const uint8_t *w = mine + (cached ? p % (fit ? fit : PANELS) : p) * step;
        memset(r->acc, 0, (size_t)(PANELS * vectors() * PANEL) * sizeof *r->acc);
        if (!k) read_lines(w, PANELS * step, r->variant->streams);
        else if (kind == DOT)
            k->dot[type](w, step, PANELS, &leaves, acts, rows > 1 ? columns / ACT_GROUP : 0, rows, r->acc);
        else if (kind == PAIRS) k->dot_pairs(w, step, PANELS, &leaves, acts, pairs_step(columns), rows, r->acc);
        else k->rows[type](w, step, PANELS, &leaves, acts, columns, rows, r->acc);
    }
    r->did = cached ? 2.0 * (double)(panels * rows * columns * PANEL) : (double)(panels * step);
    return NULL;
}

static bool same(const float *a, const float *b) {
    for (int p = 0; p < PANELS; p++, a += vectors() * PANEL, b += vectors() * PANEL)
        if (memcmp(a, b, (size_t)(rows * PANEL) * sizeof *a)) return false;
    return true;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

static void make_acts(const float *x) {
    const Kernels *k = variants[0].kernels;
    if (kind == DOT)
        for (int64_t r = 0; r < quad_rows(rows); r++) {
            Act *out = (Act *)acts + (rows > 1 ? r / QUAD * QUAD * (columns / ACT_GROUP) + r % QUAD : 0);
            k->quantise(x + (r < rows ? r : 0) * columns, columns, out, rows > 1 ? QUAD : 1);
            if (rows == 1) break;
        }
    else if (kind == PAIRS)
        for (int64_t r = 0; r < rows; r++) k->round(x + r * columns, columns, (Pair *)acts + r * pairs_step(columns));
    else memcpy(acts, x, (size_t)(rows * columns) * sizeof *x);
}

static void make_leaves(int count) {
    leaves.count = count;
    for (int l = 0; l < count; l++) {
        leaves.first[l] = columns / ACT_GROUP * l / count * ACT_GROUP;
        leaves.last[l] = columns / ACT_GROUP * (l + 1) / count * ACT_GROUP;
        leaves.adds[l] = (uint8_t)__builtin_ctz(~(unsigned)l);
    }
}

static bool arguments(char **argv) {
    kind = !strcmp(argv[3], "dot") ? DOT : !strcmp(argv[3], "pairs") ? PAIRS : ROWS;
    while (type < PACKED_COUNT && strcmp(packed_rows[type].name, argv[4])) type++;
    rows = atoi(argv[5]);
    columns = atoi(argv[6]);
    int count = strchr(argv[6], '/') ? atoi(strchr(argv[6], '/') + 1) : 1;
    if (type == PACKED_COUNT || rows < 1 || rows > 512 || columns < 128 || columns % 128) return false;
    if (count < 1 || count > LEAVES_MOST || (count & (count - 1)) || (count > 1 && rows > ROWS_DIRECT)) return false;
    make_leaves(count);
    return true;
}

int main(int argc, char **argv) {
    int rounds = argc == 7 ? atoi(argv[1]) : 0, threads = argc == 7 ? atoi(argv[2]) : 0;
    if (rounds < 1 || rounds > ROUNDS_MOST || threads < 1 || threads > THREADS || !arguments(argv)) {
        fprintf(stderr, "usage: ladder ROUNDS THREADS dot|rows|pairs TYPE ROWS[c] K[/LEAVES]\n");
        return 2;
    }
    step = packed_panel_bytes(type, columns);
    cached = rows > ROWS_DIRECT || strchr(argv[5], 'c');
    panels = cached ? 64 * (1 + 64 / rows) : BYTES / threads / step / PANELS * PANELS;
    Err err;
    size_t x_bytes = (size_t)((rows + QUAD) * (columns + 256)) * sizeof(float);
    float *x = mem_pages_new(x_bytes, "x", &err), *acc[THREADS + 1];
    weights = mem_pages_new(BYTES, "weights", &err);
    acts = mem_pages_new(2 * x_bytes, "activations", &err);
    for (int t = 0; t <= THREADS; t++)
        acc[t] = mem_pages_new((size_t)((rows + QUAD) * PANELS * PANEL) * sizeof(float), "sums", &err);
    if (!weights || !acts || !x || !acc[0] || !acc[1] || !acc[2]) return fprintf(stderr, "ladder: no memory\n"), 1;
    for (int64_t i = 0; i < BYTES; i++) weights[i] = (uint8_t)((uint64_t)i * 0x9e3779b97f4a7c15u >> 58); /* no NaN */
    for (int64_t i = 0; i < rows * columns; i++) x[i] = (float)(i % 13) - 6;
    make_acts(x);
    static double seen[COUNT][ROUNDS_MOST], ratio[COUNT][ROUNDS_MOST];
    for (int r = 0; r < rounds; r++)
        for (int v = 0; v < COUNT; v++) {
            Racer racer[THREADS] = {{&variants[v], 0, acc[0], 0}, {&variants[v], 1, acc[1], 0}};
            pthread_t id[THREADS]; /* this thread stays free to move, or the second would start behind it */
            double start = clock_seconds();
            for (int t = 0; t < threads; t++)
                if (pthread_create(&id[t], NULL, race, &racer[t])) return fprintf(stderr, "ladder: no thread\n"), 1;
            for (int t = 0; t < threads; t++) pthread_join(id[t], NULL);
            seen[v][r] = (racer[0].did + racer[1].did) / (clock_seconds() - start) / 1e9;
            ratio[v][r] = seen[v][r] / seen[0][r];
            if (v == 0) memcpy(acc[THREADS], acc[0], (size_t)(PANELS * vectors() * PANEL) * sizeof(float));
            else if (variants[v].kernels && !same(acc[0], acc[THREADS]))
                return fprintf(stderr, "ladder: %s gives other bits than %s\n", variants[v].name, variants[0].name), 1;
        }
    for (int v = 0; v < COUNT; v++)
        printf("%-18s %7.2f %s %6.3f\n", variants[v].name, median(seen[v], rounds), cached ? "GFLOP/s" : "GB/s",
               median(ratio[v], rounds));
    return 0;
}
