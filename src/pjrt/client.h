/* client.h: a PJRT plugin as this program uses it: load, compile, upload, execute, read back. Handles are opaque; every
 * call that fails says which PJRT function failed, with the plugin's own message.
 *
 * One client per process; create, use and close it on one thread, but a program may be compiled on another while this
 * one lends memory to buffers. Free buffers and programs before the client. */
#ifndef PJRT_CLIENT_H
#define PJRT_CLIENT_H
#include "../base/base.h"

typedef struct PjrtClient PjrtClient;
typedef struct PjrtProgram PjrtProgram; /* a loaded executable        */
typedef struct PJRT_Buffer PjrtBuffer;  /* one array on one device    */

typedef struct PjrtOptions {
    const char *plugin;      /* a plugin's file, or cpu, tt, cuda, tpu: looked for in known places; NULL: cpu         */
    int devices;             /* of this process; XLA CPU makes as many virtual ones                                   */
    int first_device;        /* cuda: the first of the host's that it uses                                            */
    const char *system_desc; /* tt: compile for the chips of this file without hardware; NULL: the hardware           */
    const char *cache;       /* folder of compiled programs; NULL: none                                               */
    int node, nodes;         /* this process, a rank of transport.h, among several that run one program together, with
                                equally many devices each; 0 or 1: alone. Opening and compiling then wait for all     */
    const char *store;       /* nodes > 1: HOST:PORT of the processes' store of keys (kv.h)                           */
    const uint8_t *secret;   /* and its secret, of KV_SECRET bytes                                                    */
} PjrtOptions;

typedef struct PjrtInfo {
    char file[4096], platform[64], version[256], device_kind[64]; /* platform: "cpu", "tt", "cuda", "tpu"             */
    int api_major, api_minor, slots;
    int devices;             /* addressable by this process                                                           */
    int all_devices;         /* of all processes                                                                      */
    bool can_load;           /* compiled programs can be loaded back                                                  */
    bool donates;            /* arguments marked tf.aliasing_output are consumed by execution                         */
    bool executes;           /* false: compile-only                                                                   */
} PjrtInfo;

PjrtClient *pjrt_open(const PjrtOptions *options, Err *err);
void pjrt_close(PjrtClient *client);
const PjrtInfo *pjrt_info(const PjrtClient *client);
/* Name = value of every plugin and device attribute, a line each; for `env`. */
void pjrt_attributes(const PjrtClient *client, Text *out);
/* Bytes in use, peak and limit of a device; false where the plugin does not say. */
bool pjrt_memory(PjrtClient *client, int device, int64_t *in_use, int64_t *peak, int64_t *limit);

/* Compiles StableHLO text over `partitions` devices (SPMD, Shardy), from the cache folder if it was compiled before by
 * the same plugin; *from_cache (may be NULL) says so. A damaged or foreign cache file is compiled anew and replaced. */
PjrtProgram *pjrt_compile(PjrtClient *client, const char *text, size_t bytes, int partitions, bool *from_cache,
                          Err *err);
void pjrt_program_free(PjrtProgram *program);
int pjrt_program_results(const PjrtProgram *program);
/* The serialised program, malloc'ed. */
bool pjrt_program_serialize(const PjrtProgram *program, uint8_t **data, size_t *bytes, Err *err);
/* Bytes per device the compiler planned: arguments, results, temporaries, code; false where the plugin does not say. */
typedef struct PjrtProgramMemory { int64_t arguments, results, aliased, temporaries, code; } PjrtProgramMemory;
bool pjrt_program_memory(const PjrtProgram *program, PjrtProgramMemory *out);

typedef enum PjrtType { PJRT_S32 = 4, PJRT_U8 = 6, PJRT_F32 = 11, PJRT_BF16 = 13 } PjrtType; /* PJRT_Buffer_Type */

/* Copies dense row-major data to a device before it returns; rank 0 to 8. */
PjrtBuffer *pjrt_upload(PjrtClient *client, int device, PjrtType type, const int64_t *dim, int rank, const void *data,
                        Err *err);
/* Memory of ours that a buffer stands on, without a copy. It must outlive the buffer and everything made of it by
 * donation: until pjrt_returned. */
typedef struct PJRT_Event PjrtLoan;
enum { PJRT_LENT_ALIGN = 64 }; /* bytes; what is aligned less is copied */
/* Whether the plugin's buffers stand on memory that is lent: tried with a few bytes at the first call. */
bool pjrt_lends(PjrtClient *client, bool *lends, Err *err);
/* A buffer on `data`, which does not change while it lives, or is the program's to change (donated: it may be consumed
 * by a program). */
PjrtBuffer *pjrt_lend(PjrtClient *client, int device, PjrtType type, const int64_t *dim, int rank, void *data,
                      bool donated, PjrtLoan **loan, Err *err);
/* Waits until the memory is ours again, after its buffers were freed; the loan is gone. NULL is fine. */
void pjrt_returned(PjrtClient *client, PjrtLoan *loan);
/* Waits, then copies the whole array to dst, dense row-major; `bytes` must be its size. */
bool pjrt_download(PjrtClient *client, PjrtBuffer *buffer, void *dst, size_t bytes, Err *err);
void pjrt_buffer_free(PjrtClient *client, PjrtBuffer *buffer); /* NULL is fine */

/* Runs the program on its devices: arguments[device * argument_count + i], results likewise (filled; the caller frees
 * them). Does not wait: errors of the run itself may show in pjrt_download. Donated arguments are consumed, but their
 * handles are still the caller's to free. On error no result is filled. The plugin checks the arguments: XLA CPU their
 * count, device and size, but not that the type is right. */
bool pjrt_execute(PjrtClient *client, PjrtProgram *program, PjrtBuffer *const *arguments, int argument_count,
                  PjrtBuffer **results, int result_count, Err *err);
/* Waits until a buffer is ready. */
bool pjrt_wait(PjrtClient *client, PjrtBuffer *buffer, Err *err);
#endif
