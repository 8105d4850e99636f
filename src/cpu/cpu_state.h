/* cpu_state.h: within src/cpu: an open CPU engine, in parts that each belong to one file. */
#ifndef CPU_STATE_H
#define CPU_STATE_H
#include "../graph/backend.h"
#include "crowd.h"
#include "kernels_select.h"
#include "share.h"
#include "spread.h"
#include "state_shards.h"
#include "workers.h"

typedef struct Cpu Cpu;

/* One device's share of one operation. */
typedef struct Item {
    Call call;              /* all but the rows of the step */
    const OpRow *op;        /* the node's, or its readers' quantise */
    int replica;
    double unit_cost;       /* relative, for static splits of decode */
    int64_t own_in[MAX_INPUTS], own_out, own_acts; /* floats into a worker's own copy, -1: shared. See Phase.repeat */
    int64_t units;          /* of this step's rows, which call holds too: set before the workers start */
} Item;

/* Items that do not wait for each other, and what they add up to in this step. `parts`: that a worker's share is taken
 * in; `together`: units of which a part has all or none, panels that a kernel reads side by side. `repeat`: so little
 * work that in a step of few rows every worker does all of it, into a copy of its own, rather than wait for another at
 * a barrier. `exchange`: it makes partial values, which go to the other ranks after it. */
typedef struct Phase {
    int first, last, parts, together;
    int64_t units;
    double cost, weight_bytes;
    bool repeat, exchange;
} Phase;
enum { REPEAT_ROWS = 2, REPEAT_WIDTH = 8192 };

/* A weight as the engine holds it: a packed matrix, a vector, or the table in the file. */
typedef struct LoadedWeight {
    PackedWeight packed;
    float *vector;
    const WeightTensor *tensor;
    bool made;              /* converted at load */
    bool in_file;           /* its panels are used where a packed file is mapped */
    bool as_matrix, as_vector, as_table;
} LoadedWeight;

/* load.c's: the weights. */
typedef struct CpuLoad {
    LoadedWeight *weights;  /* [node id] */
    uint8_t *packed;        /* all panels; NULL: they are in the mapped file */
    size_t packed_bytes;
} CpuLoad;

/* plan.c's: who does what in which phase, and where everything lives. */
typedef struct CpuPlan {
    Item *items;
    int item_count;
    size_t item_capacity;
    Phase *phases;
    int phase_count;
    int *node_phase;        /* [node id] */
    int stage_phase[STAGES + 1]; /* the first of each stage */
    bool stages;            /* there are several: the program trains */
    float *activations;     /* worker 0's copy where there are several */
    float *own;             /* [workers - 1] copies of what repeated phases make */
    int64_t own_floats;     /* of one copy */
    int64_t *offset;        /* [node id] floats into activations; -1: none. [node count + id]: in another form */
    int64_t *own_offset;    /* [node id], [node count + id] as offset */
    size_t activation_bytes;
    StateShard *shard;      /* [node id] of states and trained weights: what of them is here */
    float **state;          /* [node id] of states that are no caches, slot after slot; NULL: it is none */
    Range **leaves;         /* of linear_dx: leaves of a pair */
    int leaves_count;
    size_t leaves_capacity;
    Parts parts;            /* bytes 0: one worker, who shares nothing */
} CpuPlan;

/* sums.c's: room for numbers of other ranks, and the sums of groups on their way: in pieces, numbers [at, at + floats) of
 * a state in each of its slots, whole after a phase. */
enum { SUMS_FLOATS = 1 << 15 }; /* of a message; or a row, where that is longer */
typedef struct SumPiece { const Node *state; int64_t at, floats; int phase; } SumPiece;
typedef enum SumsStage { SUMS_STILL, SUMS_COLLECTED, SUMS_TOLD, SUMS_STAGES } SumsStage; /* where a batch of pieces is */
typedef struct CpuSums {
    float *buffer;
    size_t bytes, capacity;
    SumPiece *piece;        /* [pieces] of all sums; none: there is one group */
    int64_t pieces, at;     /* those before `at` are through in this step */
    SumsStage stage;        /* of the batch from there on: its messages are on their way */
    Message *message;
    int messages;
    LaneFinish finish;
} CpuSums;

/* cpu_step.c's: the step at hand. */
typedef struct CpuStep {
    StepRows given;
    Crowd crowd;
    int sharing;            /* workers that share the step */
    float *scratch;         /* of all workers */
    int64_t scratch_floats;
    int64_t *first_row[ROW_KINDS]; /* [dp + 1] first row of each replica, of the last step; NO_ROWS: NULL */
    int64_t row_block[STATIC_ROWS];         /* block of its sequence that each row of it was in */
    struct Timed { double seconds, weight_bytes; } *timed; /* [phase count] since they were read; NULL: not timed */
    struct Counter *counters; /* [phase count] of chunks, then [workers * SHARE_TURNS] of parts */
} CpuStep;

/* What each part has written, the others read. */
struct Cpu {
    const Program *program;
    BackendOptions options;
    const Kernels *kernels;
    Blocking blocking;
    Workers *workers;
    int nodes;              /* of memory under the workers */
    Spread spread;          /* this rank's part of the mesh */
    KvCache cache;
    CpuLoad load;
    CpuPlan plan;
    CpuStep step;
    CpuSums sums;
    BackendInfo info;
};

