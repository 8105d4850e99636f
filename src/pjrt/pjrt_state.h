/* pjrt_state.h: within src/pjrt: an open PJRT backend. */
#ifndef PJRT_STATE_H
#define PJRT_STATE_H
#include "../graph/backend.h"
#include "buckets.h"
#include "client.h"
#include "kv.h"

/* A run of the program's nodes that is executed alone. arguments: [own device * arguments + i], made at the first
 * run; weights stay there. */
typedef struct Piece {
    Lower lower;
    PjrtProgram *program;
    bool shared;                /* the program is an earlier piece's, whose text is the same */
    PjrtBuffer **arguments;
    int first_result;           /* of those of all pieces */
} Piece;

/* What the host gives for a step: one upload for all pieces. */
typedef struct StepInput { const LowerArgument *argument; PjrtBuffer **buffer; } StepInput;

typedef struct Compiled {
    bool ready;
    Piece *piece;               /* [pieces] */
    int pieces, results;
    StepInput *input;
    int inputs;
    size_t input_capacity;
} Compiled;

/* Buffers of one weight as some ops use it, one per own device. */
typedef struct Placed { int node; char split[MAX_LETTERS + 1]; PjrtBuffer **buffer; } Placed;

/* One execution of a step. Its arrays have room for any bucket and are kept for later steps. */
typedef struct Wave {
    int bucket;
    int32_t *row;               /* [dp * bucket rows] step row fed there, -1: none                        */
    int32_t *logit;             /* [dp * bucket logit rows] logit row that comes out there, -1: not asked */
    PjrtBuffer **results;       /* of each piece [own device * results + i]; caches and values are moved out */
} Wave;

/* place.c's and pieces.c's: what is compiled, and what it keeps on the devices. */
typedef struct PjrtPrograms {
    Bucket bucket[MAX_BUCKETS];
    Compiled compiled[MAX_BUCKETS], copier;
    int buckets;
    int *cut, pieces;           /* piece i is nodes [cut[i], cut[i + 1]) of the program */
    LowerArgument *kept;        /* weights and states of all pieces */
    int kept_count;
    size_t kept_capacity;
} PjrtPrograms;

/* upload.c's: what lies on the devices. States: wave.c puts a step's in the places of the last step's. */
typedef struct PjrtPlaced {
    const WeightTensor **tensor; /* [node id] of weights */
    Placed *weights;
    int weight_count;
    size_t weight_capacity;
    PjrtBuffer **shard;         /* [own device] */
    PjrtBuffer **state;         /* [buffer of a state * own + own device] */
    int states;
    void *lent, *lent_cache;    /* memory that weights and states stand on, or NULL */
    size_t lent_bytes, lent_cache_bytes;
    PjrtLoan **loan;            /* [loan_count]: NULL entries are none */
    int loan_count;
    size_t loan_capacity;
} PjrtPlaced;

/* pjrt.c's, wave.c's and inputs.c's: the step at hand. */
typedef struct PjrtStep {
    StepRows given;
    float **host;               /* [node id] of on_host ops: rows of the step */
    float *scratch;
    Wave *waves;                /* [wave_made], of which the step has wave_count */
    int wave_count, wave_made;
    size_t wave_capacity, wave_rows, wave_logits; /* of a wave: room for rows and logit rows */
    int64_t (*piece)[2], *piece_at; /* [dp] while a step is cut into waves */
    void *work;                 /* an argument on its way up or a result on its way down */
    size_t work_capacity;
    int32_t *row_logit;         /* [rows] logit row of a step row, -1: not asked                        */
    float **value;              /* [node id] of kept nodes, assembled for the host                      */
    PjrtBuffer **copied;        /* results of a copy, moved to the states at once                       */
    bool lost;                  /* an execution failed: states may be gone                              */
} PjrtStep;

/* candidates.c's. */
typedef struct PjrtTop {
    int count;                  /* asked of every program; 0: none                                      */
    float *row;                 /* [logit row][tp][2 k] of the step, once it was read                   */
    int64_t width;              /* 2 k                                                                  */
    bool read;                  /* for this step                                                        */
} PjrtTop;

