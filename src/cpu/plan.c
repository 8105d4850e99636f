/* plan.c: which device does what in which phase, and where every activation lives. Nothing is allocated after this. */
#include <stdlib.h>
#include <string.h>
#include "../ops/optimize8.h"
#include "cpu_state.h"

static int64_t rows_most(const Cpu *cpu, const Node *n) {
    bool few = shape_rows(&n->shape) == LOGIT_ROWS && cpu->options.logit_rows;
    return few ? cpu->options.logit_rows : cpu->options.rows;
}

int64_t cpu_value_floats(const Cpu *cpu, const Node *n) {
    int64_t rows = n->value == VALUE_MATRIX ? n->shape.dim[0].size : n->value == VALUE_VECTOR ? 1 : rows_most(cpu, n);
    int64_t width = node_width(n);
    if (!node_computed(n)) return 0;
    if (n->op->whole && !cpu_in_parts(cpu, n)) return rows * width;
    if (n->op->in_doubles) width *= 2;
    if (program_sum(cpu->program, n)) return block_step(rows, width) * spread_most(&cpu->spread, n->partial);
    return rows * width * (n->partial[0] ? cpu->program->partition->mesh.tp : 1); /* pairs: one of each device */
}

/* ---- Items ------------------------------------------------------------------------------------------------------- */

/* At least 1: a unit without columns is work too, as the argmax of a device without vocabulary, whose pair says so. */
static double unit_cost(const OpRow *op, const Call *c) {
    double cost = op->unit_cost ? op->unit_cost(c) : (double)(c->columns.last - c->columns.first) * 4;
    return cost < 1 ? 1 : cost;
}

static bool item_add(Cpu *cpu, const OpRow *op, const Call *call, int replica, Err *err) {
    CpuPlan *plan = &cpu->plan;
    if (!mem_grow((void **)&plan->items, &plan->item_capacity, (size_t)plan->item_count + 1, sizeof(Item),
                  "work items", err))
        return false;
    Item item = {.call = *call, .op = op, .replica = replica};
    item.call.replica = replica;
    item.unit_cost = unit_cost(item.op, call);
    cpu->plan.items[cpu->plan.item_count++] = item;
    return true;
}

static bool wants_other(const Cpu *cpu, const Node *n, int input) { return cpu_act(cpu, n, input) != ACT_F32; }

/* What turns the value of a node into another form for those who read it so; NULL: nobody does. */
static const OpRow *quantise_of(const Cpu *cpu, int id) {
    const Graph *g = &cpu->program->graph;
    for (int u = id + 1; u < g->count; u++)
        for (int i = 0; i < g->nodes[u].inputs; i++)
            if (g->nodes[u].in[i].id == id && wants_other(cpu, &g->nodes[u], i)) return g->nodes[u].op->quantise;
    return NULL;
}

/* From a row, or four rows in quads, to the next. */
static int64_t acts_step(const Cpu *cpu, const Node *n) {
    int64_t k = n->shape.dim[1].size;
    return cpu->options.act == ACT_INT8 ? k / ACT_GROUP : pairs_step(k);
}

/* Of `rows` rows of a value in the other form. */
static int64_t acts_floats(const Cpu *cpu, const Node *n, int64_t rows) {
    int64_t blocks = quads_blocks(rows, cpu->program->partition->mesh.dp);
    return acts_step(cpu, n) *
           (cpu->options.act == ACT_INT8 ? blocks * (int64_t)(sizeof(Quad) / sizeof(float)) : rows);
}

/* Adds columns that the devices of this process hold to the items from `from` on: columns that several hold are
 * computed once, columns that touch together, unless a multiple of `cut` lies between them (0: nowhere). */
