/* collective.c: where devices meet: all_reduce finishes the tree of a split sum; argmax and reduce_argmax find the
 * largest logit without gathering the vocabulary. */
#include <math.h>
#include <string.h>
#include "../graph/lower.h"
#include "call.h"

static Cost collective_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)node_width(n);
    (void)g;
    return (Cost){.flops = size, .bytes = 8 * size};
}

/* ---- all_reduce: partial sums [t,d] -> [t,d] --------------------------------------------------------------------- */

static bool all_reduce_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return n->in[0].id > 0 || err_as(err, QM_INTERNAL, "all_reduce: expected a value");
}

Tensor all_reduce(Graph *g, Tensor x) { return graph_op(g, &all_reduce_row, &(Node){.in = {x}}); }

/* Plain values are whole: there is nothing to add. */
static void all_reduce_reference(const PlainCall *c) {
    memcpy(c->out, c->in[0], (size_t)(c->rows * c->out_width) * sizeof(float));
}

static int64_t all_reduce_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    const SumTree *sum = program_sum(p, graph_node(&p->graph, n->in[0]));
    (void)blocking, (void)rows;
    return sum ? (sum->tree.levels + 2) * REDUCE_CHUNK : 0;
}

static int64_t chunks(const Call *c) { return (c->out_width + REDUCE_CHUNK - 1) / REDUCE_CHUNK; }
static int64_t all_reduce_units(const Call *c) { return call_rows(c) * chunks(c); }

/* Blocks of doubles, rounded when they are one sum. */
static void doubles_reduce(const Call *c, int64_t t, int64_t from, int64_t n) {
    int64_t w = c->out_width, step = block_step(call_block_rows(c, c->node), 2 * w) / 2;
    const double *blocks = (const double *)(const void *)c->in[0] + t * w;
    for (int64_t i = from; i < from + n; i++) {
        double stack[TREE_MAX_LEVELS + 2] = {0};
        int top = 0;
        for (int s = 0; s < c->reduce.finish_count; s++) {
            if (c->reduce.finish[s] >= 0) stack[top++] = blocks[c->reduce.finish[s] * step + i];
            else top--, stack[top - 1] += stack[top];
        }
        c->out[t * w + i] = (float)stack[0];
    }
}

static void all_reduce_run(const Call *c, int64_t first, int64_t last) {
    int64_t step = block_step(call_block_rows(c, c->node), c->out_width);
    for (int64_t u = first; u < last; u++) {
        int64_t t = c->row0 + u / chunks(c), from = u % chunks(c) * REDUCE_CHUNK, w = c->out_width;
        int64_t n = w - from < REDUCE_CHUNK ? w - from : REDUCE_CHUNK;
        if (c->reduce.doubles) {
            doubles_reduce(c, t, from, n);
            continue;
        }
        const float *stack[TREE_MAX_LEVELS + 2];
        int top = 0;
        for (int s = 0; s < c->reduce.finish_count; s++) {
            if (c->reduce.finish[s] >= 0) {
                stack[top++] = c->in[0] + c->reduce.finish[s] * step + t * w + from;
                continue;
            }
            float *sum = c->scratch + (top - 2) * REDUCE_CHUNK;
            c->kernels->add(stack[top - 2], stack[top - 1], n, sum);
            stack[--top - 1] = sum;
        }
        memcpy(c->out + t * w + from, stack[0], (size_t)n * sizeof(float));
    }
}

/* A partial sum over the group alone is of the devices with the same key/value heads. */
static void all_reduce_stablehlo(Lower *l, const Node *n) {
    const char *partial = graph_node(&l->program->graph, n->in[0])->partial;
    const char *out = lower_out(l, n), *type = lower_tensor(l, n), *x = lower_in(l, n, 0);
    bool group = partial[0] == AXIS_GROUP && !partial[1];
    const char *sum = group ? lower_group_reduce(l, x, out, lower_dim(l, n, 0), lower_dim(l, n, 1))
                            : lower_all_reduce(l, "add", x, out, axis_is_rows(partial[0]), lower_element(l, n), type);
    if (sum == x) lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", out, x, type, type); /* one device */
}

