/* attention.c: the key/value cache and grouped-query attention over it (Ainslie et al. 2023).
 *
 *     out[t, h] = softmax over p of (q[t, h] . k[p, h / group] / sqrt(c)) v[p, h / group],
 *     p from the slot's cache, p <= index[t], and p > index[t] - window where the layer has one
 *
 * kernels.h has the order of every sum. Query heads are ordered (k, g): head h = k * group + g.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../graph/lower.h"
#include "call.h"
#include "elementwise.h"

/* ---- cache_update: rows' keys and values into their slots' planes ------------------------------------------------ */

static bool cache_update_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *k = &graph_node(g, n->in[0])->shape, *v = &graph_node(g, n->in[1])->shape;
    const Node *cache = graph_state(g, n->in[2]);
    *out = graph_node(g, n->in[2])->shape;
    if (!cache || cache->type != TYPE_CACHE) return err_as(err, QM_INTERNAL, "cache_update: expected a cache, a state");
    return (shape_same(k, v) && !strcmp(k->dim[1].letters, out->dim[1].letters)) ||
           err_as(err, QM_INTERNAL, "cache_update: keys, values and cache of different shapes");
}

/* A row of one head as position p of a page's keys (stride K_BLOCK between channels) or values (stride 1). */
static void put(CacheType type, uint8_t *to, int64_t at, int64_t stride, const float *x, int64_t n, float *scale) {
    float most = 0, bad = 0;
    if (type == CACHE_F32) {
        for (int64_t i = 0; i < n; i++) ((float *)(void *)to)[at + i * stride] = x[i];
        return;
    }
    if (type == CACHE_BF16) {
        for (int64_t i = 0; i < n; i++) ((uint16_t *)(void *)to)[at + i * stride] = f32_to_bf16(x[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        bad += x[i] - x[i]; /* NaN where x is not finite */
    }
    float inverse = most > 0 && bad == 0 ? 127.0f / most : 0;
    for (int64_t i = 0; i < n; i++) {
        float v = bad == 0 ? x[i] * inverse : 0;
        v = v > -127.0f ? v : -127.0f;
        v = v < 127.0f ? v : 127.0f;
        ((int8_t *)to)[at + i * stride] = (int8_t)((v + 12582912.0f) - 12582912.0f); /* nearest, ties to even */
    }
    *scale = bad == 0 ? most / 127.0f : NAN;
}

/* A row of one head less its bias, in `work`, or as it is. */
static const float *without_bias(const KvCache *cache, const KeyBias *b, bool value, const float *x, int32_t position,
                                 float *work) {
    if (!b || (value ? !b->value : !b->pairs || position < 0)) return x;
    memcpy(work, x, (size_t)cache->channels * sizeof *x);
    if (!value) key_bias_leave(b, cache->turns, position, work);
    for (int64_t i = 0; value && i < cache->channels; i++) work[i] = x[i] - b->value[i];
    return work;
}

Tensor cache_update(Graph *g, Tensor k, Tensor v, Tensor cache) {
    return graph_op(g, &cache_update_row, &(Node){.in = {k, v, cache}});
}

static void cache_update_reference(const PlainCall *c) {
    int64_t w = c->width[0];
    for (int64_t t = 0; t < c->rows; t++) {
        int64_t place = (c->step->slot[t] * c->positions + c->step->index[t]) * w;
        memcpy(c->keys + place, c->in[0] + t * w, (size_t)w * sizeof(float));
        memcpy(c->values + place, c->in[1] + t * w, (size_t)w * sizeof(float));
    }
}

static int64_t cache_update_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)n, (void)blocking, (void)rows;
    return graph_size(&p->graph, AXIS_CHANNEL); /* a key without its bias */
}

