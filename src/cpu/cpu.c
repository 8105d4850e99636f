/* cpu.c: the CPU engine: opens a program, and runs its phases on the workers. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "cpu.h"
#include "pages.h"

enum { CHUNKS_PER_WORKER = 8, SHARE_PARTS = 16, PART_BYTES = 128 << 10, SHARE_TURNS = 3 };

typedef struct Counter { _Alignas(64) atomic_int_fast64_t next; } Counter;

/* ---- Running ----------------------------------------------------------------------------------------------------- */

void cpu_step_count(Cpu *cpu) {
    for (int p = 0; p < cpu->phase_count; p++) {
        Phase *phase = &cpu->phases[p];
        int64_t bytes = 0;
        bool matrices = true; /* nothing else */
        phase->units = 0;
        phase->cost = 0;
        for (int i = phase->first; i < phase->last; i++) {
            Item *item = &cpu->items[i];
            const int64_t *rows = cpu->first_row[call_row_kind(&item->call)];
            item->call.row0 = rows[item->replica];
            item->call.row1 = rows[item->replica + 1];
            item->units = call_rows(&item->call) > 0 ? item->op->units(&item->call) : 0;
            phase->units += item->units;
            phase->cost += (double)item->units * item->unit_cost;
            const PackedWeight *weight = cpu_matrix(item);
            bool matrix = weight != NULL;
            if (matrix) bytes += item->units * weight->panel_bytes;
            matrices &= matrix;
        }
        phase->weight_bytes = (double)bytes;
        int64_t workers = cpu->sharing;
        int64_t parts = matrices && workers > 1 ? bytes / workers / PART_BYTES : 1;
        phase->together = matrices ? LINEAR_PANELS : 1;
        phase->parts = parts < 1 ? 1 : parts > SHARE_PARTS ? SHARE_PARTS : (int)parts;
    }
}

/* Points a call at the copies of one worker. */
static void call_own(const Cpu *cpu, const Item *item, int worker, Call *call) {
    float *own = cpu->own + (worker - 1) * cpu->own_floats;
    for (int i = 0; i < call->node->inputs; i++)
        if (item->own_in[i] >= 0) call->in[i] = own + item->own_in[i];
    if (item->own_out >= 0) call->out = own + item->own_out;
    if (item->own_acts >= 0) call->matrix.acts = own + item->own_acts;
}

/* Runs units of an item; `own`: the worker whose copies it reads and makes, 0: the shared ones. */
static void item_run(const Cpu *cpu, const Item *item, int64_t first, int64_t last, float *scratch, int own) {
    if (first >= last) return;
    Call call = item->call;
    call.scratch = scratch;
    if (own) call_own(cpu, item, own, &call);
    item->op->run(&call, first, last);
}

/* Units [from, to) of a phase, item after item. */
static void phase_units(const Cpu *cpu, const Phase *phase, int64_t from, int64_t to, float *scratch, int own) {
    int64_t at = 0;
    for (int i = phase->first; i < phase->last && at < to; at += cpu->items[i++].units) {
        const Item *item = &cpu->items[i];
        item_run(cpu, item, from > at ? from - at : 0, to - at < item->units ? to - at : item->units, scratch, own);
    }
}

/* Part n of a worker's share of a phase. */
static void phase_part(const Cpu *cpu, const Phase *phase, int share, int64_t n, float *scratch, int own) {
    SharePart part = share_part(phase->cost, cpu->sharing, share, phase->parts, n);
    double at = 0;
    for (int i = phase->first; i < phase->last && at < part.end; i++) {
        const Item *item = &cpu->items[i];
        int64_t first, last;
        share_part_units(&part, at, item->unit_cost, item->units, phase->together, &first, &last);
        item_run(cpu, item, first, last, scratch, own);
        at += (double)item->units * item->unit_cost;
    }
}

static int counter_count(const Cpu *cpu) { return cpu->phase_count + SHARE_TURNS * workers_count(cpu->workers); }

/* Decode: every worker has an equal share of a phase, in one piece of memory. It takes it part by part, and then what
 * is left of others' shares: a core that something else has taken for a while keeps nobody waiting for long. A share's
 * counter is used again three phases later, when nobody can still be in this one. */
