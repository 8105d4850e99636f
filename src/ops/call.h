/* call.h: one device's share of one operation, as the ops' drivers (`run`) and the CPU engine see it. */
#ifndef CALL_H
#define CALL_H
#include "../graph/program.h"
#include "attention.h"
#include "collective.h"
#include "embed.h"
#include "lanes.h"
#include "linear.h"
#include "linear_grad.h"
#include "rope.h"

/* Numbers of a training step that are the same for all its rows. loss_weight: of each label. clip: gradients are
 * multiplied by it. step: from 1 on. */
typedef struct StepScalars {
    double loss_weight, label_smoothing, z_loss;
    double clip, learning_rate, beta1, beta2, epsilon, weight_decay, average_decay;
    double muon_rate, muon_momentum;
    bool muon_as_adamw; /* its rates are for updates as large as AdamW's: ops/muon.c */
    int64_t step;  /* 0: an evaluation */
    uint64_t seed; /* of draws         */
} StepScalars;

/* The rows of a step. Row r is token[r] of slot[r], the index[r]-th of its sequence (its place in the cache), at rotary
 * position[r]; length[r] is what rope types that depend on the length go by. */
typedef struct StepRows {
    int64_t rows, logit_rows;
    int32_t *token, *slot, *position;
    int32_t *adapter; /* that the row goes through, of those that are chosen from: 1 or more; 0: none */
    int64_t *index, *length;
    int32_t *logit_row; /* [logit_rows] row numbers */
    /* Of a program that trains: */
    int64_t *place;               /* [rows] where in the step it is, whatever the passes; as draws go by   */
    int32_t *label;               /* [logit_rows] the id that each is to tell                              */
    int64_t sequences;            /* of the whole step                                                     */
    int64_t passes, pass;         /* of the step; which of them this is, from 0 on                         */
    LanePlan lanes[ROW_KINDS];    /* how rows of each list add to sums of TYPE_SUM                         */
    Stage first, last;            /* stages that the next run is of                                        */
    StepScalars scalars;
} StepRows;

/* What an input of a graph is in a step: a number for each row. NULL: a step has no such input. */
const int32_t *step_input(const StepRows *step, const char *name);
bool step_rows_new(StepRows *step, int64_t rows,
                   Err *err); /* room for `rows` rows; freed with step_rows_free, also after failure */
void step_rows_free(StepRows *step);

/* Of an op that makes whole sums (OpRow.whole), where several processes share one: the subtrees [first, last) that this
 * one sums up, each into a block of a partial value. */
typedef struct Subtrees { const TreeNode *node; int first, last; } Subtrees;
static inline int subtrees_count(const Subtrees *s) { return s->node ? s->last - s->first : 1; }

typedef struct Call {
    const Graph *graph;
    const Node *node;
    const Kernels *kernels;
    const StepRows *step;
    int64_t row0, row1;          /* rows of this data-parallel replica                                      */
    int replica;
    int round;                   /* of OpRow.rounds, from 0 on                                              */
    Range columns;               /* of the result, this shard's; heads for ops on heads                     */
    Subtrees subtrees;           /* node NULL: the sum is whole                                             */
    const float *in[MAX_INPUTS]; /* activations, row-major at their global width; vectors of weights        */
    const int32_t *ids;          /* of the input that is numbers of the step, a number a row                */
    float *out, *more[MAX_RESULTS - 1]; /* of results from 1 on; NULL: nobody reads it                      */
    int64_t in_width[MAX_INPUTS], out_width;
    float *scratch;              /* of the worker, as many floats as the row says, 64-byte aligned          */
    union {                      /* by OpRow.binds; declared beside the op                                  */
        MatrixBinding matrix;
        TableBinding table;
        CacheBinding cache;
        ReduceBinding reduce;
        PairsBinding pairs;
        ProductsBinding products;
        StatesBinding states;
    };
} Call;

/* Which of the step's rows row0 and row1 count: those of the result, or, where it has none, of what is put into it. */
static inline RowKind node_row_kind(const Graph *g, const Node *n) {
    RowKind kind = n->op->writes_state ? NO_ROWS : shape_rows(&n->shape);
    return kind ? kind : shape_rows(&graph_node(g, n->in[0])->shape);
}
static inline RowKind call_row_kind(const Call *c) { return node_row_kind(c->graph, c->node); }

/* Rows of a block of a partial value: of a matrix its own, of a vector one, else the step's. */
static inline int64_t call_block_rows(const Call *c, const Node *n) {
    return n->value == VALUE_MATRIX ? n->shape.dim[0].size : n->value == VALUE_VECTOR ? 1 : c->step->rows;
}

/* Floats from one block of a partial value to the next in a step of `rows` rows in all: as close as can be, and a cache
 * line more, or the blocks of one row would meet in a few sets of the caches. */
static inline int64_t block_step(int64_t rows, int64_t width) { return rows * width + 16; }

/* Where the sum of a subtree, counted from `first`, comes to. */
static inline float *call_block(const Call *c, int64_t subtree) {
    int64_t width = c->node->op->in_doubles ? 2 * c->out_width : c->out_width;
    return c->subtrees.node ? c->out + (c->subtrees.first + subtree) * block_step(call_block_rows(c, c->node), width)
                            : c->out;
}

/* The units of an op whose work is one row each. */
static inline int64_t call_rows(const Call *c) { return c->row1 - c->row0; }

/* Quads of all replicas' rows: each replica starts a new one at row0 / 4 + its number. */
static inline int64_t quads_blocks(int64_t rows, int replicas) { return (rows + QUAD - 1) / QUAD + replicas; }
/* Of row row0. */
static inline Quad *call_quads(const Call *c) {
    return (Quad *)c->matrix.acts + (c->row0 / QUAD + c->replica) * c->matrix.acts_step;
}
static inline Pair *call_pairs(const Call *c) { return (Pair *)c->matrix.acts + c->row0 * c->matrix.acts_step; }

/* Not an op of a graph: what the CPU engine puts between a value and the linears that want it in another form. */
extern const OpRow quantise_row;

/* Floats of scratch any op of a program may need for steps of `rows` rows. */
int64_t program_scratch(const Program *program, const Blocking *blocking, int64_t rows);

/* A whole operation in plain f32, as a row's `reference` computes it: no shards, no panels, no workers. */
typedef struct PlainCall {
    const Graph *graph;
    const Node *node;
    const StepRows *step;
    int64_t rows;                    /* of the result; of a cache_update: of what is put into it            */
    const float *in[MAX_INPUTS];     /* row-major; NULL: not there                                          */
    const int32_t *ids;
    int64_t width[MAX_INPUTS], out_width;
    float *out, *more[MAX_RESULTS - 1];
    float *keys, *values;            /* of its cache: [slot][position][columns]                             */
    int64_t positions;               /* of a slot                                                           */
} PlainCall;
#endif
