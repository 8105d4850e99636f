/* stage_states.c: states of a model that trains, which stay on the devices: trained weights, moments, averages, sums. */
#include <stdlib.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "uniform_shards.h"
#include "pjrt_state.h"

static PjrtBuffer **state_buffer(Pjrt *p, int state, int device) { return &p->placed.state[state * p->own + device]; }

/* The same for all devices of a replica where `of` is NULL: zeros. Else `of` writes each one's part. */
typedef bool PartFill(const Pjrt *p, const LowerArgument *a, const void *of, int device, float *out, Err *err);

/* Puts new values in the place of a state: `fill` writes the part of each device of a replica into zeros; NULL: leaves
 * them. */
static bool state_put(Pjrt *p, const LowerArgument *a, PartFill *fill, const void *of, Err *err) {
    size_t bytes = (size_t)lower_argument_bytes(a);
    if (!work_room(p, bytes, err)) return false;
    for (int i = 0; i < p->own; i++) { /* a part, for all replicas, then the next */
        int device = i / p->dp, own = i % p->dp * p->tp + device;
        if (i % p->dp == 0) {
            memset(p->step.work, 0, bytes);
            if (fill && !fill(p, a, of, device, p->step.work, err)) return false;
        }
        PjrtBuffer **to = state_buffer(p, a->state, own),
                   *made = pjrt_upload(p->client, own, PJRT_F32, a->dim, a->rank, p->step.work, err);
        if (!made) return err_prefix(err, "placing %s", p->program->graph.nodes[a->node].name), false;
        pjrt_buffer_free(p->client, *to);
        *to = made;
    }
    return true;
}

static bool part_of_file(const Pjrt *p, const LowerArgument *a, const void *of, int device, float *out, Err *err) {
    return shard_fill(p->program, a, of, device, out, err);
}

/* ---- At opening -------------------------------------------------------------------------------------------------- */

bool stage_states_new(Pjrt *p, Err *err) {
    for (int state = 0; state < p->placed.states; state++) {
        const LowerArgument *a = &p->stages.state[state];
        const Node *n = &p->program->graph.nodes[a->node];
        if (!a->rank || n->type == TYPE_SUM || shape_rows(&n->shape) != NO_ROWS) continue; /* they begin with a step */
        const WeightTensor *t = n->kind == NODE_WEIGHT ? p->placed.tensor[a->node] : NULL;
        if (!state_put(p, a, t ? part_of_file : NULL, t, err)) return false;
        *(t ? &p->info.weight_bytes : &p->info.cache_bytes) += p->own * lower_argument_bytes(a);
    }
    return true;
}

bool stage_sums_new(Pjrt *p, const Lower *l, Err *err) {
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        if (a->role == ROLE_STATE && !*state_buffer(p, a->state, 0) && !state_put(p, a, NULL, NULL, err)) return false;
    }
    return true;
}

/* ---- Whole tensors, row-major ------------------------------------------------------------------------------------ */

/* Copies between a device's part of a tensor and the whole: `in`: to the part. */
static bool part_copy(const Pjrt *p, const Shape *shape, const char *split, const LowerArgument *a, int device,
                      float *part, float *whole, bool in, Err *err) {
    Segments rows = {0}, columns = {0};
    int last = shape->rank - 1;
    int64_t width = a->dim[last], all = shape->dim[last].size;
    Segment one = {0, 0, 1};
    bool ok = partition_segments(p->program->partition, shape->dim[last].letters, split, device, &columns, err) &&
              (!last || partition_segments(p->program->partition, shape->dim[0].letters, split, device, &rows, err));
    const Segment *outer = last ? rows.list : &one;
    for (int r = 0; ok && r < (last ? rows.count : 1); r++)
        for (int64_t i = 0; i < outer[r].count; i++)
            for (int c = 0; c < columns.count; c++) {
                float *local = part + (outer[r].to + i) * width + columns.list[c].to,
                      *there = whole + (outer[r].from + i) * all + columns.list[c].from;
                memcpy(in ? local : there, in ? there : local, (size_t)columns.list[c].count * sizeof *local);
            }
    free(rows.list);
    free(columns.list);
    return ok;
}

static bool part_of_whole(const Pjrt *p, const LowerArgument *a, const void *of, int device, float *out, Err *err) {
    return part_copy(p, &p->program->graph.nodes[a->node].shape, a->weight_split, a, device, out,
                     (float *)(uintptr_t)of, true, err);
}

