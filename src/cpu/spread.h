/* spread.h: which devices of the mesh this process (rank) has, which subtrees of a split sum it adds up, and what it
 * tells the other ranks between phases.
 *
 * The devices of all replicas, in order, are dealt to ranks in order, as evenly as can be. A rank adds up the largest
 * subtrees that all of its devices hold together, so that an all-reduce hands over the fewest values: by the fixed tree
 * the bits are the same. One exchange per all-reduce: every rank of a replica gets the subtrees of the others. */
#ifndef SPREAD_H
#define SPREAD_H
#include "../graph/program.h"
#include "../graph/rank_groups.h"
#include "../base/transport.h"

/* The blocks of a partial sum in one replica, ordered by who makes them, and how they finish. */
typedef struct Sums {
    TreeNode *nodes; /* device: that of the mesh, or with several ranks the rank */
    int count;
    int *finish, finish_count; /* of tree_finish */
} Sums;

enum { PACKED_FLOATS = 1 << 16 };

typedef struct Spread {
    const Partition *partition;
    int rank, ranks;
    RankGroups groups;   /* of a program that trains; else one group of one part */
    Sums (*sums)[SUMS];  /* [dp] in the order of sum_table; no blocks: not of this partition */
    int most_sums[SUMS]; /* blocks of the replica that has most */
    Message *message;
    int message_count, message_capacity;
    float *packed;       /* [PACKED_FLOATS] columns on their way; NULL: one rank, or no program that trains */
} Spread;

/* trains: ranks have to be such groups. */
bool spread_new(Spread *s, const Partition *partition, int rank, int ranks, bool trains, Err *err);
void spread_free(Spread *s);

Range spread_devices(const Spread *s, int rank, int replica); /* of that replica; first == last: none */
bool spread_holds(const Spread *s, int replica);              /* whether this rank has any of its devices */
int spread_first(const Spread *s);                            /* the first replica that it does; 0: none */
Range spread_ranks(const Spread *s, int replica);             /* those that have devices of it, [first, last) */
/* Of a node's partial sum (program_sum). */
const Sums *spread_sums(const Spread *s, int replica, const char *partial);
int64_t spread_most(const Spread *s, const char *partial);    /* blocks of the replica that has most */
Range spread_blocks(const Spread *s, const Sums *sums);       /* those that this rank makes */
int64_t spread_kv_heads(const Spread *s);                     /* key/value heads of this rank's devices */
bool spread_kv_held(const Spread *s, int rank, int replica, int64_t head);
/* Floats that this rank sends to others per row of a step: one all-reduce of `partial`. */
int64_t spread_sent(const Spread *s, const char *partial, int64_t width);

/* The rows and columns of a weight that this rank's devices use, as `user` uses it; a hull, never less than that. */
void spread_weight(const Spread *s, const Graph *g, const Node *user, Range *rows, Range *k);

/* ---- Exchanges: `rows` of `replica`, values row-major ------------------------------------------------------ */

/* The blocks of a partial sum, to all ranks of the replica. */
void spread_reduce(Spread *s, int replica, const char *partial, float *value, int64_t stride, int64_t width,
                   Range rows);
/* Columns of a node's result that devices hold, `each` a device or as its columns are split (each 0), to rank `to`. */
void spread_gather(Spread *s, const Node *n, int replica, int to, float *value, int64_t width, int64_t each,
                   Range rows);
/* Keys and values of one head of one layer, from rank to rank; spread_flush sends what is collected. */
void spread_say(Spread *s, int peer, bool send, void *data, size_t bytes);
void spread_flush(Spread *s, const char *what);
/* Columns that devices of other ranks have, of those that rank `to` wants, to that rank: exactly theirs. */
void spread_columns_to(Spread *s, const Node *n, int replica, int to, Range wanted, float *value, int64_t width,
                       Range rows);
/* Numbers of a vector that devices of the first replica share, to rank 0. */
void spread_vector(Spread *s, const Node *n, float *value);
/* From the first column to the last of a node's result that a rank's devices have. */
Range spread_columns(const Spread *s, const Node *n, int rank, int replica);
/* Whole rows, from the first rank of the replica to rank 0. */
void spread_home(Spread *s, int replica, float *value, int64_t width, Range rows);
#endif
