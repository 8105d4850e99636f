/* workers.c: see workers.h. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../base/cgroup.h"
#include "../base/cpu_topology.h"
#include "workers.h"

enum { MAX_WORKERS = 256, ACTIVE_BITS = 9, ACTIVE_MASK = (1 << ACTIVE_BITS) - 1, SPINS_A_LOOK = 64 };

/* What waking a sleeper costs at worst (a halted core of a virtual machine: 70 us), so that waiting in the wrong way
 * never costs more than twice the right one. Workers without a core each leave at once. */
static const double SPIN_SECONDS = 100e-6, SPIN_SECONDS_CROWDED = 2e-6;

typedef struct Worker {
    _Alignas(64) Workers *pool;
    int id;
    double slept; /* seconds, in the job at hand */
} Worker;

/* A word that workers wait on until it changes, and how many may be asleep on it. */
typedef struct Signal { _Alignas(64) _Atomic uint32_t word; atomic_int sleepers; } Signal;

struct Workers {
    int count, started;
    CpuPlace place[MAX_CPUS]; /* what this process may use, in the order of workers */
    int places;
    bool pinned;              /* the caller */
    double spin;              /* seconds */
    Signal job;               /* its number << ACTIVE_BITS | the workers it is for */
    Signal barrier;           /* generation */
    Signal finished;          /* workers that are through; the caller alone waits */
    _Alignas(64) atomic_int arrived; /* at the barrier */
    atomic_bool quit;
    void (*run)(void *, int);
    void *argument;
    pthread_t thread[MAX_WORKERS];
    Worker self[MAX_WORKERS];
};

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* `bits`: of workers 0..31, worker n has bit n % 32; who sleeps with none of the waker's bits sleeps on. */
static void futex(_Atomic uint32_t *word, int operation, uint32_t value, uint32_t bits) {
    (void)syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, bits);
}

static uint32_t bit_of(int worker) { return 1u << worker % 32; }
static uint32_t bits_below(int active) { return active >= 32 ? UINT32_MAX : (1u << active) - 1; }

/* True when *word is no longer `old` within the spinning time. */
static bool spin(const Workers *w, Signal *s, uint32_t old) {
    double end = 0;
    for (int i = 1; atomic_load_explicit(&s->word, memory_order_acquire) == old; i++) {
        relax();
        if (i % SPINS_A_LOOK) continue;
        double now = clock_seconds();
        if (end == 0) end = now + w->spin;
        else if (now >= end) return false;
    }
    return true;
}

/* Until *word is no longer `old`. Sleepers are counted before they look again, and the waker changes the word before it
 * counts them, both sequentially consistent: one of the two sees the other. */
static void sleep_until(Signal *s, uint32_t old, uint32_t bits) {
    atomic_fetch_add(&s->sleepers, 1);
    while (atomic_load(&s->word) == old) futex(&s->word, FUTEX_WAIT_BITSET, old, bits);
    atomic_fetch_sub(&s->sleepers, 1);
}

static void wait_change(Workers *w, Signal *s, uint32_t old, int worker) {
    if (spin(w, s, old)) return;
    double since = clock_seconds();
    sleep_until(s, old, UINT32_MAX);
    w->self[worker].slept += clock_seconds() - since;
}

void workers_barrier(Workers *w, int worker) {
    int active = workers_active(w);
    if (active == 1) return;
    Signal *s = &w->barrier;
    uint32_t generation = atomic_load_explicit(&s->word, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&w->arrived, 1, memory_order_acq_rel) == active - 1) {
        atomic_store_explicit(&w->arrived, 0, memory_order_relaxed);
        atomic_store(&s->word, generation + 1);
        if (atomic_load(&s->sleepers)) futex(&s->word, FUTEX_WAKE_BITSET, INT32_MAX, UINT32_MAX);
    } else {
        wait_change(w, s, generation, worker);
    }
}

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

/* The word of the next job for this worker. One that the last job had no use for sleeps without being counted: only a
 * job for more workers than the last wakes it. */
static uint32_t wait_job(Workers *w, uint32_t old, int id) {
    for (;;) {
        if ((int)(old & ACTIVE_MASK) <= id && old >> ACTIVE_BITS) futex(&w->job.word, FUTEX_WAIT_BITSET, old,
                                                                        bit_of(id));
        else if (!spin(w, &w->job, old)) sleep_until(&w->job, old, bit_of(id));
        uint32_t word = atomic_load(&w->job.word);
        if (word != old && id < (int)(word & ACTIVE_MASK)) return word;
        old = word;
    }
}

static void finish(Workers *w, uint32_t active) {
    if (atomic_fetch_add(&w->finished.word, 1) + 1 != active - 1) return;
    if (atomic_load(&w->finished.sleepers)) futex(&w->finished.word, FUTEX_WAKE_BITSET, 1, UINT32_MAX);
}

static void *worker_main(void *argument) {
    Worker *self = argument;
    Workers *w = self->pool;
    uint32_t job = 0;
    for (;;) {
        job = wait_job(w, job, self->id);
        if (atomic_load(&w->quit)) return NULL;
        self->slept = 0;
        w->run(w->argument, self->id);
        finish(w, job & ACTIVE_MASK);
    }
}

