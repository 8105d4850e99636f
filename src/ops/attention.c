/* attention.c: the key/value cache and grouped-query attention over it (Ainslie et al. 2023).
 *
 *     out[t, h] = softmax over p of (q[t, h] . k[p, h / group] / sqrt(c)) v[p, h / group],
 *     p from the slot's cache, p <= index[t], and p > index[t] - window where the layer has one
 *
 * kernels.h has the order of every sum. Query heads are ordered (k, g): head h = k * group + g.
 */
#include <math.h>
#include "call.h"

/* ---- cache_update: rows' keys and values into their slots' planes ---------------------------------------------------- */

static bool cache_update_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *k = &graph_node(g, n->in[0])->shape, *v = &graph_node(g, n->in[1])->shape;
    *out = (Shape){.rank = 2, .dim = {{.letters = "s", .size = g->size['s']}, k->dim[1]}};
    return shape_same(k, v) || err_set(err, "cache_update: keys and values of different shapes");
}

static void cache_update_reference(const Call *c, int64_t first, int64_t last) {
    int64_t channels = c->cache->channels, w = c->in_width[0];
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t p = c->step->index[t];
        for (int64_t at = c->columns.first; at < c->columns.last; at += channels) {
            const float *k = c->in[0] + t * w + at, *v = c->in[1] + t * w + at;
            void *kp = cache_plane(c->cache, c->node->layer, at / channels, c->step->slot[t], 0);
            void *vp = cache_plane(c->cache, c->node->layer, at / channels, c->step->slot[t], 1);
            int64_t kat = p / K_BLOCK * K_BLOCK * channels + p % K_BLOCK, vat = p * channels;
            if (c->cache->type == CACHE_F32) {
                for (int64_t i = 0; i < channels; i++) ((float *)kp)[kat + i * K_BLOCK] = k[i], ((float *)vp)[vat + i] = v[i];
            } else {
                for (int64_t i = 0; i < channels; i++)
                    ((uint16_t *)kp)[kat + i * K_BLOCK] = f32_to_bf16(k[i]), ((uint16_t *)vp)[vat + i] = f32_to_bf16(v[i]);
            }
        }
    }
}

static Cost cache_update_cost(const Graph *g, const Node *n) {
    double size = (double)g->size['t'] * (double)n->shape.dim[1].size;
    return (Cost){.flops = 0, .bytes = 16 * size};
}

const OpRow cache_update_row = {
    .name = "cache_update", .factors = "t(k!c),t(k!c)->!s(k!c)",
    .in_cache = true, .shape = cache_update_shape, .units = call_rows, .reference = cache_update_reference, .cost = cache_update_cost,
    .none = "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: nothing is reduced",
};

/* ---- attention ---------------------------------------------------------------------------------------------------------- */

static bool attention_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *q = &graph_node(g, n->in[0])->shape, *cache = &graph_node(g, n->in[1])->shape;
    *out = *q;
    if (q->rank == 2 && q->dim[1].size % cache->dim[1].size == 0) return true;
    return err_set(err, "attention: query heads are no multiple of key/value heads");
}

/* columns: the query channels of heads (k, g0..g1) of one key/value head. */
static void attention_reference(const Call *c, int64_t first, int64_t last) {
    int64_t channels = c->cache->channels, group = c->graph->size['g'], head = c->columns.first / channels;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t p = c->step->index[t], window = c->node->window;
        AttentionCall a = {
            .q = c->in[0] + t * c->in_width[0] + c->columns.first, .q_stride = channels,
            .heads = (int)((c->columns.last - c->columns.first) / channels),
            .k = cache_plane(c->cache, c->node->layer, head / group, c->step->slot[t], 0),
            .v = cache_plane(c->cache, c->node->layer, head / group, c->step->slot[t], 1),
            .channels = channels, .first = window > 0 && p - window + 1 > 0 ? p - window + 1 : 0, .last = p + 1,
            .scale = 1.0f / sqrtf((float)channels),
            .out = c->out + t * c->out_width + c->columns.first, .out_stride = channels, .scratch = c->scratch,
        };
        c->kernels->attention[c->cache->type](&a);
    }
}

static Cost attention_cost(const Graph *g, const Node *n) {
    double t = (double)g->size['t'], s = (double)g->size['s'], q = (double)n->shape.dim[1].size;
    double kv = (double)graph_node(g, n->in[1])->shape.dim[1].size;
    return (Cost){.flops = 4 * t * s * q, .bytes = 8 * s * kv + 8 * t * q};
}

/* Keys and values of half the context: the length is not known when work is shared out. */
static double attention_unit_cost(const Call *c) {
    return (double)c->cache->positions * (double)c->cache->channels * (c->cache->type == CACHE_F32 ? 4 : 2);
}

const OpRow attention_row = {
    .name = "attention", .factors = "t(kg!c),!s(k!c)->t(kg!c)", .unit_cost = attention_unit_cost,
    .shape = attention_shape, .units = call_rows, .reference = attention_reference, .cost = attention_cost,
    .none = "gradient: the program does not train; stablehlo: there is no PJRT backend; finish: a slot's cache is whole",
};
