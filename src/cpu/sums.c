/* sums.c: sums over the rows of a step, completed: each group of ranks has those of its lanes, in the slots of the sum; the
 * tree of lanes joins them (ops/lanes.h). Numbers go by in pieces. Each piece is joined by one group, the pieces of a batch
 * by one after the other, and told to all: so each rank sends about twice what it holds, however many groups there are. */
#include <stdlib.h>
#include <string.h>
#include "cpu_state.h"

enum { PIECES = 32 };

/* Numbers [at, at + floats) of a state, in each of its slots. */
typedef struct Piece { const Node *state; int64_t at, floats; } Piece;

typedef struct Batch {
    Cpu *cpu;
    const LaneFinish *finish;
    Piece piece[PIECES];
    int count;
} Batch;

bool sums_new(Cpu *cpu, Err *err) {
    const RankGroups *g = &cpu->spread.groups;
    int64_t floats = 0;
    if (g->parts > 1) floats = SUMS_FLOATS;
    if (g->groups > 1) floats = (int64_t)(PIECES / g->groups + 1) * (LANES + 1) * SUMS_FLOATS;
    for (int id = 1; floats && id < cpu->program->graph.count; id++) { /* a row of any matrix */
        const Node *n = &cpu->program->graph.nodes[id];
        if (n->kind == NODE_STATE && n->value == VALUE_MATRIX && n->shape.dim[1].size > floats) floats = n->shape.dim[1].size;
    }
    if (!floats) return true;
    cpu->sums.bytes = (size_t)floats * sizeof(float);
    return (cpu->sums.buffer = mem_pages_new(cpu->sums.bytes, "sums of other ranks", err)) != NULL;
}

void sums_free(Cpu *cpu) { mem_pages_free(cpu->sums.buffer, cpu->sums.bytes); }

static float *slot_of(const Cpu *cpu, const Piece *p, int slot) {
    return cpu_state_data(cpu, p->state) + slot * cpu_state_floats(cpu, p->state) + p->at;
}

/* ---- Over groups ------------------------------------------------------------------------------------------------- */

/* The rank that has the same part as this one. */
static int peer_of(const Cpu *cpu, int group) {
    return group * cpu->spread.groups.parts + cpu->spread.rank % cpu->spread.groups.parts;
}
static int owner_of(const Cpu *cpu, int piece) { return piece % cpu->spread.groups.groups; }

/* Where sum `sum` of a piece that is joined here lies: of this group's in its slot, else in the buffer. */
static float *sum_place(const Batch *b, int piece, int sum) {
    const RankGroups *g = &b->cpu->spread.groups;
    const LaneFinish *f = b->finish;
    if (g->group[f->span[sum]] == rank_group(g)) return slot_of(b->cpu, &b->piece[piece], f->slot[sum]);
    return b->cpu->sums.buffer + ((int64_t)(piece / g->groups) * (LANES + 1) + 1 + sum) * SUMS_FLOATS;
}

static void piece_join(const Batch *b, int piece) {
    const Piece *p = &b->piece[piece];
    float *stack[LANES + 1], *sum = b->cpu->sums.buffer + (int64_t)(piece / b->cpu->spread.groups.groups) * (LANES + 1) *
                                                               SUMS_FLOATS;
    int top = 0;
    for (int i = 0; i < b->finish->steps; i++) {
        if (b->finish->step[i] >= 0) {
            stack[top++] = sum_place(b, piece, b->finish->step[i]);
            continue;
        }
        top--; /* the left one's place may be a slot of this rank's: what it held is in the sum now */
        b->cpu->kernels->add(stack[top - 1], stack[top], p->floats, stack[top - 1]);
    }
    memcpy(sum, stack[0], (size_t)p->floats * sizeof *sum);
    memcpy(slot_of(b->cpu, p, 0), sum, (size_t)p->floats * sizeof *sum);
}

