/* job.c: see job.h. */
#include "job.h"
#include <stdlib.h>
#include <string.h>
#include "../base/guard.h"

typedef enum ItemState { ITEM_WAITS, ITEM_RUNS, ITEM_OVER } ItemState;
/* Why a job ends; the first one stays. */
typedef enum Fate { FATE_WHOLE, FATE_GONE, FATE_FAILED } Fate;

typedef struct Item {
    Job *job;
    int64_t number;           /* of the generator; 0: none was given */
    ItemState state;
    bool enough;              /* its handler wants no more */
    int64_t generated;
    double last;              /* when its last token came */
    const QmLogprob *logprobs; /* of the token to come */
    int64_t alternatives;
} Item;

struct Job {
    Call *call;
    Jobs *jobs;
    JobOptions options;
    pthread_mutex_t lock;
    Item *item;
    int64_t count, left;      /* items; those that are not over */
    Fate fate;
    int status;               /* of FATE_FAILED */
    const char *type;
    char why[1024];
    bool begun;               /* the stream is open */
    double spoke;             /* when it last got something */
    double deadline;          /* 0: none */
    Job *next, **at;
};

struct Jobs {
    Server *server;
    pthread_mutex_t lock;     /* of the list and of `items`; taken before a job's own */
    Job *first;
    int64_t items;            /* that are not over, of all jobs */
};

enum { PING_SECONDS = 10 };

Call *job_call(const Job *job) { return job->call; }
void *job_user(const Job *job) { return job->options.user; }
int64_t job_items(const Job *job) { return job->count; }

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void fail_job(Job *job, int status, const char *type, const char *why) {
    if (job->fate != FATE_WHOLE) return;
    job->fate = FATE_FAILED;
    job->status = status;
    job->type = type;
    snprintf(job->why, sizeof job->why, "%s", why);
    text_printable(job->why);
}

static void say_failed(Job *job) {
    static const char done[] = "data: [DONE]\n\n";
    Call *call = job->call;
    if (!job->begun) {
        serve_error(call, job->status, job->type, NULL, NULL, "%s", job->why);
        return;
    }
    if (job->options.events->failed) job->options.events->failed(job, job->status, job->type, job->why);
    else {
        stream_event(call, NULL, error_json(call, job->status, job->type, NULL, NULL, job->why));
        stream_add(call, done, strlen(done));
    }
}

/* Fails a job whose callback has missed memory: what it said may lack a part. Under the job's lock. */
static void fail_missed(Job *job) {
    if (!guard_missed()) return;
    guard_forget();
    fail_job(job, 500, "server_error", "out of memory");
}

/* All items are over: the answer is finished, and the job gone. On the engine's thread, or from job_start where nothing
 * was taken. */
static void job_over(Job *job) {
    Call *call = job->call;
    Jobs *jobs = job->jobs;
    pthread_mutex_lock(&job->lock);
    call->facts.total = clock_seconds() - exchange_arrived(call->exchange);
    guard_forget();
    if (job->fate == FATE_WHOLE) {
        COUNT_SECONDS(&jobs->server->counts, whole, call->facts.total);
        job->options.events->end(job);
        fail_missed(job);
        if (exchange_status(call->exchange) == 0) fail_job(job, 500, "server_error", "there is no answer");
    } else call->facts.finish = job->fate == FATE_GONE ? "gone" : "failed";
    if (job->fate == FATE_FAILED) say_failed(job);
    if (job->fate == FATE_GONE && !job->begun) serve_error(call, 499, "gone", NULL, NULL, "the client has gone");
    if (guard_missed()) exchange_cut(call->exchange); /* it could not even be said: no end, so that it does not look whole */
    guard_forget();
    if (job->begun) stream_end(call);
    pthread_mutex_unlock(&job->lock);
    pthread_mutex_lock(&jobs->lock);
    *job->at = job->next;
    if (job->next) job->next->at = job->at;
    pthread_mutex_unlock(&jobs->lock);
    if (job->options.events->free) job->options.events->free(job->options.user);
    pthread_mutex_destroy(&job->lock);
    free(job->item);
    free(job);
    exchange_release(call->exchange);
}

static void items_over(Jobs *jobs, int64_t count) {
    pthread_mutex_lock(&jobs->lock);
    jobs->items -= count;
    pthread_mutex_unlock(&jobs->lock);
}

/* ---- What the generator tells: on the engine's thread ------------------------------------------------------------ */