const OpRow all_reduce_row = {
    .name = "all_reduce", .factors = "td->td", .collective = true,
    .shape = all_reduce_shape, .units = all_reduce_units, .cost = collective_cost,
    .run = all_reduce_run, .reference = all_reduce_reference,
    .stablehlo = all_reduce_stablehlo, .scratch = all_reduce_scratch, .binds = BINDS_REDUCE,
    .none = {[FACET_GRADIENT] = NOT_TRAINED, [FACET_FINISH] = "the result is whole"},
};

/* ---- argmax: logits [r,v] -> (max,
                                 id) of each device's vocabulary shard, id as f32 (exact: ids are below 2^24). A NaN
 * anywhere makes it (NaN, -1): what is computed from damage has no largest. ---------------------------------------- */

static bool argmax_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    *out = (Shape){.rank = 1, .dim = {x->dim[0]}};
    return x->rank == 2 || err_as(err, QM_INTERNAL, "argmax: expected [r,v]");
}

Tensor argmax(Graph *g, Tensor logits) { return graph_op(g, &argmax_row, &(Node){.in = {logits}}); }

static void argmax_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++) {
        const float *x = c->in[0] + r * c->width[0];
        int64_t best = 0;
        bool damaged = false;
        for (int64_t v = 0; v < c->width[0]; v++) {
            if (x[v] > x[best]) best = v;
            damaged |= x[v] != x[v];
        }
        c->out[2 * r] = damaged ? NAN : x[best];
        c->out[2 * r + 1] = damaged ? -1 : (float)best;
    }
}

static bool has_nan(const float *x, int64_t n) {
    uint32_t lane[16] = {0}, any = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) { /* without a branch, lanes that a compiler makes a vector */
            union { float f; uint32_t u; } v = {.f = x[i + l]};
            lane[l] |= (uint32_t)((int32_t)(v.u & 0x7fffffffu) > 0x7f800000);
        }
    for (; i < n; i++) any |= x[i] != x[i];
    for (int l = 0; l < 16; l++) any |= lane[l];
    return any;
}

static void argmax_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        float best = -INFINITY, *pair = c->out + (r * c->pairs.devices + c->pairs.device) * 2;
        int64_t n = c->columns.last - c->columns.first;
        int64_t id = n ? c->kernels->argmax(c->in[0] + r * c->in_width[0] + c->columns.first, n, &best) : -1;
        bool damaged = has_nan(c->in[0] + r * c->in_width[0] + c->columns.first, n);
        pair[0] = damaged ? NAN : best;
        pair[1] = id < 0 || damaged ? -1.0f : (float)(c->columns.first + id);
    }
}

static Tensor argmax_finish(Graph *g, Tensor partial) { return reduce_argmax(g, partial); }

/* One reduction: "%out = op over the columns of x". */
static void row_reduce(Lower *l, const char *out, const char *suffix, const char *x, const char *op, double start,
                       int64_t r, int64_t v) {
    lower_line(l, "%s%s_0 = stablehlo.constant dense<%.9e> : tensor<f32>", out, suffix, start);
    lower_line(l,
               "%s%s = stablehlo.reduce(%s init: %s%s_0) applies stablehlo.%s across dimensions = [1] : (%s, "
               "tensor<f32>) -> %s",
               out, suffix, x, out, suffix, op, lower_type(l, "f32", 2, r, v), lower_type(l, "f32", 1, r));
}

/* What XLA inlines where Tenstorrent's compiler has an op: a sort of values with their places, cut off. Equal values
 * stay in order. */
static void top_function(Lower *l, int64_t r, int64_t v, int64_t k) {
    const char *x = lower_type(l, "f32", 2, r, v), *at = lower_type(l, "i32", 2, r, v);
    const char *f = lower_type(l, "f32", 2, r, k), *i = lower_type(l, "i32", 2, r, k);
    Text *out = &l->functions;
    text_line(out, "func.func private @top(%%x: %s) -> (%s, %s) {\n  %%i = stablehlo.iota dim = 1 : %s\n", x, f, i, at);
    text_line(out,
              "  %%s:2 = \"stablehlo.sort\"(%%x, %%i) ({\n"
              "  ^bb0(%%a: tensor<f32>, %%b: tensor<f32>, %%c: tensor<i32>, %%d: tensor<i32>):\n"
              "    %%e = stablehlo.compare GT, %%a, %%b, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
              "    stablehlo.return %%e : tensor<i1>\n"
              "  }) {dimension = 1 : i64, is_stable = true} : (%s, %s) -> (%s, %s)\n",
              x, at, x, at);
    text_line(out, "  %%v = stablehlo.slice %%s#0 [0:%lld, 0:%lld] : (%s) -> %s\n", (long long)r, (long long)k, x, f);
    text_line(out, "  %%p = stablehlo.slice %%s#1 [0:%lld, 0:%lld] : (%s) -> %s\n", (long long)r, (long long)k, at, i);
    text_line(out, "  return %%v, %%p : %s, %s\n}\n", f, i);
}

