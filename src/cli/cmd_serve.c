/* cmd_serve.c: `serve`: the model over HTTP. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/guard.h"
#include "../base/output.h"
#include "../serve/listen.h"
#include "../serve/serve.h"
#include "model_options.h"

typedef struct Serving {
    ModelOptions m;
    DraftOptions d;
    ServerOptions o;
    Texts names, origins, hosts, key_files;
    char given[HOST_BYTES];
    const char *api_key, *log_format, *pid_file;
    int64_t port, connections, per_address, body_mib;
    bool no_api_key, embeddings;
    int code;                 /* of a model that could not be opened: it was told already */
    ServerModel model;
} Serving;

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static bool read_keys(Serving *c, Err *err) {
    const char *environment = getenv("QWENMESH_API_KEY");
    if (!(c->o.keys = keys_new(err))) return false;
    if (c->api_key) {
        if (!keys_add(c->o.keys, NULL, c->api_key, strlen(c->api_key), err)) return false;
        fprintf(stderr, "qwenmesh: warning: --api-key shows the key to everyone who can list processes here: "
                        "--api-key-file or QWENMESH_API_KEY do not\n");
    }
    if (environment && *environment && !keys_add(c->o.keys, NULL, environment, strlen(environment), err)) return false;
    for (int i = 0; i < c->key_files.count; i++)
        if (!keys_read(c->o.keys, c->key_files.item[i], err)) return false;
    if (c->no_api_key && keys_count(c->o.keys))
        return err_as(err, QM_USAGE, "--no-api-key: expected no API key beside it, got %d", keys_count(c->o.keys));
    return true;
}

/* The model's name as its path ends, without what says its form. */
static const char *name_of(const char *path) {
    static char name[256];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t at = n;
    while (at && path[at - 1] != '/') at--;
    snprintf(name, sizeof name, "%.*s", (int)(n - at), path + at);
    char *end = strrchr(name, '.');
    if (end && end > name && (!strcmp(end, ".gguf") || !strcmp(end, ".qmp"))) *end = '\0';
    return *name && strcmp(name, ".") ? name : "model";
}

static bool take_names(Serving *c, Err *err) {
    for (int i = 0; i < c->names.count && c->o.names < MOST_MODEL_NAMES; i++)
        if (!strcmp(c->names.item[i], "*")) c->o.any_name = true;
        else if (strlen(c->names.item[i]) > 200 || !*c->names.item[i])
            return err_as(err, QM_USAGE, "--served-model-name: expected 1 to 200 bytes");
        else c->o.name[c->o.names++] = c->names.item[i];
    if (!c->o.names) c->o.name[c->o.names++] = name_of(c->m.engine.model);
    for (int i = 0; i < c->origins.count && c->o.origins < MOST_ORIGINS; i++) {
        const char *origin = c->origins.item[i];
        if (strcmp(origin, "*") && !strstr(origin, "://"))
            return err_as(err, QM_USAGE, "--cors-origins: expected * or an origin as https://chat.example, got '%.100s'", origin);
        c->o.origin[c->o.origins++] = origin;
    }
    for (int i = 0; i < c->hosts.count && c->o.hosts < MOST_ORIGINS; i++) c->o.host_names[c->o.hosts++] = c->hosts.item[i];
    return true;
}

