/* serve.c: see serve.h. */
#include "serve.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/guard.h"
#include "../base/transport.h"
#include "access_log.h"
#include "dispatch.h"
#include "embedder.h"
#include "job.h"
#include "routes.h"
#include "server_fingerprint.h"

typedef struct Running {
    Server server;
    Dispatch *dispatch;
    pthread_t signals;
    int pipe[2];
    EndSignals taken;
    bool watched;
    atomic_int came;          /* signals so far */
    pthread_mutex_t lock;
    pthread_cond_t knock;     /* where there is no generator to wait at */
} Running;

/* ---- Signals: a handler writes a byte, which a thread reads ------------------------------------------------------- */

static void wake(Running *r) {
    if (r->server.model.generator) qm_generator_cancel(r->server.model.generator, -1); /* of nobody: it only wakes */
    pthread_mutex_lock(&r->lock);
    pthread_cond_signal(&r->knock);
    pthread_mutex_unlock(&r->lock);
}

static int pipe_of_signals = -1; /* a handler can reach nothing else */

/* On whichever thread: some are not ours, as those of MPI, and block no signal. */
static void on_signal(int number) {
    int was = errno;
    uint8_t byte = (uint8_t)number;
    if (write(pipe_of_signals, &byte, 1) < 0) errno = was; /* full of signals: one more tells nothing new */
    errno = was;
}

static void *take_signals(void *owner) {
    Running *r = owner;
    uint8_t number;
    while (read(r->pipe[0], &number, 1) == 1 && number) {
        if (server_state(&r->server) == SERVER_LOADING) { /* nothing is under way, and opening cannot be stopped */
            server_log(&r->server, "ended by a signal while the model was being opened");
            httpd_unlink(r->server.http);
            guard_remove();
            _exit(number == SIGINT ? 128 + SIGINT : 0);
        }
        atomic_fetch_add(&r->came, 1);
        ServerState ready = SERVER_READY;
        atomic_compare_exchange_strong(&r->server.state, &ready, SERVER_DRAINING);
        wake(r);
    }
    return NULL;
}

static bool signals_start(Running *r, Err *err) {
    signal(SIGPIPE, SIG_IGN); /* of a log whose reader has gone */
    if (pipe2(r->pipe, O_CLOEXEC)) return err_as(err, QM_IO, "cannot make a pipe: %s", strerror(errno));
    fcntl(r->pipe[1], F_SETFL, O_NONBLOCK);
    pipe_of_signals = r->pipe[1];
    r->watched = pthread_create(&r->signals, NULL, take_signals, r) == 0;
    if (!r->watched) return err_as(err, QM_IO, "cannot start a thread");
    end_signals_take(&r->taken, on_signal, true);
    return true;
}

static void signals_end(Running *r) {
    if (r->watched) {
        end_signals_back(&r->taken);
        on_signal(0);
        pthread_join(r->signals, NULL);
    }
    for (int i = 0; i < 2; i++)
        if (r->pipe[i] > 0) close(r->pipe[i]);
}

/* ---- The engine's thread ----------------------------------------------------------------------------------------- */

static void pause_for(Running *r, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + (int64_t)(seconds * 1e9);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&r->lock);
    if (!atomic_load(&r->came) || seconds < 1) pthread_cond_timedwait(&r->knock, &r->lock, &until);
    pthread_mutex_unlock(&r->lock);
}

/* One step, or a wait for one. False: the engine has failed again and again. */
static bool step(Running *r, int *failures, double patience, Err *err) {
    enum { MOST_FAILURES = 3 };
    Server *s = &r->server;
    QmGenerator *g = s->model.generator;
    jobs_look(s->jobs);
    if (!g || !qm_generator_busy(g)) {
        if (g) qm_generator_wait(g, patience);
        else pause_for(r, patience);
        return true;
    }
    Err failed = {0};
    if (qm_generator_step(g, &failed)) {
        atomic_fetch_add(&s->counts.steps, 1);
        *failures = 0;
        return true;
    }
    bool memory = failed.kind == QM_MEMORY; /* which others may give back */
    server_log(s, "error: the engine failed: %s", failed.text);
    jobs_cancel_all(s->jobs, 500, memory ? "out of memory" : "the engine failed");
    if (!memory) ++*failures;
    return *failures < MOST_FAILURES || err_from(err, &failed);
}

