/* lower_train.c: see lower_train.h. */
#include <math.h>
#include <string.h>
#include "lower_train.h"

/* ---- Numbers of the step ----------------------------------------------------------------------------------------- */

void lower_scalars(const StepScalars *s, bool fresh, float out[LOWER_SCALARS]) {
    double bias1 = 1 - pow(s->beta1, (double)s->step), bias2 = 1 - pow(s->beta2, (double)s->step);
    const double of[LOWER_SCALARS] = {
        [SCALAR_FRESH] = fresh, [SCALAR_DRAWS] = s->step > 0, [SCALAR_LOSS_WEIGHT] = s->loss_weight,
        [SCALAR_SMOOTHING] = s->label_smoothing, [SCALAR_REST_SMOOTHING] = 1 - s->label_smoothing,
        [SCALAR_Z_LOSS] = s->z_loss, [SCALAR_CLIP] = s->clip, [SCALAR_LEARNING_RATE] = s->learning_rate,
        [SCALAR_WEIGHT_DECAY] = s->weight_decay, [SCALAR_EPSILON] = s->epsilon, [SCALAR_BETA1] = s->beta1,
        [SCALAR_REST1] = 1 - s->beta1, [SCALAR_BETA2] = s->beta2, [SCALAR_REST2] = 1 - s->beta2,
        [SCALAR_KEEP] = 1 - s->learning_rate * s->weight_decay,
        [SCALAR_STEP] = bias1 > 0 ? s->learning_rate / bias1 : s->learning_rate, [SCALAR_ROOT] = sqrt(bias2),
        [SCALAR_AVERAGE] = s->average_decay, [SCALAR_REST_AVERAGE] = 1 - s->average_decay,
    };
    for (int i = 0; i < LOWER_SCALARS; i++) out[i] = (float)of[i];
}

const char *lower_scalar(Lower *l, LowerScalar scalar) {
    const char *name = lower_word(l, "%%scalar_%d", (int)scalar);
    if (!lower_once(l, "%s", name + 1)) return name;
    const char *all = lower_same_input(l, "scalars", LOWER_SCALARS);
    lower_line(l, "%s_1 = stablehlo.slice %s [%d:%d] : (%s) -> tensor<1xf32>", name, all, (int)scalar, (int)scalar + 1,
               lower_type(l, "f32", 1, (int64_t)LOWER_SCALARS));
    lower_line(l, "%s = stablehlo.reshape %s_1 : (tensor<1xf32>) -> tensor<f32>", name, name);
    return name;
}

/* "4x8xf32" of "tensor<4x8xf32>": for names. */
static const char *type_word(Lower *l, const char *type) {
    return lower_word(l, "%.*s", (int)(strlen(type) - strlen("tensor<>")), type + strlen("tensor<"));
}

const char *lower_scalar_like(Lower *l, LowerScalar scalar, const char *type) {
    const char *one = lower_scalar(l, scalar), *name = lower_word(l, "%s_%s", one, type_word(l, type));
    if (lower_once(l, "%s", name + 1))
        lower_line(l, "%s = stablehlo.broadcast_in_dim %s, dims = [] : (tensor<f32>) -> %s", name, one, type);
    return name;
}

/* ---- Values in f32 ----------------------------------------------------------------------------------------------- */

static bool in_f32(const Lower *l) { return !strcmp(l->type, "f32"); }

const char *lower_f32_name(Lower *l, const char *out) { return in_f32(l) ? out : lower_word(l, "%s_wide", out); }

void lower_f32_done(Lower *l, const char *out, int rank, const int64_t *dim) {
    if (in_f32(l)) return;
    const char *from = rank == 1 ? lower_type(l, "f32", 1, dim[0]) : lower_type(l, "f32", 2, dim[0], dim[1]);
    const char *to = rank == 1 ? lower_type(l, NULL, 1, dim[0]) : lower_type(l, NULL, 2, dim[0], dim[1]);
    lower_convert(l, out, lower_f32_name(l, out), from, to);
}

/* ---- Sums -------------------------------------------------------------------------------------------------------- */

const char *lower_sum_name(Lower *l, const Node *n) {
    return l->sums_go_on || l->part > 0 ? lower_word(l, "%s_d", lower_out(l, n)) : lower_out(l, n);
}

/* What earlier passes have left of a sum. Of a step's first pass whatever its buffer holds is left alone: it may be
 * anything, NaN too. */
static const char *sum_had(Lower *l, const Node *n, int i) {
    const char *out = lower_out(l, n), *type = lower_tensor(l, n), *had = lower_state_in(l, n, i);
    if (lower_once(l, "fresh")) {
        lower_line(l, "%%fresh_0 = stablehlo.constant dense<0.0> : tensor<f32>");
        lower_compare(l, "%fresh", "NE", lower_scalar(l, SCALAR_FRESH), "%fresh_0", "FLOAT", "tensor<f32>", "tensor<i1>");
    }
    lower_constant(l, lower_word(l, "%s_0", out), 0, type);
    lower_select(l, lower_word(l, "%s_h", out), "%fresh", lower_word(l, "%s_0", out), had, "tensor<i1>", type);
    return lower_word(l, "%s_h", out);
}

