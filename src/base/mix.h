/* mix.h: draws that are functions of a key: of a seed and counters, never of a state or of who asks. */
#ifndef MIX_H
#define MIX_H
#include <stdint.h>

/* A step of splitmix64 and its finaliser (Steele, Lea & Flood 2014): rounds of it over the parts of a key are a draw. */
#define MIX_STEP 0x9e3779b97f4a7c15u
#define MIX_FIRST 0xbf58476d1ce4e5b9u
#define MIX_SECOND 0x94d049bb133111ebu
static inline uint64_t mix64(uint64_t x) {
    x += MIX_STEP;
    x = (x ^ (x >> 30)) * MIX_FIRST;
    x = (x ^ (x >> 27)) * MIX_SECOND;
    return x ^ (x >> 31);
}
/* The upper bits of one as a number in [0, 1). */
static inline double mix_unit(uint64_t draw) { return (double)(draw >> 11) * 0x1p-53; }
#endif
