/* upload.c: what is put on the devices once: weights, caches, places of shards.
 *
 * Where buffers stand on lent memory (XLA CPU) the devices' parts are written into one mapping, by as many threads as
 * there are cores; parts with the same bytes share them, parts that lie in the file as they are needed stay there, and
 * caches take memory only as they fill. Elsewhere the parts are copied to the devices one after another. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../base/cpu.h"
#include "uniform_shards.h"
#include "pjrt_state.h"

static PjrtBuffer **buffers_new(const Pjrt *p, Err *err) {
    return mem_new((size_t)p->own, sizeof(PjrtBuffer *), "buffers", err);
}

/* The next entry of p->placed.weights; NULL on error. */
static Placed *placed_new(Pjrt *p, const LowerArgument *a, Err *err) {
    PjrtPlaced *of = &p->placed;
    if (!mem_grow((void **)&of->weights, &of->weight_capacity, (size_t)of->weight_count + 1, sizeof *of->weights,
                  "weights", err))
        return NULL;
    Placed *w = &of->weights[of->weight_count];
    *w = (Placed){.node = a->node, .buffer = buffers_new(p, err)};
    memcpy(w->split, a->weight_split, sizeof w->split);
    if (!w->buffer) return NULL;
    of->weight_count++;
    return w;
}

/* ---- By copies --------------------------------------------------------------------------------------------------- */

/* The part of a weight on the tensor-parallel device d, in the file or cut into work, which holds that of *held (-1:
 * none). NULL on error. */
static const void *part_cut(const Pjrt *p, const LowerArgument *a, int d, void *work, int *held, Err *err) {
    const WeightTensor *t = p->placed.tensor[a->node];
    const void *data = shard_in_file(p->program, a, t, d);
    if (data) return data;
    if (*held < 0 || !shard_same(p->program, a, d, *held)) {
        memset(work, 0, (size_t)lower_argument_bytes(a));
        if (!shard_fill(p->program, a, t, d, work, err)) return NULL;
    }
    *held = d;
    return work;
}

static bool copy_weight(Pjrt *p, const LowerArgument *a, void *work, Err *err) {
    Placed *w = placed_new(p, a, err);
    int held = -1;
    for (int i = 0; w && i < p->devices; i++) { /* the same part of all replicas, then the next */
        int d = i / p->dp, own = i % p->dp * p->tp + d - p->first;
        if (own < 0 || own >= p->own) continue;
        const void *data = part_cut(p, a, d, work, &held, err);
        if (!data) return false;
        w->buffer[own] = pjrt_upload(p->client, own, pjrt_type_of(a->type), a->dim, a->rank, data, err);
        if (!w->buffer[own]) {
            err_prefix(err, "uploading %s", p->placed.tensor[a->node]->name);
            return false;
        }
        p->info.weight_bytes += lower_argument_bytes(a);
    }
    return w != NULL;
}

static bool copy_cache(Pjrt *p, const LowerArgument *a, Err *err) {
    size_t bytes = (size_t)lower_argument_bytes(a);
    void *zeros = mem_pages_new(bytes, "key/value cache", err);
    for (int d = 0; zeros && d < p->own; d++) {
        p->placed.state[a->state * p->own + d] =
            pjrt_upload(p->client, d, pjrt_type_of(a->type), a->dim, a->rank, zeros, err);
        if (!p->placed.state[a->state * p->own + d]) {
            err_prefix(err, "key/value cache: lower --ctx or --slots");
            break;
        }
        p->info.cache_bytes += (int64_t)bytes;
    }
    mem_pages_free(zeros, bytes);
    return !err->kind;
}

static bool copy_all(Pjrt *p, Err *err) {
    int64_t most = 0, weight_count = 0;
    for (int i = 0; i < p->programs.kept_count; i++) {
        const LowerArgument *a = &p->programs.kept[i];
        if (a->role == ROLE_WEIGHT && lower_argument_bytes(a) > most) most = lower_argument_bytes(a);
        weight_count += a->role == ROLE_WEIGHT;
    }
    void *work = mem_pages_new((size_t)most, "weights", err);
    Progress progress;
    progress_start(&progress, "uploading weights", weight_count);
    bool ok = work != NULL;
    for (int i = 0; ok && i < p->programs.kept_count; i++) {
        const LowerArgument *a = &p->programs.kept[i];
        if (a->role == ROLE_WEIGHT) ok = copy_weight(p, a, work, err);
        if (a->role == ROLE_STATE) ok = copy_cache(p, a, err);
        progress_show(&progress, p->placed.weight_count);
    }
    progress_end(&progress);
    mem_pages_free(work, (size_t)most);
    return ok;
}

/* ---- On lent memory ---------------------------------------------------------------------------------------------- */

/* The local value of a weight on a tensor-parallel device. */
typedef struct Part {
    const LowerArgument *argument;
    int device;
    size_t at;        /* in the mapping                                        */
    const void *data; /* where the value is                                    */
    bool fill;        /* it is to be written there; else it is in the file, or another part is the same */
} Part;

