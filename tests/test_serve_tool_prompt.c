/* test_serve_tool_prompt.c: which form of calls a template has, what tools make of messages and of the answer's
 * grammar, and what binds an answer under the names of other servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/serve/tool_prompt.h"
#include "fixture.h"

static QmTokenizer *chatml;

static int open_both(void **state) {
    Err err = {0};
    if (open_qwen(state) || !(chatml = qm_tokenizer_open("tests/data/qwen2.5", &err))) return -1;
    return qm_tokenizer_set_chat(chatml, "chatml", &err) ? 0 : -1;
}

static int close_both(void **state) {
    qm_tokenizer_close(chatml);
    return close_qwen(state);
}

static void forms(void **state) {
    (void)state;
    static const struct { const char *file; ToolForm form; const char *shown; } templates[] = {
        {"Qwen-Qwen2.5-7B-Instruct", TOOL_FORM_TEMPLATE, ""},
        {"Qwen-Qwen3-0.6B", TOOL_FORM_TEMPLATE, ""},
        {"Qwen-QwQ-32B", TOOL_FORM_TEMPLATE, ""},
        {"microsoft-Phi-3.5-mini-instruct", TOOL_FORM_GENERIC, ""},
        {"mistralai-Mistral-Nemo-Instruct-2407", TOOL_FORM_OTHER, "[TOOL_CALLS]"},
        {"Mistral-Small-3.2-24B-Instruct-2506", TOOL_FORM_OTHER, "[TOOL_CALLS]"},
        {"Qwen3-Coder", TOOL_FORM_OTHER, "<function="},
        {"GLM-4.6", TOOL_FORM_OTHER, "<tool_call>"},
        {"openai-gpt-oss-120b", TOOL_FORM_OTHER, "probe_tool"},
    };
    Err err = {0};
    char shown[160];
    assert_int_equal(tool_form(qwen, shown), TOOL_FORM_TEMPLATE);
    assert_string_equal(shown, "");
    assert_int_equal(tool_form(chatml, NULL), TOOL_FORM_GENERIC);
    QmTokenizer *t = qm_tokenizer_open("tests/data/qwen2.5", &err);
    for (size_t i = 0; t && i < sizeof templates / sizeof *templates; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/data/templates/%s.jinja", templates[i].file);
        if (!qm_tokenizer_set_chat(t, path, &err)) fail_msg("%s: %s", path, err.text);
        if (tool_form(t, shown) != templates[i].form || !strstr(shown, templates[i].shown))
            fail_msg("%s: %s (%s)", path, tool_form_name(tool_form(t, shown)), shown);
    }
    qm_tokenizer_close(t);
}

/* The request of a body; its prompt's text and the parameters it comes to. NULL and *why. */
typedef struct Made { char *prompt; AnswerShape shape; QmParameters *p; char wrong[96]; Err err; } Made;

static Made make(const QmTokenizer *t, const char *body_text) {
    Made m = {0};
    ChatRequest r;
    Err *err = &m.err;
    json_t *body = json_text(body_text, strlen(body_text), "body", err), *root = NULL;
    bool ok = body && chat_request_read(&r, body, err) && (root = tool_prompt(t, &r, err));
    int32_t *ids = NULL;
    char *json = ok ? json_dump(root, 0, "prompt", err) : NULL;
    ok = json && qm_tokenizer_chat(t, json, strlen(json), true, &ids, &m.prompt, err) > 0;
    if (ok) m.shape = answer_shape(t, &r, m.prompt);
    QmSource *source = qm_source_open("tests/golden/tiny", err);
    m.p = qm_parameters_new(source, err);
    if (ok && m.p) ok = answer_structure(&r, m.shape, m.p, err);
    snprintf(m.wrong, sizeof m.wrong, "%s", r.wrong);
    if (ok == (m.err.kind != QM_OK)) fail_msg("%s: %d, '%s'", body_text, ok, m.err.text);
    qm_source_close(source);
    free(ids), free(json);
    json_decref(root);
    chat_request_free(&r);
    json_decref(body);
    return m;
}

static void made_free(Made *m) {
    free(m->prompt);
    qm_parameters_free(m->p);
}

#define USER "{\"role\": \"user\", \"content\": \"Weather?\"}"
#define TOOLS                                                                                                          \
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"parameters\": {\"type\": \"object\", " \
    "\"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}]"
#define TURNS                                                                                                          \
    USER ", {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"call_1\", \"type\": "               \
    "\"function\", \"function\": {\"name\": \"weather\", \"arguments\": \"{\\\"city\\\":\\\"Oslo\\\"}\"}}]}, "           \
    "{\"role\": \"tool\", \"tool_call_id\": \"call_1\", \"content\": \"rain\"}, "                                       \
    "{\"role\": \"tool\", \"tool_call_id\": \"call_2\", \"content\": \"<|im_end|>\"}"

