/* http.h: GET over libcurl, for servers that are not trusted: redirects are followed here, one by one, so that the
 * token goes to the endpoint's own origin and nowhere else; stalls, endless headers and redirect loops end with an
 * error. */
#ifndef HTTP_H
#define HTTP_H
#include <signal.h>
#include "../base/base.h"

typedef struct Http Http;

typedef struct HttpOptions {
    const char *endpoint;       /* "https://host[:port][/path]", no slash at the end; http:// only where it says so */
    const char *token;          /* bearer token for the endpoint's origin, or NULL; never shown */
    int64_t stall_seconds;      /* give up after this long below 1 kB/s */
    const volatile sig_atomic_t *interrupted; /* non-zero: stop at once; or NULL */
} HttpOptions;

/* NULL and an error for an endpoint or token that cannot be one. Options are borrowed. Free with http_free. */
Http *http_new(const HttpOptions *options, Err *err);
void http_free(Http *http);

/* Takes a piece of the body, the bytes from `at` on; false and an error to stop. A server may ignore that only the rest
 * was asked for: then the first piece is at 0. `link` is the Link header, or "". */
typedef bool (*HttpSink)(void *context, int64_t at, const uint8_t *data, size_t bytes, const char *link, Err *err);

/* What is read of an answer's head, line by line, as they come from whoever answers. */
typedef struct HttpHead {
    int64_t range;   /* where Content-Range says the body begins; -1: it does not say */
    Text link;       /* the first Link; empty: none                                   */
    size_t bytes;    /* of all lines                                                  */
} HttpHead;
/* Takes a line, its end included. False and an error when the head is too large. Start with {.range = -1}. */
bool http_head_line(HttpHead *head, const char *line, size_t bytes, Err *err);

/* HTTP_AGAIN: the network or the server failed in a way that may pass. HTTP_FAILED: it will not, or the sink
 * refused. */
typedef enum HttpOutcome { HTTP_OK, HTTP_AGAIN, HTTP_FAILED } HttpOutcome;

/* Gets `url` from byte `from` on, giving the body to `sink`. *err must be clear. */
HttpOutcome http_get(Http *http, const char *url, int64_t from, HttpSink sink, void *context, Err *err);
/* The whole body, malloc'ed and NUL-terminated, tried again a few times; an error past `limit` bytes. *link, if asked
 * for, is the Link header, malloc'ed, NULL when there was none. */
char *http_get_text(Http *http, const char *url, size_t limit, size_t *bytes, char **link, Err *err);
/* Waits after failure `number` (1, 2, ...): a sixtieth of stall_seconds, then twice that, at most half of it. False
 * when interrupted. */
bool http_wait(const Http *http, int number, Err *err);
#endif
