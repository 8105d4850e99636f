/* server.c: see server.h. */
#include "server.h"
#include <string.h>

ServerState server_state(const Server *s) { return atomic_load(&s->state); }
const char *server_name(const Server *s) { return s->options->name[0]; }

/* Clients of Ollama put a tag behind a name that has none. */
static bool same_name(const char *name, const char *asked) {
    size_t n = strlen(name);
    return !strncmp(name, asked, n) && (!asked[n] || !strcmp(asked + n, ":latest"));
}

const char *server_adapter(const Server *s, const char *name) {
    const char *adapter;
    for (int i = 0; i < s->options->names; i++)
        if (same_name(s->options->name[i], name)) return NULL;
    for (int i = 0; (adapter = qm_engine_adapter(s->model.engine, i)); i++)
        if (same_name(adapter, name)) return adapter;
    return NULL;
}

const char *server_model_name(Call *call, const char *asked) {
    const ServerOptions *o = call->server->options;
    const char *chosen = asked ? server_adapter(call->server, asked) : NULL;
    if (!asked || (o->any_name && !chosen)) return o->name[0];
    for (int i = 0; i < o->names; i++)
        if (same_name(o->name[i], asked)) return o->name[i];
    if (chosen) return chosen;
    serve_error(call, 404, "invalid_request_error", "model_not_found", "model",
                "the model '%.200s' does not exist here: GET /v1/models tells which do", asked);
    return NULL;
}

const char *server_base_name(Call *call, const char *asked) {
    if (!asked || !server_adapter(call->server, asked)) return server_model_name(call, asked);
    serve_error(call, 400, "invalid_request_error", NULL, "model", "'%.200s' is an adapter: it answers in text only",
                asked);
    return NULL;
}
