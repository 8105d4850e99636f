/* graph.h: a graph of coarse tensor operations, and the table row that says what each operation is.
 *
 * A Graph is built once per model with global shapes; program.h turns it into one device's program with explicit
 * collectives. Dimension letters, used in every shape comment, weight declaration and factor string: axis.c has the
 * table, with who shares what. t rows of a step (each a token of some slot at some position), r rows whose logits are
 * asked for, d hidden, f ffn (intermediate), v vocabulary, s cache positions, k key/value heads, g query heads per
 * key/value head, c channels of a head.
 */
#ifndef GRAPH_H
#define GRAPH_H
#include "axis.h"
#include "../ops/kernels.h"

enum { MAX_INPUTS = 4, MAX_RANK = 2, MAX_LETTERS = 4 };

/* A dimension is one letter or a product of letters: "(kgc)" is all query channels. */
typedef struct Dim { char letters[MAX_LETTERS]; int64_t size; } Dim;
typedef struct Shape { int rank; Dim dim[MAX_RANK]; } Shape;

typedef struct Tensor { int id; } Tensor; /* a node of the graph; 0 means none */
static const Tensor NO_TENSOR = {0};

typedef enum NodeKind { NODE_INPUT, NODE_WEIGHT, NODE_OP } NodeKind;

typedef struct OpRow OpRow;
typedef struct Node {
    NodeKind kind;
    const OpRow *op;       /* of NODE_OP */
    char name[96];         /* checkpoint name of a weight, name of an input, else the op's */
    Tensor in[MAX_INPUTS];
    int inputs;
    Shape shape;
    float epsilon;         /* rms_norm */
    int layer;             /* cache_update, attention */
    int64_t window;        /* attention: sliding window, 0 = full */
    const Rope *rope;      /* rope_table */
    bool keep;             /* read by the host after the step: never overwritten within it */
    bool cut;              /* the last of a layer: a lowered program may end here          */
    /* Filled by program_new: */
    char split[MAX_LETTERS + 1];   /* letters of the result that the devices of a replica share             */
    char dealt;                    /* its letter of rows, which the replicas share; 0: every replica has it all */
    char partial[MAX_LETTERS + 1]; /* shared letters that are summed, or whose largest is wanted: each device, or
                                      replica, has a part of the result. How they are completed: sum_of, OpRow.finish */
} Node;

typedef struct Graph {
    Node *nodes;           /* [0] is no node */
    int count;
    size_t capacity;
    int64_t size[128];     /* of each letter */
    Err err;               /* the first wrong shape; building goes on, so callers check once */
} Graph;

/* ---- Building: each call appends a node and returns its result ------------------------------------------------- */

void graph_init(Graph *g, const ModelConfig *config, int64_t rows, int64_t context);
void graph_free(Graph *g);
static inline int64_t graph_size(const Graph *g, Axis axis) { return g->size[axis]; }
Node *graph_node(const Graph *g, Tensor t);
Tensor graph_copy(Graph *g, const Node *node); /* for program.c: appends a copy */

Tensor input(Graph *g, const char *name, const char *axes);
Tensor weight(Graph *g, const char *axes, const char *name, ...) __attribute__((format(printf, 3, 4)));

Tensor embed(Graph *g, Tensor tokens, Tensor table);                  /* [t], [v,d]               -> [t,d]       */
Tensor rms_norm(Graph *g, Tensor x, Tensor gain, double epsilon);     /* [t,d], [d]               -> [t,d]       */
Tensor linear(Graph *g, Tensor x, Tensor w, Tensor bias);             /* [t,i], [o,i], [o] | none -> [t,o]       */
Tensor rope_table(Graph *g, Tensor positions, const Rope *rope);      /* [t]                      -> [t,c]       */
Tensor rope(Graph *g, Tensor x, Tensor table);                        /* [t,hc], [t,c]            -> [t,hc]      */
Tensor cache_update(Graph *g, int layer, Tensor k, Tensor v);         /* [t,kc], [t,kc]           -> cache [s,kc] */
Tensor attention(Graph *g, int layer, Tensor q, Tensor cache, int64_t window); /* [t,kgc], [s,kc] -> [t,kgc]     */
Tensor silu_mul(Graph *g, Tensor gate, Tensor up);                    /* [t,f], [t,f]             -> [t,f]       */
Tensor add(Graph *g, Tensor a, Tensor b);                             /* [t,d], [t,d] or [d]      -> [t,d]       */
Tensor select_rows(Graph *g, Tensor x, Tensor which);                 /* [t,d], [r]               -> [r,d]       */
Tensor argmax(Graph *g, Tensor logits);                               /* [r,v]                    -> [r]         */

