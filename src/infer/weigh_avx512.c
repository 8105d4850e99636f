/* weigh_avx512.c: the loops of weigh.h for x86-64 with AVX-512 F, BW, VL and DQ; compiled with those flags, so
 * nothing here may run before weigh_table has seen the CPU. */
#if defined(__x86_64__)
#include "../cpu/simd16_avx512.h"
#include "weigh_simd16.h"

extern const Weigh weigh_avx512;
const Weigh weigh_avx512 = {"avx512", tops, weights, divide};
#else
typedef int weigh_avx512_is_empty; /* a file of ISO C is not */
#endif
