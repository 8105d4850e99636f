/* test_grammar.c: GBNF, regular expressions and JSON schemas: what matches, what is refused, masks of tokens against
 * reading every token, and budgets against hostile grammars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/infer/grammar.h"
#include "../src/text/order.h"
#include "fixture.h"

typedef Grammar *(*Maker)(const char *text, size_t bytes, Err *err);

static Grammar *schema(const char *text, size_t bytes, Err *err) {
    json_t *o = json_text(text, bytes, "schema", err);
    Grammar *g = o ? grammar_json_schema(o, err) : NULL;
    json_decref(o);
    return g;
}

/* texts: lines that begin with + (match) or - (do not); "+" alone is the empty text. */
static void lines(Maker make, const char *grammar, const char *const *texts) {
    Err err = {0};
    Grammar *g = make(grammar, strlen(grammar), &err);
    if (!g) fail_msg("%s: %s", grammar, err.text);
    Matcher *m = matcher_new(g, NULL, &err);
    if (!m) fail_msg("%s: %s", grammar, err.text);
    for (int i = 0; texts[i]; i++) {
        const char *text = texts[i] + 1;
        int32_t state = matcher_read(m, 0, (const uint8_t *)text, strlen(text), &err);
        if (state == -2) fail_msg("%s: %s", text, err.text);
        if (matcher_accepts(m, state) != (texts[i][0] == '+'))
            fail_msg("%s: '%s' %s", grammar, text, texts[i][0] == '+' ? "refused" : "taken");
    }
    matcher_release(m);
    grammar_release(g);
}
#define LINES(make, grammar, ...) lines(make, grammar, (const char *const[]){__VA_ARGS__, NULL})

static void refused(Maker make, const char *grammar, const char *why) {
    Err err = {0};
    Grammar *g = make(grammar, strlen(grammar), &err);
    if (g || !strstr(err.text, why)) fail_msg("'%.60s': %s", grammar, g ? "taken" : err.text);
}

static void regexes(void **state) {
    (void)state;
    LINES(grammar_regex, "a|bc*", "+a", "+b", "+bccc", "-", "-ab", "-ac");
    LINES(grammar_regex, "^(?:ab){2,3}$", "-ab", "+abab", "+ababab", "-abababab");
    LINES(grammar_regex, "x{0}y{2}z{1,}", "+yyz", "+yyzzz", "-xyyz", "-yy");
    LINES(grammar_regex, "\\d+(\\.\\d+)?", "+0", "+12.50", "-12.", "-.5");
    LINES(grammar_regex, "[^a-c\\d]+", "+xyz", "-xaz", "-x1", "+\xC3\xA9");
    LINES(grammar_regex, "[\\]\\-a]+", "+]-a", "-b");
    LINES(grammar_regex, ".", "+a", "+\xC3\xA9", "+\xE2\x82\xAC", "+\xF0\x9F\x99\x82", "-\n", "-\xC3", "-\xFF", "-ab",
          "-\xED\xA0\x80");
    LINES(grammar_regex, "[\\u00e0-\\u4e2d]", "+\xC3\xA9", "+\xE4\xB8\xAD", "-\xE4\xB8\xAE", "-\xC3\x9F", "-a");
    LINES(grammar_regex, "(|a)(b|)", "+", "+a", "+b", "+ab", "-ba");
    LINES(grammar_regex, "(a*)*b", "+b", "+aaab", "-a");
    refused(grammar_regex, "a)", "no ')'");
    refused(grammar_regex, "(a", "')'");
    refused(grammar_regex, "*a", "something to repeat");
    refused(grammar_regex, "[b-a]", "goes up");
    refused(grammar_regex, "[a", "']'");
    refused(grammar_regex, "(?=a)", "no look-around");
    refused(grammar_regex, "a{3,2}", "least <= most");
    refused(grammar_regex, "\\q", "escape");
    refused(grammar_regex, "\\UFFFFFFFF", "10FFFF");
    refused(grammar_regex, "\xFF", "UTF-8");
}

static void gbnf(void **state) {
    (void)state;
    LINES(grammar_gbnf, "root ::= \"a\" b+ # comment\n | \"c\"\nb ::= [0-9] ( \"x\" | \"\\n\" )?\n", "+c", "+a1",
          "+a1x2\n", "-a", "-ax");
    LINES(grammar_gbnf, "root ::= \"(\" root \")\" | \"\"", "+", "+(())", "-(()", "-)");
    LINES(grammar_gbnf, "root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= [0-9]+",
          "+1+2*(3-4)", "+((1))", "-1+", "-()");
    LINES(grammar_gbnf, "root ::= [^\\x00-\\x1f\"]{2,3} .", "+ab\n", "-a\n", "+\xC3\xA9" "bcd");
    refused(grammar_gbnf, "root ::= x", "'x' is not defined");
    refused(grammar_gbnf, "a ::= \"x\"", "root");
    refused(grammar_gbnf, "root ::= \"a\"\nroot ::= \"b\"", "defined twice");
    refused(grammar_gbnf, "root ::= root \"a\" | \"a\"", "calls itself");
    refused(grammar_gbnf, "root ::= e root \"a\" | \"a\"\ne ::= \"\" | \"b\"", "calls itself");
    refused(grammar_gbnf, "root ::= a\na ::= b\nb ::= a", "calls itself");
    refused(grammar_gbnf, "root = \"a\"", "name ::=");
    refused(grammar_gbnf, "root ::= \"a", "'\"'");
    refused(grammar_gbnf, "", "root");
}

