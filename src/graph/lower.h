/* lower.h: how an op's row writes itself as StableHLO text. Both XLA's and Tenstorrent's compilers take this text.
 *
 * A lowered program is a bucket: `slots` sequences of `rows` rows each on every data-parallel replica, all shapes
 * static and local to one device. A node's value is named %n<id>, flat as in the graph: [t, columns] with t = slots *
 * rows. What a program takes and gives is declared while the body is written: see LowerArgument. */
#ifndef LOWER_H
#define LOWER_H
#include "program.h"

typedef struct Bucket {
    int64_t slots, rows;        /* of one replica; rows of a slot follow each other                              */
    int64_t logit_rows;         /* of one replica; all_logits: row i of the step is logit row i                  */
    bool all_logits;
    int64_t seen;               /* attention looks at the first `seen` positions of a slot; 0: at all            */
} Bucket;

typedef enum LowerRole {
    ROLE_STEP,                  /* from the host, every step                                                     */
    ROLE_VALUE,                 /* of a piece: what the host or an earlier piece computed for this step; of its
                                   results: what a later piece takes                                             */
    ROLE_SHARD,                 /* from the host, once, another value on every device: where its shard lies      */
    ROLE_WEIGHT,                /* uploaded once                                                                 */
    ROLE_RESULT,                /* for the host                                                                  */
    ROLE_STATE,                 /* kept between steps: consumed and given back                                   */
} LowerRole;

/* Over which devices a dimension lies: none, the replicas, the devices of a replica, or all of them. */
typedef enum LowerSplit { SPLIT_NONE, SPLIT_DP, SPLIT_TP, SPLIT_ALL } LowerSplit;

enum { LOWER_MAX_RANK = 4, LOWER_NAME = 48 };

typedef struct LowerArgument {
    char name[LOWER_NAME];      /* without %; of a piece: the same in all that are equal */
    LowerRole role;
    char type[8];               /* "f32", "bf16", "i32" */
    int rank;
    int64_t dim[LOWER_MAX_RANK]; /* local */
    LowerSplit split[LOWER_MAX_RANK];
    int node;                   /* of the program: the weight, host-computed op or kept result; 0: none          */
    char weight_split[MAX_LETTERS + 1]; /* ROLE_WEIGHT: letters of the weight that are split here                */
    int state;                  /* ROLE_STATE: which buffer of all states: Node.state + (0 keys, 1 values)       */
} LowerArgument;

/* An arena of texts. */
typedef struct LowerWords { char **block; size_t blocks, capacity, used, room; } LowerWords;

typedef struct Lower {
    const Program *program;
    Bucket bucket;
    int first, last;            /* nodes [first, last) are lowered                                               */
    int state;                  /* first buffer of the first state that they write                               */
    int64_t cache_slots, positions; /* of one replica; the last position of a slot is scratch for rows not in use */
    const char *type;           /* of activations, weights and cache: "f32" or "bf16"                            */
    int mesh[2];                /* sizes of the two mesh axes                                                    */
    LowerArgument *arguments, *results;
    int argument_count, result_count;
    size_t argument_capacity, result_capacity;
    Text body, functions;       /* of the per-device computation; private functions                              */
    char (*once)[LOWER_NAME];   /* names of what is written at most once                                         */
    int once_count;
    size_t once_capacity;
    int candidates;             /* of each row of logits a device tells the host; 0: none                       */
    int channel;                /* of the last collective */
    LowerWords words;           /* types and names: they live as long as the program                            */
    Err err;
} Lower;

/* ---- For op rows ------------------------------------------------------------------------------------------------- */

/* Rows t of the bucket; local, padded size of dimension `dim` of a node, rows included. */
int64_t lower_rows(const Lower *l);
int64_t lower_dim(const Lower *l, const Node *n, int dim);
int64_t lower_letter(const Lower *l, char letter, const char *split); /* local, padded size */
/* Of a head. */
static inline int64_t lower_channels(const Lower *l) { return graph_size(&l->program->graph, AXIS_CHANNEL); }
/* A text that lives as long as the program. */
const char *lower_word(Lower *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of the value of input i (weights and states become arguments on first use), and of the node's own, as "%n7"; the
 * latter without the %. */
const char *lower_in(Lower *l, const Node *n, int i);
const char *lower_out(Lower *l, const Node *n);
const char *lower_name(Lower *l, const Node *n);
/* "tensor<4x8xf32>"; type NULL: the program's. */
const char *lower_type(Lower *l, const char *type, int rank, ...);
/* One line of the body. */
void lower_line(Lower *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True the first time a name is asked for: write it now. */
bool lower_once(Lower *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A value of the host for every step: [first, second] with second 0 for rank 1; returns its name. */
const char *lower_step_input(Lower *l, const char *name, const char *type, int64_t first, int64_t second, int node);
/* The device's place: i32 [2], first id of its vocabulary shard and number of ids. */
const char *lower_shard_input(Lower *l);
/* A result of this device alone, f32 [logit rows, columns], whose value is %<name>. */
void lower_result(Lower *l, const char *name, int64_t columns);
/* A cache as it stands before the step, [slots, key/value heads, positions, channels]; v: 0 keys, 1 values. */
const char *lower_cache(Lower *l, const Node *state, int v, int64_t kv_heads, int64_t channels);
/* The cache that is input i, as the ops before the node left it. */
const char *lower_cached(Lower *l, const Node *n, int i, int v);
/* all_reduce (sum) or all_gather of a value over every tensor-parallel mesh axis, or, of a sum over rows, over that of
 * the replicas; one collective an axis; returns the result's name. partial: Node.partial of the value. all_gather joins
 * along the last dimension of [rows, columns]; *columns grows. */
const char *lower_all_reduce(Lower *l, const char *value, const char *out, const char *partial, int64_t rows,
                             int64_t columns);
const char *lower_all_gather(Lower *l, const char *value, const char *out, int64_t rows, int64_t *columns,
                             const char *type);

/* ---- For whoever writes a program -------------------------------------------------------------------------------- */

typedef struct LowerOptions {
    const char *type;
    int64_t cache_slots, positions;
    Bucket bucket;
    int first, last; /* a piece of the program: its nodes [first, last) after a cut and up to a cut or the end; last 0:
                        the whole. Pieces that do the same have the same text, with other weights and caches. */
    int candidates; /* the result LOWER_CANDIDATES: of each row of logits this many of the device's largest, then their
                       ids; 0: no such result */
} LowerOptions;
#define LOWER_CANDIDATES "candidates" /* f32 [logit rows, 2 k], k at most the shard; padding: -3e38 */
/* Writes the module of a bucket onto *text; arguments and results stay in *l until lower_free. */
bool lower_program(Lower *l, const Program *program, const LowerOptions *options, Text *text, Err *err);
/* Writes the module that copies a slot's caches: step inputs "from" and "to", i32 [1] a replica, the slot within the
 * replica, -1 where it is another's. Results: all caches. */
bool lower_copy(Lower *l, const Program *program, const LowerOptions *options, Text *text, Err *err);
void lower_free(Lower *l);
int64_t lower_argument_bytes(const LowerArgument *a); /* on one device */
/* Size of a dimension over all devices. */
int64_t lower_global(const Lower *l, const LowerArgument *a, int dim);
#endif