static bool settle(Serving *c, Err *err) {
    ServerOptions *o = &c->o;
    o->http.port = (int)c->port;
    o->http.fd = listen_given(c->given, &o->http.port, err); /* by systemd: then who may reach it counts, not --host */
    if (o->http.fd < 0) return false;
    if (o->http.fd) o->http.host = c->given;
    bool local = host_is_path(o->http.host) || host_is_loopback(o->http.host);
    o->http.connections = (int)c->connections;
    o->http.per_address = (int)(c->per_address ? c->per_address : local ? c->connections : (c->connections + 3) / 4);
    o->max_body = c->body_mib << 20;
    o->model_path = c->m.engine.model;
    o->vector_slots = c->embeddings;
    if (!!o->http.cert != !!o->http.key) return err_as(err, QM_USAGE, "expected --ssl-cert-file and --ssl-key-file together");
    if (o->http.cert && host_is_path(o->http.host)) return err_as(err, QM_USAGE, "a Unix socket has no TLS");
    if (!c->log_format || !strcmp(c->log_format, "text") || !strcmp(c->log_format, "json")) o->log = stderr;
    else if (strcmp(c->log_format, "none"))
        return err_as(err, QM_USAGE, "--log-format: expected text, json or none, got '%.20s'", c->log_format);
    o->log_json = c->log_format && !strcmp(c->log_format, "json");
    if (!read_keys(c, err) || !take_names(c, err)) return false;
    if (!local && !c->no_api_key && !keys_count(o->keys))
        return err_as(err, QM_USAGE, "--host %s is open to other machines: expected an API key (--api-key-file, QWENMESH_API_KEY), "
                      "or --no-api-key to say that everyone may ask", o->http.host);
    if (o->exchanges && !folder_exists(o->exchanges))
        return err_as(err, QM_USAGE, "--log-requests: expected a folder, got '%.200s'", o->exchanges);
    return can_write(c->pid_file, err);
}

/* It goes away with the program, however that ends; *place is for guard_release. */
static bool write_pid(const char *path, int *place, Err *err) {
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    FILE *f = fopen(path, "we");
    if (!f) return err_as(err, QM_IO, "cannot write %s", path);
    *place = guard_temporary(path);
    return file_put(f, text, (size_t)n, path, err) & file_finish(f, path, err);
}

/* ---- The model --------------------------------------------------------------------------------------------------- */

static bool open_all(void *owner, ServerModel *out, Err *err) {
    Serving *c = owner;
    ModelOptions guess = c->m;
    guess.engine.model = c->d.model;
    guess.engine.lora = NULL; /* it is the model's */
    guess.engine.slots = 1;
    if (!(c->model.source = model_source(c->m.engine.model, err))) return false;
    bool vectors = c->o.vector_slots > 0; /* of the states that every row leaves */
    c->m.engine.slots += c->o.vector_slots;
    c->m.engine.adapters = c->m.engine.lora; /* requests choose among them by their names */
    c->m.engine.lora = NULL;
    c->model.engine = model_open("serve", &c->m, vectors, &c->code);
    if (c->model.engine && c->d.model) c->model.draft = model_open("serve", &guess, false, &c->code);
    if (c->code) return false;
    c->model.tokenizer = model_tokenizer(&c->m, err);
    if (!c->model.tokenizer) return false;
    if (!(c->model.parameters = qm_parameters_new(c->model.source, err))) return false;
    if (c->d.has_lookup) {
        char text[64];
        int n = snprintf(text, sizeof text, "{\"prompt_lookup_num_tokens\": %lld}", (long long)c->d.lookup);
        if (!qm_parameters_set(c->model.parameters, text, (size_t)n, err)) return false;
    }
    *out = c->model;
    return true;
}

static void close_all(Serving *c) {
    qm_parameters_free(c->model.parameters);
    qm_tokenizer_close(c->model.tokenizer);
    qm_engine_close(c->model.draft);
    qm_engine_close(c->model.engine);
    keys_free(c->o.keys);
}

static const char notes[] =
    "Speaks OpenAI's interface (/v1/chat/completions, ...), and more:\n"
    "docs/serving.md has the routes. Listens at once; /health is 200 when the\n"
    "model is open. SIGTERM drains: what is under way is ended first. A log of\n"
    "requests, without their texts, goes to standard error. Of several --lora\n"
    "NAME=DIR a request has the one that its \"model\" names. A socket that systemd\n"
    "opened (LISTEN_FDS) is taken instead of --host and --port.";

