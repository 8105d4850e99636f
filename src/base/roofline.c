/* roofline.c: the two limits of this machine, measured: how fast memory is read, and how many fused multiply-adds the
 * cores do. A program is held against them only when both were measured in the same minute: guests share machines. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "cpu.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { STREAMS = 4, STREAM_BYTES = 256 << 20, STREAM_LEAST = 4 << 20, THREADS_LIMIT = 1024 };
enum { CHAINS = 12, FMA_ROUNDS = 2000000 }; /* chains: latency 4 x 2 units, and some to spare, within 16 registers */

/* ---- What one thread does in a pass: the work, and how much it was ----------------------------------------------- */

typedef struct Race Race;
typedef struct Racer {
    Race *race;
    pthread_t thread;
    int index;
    bool no_memory;
    void *stream;           /* what it reads; NULL: nothing                             */
    double begin, end, did; /* of the last pass, by this thread's own clock reading     */
    uint64_t sum;           /* of everything done: keeps it from being optimised away   */
} Racer;

struct Race {
    const char *what;       /* for messages */
    double (*pass)(Racer *racer);
    size_t stream_bytes;    /* of each thread; 0: none */
    int streams;            /* that a thread reads side by side */
    int threads, started;
    Racer *racers;
    pthread_mutex_t gate;   /* held until every thread exists, or `off` says that one could not start */
    pthread_barrier_t line; /* all threads and the one with the clock */
    bool off, finished;     /* written by the clock only while the others wait */
};

typedef uint64_t Half __attribute__((vector_size(32))); /* of a line */

/* Two lines of each stream in turn. */
static inline __attribute__((always_inline)) uint64_t read_halves(const Half *p, size_t count, int streams) {
    Half a = {0}, b = {0}, c = {0}, d = {0};
    size_t each = count / (size_t)streams / 4 * 4;
    for (const Half *end = p + each; p < end; p += 4)
        for (int s = 0; s < streams; s++) {
            const Half *at = p + (size_t)s * each;
            a ^= at[0], b ^= at[1], c ^= at[2], d ^= at[3];
        }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] ^ a[2] ^ a[3];
}

static uint64_t read_plain(const Half *p, size_t count, int streams) {
    return streams == 1 ? read_halves(p, count, 1) : read_halves(p, count, STREAMS);
}

static double fma_plain(uint64_t *sum) { /* what the compiler makes of products and sums */
    float s[32];
    for (int i = 0; i < 32; i++) s[i] = (float)i;
    for (int n = 0; n < FMA_ROUNDS / 10; n++)
        for (int i = 0; i < 32; i++) s[i] = s[i] * 0.999f + 1e-3f;
    for (int i = 1; i < 32; i++) s[0] += s[i];
    *sum += (uint64_t)s[0];
    return 64.0 * (FMA_ROUNDS / 10);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_avx2(const Half *p, size_t count, int streams) {
    return streams == 1 ? read_halves(p, count, 1) : read_halves(p, count, STREAMS);
}

/* Independent chains of fused multiply-adds; each converges to 1, so that no value is subnormal or infinite. */
#define FMA_CHAINS(name, isa, Vector, prefix, lanes, first)                                                            \
    __attribute__((target(isa))) static double name(uint64_t *sum) {                                                   \
        Vector a = prefix##_set1_ps(0.999f), b = prefix##_set1_ps(1e-3f), s[CHAINS];                                   \
        for (int i = 0; i < CHAINS; i++) s[i] = prefix##_set1_ps((float)i);                                            \
        for (int n = 0; n < FMA_ROUNDS; n++) {                                                                         \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) s[i] = prefix##_fmadd_ps(s[i], a, b);            \
        }                                                                                                              \
        for (int i = 1; i < CHAINS; i++) s[0] = prefix##_add_ps(s[0], s[i]);                                           \
        *sum += (uint64_t)first(s[0]);                                                                                 \
        return 2.0 * (lanes)*CHAINS * FMA_ROUNDS;                                                                      \
    }
FMA_CHAINS(fma_avx2, "avx2,fma", __m256, _mm256, 8, _mm256_cvtss_f32)
FMA_CHAINS(fma_avx512, "avx512f", __m512, _mm512, 16, _mm512_cvtss_f32)

