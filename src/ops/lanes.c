/* lanes.c: see lanes.h. */
#include "lanes.h"

int lane_of(int64_t sequence, int64_t n) { return (int)(sequence * LANES / n); }

/* The first sequence of a lane, or of a later one if it has none. */
static int64_t lane_first(int lane, int64_t n) { return (lane * n + LANES - 1) / LANES; }

/* Of the subtree of `size` lanes from `first` on, of which those below `lane` are summed: how many sums it holds. */
static int stacked(int first, int size, int lane, int64_t n) {
    bool empty = lane_first(first, n) >= lane_first(first + size < lane ? first + size : lane, n);
    if (empty || first >= lane) return 0;
    if (first + size <= lane || size == 1) return 1;
    return stacked(first, size / 2, lane, n) + stacked(first + size / 2, size / 2, lane, n);
}

void lanes_plan(LanePlan *plan, int64_t n, int64_t from, int64_t to, const int64_t *begins) {
    *plan = (LanePlan){0};
    for (int64_t s = from; s < to;) {
        int lane = lane_of(s, n), below = stacked(0, LANES, lane, n), next = lane + 1;
        int64_t end = lane_first(next, n), last = end < to ? end : to;
        while (next < LANES && lane_first(next, n) == lane_first(next + 1, n)) next++; /* what follows and is empty */
        plan->run[plan->count++] = (LaneRun){.first = begins[s - from],
                                             .last = begins[last - from],
                                             .slot = below,
                                             .fresh = s == lane_first(lane, n),
                                             .adds = last < end ? 0 : below + 1 - stacked(0, LANES, next, n)};
        if (s == from) plan->held = below + !plan->run[0].fresh;
        plan->kept = last < end ? below + 1 : stacked(0, LANES, next, n);
        s = last;
    }
}

double lanes_sum(const double *values, int64_t n, const int64_t *begins) {
    LanePlan plan;
    double slot[LANE_SLOTS + 1] = {0};
    lanes_plan(&plan, n, 0, n, begins);
    for (int i = 0; i < plan.count; i++) {
        const LaneRun *r = &plan.run[i];
        int top = r->slot;
        slot[top] = 0;
        for (int64_t t = r->first; t < r->last; t++) slot[top] += values[t];
        for (int k = 0; k < r->adds; k++, top--) slot[top - 1] += slot[top];
    }
    return slot[0];
}