static bool item_join(Cpu *cpu, Call *call, Range columns, int64_t cut, int replica, int from, Err *err) {
    if (columns.first >= columns.last) return true;
    for (int i = from; i < cpu->plan.item_count; i++) {
        Range *r = &cpu->plan.items[i].call.columns;
        if (cpu->plan.items[i].replica != replica || columns.first > r->last || columns.last < r->first) continue;
        if (cut && columns.first / cut != r->first / cut) continue;
        if (columns.first < r->first) r->first = columns.first;
        if (columns.last > r->last) r->last = columns.last;
        cpu->plan.items[i].unit_cost = unit_cost(cpu->plan.items[i].op, &cpu->plan.items[i].call);
        return true;
    }
    call->columns = columns;
    return item_add(cpu, call->node->op, call, replica, err);
}

static bool items_split(Cpu *cpu, Call *call, const Node *n, int device, int replica, int from, Err *err) {
    Segments mine = {0};
    const Dim *dim = &n->shape.dim[n->shape.rank - 1];
    bool ok = partition_segments(cpu->program->partition, dim->letters, n->split, device, &mine, err);
    for (int i = 0; ok && i < mine.count; i++) {
        Range columns = {mine.list[i].from, mine.list[i].from + mine.list[i].count};
        ok = item_join(cpu, call, columns, mine.apart, replica, from, err);
    }
    free(mine.list);
    return ok;
}

static bool items_partial(Cpu *cpu, Call *call, const Node *n, int replica, Err *err) {
    const Partition *p = cpu->program->partition;
    const Node *in = graph_node(call->graph, n->in[0]);
    const SumTree *sum = program_sum(cpu->program, n);
    if (!sum) { /* a value per device, none of them a sum */
        Range mine = spread_devices(&cpu->spread, cpu->spread.rank, replica);
        for (call->pairs.device = (int)mine.first; call->pairs.device < mine.last; call->pairs.device++) {
            call->columns = partition_hull(p, in->shape.dim[1].letters, in->split, call->pairs.device);
            if (!item_add(cpu, call->node->op, call, replica, err)) return false;
        }
        return true;
    }
    const Sums *sums = spread_sums(&cpu->spread, replica, n->partial);
    Range mine = spread_blocks(&cpu->spread, sums);
    if (n->op->whole) call->subtrees = (Subtrees){sums->nodes, (int)mine.first, (int)mine.last};
    else {
        call->matrix.tree = &sum->tree;
        call->matrix.nodes = sums->nodes;
        call->matrix.node_first = (int)mine.first;
        call->matrix.node_last = (int)mine.last;
    }
    call->columns = (Range){0, call->out_width};
    return mine.first == mine.last || item_add(cpu, call->node->op, call, replica, err);
}

/* Room for all rows of all query heads; only what is written takes memory: rows that workers share in a step. */
static bool parts_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    int64_t rows = cpu->options.rows < STATIC_ROWS ? cpu->options.rows : STATIC_ROWS;
    size_t heads = (size_t)(rows * graph_size(g, AXIS_KV_HEAD) * graph_size(g, AXIS_GROUP));
    size_t part = (size_t)attention_part(1, graph_size(g, AXIS_CHANNEL)) * sizeof(float);
    if (workers_count(cpu->workers) < 2) return true;
    if (!size_mul(heads, (size_t)cpu->cache.blocks, &cpu->plan.parts.bytes) ||
        !size_mul(cpu->plan.parts.bytes, part, &cpu->plan.parts.bytes))
        return err_set(err, "attention: sizes wrap");
    cpu->plan.parts.data = mem_pages_new(cpu->plan.parts.bytes, "attention", err);
    cpu->plan.parts.done = mem_new(heads, sizeof *cpu->plan.parts.done, "attention", err);
    return cpu->plan.parts.data && cpu->plan.parts.done;
}

int64_t cpu_cache_number(const Graph *g, const Node *state) {
    int64_t number = 0;
    for (const Node *n = g->nodes + 1; n < (state ? state : g->nodes + g->count); n++)
        number += n->kind == NODE_STATE && n->type == TYPE_CACHE;
    return number;
}

static int64_t size_of(Range r) { return r.last - r.first; }

int64_t cpu_state_floats(const Cpu *cpu, const Node *n) {
    const StateArea *held = &state_shard(cpu, n)->held;
    return n->value == VALUE_VECTOR ? n->shape.dim[0].size : size_of(held->panels) * PANEL * size_of(held->columns);
}

