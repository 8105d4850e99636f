/* embedder.c: see embedder.h. Pooling as sentence-transformers has it (models/Pooling.py), summed in double in the
 * order of tokens, as `embed` does: the same bits. */
#include "embedder.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_WAITING = 256,    /* works                                             */
    MAX_SLOTS = 8,
    SHORT_PIECE = 32      /* rows of a step beside generation, as a prompt's   */
};

struct Embedder {
    QmEngine *engine;
    QmSession *session[MAX_SLOTS];
    int64_t slots, layers;
    bool hidden;          /* what is wanted are the last hidden states, which stand under the head; by the thread */
    bool (*busy)(void *);
    void *owner;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more;
    EmbedWork *first, **last;
    int64_t waiting;
    bool ends;
};

EmbedWork *embed_work_new(int64_t texts, Err *err) {
    EmbedWork *w = mem_new(1, sizeof *w, "texts", err);
    if (!w) return NULL;
    w->texts = texts;
    w->ids = mem_new((size_t)texts + 1, sizeof *w->ids, "texts", err);
    w->count = mem_new((size_t)texts + 1, sizeof *w->count, "texts", err);
    if (w->ids && w->count) return w;
    embed_work_free(w);
    return NULL;
}

void embed_work_free(EmbedWork *w) {
    if (!w) return;
    for (int64_t i = 0; w->ids && i < w->texts; i++) free(w->ids[i]);
    free(w->ids);
    free(w->count);
    free(w->rows);
    free(w);
}

int64_t embedder_columns(const Embedder *e, const char *output) {
    const QmModelInfo *i = qm_engine_info(e->engine);
    int64_t columns = qm_engine_output(e->engine, output);
    bool under = !columns && !strcmp(output, "states") && !strcmp(i->head, "causal");
    return under ? i->hidden : columns;
}

/* ---- A few texts at once, in pieces ------------------------------------------------------------------------------ */

typedef struct Group {
    int64_t first, texts; /* of the work: one for each session            */
    int64_t fed[MAX_SLOTS];
    double *sum;          /* [texts][columns]: of a mean                  */
    float *states;        /* [rows of a piece][columns]; of hidden states [layers + 1][rows of a piece][columns] for
                             each text of it */
} Group;

/* A piece: `most` rows of the group's texts, in their order. Returns the rows, -1 on error. */
static int64_t feed(Embedder *e, EmbedWork *w, Group *g, int64_t most, Err *err) {
    QmAppend append[MAX_SLOTS];
    QmOutput output[MAX_SLOTS];
    const float *row[MAX_SLOTS];
    int64_t text[MAX_SLOTS], told[MAX_SLOTS], rows = 0, at = 0;
    int count = 0;
    for (int64_t i = 0; i < g->texts && rows < most; i++) {
        int64_t left = w->count[g->first + i] - g->fed[i], n = left < most - rows ? left : most - rows;
        if (n == 0) continue;
        int64_t wanted = w->mean ? n : n == left ? 1 : 0, layers = e->hidden ? e->layers : 0;
        output[count] = (QmOutput){w->output, g->states + at * w->columns};
        append[count] = (QmAppend){.session = e->session[i], .tokens = w->ids[g->first + i] + g->fed[i], .count = n,
                                   .rope_length = w->count[g->first + i], .logits_from = layers ? 0 : wanted,
                                   .outputs = wanted && !layers ? &output[count] : NULL,
                                   .output_count = wanted && !layers,
                                   .hidden = layers ? g->states + rows * (layers + 1) * w->columns : NULL};
        row[count] = layers ? append[count].hidden + (layers * n + n - wanted) * w->columns : output[count].values;
        told[count] = wanted;
        text[count++] = i;
        rows += n;
        at += wanted;
    }
    if (count == 0) return 0;
    if (!qm_forward(e->engine, append, count, err)) return -1;
    for (int k = 0; k < count; k++) {
        double *sum = g->sum + text[k] * w->columns;
        for (int64_t r = 0; r < told[k]; r++)
            for (int64_t c = 0; c < w->columns; c++) sum[c] += (double)row[k][r * w->columns + c];
        g->fed[text[k]] += append[k].count;
    }
    return rows;
}

