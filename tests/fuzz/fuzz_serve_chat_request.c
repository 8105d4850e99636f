/* fuzz_serve_chat_request.c: a byte that says which, then the body of a chat or a completion: it becomes a request
 * within its bounds, or is refused with an error that names a member; the same body twice becomes the same. */
#include <stdlib.h>
#include <string.h>
#include "../../src/serve/chat_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void bounded(const ChatRequest *r) {
    if (r->n < 1 || r->n > MAX_CHOICES || r->best_of < r->n || r->best_of > MAX_CHOICES) abort();
    if (r->top_logprobs < 0 || r->top_logprobs > MAX_TOP_LOGPROBS || r->max_new < -1) abort();
    if (r->seeded && r->seed < 0) abort();
    if (!r->messages == !r->prompts || json_array_size(r->messages) > MAX_MESSAGES) abort();
    if (json_array_size(r->tools) > MAX_TOOLS || r->prompt_count * r->best_of > MAX_PROMPTS) abort();
    if (r->tool_choice != TOOLS_NONE && !json_array_size(r->tools)) abort();
    if (r->tool_choice == TOOLS_NAMED && !request_has_tool(r, r->tool_name)) abort();
    if (json_array_size(json_object_get(r->parameters, "stop_strings")) > MAX_STOPS) abort();
    if (strlen(r->unknown) >= sizeof r->unknown) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ChatRequest r, again;
    Err bad = {0}, err = {0}, other = {0};
    if (bytes < 1) return 0;
    json_t *body = json_text((const char *)data + 1, bytes - 1, "input", &bad);
    if (!body) return 0;
    bool (*read)(ChatRequest *, const json_t *, Err *) = data[0] & 1 ? completion_request_read : chat_request_read;
    bool ok = read(&r, body, &err), same = read(&again, body, &other);
    if (ok != (err.kind == QM_OK) || ok != same || strcmp(err.text, other.text) != 0) abort();
    if (ok) bounded(&r);
    else if (!*r.wrong && err.kind == QM_INPUT) abort();
    if (ok && (!json_equal(r.parameters, again.parameters) || strcmp(r.unknown, again.unknown) != 0)) abort();
    chat_request_free(&r);
    chat_request_free(&again);
    json_decref(body);
    return 0;
}