/* Until a signal comes, then until nothing is under way. */
static bool run(Running *r, Err *err) {
    const ServerOptions *o = r->server.options;
    const double idle = 3600, draining = 0.02;
    int failures = 0;
    while (server_state(&r->server) == SERVER_READY)
        if (!step(r, &failures, idle, err)) return false;
    double end = clock_seconds() + o->drain;
    bool cut = false;
    server_log(&r->server, "draining: %lld requests are under way", (long long)dispatch_open(r->dispatch));
    httpd_quiet(r->server.http);
    while (jobs_any(r->server.jobs) || (dispatch_open(r->dispatch) && clock_seconds() < end)) {
        if (!cut && (clock_seconds() >= end || atomic_load(&r->came) > 1)) {
            cut = true;
            end = clock_seconds() + 1; /* for the last bytes */
            jobs_cancel_all(r->server.jobs, 503, "the server has ended");
        }
        if (!step(r, &failures, draining, err)) return false;
    }
    return true;
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

static bool has_text(const ServerModel *m) { return !strcmp(qm_engine_info(m->engine)->head, "causal"); }

static bool generates(void *owner) {
    const Running *r = owner;
    return r->server.model.generator && qm_generator_busy(r->server.model.generator);
}

/* Vectors have slots of their own, which are taken before the generator takes all others; a model without text has no
 * others. */
static bool open_embedder(Running *r, Err *err) {
    Server *s = &r->server;
    const QmModelInfo *i = qm_engine_info(s->model.engine);
    s->slots = i->slots;
    if (!sentence_open(&s->sentence, s->model.source, err)) return false;
    if (has_text(&s->model) && !s->options->vector_slots) return true;
    int64_t slots = has_text(&s->model) ? s->options->vector_slots : i->slots;
    s->slots -= slots;
    return (s->embedder = embedder_new(s->model.engine, slots, generates, r, err)) != NULL;
}

/* A step before anybody asks: weights are read, caches and scratch touched, which the kernel clears, so that the first
 * request does not wait for that. */
static bool warm(QmEngine *engine, Err *err) {
    const int32_t id = 0;
    QmSession *session = qm_session_new(engine, err);
    bool ok = session && qm_forward(engine, &(QmAppend){.session = session, .tokens = &id, .count = 1}, 1, err);
    qm_session_free(session);
    return ok;
}

static bool open_model(Running *r, ModelOpen open, void *owner, Err *err) {
    ServerModel *m = &r->server.model;
    if (!open(owner, m, err) || (has_text(m) && !warm(m->engine, err)) || (m->draft && !warm(m->draft, err)) ||
        !open_embedder(r, err))
        return false;
    server_fingerprint_start(&r->server);
    if (has_text(m) && !(m->generator = qm_generator_new(m->engine, m->tokenizer, m->draft, err))) return false;
    if (m->generator && r->server.options->prefill_rows >= 0)
        qm_generator_prefill_rows(m->generator, r->server.options->prefill_rows);
    return true;
}

static bool tell_route(int number, const char **method, const char **path) {
    const Route *row = route_at(number);
    if (row) *method = row->method, *path = row->path;
    return row != NULL;
}

bool serve(const ServerOptions *options, ModelOpen open, void *owner, Err *err) {
    Running r = {.server = {.options = options, .started = wall_seconds(), .route_name = tell_route}};
    Server *s = &r.server;
    pthread_mutex_init(&r.lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&r.knock, &clock);
    pthread_condattr_destroy(&clock);
    HttpdOptions http = options->http;
    bool ok = (s->jobs = jobs_new(s, err)) && (r.dispatch = dispatch_new(s, err));
    if (ok) http.user = dispatch_user(r.dispatch);
    ok = ok && (s->http = httpd_start(&http, err));
    if (ok) server_log(s, "listening at %s", httpd_address(s->http));
    ok = ok && signals_start(&r, err) && open_model(&r, open, owner, err);
    if (ok) {
        ServerState loading = SERVER_LOADING;
        guard_go_on(true);
        atomic_compare_exchange_strong(&s->state, &loading, SERVER_READY);
        server_log(s, "ready: %s, %lld slots of %lld tokens", server_name(s), (long long)s->slots, /* who reads it may ask */
                   (long long)qm_engine_info(s->model.engine)->context);
        ok = run(&r, err);
        guard_go_on(false);
    }
    atomic_store(&s->state, ok ? SERVER_DRAINING : SERVER_BROKEN);
    if (r.dispatch) dispatch_stop(r.dispatch);
    server_fingerprint_end(s);
    embedder_free(s->embedder); /* what waits is told so, as those whose text has not ended */
    qm_generator_free(s->model.generator);
    sentence_free(&s->sentence);
    signals_end(&r);
    httpd_stop(s->http);
    dispatch_free(r.dispatch);
    jobs_free(s->jobs);
    pthread_mutex_destroy(&r.lock);
    pthread_cond_destroy(&r.knock);
    if (ok) server_log(s, "ended");
    return ok;
}
