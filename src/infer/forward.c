/* forward.c: entries of a batch cut into steps of rows, and results handed back. */
#include <math.h>
#include <string.h>
#include "../base/watch.h"
#include "lead.h"

static bool output_there(const QmEngine *e, const char *name, int entry, Err *err) {
    const Node *n = graph_node(&e->model.graph, output_find(&e->model.outputs, name));
    if (n && shape_rows(&n->shape) == LOGIT_ROWS) return true;
    return err_as(err, QM_USAGE, "entry %d: no output \"%.20s\" of a row: the model's head is '%s'", entry, name,
                  e->info.head);
}

static bool outputs_check(const QmEngine *e, const QmAppend *a, int entry, Err *err) {
    for (int i = 0; i < a->output_count; i++)
        if (!output_there(e, a->outputs[i].name, entry, err)) return false;
    return (!a->logits || output_there(e, "logits", entry, err)) && (!a->argmax || output_there(e, "best", entry, err));
}

/* Everything that can be wrong is found before anything runs. */
static bool entries_check(const QmEngine *e, const QmAppend *entries, int count, Err *err) {
    for (int i = 0; i < count; i++) {
        const QmAppend *a = &entries[i];
        if (!a->session || a->session->engine != e) return err_as(err, QM_USAGE, "entry %d: no session of this engine",
                                                                  i);
        if (a->count < 1) return err_as(err, QM_USAGE, "entry %d: expected 1 token or more, got %lld", i,
                                        (long long)a->count);
        if (a->count > e->info.context - a->session->length)
            return err_as(err, QM_LIMIT, "entry %d: %lld tokens after %lld do not fit the context of %lld", i,
                          (long long)a->count, (long long)a->session->length, (long long)e->info.context);
        if (a->logits_from < 0 || a->logits_from > a->count)
            return err_as(err, QM_USAGE, "entry %d: logits of %lld rows, of %lld", i, (long long)a->logits_from,
                          (long long)a->count);
        if (a->hidden && !e->hidden_count)
            return err_as(err, QM_USAGE, "entry %d: hidden states were not asked for at open", i);
        if (!outputs_check(e, a, i, err)) return false;
        for (int64_t t = 0; t < a->count; t++) {
            if (a->tokens[t] < 0 || a->tokens[t] >= e->config.vocab)
                return err_set(err, "entry %d, token %lld: id %d is outside the vocabulary of %lld", i, (long long)t,
                               a->tokens[t], (long long)e->config.vocab);
            if (a->positions && a->positions[t] < 0)
                return err_set(err, "entry %d, token %lld: negative position", i, (long long)t);
        }
        for (int j = 0; j < i; j++)
            if (entries[j].session == a->session) return err_as(err, QM_USAGE, "entries %d and %d share a session", j,
                                                                i);
    }
    return true;
}

/* The rope length of an entry: known before its first chunk, so that chunking changes nothing. */
static int64_t rope_length(const QmAppend *a) {
    int64_t most = a->session->rope_length > a->rope_length ? a->session->rope_length : a->rope_length;
    for (int64_t t = 0; t < a->count; t++) {
        int64_t p = (a->positions ? a->positions[t] : a->session->length + t) + 1;
        if (p > most) most = p;
    }
    return most;
}

typedef struct Cursor { int replica, entry; int64_t done; } Cursor; /* next row to feed */

