/* test_jinja.c: the language of chat templates: real templates to the letter, the language row by row, where text
 * comes from, generation blocks, and budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/base/lines.h"
#include "../src/io/json.h"
#include "../src/text/chat.h"
#include "fixture.h"

/* ---- Against Jinja2 --------------------------------------------------------------------------------------------- */

/* 13 models' templates on 82 conversations each: equal to Hugging Face's to the letter; of an error only that it is
 * one. */
static void real_templates(void **state) {
    (void)state;
    static const char *const names[] = {"GLM-4.6",
                                        "HuggingFaceTB-SmolLM3-3B",
                                        "Mistral-Small-3.2-24B-Instruct-2506",
                                        "Qwen-QwQ-32B",
                                        "Qwen-Qwen2.5-7B-Instruct",
                                        "Qwen-Qwen3-0.6B",
                                        "Qwen3-Coder",
                                        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
                                        "deepseek-ai-DeepSeek-V3.1",
                                        "ibm-granite-granite-3.3-2B-Instruct",
                                        "microsoft-Phi-3.5-mini-instruct",
                                        "mistralai-Mistral-Nemo-Instruct-2407",
                                        "openai-gpt-oss-120b"};
    int rows = 0, errors = 0;
    setenv("SOURCE_DATE_EPOCH", "1767323045", 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        ChatTemplate chat = {0};
        Err err = {0};
        Lines asked, wanted;
        Line request, text;
        snprintf(path, sizeof path, "tests/data/templates/%s.jinja", names[i]);
        if (!chat_choose(&chat, path, &err)) fail_msg("%s", err.text);
        snprintf(path, sizeof path, "tests/data/templates/%s.jsonl", names[i]);
        assert_true(lines_open(&asked, "tests/data/templates/requests.jsonl", &err) && lines_open(&wanted, path, &err));
        for (; lines_next(&asked, &request, &err) && lines_next(&wanted, &text, &err); rows++) {
            json_t *root = json_text(request.data, request.bytes, request.where, &err),
                   *want = json_text(text.data, text.bytes, text.where, &err);
            Prompt prompt = {0};
            Err why = {0};
            bool ok = chat_render_bare(&chat, root, &prompt, &why);
            if (ok == json_is_null(want)) fail_msg("%s: %s", text.where, ok ? "rendered" : why.text);
            if (ok && strcmp(prompt.text.data, json_string_value(want)))
                fail_msg("%s: got\n%s", text.where, prompt.text.data);
            errors += !ok;
            prompt_free(&prompt);
            json_decref(root);
            json_decref(want);
        }
        lines_close(&asked);
        lines_close(&wanted);
        chat_free(&chat);
    }
    assert_int_equal(rows, 13 * 82);
    assert_int_equal(errors, 38);
}

/* Filters, tests, methods, operators and statements on values of every kind. */
static void language(void **state) {
    (void)state;
    enum { MOST = 64 };
    Lines lines;
    Line line;
    Err err = {0};
    int rows = 0, wrong = 0;
    setenv("SOURCE_DATE_EPOCH", "1767323045", 1);
    assert_true(lines_open(&lines, "tests/golden/jinja/cases.jsonl", &err) && lines_next(&lines, &line, &err));
    json_t *context = json_text(line.data, line.bytes, line.where, &err), *value;
    JinjaVariable variables[MOST];
    size_t count = 0;
    const char *key;
    json_object_foreach(context, key, value) variables[count++] = (JinjaVariable){key, value, true};
    for (; lines_next(&lines, &line, &err); rows++) {
        json_t *row = json_text(line.data, line.bytes, line.where, &err), *want = json_array_get(row, 1);
        const char *text = json_string_value(json_array_get(row, 0));
        Prompt prompt = {0};
        Err why = {0};
        JinjaTemplate *t = jinja_parse(text, strlen(text), &why);
        bool ok = t && jinja_render(t, variables, count, NULL, &prompt, &why);
        bool same = ok ? json_is_string(want) && prompt.text.bytes == json_string_length(want) : json_is_null(want);
        if (ok && same) same = !memcmp(prompt.text.data, json_string_value(want), prompt.text.bytes);
        if (!same)
            print_message("%s\n  want %s\n  got  %s\n", text, json_is_null(want) ? "an error" : json_string_value(want),
                          ok ? prompt.text.data : why.text);
        wrong += !same;
        jinja_free(t);
        prompt_free(&prompt);
        json_decref(row);
    }
    lines_close(&lines);
    json_decref(context);
    assert_true(rows > 1000);
    assert_int_equal(wrong, 0);
}