size_t cpu_state_bytes(const Cpu *cpu, const Node *n) {
    if (n->kind != NODE_STATE || n->type == TYPE_CACHE) return 0;
    if (node_is_coded(n)) {
        const StateArea *held = &state_shard(cpu, n)->held;
        Range coded = code_columns(&cpu->program->graph, &n->shape.dim[1], held->columns);
        return (size_t)(size_of(held->panels) * code_panel_bytes(&cpu->program->graph, &n->shape.dim[1], coded));
    }
    int64_t floats = n->value == VALUE_ROWS ? rows_most(cpu, n) * node_width(n) : cpu_state_floats(cpu, n);
    return (size_t)(floats * (n->type == TYPE_SUM ? cpu->options.sum_slots : 1)) * sizeof(float);
}

float *cpu_state_data(const Cpu *cpu, const Node *n) {
    int64_t id = n - cpu->program->graph.nodes;
    if (n->kind == NODE_STATE) return cpu->plan.state[id];
    const LoadedWeight *w = &cpu->load.weights[id];
    return w->vector ? w->vector : (float *)(uintptr_t)w->packed.data; /* of a trained weight, this engine's own copy */
}

static void bind_states(const Cpu *cpu, Call *c) {
    const Graph *g = c->graph;
    const Node *n = c->node, *in = graph_node(g, n->in[0]);
    StatesBinding b = {0};
    for (int i = 0; i < n->inputs && i < STATES_BOUND; i++) {
        const Node *state = graph_state(g, n->in[i]);
        if (!state) continue;
        b.of[i] = cpu_state_data(cpu, state);
        if (state->value != VALUE_ROWS) b.floats = cpu_state_floats(cpu, state);
        b.held = state_shard(cpu, state)->held;
        if (state->type == TYPE_SUM) b.made = state_shard(cpu, state)->made;
        for (int s = 0; state->type == TYPE_SUM && s < cpu->options.sum_slots; s++) b.slot[s] = b.of[i] + s * b.floats;
    }
    const char *reduced = axis_sum_letters(in->shape.dim[in->shape.rank - 1].letters);
    const SumTree *sum = n->op->whole && !n->op->accumulates ? partition_sum(cpu->program->partition, reduced) : NULL;
    b.tree = sum ? &sum->tree : NULL;
    b.act = cpu->options.act;
    c->states = b;
}

/* The rows of a pair's matrix that go into each leaf of a sum: its own leaf's, or, of a key/value head in a sum over
 * query heads, those of the head in its group's first leaf. */
static bool pair_leaves(Cpu *cpu, const Node *dy, const SumTree *sum, const Range **out, Err *err) {
    const Graph *g = &cpu->program->graph;
    CpuPlan *plan = &cpu->plan;
    const SumTree *own = partition_sum(cpu->program->partition, axis_sum_letters(dy->shape.dim[1].letters));
    int64_t leaves = (int64_t)1 << sum->tree.levels, group = graph_size(g, AXIS_GROUP);
    if (!mem_grow((void **)&plan->leaves, &plan->leaves_capacity, (size_t)plan->leaves_count + 1, sizeof *plan->leaves,
                  "leaves", err))
        return false;
    Range *list = plan->leaves[plan->leaves_count] = mem_new((size_t)leaves, sizeof *list, "leaves", err);
    if (!list) return false;
    plan->leaves_count++;
    *out = list;
    for (int64_t i = 0; i < leaves; i++) {
        int64_t first = sum->tree.first[i], last = sum->tree.last[i];
        if (own == sum) list[i] = (Range){first, last};
        else if (first < last && first / (last - first) % group == 0) {
            int64_t each = last - first, head = first / each / group;
            list[i] = (Range){head * each, (head + 1) * each};
        }
    }
    return true;
}

