/* httpd.c: see httpd.h. What libmicrohttpd 0.9.75 does not do itself is done here: it takes a request with two lengths
 * for one, counts no bytes of a chunked body, lets a client that sends a byte a second live for ever, and sees nothing of
 * a connection that waits. */
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "httpd_own.h"
#include "listen.h"

enum { HEAD_BYTES = 64 << 10, HEAD_SPARE = 2048, MOST_ARGUMENTS = 256, MAX_PEM = 1 << 20, SPARE_DESCRIPTORS = 64 };
static const double LINGER_SECONDS = 5; /* in which the rest of a body that is too large is read and forgotten */

/* ---- Connections ------------------------------------------------------------------------------------------------- */

static void link_name(Link *l, struct MHD_Connection *c) {
    const union MHD_ConnectionInfo *a = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *at = a ? a->client_addr : NULL;
    socklen_t size = at && at->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    bool is_ip = at && (at->sa_family == AF_INET || at->sa_family == AF_INET6);
    if (!is_ip || getnameinfo(at, size, l->peer, sizeof l->peer, NULL, 0, NI_NUMERICHOST))
        snprintf(l->peer, sizeof l->peer, "unix");
}

static void on_connection(void *owner, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode what) {
    Httpd *h = owner;
    Link *l = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        l = calloc(1, sizeof *l);
        *context = l;
        if (!l) return; /* on_request refuses what comes */
        l->fd = fd ? fd->connect_fd : -1;
        l->deadline = clock_seconds() + h->options.head_seconds;
        l->reads = true;
        link_name(l, c);
        pthread_mutex_lock(&h->lock);
        l->next = h->links;
        l->at = &h->links;
        if (l->next) l->next->at = &l->next;
        h->links = l;
        if (h->count++ == 0) pthread_cond_signal(&h->wake);
        pthread_mutex_unlock(&h->lock);
    } else if (l) {
        pthread_mutex_lock(&h->lock);
        *l->at = l->next;
        if (l->next) l->next->at = l->at;
        h->count--;
        pthread_mutex_unlock(&h->lock);
        free(l);
        *context = NULL;
    }
}

/* Whether a client has left in the middle of its request. libmicrohttpd does not see that where the end came together with
 * the last bytes, for it waits for another event. */
static bool left_early(const Link *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLRDHUP};
    return l->reads && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Once a second: shuts the sockets of those whose time is over or who have left; the thread of connections then sees that
 * they have ended. It sleeps where there is no connection. */
