/* adapter_norm.c: DoRA (Liu et al. 2024) while it is trained: 1 / |row of W + scale B A|, anew in every pass, since A
 * and B change. Its gradient is left out, as in the paper (section 4.3) and in PEFT.
 */
#include <math.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "call.h"

typedef struct NormOfAdapter { float scale; } NormOfAdapter;

static bool adapter_norm_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *w = &graph_node(g, n->in[0])->shape, *a = &graph_node(g, n->in[1])->shape,
                *b = &graph_node(g, n->in[2])->shape;
    *out = graph_node(g, n->in[3])->shape;
    return (w->dim[1].size == a->dim[1].size && a->dim[0].size == b->dim[1].size && b->dim[0].size == w->dim[0].size &&
            out->rank == 1 && out->dim[0].size == w->dim[0].size) ||
           err_as(err, QM_INTERNAL, "adapter_norm: matrices do not fit");
}

Tensor adapter_norm(Graph *g, Tensor w, Tensor a, Tensor b, Tensor norms, double factor) {
    return graph_op(g, &adapter_norm_row,
                    &(Node){.in = {w, a, b, norms}, .attributes = &(NormOfAdapter){(float)factor}});
}

static float factor_of(const Node *n) { return ((const NormOfAdapter *)n->attributes)->scale; }

static void adapter_norm_reference(const PlainCall *c) {
    int64_t k = c->width[0], rank = c->width[2], rows = c->node->shape.dim[0].size;
    for (int64_t o = 0; o < rows; o++) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++) {
            double added = 0;
            for (int64_t r = 0; r < rank; r++) added += (double)c->in[2][o * rank + r] * (double)c->in[1][r * k + i];
            double w = (double)c->in[0][o * k + i] + added * (double)factor_of(c->node);
            sum += w * w;
        }
        c->out[o] = (float)(1 / sqrt(sum));
    }
}

enum { NORM_COLUMNS = 256 }; /* whole groups of every packed type */

/* Columns in order, 16 rows at a time, squares in double. */
static void panel_norms(const Call *c, int64_t p, float *out) {
    const PackedWeight *w = c->products.weight[0], *a = c->products.weight[1], *b = c->products.weight[2];
    const float *as = (const float *)(const void *)a->data, *bs = (const float *)(const void *)b->data;
    float *piece = c->scratch, scale = factor_of(c->node);
    double sum[PANEL] = {0};
    for (int64_t at = 0, end; at < w->k; at = end) {
        end = at + NORM_COLUMNS < w->k ? at + NORM_COLUMNS : w->k;
        c->kernels->unpack[w->type](w->data + p * w->panel_bytes, at, end, piece);
        for (int64_t i = at; i < end; i++) {
            float added[PANEL] = {0};
            for (int64_t r = 0; r < a->rows; r++) {
                float x = as[(r / PANEL * a->k + i) * PANEL + r % PANEL];
                for (int l = 0; l < PANEL; l++) added[l] += bs[(p * b->k + r) * PANEL + l] * x;
            }
            for (int l = 0; l < PANEL; l++) {
                double value = (double)(piece[(i - at) * PANEL + l] + scale * added[l]);
                sum[l] += value * value;
            }
        }
    }
    for (int l = 0; l < PANEL && p * PANEL + l < w->rows; l++) out[p * PANEL + l] = (float)(1 / sqrt(sum[l]));
}

static int64_t adapter_norm_units(const Call *c) { return c->products.weight[0]->panels; }
static void adapter_norm_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t p = first; p < last; p++) panel_norms(c, p, c->out);
}
static int64_t adapter_norm_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)n, (void)blocking, (void)rows;
    return NORM_COLUMNS * PANEL;
}
static Cost adapter_norm_cost(const Graph *g, const Node *n) {
    const Shape *w = &graph_node(g, n->in[0])->shape;
    double size = (double)w->dim[0].size * (double)w->dim[1].size;
    return (Cost){.flops = size * 2 * (double)graph_node(g, n->in[1])->shape.dim[0].size, .bytes = 4 * size};
}

/* Rows of padding have no norm, and are to stay 0. */
static const char *without_zeros(Lower *l, const char *out, const char *sum, int64_t o, const char *type) {
    const char *bits = lower_type(l, "i1", 1, o), *zero = lower_word(l, "%s_0", out), *one = lower_word(l, "%s_1", out);
    lower_constant(l, zero, 0, type);
    lower_constant(l, one, 1, type);
    lower_compare(l, lower_word(l, "%s_l", out), "GT", sum, zero, "FLOAT", type, bits);
    lower_select(l, lower_word(l, "%s_z", out), lower_word(l, "%s_l", out), sum, one, bits, type);
    return lower_word(l, "%s_z", out);
}

/* Columns that devices share are summed over them here: the row's own sum is no sum, so that nothing else completes
 * it. */
static void adapter_norm_stablehlo(Lower *l, const Node *n) {
    const Node *w = graph_node(&l->program->graph, n->in[0]);
    LowerMatrix m[3];
    for (int i = 0; i < 3; i++) m[i] = lower_matrix_in(l, n, i);
    int64_t o = m[0].rows, k = m[0].columns, rank = m[1].rows;
    const char *out = lower_out(l, n), *flat = lower_type(l, "f32", 2, o, k), *one = lower_type(l, "f32", 1, o);
    lower_line(l, "%s_ba = stablehlo.dot_general %s, %s, contracting_dims = [1] x [0] : (%s, %s) -> %s", out,
               m[2].value, m[1].value, lower_type(l, "f32", 2, o, rank), lower_type(l, "f32", 2, rank, k), flat);
    lower_constant(l, lower_word(l, "%s_f", out), (double)factor_of(n), flat);
    lower_op(l, lower_word(l, "%s_s", out), "multiply", lower_word(l, "%s_ba", out), lower_word(l, "%s_f", out), flat);
    lower_op(l, lower_word(l, "%s_w", out), "add", m[0].value, lower_word(l, "%s_s", out), flat);
    lower_op(l, lower_word(l, "%s_q", out), "multiply", lower_word(l, "%s_w", out), lower_word(l, "%s_w", out), flat);
    lower_fold(l, lower_word(l, "%s_p", out), "add", lower_word(l, "%s_q", out), "[1]", "f32", flat, one);
    const char *sum = lower_word(l, "%s_p", out);
    for (const char *c = w->shape.dim[1].letters; *c; c++)
        if (axis_is_split(*c)) {
            sum = lower_all_reduce(l, "add", sum, lower_word(l, "%s_a", out), false, "f32", one);
            break;
        }
    lower_op(l, out, "rsqrt", without_zeros(l, out, sum, o, one), NULL, one);
}

const OpRow adapter_norm_row = {
    .name = "adapter_norm", .factors = "o!i,l!i,o!l,o->o",
    .shape = adapter_norm_shape, .units = adapter_norm_units, .cost = adapter_norm_cost,
    .run = adapter_norm_run, .reference = adapter_norm_reference, .scratch = adapter_norm_scratch,
    .stablehlo = adapter_norm_stablehlo, .binds = BINDS_MATRICES, .writes_state = true, .state_input = 3,
    .attributes = sizeof(NormOfAdapter),
    .none = {[FACET_GRADIENT] = "it is left out", [FACET_FINISH] = NOTHING_REDUCED},
};
