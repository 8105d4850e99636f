/* rope.c: rotary position embedding (Su et al. 2021), half-split layout as in Hugging Face checkpoints.
 *
 *     angle[t,i] = position[t] * frequency[i],  i < dim/2
 *     y[i] = x[i] cos - x[i+dim/2] sin,  y[i+dim/2] = x[i+dim/2] cos + x[i] sin;  channels past dim pass through
 *
 * Frequencies are theta^(-2i/dim) bent by the rope type. Two types go by the length of the sequence (StepRows.length):
 * dynamic (NTK) and longrope. The length of an entry is known before its first chunk, so chunking changes nothing; keys
 * already in the cache stay as they were rotated.
 */
#include <math.h>
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower.h"
#include "call.h"

/* YaRN (Peng et al. 2023): dimension at which a wave turns `rotations` times over the original length. */
static double yarn_dim(const Rope *r, double rotations) {
    return (double)r->dim * log((double)r->original_max / (rotations * 2 * M_PI)) / (2 * log(r->theta));
}

static double yarn_frequency(const Rope *r, int64_t i, double base) {
    double low = yarn_dim(r, r->beta_fast), high = yarn_dim(r, r->beta_slow);
    if (r->truncate) low = floor(low), high = ceil(high);
    if (low < 0) low = 0;
    if (high > (double)(r->dim - 1)) high = (double)(r->dim - 1);
    if (low == high) high += 0.001;
    double ramp = ((double)i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return base / r->factor * ramp + base * (1 - ramp);
}

/* Llama 3.1: long waves are slowed by the factor, short ones kept, those between interpolated. */
static double llama3_frequency(const Rope *r, double base) {
    double wave = 2 * M_PI / base, original = (double)r->original_max;
    if (wave < original / r->high_freq_factor) return base;
    if (wave > original / r->low_freq_factor) return base / r->factor;
    double smooth = (original / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * base / r->factor + smooth * base;
}

float rope_frequency(const Rope *r, int64_t i, int64_t length) {
    double theta = r->theta, dim = (double)r->dim;
    if (r->type == ROPE_DYNAMIC && length > r->max_positions) /* NTK-aware: stretch the base */
        theta *= pow(r->factor * (double)length / (double)r->max_positions - (r->factor - 1), dim / (dim - 2));
    double base = pow(theta, -2.0 * (double)i / dim);
    switch (r->type) {
    case ROPE_LINEAR: return (float)(base / r->factor);
    case ROPE_YARN: return (float)yarn_frequency(r, i, base);
    case ROPE_LONGROPE: return (float)(base / (length > r->original_max ? r->long_factor : r->short_factor)[i]);
    case ROPE_LLAMA3: return (float)llama3_frequency(r, base);
    default: return (float)base;
    }
}

/* ---- rope_table: [t] -> [t,c], cosines of the row then sines, once per step for all layers ----------------------- */

static bool rope_table_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *p = &graph_node(g, n->in[0])->shape;
    if (p->rank != 1) return err_as(err, QM_INTERNAL, "rope_table: expected positions [t]");
    *out = (Shape){.rank = 2, .dim = {p->dim[0], {.letters = "c", .size = graph_size(g, AXIS_CHANNEL)}}};
    return true;
}

static const Rope *rope_of(const Node *n) { return ((const RopeAttributes *)n->attributes)->rope; }

Tensor rope_table(Graph *g, Tensor positions, const Rope *rope) {
    return graph_op(g, &rope_table_row, &(Node){.in = {positions}, .attributes = &(RopeAttributes){.rope = rope}});
}

Tensor rope_back_table(Graph *g, Tensor positions, const Rope *rope) {
    return graph_op(g, &rope_table_row, &(Node){.in = {positions}, .attributes = &(RopeAttributes){rope, true}});
}

/* The sines of angles turned the other way. */
static float turn_of(const Node *n) { return ((const RopeAttributes *)n->attributes)->back ? -1.0f : 1.0f; }

static void rope_table_reference(const PlainCall *c) {
    const Rope *r = rope_of(c->node);
    int64_t half = r->dim / 2;
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < half; i++) {
            float *row = c->out + t * c->out_width, angle = (float)c->ids[t] * rope_frequency(r, i, c->step->length[t]);
            row[i] = (float)(cos((double)angle) * r->attention_factor);
            row[half + i] = (float)(sin((double)angle) * r->attention_factor) * turn_of(c->node);
        }
}