static bool bind_products(Cpu *cpu, Call *c, Err *err) {
    const Graph *g = c->graph;
    const Node *n = c->node;
    const SumTree *sum = partition_sum(cpu->program->partition, dx_sum_letters(g, n));
    c->products = (ProductsBinding){.tree = sum ? &sum->tree : NULL};
    for (int p = 0; 2 * p < n->inputs; p++) {
        c->products.weight[c->products.pairs++] = &cpu->load.weights[n->in[2 * p + 1].id].packed;
        if (sum && !pair_leaves(cpu, graph_node(g, n->in[2 * p]), sum, &c->products.leaf[p], err)) return false;
    }
    return true;
}

/* What the row of an op says it binds. */
static void call_bind(Cpu *cpu, Call *c, int replica) {
    const Graph *g = c->graph;
    const Node *n = c->node, *in = graph_node(g, n->in[0]);
    const LoadedWeight *w = &cpu->load.weights[n->in[1].id];
    switch (n->op->binds) {
    case BINDS_NOTHING: break;
    case BINDS_MATRIX: c->matrix = (MatrixBinding){.weight = &w->packed, .blocking = &cpu->blocking}; break;
    case BINDS_TABLE:
        c->table = (TableBinding){.table = graph_node(g, n->in[1])->trained ? NULL : w->tensor, .packed = &w->packed};
        break;
    case BINDS_PAIRS: c->pairs = (PairsBinding){.devices = cpu->program->partition->mesh.tp}; break;
    case BINDS_REDUCE: {
        static const int first_block[] = {0};
        if (in->op->whole && !cpu_in_parts(cpu, in)) {
            c->reduce = (ReduceBinding){.finish = first_block, .finish_count = 1};
            break;
        }
        const Sums *sums = spread_sums(&cpu->spread, replica, in->partial);
        c->reduce = (ReduceBinding){.finish = sums->finish, .finish_count = sums->finish_count,
                                    .doubles = in->op->in_doubles};
        break;
    }
    case BINDS_STATES: bind_states(cpu, c); break;
    case BINDS_PRODUCTS: break; /* items_of: it may lack memory */
    case BINDS_MATRICES:
        for (int i = 0; i < PRODUCT_PAIRS; i++) c->products.weight[i] = &cpu->load.weights[n->in[i].id].packed;
        break;
    case BINDS_CACHE:
        c->cache = (CacheBinding){.cache = &cpu->cache, .parts = cpu->plan.parts.bytes ? &cpu->plan.parts : NULL};
        for (int i = 0; i < n->inputs; i++)
            if (graph_state(g, n->in[i])) c->cache.layer = cpu_cache_number(g, graph_state(g, n->in[i]));
        break;
    }
}

/* A Call with everything that does not change from step to step. */
static Call call_of(Cpu *cpu, const Node *n, int replica) {
    const Graph *g = &cpu->program->graph;
    Call c = {.graph = g, .node = n, .kernels = cpu->kernels, .step = &cpu->step.given, .out_width = node_width(n)};
    c.columns = (Range){0, c.out_width};
    for (int i = 0; i < n->inputs; i++) {
        const Node *in = graph_node(g, n->in[i]);
        if (!in) continue;
        c.in_width[i] = node_width(in);
        if (in->kind == NODE_WEIGHT && in->value == VALUE_VECTOR) c.in[i] = cpu->load.weights[n->in[i].id].vector;
        if (graph_state(g, n->in[i])) c.in[i] = cpu_state_data(cpu, graph_state(g, n->in[i]));
        if (in->kind == NODE_INPUT) c.ids = step_input(&cpu->step.given, in->name);
    }
    const Node *written = n->op->writes_state ? graph_state(g, (Tensor){(int)(n - g->nodes)}) : NULL;
    if (written) c.out = cpu_state_data(cpu, written);
    if (n->kind == NODE_OP) call_bind(cpu, &c, replica);
    return c;
}

/* Rounds between the first and the last, of an op that tells what comes of them, are dealt: an op's to a rank. */
static bool round_here(const Cpu *cpu, const Node *n, int round) {
    int told = 0;
    if (!n->op->told || cpu->spread.ranks == 1 || round == 0 || round == n->op->rounds - 1) return true;
    for (const Node *before = cpu->program->graph.nodes + 1; before < n; before++)
        told += before->kind == NODE_OP && before->op->told;
    return told % cpu->spread.ranks == cpu->spread.rank;
}

