/* kernels_avx512vnni.c: the products in 8 bits where AVX-512 has VNNI; all else is as in kernels_avx512.c. Compiled
 * with those flags, so nothing here may run before kernels_select has seen the CPU. */
#if defined(__x86_64__)
#include "simd16_avx512.h"
#include "kernels_dot16.h"

extern const Kernels kernels_avx512vnni;
const Kernels kernels_avx512vnni = {.dot = DOT_TABLE, .quantise = quantise};
#else
typedef int kernels_avx512vnni_is_empty; /* a file of ISO C is not */
#endif
