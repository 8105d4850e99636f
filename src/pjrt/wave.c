/* wave.c: one execution of a compiled bucket: the step's rows as arguments, and what comes back. */
#include <stdlib.h>
#include <string.h>
#include "state.h"

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

/* Finds the weights that a bucket's arguments name, once: a step only looks numbers up. */
static bool weights_bind(const Pjrt *p, Compiled *c, Err *err) {
    if (c->weight) return true;
    int *found = mem_new((size_t)c->lower.argument_count, sizeof *found, "arguments", err);
    for (int i = 0; found && i < c->lower.argument_count; i++) {
        const LowerArgument *a = &c->lower.arguments[i];
        while (a->role == ROLE_WEIGHT && found[i] < p->weight_count && strcmp(p->weights[found[i]].name, a->name))
            found[i]++;
        if (a->role != ROLE_WEIGHT || found[i] < p->weight_count) continue;
        free(found);
        return err_set(err, "program argument %s: no such weight was placed", a->name);
    }
    c->weight = found;
    return found != NULL;
}

static bool arguments_fill(Pjrt *p, const Wave *w, PjrtBuffer **list, Err *err) {
    Compiled *compiled = &p->compiled[w->bucket];
    const Lower *l = &compiled->lower;
    if (!weights_bind(p, compiled, err)) return false;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        void *work = a->role == ROLE_STEP ? mem_new(1, (size_t)lower_argument_bytes(a), "step", err) : NULL;
        bool ok = a->role != ROLE_STEP || work;
        for (int d = 0; ok && d < p->devices; d++) {
            PjrtBuffer **to = &list[d * l->argument_count + i];
            if (a->role == ROLE_STEP) {
                if (d % p->tp == 0) ok = step_value(p, w, a, d / p->tp, work, err);
                if (ok) *to = pjrt_upload(p->client, d, pjrt_type_of(a->type), a->dim, a->rank, work, err);
                ok = *to != NULL;
            } else {
                *to = a->role == ROLE_SHARD ? p->shard[d] : a->role == ROLE_CACHE ? p->cache[a->cache * p->devices + d]
                                                          : p->weights[compiled->weight[i]].buffer[d];
            }
        }
        free(work);
        if (!ok) return false;
    }
    return true;
}

/* Caches of the results take the places of those the program consumed. */
static void caches_move(Pjrt *p, Wave *w) {
    const Lower *l = &p->compiled[w->bucket].lower;
    for (int i = 0; i < l->result_count; i++) {
        if (l->results[i].role != ROLE_CACHE) continue;
        for (int d = 0; d < p->devices; d++) {
            PjrtBuffer **cache = &p->cache[l->results[i].cache * p->devices + d],
                       **result = &w->results[d * l->result_count + i];
            pjrt_buffer_free(p->client, *cache);
            *cache = *result;
            *result = NULL;
        }
    }
}

bool wave_run(Pjrt *p, Wave *w, Err *err) {
    if (!pjrt_bucket(p, w->bucket, err)) return false;
    const Lower *l = &p->compiled[w->bucket].lower;
    PjrtBuffer **list = mem_new((size_t)(p->devices * l->argument_count), sizeof *list, "arguments", err);
    w->results = mem_new((size_t)(p->devices * l->result_count), sizeof *w->results, "results", err);
    bool ok = list && w->results && arguments_fill(p, w, list, err);
    if (ok) {
        ok = pjrt_execute(p->client, p->compiled[w->bucket].program, list, l->argument_count, w->results,
                          l->result_count, err);
        p->lost = !ok;
        if (ok) caches_move(p, w);
    }
    for (int i = 0; list && i < l->argument_count; i++)
        for (int d = 0; l->arguments[i].role == ROLE_STEP && d < p->devices; d++)
            pjrt_buffer_free(p->client, list[d * l->argument_count + i]);
    free(list);
    return ok;
}

void wave_free(Pjrt *p, Wave *w) {
    int results = p->compiled[w->bucket].lower.result_count;
    for (int i = 0; w->results && i < results * p->devices; i++) pjrt_buffer_free(p->client, w->results[i]);
    free(w->results);
    free(w->row);
    free(w->logit);
    *w = (Wave){0};
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

static bool asked(const Wave *w, const Bucket *b, const Node *n, int replica) {
    bool by_logit = n->shape.dim[0].letters[0] == 'r';
    int64_t rows = by_logit ? b->logit_rows : b->slots * b->rows;
    for (int64_t i = 0; i < rows; i++)
        if ((by_logit ? w->logit : w->row)[replica * rows + i] >= 0) return true;
    return false;
}

static bool wave_read(Pjrt *p, const Wave *w, const Node *n, Err *err) {
    const Lower *l = &p->compiled[w->bucket].lower;
    int at = 0, id = (int)(n - p->program->graph.nodes);
    while (at < l->result_count && l->results[at].node != id) at++;
    if (at == l->result_count) return err_set(err, "program has no result %s", n->name);
    const LowerArgument *r = &l->results[at];
    size_t bytes = (size_t)lower_argument_bytes(r), values = (size_t)(r->dim[0] * r->dim[1]);
    float *local = mem_new(values, sizeof *local, "results", err);
    bool ok = local != NULL;
    for (int replica = 0; ok && replica < p->dp; replica++) {
        if (!asked(w, &p->bucket[w->bucket], n, replica)) continue;
        for (int d = 0; ok && d < (n->split[0] && n->shape.rank == 2 ? p->tp : 1); d++) {
            int device = replica * p->tp + d;
            ok = pjrt_download(p->client, w->results[device * l->result_count + at], local, bytes, err);
            if (ok && r->type[0] == 'b')
                for (size_t i = values; i-- > 0;) local[i] = bf16_to_f32(((const uint16_t *)local)[i]);
            if (ok) scatter_rows_out(p, w, n, r, replica, d, local);
        }
    }
    free(local);
    return ok;
}

bool waves_read(Pjrt *p, const Node *n, Err *err) {
    int id = (int)(n - p->program->graph.nodes);
    size_t width = n->shape.rank == 1 ? 2 : (size_t)n->shape.dim[1].size;
    if (!p->value[id]) p->value[id] = mem_new((size_t)p->options.rows * width, sizeof(float), n->name, err);
    if (!p->value[id]) return false;
    for (int i = 0; i < p->wave_count; i++)
        if (!wave_read(p, &p->waves[i], n, err)) {
            p->lost = true;
            return false;
        }
    return true;
}
