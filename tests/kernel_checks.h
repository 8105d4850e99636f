/* kernel_checks.h: what tests of kernels share: their inputs, and the tables under test, one of which is the template
 * over plain C. */
#ifndef KERNEL_CHECKS_H
#define KERNEL_CHECKS_H
#include "kernel_numbers.h"
#define INLINE static inline
#define UNROLL
#include "simd16_plain.h"
#include "../src/cpu/kernels_simd16.h"
#include "../src/cpu/kernels_dot16.h"
#include "../src/cpu/kernels_pair16.h"

/* The template over plain C: its logic, apart from any instruction set. */
static const Kernels kernels_plain = KERNELS_SIMD16("plain");

/* ---- The tables under test --------------------------------------------------------------------------------------- */

typedef void Check(const Kernels *k);

/* Runs a check on the plain template and on every table of this CPU; every_table_ran names those it lacks. */
static inline void on_every_table(Check *check) {
    check(&kernels_plain);
    for (int i = 0; kernels_name(i); i++) {
        const Kernels *k = kernels_select(kernels_name(i), NULL);
        if (k) check(k);
    }
}
#endif