static void cache_update_run(const Call *c, int64_t first, int64_t last) {
    const KvCache *cache = c->cache.cache;
    int64_t channels = cache->channels, w = c->in_width[0], scales = ATTENTION_BLOCK * channels;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        int64_t p = c->step->index[t] % ATTENTION_BLOCK;
        int32_t page = cache_pages(cache, c->step->slot[t])[c->step->index[t] / ATTENTION_BLOCK];
        for (int64_t at = c->columns.first; at < c->columns.last; at += channels) {
            uint8_t *k = cache_head(cache, c->cache.layer, at / channels) + page * cache->page_bytes;
            uint8_t *v = k + cache->page_bytes / 2;
            const KeyBias *b = cache->bias ? &cache->bias[c->cache.layer * cache->kv_heads + at / channels] : NULL;
            int32_t position = b ? cache->at[page * ATTENTION_BLOCK + p] : -1;
            const float *key = without_bias(cache, b, false, c->in[0] + t * w + at, position, c->scratch);
            put(cache->type, k, p / K_BLOCK * K_BLOCK * channels + p % K_BLOCK, K_BLOCK, key, channels,
                (float *)(void *)(k + scales) + p);
            const float *value = without_bias(cache, b, true, c->in[1] + t * w + at, position, c->scratch);
            put(cache->type, v, p * channels, 1, value, channels, (float *)(void *)(v + scales) + p);
        }
    }
}

bool cache_source(const Graph *g, const Node *update, int i, CacheSource *out) {
    const Node *n = graph_node(g, update->in[i]);
    *out = (CacheSource){0};
    if (n && n->op == &rope_row) {
        out->rope = ((const RopeAttributes *)n->attributes)->rope;
        n = graph_node(g, n->in[0]);
    }
    /* An adapter's part is content, as what the weights give: the bias is before it, or of DoRA the last that is
     * added. */
    if (n && n->op == &add_row && graph_node(g, n->in[1])->value == VALUE_VECTOR)
        out->bias = n->in[1], n = graph_node(g, n->in[0]);
    while (n && (n->op == &add_row || n->op == &scale_columns_row)) n = graph_node(g, n->in[0]);
    if (!n || n->op != &linear_row || (i == 0) != (out->rope != NULL)) return false;
    if (n->in[2].id) out->bias = n->in[2];
    if (!out->bias.id) return false;
    const Node *norm = graph_node(g, n->in[0]);
    if (!norm || norm->op != &rms_norm_row) return false;
    out->weight = n->in[1];
    out->gain = norm->in[1];
    return true;
}

static Cost cache_update_cost(const Graph *g, const Node *n) {
    double size = (double)graph_node(g, n->in[0])->shape.dim[0].size * (double)n->shape.dim[1].size;
    return (Cost){.flops = 0, .bytes = 16 * size};
}

/* Rows of the flat cache [slots * heads * positions, c] that this step writes, in the order (t, k): "%places" [t *
 * heads]. A program for one slot of many is told which; else slot and place in the bucket are the same. */
static void places(Lower *l, int64_t heads) {
    int64_t t = lower_rows(l), s = l->bucket.rows, plane = heads * l->positions;
    const char *type = lower_type(l, "i32", 1, t), *pairs = lower_type(l, "i32", 2, t, heads);
    if (!lower_once(l, "places")) return;
    const char *index = lower_step_input(l, "index", "i32", t, 0, 0);
    if (l->bucket.slots == l->cache_slots) {
        const char *grid = lower_type(l, "i32", 2, l->bucket.slots, s);
        lower_line(l, "%%place_b = stablehlo.iota dim = 0 : %s", grid);
        lower_line(l, "%%place_s = stablehlo.reshape %%place_b : (%s) -> %s", grid, type);
    } else {
        const char *slot = lower_step_input(l, "slot", "i32", 1, 0, 0);
        lower_line(l, "%%place_b = stablehlo.reshape %s : (tensor<1xi32>) -> tensor<i32>", slot);
        lower_line(l, "%%place_s = stablehlo.broadcast_in_dim %%place_b, dims = [] : (tensor<i32>) -> %s", type);
    }
    lower_line(l, "%%place_p = stablehlo.constant dense<%lld> : %s", (long long)plane, type);
    lower_line(l, "%%place_o = stablehlo.multiply %%place_s, %%place_p : %s", type);
    lower_line(l, "%%place_t = stablehlo.add %%place_o, %s : %s", index, type);
    lower_line(l, "%%place_tb = stablehlo.broadcast_in_dim %%place_t, dims = [0] : (%s) -> %s", type, pairs);
    lower_line(l, "%%place_k = stablehlo.iota dim = 1 : %s", pairs);
    lower_line(l, "%%place_c = stablehlo.constant dense<%lld> : %s", (long long)l->positions, pairs);
    lower_line(l, "%%place_kc = stablehlo.multiply %%place_k, %%place_c : %s", pairs);
    lower_line(l, "%%place_2 = stablehlo.add %%place_tb, %%place_kc : %s", pairs);
    lower_line(l, "%%places = stablehlo.reshape %%place_2 : (%s) -> %s", pairs,
               lower_type(l, "i32", 2, t * heads, (int64_t)1));
}

