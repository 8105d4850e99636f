/* kv_client.c: asks the store of node 0, and answers a plugin's callbacks with what it says. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "kv.h"
#include "kv_socket.h"
#include "kv_store.h"

struct KvClient { char *address; uint8_t secret[KV_SECRET]; };

struct addrinfo *kv_resolve(const char *address, bool passive, Err *err) {
    char host[256] = "";
    const char *colon = strrchr(address, ':');
    int64_t port;
    size_t bytes = colon ? (size_t)(colon - address) : 0;
    if (bytes > 2 && address[0] == '[' && colon[-1] == ']') address++, bytes -= 2;
    if (!colon || bytes == 0 || bytes >= sizeof host || !parse_int(colon + 1, 0, 65535, &port)) {
        err_as(err, QM_DEVICE, "expected HOST:PORT, got '%s'", address);
        return NULL;
    }
    memcpy(host, address, bytes);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host, colon + 1, &hints, &list);
    if (code == 0) return list;
    err_as(err, QM_IO, "cannot resolve %s: %s", host, code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    return NULL;
}

KvClient *kv_client_new(const char *address, const uint8_t secret[KV_SECRET], Err *err) {
    struct addrinfo *list = kv_resolve(address, false, err);
    if (!list) return NULL;
    freeaddrinfo(list);
    KvClient *client = mem_new(1, sizeof *client, "key-value client", err);
    if (client) memcpy(client->secret, secret, KV_SECRET);
    if (client && !(client->address = strdup(address))) {
        free(client);
        client = NULL;
        err_as(err, QM_MEMORY, "out of memory: %s", address);
    }
    return client;
}

void kv_client_free(KvClient *client) {
    if (!client) return;
    free(client->address);
    free(client);
}

/* ---- Sockets with a deadline ------------------------------------------------------------------------------------- */

static bool wait_for(int fd, short events, double deadline) {
    for (;;) {
        double left = deadline - clock_seconds();
        struct pollfd p = {.fd = fd, .events = events};
        int n = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
        if (n != -1 || errno != EINTR) return n == 1;
    }
}

/* A connection to one address; -1 when it is refused or too slow. */
static int connect_to(const struct addrinfo *a, double deadline) {
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    int why = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    socklen_t bytes = sizeof why;
    if (why == EINPROGRESS && wait_for(fd, POLLOUT, deadline)) getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &bytes);
    if (why == 0) return fd;
    close(fd);
    errno = why;
    return -1;
}

/* Node 0 may start later than we do: tries again until the deadline. */
static int connect_until(const char *address, double deadline, Err *err) {
    for (;;) {
        struct addrinfo *list = kv_resolve(address, false, err);
        int fd = -1;
        if (!list) return -1;
        for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) fd = connect_to(a, deadline);
        int why = errno;
        freeaddrinfo(list);
        if (fd >= 0) return fd;
        if (clock_seconds() + 0.1 >= deadline) {
            err_as(err, QM_IO, "no key-value store at %s: %s", address, strerror(why));
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

static bool send_all(int fd, const void *data, size_t bytes, double deadline) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = send(fd, (const char *)data + done, bytes - done, MSG_NOSIGNAL);
        if (n > 0) done += (size_t)n;
        else if (n < 0 && errno == EAGAIN ? !wait_for(fd, POLLOUT, deadline) : errno != EINTR) return false;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t bytes, double deadline) {
    for (size_t done = 0; done < bytes;) {
        if (!wait_for(fd, POLLIN, deadline)) return false;
        ssize_t n = recv(fd, (char *)data + done, bytes - done, 0);
        if (n > 0) done += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR)) return false;
    }
    return true;
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

enum { CONNECT_PATIENCE = 60 }; /* seconds for node 0 to come up */

typedef struct Asked { KvHead head; const char *key, *value; } Asked;

