/* run_parameters.c: see run_parameters.h. */
#include <stdlib.h>
#include <string.h>
#include "run_parameters.h"

bool request_beams(const ChatRequest *r) { return json_integer_value(json_object_get(r->parameters, "num_beams")) > 1; }

static bool set_int(json_t *o, const char *name, int64_t value) {
    return json_object_set_new(o, name, json_integer(value)) == 0;
}

QmParameters *run_parameters(const Server *s, ChatRequest *r, int64_t seed, int64_t room, AnswerShape shape,
                             json_t **told, Err *err) {
    int64_t most = r->max_new >= 0 && r->max_new < room ? r->max_new : room;
    json_t *o = json_copy(r->parameters);
    bool ok = o && set_int(o, "max_new_tokens", most) && set_int(o, "seed", seed);
    if (ok && (r->logprobs || r->best_of > r->n)) ok = set_int(o, "logprobs", r->logprobs ? r->top_logprobs : 0);
    if (ok && r->logprobs && r->echo) ok = set_int(o, "prompt_logprobs", r->top_logprobs);
    if (ok && r->ignore_eos) ok = json_object_set_new(o, "eos_token_id", json_null()) == 0;
    if (ok && request_beams(r)) ok = set_int(o, "num_return_sequences", r->n);
    if (!ok) request_memory(err);
    json_t *ends = ok && r->stop_id_count ? json_array() : NULL;
    for (int64_t i = 0; ends && i < r->stop_id_count; i++) json_array_append_new(ends, json_integer(r->stop_ids[i]));
    if (ends) json_object_set_new(o, "stop_token_ids", ends);
    QmParameters *out = ok ? qm_parameters_copy(s->model.parameters, err) : NULL;
    char *text = out ? json_dump(o, JSON_COMPACT, "a request", err) : NULL;
    ok = text && qm_parameters_set(out, text, strlen(text), err) && answer_structure_told(r, shape, out, o, err);
    if (!ok) qm_parameters_free(out);
    free(text);
    if (told) *told = ok ? json_incref(o) : NULL;
    json_decref(o);
    return ok ? out : NULL;
}
