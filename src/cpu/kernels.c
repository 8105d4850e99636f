/* kernels.c: chooses the table of kernels at run time. Compiled for the weakest CPU of the architecture: only functions
 * reached through a table may use more. */
#include <pthread.h>
#include <string.h>
#include "../base/cpu.h"
#include "kernels.h"

static bool always(const CpuFeatures *f) { return f != NULL; }

#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
void kernels_avx512vnni(Kernels *k);
static bool has_avx2(const CpuFeatures *f) { return f->avx2 && f->fma && f->f16c; }
static bool has_avx512(const CpuFeatures *f) {
    return has_avx2(f) && f->avx512f && f->avx512bw && f->avx512vl && f->avx512dq;
}
static bool has_avx512vnni(const CpuFeatures *f) { return has_avx512(f) && f->avx512_vnni; }
#define X86(kernels, better, has) kernels, better, has
#else
#define X86(kernels, better, has) NULL, NULL, NULL
#endif

/* Weakest first. `kernels` is a table of its own; `better` overwrites entries of the one before. */
static const struct {
    const char *name;
    const Kernels *kernels; /* neither: not in this build */
    void (*better)(Kernels *k);
    bool (*on_this_cpu)(const CpuFeatures *f);
} rows[] = {
    {"reference", &kernels_reference, NULL, always},
    {"avx2", X86(&kernels_avx2, NULL, has_avx2)},
    {"avx512", X86(&kernels_avx512, NULL, has_avx512)},
    {"avx512vnni", X86(NULL, kernels_avx512vnni, has_avx512vnni)},
};
enum { TABLES = sizeof rows / sizeof *rows };

static Kernels tables[TABLES];

static void tables_fill(void) {
    for (int i = 0; i < TABLES; i++) {
        if (rows[i].kernels) tables[i] = *rows[i].kernels;
        if (!rows[i].better) continue;
        tables[i] = tables[i - 1];
        rows[i].better(&tables[i]);
        tables[i].isa = rows[i].name;
    }
}

const char *kernels_name(int i) { return i >= 0 && i < TABLES ? rows[i].name : NULL; }

const Kernels *kernels_select(const char *limit, Err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CpuFeatures features = cpu_features();
    pthread_once(&once, tables_fill);
    for (int i = TABLES - 1; i >= 0; i--) {
        if (limit && strcmp(limit, rows[i].name)) continue;
        if (rows[i].on_this_cpu && rows[i].on_this_cpu(&features))
            return rows[i].kernels ? rows[i].kernels : &tables[i];
        if (limit) {
            err_set(err, "kernels: this CPU has no %s", limit);
            return NULL;
        }
    }
    err_set(err, "kernels: no instruction set is called '%s'; expected reference, avx2, avx512 or avx512vnni", limit);
    return NULL;
}