/* nodes.c's: how several processes meet. */
enum { STORE_BYTES = 320 };
typedef struct PjrtMet {
    struct KvServer *server;    /* of rank 0 of several, or NULL                                        */
    char store[STORE_BYTES];    /* its address                                                          */
    uint8_t secret[KV_SECRET];  /* what it asks for                                                     */
} PjrtMet;

/* Stages of a program that trains, as programs of their own: stage_programs.c's. */
typedef struct StageProgram {
    Stage first, last;
    bool sums_go_on;            /* LowerOptions */
    Compiled compiled;
    Text *text;                 /* of its pieces, until it is compiled */
} StageProgram;
enum { MOST_STAGE_PROGRAMS = 16 };

/* stages.c's and stage_states.c's: what a step of the optimizer has on the devices. */
typedef struct PjrtStages {
    StageProgram list[MOST_STAGE_PROGRAMS];
    int count;
    PjrtBuffer **value, **result; /* [node * own + own device] of the pass: for later stages; for the host */
    const LowerArgument **told; /* [node] as the program that gave `result` calls it        */
    LowerArgument *state;       /* [state] as programs take it; rank 0: none does           */
    int *last_use;              /* [node] place of the last piece that takes its value      */
    int piece_layers;           /* of a piece before STAGE_NORM, then one; 0: nothing is cut */
    int64_t logit_rows;         /* of a replica that pass the head at once; 0: all it has   */
    int running;                /* executions begun since one was waited for                */
} PjrtStages;

typedef struct Pjrt {
    const Program *program;
    BackendOptions options;
    PjrtClient *client;
    int devices, dp, tp;        /* of the mesh                                                          */
    int node, nodes;            /* this process among those that share the mesh (nodes.c)               */
    int first, own;             /* its devices: [first, first + own) of the mesh; buffers are of those  */
    char type[8];
    int64_t slots, positions;   /* of a replica */
    PjrtPrograms programs;
    PjrtPlaced placed;
    PjrtStep step;
    PjrtTop top;
    PjrtMet met;
    PjrtStages stages;          /* of a program that trains */
    BackendInfo info;
} Pjrt;

#define LOST "an earlier step failed on the devices: the key/value cache is lost, open the model again"
#define LOST_STATES "an earlier step failed on the devices: weights and moments are lost, resume from a checkpoint"

/* place.c: programs compiled when first needed. */
bool pjrt_bucket(Pjrt *p, int bucket, Err *err);
bool pjrt_copier(Pjrt *p, Err *err); /* of a slot's caches: see lower_copy */
bool pjrt_place(Pjrt *p, Weights *weights, Err *err);
bool pjrt_tensors(Pjrt *p, Weights *weights, Err *err); /* finds the weights */
/* Room for pieces and their texts; NULL on error. pieces_compile compiles what was written there, and frees the texts,
 * which may be NULL. */
Text *pieces_new(Compiled *c, int pieces, Err *err);
bool pieces_compile(Pjrt *p, Compiled *c, const char *name, Text *text, Err *err);
void texts_free(Text *text, int count);
void compiled_free(Compiled *c);
void pjrt_unplace(Pjrt *p);
/* upload.c: weights, caches and shard places, once: p->programs.kept says which. */
bool pjrt_upload_all(Pjrt *p, bool lends, Err *err);
void pjrt_upload_free(Pjrt *p);
void pjrt_memory_free(Pjrt *p); /* after the client is closed */
static inline PjrtType pjrt_type_of(const char *type) {
    return type[0] == 'i' ? PJRT_S32 : type[0] == 'b' ? PJRT_BF16 : PJRT_F32;
}
/* pieces.c: where the program is cut, and what its pieces keep on the devices. */
bool pieces_cut(Pjrt *p, Err *err);
/* Layers of a piece: as many as divide all, since a rest would be another program to compile; else all of them. */
int pieces_layers(int layers);
bool pieces_kept(Pjrt *p, const Compiled *c, Err *err);
/* host_step.c */
bool pjrt_step_new(Pjrt *p, Err *err);
void pjrt_host_run(Pjrt *p); /* values that the host computes as the op runs, for every row of the step */
void pjrt_close_backend(void *backend);
StepRows *pjrt_rows(void *backend);
const BackendInfo *pjrt_backend_info(void *backend);
/* inputs.c: what the host gives for a run of the pieces: `fill` writes an argument's value on a replica. */
typedef bool InputFill(const Pjrt *p, const void *of, const LowerArgument *a, int replica, void *work, Err *err);
bool inputs_give(Pjrt *p, Compiled *c, InputFill *fill, const void *of, Err *err);
/* Arguments of a bucket's pieces. w NULL: of a copy, slots copy[0] to copy[1]. */
bool inputs_upload(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, Err *err);
void inputs_free(Pjrt *p, Compiled *c);    /* buffers of the step */
bool arguments_fill(Pjrt *p, Compiled *c, int piece, PjrtBuffer *const *results, Err *err);
/* nodes.c: with one process they do nothing. */
bool nodes_deal(Pjrt *p, Err *err);                 /* which devices are ours */
bool nodes_meet(Pjrt *p, PjrtOptions *o, Err *err); /* what the client needs to be one of several */
/* Whether all ranks are ok, and have clients of the same plugin: what follows waits for all. */
bool nodes_same(const Pjrt *p, bool ok, Err *err);
void nodes_part(Pjrt *p);                           /* after the client is closed */
/* `bytes` of a result, from the rank that has the device to rank 0. All ranks call it for the same results in the same
 * order. */