#define SCATTER_KEEP_NEW "({\n^bb0(%%a: tensor<%s>, %%b: tensor<%s>):\n  stablehlo.return %%b : tensor<%s>\n})"

/* One slot, one row: the form Tenstorrent's compiler updates in place. */
static void scatter_one(Lower *l, const char *out, const char *cache, const char *rows, int64_t heads, int64_t c) {
    const char *whole = lower_type(l, NULL, 4, (int64_t)1, heads, l->positions, c),
               *one = lower_type(l, NULL, 4, (int64_t)1, heads, (int64_t)1, c);
    lower_line(l, "%s_u = stablehlo.reshape %s : (%s) -> %s", out, rows, lower_type(l, NULL, 2, (int64_t)1, heads * c),
               one);
    lower_line(
        l,
        "%s = \"stablehlo.scatter\"(%s, %s, %s_u) " SCATTER_KEEP_NEW " {scatter_dimension_numbers = "
        "#stablehlo.scatter<update_window_dims = [0, 1, 3], inserted_window_dims = [2], scatter_dims_to_operand_dims = "
        "[2], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (%s, tensor<1xi32>, %s) -> "
        "%s",
        out, cache, lower_step_input(l, "index", "i32", 1, 0, 0), out, l->type, l->type, l->type, whole, one, whole);
}

static void scatter_rows(Lower *l, const char *out, const char *cache, const char *rows, int64_t heads, int64_t c) {
    int64_t t = lower_rows(l), all = l->cache_slots * heads * l->positions;
    const char *whole = lower_type(l, NULL, 4, l->cache_slots, heads, l->positions, c),
               *flat = lower_type(l, NULL, 2, all, c);
    const char *update = lower_type(l, NULL, 2, t * heads, c);
    places(l, heads);
    lower_line(l, "%s_f = stablehlo.reshape %s : (%s) -> %s", out, cache, whole, flat);
    lower_line(l, "%s_u = stablehlo.reshape %s : (%s) -> %s", out, rows, lower_type(l, NULL, 2, t, heads * c), update);
    lower_line(
        l,
        "%s_w = \"stablehlo.scatter\"(%s_f, %%places, %s_u) " SCATTER_KEEP_NEW " {scatter_dimension_numbers = "
        "#stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], "
        "index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false} : (%s, %s, %s) -> %s",
        out, out, out, l->type, l->type, l->type, flat, lower_type(l, "i32", 2, t * heads, (int64_t)1), update, flat);
    lower_line(l, "%s = stablehlo.reshape %s_w : (%s) -> %s", out, out, flat, whole);
}

static void cache_update_stablehlo(Lower *l, const Node *n) {
    if (l->trains) return; /* attention takes the rows themselves */
    int64_t c = lower_channels(l), heads = lower_dim(l, n, 1) / c;
    for (int v = 0; v < 2; v++) {
        const char *out = lower_word(l, "%s%s", lower_out(l, n), v ? "v" : "k");
        const char *cache = lower_cache(l, graph_state(&l->program->graph, n->in[2]), v, heads, c);
        const char *rows = lower_in(l, n, v);
        if (l->cache_slots == 1 && lower_rows(l) == 1) scatter_one(l, out, cache, rows, heads, c);
        else scatter_rows(l, out, cache, rows, heads, c);
    }
}

