/* collective.c: where devices meet: all_reduce finishes the tree of a split sum; argmax and reduce_argmax find the largest
 * logit without gathering the vocabulary. */
#include <math.h>
#include <string.h>
#include "call.h"

static Cost collective_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (n->shape.rank > 1 ? (double)n->shape.dim[1].size : 2);
    (void)g;
    return (Cost){.flops = size, .bytes = 8 * size};
}

/* ---- all_reduce: partial sums [t,d] -> [t,d] --------------------------------------------------------------------------- */

static bool all_reduce_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return out->rank == 2 || err_set(err, "all_reduce: expected [t,d]");
}

static int64_t chunks(const Call *c) { return (c->out_width + REDUCE_CHUNK - 1) / REDUCE_CHUNK; }
static int64_t all_reduce_units(const Call *c) { return call_rows(c) * chunks(c); }

static void all_reduce_reference(const Call *c, int64_t first, int64_t last) {
    for (int64_t u = first; u < last; u++) {
        int64_t t = c->row0 + u / chunks(c), from = u % chunks(c) * REDUCE_CHUNK, w = c->out_width;
        int64_t n = w - from < REDUCE_CHUNK ? w - from : REDUCE_CHUNK;
        const float *stack[TREE_MAX_LEVELS + 2];
        int top = 0;
        for (int s = 0; s < c->finish_count; s++) {
            if (c->finish[s] >= 0) {
                stack[top++] = c->in[0] + c->finish[s] * c->node_stride + t * w + from;
                continue;
            }
            float *sum = c->scratch + (top - 2) * REDUCE_CHUNK;
            c->kernels->add(stack[top - 2], stack[top - 1], n, sum);
            stack[--top - 1] = sum;
        }
        memcpy(c->out + t * w + from, stack[0], (size_t)n * sizeof(float));
    }
}

const OpRow all_reduce_row = {
    .name = "all_reduce", .factors = "td->td", .collective = true,
    .shape = all_reduce_shape, .units = all_reduce_units, .reference = all_reduce_reference, .cost = collective_cost,
    .none = "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: the result is whole",
};

/* ---- argmax: logits [r,v] -> (max, id) of each device's vocabulary shard, id as f32 (exact: ids are below 2^24) -------- */

static bool argmax_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    *out = (Shape){.rank = 1, .dim = {x->dim[0]}};
    return x->rank == 2 || err_set(err, "argmax: expected [r,v]");
}

static void argmax_reference(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        float best = -INFINITY, *pair = c->out + (r * c->devices + c->device) * 2;
        int64_t n = c->columns.last - c->columns.first;
        int64_t id = n ? c->kernels->argmax(c->in[0] + r * c->in_width[0] + c->columns.first, n, &best) : -1;
        pair[0] = best;
        pair[1] = id < 0 ? -1.0f : (float)(c->columns.first + id);
    }
}

static Tensor argmax_finish(Graph *g, Tensor partial) { return reduce_argmax(g, partial); }

const OpRow argmax_row = {
    .name = "argmax", .factors = "rv->r",
    .shape = argmax_shape, .units = call_rows, .reference = argmax_reference, .cost = collective_cost, .finish = argmax_finish,
    .none = "gradient: the choice has none; stablehlo: there is no PJRT backend",
};

/* ---- reduce_argmax: the largest of the devices' pairs, ties to the lowest id -------------------------------------------- */

static bool reduce_argmax_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return out->rank == 1 || err_set(err, "reduce_argmax: expected [r]");
}

static void reduce_argmax_reference(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        const float *pairs = c->in[0] + r * c->devices * 2;
        float best = -INFINITY, id = -1;
        for (int d = 0; d < c->devices; d++)
            if (pairs[2 * d + 1] >= 0 && (id < 0 || pairs[2 * d] > best)) best = pairs[2 * d], id = pairs[2 * d + 1];
        c->out[2 * r] = best;
        c->out[2 * r + 1] = id;
    }
}

const OpRow reduce_argmax_row = {
    .name = "reduce_argmax", .factors = "r->r", .collective = true,
    .shape = reduce_argmax_shape, .units = call_rows, .reference = reduce_argmax_reference, .cost = collective_cost,
    .none = "gradient: the choice has none; stablehlo: there is no PJRT backend; finish: the result is whole",
};
