/* test_serve_chat_request.c: bodies of OpenAI's requests: every limit, the member that a refusal names, and what requests become
 * that are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "../src/serve/chat_request.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define TOOL "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}"

typedef struct Read { json_t *body; ChatRequest r; Err err; bool ok; } Read;

static Read read_body(const char *text, bool chat) {
    Read x = {0};
    Err bad = {0};
    x.body = json_text(text, strlen(text), "body", &bad);
    if (!x.body) fail_msg("%s: %s", bad.text, text);
    x.ok = (chat ? chat_request_read : completion_request_read)(&x.r, x.body, &x.err);
    assert_int_equal(x.ok, x.err.kind == QM_OK);
    return x;
}

static void read_free(Read *x) {
    chat_request_free(&x->r);
    json_decref(x->body);
}

/* ---- What is refused, and by which member ------------------------------------------------------------------------ */

typedef struct Wrong { bool chat; const char *body, *wrong; } Wrong;

static const Wrong wrongs[] = {
    {true, "[]", "body"},
    {true, "{}", "messages"},
    {true, "{\"messages\":[]}", "messages"},
    {true, "{\"messages\":{}}", "messages"},
    {true, "{\"messages\":[5]}", "messages[0]"},
    {true, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
    {true, "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages[0].role"},
    {true, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x\"}}]}]}",
     "messages[0].content[0]"},
    {true, "{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "messages[0].content[0]"},
    {true, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages[0].content"},
    {true, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"name\":5}]}", "messages[0].name"},
    {true, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}]}",
     "messages[0].tool_calls[0]"},
    {true, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}}]}]}",
     "messages[0].tool_calls[0]"},
    {true, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":5}]}", "messages[0].tool_calls"},
    {true, "{" HI ",\"model\":5}", "model"},
    {true, "{" HI ",\"temperature\":2.1}", "temperature"},
    {true, "{" HI ",\"temperature\":\"hot\"}", "temperature"},
    {true, "{" HI ",\"temperature\":-0.1}", "temperature"},
    {true, "{" HI ",\"top_p\":1.01}", "top_p"},
    {true, "{" HI ",\"max_tokens\":0}", "max_tokens"},
    {true, "{" HI ",\"max_completion_tokens\":1.5}", "max_completion_tokens"},
    {true, "{" HI ",\"n\":0}", "n"},
    {true, "{" HI ",\"n\":129}", "n"},
    {true, "{" HI ",\"n\":99999999999999999999}", "n"},
    {true, "{" HI ",\"stop\":5}", "stop"},
    {true, "{" HI ",\"stop\":\"\"}", "stop"},
    {true, "{" HI ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}", "stop"},
    {true, "{" HI ",\"top_logprobs\":3}", "top_logprobs"},
    {true, "{" HI ",\"logprobs\":true,\"top_logprobs\":21}", "top_logprobs"},
    {true, "{" HI ",\"logprobs\":5}", "logprobs"},
    {true, "{" HI ",\"presence_penalty\":-2.5}", "presence_penalty"},
    {true, "{" HI ",\"frequency_penalty\":3}", "frequency_penalty"},
    {true, "{" HI ",\"logit_bias\":{\"a\":1}}", "logit_bias"},
    {true, "{" HI ",\"logit_bias\":{\"5\":101}}", "logit_bias"},
    {true, "{" HI ",\"logit_bias\":[]}", "logit_bias"},
    {true, "{" HI ",\"seed\":1.5}", "seed"},
    {true, "{" HI ",\"stream\":\"yes\"}", "stream"},
    {true, "{" HI ",\"stream_options\":{\"include_usage\":true}}", "stream_options"},
    {true, "{" HI ",\"stream\":true,\"stream_options\":{\"include_usage\":1}}", "include_usage"},
    {true, "{" HI ",\"tools\":[5]}", "tools[0]"},
    {true, "{" HI ",\"tools\":[{\"type\":\"web_search\"}]}", "tools[0]"},
    {true, "{" HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]}", "tools[0]"},
    {true, "{" HI ",\"tools\":[" TOOL "," TOOL "]}", "tools[1]"},
    {true, "{" HI ",\"tool_choice\":\"required\"}", "tool_choice"},
    {true, "{" HI ",\"tools\":[" TOOL "],\"tool_choice\":\"f\"}", "tool_choice"},
    {true, "{" HI ",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}}", "tool_choice"},
    {true, "{" HI ",\"tools\":[" TOOL "],\"functions\":[]}", "functions"},
    {true, "{" HI ",\"chat_template\":\"x\"}", "chat_template"},
    {true, "{" HI ",\"continue_final_message\":true}", "continue_final_message"},
    {true, "{" HI ",\"qwenmesh\":5}", "qwenmesh"},
    {false, "{}", "prompt"},
    {false, "{\"prompt\":[]}", "prompt"},
    {false, "{\"prompt\":5}", "prompt"},
    {false, "{\"prompt\":[\"a\",[1,\"b\"]]}", "prompt[1]"},
    {false, "{\"prompt\":[1,-2]}", "prompt"},
    {false, "{\"prompt\":\"x\",\"suffix\":\"y\"}", "suffix"},
    {false, "{\"prompt\":\"x\",\"logprobs\":true}", "logprobs"},
    {false, "{\"prompt\":\"x\",\"logprobs\":21}", "logprobs"},
    {false, "{\"prompt\":\"x\",\"n\":3,\"best_of\":2}", "best_of"},
    {false, "{\"prompt\":\"x\",\"n\":1,\"best_of\":2,\"stream\":true}", "best_of"},
    {false, "{\"prompt\":\"x\",\"max_tokens\":-2}", "max_tokens"},
};