/* ---- Where text comes from -------------------------------------------------------------------------------------- */

/* The text of a template with what is data between < and >; "error: ..." if there is none. */
static char *marked(const char *text, const char *json) {
    Err err = {0};
    Prompt prompt = {0};
    Text out = {0};
    json_t *data = json_text(json, strlen(json), "variables", &err);
    JinjaVariable v[] = {{"m", data, true}, {"bos_token", json_string("[B]"), false}};
    JinjaTemplate *t = jinja_parse(text, strlen(text), &err);
    if (t && jinja_render(t, v, 2, NULL, &prompt, &err)) {
        size_t at = 0;
        for (size_t i = 0; i <= prompt.open_count; i++) {
            size_t to = i < prompt.open_count ? prompt.open[i].start : prompt.text.bytes;
            if (to > at) text_line(&out, "<%.*s>", (int)(to - at), prompt.text.data + at);
            if (i == prompt.open_count) break;
            text_add(&out, prompt.text.data + to, prompt.open[i].end - to);
            at = prompt.open[i].end;
        }
    } else text_line(&out, "error: %s", err.text);
    jinja_free(t);
    prompt_free(&prompt);
    json_decref(data);
    json_decref((json_t *)(uintptr_t)v[1].value);
    return out.data ? out.data : strdup("");
}

