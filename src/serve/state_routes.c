/* state_routes.c: what a server tells of itself: /health, /metrics, /props, /slots. */
#include <stdlib.h>
#include <string.h>
#include "job.h"
#include "tool_prompt.h"

static const char *const state_names[] = {[SERVER_LOADING] = "loading model", [SERVER_READY] = "ok",
                                          [SERVER_DRAINING] = "draining", [SERVER_BROKEN] = "the engine failed"};

static void health(Call *call) {
    ServerState state = server_state(call->server);
    if (state != SERVER_READY) exchange_set(call->exchange, "Retry-After", "1");
    reply_json(call, state == SERVER_READY ? 200 : 503, json_pack("{s:s}", "status", state_names[state]));
}

static void metrics(Call *call) {
    Server *s = call->server;
    Text out = {0};
    Gauges g = {.connections = httpd_connections(s->http), .ready = server_state(s) == SERVER_READY};
    if (s->options->no_metrics) {
        serve_error(call, 404, "not_found_error", NULL, NULL, "--no-metrics");
        return;
    }
    if (g.ready || server_state(s) == SERVER_DRAINING) {
        jobs_count(s->jobs, &g.running, &g.waiting);
        int64_t slots = s->slots ? s->slots : 1;
        g.cache_used = (double)(g.running < slots ? g.running : slots) / (double)slots;
    }
    prometheus_text(&s->counts, &g, server_name(s), s->route_name, &out);
    if (out.failed) serve_error(call, 500, "server_error", NULL, NULL, "out of memory (request %s)", call->id);
    else reply_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.bytes);
    text_free(&out);
}

/* The last part of a path: where a model lies on this machine is nobody's business. */
static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void props(Call *call) {
    Server *s = call->server;
    const QmModelInfo *i = qm_engine_info(s->model.engine);
    Err err = {0};
    char *settings = qm_parameters_text(s->model.parameters, &err);
    const QmTokenizer *t = s->model.tokenizer;
    reply_json(call, 200,
               json_pack("{s:{s:I, s:s}, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:b}",
                         "default_generation_settings", "n_ctx",
                         (json_int_t)i->context, "params", settings ? settings : "", "total_slots",
                         (json_int_t)i->slots,
                         "model_path", last_part(s->options->model_path), "model_alias", server_name(s), "build_info",
                         "qwenmesh " QM_VERSION, "architecture", i->architecture, "weights", i->weight_type, "mesh",
                         i->mesh, "kernels", i->isa, "activations", i->act, "tool_form",
                         t ? tool_form_name(tool_form(t, NULL)) : NULL, "is_sleeping", 0));
    free(settings);
}

typedef struct SlotList { json_t *list; double now; } SlotList;

static void add_slot(void *owner, const Call *call, int64_t item, bool running, int64_t generated) {
    SlotList *l = owner;
    json_array_append_new(l->list,
                          json_pack("{s:s, s:I, s:s, s:b, s:I, s:f}", "request", call->id, "item", (json_int_t)item,
                                    "key", call->key, "is_processing", running, "n_decoded", (json_int_t)generated,
                                    "seconds", l->now - exchange_arrived(call->exchange)));
}

static void slots(Call *call) {
    SlotList l = {.list = json_array(), .now = clock_seconds()};
    if (l.list) jobs_each(call->server->jobs, add_slot, &l);
    reply_json(call, 200, l.list);
}

static void favicon(Call *call) { exchange_reply(call->exchange, 204, NULL, 0); }

extern const Route state_routes[];
const Route state_routes[] = {
    {.method = "GET", .path = "/health", .what = "200 when requests are taken, else 503", .handle = health,
     .open = true, .early = true},
    {.method = "GET", .path = "/v1/health", .what = "the same", .handle = health, .open = true, .early = true},
    {.method = "GET", .path = "/metrics", .what = "counts and times for Prometheus", .handle = metrics, .early = true},
    {.method = "GET", .path = "/props", .what = "the model, its context and defaults", .handle = props},
    {.method = "GET", .path = "/slots", .what = "the generations under way, without their texts", .handle = slots},
    {.method = "GET", .path = "/favicon.ico", .what = "nothing (204)", .handle = favicon, .open = true, .early = true},
    {0},
};