static int64_t rope_table_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)blocking, (void)rows;
    return rope_of(n)->dim; /* frequencies */
}

static void rope_table_run(const Call *c, int64_t first, int64_t last) {
    const Rope *r = rope_of(c->node);
    int64_t half = r->dim / 2;
    float *frequency = c->scratch, scale = (float)r->attention_factor;
    int64_t length = -1;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        if (c->step->length[t] != length) {
            length = c->step->length[t];
            for (int64_t i = 0; i < half; i++) frequency[i] = rope_frequency(r, i, length);
        }
        float *row = c->out + t * c->out_width;
        for (int64_t i = 0; i < half; i++) {
            float angle = (float)c->ids[t] * frequency[i];
            row[i] = cosf(angle) * scale;
            row[half + i] = sinf(angle) * scale * turn_of(c->node);
        }
    }
}

static Cost rope_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 3 * size, .bytes = 8 * size};
}

/* An argument of the program: rope types that depend on lengths are the host's to know. */
static void rope_table_stablehlo(Lower *l, const Node *n) {
    lower_step_input(l, lower_name(l, n), NULL, lower_rows(l), lower_dim(l, n, 1),
                     (int)(n - l->program->graph.nodes));
}

const OpRow rope_table_row = {
    .name = "rope_table", .factors = "t->t!c", .on_host = true, .stablehlo = rope_table_stablehlo,
    .shape = rope_table_shape, .units = call_rows, .cost = rope_cost,
    .run = rope_table_run, .reference = rope_table_reference,
    .scratch = rope_table_scratch, .attributes = sizeof(RopeAttributes),
    .none = {[FACET_GRADIENT] = "positions have none", [FACET_FINISH] = NOTHING_REDUCED},
};

/* ---- rope -------------------------------------------------------------------------------------------------------- */

static bool rope_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape;
    *out = *x;
    if (x->rank == 2 && x->dim[1].size % graph_size(g, AXIS_CHANNEL) == 0) return true;
    return err_as(err, QM_INTERNAL, "rope: expected rows of whole heads of %lld channels",
                  (long long)graph_size(g, AXIS_CHANNEL));
}

Tensor rope(Graph *g, Tensor x, Tensor table) {
    const Node *turns = graph_node(g, table); /* they go by the same description */
    return graph_op(g, &rope_row, &(Node){.in = {x, table}, .attributes = turns ? turns->attributes : NULL});
}

static void rope_reference(const PlainCall *c) {
    int64_t channels = graph_size(c->graph, AXIS_CHANNEL), half = rope_of(c->node)->dim / 2;
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < c->out_width; i++) {
            const float *x = c->in[0] + t * c->out_width + i;
            const float *cosine = c->in[1] + t * c->width[1], *sine = cosine + half;
            int64_t at = i % channels;
            c->out[t * c->out_width + i] = at >= 2 * half ? x[0]
                                           : at < half    ? x[0] * cosine[at] - x[half] * sine[at]
                                                          : x[0] * cosine[at - half] + x[-half] * sine[at - half];
        }
}

static void rope_run(const Call *c, int64_t first, int64_t last) {
    int64_t channels = graph_size(c->graph, AXIS_CHANNEL), table_width = c->in_width[1];
    int64_t half = rope_of(c->node)->dim / 2;
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        const float *row = c->in[1] + t * table_width;
        for (int64_t at = c->columns.first; at < c->columns.last; at += channels) {
            const float *x = c->in[0] + t * c->out_width + at;
            float *y = c->out + t * c->out_width + at;
            c->kernels->rope(x, row, row + half, half, y);
            if (2 * half < channels) memcpy(y + 2 * half, x + 2 * half, (size_t)(channels - 2 * half) * sizeof(float));
        }
    }
}

/* One half of the table's row over all heads: [t,c] -> [t,h,dim/2]. */
static void table_half(Lower *l, const char *table, const char *name, int64_t from, int64_t half, int64_t t, int64_t h,
                       int64_t c) {
    if (!lower_once(l, "%s", name)) return;
    const char *part = lower_type(l, NULL, 2, t, half);
    lower_line(l, "%%%s_s = stablehlo.slice %s [0:%lld, %lld:%lld] : (%s) -> %s", name, table, (long long)t,
               (long long)from, (long long)(from + half), lower_type(l, NULL, 2, t, c), part);
    lower_line(l, "%%%s = stablehlo.broadcast_in_dim %%%s_s, dims = [0, 2] : (%s) -> %s", name, name, part,
               lower_type(l, NULL, 3, t, h, half));
}