static bool group_run(Embedder *e, EmbedWork *w, Group *g, Err *err) {
    int64_t rows = qm_engine_info(e->engine)->rows, n;
    for (int64_t i = 0; i < g->texts; i++)
        if (!qm_session_crop(e->session[i], 0, err)) return false;
    do {
        if (w->gone && w->gone(w->owner)) return err_as(err, QM_INTERRUPTED, "interrupted: the client has gone");
        int64_t most = e->busy && e->busy(e->owner) && rows > SHORT_PIECE ? SHORT_PIECE : rows;
        n = feed(e, w, g, most, err);
    } while (n > 0);
    for (int64_t i = 0; n == 0 && i < g->texts; i++)
        for (int64_t c = 0; c < w->columns; c++)
            w->rows[(g->first + i) * w->columns + c] =
                (float)(g->sum[i * w->columns + c] / (double)(w->mean ? w->count[g->first + i] : 1));
    return n == 0;
}

static bool work_run(Embedder *e, EmbedWork *w, Err *err) {
    int64_t rows = qm_engine_info(e->engine)->rows;
    w->columns = embedder_columns(e, w->output);
    e->hidden = w->columns && !qm_engine_output(e->engine, w->output);
    if (!w->columns) return err_as(err, QM_USAGE, "the model has no %s", w->output);
    Group g = {0};
    w->rows = mem_new((size_t)w->texts, (size_t)w->columns * sizeof *w->rows, "vectors", err);
    g.sum = w->rows ? mem_new((size_t)e->slots, (size_t)w->columns * sizeof *g.sum, "vectors", err) : NULL;
    size_t depth = e->hidden ? (size_t)e->layers + 1 : 1;
    g.states = g.sum ? mem_new((size_t)rows * depth, (size_t)w->columns * sizeof *g.states, "states", err) : NULL;
    bool ok = g.states != NULL;
    for (; ok && g.first < w->texts; g.first += g.texts) {
        g.texts = w->texts - g.first < e->slots ? w->texts - g.first : e->slots;
        memset(g.fed, 0, sizeof g.fed);
        memset(g.sum, 0, (size_t)(e->slots * w->columns) * sizeof *g.sum);
        ok = group_run(e, w, &g, err);
    }
    free(g.sum);
    free(g.states);
    return ok;
}

/* ---- The thread -------------------------------------------------------------------------------------------------- */

static void *run(void *owner) {
    Embedder *e = owner;
    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (!e->first && !e->ends) pthread_cond_wait(&e->more, &e->lock);
        EmbedWork *w = e->first;
        if (!w) break;
        Err err = {0};
        bool ends = e->ends;
        if (!(e->first = w->next)) e->last = &e->first;
        e->waiting--;
        pthread_mutex_unlock(&e->lock);
        if (ends) err_as(&err, QM_INTERRUPTED, "interrupted: the server ends");
        else work_run(e, w, &err);
        w->done(w->owner, w, err.kind ? &err : NULL);
        pthread_mutex_lock(&e->lock);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

Embedder *embedder_new(QmEngine *engine, int64_t slots, bool (*busy)(void *), void *owner, Err *err) {
    Embedder *e = mem_new(1, sizeof *e, "embedder", err);
    if (!e) return NULL;
    e->engine = engine;
    e->layers = qm_engine_info(engine)->layers;
    e->busy = busy;
    e->owner = owner;
    e->last = &e->first;
    bool ok = true;
    for (; ok && e->slots < slots && e->slots < MAX_SLOTS; e->slots += ok)
        ok = (e->session[e->slots] = qm_session_new(engine, err)) != NULL;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->more, NULL);
    if (ok && pthread_create(&e->thread, NULL, run, e) == 0) return e;
    if (ok) err_as(err, QM_IO, "cannot start a thread");
    for (int64_t i = 0; i < e->slots; i++) qm_session_free(e->session[i]);
    free(e);
    return NULL;
}

void embedder_free(Embedder *e) {
    if (!e) return;
    pthread_mutex_lock(&e->lock);
    e->ends = true;
    pthread_cond_signal(&e->more);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    for (int64_t i = 0; i < e->slots; i++) qm_session_free(e->session[i]);
    pthread_cond_destroy(&e->more);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

bool embedder_add(Embedder *e, EmbedWork *w, Err *err) {
    pthread_mutex_lock(&e->lock);
    bool room = e->waiting < MAX_WAITING && !e->ends;
    if (room) {
        *e->last = w;
        e->last = &w->next;
        e->waiting++;
        pthread_cond_signal(&e->more);
    }
    pthread_mutex_unlock(&e->lock);
    return room || err_as(err, QM_LIMIT, "%d requests wait for vectors", MAX_WAITING);
}
