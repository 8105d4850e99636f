/* weigh_avx2.c: the loops of weigh.h for x86-64 with AVX2, FMA and F16C; compiled with those flags, so
 * nothing here may run before weigh_table has seen the CPU. */
#if defined(__x86_64__)
#include "../cpu/simd16_avx2.h"
#include "weigh_simd16.h"

extern const Weigh weigh_avx2;
const Weigh weigh_avx2 = {"avx2", tops, weights, divide};
#else
typedef int weigh_avx2_is_empty; /* a file of ISO C is not */
#endif
