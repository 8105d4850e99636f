/* sums.c: sums over the rows of a step, completed: each group of ranks has those of its lanes, in the slots of the sum; the
 * tree of lanes joins them (ops/lanes.h). Numbers go by in pieces. Each piece is joined by one group, the pieces of a batch
 * by one after the other, and told to all: so each rank sends about twice what it holds, however many groups there are.
 * Batches follow each other as their sums are whole, the last layer's first: they travel beside the rest of the step's last
 * backward pass, and what is left then is waited for before the norm. */
#include <stdlib.h>
#include <string.h>
#include "cpu_state.h"

enum { PIECES = 32 };

static bool is_sum(const Node *n) { return n->kind == NODE_STATE && n->type == TYPE_SUM; }

/* ---- Pieces, in the order they are whole ------------------------------------------------------------------------- */

typedef struct LastUse { int user, sum; } LastUse;

static int by_user(const void *a, const void *b) {
    const LastUse *x = a, *y = b;
    return x->user != y->user ? (x->user > y->user) - (x->user < y->user) : (x->sum > y->sum) - (x->sum < y->sum);
}

/* The last node that adds to each sum. Returns how many sums there are. */
static int last_uses(const Graph *g, LastUse *out) {
    int count = 0;
    for (int id = 1; id < g->count; id++) {
        if (!is_sum(&g->nodes[id])) continue;
        LastUse *use = &out[count++];
        *use = (LastUse){.sum = id};
        for (int u = 1; u < g->count; u++)
            for (int i = 0; i < g->nodes[u].inputs && g->nodes[u].stage <= STAGE_GRADIENT; i++)
                if (graph_state(g, g->nodes[u].in[i]) == &g->nodes[id]) use->user = u;
    }
    qsort(out, (size_t)count, sizeof *out, by_user);
    return count;
}

static bool pieces_add(CpuSums *s, const Node *state, int phase, int64_t first, int64_t last, Err *err) {
    for (int64_t at = first; at < last; at += SUMS_FLOATS) {
        if (!mem_grow((void **)&s->piece, &s->capacity, (size_t)s->pieces + 1, sizeof *s->piece, "sums of other ranks", err))
            return false;
        s->piece[s->pieces++] = (SumPiece){state, at, last - at < SUMS_FLOATS ? last - at : SUMS_FLOATS, phase};
    }
    return true;
}

/* What this rank makes of a sum, in runs. */
static bool pieces_of(Cpu *cpu, const Node *n, int phase, Err *err) {
    const StateShard *s = state_shard(cpu, n);
    if (n->value == VALUE_VECTOR) return pieces_add(&cpu->sums, n, phase, 0, n->shape.dim[0].size, err);
    int64_t columns = s->held.columns.last - s->held.columns.first;
    int64_t from = s->made.columns.first - s->held.columns.first, to = s->made.columns.last - s->held.columns.first;
    int64_t panel = s->made.panels.first - s->held.panels.first, panels = s->made.panels.last - s->held.panels.first;
    if (from == 0 && to == columns)
        return pieces_add(&cpu->sums, n, phase, panel * columns * PANEL, panels * columns * PANEL, err);
    for (; panel < panels; panel++)
        if (!pieces_add(&cpu->sums, n, phase, (panel * columns + from) * PANEL, (panel * columns + to) * PANEL, err)) return false;
    return true;
}

static bool pieces_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    LastUse *use = mem_new((size_t)g->count, sizeof *use, "sums of other ranks", err);
    int count = use ? last_uses(g, use) : 0;
    bool ok = use != NULL;
    for (int i = 0; ok && i < count; i++)
        ok = pieces_of(cpu, &g->nodes[use[i].sum], cpu->plan.node_phase[use[i].user], err);
    free(use);
    return ok;
}

bool sums_new(Cpu *cpu, Err *err) {
    const RankGroups *g = &cpu->spread.groups;
    CpuSums *s = &cpu->sums;
    int64_t floats = 0;
    if (g->parts > 1) floats = SUMS_FLOATS;
    if (g->groups > 1) floats = (int64_t)(PIECES / g->groups + 1) * (LANES + 1) * SUMS_FLOATS;
    for (int id = 1; floats && id < cpu->program->graph.count; id++) { /* a row of any matrix */
        const Node *n = &cpu->program->graph.nodes[id];
        if (n->kind == NODE_STATE && n->value == VALUE_MATRIX && n->shape.dim[1].size > floats) floats = n->shape.dim[1].size;
    }
    if (!floats) return true;
    s->bytes = (size_t)floats * sizeof(float);
    if (!(s->buffer = mem_pages_new(s->bytes, "sums of other ranks", err))) return false;
    if (g->groups == 1) return true;
    s->message = mem_new((size_t)PIECES * (size_t)(g->groups > LANES ? g->groups : LANES), sizeof *s->message, "messages", err);
    return s->message && pieces_new(cpu, err);
}

void sums_free(Cpu *cpu) {
    mem_pages_free(cpu->sums.buffer, cpu->sums.bytes);
    free(cpu->sums.piece);
    free(cpu->sums.message);
}

static float *slot_of(const Cpu *cpu, const SumPiece *p, int slot) {
    return cpu_state_data(cpu, p->state) + slot * cpu_state_floats(cpu, p->state) + p->at;
}

/* ---- Over groups ------------------------------------------------------------------------------------------------- */

/* The rank that has the same part as this one. */
static int peer_of(const Cpu *cpu, int group) {
    return group * cpu->spread.groups.parts + cpu->spread.rank % cpu->spread.groups.parts;
}
static int owner_of(const Cpu *cpu, int piece) { return piece % cpu->spread.groups.groups; }