static bool items_of(Cpu *cpu, const Node *n, int round, Err *err) {
    const Partition *p = cpu->program->partition;
    if (!round_here(cpu, n, round)) return true;
    for (int i = 0; i < n->inputs; i++) {
        const Node *in = graph_node(&cpu->program->graph, n->in[i]);
        if (in && in->kind == NODE_INPUT && !step_input(&cpu->step.given, in->name))
            return err_as(err, QM_INTERNAL, "%s: a step has no input %s", n->name, in->name);
    }
    for (int replica = 0; replica < p->mesh.dp; replica++) {
        if (!spread_holds(&cpu->spread, replica)) continue;
        Call c = call_of(cpu, n, replica);
        c.round = round;
        int from = cpu->plan.item_count, first = spread_first(&cpu->spread);
        bool once = n->op->accumulates || call_row_kind(&c) == NO_ROWS; /* not by rows: of all replicas at once */
        if (replica > first && once) continue;
        if (n->op->binds == BINDS_PRODUCTS && !bind_products(cpu, &c, err)) return false;
        if (cpu_in_parts(cpu, n)) {
            if (!items_partial(cpu, &c, n, replica, err)) return false;
        } else if (n->op->whole || n->op->binds == BINDS_STATES || n->op->binds == BINDS_MATRICES) {
            bool parted = n->op->whole && n->value == VALUE_ROWS && n->split[0] && cpu->spread.groups.parts > 1;
            if (parted) c.columns = spread_columns(&cpu->spread, n, cpu->spread.rank, replica);
            if (c.columns.first == c.columns.last) continue;
            if (!item_add(cpu, n->op, &c, replica, err)) return false;
        } else if (n->partial[0]) {
            if (!items_partial(cpu, &c, n, replica, err)) return false;
        } else if (n->split[0] && n->op->binds != BINDS_REDUCE) { /* what is complete is complete for all */
            Range mine = spread_devices(&cpu->spread, cpu->spread.rank, replica);
            for (int64_t d = mine.first; d < mine.last; d++)
                if (!items_split(cpu, &c, n, (int)d, replica, from, err)) return false;
        } else if (!item_add(cpu, n->op, &c, replica, err)) return false;
    }
    return true;
}

/* One item per replica, between the value and those who want it. */
static bool items_quantise(Cpu *cpu, const Node *n, const OpRow *op, Err *err) {
    for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++) {
        if (!spread_holds(&cpu->spread, replica)) continue;
        Call c = call_of(cpu, n, replica);
        c.in_width[0] = c.out_width;
        c.matrix = (MatrixBinding){0};
        c.matrix.act = cpu->options.act;
        c.columns = (Range){0, c.out_width};
        if (!item_add(cpu, op, &c, replica, err)) return false;
    }
    return true;
}

/* ---- Phases and memory ------------------------------------------------------------------------------------------- */

/* An op sees a state as the ops before it left it, and leaves it to those after it. */
static int phase_of_states(const Cpu *cpu, int id) {
    const Graph *g = &cpu->program->graph;
    const Node *n = &g->nodes[id];
    int phase = 0;
    for (int i = 0; i < n->inputs; i++) {
        const Node *state = graph_state(g, n->in[i]);
        for (int u = 1; state && u < id; u++) {
            const Node *before = &g->nodes[u];
            bool writes = before->kind == NODE_OP && (before->op->writes_state || n->op->writes_state), touches = false;
            for (int k = 0; writes && k < before->inputs; k++) touches |= graph_state(g, before->in[k]) == state;
            if (touches && cpu->plan.node_phase[u] + 1 > phase) phase = cpu->plan.node_phase[u] + 1;
        }
    }
    return phase;
}