typedef struct Filling {
    const Pjrt *p;
    Part *part;
    int *order;       /* of parts to write, the longest first */
    int count;
    atomic_int next, done;
    Progress progress;
} Filling;

typedef struct FillThread { Filling *filling; pthread_t thread; Err err; } FillThread;

/* Weights that are generated share a few pages: in place they would be read from the core's caches. */
static const void *in_file(const Pjrt *p, const LowerArgument *a, int device) {
    const WeightTensor *t = p->placed.tensor[a->node];
    const void *data = t->generated ? NULL : shard_in_file(p->program, a, t, device);
    return (uintptr_t)data % PJRT_LENT_ALIGN ? NULL : data;
}

static bool part_place(Part *part, int64_t bytes, size_t *used, Err *err) {
    size_t end;
    if (!size_add(*used, (size_t)bytes, &end) || !size_add(end, PJRT_LENT_ALIGN - 1, &end))
        return err_as(err, QM_MEMORY, "out of memory: weights");
    part->fill = true;
    part->at = *used;
    *used = end / PJRT_LENT_ALIGN * PJRT_LENT_ALIGN;
    return true;
}

/* The parts of all weights, [argument][device], with places in the mapping of those to be written. NULL on error. */
static Part *parts_new(const Pjrt *p, int *count, size_t *bytes, Err *err) {
    Part *list = mem_new((size_t)(p->programs.kept_count * p->tp) + 1, sizeof *list, "weights", err);
    *count = 0;
    for (int i = 0; list && i < p->programs.kept_count; i++) {
        const LowerArgument *a = &p->programs.kept[i];
        for (int d = 0; a->role == ROLE_WEIGHT && d < p->tp; d++) {
            Part *part = &list[(*count)++];
            *part = (Part){.argument = a, .device = d, .data = in_file(p, a, d)};
            int same = 0;
            while (same < d && !shard_same(p->program, a, d, same)) same++;
            if (part->data) continue;
            if (same < d) part->at = part[same - d].at;
            else if (!part_place(part, lower_argument_bytes(a), bytes, err)) {
                free(list);
                return NULL;
            }
        }
    }
    return list;
}

static void *fill(void *argument) {
    FillThread *t = argument;
    Filling *f = t->filling;
    for (int i; !t->err.kind && (i = atomic_fetch_add(&f->next, 1)) < f->count;) {
        const Part *part = &f->part[f->order[i]];
        const LowerArgument *a = part->argument;
        uint8_t *to = (uint8_t *)f->p->placed.lent + part->at;
        if (!shard_fill(f->p->program, a, f->p->placed.tensor[a->node], part->device, to, &t->err))
            atomic_store(&f->next, f->count);
        int done = atomic_fetch_add(&f->done, 1) + 1;
        if (pthread_equal(t->thread, pthread_self())) progress_show(&f->progress, done);
    }
    return NULL;
}

static int by_bytes(const void *a, const void *b, void *parts) {
    const Part *list = parts, *x = &list[*(const int *)a], *y = &list[*(const int *)b];
    int64_t m = lower_argument_bytes(x->argument), n = lower_argument_bytes(y->argument);
    return m != n ? (m < n) - (m > n) : (x > y) - (x < y);
}

/* Writes all parts that are to be written. */
static bool fill_all(Pjrt *p, Part *part, int count, Err *err) {
    Filling f = {.p = p, .part = part};
    int threads = cpu_cores_usable();
    f.order = mem_new((size_t)count + 1, sizeof *f.order, "weights", err);
    FillThread *list = mem_new((size_t)threads, sizeof *list, "threads", err);
    bool ok = f.order && list;
    for (int i = 0; ok && i < count; i++)
        if (part[i].fill) f.order[f.count++] = i;
    if (ok) qsort_r(f.order, (size_t)f.count, sizeof *f.order, by_bytes, part);
    progress_start(&f.progress, "preparing weights", f.count);
    int started = 1; /* the caller is the first */
    for (int i = 0; ok && i < threads; i++) list[i].filling = &f;
    while (ok && started < threads && started < f.count &&
           pthread_create(&list[started].thread, NULL, fill, &list[started]) == 0)
        started++;
    if (ok) list[0].thread = pthread_self(), fill(&list[0]);
    for (int i = 0; ok && i < started; i++) {
        if (i) pthread_join(list[i].thread, NULL);
        if (list[i].err.kind) err_from(err, &list[i].err);
    }
    progress_end(&f.progress);
    free(f.order);
    free(list);
    return ok && !err->kind;
}

/* Lends memory to a buffer of an argument on a device. */
static PjrtBuffer *lend(Pjrt *p, const LowerArgument *a, int device, const void *data, bool donated, Err *err) {
    PjrtPlaced *of = &p->placed;
    if (!mem_grow((void **)&of->loan, &of->loan_capacity, (size_t)of->loan_count + 1, sizeof *of->loan, "buffers", err))
        return NULL;
    PjrtLoan **loan = &of->loan[of->loan_count++];
    return pjrt_lend(p->client, device, pjrt_type_of(a->type), a->dim, a->rank, (void *)(uintptr_t)data, donated, loan,
                     err);
}

