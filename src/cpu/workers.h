/* workers.h: the threads that run a step. Worker 0 is the caller. Within a job they meet at barriers, spinning and then
 * yielding; between jobs they wait a little and then sleep. */
#ifndef WORKERS_H
#define WORKERS_H
#include "../base/base.h"

typedef struct Workers Workers;
/* count 0: one per core this process may use. Workers stay on a core each, in the order of cpu_places, unless there are
 * more of them than cores; worker 0, the caller, only with `pin`, until workers_free on the same thread. */
Workers *workers_new(int count, bool pin, Err *err);
void workers_free(Workers *w);
int workers_count(const Workers *w);
int workers_nodes(const Workers *w); /* nodes of memory beside their cores */
/* Runs job(argument, worker) on every worker and returns when all have finished. One caller at a time. */
void workers_run(Workers *w, void (*job)(void *argument, int worker), void *argument);
void workers_barrier(Workers *w);
#endif
