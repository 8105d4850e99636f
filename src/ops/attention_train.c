/* attention_train.c: attention and its gradient as a program that trains has them: rows of a slot attend to rows of
 * their own segment, up to themselves, and no cache is there. With s = q.k / sqrt(c), masked, and L = log(sum of
 * exp(s)):
 *
 *     P = exp(s - L),  out = P v,  D = sum over channels of dy out
 *     dS = P (dy v^T - D) / sqrt(c),  dq = dS k,  dk = dS^T q,  dv = P^T dy
 *
 * L is what attention leaves as its result 1. Heads of padding attend evenly, which would let the columns of zeros of
 * the matrix after them be trained: their output is made 0.
 */
#include <math.h>
#include <string.h>
#include "../graph/lower_train.h"
#include "attention.h"

/* Sizes of one attention, and its types: rows of heads [t, w]; heads [b, k, g, s, c]; keys [b, k, s, c]; scores
 * [b, k, g, s, s] and rows of scores, in f32. */
typedef struct Heads {
    int64_t b, s, k, g, c, t;
    const char *out, *flat, *keys_flat, *heads, *keys, *score, *score_type, *row;
} Heads;

static Heads heads_of(Lower *l, const Node *n, const Node *keys) {
    Heads h = {
        .b = l->bucket.slots, .s = l->bucket.rows, .c = lower_channels(l), .t = lower_rows(l), .out = lower_out(l, n)};
    int64_t w = lower_dim(l, n, 1), kw = lower_dim(l, keys, 1);
    h.k = kw / h.c;
    h.g = w / kw;
    h.flat = lower_type(l, NULL, 2, h.t, w);
    h.keys_flat = lower_type(l, NULL, 2, h.t, kw);
    h.heads = lower_type(l, NULL, 5, h.b, h.k, h.g, h.s, h.c);
    h.keys = lower_type(l, NULL, 4, h.b, h.k, h.s, h.c);
    h.score = lower_type(l, "f32", 5, h.b, h.k, h.g, h.s, h.s);
    h.score_type = lower_type(l, NULL, 5, h.b, h.k, h.g, h.s, h.s);
    h.row = lower_type(l, "f32", 4, h.b, h.k, h.g, h.s);
    return h;
}

/* [t, w] -> [b, k, g, s, c], or of keys [b, k, s, c]. */
static const char *take(Lower *l, const Heads *h, const char *name, const char *x, bool keys) {
    const char *to = lower_word(l, "%s_%s", h->out, name), *rows = lower_word(l, "%s_rows", to);
    const char *split = keys ? lower_type(l, NULL, 4, h->b, h->s, h->k, h->c)
                             : lower_type(l, NULL, 5, h->b, h->s, h->k, h->g, h->c);
    lower_reshape(l, rows, x, keys ? h->keys_flat : h->flat, split);
    lower_line(l, "%s = stablehlo.transpose %s, dims = %s : (%s) -> %s", to, rows,
               keys ? "[0, 2, 1, 3]" : "[0, 2, 3, 1, 4]", split, keys ? h->keys : h->heads);
    return to;
}

/* Heads back to rows. */
static void give(Lower *l, const Heads *h, const char *out, const char *x) {
    const char *split = lower_type(l, NULL, 5, h->b, h->s, h->k, h->g, h->c), *rows = lower_word(l, "%s_turned", out);
    lower_line(l, "%s = stablehlo.transpose %s, dims = [0, 3, 1, 2, 4] : (%s) -> %s", rows, x, h->heads, split);
    lower_reshape(l, out, rows, split, h->flat);
}

static void dot(Lower *l, const char *out, const char *a, const char *b, const char *dims, const char *a_type,
                const char *b_type, const char *type) {
    lower_line(l, "%s = stablehlo.dot_general %s, %s, %s : (%s, %s) -> %s", out, a, b, dims, a_type, b_type, type);
}

