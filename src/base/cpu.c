/* cpu.c: what the processor can execute, asked from it and from the system; memory, and how fast it is read. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "cpu.h"

/* ---- Instruction sets ------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Registers the system saves at a switch (Intel SDM vol. 1, 13.2): bits of XCR0. */
enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6, XCR0_TILES = 0x60000 };

static uint32_t saved_registers(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

/* CPUID leaves 1 and 7 (Intel SDM vol. 2A, CPUID). */
CpuFeatures cpu_features(void) {
    CpuFeatures f = {0};
    uint32_t a, b, c, d, c1, most, saved = saved_registers();
    if (!__get_cpuid(1, &a, &b, &c1, &d)) return f;
    if (!__get_cpuid_count(7, 0, &most, &b, &c, &d)) return f;
    if ((saved & XCR0_YMM) == XCR0_YMM) {
        f.fma = c1 >> 12 & 1;
        f.f16c = c1 >> 29 & 1;
        f.avx2 = b >> 5 & 1;
    }
    uint32_t a1 = 0, b1, c11, d1;
    if (most >= 1 && !__get_cpuid_count(7, 1, &a1, &b1, &c11, &d1)) a1 = 0;
    if ((saved & XCR0_ZMM) == XCR0_ZMM) {
        f.avx512f = b >> 16 & 1;
        f.avx512dq = b >> 17 & 1;
        f.avx512bw = b >> 30 & 1;
        f.avx512vl = b >> 31 & 1;
        f.avx512_vnni = c >> 11 & 1;
        f.avx512_bf16 = a1 >> 5 & 1;
    }
    if ((saved & XCR0_TILES) == XCR0_TILES) {
        f.amx_bf16 = d >> 22 & 1;
        f.amx_tile = d >> 24 & 1;
        f.amx_int8 = d >> 25 & 1;
    }
    return f;
}
#else
CpuFeatures cpu_features(void) { return (CpuFeatures){0}; }
#endif

const char *cpu_isa_best(void) {
    CpuFeatures f = cpu_features();
    if (f.avx512f && f.avx512bw && f.avx512vl && f.avx512dq && f.fma && f.f16c)
        return f.avx512_vnni ? "avx512vnni" : "avx512";
    return f.avx2 && f.fma && f.f16c ? "avx2" : "reference";
}

/* ---- Cores and memory -------------------------------------------------------------------------------------------- */

int cpu_cores_usable(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    int count = CPU_COUNT(&allowed);
    return count > 0 ? count : 1;
}

bool cpu_pin(int index) {
    cpu_set_t allowed, one;
    if (index < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0) return false;
    int wanted = index % CPU_COUNT(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || wanted-- != 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
    }
    return false;
}

/* A number from a one-line file of the system, or -1. */
static int64_t system_number(const char *path) {
    FILE *file = fopen(path, "re");
    long long v = -1;
    if (file && fscanf(file, "%lld", &v) != 1) v = -1;
    if (file) fclose(file);
    return v;
}

int64_t cpu_memory_available(int64_t *total) {
    char line[128];
    long long available = 0, all = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (!strncmp(line, "MemTotal:", 9)) all = atoll(line + 9) * 1024;
        if (!strncmp(line, "MemAvailable:", 13)) available = atoll(line + 13) * 1024;
    }
    if (file) fclose(file);
    int64_t limit = system_number("/sys/fs/cgroup/memory.max"), used = system_number("/sys/fs/cgroup/memory.current");
    if (limit >= 0 && used >= 0 && limit - used < available) available = limit > used ? limit - used : 0;
    if (limit >= 0 && limit < all) all = limit;
    if (total) *total = all;
    return available;
}

/* ---- Read bandwidth ---------------------------------------------------------------------------------------------- */

enum { LANE_BYTES = 32, STREAM_BYTES = 256 << 20, STREAM_LEAST = 4 << 20, THREADS_LIMIT = 1024 };

typedef struct Race {
    pthread_mutex_t gate;       /* held until every thread exists, or `off` says that one could not start */
    pthread_barrier_t line;     /* all threads and the one with the clock */
    bool off, finished;         /* written by the clock only while the others wait */
    size_t stream_bytes;
} Race;

