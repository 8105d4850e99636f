/* test_grammar.c: GBNF, regular expressions and JSON schemas: what matches, what is refused, masks of tokens against
 * reading every token, and budgets against hostile grammars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cpu_time.h"
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
    refused(grammar_regex, "(?=a)", "look-ahead");
    LINES(grammar_regex, "a+?", "+a", "+aa", "-");
    LINES(grammar_regex, "x.+?y", "+xay", "-xy");
    LINES(grammar_regex, "\\d{3}?", "+123", "-", "-12");
    LINES(grammar_regex, "[ab]{2,3}?", "+ab", "+aba", "-a", "-");
    LINES(grammar_regex, "a??b*?", "+", "+a", "+abb", "+b", "-ba");
    LINES(grammar_regex, "[\\D]x", "+ax", "-1x");
    LINES(grammar_regex, "(?<n>a|b){x}", "+a{x}", "-a");
    LINES(grammar_regex, "\\uD83D\\uDE42\\cJ\\0?", "+\xF0\x9F\x99\x82\n");
    refused(grammar_regex, "a++", "possessive");
    refused(grammar_regex, "a{2}*", "repetition of a repetition");
    refused(grammar_regex, "a(?!b)", "look-ahead");
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
          "+[1,null]", "+[1]", "-[1,null,2]");
    LINES(schema, "{\"type\":[\"integer\",\"null\"]}", "+1", "+null", "-true");
    LINES(schema, "{\"anyOf\":[{\"const\":\"x\"},{\"type\":\"array\"}]}", "+\"x\"", "+[1]", "-{}");
    LINES(schema,
          "{\"$ref\":\"#/$defs/tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"left\":{\"$ref\":\"#/"
          "$defs/tree\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"v\"]}}}",
          "+{\"v\":1}", "+{\"left\":{\"left\":{\"v\":1},\"v\":2},\"v\":3}", "-{\"left\":{},\"v\":3}");
    refused(schema, "{\"type\":\"word\"}", "'type' at '#': expected a type");
    refused(schema, "{\"enum\":[]}", "enum");
    refused(schema, "{\"$ref\":\"#/none\"}", "nothing at");
    refused(schema, "{\"$ref\":\"#\"}", "leads back to itself");
    refused(schema, "{\"type\":\"string\",\"minLength\":5,\"maxLength\":2}", "no value can be valid");
    refused(schema, "{\"type\":\"object\",\"minProperties\":2}", "or none of those that can be made");
    refused(schema, "3", "expected an object");
}

/* Every keyword is kept whatever stands beside it, or the schema is refused by keyword and place. */
static void schemas_kept(void **state) {
    (void)state;
    LINES(schema, "{\"type\":\"string\",\"pattern\":\"^a.b$\"}", "-\"a\"b\"", "+\"a\\\"b\"", "+\"a\\\\b\"",
          "+\"a\\u0009b\"", "-\"a\tb\"", "-\"a\\nb\"");
    LINES(schema, "{\"type\":\"string\",\"pattern\":\"b\"}", "+\"abc\"", "-\"a\"");
    LINES(schema, "{\"pattern\":\"^(a|b)$|^$\"}", "+\"a\"", "+\"\"", "-\"ab\"", "+1");
    LINES(schema, "{\"pattern\":\"^(?!no)[a-z]+$\",\"maxLength\":3}", "+\"yes\"", "-\"no\"", "-\"nob\"", "-\"abcd\"");
    LINES(schema, "{\"type\":\"string\",\"minLength\":2}", "-\"\\uD83D\\uDE00\"", "+\"\\uD83D\\uDE00x\"",
          "-\"\\uD83Dx\"");
    LINES(schema, "{\"maxLength\":1}", "-\"ab\"", "+\"\xF0\x9F\x99\x82\"", "+[1]");
    LINES(schema, "{\"enum\":[1,2],\"anyOf\":[{\"minimum\":0},{\"const\":3}]}", "+1", "+2", "-3");
    LINES(schema, "{\"enum\":[{\"a\":{\"a\":1}}],\"properties\":{\"a\":{\"type\":\"object\"}}}", "+{\"a\":{\"a\":1}}",
          "-{\"a\":1}");
    LINES(schema, "{\"type\":\"string\",\"enum\":[\"a\",1]}", "+\"a\"", "-1");
    LINES(schema, "{\"enum\":[0.1,18446744073709551615,1.5e300]}", "+0.1", "+18446744073709551615",
          "-0.10000000000000001");
    LINES(schema, "{\"type\":\"integer\",\"minimum\":-3,\"exclusiveMaximum\":18446744073709551615}", "+-3", "-4.0",
          "--4", "+18446744073709551614", "-18446744073709551615", "+0");
    LINES(schema, "{\"type\":\"number\",\"minimum\":0.15,\"maximum\":12.5}", "+0.15", "-0.149", "+1", "+12.50",
          "-12.51", "-13", "-0", "+9.99");
    LINES(schema, "{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":0}", "--1.5", "+-1.49", "+-0", "+0.0",
          "-0.1");
    LINES(schema, "{\"type\":\"number\",\"multipleOf\":0.25}", "+1", "+0.75", "-0.7", "+-12.50");
    LINES(schema, "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "-1", "+1.5", "-1.0");
    LINES(schema,
          "{\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}],\"type\":\"object\",\"properties\":{\"a\":{},"
          "\"b\":{}}}",
          "+{\"a\":1}", "+{\"b\":1}", "-{\"a\":1,\"b\":1}", "-{}");
    LINES(schema, "{\"not\":{\"type\":[\"string\",\"object\"]}}", "+1", "-\"a\"", "-{}");
    LINES(schema,
          "{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":3}}},{\"properties\":{\"a\":{\"type\":\"integer\"}},"
          "\"required\":[\"a\"]}]}",
          "+{\"a\":3}", "-{\"a\":2}", "-{\"a\":3.5}", "+1");
    LINES(schema,
          "{\"if\":{\"properties\":{\"k\":{\"const\":1}}},\"then\":{\"required\":[\"x\"]},\"type\":\"object\","
          "\"properties\":"
          "{\"k\":{\"type\":\"integer\"},\"x\":{}},\"required\":[\"k\"]}",
          "-{\"k\":1}", "+{\"k\":1,\"x\":0}", "+{\"k\":2}");
    LINES(schema, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"additionalProperties\":true}",
          "+{\"a\":1,\"b\":\"x\"}", "-{\"a\":1,\"a\":\"x\"}", "-{\"a\":\"x\"}");
    LINES(schema, "{\"type\":\"object\",\"required\":[\"b\"]}", "-{}", "+{\"b\":1}", "-{\"c\":1}");
    LINES(schema,
          "{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":5}},\"additionalProperties\":"
          "false,\"type\":\"object\"}",
          "+{\"x\":1}", "-{\"x\":1.5}", "-{\"xy\":4}", "+{\"xy\":5,\"y\":\"a\"}", "-{\"z\":1}");
    LINES(schema,
          "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2,\"maxProperties\":2}",
          "-{\"a\":1}", "+{\"a\":1,\"c\":1}", "-{\"a\":1,\"b\":1,\"c\":1}");
    LINES(schema, "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":2}}", "+{\"ab\":1}", "-{\"abc\":1}");
    LINES(schema, "{\"prefixItems\":[{\"type\":\"integer\"},{},{}],\"maxItems\":2,\"minItems\":1}", "-[]", "+[1]",
          "+[1,2]", "-[1,2,3]", "-[\"a\"]");
    LINES(schema, "{\"type\":\"array\",\"contains\":{\"const\":1},\"maxContains\":1,\"maxItems\":3}", "-[]", "+[1]",
          "+[0,1]", "-[1,1]", "-[0,0,0]");
    LINES(schema, "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true}", "+[]",
          "+[\"a\",\"c\"]", "-[\"a\",\"a\"]");
    LINES(schema,
          "{\"type\":\"array\",\"items\":{\"$ref\":\"#x\"},\"$defs\":{\"k\":{\"$anchor\":\"x\",\"type\":\"integer\"}}}",
          "+[1]", "-[[]]");
    LINES(schema, "{\"$ref\":\"#/$defs/a~1b%25\",\"maxLength\":2,\"$defs\":{\"a/b%\":{\"type\":\"string\"}}}",
          "+\"ab\"", "-\"abc\"", "-1");
    LINES(schema, "{\"$id\":\"http://x.y/a/b\",\"$ref\":\"c\",\"$defs\":{\"k\":{\"$id\":\"/a/c\",\"type\":\"null\"}}}",
          "+null", "-1");
    LINES(schema, "{\"type\":\"object\",\"unevaluatedProperties\":false,\"allOf\":[{\"properties\":{\"a\":{}}}]}",
          "+{\"a\":1}", "-{\"b\":1}");
    LINES(schema, "{\"format\":\"date\"}", "+\"2024-02-29\"", "-\"2023-02-29\"", "-\"2024-2-9\"", "+3");
    LINES(schema, "{\"format\":\"ipv6\",\"type\":\"string\"}", "+\"::1\"", "+\"1:2:3:4:5:6:7:8\"", "-\"1::2::3\"",
          "-\"12345::\"");
    LINES(schema, "{\"format\":\"hostname\",\"type\":\"string\"}", "+\"my-host.example.com\"", "-\"-a.com\"",
          "-\"a..b\"", "-\"ab--c\"");
    LINES(schema, "{\"format\":\"email\",\"type\":\"string\"}", "+\"a.b@example.org\"", "-\"a@\"", "-\".a@b.c\"");
    refused(schema, "{\"properties\":{\"t/x\":{\"uniqueItems\":true}}}", "'uniqueItems' at '#/properties/t~1x'");
    refused(schema, "{\"items\":{\"required\":\"a\"}}", "'required' at '#/items'");
    refused(schema, "{\"$defs\":{\"x\":{\"type\":1}}}", "'type' at '#/$defs/x'");
    refused(schema, "{\"pattern\":\"(\"}", "'pattern' at '#'");
    refused(schema, "{\"format\":\"regex\"}", "'format' at '#'");
    refused(schema, "{\"$dynamicRef\":\"#a\"}", "'$dynamicRef' at '#'");
    refused(schema, "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no value");
    refused(schema, "{\"oneOf\":[{\"contains\":{},\"minContains\":2},{}]}",
            "'contains' at '#/oneOf/0': with minContains or maxContains is not supported where it must not hold");
}

