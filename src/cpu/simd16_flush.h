/* simd16_flush.h: v16_flush of kernels_pair16.h where products are fused multiply-adds, which flush only if told to. */
#ifndef SIMD16_FLUSH_H
#define SIMD16_FLUSH_H
#include <immintrin.h>

enum { DENORMALS_ARE_ZEROS = 0x40 }; /* of MXCSR; <pmmintrin.h> has it under SSE3 only */

static inline unsigned v16_flush(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON | DENORMALS_ARE_ZEROS);
    return before;
}
static inline void v16_flush_end(unsigned before) { _mm_setcsr(before); }
#endif
