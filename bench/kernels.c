/* kernels.c: how fast each kernel is next to what the machine can do: read bandwidth and peak of fused multiply-adds,
 * from the same run. Repetitions are interleaved, since other guests move the limits; best and median are printed.
 *     build/bench/kernels [REPETITIONS [WORD]]     (9; only kernels whose name has the word) */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "../src/base/cpu.h"
#include "../src/cpu/kernels_select.h"
#include "../src/ops/call.h"

enum { K = 3584, THREADS = 2, BYTES = 96 << 20, PANELS = 4, REPETITIONS_MOST = 99 };
enum { LIMITS = 3 }; /* ways of reading, side by side in the list */
enum { DOT_COUNT = 512, PAIR_COUNT = 1024, TILE_COUNT = 128, TILE_ROWS = 128 };
enum { HEADS = 7, CHANNELS = 128, POSITIONS = 256 };

/* One thing to time: `run` does the share of one thread and returns the bytes (or flops) it did. */
typedef struct Item Item;
struct Item {
    char name[40];
    const char *isa, *unit;     /* GB/s or GFLOP/s */
    double (*run)(const Item *item, int thread);
    const Kernels *kernels;
    int type, rows, threads;
    int limit; /* this one is a share of the best item of its threads from here up to LIMITS; -1: of none */
    double seen[REPETITIONS_MOST];
};

static uint8_t *weights[PACKED_COUNT];
static Quad *quads;            /* [TILE_ROWS / 4][K / 32] */
static Act acts[K / ACT_GROUP]; /* of a lone row */
static Pair *pairs; /* [TILE_ROWS][pairs_step(K)] */
static float *xs, *scratch[THREADS];
static volatile uint64_t sink;

/* ---- The limits -------------------------------------------------------------------------------------------------- */

/* Reads `streams` parts of the memory side by side: which number is fastest differs between CPUs. */
#if defined(__x86_64__)
#define READ(streams)                                                                                                  \
    __attribute__((target("avx2"))) static double read_##streams(const Item *item, int thread) {                       \
        const int64_t bytes = BYTES / item->threads / streams / 128 * 128;                                             \
        const uint8_t *p = weights[PACKED_F32] + thread * bytes * streams;                                             \
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;                                                       \
        for (int64_t i = 0; i < bytes; i += 128) _Pragma("GCC unroll 4") for (int s = 0; s < streams; s++) {           \
                const __m256i *line = (const void *)(p + s * bytes + i);                                               \
                a = _mm256_or_si256(a, _mm256_load_si256(line));                                                       \
                b = _mm256_or_si256(b, _mm256_load_si256(line + 1));                                                   \
                c = _mm256_or_si256(c, _mm256_load_si256(line + 2));                                                   \
                d = _mm256_or_si256(d, _mm256_load_si256(line + 3));                                                   \
            }                                                                                                          \
        a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));                                             \
        sink = (uint64_t)_mm256_extract_epi64(a, 0);                                                                   \
        return (double)(bytes * streams);                                                                              \
    }
#else
#define READ(streams)                                                                                                  \
    static double read_##streams(const Item *item, int thread) {                                                       \
        const int64_t words = BYTES / item->threads / streams / 64 * 8;                                                \
        const uint64_t *p = (const uint64_t *)weights[PACKED_F32] + thread * words * streams;                          \
        uint64_t sum[8] = {0};                                                                                         \
        for (int64_t i = 0; i < words; i += 8)                                                                         \
            for (int s = 0; s < streams; s++)                                                                          \
                for (int j = 0; j < 8; j++) sum[j] |= p[s * words + i + j];                                            \
        for (int j = 1; j < 8; j++) sum[0] |= sum[j];                                                                  \
        sink = sum[0];                                                                                                 \
        return (double)(words * streams) * 8;                                                                          \
    }
#endif
READ(1)
READ(2)
READ(4)

