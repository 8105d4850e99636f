/* test_kv.c: the key-value store of several processes, over loopback: friends, strangers and silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../src/pjrt/kv.h"
#include "../src/pjrt/kv_store.h"
#include "fixture.h"

#define SECRET "0123456789abcdef0123456789abcde"
static const uint8_t secret[KV_SECRET] = SECRET;
static KvServer *server;
static KvClient *client;

static int start(void **state) {
    (void)state;
    Err err = {0};
    char address[64];
    server = kv_server_start("127.0.0.1:0", secret, &err);
    if (server) snprintf(address, sizeof address, "127.0.0.1:%d", kv_server_port(server));
    client = server ? kv_client_new(address, secret, &err) : NULL;
    if (!client) fprintf(stderr, "%s\n", err.text);
    return client ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    kv_server_stop(server);
    kv_client_free(client);
    return 0;
}

static PjrtCode put(const char *key, const char *value, size_t bytes) {
    return kv_put(client, key, strlen(key), value, bytes, NULL);
}

static PjrtCode get(const char *key, int timeout_ms, char **value, size_t *bytes, Err *err) {
    *value = NULL;
    return kv_get(client, key, strlen(key), timeout_ms, value, bytes, err);
}

static void holds(const char *key, const char *expected, size_t expected_bytes) {
    char *value;
    size_t bytes;
    assert_int_equal(get(key, 1000, &value, &bytes, NULL), PJRT_OK);
    assert_int_equal(bytes, expected_bytes);
    assert_memory_equal(value, expected, bytes);
    free(value);
}

/* ---- Friends ----------------------------------------------------------------------------------------------------- */

static void keeps_what_is_put(void **state) {
    (void)state;
    char *value, *large = malloc(KV_VALUE_MAX);
    size_t bytes;
    Err err = {0};
    assert_int_equal(put("a", "one\0two", 7), PJRT_OK);
    holds("a", "one\0two", 7);
    assert_int_equal(put("a", "", 0), PJRT_OK);
    holds("a", "", 0);
    for (size_t i = 0; i < KV_VALUE_MAX; i++) large[i] = (char)(i * 7 + i / 251);
    assert_int_equal(put("large", large, KV_VALUE_MAX), PJRT_OK);
    holds("large", large, KV_VALUE_MAX);
    assert_int_equal(put("large", "small", 5), PJRT_OK);
    assert_int_equal(kv_put(client, "large", 5, large, KV_VALUE_MAX + 1, &err), PJRT_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "expected at most 4096 bytes of key and 16777216 of value"));
    assert_int_equal(kv_get(client, large, KV_KEY_MAX + 1, 0, &value, &bytes, NULL), PJRT_INVALID_ARGUMENT);
    holds("large", "small", 5);
    free(large);
}

static void a_missing_key_is_waited_for(void **state) {
    (void)state;
    char *value;
    size_t bytes;
    Err err = {0};
    assert_int_equal(get("none", 0, &value, &bytes, &err), PJRT_NOT_FOUND);
    assert_non_null(strstr(err.text, "no key 'none' in the store at 127.0.0.1:"));
    double begin = clock_seconds();
    assert_int_equal(get("none", 200, &value, &bytes, NULL), PJRT_DEADLINE_EXCEEDED);
    assert_true(clock_seconds() - begin >= 0.2 && clock_seconds() - begin < 120);
    assert_int_equal(get("none", -5, &value, &bytes, NULL), PJRT_NOT_FOUND);
}

static void *put_later(void *key) {
    usleep(150000);
    put(key, "late", 4);
    return NULL;
}

static void a_put_wakes_who_waits(void **state) {
    (void)state;
    pthread_t thread;
    char *value, key[] = "later";
    size_t bytes;
    assert_int_equal(pthread_create(&thread, NULL, put_later, key), 0);
    double begin = clock_seconds();
    assert_int_equal(get(key, 20000, &value, &bytes, NULL), PJRT_OK);
    assert_true(clock_seconds() - begin < 120);
    assert_memory_equal(value, "late", 4);
    free(value);
    pthread_join(thread, NULL);
}

