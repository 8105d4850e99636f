/* wave.c: one execution of a compiled bucket: the step's rows as arguments, and what comes back. */
#include <stdlib.h>
#include <string.h>
#include "state.h"

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static bool work_room(Pjrt *p, size_t bytes, Err *err) {
    return mem_grow(&p->work, &p->work_capacity, bytes, 1, "step", err);
}

/* Every bucket has the results of the first, which was compiled at open. */
static bool wave_make(Pjrt *p, Err *err) {
    size_t results = (size_t)(p->own * p->compiled[0].lower.result_count);
    if (!mem_grow((void **)&p->waves, &p->wave_capacity, (size_t)p->wave_made + 1, sizeof *p->waves, "step", err))
        return false;
    Wave *w = &p->waves[p->wave_made++];
    *w = (Wave){.row = mem_new(p->wave_rows, sizeof *w->row, "step", err),
                .logit = mem_new(p->wave_logits, sizeof *w->logit, "step", err),
                .results = mem_new(results + 1, sizeof *w->results, "step", err)};
    return w->row && w->logit && w->results;
}

Wave *wave_new(Pjrt *p, int bucket, Err *err) {
    if (p->wave_count == p->wave_made && !wave_make(p, err)) return NULL;
    Wave *w = &p->waves[p->wave_count];
    if (!w->row || !w->logit || !w->results) { /* there was no memory for it once */
        err_set(err, "out of memory: step");
        return NULL;
    }
    p->wave_count++;
    w->bucket = bucket;
    memset(w->row, -1, p->wave_rows * sizeof *w->row);
    memset(w->logit, -1, p->wave_logits * sizeof *w->logit);
    return w;
}

void waves_clear(Pjrt *p) {
    int results = p->own * p->compiled[0].lower.result_count;
    for (; p->wave_count; p->wave_count--) {
        PjrtBuffer **list = p->waves[p->wave_count - 1].results;
        for (int i = 0; i < results; i++) {
            pjrt_buffer_free(p->client, list[i]);
            list[i] = NULL;
        }
    }
}

void waves_free(Pjrt *p) {
    waves_clear(p);
    for (int i = 0; i < p->wave_made; i++) {
        free(p->waves[i].row);
        free(p->waves[i].logit);
        free(p->waves[i].results);
    }
    free(p->waves);
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

/* The rows of a replica as the argument wants them, into work. */
static bool step_value(const Pjrt *p, const Wave *w, const LowerArgument *a, int replica, void *work, Err *err) {
    const Bucket *b = &p->bucket[w->bucket];
    const StepRows *s = &p->step;
    int64_t rows = b->slots * b->rows;
    const int32_t *row = w->row + replica * rows, *logit = w->logit + replica * b->logit_rows;
    int32_t *out = work;
    memset(work, 0, (size_t)lower_argument_bytes(a));
    if (!strcmp(a->name, "tokens")) {
        for (int64_t i = 0; i < rows; i++) out[i] = row[i] < 0 ? 0 : s->token[row[i]];
    } else if (!strcmp(a->name, "index")) {
        for (int64_t i = 0; i < rows; i++) out[i] = row[i] < 0 ? (int32_t)p->positions - 1 : (int32_t)s->index[row[i]];
    } else if (!strcmp(a->name, "slot")) {
        out[0] = row[0] < 0 ? 0 : s->slot[row[0]] / p->dp;
    } else if (!strcmp(a->name, "logit_rows")) {
        for (int64_t i = 0; i < rows; i++)
            if (row[i] >= 0 && logit[0] >= 0 && p->row_logit[row[i]] == logit[0]) out[0] = (int32_t)i;
    } else if (a->node && p->host[a->node]) {
        int64_t width = a->dim[1];
        for (int64_t i = 0; i < rows; i++) {
            const float *from = row[i] < 0 ? NULL : p->host[a->node] + row[i] * width;
            for (int64_t c = 0; from && c < width; c++) {
                if (a->type[0] == 'b') ((uint16_t *)work)[i * width + c] = f32_to_bf16(from[c]);
                else ((float *)work)[i * width + c] = from[c];
            }
        }
    } else return err_set(err, "program argument %s: nothing to feed it", a->name);
    return true;
}

/* The slot of a copy within its replica, or -1: it is another replica's. */
static void copy_value(const Pjrt *p, const int32_t *copy, const LowerArgument *a, int replica, int32_t *out) {
    int32_t slot = copy[strcmp(a->name, "from") != 0];
    out[0] = slot % p->dp == replica ? slot / p->dp : -1;
}

/* The placed weight of a name; NULL: none. */
static PjrtBuffer **weight_named(const Pjrt *p, const char *name) {
    for (int i = 0; i < p->weight_count; i++)
        if (!strcmp(p->weights[i].name, name)) return p->weights[i].buffer;
    return NULL;
}

/* The lists of arguments of a bucket, with what never changes in its place. */
static bool arguments_new(Pjrt *p, Compiled *c, Err *err) {
    const Lower *l = &c->lower;
    size_t count = (size_t)l->argument_count;
    PjrtBuffer **list = mem_new((size_t)p->own * count + 1, sizeof *list, "arguments", err);
    for (size_t i = 0; list && i < count; i++) {
        const LowerArgument *a = &l->arguments[i];
        PjrtBuffer **from = a->role == ROLE_WEIGHT ? weight_named(p, a->name) : a->role == ROLE_SHARD ? p->shard : NULL;
        if (a->role == ROLE_WEIGHT && !from) {
            free(list);
            return err_set(err, "program argument %s: no such weight was placed", a->name);
        }
        for (size_t d = 0; from && d < (size_t)p->own; d++) list[d * count + i] = from[d];
    }
    c->arguments = list;
    return list != NULL;
}

/* Uploads what the step gives, argument i; its buffers are freed by step_free. w NULL: copy is the slots to copy. */
static bool step_upload(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, int i, Err *err) {
    const LowerArgument *a = &c->lower.arguments[i];
    if (!work_room(p, (size_t)lower_argument_bytes(a), err)) return false;
    for (int d = 0; d < p->own; d++) {
        PjrtBuffer **to = &c->arguments[d * c->lower.argument_count + i];
        int device = mesh_device(p, d), replica = device / p->tp;
        if (!w) copy_value(p, copy, a, replica, p->work);
        else if ((d == 0 || device % p->tp == 0) && !step_value(p, w, a, replica, p->work, err)) return false;
        *to = pjrt_upload(p->client, d, pjrt_type_of(a->type), a->dim, a->rank, p->work, err);
        if (!*to) return false;
    }
    return true;
}

static bool arguments_fill(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, Err *err) {
    const Lower *l = &c->lower;
    if (!c->arguments && !arguments_new(p, c, err)) return false;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        if (a->role == ROLE_STEP && !step_upload(p, c, w, copy, i, err)) return false;
        for (int d = 0; a->role == ROLE_CACHE && d < p->own; d++)
            c->arguments[d * l->argument_count + i] = p->cache[a->cache * p->own + d];
    }
    return true;
}

