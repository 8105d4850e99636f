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
    int64_t k, layers, width;
    QmSession *session[MAX_BEAMS];
    float *hidden;            /* of one entry: [layers + 1][rows][width]            */
    float *context;           /* [positions][width] unit vectors                    */
    size_t context_capacity;
    int64_t positions;
    float *logits;            /* [k][vocab] after each candidate                    */
    float *next;              /* [vocab] after the chosen one                       */
    struct Choice *choice;    /* [k]                                                */
    QmAppend *entry;          /* [k]                                                */
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

/* The prompt into every session; its hidden states from the first. */
static bool prompt_feed(Contrast *t, const Generation *g, Err *err) {
    for (int64_t from = 0; from < g->prompt; from += CHUNK) {
        int64_t rows = g->prompt - from < CHUNK ? g->prompt - from : CHUNK;
        QmAppend a = {.session = t->session[0], .tokens = g->ids + from, .count = rows, .rope_length = g->prompt,
                      .logits_from = from + rows == g->prompt, .logits = t->next, .hidden = t->hidden};
        if (!qm_forward(t->search->engine, &a, 1, err)) return false;
        for (int64_t r = 0; r < rows; r++)
            if (!context_add(t, last_layer(t, t->hidden, rows) + r * t->width, err)) return false;
    }
    for (int64_t i = 1; i < t->k; i++)
        if (!qm_session_copy(t->session[i], t->session[0], g->prompt, err)) return false;
    return true;
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

static bool step(Contrast *t, Generation *g, Err *err) {
    Choice *choice = t->choice;
    QmAppend *entry = t->entry;
    SampleWork *w = &t->search->work;
    bool told = g->config.logprobs >= 0;
    const char *text;
    size_t bytes;
    if (!g->config.remove_invalid_values && !logits_sound(t->next, w->vocab))
        return generation_push(g, TOKEN_INVALID, &text, &bytes, err);
    double total = told ? log_total(t->next, w) : 0;
    if (told) memcpy(w->raw, t->next, (size_t)w->vocab * sizeof *w->raw);
    int64_t n = choices_of(t, g, choice), fed = qm_session_length(t->session[0]), lack = g->count - fed, best = 0;
    int64_t stride = (t->layers + 1) * 2 * t->width;
    if (n == 0) return generation_push(g, TOKEN_NONE, &text, &bytes, err);
    for (int64_t i = 0; i < n; i++) { /* lack is 0 after the prompt, then 1 */
        if (lack) choice[i].fed[0] = g->ids[g->count - 1];
        choice[i].fed[lack] = choice[i].id;
        entry[i] = (QmAppend){.session = t->session[i], .tokens = choice[i].fed, .count = lack + 1, .logits_from = 1,
                              .logits = t->logits + i * t->search->work.vocab, .hidden = t->hidden + i * stride};
    }
    for (int64_t i = n; lack && i < t->k; i++) /* fewer tokens than sessions were allowed: the others keep up */
        entry[i] = (QmAppend){.session = t->session[i], .tokens = &g->ids[g->count - 1], .count = 1};
    if (g->count < qm_engine_info(t->search->engine)->context) {
        if (!qm_forward(t->search->engine, entry, (int)(lack ? t->k : n), err)) return false;
        double best_score = -INFINITY, alpha = g->config.penalty_alpha;
        float *h = t->hidden + t->k * stride;
        for (int64_t i = 0; i < n; i++) {
            unit(last_layer(t, entry[i].hidden, lack + 1) + lack * t->width, h, t->width);
            double score = (1 - alpha) * choice[i].p - alpha * likeness(t, h);
            if (score > best_score) best = i, best_score = score;
        }
        if (!context_add(t, last_layer(t, entry[best].hidden, lack + 1) + lack * t->width, err)) return false;
        memcpy(t->next, entry[best].logits, (size_t)t->search->work.vocab * sizeof *t->next);
        for (int64_t i = 0; i < t->k; i++)
            if (!qm_session_crop(t->session[i], g->count, err)) return false;
    } /* else: no room to look ahead; this is the last token, the likeliest */
    if (told && !generation_tell(g, w->raw, total, choice[best].id, w, err)) return false;
    return generation_push(g, choice[best].id, &text, &bytes, err);
}

bool contrastive_search(Search *s, const Generation *start, Sequences *out, Err *err) {
    const QmModelInfo *info = qm_engine_info(s->engine);
    Contrast t = {.search = s, .k = start->config.top_k, .layers = info->layers, .width = info->hidden};
    int64_t rows = CHUNK > 2 * t.k + 1 ? CHUNK : 2 * t.k + 1;
    bool ok = (out->list = mem_new(1, sizeof *out->list, "sequences", err)) &&
              generation_copy(&out->list[out->count++], start, err);
    t.hidden = mem_new((size_t)((t.layers + 1) * rows * t.width), sizeof(float), "hidden states", err);
    t.logits = mem_new((size_t)(t.k * info->vocab), sizeof(float), "logits", err);
    t.next = mem_new((size_t)info->vocab, sizeof(float), "logits", err);
    t.choice = mem_new((size_t)t.k, sizeof *t.choice, "choices", err);
    t.entry = mem_new((size_t)t.k, sizeof *t.entry, "choices", err);
    ok = ok && t.hidden && t.logits && t.next && t.choice && t.entry;
    for (int64_t i = 0; ok && i < t.k; i++) ok = (t.session[i] = qm_session_new(s->engine, err)) != NULL;
    if (ok) generation_fit(out->list, s->engine);
    ok = ok && prompt_feed(&t, out->list, err);
    while (ok && !out->list->finish) ok = step(&t, out->list, err);
    for (int64_t i = 0; i < t.k; i++) qm_session_free(t.session[i]);
    free(t.hidden);
    free(t.context);
    free(t.logits);
    free(t.next);
    free(t.choice);
    free(t.entry);
    return ok;
}
