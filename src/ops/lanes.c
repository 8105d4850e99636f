/* lanes.c: see lanes.h. */
#include <string.h>
#include "lanes.h"

int lane_of(int64_t sequence, int64_t n) { return (int)(sequence * LANES / n); }

/* The first sequence of a lane, or of a later one if it has none. */
static int64_t lane_first(int lane, int64_t n) { return (lane * n + LANES - 1) / LANES; }

/* Of the subtree of `size` lanes from `first` on, of which those of `own` below `lane` are summed: how many sums it
 * holds. One that is not all of `own` is left in parts. */
static int stacked(LaneSpan own, int first, int size, int lane, int64_t n) {
    int from = first > own.first ? first : own.first, to = first + size < own.last ? first + size : own.last;
    if (to > lane) to = lane;
    if (from >= to || lane_first(from, n) >= lane_first(to, n)) return 0;
    bool all = first >= own.first && first + size <= own.last;
    if (size == 1 || (all && first + size <= lane)) return 1;
    return stacked(own, first, size / 2, lane, n) + stacked(own, first + size / 2, size / 2, lane, n);
}

void lanes_plan_of(LanePlan *plan, LaneSpan own, int64_t n, int64_t from, int64_t to, const int64_t *begins) {
    *plan = (LanePlan){0};
    for (int64_t s = from; s < to;) {
        int lane = lane_of(s, n), below = stacked(own, 0, LANES, lane, n), next = lane + 1;
        int64_t end = lane_first(next, n), last = end < to ? end : to;
        while (next < own.last && lane_first(next, n) == lane_first(next + 1, n))
            next++; /* what follows and is empty */
        int after = stacked(own, 0, LANES, next, n);
        plan->run[plan->count++] = (LaneRun){.first = begins[s - from],
                                             .last = begins[last - from],
                                             .slot = below,
                                             .fresh = s == lane_first(lane, n),
                                             .adds = last < end ? 0 : below + 1 - after};
        if (s == from) plan->held = below + !plan->run[0].fresh;
        plan->kept = last < end ? below + 1 : after;
        s = last;
    }
}

void lanes_plan(LanePlan *plan, int64_t n, int64_t from, int64_t to, const int64_t *begins) {
    lanes_plan_of(plan, (LaneSpan){0, LANES}, n, from, to, begins);
}

/* Pushes the sums of a subtree and adds them up; false: it has none. */
static bool finish_tree(LaneFinish *f, const LaneSpan *span, int spans, int first, int size, int64_t n) {
    int of = 0;
    if (lane_first(first, n) >= lane_first(first + size, n)) return false;
    while (of < spans && (span[of].first > first || span[of].last < first + size)) of++;
    if (of < spans) {
        int slot = 0;
        for (int i = 0; i < f->sums; i++) slot += f->span[i] == of;
        f->span[f->sums] = of;
        f->slot[f->sums] = slot;
        f->step[f->steps++] = f->sums++;
        return true;
    }
    bool left = finish_tree(f, span, spans, first, size / 2, n),
         right = finish_tree(f, span, spans, first + size / 2, size / 2, n);
    if (left && right) f->step[f->steps++] = -1;
    return left || right;
}

void lanes_finish(LaneFinish *f, const LaneSpan *span, int spans, int64_t n) {
    *f = (LaneFinish){0};
    finish_tree(f, span, spans, 0, LANES, n);
}

void lanes_cut(const LanePlan *plan, int64_t first, int64_t last, bool end, int kept, LanePlan *out) {
    *out = (LanePlan){.held = kept, .kept = kept};
    for (int i = 0; i < plan->count; i++) {
        const LaneRun *r = &plan->run[i];
        bool begins = r->first >= first && (r->first < last || end),
             ends = r->last <= last && (r->last > first || begins);
        if (!begins && (r->last <= first || r->first >= last)) continue;
        LaneRun *cut = &out->run[out->count++];
        *cut = *r;
        cut->first = begins ? r->first - first : 0;
        cut->last = (r->last < last ? r->last : last) - first;
        cut->fresh = begins && r->fresh;
        cut->adds = ends ? r->adds : 0;
        out->kept = r->slot + 1 - cut->adds;
    }
}

void lanes_fold(const LanePlan *plan, float *const *slot, int64_t at, int64_t n, float *scratch,
                void (*chain)(void *of, const LaneRun *run, float *acc), void *of) {
    bool loaded[LANE_SLOTS] = {false};
    for (int i = 0; i < plan->count; i++) {
        const LaneRun *r = &plan->run[i];
        int top = r->slot;
        float *acc = scratch + top * n;
        if (r->fresh) memset(acc, 0, (size_t)n * sizeof *acc);
        else if (!loaded[top]) memcpy(acc, slot[top] + at, (size_t)n * sizeof *acc);
        loaded[top] = true;
        chain(of, r, acc);
        for (int k = 0; k < r->adds; k++, top--) {
            const float *right = scratch + top * n;
            float *left = scratch + (top - 1) * n;
            const float *from = loaded[top - 1] ? left : slot[top - 1] + at;
            for (int64_t j = 0; j < n; j++) left[j] = from[j] + right[j];
            loaded[top - 1] = true;
        }
    }
    for (int s = 0; s < plan->kept; s++)
        if (loaded[s]) memcpy(slot[s] + at, scratch + s * n, (size_t)n * sizeof *scratch);
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