/* Sums that grow, but slowly: by half of each step. */
__attribute__((target("avx512f,avx512bf16"))) static double pairs_avx512(uint64_t *sum) {
    __m512i half = _mm512_set1_epi16(0x3f00);
    __m512 s[CHAINS];
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_ps((float)i);
    for (int n = 0; n < FMA_ROUNDS; n++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) s[i] =
            _mm512_dpbf16_ps(s[i], (__m512bh)half, (__m512bh)half);
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    *sum += (uint64_t)_mm512_cvtss_f32(s[0]);
    return 4.0 * 16 * CHAINS * FMA_ROUNDS;
}
#else
#define read_avx2 read_plain
#define fma_avx2 fma_plain
#define fma_avx512 fma_plain
#define pairs_avx512 fma_plain
#endif

static double pass_read(Racer *r) {
    if (!r->stream) return 0;
    uint64_t (*read_stream)(const Half *, size_t, int) = cpu_features().avx2 ? read_avx2 : read_plain;
    r->sum += read_stream(r->stream, r->race->stream_bytes / sizeof(Half), r->race->streams);
    return (double)r->race->stream_bytes;
}

static double pass_fma(Racer *r) {
    const char *isa = cpu_isa_best();
    if (!strncmp(isa, "avx512", 6)) return fma_avx512(&r->sum); /* and its variants */
    return !strcmp(isa, "avx2") ? fma_avx2(&r->sum) : fma_plain(&r->sum);
}

static double pass_pairs(Racer *r) {
    CpuFeatures f = cpu_features();
    return f.avx512f && f.avx512_bf16 ? pairs_avx512(&r->sum) : pass_fma(r);
}

/* ---- The race ---------------------------------------------------------------------------------------------------- */

static void *racer_main(void *argument) {
    Racer *racer = argument;
    Race *race = racer->race;
    pthread_mutex_lock(&race->gate);
    bool off = race->off;
    pthread_mutex_unlock(&race->gate);
    if (off) return NULL;
    cpu_pin(racer->index);
    if (race->stream_bytes) {
        racer->stream = mem_pages_new(race->stream_bytes, "read bandwidth", NULL);
        racer->no_memory = !racer->stream;
        if (racer->stream) memset(racer->stream, racer->index + 1, race->stream_bytes); /* real pages, near this core */
    }
    for (;;) {
        pthread_barrier_wait(&race->line);
        if (race->finished) break;
        racer->begin = clock_seconds();
        racer->did = race->pass(racer);
        racer->end = clock_seconds();
        pthread_barrier_wait(&race->line);
    }
    mem_pages_free(racer->stream, race->stream_bytes);
    return NULL;
}

/* Amount per second of one pass, from the first thread's begin to the last one's end: this thread itself may be woken
 * late where all cores are busy. */
static double race_pass(Race *race) {
    pthread_barrier_wait(&race->line);
    pthread_barrier_wait(&race->line);
    double begin = race->racers[0].begin, end = race->racers[0].end, did = race->racers[0].did;
    for (int i = 1; i < race->threads; i++) {
        const Racer *r = &race->racers[i];
        if (r->begin < begin) begin = r->begin;
        if (r->end > end) end = r->end;
        did += r->did;
    }
    return did / (end - begin);
}

static void race_end(Race *race) {
    uint64_t sum = 0;
    race->finished = true;
    if (!race->off) pthread_barrier_wait(&race->line);
    for (int i = 0; i < race->started; i++) {
        pthread_join(race->racers[i].thread, NULL);
        sum |= race->racers[i].sum;
    }
    __asm__ volatile("" : : "r"(sum));
    pthread_barrier_destroy(&race->line);
    pthread_mutex_destroy(&race->gate);
    free(race->racers);
}

/* Starts the threads and makes the first pass, which brings the pages and counts for nothing. False and an error when a
 * thread cannot start or has no memory; nothing is left then. */