/* What is added to a score: 0, or -1e30 where a row does not see another: f32 [b, s, s]. */
static const char *mask(Lower *l, const Heads *h, int64_t window) {
    const char *name = lower_word(l, "%%sees%lld", (long long)window), *ids = lower_type(l, "i32", 2, h->b, h->s);
    const char *grid = lower_type(l, "i32", 3, h->b, h->s, h->s), *bits = lower_type(l, "i1", 3, h->b, h->s, h->s);
    const char *type = lower_type(l, "f32", 3, h->b, h->s, h->s);
    if (lower_once(l, "sees")) {
        lower_reshape(l, "%sees_g", lower_segment(l), lower_type(l, "i32", 1, h->t), ids);
        lower_spread(l, "%sees_gt", "%sees_g", "[0, 1]", ids, grid);
        lower_spread(l, "%sees_gp", "%sees_g", "[0, 2]", ids, grid);
        lower_compare(l, "%sees_own", "EQ", "%sees_gt", "%sees_gp", "SIGNED", grid, bits);
        lower_line(l, "%%sees_t = stablehlo.iota dim = 1 : %s\n%%sees_p = stablehlo.iota dim = 2 : %s", grid, grid);
        lower_compare(l, "%sees_past", "GE", "%sees_t", "%sees_p", "SIGNED", grid, bits);
        lower_op(l, "%sees_all", "and", "%sees_own", "%sees_past", bits);
        lower_constant(l, "%sees_yes", 0, type);
        lower_constant(l, "%sees_no", -1e30, type);
    }
    if (!lower_once(l, "%s", name + 1)) return name;
    const char *seen = "%sees_all";
    if (window > 0) {
        lower_line(l, "%s_n = stablehlo.constant dense<%lld> : %s", name, (long long)window, grid);
        lower_op(l, lower_word(l, "%s_t", name), "subtract", "%sees_t", lower_word(l, "%s_n", name), grid);
        lower_compare(l, lower_word(l, "%s_w", name), "GT", "%sees_p", lower_word(l, "%s_t", name), "SIGNED", grid,
                      bits);
        lower_op(l, lower_word(l, "%s_a", name), "and", "%sees_all", lower_word(l, "%s_w", name), bits);
        seen = lower_word(l, "%s_a", name);
    }
    lower_select(l, name, seen, "%sees_yes", "%sees_no", bits, type);
    return name;
}

static int64_t window_of(const Node *n) { return ((const AttentionAttributes *)n->attributes)->window; }

/* Masked scores of queries and keys. */
static const char *scores(Lower *l, const Heads *h, const Node *n, const char *q, const char *k) {
    const char *out = h->out, *sees = mask(l, h, window_of(n)), *to = lower_word(l, "%s_masked", out);
    dot(l, lower_word(l, "%s_qk", out), q, k, "batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3]", h->heads,
        h->keys, h->score);
    lower_constant(l, lower_word(l, "%s_scale", out), 1 / sqrt((double)h->c), h->score);
    lower_op(l, lower_word(l, "%s_score", out), "multiply", lower_word(l, "%s_qk", out), lower_word(l, "%s_scale", out),
             h->score);
    lower_spread(l, lower_word(l, "%s_sees", out), sees, "[0, 3, 4]", lower_type(l, "f32", 3, h->b, h->s, h->s),
                 h->score);
    lower_op(l, to, "add", lower_word(l, "%s_score", out), lower_word(l, "%s_sees", out), h->score);
    return to;
}

/* x of f32 scores as the program's type, under a name that is another in bf16. */
static const char *narrow(Lower *l, const Heads *h, const char *x) {
    const char *to = lower_word(l, "%s_%s", x, l->type);
    if (!strcmp(l->type, "f32")) return x;
    lower_convert(l, to, x, h->score, h->score_type);
    return to;
}

