/* kernels_avx512.c: the kernels for x86-64 with AVX-512 (F, BW, VL, DQ); compiled with those flags, so nothing here may
 * run before kernels_select has seen the CPU. */
#if defined(__x86_64__)
#include "simd16_avx512.h"
#include "kernels_simd16.h"
#include "kernels_dot16.h"
#include "kernels_pair16.h"

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = KERNELS_SIMD16("avx512");
#else
typedef int kernels_avx512_is_empty; /* a file of ISO C is not */
#endif
