/* dispatch.c: see dispatch.h. */
#include "dispatch.h"
#include <stdlib.h>
#include <string.h>
#include "../base/guard.h"
#include "access_log.h"
#include "listen.h"
#include "routes.h"

enum { WORKERS = 2 };

typedef struct Waiting { Call *first, **end; } Waiting;

struct Dispatch {
    Server *server;
    bool loopback;           /* the server's address is: Host must say so */
    _Atomic int64_t open;
    pthread_t thread[WORKERS];
    int threads;
    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t knock;
    Waiting small, large;
    bool stops;
};

/* ---- The head ---------------------------------------------------------------------------------------------------- */

/* The client's request id, if it is harmless in a log and a header; else a new one. */
static void take_id(Call *call, const char *given) {
    static const char sane[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
    size_t n = given ? strlen(given) : 0;
    if (n && n < CALL_ID_BYTES && strspn(given, sane) == n) memcpy(call->id, given, n + 1);
    else new_id("req-", call->id);
    exchange_set(call->exchange, "x-request-id", call->id);
}

/* The name in a Host header, without its port; its length. */
static size_t host_name(const char *host) {
    const char *end = *host == '[' ? strchr(host, ']') : NULL;
    return end ? (size_t)(end - host) + 1 : strcspn(host, ":");
}

bool host_allowed(const char *host, const char *const *more, int count) {
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t n = host_name(host);
    for (int i = 0; i < 3 + count; i++) {
        const char *name = i < 3 ? loopback[i] : more[i - 3];
        if (strlen(name) == n && !strncasecmp(host, name, n)) return true;
    }
    return false;
}

/* Whether a page of that origin may ask. Its own server's pages may; of others those that were named. Sets what tells a
 * browser so. */
static bool origin_allowed(Call *call, const char *origin, const char *host) {
    const ServerOptions *o = call->server->options;
    const char *rest = strstr(origin, "://");
    if (rest && host && !strcasecmp(rest + 3, host)) return true;
    for (int i = 0; i < o->origins; i++) {
        if (strcmp(o->origin[i], "*") && strcasecmp(o->origin[i], origin)) continue;
        exchange_set(call->exchange, "Access-Control-Allow-Origin", strcmp(o->origin[i], "*") ? origin : "*");
        exchange_set(call->exchange, "Vary", "Origin");
        exchange_set(call->exchange, "Access-Control-Expose-Headers", "x-request-id, retry-after");
        return true;
    }
    return false;
}

/* Whether the request is meant for this server, by a page that may: a name that resolves to loopback is no proof, and
 * neither is a form that another site sends. */
static bool from_here(Dispatch *d, Call *call) {
    const ServerOptions *o = d->server->options;
    const char *host = exchange_header(call->exchange, "Host"), *origin = exchange_header(call->exchange, "Origin");
    bool checked = d->loopback || (o->hosts && !host_is_path(o->http.host));
    if (checked && host && !host_allowed(host, o->host_names, o->hosts)) {
        serve_error(call, 403, "permission_error", "host_not_allowed", NULL,
                    "the Host of this request is not this server's: --allowed-hosts names further ones");
        return false;
    }
    if (origin && !origin_allowed(call, origin, host)) {
        serve_error(call, 403, "permission_error", "origin_not_allowed", NULL,
                    "pages of another origin may not ask here: --cors-origins names those that may");
        return false;
    }
    return true;
}

/* A browser's question before it sends the request itself; it carries no key. */
static void preflight(Call *call, const char *allow) {
    bool cross = exchange_header(call->exchange, "Origin") && exchange_header(call->exchange, "Access-Control-Request-Method");
    if (cross && call->server->options->origins) {
        exchange_set(call->exchange, "Access-Control-Allow-Methods", allow);
        exchange_set(call->exchange, "Access-Control-Allow-Headers",
                     "authorization, content-type, x-api-key, x-request-id, anthropic-version, anthropic-beta");
        exchange_set(call->exchange, "Access-Control-Max-Age", "600");
    }
    exchange_set(call->exchange, "Allow", allow);
    exchange_reply(call->exchange, 204, NULL, 0);
}

/* What it is about is decided before the key is looked at only as far as to know whether one is needed. */
static bool has_key(Call *call) {
    const Exchange *x = call->exchange;
    bool doubled = exchange_headers(x, "Authorization") > 1 || exchange_headers(x, "x-api-key") > 1;
    const Keys *keys = call->server->options->keys;
    const char *name = doubled ? NULL : keys_check(keys, exchange_header(x, "Authorization"), exchange_header(x, "x-api-key"));
    if (name) {
        call->key = name;
        call->group = keys_number(keys, name);
        return true;
    }
    serve_error(call, 401, "authentication_error", "invalid_api_key", NULL, "expected an API key of this server: "
                "Authorization: Bearer KEY, or x-api-key: KEY");
    return false;
}

/* Whether the server takes requests now. */
static bool is_ready(Call *call) {
    ServerState state = server_state(call->server);
    if (state == SERVER_READY || call->route->early) return true;
    serve_error(call, 503, "server_error", NULL, NULL, "%s", state == SERVER_LOADING    ? "the model is being opened"
                                                             : state == SERVER_DRAINING ? "the server is about to end"
                                                                                        : "the engine failed");
    return false;
}

/* Forms that no route takes. */
static bool is_json(Call *call) {
    const char *type = exchange_header(call->exchange, "Content-Type"), *coding = exchange_header(call->exchange, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity"))
        serve_error(call, 415, "invalid_request_error", NULL, NULL, "expected a body without Content-Encoding");
    else if (type && !strncasecmp(type, "multipart/", 10))
        serve_error(call, 415, "invalid_request_error", NULL, NULL, "expected JSON, got a form");
    else return true;
    return false;
}

static int64_t body_most(const Call *call) {
    const Route *r = call->route;
    return r->body ? r->body : strcmp(r->method, "POST") ? 0 : call->server->options->max_body;
}

static void too_large(Call *call) {
    serve_error(call, 413, "invalid_request_error", "request_too_large", NULL, "a body of at most %lld bytes",
                (long long)body_most(call));
}

static int64_t body_room(Call *call) {
    const char *length = exchange_header(call->exchange, "Content-Length");
    int64_t most = body_most(call), bytes = 0;
    if (!length || (parse_int(length, 0, INT64_MAX, &bytes) && bytes <= most)) return most;
    too_large(call);
    return -1;
}

static int64_t on_head(void *owner, Exchange *x) {
    Dispatch *d = owner;
    char allow[64];
    guard_forget();
    Call *call = calloc(1, sizeof *call);
    if (!call) {
        exchange_reply(x, 503, NULL, 0);
        return -1;
    }
    *call = (Call){.server = d->server, .exchange = x, .key = "", .rest = ""};
    exchange_set_data(x, call);
    atomic_fetch_add(&d->open, 1);
    take_id(call, exchange_header(x, "x-request-id"));
    call->route = route_find(exchange_method(x), exchange_path(x), &call->rest, allow);
    if (!from_here(d, call)) return -1;
    if (!strcmp(exchange_method(x), "OPTIONS") && *allow) {
        char all[96];
        snprintf(all, sizeof all, "%s, OPTIONS", allow);
        preflight(call, all);
        return -1;
    }
    if (!(call->route && call->route->open) && !has_key(call)) return -1;
    if (!call->route && *allow) {
        exchange_set(x, "Allow", allow);
        serve_error(call, 405, "invalid_request_error", "method_not_allowed", NULL, "expected %s here", allow);
        return -1;
    }
    if (!call->route) {
        serve_error(call, 404, "not_found_error", NULL, NULL, "no such route: docs/serving.md has them all");
        return -1;
    }
    if (!is_ready(call) || !is_json(call)) return -1;
    if (!guard_missed()) return body_room(call);
    serve_error(call, 503, "server_error", NULL, NULL, "out of memory");
    return -1;
}

/* ---- The body ---------------------------------------------------------------------------------------------------- */

/* Depth and count of values, before any is built: a megabyte of brackets would become a hundred. */
static bool json_bounded(const char *text, size_t bytes, Err *err) {
    int64_t nodes = 1;
    int depth = 0;
    bool inside = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (inside && c == '\\') i++;
        else if (c == '"') inside = !inside;
        else if (inside) continue;
        else if (c == '[' || c == '{') depth++, nodes++;
        else if (c == ']' || c == '}') depth--;
        else if (c == ',') nodes++;
        if (depth > MAX_JSON_DEPTH) return err_as(err, QM_LIMIT, "the body's JSON is nested deeper than %d", MAX_JSON_DEPTH);
        if (nodes > MAX_JSON_NODES) return err_as(err, QM_LIMIT, "the body's JSON has more than %d values", MAX_JSON_NODES);
    }
    return true;
}

/* Whether there is memory for that much JSON: jansson ends the program where there is none (guard.h). */
static bool json_room(size_t bytes, Err *err) {
    enum { SMALL = 1 << 16, TIMES = 24 }; /* a list of digits takes that many bytes for one */
    void *room = bytes > SMALL ? malloc(bytes * TIMES) : NULL;
    bool ok = room || bytes <= SMALL;
    free(room);
    return ok || err_as(err, QM_MEMORY, "out of memory: a body of %zu bytes", bytes);
}

json_t *body_json(const char *text, size_t bytes, Err *err) {
    if (!json_bounded(text, bytes, err) || !json_room(bytes, err)) return NULL;
    json_t *root = json_text(text, bytes, "body", err);
    if (!root || json_is_object(root)) return root;
    err_set(err, "body: expected a JSON object");
    json_decref(root);
    return NULL;
}

static void handle_post(Call *call) {
    Err err = {0};
    size_t bytes;
    guard_forget();
    const char *text = exchange_body(call->exchange, &bytes);
    call->json = body_json(text, bytes, &err);
    exchange_drop_body(call->exchange);
    if (!call->json) {
        serve_failed(call, &err, NULL);
        return;
    }
    call->route->handle(call);
    json_decref(call->json);
    call->json = NULL;
}

static void waiting_put(Waiting *w, Call *call) {
    call->next = NULL;
    if (!w->first) w->end = &w->first;
    *w->end = call;
    w->end = &call->next;
}

static Call *waiting_take(Waiting *w) {
    Call *call = w->first;
    if (call) w->first = call->next;
    return call;
}

typedef struct Worker { Dispatch *dispatch; bool takes_large; } Worker;

static void *work(void *owner) {
    Worker w = *(Worker *)owner;
    Dispatch *d = w.dispatch;
    free(owner);
    pthread_mutex_lock(&d->lock);
    for (;;) {
        Call *call = waiting_take(&d->small);
        if (!call && w.takes_large) call = waiting_take(&d->large);
        if (!call && d->stops) break;
        if (!call) {
            pthread_cond_wait(&d->knock, &d->lock);
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        handle_post(call);
        exchange_release(call->exchange);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void on_whole(void *owner, Exchange *x) {
    Dispatch *d = owner;
    Call *call = exchange_data(x);
    if (strcmp(call->route->method, "POST")) {
        guard_forget();
        call->route->handle(call);
        return;
    }
    exchange_hold(x);
    pthread_mutex_lock(&d->lock);
    bool stops = d->stops;
    if (!stops) waiting_put(exchange_body_bytes(x) > SMALL_BODY ? &d->large : &d->small, call);
    pthread_cond_broadcast(&d->knock);
    pthread_mutex_unlock(&d->lock);
    if (!stops) return;
    serve_error(call, 503, "server_error", NULL, NULL, "the server is about to end");
    exchange_release(x);
}

static void on_large(void *owner, Exchange *x) {
    (void)owner;
    guard_forget();
    too_large(exchange_data(x));
}

static void on_over(void *owner, Exchange *x) {
    Dispatch *d = owner;
    Call *call = exchange_data(x);
    if (!call) return;
    count_answer(&d->server->counts, route_number(call->route), exchange_status(x));
    access_log(d->server, call);
    json_decref(call->json);
    free(call);
    atomic_fetch_sub(&d->open, 1);
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

static bool worker_start(Dispatch *d, bool takes_large, Err *err) {
    Worker *w = mem_new(1, sizeof *w, "a worker", err);
    if (!w) return false;
    *w = (Worker){d, takes_large};
    if (pthread_create(&d->thread[d->threads], NULL, work, w) == 0) {
        d->threads++;
        return true;
    }
    free(w);
    return err_as(err, QM_IO, "cannot start a thread");
}

Dispatch *dispatch_new(Server *s, Err *err) {
    Dispatch *d = mem_new(1, sizeof *d, "dispatch", err);
    if (!d) return NULL;
    d->server = s;
    d->loopback = !host_is_path(s->options->http.host) && host_is_loopback(s->options->http.host);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->knock, NULL);
    if (worker_start(d, true, err) && worker_start(d, false, err)) return d;
    dispatch_stop(d);
    dispatch_free(d);
    return NULL;
}

void dispatch_stop(Dispatch *d) {
    pthread_mutex_lock(&d->lock);
    d->stops = true;
    pthread_cond_broadcast(&d->knock);
    pthread_mutex_unlock(&d->lock);
    for (int i = 0; i < d->threads; i++) pthread_join(d->thread[i], NULL);
    d->threads = 0;
}

void dispatch_free(Dispatch *d) {
    if (!d) return;
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->knock);
    free(d);
}

HttpdUser dispatch_user(Dispatch *d) {
    return (HttpdUser){.owner = d, .head = on_head, .large = on_large, .whole = on_whole, .over = on_over};
}

int64_t dispatch_open(const Dispatch *d) { return atomic_load(&d->open); }
