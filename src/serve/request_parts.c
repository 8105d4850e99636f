/* request_parts.c: what readers of every protocol do with members of a body: see chat_request.h. */
#include <stdlib.h>
#include <string.h>
#include "chat_request.h"

bool chat_request_new(ChatRequest *r, Err *err) {
    *r = (ChatRequest){.n = 1, .best_of = 1, .max_new = -1, .parallel_tools = true,
                       .tool_choice = TOOLS_NONE, .add_generation_prompt = true};
    return (r->parameters = json_object()) != NULL || request_memory(err);
}

void chat_request_free(ChatRequest *r) {
    json_decref(r->messages);
    json_decref(r->tools);
    json_decref(r->variables);
    json_decref(r->documents);
    json_decref(r->parameters);
    json_decref(r->structure);
    json_decref(r->options);
    free(r->prompts);
    free(r->stop_ids);
    *r = (ChatRequest){0};
}

bool request_memory(Err *err) { return err_as(err, QM_MEMORY, "out of memory: a request"); }

bool request_wrong(ChatRequest *r, Err *err, const char *param, const char *format, ...) {
    char why[512];
    va_list values;
    va_start(values, format);
    vsnprintf(why, sizeof why, format, values);
    va_end(values);
    if (!err->kind) snprintf(r->wrong, sizeof r->wrong, "%s", param);
    return err_set(err, "%s: %s", param, why);
}

json_t *request_member(const json_t *body, const char *name) {
    json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

bool request_model(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *model = request_member(body, "model");
    if (!model) return true;
    if (!json_is_text(model) || json_string_length(model) >= sizeof r->model)
        return request_wrong(r, err, "model", "expected a name of less than %zu bytes", sizeof r->model);
    snprintf(r->model, sizeof r->model, "%s", json_string_value(model));
    return true;
}

bool request_flag(ChatRequest *r, const json_t *body, const char *name, bool *out, Err *err) {
    const json_t *value = request_member(body, name);
    if (!value) return true;
    if (!json_is_boolean(value)) return request_wrong(r, err, name, "expected true or false");
    *out = json_is_true(value);
    return true;
}

bool request_padding(ChatRequest *r, const json_t *options, Err *err) {
    bool on = false;
    if (!request_member(options, "include_obfuscation")) return true;
    if (!request_flag(r, options, "include_obfuscation", &on, err)) return false;
    r->padding = on ? PADDING_ON : PADDING_OFF;
    return true;
}

bool request_count(ChatRequest *r, const json_t *body, const char *name, int64_t low, int64_t high, int64_t *out,
                   Err *err) {
    const json_t *value = request_member(body, name);
    if (!value) return true;
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        return request_wrong(r, err, name, "expected an integer from %lld to %lld", (long long)low, (long long)high);
    *out = json_integer_value(value);
    return true;
}

bool request_put(ChatRequest *r, const char *parameter, json_t *value, Err *err) {
    return (value && json_object_set_new(r->parameters, parameter, value) == 0) || request_memory(err);
}

bool request_numbers(ChatRequest *r, const json_t *body, const NumberField *fields, int count, Err *err) {
    for (const NumberField *f = fields; f < fields + count; f++) {
        json_t *value = request_member(body, f->name);
        if (!value) continue;
        double v = json_number_value(value);
        bool right = f->whole ? json_is_integer(value) : json_is_number(value);
        if (!right || v < f->low || v > f->high)
            return request_wrong(r, err, f->name, "expected %s from %g to %g", f->whole ? "an integer" : "a number",
                                 f->low, f->high);
        if (!request_put(r, f->parameter, json_incref(value), err)) return false;
    }
    return true;
}

bool request_sampling(ChatRequest *r, Err *err) {
    const json_t *temperature = json_object_get(r->parameters, "temperature"),
                 *top_p = json_object_get(r->parameters, "top_p"), *top_k = json_object_get(r->parameters, "top_k");
    static const double least_top_p = 1e-9; /* keeps one token, as 0 would */
    bool greedy = temperature && json_number_value(temperature) <= 0;
    if (greedy) json_object_del(r->parameters, "temperature");
    if (top_p && json_number_value(top_p) <= 0 && !request_put(r, "top_p", json_real(least_top_p), err)) return false;
    if (top_k && json_integer_value(top_k) < 0 && !request_put(r, "top_k", json_integer(0), err)) return false;
    return request_put(r, "do_sample", json_boolean(!greedy), err);
}

bool request_stops(ChatRequest *r, const json_t *stop, const char *param, Err *err) {
    if (!stop || json_is_null(stop)) return true;
    size_t count = json_is_array(stop) ? json_array_size(stop) : 1;
    json_t *list = count <= MAX_STOPS ? json_array() : NULL;
    if (count > MAX_STOPS)
        return request_wrong(r, err, param, "expected at most %d strings, got %zu", MAX_STOPS, count);
    for (size_t i = 0; list && i < count; i++) {
        json_t *one = json_is_array(stop) ? json_array_get(stop, i) : (json_t *)(uintptr_t)stop;
        if (!json_is_text(one) || json_string_length(one) == 0) {
            json_decref(list);
            return request_wrong(r, err, param, "expected a string that is not empty, or a list of such");
        }
        json_array_append(list, one);
    }
    if (list && json_array_size(list) == count) return request_put(r, "stop_strings", list, err);
    json_decref(list);
    return request_memory(err);
}

bool request_seed(ChatRequest *r, const json_t *seed, Err *err) {
    if (!seed || json_is_null(seed)) return true;
    if (!json_is_integer(seed)) return request_wrong(r, err, "seed", "expected an integer of 64 bits");
    int64_t value = json_integer_value(seed);
    r->seeded = value != -1; /* by which llama.cpp and vLLM mean none */
    r->seed = value & INT64_MAX;
    return true;
}

bool request_message(ChatRequest *r, const char *role, json_t *content, Err *err) {
    if (!r->messages) r->messages = json_array();
    if (!content) content = json_string("");
    json_t *m = content ? json_pack("{s:s,s:o}", "role", role, "content", content) : NULL;
    return (r->messages && m && json_array_append_new(r->messages, m) == 0) || request_memory(err);
}