static void on_logprobs(void *owner, int64_t request, const QmLogprob *list, int64_t alternatives) {
    Item *it = owner;
    (void)request;
    it->logprobs = list;
    it->alternatives = alternatives;
}

static bool on_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Item *it = owner;
    Job *job = it->job;
    Counts *counts = &job->jobs->server->counts;
    JobToken t = {.id = id, .text = text ? text : "", .bytes = bytes, .logprobs = it->logprobs, .alternatives = it->alternatives};
    (void)request;
    pthread_mutex_lock(&job->lock);
    it->state = ITEM_RUNS;
    if (id >= 0) {
        double now = clock_seconds(), arrived = exchange_arrived(job->call->exchange);
        if (it->generated++ == 0) COUNT_SECONDS(counts, first, now - arrived);
        else COUNT_SECONDS(counts, between, now - it->last);
        if (!job->call->facts.first) job->call->facts.first = now - arrived;
        it->last = job->spoke = now;
        atomic_fetch_add(&counts->generation_tokens, 1);
    }
    guard_forget();
    if (job->fate == FATE_WHOLE && !it->enough && job->options.events->token)
        job->options.events->token(job, it - job->item, &t);
    fail_missed(job);
    it->logprobs = NULL;
    bool goes_on = job->fate == FATE_WHOLE && !it->enough;
    pthread_mutex_unlock(&job->lock);
    return goes_on;
}

/* What an answer adds to the counts. */
static void count_answer_of(Job *job, const Item *it, const QmAnswer *a) {
    Counts *c = &job->jobs->server->counts;
    CallFacts *f = &job->call->facts;
    double arrived = exchange_arrived(job->call->exchange);
    int64_t generated = it->generated;
    if (!generated) /* a search that compares whole sequences */
        for (int64_t i = 0; i < a->count; i++) generated += a->sequences[i].count;
    f->prompt += a->prompt;
    f->cached += a->reused;
    f->generated += generated;
    if (a->taken > arrived && (!f->queued || a->taken - arrived < f->queued)) f->queued = a->taken - arrived;
    if (a->finish) f->finish = a->finish;
    atomic_fetch_add(&c->prompt_tokens, a->prompt);
    atomic_fetch_add(&c->cache_queries, a->prompt);
    atomic_fetch_add(&c->cache_hits, a->reused);
    if (job->fate != FATE_WHOLE || a->failed) return;
    if (!it->generated) atomic_fetch_add(&c->generation_tokens, generated);
    if (a->finish) count_finish(c, a->finish);
    COUNT_TOKENS(c, prompt, (double)a->prompt);
    COUNT_TOKENS(c, generated, (double)generated);
    COUNT_SECONDS(c, queued, a->taken > arrived ? a->taken - arrived : 0);
    COUNT_SECONDS(c, prefill, a->first > a->taken ? a->first - a->taken : 0);
    COUNT_SECONDS(c, decode, a->ended > a->first ? a->ended - a->first : 0);
}

/* How an error of the generator is told: what the client can do something about, in full. */
static void fail_of(Job *job, const Err *failed) {
    bool theirs = failed->kind == QM_INPUT || failed->kind == QM_USAGE || failed->kind == QM_LIMIT;
    if (theirs) fail_job(job, 400, "invalid_request_error", failed->text);
    else fail_job(job, 500, "server_error", failed->text);
}

static void on_done(void *owner, const QmAnswer *a) {
    Item *it = owner;
    Job *job = it->job;
    pthread_mutex_lock(&job->lock);
    it->state = ITEM_OVER;
    guard_forget();
    count_answer_of(job, it, a);
    if (a->failed) fail_of(job, a->failed);
    else if (job->fate == FATE_WHOLE && !it->enough && a->finish && !strcmp(a->finish, "time") && job->deadline &&
             clock_seconds() >= job->deadline)
        fail_job(job, 504, "timeout_error", "the request took longer than the server's --timeout");
    else if (job->fate == FATE_WHOLE && job->options.events->done) job->options.events->done(job, it - job->item, a);
    fail_missed(job);
    bool last = --job->left == 0;
    pthread_mutex_unlock(&job->lock);
    items_over(job->jobs, 1);
    if (last) job_over(job);
}

void job_cancel(Job *job, int64_t item) {
    Item *it = &job->item[item];
    it->enough = true;
    if (it->number && it->state != ITEM_OVER) qm_generator_cancel(job->jobs->server->model.generator, it->number);
}

