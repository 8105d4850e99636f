/* chosen.c: which of several adapters each row goes through. Their ranks lie side by side; a row keeps the numbers of its
 * own adapter, times that one's scale, and has zeros in all others, whose products then add nothing: its bits are those
 * that the adapter gives alone. */
#include "chosen.h"
#include "../graph/lower.h"
#include "call.h"

Tensor chosen_scale(Graph *g, Tensor x, Tensor which, const ChosenRanks *ranks) {
    return graph_op(g, &chosen_scale_row, &(Node){.in = {x, which}, .attributes = ranks});
}

static const ChosenRanks *ranks_of(const Node *n) { return n->attributes; }

static bool chosen_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Node *x = graph_node(g, n->in[0]), *which = graph_node(g, n->in[1]);
    const ChosenRanks *ranks = ranks_of(n);
    int64_t at = 0;
    *out = x->shape;
    bool fits = x->shape.rank == 2 && which->shape.rank == 1 && ranks->count >= 1 && ranks->count <= CHOSEN_MOST;
    for (int i = 0; fits && i < ranks->count; i++) {
        fits = ranks->of[i].first >= at && ranks->of[i].count >= 0;
        at = ranks->of[i].first + ranks->of[i].count;
    }
    return (fits && at <= x->shape.dim[1].size) || err_as(err, QM_INTERNAL, "chosen_scale: ranks do not fit the rows");
}

/* Numbers that are not chosen may be infinite: they are left out, not multiplied. */
static void row_scale(const ChosenRanks *ranks, int32_t which, const float *x, Range columns, float *y) {
    for (int64_t i = columns.first; i < columns.last; i++) y[i] = 0;
    if (which < 1 || which > ranks->count) return;
    int64_t first = ranks->of[which - 1].first, last = first + ranks->of[which - 1].count;
    if (first < columns.first) first = columns.first;
    if (last > columns.last) last = columns.last;
    for (int64_t i = first; i < last; i++) y[i] = x[i] * ranks->of[which - 1].factor;
}

static void chosen_reference(const PlainCall *c) {
    for (int64_t t = 0; t < c->rows; t++)
        row_scale(ranks_of(c->node), c->ids[t], c->in[0] + t * c->out_width, (Range){0, c->out_width},
                  c->out + t * c->out_width);
}

static void chosen_run(const Call *c, int64_t first, int64_t last) {
    for (int64_t t = c->row0 + first; t < c->row0 + last; t++)
        row_scale(ranks_of(c->node), c->ids[t], c->in[0] + t * c->out_width, c->columns, c->out + t * c->out_width);
}

static Cost chosen_cost(const Graph *g, const Node *n) {
    double size = (double)n->shape.dim[0].size * (double)n->shape.dim[1].size;
    (void)g;
    return (Cost){.flops = size, .bytes = 8 * size};
}

/* Whose each rank is, -1: nobody's, and its factor, as constants; a row selects by its own number. */
static void chosen_stablehlo(Lower *l, const Node *n) {
    const ChosenRanks *ranks = ranks_of(n);
    const char *out = lower_out(l, n), *x = lower_in(l, n, 0), *which = lower_in(l, n, 1);
    int64_t rows = lower_dim(l, n, 0), columns = lower_dim(l, n, 1);
    const char *type = lower_type(l, NULL, 2, rows, columns), *row = lower_type(l, NULL, 1, columns),
               *numbers = lower_type(l, "i32", 2, rows, columns), *bits = lower_type(l, "i1", 2, rows, columns);
    Text owner = {0}, factor = {0};
    for (int64_t c = 0; c < columns; c++) {
        int i = 0;
        while (i < ranks->count && (c < ranks->of[i].first || c >= ranks->of[i].first + ranks->of[i].count)) i++;
        text_line(&owner, "%s%d", c ? ", " : "", i < ranks->count ? i + 1 : -1);
        text_line(&factor, "%s%.9e", c ? ", " : "", i < ranks->count ? (double)ranks->of[i].factor : 0.0);
    }
    if (text_ok(&owner, "a program", &l->err) && text_ok(&factor, "a program", &l->err)) {
        lower_line(l, "%s_o = stablehlo.constant dense<[%s]> : %s", out, owner.data, lower_type(l, "i32", 1, columns));
        lower_line(l, "%s_f = stablehlo.constant dense<[%s]> : %s", out, factor.data, row);
    }
    text_free(&owner), text_free(&factor);
    lower_spread(l, lower_word(l, "%s_owner", out), lower_word(l, "%s_o", out), "[1]",
                 lower_type(l, "i32", 1, columns), numbers);
    lower_spread(l, lower_word(l, "%s_own", out), which, "[0]", lower_type(l, "i32", 1, rows), numbers);
    lower_compare(l, lower_word(l, "%s_is", out), "EQ", lower_word(l, "%s_owner", out), lower_word(l, "%s_own", out),
                  "SIGNED", numbers, bits);
    lower_spread(l, lower_word(l, "%s_by", out), lower_word(l, "%s_f", out), "[1]", row, type);
    lower_op(l, lower_word(l, "%s_y", out), "multiply", x, lower_word(l, "%s_by", out), type);
    lower_constant(l, lower_word(l, "%s_z", out), 0, type);
    lower_select(l, out, lower_word(l, "%s_is", out), lower_word(l, "%s_y", out), lower_word(l, "%s_z", out), bits,
                 type);
}

const OpRow chosen_scale_row = {
    .name = "chosen_scale", .factors = "td,t->td", .attributes = sizeof(ChosenRanks),
    .shape = chosen_shape, .units = call_rows, .cost = chosen_cost,
    .run = chosen_run, .reference = chosen_reference, .stablehlo = chosen_stablehlo,
    .none = {[FACET_FINISH] = NOTHING_REDUCED, [FACET_GRADIENT] = "adapters are chosen where answers are wanted"},
};