/* Where sum `sum` of a piece of the batch that is joined here lies: of this group's in its slot, else in the buffer. */
static float *sum_place(const Cpu *cpu, int i, int sum) {
    const RankGroups *g = &cpu->spread.groups;
    const LaneFinish *f = &cpu->sums.finish;
    if (g->group[f->span[sum]] == rank_group(g)) return slot_of(cpu, &cpu->sums.piece[cpu->sums.at + i], f->slot[sum]);
    return cpu->sums.buffer + ((int64_t)(i / g->groups) * (LANES + 1) + 1 + sum) * SUMS_FLOATS;
}

static void piece_join(Cpu *cpu, int i) {
    const SumPiece *p = &cpu->sums.piece[cpu->sums.at + i];
    const LaneFinish *f = &cpu->sums.finish;
    float *stack[LANES + 1], *sum = cpu->sums.buffer + (int64_t)(i / cpu->spread.groups.groups) * (LANES + 1) * SUMS_FLOATS;
    int top = 0;
    for (int s = 0; s < f->steps; s++) {
        if (f->step[s] >= 0) {
            stack[top++] = sum_place(cpu, i, f->step[s]);
            continue;
        }
        top--; /* the left one's place may be a slot of this rank's: what it held is in the sum now */
        cpu->kernels->add(stack[top - 1], stack[top], p->floats, stack[top - 1]);
    }
    memcpy(sum, stack[0], (size_t)p->floats * sizeof *sum);
    memcpy(slot_of(cpu, p, 0), sum, (size_t)p->floats * sizeof *sum);
}

static int batch_count(const CpuSums *s) { return s->pieces - s->at < PIECES ? (int)(s->pieces - s->at) : PIECES; }

static void say(CpuSums *s, int peer, bool send, float *data, int64_t floats) {
    s->message[s->messages++] = (Message){peer, send, data, (size_t)floats * sizeof *data};
}

/* Each sum of a piece, to the group that joins it. */
static void batch_collect(Cpu *cpu) {
    const RankGroups *g = &cpu->spread.groups;
    CpuSums *s = &cpu->sums;
    int mine = rank_group(g);
    s->messages = 0;
    for (int i = 0; i < batch_count(s); i++)
        for (int sum = 0; sum < s->finish.sums; sum++) {
            const SumPiece *p = &s->piece[s->at + i];
            int from = g->group[s->finish.span[sum]], to = owner_of(cpu, i);
            if (from == to) continue;
            if (from == mine) say(s, peer_of(cpu, to), true, slot_of(cpu, p, s->finish.slot[sum]), p->floats);
            if (to == mine) say(s, peer_of(cpu, from), false, sum_place(cpu, i, sum), p->floats);
        }
    transport_begin(s->message, s->messages, "gradients of other replicas");
}

static void batch_tell(Cpu *cpu) {
    const RankGroups *g = &cpu->spread.groups;
    CpuSums *s = &cpu->sums;
    int mine = rank_group(g);
    s->messages = 0;
    for (int i = 0; i < batch_count(s); i++)
        for (int group = 0; group < g->groups; group++) {
            const SumPiece *p = &s->piece[s->at + i];
            int owner = owner_of(cpu, i);
            bool sends = owner == mine;
            if (group == owner || (group != mine && !sends)) continue;
            say(s, peer_of(cpu, sends ? group : owner), sends, slot_of(cpu, p, 0), p->floats);
        }
    transport_begin(s->message, s->messages, "gradients of all replicas");
}

static bool batch_whole(const CpuSums *s, int phase) {
    for (int i = 0; i < batch_count(s); i++)
        if (s->piece[s->at + i].phase > phase) return false;
    return true;
}

/* As far as it goes without a wait, where phases up to `phase` have run: of all groups alike, batch after batch. */
static void sums_advance(Cpu *cpu, int phase) {
    CpuSums *s = &cpu->sums;
    while (s->at < s->pieces) {
        if (s->stage == SUMS_STILL) {
            if (!batch_whole(s, phase)) return;
            batch_collect(cpu);
        } else if (!transport_through("gradients of other replicas")) {
            return;
        } else if (s->stage == SUMS_COLLECTED) {
            for (int i = 0; i < batch_count(s); i++)
                if (owner_of(cpu, i) == rank_group(&cpu->spread.groups)) piece_join(cpu, i);
            batch_tell(cpu);
        } else {
            s->at += batch_count(s);
        }
        s->stage = (s->stage + 1) % SUMS_STAGES;
    }
}

static void sums_begin(Cpu *cpu) {
    const RankGroups *g = &cpu->spread.groups;
    if (cpu->sums.at == 0 && cpu->sums.stage == SUMS_STILL)
        lanes_finish(&cpu->sums.finish, g->span, g->spans, cpu->step.given.sequences);
}

void cpu_sums_beside(Cpu *cpu, int phase) {
    const StepRows *s = &cpu->step.given;
    if (cpu->spread.groups.groups == 1 || s->first != STAGE_GRADIENT || s->last != STAGE_GRADIENT || s->pass + 1 < s->passes) return;
    sums_begin(cpu);
    sums_advance(cpu, phase);
}

/* What is left of them. */
static void sums_end(Cpu *cpu) {
    CpuSums *s = &cpu->sums;
    sums_begin(cpu);
    for (sums_advance(cpu, cpu->plan.phase_count); s->at < s->pieces; sums_advance(cpu, cpu->plan.phase_count))
        transport_finish(s->message, s->messages, "gradients of other replicas");
    s->at = 0;
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
    if (g->groups > 1) sums_end(cpu);
    for (int id = 1; g->parts > 1 && id < graph->count; id++) {
        const Node *n = &graph->nodes[id];
        if (is_sum(n) && n->value == VALUE_MATRIX && state_shard(cpu, n)->whole && state_shard(cpu, n)->first) state_share(cpu, n);
    }
}