/* Ends all items at the next step. Under the job's lock. */
static void cancel_all(Job *job) {
    for (int64_t i = 0; i < job->count; i++)
        if (job->item[i].number && job->item[i].state != ITEM_OVER)
            qm_generator_cancel(job->jobs->server->model.generator, job->item[i].number);
}

/* ---- The beginning ----------------------------------------------------------------------------------------------- */

/* Whether there is room, which it then takes. */
static bool reserve(Call *call, int64_t count) {
    Server *s = call->server;
    int64_t slots = qm_engine_info(s->model.engine)->slots, most = slots + s->options->queue;
    pthread_mutex_lock(&s->jobs->lock);
    bool room = s->jobs->items + count <= most;
    if (room) s->jobs->items += count;
    pthread_mutex_unlock(&s->jobs->lock);
    if (room) return true;
    if (count > most) {
        serve_error(call, 400, "invalid_request_error", NULL, "n",
                    "%lld generations in one request: expected at most %lld", (long long)count, (long long)most);
        return false;
    }
    char seconds[24]; /* a guess: as many seconds as there are rounds of slots before it */
    snprintf(seconds, sizeof seconds, "%lld", (long long)(1 + s->options->queue / slots));
    exchange_set(call->exchange, "Retry-After", seconds);
    atomic_fetch_add(&s->counts.refused, 1);
    serve_error(call, 429, "rate_limit_error", "queue_full", NULL, "the queue of %lld is full: try again later",
                (long long)s->options->queue);
    return false;
}

static Job *job_new(Call *call, const JobOptions *options, int64_t count) {
    Job *job = calloc(1, sizeof *job);
    Item *items = calloc((size_t)count, sizeof *items);
    if (!job || !items) {
        free(job);
        free(items);
        return NULL;
    }
    double now = clock_seconds(), timeout = call->server->options->timeout;
    *job = (Job){.call = call, .jobs = call->server->jobs, .options = *options, .item = items, .count = count,
                 .left = count, .spoke = now, .deadline = timeout > 0 ? exchange_arrived(call->exchange) + timeout : 0};
    for (int64_t i = 0; i < count; i++) items[i].job = job;
    pthread_mutex_init(&job->lock, NULL);
    return job;
}

/* Hands all items over, or up to the one that is refused. */
static int64_t hand_over(Job *job, const JobItem *items, Err *err) {
    const Call *call = job->call;
    bool several = keys_count(call->server->options->keys) > 1 && !job->options.shared;
    for (int64_t i = 0; i < job->count; i++) {
        QmRequest r = {.size = sizeof r, .ids = items[i].ids, .count = items[i].count, .parameters = items[i].parameters,
                       .chat = items[i].chat, .sequence = items[i].sequence, .group = call->group,
                       .salt = several ? call->group : 0, .deadline = job->deadline, .adapter = items[i].adapter,
                       .proof = items[i].proof,
                       .sink = {.owner = &job->item[i], .token = on_token, .done = on_done, .logprobs = on_logprobs}};
        job->item[i].number = qm_generator_add(call->server->model.generator, &r, err);
        if (!job->item[i].number) return i;
    }
    return job->count;
}

/* A prompt that has no room is told by a code that agents look for. */
static bool prompts_fit(Call *call, const JobItem *items, int64_t count) {
    int64_t context = qm_engine_info(call->server->model.engine)->context;
    for (int64_t i = 0; i < count; i++)
        if (items[i].count > context) {
            serve_error(call, 400, "invalid_request_error", "context_length_exceeded", "messages",
                        "the prompt has %lld tokens: this server's context has room for %lld",
                        (long long)items[i].count, (long long)context);
            return false;
        }
    return true;
}

