/* cpu_time.h: the processor time of this process, for tests of how much work something is: other programs on the
 * machine do not change it. */
#ifndef CPU_TIME_H
#define CPU_TIME_H
#include <time.h>

static inline double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#endif
