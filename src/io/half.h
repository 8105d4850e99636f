/* half.h: numbers of 16 bits with 5 of exponent (IEEE 754 binary16), for loops that shall become vector code. */
#ifndef HALF_H
#define HALF_H
#include <stdint.h>

typedef union Bits { uint32_t u; float f; } Bits;

/* By masks, so that loops over it become vector code. The exponent is moved by 112, twice for infinity and NaN. A
 * subnormal half is m * 2^-24: with its bits placed under the exponent of 2^-14 the value is 2^-14 + m * 2^-24, and the
 * subtraction is exact; no subnormal float is ever formed, so flush-to-zero modes do not matter. NaN becomes quiet, as
 * in the F16C instructions. */
static inline float half_to_float(uint16_t h) {
    uint32_t body = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t subnormal = 0u - (body < 1u << 23), special = 0u - (body >= 0x0f800000), nan = 0u - (body > 0x0f800000);
    Bits tiny = {.u = body + (113u << 23)}, least = {.u = 113u << 23};
    tiny.f -= least.f;
    uint32_t u = body + (112u << 23) + (special & 112u << 23);
    u = (u & ~subnormal) | (tiny.u & subnormal) | (nan & 0x00400000) | sign;
    return (Bits){.u = u}.f;
}
#endif
