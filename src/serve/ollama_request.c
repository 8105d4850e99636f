/* ollama_request.c: the bodies of POST /api/chat and /api/generate. Source: Ollama's api.md and its Python package
 * 0.6.3. */
#include <string.h>
#include "protocol_request.h"

static const char *const known[] = {
    "model", "messages", "tools",  "format",   "options", "stream",   "think",        "keep_alive", "prompt", "system",
    "raw",   "suffix",   "images", "template", "context", "logprobs", "top_logprobs", "truncate",   "shift",  NULL,
};
/* Options that have nothing to change here, for they are of how Ollama runs a model. */
static const char *const options_known[] = {
    "num_predict",       "temperature", "top_k",     "top_p",          "min_p",
    "typical_p",         "seed",        "stop",      "repeat_penalty", "presence_penalty",
    "frequency_penalty", "num_ctx",     "num_batch", "num_gpu",        "main_gpu",
    "num_thread",        "num_keep",    "use_mmap",  "use_mlock",      "numa",
    "low_vram",          "vocab_only",  NULL,
};

static const NumberField numbers[] = {
    {"temperature", "temperature", 0, 2, false},
    {"top_k", "top_k", -1, 1 << 30, true},
    {"top_p", "top_p", 0, 1, false},
    {"min_p", "min_p", 0, 1, false},
    {"typical_p", "typical_p", 0, 1, false},
    {"repeat_penalty", "repetition_penalty", 1e-6, 1e6, false},
    {"presence_penalty", "presence_penalty", -2, 2, false},
    {"frequency_penalty", "frequency_penalty", -2, 2, false},
};

/* -1 and -2: as many as there is room for. */
static bool take_options(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *o = request_member(body, "options"), *most;
    if (o && !json_is_object(o)) return request_wrong(r, err, "options", "expected an object");
    protocol_unknown(r, o, options_known);
    if ((most = request_member(o, "num_predict"))) {
        if (!json_is_integer(most) || json_integer_value(most) < -2 || json_integer_value(most) == 0)
            return request_wrong(r, err, "num_predict", "expected an integer of 1 or more, or -1");
        r->max_new = json_integer_value(most) < 0 ? -1 : json_integer_value(most);
    }
    return request_numbers(r, o, numbers, (int)(sizeof numbers / sizeof *numbers), err) && request_sampling(r, err) &&
           request_stops(r, request_member(o, "stop"), "stop", err) && request_seed(r, request_member(o, "seed"), err);
}

/* "json", a schema, or "". */
static bool take_format(ChatRequest *r, const json_t *body, Err *err) {
    json_t *format = request_member(body, "format");
    if (!format || (json_is_text(format) && json_string_length(format) == 0)) return true;
    if (json_is_word(format, "json")) r->structure = json_pack("{s:{s:s}}", "response_format", "type", "json_object");
    else if (json_is_object(format)) r->structure = json_pack("{s:{s:O}}", "json_schema", "schema", format);
    else return request_wrong(r, err, "format", "expected \"json\" or a JSON schema");
    return r->structure || request_memory(err);
}

/* true, false, or how hard. */
static bool take_think(ChatRequest *r, const json_t *body, Err *err) {
    json_t *think = request_member(body, "think");
    if (!think) return true;
    if (!json_is_boolean(think) && !json_is_text(think))
        return request_wrong(r, err, "think", "expected true, false, \"low\", \"medium\" or \"high\"");
    return protocol_variable(r, "enable_thinking", json_boolean(!json_is_false(think)), err);
}

static bool take_common(ChatRequest *r, const json_t *body, Err *err) {
    static const char latest[] = ":latest";
    if (!chat_request_new(r, err) || !request_model(r, body, err)) return false;
    size_t n = strlen(r->model), k = sizeof latest - 1;
    if (n > k && !strcmp(r->model + n - k, latest)) r->model[n - k] = 0;
    protocol_unknown(r, body, known);
    r->stream = true;
    r->include_usage = true;
    if (json_array_size(request_member(body, "images")))
        return request_wrong(r, err, "images", "this model reads text only");
    return request_flag(r, body, "stream", &r->stream, err) && take_options(r, body, err) &&
           take_format(r, body, err) && take_think(r, body, err);
}

static bool take_calls(ChatRequest *r, const json_t *calls, const char *where, Err *err) {
    size_t i;
    json_t *call;
    json_array_foreach(calls, i, call) {
        const json_t *function = json_object_get(call, "function");
        json_t *arguments = request_member(function, "arguments");
        arguments = arguments ? json_incref(arguments) : json_object();
        if (!protocol_call(r, json_object_get(call, "id"), json_object_get(function, "name"), arguments, where, err))
            return false;
    }
    return true;
}

static bool take_message(ChatRequest *r, const json_t *m, size_t i, Err *err) {
    static const char *const roles[] = {"user", "assistant", "system", "tool"}, *const none[] = {"text", NULL};
    json_t *role = json_object_get(m, "role"), *content;
    char where[64];
    size_t k = 0;
    snprintf(where, sizeof where, "messages[%zu]", i);
    while (k < 4 && !(role && json_is_word(role, roles[k]))) k++;
    if (k == 4) return request_wrong(r, err, where, "role: expected system, user, assistant or tool");
    if (json_array_size(request_member(m, "images")))
        return request_wrong(r, err, where, "images: this model reads text only");
    if (!(content = protocol_text(r, request_member(m, "content"), none, where, err))) return false;
    json_t *thinking = request_member(m, "thinking"), *name = request_member(m, "tool_name");
    if (k == 2) return protocol_system(r, content, err);
    if (k == 3) return protocol_message(r, "tool", content, "name", json_incref(name), err);
    if (!protocol_message(r, roles[k], content, "reasoning_content", k == 1 ? json_incref(thinking) : NULL, err))
        return false;
    return k != 1 || take_calls(r, request_member(m, "tool_calls"), where, err);
}

bool ollama_chat_read(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *messages = request_member(body, "messages"), *m;
    size_t i;
    if (!take_common(r, body, err)) return false;
    if (messages && !json_is_array(messages)) return request_wrong(r, err, "messages", "expected a list");
    json_array_foreach(messages, i, m) if (!take_message(r, m, i, err)) return false;
    return request_tools(r, request_member(body, "tools"), NULL, NULL, err);
}

bool ollama_generate_read(ChatRequest *r, const json_t *body, Err *err) {
    json_t *prompt = request_member(body, "prompt"), *system = request_member(body, "system");
    bool raw = false;
    if (!take_common(r, body, err) || !request_flag(r, body, "raw", &raw, err)) return false;
    if (prompt && !json_is_text(prompt)) return request_wrong(r, err, "prompt", "expected a string");
    if (system && !json_is_text(system)) return request_wrong(r, err, "system", "expected a string");
    if (json_string_length(request_member(body, "suffix")))
        return request_wrong(r, err, "suffix", "text is not filled in before a suffix here");
    if (json_string_length(request_member(body, "template")))
        return request_wrong(r, err, "template", "a request cannot bring a template: it is the server's");
    if (!prompt || json_string_length(prompt) == 0) return true;
    if (raw) return request_prompts(r, prompt, "prompt", err);
    if (json_string_length(system) && !protocol_system(r, json_incref(system), err)) return false;
    return protocol_message(r, "user", json_incref(prompt), NULL, NULL, err);
}
