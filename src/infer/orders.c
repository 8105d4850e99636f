/* orders.c: what a rank that follows makes of the messages of rank 0. */
#include <stdlib.h>
#include <string.h>
#include "orders.h"
#include "../model/adapters.h"

/* ---- Options ----------------------------------------------------------------------------------------------------- */

bool open_order_write(OpenOrder *open, const QmEngineOptions *options, Err *err) {
    size_t at = 0;
    memset(open, 0, sizeof *open);
    for (int i = 0; i < ENGINE_OPTION_COUNT; i++) {
        const EngineOption *row = &engine_options[i];
        const void *value = engine_option_value(row, options);
        const char *text = row->type == TYPE_TEXT ? *(const char *const *)value : NULL;
        if (row->type == TYPE_NUMBER) open->number[i] = *(const int64_t *)value;
        else open->number[i] = row->type == TYPE_FLAG ? *(const bool *)value : text != NULL;
        if (!text) continue;
        size_t bytes = strlen(text) + 1;
        if (bytes > sizeof open->text - at)
            return err_as(err, QM_LIMIT, "the options of the engine are longer than %d", ORDER_TEXT_BYTES);
        memcpy(open->text + at, text, bytes);
        at += bytes;
    }
    return true;
}

bool open_order_read(const OpenOrder *open, QmEngineOptions *options, Err *err) {
    size_t at = 0;
    *options = (QmEngineOptions){.size = sizeof *options};
    for (int i = 0; i < ENGINE_OPTION_COUNT; i++) {
        const EngineOption *row = &engine_options[i];
        void *value = engine_option_value(row, options);
        if (row->type == TYPE_NUMBER) *(int64_t *)value = open->number[i];
        if (row->type == TYPE_FLAG) *(bool *)value = open->number[i] != 0;
        if (row->type != TYPE_TEXT || !open->number[i]) continue;
        const char *end = memchr(open->text + at, 0, sizeof open->text - at);
        if (!end) return err_set(err, "the order to open an engine: the text of %s has no end", row->name);
        *(const char **)value = open->text + at;
        at = (size_t)(end - open->text) + 1;
    }
    return true;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

bool follower_new(Follower *f, QmEngine *engine, Err *err) {
    size_t slots = (size_t)engine->info.slots;
    *f = (Follower){.engine = engine};
    f->held = mem_new(slots, sizeof *f->held, "orders", err);
    f->last = mem_new(slots, sizeof *f->last, "orders", err);
    return f->held && f->last;
}

void follower_free(Follower *f) {
    free(f->held), free(f->last);
    *f = (Follower){0};
}

/* "order to step: slot: expected 0 to 3, got 7" */
static bool within(const char *what, int64_t value, int64_t first, int64_t last, Err *err) {
    return (value >= first && value <= last) ||
           err_set(err, "order to %s: expected %lld to %lld, got %lld", what, (long long)first, (long long)last,
                   (long long)value);
}

OrderRow order_row(const StepRows *s, int64_t r) {
    return (OrderRow){s->index[r], s->length[r], s->token[r], s->slot[r], s->position[r],
                      r < s->logit_rows ? s->logit_row[r] : 0, s->adapter[r], 0};
}

static void row_take(StepRows *s, int64_t r, const OrderRow *row) {
    s->token[r] = row->token;
    s->slot[r] = row->slot;
    s->position[r] = row->position;
    s->index[r] = row->index;
    s->length[r] = row->length;
    s->logit_row[r] = row->logit_row;
    s->adapter[r] = row->adapter;
}

/* Row r as step_fill makes rows: replica after replica, the rows of a slot one after the other, where its cache ends or
 * before. */
static bool row_check(Follower *f, const StepRows *s, int64_t r, Err *err) {
    const QmEngine *e = f->engine;
    int dp = e->partition.mesh.dp;
    if (!within("step: token", s->token[r], 0, e->config.vocab - 1, err) ||
        !within("step: slot", s->slot[r], 0, e->info.slots - 1, err) ||
        !within("step: adapter", s->adapter[r], 0, adapters_chosen(e->adapters), err) ||
        !within("step: position", s->position[r], 0, INT32_MAX, err) ||
        !within("step: rope length", s->length[r], (int64_t)s->position[r] + 1, INT64_MAX, err))
        return false;
    int32_t slot = s->slot[r];
    bool same = r > 0 && s->slot[r - 1] == slot;
    if (!same && (f->last[slot] == f->steps || (r > 0 && s->slot[r - 1] % dp > slot % dp)))
        return err_set(err, "order to step: row %lld of slot %d is out of turn", (long long)r, slot);
    f->last[slot] = f->steps;
    int64_t most = f->held[slot] < e->info.context ? f->held[slot] : e->info.context - 1;
    if (!within("step: index", s->index[r], same ? s->index[r - 1] + 1 : 0, same ? s->index[r - 1] + 1 : most, err) ||
        !within("step: index", s->index[r], 0, e->info.context - 1, err))
        return false;
    if (s->index[r] >= f->held[slot]) f->held[slot] = s->index[r] + 1;
    return true;
}

static bool rows_check(Follower *f, const StepRows *s, Err *err) {
    f->steps++;
    for (int64_t r = 0; r < s->rows; r++)
        if (!row_check(f, s, r, err)) return false;
    for (int64_t i = 0; i < s->logit_rows; i++)
        if (!within("step: logit row", s->logit_row[i], i ? s->logit_row[i - 1] + 1 : 0, s->rows - 1, err))
            return false;
    return true;
}

static bool obey_step(Follower *f, const Order *o, Hear *hear, void *owner, Err *err) {
    const QmEngine *e = f->engine;
    if (!within("step: rows", o->number[0], 1, e->info.rows, err) ||
        !within("step: logit rows", o->number[1], 0, o->number[0], err))
        return false;
    StepRows *s = e->backend->rows(e->state);
    s->rows = o->number[0];
    f->logit_rows = s->logit_rows = o->number[1];
    for (int64_t r = 0; r < s->rows && r < ORDER_ROWS; r++) row_take(s, r, &o->row[r]);
    for (int64_t at = ORDER_ROWS; at < s->rows; at += ORDER_MORE_ROWS) {
        OrderRow row[ORDER_MORE_ROWS];
        int64_t n = s->rows - at < ORDER_MORE_ROWS ? s->rows - at : ORDER_MORE_ROWS;
        if (!hear(owner, row, (size_t)n * sizeof *row, err)) return false;
        for (int64_t r = 0; r < n; r++) row_take(s, at + r, &row[r]);
    }
    return rows_check(f, s, err) && e->backend->run(e->state, err);
}

static bool obey_copy(Follower *f, const Order *o, Err *err) {
    const QmEngine *e = f->engine;
    int64_t from = o->number[0], to = o->number[1], positions = o->number[2];
    if (!e->backend->copy) return err_set(err, "order to copy: the %s backend cannot copy caches", e->backend->name);
    if (!within("copy: from slot", from, 0, e->info.slots - 1, err) ||
        !within("copy: to slot", to, 0, e->info.slots - 1, err) ||
        !within("copy: positions", positions, 0, f->held[from], err) ||
        !e->backend->copy(e->state, (int)from, (int)to, positions, err))
        return false;
    if (f->held[to] < positions || from != to) f->held[to] = positions;
    return true;
}

static bool obey_read(const Follower *f, const Order *o, Err *err) {
    const QmEngine *e = f->engine;
    const Graph *g = &e->program.graph;
    if (!within("read: node", o->number[0], 1, g->count - 1, err)) return false;
    if (!g->nodes[o->number[0]].keep)
        return err_set(err, "order to read: node %lld is no result", (long long)o->number[0]);
    e->backend->read(e->state, (Tensor){(int)o->number[0]}, err);
    return !err->kind;
}

bool follower_obey(Follower *f, const Order *o, Hear *hear, void *owner, Err *err) {
    const QmEngine *e = f->engine;
    switch (o->kind) {
    case ORDER_STEP: return obey_step(f, o, hear, owner, err);
    case ORDER_COPY: return obey_copy(f, o, err);
    case ORDER_READ: return obey_read(f, o, err);
    case ORDER_CANDIDATES:
        if (!e->backend->candidates)
            return err_set(err, "order to tell candidates: the %s backend has none", e->backend->name);
        return within("tell candidates: logit row", o->number[0], 0, f->logit_rows - 1, err) &&
               e->backend->candidates(e->state, o->number[0], NULL, NULL, err);
    default: return err_set(err, "order: expected one of %d kinds, got %d", ORDER_KINDS, o->kind);
    }
}
