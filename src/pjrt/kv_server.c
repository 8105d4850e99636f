/* kv_server.c: serves the store of kv_store.h on a socket, in one thread that no connection can hold up. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "kv.h"
#include "kv_socket.h"
#include "kv_store.h"

enum { PEERS = 256, SLICE = 65536 };
typedef struct Connection { KvPeer peer; int fd; size_t sent; } Connection;

struct KvServer {
    int listener, wake[2], port;
    pthread_t thread;
    KvStore store;
    Connection connection[PEERS];
    int count;
};

/* ---- Connections ------------------------------------------------------------------------------------------------- */

static void drop(KvServer *s, int i) {
    close(s->connection[i].fd);
    kv_peer_free(&s->connection[i].peer, &s->store);
    s->connection[i] = s->connection[--s->count];
}

static void take_connection(KvServer *s) {
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    Connection *c = &s->connection[s->count++];
    *c = (Connection){.fd = fd};
    kv_peer_start(&c->peer, clock_seconds());
}

static void receive(KvServer *s, Connection *c) {
    static uint8_t slice[SLICE]; /* of the one thread */
    ssize_t n = recv(c->fd, slice, sizeof slice, 0);
    if (n > 0) kv_peer_feed(&c->peer, &s->store, slice, (size_t)n, clock_seconds());
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) c->peer.state = KV_BROKEN; /* nobody waits for the reply */
}

static void answer(Connection *c) {
    size_t bytes;
    const uint8_t *data = kv_peer_out(&c->peer, c->sent, &bytes);
    ssize_t n = send(c->fd, data, bytes, MSG_NOSIGNAL);
    if (n > 0) c->sent += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR) c->peer.state = KV_BROKEN;
    if (c->sent == c->peer.out_bytes) c->peer.state = KV_BROKEN; /* all said */
}

/* ---- The thread -------------------------------------------------------------------------------------------------- */

/* Milliseconds until the nearest deadline; -1: none. */
static int until_deadline(const KvServer *s) {
    double now = clock_seconds(), nearest = 3600;
    for (int i = 0; i < s->count; i++)
        if (s->connection[i].peer.deadline - now < nearest) nearest = s->connection[i].peer.deadline - now;
    return s->count == 0 ? -1 : nearest <= 0 ? 0 : (int)(nearest * 1000) + 1;
}

static void *serve(void *arg) {
    KvServer *s = arg;
    for (;;) {
        struct pollfd poll_fd[PEERS + 2];
        int count = s->count;
        poll_fd[0] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
        poll_fd[1] = (struct pollfd){.fd = count < PEERS ? s->listener : -1, .events = POLLIN};
        for (int i = 0; i < count; i++)
            poll_fd[i + 2] = (struct pollfd){.fd = s->connection[i].fd,
                                             .events = s->connection[i].peer.state == KV_REPLYING ? POLLOUT : POLLIN};
        if (poll(poll_fd, (nfds_t)count + 2, until_deadline(s)) < 0 && errno != EINTR) break;
        if (poll_fd[0].revents) break;
        for (int i = 0; i < count; i++) {
            Connection *c = &s->connection[i];
            if (!poll_fd[i + 2].revents) continue;
            if (c->peer.state == KV_REPLYING) answer(c);
            else receive(s, c);
        }
        if (poll_fd[1].revents) take_connection(s);
        double now = clock_seconds();
        for (int i = s->count - 1; i >= 0; i--) {
            kv_peer_check(&s->connection[i].peer, &s->store, now);
            if (s->connection[i].peer.state == KV_BROKEN) drop(s, i);
        }
    }
    return NULL;
}

/* ---- Start and stop ---------------------------------------------------------------------------------------------- */

static int listen_on(const char *address, int *port, Err *err) {
    struct addrinfo *list = kv_resolve(address, true, err);
    int fd = -1, why = 0;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        int yes = 1;
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 64) == 0) break;
        why = errno;
        close(fd);
        fd = -1;
    }
    if (list) freeaddrinfo(list);
    if (fd < 0) {
        err_as(err, QM_IO, "cannot listen on %s: %s", address, strerror(why));
        return -1;
    }
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof bound;
    char service[16] = "";
    if (getsockname(fd, (struct sockaddr *)&bound, &bytes) == 0)
        getnameinfo((struct sockaddr *)&bound, bytes, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    *port = atoi(service);
    return fd;
}

KvServer *kv_server_start(const char *address, const uint8_t secret[KV_SECRET], Err *err) {
    KvServer *s = mem_new(1, sizeof *s, "key-value store", err);
    if (!s) return NULL;
    memcpy(s->store.secret, secret, KV_SECRET);
    s->wake[0] = s->wake[1] = -1;
    s->listener = listen_on(address, &s->port, err);
    int why = 0;
    if (s->listener >= 0 && pipe2(s->wake, O_CLOEXEC) == 0 && (why = pthread_create(&s->thread, NULL, serve, s)) == 0)
        return s;
    err_as(err, QM_IO, "cannot start the key-value store at %s: %s", address, strerror(why ? why : errno));
    if (s->listener >= 0) close(s->listener);
    if (s->wake[0] >= 0) close(s->wake[0]), close(s->wake[1]);
    free(s);
    return NULL;
}

int kv_server_port(const KvServer *server) { return server->port; }

void kv_server_stop(KvServer *server) {
    if (!server) return;
    close(server->wake[1]); /* wakes the thread */
    pthread_join(server->thread, NULL);
    close(server->wake[0]);
    close(server->listener);
    while (server->count) drop(server, server->count - 1);
    kv_store_free(&server->store);
    free(server);
}
