/* exchange.c: which values of a step go from rank to rank, and when. */
#include <string.h>
#include "cpu_state.h"
#include "cache_pages.h"

static float *value_of(const Cpu *cpu, const Node *n) {
    int64_t at = cpu->plan.offset[n - cpu->program->graph.nodes];
    return at < 0 ? NULL : cpu->plan.activations + at;
}

/* Rows of this step that a replica has; a vector is one, of the first replica that is here. */
static Range rows_of(const Cpu *cpu, const Node *n, int replica) {
    const int64_t *rows = cpu->step.first_row[shape_rows(&n->shape)];
    if (!rows) return (Range){0, replica == spread_first(&cpu->spread)};
    return (Range){rows[replica], rows[replica + 1]};
}

static void partial_exchange(Cpu *cpu, const Node *n, int replica, Range rows) {
    int tp = cpu->program->partition->mesh.tp;
    if (program_sum(cpu->program, n)) {
        int64_t width = node_width(n) * (n->op->in_doubles ? 2 : 1);
        int64_t step = block_step(shape_rows(&n->shape) ? cpu->step.given.rows : 1, width);
        spread_reduce(&cpu->spread, replica, n->partial, value_of(cpu, n), step, width, rows);
    } else { /* (max, id) per device: wanted where the replica's results are */
        int home = (int)spread_ranks(&cpu->spread, replica).first;
        spread_gather(&cpu->spread, n, replica, home, value_of(cpu, n), 2 * tp, 2, rows);
    }
}

/* What of the input a rank makes its columns of the result from: as many a column everywhere. */
static Range columns_wanted(const Cpu *cpu, const Node *n, int rank, int replica) {
    int64_t each = node_width(graph_node(&cpu->program->graph, n->in[0])) / node_width(n);
    Range c = spread_columns(&cpu->spread, n, rank, replica);
    return (Range){c.first * each, c.last * each};
}

static void input_exchange(Cpu *cpu, const Node *n, int replica, Range rows) {
    const Node *in = graph_node(&cpu->program->graph, n->in[0]);
    Range ranks = spread_ranks(&cpu->spread, replica);
    for (int64_t to = ranks.first; to < ranks.last; to++)
        spread_columns_to(&cpu->spread, in, replica, (int)to, columns_wanted(cpu, n, (int)to, replica), value_of(cpu, in),
                          node_width(in), rows);
}

/* What one rank has made in an op's rounds, to all that make its last one. Every rank has an item of that. */
static void told_exchange(Cpu *cpu, int phase) {
    const Phase *next = &cpu->plan.phases[phase + 1];
    const Graph *g = &cpu->program->graph;
    Spread *s = &cpu->spread;
    int owner = 0;
    for (const Node *n = g->nodes + 1; n < g->nodes + g->count; n++) {
        if (n->kind != NODE_OP || !n->op->told) continue;
        int from = owner++ % s->ranks;
        for (int i = next->first; i < next->last && cpu->plan.node_phase[n - g->nodes] == phase + 1; i++) {
            const Call *call = &cpu->plan.items[i].call;
            int64_t floats;
            if (call->node != n) continue;
            float *data = n->op->told(call, &floats);
            for (int to = 0; to < s->ranks; to++)
                if (to != from && (s->rank == from || s->rank == to))
                    spread_say(s, s->rank == from ? to : from, s->rank == from, data, (size_t)floats * sizeof *data);
            spread_flush(s, "an update of another rank");
        }
    }
}

void cpu_exchange(Cpu *cpu, int phase) {
    const Graph *g = &cpu->program->graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (cpu_exchange_phase(cpu, n) != phase) continue;
        for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++) {
            Range rows = rows_of(cpu, n, replica);
            if (rows.first == rows.last) continue;
            if (cpu_gathers(cpu, n)) input_exchange(cpu, n, replica, rows);
            else partial_exchange(cpu, n, replica, rows);
        }
    }
    if (phase + 1 < cpu->plan.phase_count) told_exchange(cpu, phase);
}

