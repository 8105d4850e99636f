/* load.c: weights found by name, checked by shape, and packed in parallel. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../model/checkpoint.h"
#include "cpu.h"

/* How each weight is used: matrices are packed, vectors unpacked to f32, embedding tables read where they are. */
static void mark_uses(Cpu *cpu) {
    const Graph *g = &cpu->program->graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            LoadedWeight *w = &cpu->weights[n->in[i].id];
            if (!in || in->kind != NODE_WEIGHT) continue;
            if (in->shape.rank == 1) w->as_vector = true;
            else if (n->op->table) w->as_table = true;
            else w->as_matrix = true;
        }
    }
}

typedef struct PackJob {
    Cpu *cpu;
    atomic_int_fast64_t next;
    int64_t total;
    Progress *progress;
    PackError *error; /* [worker] */
} PackJob;

static void pack_one(LoadedWeight *w, int64_t panel, PackError *error) {
    const uint8_t *rows[PANEL];
    for (int i = 0; i < PANEL; i++) {
        int64_t row = panel * PANEL + i;
        rows[i] = row < w->packed.rows ? weights_row(w->tensor, row) : NULL;
    }
    void *to = w->packed.data + panel * w->packed.panel_bytes;
    if (w->made) pack_quantise(w->tensor->dtype, w->packed.type, rows, w->packed.k, to, error);
    else pack_panel(w->tensor->dtype, rows, w->packed.k, to);
}

static void pack_job(void *argument, int worker) {
    PackJob *job = argument;
    PackError error = {0};
    int count = job->cpu->program->graph.count;
    for (;;) {
        int64_t at = atomic_fetch_add(&job->next, 1), left = at;
        if (at >= job->total) break;
        for (int id = 1; id < count; id++) {
            LoadedWeight *w = &job->cpu->weights[id];
            int64_t panels = w->as_matrix ? (w->packed.rows + PANEL - 1) / PANEL : 0;
            if (left < panels) {
                pack_one(w, left, &error);
                break;
            }
            left -= panels;
        }
        if (worker == 0) progress_show(job->progress, at);
    }
    job->error[worker] = error;
}

/* --weights: matrices that are not quantised yet, whole groups of 32 columns. The vocabulary's has 8 bits in any case:
 * its error goes straight into the logits. */
static bool wants_quantising(const Cpu *cpu, const Node *n, PackedType stored) {
    if (cpu->options.quantise != PACKED_Q8G && cpu->options.quantise != PACKED_Q4G) return false;
    return !packed_quantised(stored) && n->shape.dim[1].size % ACT_GROUP == 0;
}

/* Sizes of the packed copy, and one block for all of it. */
static bool reserve(Cpu *cpu, int64_t *panels, Err *err) {
    const Graph *g = &cpu->program->graph;
    int64_t part[PACKED_COUNT] = {0};
    size_t bytes = 0;
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &cpu->weights[id];
        if (!w->as_matrix) continue;
        w->packed.rows = w->tensor->dim[0];
        w->packed.k = w->tensor->dim[1];
        packed_type_of(w->tensor->dtype, &w->packed.type);
        if (wants_quantising(cpu, &g->nodes[id], w->packed.type)) {
            w->made = true;
            w->packed.type = g->nodes[id].shape.dim[0].letters[0] == 'v' ? PACKED_Q8G : cpu->options.quantise;
        }
        w->packed.panel_bytes = packed_panel_bytes(w->packed.type, w->packed.k);
        int64_t n = (w->packed.rows + PANEL - 1) / PANEL;
        size_t size;
        if (!size_mul((size_t)n, (size_t)w->packed.panel_bytes, &size) || !size_add(bytes, size, &bytes))
            return err_set(err, "weights: sizes wrap");
        *panels += n;
        part[w->packed.type] += (int64_t)size;
    }
    cpu->packed_bytes = bytes;
    cpu->info.weight_bytes = (int64_t)bytes;
    cpu->info.decode_bytes = (int64_t)bytes;
    size_t at = 0;
    for (int i = 0; i < PACKED_COUNT; i++)
        if (part[i] && at < sizeof cpu->info.packed_parts)
            at += (size_t)snprintf(cpu->info.packed_parts + at, sizeof cpu->info.packed_parts - at, "%s%s %.1f MiB",
                                   at ? ", " : "", packed_rows[i].name, (double)part[i] / (1 << 20));
    cpu->packed = mem_pages_new(bytes, "packed weights", err);
    if (!cpu->packed) return false;
    uint8_t *next = cpu->packed;
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &cpu->weights[id];
        if (!w->as_matrix) continue;
        w->packed.data = next;
        next += (size_t)((w->packed.rows + PANEL - 1) / PANEL) * (size_t)w->packed.panel_bytes;
    }
    return true;
}

static bool load_vector(LoadedWeight *w, Err *err) {
    const DTypeRow *type = dtype_row(w->tensor->dtype);
    int64_t n = w->tensor->dim[0];
    w->vector = mem_new((size_t)n, sizeof(float), w->tensor->name, err);
    if (!w->vector) return false;
    if (n % type->block)
        return err_set(err, "%s: %lld elements are no whole blocks of %s", w->tensor->name, (long long)n, type->name);
    if (!w->tensor->permuted_heads) type->read(w->tensor->data, 0, n, w->vector);
    else for (int64_t i = 0; i < n; i++) type->read(weights_row(w->tensor, i), 0, 1, &w->vector[i]);
    return true;
}

bool cpu_load(Cpu *cpu, Weights *weights, Err *err) {
    const Graph *g = &cpu->program->graph;
    int64_t panels = 0;
    cpu->weights = mem_new((size_t)g->count, sizeof *cpu->weights, "weights", err);
    if (!cpu->weights || !checkpoint_check(g, weights, cpu->options.quiet, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT) cpu->weights[id].tensor = weights_find(weights, g->nodes[id].name);
    mark_uses(cpu);
    if (!reserve(cpu, &panels, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (cpu->weights[id].as_vector && !load_vector(&cpu->weights[id], err)) return false;
    Progress progress;
    progress_start(&progress, "packing weights", panels, cpu->options.quiet);
    PackJob job = {.cpu = cpu, .total = panels, .progress = &progress};
    job.error = mem_new((size_t)workers_count(cpu->workers), sizeof *job.error, "weights", err);
    if (job.error) workers_run(cpu->workers, pack_job, &job);
    progress_end(&progress);
    PackError all = {0};
    for (int i = 0; job.error && i < workers_count(cpu->workers); i++)
        all.square += job.error[i].square, all.error += job.error[i].error;
    cpu->info.weight_error = all.square > 0 ? sqrt(all.error / all.square) : 0;
    bool ok = job.error != NULL;
    free(job.error);
    return ok;
}
