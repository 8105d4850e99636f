/* call.h: one device's share of one operation, as the reference drivers and the CPU engine see it. */
#ifndef CALL_H
#define CALL_H
#include <stdatomic.h>
#include "../graph/program.h"
#include "../base/cpu.h"
#include "../io/weights.h"
#include "kernels.h"

/* The rows of a step. Row r is token[r] of slot[r], the index[r]-th of its sequence (its place in the cache), at rotary
 * position[r]; length[r] is what rope types that depend on the length go by. */
typedef struct StepRows {
    int64_t rows, logit_rows;
    int32_t *token, *slot, *position;
    int64_t *index, *length;
    int32_t *logit_row; /* [logit_rows] row numbers */
} StepRows;

bool step_rows_new(StepRows *step, int64_t rows,
                   Err *err); /* room for `rows` rows; freed with step_rows_free, also after failure */
void step_rows_free(StepRows *step);

/* A weight matrix [rows][k] in panels of 16 rows; or of it what this process's devices use: `panels` of them from
 * first_panel on, of `columns` columns from first_k on, which is a whole number of groups. */
typedef struct PackedWeight {
    PackedType type;
    int64_t rows, k, panel_bytes;
    int64_t first_panel, panels, first_k, columns;
    const uint8_t *data;
} PackedWeight;

/* Keys and values of all layers and slots, in pages that slots may share (src/cpu/pages.h has who may write to which).
 * One (layer, head): all its pages, see kernels.h. A page has the same number in every layer and head. */
typedef struct KvCache {
    CacheType type;
    int64_t layers, kv_heads, channels, slots;
    int64_t positions, blocks; /* of a slot: positions = ATTENTION_BLOCK * blocks */
    int64_t page_bytes;        /* of the keys and values of one page, layer and head */
    int32_t *page;             /* [slots][blocks]: number of the page, -1: none yet */
    int32_t *users;            /* [slots * blocks] pages: slots that hold it */
    /* In 8 bits, where keys or values have biases; else NULL. key_bias.h has why. */
    KeyTurns *turns;
    KeyBias *bias;             /* [layers * kv_heads] */
    int32_t *at;               /* [page][ATTENTION_BLOCK]: rotary positions of what it holds; -1: kept whole */
    uint8_t *data;
    size_t bytes;
} KvCache;
static inline uint8_t *cache_head(const KvCache *c, int64_t layer, int64_t head) {
    return c->data + (size_t)((layer * c->kv_heads + head) * c->slots * c->blocks) * (size_t)c->page_bytes;
}
static inline int32_t *cache_pages(const KvCache *c, int64_t slot) { return c->page + slot * c->blocks; }

/* What gives input i of a cache_update, keys (0) or values (1): a linear with a bias, of a normed value. rope: of
 * keys. */
typedef struct CacheSource { Tensor weight, bias, gain; const Rope *rope; } CacheSource;
bool cache_source(const Graph *g, const Node *update, int i, CacheSource *out); /* false: something else */
/* Frequency i in f32 for a sequence of `length` tokens. */
float rope_frequency(const Rope *r, int64_t i, int64_t length);

/* A step of up to so many rows is dealt to the workers in equal shares, by cost; one of more is taken in chunks. */
enum { STATIC_ROWS = 8 };

/* Where workers that share a row of one key/value head leave the parts of its blocks: in steps of up to STATIC_ROWS
 * rows. See attention.c. */
typedef struct Parts {
    float *data;      /* [row][query head][block] of attention_part(1, channels) floats */
    size_t bytes;
    atomic_int *done; /* [row][query head]: units that are done of the heads from here on, 0 between steps */
} Parts;

/* How linears of many rows are cut, so that what is used again is still in a cache. No bit depends on it. */
typedef struct Blocking {
    int64_t floats, quads, pairs; /* columns of a panel at a time: unpacked, against quads, against pairs */
    int64_t quad_bytes;           /* quads of a block of rows */
} Blocking;
Blocking linear_blocking(CpuCaches caches);

typedef struct Call {
    const Graph *graph;
    const Node *node;
    const Partition *partition;
    const Kernels *kernels;
    const StepRows *step;
    int64_t row0, row1;          /* rows of this data-parallel replica                                      */
    Range columns;               /* of the result, this shard's; heads for ops on heads                     */
    const float *in[MAX_INPUTS]; /* activations, row-major at their global width                            */
    float *out, *more[MAX_RESULTS - 1]; /* of results from 1 on; NULL: nobody reads it                      */
    int64_t in_width[MAX_INPUTS], out_width;
    const Blocking *blocking;    /* linear */
    const PackedWeight *weight;  /* linear; embed: where the table has no rows of its own */
    ActType act;        /* linear: the form it takes its activations in; quantise: the form it makes            */
    void *acts;         /* activations in that form unless it is f32: call_quads, call_pairs                    */
    int64_t acts_step;  /* from four rows to the next in quads, k / 32; from a row to the next in pairs         */
    int replica;
    const float *vector;         /* bias or gain, f32 */
    const WeightTensor *table;   /* embed: the table as stored */
    KvCache *cache;
    int64_t layer;               /* of the cache: its number among the caches */
    Parts *parts;                /* attention: where workers may share rows, else NULL                       */
    const Tree *tree;            /* linear with a partial result: the tree ...                              */
    const TreeNode *nodes;       /* ... and its subtrees, each a [rows][width] block of the partial value   */
    int node_first, node_last;   /* those that this process adds up                                         */
    const int *finish;           /* all_reduce: steps of tree_finish                                        */
    int finish_count;
    int devices;                 /* argmax, reduce_argmax: pairs per row                                    */
    int device;
    float *scratch;              /* of the worker, call_scratch(...) floats, 64-byte aligned                */
} Call;

/* Which of the step's rows row0 and row1 count: those of the result, or, where it has none, of what is put into it. */
static inline RowKind call_row_kind(const Call *c) {
    RowKind kind = shape_rows(&c->node->shape);
    return kind ? kind : shape_rows(&graph_node(c->graph, c->node->in[0])->shape);
}

/* The units of an op whose work is one row each. */
static inline int64_t call_rows(const Call *c) { return c->row1 - c->row0; }

/* Floats from one block of a partial value to the next in a step of `rows` rows in all: as close as can be, and a cache
 * line more, or the blocks of one row would meet in a few sets of the caches. */
static inline int64_t block_step(int64_t rows, int64_t width) { return rows * width + 16; }

/* Quads of all replicas' rows: each replica starts a new one at row0 / 4 + its number. */
static inline int64_t quads_blocks(int64_t rows, int replicas) { return (rows + QUAD - 1) / QUAD + replicas; }
/* Of row row0. */
static inline Quad *call_quads(const Call *c) {
    return (Quad *)c->acts + (c->row0 / QUAD + c->replica) * c->acts_step;
}
static inline Pair *call_pairs(const Call *c) { return (Pair *)c->acts + c->row0 * c->acts_step; }

/* Not an op of a graph: what the CPU engine puts between a value and the linears that want it in another form. */
extern const OpRow quantise_row;

/* Floats of scratch any op may need for steps of `rows` rows. */
int64_t call_scratch(const Graph *graph, const Partition *partition, const Blocking *blocking, int64_t rows);

enum { LINEAR_PANELS = 4, PAIR_PANELS = 4, TILE_PANELS = 2, REDUCE_CHUNK = 256 };
#endif
