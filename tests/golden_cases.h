/* golden_cases.h: the causal models of tests/golden, a row each: a new one is tested by the library and `forward`. */
#ifndef GOLDEN_CASES_H
#define GOLDEN_CASES_H
#include "../src/eval/head_loss.h"

/* `forward`: the options with which the command is run. */
static const struct GoldenCase { const char *name, *forward; } golden_cases[] = {
    {"tiny", "--mesh 5x3"},        {"heads28-4", "--mesh 8x4"}, {"heads14-2", ""},        {"llama-9-3", "--mesh 1x8"},
    {"qwen3-6-3", "--mesh 1x8"},   {"qwen3-10-2t", "--mesh 2x4"}, {"sliding", "--mesh 2x4"}, {"yarn", ""},
    {"linear", "--rows 7"},        {"dynamic", "--rows 3"},     {"llama3", ""},
};
enum { GOLDEN_CASES = sizeof golden_cases / sizeof *golden_cases };

/* Puts a test of `run` for every case, which is its state, before the others of a group. */
static inline int golden_tests(struct CMUnitTest *all, CMUnitTestFunction run, const struct CMUnitTest *others,
                               int count) {
    for (int i = 0; i < GOLDEN_CASES; i++)
        all[i] = (struct CMUnitTest){.name = golden_cases[i].name, .test_func = run,
                                     .initial_state = (void *)(uintptr_t)&golden_cases[i]};
    for (int i = 0; i < count; i++) all[GOLDEN_CASES + i] = others[i];
    return GOLDEN_CASES + count;
}
#endif