static int phase_of(const Cpu *cpu, int id) {
    const Graph *g = &cpu->program->graph;
    const Node *n = &g->nodes[id];
    if (n->kind == NODE_RESULT) return cpu->plan.node_phase[n->in[0].id];
    int phase = phase_of_states(cpu, id), first = cpu->plan.stage_phase[n->stage];
    if (first > phase) phase = first;
    if (n->after.id && cpu->plan.node_phase[n->after.id] >= phase) phase = cpu->plan.node_phase[n->after.id] + 1;
    for (int i = 0; i < n->inputs; i++) {
        const Node *in = graph_node(g, n->in[i]);
        int ready = cpu->plan.node_phase[n->in[i].id] + 1 + wants_other(cpu, n, i);
        if (in && in->op && ready > phase) phase = ready;
    }
    return phase;
}

/* Stage after stage: no phase is of two. */
static int phases_assign(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    int count = 0;
    for (int stage = 0; stage < STAGES; stage++) {
        cpu->plan.stage_phase[stage] = count;
        for (int id = 1; id < g->count; id++) {
            const Node *n = &g->nodes[id];
            if (!n->op || (int)n->stage != stage) continue;
            cpu->plan.stages |= stage > 0;
            int phase = cpu->plan.node_phase[id] = phase_of(cpu, id) + (n->op->rounds > 1 ? n->op->rounds - 1 : 0);
            if (phase >= count) count = phase + 1;
        }
    }
    cpu->plan.stage_phase[STAGES] = count;
    return count;
}

typedef struct Life { int first, last; int64_t at, size; } Life;

/* First fit among the values that live at the same time. */
static void life_place(Life *life, int *lives, Life v, int64_t *offset, int64_t *total) {
    v.size = (v.size + 15) / 16 * 16;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < *lives; i++) {
            const Life *o = &life[i];
            bool meet = o->first <= v.last && v.first <= o->last && o->at < v.at + v.size && v.at < o->at + o->size;
            if (meet) v.at = o->at + o->size, moved = true;
        }
    }
    life[(*lives)++] = v;
    *offset = v.at;
    if (v.at + v.size > *total) *total = v.at + v.size;
}

/* Little work that needs nobody else's: whole rows, no matrix, no cache, nothing partial. */
static bool repeatable(const Node *n) {
    return !n->op->unit_cost && !n->op->results && node_computed(n) && !n->partial[0] && n->value == VALUE_ROWS &&
           node_width(n) <= REPEAT_WIDTH;
}

/* Which phases hold nothing else, and which make values for other ranks. */
static void phases_repeat(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    for (int p = 0; p < cpu->plan.phase_count; p++) cpu->plan.phases[p].repeat = !cpu->plan.stages;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (!n->op) continue;
        int with = cpu_exchange_phase(cpu, n);
        if (with >= 0 && cpu->spread.ranks > 1) cpu->plan.phases[with].exchange = true;
        if (n->op->told && cpu->spread.ranks > 1) cpu->plan.phases[cpu->plan.node_phase[id] - 1].exchange = true;
        if (!repeatable(n)) cpu->plan.phases[cpu->plan.node_phase[id]].repeat = false;
        if (node_width(n) > REPEAT_WIDTH && quantise_of(cpu, id))
            cpu->plan.phases[cpu->plan.node_phase[id] + 1].repeat = false;
    }
}

/* Places for all values, as floats and in another form, from the phase that makes them to the last that reads them, or,
 * since no barrier follows a repeated phase, to the first barrier after that. Values of repeated phases have another
 * place in every worker's own copies, where that worker's order is all that counts. */
