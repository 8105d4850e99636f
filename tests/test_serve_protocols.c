/* test_serve_protocols.c: the bodies of Anthropic's messages, OpenAI's responses and Ollama's chats as one request: what a
 * chat becomes, and what is refused, by the member's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/serve/protocol_request.h"

typedef bool Reader(ChatRequest *r, const json_t *body, Err *err);

static bool messages_read(ChatRequest *r, const json_t *body, Err *err) {
    return messages_request_read(r, body, false, err);
}
static bool counting_read(ChatRequest *r, const json_t *body, Err *err) {
    return messages_request_read(r, body, true, err);
}

/* The messages, as text with single quotes. */
static void becomes(Reader *read, const char *text, const char *messages) {
    ChatRequest r;
    Err err = {0};
    json_t *body = json_text(text, strlen(text), "body", &err);
    if (!body || !read(&r, body, &err)) fail_msg("%s: %s", text, err.text);
    char *got = json_dumps(r.messages, JSON_COMPACT);
    for (char *p = got; p && *p; p++)
        if (*p == '"') *p = '\'';
    if (!got || strcmp(got, messages)) fail_msg("%s\nbecame %s\nnot    %s", text, got, messages);
    free(got);
    chat_request_free(&r);
    json_decref(body);
}

static void refused(Reader *read, const char *text, const char *wrong, const char *why) {
    ChatRequest r;
    Err err = {0};
    json_t *body = json_text(text, strlen(text), "body", &err);
    if (!body) fail_msg("%s: %s", text, err.text);
    if (read(&r, body, &err)) fail_msg("%s: taken", text);
    if (strcmp(r.wrong, wrong) || !strstr(err.text, why)) fail_msg("%s: '%s', of '%s'", text, err.text, r.wrong);
    chat_request_free(&r);
    json_decref(body);
}

/* A request that was read, and is to be freed with its body. */
static ChatRequest taken(Reader *read, const char *text, json_t **body) {
    ChatRequest r;
    Err err = {0};
    *body = json_text(text, strlen(text), "body", &err);
    if (!*body || !read(&r, *body, &err)) fail_msg("%s: %s", text, err.text);
    return r;
}

static void has(const json_t *value, const char *text) {
    char *got = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!got || strcmp(got, text)) fail_msg("got %s, not %s", got, text);
    free(got);
}

/* ---- Anthropic ----------------------------------------------------------------------------------------------------- */

static void messages(void **state) {
    (void)state;
    becomes(messages_read, "{\"max_tokens\":5,\"system\":\"S\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}",
            "[{'role':'system','content':'S'},{'role':'user','content':'Hi'}]");
    becomes(messages_read, "{\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":\"A\",\"cache_control\":{\"type\":\"ephemeral\"}},"
            "{\"type\":\"text\",\"text\":\"B\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
            "{\"type\":\"text\",\"text\":\"y\"}]}]}",
            "[{'role':'system','content':'A\\nB'},{'role':'user','content':'x\\ny'}]");
    becomes(messages_read, "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"w?\"},{\"role\":\"assistant\",\"content\":["
            "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"Let me see\"},"
            "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}]},"
            "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"r\"},"
            "{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}],\"is_error\":true},"
            "{\"type\":\"text\",\"text\":\"go on\"}]}]}",
            "[{'role':'user','content':'w?'},{'role':'assistant','content':'Let me see','reasoning_content':'hm','tool_calls':["
            "{'type':'function','function':{'name':'f','arguments':{'a':1}},'id':'t1'},"
            "{'type':'function','function':{'name':'g','arguments':{}},'id':'t2'}]},"
            "{'role':'tool','content':'r','tool_call_id':'t1'},{'role':'tool','content':'q','tool_call_id':'t2'},"
            "{'role':'user','content':'go on'}]");
    json_t *body;
    ChatRequest r = taken(messages_read, "{\"model\":\"m\",\"max_tokens\":7,\"stream\":true,\"temperature\":0,\"top_k\":3,"
                          "\"stop_sequences\":[\"a\",\"b\"],\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"The\"}],"
                          "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":"
                          "{\"type\":\"object\"}},{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],\"odd\":1,"
                          "\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}", &body);
    assert_string_equal(r.model, "m");
    assert_true(r.max_new == 7 && r.stream && r.continue_final && !r.add_generation_prompt);
    has(r.parameters, "{\"top_k\":3,\"do_sample\":false,\"stop_strings\":[\"a\",\"b\"]}");
    has(r.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}]");
    assert_true(r.tool_choice == TOOLS_REQUIRED && !r.parallel_tools);
    has(r.variables, "{\"enable_thinking\":true}");
    assert_string_equal(r.unknown, "odd");
    chat_request_free(&r), json_decref(body);
    r = taken(counting_read, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"output_format\":{\"type\":\"json_schema\",\"schema\":{}},"
              "\"chat_template_kwargs\":{\"enable_thinking\":1}}", &body);
    has(r.structure, "{\"json_schema\":{\"schema\":{}}}");
    has(r.variables, "{\"enable_thinking\":1}");
    chat_request_free(&r), json_decref(body);
}

