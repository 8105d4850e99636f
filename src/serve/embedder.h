/* embedder.h: rows of the model's outputs for texts that stand alone: vectors, scores of a head with labels. One thread
 * does them, text after text in pieces, and between two pieces the engine serves generation in its turn.
 *
 * It has sessions of its own; what it computes does not depend on what else runs. */
#ifndef EMBEDDER_H
#define EMBEDDER_H
#include "../base/base.h"

typedef struct Embedder Embedder;

/* Texts as ids, and what comes of them. Made by embed_work_new, ended by `done`. */
typedef struct EmbedWork EmbedWork;
struct EmbedWork {
    int32_t **ids;          /* [texts], each malloc'ed, of count[i] >= 1     */
    int64_t *count, texts;
    const char *output;     /* "states", "logits"                             */
    bool mean;              /* of all rows of a text; else its last           */
    float *rows;            /* out [texts][columns]                           */
    int64_t columns;
    /* By the embedder's thread. gone: nobody wants it any more, asked between pieces. done: the end, with an error or
     * without; it frees the work. */
    bool (*gone)(void *owner);
    void (*done)(void *owner, EmbedWork *work, const Err *failed);
    void *owner;
    EmbedWork *next;
};
EmbedWork *embed_work_new(int64_t texts, Err *err);
void embed_work_free(EmbedWork *work);

/* Takes `slots` free slots of the engine. `busy`: whether a generation runs beside it now; pieces are short then. */
Embedder *embedder_new(QmEngine *engine, int64_t slots, bool (*busy)(void *owner), void *owner, Err *err);
/* Numbers of a row of an output; "states" of a causal head are its hidden states, for which the engine must be opened with
 * QmEngineOptions.hidden. 0: it has none of that name. */
int64_t embedder_columns(const Embedder *e, const char *output);
/* What waits is told so, with QM_INTERRUPTED. NULL is none. */
void embedder_free(Embedder *e);
/* First come, first served. False: too many wait, or memory ended; `done` is not called then. */
bool embedder_add(Embedder *e, EmbedWork *work, Err *err);
#endif
