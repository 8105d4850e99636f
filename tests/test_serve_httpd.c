/* test_serve_httpd.c: connections and exchanges across threads: late answers, clients that do not read, leave or close
 * their half, an end while answers are due. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../src/serve/httpd.h"

/* The exchange that is to be answered, held; one at a time. */
typedef struct Seen { _Atomic(Exchange *) whole; _Atomic int over; } Seen;

static int64_t on_head(void *owner, Exchange *x) {
    (void)owner, (void)x;
    return 1 << 20;
}

static void on_whole(void *owner, Exchange *x) {
    Seen *s = owner;
    exchange_hold(x);
    atomic_store(&s->whole, x);
}

static void on_over(void *owner, Exchange *x) {
    Seen *s = owner;
    (void)x;
    atomic_fetch_add(&s->over, 1);
}

static Httpd *start(Seen *s) {
    Err err = {0};
    const HttpdOptions o = {.host = "127.0.0.1", .connections = 16, .per_address = 16, .head_seconds = 2,
                            .idle_seconds = 1,
                            .user = {.owner = s, .head = on_head, .whole = on_whole, .over = on_over}};
    Httpd *h = httpd_start(&o, &err);
    if (!h) print_error("%s\n", err.text);
    assert_non_null(h);
    return h;
}

/* A client that has sent a request, and the server's side of it. */
static int ask(Httpd *h, Seen *s, Exchange **x) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)atoi(strrchr(httpd_address(h), ':') + 1))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), (ssize_t)sizeof request - 1);
    for (int i = 0; i < 2000 && !(*x = atomic_exchange(&s->whole, NULL)); i++) usleep(1000);
    assert_non_null(*x);
    return fd;
}

static size_t read_all(int fd, char *to, size_t most) {
    size_t got = 0;
    for (ssize_t n; got < most && (n = read(fd, to + got, most - got)) > 0;) got += (size_t)n;
    return got;
}

/* After longer than a connection may be idle. */
static void test_late(void **state) {
    Seen s = {0};
    Httpd *h = start(&s);
    Exchange *x;
    char got[512] = "";
    int fd = ask(h, &s, &x);
    (void)state;
    sleep(2);
    exchange_reply(x, 200, strdup("hello"), 5);
    exchange_release(x);
    read_all(fd, got, sizeof got - 1);
    assert_non_null(strstr(got, "200 OK"));
    assert_non_null(strstr(got, "\r\n\r\nhello"));
    close(fd);
    httpd_stop(h);
    assert_int_equal(atomic_load(&s.over), 1);
}

static void test_stream(void **state) {
    Seen s = {0};
    Httpd *h = start(&s);
    Exchange *x;
    char got[1024] = "";
    int fd = ask(h, &s, &x);
    (void)state;
    exchange_set(x, "X-Mine", "a\r\nX-Other: b");
    assert_true(exchange_begin(x, 200));
    exchange_reply(x, 500, strdup("late"), 4); /* the first answer counts */
    for (int i = 0; i < 20; i++) {
        assert_true(exchange_add(x, "word ", 5));
        if (i % 5 == 0) usleep(20000);
    }
    usleep(1500000); /* a pause, longer than a connection may be idle */
    assert_true(exchange_add(x, "last", 4));
    exchange_end(x);
    exchange_release(x);
    read_all(fd, got, sizeof got - 1);
    assert_non_null(strstr(got, "X-Mine: a\r\n"));
    assert_null(strstr(got, "X-Other"));
    assert_non_null(strstr(got, "last"));
    assert_non_null(strstr(got, "\r\n0\r\n\r\n"));
    close(fd);
    httpd_stop(h);
    assert_int_equal(atomic_load(&s.over), 1);
}