/* A value that may come about in too many ways: its place is named. */
static void schema_ways(void **state) {
    (void)state;
    Text ways = {0};
    text_line(&ways, "{\"properties\":{\"x\":{\"allOf\":[");
    for (int i = 0; i < 11; i++)
        text_line(&ways, "%s{\"anyOf\":[{\"required\":[\"a%d\"]},{\"required\":[\"b%d\"]}]}", i ? "," : "", i, i);
    text_line(&ways, "]}}}");
    refused(schema, ways.data, "at '#/properties/x': too many ways");
    text_free(&ways);
}

/* A schema of each kind that would take very long, or very much, is refused or opened within moments. */
static void schema_budgets(void **state) {
    (void)state;
    Text nested = {0}, names = {0};
    Err err = {0};
    double start = cpu_seconds();
    for (int i = 0; i < 300; i++) text_line(&nested, "{\"type\":[\"object\",\"array\"],\"properties\":{\"a\":");
    text_line(&nested, "{}");
    for (int i = 0; i < 300; i++) text_line(&nested, "}}");
    Grammar *g = schema(nested.data, nested.bytes, &err);
    assert_non_null(g);
    grammar_release(g);
    text_line(&names, "{\"enum\":[\"n0\"");
    for (int i = 1; i < 3000; i++) text_line(&names, ",\"n%d\"", i);
    text_line(&names, "]}");
    LINES(schema, names.data, "+\"n2999\"", "-\"n3000\"");
    text_free(&nested), text_free(&names);
    text_line(&names, "{\"properties\":{\"p0\":{}");
    for (int i = 1; i < 1000; i++) text_line(&names, ",\"p%d\":{}", i);
    text_line(&names, "}}");
    LINES(schema, names.data, "+{\"p0\":1,\"p999\":2}", "-{\"p9\":1,\"p9\":2}");
    text_free(&names);
    text_line(&names, "{\"anyOf\":[{\"const\":0}"); /* the last of as many objects as may stand there */
    for (int i = 1; i < 1000; i++)
        text_line(&names, ",{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"v%d\"},\"n\":{\"type\":"
                          "\"integer\"}},\"required\":[\"k\",\"n\"],\"additionalProperties\":false}", i);
    text_line(&names, "]}");
    LINES(schema, names.data, "+{\"k\":\"v999\",\"n\":1}", "+{\"k\":\"v1\",\"n\":1}", "-{\"k\":\"v1000\",\"n\":1}");
    text_free(&names);
    refused(schema, "{\"pattern\":\"(a|b)*a(a|b){30}\"}", "'pattern' at '#'");
    refused(schema, "{\"pattern\":\"(((a{99}){99}){99}){99}\"}", "'pattern' at '#'");
    LINES(schema, "{\"maxLength\":2147483648}", "+\"a\"");
    assert_true(cpu_seconds() - start < 60);
}