#define ONE "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void messages_refused(void **state) {
    (void)state;
    refused(messages_read, "{" ONE "}", "max_tokens", "got none");
    refused(messages_read, "{" ONE ",\"max_tokens\":0}", "max_tokens", "from 1");
    refused(messages_read, "{\"max_tokens\":1}", "messages", "at least one");
    refused(messages_read, "{\"max_tokens\":1,\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", "messages[0]", "user or assistant");
    refused(messages_read, "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]}", "messages[0].content[0]", "\"image\"");
    refused(messages_read, "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}]}]}",
            "messages[0].content[0]", "tool_result");
    refused(messages_read, "{\"max_tokens\":1,\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":5}]}]}",
            "messages[0].content[0]", "an object of arguments");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"system\":5}", "system", "a string or a list");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"tools\":[{\"input_schema\":{}}]}", "tools[0]", "name");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"tool_choice\":{\"type\":\"some\"}}", "tool_choice", "auto, any, tool or none");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"tool_choice\":\"auto\"}", "tool_choice", "auto, any");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}}", "tool_choice", "no tool is named");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"thinking\":true}", "thinking", "enabled");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"stop_sequences\":[\"\"]}", "stop_sequences", "not empty");
    refused(messages_read, "{\"max_tokens\":1," ONE ",\"output_format\":{\"type\":\"x\"}}", "output_format", "json_schema");
}

/* ---- Responses ----------------------------------------------------------------------------------------------------- */

static void responses(void **state) {
    (void)state;
    becomes(responses_request_read, "{\"input\":\"Hi\",\"instructions\":\"I\"}",
            "[{'role':'system','content':'I'},{'role':'user','content':'Hi'}]");
    becomes(responses_request_read, "{\"instructions\":\"I\",\"input\":[]}", "[{'role':'system','content':'I'},{'role':'user','content':''}]");
    becomes(responses_request_read, "{\"instructions\":\"I\",\"input\":[{\"type\":\"message\",\"role\":\"developer\",\"content\":"
            "[{\"type\":\"input_text\",\"text\":\"D\"}]},{\"role\":\"user\",\"content\":\"w?\"},{\"type\":\"reasoning\",\"summary\":[]},"
            "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Let me\",\"annotations\":[]}]},"
            "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"},"
            "{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"\"},"
            "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"r\"},"
            "{\"type\":\"function_call_output\",\"call_id\":\"c2\",\"output\":[{\"type\":\"input_text\",\"text\":\"q\"}]},"
            "{\"type\":\"custom_tool_call\",\"call_id\":\"c3\",\"name\":\"apply_patch\",\"input\":\"p\"},"
            "{\"type\":\"custom_tool_call_output\",\"call_id\":\"c3\",\"output\":\"ok\"},{\"type\":\"web_search_call\",\"id\":\"w\"},"
            "{\"role\":\"user\",\"content\":\"go on\"}]}",
            "[{'role':'system','content':'I\\n\\nD'},{'role':'user','content':'w?'},{'role':'assistant','content':'Let me','tool_calls':["
            "{'type':'function','function':{'name':'f','arguments':{'a':1}},'id':'c1'},"
            "{'type':'function','function':{'name':'g','arguments':{}},'id':'c2'}]},"
            "{'role':'tool','content':'r','tool_call_id':'c1'},{'role':'tool','content':'q','tool_call_id':'c2'},"
            "{'role':'assistant','content':'','tool_calls':[{'type':'function','function':{'name':'apply_patch','arguments':{'input':'p'}},'id':'c3'}]},"
            "{'role':'tool','content':'ok','tool_call_id':'c3'},{'role':'user','content':'go on'}]");
    json_t *body;
    ChatRequest r = taken(responses_request_read, "{\"input\":\"x\",\"model\":\"m\",\"max_output_tokens\":9,\"stream\":true,\"store\":true,"
                          "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true},\"verbosity\":\"low\"},"
                          "\"reasoning\":{\"effort\":\"none\"},\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{},\"strict\":false},"
                          "{\"type\":\"web_search\"},{\"type\":\"namespace\",\"name\":\"x\"}],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}}", &body);
    assert_true(r.max_new == 9 && r.stream && r.tool_choice == TOOLS_NAMED);
    assert_string_equal(r.tool_name, "f");
    has(r.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{},\"strict\":false}}]");
    has(r.structure, "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"text\",\"schema\":{\"type\":\"object\"}}}}");
    has(r.variables, "{\"enable_thinking\":false}");
    assert_string_equal(r.unknown, "");
    chat_request_free(&r), json_decref(body);

    refused(responses_request_read, "{\"input\":\"x\",\"previous_response_id\":\"r\"}", "previous_response_id", "not stored");
    refused(responses_request_read, "{\"input\":\"x\",\"conversation\":{}}", "conversation", "not stored");
    refused(responses_request_read, "{\"input\":\"x\",\"background\":true}", "background", "not stored");
    refused(responses_request_read, "{\"input\":\"x\",\"top_logprobs\":2}", "top_logprobs", "chat/completions");
    refused(responses_request_read, "{\"input\":5}", "input", "a string or a list");
    refused(responses_request_read, "{\"input\":[{\"role\":\"cat\",\"content\":\"\"}]}", "input[0]", "role");
    refused(responses_request_read, "{\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}", "input[0]", "item_reference");
    refused(responses_request_read, "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]}", "input[0]", "input_image");
    refused(responses_request_read, "{\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"[1\"}]}", "input[0]", "JSON object");
    refused(responses_request_read, "{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"xml\"}}}", "text.format", "json_schema");
    refused(responses_request_read, "{\"input\":\"x\",\"tool_choice\":\"required\"}", "tool_choice", "tools with it");
}