static void shares_run(Cpu *cpu, int p, int turn, int worker, float *scratch, bool few) {
    const Phase *phase = &cpu->phases[p];
    int workers = cpu->sharing;
    Counter *counters = cpu->counters + cpu->phase_count + turn % SHARE_TURNS * workers;
    atomic_store_explicit(&cpu->counters[cpu->phase_count + (turn + 1) % SHARE_TURNS * workers + worker].next, 0,
                          memory_order_relaxed);
    for (int i = 0; i < workers; i++) {
        int of = (worker + i) % workers;
        for (int64_t n; (n = atomic_fetch_add_explicit(&counters[of].next, 1, memory_order_relaxed)) < phase->parts;)
            phase_part(cpu, phase, of, n, scratch, few ? worker : 0);
    }
}

/* Counts what a phase took; returns its end. */
static double phase_timed(const Cpu *cpu, int p, double since) {
    double now = clock_seconds();
    cpu->timed[p].seconds += now - since;
    cpu->timed[p].weight_bytes += cpu->phases[p].weight_bytes;
    return now;
}

static void step_job(void *argument, int worker) {
    Cpu *cpu = argument;
    int workers = cpu->sharing;
    float *scratch = cpu->scratch + worker * cpu->scratch_floats;
    bool fixed = cpu->step.rows <= STATIC_ROWS; /* decode: equal shares; prefill: taken in chunks */
    int turn = 0;
    bool few = cpu->step.rows <= REPEAT_ROWS && workers > 1, timed = cpu->timed && worker == 0;
    double since = timed ? clock_seconds() : 0;
    for (int p = 0; p < cpu->phase_count; p++) {
        const Phase *phase = &cpu->phases[p];
        if (timed && p > 0) since = phase_timed(cpu, p - 1, since);
        if (few && phase->repeat) {
            phase_units(cpu, phase, 0, phase->units, scratch, worker);
            continue;
        }
        if (fixed) {
            shares_run(cpu, p, turn++, worker, scratch, few);
        } else {
            int64_t chunk = phase->units / (workers * CHUNKS_PER_WORKER) + 1;
            for (int64_t at; (at = atomic_fetch_add(&cpu->counters[p].next, chunk)) < phase->units;)
                phase_units(cpu, phase, at, at + chunk, scratch, 0);
        }
        workers_barrier(cpu->workers, worker);
        if (!phase->exchange) continue;
        if (worker == 0) cpu_exchange(cpu, p); /* the others wait: what comes is read in the next phase */
        workers_barrier(cpu->workers, worker);
    }
    if (timed) phase_timed(cpu, cpu->phase_count - 1, since);
}

/* First row of every replica; the rows are sorted by replica. Whether any moved since the last step, or, where work is
 * shared out by cost, came into another block of its sequence. */
static bool replica_bounds(Cpu *cpu) {
    int dp = cpu->program->partition->mesh.dp;
    const StepRows *s = &cpu->step;
    int64_t t = 0, r = 0;
    bool moved = false;
    for (int replica = 0; replica <= dp; replica++) {
        while (t < s->rows && s->slot[t] % dp < replica) t++;
        while (r < s->logit_rows && s->slot[s->logit_row[r]] % dp < replica) r++;
        moved |= cpu->first_row[STEP_ROWS][replica] != t || cpu->first_row[LOGIT_ROWS][replica] != r;
        cpu->first_row[STEP_ROWS][replica] = t;
        cpu->first_row[LOGIT_ROWS][replica] = r;
    }
    for (t = 0; t < s->rows && s->rows <= STATIC_ROWS; t++) {
        moved |= cpu->row_block[t] != s->index[t] / ATTENTION_BLOCK;
        cpu->row_block[t] = s->index[t] / ATTENTION_BLOCK;
    }
    return moved;
}

/* Makes every page that the step writes to its slot's own. */
static void cache_prepare(Cpu *cpu) {
    const StepRows *s = &cpu->step;
    for (int64_t t = 0; t < s->rows; t++) {
        int64_t block = s->index[t] / ATTENTION_BLOCK;
        int32_t old = pages_own(&cpu->cache, s->slot[t], block), new = cache_pages(&cpu->cache, s->slot[t])[block];
        if (old >= 0 && old != new && s->index[t] % ATTENTION_BLOCK) cpu_copy_page(cpu, s->slot[t], old, new);
        key_bias_place(&cpu->cache, new, s->index[t] % ATTENTION_BLOCK, s->position[t], s->length[t]);
    }
}