static bool lend_weights(Pjrt *p, const Part *part, int count, Err *err) {
    for (int i = 0; i < count; i += p->tp) {
        const LowerArgument *a = part[i].argument;
        Placed *w = placed_new(p, a, err);
        for (int device = 0; w && device < p->own; device++) {
            const Part *of = &part[i + mesh_device(p, device) % p->tp];
            const void *data = of->data ? of->data : (const uint8_t *)p->placed.lent + of->at;
            w->buffer[device] = lend(p, a, device, data, false, err);
            if (!w->buffer[device]) {
                err_prefix(err, "placing %s", p->placed.tensor[a->node]->name);
                return false;
            }
            p->info.weight_bytes += lower_argument_bytes(a);
        }
        if (!w) return false;
    }
    return true;
}

/* The cache at `at` in the mapping of caches. Its memory is zero and is taken as it fills. */
static bool lend_cache(Pjrt *p, const LowerArgument *a, size_t at, Err *err) {
    size_t bytes = (size_t)lower_argument_bytes(a);
    for (int d = 0; d < p->own; d++) {
        PjrtBuffer **to = &p->placed.state[a->state * p->own + d];
        *to = lend(p, a, d, (uint8_t *)p->placed.lent_cache + at + (size_t)d * bytes, true, err);
        if (!*to) {
            err_prefix(err, "key/value cache");
            return false;
        }
        p->info.cache_bytes += (int64_t)bytes;
    }
    return true;
}

static bool lend_caches(Pjrt *p, Err *err) {
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0, all;
        for (int i = 0; i < p->programs.kept_count; i++) {
            const LowerArgument *a = &p->programs.kept[i];
            if (a->role != ROLE_STATE) continue;
            if (pass && !lend_cache(p, a, at, err)) return false;
            if (!size_mul((size_t)lower_argument_bytes(a), (size_t)p->own, &all) || !size_add(at, all, &at))
                return err_as(err, QM_MEMORY, "out of memory: key/value cache");
        }
        if (pass) break;
        p->placed.lent_cache_bytes = at;
        if (!(p->placed.lent_cache = mem_pages_new(at, "key/value cache", err))) {
            err_prefix(err, "lower --ctx or --slots");
            return false;
        }
    }
    return true;
}

static bool lend_all(Pjrt *p, Err *err) {
    int count;
    Part *part = parts_new(p, &count, &p->placed.lent_bytes, err);
    bool ok = part && (p->placed.lent = mem_pages_new(p->placed.lent_bytes, "weights", err)) &&
              fill_all(p, part, count, err) &&
              lend_weights(p, part, count, err) && lend_caches(p, err);
    free(part);
    return ok;
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */

static bool place_shards(Pjrt *p, Err *err) {
    p->placed.shard = buffers_new(p, err);
    for (int d = 0; p->placed.shard && d < p->own; d++) {
        int32_t place[LOWER_PLACES];
        lower_places(p->program->partition, mesh_device(p, d) % p->tp, place);
        p->placed.shard[d] = pjrt_upload(p->client, d, PJRT_S32, (int64_t[]){LOWER_PLACES}, 1, place, err);
        if (!p->placed.shard[d]) return false;
    }
    return p->placed.shard != NULL;
}

bool pjrt_upload_all(Pjrt *p, bool lends, Err *err) {
    p->placed.states = lower_states(p->program);
    p->placed.state = mem_new((size_t)(p->placed.states * p->own) + 1, sizeof *p->placed.state, "key/value cache", err);
    bool ok = p->placed.state && place_shards(p, err) && (lends ? lend_all(p, err) : copy_all(p, err));
    p->info.decode_bytes = p->info.weight_bytes;
    return ok;
}

void pjrt_upload_free(Pjrt *p) {
    for (int i = 0; i < p->placed.weight_count; i++) {
        for (int d = 0; d < p->own; d++) pjrt_buffer_free(p->client, p->placed.weights[i].buffer[d]);
        free(p->placed.weights[i].buffer);
    }
    for (int i = 0; p->placed.state && i < p->placed.states * p->own; i++)
        pjrt_buffer_free(p->client, p->placed.state[i]);
    for (int d = 0; p->placed.shard && d < p->own; d++) pjrt_buffer_free(p->client, p->placed.shard[d]);
    for (int i = 0; i < p->placed.loan_count; i++) pjrt_returned(p->client, p->placed.loan[i]);
    free(p->placed.loan);
    free(p->placed.weights);
    free(p->placed.state);
    free(p->placed.shard);
}

void pjrt_memory_free(Pjrt *p) {
    if (p->placed.lent) mem_pages_free(p->placed.lent, p->placed.lent_bytes);
    if (p->placed.lent_cache) mem_pages_free(p->placed.lent_cache, p->placed.lent_cache_bytes);
}
