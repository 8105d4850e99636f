/* batch.c: sequences come and go over slots; each step takes the decode rows first and fills up with pieces of
 * prompts. */
#include <stdlib.h>
#include <string.h>
#include "batch.h"
#include "engine.h"
#include "prefix.h"
#include "search.h"

typedef struct Slot {
    QmSession *session;
    BatchItem *item;     /* NULL: free                                                  */
    int32_t *kept;       /* ids in the cache of a free slot, [qm_session_length]        */
    size_t room;
    NextToken next;      /* its logits: once a sequence here has needed them            */
    int64_t order;       /* of the item: the earlier prompt gets its rows first         */
} Slot;

typedef struct Batch {
    QmEngine *engine;
    const BatchCalls *calls;
    Slot *slot;
    int slots, running;
    int64_t taken;       /* items so far */
    bool reuse;
    BatchItem *held_back; /* comes when a running sequence has fed the beginning they share */
    PrefixSource *source; /* [slots] */
    QmAppend *entry;     /* [slots] */
    int *entry_slot;     /* [slots] */
    SampleWork work;
    BatchStats stats;
} Batch;

static bool batch_open(Batch *b, QmEngine *e, const BatchCalls *calls, Err *err) {
    size_t n = (size_t)e->info.slots;
    *b = (Batch){.engine = e, .calls = calls};
    /* Where rotary frequencies go by the length of a sequence, keys in the cache are of their own sequence only. */
    RopeType rope = e->config.rope.type;
    b->reuse = rope != ROPE_DYNAMIC && rope != ROPE_LONGROPE;
    if (!(b->slot = mem_new(n, sizeof *b->slot, "slots", err)) ||
        !(b->entry = mem_new(n, sizeof *b->entry, "entries of a step", err)) ||
        !(b->entry_slot = mem_new(n, sizeof *b->entry_slot, "entries of a step", err)) ||
        !(b->source = mem_new(n, sizeof *b->source, "slots", err)) || !sample_work_new(&b->work, e->info.vocab, err))
        return false;
    int64_t idle = 0;
    engine_enter(e); /* what others do not hold */
    for (int i = 0; i < e->info.slots; i++) idle += !e->slot[i];
    for (; b->slots < idle && (b->slot[b->slots].session = qm_session_new(e, err)); b->slots++)
        b->slot[b->slots].next.work = &b->work;
    engine_leave(e);
    if (b->slots < idle) return false;
    return b->slots > 0 || err_as(err, QM_LIMIT, "all %lld slots are taken", (long long)e->info.slots);
}

static void batch_close(Batch *b) {
    for (int i = 0; i < b->slots; i++) {
        Slot *s = &b->slot[i];
        if (s->item && b->calls->drop) b->calls->drop(b->calls->user, s->item);
        qm_session_free(s->session);
        free(s->kept);
        free(s->next.logits);
    }
    if (b->held_back && b->calls->drop) b->calls->drop(b->calls->user, b->held_back);
    free(b->source);
    free(b->slot);
    free(b->entry);
    free(b->entry_slot);
    sample_work_free(&b->work);
}

/* Tokens at the start of a prompt that the slot still holds; the last is always fed, for its logits. */
static int64_t held(const Batch *b, const Slot *s, const Generation *g) {
    int64_t n = 0, most = qm_session_length(s->session);
    if (most > g->prompt - 1) most = g->prompt - 1;
    while (b->reuse && n < most && s->kept[n] == g->ids[n]) n++;
    return n;
}

/* Sequences that run now, with what their caches hold. */
static int running_sources(Batch *b) {
    int count = 0;
    for (int i = 0; i < b->slots; i++)
        if (b->slot[i].item)
            b->source[count++] = (PrefixSource){b->slot[i].session, b->slot[i].item->g.ids, b->slot[i].item->g.count};
    return count;
}

/* Ids at the start of a prompt that a running sequence has, or is about to have, in its cache. */
static int64_t prefix_most(const Batch *b, const Generation *g, bool fed) {
    int64_t most = 0;
    for (int i = 0; i < b->slots; i++) {
        const Slot *s = &b->slot[i];
        if (!s->item) continue;
        int64_t count = fed ? qm_session_length(s->session) : s->item->g.prompt;
        int64_t n = prefix_shared(b->engine, g->ids, g->prompt, s->item->g.ids, count);
        if (n > most) most = n;
    }
    return most;
}

/* Whether to wait for a running sequence to feed a beginning that no slot has yet. */
static bool worth_waiting(const Batch *b, const Generation *g) {
    int64_t have = prefix_most(b, g, true);
    if (!b->reuse) return false;
    for (int i = 0; i < b->slots; i++) {
        int64_t n = b->slot[i].item ? 0 : held(b, &b->slot[i], g);
        if (n > have) have = n;
    }
    return prefix_most(b, g, false) >= have + PREFIX_LEAST;
}