static void step_free(Pjrt *p, Compiled *c) {
    const Lower *l = &c->lower;
    for (int i = 0; c->arguments && i < l->argument_count; i++)
        for (int d = 0; l->arguments[i].role == ROLE_STEP && d < p->own; d++) {
            PjrtBuffer **at = &c->arguments[d * l->argument_count + i];
            pjrt_buffer_free(p->client, *at);
            *at = NULL;
        }
}

/* Caches of the results take the places of those the program consumed. */
static void caches_move(Pjrt *p, const Lower *l, PjrtBuffer **results) {
    for (int i = 0; i < l->result_count; i++) {
        if (l->results[i].role != ROLE_CACHE) continue;
        for (int d = 0; d < p->own; d++) {
            PjrtBuffer **cache = &p->cache[l->results[i].cache * p->own + d],
                       **result = &results[d * l->result_count + i];
            pjrt_buffer_free(p->client, *cache);
            *cache = *result;
            *result = NULL;
        }
    }
}

static bool execute(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, PjrtBuffer **results, Err *err) {
    const Lower *l = &c->lower;
    bool ok = arguments_fill(p, c, w, copy, err);
    if (ok) {
        ok = pjrt_execute(p->client, c->program, c->arguments, l->argument_count, results, l->result_count, err);
        p->lost = !ok;
        if (ok) caches_move(p, l, results);
    }
    step_free(p, c);
    return ok;
}

bool wave_run(Pjrt *p, Wave *w, Err *err) {
    if (!pjrt_bucket(p, w->bucket, err)) return false;
    Compiled *c = &p->compiled[w->bucket];
    if (c->lower.result_count != p->compiled[0].lower.result_count)
        return err_set(err, "expected programs of equal results, got %d and %d", p->compiled[0].lower.result_count,
                       c->lower.result_count);
    return execute(p, c, w, NULL, w->results, err);
}

