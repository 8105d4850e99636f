/* workers.h: the threads that run a step. Worker 0 is the caller. Within a job they meet at barriers, spinning and then
 * yielding; between jobs they wait a little and then sleep. */
#ifndef WORKERS_H
#define WORKERS_H
#include "../base/base.h"

typedef struct Workers Workers;
Workers *workers_new(int count, Err *err); /* 0: one per core this process may use */
void workers_free(Workers *w);
int workers_count(const Workers *w);
/* Runs job(argument, worker) on every worker and returns when all have finished. One caller at a time. */
void workers_run(Workers *w, void (*job)(void *argument, int worker), void *argument);
void workers_barrier(Workers *w);
#endif