void nodes_home(const Pjrt *p, int owner, void *data, size_t bytes);
/* A step failed: ends all ranks, since the others wait for this one within the plugin. False with one process. */
bool nodes_failed(const Pjrt *p, const Err *err);
static inline int mesh_device(const Pjrt *p, int own) { return p->first + own; }
/* wave.c: one execution: arguments from the step's rows, caches in and out. */
Wave *wave_new(Pjrt *p, int bucket, Err *err); /* the step's next one, without rows */
bool wave_run(Pjrt *p, Wave *w, Err *err);
void waves_clear(Pjrt *p);                     /* frees the results of the last step */
void waves_free(Pjrt *p);
bool pjrt_copy(void *backend, int from_slot, int to_slot, int64_t positions, Err *err);
/* Whether any of a result's rows on a replica is asked for: rows of logits, or all rows. */
bool wave_asked(const Pjrt *p, const Wave *w, bool by_logit, int replica);
/* A result of a program: of which piece, and where among its results. */
typedef struct Result { int piece, at; } Result;
const LowerArgument *wave_result(const Pjrt *p, const Wave *w, Result r);
/* A result of a wave on a device of the mesh, in f32, into p->step.work of rank 0. */
bool wave_download(Pjrt *p, const Wave *w, Result r, int device, Err *err);
bool work_room(Pjrt *p, size_t bytes, Err *err); /* of p->step.work */
/* stage_programs.c: the program of some stages, written, and compiled when it is first run. */
StageProgram *stage_program(Pjrt *p, Stage first, Stage last, bool sums_go_on, Err *err); /* NULL on error */
bool stage_compile(Pjrt *p, StageProgram *of, Err *err);
void stages_free(Pjrt *p);
void stage_values_free(Pjrt *p); /* what the last pass left for later stages and for the host */
/* Where a piece stands among all that a step may run. */
static inline int stage_place_of(const StageProgram *of, int piece) { return (int)of->first << 16 | piece; }
/* stage_inputs.c */
bool stage_value(const Pjrt *p, const void *none, const LowerArgument *a, int replica, void *work, Err *err);
/* Where row `row` of the step stands among those of its replica. */
static inline int64_t stage_place(const Pjrt *p, int64_t row) {
    return p->step.given.slot[row] / p->dp * p->options.context + p->step.given.index[row];
}
/* stage_states.c: trained weights and moments, from the file or zero; sums, when a program first takes them. */
bool stage_states_new(Pjrt *p, Err *err);
bool stage_sums_new(Pjrt *p, const Lower *l, Err *err);
bool stage_state_read(void *backend, Tensor t, float *out, Err *err);
bool stage_state_write(void *backend, Tensor t, const float *in, Err *err);
const float *stage_read(void *backend, Tensor t, Err *err);
/* candidates.c */
bool pjrt_candidates(void *backend, int64_t logit_row, float *out, float *floor, Err *err);
/* Results of all waves of the step, assembled into p->step.value[node]. */
bool waves_read(Pjrt *p, const Node *n, Err *err);
#endif