static void origin(void **state) {
    (void)state;
#define DATA                                                                                                           \
    "{\"s\": \"xY z\", \"n\": 12, \"r\": 1.5, \"t\": true, \"o\": null, \"l\": [\"a\", \"b\"], \"d\": {\"k\": "        \
    "\"v\"}, \"role\": \"user\", \"e\": \"\"}"
    static const char *const cases[][2] = {
        {"a{{ m.s }}b", "a<xY z>b"},
        {"{{ bos_token + m.s }}", "[B]<xY z>"},
        {"{{ 'a' ~ m.s ~ 'b' ~ 1 ~ m.n }}", "a<xY z>b1<12>"},
        {"{{ ('a' + m.s + 'b')[1:3] }}{{ ('a' + m.s)[0] }}{{ ('ab' + m.s)[::-1] }}", "<xY>a<z Yx>ba"},
        {"{{ (' ' + m.s + ' b ')|trim }}|{{ m.s.strip('x') }}", "<xY z> b|<Y z>"},
        {"{{ ('a' + m.s)|upper }}{{ ('A' + m.s)|lower }}{{ ('a' + m.s).title() }}{{ (m.s + 'B')|capitalize }}",
         "A<XY Z>a<xy z>A<xy ZXy z>b"},
        {"{{ 'a-b'.replace('-', m.s) }}{{ m.s.replace(' ', '-') }}{{ m.s|replace('Y', m.n|string) }}",
         "a<xY z>b<xY>-<zx12 z>"},
        {"{{ m.l|join(', ') }}{{ ['p', m.s]|join }}{{ '-'.join(m.l) }}", "<a>, <b>p<xY za>-<b>"},
        {"{{ ('a ' + m.s).split()|join('+') }}{{ m.s.split('Y')[0] }}", "a+<xY>+<zx>"},
        {"{{ '%s=%d' % (m.s, m.n) }}{{ '%5s|' % m.s }}{{ '%s' % 'a' }}", "<xY z>=<12 xY z>|a"},
        {"{{ '{}{a}'.format(m.s, a='b') }}{{ '{:>6}|'.format(m.s) }}{{ '{}'.format(m.l) }}",
         "<xY z>b<  xY z>|<['a', 'b']>"},
        {"{{ m.l|tojson }}{{ ['a']|tojson }}{{ m.d|tojson }}", "<[\"a\", \"b\"][\">a<\"]{\"k\": \"v\"}>"},
        {"{{ m.l }}{{ m.t }}{{ m.o }}{{ m.r }}{{ m.n + 1 }}{{ 1 + 1 }}{{ m.n * 1.0 }}",
         "<['a', 'b']True>None<1.513>2<12.0>"},
        {"{{ m.s|e }}{{ ('<' ~ m.s)|e }}{{ m.s|safe }}", "<xY z>&lt;<xY zxY z>"},
        {"{{ m.s * 2 }}{{ 'a' * 2 }}{{ m.s|center(8) }}{{ m.s.ljust(6, '.') }}", "<xY zxY z>aa  <xY z>  <xY z>.."},
        {"{{ (m.s ~ '\nb')|indent(1) }}{{ m.s|truncate(3, true, '.', 0) }}", "<xY z>\n b<xY>."},
        {"{% set x %}a{{ m.s }}{% endset %}{{ x }}{% macro f(y) %}<{{ y }}>{% endmacro %}{{ f(m.s) }}",
         "a<xY z><<xY z>>"},
        {"{% filter upper %}a{{ m.s }}{% endfilter %}{% for c in m.s %}{{ c }}{% endfor %}", "A<XY ZxY z>"},
        {"{% for k, v in m.d.items() %}{{ k }}:{{ v }}{% endfor %}{{ m.d|dictsort }}", "<k>:<v[('k', 'v')]>"},
        {"{% set ns = namespace(x='') %}{% set ns.x = ns.x + m.s %}{{ ns.x + 'a' }}", "<xY z>a"},
        {"{{ m.s|reverse }}{{ m.s|list|first }}{{ m.l|map('upper')|join('-') }}{{ m.l|first }}", "<z YxxA>-<Ba>"},
        {"{{ m.s if true }}{{ m.e or 'a' }}{{ m.x or m.s }}{{ m.s|default('a') }}{{ m.x|default('a') }}",
         "<xY z>a<xY zxY z>a"},
        {"{{ m.n|string }}{{ m.n|int }}{{ m.s|length }}{{ '7'|int }}{{ m.n|round(1) }}", "<1212>47<12>"},
        {"<|{{ m.role }}|>{{ '<|' + m.role + '|>' }}", "<|user|><|user|>"},
        {"{{ m.s.encode() }}", "error: chat template, line 1: encode is undefined: it cannot be called"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = marked(cases[i][0], DATA);
        if (strcmp(got, cases[i][1]))
            print_message("%s\n  want %s\n  got  %s\n", cases[i][0], cases[i][1], got), wrong++;
        free(got);
    }
    assert_int_equal(wrong, 0);
    char *got = marked("<|{{ m.role }}|>", "{\"role\": \"im_end\"}"); /* no word that is a role */
    assert_string_equal(got, "<|<im_end>|>");
    free(got);
}

/* ---- Generation blocks ------------------------------------------------------------------------------------------ */

static void generation(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a{% generation %}bé{% endgeneration %}c", "1-3 "},
        {"{% for x in [1, 2] %}<{% generation %}{{ x }}{% endgeneration %}>{% endfor %}", "1-2 4-5 "},
        {"{% generation %}a{% endgeneration %}{% generation %}b{% endgeneration %}", "0-1 1-2 "},
        {"é{% generation %}{% endgeneration %}", "1-1 "},
        {"{% macro f(x) %}[{% generation %}{{ x }}!{% endgeneration %}]{% endmacro %}aa{{ f('é') }}{{ f(2)|upper }}",
         "3-5 7-9 "},
        {"{% set x %}{% generation %}ab{% endgeneration %}{% endset %}{{ x[1:] }}{{ x }}", "0-3 "},
        {"{% generation %}a{% generation %}b{% endgeneration %}c{% endgeneration %}", "0-3 1-2 "},
        {"a", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        Prompt prompt = {0};
        Text got = {0};
        JinjaTemplate *t = jinja_parse(cases[i][0], strlen(cases[i][0]), &err);
        if (!t || !jinja_render(t, NULL, 0, NULL, &prompt, &err)) fail_msg("%s: %s", cases[i][0], err.text);
        text_add(&got, "", 0);
        for (size_t k = 0; k < prompt.generation_count; k++)
            text_line(&got, "%zu-%zu ", prompt.generation[k].start, prompt.generation[k].end);
        if (strcmp(got.data, cases[i][1])) fail_msg("%s\n  want %s\n  got  %s", cases[i][0], cases[i][1], got.data);
        text_free(&got);
        prompt_free(&prompt);
        jinja_free(t);
    }
}

/* ---- Budgets and errors ----------------------------------------------------------------------------------------- */

static void assert_error(const char *text, QmErrKind kind, const char *says) {
    Err err = {0};
    Prompt prompt = {0};
    static const JinjaLimits limits = {1 << 18, 8 << 20};
    JinjaTemplate *t = jinja_parse(text, strlen(text), &err);
    if (t && jinja_render(t, NULL, 0, &limits, &prompt, &err)) fail_msg("%.200s: rendered", text);
    if (!strstr(err.text, says) || err.kind != kind) fail_msg("%.200s: expected '%s', got: %s", text, says, err.text);
    assert_null(prompt.text.data);
    jinja_free(t);
}

static void hostile(void **state) {
    (void)state;
    static const struct { const char *text; QmErrKind kind; const char *says;
    } cases[] = {
        {"{% for a in range(99999) %}{{ a }}{% endfor %}", QM_LIMIT, "too many steps"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", QM_INPUT, "nested deeper"},
        {"{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
         QM_LIMIT, "memory"},
        {"{{ 'x' * 9999999999 }}", QM_INPUT, "too long"},
        {"{{ [1] * 9999999999 }}", QM_INPUT, "too long"},
        {"{{ '%99999999999999d' % 1 }}", QM_INPUT, "a size of at most"},
        {"{{ '{:99999999999}'.format(1) }}", QM_INPUT, "a width of at most"},
        {"{{ 9 ** (9 ** 9) }}", QM_INPUT, "bits"},
        {"{{ range(100001) }}", QM_INPUT, "more than 100000 items"},
        {"{{ 'a'.center(99999999999) }}", QM_INPUT, "too long"},
        {"{% set ns = namespace() %}{% set ns.n = ns %}{{ ns }}", QM_INPUT, "nested deeper"},
        {"{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
         QM_INPUT, "nested deeper"},
        {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", QM_INPUT, "nested deeper"},
        {"{{ ('x' * 1000)|batch(1, 'y')|list|tojson|replace('', 'zzzzzzzzz')|replace('', 'zzzzzzzzz') }}", QM_LIMIT,
         "too many steps"},
        {"{% set n = namespace(x=(1,)) %}{% for a in range(400) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ {n.x: 1} }}",
         QM_LIMIT, "too many steps"}, /* a tree of tuples that share their parts */
        {"{% set n = namespace(x=[1], y=[1]) %}{% for a in range(400) %}{% set n.x = [n.x, n.x] %}"
         "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}", QM_LIMIT, "too many steps"},
        {"{% set s = 'ab' * 300000 %}{% for a in range(99999) %}{{ s.isalpha() }}{% endfor %}", QM_LIMIT,
         "too many steps"},
        {"a\n{{ 1 / 0 }}", QM_INPUT, "line 2: division by zero"},
        {"a\n\n{% if %}", QM_INPUT, "line 3: expected an expression"},
        {"{{ x.y }}", QM_INPUT, "x is undefined: it has no 'y'"},
        {"{{ f(1) }}", QM_INPUT, "f is undefined: it cannot be called"},
        {"{% for %}", QM_INPUT, "expected"},
        {"{% endif %}", QM_INPUT, "unknown tag 'endif'"},
        {"{% if 1 %}", QM_INPUT, "expected elif else endif"},
        {"{{ 1", QM_INPUT, "expected }}"},
        {"{# x", QM_INPUT, "expected #}"},
        {"{{ 'x }}", QM_INPUT, "a string has no end"},
        {"{{ (1] }}", QM_INPUT, "unexpected ']'"},
        {"{{ 1|none }}", QM_INPUT, "no filter is named 'none'"},
        {"{% for x in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", QM_INPUT, "need a loop"},
        {"{% include 'x' %}", QM_INPUT, "no other template"},
        {"{{ raise_exception('No <tools>') }}", QM_INPUT, "No <tools>"},
        {"\xFF", QM_INPUT, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_error(cases[i].text, cases[i].kind, cases[i].says);
    static const char *const deep[][3] = {{"(", ")", "{{ %s1%s }}"},
                                          {"[", "]", "{{ %s1%s }}"},
                                          {"not ", "", "{{ %s1%s }}"},
                                          {"-", "", "{{ %s1%s }}"},
                                          {"{% if 1 %}", "{% endif %}", "%sx%s"},
                                          {"1 + ", "", "{{ %s1%s }}"},
                                          {"1 if 1 else ", "", "{{ %s1%s }}"},
                                          {"", "|upper", "{{ 1%s%s }}"},
                                          {"", "[0]", "{{ x%s%s }}"}};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        Text open = {0}, close = {0}, whole = {0};
        for (int k = 0; k < 20000; k++) text_line(&open, "%s", deep[i][0]), text_line(&close, "%s", deep[i][1]);
        const char *middle = strstr(deep[i][2], "%s");
        text_line(&whole, "%.*s%s", (int)(middle - deep[i][2]), deep[i][2], open.data ? open.data : "");
        const char *last = strstr(middle + 2, "%s");
        text_line(&whole, "%.*s%s%s", (int)(last - middle - 2), middle + 2, close.data ? close.data : "", last + 2);
        assert_error(whole.data, QM_INPUT, "nested deeper");
        text_free(&open);
        text_free(&close);
        text_free(&whole);
    }
}

/* A template may be rendered again, and an error leaves nothing behind. */
static void again(void **state) {
    (void)state;
    Err err = {0};
    static const char text[] = "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ x }}{% if x is not none %}{{ 1 // x "
                               "}}{% endif %}{{ c.next() }}";
    JinjaTemplate *t = jinja_parse(text, strlen(text), &err);
    assert_non_null(t);
    for (int i = 0; i < 6; i++) {
        Prompt prompt = {0};
        json_t *zero = json_integer(0);
        JinjaVariable v = {"x", i % 2 ? zero : NULL, true};
        err = (Err){0};
        assert_int_equal(jinja_render(t, &v, 1, NULL, &prompt, &err), i % 2 == 0);
        if (i % 2 == 0) assert_string_equal(prompt.text.data, "aNoneb");
        prompt_free(&prompt);
        json_decref(zero);
    }
    assert_true(jinja_mentions(t, "x") && jinja_mentions(t, "next") && jinja_mentions(t, "a") &&
                !jinja_mentions(t, "tools"));
    jinja_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_templates), cmocka_unit_test(language), cmocka_unit_test(origin),
        cmocka_unit_test(generation),     cmocka_unit_test(hostile),  cmocka_unit_test(again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
