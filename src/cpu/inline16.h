/* inline16.h: functions specialised by inlining them with constant arguments: their loops over panels, rows and vectors
 * are then unrolled and their sums live in registers. A test that wants them plain defines both first. */
#ifndef INLINE16_H
#define INLINE16_H
#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#endif
/* Loads stand in the code as in the source: the order in which lines are asked for is what prefetching goes by. */
#define IN_ORDER __asm__ volatile("" : : : "memory")
#endif
