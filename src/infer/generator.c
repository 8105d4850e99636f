/* generator.c: generation as the header offers it: requests with a number over one scheduler. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "generation_parameters.h"
#include "scheduler.h"
#include "session.h"

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

typedef struct Live {
    Request request; /* first: sinks get its address */
    QmGenerator *generator;
    QmSink sink;
    int64_t number;
    struct Live *next;
} Live;

struct QmGenerator {
    Scheduler *scheduler;
    const QmEngine *engine;
    const QmTokenizer *tokenizer;
    int64_t vocab;
    pthread_mutex_t lock; /* of what follows */
    Live *live;           /* those that have not ended */
    int64_t numbers;      /* given so far */
};

static void live_free(Live *l) {
    QmGenerator *g = l->generator;
    pthread_mutex_lock(&g->lock);
    for (Live **at = &g->live; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    pthread_mutex_unlock(&g->lock);
    request_free(&l->request);
    free(l);
}

static QmSequence sequence_of(const Generation *g, const char *proof) {
    return (QmSequence){.ids = g->ids + g->prompt, .count = g->count - g->prompt,
                        .text = g->raw.data ? g->raw.data : "", .bytes = g->raw.bytes, .finish = g->finish,
                        .score = g->score, .logprobs = g->logprobs, .proof = proof,
                        .alternatives = g->config.logprobs > 0 ? g->config.logprobs : 0};
}

/* Tells the end, with what came of it; where logits were not numbers, with what came before them; where memory for that
 * is missing, that it failed: nobody waits for ever. */
static void tell(Live *l, const Err *failed) {
    const Request *r = &l->request;
    Err missed = {0};
    bool whole = !failed || !failed->kind, several = whole && r->row->end;
    int64_t count = several ? r->found.count : whole || r->invalid;
    typedef struct Hex { char text[PROOF_TEXT]; } Hex;
    QmSequence *list = mem_new((size_t)(count ? count : 1), sizeof *list, "an answer", &missed);
    Hex *proof = list ? mem_new((size_t)(count ? count : 1), sizeof *proof, "an answer", &missed) : NULL;
    bool ok = proof != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        const Generation *g = several ? &r->found.list[i] : &r->g;
        ok = !g->proof || proof_text(g->proof, proof[i].text, &missed);
        list[i] = sequence_of(g, g->proof ? proof[i].text : NULL);
    }
    if (ok && !whole && count) list->finish = "invalid_logits";
    if (!ok && whole) failed = &missed, whole = false;
    if (!ok) count = 0;
    QmAnswer a = {.request = l->number, .failed = whole ? NULL : failed, .sequences = list,
                  .count = count, .prompt = r->g.prompt, .reused = r->reused, .drafted = r->drafted,
                  .accepted = r->accepted, .taken = r->taken, .first = r->first, .ended = r->ended,
                  .finish = count ? list->finish : whole ? r->g.finish : NULL,
                  .prompt_logprobs = whole && r->told.list && r->told.count == r->g.prompt - 1 ? r->told.list : NULL,
                  .prompt_alternatives = r->g.config.prompt_logprobs > 0 ? r->g.config.prompt_logprobs : 0};
    if (l->sink.done) l->sink.done(l->sink.owner, &a);
    free(list);
    free(proof);
}

static bool on_logits(void *user, const float *row, int64_t vocab, Err *err) {
    const Live *l = user;
    (void)err;
    l->sink.logits(l->sink.owner, l->number, row, vocab);
    return true;
}

static bool on_token(void *user, Request *r, int32_t id, const char *text, size_t bytes, Err *err) {
    const Live *l = user;
    const Generation *g = &r->g;
    int64_t each = 1 + g->config.logprobs, at = g->count - g->prompt - 1;
    (void)err;
    if (id >= 0 && l->sink.logprobs && g->logprobs && each > 0 && at >= 0)
        l->sink.logprobs(l->sink.owner, l->number, g->logprobs + at * each, each - 1);
    if (!l->sink.token(l->sink.owner, l->number, id, text, bytes)) request_cancel(r);
    return true;
}

static bool on_done(void *user, Request *r, Err *err) {
    (void)err;
    tell(user, &r->failed);
    live_free(user);
    return true;
}

static void on_drop(void *user, Request *r) {
    Err dropped = {0};
    (void)r;
    err_as(&dropped, QM_INTERRUPTED, "interrupted: its generator was freed");
    tell(user, &dropped);
    live_free(user);
}

/* What a caller gave, who may know fewer members than this library. */
static bool request_take(QmRequest *to, const QmRequest *given, Err *err) {
    size_t least = offsetof(QmRequest, group);
    *to = (QmRequest){0};
    if (given->size < least || given->size > sizeof *to)
        return err_as(err, QM_USAGE, "request: expected a size of %zu to %zu, got %zu", least, sizeof *to, given->size);
    memcpy(to, given, given->size);
    return true;
}