/* How many workers share this step. Between ranks waiting says nothing of other programs, so all do; prefill leaves
 * what a late worker has not begun to the others. */
static int step_workers(const Cpu *cpu) {
    bool decode = cpu->step.rows <= STATIC_ROWS && cpu->spread.ranks == 1;
    return decode ? crowd_workers(&cpu->crowd) : workers_count(cpu->workers);
}

static void step_run(Cpu *cpu) {
    double since = clock_seconds();
    double slept = workers_run_some(cpu->workers, cpu->sharing, step_job, cpu), now = clock_seconds();
    if (cpu->step.rows <= STATIC_ROWS && cpu->spread.ranks == 1)
        crowd_learn(&cpu->crowd, cpu->step.rows, now - since, slept, now);
}

static bool cpu_run(void *backend, Err *err) {
    Cpu *cpu = backend;
    if (cpu->step.rows > cpu->options.rows || cpu->step.logit_rows > cpu->options.rows)
        return err_as(err, QM_LIMIT, "step of %lld rows: expected at most %lld", (long long)cpu->step.rows,
                      (long long)cpu->options.rows);
    int before = cpu->sharing;
    cpu->sharing = step_workers(cpu);
    if (replica_bounds(cpu) || cpu->sharing != before) cpu_step_count(cpu); /* one decode step is like the last */
    cache_prepare(cpu);
    for (int i = 0; i < counter_count(cpu); i++) atomic_store_explicit(&cpu->counters[i].next, 0, memory_order_relaxed);
    step_run(cpu);
    cpu_bring_home(cpu);
    return true;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Pages of heads that other ranks hold are never written to and cost nothing. */
static bool cache_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    KvCache *c = &cpu->cache;
    *c = (KvCache){.type = cpu->options.cache, .kv_heads = graph_size(g, AXIS_KV_HEAD),
                   .channels = graph_size(g, AXIS_CHANNEL), .slots = cpu->options.slots,
                   .positions = cpu->options.context};
    c->layers = cpu_cache_number(g, NULL);
    if (!pages_new(c, err)) {
        err_prefix(err, "lower --ctx or --slots");
        return false;
    }
    cpu->info.cache_bytes = (int64_t)c->bytes / c->kv_heads * spread_kv_heads(&cpu->spread);
    return true;
}

static bool step_new(Cpu *cpu, Err *err) {
    size_t parts = (size_t)cpu->program->partition->mesh.dp + 1;
    cpu->first_row[STEP_ROWS] = mem_new(parts, sizeof(int64_t), "step", err);
    cpu->first_row[LOGIT_ROWS] = mem_new(parts, sizeof(int64_t), "step", err);
    cpu->scratch_floats =
        (program_scratch(cpu->program, &cpu->blocking, cpu->options.rows) + 15) / 16 * 16;
    cpu->scratch = mem_pages_new((size_t)cpu->scratch_floats * sizeof(float) * (size_t)workers_count(cpu->workers),
                                 "scratch", err);
    size_t bytes = (size_t)counter_count(cpu) * sizeof(Counter);
    cpu->counters = aligned_alloc(64, bytes);
    if (cpu->counters) memset(cpu->counters, 0, bytes);
    else err_as(err, QM_MEMORY, "out of memory: phase counters");
    if (cpu->options.phases)
        cpu->timed = mem_new((size_t)cpu->phase_count, sizeof *cpu->timed, "times of phases", err);
    return cpu->first_row[STEP_ROWS] &&
           cpu->first_row[LOGIT_ROWS] && cpu->scratch && cpu->counters && (cpu->timed || !cpu->options.phases);
}