static void batch_run(Batch *b) {
    Cpu *cpu = b->cpu;
    const RankGroups *g = &cpu->spread.groups;
    int mine = rank_group(g);
    for (int i = 0; i < b->count; i++)
        for (int sum = 0; sum < b->finish->sums; sum++) {
            int from = g->group[b->finish->span[sum]], to = owner_of(cpu, i);
            size_t bytes = (size_t)b->piece[i].floats * sizeof(float);
            if (from == to) continue;
            if (from == mine)
                spread_say(&cpu->spread, peer_of(cpu, to), true, slot_of(cpu, &b->piece[i], b->finish->slot[sum]), bytes);
            if (to == mine) spread_say(&cpu->spread, peer_of(cpu, from), false, sum_place(b, i, sum), bytes);
        }
    spread_flush(&cpu->spread, "gradients of other replicas");
    for (int i = 0; i < b->count; i++)
        if (owner_of(cpu, i) == mine) piece_join(b, i);
    for (int i = 0; i < b->count; i++)
        for (int group = 0; group < g->groups; group++) {
            int owner = owner_of(cpu, i);
            bool sends = owner == mine;
            if (group == owner || (group != mine && !sends)) continue;
            spread_say(&cpu->spread, peer_of(cpu, sends ? group : owner), sends, slot_of(cpu, &b->piece[i], 0),
                       (size_t)b->piece[i].floats * sizeof(float));
        }
    spread_flush(&cpu->spread, "gradients of all replicas");
    b->count = 0;
}

static void batch_add(Batch *b, const Node *state, int64_t first, int64_t last) {
    for (int64_t at = first; at < last; at += SUMS_FLOATS) {
        b->piece[b->count++] = (Piece){state, at, last - at < SUMS_FLOATS ? last - at : SUMS_FLOATS};
        if (b->count == PIECES) batch_run(b);
    }
}

/* What this rank makes of a sum, in runs. */
static void state_join(Batch *b, const Node *n) {
    const StateShard *s = state_shard(b->cpu, n);
    if (n->value == VALUE_VECTOR) {
        batch_add(b, n, 0, n->shape.dim[0].size);
        return;
    }
    int64_t columns = s->held.columns.last - s->held.columns.first;
    int64_t from = s->made.columns.first - s->held.columns.first, to = s->made.columns.last - s->held.columns.first;
    int64_t panel = s->made.panels.first - s->held.panels.first, panels = s->made.panels.last - s->held.panels.first;
    if (from == 0 && to == columns) batch_add(b, n, panel * columns * PANEL, panels * columns * PANEL);
    else for (; panel < panels; panel++)
            batch_add(b, n, (panel * columns + from) * PANEL, (panel * columns + to) * PANEL);
}

/* ---- Over parts -------------------------------------------------------------------------------------------------- */

/* Every rank of the group gets what the others have made. */
static void state_share(Cpu *cpu, const Node *n) {
    const StateShard *s = state_shard(cpu, n);
    int parts = cpu->spread.groups.parts, first = cpu->spread.rank / parts * parts;
    for (int part = 0; part < parts; part++)
        for (int i = s->first[part]; i < s->first[part + 1]; i++)
            cpu_rect_share(cpu, n, cpu_state_data(cpu, n), &s->rect[i], first + part);
}

void cpu_sums_complete(Cpu *cpu) {
    const RankGroups *g = &cpu->spread.groups;
    const Graph *graph = &cpu->program->graph;
    LaneFinish finish;
    Batch b = {.cpu = cpu, .finish = &finish};
    lanes_finish(&finish, g->span, g->spans, cpu->step.given.sequences);
    for (int id = 1; g->groups > 1 && id < graph->count; id++)
        if (graph->nodes[id].kind == NODE_STATE && graph->nodes[id].type == TYPE_SUM) state_join(&b, &graph->nodes[id]);
    if (b.count) batch_run(&b);
    for (int id = 1; g->parts > 1 && id < graph->count; id++) {
        const Node *n = &graph->nodes[id];
        if (n->kind == NODE_STATE && n->type == TYPE_SUM && n->value == VALUE_MATRIX && state_shard(cpu, n)->whole &&
            state_shard(cpu, n)->first)
            state_share(cpu, n);
    }
}
