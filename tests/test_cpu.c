/* test_cpu.c: what base/cpu.h says about this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <string.h>
#include "../src/base/cpu.h"

/* The strongest kernels are those whose every instruction set is there. */
static void isa_follows_features(void **state) {
    (void)state;
    CpuFeatures f = cpu_features();
    const char *isa = cpu_isa_best();
    bool avx2 = f.avx2 && f.fma && f.f16c, avx512 = avx2 && f.avx512f && f.avx512bw && f.avx512vl && f.avx512dq;
    bool vnni = avx512 && f.avx512_vnni, bf16 = vnni && f.avx512_bf16;
    assert_string_equal(
        isa, bf16 ? "avx512bf16" : vnni ? "avx512vnni" : avx512 ? "avx512" : avx2 ? "avx2" : "reference");
#if defined(__x86_64__) && defined(__GNUC__)
    assert_int_equal(f.avx2, !!__builtin_cpu_supports("avx2"));
    assert_int_equal(f.fma, !!__builtin_cpu_supports("fma"));
    assert_int_equal(f.avx512f, !!__builtin_cpu_supports("avx512f"));
    assert_int_equal(f.avx512bw, !!__builtin_cpu_supports("avx512bw"));
    assert_int_equal(f.avx512vl, !!__builtin_cpu_supports("avx512vl"));
    assert_int_equal(f.avx512dq, !!__builtin_cpu_supports("avx512dq"));
    assert_int_equal(f.avx512_vnni, !!__builtin_cpu_supports("avx512vnni"));
    assert_int_equal(f.avx512_bf16, !!__builtin_cpu_supports("avx512bf16"));
#endif
}

/* Pinning leaves one core, the one asked for, counting round. */
static void pin_leaves_one_core(void **state) {
    (void)state;
    cpu_set_t before, one, again;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int cores = cpu_cores_usable();
    assert_int_equal(cores, CPU_COUNT(&before));
    assert_true(cpu_pin(cores - 1));
    assert_int_equal(sched_getaffinity(0, sizeof one, &one), 0);
    assert_int_equal(CPU_COUNT(&one), 1);
    assert_int_equal(cpu_cores_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_true(cpu_pin(2 * cores - 1));
    assert_int_equal(sched_getaffinity(0, sizeof again, &again), 0);
    assert_true(CPU_EQUAL(&one, &again));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_false(cpu_pin(-1));
}

/* Available memory is known, and no more than there is. */
static void memory_is_within_total(void **state) {
    (void)state;
    int64_t total = 0, available = cpu_memory_available(&total);
    assert_true(available > 0);
    assert_true(available <= total);
}

/* Level 1 is smaller than level 2; sizes that a test sets count until it takes them back. */
static void caches_are_plausible(void **state) {
    (void)state;
    CpuCaches own = cpu_caches();
    assert_true(own.l1 >= 8 << 10 && own.l1 < own.l2 && own.l2 <= 64 << 20);
    cpu_caches_set((CpuCaches){.l1 = 1, .l2 = 2});
    assert_int_equal(cpu_caches().l1, 1);
    assert_int_equal(cpu_caches().l2, 2);
    cpu_caches_set((CpuCaches){0});
    assert_int_equal(cpu_caches().l2, own.l2);
}

/* Memory is read faster than 0.1 and slower than 100,000 GB/s, also with more threads than cores; the time is kept. */
static void bandwidth_is_plausible(void **state) {
    (void)state;
    for (int threads = 0; threads <= 3; threads++) {
        Err err = {0};
        double start = clock_seconds(), rate = cpu_read_bandwidth(threads, 0.1, &err);
        if (err.kind) print_message("%s\n", err.text);
        assert_false(err.kind);
        assert_true(rate > 1e8 && rate < 1e14);
        assert_true(clock_seconds() - start < 600);
    }
}

/* The peaks of multiply-adds lie between 0.1 and 100,000 GFLOP/s, that of bf16 not far below the other, and two threads
 * on two cores are not slower than one. */
static void peak_is_plausible(void **state) {
    (void)state;
    Err err = {0};
    double one = cpu_fma_peak(1, 0.1, &err), two = cpu_fma_peak(2, 0.1, &err);
    assert_false(err.kind);
    assert_true(one > 1e8 && one < 1e14);
    assert_true(two > 0.5 * one && two < 1e14);
    double pairs = cpu_pair_peak(1, 0.1, &err);
    assert_true(!err.kind && pairs > 0.5 * one && pairs < 1e14);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(isa_follows_features),
        cmocka_unit_test(pin_leaves_one_core),
        cmocka_unit_test(memory_is_within_total),
        cmocka_unit_test(caches_are_plausible),
        cmocka_unit_test(bandwidth_is_plausible),
        cmocka_unit_test(peak_is_plausible),
    };
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