static void names_what_is_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        Read x = read_body(wrongs[i].body, wrongs[i].chat);
        if (x.ok || strcmp(x.r.wrong, wrongs[i].wrong))
            fail_msg("%s: expected %s, got '%s' (%s)", wrongs[i].body, wrongs[i].wrong, x.r.wrong, x.err.text);
        assert_non_null(strstr(x.err.text, wrongs[i].wrong));
        read_free(&x);
    }
}

/* ---- What is taken ----------------------------------------------------------------------------------------------- */

typedef struct Taken { bool chat; const char *body, *parameters; } Taken;

static const Taken takens[] = {
    {true, "{" HI "}", "{\"do_sample\":true}"},
    {true, "{" HI ",\"temperature\":null,\"n\":null,\"stop\":null,\"tools\":null,\"stream\":null,\"stream_options\":null,"
           "\"seed\":null,\"logprobs\":null,\"top_logprobs\":null,\"logit_bias\":null,\"response_format\":null,"
           "\"max_tokens\":null,\"model\":null,\"qwenmesh\":null,\"tool_choice\":null}", "{\"do_sample\":true}"},
    {true, "{" HI ",\"temperature\":0,\"top_logprobs\":0}", "{\"do_sample\":false}"},
    {true, "{" HI ",\"temperature\":0.5,\"top_k\":-1,\"repeat_penalty\":1.1,\"min_tokens\":3}",
     "{\"do_sample\":true,\"temperature\":0.5,\"top_k\":0,\"repetition_penalty\":1.1,\"min_new_tokens\":3}"},
    {true, "{" HI ",\"top_p\":0}", "{\"do_sample\":true,\"top_p\":1e-9}"},
    {true, "{" HI ",\"stop\":\"a\",\"logit_bias\":{\"5\":-100}}",
     "{\"do_sample\":true,\"stop_strings\":[\"a\"],\"logit_bias\":{\"5\":-100}}"},
    {false, "{\"prompt\":\"x\",\"num_beams\":2,\"logit_bias\":{}}", "{\"do_sample\":true,\"num_beams\":2}"},
};

static void becomes_parameters(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof takens / sizeof *takens; i++) {
        Read x = read_body(takens[i].body, takens[i].chat);
        json_t *expected = json_loads(takens[i].parameters, 0, NULL);
        if (!x.ok || !json_equal(expected, x.r.parameters))
            fail_msg("%s: %s: %s", takens[i].body, x.err.text, json_dumps(x.r.parameters, 0));
        assert_string_equal(x.r.unknown, "");
        json_decref(expected);
        read_free(&x);
    }
}

