/* linear.c: y[t,o] = sum over i of x[t,i] w[o,i] + bias[o].
 *
 * Over i split by columns of the result nothing is reduced, and i is one sum in order. Where i itself is split (o_proj,
 * down_proj) it is cut into the leaves of a fixed tree (tree.h): a call adds up the subtrees of the process's devices,
 * each on its own, and all_reduce the rest. So the bits depend neither on the mesh nor on the number of rows: few rows
 * go through the panel once, many unpack it piece by piece (f32 lies as it is used).
 *
 * With activations in bf16 weights are too: as they are held, or, in training, where masters are f32, each the nearest
 * bf16, made piece by piece.
 */
#include <string.h>
#include "../graph/lower.h"
#include "call.h"

static bool linear_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    const Shape *x = &graph_node(g, n->in[0])->shape, *w = &graph_node(g, n->in[1])->shape;
    const Node *bias = graph_node(g, n->in[2]);
    if (x->rank != 2 || w->rank != 2 || strcmp(x->dim[1].letters, w->dim[1].letters))
        return err_as(err, QM_INTERNAL, "linear: rows of %s against weights over %s", x->dim[x->rank - 1].letters,
                      w->dim[w->rank - 1].letters);
    if (bias && strcmp(bias->shape.dim[0].letters, w->dim[0].letters)) return err_as(err, QM_INTERNAL,
                                                                                     "linear: bias is not [o]");
    *out = (Shape){.rank = 2, .dim = {x->dim[0], w->dim[0]}};
    return true;
}

Tensor linear(Graph *g, Tensor x, Tensor w, Tensor bias) {
    return graph_op(g, &linear_row, &(Node){.in = {x, w, bias}});
}

static void linear_reference(const PlainCall *c) {
    int64_t k = c->width[0], o = c->out_width;
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t row = 0; row < o; row++) {
            const float *x = c->in[0] + t * k, *w = c->in[1] + row * k;
            double sum = c->in[2] ? (double)c->in[2][row] : 0;
            for (int64_t i = 0; i < k; i++) sum += (double)x[i] * (double)w[i];
            c->out[t * o + row] = (float)sum;
        }
}

static int64_t linear_units(const Call *c) {
    if (c->row0 == c->row1 || c->columns.first == c->columns.last) return 0;
    return (c->columns.last + PANEL - 1) / PANEL - c->columns.first / PANEL;
}

/* Fewer rows than this in a block cost more in reading panels again than they save. */
enum { BLOCK_ROWS = 64 };

/* Columns of two panels that are in the level 1 cache with what few rows have of them. */
enum { PARTS_COLUMNS = 192 };

/* Columns of which `each` bytes are taken, as many as fit: whole groups of every packed type. */
static int64_t columns_in(int64_t bytes, int64_t each) {
    int64_t n = bytes / each / 128 * 128;
    return n ? n : 128;
}

/* A piece of TILE_PANELS takes half of the level 1 cache as f32, one of a panel a quarter in 8 bits, beside the quads;
 * pieces of PAIR_PANELS in bf16 take an eighth of level 2. Half of that is for the quads of a block of rows. */
Blocking linear_blocking(CpuCaches caches) {
    return (Blocking){.floats = columns_in(caches.l1 / 2, TILE_PANELS * PANEL * sizeof(float)),
                      .quads = columns_in(caches.l1 / 4, PANEL),
                      .pairs = columns_in(caches.l2 / 8, PAIR_PANELS * PANEL * sizeof(uint16_t)),
                      .quad_bytes = caches.l2 / 2};
}

/* Scratch of a piece of the panels: unpacked, or, in training, in bf16 with a panel's unpacked columns behind it. */
static int64_t piece_floats(const Blocking *b, const Graph *g) {
    int64_t floats = b->floats * TILE_PANELS * PANEL, pairs = b->pairs / 2 * PAIR_PANELS * PANEL + b->floats * PANEL;
    return g && g->trains && pairs > floats ? pairs : floats;
}

