/* linear_grad.c: gradients of linear (linear.c), y = x W^T + b:
 *
 *     dx[t,i] = sum over o of dy[t,o] W[o,i],   dW[o,i] = sum over t of dy[t,o] x[t,i],   db[o] = sum over t of dy[t,o]
 *
 * Several linears of one x share a sum for dx: where devices share its leaves (heads, ffn, vocabulary) a leaf has the
 * columns of the first linear, then those of the second, then of the third, in one chain. dW and db add to states of
 * TYPE_SUM. With activations in bf16 the operands of dx and dW are (products.h), and db is in f32 as ever.
 */
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower_train.h"
#include "call.h"
#include "products.h"

/* Units: of dx so many columns; of dW so many of x, by panels of dy. */
enum { DX_COLUMNS = 96, DW_COLUMNS = 288, DW_PANELS = 24 };

#define NONE_SUM {[FACET_GRADIENT] = OF_GRADIENT}

/* ---- linear_dx --------------------------------------------------------------------------------------------------- */

static bool linear_dx_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *dy = &graph_node(g, n->in[0])->shape, *w = &graph_node(g, n->in[1])->shape;
    *out = (Shape){.rank = 2, .dim = {dy->dim[0], w->dim[1]}};
    for (int i = 0; i < n->inputs; i += 2) {
        const Node *from = graph_node(g, n->in[i]), *matrix = graph_node(g, n->in[i + 1]);
        if (!from || !matrix || from->shape.rank != 2 || matrix->shape.rank != 2 ||
            strcmp(from->shape.dim[1].letters, matrix->shape.dim[0].letters) ||
            strcmp(matrix->shape.dim[1].letters, w->dim[1].letters))
            return err_as(err, QM_INTERNAL, "linear_dx: pair %d does not fit", i / 2);
    }
    return true;
}

Tensor linear_dx(Graph *g, const Tensor *dy, const Tensor *w, int pairs) {
    Node n = {0};
    for (int i = 0; i < pairs; i++) n.in[2 * i] = dy[i], n.in[2 * i + 1] = w[i];
    return graph_op(g, &linear_dx_row, &n);
}

static void linear_dx_reference(const PlainCall *c) {
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < c->out_width; i++) {
            double sum = 0;
            for (int p = 0; p < c->node->inputs; p += 2)
                for (int64_t o = 0; o < c->width[p]; o++)
                    sum += (double)c->in[p][t * c->width[p] + o] * (double)c->in[p + 1][o * c->out_width + i];
            c->out[t * c->out_width + i] = (float)sum;
        }
}

static Cost linear_dx_cost(const Graph *g, const Node *n) {
    double t = (double)n->shape.dim[0].size, i = (double)n->shape.dim[1].size, o = 0;
    for (int p = 0; p < n->inputs; p += 2) o += (double)graph_node(g, n->in[p])->shape.dim[1].size;
    return (Cost){.flops = 2 * t * o * i, .bytes = 4 * o * i + 4 * t * (o + i)};
}

/* Columns in whole panels. */
static Range dx_columns(const Call *c) {
    int64_t last = (c->columns.last + PANEL - 1) / PANEL * PANEL;
    return (Range){c->columns.first / PANEL * PANEL, last < c->out_width ? last : c->out_width};
}
static int64_t dx_blocks(const Call *c) {
    Range columns = dx_columns(c);
    return (columns.last - columns.first + DX_COLUMNS - 1) / DX_COLUMNS;
}
static int64_t linear_dx_units(const Call *c) {
    return call_rows(c) ? dx_blocks(c) * subtrees_count(&c->subtrees) : 0;
}

static int64_t linear_dx_op_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    const SumTree *sum = partition_sum(p->partition, dx_sum_letters(&p->graph, n));
    (void)blocking, (void)rows;
    return products_dx_scratch(sum ? sum->tree.levels : 0);
}

