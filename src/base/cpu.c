/* cpu.c: what the processor can execute, asked from it and from the system; cores and memory. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cpu.h"

/* ---- Instruction sets ------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include <cpuid.h>

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
        return !f.avx512_vnni ? "avx512" : f.avx512_bf16 ? "avx512bf16" : "avx512vnni";
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

static CpuCaches forced;

static int64_t cache_bytes(int name, int64_t least, int64_t most, int64_t usual) {
    int64_t bytes = sysconf(name);
    return bytes < least || bytes > most ? usual : bytes;
}

CpuCaches cpu_caches(void) {
    if (forced.l1) return forced;
    return (CpuCaches){.l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 8 << 10, 1 << 20, 32 << 10),
                       .l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 64 << 10, 64 << 20, 1 << 20)};
}

void cpu_caches_set(CpuCaches caches) { forced = caches; }

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