int64_t qm_generator_add(QmGenerator *g, const QmRequest *asked, QmErr *err) {
    GenerationConfig c;
    QmRequest taken;
    const QmRequest *given = &taken;
    if (!request_take(&taken, asked, err)) return 0;
    int adapter = session_adapter(g->engine, given->adapter, err);
    if (adapter < 0) return 0;
    if (!given->parameters) return err_as(err, QM_USAGE, "request: expected parameters, got none");
    Live *l = mem_new(1, sizeof *l, "a request", err);
    if (!l) return 0;
    generation_config_copy(&c, &given->parameters->config);
    if (given->chat && g->tokenizer) generation_turn_ends(&c, g->tokenizer);
    l->generator = g;
    l->sink = given->sink;
    l->request.sequence = given->sequence;
    l->request.group = given->group;
    l->request.salt = given->salt;
    l->request.adapter = adapter;
    l->request.deadline = given->deadline;
    l->request.sink = (Sink){.user = l, .logits = l->sink.logits ? on_logits : NULL,
                             .token = l->sink.token ? on_token : NULL, .done = on_done, .drop = on_drop};
    bool ok = generation_check(&c, g->vocab, err) &&
              generation_start(&l->request.g, &c, g->tokenizer, given->ids, given->count, err);
    generation_config_free(&c);
    if (ok && given->proof) ok = (l->request.g.proof = proof_new(err)) != NULL;
    if (ok) generation_rest(&l->request.g);
    pthread_mutex_lock(&g->lock);
    int64_t number = l->number = ++g->numbers;
    l->next = g->live;
    g->live = l;
    pthread_mutex_unlock(&g->lock);
    if (ok && scheduler_add(g->scheduler, &l->request, err)) return number;
    live_free(l);
    return 0;
}

void qm_generator_cancel(QmGenerator *g, int64_t number) {
    pthread_mutex_lock(&g->lock);
    for (Live *l = g->live; l; l = l->next)
        if (l->number == number) request_cancel(&l->request);
    pthread_mutex_unlock(&g->lock);
    scheduler_wake(g->scheduler);
}

int64_t qm_generator_position(QmGenerator *g, int64_t number) {
    int64_t place = 0;
    pthread_mutex_lock(&g->lock);
    for (Live *l = g->live; l; l = l->next)
        if (l->number == number) place = scheduler_place(g->scheduler, &l->request);
    pthread_mutex_unlock(&g->lock);
    return place;
}

int64_t qm_generator_waiting(QmGenerator *g) { return scheduler_waiting(g->scheduler); }
void qm_generator_prefill_rows(QmGenerator *g, int64_t rows) { scheduler_prefill_rows(g->scheduler, rows); }

/* ---- All of them ------------------------------------------------------------------------------------------------- */

QmGenerator *qm_generator_new(QmEngine *engine, const QmTokenizer *tokenizer, QmEngine *draft, QmErr *err) {
    QmGenerator *g = mem_new(1, sizeof *g, "generator", err);
    if (!g) return NULL;
    g->engine = engine;
    g->tokenizer = tokenizer;
    g->vocab = qm_engine_info(engine)->vocab;
    if ((g->scheduler = scheduler_new(engine, draft, err))) {
        pthread_mutex_init(&g->lock, NULL);
        return g;
    }
    free(g);
    return NULL;
}

void qm_generator_free(QmGenerator *g) {
    if (!g) return;
    scheduler_free(g->scheduler);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

bool qm_generator_step(QmGenerator *g, QmErr *err) { return scheduler_step(g->scheduler, err); }
bool qm_generator_busy(QmGenerator *g) { return scheduler_busy(g->scheduler); }
void qm_generator_wait(QmGenerator *g, double seconds) { scheduler_wait(g->scheduler, seconds); }
void qm_generator_stats(const QmGenerator *g, QmGeneratorStats *stats) { *stats = *scheduler_stats(g->scheduler); }

/* ---- One answer -------------------------------------------------------------------------------------------------- */

typedef struct Saying {
    bool (*say)(void *, const char *, size_t);
    void *owner;
    bool said;
    Err failed;
} Saying;

static bool say_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Saying *s = owner;
    (void)request, (void)id;
    s->said = true;
    return bytes == 0 || s->say(s->owner, text, bytes);
}

static void say_done(void *owner, const QmAnswer *a) {
    Saying *s = owner;
    if (a->failed) s->failed = *a->failed;
    else if (!s->said && a->count && a->sequences->bytes) s->say(s->owner, a->sequences->text, a->sequences->bytes);
}

bool qm_generate(QmEngine *engine, const QmTokenizer *tokenizer, const int32_t *ids, int64_t count, bool chat,
                 const QmParameters *parameters, bool (*say)(void *owner, const char *text, size_t bytes), void *owner,
                 QmErr *err) {
    Saying s = {.say = say, .owner = owner};
    QmRequest r = {.size = sizeof r, .ids = ids, .count = count, .parameters = parameters, .chat = chat,
                   .sink = {.owner = &s, .token = say_token, .done = say_done}};
    QmGenerator *g = qm_generator_new(engine, tokenizer, NULL, err);
    int64_t number = g ? qm_generator_add(g, &r, err) : 0;
    bool ok = number > 0;
    while (ok && qm_generator_busy(g)) ok = qm_generator_step(g, err);
    if (ok && s.failed.kind) ok = err_from(err, &s.failed);
    qm_generator_free(g);
    return ok;
}
