/* graph.h: a graph of coarse tensor operations, and the table row that says what each operation is.
 *
 * A Graph is built once per model with global shapes; program.h turns it into one device's program with explicit
 * collectives. Dimension letters, used in every shape comment, weight declaration and factor string: axis.c has the
 * table, with who shares what. t rows of a step (each a token of some slot at some position), r rows whose logits are
 * asked for, d hidden, f ffn (intermediate), v vocabulary, n labels of a head, s cache positions, k key/value heads, g
 * query heads per key/value head, c channels of a head, l rank of an adapter.
 */
#ifndef GRAPH_H
#define GRAPH_H
#include "axis.h"
#include "../ops/kernels.h"

/* MAX_RANK is a law: a value has rows and columns, and products of letters do the rest. So there is one way to split,
 * pack, place and print any of them. */
enum { MAX_INPUTS = 8, MAX_RESULTS = 4, MAX_RANK = 2, MAX_LETTERS = 4 };

/* A dimension is one letter or a product of letters: "(kgc)" is all query channels. */
typedef struct Dim { char letters[MAX_LETTERS]; int64_t size; } Dim;
typedef struct Shape { int rank; Dim dim[MAX_RANK]; } Shape;

typedef struct Tensor { int id; } Tensor; /* a node of the graph; 0 means none */
static const Tensor NO_TENSOR = {0};

/* What a value is. ROWS: one row, or one number, for each of the step's; VECTOR: [columns]; MATRIX: rows and columns
 * that are no step's; PAIR: for each number of its shape two: of a choice the largest, and its id as f32; of attention
 * the largest score and the sum of exponentials. */
typedef enum ValueKind { VALUE_ROWS, VALUE_VECTOR, VALUE_MATRIX, VALUE_PAIR } ValueKind;
/* TYPE_F32: of weights, in whatever type they are stored. Of states: TYPE_CACHE: keys and values at the positions of
 * every slot, in the type the engine's options say; TYPE_SUM: a sum over the rows of a step of the optimizer, in the
 * order that ops/lanes.h says; TYPE_FIRST8, TYPE_SECOND8: moments of a matrix in 8 bits, as ops/codes8.h says. */
typedef enum ValueType { TYPE_F32, TYPE_I32, TYPE_CACHE, TYPE_SUM, TYPE_FIRST8, TYPE_SECOND8 } ValueType;

/* Stages of a program, run apart, in this order, over one set of weights and states. A program that does not train has
 * the first alone. STAGE_HEAD and STAGE_HEAD_GRADIENT run once for every so many logit rows, so that logits of all rows
 * are never held; a step of the optimizer runs all up to STAGE_GRADIENT for every pass, then the others once. */
typedef enum Stage {
    STAGE_FORWARD, STAGE_HEAD, STAGE_HEAD_GRADIENT, STAGE_GRADIENT, STAGE_NORM, STAGE_UPDATE, STAGES,
} Stage;

/* NODE_STATE: what outlives a step. NODE_RESULT: a further result of an op, which its in[0] is: it has no work. */
typedef enum NodeKind { NODE_INPUT, NODE_WEIGHT, NODE_STATE, NODE_OP, NODE_RESULT } NodeKind;

typedef struct OpRow OpRow;
typedef struct Node {
    NodeKind kind;
    const OpRow *op;       /* of NODE_OP and NODE_RESULT */
    char name[96];         /* checkpoint name of a weight, name of an input or a state, else the op's */
    Tensor in[MAX_INPUTS]; /* an optional one may be NO_TENSOR */
    int inputs;            /* up to the last that is there */
    int result;            /* NODE_RESULT: which, from 1 on */
    int state;             /* NODE_STATE: its first buffer among those of all states; a cache has keys and values */
    int number;            /* in texts: states, which have names, are not counted */
    ValueKind value;
    ValueType type;
    Shape shape;
    const void *attributes; /* OpRow.attributes bytes, the op's own struct; the graph's */
    bool keep;             /* read by the host after the step: never overwritten within it */
    bool cut;              /* the last of a layer, or of its gradients: a lowered program may end here */
    bool trained;          /* of a weight: an op writes it, and it is held in f32          */
    Stage stage;
    /* Of what the backward pass computes again: it waits for this value, or all layers would be there at once; and
     * nobody needs it. */
    Tensor after;
    bool dead;
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
    int numbers, states;   /* nodes that have a number; buffers of states */
    int64_t size[128];     /* of each letter */
    Stage stage;           /* of nodes that are appended */
    bool trains;           /* steps are whole sequences: nothing outlives one but what is trained */
    Err err;               /* the first wrong shape; building goes on, so callers check once */
} Graph;

