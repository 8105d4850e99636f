/* norm.c: rms_norm, the smallest complete operation ("Anatomy of an op" in the README walks through it), and head_norm,
 * the same over each head's channels.
 *
 *     r[t]   = 1 / sqrt(mean over d of x[t,d]^2 + epsilon)
 *     y[t,d] = (x[t,d] r[t]) gain[d]                        (Zhang & Sennrich 2019; as in Qwen2, in
 * float32) */
#include <math.h>
#include "../graph/lower.h"
#include "call.h"
#include "norm.h"

static bool rms_norm_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *gain = &graph_node(g, n->in[1])->shape;
    *out = *x;
    if (gain->rank == 1 && gain->dim[0].size == x->dim[x->rank - 1].size) return true;
    return err_as(err, QM_INTERNAL, "rms_norm: gain of %lld does not fit rows of %lld", (long long)gain->dim[0].size,
                  (long long)x->dim[x->rank - 1].size);
}

static float epsilon_of(const Node *n) { return ((const NormAttributes *)n->attributes)->epsilon; }

Tensor rms_norm(Graph *g, Tensor x, Tensor gain, double epsilon) {
    return graph_op(g, &rms_norm_row,
                    &(Node){.in = {x, gain}, .attributes = &(NormAttributes){.epsilon = (float)epsilon}});
}

static void rms_norm_reference(const PlainCall *c) {
    int64_t d = c->out_width;
    for (int64_t t = 0; t < c->rows; t++) {
        const float *x = c->in[0] + t * d;
        double square = 0;
        for (int64_t i = 0; i < d; i++) square += (double)x[i] * (double)x[i];
        double r = 1 / sqrt(square / (double)d + (double)epsilon_of(c->node));
        for (int64_t i = 0; i < d; i++) c->out[t * d + i] = (float)((double)x[i] * r * (double)c->in[1][i]);
    }
}

static void rms_norm_run(const Call *c, int64_t first, int64_t last) {
    int64_t d = c->out_width;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        c->kernels->rms_norm(c->in[0] + t * d, c->in[1], epsilon_of(c->node), d, c->out + t * d);
}

static Cost rms_norm_cost(const Graph *g, const Node *n) {
    double td = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 4 * td, .bytes = 8 * td};
}

/* What XLA inlines where Tenstorrent's compiler has an op of its own; f32 inside, as the formula says. */
static void rms_norm_function(Lower *l, const char *name, int64_t rows, int64_t d, float epsilon) {
    const char *x = lower_type(l, NULL, 2, rows, d), *f = lower_type(l, "f32", 2, rows, d),
               *r = lower_type(l, "f32", 1, rows);
    const char *gain = lower_type(l, NULL, 1, d);
    text_line(&l->functions,
              "func.func private @%s(%%x: %s, %%gain: %s) -> %s {\n"
              "  %%f = stablehlo.convert %%x : (%s) -> %s\n"
              "  %%g = stablehlo.convert %%gain : (%s) -> %s\n"
              "  %%s = stablehlo.multiply %%f, %%f : %s\n"
              "  %%z = stablehlo.constant dense<0.0> : tensor<f32>\n"
              "  %%m = stablehlo.reduce(%%s init: %%z) applies stablehlo.add across dimensions = [1] : (%s, "
              "tensor<f32>) -> %s\n",
              name, x, gain, x, x, f, gain, lower_type(l, "f32", 1, d), f, f, r);
    text_line(&l->functions,
              "  %%d = stablehlo.constant dense<%lld.0> : %s\n"
              "  %%e = stablehlo.constant dense<%.9e> : %s\n"
              "  %%a = stablehlo.divide %%m, %%d : %s\n"
              "  %%b = stablehlo.add %%a, %%e : %s\n"
              "  %%r = stablehlo.rsqrt %%b : %s\n"
              "  %%rb = stablehlo.broadcast_in_dim %%r, dims = [0] : (%s) -> %s\n"
              "  %%gb = stablehlo.broadcast_in_dim %%g, dims = [1] : (%s) -> %s\n"
              "  %%y = stablehlo.multiply %%f, %%rb : %s\n"
              "  %%w = stablehlo.multiply %%y, %%gb : %s\n"
              "  %%o = stablehlo.convert %%w : (%s) -> %s\n"
              "  return %%o : %s\n}\n",
              (long long)d, r, (double)epsilon, r, r, r, r, r, f, lower_type(l, "f32", 1, d), f, f, f, f, x, x);
}

