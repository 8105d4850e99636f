/* optimize8.c: AdamW with moments in 8 bits: a block is read, updated in f32 as adamw does it (optimize.c), and stored; the
 * weight takes its step by the moments as they were before that. See codes8.h.
 */
#include <string.h>
#include "optimize.h"
#include "optimize8.h"

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

int64_t code_block_end(const Graph *g, const Dim *columns, int64_t column) {
    int64_t end = axis_leaf_end(columns->letters, columns->size, graph_size(g, AXIS_CHANNEL), column);
    return column + CODE_BLOCK < end ? column + CODE_BLOCK : end;
}

Range code_columns(const Graph *g, const Dim *columns, Range held) {
    Range r = {0, 0};
    while (r.first < held.first) r.first = code_block_end(g, columns, r.first);
    r.last = r.first;
    for (int64_t end; r.last < held.last && (end = code_block_end(g, columns, r.last)) <= held.last;) r.last = end;
    return r;
}

int64_t code_panel_bytes(const Graph *g, const Dim *columns, Range of) {
    int64_t bytes = 0;
    for (int64_t at = of.first, end; at < of.last; at = end) {
        end = code_block_end(g, columns, at);
        bytes += code_block_bytes(end - at);
    }
    return bytes;
}

int64_t code_blocks(const Graph *g, const Dim *columns) {
    int64_t count = 0;
    for (int64_t at = 0; at < columns->size; count++) at = code_block_end(g, columns, at);
    return count;
}

/* ---- adamw8 ------------------------------------------------------------------------------------------------------ */

Tensor adamw8(Graph *g, Tensor w, Tensor grad, Tensor first, Tensor second, Tensor average, bool decay) {
    return graph_op(g, &adamw8_row,
                    &(Node){.in = {w, grad, first, second, average}, .attributes = &(UpdateAttributes){decay}});
}

static bool adamw8_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Node *m = graph_state(g, n->in[2]), *v = graph_state(g, n->in[3]);
    bool coded = m && v && m->type == TYPE_FIRST8 && v->type == TYPE_SECOND8 && m->value == VALUE_MATRIX;
    return update_shape(g, n, out, err) &&
           (coded || err_as(err, QM_INTERNAL, "adamw8: expected a matrix and moments in 8 bits"));
}

/* A block of one row: in f32 as written, so that codes are those of the engine. */
static void plain_block(const AdamwNumbers *a, const float *grad, float *p, float *m, float *v, int64_t n) {
    float most[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * a->clip;
        m[i] = m[i] * a->beta1 + g * a->rest1;
        v[i] = v[i] * a->beta2 + g * g * a->rest2;
        p[i] = p[i] * a->decay - m[i] * a->step / (sqrtf(v[i]) / a->root + a->epsilon);
        most[0] = fabsf(m[i]) > most[0] ? fabsf(m[i]) : most[0];
        most[1] = v[i] > most[1] ? v[i] : most[1];
    }
    for (int kind = 0; kind < 2; kind++)
        for (int64_t i = 0; i < n; i++) {
            float *x = kind == CODE_FIRST ? m : v, s = code_scale((CodeKind)kind, most[kind]);
            x[i] = code_value((CodeKind)kind, code_of((CodeKind)kind, x[i], s), s);
        }
}

static void adamw8_reference(const PlainCall *c) {
    const Shape *s = &c->node->shape;
    AdamwNumbers numbers = adamw_numbers(&c->step->scalars, update_decays(c->node));
    float *m = (float *)(uintptr_t)c->in[2], *v = (float *)(uintptr_t)c->in[3], *e = (float *)(uintptr_t)c->in[4];
    double decay = c->step->scalars.average_decay;
    for (int64_t row = 0, at = 0; row < s->dim[0].size; row++)
        for (int64_t i = 0, end; i < s->dim[1].size; at += end - i, i = end) {
            end = code_block_end(c->graph, &s->dim[1], i);
            plain_block(&numbers, c->in[1] + at, c->out + at, m + at, v + at, end - i);
            for (int64_t k = at; e && k < at + end - i; k++)
                e[k] = (float)(decay * (double)e[k] + (1 - decay) * (double)c->out[k]);
        }
}

static int64_t adamw8_units(const Call *c) { return c->states.held.panels.last - c->states.held.panels.first; }

/* A panel: the blocks that are here whole. Of others this process has no part of its own. */
static void adamw8_run(const Call *c, int64_t first, int64_t last) {
    const Dim *dim = &c->node->shape.dim[1];
    const StepScalars *s = &c->step->scalars;
    Range held = c->states.held.columns, coded = code_columns(c->graph, dim, held);
    AdamwNumbers numbers = adamw_numbers(s, update_decays(c->node));
    int64_t step = (held.last - held.first) * PANEL, bytes = code_panel_bytes(c->graph, dim, coded);
    for (int64_t u = first; u < last; u++) {
        uint8_t *m = (uint8_t *)c->states.of[2] + u * bytes, *v = (uint8_t *)c->states.of[3] + u * bytes;
        for (int64_t i = coded.first, end; i < coded.last; i = end) {
            int64_t at = u * step + (i - held.first) * PANEL;
            end = code_block_end(c->graph, dim, i);
            c->kernels->adamw8(c->states.of[0] + at, c->in[1] + at, m, v, end - i, &numbers);
            m += code_block_bytes(end - i), v += code_block_bytes(end - i);
        }
        if (c->states.of[4])
            c->kernels->average(c->states.of[4] + u * step, c->states.of[0] + u * step, step, (float)s->average_decay,
                                (float)(1 - s->average_decay));
    }
}

const OpRow adamw8_row = {
    .name = "adamw8", .factors = "oi,oi,oi,oi,?oi->oi",
    .shape = adamw8_shape, .units = adamw8_units, .cost = update_cost,
    .run = adamw8_run, .reference = adamw8_reference, .binds = BINDS_STATES, .writes_state = true,
    .attributes = sizeof(UpdateAttributes),
    .none = {[FACET_GRADIENT] = OF_GRADIENT, [FACET_FINISH] = NOTHING_REDUCED,
             [FACET_STABLEHLO] = "on PJRT devices moments are f32"},
};