/* Fills the step from the cursor on, replica after replica. */
static void step_fill(const QmEngine *e, const QmAppend *entries, int count, Cursor *at, StepRows *s) {
    int dp = e->partition.mesh.dp;
    s->rows = s->logit_rows = 0;
    for (; at->replica < dp; at->replica++, at->entry = 0, at->done = 0)
        for (; at->entry < count; at->entry++, at->done = 0) {
            const QmAppend *a = &entries[at->entry];
            if (a->session->slot % dp != at->replica) continue;
            int64_t length = rope_length(a);
            for (; at->done < a->count; at->done++) {
                if (s->rows == e->info.rows) return;
                int64_t r = s->rows++, t = at->done;
                s->token[r] = a->tokens[t];
                s->slot[r] = a->session->slot;
                s->adapter[r] = a->session->adapter;
                s->index[r] = a->session->length + t;
                s->position[r] = a->positions ? a->positions[t] : (int32_t)s->index[r];
                s->length[r] = length;
                e->row_entry[r] = at->entry;
                e->row_token[r] = t;
                if (t >= a->count - a->logits_from && (a->logits || a->argmax || a->output_count))
                    s->logit_row[s->logit_rows++] = (int32_t)r;
            }
        }
}

/* Where row `i` of the step's logits goes; NULL: it is not asked for, and stays on the devices. */
static float *logits_of(const QmEngine *e, const QmAppend *entries, const StepRows *s, int64_t i) {
    int64_t r = s->logit_row[i];
    const QmAppend *a = &entries[e->row_entry[r]];
    return a->logits ? a->logits + (e->row_token[r] - (a->count - a->logits_from)) * engine_columns(e, e->logits)
                     : NULL;
}

/* Rows for which a few of their logits are enough. *whole: whether another row asks for all of its logits. */
static bool candidates_read(const QmEngine *e, const QmAppend *entries, const StepRows *s, bool *whole, Err *err) {
    bool some = e->backend->candidates && e->backend->info(e->state)->candidates, told = false;
    for (int64_t i = 0; i < s->logit_rows; i++) {
        const QmAppend *a = &entries[e->row_entry[s->logit_row[i]]];
        float *to = logits_of(e, entries, s, i), floor;
        e->row_settled[i] = !to;
        if (to && some && a->enough) {
            if (!told) lead_candidates(e, i); /* one call brings all rows */
            told = true;
            if (!e->backend->candidates(e->state, i, to, &floor, err)) return false;
            e->row_settled[i] = a->enough(a->owner, to, floor);
        }
        *whole |= !e->row_settled[i];
    }
    return true;
}

static const float *result(const QmEngine *e, Tensor of_graph, Err *err) {
    Tensor t = program_tensor(&e->program, of_graph);
    lead_read(e, t);
    return e->backend->read(e->state, t, err);
}

/* The ids of the largest logits. Read in every step of a causal head: it is how a step's end is waited for. */
static bool best_results(const QmEngine *e, QmAppend *entries, const StepRows *s, Err *err) {
    if (!s->logit_rows || !e->best.id) return true;
    const float *best = result(e, e->best, err);
    if (!best) return false;
    for (int64_t i = 0; i < s->logit_rows; i++) {
        int64_t r = s->logit_row[i], v = e->config.vocab;
        QmAppend *a = &entries[e->row_entry[r]];
        float id = best[2 * i + 1];
        if (isfinite(best[2 * i]) && !(id >= 0 && id < (float)v))
            return err_set(err, "the largest logit: expected an id below %lld, got %g", (long long)v, (double)id);
        if (a->argmax)
            a->argmax[e->row_token[r] - (a->count - a->logits_from)] = isfinite(best[2 * i]) ? (int32_t)id : -1;
    }
    return true;
}

static bool logits_results(const QmEngine *e, QmAppend *entries, const StepRows *s, Err *err) {
    int64_t columns = engine_columns(e, e->logits);
    const float *logits = NULL;
    bool whole = false;
    if (!candidates_read(e, entries, s, &whole, err) || (whole && !(logits = result(e, e->logits, err)))) return false;
    for (int64_t i = 0; i < s->logit_rows; i++)
        if (!e->row_settled[i])
            memcpy(logits_of(e, entries, s, i), logits + i * columns, (size_t)columns * sizeof(float));
    return true;
}