static void rope_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_rows(l), c = lower_channels(l), w = lower_dim(l, n, 1), h = w / c, half = rope_of(n)->dim / 2;
    const char *out = lower_out(l, n), *flat = lower_type(l, NULL, 2, t, w), *whole = lower_type(l, NULL, 3, t, h, c);
    const char *part = lower_type(l, NULL, 3, t, h, half), *rest = lower_type(l, NULL, 3, t, h, c - 2 * half);
    const char *table = lower_in(l, n, 1), *cosine = lower_word(l, "%s_cos%lld", table + 1, (long long)h);
    const char *sine = lower_word(l, "%s_sin%lld", table + 1, (long long)h);
    table_half(l, table, cosine, 0, half, t, h, c);
    table_half(l, table, sine, half, half, t, h, c);
    lower_line(l, "%s_x = stablehlo.reshape %s : (%s) -> %s", out, lower_in(l, n, 0), flat, whole);
    lower_line(l, "%s_l = stablehlo.slice %s_x [0:%lld, 0:%lld, 0:%lld] : (%s) -> %s", out, out, (long long)t,
               (long long)h, (long long)half, whole, part);
    lower_line(l, "%s_r = stablehlo.slice %s_x [0:%lld, 0:%lld, %lld:%lld] : (%s) -> %s", out, out, (long long)t,
               (long long)h, (long long)half, (long long)(2 * half), whole, part);
    lower_line(l, "%s_lc = stablehlo.multiply %s_l, %%%s : %s", out, out, cosine, part);
    lower_line(l, "%s_rs = stablehlo.multiply %s_r, %%%s : %s", out, out, sine, part);
    lower_line(l, "%s_rc = stablehlo.multiply %s_r, %%%s : %s", out, out, cosine, part);
    lower_line(l, "%s_ls = stablehlo.multiply %s_l, %%%s : %s", out, out, sine, part);
    lower_line(l, "%s_a = stablehlo.subtract %s_lc, %s_rs : %s", out, out, out, part);
    lower_line(l, "%s_b = stablehlo.add %s_rc, %s_ls : %s", out, out, out, part);
    if (2 * half < c) {
        lower_line(l, "%s_p = stablehlo.slice %s_x [0:%lld, 0:%lld, %lld:%lld] : (%s) -> %s", out, out, (long long)t,
                   (long long)h, (long long)(2 * half), (long long)c, whole, rest);
        lower_line(l, "%s_y = stablehlo.concatenate %s_a, %s_b, %s_p, dim = 2 : (%s, %s, %s) -> %s", out, out, out, out,
                   part, part, rest, whole);
    } else {
        lower_line(l, "%s_y = stablehlo.concatenate %s_a, %s_b, dim = 2 : (%s, %s) -> %s", out, out, out, part, part,
                   whole);
    }
    lower_line(l, "%s = stablehlo.reshape %s_y : (%s) -> %s", out, out, whole, flat);
}

/* The table of the rotations back is made once for all layers that turn alike. */
static bool rope_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    Graph *g = b->g;
    Node table = *graph_node(g, n->in[1]);
    Tensor back = NO_TENSOR;
    (void)self;
    for (int id = b->count; id < g->count; id++) {
        const Node *made = &g->nodes[id];
        if (made->op == table.op && made->in[0].id == table.in[0].id && rope_of(made) == rope_of(&table))
            back = (Tensor){id};
    }
    if (!back.id) back = rope_back_table(g, table.in[0], rope_of(&table));
    return gradient_add(b, n->in[0], rope(g, dy, back));
}

const OpRow rope_row = {
    .name = "rope",
    .factors = "t(h!c),t!c->t(h!c)",
    .shape = rope_shape,
    .units = call_rows,
    .run = rope_run, .reference = rope_reference,
    .cost = rope_cost,
    .stablehlo = rope_stablehlo,
    .attributes = sizeof(RopeAttributes),
    .gradient = rope_gradient, .none = {[FACET_FINISH] = NOTHING_REDUCED},
};
