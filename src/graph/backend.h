/* backend.h: what runs a Program. The engine (src/infer) knows backends only by this. */
#ifndef BACKEND_H
#define BACKEND_H
#include "../ops/call.h"

typedef struct BackendOptions {
    int threads;
    int64_t slots, context, rows;
    CacheType cache;
    bool act_int8;            /* linears with quantised weights take their activations in 8 bits */
    PackedType weights;       /* Q8G or Q4G: matrices are quantised at load; else: as stored     */
    const char *isa;
    bool quiet;
} BackendOptions;

typedef struct BackendInfo {
    int workers;
    const char *isa;
    int64_t weight_bytes, cache_bytes, activation_bytes, decode_bytes;
    char packed_parts[160];
    double weight_error;      /* relative, root mean square: of what was quantised at load; 0: nothing was */
} BackendInfo;

typedef struct Backend {
    const char *name;
    /* Compiles the program and uploads its weights. program and weights outlive the result. NULL on error. */
    void *(*open)(const Program *program, Weights *weights, const BackendOptions *options, Err *err);
    void (*close)(void *backend);
    /* The rows of the next step, to be filled: arrays of options.rows. Rows of one data-parallel replica (slot % dp) stand
     * together, replica 0 first; so do the logit rows. */
    StepRows *(*rows)(void *backend);
    bool (*run)(void *backend, Err *err);
    /* The result of a kept node after a run, row-major f32. */
    const float *(*read)(void *backend, Tensor tensor);
    const BackendInfo *(*info)(void *backend);
} Backend;
#endif
