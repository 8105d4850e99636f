/* exchange.c: which values of a step go from rank to rank, and when. */
#include "cpu.h"

static float *value_of(const Cpu *cpu, const Node *n) {
    int64_t at = cpu->offset[n - cpu->program->graph.nodes];
    return at < 0 ? NULL : cpu->activations + at;
}

/* Rows of this step that a replica has. */
static Range rows_of(const Cpu *cpu, const Node *n, int replica) {
    const int64_t *rows = n->shape.dim[0].letters[0] == 'r' ? cpu->replica_logits : cpu->replica_rows;
    return (Range){rows[replica], rows[replica + 1]};
}

void cpu_exchange(Cpu *cpu, int phase) {
    const Graph *g = &cpu->program->graph;
    int tp = cpu->program->partition->mesh.tp;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP || !n->partial || cpu->node_phase[id] != phase) continue;
        for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++) {
            Range rows = rows_of(cpu, n, replica);
            if (rows.first == rows.last) continue;
            if (spread_sums(&cpu->spread, replica, n->partial)) {
                int64_t width = n->shape.dim[1].size;
                spread_reduce(&cpu->spread, replica, n->partial, value_of(cpu, n), cpu->options.rows * width, width,
                              rows);
            } else { /* (max, id) per device: wanted where the replica's results are */
                int home = (int)spread_ranks(&cpu->spread, replica).first;
                spread_gather(&cpu->spread, replica, home, value_of(cpu, n), 2 * tp, 2, rows);
            }
        }
    }
}

void cpu_bring_home(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    int dp = cpu->program->partition->mesh.dp;
    if (cpu->spread.ranks == 1 || dp == 1) return;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP || !n->keep || n->split[0] || n->partial || !value_of(cpu, n)) continue;
        for (int replica = 0; replica < dp; replica++)
            spread_home(&cpu->spread, replica, value_of(cpu, n), n->shape.rank > 1 ? n->shape.dim[1].size : 2,
                        rows_of(cpu, n, replica));
    }
}

void cpu_gather(Cpu *cpu, const Node *n) {
    for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++)
        spread_gather(&cpu->spread, replica, 0, value_of(cpu, n), n->shape.dim[1].size, 0, rows_of(cpu, n, replica));
}
