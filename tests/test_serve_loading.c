/* test_serve_loading.c: a server whose model takes its time: until it is open every route but /metrics says 503, and when
 * to come again; then the same routes answer. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cmocka.h>
#include "../src/serve/serve.h"
#include "fixture.h"

static char folder[64], place[96];
static atomic_bool opening, may_open;
static pthread_t test_thread;
static char answer[1 << 16];

static void pause_a_little(void) { nanosleep(&(struct timespec){0, 5000000}, NULL); }

/* What the server says to a request; empty: nobody listens. */
static const char *ask(const char *method, const char *path, const char *body) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[512];
    size_t got = 0;
    ssize_t n = 0;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", place);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    int size = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                        method, path, strlen(body), body);
    bool there = connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (there) assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
    while (there && (n = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0) got += (size_t)n;
    answer[got] = 0;
    close(fd);
    return answer;
}

static bool says(const char *status) { return !strncmp(answer, "HTTP/1.1 ", 9) && !strncmp(answer + 9, status, 3); }

static const struct { const char *method, *path, *body; bool early; } asked[] = {
    {"GET", "/health", "", false}, {"HEAD", "/health", "", false}, {"GET", "/v1/health", "", false},
    {"GET", "/v1/models", "", false}, {"GET", "/props", "", false}, {"GET", "/api/tags", "", false},
    {"POST", "/v1/completions", "{\"prompt\": [1, 2], \"max_tokens\": 2}", false},
    {"POST", "/tokenize", "{\"prompt\": \"a\"}", false}, {"GET", "/metrics", "", true}};
enum { ASKED = sizeof asked / sizeof *asked };

/* The client, beside the server's thread, which is the one that began: it reads the signals. */
static void *client(void *failed) {
    int *wrong = failed;
    for (int i = 0; !atomic_load(&opening) && i < 2000; i++) pause_a_little();
    for (int i = 0; i < ASKED; i++) {
        ask(asked[i].method, asked[i].path, asked[i].body);
        bool ok = asked[i].early ? says("200") : says("503") && strcasestr(answer, "\r\nRetry-After: ");
        bool told = !strcmp(asked[i].method, "HEAD") || asked[i].early ||
                    strstr(answer, strstr(asked[i].path, "/health") ? "\"loading model\"" : "the model is being opened");
        if (!ok || !told) print_error("while it opens, %s %s: %.300s\n", asked[i].method, asked[i].path, answer), ++*wrong;
    }
    atomic_store(&may_open, true);
    for (int i = 0; i < 2000 && (ask("GET", "/health", ""), says("503")); i++) pause_a_little();
    for (int i = 0; i < ASKED; i++) {
        ask(asked[i].method, asked[i].path, asked[i].body);
        if (!says("200")) print_error("when it is open, %s %s: %.300s\n", asked[i].method, asked[i].path, answer), ++*wrong;
    }
    kill(getpid(), SIGTERM);
    return NULL;
}

static bool open_slowly(void *owner, ServerModel *out, Err *err) {
    ServerModel *m = owner;
    QmEngineOptions o;
    atomic_store(&opening, true);
    while (!atomic_load(&may_open)) pause_a_little();
    qm_engine_options(&o);
    o.model = "tests/golden/tiny", o.slots = 2, o.threads = 1;
    if (!(m->source = qm_source_open(o.model, err)) || !(m->engine = qm_engine_open_from(m->source, &o, err)) ||
        !(m->tokenizer = qm_tokenizer_open("tests/data/bytes", err)) || !(m->parameters = qm_parameters_new(m->source, err)))
        return false;
    *out = *m;
    return true;
}

static void refuses_until_open(void **state) {
    Err err = {0};
    ServerModel model = {0};
    int wrong = 0;
    (void)state;
    ServerOptions o = {.http = {.host = place, .connections = 16, .per_address = 16, .head_seconds = 10, .idle_seconds = 10},
                       .model_path = "tiny", .name = {"tiny"}, .names = 1, .queue = 4, .max_body = 1 << 20, .prefill_rows = -1,
                       .timeout = 60, .drain = 10};
    assert_int_equal(pthread_create(&test_thread, NULL, client, &wrong), 0);
    bool ok = serve(&o, open_slowly, &model, &err);
    pthread_join(test_thread, NULL);
    qm_parameters_free(model.parameters);
    qm_tokenizer_close(model.tokenizer);
    qm_engine_close(model.engine);
    qm_source_close(model.source);
    if (!ok) fail_msg("%s", err.text);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(refuses_until_open)};
    snprintf(folder, sizeof folder, "/tmp/loading.XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(place, sizeof place, "%s/http.sock", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(place);
    rmdir(folder);
    return failed;
}