/* ---- Building: each call appends a node and returns its result ------------------------------------------------- */

void graph_init(Graph *g, const ModelConfig *config, int64_t rows, int64_t context);
void graph_free(Graph *g);
static inline int64_t graph_size(const Graph *g, Axis axis) { return g->size[axis]; }
Node *graph_node(const Graph *g, Tensor t);
int64_t graph_parameters(const Graph *g); /* numbers of all weights; one that is used twice counts once */
Tensor graph_copy(Graph *g, const Node *node); /* for program.c: appends a copy */

Tensor input(Graph *g, const char *name, const char *axes);
Tensor weight(Graph *g, const char *axes, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* What a backend keeps from step to step, zero when it is opened. One of a name. */
Tensor state(Graph *g, const char *axes, ValueType type, const char *name, ...) __attribute__((format(printf, 4, 5)));
/* Result `number`, from 1 on, of an op with several; the op's own tensor is result 0. */
Tensor graph_result(Graph *g, Tensor of, int number);
/* The state that a tensor is, as it is or as an op left it; NULL: it is none. */
const Node *graph_state(const Graph *g, Tensor t);
static inline int state_buffers(ValueType type) { return type == TYPE_CACHE ? 2 : 1; }
static inline bool node_is_state(const Node *n) { return n->kind == NODE_STATE || (n->kind == NODE_WEIGHT && n->trained); }

Tensor embed(Graph *g, Tensor tokens, Tensor table);                  /* [t], [v,d]               -> [t,d]       */
Tensor embed_part(Graph *g, Tensor tokens, Tensor table);                 /* the same, of a table that devices share */
/* Makes an embed_part of each embed whose table is trained: for backends that have it split. */
void embed_parts(Graph *g);
Tensor rms_norm(Graph *g, Tensor x, Tensor gain, double epsilon);     /* [t,d], [d]               -> [t,d]       */
Tensor head_norm(Graph *g, Tensor x, Tensor gain, double epsilon);    /* [t,hc], [c]              -> [t,hc]      */
Tensor linear(Graph *g, Tensor x, Tensor w, Tensor bias);             /* [t,i], [o,i], [o] | none -> [t,o]       */
Tensor rope_table(Graph *g, Tensor positions, const Rope *rope);      /* [t]                      -> [t,c]       */
Tensor rope(Graph *g, Tensor x, Tensor table);                        /* [t,hc], [t,c]            -> [t,hc]      */
Tensor cache_update(Graph *g, Tensor k, Tensor v, Tensor cache);      /* [t,kc], [t,kc], [s,kc]   -> [s,kc]      */
Tensor attention(Graph *g, Tensor q, Tensor cache, int64_t window);   /* [t,kgc], [s,kc]          -> [t,kgc]     */
Tensor silu_mul(Graph *g, Tensor gate, Tensor up);                    /* [t,f], [t,f]             -> [t,f]       */
Tensor add(Graph *g, Tensor a, Tensor b);                             /* [t,d], [t,d] or [d]      -> [t,d]       */
Tensor scale(Graph *g, Tensor x, double factor);                      /* [t,d]                    -> [t,d]       */
Tensor scale_columns(Graph *g, Tensor x, Tensor by);                  /* [t,o], [o]               -> [t,o]       */
Tensor select_rows(Graph *g, Tensor x, Tensor which);                 /* [t,d], [r]               -> [r,d]       */
Tensor argmax(Graph *g, Tensor logits);                               /* [r,v]                    -> [r]         */


/* What gradients are made of beside the ops above; see each op's file for the formula, gradient.h for who calls them. G:
 * a state of TYPE_SUM that the op adds to, and that is then the result. */
Tensor embed_grad(Graph *g, Tensor tokens, Tensor dy, Tensor sum);    /* [t], [t,d], G [v,d]                     */
Tensor rms_norm_grad(Graph *g, Tensor x, Tensor gain, Tensor dy, double epsilon); /* -> dx [t,d], 1/rms [t]      */
Tensor norm_gain_grad(Graph *g, Tensor x, Tensor r, Tensor dy, Tensor sum); /* [t,d], [t], [t,d], G [d]          */
Tensor head_norm_grad(Graph *g, Tensor x, Tensor gain, Tensor dy, double epsilon); /* -> dx [t,hc], 1/rms [t,h]  */
Tensor head_gain_grad(Graph *g, Tensor x, Tensor r, Tensor dy, Tensor sum); /* [t,hc], [t,h], [t,hc], G [hc]     */
Tensor head_gain_sum(Graph *g, Tensor sum);                           /* G [hc]                   -> [c]         */
Tensor linear_dx(Graph *g, const Tensor *dy, const Tensor *w, int pairs); /* up to 3 of [t,o], [o,i] -> [t,i]    */
Tensor linear_dw(Graph *g, Tensor dy, Tensor x, Tensor sum);          /* [t,o], [t,i], G [o,i]                   */
Tensor sum_rows(Graph *g, Tensor dy, Tensor sum);                     /* [t,o], G [o]                            */
Tensor rope_back_table(Graph *g, Tensor positions, const Rope *rope); /* the table of the rotations back         */
/* [t,kgc], [t,kc], [t,kc], [t,kgc], [t,kgc] -> dq, dk and dv of each query head, all [t,kgc] */
Tensor attention_backward(Graph *g, Tensor q, Tensor k, Tensor v, Tensor attention, Tensor dy, int64_t window);
Tensor sum_group(Graph *g, Tensor x);                                 /* [t,kgc]                  -> [t,kc]      */
Tensor dropout(Graph *g, Tensor x, double p, uint32_t site);          /* [t,d]                    -> [t,d]       */
Tensor scale_columns_grad(Graph *g, Tensor x, Tensor dy, Tensor sum); /* [t,o], [t,o], G [o]                   */
Tensor adapter_norm(Graph *g, Tensor w, Tensor a, Tensor b, Tensor norms, double factor); /* [o,i], [l,i], [o,l], [o] */
Tensor silu_mul_grad(Graph *g, Tensor gate, Tensor up, Tensor dy);    /* -> dgate, dup [t,f]                     */
Tensor clear_rows(Graph *g, Tensor rows);                             /* a state [t,d]                           */
Tensor put_rows(Graph *g, Tensor x, Tensor which, Tensor rows);       /* [r,d], [r], a state [t,d]               */
Tensor row_max(Graph *g, Tensor logits);                              /* [r,v]                    -> [r]         */
Tensor exp_sum(Graph *g, Tensor logits, Tensor most);                 /* [r,v], [r]               -> [r]         */
Tensor label_logit(Graph *g, Tensor logits, Tensor labels);           /* [r,v], [r]               -> [r]         */
Tensor row_sum(Graph *g, Tensor logits);                              /* [r,v]                    -> [r]         */
Tensor token_loss(Graph *g, Tensor most, Tensor sum, Tensor label, Tensor all); /* [r] each    -> [r]         */
Tensor token_loss_grad(Graph *g, Tensor logits, Tensor most, Tensor sum, Tensor labels); /*    -> [r,v]       */
Tensor sum_states(Graph *g, Tensor a, Tensor b);                      /* G, G: a += b                            */
Tensor row_squares(Graph *g, Tensor x);                               /* [o,i] or [o]             -> [o]         */
/* The rules of optimizers: w [o,i] or [o], its gradient, moments of the same shape, and an average or none. */
Tensor adamw(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor second, Tensor average, bool decays);
Tensor adamw8(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor second, Tensor average, bool decays); /* matrices */
Tensor sgd(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor average, bool decays);
Tensor muon(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor average, bool decays); /* of matrices, grad a sum */

/* Collectives: inserted by program.c, never by a model. */
Tensor reduce_max(Graph *g, Tensor x);                                /* largest per device       -> [r]         */
Tensor replica_sum(Graph *g, Tensor sum);                             /* G of each replica        -> G           */
Tensor all_reduce(Graph *g, Tensor x);                                /* partial sums of [t,d]    -> [t,d]       */
Tensor reduce_argmax(Graph *g, Tensor pairs);                         /* (max, id) per device     -> [r]         */

/* ---- What an operation is: one row ------------------------------------------------------------------------------ */

typedef struct Cost {
    double flops, bytes;
} Cost; /* of the whole op at its global shape with t rows, f32 activations */

struct Call;
struct PlainCall;
struct Gradient;
struct Lower;
struct Program;
struct Blocking;

/* What a row may have of an op. Of all up to FACET_FINISH there is one, or a reason why not. */
typedef enum Facet {
    FACET_SHAPE, FACET_UNITS, FACET_RUN, FACET_REFERENCE, FACET_GRADIENT, FACET_STABLEHLO, FACET_COST, FACET_FINISH,
    FACETS,
} Facet;
extern const char *const facet_names[FACETS];

/* What a call of it is given beside values: see call.h. */
typedef enum Binds { BINDS_NOTHING, BINDS_MATRIX, BINDS_TABLE, BINDS_CACHE, BINDS_REDUCE, BINDS_PAIRS,
                     BINDS_PRODUCTS, BINDS_STATES, BINDS_MATRICES } Binds;

struct OpRow {
    const char *name;      /* the one word: dumps, tests, function */
    const char *factors; /* sharding rule. A dimension is a letter or (letters); `!` = must stay whole; a letter missing
                            on the right is reduced: if it is split, the result is a partial sum. `~`: it is picked
                            from or put to, row by row within a replica, and nothing is reduced. An input after `?`
                            may be missing. */
    bool (*shape)(const Graph *g, const Node *n, Shape *out, Err *err);
    int64_t (*units)(const struct Call *call); /* independent pieces of work of one call */
    void (*run)(const struct Call *call, int64_t first, int64_t last); /* units [first, last), by kernels */
    void (*reference)(const struct PlainCall *call); /* all of it in plain f32: what `run` gives, to rounding */
    /* Hands the gradients of what a forward node reads to those who want them (gradient.h). n: a copy of the node. */
    bool (*gradient)(struct Gradient *b, const Node *n, Tensor self, Tensor dy);
    void (*stablehlo)(struct Lower *l, const Node *n); /* writes the op onto a program's text: lower.h */
    Cost (*cost)(const Graph *g, const Node *n);
    /* Bytes one unit moves, to share work evenly; NULL: its columns in f32. */
    double (*unit_cost)(const struct Call *call);
    Tensor (*finish)(Graph *g, Tensor partial); /* the collective that completes a partial result */
    /* Floats of scratch that a call needs in a step of `rows` rows; NULL: none. */
    int64_t (*scratch)(const struct Program *p, const Node *n, const struct Blocking *blocking, int64_t rows);
    int rounds;            /* above 1: work in so many rounds, none of which begins before the one before has ended */
    /* Of an op in rounds over states that every process holds whole: all but the first and the last round are the work of
     * one process. What it leaves, and *floats of that: the others get it before the last. */
    float *(*told)(const struct Call *call, int64_t *floats);
    const OpRow *quantise; /* turns input 0 (of BINDS_PRODUCTS all gradients) into 8 bits or bf16 where the engine wants
                              it so; NULL: it stays f32 */
    bool collective;
    int results;           /* further ones, NODE_RESULT; in `factors` after the first, with commas */
    bool pairs;            /* the results are pairs */
    bool pairs_after;      /* and the further ones are, of an op whose own is none */
    bool writes_state;     /* the result is a state among the inputs as it is then: no value of its own */
    int state_input;       /* which input that is */
    bool accumulates;      /* it adds to a state of TYPE_SUM: the sum is completed when another op reads it */
    bool whole;            /* a sum over what devices share is made whole by the op, where one process has them all */
    bool by_subtrees;      /* ... and where it has some, by subtrees; else what it reads has to come from the others */
    bool in_doubles;       /* sums of subtrees are doubles, two floats each, and rounded by what completes them */
    bool on_host;          /* of a lowered program: it runs on the host, every step */
    Binds binds;           /* BINDS_TABLE: a weight matrix is looked up row by row, as stored, never packed */
    size_t attributes;     /* bytes of Node.attributes */
    const char *none[FACETS]; /* why a facet is NULL; NULL: it is not */
};

#define NOT_TRAINED "the program does not train"
#define OF_GRADIENT "it is part of a gradient"
#define NOTHING_REDUCED "nothing is reduced"
bool op_has(const OpRow *row, Facet facet);

/* Whether only programs that train have it. */
bool op_trains(const OpRow *row);

/* THE TABLE, ended by NULL. */
extern const OpRow *const op_table[];
extern const OpRow embed_row, embed_part_row, rms_norm_row, head_norm_row, linear_row, rope_table_row, rope_row, cache_update_row,
    attention_row, silu_mul_row, add_row, scale_row, chosen_scale_row, scale_columns_row, select_rows_row, argmax_row, all_reduce_row, reduce_argmax_row;
extern const OpRow embed_grad_row, rms_norm_grad_row, norm_gain_grad_row, head_norm_grad_row, head_gain_grad_row,
    head_gain_sum_row, scale_columns_grad_row, dropout_row, adapter_norm_row, linear_dx_row, linear_dw_row,
    sum_rows_row, attention_backward_row, sum_group_row, silu_mul_grad_row, clear_rows_row, put_rows_row, row_max_row,
    exp_sum_row, label_logit_row, row_sum_row, token_loss_row, token_loss_grad_row, sum_states_row, row_squares_row,
    squares_row, adamw_row, adamw_vector_row, adamw8_row, sgd_row, sgd_vector_row, muon_row, reduce_max_row, replica_sum_row;

/* ---- Factor strings -------------------------------------------------------------------------------------------- */

typedef struct FactorDim {
    char letters[MAX_LETTERS];
    bool whole[MAX_LETTERS], picked[MAX_LETTERS];
    int count;
} FactorDim;
/* Results come after MAX_INPUTS inputs. */
typedef struct Factors {
    int inputs, results;
    bool optional[MAX_INPUTS];
    int rank[MAX_INPUTS + MAX_RESULTS];
    FactorDim dim[MAX_INPUTS + MAX_RESULTS][MAX_RANK];
} Factors;
bool factors_parse(const char *text, Factors *out, Err *err);

/* The op's node with its inputs and a copy of its attributes; computes the shape by the row. For the functions above,
 * which stand in their op's file. */
Tensor graph_op(Graph *g, const OpRow *op, const Node *proto);
bool shape_same(const Shape *a, const Shape *b);
/* Whether it is computed in a step and lies somewhere: a result of an op that is no state. */
static inline bool node_computed(const Node *n) {
    return (n->kind == NODE_OP && !n->op->writes_state) || n->kind == NODE_RESULT;
}
/* Numbers of a row; of a vector: of all. */
static inline int64_t node_width(const Node *n) {
    if (n->value == VALUE_PAIR) return n->shape.rank > 1 ? 2 * n->shape.dim[1].size : 2;
    return n->value == VALUE_VECTOR ? n->shape.dim[0].size : n->shape.rank > 1 ? n->shape.dim[1].size : 1;
}
/* Which list of the step's rows it has a row for. */
RowKind shape_rows(const Shape *s);
/* Axes as weight() and state() take them: "(kgc)d". */
enum { AXES_TEXT = MAX_RANK * (MAX_LETTERS + 2) + 1 };
void shape_axes(const Shape *s, char out[AXES_TEXT]);
/* "[t=128,(kgc)=3584]" */
void shape_text(const Shape *s, Text *out);
#endif
