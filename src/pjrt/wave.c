/* wave.c: one execution of a compiled bucket, piece by piece, and what comes back. */
#include <stdlib.h>
#include <string.h>
#include "pjrt_state.h"

/* ---- Room -------------------------------------------------------------------------------------------------------- */

/* Every bucket has the results of the first, which was compiled at open. */
static bool wave_make(Pjrt *p, Err *err) {
    size_t results = (size_t)(p->own * p->programs.compiled[0].results);
    PjrtStep *of = &p->step;
    if (!mem_grow((void **)&of->waves, &of->wave_capacity, (size_t)of->wave_made + 1, sizeof *of->waves, "step", err))
        return false;
    Wave *w = &of->waves[of->wave_made++];
    *w = (Wave){.row = mem_new(p->step.wave_rows, sizeof *w->row, "step", err),
                .logit = mem_new(p->step.wave_logits, sizeof *w->logit, "step", err),
                .results = mem_new(results + 1, sizeof *w->results, "step", err)};
    return w->row && w->logit && w->results;
}

Wave *wave_new(Pjrt *p, int bucket, Err *err) {
    if (p->step.wave_count == p->step.wave_made && !wave_make(p, err)) return NULL;
    Wave *w = &p->step.waves[p->step.wave_count];
    if (!w->row || !w->logit || !w->results) { /* there was no memory for it once */
        err_as(err, QM_MEMORY, "out of memory: step");
        return NULL;
    }
    p->step.wave_count++;
    w->bucket = bucket;
    memset(w->row, -1, p->step.wave_rows * sizeof *w->row);
    memset(w->logit, -1, p->step.wave_logits * sizeof *w->logit);
    return w;
}

void waves_clear(Pjrt *p) {
    int results = p->own * p->programs.compiled[0].results;
    for (; p->step.wave_count; p->step.wave_count--) {
        PjrtBuffer **list = p->step.waves[p->step.wave_count - 1].results;
        for (int i = 0; i < results; i++) {
            pjrt_buffer_free(p->client, list[i]);
            list[i] = NULL;
        }
    }
}

