/* inputs.c: the arguments of a bucket's pieces: what the host gives for a step, uploaded once for all pieces; weights,
 * caches, and values of earlier pieces. */
#include <stdlib.h>
#include <string.h>
#include "pjrt_state.h"

bool work_room(Pjrt *p, size_t bytes, Err *err) {
    return mem_grow(&p->step.work, &p->step.work_capacity, bytes, 1, "step", err);
}

/* ---- Of the step ------------------------------------------------------------------------------------------------- */

/* Whether the host computes the argument for every step. */
static bool from_host(const Pjrt *p, const LowerArgument *a) {
    return a->role == ROLE_STEP || (a->role == ROLE_VALUE && p->step.host[a->node]);
}

/* The rows of a replica as the argument wants them, into work. */
static bool step_value(const Pjrt *p, const void *wave, const LowerArgument *a, int replica, void *work, Err *err) {
    const Wave *w = wave;
    const Bucket *b = &p->programs.bucket[w->bucket];
    const StepRows *s = &p->step.given;
    int64_t rows = b->slots * b->rows;
    const int32_t *row = w->row + replica * rows, *logit = w->logit + replica * b->logit_rows;
    int32_t *out = work;
    memset(work, 0, (size_t)lower_argument_bytes(a));
    if (!strcmp(a->name, "index")) {
        for (int64_t i = 0; i < rows; i++) out[i] = row[i] < 0 ? (int32_t)p->positions - 1 : (int32_t)s->index[row[i]];
    } else if (!strcmp(a->name, "slot")) {
        out[0] = row[0] < 0 ? 0 : s->slot[row[0]] / p->dp;
    } else if (!strcmp(a->name, "logit_rows")) {
        for (int64_t i = 0; i < rows; i++)
            if (row[i] >= 0 && logit[0] >= 0 && p->step.row_logit[row[i]] == logit[0]) out[0] = (int32_t)i;
    } else if (a->node && p->step.host[a->node]) {
        int64_t width = a->dim[1];
        for (int64_t i = 0; i < rows; i++) {
            const float *from = row[i] < 0 ? NULL : p->step.host[a->node] + row[i] * width;
            for (int64_t c = 0; from && c < width; c++) {
                if (a->type[0] == 'b') ((uint16_t *)work)[i * width + c] = f32_to_bf16(from[c]);
                else ((float *)work)[i * width + c] = from[c];
            }
        }
    } else if (step_input(s, a->name)) {
        for (int64_t i = 0; i < rows; i++) out[i] = row[i] < 0 ? 0 : step_input(s, a->name)[row[i]];
    } else return err_as(err, QM_INTERNAL, "program argument %s: nothing to feed it", a->name);
    return true;
}

/* The slot of a copy within its replica, or -1: it is another replica's. */
static bool copy_value(const Pjrt *p, const void *copy, const LowerArgument *a, int replica, void *work, Err *err) {
    int32_t slot = ((const int32_t *)copy)[strcmp(a->name, "from") != 0], *out = work;
    (void)err;
    out[0] = slot % p->dp == replica ? slot / p->dp : -1;
    return true;
}

/* Pieces name what the host computes each in its own way. */
static bool same_input(const Pjrt *p, const LowerArgument *a, const LowerArgument *b) {
    bool computed = a->node && p->step.host[a->node];
    return computed ? a->node == b->node : !strcmp(a->name, b->name);
}

static StepInput *input_find(const Pjrt *p, const Compiled *c, const LowerArgument *a) {
    for (int i = 0; i < c->inputs; i++)
        if (same_input(p, a, c->input[i].argument)) return &c->input[i];
    return NULL;
}

/* What the pieces take from the host, at the first run. */
static bool inputs_new(Pjrt *p, Compiled *c, Err *err) {
    for (int i = 0; i < c->pieces; i++) {
        const Lower *l = &c->piece[i].lower;
        for (int j = 0; j < l->argument_count; j++) {
            const LowerArgument *a = &l->arguments[j];
            if (!from_host(p, a) || input_find(p, c, a)) continue;
            if (!mem_grow((void **)&c->input, &c->input_capacity, (size_t)c->inputs + 1, sizeof *c->input, "arguments",
                          err))
                return false;
            StepInput in = {a, mem_new((size_t)p->own, sizeof *in.buffer, "arguments", err)};
            if (!in.buffer) return false;
            c->input[c->inputs++] = in;
        }
    }
    return true;
}