const OpRow cache_update_row = {
    .name = "cache_update",
    .factors = "~t(k!c),~t(k!c),!s(k!c)->!s(k!c)",
    .writes_state = true, .state_input = 2,
    .binds = BINDS_CACHE,
    .scratch = cache_update_scratch,
    .shape = cache_update_shape,
    .units = call_rows,
    .run = cache_update_run, .reference = cache_update_reference,
    .cost = cache_update_cost,
    .stablehlo = cache_update_stablehlo,
    .none = {[FACET_GRADIENT] = "attention's goes to the rows", [FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- attention --------------------------------------------------------------------------------------------------- */

static bool attention_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *q = &graph_node(g, n->in[0])->shape, *cache = &graph_node(g, n->in[1])->shape;
    *out = *q;
    if (n->result && q->rank == 2) { /* a number for each head */
        Dim *heads = &out->dim[1];
        heads->letters[strlen(heads->letters) - 1] = 0;
        heads->size /= graph_size(g, AXIS_CHANNEL);
    }
    if (q->rank == 2 && q->dim[1].size % cache->dim[1].size == 0) return true;
    return err_as(err, QM_INTERNAL, "attention: query heads are no multiple of key/value heads");
}

static int64_t window_of(const Node *n) { return ((const AttentionAttributes *)n->attributes)->window; }

Tensor attention(Graph *g, Tensor q, Tensor cache, int64_t window) {
    return graph_op(g, &attention_row, &(Node){.in = {q, cache}, .attributes = &(AttentionAttributes){window}});
}

/* One row and head. e: room for a slot's positions. */
static void attend_plainly(const PlainCall *c, int64_t t, int64_t head, double *e) {
    int64_t n = graph_size(c->graph, AXIS_CHANNEL), kv = head / graph_size(c->graph, AXIS_GROUP) * n;
    int64_t last = c->step->index[t], window = window_of(c->node), first = window ? last - window + 1 : 0;
    const float *q = c->in[0] + t * c->width[0] + head * n;
    const float *keys = c->keys + c->step->slot[t] * c->positions * c->width[1] + kv;
    const float *values = c->values + c->step->slot[t] * c->positions * c->width[1] + kv;
    double sum = 0;
    for (int64_t p = first = first < 0 ? 0 : first; p <= last; p++) {
        double score = 0;
        for (int64_t i = 0; i < n; i++) score += (double)q[i] * (double)keys[p * c->width[1] + i];
        sum += e[p] = exp(score / sqrt((double)n));
    }
    for (int64_t i = 0; i < n; i++) {
        double out = 0;
        for (int64_t p = first; p <= last; p++) out += e[p] / sum * (double)values[p * c->width[1] + i];
        c->out[t * c->out_width + head * n + i] = (float)out;
    }
}

static void attention_reference(const PlainCall *c) {
    double *e = malloc((size_t)c->positions * sizeof *e);
    int64_t heads = c->out_width / graph_size(c->graph, AXIS_CHANNEL);
    for (int64_t t = 0; e && t < c->rows; t++)
        for (int64_t head = 0; head < heads; head++) attend_plainly(c, t, head, e);
    free(e);
}

static int64_t attention_op_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)n, (void)blocking, (void)rows;
    return attention_scratch(graph_size(&p->graph, AXIS_GROUP), graph_size(&p->graph, AXIS_CHANNEL));
}

/* Blocks of a row that one worker does: fewer cost more in parts than they gain in even shares. */
enum { UNIT_BLOCKS = 2 };

/* Whether a unit is UNIT_BLOCKS blocks of a row, so that rows are cut where a worker's share ends; else it is a row. */
static bool rows_shared(const Call *c) { return c->cache.parts && c->step->rows <= STATIC_ROWS && !c->more[0]; }

/* Units of a row from the block *first on. They depend only on the block the row is in, so that work need not be shared
 * out anew for every token: with a window, the first block is what the earliest row in there would see. */
static int64_t row_units(const Call *c, int64_t t, int64_t *first) {
    int64_t last = c->step->index[t] / ATTENTION_BLOCK, lowest = last * ATTENTION_BLOCK - window_of(c->node) + 1;
    *first = window_of(c->node) > 0 && lowest > 0 ? lowest / ATTENTION_BLOCK : 0;
    return (last - *first) / UNIT_BLOCKS + 1;
}