/* ---- Ollama -------------------------------------------------------------------------------------------------------- */

static void ollama(void **state) {
    (void)state;
    becomes(ollama_chat_read, "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"w?\",\"images\":[]},"
            "{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"t\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},"
            "{\"role\":\"tool\",\"content\":\"r\",\"tool_name\":\"f\"}]}",
            "[{'role':'system','content':'S'},{'role':'user','content':'w?'},{'role':'assistant','content':'','reasoning_content':'t',"
            "'tool_calls':[{'type':'function','function':{'name':'f','arguments':{'a':1}}}]},{'role':'tool','content':'r','name':'f'}]");
    becomes(ollama_generate_read, "{\"prompt\":\"Hi\",\"system\":\"S\"}", "[{'role':'system','content':'S'},{'role':'user','content':'Hi'}]");
    json_t *body;
    ChatRequest r = taken(ollama_generate_read, "{\"model\":\"m:latest\",\"prompt\":\"Hi\",\"raw\":true,\"format\":\"json\",\"think\":false,\"keep_alive\":\"5m\","
                          "\"options\":{\"num_predict\":4,\"temperature\":0.5,\"top_k\":2,\"seed\":7,\"stop\":[\"x\"],\"num_ctx\":99,\"mirostat\":1}}", &body);
    assert_string_equal(r.model, "m");
    assert_true(r.stream && r.max_new == 4 && r.seeded && r.seed == 7 && r.prompt_count == 1 && !r.messages);
    has(r.parameters, "{\"temperature\":0.5,\"top_k\":2,\"do_sample\":true,\"stop_strings\":[\"x\"]}");
    has(r.structure, "{\"response_format\":{\"type\":\"json_object\"}}");
    has(r.variables, "{\"enable_thinking\":false}");
    assert_string_equal(r.unknown, "mirostat");
    chat_request_free(&r), json_decref(body);
    r = taken(ollama_chat_read, "{\"model\":\"m\",\"stream\":false,\"options\":{\"num_predict\":-2},\"format\":{\"type\":\"object\"},"
              "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]," ONE "}", &body);
    assert_true(!r.stream && r.max_new == -1 && r.tool_choice == TOOLS_AUTO);
    has(r.structure, "{\"json_schema\":{\"schema\":{\"type\":\"object\"}}}");
    chat_request_free(&r), json_decref(body);
    refused(ollama_generate_read, "{\"prompt\":5}", "prompt", "a string");
    refused(ollama_generate_read, "{\"prompt\":\"x\",\"suffix\":\"y\"}", "suffix", "not filled in");
    refused(ollama_generate_read, "{\"prompt\":\"x\",\"images\":[\"a\"]}", "images", "text only");
    refused(ollama_generate_read, "{\"prompt\":\"x\",\"options\":{\"temperature\":\"hot\"}}", "temperature", "a number");
    refused(ollama_generate_read, "{\"prompt\":\"x\",\"options\":[]}", "options", "an object");
    refused(ollama_chat_read, "{\"messages\":{}}", "messages", "a list");
    refused(ollama_chat_read, "{\"messages\":[{\"role\":\"user\",\"content\":\"\",\"images\":[\"x\"]}]}", "messages[0]", "text only");
    refused(ollama_chat_read, "{" ONE ",\"format\":\"xml\"}", "format", "a JSON schema");
    refused(ollama_chat_read, "{" ONE ",\"think\":5}", "think", "true, false");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages), cmocka_unit_test(messages_refused),
                                       cmocka_unit_test(responses), cmocka_unit_test(ollama)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