static void linear_dx_run(const Call *c, int64_t first, int64_t last) {
    BackPair pair[PRODUCT_PAIRS];
    for (int p = 0; p < c->products.pairs; p++) {
        const Pair *pairs = c->products.acts[p];
        pair[p] = (BackPair){.dy = c->in[2 * p], .pairs = pairs, .weight = c->products.weight[p],
                             .dy_stride = pairs ? c->products.acts_step[p] : c->in_width[2 * p],
                             .leaf = c->products.leaf[p]};
    }
    BackSum sum = {.pair = pair, .pairs = c->products.pairs, .level = c->products.tree ? c->products.tree->levels : 0};
    Range columns = dx_columns(c);
    int64_t blocks = dx_blocks(c);
    for (int64_t u = first, end; u < last; u = end) {
        int64_t subtree = u / blocks, from = columns.first + u % blocks * DX_COLUMNS;
        end = (subtree + 1) * blocks < last ? (subtree + 1) * blocks : last;
        int64_t to = from + (end - u) * DX_COLUMNS < columns.last ? from + (end - u) * DX_COLUMNS : columns.last;
        const TreeNode *node = c->subtrees.node ? &c->subtrees.node[c->subtrees.first + subtree] : NULL;
        if (node) sum.level = node->level, sum.index = node->index;
        products_dx(c->kernels, &sum, c->row0, c->row1, from, to, call_block(c, subtree), c->out_width, c->scratch);
    }
}

const char *dx_sum_letters(const Graph *g, const Node *n) {
    const char *letters = "";
    for (int p = 0; p < n->inputs; p += 2) {
        const char *of = axis_sum_letters(graph_node(g, n->in[p])->shape.dim[1].letters);
        if (strlen(of) > strlen(letters)) letters = of;
    }
    return letters;
}

static void linear_dx_stablehlo(Lower *l, const Node *n) {
    const Graph *g = &l->program->graph;
    const char *out = lower_out(l, n), *type = lower_tensor(l, n), *sum = NULL;
    for (int p = 0; p < n->inputs; p += 2) {
        const Node *dy = graph_node(g, n->in[p]);
        const char *part = lower_word(l, n->inputs > 2 ? "%s_p%d" : "%s", out, p / 2), *from = lower_in(l, n, p);
        if (n->partial[0]) from = lower_counted_once(l, from, lower_word(l, "%s_o%d", out, p / 2), dy);
        lower_line(l, "%s = stablehlo.dot_general %s, %s, contracting_dims = [1] x [0] : (%s, %s) -> %s", part, from,
                   lower_in(l, n, p + 1), lower_tensor(l, dy),
                   lower_type(l, NULL, 2, lower_dim(l, dy, 1), lower_dim(l, n, 1)), type);
        const char *to = lower_word(l, p + 2 < n->inputs ? "%s_s%d" : "%s", out, p / 2);
        if (sum) lower_op(l, to, "add", sum, part, type);
        sum = sum ? to : part;
    }
}

const OpRow linear_dx_row = {
    .name = "linear_dx", .factors = "to,oi,?tp,?pi,?tq,?qi->ti",
    .shape = linear_dx_shape, .units = linear_dx_units, .cost = linear_dx_cost,
    .run = linear_dx_run, .reference = linear_dx_reference, .scratch = linear_dx_op_scratch,
    .stablehlo = linear_dx_stablehlo,
    .quantise = &quantise_row,
    .finish = all_reduce, .binds = BINDS_PRODUCTS, .whole = true, .by_subtrees = true, .none = NONE_SUM,
};

/* ---- linear_dw --------------------------------------------------------------------------------------------------- */

static bool linear_dw_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *dy = &graph_node(g, n->in[0])->shape, *x = &graph_node(g, n->in[1])->shape;
    *out = graph_node(g, n->in[2])->shape;
    return (out->rank == 2 && !strcmp(out->dim[0].letters, dy->dim[1].letters) &&
            !strcmp(out->dim[1].letters, x->dim[1].letters)) ||
           err_as(err, QM_INTERNAL, "linear_dw: the sum does not fit dy and x");
}

