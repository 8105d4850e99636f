/* dropout.c: numbers of rows set to 0 with probability p, the others divided by 1 - p (Srivastava et al. 2014), in
 * training alone. A draw is a function of (seed, step, row's place in the step, site, column), so it is the same on
 * every mesh, for every split into passes, when a layer is computed again, and for the gradient, which is the same op.
 */
#include <string.h>
#include "../base/mix.h"
#include "../graph/gradient.h"
#include "../graph/lower_train.h"
#include "call.h"

typedef struct DropoutAttributes { float p; uint32_t site; } DropoutAttributes;

static const DropoutAttributes *attributes_of(const Node *n) { return n->attributes; }

Tensor dropout(Graph *g, Tensor x, double p, uint32_t site) {
    return graph_op(g, &dropout_row, &(Node){.in = {x}, .attributes = &(DropoutAttributes){(float)p, site}});
}

static bool dropout_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    return out->rank == 2 || err_as(err, QM_INTERNAL, "dropout: expected rows");
}

/* Draws of 16 bits, four columns at a time. */
static uint64_t place_key(const StepScalars *s, int64_t place) {
    return mix64(mix64(mix64(s->seed) ^ (uint64_t)s->step) ^ (uint64_t)place);
}
static uint64_t row_key(const StepRows *s, const Node *n, int64_t t) {
    return mix64(place_key(&s->scalars, s->place[t]) ^ attributes_of(n)->site);
}
static float kept(const Node *n, uint64_t key, int64_t column, float x) {
    uint32_t draw = (uint32_t)(mix64(key ^ (uint64_t)(column / 4)) >> column % 4 * 16) & 0xffff;
    float p = attributes_of(n)->p;
    return (float)draw < p * 65536.0f ? 0 : x / (1.0f - p);
}

static void dropout_reference(const PlainCall *c) {
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0, at = t * c->out_width; i < c->out_width; i++, at++)
            c->out[at] = c->step->scalars.step ? kept(c->node, row_key(c->step, c->node, t), i, c->in[0][at])
                                               : c->in[0][at];
}

static void dropout_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++) {
        uint64_t key = row_key(c->step, c->node, t);
        const float *x = c->in[0] + t * c->out_width;
        float *y = c->out + t * c->out_width;
        if (!c->step->scalars.step) /* an evaluation */
            memcpy(y + c->columns.first, x + c->columns.first,
                   (size_t)(c->columns.last - c->columns.first) * sizeof *y);
        else for (int64_t i = c->columns.first; i < c->columns.last; i++) y[i] = kept(c->node, key, i, x[i]);
    }
}

static Cost dropout_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = 8 * size, .bytes = 8 * size};
}

static bool dropout_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    const DropoutAttributes *a = attributes_of(n);
    (void)self;
    return gradient_add(b, n->in[0], dropout(b->g, dy, (double)a->p, a->site));
}

void lower_draws(const StepScalars *s, int64_t place, int32_t out[2]) {
    uint64_t key = place_key(s, place);
    memcpy(out, (uint32_t[]){(uint32_t)key, (uint32_t)(key >> 32)}, 2 * sizeof *out);
}

/* base/mix.h's mix64. */
static void mix_lines(Lower *l, const char *out, const char *x, const char *type) {
    static const struct { uint64_t by; int shift; } part[] = {{MIX_STEP, 0}, {0, 30}, {MIX_FIRST, 0},
                                                              {0, 27}, {MIX_SECOND, 0}, {0, 31}};
    int last = sizeof part / sizeof *part - 1;
    for (int i = 0; i <= last; i++) {
        const char *to = i == last ? out : lower_word(l, "%s_%d", out, i), *by = lower_word(l, "%s_%dc", out, i);
        lower_line(l, "%s = stablehlo.constant dense<%llu> : %s", by,
                   (unsigned long long)(part[i].shift ? (uint64_t)part[i].shift : part[i].by), type);
        if (part[i].shift) {
            lower_op(l, lower_word(l, "%s_%ds", out, i), "shift_right_logical", x, by, type);
            lower_op(l, to, "xor", x, lower_word(l, "%s_%ds", out, i), type);
        } else lower_op(l, to, i ? "multiply" : "add", x, by, type);
        x = to;
    }
}

