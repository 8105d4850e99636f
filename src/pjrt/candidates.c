/* candidates.c: the largest logits of a row, joined from what each device tells of its shard of the vocabulary. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pjrt_state.h"

static const float padding = -2.9e38f; /* above what argmax's lowering puts after a shard's end, rounded or not */

/* The last piece has them. */
static int candidates_at(const Lower *l) {
    int at = 0;
    while (at < l->result_count && strcmp(l->results[at].name, LOWER_CANDIDATES)) at++;
    return at;
}

/* What the devices of a wave tell, to the rows of the step. */
static bool wave_candidates(Pjrt *p, const Wave *w, Err *err) {
    const Compiled *c = &p->programs.compiled[w->bucket];
    const Lower *l = &c->piece[c->pieces - 1].lower;
    const Result result = {c->pieces - 1, candidates_at(l)};
    if (result.at == l->result_count) return err_as(err, QM_DEVICE, "program has no result " LOWER_CANDIDATES);
    const LowerArgument *r = wave_result(p, w, result);
    if (!p->top.row && p->node == 0) {
        p->top.width = r->dim[1];
        p->top.row = mem_new((size_t)p->options.rows * (size_t)(p->tp * r->dim[1]), sizeof(float), "candidates", err);
        if (!p->top.row) return false;
    }
    for (int device = 0; device < p->devices; device++) {
        int replica = device / p->tp;
        if (!wave_asked(p, w, true, replica)) continue;
        if (!wave_download(p, w, result, device, err)) return false;
        const int32_t *to = w->logit + replica * r->dim[0];
        for (int64_t i = 0; p->node == 0 && i < r->dim[0]; i++)
            if (to[i] >= 0)
                memcpy(p->top.row + (to[i] * p->tp + device % p->tp) * r->dim[1],
                       (const float *)p->step.work + i * r->dim[1], (size_t)r->dim[1] * sizeof(float));
    }
    return true;
}

/* Puts a device's candidates into the row. Returns the largest that a logit of its shard not among them can be. */
static float join(const Pjrt *p, const float *list, Range shard, float *out, Err *err) {
    int64_t k = p->top.width / 2;
    float least = INFINITY;
    for (int64_t i = 0; i < k; i++) {
        if (list[i] != list[i]) return INFINITY;
        if (list[i] < least) least = list[i];
        if (list[i] <= padding) continue;
        float id = list[k + i];
        if (!(id >= (float)shard.first && id < (float)shard.last)) {
            err_as(err, QM_DEVICE, "candidates: expected an id from %lld to %lld, got %g", (long long)shard.first,
                   (long long)shard.last - 1, (double)id);
            return INFINITY;
        }
        out[(int64_t)id] = list[i];
    }
    return shard.last - shard.first <= k ? -INFINITY : least;
}

bool pjrt_candidates(void *backend, int64_t logit_row, float *out, float *floor, Err *err) {
    Pjrt *p = backend;
    for (int i = 0; i < p->step.wave_count && !p->top.read; i++)
        if (!wave_candidates(p, &p->step.waves[i], err)) {
            p->step.lost = true;
            return nodes_failed(p, err);
        }
    p->top.read = true;
    if (p->node) return true;
    int64_t vocab = graph_size(&p->program->graph, AXIS_VOCAB);
    for (int64_t i = 0; i < vocab; i++) out[i] = -INFINITY;
    *floor = -INFINITY;
    for (int d = 0; d < p->tp; d++) {
        const float *list = p->top.row + (logit_row * p->tp + d) * p->top.width;
        float least = join(p, list, partition_range(p->program->partition, AXIS_VOCAB, d), out, err);
        if (least > *floor) *floor = least;
    }
    return !err->kind;
}
