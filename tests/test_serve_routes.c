/* test_serve_routes.c: the table of routes: it is what docs/serving.md says, paths are found, methods told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/serve/auth.h"
#include "../src/serve/dispatch.h"
#include "../src/serve/prometheus.h"
#include "../src/serve/routes.h"

static void test_documented(void **state) {
    size_t bytes;
    Err err = {0};
    char *text = file_read("docs/serving.md", 1 << 20, &bytes, &err), line[512];
    const Route *r;
    int rows = 0, told = 0;
    bool whole = true;
    (void)state;
    assert_non_null(text);
    for (; (r = route_at(rows)); rows++) {
        snprintf(line, sizeof line, "\n| %s | %s | %s |\n", r->method, r->path, r->what);
        if (!strstr(text, line)) whole = false, print_error("docs/serving.md has no line%s", line);
    }
    for (const char *at = text; (at = strstr(at, "\n| ")); at++)
        told += !strncmp(at + 3, "GET | /", 7) || !strncmp(at + 3, "POST | /", 8);
    free(text);
    assert_true(whole);
    assert_int_equal(told, rows);
    assert_true(rows < ROUTE_COUNTS - 1); /* counts have room for all */
}

static void test_rows(void **state) {
    const Route *r, *other;
    (void)state;
    for (int i = 0; (r = route_at(i)); i++) {
        assert_true(!strcmp(r->method, "GET") || !strcmp(r->method, "POST"));
        assert_true(r->path[0] == '/' && r->what && *r->what && r->handle);
        assert_int_equal(route_number(r), i);
        for (int k = 0; k < i && (other = route_at(k)); k++)
            assert_false(!strcmp(r->method, other->method) && !strcmp(r->path, other->path));
    }
    assert_int_equal(route_number(NULL), -1);
}

static void test_found(void **state) {
    char allow[64];
    const char *rest;
    (void)state;
    assert_string_equal(route_find("GET", "/health", &rest, allow)->path, "/health");
    assert_string_equal(route_find("HEAD", "/health", &rest, allow)->path, "/health");
    assert_string_equal(allow, "GET, HEAD");
    assert_null(route_find("POST", "/health", &rest, allow));
    assert_string_equal(allow, "GET, HEAD");
    assert_null(route_find("GET", "/healthy", &rest, allow));
    assert_string_equal(allow, "");
}

static void test_hosts(void **state) {
    static const char *const more[] = {"box.lan"};
    (void)state;
    assert_true(host_allowed("localhost", NULL, 0) && host_allowed("LOCALHOST:8080", NULL, 0));
    assert_true(host_allowed("127.0.0.1:1", NULL, 0) && host_allowed("[::1]:8080", NULL, 0));
    assert_true(host_allowed("box.lan:80", more, 1));
    assert_false(host_allowed("box.lan", NULL, 0) || host_allowed("localhost.evil.example", NULL, 0));
    assert_false(host_allowed("", NULL, 0) || host_allowed("[::1", NULL, 0) ||
                 host_allowed("evil.example:127.0.0.1", NULL, 0));
}

static void test_keys(void **state) {
    Err err = {0};
    Keys *k = keys_new(&err);
    (void)state;
    assert_string_equal(keys_check(k, NULL, NULL), ""); /* none is needed */
    assert_true(keys_add(k, "one", "secret", 6, &err) && keys_add(k, NULL, "other", 5, &err));
    assert_null(keys_check(k, NULL, NULL));
    assert_string_equal(keys_check(k, "Bearer secret", NULL), "one");
    assert_string_equal(keys_check(k, NULL, "other"), "key2");
    assert_null(keys_check(k, "Bearer secret", "other"));
    assert_string_equal(keys_check(k, "bearer  secret", "secret"), "one");
    assert_null(keys_check(k, "secret", NULL));
    assert_null(keys_check(k, "Bearer ", NULL));
    assert_null(keys_check(k, "Bearer secre", NULL));
    assert_null(keys_check(k, "Bearer secrets", NULL));
    assert_int_equal(keys_number(k, "key2"), 2);
    assert_false(keys_add(k, NULL, "secret", 6, &err)); /* twice */
    keys_free(k);
}

static void test_bodies(void **state) {
    Err err = {0};
    char deep[MAX_JSON_DEPTH * 2 + 32];
    size_t n = 0;
    static const char brackets[] = "{\"a\": \"[[[[{\\\"\"}";
    json_t *found = body_json(brackets, sizeof brackets - 1, &err);
    (void)state;
    assert_non_null(found);
    json_decref(found);
    assert_null(body_json("[]", 2, &err));
    n += (size_t)snprintf(deep, sizeof deep, "{\"a\":");
    for (int i = 0; i < MAX_JSON_DEPTH; i++) deep[n++] = '[';
    for (int i = 0; i < MAX_JSON_DEPTH; i++) deep[n++] = ']';
    deep[n++] = '}';
    err = (Err){0};
    assert_null(body_json(deep, n, &err));
    assert_int_equal(err.kind, QM_LIMIT);
}

static void test_counts(void **state) {
    static Counts c;
    Text out = {0};
    Gauges g = {.running = 2, .ready = true};
    (void)state;
    COUNT_SECONDS(&c, first, 0.03);
    COUNT_SECONDS(&c, first, 1e9);
    count_finish(&c, "stop");
    count_finish(&c, "stop");
    count_answer(&c, -1, 404);
    prometheus_text(&c, &g, "a\"b", NULL, &out);
    assert_non_null(strstr(out.data, "\nvllm:num_requests_running{model_name=\"a\\\"b\"} 2\n"));
    assert_non_null(strstr(out.data, "vllm:time_to_first_token_seconds_bucket{model_name=\"a\\\"b\",le=\"0.02\"} 0\n"));
    assert_non_null(strstr(out.data, "vllm:time_to_first_token_seconds_bucket{model_name=\"a\\\"b\",le=\"0.04\"} 1\n"));
    assert_non_null(strstr(out.data, "vllm:time_to_first_token_seconds_bucket{model_name=\"a\\\"b\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(out.data, "vllm:request_success_total{finished_reason=\"stop\",model_name=\"a\\\"b\"} 2\n"));
    assert_non_null(strstr(out.data, "http_requests_total{handler=\"none\",method=\"\",status=\"404\"} 1\n"));
    text_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_documented), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_found),      cmocka_unit_test(test_hosts),
                                       cmocka_unit_test(test_keys),       cmocka_unit_test(test_bodies),
                                       cmocka_unit_test(test_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
