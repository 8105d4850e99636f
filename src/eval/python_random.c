/* python_random.c: MT19937 and what CPython's random module makes of its words. */
#include <math.h>
#include <stdlib.h>
#include "python_random.h"

enum { N = 624, M = 397 };

static void seed_word(PythonRandom *r, uint32_t s) {
    r->state[0] = s;
    for (uint32_t i = 1; i < N; i++) r->state[i] = 1812433253u * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
    r->at = N;
}

/* init_by_array over the seed's 32-bit words, the low one first; a seed of 0 is one word. */
void python_random_seed(PythonRandom *r, uint64_t seed) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t length = key[1] ? 2 : 1, i = 1, j = 0, *s = r->state;
    seed_word(r, 19650218u);
    for (int k = N; k > 0; k--) { /* N is larger than the key */
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + j;
        if (++i == N) s[0] = s[N - 1], i = 1;
        if (++j == length) j = 0;
    }
    for (int k = N - 1; k > 0; k--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == N) s[0] = s[N - 1], i = 1;
    }
    s[0] = 0x80000000u;
}

uint32_t python_random_word(PythonRandom *r) {
    if (r->at == N) {
        for (int k = 0; k < N; k++) {
            uint32_t y = (r->state[k] & 0x80000000u) | (r->state[(k + 1) % N] & 0x7fffffffu);
            r->state[k] = r->state[(k + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        r->at = 0;
    }
    uint32_t y = r->state[r->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint32_t python_random_bits(PythonRandom *r, int bits) { return python_random_word(r) >> (32 - bits); }

uint32_t python_random_below(PythonRandom *r, uint32_t n) {
    int bits = 32 - __builtin_clz(n);
    uint32_t x = python_random_bits(r, bits);
    while (x >= n) x = python_random_bits(r, bits);
    return x;
}

bool python_random_sample(PythonRandom *r, uint32_t n, uint32_t k, uint32_t *out, Err *err) {
    if (k > n) return err_set(err, "cannot draw %u of %u", k, n);
    /* CPython keeps a list when it is no larger than a set of k would be; the draws differ. */
    double set_size = 21;
    if (k > 5) set_size += pow(4, ceil(log(3.0 * k) / log(4)));
    if (n > set_size) {
        for (uint32_t i = 0; i < k; i++) {
            bool again;
            do {
                out[i] = python_random_below(r, n);
                again = false;
                for (uint32_t j = 0; j < i; j++) again = again || out[j] == out[i];
            } while (again);
        }
        return true;
    }
    uint32_t *pool = mem_new(n ? n : 1, sizeof *pool, "a draw", err);
    if (!pool) return false;
    for (uint32_t i = 0; i < n; i++) pool[i] = i;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t j = python_random_below(r, n - i);
        out[i] = pool[j];
        pool[j] = pool[n - i - 1];
    }
    free(pool);
    return true;
}
