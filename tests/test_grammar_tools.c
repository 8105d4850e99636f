/* test_grammar_tools.c: grammars made of others; calls of tools, with text and thinking before them; choices; and that
 * schemas asked for again are not built again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/infer/generation.h"
#include "../src/infer/grammar.h"
#include "../src/infer/grammar_cache.h"
#include "../src/infer/grammar_tools.h"
#include "../src/infer/matchers.h"

static void reads(Grammar *g, const char *what, const char *const *texts) {
    Err err = {0};
    Matcher *m = matcher_new(g, NULL, &err);
    if (!m) fail_msg("%s: %s", what, err.text);
    for (int i = 0; texts[i]; i++) {
        const char *text = texts[i] + 1;
        int32_t state = matcher_read(m, 0, (const uint8_t *)text, strlen(text), &err);
        if (state == -2) fail_msg("%s: %s", text, err.text);
        if (matcher_accepts(m, state) != (texts[i][0] == '+'))
            fail_msg("%s: '%s' %s", what, text, texts[i][0] == '+' ? "refused" : "taken");
        if (texts[i][0] == '.' && state < 0) fail_msg("%s: '%s' cannot go on", what, text);
    }
    matcher_release(m);
    grammar_release(g);
}
/* Texts begin with + (whole), - (not), or . (not yet, but it can be). */
#define READS(g, ...) reads(g, #g, (const char *const[]){__VA_ARGS__, NULL})

static Err none;

static Grammar *regex(const char *text) { return grammar_regex(text, strlen(text), &none); }

static void joined(void **state) {
    (void)state;
    Grammar *a = regex("a+"), *b = regex("b|c"), *comma = regex(", "), *empty = regex("");
    READS(grammar_then((Grammar *[]){a, b, a}, 3, &none), "+aba", "+aacaaa", "-ab", "-", ".aab");
    READS(grammar_then(NULL, 0, &none), "+", "-a");
    READS(grammar_either((Grammar *[]){a, b, empty}, 3, &none), "+", "+aaa", "+c", "-ab");
    READS(grammar_list(b, comma, &none), "+b", "+b, c, c", "-", "-b, ", "-bc");
    READS(grammar_list(empty, empty, &none), "+", "-a");
    Grammar *nested = grammar_list(a, b, &none);
    READS(grammar_then((Grammar *[]){nested, comma, nested}, 3, &none), "+aba, a", "-aba", "-a, ab");
    Err err = {0};
    assert_null(grammar_then((Grammar *[]){a, NULL}, 2, &err));
    assert_null(grammar_list(NULL, a, &err));
    grammar_release(a), grammar_release(b), grammar_release(comma), grammar_release(empty), grammar_release(nested);
    assert_int_equal(none.kind, QM_OK);
}

static void marks(void **state) {
    (void)state;
    READS(grammar_until("<tool_call>", false, &none), "+", "+a\n\xC3\xA9 < <tool", "+<<tool_call", "-<tool_call>",
          "-x<tool_call>y", "-\xC3");
    READS(grammar_until("<tool_call>", true, &none), "+<tool_call>", "+x<<tool_call>", "-", "-<tool_call>x",
          "-<tool_call><tool_call>");
    READS(grammar_until("aab", true, &none), "+aab", "+aaab", "+abaaab", "-aabb"); /* marks that overlap themselves */
    READS(grammar_until("aba", false, &none), "+ab", "+abba", "-ababa", "-aaba");
    READS(grammar_text("", 0, &none), "+", "-a");
}

static const char two[] =
    "\"tools\": [{\"name\": \"f\", \"parameters\": {\"properties\": {\"n\": {\"$ref\": \"#/$defs/N\"}}, "
    "\"required\": [\"n\"], \"$defs\": {\"N\": {\"type\": \"integer\", \"minimum\": 3, \"maximum\": 5}}}}, "
    "{\"name\": \"g-1\"}, {\"name\": \"a\\\"b\", \"parameters\": {}}]";

static Grammar *made(const char *parameters, Err *err) {
    GenerationConfig c = {0}, base = {0};
    json_t *o = json_text(parameters, strlen(parameters), "parameters", err);
    if (!o) fail_msg("%s: %s", parameters, err->text);
    bool ok = structure_from_json(&c, o, "parameters", err);
    json_decref(o);
    (void)base;
    return ok ? c.grammar : NULL;
}

