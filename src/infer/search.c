/* search.c: which search a request asks for, and several samples of one prompt. */
#include "search.h"
#include <stdlib.h>

bool search_new(Search *s, QmEngine *engine, QmEngine *draft, Err *err) {
    int64_t vocab = qm_engine_info(engine)->vocab;
    *s = (Search){.engine = engine, .draft = draft};
    if (draft && qm_engine_info(draft)->vocab != vocab)
        return err_set(err, "draft model: expected a vocabulary of %lld, as the model's, got %lld", (long long)vocab,
                       (long long)qm_engine_info(draft)->vocab);
    return sample_work_new(&s->work, vocab, err);
}

void search_free(Search *s) { sample_work_free(&s->work); }

void sequences_free(Sequences *s) {
    for (int64_t i = 0; i < s->count; i++) generation_free(&s->list[i]);
    free(s->list);
    *s = (Sequences){0};
}

static int64_t samples_of(const GenerationConfig *c) {
    return c->best_of > c->num_return_sequences ? c->best_of : c->num_return_sequences;
}

static bool is_contrastive(const GenerationConfig *c) {
    return c->penalty_alpha > 0 && c->top_k > 1 && generation_greedy(c) && c->num_beams == 1;
}

bool search_wanted(const GenerationConfig *c, bool draft) {
    return c->num_beams > 1 || samples_of(c) > 1 || is_contrastive(c) || c->prompt_lookup_num_tokens > 0 || draft;
}

int64_t search_slots(const GenerationConfig *c) {
    return c->num_beams > 1 ? c->num_beams : is_contrastive(c) ? c->top_k : samples_of(c) > 1 ? 2 : 1;
}

bool search_hidden(const GenerationConfig *c) { return is_contrastive(c); }

void generation_fit(Generation *g, const QmEngine *engine) {
    int64_t room = qm_engine_info((QmEngine *)(uintptr_t)engine)->context - g->prompt + 1;
    if (g->config.max_new_tokens > room) g->config.max_new_tokens = room;
}

static bool assisted_one(Search *s, const Generation *start, Sequences *out, Err *err) {
    if (!(out->list = mem_new(1, sizeof *out->list, "sequences", err))) return false;
    out->count = 1;
    return generation_copy(out->list, start, err) && assisted_generate(s, out->list, err);
}

/* Nothing was to be generated: as many empty ends as sequences were asked for. */
static bool nothing(const Generation *start, Sequences *out, Err *err) {
    int64_t n = start->config.num_return_sequences;
    if (!(out->list = mem_new((size_t)n, sizeof *out->list, "sequences", err))) return false;
    while (out->count < n)
        if (!generation_copy(&out->list[out->count++], start, err)) return false;
    return true;
}

static bool run_kind(Search *s, const Generation *start, Sequences *out, Err *err) {
    const GenerationConfig *c = &start->config;
    if (start->finish) return nothing(start, out, err);
    if (c->num_beams > 1) return beam_search(s, start, out, err);
    if (samples_of(c) > 1) return sample_several(s, start, out, err);
    if (is_contrastive(c)) return contrastive_search(s, start, out, err);
    return assisted_one(s, start, out, err);
}

bool search_run(Search *s, const Generation *start, Sequences *out, Err *err) {
    int64_t slots = qm_engine_info(s->engine)->slots, need = search_slots(&start->config);
    *out = (Sequences){0};
    s->invalid = false;
    if (need > slots)
        return err_set(err, "this search runs %lld sequences at once: expected --slots of as many, got %lld",
                       (long long)need, (long long)slots);
    bool ok = run_kind(s, start, out, err);
    for (int64_t i = 0; ok && i < out->count; i++)
        if (!(ok = generation_sound(&out->list[i], err))) s->invalid = true;
    return ok;
}

/* ---- Several samples --------------------------------------------------------------------------------------------- */

static int by_score(const void *a, const void *b) {
    double x = ((const Generation *)a)->score, y = ((const Generation *)b)->score;
    return (x < y) - (x > y);
}

/* A wave of samples that start from the prompt in `root`: their sessions are copies of it. */
static bool wave_run(Search *s, QmSession *root, const float *first, Generation *g, int64_t from, int64_t count,
                     float *logits, QmAppend *entry, Err *err) {
    int64_t vocab = s->work.vocab, open = 0;
    QmSession *session[MAX_BEAMS] = {0};
    bool ok = true;
    for (; ok && open < count; open++) {
        ok = (session[open] = qm_session_new(s->engine, err)) &&
             qm_session_copy(session[open], root, qm_session_length(root), err);
        for (int64_t v = 0; v < vocab; v++) logits[open * vocab + v] = first[v];
    }
    for (int running = 1; ok && running;) {
        running = 0;
        for (int64_t i = 0; ok && i < count; i++) { /* row i of the logits is sample i's */
            const char *text;
            size_t bytes;
            int32_t id;
            if (g[i].finish) continue;
            ok = generation_choose(&g[i], logits + i * vocab, s->sequence + ((uint64_t)(from + i) << 40), &s->work,
                                   &id, err) &&
                 generation_push(&g[i], id, &text, &bytes, err);
            if (!ok || g[i].finish) continue;
            entry[running++] = (QmAppend){.session = session[i], .tokens = &g[i].ids[g[i].count - 1], .count = 1,
                                          .logits_from = 1, .logits = logits + i * vocab};
        }
        ok = ok && (!running || qm_forward(s->engine, entry, running, err));
    }
    for (int64_t i = 0; i < count; i++) qm_session_free(session[i]);
    return ok;
}

/* Samples by number, the prompt fed once; the best by mean log-probability (best_of of OpenAI's interface). Sample 0 is
 * what the request would give alone. */
bool sample_several(Search *s, const Generation *start, Sequences *out, Err *err) {
    int64_t n = samples_of(&start->config), keep = start->config.num_return_sequences, vocab = s->work.vocab;
    int64_t wave = qm_engine_info(s->engine)->slots - 1 < n ? qm_engine_info(s->engine)->slots - 1 : n;
    if (wave > MAX_BEAMS) wave = MAX_BEAMS;
    QmSession *root = qm_session_new(s->engine, err);
    float *first = mem_new((size_t)vocab, sizeof *first, "logits", err);
    float *logits = mem_new((size_t)(wave * vocab), sizeof *logits, "logits", err);
    QmAppend *entry = mem_new((size_t)wave, sizeof *entry, "samples", err);
    QmAppend prompt = {
        .session = root, .tokens = start->ids, .count = start->prompt, .logits_from = 1, .logits = first};
    bool ok = root && first && logits && entry &&
              (out->list = mem_new((size_t)n, sizeof *out->list, "sequences", err)) &&
              qm_forward(s->engine, &prompt, 1, err);
    for (int64_t i = 0; ok && i < n; i++) {
        ok = generation_copy(&out->list[out->count++], start, err);
        generation_fit(&out->list[i], s->engine);
    }
    for (int64_t i = 0; ok && i < n; i += wave)
        ok = wave_run(s, root, first, out->list + i, i, n - i < wave ? n - i : wave, logits, entry, err);
    for (int64_t i = 0; i < out->count; i++) {
        Generation *g = &out->list[i];
        g->score = g->count > g->prompt ? g->logprob_sum / (double)(g->count - g->prompt) : 0;
    }
    if (ok) qsort(out->list, (size_t)n, sizeof *out->list, by_score);
    while (out->count > keep) generation_free(&out->list[--out->count]);
    qm_session_free(root);
    free(first);
    free(logits);
    free(entry);
    return ok;
}