typedef struct Reader {
    Race *race;
    pthread_t thread;
    int index;
    bool no_memory;
    double begin, end;          /* of the last pass, by this thread's own clock reading */
    uint64_t sum;               /* of everything read: keeps the reads from being optimised away */
} Reader;

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
#else
#define read_avx2 read_plain
#endif

static void *reader_main(void *arg) {
    Reader *reader = arg;
    Race *race = reader->race;
    pthread_mutex_lock(&race->gate);
    bool off = race->off;
    pthread_mutex_unlock(&race->gate);
    if (off) return NULL;
    cpu_pin(reader->index);
    uint64_t *stream = mem_pages_new(race->stream_bytes, "read bandwidth", NULL);
    reader->no_memory = !stream;
    if (stream) memset(stream, reader->index + 1, race->stream_bytes); /* real pages, near this core */
    uint64_t (*read_stream)(const uint64_t *, size_t) = cpu_features().avx2 ? read_avx2 : read_plain;
    for (;;) {
        pthread_barrier_wait(&race->line);
        if (race->finished) break;
        reader->begin = clock_seconds();
        if (stream) reader->sum += read_stream(stream, race->stream_bytes / sizeof *stream);
        reader->end = clock_seconds();
        pthread_barrier_wait(&race->line);
    }
    mem_pages_free(stream, race->stream_bytes);
    return NULL;
}

/* Passes until time is up; the best one in bytes per second, from the first thread's begin to the last one's end: this
 * thread itself may be woken late where all cores are busy reading. The first pass brings the pages and is not counted. */
static double race_time(Race *race, const Reader *readers, int threads, double seconds) {
    double start = 0, best = 0;
    for (int pass = 0;; pass++) {
        race->finished = pass > 2 && clock_seconds() - start >= seconds;
        pthread_barrier_wait(&race->line);
        if (race->finished) return best;
        pthread_barrier_wait(&race->line);
        double begin = readers[0].begin, end = readers[0].end;
        for (int i = 1; i < threads; i++) {
            if (readers[i].begin < begin) begin = readers[i].begin;
            if (readers[i].end > end) end = readers[i].end;
        }
        double rate = (double)race->stream_bytes * threads / (end - begin);
        if (pass == 0) start = end;
        else if (rate > best) best = rate;
    }
}

double cpu_read_bandwidth(int threads, double seconds, Err *err) {
    if (threads <= 0) threads = cpu_cores_usable();
    if (threads > THREADS_LIMIT) threads = THREADS_LIMIT;
    Race race = {.stream_bytes = STREAM_BYTES};
    size_t share = (size_t)(cpu_memory_available(NULL) / 4 / threads);
    if (share < race.stream_bytes) race.stream_bytes = share & ~(size_t)(STREAM_LEAST - 1);
    if (race.stream_bytes < STREAM_LEAST) {
        err_set(err, "read bandwidth: expected %d MiB of available memory for each of %d threads, got %zu MiB",
                4 * STREAM_LEAST >> 20, threads, 4 * share >> 20);
        return 0;
    }
    Reader *readers = mem_new((size_t)threads, sizeof *readers, "readers", err);
    if (!readers) return 0;
    pthread_mutex_init(&race.gate, NULL);
    pthread_barrier_init(&race.line, NULL, (unsigned)threads + 1);
    pthread_mutex_lock(&race.gate);
    int started = 0;
    for (; started < threads; started++) {
        readers[started] = (Reader){.race = &race, .index = started};
        int why = pthread_create(&readers[started].thread, NULL, reader_main, &readers[started]);
        if (why) {
            err_set(err, "read bandwidth: cannot start thread %d of %d: %s", started + 1, threads, strerror(why));
            race.off = true;
            break;
        }
    }
    pthread_mutex_unlock(&race.gate);
    double best = race.off ? 0 : race_time(&race, readers, threads, seconds);
    uint64_t sum = 0;
    for (int i = 0; i < started; i++) {
        pthread_join(readers[i].thread, NULL);
        sum |= readers[i].sum;
        if (readers[i].no_memory) {
            err_set(err, "read bandwidth: out of memory: %zu MiB for each of %d threads", race.stream_bytes >> 20, threads);
            best = 0;
        }
    }
    __asm__ volatile("" : : "r"(sum));
    pthread_barrier_destroy(&race.line);
    pthread_mutex_destroy(&race.gate);
    free(readers);
    return best;
}
