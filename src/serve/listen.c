/* listen.c: see listen.h. */
#include "listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512 };

bool host_is_path(const char *host) {
    size_t n = strlen(host), s = strlen(".sock");
    return strchr(host, '/') || (n > s && !strcmp(host + n - s, ".sock"));
}

static bool is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static struct addrinfo *look_up(const char *host, const char *port, int *why) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    *why = getaddrinfo(host, port, &hints, &found);
    return *why ? NULL : found;
}

bool host_is_loopback(const char *host) {
    int why;
    struct addrinfo *all = look_up(host, "0", &why);
    bool loopback = all != NULL;
    for (struct addrinfo *a = all; a; a = a->ai_next) loopback = loopback && is_loopback(a->ai_addr);
    if (all) freeaddrinfo(all);
    return loopback;
}

static int listen_unix(const char *path, char address[160], char **unlink_path, Err *err) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof a.sun_path)
        return err_as(err, QM_USAGE, "--host %s: expected a path of at most %zu bytes", path, sizeof a.sun_path - 1), -1;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_as(err, QM_IO, "cannot make a socket: %s", strerror(errno)), -1;
    if (lstat(path, &st) == 0) {
        bool taken = !S_ISSOCK(st.st_mode) || connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
        if (taken) {
            err_as(err, QM_IO, "--host %s: %s", path,
                   S_ISSOCK(st.st_mode) ? "another server listens there" : "expected a socket, or nothing, got a file");
            close(fd);
            return -1;
        }
        unlink(path);
    }
    mode_t before = umask(0077); /* its owner alone: who may connect may ask */
    bool ok = bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    umask(before);
    snprintf(address, 160, "unix:%s", path);
    if (ok && (*unlink_path = strdup(path))) return fd;
    err_as(err, QM_IO, "cannot listen at %s: %s", path, strerror(why));
    close(fd);
    return -1;
}

int listen_open(const char *host, int port, bool tls, char address[160], char **unlink_path, Err *err) {
    char number[16];
    int why = 0, fd = -1, failed = 0, yes = 1;
    *unlink_path = NULL;
    if (host_is_path(host)) return listen_unix(host, address, unlink_path, err);
    snprintf(number, sizeof number, "%d", port);
    struct addrinfo *all = look_up(host, number, &why);
    if (!all) return err_as(err, QM_USAGE, "--host %s: %s", host, gai_strerror(why)), -1;
    for (struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            failed = errno;
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) break;
        failed = errno;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(all);
    if (fd < 0) return err_as(err, QM_IO, "cannot listen at %s port %d: %s", host, port, strerror(failed)), -1;
    listen_address(fd, tls, address);
    return fd;
}

/* ---- A socket that was given ------------------------------------------------------------------------------------- */

/* Where a socket is: an address and a port, or a path and 0. */
static bool where(int fd, char host[HOST_BYTES], int *port) {
    struct sockaddr_storage at;
    struct sockaddr_un un;
    socklen_t size = sizeof at;
    char number[16];
    *port = 0;
    if (getsockname(fd, (struct sockaddr *)&at, &size) != 0) return false;
    if (at.ss_family == AF_UNIX) {
        memcpy(&un, &at, sizeof un);
        return un.sun_path[0] == '/' && snprintf(host, HOST_BYTES, "%.*s", (int)sizeof un.sun_path, un.sun_path) > 0;
    }
    if (getnameinfo((const struct sockaddr *)&at, size, host, HOST_BYTES, number, sizeof number,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    *port = atoi(number);
    return true;
}

void listen_address(int fd, bool tls, char address[160]) {
    char host[HOST_BYTES] = "";
    int port = 0;
    where(fd, host, &port);
    bool six = strchr(host, ':') != NULL;
    if (host_is_path(host)) snprintf(address, 160, "unix:%s", host);
    else snprintf(address, 160, "%s://%s%s%s:%d", tls ? "https" : "http", six ? "[" : "", host, six ? "]" : "", port);
}

int listen_given(char host[HOST_BYTES], int *port, Err *err) {
    enum { FIRST = 3 };
    const char *whose = getenv("LISTEN_PID"), *how_many = getenv("LISTEN_FDS");
    int64_t pid = 0, count = 0;
    bool ours = whose && how_many && parse_int(whose, 1, INT32_MAX, &pid) && pid == getpid();
    if (!ours) return 0;
    bool one = parse_int(how_many, 0, INT32_MAX, &count) && count == 1;
    unsetenv("LISTEN_PID"), unsetenv("LISTEN_FDS"), unsetenv("LISTEN_FDNAMES");
    if (!one) {
        err_as(err, QM_USAGE, "LISTEN_FDS: expected one socket to listen on, got %lld", (long long)count);
        return -1;
    }
    int listens = 0, type = 0;
    socklen_t size = sizeof listens;
    fcntl(FIRST, F_SETFD, FD_CLOEXEC);
    if (getsockopt(FIRST, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
        getsockopt(FIRST, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM && where(FIRST, host, port))
        return FIRST;
    err_as(err, QM_USAGE, "LISTEN_FDS: expected a stream socket that listens at an address or a path as descriptor %d",
           FIRST);
    return -1;
}
