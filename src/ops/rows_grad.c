/* rows_grad.c: gradients of the ops that pick rows: embed (embed.c) and select_rows (elementwise.c).
 *
 *     dE[v] = sum over rows t with id v of dy[t], rows in order;   select_rows: each row's gradient goes to its place
 *
 * Logit rows pass in several runs, so that places are a state of rows that the forward pass clears.
 */
#include <string.h>
#include "../graph/gradient.h"
#include "../graph/lower_train.h"
#include "call.h"

static Cost rows_cost(const Graph *g, const Node *n) {
    const Shape *x = &graph_node(g, n->in[n->inputs > 1 ? 1 : 0])->shape;
    double size = x->rank > 1 ? (double)x->dim[0].size * (double)x->dim[1].size : (double)x->dim[0].size;
    return (Cost){.flops = size, .bytes = 12 * size};
}

/* ---- embed_grad -------------------------------------------------------------------------------------------------- */

static bool embed_grad_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[2])->shape;
    return (out->rank == 2 && out->dim[1].size == graph_node(g, n->in[1])->shape.dim[1].size) ||
           err_as(err, QM_INTERNAL, "embed_grad: the sum does not fit the rows");
}

Tensor embed_grad(Graph *g, Tensor tokens, Tensor dy, Tensor sum) {
    return graph_op(g, &embed_grad_row, &(Node){.in = {tokens, dy, sum}});
}

static void embed_grad_reference(const PlainCall *c) {
    const Shape *s = &c->node->shape;
    int64_t w = c->out_width;
    bool onto = graph_node(c->graph, c->node->in[2])->kind == NODE_OP; /* what another use of the table has left */
    if (!c->step->lanes[STEP_ROWS].held && !onto) memset(c->out, 0, (size_t)(s->dim[0].size * w) * sizeof(float));
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < w; i++) c->out[c->ids[t] * w + i] += c->in[1][t * w + i];
}

typedef struct EmbedChain { const Call *call; int64_t panel; bool none; } EmbedChain;

static void embed_chain(void *of, const LaneRun *run, float *acc) {
    const EmbedChain *e = of;
    int64_t w = e->call->in_width[1];
    for (int64_t t = run->first; t < run->last && !e->none; t++) {
        int64_t id = e->call->ids[t];
        if (id / PANEL != e->panel) continue;
        for (int64_t i = 0; i < w; i++) acc[i * PANEL + id % PANEL] += e->call->in[1][t * w + i];
    }
}

/* A unit is a panel of 16 ids. */
static int64_t embed_grad_units(const Call *c) { return (c->node->shape.dim[0].size + PANEL - 1) / PANEL; }
static int64_t embed_grad_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    (void)p, (void)blocking, (void)rows;
    return LANE_SLOTS * PANEL * n->shape.dim[1].size;
}
static void embed_grad_run(const Call *c, int64_t first, int64_t last) {
    int64_t floats = PANEL * c->in_width[1];
    const LanePlan *plan = &c->step->lanes[STEP_ROWS];
    for (int64_t u = first; u < last; u++) {
        EmbedChain e = {c, u, true};
        for (int64_t t = 0; t < c->row1 && e.none; t++) e.none = c->ids[t] / PANEL != u;
        if (e.none && !plan->held && plan->kept == 1) { /* most ids of a step are nobody's */
            memset(c->states.slot[0] + u * floats, 0, (size_t)floats * sizeof(float));
            continue;
        }
        lanes_fold(plan, c->states.slot, u * floats, floats, c->scratch, embed_chain, &e);
    }
}

/* Rows that are not of this device's part of the vocabulary add 0 to its first. The sum itself is what rows are added to:
 * a gradient of its own beside it would be as large again. */
