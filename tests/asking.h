/* asking.h: requests to a generator over the tiny model, and what is heard of them. */
#ifndef ASKING_H
#define ASKING_H
#include <string.h>
#include "fixture.h"

enum { ASK_MOST_IDS = 256, ASK_MOST_SEQUENCES = 4, ASK_MOST_LOGPROBS = 1024 };

typedef struct Heard {
    int64_t number, done, order, tokens, sequences, count[ASK_MOST_SEQUENCES], reused, drafted, prompt_alternatives;
    int32_t ids[ASK_MOST_SEQUENCES][ASK_MOST_IDS];
    char finish[20], proof[ASK_MOST_SEQUENCES][65], ended[20]; /* ended: of the answer */
    QmLogprob prompt[ASK_MOST_LOGPROBS];
    bool told;
    double taken;
    QmErr failed;
} Heard;

static QmEngine *ask_engine;
static QmTokenizer *ask_tokenizer;
static QmSource *ask_source;
FIXTURE int64_t ask_over; /* requests that have ended so far */

FIXTURE bool heard_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    (void)request, (void)text, (void)bytes;
    ((Heard *)owner)->tokens += id >= 0;
    return true;
}

FIXTURE void heard_done(void *owner, const QmAnswer *a) {
    Heard *h = owner;
    h->done++;
    h->order = ++ask_over;
    h->sequences = a->count;
    h->reused = a->reused;
    h->drafted = a->drafted;
    h->taken = a->taken;
    if (a->failed) h->failed = *a->failed;
    snprintf(h->ended, sizeof h->ended, "%s", a->finish ? a->finish : "");
    for (int64_t i = 0; i < a->count && i < ASK_MOST_SEQUENCES; i++) {
        const QmSequence *s = &a->sequences[i];
        h->count[i] = s->count;
        memcpy(h->ids[i], s->ids, (size_t)(s->count < ASK_MOST_IDS ? s->count : ASK_MOST_IDS) * sizeof *s->ids);
        if (s->proof) snprintf(h->proof[i], sizeof h->proof[i], "%s", s->proof);
    }
    if (a->count) snprintf(h->finish, sizeof h->finish, "%s", a->sequences->finish);
    h->told = a->prompt_logprobs != NULL;
    h->prompt_alternatives = a->prompt_alternatives;
    int64_t told = h->told ? a->prompt * (1 + a->prompt_alternatives) : 0;
    if (told <= ASK_MOST_LOGPROBS && told) memcpy(h->prompt, a->prompt_logprobs, (size_t)told * sizeof *h->prompt);
}

FIXTURE QmEngine *ask_open(const char *mesh, int slots, int rows, int threads) {
    QmErr err = {0};
    QmEngineOptions o;
    qm_engine_options(&o);
    o.model = "tests/golden/tiny", o.mesh = mesh, o.slots = slots, o.context = 160, o.rows = rows, o.threads = threads;
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fprintf(stderr, "%s\n", err.text);
    return e;
}

FIXTURE int ask_begin(void **state) {
    QmErr err = {0};
    (void)state;
    ask_source = qm_source_open("tests/golden/tiny", &err);
    ask_tokenizer = qm_tokenizer_open("tests/data/bytes", &err);
    ask_engine = ask_open("1x1", 4, 16, 1);
    if (err.kind) fprintf(stderr, "%s\n", err.text);
    return err.kind || !ask_engine ? -1 : 0;
}

FIXTURE int ask_end(void **state) {
    (void)state;
    qm_engine_close(ask_engine);
    qm_tokenizer_close(ask_tokenizer);
    qm_source_close(ask_source);
    return 0;
}

/* `r` says what is not the same for all; ids without end tokens, parameters on top of no end. */
FIXTURE void ask(QmGenerator *g, const char *json, QmRequest r, Heard *h) {
    QmErr err = {0};
    QmParameters *p = qm_parameters_new(ask_source, &err);
    static const char endless[] = "{\"eos_token_id\": null}";
    *h = (Heard){0};
    if (!p || !qm_parameters_set(p, endless, sizeof endless - 1, &err) || !qm_parameters_set(p, json, strlen(json), &err))
        fail_msg("%s: %s", json, err.text);
    r.size = sizeof r;
    r.parameters = p;
    r.sink.owner = h;
    r.sink.token = heard_token;
    r.sink.done = heard_done;
    if (!(h->number = qm_generator_add(g, &r, &err))) fail_msg("%s: %s", json, err.text);
    qm_parameters_free(p);
}

FIXTURE QmGenerator *ask_generator(QmEngine *e, QmEngine *draft) {
    QmErr err = {0};
    QmGenerator *g = qm_generator_new(e, ask_tokenizer, draft, &err);
    if (!g) fail_msg("%s", err.text);
    return g;
}

FIXTURE void ask_steps(QmGenerator *g, int steps) {
    QmErr err = {0};
    for (int i = 0; i < steps; i++)
        if (!qm_generator_step(g, &err)) fail_msg("%s", err.text);
}

FIXTURE void ask_all(QmGenerator *g) {
    while (qm_generator_busy(g)) ask_steps(g, 1);
}

/* A prompt of its own for every `kind`, from its first id on. */
FIXTURE const int32_t *ask_prompt(int kind) {
    static _Thread_local int32_t ids[8][160];
    static _Thread_local int at;
    int32_t *out = ids[at = (at + 1) % 8];
    for (int i = 0; i < 160; i++) out[i] = (kind * 37 + i * (7 + kind % 5)) % 120;
    return out;
}
#endif
