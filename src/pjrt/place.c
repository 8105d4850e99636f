/* place.c: compiled programs, and the first of them compiled while weights are placed. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../base/watch.h"
#include "../model/checkpoint.h"
#include "pjrt_state.h"

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

void compiled_free(Compiled *c) {
    for (int i = 0; i < c->pieces; i++) {
        Piece *piece = &c->piece[i];
        if (!piece->shared) pjrt_program_free(piece->program);
        lower_free(&piece->lower);
        free(piece->arguments);
    }
    for (int i = 0; i < c->inputs; i++) free(c->input[i].buffer);
    free(c->input);
    free(c->piece);
    *c = (Compiled){0};
}

void texts_free(Text *text, int count) {
    for (int i = 0; text && i < count; i++) text_free(&text[i]);
    free(text);
}

Text *pieces_new(Compiled *c, int pieces, Err *err) {
    compiled_free(c);
    c->piece = mem_new((size_t)pieces, sizeof *c->piece, "program", err);
    if (c->piece) c->pieces = pieces;
    return c->piece ? mem_new((size_t)pieces, sizeof(Text), "program", err) : NULL;
}

/* The texts of a bucket's pieces; NULL on error. */
static Text *bucket_write(Pjrt *p, int at, Err *err) {
    Compiled *c = &p->programs.compiled[at];
    Text *text = pieces_new(c, p->programs.pieces, err);
    for (int i = 0; text && i < p->programs.pieces; i++) {
        LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions,
                          .bucket = p->programs.bucket[at], .first = p->programs.cut[i],
                          .last = p->programs.cut[i + 1], .candidates = p->top.count};
        Piece *piece = &c->piece[i];
        if (lower_program(&piece->lower, p->program, &o, &text[i], err)) continue;
        texts_free(text, p->programs.pieces);
        return NULL;
    }
    return text;
}

/* The program of a piece: an earlier piece's, if their texts are the same. */
static bool piece_compile(Pjrt *p, Compiled *c, const Text *text, int at, bool *cached, Err *err) {
    Piece *piece = &c->piece[at];
    piece->first_result = c->results;
    c->results += piece->lower.result_count;
    for (int i = 0; i < at && !piece->shared; i++)
        if (text[i].bytes == text[at].bytes && !memcmp(text[i].data, text[at].data, text[at].bytes))
            piece->program = c->piece[i].program, piece->shared = true;
    bool loaded = false;
    if (!piece->shared) {
        piece->program = pjrt_compile(p->client, text[at].data, text[at].bytes, p->devices, &loaded, err);
        *cached &= loaded;
    }
    if (!piece->program) return false;
    return pjrt_program_results(piece->program) == piece->lower.result_count ||
           err_set(err, "expected %d results, the plugin says %d", piece->lower.result_count,
                   pjrt_program_results(piece->program));
}

/* Seconds of the processor that this process has had: beside what else it does meanwhile, and on a busy machine, they say
 * what compiling costs. */
static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool pieces_compile(Pjrt *p, Compiled *c, const char *name, Text *text, Err *err) {
    bool cached = true, ok = text != NULL;
    double start = clock_seconds(), processor = processor_seconds();
    int programs = 0;
    for (int i = 0; ok && i < c->pieces; i++) {
        ok = piece_compile(p, c, text, i, &cached, err);
        programs += !c->piece[i].shared;
    }
    texts_free(text, c->pieces);
    if (!ok) {
        err_prefix(err, "program %s", name);
        return false;
    }
    c->ready = true;
    if (cached) p->info.programs_loaded++;
    else p->info.programs_compiled++;
    watch_say(QM_DETAIL, "program %s on %d devices: %s in %.2f s (%.2f of processors) as %d in %d pieces (%d compiled, %d "
              "from the cache)", name, p->devices, cached ? "loaded" : "compiled", clock_seconds() - start,
              processor_seconds() - processor, programs, c->pieces, p->info.programs_compiled, p->info.programs_loaded);
    return true;
}

static bool bucket_compile(Pjrt *p, int at, Text *text, Err *err) {
    char name[64];
    bucket_name(&p->programs.bucket[at], name, sizeof name);
    return pieces_compile(p, &p->programs.compiled[at], name, text, err);
}

bool pjrt_bucket(Pjrt *p, int at, Err *err) {
    return p->programs.compiled[at].ready || bucket_compile(p, at, bucket_write(p, at, err), err);
}

bool pjrt_copier(Pjrt *p, Err *err) {
    Compiled *c = &p->programs.copier;
    if (c->ready) return true;
    Text *text = pieces_new(c, 1, err);
    LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions,
                      .bucket = p->programs.bucket[0]};
    if (text && !lower_copy(&c->piece[0].lower, p->program, &o, text, err)) {
        texts_free(text, 1);
        text = NULL;
    }
    return pieces_compile(p, c, "copy", text, err);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* The first bucket's compilation, on a thread of its own. */
typedef struct FirstJob { Pjrt *p; const QmWatch *watch; Text *text; Err err; } FirstJob;

static void *first_compile(void *argument) {
    FirstJob *job = argument;
    const QmWatch *before = watch_use(job->watch);
    bucket_compile(job->p, 0, job->text, &job->err);
    watch_use(before);
    return NULL;
}

/* Compiles the first bucket and places the weights: at the same time where memory is lent, since such a plugin's client
 * is made for calls from several threads. */
static bool first_and_weights(Pjrt *p, Err *err) {
    FirstJob job = {.p = p, .watch = watch_used()};
    pthread_t thread;
    bool lends = false;
    job.text = bucket_write(p, 0, err);
    if (!job.text || !pieces_kept(p, &p->programs.compiled[0], err) || !pjrt_lends(p->client, &lends, err)) {
        texts_free(job.text, p->programs.pieces);
        return false;
    }
    bool apart = lends && pthread_create(&thread, NULL, first_compile, &job) == 0;
    if (!apart) first_compile(&job);
    bool ok = (apart || !job.err.kind) && pjrt_upload_all(p, lends, err);
    if (apart) pthread_join(thread, NULL);
    if (job.err.kind) err_from(err, &job.err);
    return ok && !job.err.kind;
}

bool pjrt_tensors(Pjrt *p, Weights *weights, Err *err) {
    const Graph *g = &p->program->graph;
    p->placed.tensor = mem_new((size_t)g->count, sizeof *p->placed.tensor, "weights", err);
    if (!p->placed.tensor || !checkpoint_check(g, weights, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT) p->placed.tensor[id] = weights_find(weights, g->nodes[id].name);
    return true;
}

bool pjrt_place(Pjrt *p, Weights *weights, Err *err) {
    return pjrt_tensors(p, weights, err) && first_and_weights(p, err);
}

void pjrt_unplace(Pjrt *p) {
    for (int i = 0; i < p->programs.buckets; i++) compiled_free(&p->programs.compiled[i]);
    compiled_free(&p->programs.copier);
    pjrt_upload_free(p);
    free(p->placed.tensor);
}
