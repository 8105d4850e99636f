/* kernels_avx2.c: the kernels for x86-64 with AVX2 with FMA and F16C; compiled with those flags, so nothing here may
 * run before kernels_select has seen the CPU. */
#if defined(__x86_64__)
#include "simd16_avx2.h"
#include "kernels_simd16.h"
#include "kernels_dot16.h"
#include "kernels_pair16.h"

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = KERNELS_SIMD16("avx2");
#else
typedef int kernels_avx2_is_empty; /* a file of ISO C is not */
#endif
