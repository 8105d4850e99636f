/* grad_cases.h: small graphs for tests of training: each op that only training has, given values of forward ops; and
 * forward ops whose rules are asked, under a loss. */
#ifndef GRAD_CASES_H
#define GRAD_CASES_H
#include "../src/graph/gradient.h"
#include "../src/ops/loss.h"
#include "fixture.h"
#include "op_cases.h"

static inline Tensor at_stage(Graph *g, Stage stage) { return g->stage = stage, NO_TENSOR; }
static inline Tensor sum_state(Graph *g, const char *axes, const char *name) {
    return state(g, axes, TYPE_SUM, "%s", name);
}
/* Rows of hidden that are others than rows_of's: what is owed to them. */
static inline Tensor owed_of(Graph *g) { return embed(g, input(g, "positions", "t"), weight(g, "vd", "owed")); }
static inline Tensor owed_as(Graph *g, const char *axes, const char *name) {
    return linear(g, owed_of(g), weight(g, axes, "%s", name), NO_TENSOR);
}
static inline Tensor trained(Graph *g, const char *axes, const char *name) {
    Tensor w = weight(g, axes, "%s", name);
    graph_node(g, w)->trained = true;
    return w;
}

/* ---- Ops of training --------------------------------------------------------------------------------------------- */