void waves_free(Pjrt *p) {
    waves_clear(p);
    for (int i = 0; i < p->step.wave_made; i++) {
        free(p->step.waves[i].row);
        free(p->step.waves[i].logit);
        free(p->step.waves[i].results);
    }
    free(p->step.waves);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* States among a piece's results take the places of those it consumed. */
static void states_move(Pjrt *p, const Lower *l, PjrtBuffer **results) {
    for (int i = 0; i < l->result_count; i++) {
        if (l->results[i].role != ROLE_STATE) continue;
        for (int d = 0; d < p->own; d++) {
            PjrtBuffer **state = &p->placed.state[l->results[i].state * p->own + d],
                       **result = &results[d * l->result_count + i];
            pjrt_buffer_free(p->client, *state);
            *state = *result;
            *result = NULL;
        }
    }
}

/* Frees what pieces left for each other: the plugin keeps it until it is used. */
static void values_free(Pjrt *p, const Compiled *c, PjrtBuffer **results) {
    for (int piece = 0; piece < c->pieces; piece++) {
        const Lower *l = &c->piece[piece].lower;
        PjrtBuffer **of = results + p->own * c->piece[piece].first_result;
        for (int i = 0; i < p->own * l->result_count; i++) {
            if (l->results[i % l->result_count].role != ROLE_VALUE) continue;
            pjrt_buffer_free(p->client, of[i]);
            of[i] = NULL;
        }
    }
}

/* Whether a run has ended: on XLA CPU it waits for what its last piece leaves on each device (pieces.c says why). */
static bool ended(Pjrt *p, PjrtBuffer *const *out, int results, Err *err) {
    bool waits = !strcmp(pjrt_info(p->client)->platform, "cpu") && results > 0;
    for (int d = 0; waits && d < p->own; d++)
        if (!pjrt_wait(p->client, out[d * results], err)) return false;
    return true;
}

/* Runs the pieces one after another: each starts where its arguments are there. */
static bool execute(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, PjrtBuffer **results, Err *err) {
    bool ok = inputs_upload(p, c, w, copy, err);
    for (int i = 0; ok && i < c->pieces; i++) {
        Piece *piece = &c->piece[i];
        const Lower *l = &piece->lower;
        PjrtBuffer **out = results + p->own * piece->first_result;
        ok = arguments_fill(p, c, i, results, err);
        if (!ok) break;
        bool ran = pjrt_execute(p->client, piece->program, piece->arguments, l->argument_count, out, l->result_count,
                                err);
        ok = ran && (i + 1 < c->pieces || ended(p, out, l->result_count, err));
        p->step.lost = !ok;
        if (ran) states_move(p, l, out);
    }
    values_free(p, c, results);
    inputs_free(p, c);
    return ok;
}

bool wave_run(Pjrt *p, Wave *w, Err *err) {
    if (!pjrt_bucket(p, w->bucket, err)) return false;
    Compiled *c = &p->programs.compiled[w->bucket];
    if (c->results != p->programs.compiled[0].results)
        return err_as(err, QM_DEVICE, "expected programs of equal results, got %d and %d",
                      p->programs.compiled[0].results,
                      c->results);
    return execute(p, c, w, NULL, w->results, err);
}

/* Copies whole slots: what lies after `positions` is written before it is seen. */
bool pjrt_copy(void *backend, int from_slot, int to_slot, int64_t positions, Err *err) {
    Pjrt *p = backend;
    if (from_slot < 0 || to_slot < 0 || from_slot >= p->options.slots || to_slot >= p->options.slots || positions < 0 ||
        positions > p->options.context)
        return err_as(err, QM_DEVICE, "copy of %lld positions from slot %d to %d: expected at most %lld of %lld slots",
                      (long long)positions, from_slot, to_slot, (long long)p->options.context,
                      (long long)p->options.slots);
    if (p->step.lost) return err_as(err, QM_DEVICE, LOST);
    if (from_slot == to_slot || positions == 0) return true;
    if (!pjrt_copier(p, err)) return nodes_failed(p, err);
    size_t results = (size_t)(p->own * p->programs.copier.results);
    if (!p->step.copied) p->step.copied = mem_new(results + 1, sizeof *p->step.copied, "copy", err);
    const int32_t slots[] = {from_slot, to_slot};
    return (p->step.copied && execute(p, &p->programs.copier, NULL, slots, p->step.copied, err)) ||
           nodes_failed(p, err);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

/* Puts the local result of one device, in f32, where the host looks for it. */
static bool scatter_rows_out(const Pjrt *p, const Wave *w, const Node *n, const LowerArgument *r, int replica,
                             int device, const float *local, Err *err) {
    const int32_t *to = (shape_rows(&n->shape) == LOGIT_ROWS ? w->logit : w->row) + replica * r->dim[0];
    Segments columns = {0};
    if (n->shape.rank == 2 && !partition_segments(p->program->partition, n->shape.dim[1].letters, n->split, device,
                                                  &columns, err))
        return false;
    float *value = p->step.value[n - p->program->graph.nodes];
    for (int64_t i = 0; i < r->dim[0]; i++) {
        if (to[i] < 0) continue;
        const float *from = local + i * r->dim[1];
        if (n->shape.rank == 1) {
            Call c = {.node = n, .in = {from}, .pairs.devices = p->tp, .out = value + 2 * to[i], .row1 = 1};
            n->op->run(&c, 0, 1); /* of one row: the devices' pairs to the best of them */
        } else {
            for (int s = 0; s < columns.count; s++)
                memcpy(value + to[i] * n->shape.dim[1].size + columns.list[s].from, from + columns.list[s].to,
                       (size_t)columns.list[s].count * sizeof(float));
        }
    }
    free(columns.list);
    return true;
}

bool wave_asked(const Pjrt *p, const Wave *w, bool by_logit, int replica) {
    const Bucket *b = &p->programs.bucket[w->bucket];
    int64_t rows = by_logit ? b->logit_rows : b->slots * b->rows;
    for (int64_t i = 0; i < rows; i++)
        if ((by_logit ? w->logit : w->row)[replica * rows + i] >= 0) return true;
    return false;
}

const LowerArgument *wave_result(const Pjrt *p, const Wave *w, Result r) {
    return &p->programs.compiled[w->bucket].piece[r.piece].lower.results[r.at];
}

bool wave_download(Pjrt *p, const Wave *w, Result result, int device, Err *err) {
    const Piece *piece = &p->programs.compiled[w->bucket].piece[result.piece];
    const LowerArgument *r = wave_result(p, w, result);
    PjrtBuffer **of = w->results + p->own * piece->first_result;
    size_t bytes = (size_t)lower_argument_bytes(r), values = (size_t)(r->dim[0] * r->dim[1]);
    int owner = device / p->own, own = device - p->first;
    if (!work_room(p, values * sizeof(float), err) ||
        (owner == p->node &&
         !pjrt_download(p->client, of[own * piece->lower.result_count + result.at], p->step.work, bytes, err)))
        return false;
    nodes_home(p, owner, p->step.work, bytes);
    if (p->node) return true;
    float *local = p->step.work;
    if (r->type[0] == 'b')
        for (size_t i = values; i-- > 0;) local[i] = bf16_to_f32(((const uint16_t *)p->step.work)[i]);
    p->info.read_bytes += (int64_t)bytes;
    return true;
}

/* Which result of the bucket's pieces a kept node is. */
static bool result_of(const Compiled *c, int node, Result *out) {
    for (out->piece = 0; out->piece < c->pieces; out->piece++) {
        const Lower *l = &c->piece[out->piece].lower;
        for (out->at = 0; out->at < l->result_count; out->at++)
            if (l->results[out->at].role == ROLE_RESULT && l->results[out->at].node == node) return true;
    }
    return false;
}

static bool wave_read(Pjrt *p, const Wave *w, const Node *n, Err *err) {
    Result at;
    if (!result_of(&p->programs.compiled[w->bucket], (int)(n - p->program->graph.nodes), &at))
        return err_as(err, QM_DEVICE, "program has no result %s", n->name);
    const LowerArgument *r = wave_result(p, w, at);
    for (int replica = 0; replica < p->dp; replica++) {
        if (!wave_asked(p, w, shape_rows(&n->shape) == LOGIT_ROWS, replica)) continue;
        for (int d = 0; d < (n->split[0] && n->shape.rank == 2 ? p->tp : 1); d++) {
            if (!wave_download(p, w, at, replica * p->tp + d, err)) return false;
            if (p->node == 0 && !scatter_rows_out(p, w, n, r, replica, d, p->step.work, err)) return false;
        }
    }
    return true;
}

bool waves_read(Pjrt *p, const Node *n, Err *err) {
    int id = (int)(n - p->program->graph.nodes);
    size_t width = n->shape.rank == 1 ? 2 : (size_t)n->shape.dim[1].size;
    if (!p->step.value[id] && p->node == 0 &&
        !(p->step.value[id] = mem_new((size_t)p->options.rows * width, sizeof(float), n->name, err)))
        return nodes_failed(p, err);
    for (int i = 0; i < p->step.wave_count; i++)
        if (!wave_read(p, &p->step.waves[i], n, err)) {
            p->step.lost = true;
            return nodes_failed(p, err);
        }
    return true;
}
