/* test_lanes.c: sums over the rows of a step: for every number of sequences and every cut into passes and pieces, the
 * sum is what the law of ops/lanes.h says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/ops/lanes.h"
#include "fixture.h"

enum { MOST = 40, COLUMNS = 3 };

/* The law, plainly: chains, then a tree of those lanes that have a sequence. */
static float tree_of(const float *lane, const bool *has, int first, int size, bool *any) {
    if (size == 1) return *any = has[first], lane[first];
    bool left, right;
    float a = tree_of(lane, has, first, size / 2, &left), b = tree_of(lane, has, first + size / 2, size / 2, &right);
    *any = left || right;
    return left && right ? a + b : left ? a : b;
}

typedef struct Values { const float *x; int64_t from; } Values; /* row `from` of all is the list's first */
static void chain(void *of, const LaneRun *run, float *acc) {
    const Values *v = of;
    for (int64_t t = run->first; t < run->last; t++)
        for (int c = 0; c < COLUMNS; c++) acc[c] += v->x[v->from + t] * (float)(c + 1);
}

/* n sequences of some rows, `pass` at a time, whose rows go `piece` at a time. */
static void one_way(int64_t n, int64_t pass, int64_t piece, const float *x, const int64_t *begins, const float *want) {
    float slots[LANE_SLOTS][COLUMNS], scratch[LANE_SLOTS * COLUMNS], *slot[LANE_SLOTS];
    int kept = 0;
    for (int s = 0; s < LANE_SLOTS; s++) slot[s] = slots[s];
    memset(slots, 0x7f, sizeof slots);
    for (int64_t from = 0; from < n; from += pass) {
        int64_t to = from + pass < n ? from + pass : n, at[MOST + 1];
        for (int64_t i = from; i <= to; i++) at[i - from] = begins[i] - begins[from];
        int64_t rows = begins[to] - begins[from];
        LanePlan whole, plan;
        lanes_plan(&whole, n, from, to, at);
        assert_int_equal(whole.held, kept);
        for (int64_t first = 0, last; first == 0 || first < rows; first = last) {
            last = first + piece < rows ? first + piece : rows;
            lanes_cut(&whole, first, last, last == rows, kept, &plan);
            assert_true(plan.held == kept && plan.kept <= LANE_SLOTS);
            lanes_fold(&plan, slot, 0, COLUMNS, scratch, chain, &(Values){x, begins[from] + first});
            kept = plan.kept;
            if (last == rows) break;
        }
        assert_int_equal(kept, whole.kept);
    }
    assert_int_equal(kept, 1);
    if (memcmp(slots[0], want, sizeof slots[0]))
        fail_msg("%lld sequences, %lld a pass, %lld rows a piece: %.9g, not %.9g", (long long)n, (long long)pass,
                 (long long)piece, (double)slots[0][0], (double)want[0]);
}

/* The same by processes that have so many lanes each, the passes of each of its own. */
static void by_spans(int64_t n, const LaneSpan *span, int spans, int64_t pass, const float *x, const int64_t *begins,
                     const float *want) {
    float slots[LANES][LANE_SLOTS][COLUMNS], scratch[LANE_SLOTS * COLUMNS], stack[LANES][COLUMNS];
    int kept[LANES] = {0}, top = 0;
    for (int p = 0; p < spans; p++) {
        float *slot[LANE_SLOTS];
        int64_t from = 0, last;
        for (int s = 0; s < LANE_SLOTS; s++) slot[s] = slots[p][s];
        while (from < n && lane_of(from, n) < span[p].first) from++;
        for (last = from; last < n && lane_of(last, n) < span[p].last;) last++;
        for (int64_t to; from < last; from = to) {
            LanePlan plan;
            to = from + pass < last ? from + pass : last;
            lanes_plan_of(&plan, span[p], n, from, to, begins + from);
            assert_true(plan.held == kept[p] && plan.kept <= LANE_SLOTS);
            lanes_fold(&plan, slot, 0, COLUMNS, scratch, chain, &(Values){x, 0});
            kept[p] = plan.kept;
        }
    }
    LaneFinish f;
    lanes_finish(&f, span, spans, n);
    for (int i = 0; i < f.steps; i++) {
        if (f.step[i] >= 0) {
            assert_true(f.slot[f.step[i]] < kept[f.span[f.step[i]]]);
            memcpy(stack[top++], slots[f.span[f.step[i]]][f.slot[f.step[i]]], sizeof *stack);
            continue;
        }
        top--;
        for (int c = 0; c < COLUMNS; c++) stack[top - 1][c] += stack[top][c];
    }
    for (int p = 0; p < spans; p++) f.sums -= kept[p];
    assert_true(top == 1 && f.sums == 0);
    assert_memory_equal(stack[0], want, sizeof stack[0]);
}

/* As replicas that processes have whole may be dealt. */
static const LaneSpan dealt[][LANES] = {{{0, 4}, {4, 8}}, {{0, 2}, {2, 5}, {5, 8}}, {{0, 2}, {2, 4}, {4, 6}, {6, 8}},
                                        {{0, 3}, {3, 8}}, {{0, 2}, {2, 8}}, {{0, 3}, {3, 6}, {6, 8}}, {{0, 7}, {7, 8}},
                                        {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}}};

static void every_cut(void **state) {
    (void)state;
    float x[MOST * 5];
    for (int i = 0; i < MOST * 5; i++) x[i] = ((float)random_below(2000001) / 1000 - 1000) / 7;
    for (int64_t n = 1; n < MOST; n++) {
        int64_t begins[MOST + 1] = {0};
        for (int64_t i = 0; i < n; i++) begins[i + 1] = begins[i] + random_below(5); /* some have no row */
        float want[COLUMNS];
        double values[MOST * 5], sum = 0, plain = 0;
        for (int c = 0; c < COLUMNS; c++) {
            float lane[LANES] = {0};
            bool has[LANES] = {false}, any;
            for (int64_t i = 0; i < n; i++) {
                has[lane_of(i, n)] = true;
                for (int64_t t = begins[i]; t < begins[i + 1]; t++) lane[lane_of(i, n)] += x[t] * (float)(c + 1);
            }
            want[c] = tree_of(lane, has, 0, LANES, &any);
        }
        for (int64_t pass = 1; pass <= n; pass++)
            for (int64_t piece = 1; piece <= 12; piece++) one_way(n, pass, piece, x, begins, want);
        for (size_t d = 0; d < sizeof dealt / sizeof *dealt; d++)
            for (int64_t pass = 1, spans = 0; pass <= n; pass++) {
                for (spans = 0; spans < LANES && dealt[d][spans].last;) spans++;
                by_spans(n, dealt[d], (int)spans, pass, x, begins, want);
            }
        for (int64_t t = 0; t < begins[n]; t++) values[t] = (double)x[t], plain += values[t];
        sum = lanes_sum(values, n, begins);
        assert_true(sum - plain < 1e-9 && plain - sum < 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
