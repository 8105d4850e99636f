/* beam.c: beam search as in Hugging Face's _beam_search: every step extends all running beams by all tokens and keeps
 * the best by the sum of their log-probabilities; those that end are ranked by sum / length^length_penalty. With
 * do_sample the continuations are drawn without replacement instead: the largest of log p + Gumbel noise (Kool et al.
 * 2019). Groups of beams search one after another in a step, each away from what the earlier ones chose (Vijayakumar et
 * al. 2016). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "choice.h"
#include "search.h"

typedef struct Beam {
    Generation g;
    QmSession *session;
    float sum;                /* of log-probabilities                              */
    const float *logits;      /* [vocab] after its last token                      */
    double total;             /* log_total of them                                 */
} Beam;

/* One way on: a beam and a token. */
typedef struct Candidate { int beam; int32_t id; float sum, key; } Candidate; /* key: what the order goes by */

typedef struct Group {
    Beam *beam;               /* [size] running, best first                        */
    Beam *next;               /* [size] those of the step under way                */
    int count;
    Generation *finished;     /* [size + 1] best first                             */
    int finished_count;
    QmSession **idle;         /* [size] sessions that no beam has                  */
    int idle_count;
    bool hopeful;             /* a running beam may yet beat the finished          */
    bool done;
} Group;

typedef struct BeamSearch {
    Search *search;
    Request *request;
    GenerationConfig config;  /* a view of the start's, with what sampled beams need */
    int groups, size;         /* size: beams of a group                            */
    int64_t keep;             /* candidates of a step of a group                   */
    Group *group;
    float *logits;            /* [groups * size][vocab]                            */
    Candidate *candidate;     /* [keep + size * keep]                              */
    Candidate *order;
    int32_t *rivals;          /* [groups * size]                                   */
    int64_t rival_count;
    bool fed;                 /* the prompt is                                     */
} BeamSearch;

/* ---- Candidates -------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? 1 : -1;
    if (x->beam != y->beam) return x->beam - y->beam;
    return (x->id > y->id) - (x->id < y->id);
}

/* The scores of a beam: log softmax, then every processor; log-probabilities of all that goes on from it. */
static void beam_scores(BeamSearch *b, Beam *beam, float *value, Scores *scores) {
    SampleWork *w = &b->search->work;
    beam->total = log_total(beam->logits, w);
    proof_add(beam->g.proof, beam->logits, w->vocab);
    for (int64_t v = 0; v < w->vocab; v++) value[v] = (float)((double)beam->logits[v] - beam->total);
    *scores = (Scores){.value = value, .id = w->id, .count = w->vocab, .all = true};
    ProcessorCall call = {.config = &b->config, .ids = beam->g.ids, .count = beam->g.count, .prompt = beam->g.prompt,
                          .rivals = b->rivals, .rival_count = b->rival_count, .scores = scores, .work = w,
                          .matcher = beam->g.matcher, .state = beam->g.state, .fault = &beam->g.fault};
    processors_run(&call, !generation_greedy(&b->config));
}

/* Adds the `keep` best candidates of one beam; it has sound logits. */
static int64_t beam_candidates(BeamSearch *b, const Group *group, int at, Candidate *out) {
    Beam *beam = &group->beam[at];
    SampleWork *w = &b->search->work;
    Scores s;
    int64_t n = 0;
    beam_scores(b, beam, w->raw, &s);
    bool sampled = !generation_greedy(&b->config);
    for (int64_t i = 0; i < s.count; i++) {
        w->key[i] = beam->sum + s.value[i];
        if (!sampled || !(s.value[i] > -INFINITY)) continue;
        uint64_t place = (uint64_t)at << 32 | (uint32_t)scores_id(&s, i);
        double u = draw_uniform((uint64_t)b->config.seed ^ place * 0x9e3779b97f4a7c15u, b->request->sequence,
                                (uint64_t)beam->g.count);
        w->key[i] -= (float)log(-log(u > 0 ? u : 0x1p-54));
    }
    float least = select_largest(w->key, s.count, b->keep, w);
    for (int pass = 0; pass < 2; pass++) /* first what is above the least, then ties with it, as far as there is room */
        for (int64_t i = 0; i < s.count && n < b->keep; i++)
            if (s.value[i] > -INFINITY && (pass ? w->key[i] == least : w->key[i] > least))
                out[n++] = (Candidate){at, scores_id(&s, i), beam->sum + s.value[i], w->key[i]};
    return n;
}

