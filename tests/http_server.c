/* http_server.c: a small HTTP server on 127.0.0.1 for tests of downloads: it serves a folder and fails on purpose.
 *
 *     http_server ROOT LOG     prints its port, then serves; ends after five minutes at the latest
 *
 * A request for /a/b?c is answered from the file ROOT/a/b?c, else ROOT/a/b. A file beside it called <file>.fault says
 * what goes wrong, one a line:
 *     status N        answers N, with no body            redirect URL    answers 302
 *     cut N           closes after N bytes               cut-once N      the same, the first time only
 *     stall N         falls silent after N bytes         longer N        N bytes more than the file
 *     no-range        sends the whole file always        wrong-range     sends another part than asked for
 *     header TEXT     one more header line               headers         headers without end
 *     pause N         waits N ms before what is past the file's end, so that it comes as a piece of its own
 * Every request adds a line to LOG: its target, range and authorization. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../src/base/base.h"

enum { REQUEST_LIMIT = 32 << 10, PATH_BYTES = 4096, FILE_LIMIT = 256 << 20 };

typedef struct Fault {
    int status;
    char redirect[1024], header[256];
    int64_t cut, stall, longer, pause; /* -1: does not */
    bool cut_once, no_range, wrong_range, headers;
} Fault;

static Fault read_fault(const char *file) {
    Fault f = {.cut = -1, .stall = -1, .longer = 0};
    char path[PATH_BYTES + 8], line[1200];
    long long n;
    snprintf(path, sizeof path, "%s.fault", file);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "status %d", &f.status) == 1) continue;
        if (sscanf(line, "redirect %1023s", f.redirect) == 1) f.status = 302;
        if (!strncmp(line, "header ", 7)) snprintf(f.header, sizeof f.header, "%.250s\r\n", line + 7);
        if (sscanf(line, "cut %lld", &n) == 1) f.cut = n;
        if (sscanf(line, "cut-once %lld", &n) == 1) f.cut = n, f.cut_once = true;
        if (sscanf(line, "stall %lld", &n) == 1) f.stall = n;
        if (sscanf(line, "longer %lld", &n) == 1) f.longer = n;
        if (sscanf(line, "pause %lld", &n) == 1) f.pause = n;
        if (!strcmp(line, "no-range")) f.no_range = true;
        if (!strcmp(line, "wrong-range")) f.wrong_range = true;
        if (!strcmp(line, "headers")) f.headers = true;
    }
    if (in) fclose(in);
    if (f.cut_once) unlink(path);
    return f;
}

static bool send_all(int client, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = send(client, data, bytes, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

static void send_text(int client, const char *text) { send_all(client, text, strlen(text)); }

/* Silent until the client goes away. */
static void stall(int client) {
    struct pollfd wait = {.fd = client, .events = POLLIN | POLLRDHUP};
    poll(&wait, 1, 60000);
}

/* "%41" to "A", in place. */
static void decode(char *text) {
    char *to = text;
    for (; *text; text++) {
        unsigned value;
        if (*text == '%' && sscanf(text + 1, "%2x", &value) == 1) *to++ = (char)value, text += 2;
        else *to++ = *text;
    }
    *to = 0;
}

/* Copies the value of a header of the request, "" when it is not there. */
static void header_of(const char *request, const char *name, char *out, size_t size) {
    out[0] = 0;
    for (const char *line = strstr(request, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, strlen(name)))
            snprintf(out, size, "%.*s", (int)strcspn(line + 2 + strlen(name), "\r"), line + 2 + strlen(name));
}

static void answer(int client, const char *file, int64_t from, const Fault *f) {
    char head[2048];
    Err err = {0};
    size_t bytes = 0;
    if (f->status) {
        snprintf(head, sizeof head, "HTTP/1.1 %d Test\r\n%s%s%s%sContent-Length: 7\r\nConnection: close\r\n\r\nnothing",
                 f->status, f->redirect[0] ? "Location: " : "", f->redirect, f->redirect[0] ? "\r\n" : "", f->header);
        send_text(client, head);
        return;
    }
    char *data = file_read(file, FILE_LIMIT, &bytes, &err);
    if (!data) {
        send_text(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    if (f->no_range) from = 0;
    if (from > 0 && (size_t)from >= bytes) {
        send_text(client, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        free(data);
        return;
    }
    int64_t left = (int64_t)bytes - from;
    int n = from > 0 ? snprintf(head, sizeof head, "HTTP/1.1 206 Part\r\nContent-Range: bytes %lld-%zu/%zu\r\n",
                                (long long)(f->wrong_range ? 0 : from), bytes - 1, bytes)
                     : snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n");
    snprintf(head + n, sizeof head - (size_t)n, "%sContent-Length: %lld\r\nConnection: close\r\n\r\n", f->header,
             (long long)(left + f->longer));
    for (int i = 0; f->headers && i < 1000000; i++)
        if (!send_all(client, i ? "X-More: and more and more and more\r\n" : "HTTP/1.1 200 OK\r\n", i ? 36 : 17)) break;
    send_text(client, head);
    int64_t stop = f->cut >= 0 ? f->cut : f->stall >= 0 ? f->stall : left;
    send_all(client, data + from, (size_t)(stop < left ? stop : left));
    if (f->pause > 0) poll(NULL, 0, (int)f->pause);
    for (int64_t i = 0; i < f->longer; i++)
        if (!send_all(client, "+", 1)) break;
    if (f->stall >= 0) stall(client);
    free(data);
}

static void serve(int client, const char *root, const char *log) {
    static char request[REQUEST_LIMIT];
    char target[PATH_BYTES / 2], file[PATH_BYTES], range[64], authorization[256];
    size_t bytes = 0;
    long long from = 0;
    request[0] = 0;
    while (bytes + 1 < sizeof request && !strstr(request, "\r\n\r\n")) {
        ssize_t n = recv(client, request + bytes, sizeof request - bytes - 1, 0);
        if (n <= 0) return;
        bytes += (size_t)n;
        request[bytes] = 0;
    }
    if (sscanf(request, "GET %2000s HTTP/1.1", target) != 1) return;
    header_of(request, "Range: ", range, sizeof range);
    header_of(request, "Authorization: ", authorization, sizeof authorization);
    FILE *out = fopen(log, "ae");
    if (out) fprintf(out, "%s range=%s auth=%s\n", target, range, authorization);
    if (out) fclose(out);
    decode(target);
    snprintf(file, sizeof file, "%s%s", root, target);
    char *query = strchr(file, '?');
    if (query && !file_exists(file)) *query = 0;
    if (sscanf(range, "bytes=%lld-", &from) != 1) from = 0;
    Fault fault = read_fault(file);
    answer(client, file, from, &fault);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    alarm(300);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (server < 0 || bind(server, (struct sockaddr *)&address, size) != 0 || listen(server, 16) != 0) return 1;
    if (getsockname(server, (struct sockaddr *)&address, &size) != 0) return 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(server, NULL, NULL);
        if (client < 0) continue;
        serve(client, argv[1], argv[2]);
        shutdown(client, SHUT_WR);
        struct pollfd wait = {.fd = client, .events = POLLIN};
        char rest[4096];
        while (poll(&wait, 1, 2000) > 0 && recv(client, rest, sizeof rest, 0) > 0) continue;
        close(client);
    }
}
