/* draft.c: assisted generation: cheap guesses of the next tokens, checked by the model in one step (Leviathan et al.
 * 2023; prompt lookup: Saxena 2023). A guess is kept only if it is what the model chooses at that place; draws are
 * functions of the position, so this holds for samples as for greedy choices, and the result has the bits of the loop
 * without drafts. */
#include <stdlib.h>
#include <string.h>
#include "engine.h"
#include "repeats.h"
#include "search.h"

typedef struct Drafter {
    const Search *search;
    uint64_t sequence;
    QmSession *session;    /* of the draft model, or NULL: lookup    */
    float *logits;         /* [vocab] of the draft model             */
    SampleWork work;
    int64_t count;         /* guesses of the next round              */
    int32_t *repeats;      /* [room] of a lookup                     */
    size_t room;
    bool begun;
    /* of the round under way: */
    int32_t guess[MAX_DRAFT], *tokens; /* [tokens_room] what the cache lacks, then the guesses */
    size_t tokens_room;
    int64_t guesses;
    float *rows;           /* [MAX_DRAFT + 1][vocab] of the model    */
} Drafter;

/* What followed the last n ids where they stood before, the longest n and the latest place first. -1 on error. */
static int64_t lookup(Drafter *d, const Generation *g, int64_t most, int32_t *out, Err *err) {
    int64_t longest = 0, at = 0;
    if (!mem_grow((void **)&d->repeats, &d->room, (size_t)g->count, sizeof *d->repeats, "repeats", err)) return -1;
    repeats_of_end(g->ids, g->count, d->repeats);
    for (int64_t j = 1; j < g->count; j++) {
        int64_t size = g->config.max_matching_ngram_size, n = d->repeats[j] < size ? d->repeats[j] : size;
        if (n > 0 && n >= longest) longest = n, at = j;
    }
    if (longest == 0) return 0;
    int64_t found = g->count - at < most ? g->count - at : most;
    memcpy(out, g->ids + at, (size_t)found * sizeof *out);
    return found;
}

/* The draft model goes on from where the sequence is, with the same processors and the same draws. -1 on error. */
static int64_t draft_model(Drafter *d, const Generation *g, int64_t most, int32_t *out, Err *err) {
    Generation guess = {0};
    int64_t n = 0, fed = qm_session_length(d->session);
    if (most == 0 || g->count + most > qm_engine_info(d->search->draft)->context) return 0;
    bool ok = generation_copy(&guess, g, err);
    guess.config.logprobs = -1;
    guess.config.num_return_sequences = 1;
    proof_free(guess.proof);
    guess.proof = NULL;
    while (ok && n < most && !guess.finish) {
        const char *text;
        size_t bytes;
        QmAppend a = {.session = d->session, .tokens = guess.ids + fed, .count = guess.count - fed, .logits_from = 1,
                      .logits = d->logits};
        ok = qm_forward(d->search->draft, &a, 1, err) &&
             generation_choose(&guess, d->logits, d->sequence, &d->work, &out[n], err);
        if (!ok || out[n] < 0) break;
        fed = guess.count;
        ok = generation_push(&guess, out[n++], &text, &bytes, err);
    }
    generation_free(&guess);
    return ok ? n : -1;
}

static int64_t guesses(Drafter *d, const Generation *g, int32_t *out, Err *err) {
    int64_t most = d->count, left = g->config.max_new_tokens - (g->count - g->prompt) - 1;
    int64_t room = qm_engine_info(d->search->engine)->context - g->count;
    RopeType rope = d->search->engine->config.rope.type;
    if (rope == ROPE_DYNAMIC || rope == ROPE_LONGROPE) return 0; /* guesses would change the length these go by */
    if (most > left) most = left;
    if (most > room) most = room;
    if (most <= 0) return 0;
    return d->session ? draft_model(d, g, most, out, err) : lookup(d, g, most, out, err);
}

/* After a round: a draft model tries two more when all were right, one fewer else (the heuristic schedule of Hugging
 * Face's assisted generation). Its cache keeps what still holds. */
