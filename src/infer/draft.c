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
    QmSession *session;    /* of the draft model, or NULL: lookup */
    float *logits;
    SampleWork work;
    int64_t count;         /* guesses of the next round */
    int32_t *repeats;      /* [room] of a lookup        */
    size_t room;
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
    while (ok && n < most && !guess.finish) {
        const char *text;
        size_t bytes;
        QmAppend a = {.session = d->session, .tokens = guess.ids + fed, .count = guess.count - fed, .logits_from = 1,
                      .logits = d->logits};
        ok = qm_forward(d->search->draft, &a, 1, err) &&
             generation_choose(&guess, d->logits, d->search->sequence, &d->work, &out[n], err);
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

static bool drafter_new(Drafter *d, const Search *s, const GenerationConfig *c, Err *err) {
    *d = (Drafter){.search = s, .count = s->draft ? c->num_assistant_tokens : c->prompt_lookup_num_tokens};
    if (!s->draft) return true;
    int64_t vocab = qm_engine_info(s->draft)->vocab;
    return (d->session = qm_session_new(s->draft, err)) && sample_work_new(&d->work, vocab, err) &&
           (d->logits = mem_new((size_t)vocab, sizeof *d->logits, "draft logits", err));
}

/* One round: the tokens that the cache lacks and the guesses in one step; then choices, as long as they agree. */
static bool round_run(Search *s, Drafter *d, QmSession *session, Generation *g, float *logits, Err *err) {
    int32_t guess[MAX_DRAFT], *tokens;
    int64_t fed = qm_session_length(session), lack = g->count - fed, vocab = s->work.vocab, right = 0;
    int64_t n = guesses(d, g, guess, err);
    if (n < 0 || !(tokens = mem_new((size_t)(lack + n), sizeof *tokens, "draft", err))) return false;
    memcpy(tokens, g->ids + fed, (size_t)lack * sizeof *tokens);
    memcpy(tokens + lack, guess, (size_t)n * sizeof *tokens);
    QmAppend a = {.session = session, .tokens = tokens, .count = lack + n, .logits_from = n + 1, .logits = logits};
    bool ok = qm_forward(s->engine, &a, 1, err);
    for (int64_t i = 0; ok && i <= n && !g->finish; i++) {
        const char *text;
        size_t bytes;
        int32_t id;
        float *row = logits + i * vocab;
        if (s->emit) memcpy(logits + (MAX_DRAFT + 1) * vocab, row, (size_t)vocab * sizeof *row);
        ok = generation_choose(g, row, s->sequence, &s->work, &id, err) && generation_push(g, id, &text, &bytes, err) &&
             (!s->emit || s->emit(s->context, logits + (MAX_DRAFT + 1) * vocab, vocab, text, bytes, err));
        if (i == n || id != guess[i]) break;
        right++;
    }
    free(tokens);
    s->drafted += n;
    s->accepted += right;
    int64_t holds = g->finish ? qm_session_length(session) : g->count - 1;
    ok = ok && (qm_session_length(session) <= holds || qm_session_crop(session, holds, err));
    return ok && drafter_learn(d, g, n, right, err);
}

bool assisted_generate(Search *s, Generation *g, Err *err) {
    Drafter d = {0};
    float *logits = mem_new((size_t)((MAX_DRAFT + 2) * s->work.vocab), sizeof *logits, "logits of drafts", err);
    QmSession *session = qm_session_new(s->engine, err);
    bool ok = logits && session && drafter_new(&d, s, &g->config, err);
    generation_fit(g, s->engine);
    while (ok && !g->finish) ok = round_run(s, &d, session, g, logits, err);
    qm_session_free(session);
    qm_session_free(d.session);
    sample_work_free(&d.work);
    free(d.logits);
    free(d.repeats);
    free(logits);
    return ok;
}
