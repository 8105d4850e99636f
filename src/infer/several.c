/* several.c: several samples of one prompt, which is fed once: the best by mean log-probability (best_of of OpenAI's
 * interface). Sample 0 is what the request would give alone. They run in waves of as many as there are slots for, each
 * in a copy of the prompt's cache. */
#include <stdlib.h>
#include <string.h>
#include "search.h"

typedef struct Several {
    int64_t begun;   /* samples of all waves so far: those of the one under way end there */
    int64_t wave;    /* the first of them                                                 */
    float *first;    /* [vocab] after the prompt                                          */
    float *logits;   /* [wave][vocab] row i is that of sample wave + i                    */
    bool fed;        /* the prompt is                                                     */
} Several;

static int64_t samples_of(const GenerationConfig *c) {
    return c->best_of > c->num_return_sequences ? c->best_of : c->num_return_sequences;
}
static bool applies(const GenerationConfig *c, bool draft) { return (void)draft, samples_of(c) > 1; }
static int64_t slots(const GenerationConfig *c) { return (void)c, 2; }
static int64_t most(const GenerationConfig *c) { return samples_of(c) < MAX_BEAMS ? samples_of(c) + 1 : MAX_BEAMS + 1; }

/* The next wave: copies of the prompt in sessions 1, 2, ... */
static bool wave_begin(Request *r, Several *s, Err *err) {
    int64_t n = r->found.count - s->begun, vocab = r->search->work.vocab;
    if (n > r->sessions - 1) n = r->sessions - 1;
    s->wave = s->begun;
    s->begun += n;
    for (int64_t i = 0; i < n; i++) {
        if (!qm_session_copy(r->session[i + 1], r->session[0], r->g.prompt, err)) return false;
        memcpy(s->logits + i * vocab, s->first, (size_t)vocab * sizeof *s->first);
    }
    return true;
}

static bool choose(Request *r, Several *s, int64_t at, Err *err) {
    Generation *g = &r->found.list[at];
    const char *text;
    size_t bytes;
    int32_t id;
    if (!r->first) r->first = clock_seconds();
    return generation_choose(g, s->logits + (at - s->wave) * r->search->work.vocab,
                             r->sequence + ((uint64_t)at << 40), &r->search->work, &id, err) &&
           generation_push(g, id, &text, &bytes, err);
}

static bool choose_all(Request *r, Several *s, Err *err) {
    for (;;) {
        bool going = false;
        for (int64_t i = s->wave; i < s->begun; i++) {
            if (r->found.list[i].finish) continue;
            if (!choose(r, s, i, err)) return false;
            going = going || !r->found.list[i].finish;
        }
        if (going) return true;
        if (s->begun == r->found.count) return r->over = true;
        if (!wave_begin(r, s, err)) return false;
    }
}

static bool plan(Request *r, StepPlan *p, Err *err) {
    Several *s = r->state;
    int64_t vocab = r->search->work.vocab, from = qm_session_length(r->session[0]), n = samples_of(&r->g.config);
    if (!s->first && !(s->first = mem_new((size_t)vocab, sizeof *s->first, "logits", err))) return false;
    if (!s->logits &&
        !(s->logits = mem_new((size_t)((r->sessions - 1) * vocab), sizeof *s->logits, "logits", err)))
        return false;
    if (!r->found.list && !(r->found.list = mem_new((size_t)n, sizeof *r->found.list, "sequences", err))) return false;
    while (r->found.count < n)
        if (!generation_copy(&r->found.list[r->found.count++], &r->g, err)) return false;
    if (!s->fed)
        plan_add(p, (QmAppend){.session = r->session[0], .tokens = r->g.ids + from, .count = r->g.prompt - from,
                               .rope_length = r->g.prompt, .logits_from = 1, .logits = s->first});
    for (int64_t i = s->wave; s->fed && i < s->begun; i++) {
        const Generation *g = &r->found.list[i];
        if (g->finish) continue;
        plan_add(p, (QmAppend){.session = r->session[i - s->wave + 1], .tokens = &g->ids[g->count - 1], .count = 1,
                               .logits_from = 1, .logits = s->logits + (i - s->wave) * vocab});
    }
    return true;
}

static bool advance(Request *r, Err *err) {
    Several *s = r->state;
    if (!s->fed && !wave_begin(r, s, err)) return false;
    s->fed = true;
    return choose_all(r, s, err);
}

static int by_score(const void *a, const void *b) {
    double x = ((const Generation *)a)->score, y = ((const Generation *)b)->score;
    return (x < y) - (x > y);
}

static bool end(Request *r, Err *err) {
    (void)err;
    for (int64_t i = 0; i < r->found.count; i++) {
        Generation *g = &r->found.list[i];
        g->score = g->count > g->prompt ? g->logprob_sum / (double)(g->count - g->prompt) : 0;
    }
    qsort(r->found.list, (size_t)r->found.count, sizeof *r->found.list, by_score);
    while (r->found.count > r->g.config.num_return_sequences) generation_free(&r->found.list[--r->found.count]);
    return true;
}

static void state_free(Request *r) {
    Several *s = r->state;
    free(s->first);
    free(s->logits);
}

const SearchRow samples_row = {.name = "several samples", .applies = applies, .slots = slots, .most = most,
                               .bytes = sizeof(Several), .partial = true, .plan = plan, .advance = advance, .end = end,
                               .free = state_free};