static void start_job(Workers *w, int active) {
    uint32_t old = atomic_load(&w->job.word);
    atomic_store(&w->finished.word, 0);
    atomic_store(&w->job.word, ((old >> ACTIVE_BITS) + 1) << ACTIVE_BITS | (uint32_t)active);
    if (active > (int)(old & ACTIVE_MASK) || atomic_load(&w->job.sleepers))
        futex(&w->job.word, FUTEX_WAKE_BITSET, INT32_MAX, bits_below(active));
}

/* Until all others have finished. Only the last one wakes the caller. */
static void join_job(Workers *w, uint32_t others) {
    for (uint32_t done; (done = atomic_load(&w->finished.word)) != others;) {
        if (spin(w, &w->finished, done)) continue;
        double since = clock_seconds();
        atomic_fetch_add(&w->finished.sleepers, 1);
        while ((done = atomic_load(&w->finished.word)) != others)
            futex(&w->finished.word, FUTEX_WAIT_BITSET, done, UINT32_MAX);
        atomic_fetch_sub(&w->finished.sleepers, 1);
        w->self[0].slept += clock_seconds() - since;
    }
}

double workers_run_some(Workers *w, int active, void (*job)(void *, int), void *argument) {
    double slept = 0;
    w->run = job;
    w->argument = argument;
    w->self[0].slept = 0;
    if (w->count > 1) start_job(w, active);
    job(argument, 0);
    if (active > 1) join_job(w, (uint32_t)active - 1);
    for (int i = 0; i < active; i++) slept += w->self[i].slept;
    return slept;
}

void workers_run(Workers *w, void (*job)(void *, int), void *argument) { workers_run_some(w, w->count, job, argument); }

/* ---- The pool ---------------------------------------------------------------------------------------------------- */

/* The cores among which worker `id` may move: its own, its node's, or all. Returns how many. */
static int cores_of(const Workers *w, int id, bool pin, CpuPlace out[MAX_CPUS]) {
    int count = 0;
    for (int i = 0; i < w->places; i++)
        if (w->count > w->places || (pin ? i == id : w->place[i].node == w->place[id].node)) out[count++] = w->place[i];
    return count;
}

/* A thread inherits where it may run, so it is told by its parent before it starts. */
static int start_worker(Workers *w, int id, bool pin) {
    CpuPlace cores[MAX_CPUS];
    pthread_attr_t attributes;
    cpu_set_t set;
    int count = cores_of(w, id, pin, cores), why = pthread_attr_init(&attributes);
    if (why) return why;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) CPU_SET((size_t)cores[i].cpu, &set);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    w->self[id].pool = w;
    w->self[id].id = id;
    why = pthread_create(&w->thread[id], &attributes, worker_main, &w->self[id]);
    if (why == EINVAL) why = pthread_create(&w->thread[id], NULL, worker_main, &w->self[id]); /* a core went offline */
    pthread_attr_destroy(&attributes);
    return why;
}

Workers *workers_new(int count, bool pin, Err *err) {
    CpuPlace place[MAX_CPUS];
    int places = cpu_places(place);
    if (count <= 0) count = cgroup_threads() < MAX_WORKERS ? cgroup_threads() : MAX_WORKERS;
    if (pin && count > places) {
        err_as(err, QM_LIMIT, "pinned threads: expected at most one for each of %d usable cores, got %d", places,
               count);
        return NULL;
    }
    if (count > MAX_WORKERS) {
        err_as(err, QM_LIMIT, "too many threads: expected 1 to %d, got %d", MAX_WORKERS, count);
        return NULL;
    }
    Workers *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (!w) {
        err_as(err, QM_MEMORY, "out of memory: workers");
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->count = count;
    w->places = places;
    w->spin = count <= places ? SPIN_SECONDS : SPIN_SECONDS_CROWDED;
    memcpy(w->place, place, sizeof place);
    for (int i = 1; i < count; i++) {
        int why = start_worker(w, i, pin);
        if (why) {
            err_as(err, QM_IO, "cannot start thread %d of %d: %s", i, count, strerror(why));
            workers_free(w);
            return NULL;
        }
        w->started++;
    }
    if (pin && !(w->pinned = cpu_keep(&w->place[0]))) {
        err_as(err, QM_DEVICE, "cannot pin a thread to core %d: the system refuses", w->place[0].cpu);
        workers_free(w);
        return NULL;
    }
    return w;
}

void workers_free(Workers *w) {
    if (!w) return;
    atomic_store(&w->quit, true);
    if (w->started) start_job(w, ACTIVE_MASK);
    for (int i = 1; i <= w->started; i++) pthread_join(w->thread[i], NULL);
    if (w->pinned) cpu_release();
    free(w);
}

int workers_count(const Workers *w) { return w->count; }
int workers_active(const Workers *w) {
    uint32_t active = atomic_load_explicit(&w->job.word, memory_order_relaxed) & ACTIVE_MASK;
    return active ? (int)active : w->count;
}
int workers_nodes(const Workers *w) {
    return w->count <= w->places ? cpu_nodes(w->place, w->count) : 1;
}
