/* state_shards.c: see state_shards.h. */
#include <stdlib.h>
#include <string.h>
#include "cpu_state.h"

/* ---- Who uses a weight ------------------------------------------------------------------------------------------- */

bool weight_whole(const Graph *g, int id) {
    for (int u = id + 1; u < g->count; u++)
        for (int i = 0; i < g->nodes[u].inputs; i++) {
            const OpRow *op = g->nodes[u].op;
            if (g->nodes[u].in[i].id != id || !op) continue;
            if (op->binds == BINDS_MATRICES || op->told || (op->binds == BINDS_TABLE && g->nodes[id].trained)) return true;
        }
    return false;
}

const StateShard *state_shard(const Cpu *cpu, const Node *n) {
    return &cpu->plan.shard[n - cpu->program->graph.nodes];
}

/* ---- Areas ------------------------------------------------------------------------------------------------------- */

static Range dim_range(const Node *n, int d) {
    return (Range){0, d < n->shape.rank ? n->shape.dim[d].size : 1};
}

static StateArea area_whole(const Node *n) {
    return (StateArea){{0, (dim_range(n, 0).last + PANEL - 1) / PANEL}, dim_range(n, 1)};
}

typedef struct Ranges { Range *list; int count; size_t capacity; } Ranges;

static bool ranges_add(Ranges *r, Range add, Err *err) {
    Range *last = r->count ? &r->list[r->count - 1] : NULL;
    if (add.first >= add.last) return true;
    if (last && add.first >= last->first && add.first <= last->last) {
        if (add.last > last->last) last->last = add.last;
        return true;
    }
    if (!mem_grow((void **)&r->list, &r->capacity, (size_t)r->count + 1, sizeof *r->list, "shards", err)) return false;
    r->list[r->count++] = add;
    return true;
}

/* What of dimension d of a sum the devices of a part have: as rows that go into it are split. */
static bool part_ranges(const Cpu *cpu, const Node *n, const Node *sum, int d, int part, Ranges *out, Err *err) {
    const Graph *g = &cpu->program->graph;
    const char *letters = d < sum->shape.rank ? sum->shape.dim[d].letters : "";
    char split[MAX_LETTERS + 1] = "";
    int count = 0;
    for (const char *l = letters; *l; l++)
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            if (!in || in->value != VALUE_ROWS || !strchr(in->split, *l) || strchr(split, *l)) continue;
            split[count++] = *l;
            split[count] = 0;
        }
    if (!count) return ranges_add(out, dim_range(sum, d), err);
    Range devices = spread_devices(&cpu->spread, part, 0);
    bool ok = true;
    for (int64_t device = devices.first; ok && device < devices.last; device++) {
        Segments mine = {0};
        ok = partition_segments(cpu->program->partition, letters, split, (int)device, &mine, err);
        for (int i = 0; ok && i < mine.count; i++)
            ok = ranges_add(out, (Range){mine.list[i].from, mine.list[i].from + mine.list[i].count}, err);
        free(mine.list);
    }
    return ok;
}

static void hull(Range *r, Range add) {
    if (r->first == r->last) *r = add;
    if (add.first < r->first) r->first = add.first;
    if (add.last > r->last) r->last = add.last;
}

/* The rects of a sum that `n` adds to. */
static bool rects_new(Cpu *cpu, const Node *n, const Node *sum, StateShard *shard, Err *err) {
    int parts = cpu->spread.groups.parts, count = 0;
    size_t capacity = 0;
    shard->first = mem_new((size_t)parts + 1, sizeof *shard->first, "shards", err);
    bool ok = shard->first != NULL;
    Rect made = {{0, 0}, {0, 0}};
    for (int part = 0; ok && part < parts; part++) {
        Ranges rows = {0}, columns = {0};
        ok = part_ranges(cpu, n, sum, 0, part, &rows, err) && part_ranges(cpu, n, sum, 1, part, &columns, err) &&
             mem_grow((void **)&shard->rect, &capacity, (size_t)(count + rows.count * columns.count) + 1,
                      sizeof *shard->rect, "shards", err);
        for (int i = 0; ok && i < rows.count * columns.count; i++) {
            Rect r = {rows.list[i / columns.count], columns.list[i % columns.count]};
            shard->rect[count++] = r;
            if (part != cpu->spread.rank % parts) continue;
            hull(&made.rows, r.rows);
            hull(&made.columns, r.columns);
        }
        shard->first[part + 1] = count;
        free(rows.list), free(columns.list);
    }
    shard->made = (StateArea){{made.rows.first / PANEL, (made.rows.last + PANEL - 1) / PANEL}, made.columns};
    return ok;
}

/* ---- Shards ------------------------------------------------------------------------------------------------------ */