static Grammar *with(const char *tools, const char *more) {
    char text[2048];
    Err err = {0};
    snprintf(text, sizeof text, "{\"tool_calls\": {%s%s}}", tools, more);
    Grammar *g = made(text, &err);
    if (!g) fail_msg("%s: %s", text, err.text);
    return g;
}

#define CALL(name, arguments) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void calls(void **state) {
    (void)state;
    READS(with(two, ""), "+", "+Just text, a < b.", "+" CALL("f", "{\"n\": 4}"), "-" CALL("f", "{\"n\": 6}"),
          "+Text.\n" CALL("g-1", "{}"), "-" CALL("g-1", "{\"x\": 1}"), "-" CALL("h", "{}"), "-<tool_call>",
          "-" CALL("f", "{}"), "+" CALL("g-1", "{}") "\n" CALL("f", "{\"n\": 3}") "\n" CALL("g-1", "{}"),
          "-" CALL("g-1", "{}") " after", "+" CALL("a\\\"b", "{\"any\": [1, {}]}"), "-<tool_call>\n{\"name\": \"g-1\"}",
          ".Text <tool_call>\n{\"na", "-" CALL("f", "[]"));
    READS(with(two, ", \"required\": true"), "-", "-text", "+" CALL("f", "{\"n\": 5}"), "-x" CALL("f", "{\"n\": 5}"),
          "+" CALL("g-1", "{}") "\n" CALL("g-1", "{}"));
    READS(with(two, ", \"required\": true, \"parallel\": false"), "+" CALL("g-1", "{}"),
          "-" CALL("g-1", "{}") "\n" CALL("g-1", "{}"));
    READS(with(two, ", \"parallel\": false"), "+no", "+no\n" CALL("g-1", "{}"),
          "-" CALL("g-1", "{}") "\n" CALL("g-1", "{}"));
}

static void with_others(void **state) {
    (void)state;
    char text[2048];
    Err err = {0};
    snprintf(text, sizeof text, "{\"tool_calls\": {%s}, \"response_format\": {\"type\": \"json_object\"}}", two);
    READS(made(text, &err), "+{\"a\": 1}", "-text", "+" CALL("g-1", "{}"), "-{}" CALL("g-1", "{}"));
    snprintf(text, sizeof text, "{\"tool_calls\": {%s, \"required\": true}, \"thinking\": \"may\"}", two);
    READS(made(text, &err), "-text", "+" CALL("g-1", "{}"),
          "+<think>\nhm <tool_call> hm\n</think>\n\n" CALL("g-1", "{}"), "-<think>never</think>",
          "-<think>a</think>b</think>" CALL("g-1", "{}"));
    snprintf(text, sizeof text, "{\"tool_calls\": {%s}, \"thinking\": \"open\"}", two);
    READS(made(text, &err), "-no end", "+hm</think>text", "+hm</think>\n\n" CALL("g-1", "{}"), "-a</think><tool_call>");
    READS(made("{\"regex\": \"[0-9]+\", \"thinking\": \"may\"}", &err), "+12", "+<think>x</think>\n\n12", "-<think>12",
          "-x");
    READS(made("{\"choices\": [\"yes\", \"no\", \"no way\"]}", &err), "+yes", "+no", "+no way", "-no w", "-");
    assert_int_equal(err.kind, QM_OK);
    assert_null(made("{\"thinking\": \"may\"}", &err));
    assert_null(made("{\"tool_calls\": null}", &err));
    assert_int_equal(err.kind, QM_OK); /* nothing binds the text */
}