static void embed_grad_stablehlo(Lower *l, const Node *n) {
    int64_t t = lower_rows(l), d = lower_dim(l, n, 1);
    const char *out = lower_out(l, n), *table = lower_tensor(l, n), *rows = lower_type(l, "f32", 2, t, d);
    const char *bits = lower_type(l, "i1", 2, t, d), *dy = lower_f32_in(l, n, 1), *sum = lower_sum_start(l, n, 2);
    LowerOwn own = lower_own_rows(l, n);
    if (own.held) {
        lower_spread(l, lower_word(l, "%s_o", out), own.held, "[0]", lower_type(l, "i1", 1, t), bits);
        lower_constant(l, lower_word(l, "%s_z", out), 0, rows);
        lower_select(l, lower_word(l, "%s_y", out), lower_word(l, "%s_o", out), dy, lower_word(l, "%s_z", out), bits, rows);
        dy = lower_word(l, "%s_y", out);
    }
    lower_reshape(l, lower_word(l, "%s_i", out), own.rows, lower_type(l, "i32", 1, t),
                  lower_type(l, "i32", 2, t, (int64_t)1));
    lower_line(l,
               "%s = \"stablehlo.scatter\"(%s, %s_i, %s) ({\n^bb0(%%a: tensor<f32>, %%b: tensor<f32>):\n"
               "  %%c = stablehlo.add %%a, %%b : tensor<f32>\n  stablehlo.return %%c : tensor<f32>\n}) "
               "{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], "
               "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = "
               "false} : (%s, %s, %s) -> %s",
               out, sum, out, dy, table, lower_type(l, "i32", 2, t, (int64_t)1), rows, table);
}

const OpRow embed_grad_row = {
    .name = "embed_grad", .factors = "t,t!d,v!d->v!d",
    .shape = embed_grad_shape, .units = embed_grad_units, .cost = rows_cost,
    .run = embed_grad_run, .reference = embed_grad_reference, .scratch = embed_grad_scratch,
    .stablehlo = embed_grad_stablehlo,
    .finish = replica_sum, .binds = BINDS_STATES, .writes_state = true, .state_input = 2,
    .accumulates = true, .whole = true,
    .none = {[FACET_GRADIENT] = OF_GRADIENT},
};

bool embed_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    if (gradient_needed(b, n->in[1])) embed_grad(b->g, n->in[0], dy, gradient_sum(b, n->in[1], NULL));
    return true;
}
bool embed_part_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    Tensor sum = gradient_sum_before(b, n->in[1]);
    if (!sum.id) return embed_gradient(b, n, self, dy);
    embed_grad(b->g, n->in[0], dy, sum);
    return true;
}

/* ---- clear_rows, put_rows ---------------------------------------------------------------------------------------- */

static bool rows_state_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Node *rows = graph_node(g, n->in[n->inputs - 1]);
    *out = rows->shape;
    return (rows->kind == NODE_STATE || rows->op) || err_as(err, QM_INTERNAL, "%s: expected a state", n->op->name);
}

Tensor clear_rows(Graph *g, Tensor rows) { return graph_op(g, &clear_rows_row, &(Node){.in = {rows}}); }
Tensor put_rows(Graph *g, Tensor x, Tensor which, Tensor rows) {
    return graph_op(g, &put_rows_row, &(Node){.in = {x, which, rows}});
}

static void clear_rows_reference(const PlainCall *c) {
    memset(c->out, 0, (size_t)(c->step->rows * c->out_width) * sizeof(float));
}
static void put_rows_reference(const PlainCall *c) {
    for (int64_t r = 0; r < c->rows; r++)
        memcpy(c->out + c->ids[r] * c->out_width, c->in[0] + r * c->out_width, (size_t)c->out_width * sizeof(float));
}
static void clear_rows_run(const Call *c, int64_t first, int64_t last) {
    memset(c->states.of[0] + (c->row0 + first) * c->out_width, 0, (size_t)((last - first) * c->out_width) * sizeof(float));
}
static void put_rows_run(const Call *c, int64_t first, int64_t last) {
    int64_t w = c->out_width;
    for (int64_t r = c->row0 + first; r < c->row0 + last; r++)
        memcpy(c->states.of[2] + c->ids[r] * w, c->in[0] + r * w, (size_t)w * sizeof(float));
}

