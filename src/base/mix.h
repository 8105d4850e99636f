/* mix.h: draws that are functions of a key: of a seed and counters, never of a state or of who asks. */
#ifndef MIX_H
#define MIX_H
#include <stdint.h>

/* A step of splitmix64 and its finaliser (Steele, Lea & Flood 2014): rounds of it over the parts of a key are a draw. */
static inline uint64_t mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
/* The upper bits of one as a number in [0, 1). */
static inline double mix_unit(uint64_t draw) { return (double)(draw >> 11) * 0x1p-53; }
#endif
