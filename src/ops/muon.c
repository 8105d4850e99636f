/* muon.c: Muon: a step along the momentum of a matrix's gradient, made orthogonal. Jordan et al. 2024 (Muon: an optimizer
 * for hidden layers in neural networks), as torch.optim.Muon computes it, but with Newton-Schulz in f32:
 *
 *     g = gradient * clip;   m = m * momentum + g * (1 - momentum);   u = g * (1 - momentum) + m * momentum   (Nesterov)
 *     X = u / max(|u|, 1e-7), |u| of all its numbers;   5 times A = X X^T, X = (a I + b A + c A A) X
 *     w = w * (1 - rate * weight decay) - rate * s * X
 *
 * with s = sqrt(max(1, rows / columns)), or, for rates of AdamW, 0.2 sqrt(max(rows, columns)) (Liu et al. 2025, Muon is
 * scalable for LLM training, section 2.2).
 *
 * X lies in rows of the shorter side, Z [n][m] with n >= m, so that every product is one of the backward pass: A = Z^T Z
 * is a dW, A A and Z (a I + b A + c A A) are a dx. A and A A are symmetric to the last bit, as a chain of fmaf does not
 * mind which factor comes first. All sums are of the whole matrix: every process holds it whole. What waits between
 * rounds lies in the slots of the gradient's partial sums, which nobody needs any more.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "optimize.h"
#include "products.h"

/* Rounds: momentum; norm; of each of NS steps three; the update. */
enum { NS_STEPS = 5, NS_PRODUCTS = 3, BEFORE = 2, ROUNDS = BEFORE + NS_STEPS * NS_PRODUCTS + 1 };
/* Units: rows of Z; columns of Z; rows of A; panels and columns of A. */
enum { Z_ROWS = 96, Z_COLUMNS = 96, A_ROWS = 192, A_PANELS = 24, A_COLUMNS = 288 };
static const double ns_a = 3.4445, ns_b = -4.7750, ns_c = 2.0315, least_norm = 1e-7;

Tensor muon(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor average, bool decay) {
    return graph_op(g, &muon_row, &(Node){.in = {w, grad, first, average}, .attributes = &(UpdateAttributes){decay}});
}

static bool muon_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    *out = graph_node(g, n->in[0])->shape;
    bool fit = out->rank == 2 && graph_state(g, n->in[1]);
    for (int i = 0; i < n->inputs; i++) fit = fit && (!n->in[i].id || shape_same(out, &graph_node(g, n->in[i])->shape));
    return fit || err_as(err, QM_INTERNAL, "muon: expected a matrix, the sum of its gradient and states of its shape");
}

/* rows and columns of w; n, m: the longer and the shorter of them. */
typedef struct Sides { int64_t rows, columns, n, m; bool tall; } Sides;
static Sides sides_of(const Node *n) {
    int64_t o = n->shape.dim[0].size, i = n->shape.dim[1].size;
    return o >= i ? (Sides){o, i, o, i, true} : (Sides){o, i, i, o, false};
}

static double scale_of(const Sides *s, const StepScalars *of) {
    if (of->muon_as_adamw) return 0.2 * sqrt((double)s->n);
    return s->tall ? sqrt((double)s->rows / (double)s->columns) : 1;
}

static Cost muon_cost(const Graph *g, const Node *n) {
    Sides s = sides_of(n);
    double m = (double)s.m, size = m * (double)s.n;
    (void)g;
    return (Cost){.flops = NS_STEPS * (4 * m * size + 2 * m * m * m), .bytes = 4 * size * (4 + 4 * NS_STEPS)};
}

/* ---- The reference ----------------------------------------------------------------------------------------------- */

/* x [rows][columns] becomes (a I + b A + c A A) x with A = x x^T. */
static void plain_iterate(double *x, double *a, double *y, int64_t rows, int64_t columns) {
    double *b = a + rows * rows;
    memset(y, 0, (size_t)(rows * columns) * sizeof *y);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) {
            a[i * rows + j] = 0;
            for (int64_t k = 0; k < columns; k++) a[i * rows + j] += x[i * columns + k] * x[j * columns + k];
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) {
            double square = 0;
            for (int64_t k = 0; k < rows; k++) square += a[i * rows + k] * a[k * rows + j];
            b[i * rows + j] = (i == j ? ns_a : 0) + ns_b * a[i * rows + j] + ns_c * square;
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t k = 0; k < columns; k++) y[i * columns + k] += b[i * rows + j] * x[j * columns + k];
    memcpy(x, y, (size_t)(rows * columns) * sizeof *x);
}

