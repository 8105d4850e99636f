/* lower.h: how an op's row writes itself as StableHLO text. Both XLA's and Tenstorrent's compilers take this text.
 *
 * A lowered program is a bucket: `slots` sequences of `rows` rows each on every data-parallel replica, all shapes
 * static and local to one device. A node's value is named %n<number>, its further results %n<number>_r<result>; flat as
 * in the graph: [t, columns] with t = slots * rows. What a program takes and gives is declared while the body is
 * written: see LowerArgument. lower_train.h has what only programs that train have. */
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
    ROLE_VALUE,                 /* of a piece, or of a program of some stages: what the host (its node is on_host) or an
                                   earlier one computed for this step; of its results: what a later one takes    */
    ROLE_SHARD,                 /* from the host, once, another value on every device: lower_places              */
    ROLE_WEIGHT,                /* uploaded once                                                                 */
    ROLE_RESULT,                /* for the host                                                                  */
    ROLE_STATE,                 /* kept between steps. An argument that a result of the same `state` replaces is
                                   consumed (tf.aliasing_output); one without such a result is only read. A result
                                   without such an argument starts anew: sums that a step's one pass makes       */
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
    int node;                   /* of the program: the weight, state, host-computed op or kept result; 0: none   */
    char weight_split[MAX_LETTERS + 1]; /* ROLE_WEIGHT, and ROLE_STATE of a training program: letters that are split */
    int state;                  /* ROLE_STATE: which buffer of all states: lower_state + (0 keys, 1 values)      */
    const char *value;          /* of a result: its name in the text, with %; NULL: %<name> */
} LowerArgument;

/* What the ROLE_SHARD argument "shard", i32 [LOWER_PLACES], tells a device of its part of each axis: from which index on
 * and how many; and how many groups of devices with other key/value heads stand before its own. */
typedef enum LowerPlace {
    PLACE_VOCAB, PLACE_VOCAB_COUNT, PLACE_FFN, PLACE_FFN_COUNT, PLACE_KV, PLACE_KV_COUNT, PLACE_GROUP,
    PLACE_GROUP_COUNT, PLACE_KV_PART, LOWER_PLACES,
} LowerPlace;
/* Of device `device` of a replica. */
void lower_places(const Partition *p, int device, int32_t out[LOWER_PLACES]);

/* An arena of texts. */
typedef struct LowerWords { char **block; size_t blocks, capacity, used, room; } LowerWords;

