/* rank_groups.c: see rank_groups.h. */
#include "axis.h"
#include "rank_groups.h"

Range rank_devices(const Mesh *mesh, int ranks, int rank, int replica) {
    Range all = range_part((int64_t)mesh->dp * mesh->tp, ranks, rank);
    int64_t zero = (int64_t)replica * mesh->tp, first = all.first - zero, last = all.last - zero;
    if (first < 0) first = 0;
    if (last > mesh->tp) last = mesh->tp;
    return first < last ? (Range){first, last} : (Range){0, 0};
}

int mesh_lane_replica(const Mesh *mesh, int lane) { return ((lane + 1) * mesh->dp - 1) / LANES; }

static bool same(Range a, Range b) { return a.first == b.first && a.last == b.last; }

/* Whether rank r has all of its replicas, and they are its group's: of one rank, or, if `parts` > 1, all of one. */
static bool rank_fits(const RankGroups *g, const Mesh *mesh, int r) {
    int held = 0;
    for (int replica = 0; replica < mesh->dp; replica++) {
        Range mine = rank_devices(mesh, g->ranks, r, replica);
        if (mine.first == mine.last) continue;
        held++;
        if (g->parts == 1 ? !same(mine, (Range){0, mesh->tp})
                          : replica != r / g->parts || !same(mine, rank_devices(mesh, g->ranks, r % g->parts, 0)))
            return false;
    }
    return held > 0 && (g->parts == 1 || held == 1);
}

static int group_of(const RankGroups *g, const Mesh *mesh, int replica) {
    for (int r = 0; r < g->ranks; r++) {
        Range d = rank_devices(mesh, g->ranks, r, replica);
        if (d.first < d.last) return r / g->parts;
    }
    return 0;
}

bool rank_groups(RankGroups *g, const Mesh *mesh, int rank, int ranks, Err *err) {
    *g = (RankGroups){.rank = rank, .ranks = ranks, .parts = 1};
    while (g->parts < ranks) { /* ranks of replica 0 */
        Range next = rank_devices(mesh, ranks, g->parts, 0);
        if (next.first == next.last) break;
        g->parts++;
    }
    g->groups = ranks / g->parts;
    bool fits = ranks % g->parts == 0;
    for (int r = 0; fits && r < ranks; r++) fits = rank_fits(g, mesh, r);
    if (!fits)
        return err_as(err, QM_USAGE,
                      "mesh %s over %d processes: to train, each expects whole replicas, or its part of one",
                      mesh->text, ranks);
    for (int lane = 0; lane < LANES; lane++) {
        int of = group_of(g, mesh, mesh_lane_replica(mesh, lane));
        if (!g->spans || g->group[g->spans - 1] != of) {
            g->group[g->spans] = of;
            g->span[g->spans++].first = lane;
        }
        g->span[g->spans - 1].last = lane + 1;
    }
    return true;
}

LaneSpan rank_lanes(const RankGroups *g, int group) {
    for (int i = 0; i < g->spans; i++)
        if (g->group[i] == group) return g->span[i];
    return (LaneSpan){0, 0};
}