static void *janitor(void *owner) {
    Httpd *h = owner;
    struct timespec until;
    pthread_mutex_lock(&h->lock);
    while (!atomic_load(&h->stopping)) {
        if (!h->links) pthread_cond_wait(&h->wake, &h->lock);
        else {
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec++;
            pthread_cond_timedwait(&h->wake, &h->lock, &until);
        }
        double now = clock_seconds();
        for (Link *l = h->links; l; l = l->next)
            if (l->deadline > 0 && (now > l->deadline || left_early(l))) {
                shutdown(l->fd, SHUT_RDWR);
                l->deadline = 0;
            }
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

/* An answer past libmicrohttpd, which takes none before a head or amid a body. It is the connection's last: nothing else is
 * sent, and what its socket does not take at once is lost. Under TLS nothing can be said so. False: nothing was. */
static bool say_past(const Httpd *h, const Link *l, const char *status, const char *body, size_t bytes) {
    char *text = NULL;
    int n = h->options.cert ? -1
                            : asprintf(&text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                              "Content-Length: %zu\r\n\r\n%.*s", status, bytes, (int)bytes, body);
    bool said = n > 0 && send(l->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
    if (n >= 0) free(text);
    if (said) shutdown(l->fd, SHUT_WR);
    return said;
}

static void say_too_long(const Httpd *h, const Link *l, const char *status, const char *what) {
    char text[256];
    int n = snprintf(text, sizeof text, "{\"error\":{\"message\":\"HTTP: %s\",\"type\":\"invalid_request_error\","
                                        "\"param\":null,\"code\":null}}\n", what);
    say_past(h, l, status, text, (size_t)n);
    shutdown(l->fd, SHUT_RDWR);
}

static bool has_more(const char *text, char what, int most) {
    for (int n = 0; (text = strchr(text, what)); text++)
        if (++n > most) return true;
    return false;
}

/* Called when a request line is here: its headers have to follow. What it returns is on_request's *context. A query with
 * more arguments than the library's memory has room for would make it wait for the deadline without a word. */
static void *on_line(void *owner, const char *uri, struct MHD_Connection *c) {
    Httpd *h = owner;
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Link *l = i ? i->socket_context : NULL;
    if (l) link_deadline(h, l, true, clock_seconds() + h->options.head_seconds);
    if (l && has_more(uri, '&', MOST_ARGUMENTS)) say_too_long(h, l, "414 URI Too Long", "a query of more than 256 arguments");
    return NULL;
}

/* Paths stay as they came: path_decoded is stricter. */
static size_t keep_escapes(void *owner, struct MHD_Connection *c, char *text) {
    (void)owner, (void)c;
    return strlen(text);
}

/* What is wrong with how a request is framed; NULL: nothing. */
static const char *framing(const Exchange *x, const char *version) {
    const char *coding = exchange_header(x, "Transfer-Encoding"), *length = exchange_header(x, "Content-Length");
    int codings = exchange_headers(x, "Transfer-Encoding"), lengths = exchange_headers(x, "Content-Length");
    int hosts = exchange_headers(x, "Host");
    if (codings && lengths) return "Content-Length together with Transfer-Encoding";
    if (lengths > 1) return "more than one Content-Length";
    if (codings > 1 || (coding && strcasecmp(coding, "chunked"))) return "a Transfer-Encoding other than chunked";
    if (coding && !strcmp(version, "HTTP/1.0")) return "a Transfer-Encoding in HTTP/1.0";
    if (length && (!*length || strspn(length, "0123456789") != strlen(length))) return "a Content-Length that is no number";
    if (hosts > 1) return "more than one Host";
    if (!hosts && strcmp(version, "HTTP/1.0")) return "no Host";
    if (!x->path) return "a path that does not begin with '/', or has a broken escape or a control character";
    return NULL;
}

static enum MHD_Result answer_now(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    bool answered = x->answered;
    pthread_mutex_unlock(&x->lock);
    return answered ? exchange_queue(x) : MHD_NO;
}

/* The head is here. A response that is queued now, before the body, ends the connection. */
static enum MHD_Result on_head(Httpd *h, struct MHD_Connection *c, const char *method, const char *url,
                               const char *version, void **context) {
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Link *l = i ? i->socket_context : NULL;
    i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (l && i && i->header_size > HEAD_BYTES - HEAD_SPARE) { /* the library has no room left for an answer's head */
        say_too_long(h, l, "431 Request Header Fields Too Large", "a head of more than 62 KiB");
        return MHD_NO;
    }
    Exchange *x = l ? exchange_new(h, c, l, method, url) : NULL;
    if (!x) return MHD_NO;
    *context = x;
    pthread_mutex_lock(&h->lock);
    l->exchange = x;
    pthread_mutex_unlock(&h->lock);
    const char *wrong = framing(x, version);
    if (wrong) {
        char *text = NULL;
        int n = asprintf(&text, "{\"error\":{\"message\":\"HTTP: %s\",\"type\":\"invalid_request_error\",\"param\":null,"
                                "\"code\":null}}\n", wrong);
        exchange_set(x, "Content-Type", "application/json");
        exchange_reply(x, 400, n < 0 ? NULL : text, n < 0 ? 0 : (size_t)n);
        return answer_now(x);
    }
    x->body_limit = x->user.head(x->user.owner, x);
    if (x->body_limit < 0) return answer_now(x);
    const char *length = exchange_header(x, "Content-Length");
    int64_t bytes = 0;
    if (length && (!parse_int(length, 0, INT64_MAX, &bytes) || bytes > x->body_limit)) return MHD_NO;
    link_deadline(h, l, true, clock_seconds() + BODY_SECONDS + (double)bytes / LEAST_RATE);
    return MHD_YES;
}

/* A body in chunks has more than it may. It is answered at once where that can be, else when the body has ended; what still
 * comes is forgotten, for a connection closed over unread bytes takes the answer with it. */
static void on_large(Exchange *x) {
    static const char status[] = "413 Content Too Large";
    x->large = true;
    text_free(&x->body);
    link_deadline(x->http, x->link, true, clock_seconds() + LINGER_SECONDS);
    x->user.large(x->user.owner, x);
    pthread_mutex_lock(&x->lock);
    x->said = x->answered && say_past(x->http, x->link, status, x->reply ? x->reply : "", x->reply_bytes);
    if (x->said) x->sent = (int64_t)x->reply_bytes;
    pthread_mutex_unlock(&x->lock);
}

static enum MHD_Result on_body(Exchange *x, const char *data, size_t *bytes) {
    x->body_bytes += (int64_t)*bytes;
    if (x->body_bytes > x->body_limit) {
        if (!x->large) on_large(x);
        *bytes = 0;
        return MHD_YES;
    }
    text_add(&x->body, data, *bytes);
    *bytes = 0;
    return x->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *owner, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *bytes, void **context) {
    Httpd *h = owner;
    Exchange *x = *context;
    if (!x) return on_head(h, c, method, url, version, context);
    if (*bytes) return on_body(x, data, bytes);
    if (x->large) return x->said ? MHD_NO : x->queued ? MHD_YES : answer_now(x);
    if (!x->whole) {
        x->whole = true;
        link_deadline(h, x->link, false, 0);
        x->user.whole(x->user.owner, x);
    }
    pthread_mutex_lock(&x->lock);
    bool answered = x->answered, ends = !answered && (atomic_load(&h->stopping) || x->left);
    if (!answered && !ends) {
        x->suspended = true;
        MHD_suspend_connection(c);
    }
    pthread_mutex_unlock(&x->lock);
    return ends ? MHD_NO : answered && !x->queued ? exchange_queue(x) : MHD_YES;
}

static void on_completed(void *owner, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode how) {
    Httpd *h = owner;
    Exchange *x = *context;
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Link *l = i ? i->socket_context : NULL;
    *context = NULL;
    if (!x) return;
    if (l) {
        pthread_mutex_lock(&h->lock);
        l->exchange = NULL;
        l->reads = true;
        l->deadline = clock_seconds() + h->options.idle_seconds + h->options.head_seconds;
        pthread_mutex_unlock(&h->lock);
    }
    exchange_closed(x, how == MHD_REQUEST_TERMINATED_COMPLETED_OK || x->said);
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

static void on_log(void *owner, const char *format, va_list args) {
    Httpd *h = owner;
    if (!h->daemon) vsnprintf(h->said, sizeof h->said, format, args); /* later ones are about clients, who need no log */
}

/* No more connections than there are descriptors for. */
static int connections_most(int asked) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY) return asked;
    int64_t room = (int64_t)r.rlim_cur - SPARE_DESCRIPTORS;
    return room < 4 ? 4 : room < asked ? (int)room : asked;
}

static bool daemon_start(Httpd *h, int fd, const char *cert, const char *key, Err *err) {
    const HttpdOptions *o = &h->options;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
    if (cert) {
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert};
        tls[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key};
    }
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (cert ? MHD_USE_TLS : 0);
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, h, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections_most(o->connections), MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)o->per_address, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(o->idle_seconds + 0.5),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
        MHD_OPTION_URI_LOG_CALLBACK, on_line, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, h, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    if (!d)
        return err_as(err, QM_IO, "cannot start the HTTP server: %s",
                      *h->said ? h->said : cert ? "certificate and key do not go together" : "libmicrohttpd says nothing");
    h->daemon = d;
    return true;
}

