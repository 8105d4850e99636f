/* cpu_step.c: a step: its rows counted, its phases run by the workers. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "cache_pages.h"
#include "cpu_state.h"

enum { CHUNKS_PER_WORKER = 8, SHARE_PARTS = 16, PART_BYTES = 128 << 10, SHARE_TURNS = 3 };

typedef struct Counter { _Alignas(64) atomic_int_fast64_t next; } Counter;

void cpu_step_count(Cpu *cpu) {
    for (int p = 0; p < cpu->plan.phase_count; p++) {
        Phase *phase = &cpu->plan.phases[p];
        int64_t bytes = 0;
        bool matrices = true; /* nothing else */
        phase->units = 0;
        phase->cost = 0;
        for (int i = phase->first; i < phase->last; i++) {
            Item *item = &cpu->plan.items[i];
            bool form = item->op != item->call.node->op; /* of all that the value has */
            const int64_t *rows = cpu->step.first_row[form ? shape_rows(&item->call.node->shape) : call_row_kind(&item->call)];
            bool all = item->op->accumulates; /* rows of all replicas; no rows sum to zeros */
            item->call.row0 = rows && !all ? rows[item->replica] : 0;
            item->call.row1 = !rows ? call_block_rows(&item->call, item->call.node)
                              : all ? rows[cpu->program->partition->mesh.dp] : rows[item->replica + 1];
            bool work = call_rows(&item->call) > 0 || all;
            item->units = work ? item->op->units(&item->call) : 0;
            phase->units += item->units;
            phase->cost += (double)item->units * item->unit_cost;
            const PackedWeight *weight = cpu_matrix(item);
            bool matrix = weight != NULL;
            if (matrix) bytes += item->units * weight->panel_bytes;
            matrices &= matrix;
        }
        phase->weight_bytes = (double)bytes;
        int64_t workers = cpu->step.sharing;
        int64_t parts = matrices && workers > 1 ? bytes / workers / PART_BYTES : 1;
        phase->together = matrices ? LINEAR_PANELS : 1;
        phase->parts = parts < 1 ? 1 : parts > SHARE_PARTS ? SHARE_PARTS : (int)parts;
    }
}

/* Points a call at the copies of one worker. */
static void call_own(const Cpu *cpu, const Item *item, int worker, Call *call) {
    float *own = cpu->plan.own + (worker - 1) * cpu->plan.own_floats;
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
    for (int i = phase->first; i < phase->last && at < to; at += cpu->plan.items[i++].units) {
        const Item *item = &cpu->plan.items[i];
        item_run(cpu, item, from > at ? from - at : 0, to - at < item->units ? to - at : item->units, scratch, own);
    }
}

/* Part n of a worker's share of a phase. */
static void phase_part(const Cpu *cpu, const Phase *phase, int share, int64_t n, float *scratch, int own) {
    SharePart part = share_part(phase->cost, cpu->step.sharing, share, phase->parts, n);
    double at = 0;
    for (int i = phase->first; i < phase->last && at < part.end; i++) {
        const Item *item = &cpu->plan.items[i];
        int64_t first, last;
        share_part_units(&part, at, item->unit_cost, item->units, phase->together, &first, &last);
        item_run(cpu, item, first, last, scratch, own);
        at += (double)item->units * item->unit_cost;
    }
}

static int counter_count(const Cpu *cpu) { return cpu->plan.phase_count + SHARE_TURNS * workers_count(cpu->workers); }

/* Decode: every worker has an equal share of a phase, in one piece of memory. It takes it part by part, and then what
 * is left of others' shares: a core that something else has taken for a while keeps nobody waiting for long. A share's
 * counter is used again three phases later, when nobody can still be in this one. */