/* The matrix of a product; NULL: it is another op. */
static inline const PackedWeight *cpu_matrix(const Item *item) {
    return item->op->binds == BINDS_MATRIX && item->op == item->call.node->op ? item->call.matrix.weight : NULL;
}
/* cpu_step.c: room for a step, after cpu_plan; given is there before. */
bool cpu_step_new(Cpu *cpu, Err *err);
void cpu_step_free(Cpu *cpu);
bool cpu_step_run(Cpu *cpu, Err *err);
/* Gives every item the rows of this step, and counts the work. */
void cpu_step_count(Cpu *cpu);
/* load.c: finds and checks every weight, and makes room for panels; all that is missing, misshapen or left over is
 * named in one list. cpu_fill then packs them: after cpu_plan, which says where they are read. */
bool cpu_load(Cpu *cpu, Weights *weights, Err *err);
bool cpu_fill(Cpu *cpu, Weights *weights, Err *err);
/* Uses, packed types and sizes of every weight of a graph, in list[graph->count]. quantise: as in BackendOptions. */
bool cpu_hold(const Graph *graph, Weights *weights, PackedType quantise, LoadedWeight *list, Err *err);
static inline int64_t cpu_panels(const LoadedWeight *w) { return w->packed.panels; }
void cpu_pack_panel(const LoadedWeight *w, int64_t panel, void *to, PackError *error);
bool cpu_vector(const LoadedWeight *w, float *out, Err *err); /* out: as many floats as the vector has */
/* acts.c: resolves BackendOptions.act_auto by the weights found, and says in cpu->info what is in force and why. */
void cpu_acts_choose(Cpu *cpu);
/* In which form this node takes an input; f32 unless it is a linear's, or a gradient that a dx is made of, and can be the
 * other. */
ActType cpu_act(const Cpu *cpu, const Node *n, int input);
/* plan.c: items, phases, and one planned block of memory for every activation. */
bool cpu_plan(Cpu *cpu, Err *err);
int64_t cpu_cache_number(const Graph *g, const Node *state); /* caches before it; NULL: all there are */
/* Numbers of a state that is no cache, or of a trained weight, that are here: a matrix lies in panels. */
int64_t cpu_state_floats(const Cpu *cpu, const Node *n);
size_t cpu_state_bytes(const Cpu *cpu, const Node *n);
float *cpu_state_data(const Cpu *cpu, const Node *n);
/* states.c: as Backend.state_read and state_write. cpu_rect_share: of rank `from`, to all others of its group. */
void cpu_rect_share(Cpu *cpu, const Node *n, float *state, const Rect *r, int from);
bool cpu_state_read(void *backend, Tensor tensor, float *out, Err *err);
bool cpu_state_write(void *backend, Tensor tensor, const float *in, Err *err);
int64_t cpu_value_floats(const Cpu *cpu, const Node *n); /* of a node's result for a full step */
/* key_bias.c: a cache in 8 bits. Chooses the biases that it leaves out (ops/key_bias.h), once weights are there; freed
 * with key_bias_free, after failure too. */
bool key_bias_new(Cpu *cpu, Err *err);
void key_bias_free(KvCache *c);
/* Notes which rotary position of a sequence of `length` is to come to a place of a page. */
void key_bias_place(KvCache *c, int32_t page, int64_t in_page, int32_t position, int64_t length);
void key_bias_copy(KvCache *c, int32_t from, int32_t to); /* as a page is copied */
/* phases.c: what phases are called, and what they took. */
int cpu_phases(void *cpu, QmPhase *out, int most);
/* Whether several ranks have parts of what an op sums up for all, as blocks of a partial value. */
static inline bool cpu_in_parts(const Cpu *cpu, const Node *n) {
    return n->op->by_subtrees && cpu->spread.groups.parts > 1 && program_sum(cpu->program, n) != NULL;
}
/* Whether an op reads columns that other ranks make, as it makes whole sums of them. */
static inline bool cpu_gathers(const Cpu *cpu, const Node *n) {
    return n->kind == NODE_OP && n->op->whole && !n->op->by_subtrees && !n->op->accumulates && n->partial[0] &&
           cpu->spread.groups.parts > 1;
}
/* After which phase a node's exchange is due; -1: it has none. */
static inline int cpu_exchange_phase(const Cpu *cpu, const Node *n) {
    if (cpu_gathers(cpu, n)) return cpu->plan.node_phase[n->in[0].id];
    if (!n->op || !n->partial[0] || n->op->accumulates || (n->op->whole && !cpu_in_parts(cpu, n))) return -1;
    return cpu->plan.node_phase[n - cpu->program->graph.nodes];
}
/* sums.c: completes sums over rows, once all passes of a step have added to them: of all groups, and of all parts where
 * each rank holds the whole. */
bool sums_new(Cpu *cpu, Err *err); /* room for it; freed with sums_free, also after failure */
void sums_free(Cpu *cpu);
void cpu_sums_complete(Cpu *cpu);
/* Worker 0, now and then in a run of stages, of which phases up to `phase` are through: lets those of groups travel that
 * are whole, without a wait. */
void cpu_sums_beside(Cpu *cpu, int phase);
/* exchange.c: what goes between ranks: after a phase, after a step, and when rank 0 reads columns that others hold. */
void cpu_exchange(Cpu *cpu, int phase);
void cpu_bring_home(Cpu *cpu);
void cpu_gather(Cpu *cpu, const Node *n);
/* The first `positions` of a slot's cache, to another slot: by sharing pages, or into pages of its own where other
 * ranks hold them. */
void cpu_copy_slot(Cpu *cpu, int from, int to, int64_t positions);
/* A page, in all layers and heads that this rank holds for a slot. */
void cpu_copy_page(Cpu *cpu, int slot, int32_t from, int32_t to);
#endif