static bool memory_plan(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    int64_t total = 0, few = cpu->options.rows < REPEAT_ROWS ? cpu->options.rows : REPEAT_ROWS;
    Life *life = mem_new(2 * (size_t)g->count, sizeof *life, "memory plan", err);
    Life *own = mem_new(2 * (size_t)g->count, sizeof *own, "memory plan", err);
    int lives = 0, owns = 0;
    for (int id = 1; life && own && id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int half = 0; half < 2; half++)
            cpu->plan.offset[half * g->count + id] = cpu->plan.own_offset[half * g->count + id] = -1;
        bool other = quantise_of(cpu, id), stated = cpu_value_floats(cpu, n) == 0; /* a state of rows has a place */
        if (stated && !other) continue;
        int made = cpu->plan.node_phase[id];
        Life v[2] = {{.first = made, .last = made + other, .size = cpu_value_floats(cpu, n)},
                     {.first = made + 1, .last = made + 1, .size = other ? acts_floats(cpu, n, rows_most(cpu, n)) : 0}};
        for (int u = id + 1; u < g->count; u++)
            for (int i = 0; i < g->nodes[u].inputs; i++) {
                if (g->nodes[u].in[i].id != id || g->nodes[u].kind == NODE_RESULT) continue;
                Life *read = &v[other && wants_other(cpu, &g->nodes[u], i)];
                if (cpu->plan.node_phase[u] > read->last) read->last = cpu->plan.node_phase[u];
            }
        for (int half = stated; half < 1 + other; half++) {
            int64_t width = node_width(n);
            Life mine = v[half], shared = v[half];
            mine.size = half ? acts_floats(cpu, n, few) : few * width;
            if (cpu->plan.phases[made + half].repeat)
                life_place(own, &owns, mine, &cpu->plan.own_offset[half * g->count + id], &cpu->plan.own_floats);
            while (shared.last + 1 < cpu->plan.phase_count && cpu->plan.phases[shared.last].repeat) shared.last++;
            if (n->keep && !half) shared.last = INT32_MAX;
            /* What the head reads is read again, for the next of its rows, after all that the head has made. */
            bool again = n->stage < STAGE_HEAD && shared.last >= cpu->plan.stage_phase[STAGE_HEAD];
            if (again && shared.last < cpu->plan.stage_phase[STAGE_GRADIENT] - 1)
                shared.last = cpu->plan.stage_phase[STAGE_GRADIENT] - 1;
            life_place(life, &lives, shared, &cpu->plan.offset[half * g->count + id], &total);
        }
    }
    bool ok = life && own;
    free(life);
    free(own);
    if (!ok) return false;
    if (!size_mul((size_t)total, sizeof(float), &cpu->plan.activation_bytes))
        return err_set(err, "activations: sizes wrap");
    size_t copies = (size_t)workers_count(cpu->workers) - 1,
           own_bytes = (size_t)cpu->plan.own_floats * sizeof(float) * copies;
    cpu->info.activation_bytes = (int64_t)(cpu->plan.activation_bytes + own_bytes);
    cpu->plan.activations = mem_pages_new(cpu->plan.activation_bytes, "activations", err);
    cpu->plan.own = own_bytes ? mem_pages_new(own_bytes, "activations", err) : NULL;
    return cpu->plan.activations && (cpu->plan.own || !own_bytes);
}

/* Points an item at the other form of the value of a node. */
static void bind_acts(const Cpu *cpu, Item *item, int id) {
    const Graph *g = &cpu->program->graph;
    item->call.matrix.acts = cpu->plan.activations + cpu->plan.offset[g->count + id];
    item->call.matrix.acts_step = acts_step(cpu, &g->nodes[id]);
    item->own_acts = cpu->plan.own_offset[g->count + id];
}

/* The same of the gradients that a dx is made of. */
static void bind_pairs(const Cpu *cpu, Call *c) {
    const Graph *g = &cpu->program->graph;
    for (int i = 0; i < c->node->inputs; i += 2) {
        int id = c->node->in[i].id;
        if (!wants_other(cpu, c->node, i)) continue;
        c->products.acts[i / 2] = (const Pair *)(const void *)(cpu->plan.activations + cpu->plan.offset[g->count + id]);
        c->products.acts_step[i / 2] = acts_step(cpu, &g->nodes[id]);
    }
}