bool inputs_give(Pjrt *p, Compiled *c, InputFill *fill, const void *of, Err *err) {
    if (!c->inputs && !inputs_new(p, c, err)) return false;
    for (int i = 0; i < c->inputs; i++) {
        const LowerArgument *a = c->input[i].argument;
        if (!work_room(p, (size_t)lower_argument_bytes(a), err)) return false;
        for (int d = 0; d < p->own; d++) {
            PjrtBuffer **to = &c->input[i].buffer[d];
            int device = mesh_device(p, d), replica = device / p->tp;
            if ((d == 0 || device % p->tp == 0) && !fill(p, of, a, replica, p->step.work, err)) return false;
            *to = pjrt_upload(p->client, d, pjrt_type_of(a->type), a->dim, a->rank, p->step.work, err);
            if (!*to) return false;
        }
    }
    return true;
}

bool inputs_upload(Pjrt *p, Compiled *c, const Wave *w, const int32_t *copy, Err *err) {
    return w ? inputs_give(p, c, step_value, w, err) : inputs_give(p, c, copy_value, copy, err);
}

void inputs_free(Pjrt *p, Compiled *c) {
    for (int i = 0; i < c->inputs; i++)
        for (int d = 0; d < p->own; d++) {
            pjrt_buffer_free(p->client, c->input[i].buffer[d]);
            c->input[i].buffer[d] = NULL;
        }
}

/* ---- Of a piece -------------------------------------------------------------------------------------------------- */

/* The placed weight; NULL: none. */
static PjrtBuffer **weight_placed(const Pjrt *p, const LowerArgument *a) {
    for (int i = 0; i < p->placed.weight_count; i++) {
        const Placed *w = &p->placed.weights[i];
        if (w->node == a->node && !strcmp(w->split, a->weight_split)) return w->buffer;
    }
    return NULL;
}

/* The lists of arguments of a piece, with what never changes in its place. */
static bool arguments_new(Pjrt *p, Piece *piece, Err *err) {
    const Lower *l = &piece->lower;
    size_t count = (size_t)l->argument_count;
    PjrtBuffer **list = mem_new((size_t)p->own * count + 1, sizeof *list, "arguments", err);
    for (size_t i = 0; list && i < count; i++) {
        const LowerArgument *a = &l->arguments[i];
        PjrtBuffer **from = NULL;
        if (a->role == ROLE_WEIGHT) from = weight_placed(p, a);
        if (a->role == ROLE_SHARD) from = p->placed.shard;
        if (a->role == ROLE_WEIGHT && !from) {
            free(list);
            return err_as(err, QM_INTERNAL, "program argument %s: no such weight was placed", a->name);
        }
        for (size_t d = 0; from && d < (size_t)p->own; d++) list[d * count + i] = from[d];
    }
    piece->arguments = list;
    return list != NULL;
}

/* What an earlier piece left for this one: its buffer on device 0; *stride to the next device's. */
static PjrtBuffer *const *value_of(const Pjrt *p, const Compiled *c, int piece, int node, PjrtBuffer *const *results,
                                   int *stride) {
    while (piece-- > 0) {
        const Lower *l = &c->piece[piece].lower;
        *stride = l->result_count;
        for (int i = 0; i < l->result_count; i++)
            if (l->results[i].role == ROLE_VALUE && l->results[i].node == node)
                return results + p->own * c->piece[piece].first_result + i;
    }
    return NULL;
}

bool arguments_fill(Pjrt *p, Compiled *c, int piece, PjrtBuffer *const *results, Err *err) {
    Piece *of = &c->piece[piece];
    const Lower *l = &of->lower;
    if (!of->arguments && !arguments_new(p, of, err)) return false;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        PjrtBuffer *const *from = NULL;
        int stride = 1;
        if (from_host(p, a)) from = input_find(p, c, a)->buffer;
        else if (a->role == ROLE_STATE) from = p->placed.state + a->state * p->own;
        else if (a->role == ROLE_VALUE && p->stages.value) from = p->stages.value + a->node * p->own;
        else if (a->role == ROLE_VALUE) from = value_of(p, c, piece, a->node, results, &stride);
        else continue;
        if (!from) return err_as(err, QM_INTERNAL, "program argument %s: no earlier piece gives it", a->name);
        for (int d = 0; d < p->own; d++) of->arguments[d * l->argument_count + i] = from[d * stride];
    }
    return true;
}