typedef struct Sum {
    const Call *call;
    const uint8_t *panel;
    int panels;
    int64_t rows, block; /* block = panels * acc_rows * PANEL floats */
    bool lone;           /* the replica has no other row in this step */
    const float *x;
    float *w, *level;    /* scratch: a piece of the panels, unpacked or in bf16; one block per tree level */
} Sum;

/* Rows of a block of sums: quads are summed whole. */
static int64_t acc_rows(const Call *c, bool lone) {
    return c->matrix.act == ACT_INT8 && !lone ? quad_rows(call_rows(c)) : call_rows(c);
}

/* Many rows go over a piece of the panel that stays in the L1 cache; pieces end where weight groups do. */
static void sum_quads(const Sum *s, const Leaves *leaves, float *acc) {
    const PackedWeight *w = s->call->matrix.weight;
    const Act *acts = (const Act *)call_quads(s->call) + w->first_k / ACT_GROUP * (s->lone ? 1 : QUAD);
    int64_t x_step = s->lone ? 0 : s->call->matrix.acts_step, most = s->call->matrix.blocking->quads;
    int64_t last = leaves->last[0];
    if (s->rows <= ROWS_DIRECT) {
        s->call->kernels->dot[w->type](s->panel, w->panel_bytes, s->panels, leaves, acts, x_step, s->rows, acc);
        return;
    }
    for (int64_t at = leaves->first[0], end; at < last; at = end) {
        Leaves piece;
        end = last - at < most ? last : (at + most) / most * most;
        leaves_one(&piece, at, end);
        s->call->kernels->dot[w->type](s->panel, w->panel_bytes, s->panels, &piece, acts, x_step, s->rows, acc);
    }
}

/* Whether weights have to be turned into bf16. */
static bool is_rounded(const Call *c) { return c->matrix.act == ACT_BF16 && c->matrix.weight->type != PACKED_BF16; }

/* A piece of the panels in bf16, [panel][k/2][16] at s->w. Quantised ones are unpacked behind it, `most` columns at a
 * time, whole groups. */
static void round_piece(const Sum *s, int64_t at, int64_t n) {
    const PackedWeight *w = s->call->matrix.weight;
    const Kernels *k = s->call->kernels;
    const Blocking *b = s->call->matrix.blocking;
    int64_t step = (n + 1) / 2 * PANEL, most = w->type == PACKED_F32 ? n : b->floats;
    float *unpacked = s->w + b->pairs / 2 * PAIR_PANELS * PANEL;
    for (int p = 0; p < s->panels; p++) {
        const uint8_t *panel = s->panel + p * w->panel_bytes;
        const float *floats = (const float *)(const void *)panel;
        Pair *to = (Pair *)(void *)s->w + p * step;
        for (int64_t i = 0, m; i < n; i += m, to += (m + 1) / 2 * PANEL) {
            const float *from = w->type == PACKED_F32 ? floats + (at + i) * PANEL : unpacked;
            m = n - i < most ? n - i : most;
            if (w->type != PACKED_F32) k->unpack[w->type](panel, at + i, at + i + m, unpacked);
            k->pair_up(from, from + PANEL, 2 * PANEL, m / 2, PANEL, to, PANEL, 0);
            if (m % 2) k->pair_up(from + (m - 1) * PANEL, NULL, 0, 1, PANEL, to + m / 2 * PANEL, PANEL, 0);
        }
    }
}

/* The same in bf16: a leaf begins at an even column and ends at one, or at the end of the matrix. */
static void sum_pairs(const Sum *s, const Leaves *leaves, float *acc) {
    const PackedWeight *w = s->call->matrix.weight;
    const Pair *pairs = call_pairs(s->call) + w->first_k / 2;
    const Kernels *k = s->call->kernels;
    int64_t x_step = s->call->matrix.acts_step, most = s->call->matrix.blocking->pairs, last = leaves->last[0];
    if (s->rows <= ROWS_DIRECT && !is_rounded(s->call)) {
        k->dot_pairs(s->panel, w->panel_bytes, s->panels, leaves, pairs, x_step, s->rows, acc);
        return;
    }
    for (int64_t at = leaves->first[0], end; at < last; at = end) {
        Leaves piece;
        end = last - at < most ? last : at + most;
        leaves_one(&piece, at, end);
        if (!is_rounded(s->call)) {
            k->dot_pairs(s->panel, w->panel_bytes, s->panels, &piece, pairs, x_step, s->rows, acc);
            continue;
        }
        round_piece(s, at, end - at);
        leaves_one(&piece, 0, end - at);
        k->dot_pairs(s->w, (end - at + 1) / 2 * PANEL * (int64_t)sizeof(Pair), s->panels, &piece, pairs + at / 2, x_step,
                     s->rows, acc);
    }
}