static void refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"tool_calls\": []}", "tool_calls: expected an object"},
        {"{\"tool_calls\": {}}", "tools: expected a list of 1"},
        {"{\"tool_calls\": {\"tools\": []}}", "expected a list of 1"},
        {"{\"tool_calls\": {\"tools\": [5]}}", "tools[0]: expected an object"},
        {"{\"tool_calls\": {\"tools\": [{}]}}", "tools[0]: name: expected a text"},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\", \"arguments\": {}}]}}", "unknown member \"arguments\""},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\"}], \"force\": 1}}", "unknown member \"force\""},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\"}], \"required\": 1}}", "required"},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\", \"parameters\": 5}]}}", "parameters: expected a schema"},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\", \"parameters\": {\"type\": \"string\"}}]}}",
         "type: expected \"object\""},
        {"{\"tool_calls\": {\"tools\": [{\"name\": \"f\", \"strict\": true, \"parameters\": {\"type\": \"object\", "
         "\"properties\": {\"a\": {\"uniqueItems\": true}}}}]}}",
         "tools[0]: parameters: grammar: schema: 'uniqueItems' at '#/properties/a'"},
        {"{\"thinking\": \"loud\"}", "thinking: expected none, may or open"},
        {"{\"choices\": []}", "choices: expected a list"},
        {"{\"choices\": [\"a\", \"\"]}", "choices[1]"},
        {"{\"choices\": [\"a\"], \"regex\": \"a\"}", "got 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        Grammar *g = made(cases[i][0], &err);
        if (g || !strstr(err.text, cases[i][1])) fail_msg("%s: '%s', not '%s'", cases[i][0], err.text, cases[i][1]);
    }
    /* Who did not ask for strictness is not refused: any object. */
    READS(with("\"tools\": [{\"name\": \"f\", \"parameters\": {\"type\": \"object\", \"properties\": {\"a\": "
               "{\"uniqueItems\": true}}}}]", ""),
          "+" CALL("f", "{\"a\": [1, 1]}"), "-" CALL("f", "[1]"));
}

static void cached(void **state) {
    (void)state;
    Err err = {0};
    char text[80];
    Grammar *first = NULL;
    for (int i = 0; i < 100; i++) { /* more than are kept */
        snprintf(text, sizeof text, "{\"type\": \"integer\", \"minimum\": %d, \"maximum\": %d}", i, i + 1);
        json_t *o = json_text(text, strlen(text), "schema", &err);
        Grammar *g = grammar_cached_schema(o, &err), *again = grammar_cached_schema(o, &err);
        assert_ptr_equal(g, again);
        assert_int_equal(g->users, 3); /* we, twice, and the cache */
        if (i == 0) first = grammar_share(g);
        grammar_release(g), grammar_release(again);
        json_decref(o);
    }
    assert_int_equal(first->users, 1); /* it was forgotten */
    READS(first, "+0", "+1", "-2");
    Grammar *object = grammar_cached_object(&err), *same = grammar_cached_object(&err);
    assert_ptr_equal(object, same);
    grammar_release(same);
    READS(object, "+{}", "-[]");
}

/* Matchers of ended requests serve the next of the same grammar, from its start. */
static void kept(void **state) {
    (void)state;
    Err err = {0};
    Matchers pool = {0};
    Grammar *one = made("{\"regex\": \"a+b\"}", &err), *same = made("{\"regex\": \"a+b\"}", &err),
            *other[MATCHERS_KEPT];
    assert_ptr_equal(one, same);
    assert_null(matchers_take(&pool, one));
    Matcher *m = matcher_new(one, NULL, &err), *shared = matcher_share(m);
    matchers_give(&pool, m); /* somebody else has it still */
    assert_null(matchers_take(&pool, one));
    assert_true(matcher_accepts(shared, matcher_read(shared, 0, (const uint8_t *)"aab", 3, &err)));
    matchers_give(&pool, shared);
    matchers_give(&pool, NULL);
    assert_ptr_equal(matchers_take(&pool, same), shared);
    assert_null(matchers_take(&pool, one));
    assert_false(matcher_accepts(shared, matcher_read(shared, 0, (const uint8_t *)"b", 1, &err)));
    assert_true(matcher_accepts(shared, matcher_read(shared, 0, (const uint8_t *)"ab", 2, &err)));
    matchers_give(&pool, shared);
    for (int i = 0; i < MATCHERS_KEPT; i++) { /* the oldest goes */
        char text[40];
        snprintf(text, sizeof text, "{\"regex\": \"c{%d}\"}", i + 1);
        other[i] = made(text, &err);
        matchers_give(&pool, matcher_new(other[i], NULL, &err));
    }
    assert_null(matchers_take(&pool, one));
    Matcher *last = matchers_take(&pool, other[0]);
    assert_non_null(last);
    matcher_release(last);
    matchers_free(&pool);
    for (int i = 0; i < MATCHERS_KEPT; i++) grammar_release(other[i]);
    grammar_release(one), grammar_release(same);
    assert_int_equal(err.kind, QM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined),  cmocka_unit_test(marks),  cmocka_unit_test(calls), cmocka_unit_test(with_others),
        cmocka_unit_test(refused), cmocka_unit_test(cached), cmocka_unit_test(kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
