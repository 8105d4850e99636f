/* serve_call.h: one request to a route, and how it is answered. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H
#include "../io/json.h"
#include "httpd.h"
#include "route.h"

typedef struct Server Server;

enum { CALL_ID_BYTES = 64 };

/* What the log says of a request, and never its text. Filled by job.c, or by a handler that has no job. */
typedef struct CallFacts {
    int64_t prompt, cached, generated; /* tokens                                                                   */
    double queued, first, total;       /* seconds from arrival to a slot, to the first token, to the end; 0: none  */
    const char *finish;                /* "stop", ..., of constant storage; NULL: none                             */
} CallFacts;

struct Call {
    Server *server;
    Exchange *exchange;
    const Route *route;
    const char *rest;       /* of a path with a star, decoded; else ""                                             */
    json_t *json;           /* the body, an object; NULL of a GET. Gone when the handler returns: json_incref what stays */
    const char *key;        /* name of the key it came with, "": none is needed                                    */
    uint64_t group;         /* that key as a number, 0: none                                                       */
    char id[CALL_ID_BYTES]; /* x-request-id, the client's own if it is sane                                        */
    CallFacts facts;
    Call *next;             /* of dispatch.c's queue                                                               */
};

/* ---- Answers: each may be called by any thread, and only the first counts ---------------------------------------- */

/* Takes the reference; NULL: memory ended, and 500 says so. */
void reply_json(Call *call, int status, json_t *body);
void reply_text(Call *call, int status, const char *type, const char *text, size_t bytes); /* copies */
/* In the form of the route. `type`: "invalid_request_error", ...; code and param may be NULL. The other forms take of
 * it what they have. Headers that belong to a status (Retry-After of 429 and 503) are set here. */
void serve_error(Call *call, int status, const char *type, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* An Err as the client's fault or ours: 400 of input, usage and limits, else 500 (and the log has the text). */
void serve_failed(Call *call, const Err *err, const char *param);
/* The same as a text of JSON, malloc'ed, for an event of a stream that has begun. NULL where memory ends. */
json_t *error_json(const Call *call, int status, const char *type, const char *code, const char *param,
                   const char *message);

/* ---- Streams: once this thread has missed memory (guard.h), nothing is added, for a part may be lost ---------------- */

/* The head of a stream: "text/event-stream" or "application/x-ndjson". False: nobody is there. */
bool stream_begin(Call *call, const char *type);
/* One event: "event: NAME" (NULL: without) and "data: JSON". Takes the reference. False: nobody takes it. */
bool stream_event(Call *call, const char *name, json_t *data);
bool stream_line(Call *call, json_t *data);                         /* JSON and a line end (ndjson); takes the reference */
bool stream_add(Call *call, const char *data, size_t bytes);
void stream_end(Call *call);

/* ---- Small things ------------------------------------------------------------------------------------------------ */

/* prefix and 24 letters and digits that nobody can guess: ids of answers, calls, messages. */
enum { NEW_ID_BYTES = 64 };
const char *new_id(const char *prefix, char out[NEW_ID_BYTES]);
void random_letters(char *out, size_t count);  /* and a NUL: count + 1 bytes */
int64_t new_seed(void);                        /* 0 .. 2^53 - 1, that any client's numbers hold */
int64_t wall_seconds(void);                    /* of the epoch: "created" */
/* Now, in UTC, to 3 or 6 digits of a second: "2026-11-30T16:16:43.015Z". Returns out. */
enum { UTC_BYTES = 40 };
const char *utc_now(int digits, char out[UTC_BYTES]);
const char *utc_text(int64_t seconds, char out[UTC_BYTES]); /* those of the epoch, without a fraction */
#endif