static bool drafter_learn(Drafter *d, const Generation *g, int64_t tried, int64_t right, Err *err) {
    if (!d->session) return true;
    if (tried) d->count = right == tried ? d->count + 2 : d->count - 1;
    d->count = d->count < 1 ? 1 : d->count > MAX_DRAFT ? MAX_DRAFT : d->count;
    int64_t holds = g->count - 1;
    return qm_session_length(d->session) <= holds || qm_session_crop(d->session, holds, err);
}

static bool begin(Request *r, Drafter *d, Err *err) {
    const GenerationConfig *c = &r->g.config;
    Search *s = r->search;
    int64_t vocab = s->work.vocab;
    d->search = s;
    d->sequence = r->sequence;
    d->count = s->draft ? c->num_assistant_tokens : c->prompt_lookup_num_tokens;
    if (!d->rows && !(d->rows = mem_new((size_t)((MAX_DRAFT + 1) * vocab), sizeof *d->rows, "logits of drafts", err)))
        return false;
    return d->begun = !s->draft || ((d->session || (d->session = qm_session_new(s->draft, err))) &&
                                    (d->work.vocab || sample_work_new(&d->work, vocab, err)) &&
                                    (d->logits || (d->logits = mem_new((size_t)vocab, sizeof *d->logits,
                                                                       "draft logits", err))));
}

/* One round: the tokens that the cache lacks and the guesses in one step. */
static bool plan(Request *r, StepPlan *p, Err *err) {
    Drafter *d = r->state;
    const Generation *g = &r->g;
    int64_t fed = qm_session_length(r->session[0]), lack = g->count - fed, n;
    if (!d->begun && !begin(r, d, err)) return false;
    if (d->session && qm_session_length(d->session) >= g->count && !qm_session_crop(d->session, g->count - 1, err))
        return false; /* guesses of a step that failed */
    if ((n = guesses(d, g, d->guess, err)) < 0 ||
        !mem_grow((void **)&d->tokens, &d->tokens_room, (size_t)(lack + n), sizeof *d->tokens, "draft", err))
        return false;
    memcpy(d->tokens, g->ids + fed, (size_t)lack * sizeof *d->tokens);
    memcpy(d->tokens + lack, d->guess, (size_t)n * sizeof *d->tokens);
    d->guesses = n;
    plan_add(p, (QmAppend){.session = r->session[0], .tokens = d->tokens, .count = lack + n, .logits_from = n + 1,
                           .rope_length = g->prompt, .logits = d->rows});
    return true;
}

/* Choices, as long as they agree with the guesses. */
static bool advance(Request *r, Err *err) {
    Drafter *d = r->state;
    Generation *g = &r->g;
    int64_t right = 0;
    for (int64_t i = 0; i <= d->guesses && !g->finish; i++) {
        float *row = d->rows + i * r->search->work.vocab;
        int32_t id;
        if (!request_logits(r, row, err) || !generation_choose(g, row, r->sequence, &r->search->work, &id, err) ||
            !request_push(r, id, err))
            return false;
        if (i == d->guesses || id != d->guess[i]) break;
        right++;
    }
    r->drafted += d->guesses;
    r->accepted += right;
    int64_t length = qm_session_length(r->session[0]), holds = g->finish ? length : g->count - 1;
    return (length <= holds || qm_session_crop(r->session[0], holds, err)) &&
           drafter_learn(d, g, d->guesses, right, err);
}

static void state_free(Request *r) {
    Drafter *d = r->state;
    qm_session_free(d->session);
    sample_work_free(&d->work);
    free(d->logits);
    free(d->repeats);
    free(d->tokens);
    free(d->rows);
}

static bool applies(const GenerationConfig *c, bool draft) { return draft || c->prompt_lookup_num_tokens > 0; }
static int64_t slots(const GenerationConfig *c) { return (void)c, 1; }

const SearchRow drafts_row = {.name = "drafts", .applies = applies, .slots = slots, .drafts = true,
                              .bytes = sizeof(Drafter), .plan = plan, .advance = advance, .free = state_free};
