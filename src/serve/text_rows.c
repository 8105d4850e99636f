/* text_rows.c: see text_rows.h. */
#include "text_rows.h"
#include <stdlib.h>
#include "../base/guard.h"

TextRows *text_rows_new(Call *call, size_t bytes, int64_t texts, const char *output,
                        void (*answer)(TextRows *, EmbedWork *), Err *err) {
    TextRows *t = mem_new(1, bytes, "texts", err);
    if (!t) return NULL;
    t->call = call;
    t->answer = answer;
    if ((t->work = embed_work_new(texts, err))) {
        t->work->output = output;
        return t;
    }
    free(t);
    return NULL;
}

static void rows_free(TextRows *t) {
    if (!t) return;
    embed_work_free(t->work);
    free(t);
}

bool text_rows_take(TextRows *t, ChatRequest *r, const char *param, int64_t i, int64_t n, Err *err) {
    int64_t context = qm_engine_info(t->call->server->model.engine)->context;
    if (n < 0) return snprintf(r->wrong, sizeof r->wrong, "%s", param), false;
    t->work->count[i] = n;
    if (n == 0) return request_wrong(r, err, param, "text %lld has no tokens", (long long)i);
    return n <= context || request_wrong(r, err, param, "text %lld has %lld tokens, more than the context of %lld",
                                         (long long)i, (long long)n, (long long)context);
}

int64_t text_rows_end(int32_t **ids, int64_t n, int32_t end, Err *err) {
    int32_t *more = realloc(*ids, (size_t)(n + 1) * sizeof *more);
    if (!more) return err_as(err, QM_MEMORY, "out of memory: ids"), -1;
    more[n] = end;
    *ids = more;
    return n + 1;
}

static bool gone(void *owner) {
    const TextRows *t = owner;
    return exchange_gone(t->call->exchange);
}

static void done(void *owner, EmbedWork *work, const Err *failed) {
    TextRows *t = owner;
    Exchange *x = t->call->exchange;
    guard_forget();
    if (!failed) t->answer(t, work);
    else if (failed->kind == QM_INTERRUPTED)
        serve_error(t->call, 503, "server_error", NULL, NULL, "the server ends");
    else serve_failed(t->call, failed, NULL);
    rows_free(t);
    exchange_release(x);
}

void text_rows_start(Call *call, TextRows *t, bool ok, const Err *err, const char *param) {
    Err full = {0};
    if (!ok || !t || guard_missed()) { /* what was missed may be a part of the request */
        serve_failed(call, err, *param ? param : NULL);
        rows_free(t);
        return;
    }
    t->work->owner = t;
    t->work->gone = gone;
    t->work->done = done;
    exchange_hold(call->exchange);
    if (call->server->embedder && embedder_add(call->server->embedder, t->work, &full)) return;
    serve_error(call, 429, "rate_limit_error", "queue_full", NULL, "%s",
                full.kind ? full.text : "this server makes no vectors");
    rows_free(t);
    exchange_release(call->exchange);
}