int cmd_serve(int argc, char **argv) {
    Serving c = {.m = {.engine.act = ACT_DEFAULT, .engine.slots = 4}, .port = 8080, .connections = 1024, .body_mib = 16,
                 .o = {.http = {.host = "127.0.0.1", .head_seconds = 10, .idle_seconds = 60}, .queue = 64, .timeout = 600,
                       .drain = 30, .prefill_rows = -1}};
    const Option options[] = {
        TEXT("host", 0, &c.o.http.host, "HOST|FILE.sock", "an address, or a Unix socket (default 127.0.0.1)"),
        INT("port", 0, &c.port, 0, 65535, "N", "0 is any that is free (default 8080)"),
        TEXT("api-key", 0, &c.api_key, "KEY", "a key that requests must have; ps shows it"),
        TEXTS("api-key-file", 0, &c.key_files, "FILE", "keys, one a line, NAME=KEY or KEY; also QWENMESH_API_KEY"),
        FLAG("no-api-key", 0, &c.no_api_key, "other machines may ask without a key"),
        TEXTS("served-model-name", 0, &c.names, "NAME",
              "name of the model in requests; several; * is any (default: the path's last part)"),
        INT("parallel", 0, &c.m.engine.slots, 1, 1024, "N", "generations at once (default 4)"),
        INT("queue", 0, &c.o.queue, 0, 1 << 20, "N", "generations that may wait; more get 429 (default 64)"),
        FLOAT("timeout", 0, &c.o.timeout, 0, 1e6, "S", "seconds a request may take; 0 is off (default 600)"),
        FLOAT("drain", 0, &c.o.drain, 0, 1e6, "S", "seconds to end what is under way at the end (default 30)"),
        INT("prefill-rows", 0, &c.o.prefill_rows, 0, 8192, "N", "rows of prompts in a step while others decode; 0: all (default 32, or 4 for each that decodes)"),
        FLAG("embeddings", 0, &c.embeddings, "a model for text makes vectors, too: /v1/embeddings"),
        CHAT_TEMPLATE_OPTION(c.m),
        DRAFT_OPTIONS(c.d),
        TEXTS("cors-origins", 0, &c.origins, "ORIGIN", "pages that may ask from a browser; *: all (default none)"),
        TEXTS("allowed-hosts", 0, &c.hosts, "NAME", "further names of this server in Host (default: loopback's)"),
        TEXT("ssl-cert-file", 0, &c.o.http.cert, "FILE", "TLS: the certificate, PEM"),
        TEXT("ssl-key-file", 0, &c.o.http.key, "FILE", "TLS: its key, PEM"),
        INT("connections", 0, &c.connections, 4, 100000, "N", "connections at once (default 1024)"),
        INT("connections-per-address", 0, &c.per_address, 0, 100000, "N",
            "of one address (default: a quarter; all on loopback)"),
        INT("max-body", 0, &c.body_mib, 1, 1024, "MIB", "size of a request (default 16)"),
        FLAG("no-page", 0, &c.o.no_page, "no web page at /"),
        FLAG("no-metrics", 0, &c.o.no_metrics, "no /metrics"),
        TEXT("log-format", 0, &c.log_format, "text|json|none", "of the log of requests (default text)"),
        TEXT("log-requests", 0, &c.o.exchanges, "DIR", "every request and answer, with its proof, as a file for replay"),
        TEXT("pid-file", 0, &c.pid_file, "FILE", "gets this process's number"),
        MODEL_OPTIONS(c.m),
    };
    int code = options_parse(argc, argv, "serve -m MODEL [options]", notes, options, (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!c.m.engine.model) return usage_error("serve", "no model: expected -m DIR or -m FILE.gguf");
    Err err = {0};
    int place = 0; /* of the file with the process's number, once it is there */
    bool ok = settle(&c, &err) && (!c.pid_file || write_pid(c.pid_file, &place, &err)) && serve(&c.o, open_all, &c, &err);
    if (place && unlink(c.pid_file) == 0) guard_release(place);
    close_all(&c);
    return ok ? EXIT_OK : c.code ? c.code : fail(&err);
}