/* Asks for the next piece while rows go over this one: waiting for it took a seventh of a prefill in f32. */
static void ask_piece(const Sum *s, int64_t at, int64_t columns) {
    const PackedWeight *w = s->call->matrix.weight;
    int64_t from = packed_panel_bytes(w->type, at), bytes = packed_panel_bytes(w->type, columns);
    for (int p = 0; p < s->panels; p++)
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(s->panel + p * w->panel_bytes + from + i, 0, 2);
}

static void sum_floats(const Sum *s, const Leaves *leaves, float *acc) {
    const PackedWeight *w = s->call->matrix.weight;
    const Kernels *k = s->call->kernels;
    const float *x = s->x + w->first_k;
    int64_t stride = s->call->in_width[0], most = s->call->matrix.blocking->floats, last = leaves->last[0];
    if (s->rows <= ROWS_DIRECT) {
        k->rows[w->type](s->panel, w->panel_bytes, s->panels, leaves, x, stride, (int)s->rows, acc);
        return;
    }
    for (int64_t at = leaves->first[0], n; at < last; at += n) {
        n = last - at < most ? last - at : most;
        ask_piece(s, at + n, most);
        if (w->type == PACKED_F32) {
            const float *floats = (const float *)(const void *)s->panel + at * PANEL;
            k->tile(floats, w->panel_bytes / (int64_t)sizeof(float), s->panels, n, x + at, stride, s->rows, acc);
            continue;
        }
        for (int p = 0; p < s->panels; p++)
            k->unpack[w->type](s->panel + p * w->panel_bytes, at, at + n, s->w + p * n * PANEL);
        k->tile(s->w, n * PANEL, s->panels, n, x + at, stride, s->rows, acc);
    }
}

/* acc = the sums of the leaves; one leaf if there are many rows. */
static void sum_leaves(const Sum *s, const Leaves *leaves, float *acc) {
    memset(acc, 0, (size_t)((leaves->of[leaves->count - 1] + 1) * s->block) * sizeof(float));
    if (s->call->matrix.act == ACT_INT8) sum_quads(s, leaves, acc);
    else if (s->call->matrix.act == ACT_BF16) sum_pairs(s, leaves, acc);
    else sum_floats(s, leaves, acc);
}

/* Appends the leaves of a subtree that are not empty, and how they add up to sum `of`; false if there are none. */
static bool leaves_append(Leaves *leaves, const Call *c, int of, int level, int64_t index) {
    if (level == 0) {
        int64_t first = c->matrix.tree->first[index], last = c->matrix.tree->last[index];
        if (first == last) return false;
        leaves->first[leaves->count] = first - c->matrix.weight->first_k;
        leaves->last[leaves->count] = last - c->matrix.weight->first_k;
        leaves->of[leaves->count] = (uint8_t)of;
        leaves->adds[leaves->count++] = 0;
        return true;
    }
    bool left = leaves_append(leaves, c, of, level - 1, 2 * index);
    bool right = leaves_append(leaves, c, of, level - 1, 2 * index + 1);
    if (left && right) leaves->adds[leaves->count - 1]++;
    return left || right;
}

/* The columns of a subtree, which lie together. */
static Range tree_columns(const Tree *tree, int level, int64_t index) {
    Range r = {0, 0};
    for (int64_t leaf = index << level; leaf < (index + 1) << level; leaf++) {
        if (tree->first[leaf] == tree->last[leaf]) continue;
        if (r.first == r.last) r.first = tree->first[leaf];
        r.last = tree->last[leaf];
    }
    return r;
}

