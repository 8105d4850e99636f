/* search.h: one request on its way to an answer, and the ways to find one: token by token, beams, several samples,
 * contrastive search, drafts. A search is a policy: the scheduler asks it what to feed in the next step, which it shares
 * with other requests, and hands it the results. */
#ifndef SEARCH_H
#define SEARCH_H
#include <stdatomic.h>
#include "processors.h"

/* What came of one request, best first. */
typedef struct Sequences { Generation *list; int64_t count; } Sequences;
void sequences_free(Sequences *s);

/* Log-probabilities of the tokens of a prompt, and the rows of logits of the step under way. */
typedef struct PromptTold {
    QmLogprob *list; /* [prompt][1 + config.prompt_logprobs] */
    int64_t count;   /* tokens fed so, and known: those up to list[count] */
    float *logits;
    int64_t rows;
} PromptTold;

/* What all requests of a scheduler share. */
typedef struct Search {
    QmEngine *engine;
    QmEngine *draft;     /* a smaller model of the same vocabulary, or NULL */
    SampleWork work;     /* of whoever chooses at the moment                */
} Search;

typedef struct Request Request;

/* Who is told of a request, by the thread that steps the scheduler; each member may be NULL. A false return, with an
 * error, ends the step with it: the owner cannot go on. */
typedef struct Sink {
    void *user;
    /* The row [vocab] that the next token is about to be chosen from, before processors. With it whole rows leave the
     * devices. */
    bool (*logits)(void *user, const float *row, int64_t vocab, Err *err);
    /* A token is final and its text may be shown; -1: text that had been held back until the end. Searches that compare
     * whole sequences tell neither. */
    bool (*token)(void *user, Request *request, int32_t id, const char *text, size_t bytes, Err *err);
    /* The end; the request is its owner's again, and may be freed. */
    bool (*done)(void *user, Request *request, Err *err);
    /* The scheduler is freed before the end. */
    void (*drop)(void *user, Request *request);
} Sink;

struct Request {
    Generation g;         /* started by the owner; its draws are those of `sequence` */
    uint64_t sequence;
    Sink sink;
    uint64_t group;       /* groups are served in turn                                                    */
    uint64_t salt;        /* caches are shared with the same one only                                     */
    int adapter;          /* that its tokens go through: 1 or more; 0: none                               */
    double deadline;      /* clock_seconds at which it ends; 0: none                                      */
    atomic_bool cancelled;
    /* out: */
    PromptTold told;
    Sequences found;      /* of a search; else the answer is `g`                                          */
    Err failed;           /* why there is no answer                                                       */
    bool invalid;         /* ... namely logits that were not numbers                                      */
    int64_t reused;       /* prompt tokens that a slot had already                                        */
    int64_t drafted, accepted; /* tokens proposed and taken over                                          */
    double taken, first, ended; /* clock_seconds when it got a slot, its first token, its last             */
    /* within src/infer: */
    Search *search;
    const struct SearchRow *row;
    void *state;          /* [row->bytes], zeroed: the policy's own                                        */
    QmSession **session;  /* [sessions] of the engine, while it runs                                       */
    int sessions;
    int64_t order;        /* the earlier prompt gets its rows first                                       */
    int64_t passed;       /* later requests that went before it while it waited for a prefix              */
    bool planned, over, owner_failed;
    Request *next;        /* of a queue                                                                   */
};
void request_free(Request *r); /* what is in it */

/* The entries of a step: at most one for each session. */
typedef struct StepPlan { QmAppend *entry; int count; int64_t rows; } StepPlan; /* rows: that are left */
QmAppend *plan_add(StepPlan *plan, QmAppend entry);

typedef struct SearchRow {
    const char *name;
    bool (*applies)(const GenerationConfig *c, bool draft);
    int64_t (*slots)(const GenerationConfig *c); /* of the engine, that it needs            */
    int64_t (*most)(const GenerationConfig *c);  /* that it can use; NULL: no more than those */
    bool hidden;          /* needs the hidden states of every token, so it feeds the prompt itself, from its beginning */
    bool drafts;          /* takes a slot of the draft model, too                           */
    bool partial;         /* what is in `found` before the end is part of an answer         */
    size_t bytes;
    /* Adds entries of the request's sessions; asked again if the step fails. Session 0 may hold some of the prompt. */
    bool (*plan)(Request *r, StepPlan *plan, Err *err);
    bool (*advance)(Request *r, Err *err);       /* the step has run; `over` says that it was the last */
    bool (*end)(Request *r, Err *err);           /* fills `found`; NULL: the answer is `g` */
    void (*free)(Request *r);                    /* what the state holds; or NULL          */
} SearchRow;

/* The policy of these parameters: there always is one. */
const SearchRow *search_of(const GenerationConfig *c, bool draft);
/* Whether it is another one than token by token. */
bool search_wanted(const GenerationConfig *c, bool draft);
int64_t search_slots(const GenerationConfig *c); /* of the engine that it needs, without drafts  */
bool search_hidden(const GenerationConfig *c);   /* whether the engine must keep hidden states  */

/* ---- Within src/infer -------------------------------------------------------------------------------------------- */

extern const SearchRow token_by_token_row, beams_row, samples_row, contrastive_row, drafts_row;

/* Tells the sink. */
bool request_logits(Request *r, const float *row, Err *err);
bool request_push(Request *r, int32_t id, Err *err); /* generation_push onto r->g, and its text to the sink */
#endif
