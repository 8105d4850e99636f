/* compile.h: what `compile` found out, and its reports. */
#ifndef COMPILE_H
#define COMPILE_H
#include "../io/json.h"
#include "../model/family.h"
#include "../pjrt/buckets.h"
#include "../pjrt/client.h"
#include "../pjrt/tt_result.h"

typedef struct CompiledBucket {
    char name[64];
    Bucket bucket;
    double seconds;
    int64_t text_bytes, program_bytes; /* StableHLO handed over; serialised result, -1 where the plugin has none    */
    bool has_memory;
    PjrtProgramMemory memory;          /* as the plugin says                                                         */
    bool has_tt;
    TtReport tt;                       /* of a Tenstorrent program                                                   */
} CompiledBucket;

typedef struct Compiled {
    const char *model, *type, *desc;   /* desc: NULL without a system description                                    */
    const Partition *partition;
    const PjrtInfo *plugin;
    int64_t layers, slots, positions, rows; /* slots: of one replica                                                 */
    CompiledBucket bucket[MAX_BUCKETS];
    int count;
} Compiled;

/* Bytes of one chip when an engine has run all buckets: caches and inputs once, what each program prepared, the largest
 * step. false when no bucket has a Tenstorrent report. */
typedef struct ChipMemory { int64_t arguments, prepared, temporaries, total, usable, dram; } ChipMemory;
bool compiled_memory(const Compiled *c, ChipMemory *out);

/* Writes on stdout. */
void compiled_markdown(const Compiled *c);
bool compiled_json(const Compiled *c, Err *err);

/* ---- What both reports are made of ------------------------------------------------------------------------------- */

void compiled_int(json_t *object, const char *name, int64_t value);
/* "ops", "collectives" by kind and mesh axis, "host_ops", "host_moves". */
void compiled_tt_ops(json_t *object, const TtReport *report);
bool compiled_print(json_t *report, Err *err); /* takes it */
#endif