/* Appends the leaves of a subtree that are not empty, of rows that begin at column 0; false if there are none. */
static bool parts_append(SumParts *parts, const Sum *s, int level, int64_t index) {
    const MatrixBinding *m = &s->call->matrix;
    if (level == 0) {
        int64_t first = m->tree->first[index], last = m->tree->last[index];
        SumPart *part = &parts->part[parts->count];
        if (first < last && m->act == ACT_BF16)
            *part = (SumPart){call_pairs(s->call) + first / 2, m->acts_step, (last - first + 1) / 2, 0, true};
        else if (first < last) *part = (SumPart){s->x + first, s->call->in_width[0], last - first, 0, true};
        parts->count += first < last;
        return first < last;
    }
    bool left = parts_append(parts, s, level - 1, 2 * index);
    bool right = parts_append(parts, s, level - 1, 2 * index + 1);
    if (left && right) parts->part[parts->count - 1].adds++;
    return left || right;
}

static void parts_of(SumParts *parts, const Sum *s, int level, int64_t index) {
    parts->count = parts->joins = 0;
    parts->join_step = 0;
    parts_append(parts, s, level, index);
}

/* In bf16, a subtree whose columns are in a cache together is summed up in one go; false if it is none. */
static bool sum_pair_parts(const Sum *s, int level, int64_t index, float *acc) {
    const PackedWeight *w = s->call->matrix.weight;
    Range r = tree_columns(s->call->matrix.tree, level, index);
    int64_t at = r.first - w->first_k, n = r.last - r.first, step = w->panel_bytes / (int64_t)sizeof(Pair);
    if (!n || n > s->call->matrix.blocking->pairs) return false;
    const Pair *piece = (const Pair *)(const void *)s->panel + at / 2 * PANEL;
    if (is_rounded(s->call)) {
        round_piece(s, at, n);
        piece = (const Pair *)(const void *)s->w;
        step = (n + 1) / 2 * PANEL;
    }
    SumParts parts;
    parts_of(&parts, s, level, index);
    s->call->kernels->sum_pair_parts(piece, step, s->panels, &parts, s->rows, acc);
    return true;
}

/* In f32, a subtree whose columns are in the level 1 cache together is summed up in one go; false if it is none. */
static bool sum_parts(const Sum *s, int level, int64_t index, float *acc) {
    const PackedWeight *w = s->call->matrix.weight;
    const Kernels *k = s->call->kernels;
    ActType act = s->call->matrix.act;
    if (act == ACT_INT8 || s->rows <= ROWS_DIRECT || level < 1 || level >= PARTS_DEPTH) return false;
    if (act == ACT_BF16) return sum_pair_parts(s, level, index, acc);
    Range r = tree_columns(s->call->matrix.tree, level, index);
    int64_t at = r.first - w->first_k, n = r.last - r.first, step = n * PANEL;
    if (!n || n > (w->type == PACKED_F32 ? PARTS_COLUMNS : s->call->matrix.blocking->floats)) return false;
    const float *piece = s->w;
    if (w->type == PACKED_F32) {
        piece = (const float *)(const void *)s->panel + at * PANEL;
        step = w->panel_bytes / (int64_t)sizeof(float);
    }
    for (int p = 0; p < s->panels && w->type != PACKED_F32; p++)
        k->unpack[w->type](s->panel + p * w->panel_bytes, at, at + n, s->w + p * step);
    SumParts parts;
    parts_of(&parts, s, level, index);
    ask_piece(s, at + n, n);
    k->sum_parts(piece, step, s->panels, &parts, s->rows, acc);
    return true;
}