enum { PEAK_ROUNDS = 2000000, CHAINS = 12 };
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static double peak_avx2(const Item *item, int thread) {
    (void)item, (void)thread;
    __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f), s[CHAINS];
    for (int i = 0; i < CHAINS; i++) s[i] = _mm256_set1_ps((float)i);
    for (int n = 0; n < PEAK_ROUNDS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm256_fmadd_ps(s[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm256_add_ps(s[0], s[i]);
    sink = (uint64_t)_mm256_cvtss_f32(s[0]);
    return 16.0 * CHAINS * PEAK_ROUNDS;
}
__attribute__((target("avx512f"))) static double peak_avx512(const Item *item, int thread) {
    (void)item, (void)thread;
    __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f), s[CHAINS];
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_ps((float)i);
    for (int n = 0; n < PEAK_ROUNDS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm512_fmadd_ps(s[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    sink = (uint64_t)_mm512_cvtss_f32(s[0]);
    return 32.0 * CHAINS * PEAK_ROUNDS;
}
/* Products of bytes summed in 32 bits, counted as two operations each. */
__attribute__((target("avx512f,avx512vnni"))) static double peak_vnni(const Item *item, int thread) {
    (void)item, (void)thread;
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5), s[CHAINS];
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_epi32(i);
    for (int n = 0; n < PEAK_ROUNDS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm512_dpbusd_epi32(s[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_epi32(s[0], s[i]);
    sink = (uint64_t)_mm512_cvtsi512_si32(s[0]);
    return 128.0 * CHAINS * PEAK_ROUNDS;
}
/* Pairs of bf16, four operations each. */
__attribute__((target("avx512f,avx512bf16"))) static double peak_bf16(const Item *item, int thread) {
    (void)item, (void)thread;
    __m512i bits = _mm512_set1_epi16(0x3f00);
    __m512bh a = (__m512bh)bits;
    __m512 s[CHAINS];
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_ps((float)i);
    for (int n = 0; n < PEAK_ROUNDS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm512_dpbf16_ps(s[i], a, a);
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    sink = (uint64_t)_mm512_cvtss_f32(s[0]);
    return 64.0 * CHAINS * PEAK_ROUNDS;
}
#endif
static double peak_plain(const Item *item, int thread) { /* what the compiler makes of products and sums */
    (void)item, (void)thread;
    float s[32];
    for (int i = 0; i < 32; i++) s[i] = (float)i;
    for (int n = 0; n < PEAK_ROUNDS / 10; n++)
        for (int i = 0; i < 32; i++) s[i] = s[i] * 0.999f + 1e-3f;
    for (int i = 1; i < 32; i++) s[0] += s[i];
    sink = (uint64_t)s[0];
    return 64.0 * (PEAK_ROUNDS / 10);
}

/* ---- The kernels ------------------------------------------------------------------------------------------------- */

static double run_rows(const Item *item, int thread) {
    PackedType type = (PackedType)item->type;
    int64_t bytes = packed_panel_bytes(type, K), panels = BYTES / bytes / item->threads / PANELS * PANELS;
    const uint8_t *w = weights[type] + thread * panels * bytes;
    float *acc = scratch[thread];
    Leaves whole;
    leaves_one(&whole, 0, K);
    for (int64_t p = 0; p < panels; p += PANELS) {
        memset(acc, 0, (size_t)(PANELS * item->rows * PANEL) * sizeof *acc);
        item->kernels->rows[type](w + p * bytes, bytes, PANELS, &whole, xs, K, item->rows, acc);
    }
    return (double)(panels * bytes);
}

static double run_unpack(const Item *item, int thread) {
    PackedType type = (PackedType)item->type;
    int64_t bytes = packed_panel_bytes(type, K), panels = BYTES / 8 / bytes;
    for (int64_t p = 0; p < panels; p++)
        for (int64_t k = 0; k < K; k += TILE_COUNT)
            item->kernels->unpack[type](weights[type] + p * bytes, k, k + TILE_COUNT, scratch[thread]);
    return (double)(panels * bytes);
}

/* Activations in 8 bits: one row streams the weights; many go over a few panels that stay in the L2 cache. */
static double run_dot(const Item *item, int thread) {
    PackedType type = (PackedType)item->type;
    bool tile = item->rows > ROWS_DIRECT;
    int64_t bytes = packed_panel_bytes(type, K), panels = tile ? 8 : BYTES / bytes / item->threads / PANELS * PANELS;
    if (item->kernels == &kernels_reference) panels = 1;
    const uint8_t *w = weights[type] + (tile ? 0 : thread * panels * bytes);
    const Act *x = item->rows > 1 ? (const Act *)quads : acts;
    int64_t x_step = item->rows > 1 ? K / ACT_GROUP : 0;
    float *acc = scratch[thread];
    memset(acc, 0, (size_t)(PANELS * quad_rows(item->rows) * PANEL) * sizeof *acc);
    for (int64_t p = 0; p < panels; p += tile ? 1 : PANELS)
        for (int64_t k = 0, end; k < K; k = end) {
            Leaves piece;
            end = tile && K - k > DOT_COUNT ? k + DOT_COUNT : K;
            leaves_one(&piece, k, end);
            item->kernels->dot[type](w + p * bytes, bytes, tile ? 1 : PANELS, &piece, x, x_step, item->rows, acc);
        }
    return tile ? 2.0 * K * PANEL * (double)(item->rows * panels) : (double)(panels * bytes);
}

/* Activations in bf16, as run_dot. */
static double run_pairs(const Item *item, int thread) {
    bool tile = item->rows > ROWS_DIRECT;
    int64_t bytes = packed_panel_bytes(PACKED_BF16, K), step = pairs_step(K);
    int64_t panels = tile ? 8 : BYTES / bytes / item->threads / PANELS * PANELS;
    const uint8_t *w = weights[PACKED_BF16] + (tile ? 0 : thread * panels * bytes);
    float *acc = scratch[thread];
    memset(acc, 0, (size_t)(PANELS * item->rows * PANEL) * sizeof *acc);
    for (int64_t p = 0; p < panels; p += PANELS)
        for (int64_t k = 0, end; k < K; k = end) {
            Leaves piece;
            end = tile && K - k > PAIR_COUNT ? k + PAIR_COUNT : K;
            leaves_one(&piece, k, end);
            item->kernels->dot_pairs(w + p * bytes, bytes, PANELS, &piece, pairs, step, item->rows, acc);
        }
    return tile ? 2.0 * K * PANEL * (double)(item->rows * panels) : (double)(panels * bytes);
}

static double run_tile(const Item *item, int thread) {
    float *w = scratch[thread], *acc = w + TILE_PANELS * TILE_COUNT * PANEL;
    int64_t calls = item->kernels == &kernels_reference ? 1 : 300;
    memset(acc, 0, TILE_PANELS * TILE_ROWS * PANEL * sizeof *acc);
    for (int64_t i = 0; i < calls; i++)
        item->kernels->tile(w, TILE_COUNT * PANEL, TILE_PANELS, TILE_COUNT, xs, TILE_COUNT, TILE_ROWS, acc);
    return 2.0 * TILE_PANELS * TILE_COUNT * TILE_ROWS * PANEL * (double)calls;
}

/* All of it from cache: 512 KiB of f32 keys and as much of values, or half or a quarter. item->rows: query heads, in
 * rows of HEADS where there are more. */
static double run_attention(const Item *item, int thread) {
    float *out = scratch[thread];
    int32_t page[POSITIONS / ATTENTION_BLOCK];
    AttentionRow row[ATTENTION_HEADS / HEADS];
    CacheType cache = item->type == PACKED_F32 ? CACHE_F32 : item->type == PACKED_BF16 ? CACHE_BF16 : CACHE_Q8;
    AttentionCall call = {.row = row, .heads = item->rows < HEADS ? item->rows : HEADS,
                          .cache = weights[item->type], .channels = CHANNELS, .scale = 0.09f,
                          .scratch = out + ATTENTION_HEADS * CHANNELS};
    call.rows = item->rows / call.heads;
    for (int i = 0; i < POSITIONS / ATTENTION_BLOCK; i++) page[i] = i;
    for (int r = 0; r < call.rows; r++)
        row[r] = (AttentionRow){.q = xs + r * call.heads * CHANNELS, .out = out + r * call.heads * CHANNELS,
                                .page = page, .last = POSITIONS};
    int64_t calls = item->kernels == &kernels_reference ? 1 : 1400 / item->rows;
    for (int64_t i = 0; i < calls; i++) item->kernels->attention[cache](&call);
    return 4.0 * CHANNELS * POSITIONS * item->rows * (double)calls;
}

static double run_elements(const Item *item, int thread) {
    float *y = scratch[thread];
    int64_t calls = item->kernels == &kernels_reference ? 20 : 2000;
    for (int64_t i = 0; i < calls; i++) {
        float best;
        if (item->type == 0) item->kernels->silu_mul(xs, xs + K, K, y);
        else if (item->type == 1) item->kernels->rms_norm(xs, xs + K, 1e-6f, K, y);
        else if (item->type == 2) item->kernels->add(xs, xs + K, K, y);
        else sink = (uint64_t)item->kernels->argmax(xs, K, &best);
    }
    return (double)(calls * K * 4 * (item->type == 3 ? 1 : 3));
}

/* ---- Threads that start together --------------------------------------------------------------------------------- */

typedef struct Crew {
    const Item *item; /* NULL: go home */
    atomic_int round, done;
    double did[THREADS];
} Crew;
typedef struct Worker { Crew *crew; int thread; pthread_t id; } Worker;

static void *worker(void *argument) {
    Worker *w = argument;
    cpu_pin(w->thread);
    for (int round = 1;; round++) {
        while (atomic_load_explicit(&w->crew->round, memory_order_acquire) < round) sched_yield();
        const Item *item = w->crew->item;
        if (!item) return NULL;
        w->crew->did[w->thread] = item->run(item, w->thread);
        atomic_fetch_add(&w->crew->done, 1);
    }
}

/* What one thread does is timed by its own clock of the CPU: the time slices of other programs do not count. */
static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double measure(Crew *crew, const Item *item) {
    if (item->threads == 1) {
        double start = thread_seconds(), did = item->run(item, 0);
        return did / (thread_seconds() - start) / 1e9;
    }
    crew->item = item;
    atomic_store(&crew->done, 0);
    double start = clock_seconds();
    atomic_fetch_add(&crew->round, 1);
    double did = item->run(item, 0);
    while (atomic_load(&crew->done) < THREADS - 1) sched_yield();
    double seconds = clock_seconds() - start;
    for (int t = 1; t < item->threads; t++) did += crew->did[t];
    return did / seconds / 1e9;
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static Item items[1024];
static int items_n;
static const char *wanted = "";

static int add_item(const char *name, const Kernels *k, const char *unit, double (*run)(const Item *, int), int type,
                    int rows, int threads, int limit) {
    if (limit >= 0 && !strstr(name, wanted)) return -1;
    Item *item = &items[items_n];
    *item = (Item){.isa = k ? k->isa : "-", .unit = unit, .run = run, .kernels = k, .type = type, .rows = rows,
                   .threads = threads, .limit = limit};
    snprintf(item->name, sizeof item->name, "%s", name);
    return items_n++;
}

/* The limits of reading with 1, 2, ... threads; the first of each LIMITS items. */
static int add_reads(int threads) {
    int first = add_item("read, 1 stream", NULL, "GB/s", read_1, 0, 0, threads, -1);
    add_item("read, 2 streams", NULL, "GB/s", read_2, 0, 0, threads, -1);
    add_item("read, 4 streams", NULL, "GB/s", read_4, 0, 0, threads, -1);
    return first;
}

static void add_table(const Kernels *k, const int read[THREADS + 1]) {
    double (*peak)(const Item *, int) = peak_plain;
#if defined(__x86_64__)
    if (!strcmp(k->isa, "avx2")) peak = peak_avx2;
    if (!strncmp(k->isa, "avx512", 6)) peak = peak_avx512;
#endif
    int fma = add_item("fused multiply-add peak", k, "GFLOP/s", peak, 0, 0, 1, -1);
    char name[40];
    for (int type = 0; type < PACKED_COUNT; type++)
        for (int threads = 1; threads <= THREADS; threads++) {
            snprintf(name, sizeof name, "rows %s", packed_rows[type].name);
            add_item(name, k, "GB/s", run_rows, type, 1, threads, read[threads]);
        }
    for (int rows = 2; rows <= ROWS_DIRECT; rows += rows < 4 ? 1 : 4)
        for (int type = 0; type < PACKED_COUNT; type++) {
            snprintf(name, sizeof name, "rows %s, %d rows", packed_rows[type].name, rows);
            add_item(name, k, "GB/s", run_rows, type, rows, 1, read[1]);
        }
    for (int type = 0; type < PACKED_COUNT; type++) {
        snprintf(name, sizeof name, "unpack %s", packed_rows[type].name);
        add_item(name, k, "GB/s", run_unpack, type, 1, 1, read[1]);
    }
    int vnni = -1, bf16 = -1;
#if defined(__x86_64__)
    if (!strcmp(k->isa, "avx512bf16")) bf16 = add_item("bf16 product peak", k, "GFLOP/s", peak_bf16, 0, 0, 1, -1);
    if (!strcmp(k->isa, "avx512vnni")) vnni = add_item("8-bit product peak", k, "GFLOP/s", peak_vnni, 0, 0, 1, -1);
#endif
    for (int type = 0; type < PACKED_COUNT; type++) {
        if (!k->dot[type]) continue;
        for (int threads = 1; threads <= THREADS; threads++) {
            snprintf(name, sizeof name, "dot %s", packed_rows[type].name);
            add_item(name, k, "GB/s", run_dot, type, 1, threads, read[threads]);
        }
        snprintf(name, sizeof name, "dot %s, 8 rows", packed_rows[type].name);
        add_item(name, k, "GB/s", run_dot, type, 8, 1, read[1]);
        snprintf(name, sizeof name, "dot %s, 128 rows", packed_rows[type].name);
        add_item(name, k, "GFLOP/s", run_dot, type, TILE_ROWS, 1, vnni < 0 ? fma : vnni);
    }
    for (int threads = 1; threads <= THREADS; threads++)
        add_item("pairs", k, "GB/s", run_pairs, 0, 1, threads, read[threads]);
    for (int rows = 2; rows <= ROWS_DIRECT; rows += rows < 4 ? 1 : 4) {
        snprintf(name, sizeof name, "pairs, %d rows", rows);
        add_item(name, k, "GB/s", run_pairs, 0, rows, 1, read[1]);
    }
    add_item("pairs, 128 rows", k, "GFLOP/s", run_pairs, 0, TILE_ROWS, 1, bf16 < 0 ? fma : bf16);
    add_item("tile 2 x 128 x 128 rows", k, "GFLOP/s", run_tile, 0, 0, 1, fma);
    add_item("attention f32, 7 heads", k, "GFLOP/s", run_attention, PACKED_F32, 7, 1, fma);
    add_item("attention bf16, 7 heads", k, "GFLOP/s", run_attention, PACKED_BF16, 7, 1, fma);
    add_item("attention q8, 7 heads", k, "GFLOP/s", run_attention, PACKED_Q8, 7, 1, fma);
    add_item("attention f32, 9 rows of 7", k, "GFLOP/s", run_attention, PACKED_F32, 63, 1, fma);
    add_item("attention bf16, 9 rows of 7", k, "GFLOP/s", run_attention, PACKED_BF16, 63, 1, fma);
    add_item("attention q8, 9 rows of 7", k, "GFLOP/s", run_attention, PACKED_Q8, 63, 1, fma);
    add_item("attention f32, 1 head", k, "GFLOP/s", run_attention, PACKED_F32, 1, 1, fma);
    static const char *const names[] = {"silu_mul", "rms_norm", "add", "argmax"};
    for (int i = 0; i < 4; i++) add_item(names[i], k, "GB/s", run_elements, i, 1, 1, read[1]);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_items(int repetitions) {
    printf("%-26s %-9s %7s %9s %9s  %-8s %s\n", "kernel", "isa", "threads", "best", "median", "unit",
           "share of limit (best, median)");
    for (int i = 0; i < items_n; i++) qsort(items[i].seen, (size_t)repetitions, sizeof(double), by_value);
    for (int i = 0; i < items_n; i++) {
        const Item *item = &items[i];
        double best = item->seen[repetitions - 1], middle = item->seen[repetitions / 2];
        printf("%-26s %-9s %7d %9.2f %9.2f  %-8s", item->name, item->isa, item->threads, best, middle, item->unit);
        if (item->limit >= 0) {
            double top = 0, top_middle = 0;
            for (int j = item->limit;
                 j < items_n && items[j].run != run_rows && items[j].run != run_dot &&
                 items[j].run != run_pairs && j < item->limit + LIMITS; j++) {
                if (items[j].unit != item->unit) break;
                top = items[j].seen[repetitions - 1] > top ? items[j].seen[repetitions - 1] : top;
                top_middle = items[j].seen[repetitions / 2] > top_middle ? items[j].seen[repetitions / 2] : top_middle;
            }
            printf(" %3.0f %% %3.0f %%", 100 * best / top, 100 * middle / top_middle);
        }
        printf("\n");
    }
}

/* Panels of real weights, so that no subnormals or NaN distort the times: one packed panel, copied over and over. */
static bool make_weights(Err *err) {
    static const DType stored[PACKED_COUNT] = {
        DTYPE_F32,  DTYPE_BF16, DTYPE_F16,  DTYPE_Q8_0, DTYPE_Q4_1, DTYPE_Q4_0, DTYPE_Q5_1,
        DTYPE_Q5_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_BF16, DTYPE_BF16};
    static uint8_t row[PANEL][K * 4];
    const uint8_t *rows[PANEL];
    for (int type = 0; type < PACKED_COUNT; type++) {
        for (int r = 0; r < PANEL; r++) {
            rows[r] = row[r];
            for (int i = 0; i < K * 4; i++) row[r][i] = (uint8_t)((unsigned)(i * 31 + r * 7) * 2654435761u >> 26);
            for (int i = 3; i < K * 4; i += 4)
                row[r][i] = (uint8_t)(0x3c + (i * 7 + r) % 5); /* f32, bf16, f16: near 1 */
            for (int i = 1; i < K * 4; i += 2) row[r][i] = stored[type] == DTYPE_F32 ? row[r][i] : 0x38;
        }
        int64_t bytes = packed_panel_bytes((PackedType)type, K);
        weights[type] = mem_pages_new(BYTES, "weights", err);
        if (!weights[type]) return false;
        PackError error = {0};
        if (type >= PACKED_Q8G) pack_quantise(stored[type], (PackedType)type, rows, K, weights[type], &error);
        else pack_panel(stored[type], rows, K, weights[type]);
        for (int64_t at = bytes; at + bytes <= BYTES; at += bytes)
            memcpy(weights[type] + at, weights[type], (size_t)bytes);
    }
    return true;
}

int main(int argc, char **argv) {
    Err err = {0};
    int64_t repetitions = 9;
    if (argc > 1 && !parse_int(argv[1], 1, REPETITIONS_MOST, &repetitions)) {
        fprintf(stderr, "kernels: repetitions are 1 to %d, got '%s'\n", REPETITIONS_MOST, argv[1]);
        return 2;
    }
    if (argc > 2) wanted = argv[2];
    xs = mem_pages_new(1 << 20, "x", &err);
    for (int t = 0; t < THREADS; t++) scratch[t] = mem_pages_new(1 << 20, "scratch", &err);
    if (!make_weights(&err) || !xs || !scratch[THREADS - 1]) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < (1 << 20) / 4; i++) xs[i] = (float)(i % 97) * 0.01f - 0.4f;
    quads = mem_pages_new(TILE_ROWS / QUAD * (K / ACT_GROUP) * sizeof *quads, "activations", &err);
    kernels_reference.quantise(xs, K, acts, 1);
    for (int r = 0; quads && r < TILE_ROWS; r++)
        kernels_reference.quantise(xs + r * 32, K, &quads[r / QUAD * (K / ACT_GROUP)].row[r % QUAD], QUAD);
    pairs = mem_pages_new((size_t)(TILE_ROWS * pairs_step(K)) * sizeof *pairs, "activations", &err);
    for (int r = 0; pairs && r < TILE_ROWS; r++) kernels_reference.round(xs + r * 32, K, pairs + r * pairs_step(K));
    if (!quads || !pairs) return 1;
    int read[THREADS + 1];
    for (int t = 1; t <= THREADS; t++) read[t] = add_reads(t);
    for (int i = 1; kernels_name(i); i++) {
        const Kernels *k = kernels_select(kernels_name(i), &err);
        if (k) add_table(k, read);
    }
    Crew crew = {0};
    Worker workers[THREADS];
    for (int t = 1; t < THREADS; t++) {
        workers[t] = (Worker){.crew = &crew, .thread = t};
        pthread_create(&workers[t].id, NULL, worker, &workers[t]);
    }
    cpu_pin(0); /* after the others: a new thread may run only where its maker may */
    for (int r = 0; r < repetitions; r++)
        for (int i = 0; i < items_n; i++) items[i].seen[r] = measure(&crew, &items[i]);
    crew.item = NULL;
    atomic_fetch_add(&crew.round, 1);
    for (int t = 1; t < THREADS; t++) pthread_join(workers[t].id, NULL);
    print_items((int)repetitions);
    return 0;
}