/* Gives the item the free slot that holds most of its prompt; of equals, the one that holds least else. */
static bool take(Batch *b, BatchItem *item, Err *err) {
    Slot *best = NULL;
    int64_t most = 0;
    for (int i = 0; i < b->slots; i++) {
        Slot *s = &b->slot[i];
        int64_t n = s->item ? 0 : held(b, s, &item->g);
        if (s->item || (best && (n < most || (n == most && qm_session_length(s->session) >=
                                                               qm_session_length(best->session)))))
            continue;
        best = s;
        most = n;
    }
    int sources = running_sources(b);
    best->next.generation = &item->g;
    if (!qm_session_crop(best->session, most, err)) return false;
    if (b->reuse && prefix_most(b, &item->g, true) >= most + PREFIX_LEAST) { /* a copy is worth some tokens only */
        if (!prefix_reuse(b->engine, best->session, item->g.ids, item->g.prompt, b->source, sources, err)) return false;
        b->stats.copied += most = qm_session_length(best->session);
    }
    generation_fit(&item->g, b->engine);
    best->item = item;
    best->order = b->taken++;
    item->reused = most;
    item->taken = clock_seconds();
    b->stats.reused += most;
    b->running++;
    return true;
}

static bool fill(Batch *b, Err *err) {
    while (b->running < b->slots) {
        BatchItem *item = b->held_back;
        b->held_back = NULL;
        if (!item && !b->calls->next(b->calls->user, &item, err)) return false;
        if (!item) return true;
        if (worth_waiting(b, &item->g)) {
            b->held_back = item;
            return true;
        }
        if (item->g.finish) { /* nothing was to be generated */
            item->taken = item->first = item->ended = clock_seconds();
            if (!b->calls->done(b->calls->user, item, err)) return false;
        } else if (!take(b, item, err)) {
            if (b->calls->drop) b->calls->drop(b->calls->user, item);
            return false;
        }
    }
    return true;
}

/* Adds `count` more tokens of the slot's sequence to the step. */
static bool append(Batch *b, int slot, int64_t count, int *entries, Err *err) {
    Slot *s = &b->slot[slot];
    const Generation *g = &s->item->g;
    int64_t from = qm_session_length(s->session);
    bool last = from + count == g->count;
    b->entry_slot[*entries] = slot;
    b->entry[*entries] = (QmAppend){.session = s->session,
                                    .tokens = g->ids + from,
                                    .count = count,
                                    .rope_length = g->prompt};
    if (last && !next_token_ask(&s->next, &b->entry[*entries], err)) return false;
    if (from < g->prompt) b->stats.prompt += count;
    else b->stats.decoded += count;
    (*entries)++;
    return true;
}

/* The entries of a step. Sequences past their prompt have one token each; the rows left go to prompts, the earliest
 * first. One prompt advances even when decoding takes all rows. */
static bool plan_step(Batch *b, int *entries, Err *err) {
    *entries = 0;
    int64_t rows = b->engine->info.rows;
    for (int i = 0; i < b->slots; i++) {
        const Slot *s = &b->slot[i];
        if (!s->item || qm_session_length(s->session) < s->item->g.prompt) continue;
        if (!append(b, i, 1, entries, err)) return false;
        rows--;
    }
    if (rows < 1) rows = 1;
    for (int64_t after = -1; rows > 0;) {
        int next = -1;
        for (int i = 0; i < b->slots; i++) {
            const Slot *s = &b->slot[i];
            if (s->item && s->order > after && qm_session_length(s->session) < s->item->g.prompt &&
                (next < 0 || s->order < b->slot[next].order))
                next = i;
        }
        if (next < 0) break;
        int64_t left = b->slot[next].item->g.prompt - qm_session_length(b->slot[next].session);
        int64_t count = left < rows ? left : rows;
        after = b->slot[next].order;
        if (!append(b, next, count, entries, err)) return false;
        rows -= count;
    }
    return true;
}

/* Frees the slot but remembers what its cache holds, and hands the item back. */
static bool give_back(Batch *b, Slot *s, Err *err) {
    BatchItem *item = s->item;
    size_t n = (size_t)qm_session_length(s->session);
    if (!mem_grow((void **)&s->kept, &s->room, n, sizeof *s->kept, "ids of a slot", err)) return false;
    memcpy(s->kept, item->g.ids, n * sizeof *s->kept);
    s->item = NULL;
    b->running--;
    item->ended = clock_seconds();
    return b->calls->done(b->calls->user, item, err);
}

/* Takes the next token of a sequence whose logits are there. */
static bool push(Batch *b, int slot, Err *err) {
    Slot *s = &b->slot[slot];
    Generation *g = &s->item->g;
    const char *text;
    size_t bytes;
    int32_t id;
    if (!next_token_take(&s->next, s->item->sequence, &id, err)) return false;
    if (g->count == g->prompt) s->item->first = clock_seconds();
    if (!generation_push(g, id, &text, &bytes, err)) return false;
    return !g->finish || give_back(b, s, err);
}

static bool step(Batch *b, Err *err) {
    int entries;
    if (!plan_step(b, &entries, err) || !qm_forward(b->engine, b->entry, entries, err)) return false;
    b->stats.steps++;
    for (int i = 0; i < entries; i++)
        if (b->entry[i].logits_from && !push(b, b->entry_slot[i], err)) return false;
    return true;
}

bool batch_run(QmEngine *e, const BatchCalls *calls, BatchStats *stats, Err *err) {
    Batch b;
    double start = clock_seconds();
    bool ok = batch_open(&b, e, calls, err);
    while (ok && (ok = fill(&b, err)) && b.running > 0) {
        if (calls->stop && calls->stop(calls->user)) ok = err_as(err, QM_INTERRUPTED, "interrupted");
        else ok = step(&b, err);
    }
    b.stats.seconds = clock_seconds() - start;
    if (stats) *stats = b.stats;
    batch_close(&b);
    return ok;
}