static void schemas(void **state) {
    (void)state;
    LINES(schema, "{}", "+{}", "+[1,-2.5e3,\"\\u00e9\",null,true,{\"a\":[]}]", "-{,}", "-01", "-[1,]", "+\"\xC3\xA9\"",
          "-\"\n\"");
    LINES(schema, "{\"type\":\"integer\"}", "+-12", "-1.5", "-01");
    LINES(schema, "{\"enum\":[\"a\",1,null,{\"b\":2}]}", "+\"a\"", "+1", "+null", "+{\"b\":2}", "-\"b\"");
    LINES(schema, "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "-\"a\"", "+\"ab\"", "+\"a\\n\xC3\xA9\"",
          "-\"abcd\"");
    LINES(schema, "{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}-\\\\d$\"}", "+\"ABC-1\"", "-\"AB-1\"");
    LINES(schema,
          "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},\"c\":{"
          "\"type\":\"null\"}},\"required\":[\"b\"]}",
          "+{\"a\":1,\"b\":true,\"c\":null}", "+{\"b\": false}", "+{\"b\":true, \"c\":null}",
          "+{\n  \"a\": 1,\n  \"b\": true\n}", "-{\"a\":1}", "-{\"b\":true,\"a\":1}", "-{,\"b\":true}",
          "-{\"b\":true,}", "-{}");
    LINES(schema, "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"integer\"}}",
          "+{}", "+{\"a\":\"x\"}", "+{\"a\":[],\"z\":3,\"y\":4}", "+{\"z\":3}", "-{\"z\":\"x\"}");
    LINES(schema, "{\"type\":\"object\",\"additionalProperties\":false}", "+{}", "-{\"a\":1}");
    LINES(schema, "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":2}", "-[]",
          "+[true]", "+[true, false]", "-[true,true,true]");
    LINES(schema, "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":0}", "+[]", "-[null]");
    LINES(schema, "{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"items\":false,\"type\":\"array\"}",
          "+[1,null]", "-[1]", "-[1,null,2]");
    LINES(schema, "{\"type\":[\"integer\",\"null\"]}", "+1", "+null", "-true");
    LINES(schema, "{\"anyOf\":[{\"const\":\"x\"},{\"type\":\"array\"}]}", "+\"x\"", "+[1]", "-{}");
    LINES(schema,
          "{\"$ref\":\"#/$defs/tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"left\":{\"$ref\":\"#/"
          "$defs/tree\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"v\"]}}}",
          "+{\"v\":1}", "+{\"left\":{\"left\":{\"v\":1},\"v\":2},\"v\":3}", "-{\"left\":{},\"v\":3}");
    refused(schema, "{\"minimum\":3}", "'minimum' is not supported");
    refused(schema, "{\"type\":\"word\"}", "expected a type");
    refused(schema, "{\"enum\":[]}", "enum");
    refused(schema, "{\"$ref\":\"#/none\"}", "nothing at");
    refused(schema, "{\"$ref\":\"#\"}", "calls itself");
    refused(schema, "{\"type\":\"string\",\"minLength\":5,\"maxLength\":2}", "above the most");
    refused(schema, "3", "expected an object");
}

/* Grammars that would take all memory or time end with an error, soon. */
static void budgets(void **state) {
    (void)state;
    char deep[4000];
    double start = clock_seconds();
    refused(grammar_regex, "((((a{1000}){1000}){1000}){1000}){1000}", "too large");
    refused(grammar_regex, "((((()){1000}){1000}){1000}){1000}", "too large");
    refused(grammar_regex, "(((a|b|c){0,300}){0,300}){0,300}", "too large");
    memset(deep, '(', 2000);
    deep[2000] = 0;
    refused(grammar_regex, deep, "less nesting");
    Text many = {0};
    text_line(&many, "root ::= a0\n");
    for (int i = 0; i < 5000; i++) text_line(&many, "a%d ::= \"x\" a%d\n", i, i + 1);
    refused(grammar_gbnf, many.data, "4096 rules");
    text_free(&many);
    /* few rules, but every text has very many readings */
    Err err = {0};
    const char *ambiguous = "root ::= \"x\" root \"a\" | \"x\" root \"b\" | \"x\"";
    Grammar *g = grammar_gbnf(ambiguous, strlen(ambiguous), &err);
    assert_non_null(g);
    Matcher *m = matcher_new(g, NULL, &err);
    int32_t at = 0;
    for (int i = 0; m && i < 2000 && at >= 0; i++) at = matcher_read(m, at, (const uint8_t *)"x", 1, &err);
    assert_int_equal(at, -2);
    assert_true(err.set);
    matcher_release(m);
    grammar_release(g);
    assert_true(clock_seconds() - start < 20);
}

