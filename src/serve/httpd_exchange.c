/* httpd_exchange.c: an answer's way from whoever makes it to the connection, across threads. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "../base/guard.h"
#include "httpd_own.h"

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *path_decoded(const char *raw) {
    size_t n = strcspn(raw, "?#");
    char *path = *raw == '/' ? malloc(n + 1) : NULL;
    size_t out = 0;
    for (size_t i = 0; path && i < n; i++) {
        unsigned char c = (unsigned char)raw[i];
        if (c == '%') {
            int high = i + 2 < n ? digit_of(raw[i + 1]) : -1, low = high >= 0 ? digit_of(raw[i + 2]) : -1;
            if (low < 0) {
                free(path);
                return NULL;
            }
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) {
            free(path);
            return NULL;
        }
        path[out++] = (char)c;
    }
    if (path) path[out] = '\0';
    return path;
}

Exchange *exchange_new(Httpd *h, struct MHD_Connection *connection, Link *link, const char *method, const char *path) {
    Exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    *x = (Exchange){.http = h, .user = h->options.user, .holders = 1, .connection = connection, .link = link, .fd = link->fd,
                    .arrived = clock_seconds(), .method = strdup(method), .path = path_decoded(path)};
    memcpy(x->peer, link->peer, sizeof x->peer);
    pthread_mutex_init(&x->lock, NULL);
    if (x->method) return x;
    exchange_release(x);
    return NULL;
}

static void exchange_free(Exchange *x) {
    if (x->user.over) x->user.over(x->user.owner, x);
    for (int i = 0; i < x->headers; i++) free(x->header[i].name), free(x->header[i].value);
    text_free(&x->body);
    text_free(&x->out);
    free(x->reply);
    free(x->method);
    free(x->path);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

void exchange_hold(Exchange *x) { atomic_fetch_add(&x->holders, 1); }
void exchange_release(Exchange *x) {
    if (x && atomic_fetch_sub(&x->holders, 1) == 1) exchange_free(x);
}

void link_deadline(Httpd *h, Link *link, bool reads, double deadline) {
    pthread_mutex_lock(&h->lock);
    link->reads = reads;
    link->deadline = deadline;
    pthread_mutex_unlock(&h->lock);
}

/* ---- To the connection ------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void resume(Exchange *x) {
    if (!x->suspended) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

/* How long the client may take for what is left of an answer that is whole. On HTTP's thread, or under the lock. */
static void sending(Exchange *x, size_t bytes) {
    if (x->link) link_deadline(x->http, x->link, false, clock_seconds() + BODY_SECONDS + (double)bytes / LEAST_RATE);
}