/* The number of each column among those of all devices, ui64 [t, w]. */
static void column_lines(Lower *l, const Node *n, const char *out, const char *type) {
    static const LowerPlace place[128] = {[AXIS_FFN] = PLACE_FFN, [AXIS_KV_HEAD] = PLACE_KV, [AXIS_GROUP] = PLACE_GROUP,
                                          [AXIS_VOCAB] = PLACE_VOCAB};
    const Graph *g = &l->program->graph;
    const char *letters = n->shape.dim[1].letters, *sum = NULL;
    int64_t inner = lower_dim(l, n, 1);
    lower_line(l, "%s_i = stablehlo.iota dim = 1 : %s", out, type);
    for (const char *c = letters; *c; c++) {
        int64_t all = 1, own = lower_letter(l, *c, n->split);
        inner /= own;
        for (const char *rest = c + 1; *rest; rest++) all *= graph_size(g, (Axis)*rest);
        const char *at = lower_word(l, "%s_%c", out, *c), *k = lower_word(l, "%s_%ck", out, *c);
        lower_line(l, "%s = stablehlo.constant dense<%lld> : %s", k, (long long)inner, type);
        lower_op(l, lower_word(l, "%s0", at), "divide", lower_word(l, "%s_i", out), k, type);
        lower_line(l, "%s1 = stablehlo.constant dense<%lld> : %s", k, (long long)own, type);
        lower_op(l, lower_word(l, "%s1", at), "remainder", lower_word(l, "%s0", at), lower_word(l, "%s1", k), type);
        if (strchr(n->split, *c)) {
            lower_convert(l, lower_word(l, "%s2", at), lower_place(l, place[*c & 127]), "tensor<i32>", "tensor<ui64>");
            lower_spread(l, lower_word(l, "%s3", at), lower_word(l, "%s2", at), "[]", "tensor<ui64>", type);
            lower_op(l, lower_word(l, "%s4", at), "add", lower_word(l, "%s1", at), lower_word(l, "%s3", at), type);
        }
        lower_line(l, "%s2 = stablehlo.constant dense<%lld> : %s", k, (long long)all, type);
        lower_op(l, lower_word(l, "%s5", at), "multiply", lower_word(l, strchr(n->split, *c) ? "%s4" : "%s1", at),
                 lower_word(l, "%s2", k), type);
        const char *to = c[1] ? lower_word(l, "%s6", at) : out;
        if (sum) lower_op(l, to, "add", sum, lower_word(l, "%s5", at), type);
        else lower_reshape(l, to, lower_word(l, "%s5", at), type, type);
        sum = to;
    }
}