/* Only what the stages that ran have made. */
void cpu_bring_home(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    const StepRows *s = &cpu->step.given;
    int dp = cpu->program->partition->mesh.dp;
    if (cpu->spread.ranks == 1 || dp == 1) return;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (!n->op || !n->keep || n->split[0] || n->partial[0] || !value_of(cpu, n) || !shape_rows(&n->shape) ||
            n->stage < s->first || n->stage > s->last)
            continue;
        for (int replica = 0; replica < dp; replica++)
            spread_home(&cpu->spread, replica, value_of(cpu, n), node_width(n),
                        rows_of(cpu, n, replica));
    }
}

void cpu_gather(Cpu *cpu, const Node *n) {
    if (!shape_rows(&n->shape)) { /* all replicas have the same */
        if (cpu->spread.groups.parts > 1) spread_vector(&cpu->spread, n, value_of(cpu, n));
        return;
    }
    for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++)
        spread_gather(&cpu->spread, n, replica, 0, value_of(cpu, n), n->shape.dim[1].size, 0, rows_of(cpu, n, replica));
}

static uint8_t *page_of(const KvCache *c, int64_t layer, int64_t head, int32_t page) {
    return cache_head(c, layer, head) + (size_t)page * (size_t)c->page_bytes;
}

void cpu_copy_page(Cpu *cpu, int slot, int32_t from, int32_t to) {
    const KvCache *c = &cpu->cache;
    int replica = slot % cpu->program->partition->mesh.dp;
    key_bias_copy(&cpu->cache, from, to);
    for (int64_t head = 0; head < c->kv_heads; head++) {
        if (!spread_kv_held(&cpu->spread, cpu->spread.rank, replica, head)) continue;
        for (int64_t layer = 0; layer < c->layers; layer++)
            memcpy(page_of(c, layer, head, to), page_of(c, layer, head, from), (size_t)c->page_bytes);
    }
}

/* One head's pages, from the rank that has the old slot's to the one that has the new slot's. */
static void copy_head(Cpu *cpu, int64_t head, int source, int target, int from, int to, int64_t positions) {
    const KvCache *c = &cpu->cache;
    int me = cpu->spread.rank;
    if (me != source && me != target) return;
    for (int64_t layer = 0; layer < c->layers; layer++)
        for (int64_t b = 0; b * ATTENTION_BLOCK < positions; b++) {
            uint8_t *old = page_of(c, layer, head, cache_pages(c, from)[b]),
                    *new = page_of(c, layer, head, cache_pages(c, to)[b]);
            if (source == target) memcpy(new, old, (size_t)c->page_bytes);
            else if (me == source) spread_say(&cpu->spread, target, true, old, (size_t)c->page_bytes);
            else spread_say(&cpu->spread, source, false, new, (size_t)c->page_bytes);
        }
}

void cpu_copy_slot(Cpu *cpu, int from, int to, int64_t positions) {
    Spread *s = &cpu->spread;
    int dp = cpu->program->partition->mesh.dp;
    if (s->ranks == 1 || from % dp == to % dp) { /* every rank holds the same heads of both */
        pages_share(&cpu->cache, from, to, positions);
        return;
    }
    for (int64_t b = 0; b * ATTENTION_BLOCK < positions; b++) {
        pages_own(&cpu->cache, to, b);
        key_bias_copy(&cpu->cache, cache_pages(&cpu->cache, from)[b], cache_pages(&cpu->cache, to)[b]);
    }
    for (int64_t head = 0; head < cpu->cache.kv_heads; head++) {
        int first = 0; /* a rank that has it for the old slot */
        while (!spread_kv_held(s, first, from % dp, head)) first++;
        for (int target = 0; target < s->ranks; target++)
            if (spread_kv_held(s, target, to % dp, head))
                copy_head(cpu, head, spread_kv_held(s, target, from % dp, head) ? target : first, target, from, to,
                          positions);
    }
    spread_flush(s, "copy of a cache");
}