static void lengths_and_seeds(void **state) {
    (void)state;
    static const struct { const char *more; int64_t max_new, seed; bool seeded; } rows[] = {
        {"", -1, 0, false},
        {",\"max_tokens\":5,\"seed\":-1", 5, INT64_MAX, false},
        {",\"max_tokens\":5,\"max_completion_tokens\":7,\"seed\":0", 7, 0, true},
        {",\"n_predict\":-1,\"seed\":9223372036854775807", -1, INT64_MAX, true},
        {",\"max_tokens\":32000,\"seed\":-5", 32000, INT64_MAX - 4, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{" HI "%s}", rows[i].more);
        Read x = read_body(body, true);
        assert_true(x.ok);
        assert_int_equal(x.r.max_new, rows[i].max_new);
        assert_int_equal(x.r.seeded, rows[i].seeded);
        if (rows[i].seeded) assert_int_equal(x.r.seed, rows[i].seed);
        read_free(&x);
    }
}

static void messages_as_templates_take_them(void **state) {
    (void)state;
    Read x = read_body("{\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache\":1}]},"
                       "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
                       "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}}]},"
                       "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"2\"},"
                       "{\"role\":\"assistant\",\"content\":\"b\",\"tool_calls\":[],\"extra\":1}]}", true);
    json_t *expected =
        json_loads("[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},"
                   "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
                   "\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]},"
                   "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"2\"},"
                   "{\"role\":\"assistant\",\"content\":\"b\"}]", 0, NULL);
    if (!x.ok || !json_equal(expected, x.r.messages)) fail_msg("%s %s", x.err.text, json_dumps(x.r.messages, 0));
    json_decref(expected);
    read_free(&x);
}

static void tools_and_choices(void **state) {
    (void)state;
    static const struct { const char *more; ToolChoice choice; } rows[] = {
        {"", TOOLS_NONE},
        {",\"tool_choice\":\"auto\"", TOOLS_NONE},
        {",\"tools\":[]", TOOLS_NONE},
        {",\"tools\":[" TOOL "]", TOOLS_AUTO},
        {",\"tools\":[" TOOL "],\"tool_choice\":\"none\"", TOOLS_NONE},
        {",\"tools\":[" TOOL "],\"tool_choice\":\"required\"", TOOLS_REQUIRED},
        {",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", TOOLS_NAMED},
        {",\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"f\"}", TOOLS_NAMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        snprintf(body, sizeof body, "{" HI "%s}", rows[i].more);
        Read x = read_body(body, true);
        if (!x.ok || x.r.tool_choice != rows[i].choice) fail_msg("%s: %d %s", body, (int)x.r.tool_choice, x.err.text);
        if (rows[i].choice == TOOLS_NAMED) assert_string_equal(x.r.tool_name, "f");
        read_free(&x);
    }
}

static void prompts_of_every_form(void **state) {
    (void)state;
    static const struct { const char *prompt; int64_t count; bool ids; } rows[] = {
        {"\"x\"", 1, false}, {"\"\"", 1, false}, {"[\"x\",\"y\"]", 2, false}, {"[1,2,3]", 1, true}, {"[[1],[2,3]]", 2, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":%s,\"max_tokens\":0,\"echo\":true,\"logprobs\":0}", rows[i].prompt);
        Read x = read_body(body, false);
        if (!x.ok) fail_msg("%s: %s", body, x.err.text);
        assert_int_equal(x.r.prompt_count, rows[i].count);
        assert_int_equal(x.r.prompts[0].ids != NULL, rows[i].ids);
        assert_true(x.r.echo && x.r.logprobs && x.r.max_new == 0 && x.r.top_logprobs == 0);
        read_free(&x);
    }
    Read x = read_body("{\"prompt\":\"x\"}", false);
    assert_int_equal(x.r.max_new, 16);
    assert_false(x.r.logprobs);
    read_free(&x);
}

static void unknown_members_are_noted(void **state) {
    (void)state;
    Read x = read_body("{" HI ",\"user\":\"u\",\"store\":true,\"frobnicate\":1,\"x\\u0007y\":2}", true);
    assert_true(x.ok);
    assert_string_equal(x.r.unknown, "frobnicate, x?y");
    read_free(&x);
    Text many = {0};
    text_line(&many, "{" HI);
    for (int i = 0; i < 100; i++) text_line(&many, ",\"a_member_of_a_long_name_%d\":1", i);
    text_line(&many, "}");
    x = read_body(many.data, true);
    assert_true(x.ok && strlen(x.r.unknown) > 200 && strlen(x.r.unknown) < sizeof x.r.unknown);
    read_free(&x);
    text_free(&many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(becomes_parameters),
        cmocka_unit_test(lengths_and_seeds),
        cmocka_unit_test(messages_as_templates_take_them),
        cmocka_unit_test(tools_and_choices),
        cmocka_unit_test(prompts_of_every_form),
        cmocka_unit_test(unknown_members_are_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