/* The mask has exactly the tokens that can be read, in every state along some texts. */
static void masks(void **state) {
    (void)state;
    static const char *const grammars[] = {
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"n\":{\"type\":\"array\",\"items\":{"
        "\"type\":\"number\"}}},\"required\":[\"name\",\"n\"]}",
        "{}"};
    static const char *const texts[] = {"{\"name\": \"Zo\xC3\xAB \\u00e9\", \"n\":[1.5e3,-2]}", "[{\"a\":null},true]"};
    for (int i = 0; i < 2; i++) {
        Err err = {0};
        Grammar *g = schema(grammars[i], strlen(grammars[i]), &err);
        Matcher *m = matcher_new(g, qwen, &err), *plain = matcher_new(g, NULL, &err);
        assert_true(m && plain);
        int64_t allowed = 0;
        int32_t at = 0;
        for (size_t k = 0; k <= strlen(texts[i]); k++) {
            const uint8_t *mask = matcher_mask(m, at, &err);
            if (!mask) fail_msg("%s", err.text);
            for (int32_t id = 0; id < matcher_tokens(m); id++) {
                size_t bytes;
                bool special;
                const char *piece = qm_tokenizer_piece(qwen, id, &bytes, &special);
                int32_t there = piece ? matcher_read(plain, 0, (const uint8_t *)texts[i], k, &err) : 0;
                bool want = piece && !special && bytes && k % 5 == 0 /* every fifth, for time */ &&
                            matcher_read(plain, there, (const uint8_t *)piece, bytes, &err) >= 0;
                bool got = mask[id / 8] >> id % 8 & 1;
                allowed += got;
                if (k % 5 == 0 && got != want) fail_msg("after %zu bytes of %s: token %d", k, texts[i], id);
            }
            if (k < strlen(texts[i])) at = matcher_read(m, at, (const uint8_t *)texts[i] + k, 1, &err);
            assert_true(at >= 0);
        }
        assert_true(matcher_ended(m, at));
        assert_true(allowed > 100000);
        matcher_release(m), matcher_release(plain);
        grammar_release(g);
    }
}

/* A text may be whole and still go on; the end is where nothing can follow. */
static void whole_and_ended(void **state) {
    (void)state;
    static const struct { const char *regex, *text; bool whole, ended; } cases[] = {
        {"a+", "a", true, false}, {"ab", "ab", true, true}, {"ab", "a", false, false}, {"a(bc)?", "a", true, false},
        {"a(bc)?", "abc", true, true}, {"a(bc)?", "ab", false, false}};
    for (int i = 0; i < 6; i++) {
        Err err = {0};
        Grammar *g = grammar_regex(cases[i].regex, strlen(cases[i].regex), &err);
        Matcher *m = g ? matcher_new(g, NULL, &err) : NULL;
        assert_non_null(m);
        int32_t at = matcher_read(m, 0, (const uint8_t *)cases[i].text, strlen(cases[i].text), &err);
        assert_int_equal(matcher_accepts(m, at), cases[i].whole);
        assert_int_equal(matcher_ended(m, at), cases[i].ended);
        matcher_release(m);
        grammar_release(g);
    }
}

/* The tokens are sorted once for a tokenizer, not for each grammar, and every one with text is there. */
static void order_kept(void **state) {
    (void)state;
    Err err = {0};
    const TokenOrder *o = tokenizer_order(qwen, &err);
    assert_non_null(o);
    assert_ptr_equal(tokenizer_order(qwen, &err), o);
    assert_true(o->count > 151000);
    uint8_t *there = calloc((size_t)qm_tokenizer_vocab(qwen), 1);
    for (size_t i = 0; i < o->count; i++) {
        const OrderedToken *b = &o->token[i], *a = i ? b - 1 : NULL;
        assert_false(there[b->id]++);
        if (!a) continue;
        uint32_t least = a->bytes < b->bytes ? a->bytes : b->bytes;
        assert_true(b->common <= least && !memcmp(a->data, b->data, b->common));
        if (b->common < least) assert_true(a->data[b->common] < b->data[b->common]);
        else assert_true(a->bytes <= b->bytes);
    }
    for (int32_t id = 0; id < qm_tokenizer_vocab(qwen); id++) {
        size_t bytes;
        bool special;
        const char *piece = qm_tokenizer_piece(qwen, id, &bytes, &special);
        assert_int_equal(there[id], piece && bytes && !special);
    }
    free(there);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regexes), cmocka_unit_test(gbnf), cmocka_unit_test(schemas), cmocka_unit_test(budgets),
        cmocka_unit_test(whole_and_ended),
        cmocka_unit_test_setup_teardown(masks, open_qwen, close_qwen),
        cmocka_unit_test_setup_teardown(order_kept, open_qwen, close_qwen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
