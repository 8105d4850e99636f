/* serve_call.c: see serve_call.h. */
#include "serve_call.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "../base/guard.h"

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

static char *dump(json_t *value) { return value ? guard_own(json_dumps(value, JSON_COMPACT)) : NULL; }

static void out_of_memory(Call *call) {
    static const char text[] = "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,"
                               "\"code\":null}}";
    char *copy = malloc(sizeof text);
    if (copy) memcpy(copy, text, sizeof text);
    exchange_reply(call->exchange, 500, copy, copy ? sizeof text - 1 : 0);
}

void reply_json(Call *call, int status, json_t *body) {
    char *text = dump(body);
    json_decref(body);
    exchange_set(call->exchange, "Content-Type", "application/json");
    if (!text || guard_missed()) { /* what was missed may be a part of it */
        free(text);
        out_of_memory(call);
        return;
    }
    exchange_reply(call->exchange, status, text, strlen(text));
}

void reply_text(Call *call, int status, const char *type, const char *text, size_t bytes) {
    char *copy = malloc(bytes + 1);
    if (!copy) {
        out_of_memory(call);
        return;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    exchange_set(call->exchange, "Content-Type", type);
    if (guard_missed()) free(copy), out_of_memory(call);
    else exchange_reply(call->exchange, status, copy, bytes);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* What Anthropic calls an error of a status. */
static const char *anthropic_type(int status) {
    static const struct { int status; const char *type; } types[] = {
        {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"}, {405, "not_found_error"},
        {408, "timeout_error"},        {413, "request_too_large"}, {429, "rate_limit_error"}, {503, "overloaded_error"},
        {504, "timeout_error"},        {500, "api_error"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].status == status) return types[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

json_t *error_json(const Call *call, int status, const char *type, const char *code, const char *param,
                   const char *message) {
    ErrorForm form = call->route ? call->route->form : FORM_OPENAI;
    if (form == FORM_OLLAMA) return json_pack("{s:s}", "error", message);
    if (form == FORM_ANTHROPIC)
        return json_pack("{s:s, s:{s:s, s:s}, s:s}", "type", "error", "error", "type", anthropic_type(status), "message",
                         message, "request_id", call->id);
    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", message, "type", type, "param", param, "code",
                     code);
}

/* Texts of errors quote requests: what is no UTF-8, as where a character was cut, becomes '?'. */
static void make_valid(char *text) { text_printable(text); }

void serve_error(Call *call, int status, const char *type, const char *code, const char *param, const char *format, ...) {
    char message[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    make_valid(message);
    if (guard_missed()) { /* whatever else is wrong may come of that */
        guard_forget();
        status = 500, type = "server_error", code = param = NULL;
        snprintf(message, sizeof message, "out of memory (request %s)", call->id);
    }
    if (status == 429 || status == 503) exchange_set(call->exchange, "Retry-After", "1");
    if (status == 401) exchange_set(call->exchange, "WWW-Authenticate", "Bearer");
    reply_json(call, status, error_json(call, status, type, code, param, message));
}

void serve_failed(Call *call, const Err *err, const char *param) {
    bool theirs = err->kind == QM_INPUT || err->kind == QM_USAGE || err->kind == QM_LIMIT;
    if (theirs) serve_error(call, 400, "invalid_request_error", NULL, param, "%s", err->text);
    else serve_error(call, 500, "server_error", NULL, NULL, "%s (request %s)",
                     err->kind == QM_MEMORY ? "out of memory" : "the server failed", call->id);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

bool stream_begin(Call *call, const char *type) {
    exchange_set(call->exchange, "Content-Type", type);
    exchange_set(call->exchange, "Cache-Control", "no-cache");
    exchange_set(call->exchange, "X-Accel-Buffering", "no");
    return exchange_begin(call->exchange, 200);
}

bool stream_add(Call *call, const char *data, size_t bytes) {
    return !guard_missed() && exchange_add(call->exchange, data, bytes);
}

/* One addition, so that no other stands between its lines. */
static bool add_json(Call *call, const char *before, const char *name, const char *data, json_t *value, const char *after) {
    char *text = dump(value);
    Text out = {0};
    json_decref(value);
    if (!text) return false;
    text_add(&out, before, strlen(before));
    text_add(&out, name, strlen(name));
    text_add(&out, data, strlen(data));
    text_add(&out, text, strlen(text));
    text_add(&out, after, strlen(after));
    free(text);
    bool ok = !out.failed && stream_add(call, out.data, out.bytes);
    text_free(&out);
    return ok;
}

bool stream_event(Call *call, const char *name, json_t *value) {
    return name ? add_json(call, "event: ", name, "\ndata: ", value, "\n\n")
                : add_json(call, "", "", "data: ", value, "\n\n");
}

bool stream_line(Call *call, json_t *value) { return add_json(call, "", "", "", value, "\n"); }
void stream_end(Call *call) {
    if (!guard_missed()) exchange_end(call->exchange);
}

/* ---- Small things ------------------------------------------------------------------------------------------------ */

static void draw(void *out, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        ssize_t n = getrandom((char *)out + at, bytes - at, 0);
        if (n > 0) at += (size_t)n;
    }
}

void random_letters(char *out, size_t count) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789AB";
    draw(out, count);
    for (size_t i = 0; i < count; i++) out[i] = letters[(uint8_t)out[i] % 64];
    out[count] = '\0';
}

const char *new_id(const char *prefix, char out[NEW_ID_BYTES]) {
    enum { LETTERS = 24 };
    size_t n = strlen(prefix);
    if (n > NEW_ID_BYTES - LETTERS - 1) n = NEW_ID_BYTES - LETTERS - 1;
    memcpy(out, prefix, n);
    random_letters(out + n, LETTERS);
    return out;
}

int64_t new_seed(void) {
    uint64_t seed;
    draw(&seed, sizeof seed);
    return (int64_t)(seed >> 11);
}

int64_t wall_seconds(void) { return (int64_t)time(NULL); }

const char *utc_text(int64_t seconds, char out[UTC_BYTES]) {
    struct tm utc;
    gmtime_r(&(time_t){(time_t)seconds}, &utc);
    strftime(out, UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

const char *utc_now(int digits, char out[UTC_BYTES]) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, UTC_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, UTC_BYTES - n, ".%0*ldZ", digits, digits == 3 ? now.tv_nsec / 1000000 : now.tv_nsec / 1000);
    return out;
}