Tensor linear_dw(Graph *g, Tensor dy, Tensor x, Tensor sum) {
    return graph_op(g, &linear_dw_row, &(Node){.in = {dy, x, sum}});
}

static void linear_dw_reference(const PlainCall *c) {
    bool goes_on = c->step->lanes[node_row_kind(c->graph, c->node)].held > 0;
    for (int64_t o = 0; o < c->width[0]; o++)
        for (int64_t i = 0; i < c->width[1]; i++) {
            double sum = goes_on ? (double)c->out[o * c->width[1] + i] : 0;
            for (int64_t t = 0; t < c->rows; t++)
                sum += (double)c->in[0][t * c->width[0] + o] * (double)c->in[1][t * c->width[1] + i];
            c->out[o * c->width[1] + i] = (float)sum;
        }
}

static Cost linear_dw_cost(const Graph *g, const Node *n) {
    double t = (double)graph_node(g, n->in[0])->shape.dim[0].size;
    double o = (double)n->shape.dim[0].size, i = (double)n->shape.dim[1].size;
    return (Cost){.flops = 2 * t * o * i, .bytes = 8 * o * i + 4 * t * (o + i)};
}

static int64_t panel_blocks(const Call *c) {
    int64_t panels = c->states.made.panels.last - c->states.made.panels.first;
    return (panels + DW_PANELS - 1) / DW_PANELS;
}
static int64_t linear_dw_units(const Call *c) {
    int64_t columns = c->states.made.columns.last - c->states.made.columns.first;
    return panel_blocks(c) * ((columns + DW_COLUMNS - 1) / DW_COLUMNS);
}

static int64_t linear_dw_op_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)n, (void)blocking, (void)rows;
    return products_dw_scratch();
}

/* Units of one block of columns follow each other: x is turned once for them where it can be. What the sum holds of the
 * matrix is one of its own to the products. */
static void linear_dw_run(const Call *c, int64_t first, int64_t last) {
    const StateArea *held = &c->states.held, *made = &c->states.made;
    int64_t blocks = panel_blocks(c), o = held->panels.first * PANEL, x = held->columns.first;
    int64_t panel = made->panels.first - held->panels.first, panels = made->panels.last - held->panels.first;
    int64_t column = made->columns.first - x, columns = made->columns.last - x;
    WeightGrad g = {.dy = c->in[0] + o, .x = c->in[1] + x, .dy_stride = c->in_width[0], .x_stride = c->in_width[1],
                    .outputs = c->in_width[0] - o, .inputs = held->columns.last - x,
                    .plan = &c->step->lanes[call_row_kind(c)]};
    RowPairs pairs = {.row = call_row_kind(c) == LOGIT_ROWS ? c->step->logit_row : NULL, .slot = c->step->slot,
                      .index = c->step->index};
    if (c->states.act == ACT_BF16) g.pairs = &pairs;
    memcpy(g.slot, c->states.slot, sizeof g.slot);
    for (int64_t u = first, end; u < last; u = end) {
        end = (u / blocks + 1) * blocks < last ? (u / blocks + 1) * blocks : last;
        int64_t i0 = column + u / blocks * DW_COLUMNS, i1 = i0 + DW_COLUMNS < columns ? i0 + DW_COLUMNS : columns;
        int64_t p0 = panel + u % blocks * DW_PANELS, p1 = p0 + (end - u) * DW_PANELS;
        products_dw(c->kernels, &g, p0, p1 < panels ? p1 : panels, i0, i1, c->scratch);
    }
}

static void linear_dw_stablehlo(Lower *l, const Node *n) {
    const Graph *g = &l->program->graph;
    lower_line(l, "%s = stablehlo.dot_general %s, %s, contracting_dims = [0] x [0] : (%s, %s) -> %s",
               lower_sum_name(l, n), lower_in(l, n, 0), lower_in(l, n, 1), lower_tensor(l, graph_node(g, n->in[0])),
               lower_tensor(l, graph_node(g, n->in[1])), lower_tensor(l, n));
    lower_sum_done(l, n, 2);
}

