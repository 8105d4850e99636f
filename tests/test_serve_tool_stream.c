/* test_serve_tool_stream.c: the text of an answer as content, reasoning and calls: the same events however it is
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/serve/tool_stream.h"

/* Events as one text: content, (reasoning), name{arguments}., runs joined. */
typedef struct Told {
    Text text;
    ToolEventKind last;
    bool any;
} Told;

static bool told(void *owner, const ToolEvent *e) {
    Told *t = owner;
    bool more = t->any && t->last == e->kind && (e->kind == TOOL_CONTENT || e->kind == TOOL_REASONING);
    if (t->any && t->last == TOOL_REASONING && !more) text_add(&t->text, ")", 1);
    if (e->kind == TOOL_REASONING && !more) text_add(&t->text, "(", 1);
    if (e->kind == TOOL_BEGIN) text_line(&t->text, "[%d:", e->call);
    text_add(&t->text, e->text, e->bytes);
    if (e->kind == TOOL_BEGIN) text_add(&t->text, " ", 1);
    if (e->kind == TOOL_END) text_add(&t->text, "]", 1);
    t->last = e->kind, t->any = true;
    return true;
}

/* modes: t tools, k thinking, o open. Cut at `a` and `b`, or bytewise (step). */
static char *events(const char *modes, const char *text, size_t a, size_t b, bool step, bool *cut_off) {
    Told t = {0};
    ToolStream s;
    size_t n = strlen(text);
    tool_stream_start(&s, strchr(modes, 't'), strchr(modes, 'k'), strchr(modes, 'o'), told, &t);
    text_add(&t.text, "", 0);
    for (size_t i = 0; i < n;) {
        size_t to = step ? i + 1 : i < a ? a : i < b ? b : n;
        char *piece = malloc(to - i); /* so that a read past it is seen */
        assert_non_null(piece);
        memcpy(piece, text + i, to - i);
        assert_true(tool_stream_push(&s, piece, to - i));
        free(piece);
        i = to;
    }
    assert_true(tool_stream_end(&s));
    if (t.last == TOOL_REASONING && t.any) text_add(&t.text, ")", 1);
    *cut_off = s.cut_off;
    tool_stream_free(&s);
    return t.text.data;
}

static void expect(const char *modes, const char *text, const char *wanted) {
    size_t n = strlen(text);
    bool cut_off;
    char *got = events(modes, text, 0, 0, true, &cut_off);
    if (strcmp(got, wanted)) fail_msg("%s, byte by byte: '%s' became '%s', not '%s'", modes, text, got, wanted);
    if (cut_off != (strstr(wanted, "[0:") && !strstr(wanted, "]"))) fail_msg("'%s': cut off %d", text, cut_off);
    free(got);
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b += 1 + n / 64) {
            got = events(modes, text, a, b, false, &cut_off);
            if (strcmp(got, wanted))
                fail_msg("cut at %zu and %zu: '%s' became '%s', not '%s'", a, b, text, got, wanted);
            free(got);
        }
}

#define CALL(name, arguments) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void calls(void **state) {
    (void)state;
    expect("t", CALL("f", "{}"), "[0:f {}]");
    expect("t", "Let me see.\n" CALL("get_weather", "{\"city\": \"Paris\", \"n\": [1, {\"x\": 2}]}"),
           "Let me see.[0:get_weather {\"city\": \"Paris\", \"n\": [1, {\"x\": 2}]}]");
    expect("t", CALL("a", "{\"s\": \"}\\\"{</tool_call>\\\\\"}") "\n" CALL("b", "{}"),
           "[0:a {\"s\": \"}\\\"{</tool_call>\\\\\"}][1:b {}]");
    expect("t", CALL("a", "{ \"k\" :\n1 }") "  \n and more", "[0:a { \"k\" :\n1 }]and more");
    expect("t", "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call><tool_call> { \"name\" : \"g\" , "
                "\"arguments\" : {} } "
                "</tool_call>", "[0:f {}][1:g {}]");
    expect("t", "<<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", "<[0:f {}]");
    expect("t", CALL("\\\"x", "{}"), "[0:\"x {}]");
    expect("", CALL("f", "{}"), CALL("f", "{}")); /* no tools: text */
}

