/* engine.h: within src/infer: what an engine and a session are made of. */
#ifndef ENGINE_H
#define ENGINE_H
#include <stdatomic.h>
#include "../base/turn.h"
#include "../graph/backend.h"
#include "../model/model_graph.h"

enum { MAX_ROWS = 8192 }; /* of a step */

struct QmEngine {
    ModelConfig config;
    Weights *weights;
    struct Adapters *adapters; /* NULL: none */
    ModelGraph model;
    Partition partition;
    Program program;
    const Backend *backend;
    void *state;
    Tensor logits, best;     /* outputs of the model, where it has them              */
    Tensor *hidden;          /* [hidden_count] likewise: layers + 1, or 0             */
    int hidden_count;
    QmModelInfo info;
    QmWatch own_watch;
    const QmWatch *watch;    /* own_watch, or NULL: the process's */
    struct QmSession **slot; /* [slots], NULL: free */
    int32_t *row_entry;      /* [rows] of the step under way: whose entry's row it is,           */
    int64_t *row_token;      /* [rows] which token of it,                                        */
    bool *row_settled;       /* [rows] of logit rows: nothing is to be read of it any more       */
    atomic_uint interrupts;  /* so far: a qm_forward that began before one of them ends */
    Turn turn;               /* see engine_enter */
    char *path;              /* of the model                                     */
    char weights_told[96];   /* what they became at load, as options said it     */
    bool random;             /* generated weights: the files have none           */
    int spread_number;       /* over several ranks: its number on all of them (lead.h); 0: this process's alone */
};

struct QmSession {
    QmEngine *engine;
    int slot;
    int64_t length;      /* tokens in the cache                                     */
    int64_t rope_length; /* largest rotary position so far + 1: dynamic and longrope */
    int32_t *ids;        /* [length] in the cache; -1: at a position other than its own */
    size_t room;
    int adapter;         /* that its tokens go through: 1 or more; 0: none          */
    uint64_t salt;       /* of the request that it was last used for                */
    atomic_uint cancels; /* so far: a qm_forward that began before one of them ends  */
};

/* Whoever works on an engine, its sessions' caches or its table of slots does it between these two: one thread at a
 * time, in the order in which they came, which may enter again. Over several processes it is one thread for all engines: their messages share one
 * way. */
void engine_enter(const QmEngine *engine);
void engine_leave(const QmEngine *engine);

/* qm_engine_open_from, or qm_engine_open (source NULL), with the number that rank 0 gave it; 0: none yet. */
QmEngine *engine_open_as(QmSource *source, const QmEngineOptions *options, int spread_number, QmErr *err);

/* Numbers of a row of an output. */
int64_t engine_columns(const QmEngine *engine, Tensor output);
#endif