/* -1 and an error when a beam's logits are not numbers, or memory ends. */
static int64_t group_candidates(BeamSearch *b, const Group *group, Err *err) {
    int64_t n = 0;
    for (int at = 0; at < group->count; at++) {
        const Generation *g = &group->beam[at].g;
        if (!b->config.remove_invalid_values && !logits_sound(group->beam[at].logits, b->search->work.vocab)) {
            b->request->invalid = true;
            return logits_invalid(g->count - g->prompt, g->count, err), -1;
        }
        n += beam_candidates(b, group, at, b->candidate + n);
        if (!generation_has_memory(g, err)) return -1;
    }
    qsort(b->candidate, (size_t)n, sizeof *b->candidate, by_key);
    return n < b->keep ? n : b->keep;
}

/* ---- One step of a group ----------------------------------------------------------------------------------------- */

/* A generation that goes on from a beam with one more token. */
static bool beam_extend(BeamSearch *b, const Beam *beam, int32_t id, Generation *out, Err *err) {
    const char *text;
    size_t bytes;
    return generation_copy(out, &beam->g, err) &&
           (out->config.logprobs < 0 ||
            generation_tell(out, beam->logits, beam->total, id, &b->search->work, err)) &&
           generation_push(out, id, &text, &bytes, err);
}

/* A finished sequence takes its place among the best `size`. */
static bool group_finish(BeamSearch *b, Group *group, const Candidate *c, Err *err) {
    const Generation *from = &group->beam[c->beam].g;
    double length = (double)(from->count + 1 - from->prompt),
           score = (double)c->sum / pow(length, b->config.length_penalty);
    int at = group->finished_count;
    const char *text;
    size_t bytes;
    if (at == b->size && score <= group->finished[at - 1].score) return true;
    Generation g = {0};
    if (!beam_extend(b, &group->beam[c->beam], c->id, &g, err)) {
        generation_free(&g);
        return false;
    }
    if (!g.finish) generation_end(&g, "time", &text, &bytes);
    g.score = score;
    for (; at > 0 && group->finished[at - 1].score < score; at--) group->finished[at] = group->finished[at - 1];
    group->finished[at] = g;
    if (++group->finished_count > b->size) generation_free(&group->finished[--group->finished_count]);
    return true;
}

/* Moves on to the chosen candidates. The first child of a beam inherits its session, the others copy it into idle
 * ones. */
static bool group_advance(BeamSearch *b, Group *group, const Candidate *chosen, int count, Err *err) {
    Beam *next = group->next;
    bool taken[MAX_BEAMS] = {0}, ok = true;
    memset(next, 0, (size_t)count * sizeof *next);
    for (int i = 0; ok && i < count; i++) {
        next[i].sum = chosen[i].sum;
        ok = beam_extend(b, &group->beam[chosen[i].beam], chosen[i].id, &next[i].g, err);
    }
    for (int i = 0; i < count; i++)
        if (!taken[chosen[i].beam]) {
            taken[chosen[i].beam] = true;
            next[i].session = group->beam[chosen[i].beam].session;
        }
    for (int i = 0; i < group->count; i++)
        if (!taken[i]) group->idle[group->idle_count++] = group->beam[i].session;
    for (int i = 0; i < count; i++) {
        const QmSession *from = group->beam[chosen[i].beam].session;
        if (next[i].session) continue;
        next[i].session = group->idle[--group->idle_count];
        ok = ok && qm_session_copy(next[i].session, from, qm_session_length(from), err);
    }
    for (int i = 0; i < group->count; i++) generation_free(&group->beam[i].g);
    group->next = group->beam;
    group->beam = next;
    group->count = count;
    return ok;
}

/* Whether the best running beam may still end better than the worst of a full list: by its score now, or with "never"
 * by the score it would have at the longest. */
static bool group_hopeful(const BeamSearch *b, const Group *group) {
    if (group->finished_count < b->size) return true;
    const Generation *g = &group->beam[0].g;
    bool longest = b->config.early_stopping == STOP_NEVER && b->config.length_penalty > 0;
    double length = (double)(longest ? b->config.max_new_tokens : g->count - g->prompt);
    return (double)group->beam[0].sum / pow(length, b->config.length_penalty) >
           group->finished[group->finished_count - 1].score;
}

static int by_sum(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->sum != y->sum) return x->sum < y->sum ? 1 : -1;
    return by_key(a, b);
}

static bool is_eos(const BeamSearch *b, int32_t id) {
    for (int i = 0; i < b->config.eos_count; i++)
        if (b->config.eos[i] == id) return true;
    return false;
}

/* Groups that come later in the step are kept from the first `size` tokens that end nothing by themselves, also where
 * the length ends all of them; a group that is done says the padding id. */