/* Of a lowered program whose rows all pass the head at once nothing stays of an earlier run. */
static void clear_rows_stablehlo(Lower *l, const Node *n) {
    if (!l->bucket.all_logits) lower_constant(l, lower_out(l, n), 0, lower_tensor(l, n));
}
/* Else rows are added to zeros: a place in the list that has no label has a gradient of 0, and row 0. */
static void put_rows_stablehlo(Lower *l, const Node *n) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    const char *type = lower_tensor(l, x), *out = lower_out(l, n), *rows = lower_tensor(l, n);
    int64_t r = l->bucket.logit_rows;
    if (l->bucket.all_logits) return lower_reshape(l, out, lower_in(l, n, 0), type, type);
    const char *ids = lower_type(l, "i32", 2, r, (int64_t)1), *which = lower_word(l, "%s_i", out);
    const char *had = lower_state_in(l, n, 2), *e = l->type;
    lower_reshape(l, which, lower_in(l, n, 1), lower_type(l, "i32", 1, r), ids);
    lower_line(l,
               "%s = \"stablehlo.scatter\"(%s, %s, %s) ({\n^bb0(%%a: tensor<%s>, %%b: tensor<%s>):\n"
               "  %%c = stablehlo.add %%a, %%b : tensor<%s>\n  stablehlo.return %%c : tensor<%s>\n}) "
               "{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], "
               "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = "
               "false} : (%s, %s, %s) -> %s",
               out, had, which, lower_in(l, n, 0), e, e, e, e, rows, ids, type, rows);
}

#define NONE_ROWS {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED}
const OpRow clear_rows_row = {
    .name = "clear_rows", .factors = "t!d->t!d",
    .shape = rows_state_shape, .units = call_rows, .cost = rows_cost,
    .run = clear_rows_run, .reference = clear_rows_reference, .stablehlo = clear_rows_stablehlo,
    .binds = BINDS_STATES, .writes_state = true, .none = NONE_ROWS,
};
const OpRow put_rows_row = {
    .name = "put_rows", .factors = "~r!d,~r,~t!d->t!d",
    .shape = rows_state_shape, .units = call_rows, .cost = rows_cost,
    .run = put_rows_run, .reference = put_rows_reference, .stablehlo = put_rows_stablehlo,
    .binds = BINDS_STATES, .writes_state = true, .state_input = 2, .none = NONE_ROWS,
};

/* The state is cleared before the first run of the head, in the forward pass. */
bool select_rows_gradient(Gradient *b, const Node *n, Tensor self, Tensor dy) {
    (void)self;
    Graph *g = b->g;
    if (!gradient_needed(b, n->in[0])) return true;
    char axes[AXES_TEXT];
    shape_axes(&graph_node(g, n->in[0])->shape, axes);
    Tensor rows = state(g, axes, TYPE_F32, "rows%d.grad", n->in[0].id);
    Stage stage = g->stage;
    g->stage = STAGE_FORWARD;
    clear_rows(g, rows);
    g->stage = stage;
    return gradient_add(b, n->in[0], put_rows(g, dy, n->in[1], rows));
}

/* ---- replica_sum: what the replicas have added to a sum, in the order of lanes ----------------------------------- */

static bool state_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = graph_node(g, n->in[0])->shape;
    return true;
}
Tensor replica_sum(Graph *g, Tensor sum) { return graph_op(g, &replica_sum_row, &(Node){.in = {sum}}); }

/* One process has added the rows of all replicas, lane by lane: the sum is complete. */
static int64_t no_units(const Call *c) { return (void)c, 0; }
static void replica_sum_run(const Call *c, int64_t first, int64_t last) { (void)c, (void)first, (void)last; }
static void replica_sum_reference(const PlainCall *c) { (void)c; }
static Cost replica_sum_cost(const Graph *g, const Node *n) {
    const Shape *s = &n->shape;
    (void)g;
    return (Cost){.flops = 0, .bytes = 4 * (double)s->dim[0].size * (s->rank > 1 ? (double)s->dim[1].size : 1)};
}

static void replica_sum_stablehlo(Lower *l, const Node *n) {
    const char *type = lower_tensor(l, n), *out = lower_out(l, n), *x = lower_state_in(l, n, 0);
    if (lower_all_reduce(l, "add", x, out, true, "f32", type) == x) lower_reshape(l, out, x, type, type);
}

const OpRow replica_sum_row = {
    .name = "replica_sum", .factors = "oi->oi", .collective = true,
    .shape = state_shape, .units = no_units, .cost = replica_sum_cost,
    .run = replica_sum_run, .reference = replica_sum_reference, .stablehlo = replica_sum_stablehlo,
    .binds = BINDS_STATES, .writes_state = true,
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = "the result is whole"},
};