/* One output by name; read if a row of the step asks for it. */
static bool output_results(const QmEngine *e, QmAppend *entries, const StepRows *s, const ModelOutput *o, Err *err) {
    int64_t columns = engine_columns(e, o->tensor);
    const float *values = NULL;
    for (int64_t i = 0; i < s->logit_rows; i++) {
        int64_t r = s->logit_row[i];
        const QmAppend *a = &entries[e->row_entry[r]];
        for (int j = 0; j < a->output_count; j++) {
            if (strcmp(a->outputs[j].name, o->name)) continue;
            if (!values && !(values = result(e, o->tensor, err))) return false;
            memcpy(a->outputs[j].values + (e->row_token[r] - (a->count - a->logits_from)) * columns,
                   values + i * columns, (size_t)columns * sizeof(float));
        }
    }
    return true;
}

static bool hidden_results(const QmEngine *e, QmAppend *entries, const StepRows *s, Err *err) {
    int64_t d = e->config.hidden;
    for (int layer = 0; layer < e->hidden_count; layer++) {
        const float *h = result(e, e->hidden[layer], err);
        if (!h) return false;
        for (int64_t r = 0; r < s->rows; r++) {
            QmAppend *a = &entries[e->row_entry[r]];
            if (a->hidden)
                memcpy(a->hidden + ((int64_t)layer * a->count + e->row_token[r]) * d, h + r * d,
                       (size_t)d * sizeof(float));
        }
    }
    return true;
}

static bool step_results(const QmEngine *e, QmAppend *entries, const StepRows *s, Err *err) {
    if (!best_results(e, entries, s, err) || !logits_results(e, entries, s, err)) return false;
    for (int i = 0; i < e->model.outputs.count; i++)
        if (!output_results(e, entries, s, &e->model.outputs.list[i], err)) return false;
    return hidden_results(e, entries, s, err);
}

/* Calls so far that would end a run of these entries. */
static unsigned stops(QmEngine *e, const QmAppend *entries, int count) {
    unsigned sum = atomic_load(&e->interrupts);
    for (int i = 0; i < count; i++) sum += atomic_load(&entries[i].session->cancels);
    return sum;
}

/* All steps of a call; `before` of the stops came before it, and were not for us. */
static bool steps_run(QmEngine *e, QmAppend *entries, int count, unsigned before, Err *err) {
    StepRows *s = e->backend->rows(e->state);
    for (Cursor at = {0};;) {
        step_fill(e, entries, count, &at, s);
        if (s->rows == 0) return true;
        if (stops(e, entries, count) != before) return err_as(err, QM_INTERRUPTED, "interrupted");
        lead_step(e);
        if (!e->backend->run(e->state, err)) return false;
        if (!step_results(e, entries, s, err)) return false;
    }
}

/* Room for the ids that the sessions will have. */
static bool ids_room(QmAppend *entries, int count, Err *err) {
    for (int i = 0; i < count; i++) {
        QmSession *s = entries[i].session;
        if (!mem_grow((void **)&s->ids, &s->room, (size_t)(s->length + entries[i].count), sizeof *s->ids,
                      "ids of a session", err))
            return false;
    }
    return true;
}

static void append(const QmAppend *a) {
    QmSession *s = a->session;
    s->rope_length = rope_length(a);
    for (int64_t t = 0; t < a->count; t++)
        s->ids[s->length + t] = a->positions && a->positions[t] != s->length + t ? -1 : a->tokens[t];
    s->length += a->count;
}

bool qm_forward(QmEngine *e, QmAppend *entries, int count, QmErr *err) {
    if (!entries_check(e, entries, count, err)) return false;
    unsigned before = stops(e, entries, count);
    engine_enter(e);
    const QmWatch *other = watch_use(e->watch);
    bool ok = ids_room(entries, count, err) && steps_run(e, entries, count, before, err);
    for (int i = 0; ok && i < count; i++) append(&entries[i]);
    watch_use(other);
    engine_leave(e);
    return ok;
}