static void group_tell(BeamSearch *b, const Group *group, int64_t n) {
    int told = 0;
    for (int64_t i = 0; !group->done && i < n && told < b->size; i++)
        if (!is_eos(b, b->candidate[i].id)) b->rivals[b->rival_count + told++] = b->candidate[i].id;
    int32_t pad = b->config.pad >= 0 ? b->config.pad : b->config.eos_count ? b->config.eos[0] : -1;
    for (; group->done && pad >= 0 && told < b->size; told++) b->rivals[b->rival_count + told] = pad;
    b->rival_count += told;
}

/* The last token of a group among several: its ends by id come first, and may fill the list so that early stopping
 * leaves out what only the length ends (BeamSearchScorer.process, then finalize). */
static bool group_last(BeamSearch *b, Group *group, int64_t n, Err *err) {
    bool early = b->config.early_stopping == STOP_EARLY, full = early && group->finished_count == b->size;
    group->done = true;
    if (!group->hopeful || full) return true;
    for (int64_t i = 0; i < n && i < b->size; i++)
        if (is_eos(b, b->candidate[i].id) && !group_finish(b, group, &b->candidate[i], err)) return false;
    if (early && group->finished_count == b->size) return true;
    int left = b->size;
    for (int64_t i = 0; i < n && left > 0; i++)
        if (!is_eos(b, b->candidate[i].id) && left-- && !group_finish(b, group, &b->candidate[i], err)) return false;
    return true;
}

