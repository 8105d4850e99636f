/* packed_file.h: a model written as a packed file (io/packed.h), its matrices packed by all workers. */
#ifndef PACKED_FILE_H
#define PACKED_FILE_H
#include <stdatomic.h>
#include "cpu_state.h"

/* --weights of the CPU engine: file (or NULL), bf16, 8bit, 4bit. */
bool weights_option(const char *name, PackedType *out, Err *err);

/* What became of the matrices of one kind: all those whose name has this last part. */
typedef struct PackedKindReport {
    char name[32];            /* "down_proj"                                                */
    PackedType type;
    int64_t matrices, bytes;
    PackError error;          /* where `made`                                               */
    bool made;                /* converted; else the panels hold exactly what the file has  */
} PackedKindReport;

enum { MAX_PACKED_KINDS = 32 };
typedef struct PackedReport {
    PackedKindReport kind[MAX_PACKED_KINDS];
    int kinds;
    int64_t bytes;            /* of the file                                                */
    double error;             /* of all, relative root mean square                          */
} PackedReport;

typedef struct PackedJob {
    const Graph *graph;       /* of the model; says how each weight is used                 */
    Weights *weights;
    QmSource *source;         /* of the model: where the small files are                    */
    const char *how;          /* --weights                                                  */
    const char *out;
    const atomic_bool *stop;  /* ends the work with "interrupted"; or NULL                  */
} PackedJob;

/* On any failure nothing is left at `out` that was not there before. */
bool packed_file_write(const PackedJob *job, Workers *workers, PackedReport *report, Err *err);
/* Whether every section of a packed file has the digest its header says; all workers. */
bool packed_file_verify(const char *path, Workers *workers, int64_t *bytes, Err *err);
#endif