static PjrtCode ask(KvClient *client, const Asked *q, char **value, size_t *value_bytes, Err *err) {
    double now = clock_seconds(), wait = q->head.timeout_ms / 1000.0;
    int fd = connect_until(client->address, now + (wait > CONNECT_PATIENCE ? wait : CONNECT_PATIENCE), err);
    if (fd < 0) return PJRT_UNAVAILABLE;
    uint8_t head[KV_REQUEST_HEAD], reply[KV_REPLY_HEAD];
    PjrtCode status = PJRT_UNAVAILABLE;
    uint32_t bytes = 0;
    double deadline = clock_seconds() + wait + KV_PATIENCE;
    KvHead asked = q->head;
    memcpy(asked.secret, client->secret, KV_SECRET);
    kv_head_write(head, &asked);
    /* One that is refused is answered before all of it is sent: then sending fails, and the answer says why. */
    bool sent = send_all(fd, head, sizeof head, deadline) && send_all(fd, q->key, q->head.key_bytes, deadline) &&
                send_all(fd, q->value, q->head.value_bytes, deadline);
    bool ok = receive_all(fd, reply, sizeof reply, deadline) &&
              kv_reply_read(reply, &status, &bytes) && (value || bytes == 0) && (sent || status != PJRT_OK);
    char *data = ok ? malloc((size_t)bytes + 1) : NULL;
    ok = data && receive_all(fd, data, bytes, deadline);
    close(fd);
    if (!ok || status != PJRT_OK || !value) free(data);
    else *value = data, *value_bytes = bytes;
    if (!ok) {
        err_as(err, QM_DEVICE, "the key-value store at %s broke off", client->address);
        return PJRT_UNAVAILABLE;
    }
    if (status == PJRT_DEADLINE_EXCEEDED || status == PJRT_NOT_FOUND)
        err_as(err, QM_DEVICE, "no key '%.*s' in the store at %s after %u ms",
               (int)(q->head.key_bytes > 200 ? 200 : q->head.key_bytes), q->key, client->address, q->head.timeout_ms);
    else if (status == PJRT_UNAUTHENTICATED)
        err_as(err, QM_DEVICE, "the key-value store at %s has another secret", client->address);
    else if (status != PJRT_OK) err_as(err, QM_DEVICE, "the key-value store at %s is full", client->address);
    return status;
}

static bool sizes_fit(size_t key_bytes, size_t value_bytes, Err *err) {
    return (key_bytes <= KV_KEY_MAX && value_bytes <= KV_VALUE_MAX) ||
           err_as(err, QM_DEVICE, "key-value store: expected at most %d bytes of key and %d of value, got %zu and %zu",
                  KV_KEY_MAX, KV_VALUE_MAX, key_bytes, value_bytes);
}

PjrtCode kv_get(KvClient *client, const char *key, size_t key_bytes, int timeout_ms, char **value, size_t *value_bytes,
                Err *err) {
    if (!sizes_fit(key_bytes, 0, err)) return PJRT_INVALID_ARGUMENT;
    uint32_t wait = timeout_ms < 0 ? 0 : timeout_ms > KV_TIMEOUT_MAX ? KV_TIMEOUT_MAX : (uint32_t)timeout_ms;
    return ask(client, &(Asked){{KV_GET, (uint32_t)key_bytes, 0, wait, {0}}, key, ""}, value, value_bytes, err);
}

PjrtCode kv_put(KvClient *client, const char *key, size_t key_bytes, const char *value, size_t value_bytes, Err *err) {
    if (!sizes_fit(key_bytes, value_bytes, err)) return PJRT_INVALID_ARGUMENT;
    return ask(client, &(Asked){{KV_PUT, (uint32_t)key_bytes, (uint32_t)value_bytes, 0, {0}}, key, value}, NULL, NULL,
               err);
}

/* ---- Callbacks --------------------------------------------------------------------------------------------------- */

static void free_value(char *value) { free(value); }

static PjrtError *fail(PjrtFail *make, PjrtCode code, const Err *err) {
    return (*make)((int)code, err->text, strlen(err->text));
}

PjrtError *kv_pjrt_get(PjrtStoreGetArgs *args) {
    Err err = {0};
    PjrtCode code =
        kv_get(args->user, args->key, args->key_bytes, args->timeout_ms, &args->value, &args->value_bytes, &err);
    args->free_value = free_value;
    return code == PJRT_OK ? NULL : fail(args->fail, code, &err);
}

PjrtError *kv_pjrt_try_get(PjrtStoreTryGetArgs *args) {
    Err err = {0};
    PjrtCode code = kv_get(args->user, args->key, args->key_bytes, 0, &args->value, &args->value_bytes, &err);
    args->free_value = free_value;
    return code == PJRT_OK ? NULL : fail(args->fail, code, &err);
}

PjrtError *kv_pjrt_put(PjrtStorePutArgs *args) {
    Err err = {0};
    PjrtCode code = kv_put(args->user, args->key, args->key_bytes, args->value, args->value_bytes, &err);
    return code == PJRT_OK ? NULL : fail(args->fail, code, &err);
}