/* `out` = the norm of the rows of x, `rows` of `d` each. */
static void norm_line(Lower *l, const Node *n, const char *out, const char *x, int64_t rows, int64_t d) {
    const char *name = lower_word(l, "rms_norm_%lldx%lld", (long long)rows, (long long)d);
    if (lower_once(l, "%s", name)) rms_norm_function(l, name, rows, d, epsilon_of(n));
    const char *gain = lower_in(l, n, 1), *type = lower_type(l, NULL, 2, rows, d);
    lower_line(
        l,
        "%s = stablehlo.composite \"tenstorrent.rms_norm\" %s, %s {composite_attributes = {epsilon = %.9e : f32, "
        "normalized_shape = dense<[%lld]> : tensor<1xi64>}, decomposition = @%s} : (%s, %s) -> %s",
        out, x, gain, (double)epsilon_of(n), (long long)d, name, type, lower_type(l, NULL, 1, d), type);
}

static void rms_norm_stablehlo(Lower *l, const Node *n) {
    norm_line(l, n, lower_out(l, n), lower_in(l, n, 0), lower_dim(l, n, 0), lower_dim(l, n, 1));
}

const OpRow rms_norm_row = {
    .name = "rms_norm", .factors = "t!d,!d->t!d",
    .shape = rms_norm_shape, .units = call_rows, .cost = rms_norm_cost,
    .run = rms_norm_run, .reference = rms_norm_reference,
    .stablehlo = rms_norm_stablehlo,
    .attributes = sizeof(NormAttributes),
    .gradient = rms_norm_gradient,
    .none = {[FACET_FINISH] = "d must stay whole"},
};

/* ---- head_norm: the gain is of one head's channels --------------------------------------------------------------- */

static bool head_norm_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *gain = &graph_node(g, n->in[1])->shape;
    int64_t channels = graph_size(g, AXIS_CHANNEL);
    *out = *x;
    if (gain->rank == 1 && gain->dim[0].size == channels && x->rank == 2 && x->dim[1].size % channels == 0) return true;
    return err_as(err, QM_INTERNAL, "head_norm: expected rows of whole heads and a gain of %lld channels",
                  (long long)channels);
}

Tensor head_norm(Graph *g, Tensor x, Tensor gain, double epsilon) {
    return graph_op(g, &head_norm_row,
                    &(Node){.in = {x, gain}, .attributes = &(NormAttributes){.epsilon = (float)epsilon}});
}

static void head_norm_reference(const PlainCall *c) {
    int64_t channels = graph_size(c->graph, AXIS_CHANNEL);
    for (int64_t at = 0; at < c->rows * c->out_width; at += channels) {
        const float *x = c->in[0] + at;
        double square = 0;
        for (int64_t i = 0; i < channels; i++) square += (double)x[i] * (double)x[i];
        double r = 1 / sqrt(square / (double)channels + (double)epsilon_of(c->node));
        for (int64_t i = 0; i < channels; i++) c->out[at + i] = (float)((double)x[i] * r * (double)c->in[1][i]);
    }
}

static void head_norm_run(const Call *c, int64_t first, int64_t last) {
    int64_t channels = graph_size(c->graph, AXIS_CHANNEL);
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        for (int64_t at = t * c->out_width + c->columns.first; at < t * c->out_width + c->columns.last; at += channels)
            c->kernels->rms_norm(c->in[0] + at, c->in[1], epsilon_of(c->node), channels, c->out + at);
}

/* The heads of all rows are the rows of one rms_norm. */
static void head_norm_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_rows(l), c = lower_channels(l), w = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *rows = lower_type(l, NULL, 2, t, w),
               *heads = lower_type(l, NULL, 2, t * (w / c), c);
    const char *x = lower_word(l, "%s_x", out), *y = lower_word(l, "%s_y", out);
    lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", x, lower_in(l, n, 0), rows, heads);
    norm_line(l, n, y, x, t * (w / c), c);
    lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", out, y, heads, rows);
}

const OpRow head_norm_row = {
    .name = "head_norm", .factors = "t(h!c),!c->t(h!c)",
    .shape = head_norm_shape, .units = call_rows, .cost = rms_norm_cost,
    .run = head_norm_run, .reference = head_norm_reference,
    .stablehlo = head_norm_stablehlo,
    .attributes = sizeof(NormAttributes),
    .gradient = head_norm_gradient,
    .none = {[FACET_FINISH] = NOTHING_REDUCED},
};

bool norm_has_gain(const Graph *g, int weight) {
    for (int i = 1; i < g->count; i++) {
        const Node *n = &g->nodes[i];
        if (n->kind == NODE_OP && (n->op == &rms_norm_row || n->op == &head_norm_row) && n->in[1].id == weight)
            return true;
    }
    return false;
}