static int64_t attention_units(const Call *c) {
    int64_t units = 0, first;
    if (!rows_shared(c)) return call_rows(c);
    for (int64_t t = c->row0; t < c->row1; t++) units += row_units(c, t, &first);
    return units;
}

static AttentionRow row_of(const Call *c, int64_t t) {
    int64_t p = c->step->index[t], window = window_of(c->node);
    return (AttentionRow){
        .q = c->in[0] + t * c->in_width[0] + c->columns.first,
        .out = c->out + t * c->out_width + c->columns.first,
        .page = cache_pages(c->cache.cache, c->step->slot[t]),
        .first = window > 0 && p - window + 1 > 0 ? p - window + 1 : 0,
        .last = p + 1,
        .stats = c->more[0]
                     ? c->more[0] + (t * c->out_width + c->columns.first) / graph_size(c->graph, AXIS_CHANNEL) * 2
                     : NULL,
    };
}

/* Of the key/value head of a call's columns; NULL: none. */
static const KeyBias *bias_of(const Call *c) {
    int64_t head = c->columns.first / c->cache.cache->channels / graph_size(c->graph, AXIS_GROUP);
    return c->cache.cache->bias ? &c->cache.cache->bias[c->cache.layer * c->cache.cache->kv_heads + head] : NULL;
}

/* What values lack is the same at all positions, whose weights add up to 1. */
static void add_value_bias(const Call *c, const AttentionCall *a, const AttentionRow *row) {
    const KeyBias *b = bias_of(c);
    for (int64_t h = 0; b && b->value && h < a->heads; h++)
        c->kernels->add(row->out + h * a->channels, b->value, a->channels, row->out + h * a->channels);
}

/* Units [first, last) of a row. The worker that does the last of all merges them: whoever it is, in order. */
static void attend_piece(const Call *c, const AttentionCall *call, int64_t t, int64_t first, int64_t last) {
    AttentionRow whole = row_of(c, t), piece = whole;
    AttentionCall a = *call;
    int64_t start, units = row_units(c, t, &start), base = whole.first / ATTENTION_BLOCK;
    int64_t from = (start + first * UNIT_BLOCKS) * ATTENTION_BLOCK, to = (start + last * UNIT_BLOCKS) * ATTENTION_BLOCK;
    int64_t at = (t * c->out_width + c->columns.first) / a.channels;
    float *parts = c->cache.parts->data + at * c->cache.cache->blocks * attention_part(1, a.channels);
    if (from > piece.first) piece.first = from;
    if (to < piece.last) piece.last = to;
    a.row = &piece;
    a.rows = 1;
    a.parts = parts + (piece.first / ATTENTION_BLOCK - base) * attention_part(a.heads, a.channels);
    if (piece.first < piece.last) c->kernels->attention[c->cache.cache->type](&a);
    if (atomic_fetch_add(&c->cache.parts->done[at], (int)(last - first)) + last - first < units) return;
    atomic_store(&c->cache.parts->done[at], 0);
    c->kernels->merge(parts, (whole.last - 1) / ATTENTION_BLOCK - base + 1, a.heads, a.channels, whole.out,
                      whole.stats);
    add_value_bias(c, &a, &whole);
}

/* columns: the query channels of heads (k, g0..g1) of one key/value head. Rows are taken as many at a time as a call
 * allows: those of one slot, and those of slots that share pages, read keys and values once. */