/* Collectives: inserted by program.c, never by a model. */
Tensor all_reduce(Graph *g, Tensor x);                                /* partial sums of [t,d]    -> [t,d]       */
Tensor reduce_argmax(Graph *g, Tensor pairs);                         /* (max, id) per device     -> [r]         */

/* ---- What an operation is: one row ------------------------------------------------------------------------------ */

typedef struct Cost {
    double flops, bytes;
} Cost; /* of the whole op at its global shape with t rows, f32 activations */

struct Call;
struct Lower;
struct OpRow {
    const char *name;      /* the one word: dumps, tests, function */
    const char *factors; /* sharding rule. A dimension is a letter or (letters); `!` = must stay whole; a letter missing
                            on the right is reduced: if it is split, the result is a partial sum. `~`: it is picked
                            from or put to, row by row within a replica, and nothing is reduced */
    bool (*shape)(const Graph *g, const Node *n, Shape *out, Err *err);
    int64_t (*units)(const struct Call *call); /* independent pieces of work of one call */
    void (*reference)(const struct Call *call, int64_t first, int64_t last); /* runs units [first, last) */
    void (*gradient)(Graph *g, const Node *n, Tensor dy, Tensor *dinputs);
    void (*stablehlo)(struct Lower *l, const Node *n); /* writes the op onto a program's text: lower.h */
    Cost (*cost)(const Graph *g, const Node *n);
    double (*unit_cost)(
        const struct Call *call); /* bytes one unit moves, to share work evenly; NULL: its columns in f32 */
    Tensor (*finish)(Graph *g,
                     Tensor partial); /* the collective that completes a partial result; NULL: never partial */
    const OpRow *quantise; /* turns input 0 into 8 bits or bf16 where the engine wants it so; NULL: it stays f32 */
    bool collective;
    bool in_cache;         /* the result is the key/value cache itself: no value of its own    */
    bool on_host;          /* of a lowered program: the reference runs on the host, every step */
    bool table;            /* its weight matrix is looked up row by row, as stored, never packed */
    const char *none;      /* why a facet is NULL; NULL when none is */
};

/* THE TABLE, ended by NULL. */
extern const OpRow *const op_table[];
extern const OpRow embed_row, rms_norm_row, linear_row, rope_table_row, rope_row, cache_update_row, attention_row,
    silu_mul_row, add_row, select_rows_row, argmax_row, all_reduce_row, reduce_argmax_row;

/* ---- Factor strings -------------------------------------------------------------------------------------------- */

typedef struct FactorDim {
    char letters[MAX_LETTERS];
    bool whole[MAX_LETTERS], picked[MAX_LETTERS];
    int count;
} FactorDim;
typedef struct Factors {
    int inputs;
    int rank[MAX_INPUTS + 1];
    FactorDim dim[MAX_INPUTS + 1][MAX_RANK];
} Factors; /* last: result */
bool factors_parse(const char *text, Factors *out, Err *err);

/* The op's node with its inputs bound; computes the shape by the row. For the functions above. */
Tensor graph_op(Graph *g, const OpRow *op, const Node *proto);
bool shape_same(const Shape *a, const Shape *b);
/* Which list of the step's rows it has a row for. */
RowKind shape_rows(const Shape *s);
/* "[t=128,(kgc)=3584]" */
void shape_text(const Shape *s, Text *out);
#endif