Httpd *httpd_start(const HttpdOptions *o, Err *err) {
    Httpd *h = mem_new(1, sizeof *h, "HTTP server", err);
    char *cert = NULL, *key = NULL;
    size_t bytes;
    if (!h) return NULL;
    h->options = *o;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &clock);
    pthread_condattr_destroy(&clock);
    bool ok = !o->cert || ((cert = file_read(o->cert, MAX_PEM, &bytes, err)) && (key = file_read(o->key, MAX_PEM, &bytes, err)));
    int fd = ok ? o->fd : -1;
    if (ok && !fd) fd = listen_open(o->host, o->port, o->cert != NULL, h->address, &h->unlink_path, err);
    if (o->fd) listen_address(o->fd, o->cert != NULL, h->address);
    ok = ok && fd >= 0;
    if (ok && !daemon_start(h, fd, cert, key, err)) {
        close(fd);
        ok = false;
    }
    if (key) explicit_bzero(key, strlen(key));
    free(cert);
    free(key);
    h->watched = ok && pthread_create(&h->janitor, NULL, janitor, h) == 0;
    if (ok && !h->watched) ok = err_as(err, QM_IO, "cannot start a thread");
    if (ok) return h;
    httpd_stop(h);
    return NULL;
}

const char *httpd_address(const Httpd *h) { return h->address; }
int httpd_connections(Httpd *h) {
    pthread_mutex_lock(&h->lock);
    int count = h->count;
    pthread_mutex_unlock(&h->lock);
    return count;
}

void httpd_unlink(Httpd *h) {
    if (h->unlink_path) unlink(h->unlink_path);
}

void httpd_quiet(Httpd *h) {
    MHD_socket fd = MHD_quiesce_daemon(h->daemon);
    if (fd != MHD_INVALID_SOCKET) close(fd);
}

/* All exchanges that are under way, held. */
static Exchange **under_way(Httpd *h, int *count) {
    pthread_mutex_lock(&h->lock);
    Exchange **all = calloc((size_t)h->count + 1, sizeof *all);
    *count = 0;
    for (Link *l = h->links; all && l; l = l->next)
        if (l->exchange) exchange_hold(all[(*count)++] = l->exchange);
    pthread_mutex_unlock(&h->lock);
    return all;
}

void httpd_stop(Httpd *h) {
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    atomic_store(&h->stopping, true);
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    if (h->watched) pthread_join(h->janitor, NULL);
    if (h->daemon) {
        int count = 0;
        Exchange **all = under_way(h, &count);
        for (int i = 0; i < count; i++) exchange_abandon(all[i]), exchange_release(all[i]);
        free(all);
        MHD_stop_daemon(h->daemon);
    }
    httpd_unlink(h);
    free(h->unlink_path);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->wake);
    free(h);
}