void lower_sum_done(Lower *l, const Node *n, int i) {
    const char *had;
    if (l->part > 0) { /* what the part before has left */
        l->part--;
        had = lower_out(l, n);
        l->part++;
    } else if (l->sums_go_on) had = sum_had(l, n, i);
    else return;
    lower_op(l, lower_out(l, n), "add", had, lower_sum_name(l, n), lower_tensor(l, n));
}

const char *lower_sum_start(Lower *l, const Node *n, int i) {
    if (graph_node(&l->program->graph, n->in[i])->kind == NODE_OP) return lower_state_in(l, n, i); /* of this pass */
    return l->sums_go_on ? sum_had(l, n, i) : lower_scalar_like(l, SCALAR_ZERO, lower_tensor(l, n));
}

/* ---- Masks ------------------------------------------------------------------------------------------------------- */

const char *lower_segment(Lower *l) { return lower_step_input(l, "segment", "i32", lower_rows(l), 0, 0); }

const char *lower_counted_once(Lower *l, const char *value, const char *out, const Node *of) {
    const Node *held = graph_state(&l->program->graph, (Tensor){(int)(of - l->program->graph.nodes)});
    const Dim *dim = &of->shape.dim[of->shape.rank - 1];
    bool heads = strchr((held ? held : of)->split, AXIS_KV_HEAD) && strchr(dim->letters, AXIS_KV_HEAD);
    if (!heads || strchr(dim->letters, AXIS_GROUP) || l->program->partition->grid.group_parts == 1) return value;
    int64_t t = lower_dim(l, of, 0), w = of->shape.rank > 1 ? lower_dim(l, of, 1) : 0;
    const char *type = lower_tensor(l, of), *at = w ? lower_type(l, "i32", 2, t, w) : lower_type(l, "i32", 1, t);
    const char *bits = w ? lower_type(l, "i1", 2, t, w) : lower_type(l, "i1", 1, t);
    const char *first = w ? lower_word(l, "%%first_%lldx%lld", (long long)t, (long long)w)
                          : lower_word(l, "%%first_%lld", (long long)t);
    if (lower_once(l, "%s", first + 1)) {
        lower_spread(l, lower_word(l, "%s_g", first), lower_place(l, PLACE_GROUP), "[]", "tensor<i32>", at);
        lower_line(l, "%s_0 = stablehlo.constant dense<0> : %s", first, at);
        lower_compare(l, first, "EQ", lower_word(l, "%s_g", first), lower_word(l, "%s_0", first), "SIGNED", at, bits);
    }
    lower_constant(l, lower_word(l, "%s_z", out), 0, type);
    lower_select(l, out, first, value, lower_word(l, "%s_z", out), bits, type);
    return out;
}

const char *lower_live_columns(Lower *l, const Node *logits) {
    const Partition *p = l->program->partition;
    int64_t r = lower_dim(l, logits, 0), v = lower_dim(l, logits, 1);
    bool padded = false;
    for (int d = 0; logits->split[0] && d < p->mesh.tp; d++) {
        Range range = partition_range(p, AXIS_VOCAB, d);
        padded |= range.last - range.first < v;
    }
    if (!padded) return NULL;
    const char *name = lower_word(l, "%%live_%lldx%lld", (long long)r, (long long)v), *at = lower_type(l, "i32", 2, r, v);
    if (!lower_once(l, "%s", name + 1)) return name;
    lower_line(l, "%s_i = stablehlo.iota dim = 1 : %s", name, at);
    lower_spread(l, lower_word(l, "%s_n", name), lower_place(l, PLACE_VOCAB_COUNT), "[]", "tensor<i32>", at);
    lower_compare(l, name, "LT", lower_word(l, "%s_i", name), lower_word(l, "%s_n", name), "SIGNED", at,
                  lower_type(l, "i1", 2, r, v));
    return name;
}

LowerOwn lower_own_rows(Lower *l, const Node *n) {
    int64_t t = lower_rows(l);
    const char *tokens = lower_in(l, n, 0), *type = lower_type(l, "i32", 1, t), *bits = lower_type(l, "i1", 1, t);
    LowerOwn own = {lower_word(l, "%s_row", tokens), lower_word(l, "%s_own", tokens)};
    if (!partition_shared(l->program->partition, AXIS_VOCAB)) return (LowerOwn){tokens, NULL};
    if (!lower_once(l, "%s", own.rows + 1)) return own;
    const char *at = lower_word(l, "%s_at", tokens), *zero = lower_word(l, "%s_0", tokens);
    lower_spread(l, lower_word(l, "%s_f", tokens), lower_place(l, PLACE_VOCAB), "[]", "tensor<i32>", type);
    lower_op(l, at, "subtract", tokens, lower_word(l, "%s_f", tokens), type);
    lower_spread(l, lower_word(l, "%s_n", tokens), lower_place(l, PLACE_VOCAB_COUNT), "[]", "tensor<i32>", type);
    lower_line(l, "%s = stablehlo.constant dense<0> : %s", zero, type);
    lower_compare(l, lower_word(l, "%s_ge", tokens), "GE", at, zero, "SIGNED", type, bits);
    lower_compare(l, lower_word(l, "%s_lt", tokens), "LT", at, lower_word(l, "%s_n", tokens), "SIGNED", type, bits);
    lower_op(l, own.held, "and", lower_word(l, "%s_ge", tokens), lower_word(l, "%s_lt", tokens), bits);
    lower_select(l, own.rows, own.held, at, zero, bits, type);
    return own;
}