/* The largest of the device's logits and their ids, from the values that argmax has made: masked, in f32. */
static void candidates_stablehlo(Lower *l, const char *out, int64_t r, int64_t v) {
    int64_t k = l->candidates < v ? l->candidates : v;
    const char *f = lower_type(l, "f32", 2, r, k), *i = lower_type(l, "i32", 2, r, k);
    if (lower_once(l, "top")) top_function(l, r, v, k);
    lower_line(l,
               "%s_k:2 = stablehlo.composite \"tenstorrent.topk\" %s_x {composite_attributes = {k = %lld : i32, dim = "
               "-1 : i32, largest = true, sorted = true}, decomposition = @top} : (%s) -> (%s, %s)",
               out, out, (long long)k, lower_type(l, "f32", 2, r, v), f, i);
    lower_line(l, "%s_kf = stablehlo.convert %s_k#1 : (%s) -> %s", out, out, i, f);
    lower_line(l, "%s_kt = stablehlo.broadcast_in_dim %s_s0, dims = [1] : (tensor<1xf32>) -> %s", out, out, f);
    lower_line(l, "%s_kg = stablehlo.add %s_kf, %s_kt : %s", out, out, out, f);
    lower_line(l, "%%" LOWER_CANDIDATES " = stablehlo.concatenate %s_k#0, %s_kg, dim = 1 : (%s, %s) -> %s", out, out, f,
               f, lower_type(l, "f32", 2, r, 2 * k));
    lower_result(l, LOWER_CANDIDATES, 2 * k);
}

/* The largest value, then the lowest id that has it: plain reductions, which every compiler has. Padding never wins. */
static void argmax_stablehlo(Lower *l, const Node *n) {
    int64_t r = l->bucket.logit_rows, v = lower_dim(l, graph_node(&l->program->graph, n->in[0]), 1);
    const char *out = lower_out(l, n), *x = lower_word(l, "%s_x", out);
    const char *f = lower_type(l, "f32", 2, r, v), *b = lower_type(l, "i1", 2, r, v),
               *one = lower_type(l, "f32", 1, (int64_t)1);
    lower_line(l, "%s_f = stablehlo.convert %s : (%s) -> %s", out, lower_in(l, n, 0), lower_type(l, NULL, 2, r, v), f);
    const char *places = lower_type(l, "f32", 1, (int64_t)LOWER_PLACES);
    lower_line(l, "%s_s = stablehlo.convert %s : (%s) -> %s", out, lower_shard_input(l),
               lower_type(l, "i32", 1, (int64_t)LOWER_PLACES), places);
    for (int i = 0; i < 2; i++) {
        lower_line(l, "%s_s%d = stablehlo.slice %s_s [%d:%d] : (%s) -> %s", out, i, out, i, i + 1, places, one);
        lower_line(l, "%s_t%d = stablehlo.broadcast_in_dim %s_s%d, dims = [1] : (%s) -> %s", out, i, out, i, one, f);
    }
    lower_line(l, "%s_i = stablehlo.iota dim = 1 : %s", out, f);
    lower_line(l, "%s_v = stablehlo.compare LT, %s_i, %s_t1, FLOAT : (%s, %s) -> %s", out, out, out, f, f, b);
    lower_line(l, "%s_n = stablehlo.constant dense<-3.0e38> : %s", out, f);
    lower_line(l, "%s = stablehlo.select %s_v, %s_f, %s_n : %s, %s", x, out, out, out, b, f);
    row_reduce(l, out, "_m", x, "maximum", -3.0e38, r, v);
    lower_line(l, "%s_mb = stablehlo.broadcast_in_dim %s_m, dims = [0] : (%s) -> %s", out, out,
               lower_type(l, "f32", 1, r), f);
    lower_line(l, "%s_e = stablehlo.compare EQ, %s, %s_mb, FLOAT : (%s, %s) -> %s", out, x, out, f, f, b);
    lower_line(l, "%s_g = stablehlo.add %s_i, %s_t0 : %s", out, out, out, f);
    lower_line(l, "%s_h = stablehlo.constant dense<3.0e38> : %s", out, f);
    x = lower_word(l, "%s_c", out);
    lower_line(l, "%s = stablehlo.select %s_e, %s_g, %s_h : %s, %s", x, out, out, out, b, f);
    row_reduce(l, out, "_d", x, "minimum", 3.0e38, r, v);
    const char *flat = lower_type(l, "f32", 1, r), *column = lower_type(l, "f32", 2, r, (int64_t)1);
    lower_line(l, "%s_m1 = stablehlo.reshape %s_m : (%s) -> %s", out, out, flat, column);
    lower_line(l, "%s_d1 = stablehlo.reshape %s_d : (%s) -> %s", out, out, flat, column);
    lower_line(l, "%s = stablehlo.concatenate %s_m1, %s_d1, dim = 1 : (%s, %s) -> %s", out, out, out, column, column,
               lower_type(l, "f32", 2, r, (int64_t)2));
    if (l->candidates) candidates_stablehlo(l, out, r, v);
}

