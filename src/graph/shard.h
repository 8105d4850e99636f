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
    int64_t sequences;          /* of partition_sequences */
} Partition;

/* Splits a model over a mesh: heads by the (k, g) grid that leaves the busiest device the fewest query heads, then the
 * fewest copies of key/value heads; ffn by leaves; vocab by panels of 16 rows. Any number of devices is legal.
 * `uniform`: the grid takes all devices, some of whose heads are then padding. */
bool partition_new(Partition *p, const ModelConfig *config, const Mesh *mesh, bool uniform, Err *err);
/* For programs that sum over the rows of a step, as gradients of weights are: its sequences, numbered from 0, are dealt
 * to the replicas in order, and summed by a tree of them. May be called again for another number. */
bool partition_sequences(Partition *p, int64_t sequences, Err *err);
/* The slot that a sequence is to be in, for its replica to be the one that has it: the same sum on every mesh. */
int64_t partition_slot(const Partition *p, int64_t sequence);
void partition_free(Partition *p);

/* What of an axis a device of a replica holds; of rows: which sequences replica `device` has. THE question. */
Range partition_range(const Partition *p, char letter, int device);
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
