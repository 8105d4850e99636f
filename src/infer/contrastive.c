/* contrastive.c: contrastive search (Su et al. 2022): among the top_k likeliest tokens v the one with the largest
 *     (1 - alpha) p(v) - alpha max over earlier positions j of cos(h_v, h_j),
 * h the hidden state after the final norm. Every session holds the same context; a step feeds each of them the token
 * chosen last and one candidate, and then forgets the candidate: nothing is copied. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "choice.h"
#include "search.h"

enum { CHUNK = 128 }; /* of the prompt, whose hidden states of all layers come at once */

typedef struct Contrast {
    Search *search;
    QmSession **session;      /* [k]                                                */
    int64_t k, layers, width;
    float *hidden;            /* of one entry: [layers + 1][rows][width]            */
    float *context;           /* [positions][width] unit vectors                    */
    size_t context_capacity;
    int64_t positions;
    float *logits;            /* [k][vocab] after each candidate                    */
    float *next;              /* [vocab] after the chosen one                       */
    float *raw;               /* [vocab] the same before processors                 */
    struct Choice *choice;    /* [k]                                                */
    QmAppend *entry;          /* those of the step under way                        */
    int64_t choices, lack;    /* of it; lack: tokens chosen that the caches are without, 0 or 1 */
    bool fed;                 /* the prompt is                                      */
    bool kept;                /* in `raw`, while `next` has been processed          */
} Contrast;

static void unit(const float *from, float *to, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)from[i] * (double)from[i];
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * scale;
}

static bool context_add(Contrast *t, const float *hidden, Err *err) {
    if (!mem_grow((void **)&t->context, &t->context_capacity, (size_t)((t->positions + 1) * t->width),
                  sizeof *t->context, "hidden states", err))
        return false;
    unit(hidden, t->context + t->positions++ * t->width, t->width);
    return true;
}

static float *last_layer(const Contrast *t, float *hidden, int64_t rows) {
    return hidden + t->layers * rows * t->width;
}

/* The next piece of the prompt, into the first session. */
static void prompt_plan(Contrast *t, const Generation *g, StepPlan *p) {
    int64_t from = qm_session_length(t->session[0]), rows = g->prompt - from < CHUNK ? g->prompt - from : CHUNK;
    t->entry = plan_add(p, (QmAppend){.session = t->session[0], .tokens = g->ids + from, .count = rows,
                                      .rope_length = g->prompt, .logits_from = from + rows == g->prompt,
                                      .logits = t->next, .hidden = t->hidden});
}

/* Its hidden states; at its end the other sessions copy it. */
static bool prompt_advance(Contrast *t, const Generation *g, Err *err) {
    int64_t rows = t->entry->count;
    for (int64_t r = 0; r < rows; r++)
        if (!context_add(t, last_layer(t, t->hidden, rows) + r * t->width, err)) return false;
    if (t->positions < g->prompt) return true;
    for (int64_t i = 1; i < t->k; i++)
        if (!qm_session_copy(t->session[i], t->session[0], g->prompt, err)) return false;
    return t->fed = true;
}

typedef struct Choice { int32_t id, fed[2]; double p; } Choice; /* fed: the token before it, if the cache lacks that */

/* The k likeliest tokens after the processors, with their probabilities. */
static int64_t choices_of(Contrast *t, Generation *g, Choice *out) {
    SampleWork *w = &t->search->work;
    Scores s = {.value = t->next, .id = w->id, .count = w->vocab, .all = true};
    ProcessorCall call = {.config = &g->config,
                          .ids = g->ids,
                          .count = g->count,
                          .prompt = g->prompt,
                          .scores = &s,
                          .work = w,
                          .matcher = g->matcher,
                          .state = g->state,
                          .fault = &g->fault};
    processors_run(&call, false);
    int64_t best = scores_best(&s, w), n = 0;
    if (best < 0) return 0;
    double total = scores_weights(s.value, s.count, s.value[best], w, w->key, NULL);
    float least = select_largest(s.value, s.count, t->k, w);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < s.count && n < t->k; i++)
            if (s.value[i] > -INFINITY && (pass ? s.value[i] == least : s.value[i] > least))
                out[n++] = (Choice){.id = scores_id(&s, i), .p = (double)w->key[i] / total};
    return n;
}

/* The largest cosine with what came before. */
static double likeness(const Contrast *t, const float *h) {
    double most = -1;
    for (int64_t j = 0; j < t->positions; j++) {
        double dot = 0;
        for (int64_t i = 0; i < t->width; i++) dot += (double)t->context[j * t->width + i] * (double)h[i];
        if (dot > most) most = dot;
    }
    return most;
}

/* The log-probability of what is chosen from t->next, if it is wanted, before that row is overwritten. */
static bool tell(Contrast *t, Generation *g, const float *logits, int32_t id, Err *err) {
    SampleWork *w = &t->search->work;
    proof_add(g->proof, logits, w->vocab);
    return g->config.logprobs < 0 || generation_tell(g, logits, log_total(logits, w), id, w, err);
}

