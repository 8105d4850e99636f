/* tt_result.h: what Tenstorrent's compiler made of a program: read from the serialised result, which needs no hardware.
 *
 * The bytes come from a plugin or a file and are not trusted: every offset, name and number is checked, and memory is
 * bounded by their length. Form (tt-xla, serialised executables): "TTSERv00", then offset and size, u64 little-endian
 * each, of the TTIR text, the TTNN text and the flatbuffer; offsets count from byte 56. */
#ifndef PJRT_TT_RESULT_H
#define PJRT_TT_RESULT_H
#include "../base/base.h"

typedef struct TtPart { const char *data; size_t bytes; } TtPart;              /* inside the serialised bytes        */
typedef struct TtResult { TtPart ttir, ttnn, flatbuffer; } TtResult;

bool tt_result_read(const uint8_t *data, size_t bytes, TtResult *out, Err *err);

enum { TT_NAME = 48, TT_AXES = 2 };
typedef enum TtCollective { TT_ALL_REDUCE, TT_ALL_GATHER, TT_REDUCE_SCATTER, TT_OTHER_COLLECTIVE, TT_COLLECTIVES }
    TtCollective;
const char *tt_collective_name(TtCollective c);

typedef struct TtOp { char name[TT_NAME]; int64_t count; } TtOp;

typedef struct TtReport {
    TtOp *op;                /* of one step, without "ttnn.", most frequent first                                     */
    int ops;
    size_t op_capacity;
    int64_t collective[TT_COLLECTIVES][TT_AXES];
    int64_t inputs, parameters;        /* arguments by role; const-eval's stay in the host's memory                   */
    int64_t const_evals;               /* functions run once per program, whose results the device keeps              */
    int64_t const_eval_host;           /* those of them that the host runs                                            */
    int64_t host_ops;                  /* calls of functions of the host, in every step                               */
    int64_t host_moves;                /* transfers between host and device in the middle of a step                   */
    char host_op[TT_NAME];             /* the first of either                                                         */
    int64_t attention;                 /* scaled_dot_product_attention as one op in TTIR                              */
    /* Bytes of one chip. */
    int64_t parameter_bytes;           /* weights as they are handed over                                            */
    bool parameters_on_host;
    int64_t argument_bytes;            /* arguments in DRAM: caches, inputs, weights that are not prepared            */
    int64_t prepared_bytes;            /* results of const-eval                                                       */
    int64_t temporary_bytes;           /* most at once, results included, nothing taken as in place: an upper bound */
    int64_t relayout_bytes;            /* results of to_layout in a step                                              */
    /* The chip, as the description has it. */
    char arch[TT_NAME];
    int64_t chips, dram_bytes, dram_usable;
} TtReport;

/* Reads the texts. */
bool tt_report_read(const TtResult *result, TtReport *out, Err *err);
void tt_report_free(TtReport *report);
#endif