static void attention_run(const Call *c, int64_t first, int64_t last) {
    int64_t channels = c->cache.cache->channels, group = graph_size(c->graph, AXIS_GROUP);
    int64_t head = c->columns.first / channels;
    AttentionRow row[ATTENTION_HEADS];
    AttentionCall a = {
        .row = row,
        .heads = (int)((c->columns.last - c->columns.first) / channels),
        .cache = cache_head(c->cache.cache, c->cache.layer, head / group),
        .channels = channels,
        .scale = 1.0f / sqrtf((float)channels),
        .scratch = c->scratch,
    };
    const KeyBias *b = bias_of(c);
    if (b && b->pairs) a.bias = b, a.turns = c->cache.cache->turns, a.at = c->cache.cache->at;
    bool shared = rows_shared(c);
    for (int64_t t = c->row0, at = 0, units, block; at < last; t++, at += units) {
        units = shared ? row_units(c, t, &block) : 1;
        int64_t from = first > at ? first - at : 0, to = last - at < units ? last - at : units;
        if (from < to && to - from < units) attend_piece(c, &a, t, from, to);
        else if (from < to) row[a.rows++] = row_of(c, t);
        if (!a.rows || ((a.rows + 1) * a.heads <= ATTENTION_HEADS && at + units < last)) continue;
        c->kernels->attention[c->cache.cache->type](&a);
        for (int r = 0; r < a.rows; r++) add_value_bias(c, &a, &row[r]);
        a.rows = 0;
    }
}

static Cost attention_cost(const Graph *g, const Node *n) {
    double t = (double)n->shape.dim[0].size, s = (double)graph_node(g, n->in[1])->shape.dim[0].size,
           q = (double)n->shape.dim[1].size;
    double kv = (double)graph_node(g, n->in[1])->shape.dim[1].size;
    return (Cost){.flops = 4 * t * s * q, .bytes = 8 * s * kv + 8 * t * q};
}

static double attention_unit_cost(const Call *c) { return (double)c->cache.cache->page_bytes; }

/* Positions that a bucket's attention looks at. */
static int64_t seen(const Lower *l) { return l->bucket.seen ? l->bucket.seen : l->positions; }

/* Additive mask [slots, 1, rows, positions] of what each row may see, shared by the layers of one window; its name. */
static const char *mask(Lower *l, int64_t window) {
    int64_t b = l->bucket.slots, s = l->bucket.rows, p = seen(l);
    const char *full = lower_type(l, "f32", 4, b, (int64_t)1, s, p),
               *bits = lower_type(l, "i1", 4, b, (int64_t)1, s, p);
    const char *grid = lower_type(l, "f32", 2, b, s), *flat = lower_type(l, "f32", 1, b * s);
    const char *mark = lower_word(l, "mask%lld", (long long)window), *name = lower_word(l, "%%%s", mark);
    if (lower_once(l, "mask")) {
        const char *index = lower_step_input(l, "index", "i32", b * s, 0, 0);
        lower_line(l, "%%at = stablehlo.iota dim = 3 : %s", full);
        lower_line(l, "%%row_f = stablehlo.convert %s : (%s) -> %s", index, lower_type(l, "i32", 1, b * s), flat);
        lower_line(l, "%%row_2 = stablehlo.reshape %%row_f : (%s) -> %s", flat, grid);
        lower_line(l, "%%row = stablehlo.broadcast_in_dim %%row_2, dims = [0, 2] : (%s) -> %s", grid, full);
        lower_line(l, "%%seen = stablehlo.constant dense<0.0> : %s", full);
        lower_line(l, "%%hidden = stablehlo.constant dense<-1.0e30> : %s", full);
        lower_line(l, "%%past = stablehlo.compare LE, %%at, %%row, FLOAT : (%s, %s) -> %s", full, full, bits);
    }
    if (!lower_once(l, "%s", mark)) return name;
    lower_line(l, "%s_p = stablehlo.select %%past, %%seen, %%hidden : %s, %s", name, bits, full);
    if (window > 0) {
        lower_line(l, "%s_n = stablehlo.constant dense<%lld.0> : %s", name, (long long)window, full);
        lower_line(l, "%s_d = stablehlo.subtract %%row, %s_n : %s", name, name, full);
        lower_line(l, "%s_c = stablehlo.compare GT, %%at, %s_d, FLOAT : (%s, %s) -> %s", name, name, full, full, bits);
        lower_line(l, "%s_f = stablehlo.select %s_c, %s_p, %%hidden : %s, %s", name, name, name, bits, full);
    }
    lower_line(l, "%s = stablehlo.convert %s_%s : (%s) -> %s", name, name, window > 0 ? "f" : "p", full,
               lower_type(l, NULL, 4, b, (int64_t)1, s, p));
    return name;
}