static bool same_everywhere(const Cpu *cpu, const Node *sum, const StateShard *s) {
    Range rows = dim_range(sum, 0), columns = dim_range(sum, 1);
    for (int i = 0; i < cpu->spread.groups.parts; i++) {
        const Rect *r = &s->rect[s->first[i]];
        if (s->first[i + 1] - s->first[i] != 1 || r->rows.first != rows.first || r->rows.last != rows.last ||
            r->columns.first != columns.first || r->columns.last != columns.last)
            return false;
    }
    return true;
}

static bool sum_shard(Cpu *cpu, const Node *n, Err *err) {
    const Node *sum = graph_state(&cpu->program->graph, (Tensor){(int)(n - cpu->program->graph.nodes)});
    StateShard *shard = &cpu->plan.shard[sum - cpu->program->graph.nodes];
    if (shard->first) return true;
    if (!rects_new(cpu, n, sum, shard, err)) return false;
    if (!same_everywhere(cpu, sum, shard)) return true;
    free(shard->first);
    shard->first = NULL;
    return true;
}

/* A weight as it was loaded. */
static void weight_shard(Cpu *cpu, int id) {
    const PackedWeight *w = &cpu->load.weights[id].packed;
    StateShard *shard = &cpu->plan.shard[id];
    if (cpu->program->graph.nodes[id].value != VALUE_MATRIX) return;
    shard->held = (StateArea){{w->first_panel, w->first_panel + w->panels}, {w->first_k, w->first_k + w->columns}};
}

/* What an op changes together lies alike: of a weight, its gradient and its moments. The rects are the sum's. */
static void alike(Cpu *cpu, const Node *n) {
    const Graph *g = &cpu->program->graph;
    const Node *written = graph_state(g, (Tensor){(int)(n - g->nodes)});
    StateShard *of = &cpu->plan.shard[written - g->nodes];
    for (int i = 0; i < n->inputs; i++) {
        const Node *state = graph_state(g, n->in[i]);
        StateShard *s = state ? &cpu->plan.shard[state - g->nodes] : NULL;
        if (!s || s == of) continue;
        s->held = of->held;
        s->whole = of->whole;
        if (state->type == TYPE_SUM || of->whole) continue;
        s->rect = of->rect;
        s->first = of->first;
    }
}

static const StateShard *shared_rects(const Cpu *cpu, const Node *n) {
    const Graph *g = &cpu->program->graph;
    for (int i = 0; i < n->inputs; i++) {
        const Node *state = graph_state(g, n->in[i]);
        if (state && state->type == TYPE_SUM && cpu->plan.shard[state - g->nodes].first)
            return &cpu->plan.shard[state - g->nodes];
    }
    return NULL;
}

static void weight_rects(Cpu *cpu, int id, const StateShard *sum) {
    StateShard *shard = &cpu->plan.shard[id];
    shard->whole = weight_whole(&cpu->program->graph, id);
    if (shard->whole) return;
    shard->rect = sum->rect;
    shard->first = sum->first;
}

static bool updates(const Node *n) {
    return n->kind == NODE_OP && n->op->binds == BINDS_STATES && n->op->writes_state && !n->op->accumulates &&
           !n->op->collective && n->inputs > 1;
}

bool shards_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    StateShard *shard = cpu->plan.shard = mem_new((size_t)g->count, sizeof *shard, "shards", err);
    if (!shard) return false;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind == NODE_STATE || n->kind == NODE_WEIGHT)
            shard[id] = (StateShard){.held = area_whole(n), .made = area_whole(n), .whole = true};
    }
    if (cpu->spread.groups.parts == 1) return true;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_OP && g->nodes[id].op->accumulates && !sum_shard(cpu, &g->nodes[id], err))
            return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT && g->nodes[id].trained && cpu->load.weights[id].as_matrix)
            weight_shard(cpu, id);
    for (int id = g->count - 1; id > 0; id--) { /* a weight's update comes after the sum of its gradients */
        const Node *n = &g->nodes[id];
        if (!updates(n)) continue;
        const Node *written = graph_state(g, (Tensor){id});
        const StateShard *sum = shared_rects(cpu, n);
        if (written->kind == NODE_WEIGHT && sum) weight_rects(cpu, (int)(written - g->nodes), sum);
        alike(cpu, n);
    }
    return true;
}

void shards_free(Cpu *cpu) {
    for (int id = 1; cpu->plan.shard && id < cpu->program->graph.count; id++)
        if (cpu->program->graph.nodes[id].type == TYPE_SUM) free(cpu->plan.shard[id].rect), free(cpu->plan.shard[id].first);
    free(cpu->plan.shard);
}
