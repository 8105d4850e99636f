/* kernels_avx512bf16.c: activations in bf16 where AVX-512 has the instruction for it; all else is as in
 * kernels_avx512vnni.c. Compiled with those flags, so nothing here may run before kernels_select has seen the CPU. */
#if defined(__x86_64__)
#include "simd16_avx512.h"
#include "kernels_pair16.h"

extern const Kernels kernels_avx512bf16;
const Kernels kernels_avx512bf16 = {KERNELS_PAIR16};
#else
typedef int kernels_avx512bf16_is_empty; /* a file of ISO C is not */
#endif