/* A long text costs no more at its end, and what was forgotten is found again. */
static void long_texts(void **state) {
    (void)state;
    Err err = {0};
    const char *text = "{\"minLength\":30000,\"maxLength\":100000,\"type\":\"string\"}";
    Grammar *g = schema(text, strlen(text), &err);
    Matcher *m = g ? matcher_new(g, NULL, &err) : NULL;
    assert_non_null(m);
    int32_t at = matcher_read(m, 0, (const uint8_t *)"\"", 1, &err), early = 0;
    for (int i = 0; i < 60000 && at >= 0; i++) {
        if (i == 1000) early = at;
        at = matcher_read(m, at, (const uint8_t *)"a", 1, &err);
    }
    at = matcher_read(m, at, (const uint8_t *)"\"", 1, &err);
    assert_true(matcher_accepts(m, at));
    at = matcher_read(m, early, (const uint8_t *)"\xC3\xA9\\n", 4, &err);
    assert_true(at >= 0 && !matcher_accepts(m, at));
    matcher_release(m);
    grammar_release(g);
}

/* Grammars that would take all memory or time end with an error, soon. */
static void budgets(void **state) {
    (void)state;
    char deep[4000];
    double start = cpu_seconds();
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
    for (int i = 0; m && i < 60 && at >= 0; i++) at = matcher_read(m, at, (const uint8_t *)"x", 1, &err);
    assert_true(at >= 0); /* the ways followed are fewer than there are, but an answer is not cut */
    assert_false(err.kind);
    for (int i = 0; i < 59 && at >= 0; i++) {
        int32_t next = matcher_read(m, at, (const uint8_t *)"a", 1, &err);
        at = next >= 0 ? next : matcher_read(m, at, (const uint8_t *)"b", 1, &err);
    }
    assert_true(matcher_accepts(m, at)); /* and can be ended */
    matcher_release(m);
    grammar_release(g);
    assert_true(cpu_seconds() - start < 60);
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
        cmocka_unit_test(regexes), cmocka_unit_test(gbnf), cmocka_unit_test(schemas), cmocka_unit_test(schemas_kept),
        cmocka_unit_test(schema_ways), cmocka_unit_test(schema_budgets), cmocka_unit_test(long_texts),
        cmocka_unit_test(budgets),
        cmocka_unit_test(whole_and_ended),
        cmocka_unit_test_setup_teardown(masks, open_qwen, close_qwen),
        cmocka_unit_test_setup_teardown(order_kept, open_qwen, close_qwen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