enum { THREADS = 16, KEYS = 25 };
static int wrong;

/* Each thread puts its keys and waits for its neighbour's. */
static void *exchange(void *arg) {
    int me = *(int *)arg, other = (me + 1) % THREADS;
    for (int i = 0; i < KEYS; i++) {
        char key[32], *value;
        size_t bytes;
        snprintf(key, sizeof key, "x%d.%d", me, i);
        if (put(key, key, strlen(key)) != PJRT_OK) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        snprintf(key, sizeof key, "x%d.%d", other, i);
        if (get(key, 30000, &value, &bytes, NULL) != PJRT_OK || bytes != strlen(key) || memcmp(value, key, bytes) != 0)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        free(value);
    }
    return NULL;
}

static void many_threads_ask_at_once(void **state) {
    (void)state;
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) number[i] = i, pthread_create(&thread[i], NULL, exchange, &number[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(wrong, 0);
}

/* The plugin's side: it makes the errors, copies the value, frees it through us. */
struct PJRT_Error { int code; char message[200]; };
static PjrtError *make_error(int code, const char *message, size_t bytes) {
    PjrtError *e = calloc(1, sizeof *e);
    e->code = code;
    memcpy(e->message, message, bytes < 199 ? bytes : 199);
    return e;
}

static void a_plugins_callbacks(void **state) {
    (void)state;
    PjrtFail fail = make_error;
    PjrtStorePutArgs p = {
        .key = "call", .key_bytes = 4, .value = "back", .value_bytes = 4, .fail = &fail, .user = client};
    PjrtStoreGetArgs g = {.key = "call", .key_bytes = 4, .timeout_ms = 1000, .fail = &fail, .user = client};
    PjrtStoreTryGetArgs t = {.key = "call", .key_bytes = 4, .fail = &fail, .user = client};
    assert_null(kv_pjrt_put(&p));
    assert_null(kv_pjrt_get(&g));
    assert_int_equal(g.value_bytes, 4);
    assert_memory_equal(g.value, "back", 4);
    g.free_value(g.value);
    assert_null(kv_pjrt_try_get(&t));
    assert_memory_equal(t.value, "back", 4);
    t.free_value(t.value);
    t.key = "gone";
    PjrtError *e = kv_pjrt_try_get(&t);
    assert_int_equal(e->code, PJRT_NOT_FOUND);
    free(e);
    g.key = "gone";
    g.timeout_ms = 50;
    e = kv_pjrt_get(&g);
    assert_int_equal(e->code, PJRT_DEADLINE_EXCEEDED);
    assert_non_null(strstr(e->message, "no key 'gone'"));
    free(e);
    p.value_bytes = KV_VALUE_MAX + 1;
    e = kv_pjrt_put(&p);
    assert_int_equal(e->code, PJRT_INVALID_ARGUMENT);
    free(e);
}

/* ---- Strangers --------------------------------------------------------------------------------------------------- */

static int stranger(const void *data, size_t bytes) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)kv_server_port(server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) fail_msg("cannot connect");
    if (bytes && send(fd, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) fail_msg("cannot send");
    return fd;
}