static void no_calls(void **state) {
    (void)state;
    static const char *const same[] = {"", "plain", "a < b <tool", "<tool_calls>", "<tool_call", " \n ", "<tool_call>",
        "x <tool_call>\n{\"name\": 5}", "<tool_call>\n{\"name\": \"\", \"arguments\": {}}",
        "<tool_call>{\"arguments\": {}, \"name\": \"f\"}</tool_call>", "<tool_call>\n{\"name\": \"f\", \"arguments\": ",
        "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}", "<tool_call>{\"name\": \"f\n\"",
        "h\xC3\xA9llo \xF0\x9F\x99\x82 <t",
        "<tool_call> not JSON </tool_call> and\n\n  more"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) expect("t", same[i], same[i]);
    expect("t", "<tool_call><tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", "<tool_call>[0:f {}]");
    expect("t", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1", "[0:f {\"a\": [1");
    expect("t", CALL("f", "{}") "</tool", "[0:f {}]</tool");
    expect("t", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool", "[0:f {}]");
    expect("t", "<tool_call>{\"name\": \"f\", \"arguments\": {}, \"id\": 1}", "[0:f {}], \"id\": 1}");
    Text longer = {0};
    text_line(&longer, "<tool_call>{\"name\": \"%01200d\", \"arguments\": {}}", 0);
    bool cut_off;
    char *got = events("t", longer.data, 7, 900, false, &cut_off),
         *bytewise = events("t", longer.data, 0, 0, true, &cut_off);
    assert_string_equal(got, longer.data);
    assert_string_equal(bytewise, longer.data);
    free(got), free(bytewise);
    text_free(&longer);
}

static void thinking(void **state) {
    (void)state;
    expect("k", "<think>\nHm, 2 < 3.\n</think>\n\nYes.", "(Hm, 2 < 3.)Yes.");
    expect("k", " \n<think>a</think>b", "(a)b");
    expect("k", "No thought. <think>", "No thought. <think>");
    expect("k", "<thin", "<thin");
    expect("k", "<think>cut o", "(cut o)");
    expect("k", "<think>cut </thi", "(cut </thi)");
    expect("k", "<think></think>", "");
    expect("ko", "\nopen already\n</think>\nanswer", "(open already)answer");
    expect("ko", "a</think", "(a</think)");
    expect("tk", "<think>call " CALL("f", "{}") "</think>\n\n" CALL("g", "{}"), "(call " CALL("f", "{}") ")[0:g {}]");
    expect("tk", CALL("f", "{}"), "[0:f {}]");
    expect("tk", " <tool_cal", " <tool_cal");
    expect("k", CALL("f", "{}"), CALL("f", "{}"));
    expect("tko", "x</think>" CALL("f", "{}"), "(x)[0:f {}]");
}

/* A client that has enough is told no more. */
static bool enough(void *owner, const ToolEvent *e) {
    (void)e;
    return --*(int *)owner > 0;
}
static void stops(void **state) {
    (void)state;
    static const char text[] = "abc\n" CALL("f", "{\"a\": 1}") "\n" CALL("g", "{}");
    for (int most = 1; most < 8; most++) {
        int left = most;
        ToolStream s;
        tool_stream_start(&s, true, false, false, enough, &left);
        bool more = true;
        for (size_t i = 0; i < sizeof text - 1 && more; i++) more = tool_stream_push(&s, text + i, 1);
        assert_true(left == 0 && !more);
        assert_false(tool_stream_end(&s));
        assert_int_equal(left, 0);
        tool_stream_free(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls), cmocka_unit_test(no_calls), cmocka_unit_test(thinking),
                                       cmocka_unit_test(stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
