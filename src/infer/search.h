/* search.h: generation that runs more than one sequence, or more than one token at a time, to answer one request:
 * beams, several samples, contrastive search, drafts. */
#ifndef SEARCH_H
#define SEARCH_H
#include "processors.h"

typedef struct Search {
    QmEngine *engine;
    QmEngine *draft;     /* a smaller model of the same vocabulary, or NULL */
    uint64_t sequence;   /* of the draws: the request's number              */
    SampleWork work;
    /* Called for each token as it becomes final, drafts only: its logits before processors, and the text it
     * releases. */
    bool (*emit)(void *context, const float *logits, int64_t vocab, const char *text, size_t bytes, Err *err);
    void *context;
    int64_t drafted, accepted; /* out: tokens proposed and taken over */
    bool invalid;              /* out: the last run failed because logits were not numbers, a fault of this request's
                                  step; the engine is as good as before */
} Search;
bool search_new(Search *s, QmEngine *engine, QmEngine *draft, Err *err);
void search_free(Search *s);

/* What came of one request, best first. */
typedef struct Sequences { Generation *list; int64_t count; } Sequences;
void sequences_free(Sequences *s);

/* Whether these parameters need a search; without one, generation_choose in a loop is the whole of it. */
bool search_wanted(const GenerationConfig *c, bool draft);
int64_t search_slots(const GenerationConfig *c); /* of the engine that such a search needs, all of them free */
bool search_hidden(const GenerationConfig *c);   /* whether the engine must keep hidden states              */

/* Runs the search from a generation that has only its prompt. False also, and s->invalid, when a sequence met logits
 * that are no numbers. */
bool search_run(Search *s, const Generation *start, Sequences *out, Err *err);

/* ---- Within src/infer -------------------------------------------------------------------------------------------- */

bool beam_search(Search *s, const Generation *start, Sequences *out, Err *err);
bool sample_several(Search *s, const Generation *start, Sequences *out, Err *err);
bool contrastive_search(Search *s, const Generation *start, Sequences *out, Err *err);
/* Exactly what the loop without drafts gives, tokens and logits bits, greedy or drawn; only faster when drafts are
 * good. */
bool assisted_generate(Search *s, Generation *g, Err *err);
/* No new token may stand past the end of the cache. */
void generation_fit(Generation *g, const QmEngine *engine);
#endif