/* Generic: `has` in the prompt of chatml; the same of Qwen's own template. */
static void prompts(void **state) {
    (void)state;
    static const char history[] =
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
    static const char results[] =
        "<|im_start|>user\n<tool_response>\nrain\n</tool_response>\n<tool_response>\n<|im_end|>\n"
        "</tool_response><|im_end|>\n";
    QmTokenizer *both[] = {qwen, chatml};
    for (int i = 0; i < 2; i++) {
        Made m =
            make(both[i], "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, " TURNS "], " TOOLS "}");
        if (m.err.kind) fail_msg("%s", m.err.text);
        if (!strstr(m.prompt, history) || !strstr(m.prompt, results)) fail_msg("%s", m.prompt);
        if (!strstr(m.prompt, "<|im_start|>system\nBe brief.\n\n# Tools\n")) fail_msg("%s", m.prompt);
        if (!strstr(m.prompt, "<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"weather\", "))
            fail_msg("%s", m.prompt);
        assert_true(m.shape.tools && !m.shape.thinking);
        made_free(&m);
        m = make(both[i], "{\"messages\": [" USER "], " TOOLS ", \"tool_choice\": \"none\"}");
        assert_null(strstr(m.prompt, "# Tools"));
        assert_false(m.shape.tools);
        char *text = qm_parameters_text(m.p, &m.err);
        assert_null(strstr(text, "a grammar"));
        free(text);
        made_free(&m);
        m = make(both[i], "{\"messages\": [" TURNS "]}"); /* history without tools */
        assert_true(strstr(m.prompt, history) && strstr(m.prompt, results) && !strstr(m.prompt, "# Tools"));
        made_free(&m);
    }
}

/* Whether the body is bound by a grammar; or refused, naming the member and with `why`. */
static void structures(void **state) {
    (void)state;
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\"}}, \"required\": [\"n\"]}";
    static const struct { const char *member, *wrong, *why; bool bound; } cases[] = {
        {"\"response_format\": {\"type\": \"text\"}", NULL, NULL, false},
        {"\"response_format\": null", NULL, NULL, false},
        {"\"response_format\": {\"type\": \"json_object\"}", NULL, NULL, true},
        {"\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", \"strict\": true, "
         "\"schema\": %s}}", NULL, NULL, true},
        {"\"json_schema\": %s", NULL, NULL, true},
        {"\"guided_json\": %s", NULL, NULL, true},
        {"\"guided_json\": \"{\\\"type\\\": \\\"null\\\"}\"", NULL, NULL, true},
        {"\"guided_regex\": \"a+\"", NULL, NULL, true},
        {"\"regex\": \"a+\"", NULL, NULL, true},
        {"\"guided_choice\": [\"a\", \"b\"]", NULL, NULL, true},
        {"\"grammar\": \"root ::= [a-z]+\"", NULL, NULL, true},
        {"\"guided_grammar\": \"root ::= [a-z]+\"", NULL, NULL, true},
        {"\"structured_outputs\": {\"json\": %s, \"disable_any_whitespace\": true}", NULL, NULL, true},
        {"\"structured_outputs\": {\"choice\": [\"a\"]}", NULL, NULL, true},
        {"\"structured_outputs\": {\"json_object\": true}", NULL, NULL, true},
        {"\"structured_outputs\": {}", NULL, NULL, false},
        {"\"structured_outputs\": {\"structural_tag\": \"x\"}", "structured_outputs", "structural_tag", false},
        {"\"structured_outputs\": 5", "structured_outputs", "expected an object", false},
        {"\"structured_outputs\": {\"json\": \"{\"}", "structured_outputs.json", "schema", false},
        {"\"regex\": \"a\", \"guided_choice\": [\"b\"]", "guided_choice", "regex is there too", false},
        {"\"regex\": \"(\"", "regex", "regular expression", false},
        {"\"response_format\": {\"type\": \"xml\"}", "response_format", "expected text, json_object", false},
        {"\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", \"schema\": "
         "{\"properties\": "
         "{\"a\": {\"uniqueItems\": true}}}}}", "response_format", "'uniqueItems' at '#/properties/a'", false},
        {TOOLS, NULL, NULL, true},
        {TOOLS ", \"tool_choice\": \"required\", \"response_format\": {\"type\": \"json_object\"}", NULL, NULL, true},
        {TOOLS ", \"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"weather\"}}", NULL, NULL, true},
        {"\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": "
         "\"array\"}}}]",
         "tools", "tools[0]: parameters: type: expected \"object\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char member[1024], body[2048];
        snprintf(member, sizeof member, cases[i].member, schema);
        snprintf(body, sizeof body, "{\"messages\": [" USER "], %s}", member);
        Made m = make(qwen, body);
        char *text = m.err.kind ? NULL : qm_parameters_text(m.p, &m.err);
        if (!cases[i].why && (m.err.kind || (strstr(text, "a grammar") != NULL) != cases[i].bound))
            fail_msg("%s: %s", member, m.err.kind ? m.err.text : text);
        if (cases[i].why && (!strstr(m.err.text, cases[i].why) || strcmp(m.wrong, cases[i].wrong)))
            fail_msg("%s: '%s', of '%s'", member, m.err.text, m.wrong);
        free(text);
        made_free(&m);
    }
}

static void shapes(void **state) {
    (void)state;
    ChatRequest r = {.tool_choice = TOOLS_NONE};
    AnswerShape s = answer_shape(qwen, &r, "<|im_start|>assistant\n");
    assert_true(!s.tools && !s.thinking && !s.open); /* Qwen2.5 has no <think> */
    s = answer_shape(qwen, &r, "<|im_start|>assistant\n<think>\n");
    assert_true(s.thinking && s.open);
    s = answer_shape(qwen, &r, "assistant\n<think>\n\n</think>\n\n");
    assert_true(!s.thinking && !s.open);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(prompts), cmocka_unit_test(structures),
                                       cmocka_unit_test(shapes)};
    return cmocka_run_group_tests(tests, open_both, close_both);
}
