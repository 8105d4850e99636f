/* shard.h: who holds what of a model on a mesh. */
#ifndef SHARD_H
#define SHARD_H
#include "axis.h"
#include "mesh.h"

/* A split sum: the order it goes by, and the subtrees that each device hands to the all-reduce, by device. */
typedef struct SumTree { Tree tree; TreeNode *nodes; int count; } SumTree;

typedef struct Partition {
    Mesh mesh;
    AxisGrid grid;              /* the head grid: kv_parts * group_parts devices have heads */
    bool uniform;               /* every device has the same grid of heads, padded: for backends of static shapes */
    int64_t size[AXES];         /* of the axes of the model, in the order of axis_table; 0: of the step */
    int64_t most[AXES];         /* of the device that holds most: the padded local sizes */
    Range (*held)[AXES];        /* [mesh.tp] what each device has, the same in every replica; empty: idle there */
    SumTree sum[SUMS];          /* in the order of sum_table; levels 0 and no nodes: not made */
} Partition;

/* Splits a model over a mesh: heads by the (k, g) grid that leaves the busiest device the fewest query heads, then the
 * fewest copies of key/value heads; ffn by leaves; vocab by panels of 16 rows. Any number of devices is legal.
 * `uniform`: the grid takes all devices, some of whose heads are then padding. */
bool partition_new(Partition *p, const ModelConfig *config, const Mesh *mesh, bool uniform, Err *err);
/* The sequences of a training step, numbered from 0, are dealt to the replicas by whole lanes (ops/lanes.h): the slot
 * that sequence `sequence` of `count` is to be in, of which `held` slots of its replica hold others. */
int64_t partition_slot(const Partition *p, int64_t sequence, int64_t count, int64_t held);
void partition_free(Partition *p);

/* What of an axis of the model a device of a replica holds. THE question. */
Range partition_range(const Partition *p, char letter, int device);
/* Whether some device, or replica, holds less than all of an axis. */
bool partition_shared(const Partition *p, char letter);
/* Local size of a dimension letter: padded where it is split. */
int64_t partition_local(const Partition *p, char letter, bool split, int64_t whole);
/* The sum over the letters of a partial value; NULL: none. */
const SumTree *partition_sum(const Partition *p, const char *partial);

/* Elements [from, from + count) of a dimension stand at [to, to + count) of a device's. */
typedef struct Segment { int64_t from, to, count; } Segment;
typedef struct Segments {
    Segment *list;  /* in order */
    int count;
    size_t capacity;
    int64_t apart;  /* segments on two sides of a multiple of this belong to two key/value heads; 0: nowhere so */
} Segments;
/* Where device `device` has its part of a dimension of these letters, of which `split` are split. Appended to *out,
 * which starts empty and whose list the caller frees. Nothing, where the device holds only padding. */
bool partition_segments(const Partition *p, const char *letters, const char *split, int device, Segments *out,
                        Err *err);
/* From the first element to the last that it has there: at least its part. */
Range partition_hull(const Partition *p, const char *letters, const char *split, int device);
#endif
