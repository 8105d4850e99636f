/* program.h: the graph as one device's program: the same operations, with collectives where a split sum is due. Both
 * backends run it. The form is the same on every mesh, one device included, so that sums have one order everywhere. */
#ifndef PROGRAM_H
#define PROGRAM_H
#include "graph.h"
#include "shard.h"

typedef struct Program {
    Graph graph;                 /* nodes in order of execution, collectives included */
    const Partition *partition;  /* outlives the program                              */
    Tensor *map;                 /* node of the model graph -> node here              */
    int map_count;
} Program;

/* Propagates the splits of weights through every op's factor string. A dimension that must stay whole but is split is
 * an error naming the op. */
bool program_new(Program *p, const Graph *graph, const Partition *partition, Err *err);
void program_free(Program *p);
Tensor program_tensor(const Program *p, Tensor of_graph);

/* Size of a dimension on one device: every split letter at its local size. */
int64_t program_local(const Program *p, const Node *n, int dim, int device);
/* Whether the letter of a node's result (or of a weight, as used by `user`) is split. */
bool program_weight_split(const Program *p, const Node *user, int input, char split[MAX_LETTERS + 1], Err *err);
/* The tree a node's partial value is a sum over; NULL: it is none, as pairs of an argmax are not. */
const SumTree *program_sum(const Program *p, const Node *n);
/* One line per operation with local shapes of `device`; collectives stand out. */
void program_text(const Program *p, int device, Text *out);
/* Collectives of one step, and the f32 bytes each row hands to them on one device. */
int program_collectives(const Program *p, const char *op);
#endif