static void shares_run(Cpu *cpu, int p, int turn, int worker, float *scratch, bool few) {
    const Phase *phase = &cpu->plan.phases[p];
    int workers = cpu->step.sharing;
    Counter *counters = cpu->step.counters + cpu->plan.phase_count + turn % SHARE_TURNS * workers;
    int again = cpu->plan.phase_count + (turn + 1) % SHARE_TURNS * workers + worker;
    atomic_store_explicit(&cpu->step.counters[again].next, 0,
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
    cpu->step.timed[p].seconds += now - since;
    cpu->step.timed[p].weight_bytes += cpu->plan.phases[p].weight_bytes;
    return now;
}

static void step_job(void *argument, int worker) {
    Cpu *cpu = argument;
    int workers = cpu->step.sharing;
    float *scratch = cpu->step.scratch + worker * cpu->step.scratch_floats;
    const StepRows *s = &cpu->step.given;
    bool fixed = s->rows <= STATIC_ROWS && !cpu->plan.stages; /* decode: equal shares; else taken in chunks */
    int turn = 0;
    bool few = s->rows <= REPEAT_ROWS && workers > 1, timed = cpu->step.timed && worker == 0;
    double since = timed ? clock_seconds() : 0;
    int begin = cpu->plan.stage_phase[s->first], end = cpu->plan.stage_phase[s->last + 1];
    for (int p = begin; p < end; p++) {
        const Phase *phase = &cpu->plan.phases[p];
        if (timed && p > begin) since = phase_timed(cpu, p - 1, since);
        if (few && phase->repeat) {
            phase_units(cpu, phase, 0, phase->units, scratch, worker);
            continue;
        }
        if (fixed) {
            shares_run(cpu, p, turn++, worker, scratch, few);
        } else {
            int64_t chunk = phase->units / (workers * CHUNKS_PER_WORKER) + 1;
            for (int64_t at; (at = atomic_fetch_add(&cpu->step.counters[p].next, chunk)) < phase->units;) {
                if (worker == 0) cpu_sums_beside(cpu, p - 1);
                phase_units(cpu, phase, at, at + chunk, scratch, 0);
            }
        }
        workers_barrier(cpu->workers, worker);
        if (!phase->exchange) continue;
        if (worker == 0) cpu_exchange(cpu, p); /* the others wait: what comes is read in the next phase */
        workers_barrier(cpu->workers, worker);
    }
    if (timed && end > begin) phase_timed(cpu, end - 1, since);
}

/* First row of every replica; the rows are sorted by replica. Whether any moved since the last step, or, where work is
 * shared out by cost, came into another block of its sequence. */
static bool replica_bounds(Cpu *cpu) {
    int dp = cpu->program->partition->mesh.dp;
    const StepRows *s = &cpu->step.given;
    int64_t t = 0, r = 0;
    bool moved = false;
    for (int replica = 0; replica <= dp; replica++) {
        while (t < s->rows && s->slot[t] % dp < replica) t++;
        while (r < s->logit_rows && s->slot[s->logit_row[r]] % dp < replica) r++;
        moved |= cpu->step.first_row[STEP_ROWS][replica] != t || cpu->step.first_row[LOGIT_ROWS][replica] != r;
        cpu->step.first_row[STEP_ROWS][replica] = t;
        cpu->step.first_row[LOGIT_ROWS][replica] = r;
    }
    for (t = 0; t < s->rows && s->rows <= STATIC_ROWS; t++) {
        moved |= cpu->step.row_block[t] != s->index[t] / ATTENTION_BLOCK;
        cpu->step.row_block[t] = s->index[t] / ATTENTION_BLOCK;
    }
    return moved;
}

/* Makes every page that the step writes to its slot's own. */
static void cache_prepare(Cpu *cpu) {
    const StepRows *s = &cpu->step.given;
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
    bool decode = cpu->step.given.rows <= STATIC_ROWS && cpu->spread.ranks == 1 && !cpu->plan.stages;
    return decode ? crowd_workers(&cpu->step.crowd) : workers_count(cpu->workers);
}

static void step_run(Cpu *cpu) {
    double since = clock_seconds();
    double slept = workers_run_some(cpu->workers, cpu->step.sharing, step_job, cpu), now = clock_seconds();
    if (cpu->step.given.rows <= STATIC_ROWS && cpu->spread.ranks == 1 && !cpu->plan.stages)
        crowd_learn(&cpu->step.crowd, cpu->step.given.rows, now - since, slept, now);
}

bool cpu_step_run(Cpu *cpu, Err *err) {
    if (cpu->step.given.rows > cpu->options.rows || cpu->step.given.logit_rows > cpu->options.rows)
        return err_as(err, QM_LIMIT, "step of %lld rows: expected at most %lld", (long long)cpu->step.given.rows,
                      (long long)cpu->options.rows);
    int before = cpu->step.sharing;
    cpu->step.sharing = step_workers(cpu);
    bool moved = replica_bounds(cpu) || cpu->step.sharing != before || cpu->plan.stages;
    if (moved) cpu_step_count(cpu); /* one decode step is like the last */
    if (cpu->step.given.first == STAGE_FORWARD) cache_prepare(cpu);
    for (int i = 0; i < counter_count(cpu); i++)
        atomic_store_explicit(&cpu->step.counters[i].next, 0, memory_order_relaxed);
    if (cpu->plan.stages && cpu->step.given.first <= STAGE_NORM && cpu->step.given.last >= STAGE_NORM) cpu_sums_complete(cpu);
    step_run(cpu);
    cpu_bring_home(cpu);
    return true;
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

bool cpu_step_new(Cpu *cpu, Err *err) {
    size_t parts = (size_t)cpu->program->partition->mesh.dp + 1;
    cpu->step.first_row[STEP_ROWS] = mem_new(parts, sizeof(int64_t), "step", err);
    cpu->step.first_row[LOGIT_ROWS] = mem_new(parts, sizeof(int64_t), "step", err);
    cpu->step.scratch_floats = (program_scratch(cpu->program, &cpu->blocking, cpu->options.rows) + 15) / 16 * 16;
    size_t each = (size_t)cpu->step.scratch_floats * sizeof(float);
    cpu->step.scratch = mem_pages_new(each * (size_t)workers_count(cpu->workers), "scratch", err);
    size_t bytes = (size_t)counter_count(cpu) * sizeof(Counter);
    cpu->step.counters = aligned_alloc(64, bytes);
    if (cpu->step.counters) memset(cpu->step.counters, 0, bytes);
    else err_as(err, QM_MEMORY, "out of memory: phase counters");
    if (cpu->options.phases)
        cpu->step.timed = mem_new((size_t)cpu->plan.phase_count, sizeof *cpu->step.timed, "times of phases", err);
    return cpu->step.first_row[STEP_ROWS] && cpu->step.first_row[LOGIT_ROWS] && cpu->step.scratch &&
           cpu->step.counters && (cpu->step.timed || !cpu->options.phases);
}

void cpu_step_free(Cpu *cpu) {
    size_t bytes = (size_t)cpu->step.scratch_floats * sizeof(float);
    if (cpu->workers) mem_pages_free(cpu->step.scratch, bytes * (size_t)workers_count(cpu->workers));
    free(cpu->step.timed);
    free(cpu->step.counters);
    step_rows_free(&cpu->step.given);
    for (int kind = 0; kind < ROW_KINDS; kind++) free(cpu->step.first_row[kind]);
}
