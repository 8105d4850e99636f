/* session.c: timelines of tokens, each with a slot of the engine's cache. */
#include <stdlib.h>
#include <string.h>
#include "session.h"
#include "../model/adapters.h"
#include "engine.h"
#include "lead.h"

QmSession *qm_session_new(QmEngine *e, QmErr *err) {
    QmSession *s = mem_new(1, sizeof *s, "session", err);
    if (!s) return NULL;
    s->engine = e;
    engine_enter(e);
    while (s->slot < e->info.slots && e->slot[s->slot]) s->slot++;
    bool room = s->slot < e->info.slots;
    if (room) e->slot[s->slot] = s;
    engine_leave(e);
    if (room) return s;
    free(s);
    err_as(err, QM_LIMIT, "all %lld slots are taken", (long long)e->info.slots);
    return NULL;
}

void qm_session_free(QmSession *s) {
    if (!s) return;
    engine_enter(s->engine);
    s->engine->slot[s->slot] = NULL;
    engine_leave(s->engine);
    free(s->ids);
    free(s);
}

int64_t qm_session_length(const QmSession *s) { return s->length; }

void qm_session_cancel(QmSession *s) { atomic_fetch_add(&s->cancels, 1); }

bool qm_session_crop(QmSession *s, int64_t length, QmErr *err) {
    if (length < 0 || length > s->length)
        return err_as(err, QM_USAGE, "crop: expected 0 to %lld tokens, got %lld", (long long)s->length,
                      (long long)length);
    s->length = length;
    s->rope_length = length;
    return true;
}

int session_adapter(const QmEngine *e, const char *name, Err *err) {
    int number = name ? adapters_number(e->adapters, name) : 0;
    if (!name || number) return number;
    err_set(err, "adapter: expected the name of one of the engine's, got '%s'", name_text(name, strlen(name)).text);
    return -1;
}

bool qm_session_adapter(QmSession *s, const char *name, QmErr *err) {
    int number = session_adapter(s->engine, name, err);
    if (number < 0 || number == s->adapter) return number >= 0;
    s->adapter = number;
    return qm_session_crop(s, 0, err);
}

bool session_shares(const QmSession *s) {
    RopeType rope = s->engine->config.rope.type;
    return rope != ROPE_DYNAMIC && rope != ROPE_LONGROPE;
}

int64_t session_holds(const QmSession *s, const int32_t *ids, int64_t count) {
    int64_t n = 0, most = s->length < count - 1 ? s->length : count - 1;
    while (session_shares(s) && n < most && ids[n] >= 0 && s->ids[n] == ids[n]) n++;
    return n;
}

int64_t qm_session_sync(QmSession *s, const int32_t *ids, int64_t count) {
    int64_t n = session_holds(s, ids, count + 1);
    qm_session_crop(s, n, NULL);
    return n;
}

bool qm_session_copy(QmSession *to, const QmSession *from, int64_t length, QmErr *err) {
    QmEngine *e = from->engine;
    if (to->engine != e) return err_as(err, QM_USAGE, "copy: the sessions are of different engines");
    if (length < 0 || length > from->length)
        return err_as(err, QM_USAGE, "copy: expected 0 to %lld tokens, got %lld", (long long)from->length,
                      (long long)length);
    if (to == from) return qm_session_crop(to, length, err);
    if (!e->backend->copy) return err_as(err, QM_USAGE, "copy: the %s backend cannot copy caches", e->backend->name);
    if (!mem_grow((void **)&to->ids, &to->room, (size_t)length, sizeof *to->ids, "ids of a session", err)) return false;
    engine_enter(e);
    lead_copy(e, from->slot, to->slot, length);
    bool copied = e->backend->copy(e->state, from->slot, to->slot, length, err);
    engine_leave(e);
    if (!copied) return false;
    if (length) memcpy(to->ids, from->ids, (size_t)length * sizeof *to->ids);
    to->length = length;
    to->adapter = from->adapter;
    to->rope_length = length < from->length ? length : from->rope_length;
    return true;
}

bool session_borrow(QmSession *to, const int32_t *ids, int64_t count, QmSession *const *sources, int source_count,
                    Err *err) {
    int64_t most = session_holds(to, ids, count) + SHARED_LEAST - 1;
    const QmSession *best = NULL;
    for (int i = 0; i < source_count && to->engine->backend->copy; i++) {
        int64_t n = session_holds(sources[i], ids, count);
        if (n > most) most = n, best = sources[i];
    }
    return !best || qm_session_copy(to, best, most, err);
}