void job_start(Call *call, const JobOptions *options, const JobItem *items, int64_t count) {
    Server *s = call->server;
    Err err = {0};
    Job *job = NULL;
    bool taken = false;
    if (guard_missed()) serve_error(call, 500, "server_error", NULL, NULL, "out of memory"); /* the request may lack a part */
    else if (!s->model.generator)
        serve_error(call, 400, "invalid_request_error", NULL, "model", "this model generates no text: it has no causal head");
    else if (count < 1) serve_error(call, 400, "invalid_request_error", NULL, "prompt", "nothing to generate");
    else if (prompts_fit(call, items, count) && (taken = reserve(call, count)) && !(job = job_new(call, options, count)))
        serve_error(call, 500, "server_error", NULL, NULL, "out of memory (request %s)", call->id);
    if (!job) {
        if (taken) items_over(s->jobs, count);
        if (options->events->free) options->events->free(options->user);
        return;
    }
    exchange_hold(call->exchange);
    pthread_mutex_lock(&s->jobs->lock);
    job->next = s->jobs->first;
    job->at = &s->jobs->first;
    if (job->next) job->next->at = &job->next;
    s->jobs->first = job;
    pthread_mutex_unlock(&s->jobs->lock);
    pthread_mutex_lock(&job->lock); /* no event comes before begin */
    int64_t handed = hand_over(job, items, &err);
    guard_forget();
    if (handed < count) {
        fail_of(job, &err);
        job->left -= count - handed;
        for (int64_t i = handed; i < count; i++) job->item[i].state = ITEM_OVER;
        cancel_all(job);
    } else if (options->stream) {
        job->begun = stream_begin(call, options->stream);
        if (!job->begun) job->fate = FATE_GONE, cancel_all(job);
    }
    if (job->fate == FATE_WHOLE && options->events->begin) options->events->begin(job);
    if (guard_missed()) fail_missed(job), cancel_all(job);
    pthread_mutex_unlock(&job->lock);
    items_over(s->jobs, count - handed);
    if (handed == 0) job_over(job);
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

Jobs *jobs_new(Server *s, Err *err) {
    Jobs *jobs = mem_new(1, sizeof *jobs, "jobs", err);
    if (!jobs) return NULL;
    jobs->server = s;
    pthread_mutex_init(&jobs->lock, NULL);
    return jobs;
}

void jobs_free(Jobs *jobs) {
    if (jobs) pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

void jobs_look(Jobs *jobs) {
    double now = clock_seconds();
    Counts *c = &jobs->server->counts;
    guard_forget();
    pthread_mutex_lock(&jobs->lock);
    for (Job *job = jobs->first; job; job = job->next) {
        const char *ping = job->options.ping;
        pthread_mutex_lock(&job->lock);
        if (job->fate == FATE_WHOLE && exchange_gone(job->call->exchange)) {
            job->fate = FATE_GONE;
            atomic_fetch_add(&c->cancelled, job->left);
            cancel_all(job);
        } else if (job->fate == FATE_WHOLE && job->deadline && now >= job->deadline) {
            fail_job(job, 504, "timeout_error", "the request took longer than the server's --timeout");
            atomic_fetch_add(&c->late, 1);
            cancel_all(job);
        } else if (job->begun && ping && now - job->spoke > PING_SECONDS) {
            job->spoke = now;
            stream_add(job->call, ping, strlen(ping));
        }
        pthread_mutex_unlock(&job->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}

void jobs_cancel_all(Jobs *jobs, int status, const char *why) {
    pthread_mutex_lock(&jobs->lock);
    for (Job *job = jobs->first; job; job = job->next) {
        pthread_mutex_lock(&job->lock);
        fail_job(job, status, "server_error", why);
        cancel_all(job);
        pthread_mutex_unlock(&job->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}

bool jobs_any(Jobs *jobs) {
    pthread_mutex_lock(&jobs->lock);
    bool any = jobs->first != NULL;
    pthread_mutex_unlock(&jobs->lock);
    return any;
}

void jobs_count(Jobs *jobs, int64_t *running, int64_t *waiting) {
    QmGenerator *g = jobs->server->model.generator;
    pthread_mutex_lock(&jobs->lock);
    int64_t items = jobs->items;
    pthread_mutex_unlock(&jobs->lock);
    *waiting = g ? qm_generator_waiting(g) : 0;
    if (*waiting > items) *waiting = items;
    *running = items - *waiting;
}

void jobs_each(Jobs *jobs, void (*see)(void *owner, const Call *call, int64_t item, bool running, int64_t generated),
               void *owner) {
    pthread_mutex_lock(&jobs->lock);
    for (Job *job = jobs->first; job; job = job->next) {
        pthread_mutex_lock(&job->lock);
        for (int64_t i = 0; i < job->count; i++)
            if (job->item[i].state != ITEM_OVER)
                see(owner, job->call, i, job->item[i].state == ITEM_RUNS, job->item[i].generated);
        pthread_mutex_unlock(&job->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}
