/* exp16.h: exp_f32 (ops/kernels.h) of sixteen floats, over the v16 of whichever simd16_<isa>.h is included before
 * it. */
#ifndef EXP16_H
#define EXP16_H
#include <math.h>

/* Lanes out of range compute something and are then replaced. */
V16 v16 v16_exp(v16 x) {
    v16 magic = v16_all(12582912.0f);
    v16 n = v16_fma(x, v16_all(0x1.715476p+0f), magic), whole = v16_sub(n, magic);
    v16 r = v16_fma(whole, v16_all(-0x1.62e430p-1f), x);
    r = v16_fma(whole, v16_all(0x1.05c610p-29f), r);
    v16 p = v16_all(0x1.6accb6p-10f);
    p = v16_fma(p, r, v16_all(0x1.123e14p-7f));
    p = v16_fma(p, r, v16_all(0x1.555858p-5f));
    p = v16_fma(p, r, v16_all(0x1.55548cp-3f));
    p = v16_fma(p, r, v16_all(0x1.fffffcp-2f));
    p = v16_fma(p, r, v16_all(1.0f));
    p = v16_exponent(v16_fma(p, r, v16_all(1.0f)), n);
    p = v16_pick(v16_less(x, v16_all(-87.33f)), v16_all(0), p);
    p = v16_pick(v16_less(v16_all(88.72f), x), v16_all(INFINITY), p);
    return v16_pick(v16_nan(x), x, p);
}
#endif