/* What XLA inlines where Tenstorrent's compiler has an op of its own. Softmax in f32. */
static void sdpa_function(Lower *l, int64_t kv, int64_t group, int64_t c, double scale) {
    int64_t b = l->bucket.slots, s = l->bucket.rows, p = seen(l);
    const char *q = lower_type(l, NULL, 4, b, kv * group, s, c), *k = lower_type(l, NULL, 4, b, kv, p, c);
    const char *m = lower_type(l, NULL, 4, b, (int64_t)1, s, p), *q5 = lower_type(l, NULL, 5, b, kv, group, s, c);
    const char *score = lower_type(l, "f32", 5, b, kv, group, s, p), *row = lower_type(l, "f32", 4, b, kv, group, s);
    const char *m3 = lower_type(l, NULL, 3, b, s, p), *f3 = lower_type(l, "f32", 3, b, s, p);
    Text *f = &l->functions;
    text_line(f, "func.func private @sdpa(%%q: %s, %%k: %s, %%v: %s, %%mask: %s) -> %s {\n", q, k, k, m, q);
    text_line(f, "  %%q5 = stablehlo.reshape %%q : (%s) -> %s\n", q, q5);
    text_line(f,
              "  %%s = stablehlo.dot_general %%q5, %%k, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3] "
              ": (%s, %s) -> %s\n",
              q5, k, score);
    text_line(f, "  %%sc = stablehlo.constant dense<%.9e> : %s\n  %%s1 = stablehlo.multiply %%s, %%sc : %s\n", scale,
              score, score);
    text_line(f, "  %%m3 = stablehlo.reshape %%mask : (%s) -> %s\n  %%mf = stablehlo.convert %%m3 : (%s) -> %s\n", m,
              m3, m3, f3);
    text_line(f, "  %%mb = stablehlo.broadcast_in_dim %%mf, dims = [0, 3, 4] : (%s) -> %s\n", f3, score);
    text_line(f,
              "  %%s2 = stablehlo.add %%s1, %%mb : %s\n  %%ninf = stablehlo.constant dense<0xFF800000> : tensor<f32>\n",
              score);
    text_line(f,
              "  %%mx = stablehlo.reduce(%%s2 init: %%ninf) applies stablehlo.maximum across dimensions = [4] : (%s, "
              "tensor<f32>) -> %s\n",
              score, row);
    text_line(f, "  %%mxb = stablehlo.broadcast_in_dim %%mx, dims = [0, 1, 2, 3] : (%s) -> %s\n", row, score);
    text_line(f, "  %%s3 = stablehlo.subtract %%s2, %%mxb : %s\n  %%ex = stablehlo.exponential %%s3 : %s\n", score,
              score);
    text_line(f, "  %%z = stablehlo.constant dense<0.0> : tensor<f32>\n");
    text_line(f,
              "  %%sm = stablehlo.reduce(%%ex init: %%z) applies stablehlo.add across dimensions = [4] : (%s, "
              "tensor<f32>) -> %s\n",
              score, row);
    text_line(f, "  %%smb = stablehlo.broadcast_in_dim %%sm, dims = [0, 1, 2, 3] : (%s) -> %s\n", row, score);
    text_line(f, "  %%p = stablehlo.divide %%ex, %%smb : %s\n", score);
    text_line(f, "  %%pb = stablehlo.convert %%p : (%s) -> %s\n", score, lower_type(l, NULL, 5, b, kv, group, s, p));
    text_line(f,
              "  %%o = stablehlo.dot_general %%pb, %%v, batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2] "
              ": (%s, %s) -> %s\n",
              lower_type(l, NULL, 5, b, kv, group, s, p), k, q5);
    text_line(f, "  %%r = stablehlo.reshape %%o : (%s) -> %s\n  return %%r : %s\n}\n", q5, q, q);
}