static bool group_step(BeamSearch *b, Group *group, Err *err) {
    int64_t n = group_candidates(b, group, err), going = 0;
    bool early = b->config.early_stopping == STOP_EARLY;
    bool open = group->hopeful && !(early && group->finished_count == b->size); /* for all of this step */
    if (n < 0) return false;
    group_tell(b, group, n);
    if (b->groups > 1 && group->beam[0].g.count - group->beam[0].g.prompt + 1 >= b->config.max_new_tokens)
        return group_last(b, group, n, err);
    for (int64_t i = 0; i < n; i++) {
        const Candidate *c = &b->candidate[i];
        int ends = generation_ends_with(&group->beam[c->beam].g, c->id, err);
        if (ends < 0) return false;
        if (!ends) b->order[going++] = *c;
        else if (i < b->size && open && !group_finish(b, group, c, err)) return false;
    }
    qsort(b->order, (size_t)going, sizeof *b->order, by_sum);
    if (going > b->size) going = b->size;
    if (going == 0) return group->done = true;
    if (!group_advance(b, group, b->order, (int)going, err)) return false;
    group->hopeful = group->hopeful && group_hopeful(b, group);
    group->done = !group->hopeful || (early && group->finished_count == b->size);
    return true;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* Every group begins with one beam, the prompt, which was fed once: into session 0, the first group's. */
static bool groups_start(BeamSearch *b, Err *err) {
    const Request *r = b->request;
    for (int k = 0; k < b->groups; k++) {
        Group *group = &b->group[k];
        group->hopeful = true;
        group->beam = mem_new((size_t)b->size, sizeof *group->beam, "beams", err);
        group->next = mem_new((size_t)b->size, sizeof *group->next, "beams", err);
        group->finished = mem_new((size_t)b->size + 1, sizeof *group->finished, "beams", err);
        group->idle = mem_new((size_t)b->size, sizeof *group->idle, "beams", err);
        if (!group->beam || !group->next || !group->finished || !group->idle) return false;
        for (int i = b->size - 1; i > 0; i--) group->idle[group->idle_count++] = r->session[k * b->size + i];
        group->count = 1;
        group->beam[0].session = r->session[k * b->size];
        group->beam[0].logits = b->logits;
        if (!generation_copy(&group->beam[0].g, &r->g, err)) return false;
        if (k > 0 && !qm_session_copy(group->beam[0].session, r->session[0], r->g.prompt, err)) return false;
    }
    return true;
}

static int by_score(const void *a, const void *b) {
    double x = ((const Generation *)a)->score, y = ((const Generation *)b)->score;
    return (x < y) - (x > y);
}

/* The best of what finished; a group in which nothing did hands over its running beams: no token was allowed after
 * them. */
static bool groups_result(BeamSearch *b, Sequences *out, Err *err) {
    out->list = mem_new((size_t)(b->groups * b->size), sizeof *out->list, "sequences", err);
    if (!out->list) return false;
    for (int k = 0; k < b->groups; k++) {
        Group *group = &b->group[k];
        for (int i = 0; !group->finished_count && i < group->count; i++) {
            const char *text;
            size_t bytes;
            Generation *g = &group->beam[i].g;
            int64_t length = g->count > g->prompt ? g->count - g->prompt : 1;
            generation_end(g, "none_allowed", &text, &bytes);
            g->score = (double)group->beam[i].sum / pow((double)length, b->config.length_penalty);
            out->list[out->count++] = *g;
            *g = (Generation){0};
        }
        for (int i = 0; i < group->finished_count; i++) out->list[out->count++] = group->finished[i];
        group->finished_count = 0;
    }
    qsort(out->list, (size_t)out->count, sizeof *out->list, by_score);
    while (out->count > b->config.num_return_sequences) generation_free(&out->list[--out->count]);
    return true;
}

static void state_free(Request *r) {
    BeamSearch *b = r->state;
    for (int k = 0; b->group && k < b->groups; k++) {
        Group *group = &b->group[k];
        for (int i = 0; group->beam && i < group->count; i++) generation_free(&group->beam[i].g);
        for (int i = 0; i < group->finished_count; i++) generation_free(&group->finished[i]);
        free(group->beam);
        free(group->next);
        free(group->finished);
        free(group->idle);
    }
    free(b->group);
    free(b->logits);
    free(b->candidate);
    free(b->order);
    free(b->rivals);
}

static bool begin(Request *r, BeamSearch *b, Err *err) {
    const GenerationConfig *c = &r->g.config;
    int64_t ends = c->eos_count > 1 ? c->eos_count : 1, beams = c->num_beams;
    *b = (BeamSearch){.search = r->search, .request = r, .config = *c, .groups = (int)c->num_beam_groups,
                      .size = (int)(c->num_beams / c->num_beam_groups)};
    b->keep = (1 + ends) * b->size;
    if (!generation_greedy(c) && b->config.min_tokens_to_keep < 1 + ends) b->config.min_tokens_to_keep = 1 + ends;
    b->group = mem_new((size_t)b->groups, sizeof *b->group, "beams", err);
    b->logits = mem_new((size_t)(beams * r->search->work.vocab), sizeof *b->logits, "logits", err);
    b->candidate = mem_new((size_t)(b->keep * b->size), sizeof *b->candidate, "candidates", err);
    b->order = mem_new((size_t)b->keep, sizeof *b->order, "candidates", err);
    b->rivals = mem_new((size_t)beams, sizeof *b->rivals, "candidates", err);
    return b->group && b->logits && b->candidate && b->order && b->rivals;
}

/* The prompt; then the last token of every running beam, all groups together. */
static bool plan(Request *r, StepPlan *p, Err *err) {
    BeamSearch *b = r->state;
    int running = 0;
    if (!b->request && !begin(r, b, err)) return false;
    if (!b->fed) {
        int64_t from = qm_session_length(r->session[0]);
        plan_add(p, (QmAppend){.session = r->session[0], .tokens = r->g.ids + from, .count = r->g.prompt - from,
                               .rope_length = r->g.prompt, .logits_from = 1, .logits = b->logits});
    }
    for (int k = 0; b->fed && k < b->groups; k++)
        for (int i = 0; !b->group[k].done && i < b->group[k].count; i++) {
            Beam *beam = &b->group[k].beam[i];
            float *logits = b->logits + running++ * b->search->work.vocab;
            beam->logits = logits;
            plan_add(p, (QmAppend){.session = beam->session, .tokens = &beam->g.ids[beam->g.count - 1], .count = 1,
                                   .logits_from = 1, .logits = logits});
        }
    return true;
}

static bool advance(Request *r, Err *err) {
    BeamSearch *b = r->state;
    if (!b->fed && !groups_start(b, err)) return false;
    if (!b->fed) r->first = clock_seconds();
    b->fed = r->over = true;
    b->rival_count = 0;
    for (int k = 0; k < b->groups; k++) {
        if (b->group[k].done) group_tell(b, &b->group[k], 0);
        else if (!group_step(b, &b->group[k], err)) return false;
        r->over = r->over && b->group[k].done;
    }
    return true;
}

static bool end(Request *r, Err *err) { return groups_result(r->state, &r->found, err); }

static bool applies(const GenerationConfig *c, bool draft) { return (void)draft, c->num_beams > 1; }
static int64_t slots(const GenerationConfig *c) { return c->num_beams; }

const SearchRow beams_row = {.name = "beams", .applies = applies, .slots = slots, .bytes = sizeof(BeamSearch),
                             .plan = plan, .advance = advance, .end = end, .free = state_free};
