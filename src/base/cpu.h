/* cpu.h: the processor this process runs on: what it can execute, how many cores may be used, how fast memory is
 * read. */
#ifndef BASE_CPU_H
#define BASE_CPU_H
#include "base.h"

/* Instruction sets that matter here, by the names of the Intel and AMD manuals. The one list. */
#define CPU_FEATURES(X)                                                                                               \
    X(avx2) X(fma) X(f16c) X(avx512f) X(avx512bw) X(avx512vl) X(avx512dq) X(avx512_vnni) X(avx512_bf16)               \
    X(amx_tile) X(amx_int8) X(amx_bf16)

/* True where the CPU has it and the system saves its registers, so that it can be executed. All false off x86-64. */
typedef struct CpuFeatures {
#define X(name) bool name;
    CPU_FEATURES(X)
#undef X
} CpuFeatures;

CpuFeatures cpu_features(void);
/* The strongest instruction set of this CPU that kernels are written for: "avx512" (f, bw, vl, dq; "avx512vnni" if
 * that too, "avx512bf16" if both), "avx2" (with fma, f16c) or "reference". */
const char *cpu_isa_best(void);
/* Cores this process may be scheduled on: its affinity mask, not the machine. At least 1. */
int cpu_cores_usable(void);
/* Pins the calling thread to the `index`-th usable core, counting round. False where the system refuses. */
bool cpu_pin(int index);

/* Bytes of the caches that a core has for itself: level 1 (data) and level 2. What the system does not say, or what is
 * no size of a cache, counts as 32 KiB and 1 MiB. */
typedef struct CpuCaches { int64_t l1, l2; } CpuCaches;
CpuCaches cpu_caches(void);
void cpu_caches_set(CpuCaches caches); /* for tests: other sizes from now on, zeros for the machine's own */

/* `threads` threads (0: one per usable core), each pinned and with memory of its own, far larger than caches, which it
 * reads as one stream or as several, whichever is faster here; all together take at most a quarter of the available
 * memory. They sleep between readings. NULL and an error when there is no memory or a thread cannot start. */
typedef struct Reader Reader;
Reader *reader_new(int threads, Err *err);
/* Bytes per second that the threads read together, over the passes made in `seconds` (at least two); *best rises to
 * the best pass. */
double reader_rate(Reader *r, double seconds, double *best);
void reader_free(Reader *r); /* NULL is allowed */
/* The best pass of such a reader. 0 and an error as above. */
double cpu_read_bandwidth(int threads, double seconds, Err *err);
/* Flops per second (a fused multiply-add is two) of `threads` threads together, in f32 with the widest vectors of
 * cpu_isa_best(), all operands in registers; the best pass made in `seconds`. 0 and an error when a thread cannot
 * start. */
double cpu_fma_peak(int threads, double seconds, Err *err);
/* The same of products of bf16 summed in f32 (vdpbf16ps, four flops a pair); cpu_fma_peak where the CPU has none. */
double cpu_pair_peak(int threads, double seconds, Err *err);

/* Memory this process can still use, in bytes: what the system has available, or less where a control group says so.
 * 0 when unknown. `total`, if asked for, is what there is altogether. */
int64_t cpu_memory_available(int64_t *total);
#endif