typedef struct Lower {
    const Program *program;
    Bucket bucket;
    int first, last;            /* nodes [first, last) are lowered                                               */
    int state;                  /* first buffer of the first state that they write                               */
    int64_t cache_slots, positions; /* of one replica; the last position of a slot is scratch for rows not in use */
    const char *type;           /* of activations, weights and cache: "f32" or "bf16"                            */
    const char *platform;
    bool trains, sums_go_on;    /* LowerOptions                                                                  */
    Stage stage_first, stage_last;
    int parts, part;            /* LowerOptions.head_parts; which of them is written; -1: what is outside of all  */
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
/* Lines that most ops write. "out = stablehlo.op a, b : type"; one operand with b NULL; x spread along dims "[0]"; x
 * reduced over dims by add or maximum; a constant; a compare of floats or ("SIGNED") integers. */
void lower_op(Lower *l, const char *out, const char *op, const char *a, const char *b, const char *type);
void lower_spread(Lower *l, const char *out, const char *x, const char *dims, const char *from, const char *to);
void lower_fold(Lower *l, const char *out, const char *op, const char *x, const char *dims, const char *element,
                const char *from, const char *to);
void lower_constant(Lower *l, const char *out, double value, const char *type);
void lower_compare(Lower *l, const char *out, const char *how, const char *a, const char *b, const char *kind,
                   const char *type, const char *bits);
void lower_select(Lower *l, const char *out, const char *bits, const char *yes, const char *no, const char *bits_type,
                  const char *type);
void lower_convert(Lower *l, const char *out, const char *x, const char *from, const char *to);
void lower_reshape(Lower *l, const char *out, const char *x, const char *from, const char *to);
/* True the first time a name is asked for: write it now. */
bool lower_once(Lower *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The type of a node's value: numbers of rows, vectors, pairs, and numbers of a head are f32 whatever the program's is,
 * as are states; and its type as a tensor's text. Further results of an op: of node `result`, from 1 on. */
const char *lower_element(const Lower *l, const Node *n);
const char *lower_tensor(Lower *l, const Node *n);
/* The name that an op gives its further result `result`. */
const char *lower_more(Lower *l, const Node *n, int result);
/* Whether a node is lowered in this program. */
bool lower_has(const Lower *l, int id);
/* A value of the host for every step: [first, second] with second 0 for rank 1; returns its name. */
const char *lower_step_input(Lower *l, const char *name, const char *type, int64_t first, int64_t second, int node);
/* f32 [size], of the host for every step, the same on all devices. */
const char *lower_same_input(Lower *l, const char *name, int64_t size);
/* The device's place: i32 [LOWER_PLACES]; and one number of it, tensor<i32>. */
const char *lower_shard_input(Lower *l);
const char *lower_place(Lower *l, LowerPlace place);
/* A result of this device alone, f32 [logit rows, columns], whose value is %<name>. */
void lower_result(Lower *l, const char *name, int64_t columns);
/* A cache as it stands before the step, [slots, key/value heads, positions, channels]; v: 0 keys, 1 values. */
const char *lower_cache(Lower *l, const Node *state, int v, int64_t kv_heads, int64_t channels);
/* The cache that is input i, as the ops before the node left it. */
const char *lower_cached(Lower *l, const Node *n, int i, int v);
/* all_reduce by `op` ("add", "maximum") of a value over the devices of a replica, or over the replicas: one collective for
 * each axis of the mesh that they lie along; returns the result's name, which is the value's where there is one device.
 * lower_reduce: over one axis of the mesh, 0 or 1. */
const char *lower_all_reduce(Lower *l, const char *op, const char *value, const char *out, bool replicas,
                             const char *element, const char *type);
void lower_reduce(Lower *l, int axis, const char *op, const char *from, const char *to, const char *element,
                  const char *type);
/* The sum over the devices that hold the same key/value heads, of rows in the program's type. */
const char *lower_group_reduce(Lower *l, const char *value, const char *out, int64_t rows, int64_t columns);
/* all_gather over every axis of the devices of a replica; joins along the last dimension of [rows, columns]; *columns
 * grows. */
const char *lower_all_gather(Lower *l, const char *value, const char *out, int64_t rows, int64_t *columns,
                             const char *type);

/* ---- For whoever writes a program -------------------------------------------------------------------------------- */

typedef struct LowerOptions {
    const char *type;
    const char *platform; /* the plugin's, "tt", "cpu" ...: what its compiler would do wrong is refused; NULL: any */
    int64_t cache_slots, positions;
    Bucket bucket;
    int first, last; /* a piece of the program: its nodes [first, last) after a cut and up to a cut or the end; last 0:
                        the whole. Pieces that do the same have the same text, with other weights and caches. */
    /* Of a program that trains: the nodes of these stages. Logits are of all rows (bucket.all_logits, logit_rows = slots *
     * rows), or a run of STAGE_HEAD is of some, and the gradients of rows are a state. sums_go_on: a step has several
     * passes, so sums of TYPE_SUM are consumed and given back; SCALAR_FRESH says which pass is the first. Else they start from nothing, and
     * are results where a later stage reads them. head_parts: how many times the head is written, each for as many of the
     * rows, so that logits of all never exist; 0: once. */
    bool trains, sums_go_on;
    int head_parts;
    Stage stage_first, stage_last;
    int candidates; /* the result LOWER_CANDIDATES: of each row of logits this many of the device's largest, then their
                       ids; 0: no such result */
} LowerOptions;
#define LOWER_CANDIDATES "candidates" /* f32 [logit rows, 2 k], k at most the shard; padding: -3e38 */
/* Writes the module of a bucket onto *text; arguments and results stay in *l until lower_free. Of stages that leave nothing
 * (result_count 0) the text is none that a compiler takes. */
bool lower_program(Lower *l, const Program *program, const LowerOptions *options, Text *text, Err *err);
/* Buffers of states that a program has: those of Node.state, then one for each trained weight, in the order of nodes.
 * The first, or only, buffer of a state or trained weight. */
int lower_states(const Program *program);
int lower_state(const Program *program, const Node *state);
/* Writes the module that copies a slot's caches: step inputs "from" and "to", i32 [1] a replica, the slot within the
 * replica, -1 where it is another's. Results: all caches. */
bool lower_copy(Lower *l, const Program *program, const LowerOptions *options, Text *text, Err *err);
void lower_free(Lower *l);
int64_t lower_argument_bytes(const LowerArgument *a); /* on one device */
/* Size of a dimension over all devices. */
int64_t lower_global(const Lower *l, const LowerArgument *a, int dim);
#endif
