/* completion_request.c: the body of POST /v1/completions. Source: OpenAI's OpenAPI document 2.3.0
 * (CreateCompletionRequest). */
#include <stdlib.h>
#include <string.h>
#include "chat_request.h"

enum { DEFAULT_NEW = 16 };

static const char *const names[] = {"prompt", "suffix", "echo", "best_of", "logprobs", "add_special_tokens",
                                    "skip_special_tokens", "spaces_between_special_tokens", NULL};

static bool all_ids(const json_t *list) {
    size_t i;
    const json_t *id;
    json_array_foreach(list, i, id)
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) return false;
    return json_array_size(list) > 0;
}

bool request_prompts(ChatRequest *r, const json_t *prompt, const char *param, Err *err) {
    bool one = json_is_text(prompt) || (json_is_array(prompt) && json_is_integer(json_array_get(prompt, 0)));
    size_t count = one ? 1 : json_array_size(prompt);
    if (count < 1) return request_wrong(r, err, param, "expected a string, a list of strings, ids, or lists of ids");
    if (count > MAX_PROMPTS) return request_wrong(r, err, param, "expected at most %d, got %zu", MAX_PROMPTS, count);
    if (!(r->prompts = mem_new(count, sizeof *r->prompts, "prompts", err))) return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *p = one ? prompt : json_array_get(prompt, i);
        char where[64];
        snprintf(where, sizeof where, one ? "%s" : "%s[%zu]", param, i);
        if (json_is_text(p)) r->prompts[i] = (PromptText){json_string_value(p), json_string_length(p), NULL};
        else if (all_ids(p)) r->prompts[i] = (PromptText){NULL, 0, p};
        else return request_wrong(r, err, where, "expected a string or a list of ids");
    }
    r->prompt_count = (int64_t)count;
    return true;
}

/* An integer: alternatives told of each token. */
static bool read_logprobs(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *logprobs = request_member(body, "logprobs");
    if (!logprobs || json_is_false(logprobs)) return true;
    if (!request_count(r, body, "logprobs", 0, MAX_TOP_LOGPROBS, &r->top_logprobs, err)) return false;
    return r->logprobs = true;
}

static bool read_best(ChatRequest *r, const json_t *body, Err *err) {
    r->best_of = r->n;
    if (!request_count(r, body, "best_of", 1, MAX_CHOICES, &r->best_of, err)) return false;
    if (r->best_of < r->n)
        return request_wrong(r, err, "best_of", "expected n, %lld, or more", (long long)r->n);
    if (r->best_of > r->n && r->stream) return request_wrong(r, err, "best_of", "cannot be streamed: expected n");
    if (r->best_of * r->prompt_count > MAX_PROMPTS)
        return request_wrong(r, err, "best_of", "expected at most %d samples of all prompts", MAX_PROMPTS);
    return true;
}

bool completion_request_read(ChatRequest *r, const json_t *body, Err *err) {
    if (!chat_request_new(r, err)) return false;
    if (!json_is_object(body)) return request_wrong(r, err, "body", "expected a JSON object");
    request_unknown(r, body, names);
    const json_t *suffix = request_member(body, "suffix");
    if (suffix && !(json_is_text(suffix) && json_string_length(suffix) == 0))
        return request_wrong(r, err, "suffix", "filling in between two texts is not supported");
    r->max_new = DEFAULT_NEW;
    bool ok = request_prompts(r, request_member(body, "prompt"), "prompt", err) &&
              request_flag(r, body, "echo", &r->echo, err) && request_fields(r, body, 0, err) &&
              read_logprobs(r, body, err) && read_best(r, body, err);
    if (ok && r->stream && r->echo && r->logprobs)
        return request_wrong(r, err, "echo", "log-probabilities of a prompt cannot be streamed");
    return ok;
}