static ssize_t on_read(void *owner, uint64_t position, char *to, size_t most) {
    Exchange *x = owner;
    (void)position;
    pthread_mutex_lock(&x->lock);
    size_t n = x->out.bytes - x->taken;
    ssize_t result;
    if (n > most) n = most;
    if (n) {
        memcpy(to, x->out.data + x->taken, n);
        x->taken += n;
        x->sent += (int64_t)n;
        if (x->taken == x->out.bytes) x->taken = x->out.bytes = 0;
        result = (ssize_t)n;
    } else if (x->left || atomic_load(&x->http->stopping)) result = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (x->ended) result = MHD_CONTENT_READER_END_OF_STREAM;
    else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
        result = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

static void on_read_over(void *owner) { exchange_release(owner); }

enum MHD_Result exchange_queue(Exchange *x) {
    enum { BLOCK = 16384 };
    struct MHD_Response *r;
    if (x->stream) {
        exchange_hold(x);
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, x, on_read_over);
        if (!r) exchange_release(x);
    } else {
        r = MHD_create_response_from_buffer(x->reply_bytes, x->reply, x->reply ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (r) {
            x->reply = NULL;
            x->sent = (int64_t)x->reply_bytes;
        }
        sending(x, x->reply_bytes);
    }
    if (!r) return MHD_NO;
    enum MHD_Result ok = MHD_YES;
    for (int i = 0; i < x->headers; i++)
        if (MHD_add_response_header(r, x->header[i].name, x->header[i].value) != MHD_YES) ok = MHD_NO;
    if (ok == MHD_YES) ok = MHD_queue_response(x->connection, (unsigned)x->status, r);
    x->queued = true;
    MHD_destroy_response(r);
    return ok;
}

void exchange_closed(Exchange *x, bool whole) {
    pthread_mutex_lock(&x->lock);
    x->left = x->left || !whole;
    x->connection = NULL;
    x->link = NULL;
    x->fd = -1;
    x->suspended = false;
    pthread_mutex_unlock(&x->lock);
    exchange_release(x);
}

void exchange_abandon(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    if (!x->answered || x->stream) x->left = x->left || !x->ended;
    if (x->connection) resume(x);
    pthread_mutex_unlock(&x->lock);
}

/* ---- From whoever answers ---------------------------------------------------------------------------------------- */

void exchange_set(Exchange *x, const char *name, const char *value) {
    pthread_mutex_lock(&x->lock);
    if (!x->answered && x->headers < MOST_REPLY_HEADERS) {
        char *n = strdup(name), *v = strndup(value, strcspn(value, "\r\n"));
        if (n && v) x->header[x->headers].name = n, x->header[x->headers++].value = v;
        else guard_miss(), free(n), free(v);
    }
    pthread_mutex_unlock(&x->lock);
}

void exchange_reply(Exchange *x, int status, char *body, size_t bytes) {
    pthread_mutex_lock(&x->lock);
    if (x->answered) free(body);
    else {
        x->answered = x->ended = true;
        x->status = status;
        x->reply = body;
        x->reply_bytes = bytes;
        if (x->connection) resume(x);
    }
    pthread_mutex_unlock(&x->lock);
}

bool exchange_begin(Exchange *x, int status) {
    pthread_mutex_lock(&x->lock);
    bool ok = !x->answered && !x->left;
    if (!x->answered) {
        x->answered = x->stream = true;
        x->status = status;
        if (x->connection) resume(x);
    }
    pthread_mutex_unlock(&x->lock);
    return ok;
}

bool exchange_add(Exchange *x, const char *data, size_t bytes) {
    pthread_mutex_lock(&x->lock);
    bool ok = x->stream && !x->ended && !x->left && x->connection;
    if (ok && x->out.bytes - x->taken + bytes > SEND_BUFFER) ok = false, x->left = true;
    if (ok) {
        if (x->taken > SEND_BUFFER / 4) {
            memmove(x->out.data, x->out.data + x->taken, x->out.bytes - x->taken);
            x->out.bytes -= x->taken;
            x->taken = 0;
        }
        text_add(&x->out, data, bytes);
        if (x->out.failed) ok = false, x->left = true;
    }
    if (x->left && x->fd >= 0) shutdown(x->fd, SHUT_RDWR);
    if (x->connection) resume(x);
    pthread_mutex_unlock(&x->lock);
    return ok;
}

void exchange_end(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    if (x->stream && !x->ended) {
        x->ended = true;
        sending(x, x->out.bytes - x->taken);
        if (x->connection) resume(x);
    }
    pthread_mutex_unlock(&x->lock);
}

void exchange_cut(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    if (x->stream && !x->ended) {
        x->left = true;
        if (x->fd >= 0) shutdown(x->fd, SHUT_RDWR);
        if (x->connection) resume(x);
    }
    pthread_mutex_unlock(&x->lock);
}

bool exchange_gone(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    struct pollfd p = {.fd = x->fd, .events = POLLRDHUP};
    bool gone = x->left || x->fd < 0 || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
    if (gone && !x->ended) x->left = true;
    pthread_mutex_unlock(&x->lock);
    return gone;
}

int exchange_status(const Exchange *x) { return x->status; }
bool exchange_left(const Exchange *x) { return x->left; }
int64_t exchange_sent(const Exchange *x) { return x->sent; }

/* ---- What came --------------------------------------------------------------------------------------------------- */

const char *exchange_method(const Exchange *x) { return x->method; }
const char *exchange_path(const Exchange *x) { return x->path ? x->path : ""; }
const char *exchange_peer(const Exchange *x) { return x->peer; }
double exchange_arrived(const Exchange *x) { return x->arrived; }
int64_t exchange_body_bytes(const Exchange *x) { return x->body_bytes; }
void *exchange_data(const Exchange *x) { return x->data; }
void exchange_set_data(Exchange *x, void *data) { x->data = data; }

const char *exchange_header(const Exchange *x, const char *name) {
    return x->connection ? MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name) : NULL;
}

const char *exchange_query(const Exchange *x, const char *name) {
    return x->connection ? MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name) : NULL;
}

typedef struct Counted { const char *name; int count; } Counted;

static enum MHD_Result count_header(void *owner, enum MHD_ValueKind kind, const char *name, const char *value) {
    Counted *c = owner;
    (void)kind, (void)value;
    c->count += !strcasecmp(name, c->name);
    return MHD_YES;
}

int exchange_headers(const Exchange *x, const char *name) {
    Counted c = {name, 0};
    if (x->connection) MHD_get_connection_values(x->connection, MHD_HEADER_KIND, count_header, &c);
    return c.count;
}

const char *exchange_body(const Exchange *x, size_t *bytes) {
    *bytes = x->body.bytes;
    return x->body.data ? x->body.data : "";
}

void exchange_drop_body(Exchange *x) { text_free(&x->body); }