/* The state that a tensor is, as programs take it; NULL on error. */
static const LowerArgument *state_of(const Pjrt *p, Tensor t, Err *err) {
    const Node *n = graph_state(&p->program->graph, t);
    const LowerArgument *a = n && n->type != TYPE_CACHE ? &p->stages.state[lower_state(p->program, n)] : NULL;
    if (a && a->rank) return a;
    err_as(err, QM_INTERNAL, "node %d is no state to read", t.id);
    return NULL;
}

/* From the first replica's devices into a whole tensor. buffer: that of its first device; `stride` to the next one's. */
static bool parts_read(Pjrt *p, const Shape *shape, const char *split, const LowerArgument *a,
                       PjrtBuffer *const *buffer, float *out, Err *err) {
    size_t bytes = (size_t)lower_argument_bytes(a);
    if (!work_room(p, bytes, err)) return false;
    for (int d = 0; d < (split[0] ? p->tp : 1); d++) {
        if (!buffer[d]) return err_as(err, QM_INTERNAL, "%s: it is not there yet", p->program->graph.nodes[a->node].name);
        if (!pjrt_download(p->client, buffer[d], p->step.work, bytes, err) ||
            !part_copy(p, shape, split, a, d, p->step.work, out, false, err))
            return false;
        p->info.read_bytes += (int64_t)bytes;
    }
    return true;
}

bool stage_state_read(void *backend, Tensor t, float *out, Err *err) {
    Pjrt *p = backend;
    const LowerArgument *a = state_of(p, t, err);
    if (p->step.lost) return err_as(err, QM_DEVICE, LOST_STATES);
    return a && parts_read(p, &p->program->graph.nodes[a->node].shape, a->weight_split, a, state_buffer(p, a->state, 0),
                           out, err);
}

bool stage_state_write(void *backend, Tensor t, const float *in, Err *err) {
    Pjrt *p = backend;
    const LowerArgument *a = state_of(p, t, err);
    if (p->step.lost) return err_as(err, QM_DEVICE, LOST_STATES);
    return a && state_put(p, a, part_of_whole, in, err);
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

/* What was read into `work` in bf16, in f32: from the end, since both stand in one place. */
static void work_widen(Pjrt *p, const LowerArgument *a) {
    float *wide = p->step.work;
    if (a->type[0] != 'b') return;
    for (int64_t i = lower_argument_bytes(a) / 2; i-- > 0;) wide[i] = bf16_to_f32(((const uint16_t *)p->step.work)[i]);
}

/* Rows that have a label, in the order of the step's list of them. */
static bool rows_read(Pjrt *p, const LowerArgument *a, PjrtBuffer *const *buffer, float *out, Err *err) {
    const StepRows *s = &p->step.given;
    int64_t width = a->rank > 1 ? a->dim[1] : 1;
    size_t bytes = (size_t)lower_argument_bytes(a);
    if (!work_room(p, 2 * bytes, err)) return false;
    for (int replica = 0; replica < p->dp; replica++) {
        if (!pjrt_download(p->client, buffer[replica * p->tp], p->step.work, bytes, err)) return false;
        p->info.read_bytes += (int64_t)bytes;
        work_widen(p, a);
        const float *from = p->step.work;
        for (int64_t i = 0, told = 0; i < s->logit_rows; i++) {
            if (s->slot[s->logit_row[i]] % p->dp != replica) continue;
            int64_t at = p->stages.logit_rows ? told++ : stage_place(p, s->logit_row[i]);
            memcpy(out + i * width, from + at * width, (size_t)width * sizeof *out);
        }
    }
    return true;
}

const float *stage_read(void *backend, Tensor t, Err *err) {
    Pjrt *p = backend;
    const Node *n = graph_node(&p->program->graph, t);
    const LowerArgument *a = p->stages.told[t.id];
    PjrtBuffer *const *buffer = &p->stages.result[t.id * p->own];
    bool rows = shape_rows(&n->shape) != NO_ROWS;
    int64_t width = n->shape.rank > 1 ? n->shape.dim[1].size : 1;
    if (!a || !*buffer) {
        err_as(err, QM_INTERNAL, "%s: no program has told it", n->name);
        return NULL;
    }
    float **to = &p->step.value[t.id];
    if (!*to && !(*to = mem_new((size_t)((rows ? p->options.rows : n->shape.dim[0].size) * width), sizeof **to, n->name, err)))
        return NULL;
    if (rows ? rows_read(p, a, buffer, *to, err) : parts_read(p, &n->shape, n->split, a, buffer, *to, err)) return *to;
    p->step.lost = true;
    return NULL;
}
