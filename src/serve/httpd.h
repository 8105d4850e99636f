/* httpd.h: HTTP/1.1 over libmicrohttpd, behind a face of our own so that another library can take its place. It knows no
 * route, no key and no JSON: it reads requests within limits, and brings answers to their clients.
 *
 * One thread reads and writes all connections; the functions of HttpdUser are called on it and must not block. The
 * functions that answer may be called by any thread, at any time until the exchange is released: once the client has
 * gone they do nothing. None of them waits for a client. */
#ifndef HTTPD_H
#define HTTPD_H
#include "../base/base.h"

typedef struct Httpd Httpd;
/* One request and its answer. It lives as long as somebody holds it. */
typedef struct Exchange Exchange;

typedef struct HttpdUser {
    void *owner;
    /* A request's head is here, and framed as HTTP wants it. Returns the most bytes of body that it may have, or -1 after
     * it has answered: the body is not read then, and the connection ends with the answer. */
    int64_t (*head)(void *owner, Exchange *x);
    /* The body, whose length nobody had announced, has more: answers. What still comes of it is not kept. */
    void (*large)(void *owner, Exchange *x);
    /* The body is whole: it is answered now or later, by any thread. */
    void (*whole)(void *owner, Exchange *x);
    /* Nobody holds it any more; called by whoever was the last. Frees exchange_data. */
    void (*over)(void *owner, Exchange *x);
} HttpdUser;

typedef struct HttpdOptions {
    const char *host;            /* an address or a name; a path (with a slash, or ending in .sock): a Unix socket */
    int port;                    /* 0: any that is free */
    int fd;                      /* 0: none; else a socket that listens there already, which is taken over */
    const char *cert, *key;      /* files in PEM: TLS; NULL: none */
    int connections, per_address; /* most at once, in all and of one address */
    double head_seconds;         /* in which a head must be here; a body has 30 s + size / 16 KiB/s, and so has the
                                    client to take the rest of an answer that is whole */
    double idle_seconds;         /* without a byte, and between two requests of a connection */
    HttpdUser user;
} HttpdOptions;

/* Listens, and answers from now on. NULL and an error. */
Httpd *httpd_start(const HttpdOptions *options, Err *err);
const char *httpd_address(const Httpd *h); /* "http://127.0.0.1:8080", as it came to be */
void httpd_quiet(Httpd *h);                /* no new connections from now on */
/* Ends: who has not answered by now never will. Exchanges that others hold stay valid until released. */
void httpd_stop(Httpd *h);
int httpd_connections(Httpd *h);
void httpd_unlink(Httpd *h); /* the file of a Unix socket; also where nothing else is to be done any more */

/* ---- What came --------------------------------------------------------------------------------------------------- */

const char *exchange_method(const Exchange *x);
const char *exchange_path(const Exchange *x);                      /* decoded, no control characters, without the query */
const char *exchange_header(const Exchange *x, const char *name);  /* NULL: there is none; valid in head and whole only */
const char *exchange_query(const Exchange *x, const char *name);   /* the same of the query, as it was sent */
int exchange_headers(const Exchange *x, const char *name);         /* how many of that name; in head and whole only */
const char *exchange_body(const Exchange *x, size_t *bytes);       /* NUL-terminated; until exchange_drop_body */
const char *exchange_peer(const Exchange *x);                      /* its address, "unix" of a Unix socket */
double exchange_arrived(const Exchange *x);                        /* clock_seconds of its head */
int64_t exchange_body_bytes(const Exchange *x);                    /* that came */
void exchange_drop_body(Exchange *x);                              /* it was read; once, by whoever answers */
/* Whoever serves it keeps what it likes here. */
void *exchange_data(const Exchange *x);
void exchange_set_data(Exchange *x, void *data);

/* ---- What is answered -------------------------------------------------------------------------------------------- */

void exchange_hold(Exchange *x);
void exchange_release(Exchange *x);

/* A header of the answer, before it begins. Line ends in the value end it. */
void exchange_set(Exchange *x, const char *name, const char *value);
/* The whole answer. Takes the bytes, malloc'ed (NULL: empty). Only the first answer of an exchange counts. */
void exchange_reply(Exchange *x, int status, char *body, size_t bytes);
/* An answer that comes piece by piece. False: it has been answered already, or the client has gone. */
bool exchange_begin(Exchange *x, int status);
/* Appends to it. False: there is nobody to take it: the client has gone, or is SEND_BUFFER behind and was dropped. */
bool exchange_add(Exchange *x, const char *data, size_t bytes);
void exchange_end(Exchange *x);
void exchange_cut(Exchange *x); /* a stream that cannot be ended well: its connection is closed as it is */
enum { SEND_BUFFER = 1 << 20 };

/* Whether the client has gone: asked of its socket, since a connection that waits for an answer sees nothing. Half closed
 * counts as gone. */
bool exchange_gone(Exchange *x);
int exchange_status(const Exchange *x); /* of the answer; 0: none yet */
bool exchange_left(const Exchange *x);  /* the client had gone before it had the whole answer */
int64_t exchange_sent(const Exchange *x); /* bytes of body handed to the connection */
#endif