static void plain_update(const PlainCall *c, const Sides *s, const double *x) {
    const StepScalars *of = &c->step->scalars;
    float *e = (float *)(uintptr_t)c->in[3];
    double keep = update_decays(c->node) ? 1 - of->muon_rate * of->weight_decay : 1, rate = of->muon_rate * scale_of(s, of);
    for (int64_t i = 0; i < s->rows * s->columns; i++) {
        c->out[i] = (float)((double)c->out[i] * keep - rate * x[i]);
        if (e) e[i] = (float)(of->average_decay * (double)e[i] + (1 - of->average_decay) * (double)c->out[i]);
    }
}

static void muon_reference(const PlainCall *c) {
    Sides s = sides_of(c->node);
    const StepScalars *of = &c->step->scalars;
    float *m = (float *)(uintptr_t)c->in[2];
    int64_t size = s.rows * s.columns;
    double *x = calloc((size_t)(2 * size + 2 * s.rows * s.rows) + 1, sizeof *x), norm = 0, rest = 1 - of->muon_momentum;
    if (!x) return;
    for (int64_t i = 0; i < size; i++) {
        double g = (double)c->in[1][i] * of->clip, next = (double)m[i] * of->muon_momentum + g * rest;
        x[i] = g * rest + next * of->muon_momentum;
        m[i] = (float)next;
        norm += x[i] * x[i];
    }
    norm = fmax(sqrt(norm), least_norm);
    for (int64_t i = 0; i < size; i++) x[i] /= norm;
    for (int k = 0; k < NS_STEPS; k++) plain_iterate(x, x + 2 * size, x + size, s.rows, s.columns);
    plain_update(c, &s, x);
    free(x);
}

/* ---- What lies where --------------------------------------------------------------------------------------------- */

/* Slots of the gradient's sum, but for the first, which has the gradient. Z and A change places from step to step. */
typedef struct Places { float *z, *a, *b, *next; } Places;
static Places places_of(const Call *c, int step) {
    float *const *slot = c->states.slot;
    bool odd = step % 2;
    return (Places){.z = slot[odd ? 3 : 1], .a = slot[odd ? 1 : 3], .b = slot[2], .next = slot[odd ? 1 : 3]};
}
static float *result_of(const Call *c) { return places_of(c, NS_STEPS).z; }
/* Sums of squares of units' rows, until there is a B. */
static double *squares_of(const Call *c) { return (double *)(void *)c->states.slot[2]; }

static float *muon_told(const Call *c, int64_t *floats) {
    Sides s = sides_of(c->node);
    *floats = s.n * s.m;
    return result_of(c);
}