static void cpu_close(void *backend) {
    Cpu *cpu = backend;
    if (!cpu) return;
    for (int id = 0; cpu->state && id < cpu->program->graph.count; id++) free(cpu->state[id]);
    free(cpu->state);
    for (int id = 0; cpu->weights && id < cpu->program->graph.count; id++) free(cpu->weights[id].vector);
    free(cpu->weights);
    mem_pages_free(cpu->packed, cpu->packed_bytes);
    key_bias_free(&cpu->cache);
    pages_free(&cpu->cache);
    mem_pages_free(cpu->activations, cpu->activation_bytes);
    mem_pages_free(cpu->parts.data, cpu->parts.bytes);
    free(cpu->parts.done);
    if (cpu->workers)
        mem_pages_free(cpu->scratch, (size_t)cpu->scratch_floats * sizeof(float) * (size_t)workers_count(cpu->workers));
    mem_pages_free(cpu->own, (size_t)cpu->own_floats * sizeof(float) *
                                 (size_t)(cpu->workers ? workers_count(cpu->workers) - 1 : 0));
    free(cpu->own_offset);
    free(cpu->offset);
    free(cpu->node_phase);
    free(cpu->items);
    free(cpu->phases);
    free(cpu->timed);
    spread_free(&cpu->spread);
    step_rows_free(&cpu->step);
    for (int kind = 0; kind < ROW_KINDS; kind++) free(cpu->first_row[kind]);
    free(cpu->counters);
    workers_free(cpu->workers);
    free(cpu);
}

static void *cpu_open(const Program *program, Weights *weights, const BackendOptions *options, Err *err) {
    Cpu *cpu = mem_new(1, sizeof *cpu, "CPU engine", err);
    if (!cpu) return NULL;
    cpu->program = program;
    cpu->options = *options;
    cpu->blocking = linear_blocking(cpu_caches());
    cpu->kernels = kernels_select(options->isa, err);
    cpu->workers = cpu->kernels ? workers_new(options->threads, options->pin, err) : NULL;
    cpu->nodes = cpu->workers ? workers_nodes(cpu->workers) : 1;
    cpu->sharing = cpu->workers ? workers_count(cpu->workers) : 1;
    crowd_init(&cpu->crowd, cpu->sharing);
    if (cpu->workers && spread_new(&cpu->spread, program->partition, transport_rank(), transport_ranks(), err) &&
        cpu_load(cpu, weights, err) && (cpu_acts_choose(cpu), true) && cache_new(cpu, err) &&
        step_rows_new(&cpu->step, cpu->options.rows, err) && cpu_plan(cpu, err) &&
        step_new(cpu, err) && cpu_fill(cpu, weights, err) && key_bias_new(cpu, err)) {
        cpu->info.nodes = cpu->nodes;
        cpu->info.workers = workers_count(cpu->workers);
        cpu->info.isa = cpu->kernels->isa;
        cpu->info.cache = cache_names[cpu->options.cache];
        return cpu;
    }
    cpu_close(cpu);
    return NULL;
}

static StepRows *cpu_rows(void *backend) { return &((Cpu *)backend)->step; }

static const float *cpu_read(void *backend, Tensor t, Err *err) {
    Cpu *cpu = backend;
    const Node *n = graph_node(&cpu->program->graph, t);
    if (cpu->spread.ranks > 1 && n->split[0]) cpu_gather(cpu, n);
    if (cpu->offset[t.id] >= 0) return cpu->activations + cpu->offset[t.id];
    err_as(err, QM_INTERNAL, "node %d has no value to read", t.id);
    return NULL;
}

static const BackendInfo *cpu_info(void *backend) { return &((Cpu *)backend)->info; }

static bool cpu_copy(void *backend, int from_slot, int to_slot, int64_t positions, Err *err) {
    const KvCache *c = &((Cpu *)backend)->cache;
    if (positions > c->positions || from_slot >= c->slots || to_slot >= c->slots || from_slot < 0 || to_slot < 0)
        return err_as(err, QM_LIMIT, "copy of %lld positions from slot %d to %d: expected at most %lld of %lld slots",
                      (long long)positions, from_slot, to_slot, (long long)c->positions, (long long)c->slots);
    if (from_slot != to_slot) cpu_copy_slot(backend, from_slot, to_slot, positions);
    return true;
}

const Backend backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .rows = cpu_rows,
    .run = cpu_run,
    .read = cpu_read,
    .info = cpu_info,
    .copy = cpu_copy,
    .phases = cpu_phases,
};
