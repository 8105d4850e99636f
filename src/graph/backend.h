/* backend.h: what runs a Program. The engine (src/infer) knows backends only by this. */
#ifndef BACKEND_H
#define BACKEND_H
#include "../ops/call.h"

typedef struct BackendOptions {
    int threads;
    int64_t slots, context, rows;
    int64_t logit_rows;       /* most of a step; 0: as many as rows */
    int sum_slots;            /* partial sums of TYPE_SUM that are held between runs, 1 to LANE_SLOTS; 0: 1 */
    CacheType cache;
    ActType act;              /* of linears whose weights allow it */
    bool act_auto;            /* instead of `act`: int8 if any weights are quantised, else f32; PJRT: f32 */
    bool act_given;           /* somebody chose: for what is said of it */
    PackedType quantise;      /* Q8G, Q4G or BF16: what matrices become at load; else: as stored */
    const char *isa;
    const char *weights;       /* type held; NULL: the backend's choice               */
    const char *plugin;        /* PJRT: file, or cpu, tt, cuda, tpu; NULL: cpu        */
    int candidates;            /* PJRT: -1: as is best on the platform; 0: none; else as many a device */
    const char *program_cache; /* PJRT: folder of compiled programs; NULL: none       */
    bool pin;                  /* CPU: the caller stays on a core too             */
    bool phases;              /* CPU: time the phases of steps                    */
} BackendOptions;

typedef struct BackendInfo {
    int workers;
    const char *isa;
    int64_t weight_bytes, cache_bytes, activation_bytes, decode_bytes;
    char packed_parts[160];
    int programs_compiled, programs_loaded; /* PJRT: so far, loaded ones from the cache folder */
    int candidates;           /* of a row of logits each device tells; 0: rows are read whole */
    int64_t read_bytes;       /* PJRT: of results, so far */
    const char *cache, *act;  /* types in force, of the key/value cache and of activations */
    char act_why[160];        /* where the latter comes from, and which linears keep f32 */
    int linears, act_linears; /* of the program; those that take their activations as `act`, where that is not f32 */
    int nodes;                /* of memory under the workers; 0: unknown */
    double weight_error;      /* relative, root mean square: of what was quantised at load; 0: nothing was */
} BackendInfo;

typedef struct Backend {
    const char *name;
    bool uniform; /* wants a partition of uniform shards */
    /* Several processes: what is read lies where its devices are, so all ranks call read and candidates. Else only the
     * results that are split (Node.split) are read together. Rank 0 alone gets a value, the others NULL. */
    bool reads_together;
    /* Compiles the program and uploads its weights. program and weights outlive the result. NULL on error. */
    void *(*open)(const Program *program, Weights *weights, const BackendOptions *options, Err *err);
    void (*close)(void *backend);
    /* The rows of the next step, to be filled: arrays of options.rows. Rows of one data-parallel replica (slot % dp)
     * stand together, replica 0 first; so do the logit rows. */
    StepRows *(*rows)(void *backend);
    bool (*run)(void *backend, Err *err);
    /* The result of a kept node after a run, row-major f32; NULL on error. */
    const float *(*read)(void *backend, Tensor tensor, Err *err);
    const BackendInfo *(*info)(void *backend);
    /* A row of the last run's logits, out [vocab], of which only each device's largest are known: the others are
     * -INFINITY there, and in truth at most *floor (+INFINITY: do not rely on the row). NULL, or info's candidates 0:
     * there is no such row. Ranks other than 0 give no `out` and get nothing. */
    bool (*candidates)(void *backend, int64_t logit_row, float *out, float *floor, Err *err);
    /* Makes the first `positions` of to_slot's cache equal to from_slot's, bit for bit. NULL: not possible. */
    bool (*copy)(void *backend, int from_slot, int to_slot, int64_t positions, Err *err);
    /* All of a state that is no cache, or of a trained weight, row-major f32: of rows, those of the last step; of a sum
     * over rows, as the program has completed it. NULL: the backend does not train. */
    bool (*state_read)(void *backend, Tensor tensor, float *out, Err *err);
    bool (*state_write)(void *backend, Tensor tensor, const float *in, Err *err);
    /* As qm_engine_phases. NULL: not told. */
    int (*phases)(void *backend, QmPhase *out, int most);
} Backend;
#endif
