/* states.c: states that outlive a step, row-major for whoever saves them: matrices lie in panels. Where ranks share one, it
 * is rank 0 that reads and writes, and all of them call this together. */
#include <string.h>
#include "../ops/optimize8.h"
#include "cpu_state.h"

/* Where the state lies; NULL: it is none. */
static float *state_data(const Cpu *cpu, Tensor t, const Node **state, Err *err) {
    static float nothing[PANEL]; /* a rank may hold no part */
    const Node *n = *state = graph_state(&cpu->program->graph, t);
    float *data = n && n->type != TYPE_CACHE ? cpu_state_data(cpu, n) : NULL;
    if (data) return data;
    if (n && n->type != TYPE_CACHE && n->value != VALUE_ROWS && !cpu_state_floats(cpu, n)) return nothing;
    err_as(err, QM_INTERNAL, "node %d is no state to read", t.id);
    return NULL;
}

static Rect rect_whole(const Node *n) {
    int64_t columns = n->value == VALUE_MATRIX ? n->shape.dim[1].size : 1;
    return (Rect){{0, n->shape.dim[0].size}, {0, columns}};
}

/* Floats from the first of what is here. */
static int64_t place_of(const StateShard *s, const Node *n, int64_t row, int64_t column) {
    int64_t columns = s->held.columns.last - s->held.columns.first;
    if (n->value == VALUE_VECTOR) return row;
    return ((row / PANEL - s->held.panels.first) * columns + column - s->held.columns.first) * PANEL + row % PANEL;
}