/* Who does not read is dropped, and whoever writes never waits. */
static void test_slow_reader(void **state) {
    static char block[65536];
    Seen s = {0};
    Httpd *h = start(&s);
    Exchange *x;
    int fd = ask(h, &s, &x), added = 0;
    (void)state;
    memset(block, 'a', sizeof block);
    assert_true(exchange_begin(x, 200));
    double began = clock_seconds(), longest = 0;
    while (added < 1000) {
        double before = clock_seconds();
        if (!exchange_add(x, block, sizeof block)) break;
        added++;
        double took = clock_seconds() - before;
        if (took > longest) longest = took;
        usleep(1000);
    }
    assert_in_range(added, SEND_BUFFER / sizeof block, 999);
    assert_true(longest < 0.5 && clock_seconds() - began < 20);
    assert_true(exchange_gone(x) && exchange_left(x));
    exchange_end(x);
    exchange_release(x);
    for (int i = 0; i < 3000 && httpd_connections(h); i++) usleep(1000);
    assert_int_equal(httpd_connections(h), 0);
    close(fd);
    httpd_stop(h);
}

/* Seen of a connection that waits: closed, or half of it. */
static void test_gone(void **state) {
    Seen s = {0};
    Httpd *h = start(&s);
    (void)state;
    for (int half = 0; half < 2; half++) {
        Exchange *x;
        int fd = ask(h, &s, &x);
        assert_false(exchange_gone(x));
        if (half) shutdown(fd, SHUT_WR);
        else close(fd);
        bool gone = false;
        for (int i = 0; i < 1000 && !(gone = exchange_gone(x)); i++) usleep(1000);
        assert_true(gone);
        assert_false(exchange_begin(x, 200));
        exchange_end(x);
        exchange_release(x);
        if (half) close(fd);
    }
    for (int i = 0; i < 3000 && atomic_load(&s.over) < 2; i++) usleep(1000);
    assert_int_equal(atomic_load(&s.over), 2);
    httpd_stop(h);
}

/* The end while an answer is due and a stream is open: both are let go, and may be spoken to afterwards. */
static void test_stop(void **state) {
    Seen s = {0};
    Httpd *h = start(&s);
    Exchange *due, *open;
    char got[512];
    int one = ask(h, &s, &due), two = ask(h, &s, &open);
    (void)state;
    assert_true(exchange_begin(open, 200) && exchange_add(open, "some", 4));
    usleep(100000);
    httpd_stop(h);
    assert_false(exchange_add(open, "more", 4));
    exchange_end(open);
    exchange_reply(due, 200, strdup("late"), 4);
    assert_true(exchange_gone(due) && exchange_gone(open));
    assert_int_equal(atomic_load(&s.over), 0);
    exchange_release(due);
    exchange_release(open);
    assert_int_equal(atomic_load(&s.over), 2);
    assert_int_equal(read_all(one, got, sizeof got), 0);
    read_all(two, got, sizeof got);
    close(one);
    close(two);
}

/* One thread adds, another ends, the client reads: many times. */
static void *add_words(void *owner) {
    for (int i = 0; i < 200 && exchange_add(owner, "words and more words ", 21); i++)
        if (i % 16 == 0) sched_yield();
    exchange_end(owner);
    exchange_release(owner);
    return NULL;
}

static void test_threads(void **state) {
    Seen s = {0};
    Httpd *h = start(&s);
    static char got[16384];
    (void)state;
    for (int round = 0; round < 40; round++) {
        Exchange *x;
        pthread_t thread;
        int fd = ask(h, &s, &x);
        exchange_begin(x, 200);
        assert_int_equal(pthread_create(&thread, NULL, add_words, x), 0);
        if (round % 2) assert_true(read_all(fd, got, sizeof got) > 200 * 21);
        close(fd);
        pthread_join(thread, NULL);
    }
    httpd_stop(h);
    assert_int_equal(atomic_load(&s.over), 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_late),  cmocka_unit_test(test_stream),
                                       cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_gone),
                                       cmocka_unit_test(test_stop),  cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
