/* cpu_engine.c: the CPU engine: opens a program, reads results, copies caches. */
#include <stdlib.h>
#include "cpu_engine.h"
#include "cpu_state.h"
#include "cache_pages.h"

static bool cpu_run(void *backend, Err *err) { return cpu_step_run(backend, err); }

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

static void cpu_close(void *backend) {
    Cpu *cpu = backend;
    if (!cpu) return;
    for (int id = 1; cpu->plan.state && id < cpu->program->graph.count; id++)
        mem_pages_free(cpu->plan.state[id], cpu_state_bytes(cpu, &cpu->program->graph.nodes[id]));
    free(cpu->plan.state);
    shards_free(cpu);
    sums_free(cpu);
    for (int i = 0; i < cpu->plan.leaves_count; i++) free(cpu->plan.leaves[i]);
    free(cpu->plan.leaves);
    for (int id = 0; cpu->load.weights && id < cpu->program->graph.count; id++) free(cpu->load.weights[id].vector);
    free(cpu->load.weights);
    mem_pages_free(cpu->load.packed, cpu->load.packed_bytes);
    key_bias_free(&cpu->cache);
    pages_free(&cpu->cache);
    mem_pages_free(cpu->plan.activations, cpu->plan.activation_bytes);
    mem_pages_free(cpu->plan.parts.data, cpu->plan.parts.bytes);
    free(cpu->plan.parts.done);
    mem_pages_free(cpu->plan.own, (size_t)cpu->plan.own_floats * sizeof(float) *
                                 (size_t)(cpu->workers ? workers_count(cpu->workers) - 1 : 0));
    free(cpu->plan.own_offset);
    free(cpu->plan.offset);
    free(cpu->plan.node_phase);
    free(cpu->plan.items);
    free(cpu->plan.phases);
    cpu_step_free(cpu);
    spread_free(&cpu->spread);
    workers_free(cpu->workers);
    free(cpu);
}

static void *cpu_open(const Program *program, Weights *weights, const BackendOptions *options, Err *err) {
    Cpu *cpu = mem_new(1, sizeof *cpu, "CPU engine", err);
    if (!cpu) return NULL;
    cpu->program = program;
    cpu->options = *options;
    if (cpu->options.sum_slots < 1) cpu->options.sum_slots = 1;
    cpu->blocking = linear_blocking(cpu_caches());
    cpu->kernels = kernels_select(options->isa, err);
    cpu->workers = cpu->kernels ? workers_new(options->threads, options->pin, err) : NULL;
    cpu->nodes = cpu->workers ? workers_nodes(cpu->workers) : 1;
    cpu->step.sharing = cpu->workers ? workers_count(cpu->workers) : 1;
    crowd_init(&cpu->step.crowd, cpu->step.sharing);
    bool trains = options->sum_slots > 0;
    if (cpu->workers &&
        spread_new(&cpu->spread, program->partition, transport_rank(), transport_ranks(), trains, err) &&
        cpu_load(cpu, weights, err) && (cpu_acts_choose(cpu), true) && cache_new(cpu, err) &&
        step_rows_new(&cpu->step.given, cpu->options.rows, err) && cpu_plan(cpu, err) && cpu_step_new(cpu, err) &&
        sums_new(cpu, err) && cpu_fill(cpu, weights, err) && key_bias_new(cpu, err)) {
        cpu->info.nodes = cpu->nodes;
        cpu->info.workers = workers_count(cpu->workers);
        cpu->info.isa = cpu->kernels->isa;
        cpu->info.cache = cache_names[cpu->options.cache];
        return cpu;
    }
    cpu_close(cpu);
    return NULL;
}

static StepRows *cpu_rows(void *backend) { return &((Cpu *)backend)->step.given; }

static const float *cpu_read(void *backend, Tensor t, Err *err) {
    Cpu *cpu = backend;
    const Node *n = graph_node(&cpu->program->graph, t);
    if (cpu->spread.ranks > 1 && n->split[0]) cpu_gather(cpu, n);
    if (cpu->plan.offset[t.id] >= 0) return cpu->plan.activations + cpu->plan.offset[t.id];
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
    .state_read = cpu_state_read,
    .state_write = cpu_state_write,
};