const OpRow linear_dw_row = {
    .name = "linear_dw", .factors = "to,ti,oi->oi",
    .shape = linear_dw_shape, .units = linear_dw_units, .cost = linear_dw_cost,
    .run = linear_dw_run, .reference = linear_dw_reference, .scratch = linear_dw_op_scratch,
    .stablehlo = linear_dw_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 2,
    .accumulates = true, .whole = true,
    .none = NONE_SUM,
};

/* ---- sum_rows ---------------------------------------------------------------------------------------------------- */

static bool sum_rows_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[1])->shape;
    return (out->rank == 1 && !strcmp(out->dim[0].letters, graph_node(g, n->in[0])->shape.dim[1].letters)) ||
           err_as(err, QM_INTERNAL, "sum_rows: the sum does not fit the rows");
}

Tensor sum_rows(Graph *g, Tensor dy, Tensor sum) { return graph_op(g, &sum_rows_row, &(Node){.in = {dy, sum}}); }

static void sum_rows_reference(const PlainCall *c) {
    bool goes_on = c->step->lanes[node_row_kind(c->graph, c->node)].held > 0;
    for (int64_t o = 0; o < c->width[0]; o++) {
        double sum = goes_on ? (double)c->out[o] : 0;
        for (int64_t t = 0; t < c->rows; t++) sum += (double)c->in[0][t * c->width[0] + o];
        c->out[o] = (float)sum;
    }
}

static Cost sum_rows_cost(const Graph *g, const Node *n) {
    const Shape *dy = &graph_node(g, n->in[0])->shape;
    double size = (double)dy->dim[0].size * (double)dy->dim[1].size;
    return (Cost){.flops = size, .bytes = 4 * size};
}

enum { SUM_COLUMNS = 64 };
static int64_t sum_rows_units(const Call *c) { return (c->in_width[0] + SUM_COLUMNS - 1) / SUM_COLUMNS; }
static int64_t sum_rows_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)n, (void)blocking, (void)rows;
    return products_sum_scratch();
}
static void sum_rows_run(const Call *c, int64_t first, int64_t last) {
    VectorGrad g = {.dy = c->in[0], .dy_stride = c->in_width[0],
                    .plan = &c->step->lanes[call_row_kind(c)]};
    int64_t to = last * SUM_COLUMNS < c->in_width[0] ? last * SUM_COLUMNS : c->in_width[0];
    memcpy(g.slot, c->states.slot, sizeof g.slot);
    if (first < last) products_sum(c->kernels, &g, first * SUM_COLUMNS, to, c->scratch);
}

static void sum_rows_stablehlo(Lower *l, const Node *n) {
    const Node *dy = graph_node(&l->program->graph, n->in[0]);
    lower_fold(l, lower_sum_name(l, n), "add", lower_f32_in(l, n, 0), "[0]", "f32",
               lower_type(l, "f32", 2, lower_dim(l, dy, 0), lower_dim(l, dy, 1)), lower_tensor(l, n));
    lower_sum_done(l, n, 1);
}

const OpRow sum_rows_row = {
    .name = "sum_rows", .factors = "to,o->o",
    .shape = sum_rows_shape, .units = sum_rows_units, .cost = sum_rows_cost,
    .run = sum_rows_run, .reference = sum_rows_reference, .scratch = sum_rows_scratch,
    .stablehlo = sum_rows_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 1,
    .accumulates = true, .whole = true,
    .none = NONE_SUM,
};

/* ---- The rule ---------------------------------------------------------------------------------------------------- */

bool linear_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    Tensor x = n->in[0], w = n->in[1], bias = n->in[2];
    if (gradient_needed(b, w)) linear_dw(b->g, dy, x, gradient_sum(b, w, NULL));
    if (gradient_needed(b, bias)) sum_rows(b->g, dy, gradient_sum(b, bias, NULL));
    return gradient_pair(b, x, dy, w);
}