/* The sum of a subtree into acc, leaf by leaf; false if all its leaves are empty. */
static bool sum_tree(const Sum *s, int level, int64_t index, float *acc) {
    if (sum_parts(s, level, index, acc)) return true;
    if (level == 0) {
        Leaves leaf;
        leaf.count = 0;
        if (!leaves_append(&leaf, s->call, 0, 0, index)) return false;
        sum_leaves(s, &leaf, acc);
        return true;
    }
    bool left = sum_tree(s, level - 1, 2 * index, acc);
    float *other = left ? s->level + (level - 1) * s->block : acc;
    bool right = sum_tree(s, level - 1, 2 * index + 1, other);
    if (left && right) s->call->kernels->add(acc, other, s->block, acc);
    return left || right;
}

static inline void store_lanes(float *y, const float *a, const float *bias, int64_t first, int64_t last) {
    if (bias) for (int64_t o = first; o < last; o++) y[o] = a[o] + bias[o];
    else memcpy(y + first, a + first, (size_t)(last - first) * sizeof(float));
}

/* Writes the lanes of `panels` panels, `step` rows of sums each, that lie in the shard's columns, into a block. */
static void store(const Call *c, int block, int64_t panel, int panels, int64_t rows, int64_t step, const float *acc) {
    const float *bias = c->in[2];
    float *out = c->out + block * block_step(c->step->rows, c->out_width);
    for (int p = 0; p < panels; p++) {
        int64_t base = (panel + p) * PANEL;
        int64_t lo = base < c->columns.first ? c->columns.first : base;
        int64_t hi = base + PANEL > c->columns.last ? c->columns.last : base + PANEL;
        for (int64_t r = 0; r < rows; r++) {
            float *y = out + (c->row0 + r) * c->out_width + base;
            const float *a = acc + (p * step + r) * PANEL;
            if (hi - lo < PANEL) store_lanes(y, a, bias ? bias + base : NULL, lo - base, hi - base);
            else store_lanes(y, a, bias ? bias + base : NULL, 0, PANEL);
        }
    }
}

static void linear_rows(const Call *c, bool lone, int64_t first, int64_t last) {
    const PackedWeight *w = c->matrix.weight;
    int64_t rows = call_rows(c), panel0 = c->columns.first / PANEL, sums = acc_rows(c, lone);
    /* Few rows: the kernel adds up all subtrees while a panel goes by, one stream from memory. Leaf by leaf over some
     * panels, streams would end every few KiB: 10 to 24 % of a decode step. */
    bool cut = c->matrix.tree && (rows > ROWS_DIRECT || is_rounded(c) || c->matrix.tree->levels > LEAVES_LEVELS);
    static const int many[ACT_COUNT] = {[ACT_F32] = TILE_PANELS, [ACT_BF16] = PAIR_PANELS, [ACT_INT8] = 1};
    int step = rows <= ROWS_DIRECT ? LINEAR_PANELS : many[c->matrix.act];
    Leaves leaves;
    leaves.count = 0;
    if (!c->matrix.tree) leaves_one(&leaves, 0, w->k);
    for (int n = c->matrix.node_first; !cut && n < c->matrix.node_last; n++)
        leaves_append(&leaves, c, n - c->matrix.node_first, c->matrix.nodes[n].level, c->matrix.nodes[n].index);
    for (int64_t u = first; u < last;) {
        int panels = last - u < step ? (int)(last - u) : step;
        Sum s = {.call = c,
                 .panel = w->data + (panel0 + u - w->first_panel) * w->panel_bytes,
                 .panels = panels,
                 .rows = rows,
                 .lone = lone,
                 .block = panels * sums * PANEL,
                 .x = c->in[0] + c->row0 * c->in_width[0],
                 .w = c->scratch,
                 .level = c->scratch + piece_floats(c->matrix.blocking, c->graph)};
        float *acc = s.level + (c->matrix.tree ? c->matrix.tree->levels : 0) * s.block;
        leaves.sum_step = s.block;
        if (!cut) sum_leaves(&s, &leaves, acc);
        for (int n = c->matrix.node_first; n < c->matrix.node_last; n++) {
            if (cut) sum_tree(&s, c->matrix.nodes[n].level, c->matrix.nodes[n].index, acc);
            store(c, n, panel0 + u, panels, rows, sums, acc + (cut ? 0 : (n - c->matrix.node_first) * s.block));
        }
        if (!c->matrix.tree) store(c, 0, panel0 + u, panels, rows, sums, acc);
        u += panels;
    }
}

