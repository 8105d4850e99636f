/* python_random.h: Python's random.Random for integer seeds: the draws of few-shot examples are those that lm-eval
 * makes. MT19937 (Matsumoto and Nishimura 1998), seeded by array as CPython does; sample() as in CPython 3.11 and
 * later. */
#ifndef PYTHON_RANDOM_H
#define PYTHON_RANDOM_H
#include "../base/base.h"

typedef struct PythonRandom { uint32_t state[624]; int at; } PythonRandom;

void python_random_seed(PythonRandom *r, uint64_t seed);
uint32_t python_random_word(PythonRandom *r);                /* getrandbits(32)                   */
uint32_t python_random_bits(PythonRandom *r, int bits);      /* getrandbits(bits), 1..32          */
uint32_t python_random_below(PythonRandom *r, uint32_t n);   /* _randbelow(n), n >= 1             */
/* sample(range(n), k) into out [k]; 0 <= k <= n < 2^31. False when out of memory or k > n. */
bool python_random_sample(PythonRandom *r, uint32_t n, uint32_t k, uint32_t *out, Err *err);
#endif
