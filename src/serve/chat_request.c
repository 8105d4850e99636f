/* chat_request.c: the body of POST /v1/chat/completions. Source: OpenAI's OpenAPI document 2.3.0
 * (CreateChatCompletionRequest); names that vLLM and llama.cpp add. */
#include <string.h>
#include "chat_request.h"

static const char *const names[] = {
    "messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "logprobs", "top_logprobs",
    "chat_template_kwargs", "documents", "add_generation_prompt", "continue_final_message", "chat_template", NULL,
};

static bool read_logprobs(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *top = request_member(body, "top_logprobs");
    if (!request_flag(r, body, "logprobs", &r->logprobs, err) ||
        !request_count(r, body, "top_logprobs", 0, MAX_TOP_LOGPROBS, &r->top_logprobs, err))
        return false;
    if (top && !r->logprobs && r->top_logprobs)
        return request_wrong(r, err, "top_logprobs", "expected \"logprobs\": true with it");
    return true;
}

static bool read_template(ChatRequest *r, const json_t *body, Err *err) {
    json_t *variables = request_member(body, "chat_template_kwargs"), *documents = request_member(body, "documents");
    if (request_member(body, "chat_template"))
        return request_wrong(r, err, "chat_template", "a request cannot bring a template: it is the server's");
    if (variables && !json_is_object(variables))
        return request_wrong(r, err, "chat_template_kwargs", "expected an object");
    if (documents && !json_is_array(documents)) return request_wrong(r, err, "documents", "expected a list");
    r->variables = json_incref(variables);
    r->documents = json_incref(documents);
    if (!request_flag(r, body, "continue_final_message", &r->continue_final, err)) return false;
    r->add_generation_prompt = !r->continue_final;
    if (!request_flag(r, body, "add_generation_prompt", &r->add_generation_prompt, err)) return false;
    if (r->continue_final && r->add_generation_prompt)
        return request_wrong(r, err, "continue_final_message", "expected \"add_generation_prompt\": false with it");
    const json_t *last = json_array_get(r->messages, json_array_size(r->messages) - 1);
    if (r->continue_final && !json_is_word(json_object_get(last, "role"), "assistant"))
        return request_wrong(r, err, "continue_final_message", "expected the last message to be the assistant's");
    return true;
}

bool chat_request_read(ChatRequest *r, const json_t *body, Err *err) {
    if (!chat_request_new(r, err)) return false;
    if (!json_is_object(body)) return request_wrong(r, err, "body", "expected a JSON object");
    request_unknown(r, body, names);
    const json_t *functions = request_member(body, "functions"), *tools = request_member(body, "tools");
    if (functions && tools) return request_wrong(r, err, "functions", "expected one of tools and functions");
    bool ok = request_messages(r, request_member(body, "messages"), err) && request_fields(r, body, 1, err) &&
              (functions ? request_functions(r, functions, request_member(body, "function_call"), err)
                         : request_tools(r, tools, request_member(body, "tool_choice"),
                                         request_member(body, "parallel_tool_calls"), err)) &&
              read_logprobs(r, body, err) && read_template(r, body, err);
    r->best_of = r->n;
    return ok;
}
