/* roofline.c: the two limits of this machine, measured: how fast memory is read, and how many fused multiply-adds the
 * cores do. A program is held against them only when both were measured in the same minute: guests share machines. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "cpu.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANE_BYTES = 32, STREAM_BYTES = 256 << 20, STREAM_LEAST = 4 << 20, THREADS_LIMIT = 1024 };
enum { CHAINS = 12, FMA_ROUNDS = 2000000 }; /* chains: latency 4 x 2 units, and some to spare, within 16 registers */

/* ---- What one thread does in a pass: the work, and how much it was ----------------------------------------------- */

typedef struct Race Race;
typedef struct Racer {
    Race *race;
    pthread_t thread;
    int index;
    bool no_memory;
    uint64_t *stream;       /* NULL: nothing to read                                    */
    double begin, end, did; /* of the last pass, by this thread's own clock reading     */
    uint64_t sum;           /* of everything done: keeps it from being optimised away   */
} Racer;

struct Race {
    pthread_mutex_t gate;   /* held until every thread exists, or `off` says that one could not start */
    pthread_barrier_t line; /* all threads and the one with the clock */
    bool off, finished;     /* written by the clock only while the others wait */
    size_t stream_bytes;    /* of each thread; 0: none */
    double (*pass)(Racer *racer);
};

static uint64_t read_plain(const uint64_t *p, size_t count) {
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i + 4 <= count; i += 4) {
        a ^= p[i];
        b ^= p[i + 1];
        c ^= p[i + 2];
        d ^= p[i + 3];
    }
    return a ^ b ^ c ^ d;
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
__attribute__((target("avx2"))) static uint64_t read_avx2(const uint64_t *p, size_t count) {
    const __m256i *v = (const __m256i *)p;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 4 <= count * sizeof *p / LANE_BYTES; i += 4) {
        a = _mm256_xor_si256(a, _mm256_load_si256(v + i));
        b = _mm256_xor_si256(b, _mm256_load_si256(v + i + 1));
        c = _mm256_xor_si256(c, _mm256_load_si256(v + i + 2));
        d = _mm256_xor_si256(d, _mm256_load_si256(v + i + 3));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (uint64_t)(_mm256_extract_epi64(a, 0) ^ _mm256_extract_epi64(a, 1) ^ _mm256_extract_epi64(a, 2) ^
                      _mm256_extract_epi64(a, 3));
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
    uint64_t (*read_stream)(const uint64_t *, size_t) = cpu_features().avx2 ? read_avx2 : read_plain;
    if (!r->stream) return 0;
    r->sum += read_stream(r->stream, r->race->stream_bytes / sizeof *r->stream);
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

/* Passes until time is up; the best one per second, from the first thread's begin to the last one's end: this thread
 * itself may be woken late where all cores are busy. The first pass brings the pages and is not counted. */
static double race_time(Race *race, const Racer *racers, int threads, double seconds) {
    double start = 0, best = 0;
    for (int pass = 0;; pass++) {
        race->finished = pass > 2 && clock_seconds() - start >= seconds;
        pthread_barrier_wait(&race->line);
        if (race->finished) return best;
        pthread_barrier_wait(&race->line);
        double begin = racers[0].begin, end = racers[0].end, did = racers[0].did;
        for (int i = 1; i < threads; i++) {
            if (racers[i].begin < begin) begin = racers[i].begin;
            if (racers[i].end > end) end = racers[i].end;
            did += racers[i].did;
        }
        if (pass == 0) start = end;
        else if (did / (end - begin) > best) best = did / (end - begin);
    }
}

/* Runs the race with `what` for messages. 0 and an error when there is no memory or a thread cannot start. */
static double race_run(Race *race, const char *what, int threads, double seconds, Err *err) {
    Racer *racers = mem_new((size_t)threads, sizeof *racers, "threads", err);
    if (!racers) return 0;
    pthread_mutex_init(&race->gate, NULL);
    pthread_barrier_init(&race->line, NULL, (unsigned)threads + 1);
    pthread_mutex_lock(&race->gate);
    int started = 0;
    for (; started < threads; started++) {
        racers[started] = (Racer){.race = race, .index = started};
        int why = pthread_create(&racers[started].thread, NULL, racer_main, &racers[started]);
        if (why) {
            err_set(err, "%s: cannot start thread %d of %d: %s", what, started + 1, threads, strerror(why));
            race->off = true;
            break;
        }
    }
    pthread_mutex_unlock(&race->gate);
    double best = race->off ? 0 : race_time(race, racers, threads, seconds);
    uint64_t sum = 0;
    for (int i = 0; i < started; i++) {
        pthread_join(racers[i].thread, NULL);
        sum |= racers[i].sum;
        if (racers[i].no_memory) {
            err_set(err, "%s: out of memory: %zu MiB for each of %d threads", what, race->stream_bytes >> 20, threads);
            best = 0;
        }
    }
    __asm__ volatile("" : : "r"(sum));
    pthread_barrier_destroy(&race->line);
    pthread_mutex_destroy(&race->gate);
    free(racers);
    return best;
}

static int threads_of(int asked) {
    int threads = asked > 0 ? asked : cpu_cores_usable();
    return threads < THREADS_LIMIT ? threads : THREADS_LIMIT;
}

double cpu_read_bandwidth(int threads, double seconds, Err *err) {
    threads = threads_of(threads);
    Race race = {.stream_bytes = STREAM_BYTES, .pass = pass_read};
    size_t share = (size_t)(cpu_memory_available(NULL) / 4 / threads);
    if (share < race.stream_bytes) race.stream_bytes = share & ~(size_t)(STREAM_LEAST - 1);
    if (race.stream_bytes < STREAM_LEAST) {
        err_set(err, "read bandwidth: expected %d MiB of available memory for each of %d threads, got %zu MiB",
                4 * STREAM_LEAST >> 20, threads, 4 * share >> 20);
        return 0;
    }
    return race_run(&race, "read bandwidth", threads, seconds, err);
}

double cpu_fma_peak(int threads, double seconds, Err *err) {
    Race race = {.pass = pass_fma};
    return race_run(&race, "multiply-add peak", threads_of(threads), seconds, err);
}

double cpu_pair_peak(int threads, double seconds, Err *err) {
    Race race = {.pass = pass_pairs};
    return race_run(&race, "bf16 product peak", threads_of(threads), seconds, err);
}