static inline void of_embed_part(Graph *g) { embed_part(g, input(g, "tokens", "t"), trained(g, "vd", "embed")); }
static inline void of_embed_grad(Graph *g) {
    Tensor dy = owed_of(g);
    at_stage(g, STAGE_GRADIENT);
    embed_grad(g, input(g, "tokens", "t"), dy, sum_state(g, "vd", "G"));
}
static inline void of_rms_norm_grad(Graph *g) {
    Tensor x = rows_of(g), dy = owed_of(g), gain = weight(g, "d", "gain");
    at_stage(g, STAGE_GRADIENT);
    Tensor dx = rms_norm_grad(g, x, gain, dy, 1e-2);
    norm_gain_grad(g, x, graph_result(g, dx, 1), dy, sum_state(g, "d", "G"));
}
static inline void of_head_norm_grad(Graph *g) {
    static const char *const axes[] = {"(kgc)d", "(kc)d"}, *const sums[] = {"(kgc)", "(kc)"};
    for (int i = 0; i < 2; i++) {
        at_stage(g, STAGE_FORWARD);
        Tensor x = projected(g, axes[i], i ? "k_proj" : "q_proj"), dy = owed_as(g, axes[i], i ? "dk" : "dq");
        Tensor gain = weight(g, "c", i ? "k_gain" : "q_gain");
        at_stage(g, STAGE_GRADIENT);
        Tensor dx = head_norm_grad(g, x, gain, dy, 1e-2);
        Tensor sum = head_gain_grad(g, x, graph_result(g, dx, 1), dy, sum_state(g, sums[i], i ? "Gk" : "Gq"));
        at_stage(g, STAGE_NORM);
        head_gain_sum(g, sum);
    }
}
static inline void of_linear_dx(Graph *g) {
    Tensor q = owed_as(g, "(kgc)d", "dq"), k = owed_as(g, "(kc)d", "dk"), v = owed_as(g, "(kc)d", "dv");
    Tensor gate = owed_as(g, "fd", "dgate"), up = owed_as(g, "fd", "dup"), dy = owed_of(g);
    Tensor heads = weight(g, "(kgc)d", "q_proj"), keys = weight(g, "(kc)d", "k_proj");
    Tensor values = weight(g, "(kc)d", "v_proj");
    Tensor down = weight(g, "df", "down"), o = weight(g, "d(kgc)", "o_proj");
    at_stage(g, STAGE_GRADIENT);
    linear_dx(g, (Tensor[]){q, k, v}, (Tensor[]){heads, keys, values}, 3);
    linear_dx(g, (Tensor[]){q, v}, (Tensor[]){heads, values}, 2);
    linear_dx(g, (Tensor[]){k}, (Tensor[]){keys}, 1);
    linear_dx(g, (Tensor[]){q}, (Tensor[]){heads}, 1);
    linear_dx(g, (Tensor[]){gate, up}, (Tensor[]){weight(g, "fd", "gate"), weight(g, "fd", "up")}, 2);
    linear_dx(g, (Tensor[]){dy}, (Tensor[]){down}, 1);
    linear_dx(g, (Tensor[]){dy}, (Tensor[]){o}, 1);
    linear_dx(g, (Tensor[]){dy, dy}, (Tensor[]){weight(g, "dd", "one"), weight(g, "dd", "two")}, 2);
}
static inline void of_vocabulary_dx(Graph *g) {
    Tensor logits = (at_stage(g, STAGE_HEAD), logits_of(g)), head = weight(g, "vd", "back");
    at_stage(g, STAGE_HEAD_GRADIENT);
    linear_dx(g, &logits, &head, 1);
}
static inline void of_linear_dw(Graph *g) {
    Tensor x = rows_of(g), q = projected(g, "(kgc)d", "q_proj"), k = projected(g, "(kc)d", "k_proj");
    Tensor f = projected(g, "fd", "up"), dy = owed_of(g), r = (at_stage(g, STAGE_HEAD), logits_of(g));
    Tensor rows = select_rows(g, dy, input(g, "logit_rows", "r"));
    at_stage(g, STAGE_HEAD_GRADIENT);
    linear_dw(g, r, rows, sum_state(g, "vd", "Gv"));
    at_stage(g, STAGE_GRADIENT);
    linear_dw(g, q, x, sum_state(g, "(kgc)d", "Gq"));
    linear_dw(g, k, x, sum_state(g, "(kc)d", "Gk"));
    linear_dw(g, f, x, sum_state(g, "fd", "Gf"));
    linear_dw(g, dy, f, sum_state(g, "df", "Gdown"));
    linear_dw(g, dy, q, sum_state(g, "d(kgc)", "Go"));
    linear_dw(g, dy, x, sum_state(g, "dd", "Gd"));
}
static inline void of_sum_rows(Graph *g) {
    Tensor q = projected(g, "(kgc)d", "q_proj"), f = projected(g, "fd", "up"), x = rows_of(g);
    at_stage(g, STAGE_GRADIENT);
    sum_rows(g, q, sum_state(g, "(kgc)", "Gq"));
    sum_rows(g, f, sum_state(g, "f", "Gf"));
    sum_rows(g, x, sum_state(g, "d", "Gd"));
}
static inline void of_scale_columns_grad(Graph *g) {
    Tensor q = projected(g, "(kgc)d", "q_proj"), dq = owed_as(g, "(kgc)d", "dq"), x = rows_of(g), dy = owed_of(g);
    at_stage(g, STAGE_GRADIENT);
    scale_columns_grad(g, q, dq, sum_state(g, "(kgc)", "Gq"));
    scale_columns_grad(g, x, dy, sum_state(g, "d", "Gd"));
}
static inline void of_adapter_norm(Graph *g) {
    static const struct { const char *w, *a, *b, *o; double scale; } list[] = {
        {"(kgc)d", "ld", "(kgc)l", "(kgc)", 1.5}, {"(kc)d", "ld", "(kc)l", "(kc)", -0.5}, {"fd", "ld", "fl", "f", 2},
        {"d(kgc)", "l(kgc)", "dl", "d", 0.25},    {"df", "lf", "dl", "d", 1},
    };
    char name[16];
    for (int i = 0; i < 5; i++) {
        Tensor w = weight(g, list[i].w, "w%d", i), of[3];
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%c%d", "abo"[k], i);
            of[k] = trained(g, k == 0 ? list[i].a : k == 1 ? list[i].b : list[i].o, name);
        }
        at_stage(g, STAGE_NORM); /* once a step, which passes do not cut */
        adapter_norm(g, w, of[0], of[1], of[2], list[i].scale);
    }
}
static inline void backward_of(Graph *g, int64_t window) {
    Tensor q = projected(g, "(kgc)d", "q_proj"), k = projected(g, "(kc)d", "k_proj");
    Tensor v = projected(g, "(kc)d", "v_proj");
    Tensor o = attention(g, q, cache_update(g, k, v, state(g, "s(kc)", TYPE_CACHE, "cache")), window);
    Tensor dy = owed_as(g, "(kgc)d", "do");
    at_stage(g, STAGE_GRADIENT);
    Tensor dq = attention_backward(g, q, k, v, o, dy, window);
    sum_group(g, graph_result(g, dq, 1));
    sum_group(g, graph_result(g, dq, 2));
}
static inline void of_attention_backward(Graph *g) { backward_of(g, 0); }
static inline void of_window_backward(Graph *g) { backward_of(g, 16); }
static inline void of_silu_mul_grad(Graph *g) {
    Tensor gate = projected(g, "fd", "gate"), up = projected(g, "fd", "up"), dy = owed_as(g, "fd", "owed_f");
    at_stage(g, STAGE_GRADIENT);
    graph_result(g, silu_mul_grad(g, gate, up, dy), 1);
}
static inline void of_dropout(Graph *g) {
    Tensor x = dropout(g, projected(g, "fd", "gate"), 0.3, 5);
    if (graph_node(g, x)) graph_node(g, x)->keep = true;
}
static inline void of_put_rows(Graph *g) {
    Tensor x = rows_of(g), rows = state(g, "td", TYPE_F32, "rows"), which = input(g, "logit_rows", "r");
    clear_rows(g, rows);
    at_stage(g, STAGE_HEAD);
    Tensor y = rms_norm(g, select_rows(g, x, which), weight(g, "d", "gain"), 1e-2);
    at_stage(g, STAGE_HEAD_GRADIENT);
    Tensor put = put_rows(g, y, which, rows);
    at_stage(g, STAGE_GRADIENT); /* what puts them in place is complete when a later stage reads it */
    rms_norm_grad(g, put, weight(g, "d", "gain"), x, 1e-2);
}
static inline Tensor loss_of(Graph *g, Tensor logits) { /* returns the gradient of the logits */
    at_stage(g, STAGE_HEAD);
    Tensor labels = input(g, "labels", "r"), most = row_max(g, logits), sum = exp_sum(g, logits, most);
    token_loss(g, most, sum, label_logit(g, logits, labels), row_sum(g, logits));
    at_stage(g, STAGE_HEAD_GRADIENT);
    return token_loss_grad(g, logits, most, sum, labels);
}
static inline void of_loss(Graph *g) { loss_of(g, (at_stage(g, STAGE_HEAD), logits_of(g))); }
static inline Tensor scores_of(Graph *g) {
    Tensor rows = (at_stage(g, STAGE_HEAD), select_rows(g, rows_of(g), input(g, "logit_rows", "r")));
    return linear(g, rows, weight(g, "nd", "score"), NO_TENSOR);
}
static inline void of_class_loss(Graph *g) { loss_of(g, scores_of(g)); }
static inline void of_span_loss(Graph *g) {
    Tensor scores = scores_of(g), labels = input(g, "labels", "r");
    span_loss(g, scores, labels);
    at_stage(g, STAGE_HEAD_GRADIENT);
    span_loss_grad(g, scores, labels);
}
static inline void of_square_loss(Graph *g) {
    Tensor scores = scores_of(g), labels = input(g, "labels", "r");
    square_loss(g, scores, labels);
    at_stage(g, STAGE_HEAD_GRADIENT);
    square_loss_grad(g, scores, labels);
}