/* Keys or values that a bucket's attention looks at, [slots, kv, seen, c]: of the slot the step names, or of all. */
static const char *bucket_cache(Lower *l, const char *out, const char *cache, int64_t kv, int64_t c) {
    const char *whole = lower_type(l, NULL, 4, l->cache_slots, kv, l->positions, c),
               *part = lower_type(l, NULL, 4, l->bucket.slots, kv, seen(l), c);
    if (l->bucket.slots == l->cache_slots) {
        lower_line(l, "%s = stablehlo.slice %s [0:%lld, 0:%lld, 0:%lld, 0:%lld] : (%s) -> %s", out, cache,
                   (long long)l->cache_slots, (long long)kv, (long long)seen(l), (long long)c, whole, part);
        return out;
    }
    if (lower_once(l, "slot_start")) {
        const char *slot = lower_step_input(l, "slot", "i32", 1, 0, 0);
        lower_line(l, "%%slot_start = stablehlo.reshape %s : (tensor<1xi32>) -> tensor<i32>", slot);
        lower_line(l, "%%slot_zero = stablehlo.constant dense<0> : tensor<i32>");
    }
    lower_line(l,
               "%s = stablehlo.dynamic_slice %s, %%slot_start, %%slot_zero, %%slot_zero, %%slot_zero, sizes = [1, "
               "%lld, %lld, %lld] : (%s, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> %s",
               out, cache, (long long)kv, (long long)seen(l), (long long)c, whole, part);
    return out;
}

static void attention_stablehlo(Lower *l, const Node *n) {
    if (l->trains) {
        attention_train_stablehlo(l, n);
        return;
    }
    const Node *update = graph_node(&l->program->graph, n->in[1]);
    int64_t b = l->bucket.slots, s = l->bucket.rows, p = seen(l), c = lower_channels(l);
    int64_t kv = lower_dim(l, update, 1) / c, heads = lower_dim(l, n, 1) / c;
    double scale = 1.0 / sqrt((double)c);
    const char *out = lower_out(l, n), *sees = mask(l, window_of(n));
    const char *k = lower_cached(l, n, 1, 0), *v = lower_cached(l, n, 1, 1);
    if (l->bucket.slots != l->cache_slots || seen(l) != l->positions) {
        k = bucket_cache(l, lower_word(l, "%s_k", out), k, kv, c);
        v = bucket_cache(l, lower_word(l, "%s_v", out), v, kv, c);
    }
    if (lower_once(l, "sdpa")) sdpa_function(l, kv, heads / kv, c, scale);
    const char *flat = lower_type(l, NULL, 2, b * s, heads * c), *rows = lower_type(l, NULL, 4, b, s, heads, c);
    const char *turned = lower_type(l, NULL, 4, b, heads, s, c), *plane = lower_type(l, NULL, 4, b, kv, p, c);
    lower_line(l, "%s_q4 = stablehlo.reshape %s : (%s) -> %s", out, lower_in(l, n, 0), flat, rows);
    lower_line(l, "%s_q = stablehlo.transpose %s_q4, dims = [0, 2, 1, 3] : (%s) -> %s", out, out, rows, turned);
    lower_line(l,
               "%s_a = stablehlo.composite \"tenstorrent.scaled_dot_product_attention\" %s_q, %s, %s, %s "
               "{composite_attributes = "
               "{is_causal = false, scale = %.9e : f32}, decomposition = @sdpa} : (%s, %s, %s, %s) -> %s",
               out, out, k, v, sees, scale, turned, plane, plane, lower_type(l, NULL, 4, b, (int64_t)1, s, p), turned);
    lower_line(l, "%s_t = stablehlo.transpose %s_a, dims = [0, 2, 1, 3] : (%s) -> %s", out, out, turned, rows);
    lower_line(l, "%s = stablehlo.reshape %s_t : (%s) -> %s", out, out, rows, flat);
}

const OpRow attention_row = {
    .name = "attention", .factors = "t(kg!c),!s(k!c)->t(kg!c),t(kg)", .results = 1,
    .pairs_after = true, .unit_cost = attention_unit_cost,
    .shape = attention_shape, .units = attention_units, .cost = attention_cost,
    .run = attention_run, .reference = attention_reference,
    .stablehlo = attention_stablehlo, .scratch = attention_op_scratch, .binds = BINDS_CACHE,
    .attributes = sizeof(AttentionAttributes),
    .gradient = attention_gradient,
    .none = {[FACET_FINISH] = "a slot's cache is whole"},
};
