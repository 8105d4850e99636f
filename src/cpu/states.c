/* states.c: states that outlive a step, row-major for whoever saves them: matrices lie in panels. */
#include <string.h>
#include "cpu_state.h"

/* Where the state lies; NULL: it is none. */
static float *state_data(const Cpu *cpu, Tensor t, const Node **state, Err *err) {
    const Node *n = *state = graph_state(&cpu->program->graph, t);
    if (n && n->type != TYPE_CACHE) return cpu_state_data(cpu, n);
    err_as(err, QM_INTERNAL, "node %d is no state to read", t.id);
    return NULL;
}

/* Numbers that lie as they are read: all but those of a matrix, whose rows are in panels. -1: it is one. */
static int64_t dense_floats(const Cpu *cpu, const Node *n) {
    return n->value == VALUE_MATRIX ? -1 : n->value == VALUE_ROWS ? cpu->step.given.rows * node_width(n) : node_width(n);
}

/* Floats from the first of a matrix. */
static int64_t panel_place(int64_t row, int64_t column, int64_t columns) {
    return (row / PANEL * columns + column) * PANEL + row % PANEL;
}

bool cpu_state_read(void *backend, Tensor t, float *out, Err *err) {
    const Node *n;
    const float *data = state_data(backend, t, &n, err);
    if (!data) return false;
    int64_t dense = dense_floats(backend, n), rows = dense < 0 ? n->shape.dim[0].size : 0, columns = node_width(n);
    if (dense > 0) memcpy(out, data, (size_t)dense * sizeof *out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[r * columns + c] = data[panel_place(r, c, columns)];
    return true;
}

bool cpu_state_write(void *backend, Tensor t, const float *in, Err *err) {
    const Node *n;
    float *data = state_data(backend, t, &n, err);
    if (!data) return false;
    int64_t dense = dense_floats(backend, n), rows = dense < 0 ? n->shape.dim[0].size : 0, columns = node_width(n);
    if (dense > 0) memcpy(data, in, (size_t)dense * sizeof *in);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) data[panel_place(r, c, columns)] = in[r * columns + c];
    return true;
}
