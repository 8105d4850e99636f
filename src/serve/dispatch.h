/* dispatch.h: from a request's head to the handler of its route: limits, Host and Origin, the key, the body. */
#ifndef DISPATCH_H
#define DISPATCH_H
#include "server.h"

typedef struct Dispatch Dispatch;

/* With two workers, which parse bodies and call the handlers of POSTs; one of them takes bodies up to SMALL_BODY only, so
 * that small requests never wait for large ones. NULL and an error. */
enum { SMALL_BODY = 64 << 10, MAX_JSON_DEPTH = 128, MAX_JSON_NODES = 1 << 19 };
Dispatch *dispatch_new(Server *s, Err *err);
/* The workers end after what is queued; from then on nothing is handled. */
void dispatch_stop(Dispatch *d);
void dispatch_free(Dispatch *d);
HttpdUser dispatch_user(Dispatch *d); /* what httpd_start is given */
/* Requests that came and are not over: their answers are on the way. */
int64_t dispatch_open(const Dispatch *d);

/* A body's JSON: an object, of bounded depth and count of values. NULL and an error. For fuzzers, too. */
json_t *body_json(const char *text, size_t bytes, Err *err);
/* Whether a Host header names this machine's loopback, or one of `more`. */
bool host_allowed(const char *host, const char *const *more, int count);
#endif