/* Whether some device has fewer heads of a group than the others. */
static bool heads_padded(const Lower *l, const Heads *h) {
    const Partition *p = l->program->partition;
    bool padded = false;
    for (int d = 0; d < p->mesh.tp; d++) {
        Range r = partition_range(p, AXIS_GROUP, d);
        padded |= r.last - r.first < h->g;
    }
    return padded;
}

/* The output, 0 for heads of padding. */
static const char *live(Lower *l, const Heads *h, const char *x) {
    const char *out = lower_word(l, "%s_live", h->out), *ids = lower_type(l, "i32", 5, h->b, h->k, h->g, h->s, h->c);
    const char *bits = lower_type(l, "i1", 5, h->b, h->k, h->g, h->s, h->c);
    if (!heads_padded(l, h)) return x;
    if (lower_once(l, "live_heads")) {
        lower_spread(l, "%live_heads_n", lower_place(l, PLACE_GROUP_COUNT), "[]", "tensor<i32>", ids);
        lower_line(l, "%%live_heads_i = stablehlo.iota dim = 2 : %s", ids);
        lower_compare(l, "%live_heads", "LT", "%live_heads_i", "%live_heads_n", "SIGNED", ids, bits);
        lower_constant(l, "%live_heads_0", 0, h->heads);
    }
    lower_select(l, out, "%live_heads", x, "%live_heads_0", bits, h->heads);
    return out;
}

void attention_train_stablehlo(Lower *l, const Node *n) {
    const Node *update = graph_node(&l->program->graph, n->in[1]);
    Heads h = heads_of(l, n, graph_node(&l->program->graph, update->in[0]));
    const char *q = take(l, &h, "q", lower_in(l, n, 0), false), *k = take(l, &h, "k", lower_in(l, update, 0), true);
    const char *v = take(l, &h, "v", lower_in(l, update, 1), true), *s = scores(l, &h, n, q, k), *out = h.out;
    const char *most = lower_word(l, "%s_most", out), *sum = lower_word(l, "%s_sum", out),
               *e = lower_word(l, "%s_e", out);
    lower_fold(l, most, "maximum", s, "[4]", "f32", h.score, h.row);
    lower_spread(l, lower_word(l, "%s_mb", out), most, "[0, 1, 2, 3]", h.row, h.score);
    lower_op(l, lower_word(l, "%s_d", out), "subtract", s, lower_word(l, "%s_mb", out), h.score);
    lower_op(l, e, "exponential", lower_word(l, "%s_d", out), NULL, h.score);
    lower_fold(l, sum, "add", e, "[4]", "f32", h.score, h.row);
    lower_spread(l, lower_word(l, "%s_sb", out), sum, "[0, 1, 2, 3]", h.row, h.score);
    lower_op(l, lower_word(l, "%s_p", out), "divide", e, lower_word(l, "%s_sb", out), h.score);
    dot(l, lower_word(l, "%s_o", out), narrow(l, &h, lower_word(l, "%s_p", out)), v,
        "batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2]", h.score_type, h.keys, h.heads);
    give(l, &h, out, live(l, &h, lower_word(l, "%s_o", out)));
    const char *turned = lower_type(l, "f32", 4, h.b, h.s, h.k, h.g);
    lower_op(l, lower_word(l, "%s_log", out), "log", sum, NULL, h.row);
    lower_op(l, lower_word(l, "%s_lse", out), "add", most, lower_word(l, "%s_log", out), h.row);
    lower_line(l, "%s_lt = stablehlo.transpose %s_lse, dims = [0, 3, 1, 2] : (%s) -> %s", out, out, h.row, turned);
    lower_reshape(l, lower_more(l, n, 1), lower_word(l, "%s_lt", out), turned, lower_type(l, "f32", 2, h.t, h.k * h.g));
}

