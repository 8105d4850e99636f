/* kernels.c: chooses the table of kernels at run time. Compiled for the weakest CPU of the architecture: only functions
 * reached through a table may use more. */
#include <string.h>
#include "../base/cpu.h"
#include "kernels.h"

#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
static bool has_avx512(void) { return !strcmp(cpu_isa_best(), "avx512"); }
static bool has_avx2(void) { return has_avx512() || !strcmp(cpu_isa_best(), "avx2"); }
#define kernels_avx2_row {"avx2", &kernels_avx2, has_avx2}
#define kernels_avx512_row {"avx512", &kernels_avx512, has_avx512}
#else
#define kernels_avx2_row {"avx2", NULL, NULL}
#define kernels_avx512_row {"avx512", NULL, NULL}
#endif

static bool always(void) { return true; }

static const struct {
    const char *name;
    const Kernels *kernels; /* NULL: not in this build */
    bool (*on_this_cpu)(void);
} tables[] = {{"reference", &kernels_reference, always}, kernels_avx2_row, kernels_avx512_row};
enum { TABLES = sizeof tables / sizeof *tables };

const char *kernels_name(int i) { return i >= 0 && i < TABLES ? tables[i].name : NULL; }

const Kernels *kernels_select(const char *limit, Err *err) {
    for (int i = TABLES - 1; i >= 0; i--) {
        if (limit && strcmp(limit, tables[i].name)) continue;
        if (tables[i].kernels && tables[i].on_this_cpu()) return tables[i].kernels;
        if (limit) {
            err_set(err, "kernels: this CPU has no %s", limit);
            return NULL;
        }
    }
    err_set(err, "kernels: no instruction set is called '%s'; expected reference, avx2 or avx512", limit);
    return NULL;
}
