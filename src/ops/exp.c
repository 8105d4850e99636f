/* exp.c: the one exponential of the program: see kernels.h. */
#include <math.h>
#include "kernels.h"

/* Coefficients: dev/exp_minimax.c. 12582912 = 1.5 * 2^23: adding it rounds to an integer and leaves n in the low bits,
 * so that a shift by 23 puts n where an exponent is. */
float exp_f32(float x) {
    if (x < -87.33f) return 0;
    if (x > 88.72f) return INFINITY;
    if (x != x) return x;
    union { float f; uint32_t u; } n = {.f = fmaf(x, 0x1.715476p+0f, 12582912.0f)}, e;
    float whole = n.f - 12582912.0f;
    float r = fmaf(whole, -0x1.62e430p-1f, x); /* ln 2 = 0x1.62e430p-1 - 0x1.05c610p-29 */
    r = fmaf(whole, 0x1.05c610p-29f, r);
    float p = 0x1.6accb6p-10f;
    p = fmaf(p, r, 0x1.123e14p-7f);
    p = fmaf(p, r, 0x1.555858p-5f);
    p = fmaf(p, r, 0x1.55548cp-3f);
    p = fmaf(p, r, 0x1.fffffcp-2f);
    p = fmaf(p, r, 1.0f);
    e.f = fmaf(p, r, 1.0f);
    e.u += n.u << 23;
    return e.f;
}
