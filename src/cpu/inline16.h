/* inline16.h: functions specialised by inlining them with constant arguments: their loops over panels, rows and vectors
 * are then unrolled and their sums live in registers. A test that wants them plain defines both first. */
#ifndef INLINE16_H
#define INLINE16_H
#include <stdint.h>
#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#endif
/* Loads stand in the code as in the source: the order in which lines are asked for is what prefetching goes by. */
#define IN_ORDER __asm__ volatile("" : : : "memory")
/* Asks for one line of every KiB, 16 KiB ahead, in the level 2 cache, so that the hardware's streams, which end with
 * every page of 4 KiB, begin early in later pages. */
INLINE void fetch_far(const uint8_t *p) {
    __builtin_prefetch((const void *)(((uintptr_t)p & ~(uintptr_t)1023) + (16 << 10)), 0, 2);
}
#endif
