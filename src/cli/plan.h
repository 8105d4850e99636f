/* plan.h: what `plan` shows, as text and as a picture. */
#ifndef PLAN_H
#define PLAN_H
#include "../graph/program.h"
#include "../io/weights.h"
#include "../model/family.h"

typedef struct Plan {
    ModelConfig config;
    ModelGraph model;
    Partition partition;
    Program program;
    double *bits;            /* [nodes of the program's graph]: of a number of a weight where it is a matrix; owned */
    char weights[128];       /* which types those are, and of how many bits on average                              */
    double cache_bits;       /* of a key or value */
    const char *cache;
    int64_t context, slots, rows, ranks;
} Plan;

typedef struct DeviceBytes { double weights, cache, activations; } DeviceBytes;

/* How many bits the weights take: as they are in the model's files, if it has some, or bf16; `asked` changes them as
 * --weights does when a model is opened. */
bool plan_weights(Plan *p, Source *source, const char *asked, Err *err);
DeviceBytes plan_bytes(const Plan *p, int device);
static inline double plan_all_bytes(DeviceBytes b) { return b.weights + b.cache + b.activations; }

/* The mesh as it is written: rows of devices, with their heads, columns and memory. */
bool plan_picture(const Plan *p, const char *path, Err *err);
#endif
