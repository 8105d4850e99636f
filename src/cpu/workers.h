/* workers.h: the threads that run a step. Worker 0 is the caller. Within a job they meet at barriers. Whoever waits
 * spins for about as long as being woken takes, then sleeps: a core that another program wants too is given away, and
 * the scheduler owes it back. sched_yield would give away a whole round and be owed nothing. */
#ifndef WORKERS_H
#define WORKERS_H
#include "../base/base.h"

typedef struct Workers Workers;
/* count 0: one per core this process may use, fewer where a quota of its control group gives it less. With `pin` every
 * worker stays on a core of its own, in the order of cpu_places; worker 0, the caller, until workers_free on the same
 * thread. Without, the system may move a worker among the cores of its memory node, so that one whose core is taken
 * finishes on another. */
Workers *workers_new(int count, bool pin, Err *err);
void workers_free(Workers *w);
int workers_count(const Workers *w);
int workers_active(const Workers *w); /* that run the job at hand, or the last one */
int workers_nodes(const Workers *w);  /* nodes of memory beside their cores */
/* Runs job(argument, worker) on every worker and returns when all have finished. One caller at a time. */
void workers_run(Workers *w, void (*job)(void *argument, int worker), void *argument);
/* The same on workers 0 .. active - 1 alone. Returns the seconds for which they slept while they waited for each other,
 * in all: nothing to speak of where every worker has a core. */
double workers_run_some(Workers *w, int active, void (*job)(void *argument, int worker), void *argument);
void workers_barrier(Workers *w, int worker); /* of the workers of this job */
#endif