/* D of each row and head, f32 [b, k, g, s]. */
static const char *products_of(Lower *l, const Heads *h, const char *dy, const char *o) {
    const char *out = h->out, *flat = lower_type(l, "f32", 2, h->t, h->k * h->g * h->c);
    const char *split = lower_type(l, "f32", 5, h->b, h->s, h->k, h->g, h->c),
               *turned = lower_type(l, "f32", 4, h->b, h->s, h->k, h->g);
    lower_op(l, lower_word(l, "%s_dyo", out), "multiply", dy, o, flat);
    lower_reshape(l, lower_word(l, "%s_dyo5", out), lower_word(l, "%s_dyo", out), flat, split);
    lower_fold(l, lower_word(l, "%s_dt", out), "add", lower_word(l, "%s_dyo5", out), "[4]", "f32", split, turned);
    lower_line(l, "%s_D = stablehlo.transpose %s_dt, dims = [0, 2, 3, 1] : (%s) -> %s", out, out, turned, h->row);
    return lower_word(l, "%s_D", out);
}

/* in: q, k, v, attention's output, its L, dy. */
void attention_backward_stablehlo(Lower *l, const Node *n) {
    Heads h = heads_of(l, n, graph_node(&l->program->graph, n->in[1]));
    const char *q = take(l, &h, "q", lower_in(l, n, 0), false), *k = take(l, &h, "k", lower_in(l, n, 1), true);
    const char *v = take(l, &h, "v", lower_in(l, n, 2), true), *dy = take(l, &h, "dy", lower_in(l, n, 5), false);
    const char *s = scores(l, &h, n, q, k), *out = h.out, *p = lower_word(l, "%s_p", out),
               *ds = lower_word(l, "%s_ds", out);
    const char *stats = lower_type(l, "f32", 4, h.b, h.s, h.k, h.g),
               *d = products_of(l, &h, lower_f32_in(l, n, 5), lower_f32_in(l, n, 3));
    lower_reshape(l, lower_word(l, "%s_l4", out), lower_in(l, n, 4), lower_type(l, "f32", 2, h.t, h.k * h.g), stats);
    lower_line(l, "%s_lse = stablehlo.transpose %s_l4, dims = [0, 2, 3, 1] : (%s) -> %s", out, out, stats, h.row);
    lower_spread(l, lower_word(l, "%s_lb", out), lower_word(l, "%s_lse", out), "[0, 1, 2, 3]", h.row, h.score);
    lower_op(l, lower_word(l, "%s_x", out), "subtract", s, lower_word(l, "%s_lb", out), h.score);
    lower_op(l, p, "exponential", lower_word(l, "%s_x", out), NULL, h.score);
    const char *by_row = "batching_dims = [0, 1, 2] x [0, 1, 2], contracting_dims = [3] x [3]";
    dot(l, lower_word(l, "%s_dv", out), narrow(l, &h, p), dy, by_row, h.score_type, h.heads, h.heads);
    dot(l, lower_word(l, "%s_dp", out), dy, v, "batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [3]", h.heads,
        h.keys, h.score);
    lower_spread(l, lower_word(l, "%s_db", out), d, "[0, 1, 2, 3]", h.row, h.score);
    lower_op(l, lower_word(l, "%s_pd", out), "subtract", lower_word(l, "%s_dp", out), lower_word(l, "%s_db", out),
             h.score);
    lower_op(l, lower_word(l, "%s_ps", out), "multiply", p, lower_word(l, "%s_pd", out), h.score);
    lower_op(l, ds, "multiply", lower_word(l, "%s_ps", out), lower_word(l, "%s_scale", out), h.score);
    const char *dst = narrow(l, &h, ds);
    dot(l, lower_word(l, "%s_dq", out), dst, k, "batching_dims = [0, 1] x [0, 1], contracting_dims = [4] x [2]",
        h.score_type, h.keys, h.heads);
    dot(l, lower_word(l, "%s_dk", out), dst, q, by_row, h.score_type, h.heads, h.heads);
    give(l, &h, out, lower_word(l, "%s_dq", out));
    give(l, &h, lower_more(l, n, 1), lower_word(l, "%s_dk", out));
    give(l, &h, lower_more(l, n, 2), lower_word(l, "%s_dv", out));
}