/* The candidates of the next token, one a session; without room to look ahead the likeliest is the last. */
static bool candidates_plan(Request *r, Contrast *t, StepPlan *p, Err *err) {
    Generation *g = &r->g;
    Choice *choice = t->choice;
    int64_t vocab = t->search->work.vocab, stride = (t->layers + 1) * 2 * t->width;
    if (!g->config.remove_invalid_values && !logits_sound(t->kept ? t->raw : t->next, vocab))
        return request_push(r, TOKEN_INVALID, err);
    if (t->kept) memcpy(t->next, t->raw, (size_t)vocab * sizeof *t->raw); /* the step failed: once more */
    else memcpy(t->raw, t->next, (size_t)vocab * sizeof *t->raw);
    t->kept = true;
    int64_t n = choices_of(t, g, choice);
    t->choices = n;
    t->lack = g->count - qm_session_length(t->session[0]);
    if (n == 0) return request_push(r, TOKEN_NONE, err);
    if (g->count >= qm_engine_info(t->search->engine)->context)
        return tell(t, g, t->raw, choice->id, err) && request_push(r, choice->id, err);
    t->entry = p->entry + p->count;
    for (int64_t i = 0; i < n; i++) { /* lack is 0 after the prompt, then 1 */
        if (t->lack) choice[i].fed[0] = g->ids[g->count - 1];
        choice[i].fed[t->lack] = choice[i].id;
        plan_add(p, (QmAppend){.session = t->session[i], .tokens = choice[i].fed, .count = t->lack + 1,
                               .logits_from = 1, .logits = t->logits + i * vocab, .hidden = t->hidden + i * stride});
    }
    for (int64_t i = n; t->lack && i < t->k; i++) /* fewer tokens than sessions were allowed: the others keep up */
        plan_add(p, (QmAppend){.session = t->session[i], .tokens = &g->ids[g->count - 1], .count = 1});
    return true;
}

static bool candidates_advance(Request *r, Contrast *t, Err *err) {
    Generation *g = &r->g;
    Choice *choice = t->choice;
    double best_score = -INFINITY, alpha = g->config.penalty_alpha;
    int64_t best = 0, rows = t->lack + 1, vocab = t->search->work.vocab;
    float *h = t->hidden + t->k * (t->layers + 1) * 2 * t->width;
    for (int64_t i = 0; i < t->choices; i++) {
        unit(last_layer(t, t->entry[i].hidden, rows) + t->lack * t->width, h, t->width);
        double score = (1 - alpha) * choice[i].p - alpha * likeness(t, h);
        if (score > best_score) best = i, best_score = score;
    }
    if (!context_add(t, last_layer(t, t->entry[best].hidden, rows) + t->lack * t->width, err) ||
        !tell(t, g, t->raw, choice[best].id, err))
        return false;
    memcpy(t->next, t->entry[best].logits, (size_t)vocab * sizeof *t->next);
    t->kept = false;
    for (int64_t i = 0; i < t->k; i++)
        if (!qm_session_crop(t->session[i], g->count, err)) return false;
    return request_push(r, choice[best].id, err);
}

static bool begin(Request *r, Contrast *t, Err *err) {
    const QmModelInfo *info = qm_engine_info(r->search->engine);
    int64_t k = r->g.config.top_k, layers = info->layers, width = info->hidden;
    int64_t rows = CHUNK > 2 * k + 1 ? CHUNK : 2 * k + 1;
    t->search = r->search;
    t->session = r->session;
    t->layers = layers;
    t->width = width;
    t->hidden = mem_new((size_t)((layers + 1) * rows * width), sizeof(float), "hidden states", err);
    t->logits = mem_new((size_t)(k * info->vocab), sizeof(float), "logits", err);
    t->next = mem_new((size_t)info->vocab, sizeof(float), "logits", err);
    t->raw = mem_new((size_t)info->vocab, sizeof(float), "logits", err);
    t->choice = mem_new((size_t)k, sizeof *t->choice, "choices", err);
    t->k = k;
    return t->hidden && t->logits && t->next && t->raw && t->choice;
}

static bool plan(Request *r, StepPlan *p, Err *err) {
    Contrast *t = r->state;
    if (!t->k && !begin(r, t, err)) return false;
    if (t->fed) return candidates_plan(r, t, p, err);
    prompt_plan(t, &r->g, p);
    return true;
}

static bool advance(Request *r, Err *err) {
    Contrast *t = r->state;
    return t->fed ? candidates_advance(r, t, err) : prompt_advance(t, &r->g, err);
}

static void state_free(Request *r) {
    Contrast *t = r->state;
    free(t->hidden);
    free(t->context);
    free(t->logits);
    free(t->next);
    free(t->raw);
    free(t->choice);
}

static bool applies(const GenerationConfig *c, bool draft) {
    (void)draft;
    return c->penalty_alpha > 0 && c->top_k > 1 && generation_greedy(c) && c->num_beams == 1;
}
static int64_t slots(const GenerationConfig *c) { return c->top_k; }

const SearchRow contrastive_row = {.name = "contrastive", .applies = applies, .slots = slots, .hidden = true,
                                   .bytes = sizeof(Contrast), .plan = plan, .advance = advance, .free = state_free};
