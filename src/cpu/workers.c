/* workers.c: a pool of threads with a spinning barrier. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../base/cpu_topology.h"
#include "workers.h"

enum { MAX_WORKERS = 256, SPINS_BUSY = 256, YIELDS_IDLE = 2000 };

typedef struct Worker { Workers *pool; int id; } Worker;

struct Workers {
    int count, started;
    CpuPlace place[MAX_CPUS]; /* what this process may use, in the order of workers */
    int places;
    bool pinned;              /* the caller */
    atomic_int arrived, generation; /* barrier */
    atomic_int job_number, finished;
    atomic_bool quit;
    int sleepers;                   /* under lock */
    void (*job)(void *, int);
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread[MAX_WORKERS];
    Worker self[MAX_WORKERS];
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Waits while *value == old: a short spin, then yields; a waiter must not keep another worker off its core. */
static void wait_change(atomic_int *value, int old) {
    for (int i = 0; atomic_load_explicit(value, memory_order_acquire) == old; i++) {
        if (i < SPINS_BUSY) relax();
        else sched_yield();
    }
}

void workers_barrier(Workers *w) {
    if (w->count == 1) return;
    int generation = atomic_load_explicit(&w->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&w->arrived, 1, memory_order_acq_rel) == w->count - 1) {
        atomic_store_explicit(&w->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&w->generation, generation + 1, memory_order_release);
    } else {
        wait_change(&w->generation, generation);
    }
}

/* Until a job newer than `old`: spin, yield, then sleep. */
static int wait_job(Workers *w, int old) {
    for (int i = 0; i < SPINS_BUSY + YIELDS_IDLE; i++) {
        int job = atomic_load_explicit(&w->job_number, memory_order_acquire);
        if (job != old) return job;
        if (i < SPINS_BUSY) relax();
        else sched_yield();
    }
    pthread_mutex_lock(&w->lock);
    w->sleepers++;
    while (atomic_load(&w->job_number) == old) pthread_cond_wait(&w->wake, &w->lock);
    w->sleepers--;
    pthread_mutex_unlock(&w->lock);
    return atomic_load(&w->job_number);
}

static void *worker_main(void *argument) {
    const Worker *self = argument;
    Workers *w = self->pool;
    int id = self->id, job = 0;
    /* With more workers than cores the system must be free to move them. */
    if (w->count <= w->places) cpu_bind(&w->place[id], 1);
    else cpu_bind(w->place, w->places);
    for (;;) {
        job = wait_job(w, job);
        if (atomic_load(&w->quit)) return NULL;
        w->job(w->argument, id);
        atomic_fetch_add_explicit(&w->finished, 1, memory_order_acq_rel);
    }
}

static void start_job(Workers *w) {
    atomic_store(&w->finished, 0);
    pthread_mutex_lock(&w->lock);
    atomic_fetch_add(&w->job_number, 1);
    if (w->sleepers) pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void workers_run(Workers *w, void (*job)(void *, int), void *argument) {
    w->job = job;
    w->argument = argument;
    if (w->count > 1) start_job(w);
    job(argument, 0);
    for (int i = 0; atomic_load_explicit(&w->finished, memory_order_acquire) < w->count - 1; i++) {
        if (i < SPINS_BUSY) relax();
        else sched_yield();
    }
}

Workers *workers_new(int count, bool pin, Err *err) {
    CpuPlace place[MAX_CPUS];
    int places = cpu_places(place);
    if (count <= 0) count = places < MAX_WORKERS ? places : MAX_WORKERS;
    if (pin && count > places) {
        err_set(err, "pinned threads: expected at most one for each of %d usable cores, got %d", places, count);
        return NULL;
    }
    if (count > MAX_WORKERS) {
        err_set(err, "too many threads: expected 1 to %d, got %d", MAX_WORKERS, count);
        return NULL;
    }
    Workers *w = mem_new(1, sizeof *w, "workers", err);
    if (!w) return NULL;
    w->count = count;
    w->places = places;
    memcpy(w->place, place, sizeof place);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    for (int i = 1; i < count; i++) {
        w->self[i].pool = w;
        w->self[i].id = i;
        int why = pthread_create(&w->thread[i], NULL, worker_main, &w->self[i]);
        if (why) {
            err_set(err, "cannot start thread %d of %d: %s", i, count, strerror(why));
            workers_free(w);
            return NULL;
        }
        w->started++;
    }
    if (pin && !(w->pinned = cpu_keep(&w->place[0]))) {
        err_set(err, "cannot pin a thread to core %d: the system refuses", w->place[0].cpu);
        workers_free(w);
        return NULL;
    }
    return w;
}

void workers_free(Workers *w) {
    if (!w) return;
    atomic_store(&w->quit, true);
    if (w->started) start_job(w);
    for (int i = 1; i <= w->started; i++) pthread_join(w->thread[i], NULL);
    if (w->pinned) cpu_release();
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
}

int workers_count(const Workers *w) { return w->count; }
int workers_nodes(const Workers *w) {
    return w->count <= w->places ? cpu_nodes(w->place, w->count) : 1;
}
