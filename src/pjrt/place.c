/* place.c: compiled programs, and the first of them compiled while weights are placed. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../model/checkpoint.h"
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

/* The text of a bucket's program, into c->lower and *text. */
static bool bucket_write(Pjrt *p, int at, Text *text, Err *err) {
    LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions, .bucket = p->bucket[at],
                      .candidates = p->candidates};
    compiled_free(&p->compiled[at]);
    return lower_program(&p->compiled[at].lower, p->program, &o, text, err);
}

static bool bucket_compile(Pjrt *p, int at, Text *text, bool written, Err *err) {
    char name[64];
    bucket_name(&p->bucket[at], name, sizeof name);
    return compile(p, &p->compiled[at], name, text, written, err);
}

bool pjrt_bucket(Pjrt *p, int at, Err *err) {
    if (p->compiled[at].ready) return true;
    Text text = {0};
    bool written = bucket_write(p, at, &text, err);
    return bucket_compile(p, at, &text, written, err);
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

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* The first bucket's compilation, on a thread of its own. */
typedef struct FirstJob { Pjrt *p; Text text; Err err; } FirstJob;

static void *first_compile(void *argument) {
    FirstJob *job = argument;
    bucket_compile(job->p, 0, &job->text, true, &job->err);
    return NULL;
}

/* Compiles the first bucket and places the weights: at the same time where memory is lent, since such a plugin's client
 * is made for calls from several threads. */
static bool first_and_weights(Pjrt *p, Err *err) {
    FirstJob job = {.p = p};
    pthread_t thread;
    bool lends = false;
    if (!bucket_write(p, 0, &job.text, err) || !pjrt_lends(p->client, &lends, err)) {
        text_free(&job.text);
        return false;
    }
    bool apart = lends && pthread_create(&thread, NULL, first_compile, &job) == 0;
    if (!apart) first_compile(&job);
    bool ok = (apart || !job.err.set) && pjrt_upload_all(p, lends, err);
    if (apart) pthread_join(thread, NULL);
    if (job.err.set) err_set(err, "%s", job.err.text);
    return ok && !job.err.set;
}

bool pjrt_place(Pjrt *p, Weights *weights, Err *err) {
    const Graph *g = &p->program->graph;
    p->tensor = mem_new((size_t)g->count, sizeof *p->tensor, "weights", err);
    if (!p->tensor || !checkpoint_check(g, weights, p->options.quiet, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT) p->tensor[id] = weights_find(weights, g->nodes[id].name);
    return first_and_weights(p, err);
}

void pjrt_unplace(Pjrt *p) {
    for (int i = 0; i < p->buckets; i++) compiled_free(&p->compiled[i]);
    compiled_free(&p->copier);
    pjrt_upload_free(p);
    free(p->tensor);
}
