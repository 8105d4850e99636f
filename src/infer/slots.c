/* slots.c: see slots.h. */
#include "slots.h"
#include <stdlib.h>
#include "engine.h"
#include "session.h"

bool slots_new(Slots *s, QmEngine *e, Err *err) {
    int64_t idle = 0;
    *s = (Slots){.slot = mem_new((size_t)e->info.slots, sizeof *s->slot, "slots", err)};
    bool ok = s->slot != NULL;
    engine_enter(e); /* what others do not hold */
    for (int i = 0; i < e->info.slots; i++) idle += !e->slot[i];
    while (ok && s->count < idle && (ok = (s->slot[s->count].session = qm_session_new(e, err)) != NULL)) s->count++;
    engine_leave(e);
    s->free = s->count;
    return ok && (s->count || err_as(err, QM_LIMIT, "all %lld slots are taken", (long long)e->info.slots));
}

void slots_free(Slots *s) {
    for (int i = 0; i < s->count; i++) qm_session_free(s->slot[i].session);
    free(s->slot);
    *s = (Slots){0};
}

int64_t slot_holds(const QmSession *session, const Request *r) {
    if (session->salt != r->salt || session->adapter != r->adapter || r->row->hidden ||
        r->g.config.prompt_logprobs >= 0)
        return 0;
    return session_holds(session, r->g.ids, r->g.prompt);
}

int64_t slots_hold(const Slots *s, const Request *r) {
    int64_t most = 0;
    for (int i = 0; i < s->count; i++) {
        int64_t n = s->slot[i].user ? 0 : slot_holds(s->slot[i].session, r);
        if (n > most) most = n;
    }
    return most;
}

/* Slots that a group has, or had last and whose cache it would lose. */
static int holding(const Slots *s, uint64_t group) {
    int n = 0;
    for (int i = 0; i < s->count; i++)
        n += s->slot[i].group == group && (s->slot[i].user || qm_session_length(s->slot[i].session) > 0);
    return n;
}

/* What is lost with a slot, by order: nothing; a beginning of the group that holds most, the asking one's own among
 * equals; of those the shortest. */
typedef struct Loss { int held; bool foreign; int64_t length; } Loss;

static Loss loss_of(const Slots *s, const Slot *one, uint64_t group) {
    int64_t length = qm_session_length(one->session);
    return length ? (Loss){holding(s, one->group), one->group != group, length} : (Loss){s->count + 1, false, 0};
}

static bool less(const Loss *a, const Loss *b) {
    if (a->held != b->held) return a->held > b->held;
    return a->foreign != b->foreign ? b->foreign : a->length < b->length;
}

QmSession *slots_take(Slots *s, Request *r, bool share, int64_t *held, Err *err) {
    Slot *best = NULL;
    Loss least = {0};
    *held = 0;
    for (int i = 0; i < s->count; i++) {
        Slot *one = &s->slot[i];
        if (one->user) continue;
        int64_t n = share ? slot_holds(one->session, r) : 0;
        Loss loss = loss_of(s, one, r->group);
        if (best && (n < *held || (n == *held && !less(&loss, &least)))) continue;
        best = one;
        least = loss;
        *held = n;
    }
    if (!best || !qm_session_crop(best->session, *held, err)) return NULL;
    best->user = r;
    best->group = r->group;
    best->session->salt = r->salt;
    best->session->adapter = r->adapter;
    s->free--;
    return best->session;
}

void slots_leave(Slots *s, const Request *r) {
    for (int i = 0; i < s->count; i++)
        if (s->slot[i].user == r) s->slot[i].user = NULL, s->free++;
}
