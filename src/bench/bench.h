/* bench.h: tests of speed on one or more engines, interleaved, beside what the machine can do in the same minutes. Uses
 * the model only through qwenmesh.h. */
#ifndef BENCH_H
#define BENCH_H
#include "../base/base.h"

enum { BENCH_REPEATS = 100, BENCH_LIST = 32, BENCH_MESHES = 32, BENCH_PHASES = 32 };
enum { BENCH_WARM = 16 }; /* rows at most of a step before the timed ones; the context has room for as many more */

/* A prefill of `prompt` tokens, or `gen` decoded ones of `batch` sequences together, after `depth` tokens each. */
typedef struct BenchTest { int64_t prompt, gen, depth, batch; } BenchTest;

/* A model on a mesh, from opening on. */
typedef struct BenchMesh {
    char name[64];              /* as asked for                                                          */
    QmEngine *engine;           /* NULL while closed                                                     */
    QmModelInfo info;
    double open_seconds, first_token_seconds;
    int64_t peak_bytes;         /* resident memory gained at its highest, through the first token; 0: unknown */
} BenchMesh;

/* A test on a mesh. */
typedef struct BenchResult {
    BenchTest test;
    int mesh;
    int repeats;
    double rate[BENCH_REPEATS]; /* tokens per second of each repetition                                  */
    double read[BENCH_REPEATS]; /* bytes per second that memory gave just before and after it            */
    double mean, deviation;
    double ratio;               /* median over repetitions of this rate by the first mesh's              */
    double bytes_rate, flops_rate;          /* bytes of weights and cache read, flops done, per second   */
    double read_share;          /* median over repetitions of the bytes' rate by the reading beside it   */
    double seconds;             /* of all repetitions                                                    */
    QmPhase phase[BENCH_PHASES];            /* of all repetitions; none where the engine does not time them  */
    int phases;
    double read_bandwidth, fma_peak;        /* the best that was measured; fma_peak of bf16 products where
                                               activations are in bf16 */
} BenchResult;

typedef struct Bench Bench;
struct Bench {
    char model[128];
    BenchMesh mesh[BENCH_MESHES];
    int meshes;
    BenchTest *tests;
    int test_count, repeats;
    bool warm_whole;            /* warm up with the whole test: programs are compiled when a shape first comes */
    BenchResult *results;       /* [test_count * meshes], test after test */
    /* Opens `mesh` (slots and context as the tests need); NULL and an error. */
    QmEngine *(*open)(void *owner, const char *mesh, int64_t slots, int64_t context, Err *err);
    /* Called when result i is there; false and an error to stop. */
    bool (*done)(void *owner, const Bench *b, int i, Err *err);
    void *owner;
};

/* The list of tests: every prompt and every gen, at every depth, gens also at every batch. False when it is empty. */
bool bench_tests(Bench *b, const int64_t *prompt, int prompts, const int64_t *gen, int gens, const int64_t *depth,
                 int depths, const int64_t *batch, int batches, Err *err);
/* Runs everything, and says on standard error what it is doing and how long that may take. All engines are open at
 * once if `together` and memory allows, so that repetitions alternate between them; else one after another. */
bool bench_run(Bench *b, bool together, Err *err);
void bench_free(Bench *b);

/* The results as "md", "csv", "json" or "svg": in the first two a head, and a row for result i when it is there, and
 * for all a tail. */
bool bench_format(const char *format);
void bench_head(const Bench *b, const char *format, Text *out);
void bench_row(const Bench *b, const char *format, int i, Text *out);
bool bench_tail(const Bench *b, const char *format, Text *out, Err *err);
void bench_test_name(const BenchTest *t, char *out, size_t size); /* "pp512", "tg128 @ d4096 x 4" */
#endif
