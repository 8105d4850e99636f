/* place.c: what lives on the devices: compiled programs, weights, caches. */
#include <stdlib.h>
#include <string.h>
#include "../model/checkpoint.h"
#include "shards.h"
#include "state.h"

/* Compiles what was written as c->lower; frees the text. */
static bool compile(Pjrt *p, Compiled *c, const char *name, Text *text, bool written, Err *err) {
    bool cached = false;
    double start = clock_seconds();
    if (written) c->program = pjrt_compile(p->client, text->data, text->bytes, p->devices, &cached, err);
    text_free(text);
    if (c->program && pjrt_program_results(c->program) != c->lower.result_count)
        err_set(err, "expected %d results, the plugin says %d", c->lower.result_count,
                pjrt_program_results(c->program));
    if (!c->program || err->set) {
        err_prefix(err, "program %s", name);
        return false;
    }
    c->ready = true;
    if (cached) p->info.programs_loaded++;
    else p->info.programs_compiled++;
    if (p->options.verbose)
        fprintf(stderr, "program %s on %d devices: %s in %.2f s (%d compiled, %d from the cache)\n", name, p->devices,
                cached ? "loaded" : "compiled", clock_seconds() - start, p->info.programs_compiled,
                p->info.programs_loaded);
    return true;
}

static void compiled_free(Compiled *c) {
    pjrt_program_free(c->program);
    lower_free(&c->lower);
    free(c->arguments);
    *c = (Compiled){0};
}

bool pjrt_bucket(Pjrt *p, int at, Err *err) {
    Compiled *c = &p->compiled[at];
    if (c->ready) return true;
    compiled_free(c);
    Text text = {0};
    char name[64];
    LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions, .bucket = p->bucket[at]};
    bucket_name(&p->bucket[at], name, sizeof name);
    bool written = lower_program(&c->lower, p->program, &o, &text, err);
    return compile(p, c, name, &text, written, err);
}

bool pjrt_copier(Pjrt *p, Err *err) {
    Compiled *c = &p->copier;
    if (c->ready) return true;
    compiled_free(c);
    Text text = {0};
    LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions, .bucket = p->bucket[0]};
    bool written = lower_copy(&c->lower, p->program, &o, &text, err);
    return compile(p, c, "copy", &text, written, err);
}

static PjrtBuffer **buffers_new(const Pjrt *p, Err *err) {
    return mem_new((size_t)p->devices, sizeof(PjrtBuffer *), "buffers", err);
}

static bool place_weight(Pjrt *p, const LowerArgument *a, void *work, Err *err) {
    const WeightTensor *t = p->tensor[a->node];
    if (!mem_grow((void **)&p->weights, &p->weight_capacity, (size_t)p->weight_count + 1, sizeof *p->weights, "weights",
                  err))
        return false;
    Placed *w = &p->weights[p->weight_count];
    *w = (Placed){.buffer = buffers_new(p, err)};
    snprintf(w->name, sizeof w->name, "%s", a->name);
    if (!w->buffer) return false;
    p->weight_count++;
    for (int d = 0; d < p->tp; d++) {
        const void *data = shard_in_file(a, t);
        if (!data) {
            if ((d == 0 || a->weight_split[0]) && !shard_fill(p->program, a, t, d, work, err)) return false;
            data = work;
        }
        for (int replica = 0; replica < p->dp; replica++) {
            int device = replica * p->tp + d;
            w->buffer[device] = pjrt_upload(p->client, device, pjrt_type_of(a->type), a->dim, a->rank, data, err);
            if (!w->buffer[device]) {
                err_prefix(err, "uploading %s", t->name);
                return false;
            }
            p->info.weight_bytes += lower_argument_bytes(a);
        }
    }
    return true;
}

static bool place_cache(Pjrt *p, const LowerArgument *a, Err *err) {
    size_t bytes = (size_t)lower_argument_bytes(a);
    void *zeros = mem_pages_new(bytes, "key/value cache", err);
    for (int d = 0; zeros && d < p->devices; d++) {
        p->cache[a->cache * p->devices + d] =
            pjrt_upload(p->client, d, pjrt_type_of(a->type), a->dim, a->rank, zeros, err);
        if (!p->cache[a->cache * p->devices + d]) {
            err_prefix(err, "key/value cache: lower --ctx or --slots");
            break;
        }
        p->info.cache_bytes += (int64_t)bytes;
    }
    mem_pages_free(zeros, bytes);
    return !err->set;
}

static bool place_shards(Pjrt *p, Err *err) {
    p->shard = buffers_new(p, err);
    for (int d = 0; p->shard && d < p->devices; d++) {
        Range v = p->program->partition->device[d % p->tp].vocab;
        int32_t place[2] = {(int32_t)v.first, (int32_t)(v.last - v.first)};
        p->shard[d] = pjrt_upload(p->client, d, PJRT_S32, (int64_t[]){2}, 1, place, err);
        if (!p->shard[d]) return false;
    }
    return p->shard != NULL;
}

bool pjrt_place(Pjrt *p, Weights *weights, Err *err) {
    const Graph *g = &p->program->graph;
    p->tensor = mem_new((size_t)g->count, sizeof *p->tensor, "weights", err);
    if (!p->tensor || !checkpoint_check(g, weights, p->options.quiet, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT) p->tensor[id] = weights_find(weights, g->nodes[id].name);
    if (!pjrt_bucket(p, 0, err) || !place_shards(p, err)) return false;
    const Lower *l = &p->compiled[0].lower;
    int64_t most = 0, weight_count = 0;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        if (a->role == ROLE_WEIGHT && lower_argument_bytes(a) > most) most = lower_argument_bytes(a);
        weight_count += a->role == ROLE_WEIGHT;
        p->caches += a->role == ROLE_CACHE;
    }
    void *work = mem_pages_new((size_t)most, "weights", err);
    p->cache = mem_new((size_t)(p->caches * p->devices) + 1, sizeof *p->cache, "key/value cache", err);
    Progress progress;
    progress_start(&progress, "uploading weights", weight_count, p->options.quiet);
    bool ok = work && p->cache;
    for (int i = 0; ok && i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        if (a->role == ROLE_WEIGHT) ok = place_weight(p, a, work, err);
        if (a->role == ROLE_CACHE) ok = place_cache(p, a, err);
        progress_show(&progress, p->weight_count);
    }
    progress_end(&progress);
    mem_pages_free(work, (size_t)most);
    p->info.decode_bytes = p->info.weight_bytes;
    return ok;
}

void pjrt_unplace(Pjrt *p) {
    for (int i = 0; i < p->weight_count; i++) {
        for (int d = 0; d < p->devices; d++) pjrt_buffer_free(p->client, p->weights[i].buffer[d]);
        free(p->weights[i].buffer);
    }
    for (int i = 0; p->cache && i < p->caches * p->devices; i++) pjrt_buffer_free(p->client, p->cache[i]);
    for (int d = 0; p->shard && d < p->devices; d++) pjrt_buffer_free(p->client, p->shard[d]);
    for (int i = 0; i < p->buckets; i++) compiled_free(&p->compiled[i]);
    compiled_free(&p->copier);
    free(p->weights);
    free(p->cache);
    free(p->shard);
    free(p->tensor);
}