/* In integers of 64 bits: the CPU engine's draws, bit for bit. */
static void dropout_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_dim(l, n, 0), w = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *rows = lower_type(l, "ui64", 1, t), *u = lower_type(l, "ui64", 2, t, w);
    const char *bits = lower_type(l, "i1", 2, t, w), *f = lower_type(l, "f32", 2, t, w);
    float p = attributes_of(n)->p;
    if (l->platform && !strcmp(l->platform, "tt")) /* it would take them for numbers of 32 bits, and say nothing */
        err_as(&l->err, QM_USAGE,
               "dropout: its draws are of 64 bits, which Tenstorrent's chips lack: expected none, got %g", (double)p);
    lower_line(l, "%s_k0 = stablehlo.bitcast_convert %s : (%s) -> %s", out,
               lower_step_input(l, "draws", "i32", t, 2, 0), lower_type(l, "i32", 2, t, (int64_t)2), rows);
    lower_line(l, "%s_site = stablehlo.constant dense<%u> : %s", out, attributes_of(n)->site, rows);
    lower_op(l, lower_word(l, "%s_k1", out), "xor", lower_word(l, "%s_k0", out), lower_word(l, "%s_site", out), rows);
    mix_lines(l, lower_word(l, "%s_k", out), lower_word(l, "%s_k1", out), rows);
    lower_spread(l, lower_word(l, "%s_kb", out), lower_word(l, "%s_k", out), "[0]", rows, u);
    column_lines(l, n, lower_word(l, "%s_c", out), u);
    lower_line(l, "%s_4 = stablehlo.constant dense<4> : %s\n%s_16 = stablehlo.constant dense<16> : %s", out, u, out, u);
    lower_op(l, lower_word(l, "%s_cq", out), "divide", lower_word(l, "%s_c", out), lower_word(l, "%s_4", out), u);
    lower_op(l, lower_word(l, "%s_cr", out), "remainder", lower_word(l, "%s_c", out), lower_word(l, "%s_4", out), u);
    lower_op(l, lower_word(l, "%s_kq", out), "xor", lower_word(l, "%s_kb", out), lower_word(l, "%s_cq", out), u);
    mix_lines(l, lower_word(l, "%s_m", out), lower_word(l, "%s_kq", out), u);
    lower_op(l, lower_word(l, "%s_by", out), "multiply", lower_word(l, "%s_cr", out), lower_word(l, "%s_16", out), u);
    lower_op(l, lower_word(l, "%s_d0", out), "shift_right_logical", lower_word(l, "%s_m", out),
             lower_word(l, "%s_by", out), u);
    lower_line(l, "%s_low = stablehlo.constant dense<65535> : %s", out, u);
    lower_op(l, lower_word(l, "%s_d1", out), "and", lower_word(l, "%s_d0", out), lower_word(l, "%s_low", out), u);
    lower_convert(l, lower_word(l, "%s_draw", out), lower_word(l, "%s_d1", out), u, f);
    lower_constant(l, lower_word(l, "%s_p", out), (double)(p * 65536.0f), f);
    lower_op(l, lower_word(l, "%s_pd", out), "multiply", lower_word(l, "%s_p", out),
             lower_scalar_like(l, SCALAR_DRAWS, f), f); /* in an evaluation no draw is below 0 */
    lower_compare(l, lower_word(l, "%s_drop", out), "LT", lower_word(l, "%s_draw", out), lower_word(l, "%s_pd", out),
                  "FLOAT", f, bits);
    lower_constant(l, lower_word(l, "%s_pc", out), (double)p, f);
    lower_op(l, lower_word(l, "%s_pe", out), "multiply", lower_word(l, "%s_pc", out),
             lower_scalar_like(l, SCALAR_DRAWS, f), f);
    lower_constant(l, lower_word(l, "%s_1", out), 1, f);
    lower_op(l, lower_word(l, "%s_q", out), "subtract", lower_word(l, "%s_1", out), lower_word(l, "%s_pe", out), f);
    lower_op(l, lower_word(l, "%s_x", out), "divide", lower_f32_in(l, n, 0), lower_word(l, "%s_q", out), f);
    lower_constant(l, lower_word(l, "%s_0", out), 0, f);
    lower_select(l, lower_f32_name(l, out), lower_word(l, "%s_drop", out), lower_word(l, "%s_0", out),
                 lower_word(l, "%s_x", out), bits, f);
    lower_f32_done(l, out, 2, (int64_t[]){t, w});
}

const OpRow dropout_row = {
    .name = "dropout", .factors = "td->td",
    .shape = dropout_shape, .units = call_rows, .cost = dropout_cost,
    .run = dropout_run, .reference = dropout_reference, .gradient = dropout_gradient, .stablehlo = dropout_stablehlo,
    .attributes = sizeof(DropoutAttributes),
    .none = {[FACET_FINISH] = NOTHING_REDUCED},
};
