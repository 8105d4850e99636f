/* rank_groups.h: the devices of a mesh over several processes (ranks), as training needs them: ranks in groups that each
 * have whole replicas, in order, and with them whole lanes of every sum over rows (ops/lanes.h). Either every rank is a
 * group, or a group is one replica, which all groups share among their ranks in the same way. */
#ifndef RANK_GROUPS_H
#define RANK_GROUPS_H
#include "../ops/lanes.h"
#include "mesh.h"
#include "tree.h"

/* Devices of all replicas, in order, are dealt to ranks in order, as evenly as can be: those of a replica that a rank
 * has; first == last: none. */
Range rank_devices(const Mesh *mesh, int ranks, int rank, int replica);

typedef struct RankGroups {
    int rank, ranks;
    int groups, parts; /* parts: ranks of each group; rank r is part r % parts of group r / parts */
    int spans, group[LANES]; /* groups that have lanes, in order, and ... */
    LaneSpan span[LANES];    /* ... which */
} RankGroups;

/* False: the ranks make no such groups. */
bool rank_groups(RankGroups *g, const Mesh *mesh, int rank, int ranks, Err *err);
static inline int rank_group(const RankGroups *g) { return g->rank / g->parts; }
LaneSpan rank_lanes(const RankGroups *g, int group); /* first == last: it has none */
int mesh_lane_replica(const Mesh *mesh, int lane); /* which replica has a lane; up to LANES sequences: one each */
#endif