/* Copies whole slots: what lies after `positions` is written before it is seen. */
bool pjrt_copy(void *backend, int from_slot, int to_slot, int64_t positions, Err *err) {
    Pjrt *p = backend;
    if (from_slot < 0 || to_slot < 0 || from_slot >= p->options.slots || to_slot >= p->options.slots || positions < 0 ||
        positions > p->options.context)
        return err_set(err, "copy of %lld positions from slot %d to %d: expected at most %lld of %lld slots",
                       (long long)positions, from_slot, to_slot, (long long)p->options.context,
                       (long long)p->options.slots);
    if (p->lost) return err_set(err, LOST);
    if (from_slot == to_slot || positions == 0) return true;
    if (!pjrt_copier(p, err)) return nodes_failed(p, err);
    size_t results = (size_t)(p->own * p->copier.lower.result_count);
    if (!p->copied) p->copied = mem_new(results + 1, sizeof *p->copied, "copy", err);
    return (p->copied && execute(p, &p->copier, NULL, (int32_t[]){from_slot, to_slot}, p->copied, err)) ||
           nodes_failed(p, err);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

/* Puts the local result of one device, in f32, where the host looks for it. */
static void scatter_rows_out(const Pjrt *p, const Wave *w, const Node *n, const LowerArgument *r, int replica,
                             int device, const float *local) {
    bool by_logit = n->shape.dim[0].letters[0] == 'r';
    const int32_t *to = (by_logit ? w->logit : w->row) + replica * r->dim[0];
    float *value = p->value[n - p->program->graph.nodes];
    for (int64_t i = 0; i < r->dim[0]; i++) {
        if (to[i] < 0) continue;
        const float *from = local + i * r->dim[1];
        if (n->shape.rank == 1) {
            Call c = {.node = n, .in = {from}, .devices = p->tp, .out = value + 2 * to[i], .row1 = 1};
            n->op->reference(&c, 0, 1); /* of one row: the devices' pairs to the best of them */
        } else {
            int64_t width = n->shape.dim[1].size;
            Range v = p->program->partition->device[device].vocab;
            if (!n->split[0]) v = (Range){0, width};
            memcpy(value + to[i] * width + v.first, from, (size_t)(v.last - v.first) * sizeof(float));
        }
    }
}

bool wave_asked(const Pjrt *p, const Wave *w, bool by_logit, int replica) {
    const Bucket *b = &p->bucket[w->bucket];
    int64_t rows = by_logit ? b->logit_rows : b->slots * b->rows;
    for (int64_t i = 0; i < rows; i++)
        if ((by_logit ? w->logit : w->row)[replica * rows + i] >= 0) return true;
    return false;
}

bool wave_download(Pjrt *p, const Wave *w, int at, int device, Err *err) {
    const Lower *l = &p->compiled[w->bucket].lower;
    const LowerArgument *r = &l->results[at];
    size_t bytes = (size_t)lower_argument_bytes(r), values = (size_t)(r->dim[0] * r->dim[1]);
    int owner = device / p->own, own = device - p->first;
    if (!work_room(p, values * sizeof(float), err) ||
        (owner == p->node &&
         !pjrt_download(p->client, w->results[own * l->result_count + at], p->work, bytes, err)))
        return false;
    nodes_home(p, owner, p->work, bytes);
    if (p->node) return true;
    float *local = p->work;
    if (r->type[0] == 'b')
        for (size_t i = values; i-- > 0;) local[i] = bf16_to_f32(((const uint16_t *)p->work)[i]);
    p->info.read_bytes += (int64_t)bytes;
    return true;
}

static bool wave_read(Pjrt *p, const Wave *w, const Node *n, Err *err) {
    const Lower *l = &p->compiled[w->bucket].lower;
    int at = 0, id = (int)(n - p->program->graph.nodes);
    while (at < l->result_count && l->results[at].node != id) at++;
    if (at == l->result_count) return err_set(err, "program has no result %s", n->name);
    const LowerArgument *r = &l->results[at];
    for (int replica = 0; replica < p->dp; replica++) {
        if (!wave_asked(p, w, n->shape.dim[0].letters[0] == 'r', replica)) continue;
        for (int d = 0; d < (n->split[0] && n->shape.rank == 2 ? p->tp : 1); d++) {
            if (!wave_download(p, w, at, replica * p->tp + d, err)) return false;
            if (p->node == 0) scatter_rows_out(p, w, n, r, replica, d, p->work);
        }
    }
    return true;
}

bool waves_read(Pjrt *p, const Node *n, Err *err) {
    int id = (int)(n - p->program->graph.nodes);
    size_t width = n->shape.rank == 1 ? 2 : (size_t)n->shape.dim[1].size;
    if (!p->value[id] && p->node == 0 &&
        !(p->value[id] = mem_new((size_t)p->options.rows * width, sizeof(float), n->name, err)))
        return nodes_failed(p, err);
    for (int i = 0; i < p->wave_count; i++)
        if (!wave_read(p, &p->waves[i], n, err)) {
            p->lost = true;
            return nodes_failed(p, err);
        }
    return true;
}
