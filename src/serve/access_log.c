/* access_log.c: see access_log.h. */
#include "access_log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/guard.h"

static void put(const Server *s, char *line, int bytes) {
    if (bytes > 0) {
        fwrite(line, 1, (size_t)bytes, s->options->log); /* one call: lines of several threads stay whole */
        fflush(s->options->log);
    }
}

/* Of a number for JSON: to microseconds. */
static double rounded(double seconds) { return round(seconds * 1e6) / 1e6; }

static void put_json(const Server *s, json_t *object) {
    char *text = object ? guard_own(json_dumps(object, JSON_COMPACT)) : NULL, *line = NULL;
    int n = text ? asprintf(&line, "%s\n", text) : -1;
    json_decref(object);
    if (n > 0) put(s, line, n);
    if (n >= 0) free(line);
    free(text);
}

void access_log(const Server *s, const Call *call) {
    const CallFacts *f = &call->facts;
    const Exchange *x = call->exchange;
    const char *method = call->route ? call->route->method : exchange_method(x), *path = call->route ? call->route->path : "-";
    char time[UTC_BYTES], *line = NULL;
    if (!s->options->log) return;
    utc_now(3, time);
    double total = clock_seconds() - exchange_arrived(x);
    if (s->options->log_json) {
        put_json(s, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:s, s:b}", "time", time,
                              "id", call->id, "key", call->key ? call->key : "-", "peer", exchange_peer(x), "method", method,
                              "route", path, "status", exchange_status(x), "prompt", (json_int_t)f->prompt, "cached",
                              (json_int_t)f->cached, "generated", (json_int_t)f->generated, "bytes",
                              (json_int_t)exchange_sent(x), "queue", rounded(f->queued), "ttft", rounded(f->first), "total",
                              rounded(total), "finish", f->finish ? f->finish : "-", "gone", exchange_left(x)));
        return;
    }
    NameText m = name_text(method, strlen(method));
    int n = asprintf(&line, "%s %s key=%s %s \"%s %s\" %d prompt=%lld cached=%lld generated=%lld queue=%.4f ttft=%.4f "
                            "total=%.4f finish=%s%s\n",
                     time, call->id, call->key && *call->key ? call->key : "-", exchange_peer(x), m.text, path,
                     exchange_status(x), (long long)f->prompt, (long long)f->cached, (long long)f->generated, f->queued,
                     f->first, total, f->finish ? f->finish : "-", exchange_left(x) ? " gone" : "");
    if (n < 0) return;
    put(s, line, n);
    free(line);
}

void server_log(const Server *s, const char *format, ...) {
    char time[UTC_BYTES], text[512], *line = NULL;
    va_list args;
    if (!s->options->log) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_printable(text);
    utc_now(3, time);
    if (s->options->log_json) {
        put_json(s, json_pack("{s:s, s:s}", "time", time, "message", text));
        return;
    }
    int n = asprintf(&line, "%s %s\n", time, text);
    if (n < 0) return;
    put(s, line, n);
    free(line);
}