/* In 8 bits, many rows go in blocks of about equal size, whose quads stay in the level 2 cache while all panels pass.
 * Other forms gain nothing: pairs go over several panels at once, and in f32 every block unpacks the panels anew. */
static void linear_run(const Call *c, int64_t first, int64_t last) {
    int64_t rows = call_rows(c), step = rows;
    if (c->matrix.act == ACT_INT8) {
        int64_t most = c->matrix.blocking->quad_bytes / (c->matrix.acts_step * (int64_t)sizeof(Quad) / QUAD);
        if (most < BLOCK_ROWS) most = BLOCK_ROWS;
        int64_t blocks = (rows + most - 1) / most;
        step = quad_rows((rows + blocks - 1) / blocks);
    }
    for (Call part = *c; part.row0 < c->row1; part.row0 = part.row1) {
        part.row1 = part.row0 + step < c->row1 ? part.row0 + step : c->row1;
        linear_rows(&part, rows == 1, first, last);
    }
}

static Cost linear_cost(const Graph *g, const Node *n) {
    double t = (double)n->shape.dim[0].size, o = (double)n->shape.dim[1].size;
    double i = (double)graph_node(g, n->in[0])->shape.dim[1].size;
    return (Cost){.flops = 2 * t * o * i, .bytes = 2 * o * i + 4 * t * (o + i)};
}

static double linear_unit_cost(const Call *c) { return (double)c->matrix.weight->panel_bytes; }

static Tensor linear_finish(Graph *g, Tensor partial) { return all_reduce(g, partial); }

static void linear_stablehlo(Lower *l, const Node *n) {
    const Node *x = graph_node(&l->program->graph, n->in[0]);
    int64_t rows = lower_dim(l, n, 0);
    int64_t i = lower_dim(l, x, 1), o = lower_dim(l, n, 1);
    bool bias = n->in[2].id != 0;
    const char *out = lower_out(l, n), *type = lower_type(l, NULL, 2, rows, o), *vector = lower_type(l, NULL, 1, o);
    lower_line(l, "%s%s = stablehlo.dot_general %s, %s, contracting_dims = [1] x [1] : (%s, %s) -> %s", out,
               bias ? "_p" : "", lower_in(l, n, 0), lower_in(l, n, 1), lower_type(l, NULL, 2, rows, i),
               lower_type(l, NULL, 2, o, i), type);
    if (!bias) return;
    lower_line(l, "%s_b = stablehlo.broadcast_in_dim %s, dims = [1] : (%s) -> %s", out, lower_in(l, n, 2), vector,
               type);
    lower_line(l, "%s = stablehlo.add %s_p, %s_b : %s", out, out, out, type);
}

_Static_assert(TILE_PANELS <= PAIR_PANELS, "scratch has room for PAIR_PANELS of many rows");
static int64_t linear_scratch(const Program *p, const Node *n, const Blocking *blocking, int64_t rows) {
    const SumTree *sum = program_sum(p, n);
    int64_t levels = sum ? sum->tree.levels : 0, blocks = sum ? sum->count : 1;
    int64_t few = ROWS_DIRECT * LINEAR_PANELS * PANEL, many = quad_rows(rows) * PAIR_PANELS * PANEL;
    if (quad_rows(rows) <= ROWS_DIRECT) many = few;
    return piece_floats(blocking, &p->graph) + (levels + 1) * many + (blocks - 1) * few;
}

const OpRow linear_row = {
    .name = "linear",
    .factors = "ti,oi,?o->to",
    .shape = linear_shape,
    .units = linear_units,
    .run = linear_run, .reference = linear_reference,
    .cost = linear_cost,
    .unit_cost = linear_unit_cost,
    .finish = linear_finish,
    .stablehlo = linear_stablehlo,
    .quantise = &quantise_row,
    .scratch = linear_scratch,
    .binds = BINDS_MATRIX,
    .gradient = linear_gradient,
};