/* The server hangs up without an answer, within 5 s. */
static void is_hung_up_on(int fd) {
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void what_is_no_request_is_hung_up_on(void **state) {
    (void)state;
    uint8_t f[KV_REQUEST_HEAD + 64] = {0};
    is_hung_up_on(stranger("GET / HTTP/1.1\r\nHost: example\r\n\r\n", 33));
    static const KvHead heads[] = {{0, 1, 0, 0, SECRET},
                                   {3, 1, 0, 0, SECRET},
                                   {KV_GET, KV_KEY_MAX + 1, 0, 0, SECRET},
                                   {KV_GET, 1, 1, 0, SECRET},
                                   {KV_PUT, 1, KV_VALUE_MAX + 1, 0, SECRET},
                                   {KV_PUT, UINT32_MAX, UINT32_MAX, 0, SECRET},
                                   {KV_PUT, 1, 1, 1, SECRET},
                                   {KV_GET, 1, 0, KV_TIMEOUT_MAX + 1, SECRET},
                                   {255, 0, 0, 0, SECRET}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        kv_head_write(f, &heads[i]);
        is_hung_up_on(stranger(f, KV_REQUEST_HEAD));
    }
    kv_head_write(f, &(KvHead){KV_GET, 1, 0, 0, SECRET});
    f[6] = 1; /* the zeros are not zero */
    is_hung_up_on(stranger(f, KV_REQUEST_HEAD + 1));
    kv_head_write(f, &(KvHead){KV_GET, 1, 0, 60000, SECRET});
    is_hung_up_on(stranger(f, KV_REQUEST_HEAD + 2)); /* more than was announced */
    holds("a", "", 0);
}

/* Who does not know the secret reads and writes nothing, and is told so before it sends a value. */
static void a_secret_is_needed(void **state) {
    (void)state;
    Err err = {0};
    char address[64], *value = NULL;
    size_t bytes;
    snprintf(address, sizeof address, "127.0.0.1:%d", kv_server_port(server));
    assert_int_equal(put("hidden", "x", 1), PJRT_OK);
    for (int i = 0; i < KV_SECRET; i += KV_SECRET - 1) {
        uint8_t stranger_secret[KV_SECRET];
        memcpy(stranger_secret, secret, sizeof stranger_secret);
        stranger_secret[i] ^= 1;
        KvClient *other = kv_client_new(address, stranger_secret, &err);
        assert_int_equal(kv_get(other, "hidden", 6, 1000, &value, &bytes, &err), PJRT_UNAUTHENTICATED);
        assert_non_null(strstr(err.text, "secret"));
        assert_null(value);
        char *large = calloc(1, KV_VALUE_MAX);
        assert_int_equal(kv_put(other, "hidden", 6, large, KV_VALUE_MAX, NULL), PJRT_UNAUTHENTICATED);
        free(large);
        kv_client_free(other);
    }
    holds("hidden", "x", 1);
}

/* However many replies are on their way, a value is there once; one that was replaced counts until the last has
 * left. */
static void replies_are_bounded(void **state) {
    (void)state;
    enum { WAITING = 200, BYTES = KV_VALUE_MAX };
    KvStore store = {0};
    KvPeer peer[WAITING];
    uint8_t *value = calloc(1, BYTES), request[KV_REQUEST_HEAD + 1];
    assert_int_equal(kv_store_put(&store, (const uint8_t *)"k", 1, value, BYTES), PJRT_OK);
    kv_head_write(request, &(KvHead){KV_GET, 1, 0, 0, {0}});
    request[KV_REQUEST_HEAD] = 'k';
    for (int i = 0; i < WAITING; i++) {
        kv_peer_start(&peer[i], 0);
        kv_peer_feed(&peer[i], &store, request, sizeof request, 0);
        assert_int_equal(peer[i].state, KV_REPLYING);
        assert_int_equal(peer[i].out_bytes, KV_REPLY_HEAD + BYTES);
        assert_ptr_equal(peer[i].value, store.entry->value);
    }
    assert_int_equal(store.bytes, 1 + BYTES);
    assert_int_equal(kv_store_put(&store, (const uint8_t *)"k", 1, value, 5), PJRT_OK);
    assert_int_equal(store.bytes, 1 + BYTES + 5);
    for (int i = 0; i < WAITING; i++) kv_peer_free(&peer[i], &store);
    assert_int_equal(store.bytes, 1 + 5);
    kv_store_free(&store);
    free(value);
}

static void silence_holds_nobody_up(void **state) {
    (void)state;
    enum { SILENT = 120 };
    int fd[SILENT];
    uint8_t f[KV_REQUEST_HEAD + 1] = {0};
    kv_head_write(f, &(KvHead){KV_PUT, 1, KV_VALUE_MAX, 0, SECRET});
    for (int i = 0; i < SILENT; i++) fd[i] = stranger(f, (size_t)(i % (KV_REQUEST_HEAD + 1)));
    double begin = clock_seconds();
    assert_int_equal(put("quick", "yes", 3), PJRT_OK);
    holds("quick", "yes", 3);
    assert_true(clock_seconds() - begin < 120);
    for (int i = 0; i < SILENT; i++) close(fd[i]);
    holds("quick", "yes", 3);
}

static void more_connections_than_places_are_served_in_turn(void **state) {
    (void)state;
    enum { MANY = 300 };
    int fd[MANY];
    for (int i = 0; i < MANY; i++) fd[i] = stranger("", 0);
    for (int i = 0; i < MANY; i++) close(fd[i]);
    holds("quick", "yes", 3);
}

static void a_full_store_says_so(void **state) {
    (void)state;
    KvStore store = {0};
    uint8_t *large = calloc(1, KV_VALUE_MAX);
    int taken = 0;
    while (kv_store_put(&store, (uint8_t *)&taken, sizeof taken, large, KV_VALUE_MAX) == PJRT_OK) taken++;
    assert_int_equal(taken, KV_STORE_MAX / KV_VALUE_MAX - 1);
    assert_int_equal(kv_store_put(&store, (uint8_t *)"small", 5, large, 5), PJRT_OK);
    kv_store_free(&store);
    for (taken = 0; kv_store_put(&store, (uint8_t *)&taken, sizeof taken, large, 1) == PJRT_OK;) taken++;
    assert_int_equal(taken, KV_ENTRIES_MAX);
    kv_store_free(&store);
    free(large);
}

/* ---- Addresses and ends ------------------------------------------------------------------------------------------ */

static void addresses_are_checked(void **state) {
    (void)state;
    static const char *const wrong_address[] = {"", "host", ":1", "host:", "host:x", "host:65536", "[]:1"};
    for (size_t i = 0; i < sizeof wrong_address / sizeof *wrong_address; i++) {
        Err err = {0};
        assert_null(kv_client_new(wrong_address[i], secret, &err));
        assert_true(err.kind);
        err = (Err){0};
        assert_null(kv_server_start(wrong_address[i], secret, &err));
        assert_true(err.kind);
    }
    Err err = {0};
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", kv_server_port(server));
    assert_null(kv_server_start(address, secret, &err));
    assert_non_null(strstr(err.text, "Address already in use"));
}

static void *stop_later(void *other) {
    usleep(150000);
    kv_server_stop(other);
    return NULL;
}

static void a_server_that_stops_lets_go(void **state) {
    (void)state;
    Err err = {0};
    char address[64], *value;
    size_t bytes;
    KvServer *other = kv_server_start("127.0.0.1:0", secret, &err);
    assert_non_null(other);
    snprintf(address, sizeof address, "127.0.0.1:%d", kv_server_port(other));
    KvClient *waiting = kv_client_new(address, secret, &err);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_later, other), 0);
    double begin = clock_seconds();
    assert_int_equal(kv_get(waiting, "never", 5, 30000, &value, &bytes, &err), PJRT_UNAVAILABLE);
    assert_non_null(strstr(err.text, "broke off"));
    assert_true(clock_seconds() - begin < 120);
    pthread_join(thread, NULL);
    kv_client_free(waiting);
    kv_server_stop(NULL);
    kv_client_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_put),
        cmocka_unit_test(a_missing_key_is_waited_for),
        cmocka_unit_test(a_put_wakes_who_waits),
        cmocka_unit_test(many_threads_ask_at_once),
        cmocka_unit_test(a_plugins_callbacks),
        cmocka_unit_test(what_is_no_request_is_hung_up_on),
        cmocka_unit_test(a_secret_is_needed),
        cmocka_unit_test(replies_are_bounded),
        cmocka_unit_test(silence_holds_nobody_up),
        cmocka_unit_test(more_connections_than_places_are_served_in_turn),
        cmocka_unit_test(a_full_store_says_so),
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(a_server_that_stops_lets_go),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
