/* httpd_own.h: what httpd.c and httpd_exchange.c share: connections and exchanges. */
#ifndef HTTPD_OWN_H
#define HTTPD_OWN_H
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include "httpd.h"

/* A connection, from its first byte to its last; in a list that the janitor goes through. */
typedef struct Link {
    int fd;             /* of the connection; open as long as the link is listed */
    double deadline;    /* of the clock, for what is under way; 0: none           */
    bool reads;         /* a request, or its end, is still to come                */
    Exchange *exchange; /* under way, or NULL                                     */
    struct Link *next, **at;
    char peer[64];
} Link;

struct Httpd {
    struct MHD_Daemon *daemon;
    HttpdOptions options;
    char address[160];
    char *unlink_path;       /* of a Unix socket, removed at the end; NULL: none */
    pthread_t janitor;
    bool watched;            /* the janitor runs */
    pthread_mutex_t lock;    /* of the list, and of all links' fields. Taken last: whoever holds it takes no other */
    pthread_cond_t wake;
    Link *links;
    int count;
    atomic_bool stopping;
    char said[256];          /* the library's last message while it starts */
};

enum { MOST_REPLY_HEADERS = 16, BODY_SECONDS = 30, LEAST_RATE = 16384 };

struct Exchange {
    Httpd *http;             /* gone once the connection has ended */
    HttpdUser user;
    void *data;
    _Atomic int holders;
    char *method, *path, peer[64];
    Text body;
    int64_t body_limit, body_bytes;
    double arrived;
    bool whole;              /* the body is; HTTP's thread only */
    bool large, said;        /* the body has more than it may, and that was told; HTTP's thread only */
    pthread_mutex_t lock;    /* of all that follows */
    struct MHD_Connection *connection; /* NULL: it has ended */
    Link *link;
    int fd;                  /* -1: closed */
    bool suspended;          /* its connection waits to be resumed */
    bool answered;           /* `reply` or a stream is there */
    bool queued;             /* HTTP's thread only */
    bool stream, ended, left;
    int status;
    struct { char *name, *value; } header[MOST_REPLY_HEADERS];
    int headers;
    char *reply;
    size_t reply_bytes;
    Text out;                /* of a stream */
    size_t taken;            /* of it, by the connection */
    int64_t sent;
};

/* ---- httpd_exchange.c -------------------------------------------------------------------------------------------------- */

/* NULL where memory ends. One holder: the connection. */
Exchange *exchange_new(Httpd *h, struct MHD_Connection *connection, Link *link, const char *method, const char *path);
/* Hands the answer that is there to the connection, on HTTP's thread; not under the lock, for libmicrohttpd calls back
 * with a lock of its own held. Nobody changes an answer that is there. */
enum MHD_Result exchange_queue(Exchange *x);
/* The connection has ended; `whole`: with the answer. */
void exchange_closed(Exchange *x, bool whole);
/* The daemon ends: whoever waits is resumed, and finds that there is no answer. */
void exchange_abandon(Exchange *x);
/* Sets when what is under way must be over (0: never), and whether that is a request. */
void link_deadline(Httpd *h, Link *link, bool reads, double deadline);
/* A path as it came (with its query) to what it means, malloc'ed; NULL: it does not begin with '/', has a broken escape,
 * or a control character. */
char *path_decoded(const char *raw);
#endif