static int64_t parts(int64_t n, int64_t of) { return (n + of - 1) / of; }
static int64_t up16(int64_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

static int product_of(const Call *c) { return (c->round - BEFORE) % NS_PRODUCTS; }

static int64_t muon_units(const Call *c) {
    Sides s = sides_of(c->node);
    if (c->round < BEFORE || c->round == ROUNDS - 1) return parts(s.n, Z_ROWS);
    if (product_of(c) == 0) return parts(parts(s.m, PANEL), A_PANELS) * parts(s.m, A_COLUMNS);
    return product_of(c) == 1 ? parts(s.m, A_ROWS) : parts(s.m, Z_COLUMNS);
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t muon_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    Sides s = sides_of(n);
    (void)p, (void)blocking, (void)rows;
    int64_t runs = most(s.m, Z_ROWS) * PANEL, products = products_dx_scratch(0) + 2 * A_ROWS * up16(s.m);
    return most(most(runs, products_dw_scratch()), products);
}

/* ---- Rows of Z and runs of panels -------------------------------------------------------------------------------- */

/* A run of a panel, [column][16], and where its numbers are in Z: of a tall matrix a panel's rows are rows of Z, else its
 * columns are. */
typedef struct Run { int64_t at, columns, lanes; float *z; } Run;

typedef void EachRun(const Call *c, const Sides *s, const Run *run, float *scratch);

/* All runs that rows [unit * Z_ROWS, ...) of Z are made of. */
static void each_run(const Call *c, const Sides *s, int64_t unit, float *z, EachRun *each) {
    int64_t first = unit * Z_ROWS, last = first + Z_ROWS < s->n ? first + Z_ROWS : s->n;
    int64_t panel = s->tall ? first / PANEL : 0, panels = parts(s->tall ? last : s->rows, PANEL);
    for (; panel < panels; panel++) {
        int64_t lanes = s->rows - panel * PANEL < PANEL ? s->rows - panel * PANEL : PANEL;
        Run run = s->tall ? (Run){panel * s->columns * PANEL, s->columns, lanes, z + panel * PANEL * s->m}
                          : (Run){(panel * s->columns + first) * PANEL, last - first, lanes, z + first * s->m + panel * PANEL};
        each(c, s, &run, c->scratch);
    }
}

static void momentum_run(const Call *c, const Sides *s, const Run *run, float *u) {
    const StepScalars *of = &c->step->scalars;
    const Kernels *k = c->kernels;
    float *m = c->states.of[2] + run->at, mu = (float)of->muon_momentum, rest = (float)(1 - of->muon_momentum);
    int64_t n = run->columns * PANEL;
    k->scale(c->states.of[1] + run->at, (float)of->clip, n, u);
    k->average(m, u, n, mu, rest);
    k->average(u, m, n, rest, mu);
    if (s->tall) k->transpose(u, PANEL, run->columns, run->lanes, run->z, s->m);
    else k->copy(u, PANEL, run->columns, run->lanes, run->z, s->m);
}

static void update_run(const Call *c, const Sides *s, const Run *run, float *u) {
    const StepScalars *of = &c->step->scalars;
    const Kernels *k = c->kernels;
    float *w = c->states.of[0] + run->at;
    int64_t n = run->columns * PANEL;
    if (run->lanes < PANEL) memset(u, 0, (size_t)n * sizeof *u);
    if (s->tall) k->transpose(run->z, s->m, run->lanes, run->columns, u, PANEL);
    else k->copy(run->z, s->m, run->columns, run->lanes, u, PANEL);
    k->scale(u, (float)(-of->muon_rate * scale_of(s, of)), n, u);
    if (update_decays(c->node)) k->scale(w, (float)(1 - of->muon_rate * of->weight_decay), n, w);
    k->add(w, u, n, w);
    if (c->states.of[3])
        k->average(c->states.of[3] + run->at, w, n, (float)of->average_decay, (float)(1 - of->average_decay));
}

/* Z and the sum of squares of each unit's rows, row after row. */
static void momentum(const Call *c, const Sides *s, int64_t unit) {
    float *z = places_of(c, 0).z;
    int64_t first = unit * Z_ROWS, last = first + Z_ROWS < s->n ? first + Z_ROWS : s->n;
    double sum = 0;
    each_run(c, s, unit, z, momentum_run);
    for (int64_t r = first; r < last; r++) sum += c->kernels->sum_squares(z + r * s->m, s->m);
    squares_of(c)[unit] = sum;
}

static void normalise(const Call *c, const Sides *s, int64_t unit) {
    int64_t first = unit * Z_ROWS, last = first + Z_ROWS < s->n ? first + Z_ROWS : s->n;
    float *z = places_of(c, 0).z + first * s->m;
    double sum = 0;
    for (int64_t u = 0; u < parts(s->n, Z_ROWS); u++) sum += squares_of(c)[u];
    c->kernels->scale(z, (float)(1 / fmax(sqrt(sum), least_norm)), (last - first) * s->m, z);
}

/* ---- A Newton-Schulz step ---------------------------------------------------------------------------------------- */

/* Units [first, last) of A = Z^T Z, in panels. */
static void gram(const Call *c, const Sides *s, const Places *p, int64_t unit) {
    const LanePlan whole = {.run = {{.last = s->n, .fresh = true}}, .count = 1, .kept = 1};
    const WeightGrad g = {.dy = p->z, .x = p->z, .dy_stride = s->m, .x_stride = s->m, .outputs = s->m, .inputs = s->m,
                          .plan = &whole, .slot = {p->a}};
    int64_t panels = parts(s->m, PANEL), blocks = parts(panels, A_PANELS);
    int64_t panel = unit % blocks * A_PANELS, column = unit / blocks * A_COLUMNS;
    int64_t last = panel + A_PANELS < panels ? panel + A_PANELS : panels;
    products_dw(c->kernels, &g, panel, last, column, column + A_COLUMNS < s->m ? column + A_COLUMNS : s->m, c->scratch);
}

/* A symmetric matrix in panels, as what a product takes. */
static PackedWeight square_weight(const Sides *s, const float *panels) {
    int64_t count = parts(s->m, PANEL);
    return (PackedWeight){.type = PACKED_F32, .rows = s->m, .k = s->m, .panel_bytes = packed_panel_bytes(PACKED_F32, s->m),
                          .panels = count, .columns = s->m, .data = (const uint8_t *)panels};
}

/* Rows of B = a I + b A + c A A, which are a panel's: B in panels. */
static void polynomial(const Call *c, const Sides *s, const Places *p, int64_t unit) {
    const Kernels *k = c->kernels;
    int64_t first = unit * A_ROWS, rows = s->m - first < A_ROWS ? s->m - first : A_ROWS, step = up16(s->m);
    float *a = c->scratch, *b = a + A_ROWS * step, *rest = b + A_ROWS * step;
    PackedWeight w = square_weight(s, p->a);
    for (int64_t i = 0; i < s->m; i += PANEL) /* row r of A is its column r */
        k->copy(p->a + (i * s->m + first * PANEL), PANEL, rows, s->m - i < PANEL ? s->m - i : PANEL, a + i, step);
    const BackPair pair = {.dy = a, .dy_stride = step, .weight = &w};
    products_dx(k, &(BackSum){.pair = &pair, .pairs = 1}, 0, rows, 0, s->m, b, step, rest);
    for (int64_t r = 0; r < rows; r++) {
        k->scale(a + r * step, (float)ns_b, s->m, a + r * step);
        k->scale(b + r * step, (float)ns_c, s->m, b + r * step);
        k->add(a + r * step, b + r * step, s->m, b + r * step);
        b[r * step + first + r] += (float)ns_a;
    }
    for (int64_t r = 0; r < rows; r += PANEL)
        k->transpose(b + r * step, step, rows - r < PANEL ? rows - r : PANEL, s->m, p->b + (first + r) * s->m, PANEL);
}

/* Columns of Z B. */
static void apply(const Call *c, const Sides *s, const Places *p, int64_t unit) {
    int64_t first = unit * Z_COLUMNS, last = first + Z_COLUMNS < s->m ? first + Z_COLUMNS : s->m;
    PackedWeight w = square_weight(s, p->b);
    const BackPair pair = {.dy = p->z, .dy_stride = s->m, .weight = &w};
    products_dx(c->kernels, &(BackSum){.pair = &pair, .pairs = 1}, 0, s->n, first, last, p->next, s->m, c->scratch);
}

static void muon_run(const Call *c, int64_t first, int64_t last) {
    Sides s = sides_of(c->node);
    Places p = places_of(c, c->round < BEFORE ? 0 : (c->round - BEFORE) / NS_PRODUCTS);
    for (int64_t u = first; u < last; u++) {
        if (c->round == 0) momentum(c, &s, u);
        else if (c->round == 1) normalise(c, &s, u);
        else if (c->round == ROUNDS - 1) each_run(c, &s, u, result_of(c), update_run);
        else if (product_of(c) == 0) gram(c, &s, &p, u);
        else if (product_of(c) == 1) polynomial(c, &s, &p, u);
        else apply(c, &s, &p, u);
    }
}

const OpRow muon_row = {
    .name = "muon", .factors = "oi,oi,oi,?oi->oi",
    .shape = muon_shape, .units = muon_units, .cost = muon_cost, .scratch = muon_scratch,
    .run = muon_run, .reference = muon_reference, .rounds = ROUNDS, .told = muon_told, .binds = BINDS_STATES,
    .writes_state = true, .attributes = sizeof(UpdateAttributes),
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED,
             [FACET_STABLEHLO] = "a device would need whole matrices: on PJRT devices muon is refused"},
};