/* ---- The optimizer: over weights split by rows, by columns, by heads, and vectors -------------------------------- */

typedef enum Rule { RULE_ADAMW, RULE_SGD, RULE_MUON, RULE_ADAMW8 } Rule;
static inline void updated(Graph *g, Tensor w, const char *axes, const char *name, Tensor sum, Rule rule, bool average,
                           bool decays) {
    bool matrix = graph_node(g, w)->shape.rank == 2;
    at_stage(g, STAGE_NORM);
    row_squares(g, sum);
    at_stage(g, STAGE_UPDATE);
    bool coded = rule == RULE_ADAMW8 && matrix;
    Tensor m = state(g, axes, coded ? TYPE_FIRST8 : TYPE_F32, "m.%s", name), e = average ? state(g, axes, TYPE_F32, "e.%s", name) : NO_TENSOR;
    if (rule == RULE_SGD) sgd(g, w, sum, m, e, decays);
    else if (coded) adamw8(g, w, sum, m, state(g, axes, TYPE_SECOND8, "v.%s", name), e, decays);
    else if (rule == RULE_MUON && matrix) muon(g, w, sum, m, e, decays);
    else adamw(g, w, sum, m, state(g, axes, TYPE_F32, "v.%s", name), e, decays);
}
static inline void optimizer_of(Graph *g, Rule rule, bool average) {
    Tensor up = trained(g, "fd", "up"), down = trained(g, "df", "down"), o = trained(g, "d(kgc)", "o_proj");
    Tensor bias = trained(g, "(kgc)", "bias"), shared = trained(g, "dd", "shared");
    Tensor x = rows_of(g), dy = owed_of(g), q = projected(g, "(kgc)d", "q_proj"), f = linear(g, x, up, NO_TENSOR);
    at_stage(g, STAGE_GRADIENT);
    Tensor of_up = linear_dw(g, f, x, sum_state(g, "fd", "Gup"));
    Tensor of_down = linear_dw(g, dy, f, sum_state(g, "df", "Gdown"));
    Tensor of_o = linear_dw(g, dy, q, sum_state(g, "d(kgc)", "Go"));
    Tensor of_bias = sum_rows(g, q, sum_state(g, "(kgc)", "Gbias"));
    Tensor once = linear_dw(g, dy, x, sum_state(g, "dd", "G0")), twice = linear_dw(g, x, dy, sum_state(g, "dd", "G1"));
    at_stage(g, STAGE_NORM);
    Tensor both = sum_states(g, once, twice);
    updated(g, up, "fd", "up", of_up, rule, average, true);
    updated(g, down, "df", "down", of_down, rule, average, false);
    updated(g, o, "d(kgc)", "o", of_o, rule, average, true);
    updated(g, bias, "(kgc)", "bias", of_bias, rule, average, false);
    updated(g, shared, "dd", "shared", both, rule, average, true);
}
static inline void of_adamw(Graph *g) { optimizer_of(g, RULE_ADAMW, false); }
static inline void of_adamw_average(Graph *g) { optimizer_of(g, RULE_ADAMW, true); }
static inline void of_sgd(Graph *g) { optimizer_of(g, RULE_SGD, false); }
static inline void of_sgd_average(Graph *g) { optimizer_of(g, RULE_SGD, true); }
static inline void of_muon(Graph *g) { optimizer_of(g, RULE_MUON, false); }
static inline void of_adamw8(Graph *g) { optimizer_of(g, RULE_ADAMW8, false); }
static inline void of_adamw8_average(Graph *g) { optimizer_of(g, RULE_ADAMW8, true); }
static inline void of_muon_average(Graph *g) { optimizer_of(g, RULE_MUON, true); }
#endif
