/* engine.h: within src/infer: what an engine and a session are made of. */
#ifndef ENGINE_H
#define ENGINE_H
#include <stdatomic.h>
#include "../graph/backend.h"
#include "../model/qwen2.h"

enum { MAX_ROWS = 8192 }; /* of a step */

struct QmEngine {
    ModelConfig config;
    Weights *weights;
    ModelGraph model;
    Partition partition;
    Program program;
    const Backend *backend;
    void *state;
    QmModelInfo info;
    struct QmSession **slot; /* [slots], NULL: free */
    atomic_bool interrupted;
};

struct QmSession {
    QmEngine *engine;
    int slot;
    int64_t length;      /* tokens in the cache                                     */
    int64_t rope_length; /* largest rotary position so far + 1: dynamic and longrope */
};
#endif