static void item_bind(Cpu *cpu, Item *item) {
    Call *c = &item->call;
    int id = (int)(c->node - cpu->program->graph.nodes);
    for (int i = 0; i < MAX_INPUTS; i++) item->own_in[i] = -1;
    item->own_out = item->own_acts = -1;
    if (item->op != c->node->op) {
        const Node *state = graph_state(&cpu->program->graph, (Tensor){id});
        c->in[0] = state ? cpu_state_data(cpu, state) : cpu->plan.activations + cpu->plan.offset[id];
        item->own_in[0] = cpu->plan.own_offset[id];
        bind_acts(cpu, item, id);
        return;
    }
    if (cpu->plan.offset[id] >= 0 && node_computed(c->node)) c->out = cpu->plan.activations + cpu->plan.offset[id];
    item->own_out = cpu->plan.own_offset[id];
    for (int u = id + 1; u < cpu->program->graph.count && c->node->op->results; u++) {
        const Node *more = &cpu->program->graph.nodes[u];
        if (more->kind == NODE_RESULT && more->in[0].id == id)
            c->more[more->result - 1] = cpu->plan.activations + cpu->plan.offset[u];
    }
    for (int i = 0; i < c->node->inputs; i++) {
        int in = c->node->in[i].id;
        if (in && cpu->plan.offset[in] >= 0) c->in[i] = cpu->plan.activations + cpu->plan.offset[in];
        item->own_in[i] = cpu->plan.own_offset[in];
    }
    if (c->node->op->binds == BINDS_PRODUCTS) bind_pairs(cpu, c);
    if (c->node->op->binds != BINDS_MATRIX) return;
    c->matrix.act = cpu_act(cpu, c->node, 0);
    if (c->matrix.act != ACT_F32) bind_acts(cpu, item, c->node->in[0].id);
}

/* Memory of the states that are no caches. Nothing of it is touched before it is used. */
static bool states_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    cpu->plan.state = mem_new((size_t)g->count, sizeof *cpu->plan.state, "states", err);
    for (int id = 1; cpu->plan.state && id < g->count; id++) {
        const Node *n = &g->nodes[id];
        size_t bytes = cpu_state_bytes(cpu, n);
        if (bytes && !(cpu->plan.state[id] = mem_pages_new(bytes, n->name, err))) return false;
    }
    return cpu->plan.state != NULL;
}

bool cpu_plan(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    cpu->plan.offset = mem_new(2 * (size_t)g->count, sizeof *cpu->plan.offset, "plan", err);
    cpu->plan.own_offset = mem_new(2 * (size_t)g->count, sizeof *cpu->plan.own_offset, "plan", err);
    cpu->plan.node_phase = mem_new((size_t)g->count, sizeof *cpu->plan.node_phase, "plan", err);
    if (!cpu->plan.offset || !cpu->plan.own_offset || !cpu->plan.node_phase || !parts_new(cpu, err) || !shards_new(cpu, err) ||
        !states_new(cpu, err))
        return false;
    cpu->plan.phase_count = phases_assign(cpu);
    cpu->plan.phases = mem_new((size_t)cpu->plan.phase_count, sizeof *cpu->plan.phases, "plan", err);
    if (!cpu->plan.phases) return false;
    phases_repeat(cpu);
    if (!memory_plan(cpu, err)) return false;
    for (int phase = 0; phase < cpu->plan.phase_count; phase++) {
        cpu->plan.phases[phase].first = cpu->plan.item_count;
        for (int id = 1; id < g->count; id++) {
            const Node *n = &g->nodes[id];
            if (n->kind != NODE_OP) continue;
            int rounds = n->op->rounds > 1 ? n->op->rounds : 1, round = phase - cpu->plan.node_phase[id] + rounds - 1;
            if (round >= 0 && round < rounds && !items_of(cpu, n, round, err)) return false;
        }
        for (int id = 1; id < g->count; id++)
            if (cpu->plan.offset[g->count + id] >= 0 && cpu->plan.node_phase[id] + 1 == phase &&
                !items_quantise(cpu, &g->nodes[id], quantise_of(cpu, id), err))
                return false;
        cpu->plan.phases[phase].last = cpu->plan.item_count;
    }
    for (int i = 0; i < cpu->plan.item_count; i++) item_bind(cpu, &cpu->plan.items[i]);
    return true;
}
