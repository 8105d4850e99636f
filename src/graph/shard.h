/* shard.h: the mesh of devices, and who holds what of the model on it. */
#ifndef SHARD_H
#define SHARD_H
#include "../io/config.h"
#include "tree.h"

enum { MAX_DEVICES = 1024 };

/* "2x4", "8", "dp2,tp4". Both axes of XxY are tensor-parallel. */
typedef struct Mesh { int rank; int dim[2]; int dp, tp; char text[32]; } Mesh;
bool mesh_parse(Mesh *mesh, const char *text, Err *err); /* NULL: one device */

typedef struct Range { int64_t first, last; } Range;

/* What one tensor-parallel device holds; an empty range is idle there. The same for each data-parallel replica. */
typedef struct DeviceShard {
    Range kv, group;   /* heads (k, g) with k in kv and g in group            */
    Range ffn, vocab;  /* columns; ffn in whole leaves, vocab in whole panels */
} DeviceShard;

/* Which mesh axes a logical axis is split over. "Replicated" is written, never a silent default. */
typedef enum AxisRule { RULE_REPLICATED, RULE_TENSOR_PARALLEL, RULE_DATA_PARALLEL } AxisRule;
typedef struct Rules { AxisRule batch, hidden, kv, group, ffn, vocab, embedding; } Rules;
extern const Rules rules_default;
AxisRule rules_of(const Rules *rules, char letter); /* of a dimension letter */

typedef struct Partition {
    Mesh mesh;
    Rules rules;
    int kv_parts, group_parts;  /* the head grid: kv_parts * group_parts devices have heads */
    DeviceShard *device;        /* [mesh.tp] */
    bool uniform;               /* every device has the same grid of heads, padded: for backends of static shapes */
    int64_t kv, group, ffn_columns, vocab_columns; /* of the device that holds most: the padded local sizes */
    Tree heads, ffn;            /* reduction trees of o_proj and down_proj                  */
    TreeNode *head_nodes, *ffn_nodes; /* what each device hands to the all-reduce, by device */
    int head_count, ffn_count;
} Partition;

/* Splits a model over a mesh: heads by the (k, g) grid that leaves the busiest device the fewest query heads, then the
 * fewest copies of key/value heads; ffn by leaves; vocab by panels of 16 rows. Any number of devices is legal.
 * `uniform`: the grid takes all devices, some of whose heads are then padding. */
bool partition_new(Partition *p, const ModelConfig *config, const Mesh *mesh, bool uniform, Err *err);
/* Local size of a dimension letter: padded where it is split. */
int64_t partition_local(const Partition *p, char letter, bool split, int64_t whole);
void partition_free(Partition *p);
const Tree *partition_tree(const Partition *p, char partial); /* of a split sum; NULL: no sum */
Range range_part(int64_t size, int parts, int part); /* as even as can be, the first ones larger */
#endif