static bool race_start(Race *race, Err *err) {
    int threads = race->threads > 0 ? race->threads : cpu_cores_usable();
    race->threads = threads < THREADS_LIMIT ? threads : THREADS_LIMIT;
    race->racers = mem_new((size_t)race->threads, sizeof *race->racers, "threads", err);
    if (!race->racers) return false;
    pthread_mutex_init(&race->gate, NULL);
    pthread_barrier_init(&race->line, NULL, (unsigned)race->threads + 1);
    pthread_mutex_lock(&race->gate);
    for (; race->started < race->threads && !race->off; race->started += !race->off) {
        Racer *r = &race->racers[race->started];
        *r = (Racer){.race = race, .index = race->started};
        int why = pthread_create(&r->thread, NULL, racer_main, r);
        if (!why) continue;
        err_as(err, QM_IO, "%s: cannot start thread %d of %d: %s", race->what, race->started + 1, race->threads,
               strerror(why));
        race->off = true;
    }
    pthread_mutex_unlock(&race->gate);
    if (!race->off) race_pass(race);
    bool ok = !race->off;
    for (int i = 0; ok && i < race->threads; i++)
        ok = !race->racers[i].no_memory || err_as(err, QM_MEMORY, "%s: out of memory: %zu MiB for each of %d threads",
                                                  race->what, race->stream_bytes >> 20, race->threads);
    if (!ok) race_end(race);
    return ok;
}

/* Amount per second over two passes or more, for about so many seconds; *best rises to the best of them. */
static double race_rate(Race *race, double seconds, double *best) {
    double start = clock_seconds(), sum = 0;
    int passes = 0;
    for (; passes < 2 || clock_seconds() - start < seconds; passes++) {
        double rate = race_pass(race);
        sum += 1 / rate;
        if (rate > *best) *best = rate;
    }
    return passes / sum;
}

/* The best pass of a race of its own. 0 and an error when a thread cannot start. */
static double race_best(Race *race, double seconds, Err *err) {
    double best = 0;
    if (!race_start(race, err)) return 0;
    race_rate(race, seconds, &best);
    race_end(race);
    return best;
}

/* ---- What it is for ---------------------------------------------------------------------------------------------- */

enum { TRIES = 3 };
struct Reader { Race race; };

/* One stream is what memory gives fastest on some CPUs (Zen 4), several on others (Zen 3: by 10 to 20 %). */
static void reader_choose(Reader *r) {
    double best[2] = {0};
    for (int i = 0; i < 2 * TRIES; i++) {
        r->race.streams = i % 2 ? STREAMS : 1;
        double rate = race_pass(&r->race);
        if (rate > best[i % 2]) best[i % 2] = rate;
    }
    r->race.streams = best[1] > best[0] ? STREAMS : 1;
}

Reader *reader_new(int threads, Err *err) {
    threads = threads > 0 ? threads : cpu_cores_usable();
    size_t share = (size_t)(cpu_memory_available(NULL) / 4 / threads), bytes = STREAM_BYTES;
    if (share < bytes) bytes = share & ~(size_t)(STREAM_LEAST - 1);
    if (bytes < STREAM_LEAST) {
        err_set(err, "read bandwidth: expected %d MiB of available memory for each of %d threads, got %zu MiB",
                4 * STREAM_LEAST >> 20, threads, 4 * share >> 20);
        return NULL;
    }
    Reader *r = mem_new(1, sizeof *r, "read bandwidth", err);
    if (!r) return NULL;
    r->race = (Race){.what = "read bandwidth", .pass = pass_read, .stream_bytes = bytes, .streams = 1,
                     .threads = threads};
    if (!race_start(&r->race, err)) {
        free(r);
        return NULL;
    }
    reader_choose(r);
    return r;
}

double reader_rate(Reader *r, double seconds, double *best) { return race_rate(&r->race, seconds, best); }

void reader_free(Reader *r) {
    if (r) race_end(&r->race);
    free(r);
}

double cpu_read_bandwidth(int threads, double seconds, Err *err) {
    double best = 0;
    Reader *r = reader_new(threads, err);
    if (r) reader_rate(r, seconds, &best);
    reader_free(r);
    return best;
}

double cpu_fma_peak(int threads, double seconds, Err *err) {
    return race_best(&(Race){.what = "multiply-add peak", .pass = pass_fma, .threads = threads}, seconds, err);
}

double cpu_pair_peak(int threads, double seconds, Err *err) {
    return race_best(&(Race){.what = "bf16 product peak", .pass = pass_pairs, .threads = threads}, seconds, err);
}
