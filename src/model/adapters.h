/* adapters.h: what the linears of a model have beside their weights: one adapter (io/adapter.h), or several added up,
 * each by its own strength. A ModelConfig points to them, dense() puts them into the graph, and their tensors join
 * those of the checkpoint.
 *
 * Every module has matrices of the largest rank there is, with zeros where its own is less: an axis has one size.
 * Several adapters are one whose rank is the sum of theirs; where their scales differ, those are multiplied into B, in
 * f32. Or every row chooses one of them (ops/chosen.h): then none may bring what cannot be chosen for a row alone, as
 * DoRA's norms of the base or a weight in place of the model's.
 */
#ifndef ADAPTERS_H
#define ADAPTERS_H
#include "../graph/graph.h"
#include "../io/adapter.h"
#include "../ops/chosen.h"

enum { MAX_ADAPTERS = CHOSEN_MOST };

/* What stands beside one linear. */
typedef struct LinearAdapter {
    char module[MODULE_NAME];
    double scale; /* of the numbers x A^T */
    double dropout; /* of x before A, in training */
    bool dora;    /* with weights lora_magnitude_vector and ADAPTER_NORM */
    const ChosenRanks *chosen; /* whose ranks are whose, and their scales, instead of `scale`; NULL: all add up */
} LinearAdapter;

/* 1 / |W + scale B A|, a number for each row of W: not trained, and in no file. */
#define ADAPTER_NORM ".lora_inverse_norm"

typedef struct Adapters {
    LinearAdapter *linears; /* sorted by module */
    int64_t count, rank;
    Adapter *file[MAX_ADAPTERS];
    double strength[MAX_ADAPTERS];
    const char *name[MAX_ADAPTERS]; /* "": has none */
    bool chosen;            /* every row chooses one, or none */
    int files;
    bool fresh;             /* magnitudes are still to be set, to the norms of the rows */
    WeightTensor *tensors;  /* by names of the graph */
    int64_t tensor_count;
    size_t capacity;
    Arena arena;
} Adapters;

/* Of a part of a module, as it is called in the graph and in the file. */
typedef struct PartName { char text[sizeof ADAPTER_PREFIX + MODULE_NAME + sizeof ADAPTER_MAGNITUDE]; } PartName;
static inline PartName part_name(const char *module, const char *part) {
    PartName name;
    snprintf(name.text, sizeof name.text, ADAPTER_PREFIX "%.*s%s", MODULE_NAME, module, part);
    return name;
}

/* A list of [NAME=]DIR[:SCALE], one a line; SCALE multiplies what the adapter adds (default 1). NULL and an error. */
Adapters *adapters_open(const char *list, Err *err);
/* A list of NAME=DIR[:SCALE] of which every row of a step chooses. */
Adapters *adapters_open_chosen(const char *list, Err *err);
/* How many there are to choose from. */
static inline int adapters_chosen(const Adapters *adapters) { return adapters && adapters->chosen ? adapters->files : 0; }
/* The number of one of those by its name, from 1 on; 0: there is none. */
int adapters_number(const Adapters *adapters, const char *name);
void adapters_free(Adapters *adapters); /* after the weights and the graph that have them */

/* Tells a model's configuration of them, before its weights are opened and its graph is built: of an adapter that was
 * trained for labels and brings the matrix of their head, the model gets that head. */
bool adapters_configure(const Adapters *adapters, ModelConfig *config, Err *err);
/* Their tensors join the weights, or replace those of their names; norms of DoRA are computed. */
bool adapters_join(Adapters *adapters, ModelConfig *config, Weights *weights, Err *err);
/* False and an error that names what of an adapter has no place in the graph. */
bool adapters_fit(const Adapters *adapters, const Graph *graph, Err *err);

/* For those who make adapters. A tensor of that name, its name copied, the rest but `file` and `added` to be filled in;
 * one of zeros in f32, [rows, columns] or with columns 0 a vector; one by name, or NULL. The first two: NULL and an
 * error, and pointers to tensors from before are no longer valid. */
WeightTensor *adapters_tensor(Adapters *adapters, const char *name, const char *file, Err *err);
float *adapters_floats(Adapters *adapters, const char *name, const char *file, int64_t rows, int64_t columns, Err *err);
const WeightTensor *adapters_find(const Adapters *adapters, const char *name);

/* NULL: nothing stands beside it. */
const LinearAdapter *adapters_linear(const Adapters *adapters, const char *module);

/* inverse[i] = 1 / |row first + i of W + scale B A|, for i below count; a and b in f32, b [count, rank] of those rows,
 * a [rank, columns]. Sums of squares in double, in order: the bits that adapter_norm has in training. False and an
 * error: memory. */
bool adapter_norms(const WeightTensor *w, const float *a, const float *b, int64_t rank, double scale, int64_t first,
                   int64_t count, float *inverse, Err *err);
#endif
