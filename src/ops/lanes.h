/* lanes.h: the order of sums over the rows of a training step, which is the same on every mesh, for every split of the
 * step into passes, and for every number of threads.
 *
 * A step has n sequences (packed rows count as one); sequence i goes to lane i * LANES / n. A lane is one chain: its
 * sequences in order, their rows in order, one fmaf (or sum) each, from 0. Lanes are joined by a binary tree, left +
 * right; lanes without a sequence are left out. So a replica may own whole lanes, a pass may end after any sequence, and
 * at most LANE_SLOTS partial sums are held between passes: a stack, on whose top the lane at hand goes on.
 */
#ifndef LANES_H
#define LANES_H
#include "../base/base.h"

enum { LANES = 8, LANE_SLOTS = 4 };

/* What a run over rows adds to a sum: rows [first, last) of its list, chained onto slot `slot`, which starts at 0 if
 * `fresh`. Then `adds` times: the slot below the top becomes itself + the top, and is the top. */
typedef struct LaneRun { int64_t first, last; int slot, adds; bool fresh; } LaneRun;

/* held: sums are there from earlier runs in slots [0, held); kept: in [0, kept) afterwards. */
typedef struct LanePlan { LaneRun run[LANES]; int count, held, kept; } LanePlan;

/* The runs over sequences [from, to) of a step of n, in order: pass after pass from 0 to n. begins[i] .. begins[i + 1]:
 * rows of sequence from + i in the list. */
void lanes_plan(LanePlan *plan, int64_t n, int64_t from, int64_t to, const int64_t *begins);

/* Lanes [first, last) that one process sums up where several share a step. It joins those that the tree joins without
 * others: the sums it is left with lie in its slots in order. */
typedef struct LaneSpan { int first, last; } LaneSpan;
void lanes_plan_of(LanePlan *plan, LaneSpan own, int64_t n, int64_t from, int64_t to, const int64_t *begins);
/* How the sums that spans, which follow each other and have all lanes, are left with become that of the step: a step
 * >= 0 pushes that one of them, slot[] of the process of span[]; -1 adds the two on top. */
typedef struct LaneFinish { int sums, span[LANES], slot[LANES], steps, step[2 * LANES]; } LaneFinish;
void lanes_finish(LaneFinish *finish, const LaneSpan *span, int spans, int64_t n);

/* Folds numbers [at, at + n) of a sum that is held in `slot`: chain(of, run, acc) adds the rows of a run to acc[n], which
 * is in scratch, [LANE_SLOTS][n]. Only slots that the plan holds are read, only those it keeps are written. */
void lanes_fold(const LanePlan *plan, float *const *slot, int64_t at, int64_t n, float *scratch,
                void (*chain)(void *of, const LaneRun *run, float *acc), void *of);
/* What of a plan falls on rows [first, last) of its list, which are counted from 0 there: a list may be run in several
 * pieces, from its first row to its last. end: no piece follows. kept: sums that earlier pieces have left. */
void lanes_cut(const LanePlan *plan, int64_t first, int64_t last, bool end, int kept, LanePlan *out);
int lane_of(int64_t sequence, int64_t n);
/* Sums `values` of rows, which are a list of all n sequences of a step, in this order. */
double lanes_sum(const double *values, int64_t n, const int64_t *begins);
#endif