/* One row's part of a block, in codes: its values from or to `x`. */
static void code_copy(CodeKind kind, uint8_t *block, int64_t lane, float *x, int64_t columns, bool put) {
    float scale, most = 0;
    uint8_t *code = block + PANEL * sizeof scale + lane;
    if (put) {
        for (int64_t i = 0; i < columns; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        scale = code_scale(kind, most);
        memcpy(block + lane * (int64_t)sizeof scale, &scale, sizeof scale);
    } else memcpy(&scale, block + lane * (int64_t)sizeof scale, sizeof scale);
    for (int64_t i = 0; i < columns; i++)
        if (put) code[i * PANEL] = code_of(kind, x[i], scale);
        else x[i] = code_value(kind, code[i * PANEL], scale);
}

/* A rect of a state in codes, which is whole blocks of whole rows or of what no split cuts. */
static void coded_copy(const Cpu *cpu, const Node *n, uint8_t *state, const Rect *r, float *rows, int64_t stride, bool put) {
    const Graph *g = &cpu->program->graph;
    const Dim *dim = &n->shape.dim[1];
    const StateArea *held = &state_shard(cpu, n)->held;
    Range coded = code_columns(g, dim, held->columns);
    int64_t panel = code_panel_bytes(g, dim, coded), before = code_panel_bytes(g, dim, (Range){coded.first, r->columns.first});
    for (int64_t row = r->rows.first; row < r->rows.last; row++, rows += stride) {
        uint8_t *block = state + (row / PANEL - held->panels.first) * panel + before;
        for (int64_t i = r->columns.first, end; i < r->columns.last; i = end) {
            end = code_block_end(g, dim, i);
            code_copy(node_code(n), block, row % PANEL, rows + i - r->columns.first, end - i, put);
            block += code_block_bytes(end - i);
        }
    }
}

/* Rows of a rect, from or to [row][column] at `rows`, rows `stride` floats apart. */
static void rect_copy(const Cpu *cpu, const Node *n, float *state, const Rect *r, float *rows, int64_t stride, bool put) {
    const StateShard *s = state_shard(cpu, n);
    if (node_is_coded(n)) {
        coded_copy(cpu, n, (uint8_t *)state, r, rows, stride, put);
        return;
    }
    for (int64_t row = r->rows.first; row < r->rows.last; row++, rows += stride) {
        float *at = state + place_of(s, n, row, r->columns.first);
        for (int64_t i = 0; i < r->columns.last - r->columns.first; i++, at += PANEL)
            if (put) *at = rows[i];
            else rows[i] = *at;
    }
}

/* ---- Between ranks ----------------------------------------------------------------------------------------------- */

/* Rects that a rank has of a state; *whole has room for one that is all of it. */
static const Rect *rects_of(const Cpu *cpu, const Node *n, int rank, Rect *whole, int *count) {
    const StateShard *s = state_shard(cpu, n);
    int part = rank % cpu->spread.groups.parts;
    *whole = rect_whole(n);
    *count = s->first && !s->whole ? s->first[part + 1] - s->first[part] : 1;
    return s->first && !s->whole ? s->rect + s->first[part] : whole;
}

/* Each of the rects' rows, as many as a message holds. */
static Rect rows_piece(const Rect *r, int64_t row) {
    int64_t most = SUMS_FLOATS / (r->columns.last - r->columns.first);
    Rect piece = {{row, row + (most < 1 ? 1 : most)}, r->columns};
    if (piece.rows.last > r->rows.last) piece.rows.last = r->rows.last;
    return piece;
}
static size_t rect_bytes(const Rect *r) {
    return (size_t)((r->rows.last - r->rows.first) * (r->columns.last - r->columns.first)) * sizeof(float);
}

/* A rect of another rank's, into the rows that rank 0 reads. */
static void rect_fetch(Cpu *cpu, const Node *n, float *state, const Rect *r, int from, float *out) {
    int64_t width = rect_whole(n).columns.last, columns = r->columns.last - r->columns.first;
    for (int64_t row = r->rows.first; row < r->rows.last;) {
        Rect piece = rows_piece(r, row);
        if (cpu->spread.rank == from) rect_copy(cpu, n, state, &piece, cpu->sums.buffer, columns, false);
        spread_say(&cpu->spread, cpu->spread.rank ? 0 : from, cpu->spread.rank != 0, cpu->sums.buffer, rect_bytes(&piece));
        spread_flush(&cpu->spread, "a tensor of other ranks");
        for (; row < piece.rows.last; row++)
            if (!cpu->spread.rank)
                memcpy(out + row * width + r->columns.first, cpu->sums.buffer + (row - piece.rows.first) * columns,
                       (size_t)columns * sizeof *out);
    }
}

/* A rect of the rows that rank 0 writes, to the rank that holds it. */
static void rect_hand(Cpu *cpu, const Node *n, float *state, const Rect *r, int to, const float *in) {
    int64_t width = rect_whole(n).columns.last, columns = r->columns.last - r->columns.first;
    for (int64_t row = r->rows.first; row < r->rows.last;) {
        Rect piece = rows_piece(r, row);
        for (; row < piece.rows.last; row++)
            if (!cpu->spread.rank)
                memcpy(cpu->sums.buffer + (row - piece.rows.first) * columns, in + row * width + r->columns.first,
                       (size_t)columns * sizeof *in);
        spread_say(&cpu->spread, cpu->spread.rank ? 0 : to, cpu->spread.rank == 0, cpu->sums.buffer, rect_bytes(&piece));
        spread_flush(&cpu->spread, "a tensor of rank 0");
        if (cpu->spread.rank == to) rect_copy(cpu, n, state, &piece, cpu->sums.buffer, columns, true);
    }
}

/* Rows that fill whole panels of a matrix that is whole on all ranks lie in one run, the same everywhere. */
static bool rect_run(const Cpu *cpu, const Node *n, const Rect *r, int64_t *floats) {
    const StateShard *s = state_shard(cpu, n);
    int64_t rows = n->shape.dim[0].size, columns = s->held.columns.last - s->held.columns.first;
    int64_t last = r->rows.last == rows ? s->held.panels.last * PANEL : r->rows.last;
    *floats = (last - r->rows.first) * columns;
    return r->columns.last - r->columns.first == columns && r->rows.first % PANEL == 0 && last % PANEL == 0;
}

/* A run of numbers of rank `from`, to all others of its group. */
static void run_share(Cpu *cpu, float *run, int64_t floats, int from) {
    int parts = cpu->spread.groups.parts, first = cpu->spread.rank / parts * parts;
    for (int to = first; to < first + parts; to++)
        if (to != from && (cpu->spread.rank == from || cpu->spread.rank == to))
            spread_say(&cpu->spread, cpu->spread.rank == from ? to : from, cpu->spread.rank == from, run,
                       (size_t)floats * sizeof *run);
    spread_flush(&cpu->spread, "a gradient of other ranks");
}

void cpu_rect_share(Cpu *cpu, const Node *n, float *state, const Rect *r, int from) {
    int64_t columns = r->columns.last - r->columns.first, floats;
    if (rect_run(cpu, n, r, &floats)) {
        run_share(cpu, state + place_of(state_shard(cpu, n), n, r->rows.first, r->columns.first), floats, from);
        return;
    }
    for (int64_t row = r->rows.first; row < r->rows.last;) {
        Rect piece = rows_piece(r, row);
        if (cpu->spread.rank == from) rect_copy(cpu, n, state, &piece, cpu->sums.buffer, columns, false);
        run_share(cpu, cpu->sums.buffer, (piece.rows.last - piece.rows.first) * columns, from);
        if (cpu->spread.rank != from) rect_copy(cpu, n, state, &piece, cpu->sums.buffer, columns, true);
        row = piece.rows.last;
    }
}

/* ---- For a backend ----------------------------------------------------------------------------------------------- */

bool cpu_state_read(void *backend, Tensor t, float *out, Err *err) {
    Cpu *cpu = backend;
    const Node *n;
    float *data = state_data(cpu, t, &n, err);
    if (!data) return false;
    if (n->value == VALUE_ROWS) {
        if (out) memcpy(out, data, (size_t)(cpu->step.given.rows * node_width(n)) * sizeof *out);
        return true;
    }
    int64_t width = rect_whole(n).columns.last;
    for (int rank = 0, count; rank < cpu->spread.groups.parts; rank++) {
        Rect whole;
        const Rect *r = rects_of(cpu, n, rank, &whole, &count);
        for (int i = 0; i < count; i++)
            if (rank == 0 && cpu->spread.rank == 0 && out)
                rect_copy(cpu, n, data, &r[i], out + r[i].rows.first * width + r[i].columns.first, width, false);
            else if (rank > 0 && r != &whole && (cpu->spread.rank == 0 || cpu->spread.rank == rank))
                rect_fetch(cpu, n, data, &r[i], rank, out);
    }
    return true;
}

bool cpu_state_write(void *backend, Tensor t, const float *in, Err *err) {
    Cpu *cpu = backend;
    const Node *n;
    float *data = state_data(cpu, t, &n, err);
    if (!data) return false;
    if (n->value == VALUE_ROWS) {
        if (in) memcpy(data, in, (size_t)(cpu->step.given.rows * node_width(n)) * sizeof *in);
        return true;
    }
    int64_t width = rect_whole(n).columns.last;
    for (int rank = 0, count; rank < cpu->spread.ranks; rank++) {
        Rect whole;
        const Rect *r = rects_of(cpu, n, rank, &whole, &count);
        for (int i = 0; i < count; i++)
            if (rank == 0 && cpu->spread.rank == 0 && in)
                rect_copy(cpu, n, data, &r[i], (float *)(uintptr_t)in + r[i].rows.first * width + r[i].columns.first, width,
                          true);
            else if (rank > 0 && (cpu->spread.rank == 0 || cpu->spread.rank == rank))
                rect_hand(cpu, n, data, &r[i], rank, in);
    }
    return true;
}