#define NO_CHOICE "a choice has none"
const OpRow argmax_row = {
    .name = "argmax",
    .factors = "rv->r",
    .pairs = true,
    .shape = argmax_shape,
    .units = call_rows,
    .run = argmax_run, .reference = argmax_reference,
    .cost = collective_cost,
    .finish = argmax_finish,
    .stablehlo = argmax_stablehlo,
    .binds = BINDS_PAIRS,
    .none = {[FACET_GRADIENT] = NO_CHOICE},
};

/* ---- reduce_argmax: the largest of the devices' pairs, ties to the lowest id; NaN as above ---------------------- */

static bool reduce_argmax_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return out->rank == 1 || err_as(err, QM_INTERNAL, "reduce_argmax: expected [r]");
}

Tensor reduce_argmax(Graph *g, Tensor pairs) { return graph_op(g, &reduce_argmax_row, &(Node){.in = {pairs}}); }

/* Of a plain value there is one pair a row. */
static void reduce_argmax_reference(const PlainCall *c) {
    memcpy(c->out, c->in[0], (size_t)(2 * c->rows) * sizeof(float));
}

enum { IDS = 1 << 24 }; /* more than any vocabulary has */

/* A pair without an id has one below 0; a lowered program's, where logits are NaN, one that no vocabulary has. */
static void reduce_argmax_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++) {
        const float *pairs = c->in[0] + r * c->pairs.devices * 2;
        float best = -INFINITY, id = -1;
        bool damaged = false;
        for (int d = 0; d < c->pairs.devices; d++) {
            float top = pairs[2 * d], at = pairs[2 * d + 1];
            if (at >= 0 && at < IDS && (id < 0 || top > best)) best = top, id = at;
            damaged |= top != top;
        }
        if (damaged) best = NAN, id = -1;
        c->out[2 * r] = best;
        c->out[2 * r + 1] = id;
    }
}

/* The pairs of all devices on every device, [r, 2 * devices]; which is largest the host sees at a glance. */
static void reduce_argmax_stablehlo(Lower *l, const Node *n) {
    int64_t r = l->bucket.logit_rows, columns = 2;
    const char *out = lower_out(l, n), *pairs = lower_in(l, n, 0);
    const char *all = lower_all_gather(l, pairs, out, r, &columns, "f32");
    const char *type = lower_type(l, "f32", 2, r, columns);
    if (all == pairs) lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", out, pairs, type, type);
}

const OpRow reduce_argmax_row = {
    .name = "reduce_argmax", .factors = "r->r", .pairs = true, .collective = true,
    .shape = reduce_argmax_shape, .units = call_rows, .cost = collective_cost,
    .run = reduce_argmax_run, .reference = reduce_argmax_reference,
    .stablehlo = reduce_argmax_stablehlo, .binds = BINDS_PAIRS,
    .none = {[FACET_GRADIENT] = NO_CHOICE, [FACET_FINISH] = "the result is whole"},
};
