/* load.c: weights found by name, checked by shape, and packed in parallel, or used where a packed file is mapped. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "../base/watch.h"
#include "../io/packed.h"
#include "../model/checkpoint.h"
#include "first_touch.h"

/* ---- How weights are held ---------------------------------------------------------------------------------------- */

/* How each weight is used: matrices are packed, vectors unpacked to f32, embedding tables read where they are. */
static void mark_uses(const Graph *g, LoadedWeight *list) {
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            LoadedWeight *w = &list[n->in[i].id];
            if (!in || in->kind != NODE_WEIGHT) continue;
            if (in->value == VALUE_VECTOR) w->as_vector = true;
            else if (n->op->binds == BINDS_TABLE && !in->trained) w->as_table = true;
            else w->as_matrix = true;
        }
    }
}

/* --weights: bf16 is for every matrix, 8 and 4 bits for those not quantised yet, with whole groups of 32 columns. The
 * vocabulary's has 8 bits in any case: its error goes straight into the logits. An adapter stays as it is: it is little,
 * and was trained beside the weights as they are now. */
static bool converts(PackedType to, const Node *n, PackedType stored) {
    for (int i = 0; i < n->shape.rank; i++)
        if (n->shape.dim[i].letters[0] == AXIS_ADAPTER) return false;
    if (to == PACKED_BF16) return stored != PACKED_BF16;
    if (to != PACKED_Q8G && to != PACKED_Q4G) return false;
    return !packed_quantised(stored) && n->shape.dim[1].size % ACT_GROUP == 0;
}

/* The type and size of a matrix's panels in a packed file: checked here, by who knows what panels take. */
static bool hold_packed(LoadedWeight *w, Err *err) {
    const WeightTensor *t = w->tensor;
    PackedWeight *p = &w->packed;
    size_t size;
    bool panels = w->as_matrix || (w->as_table && !t->data); /* a table alone reads lanes of them */
    if (w->as_matrix && !t->panels) return err_set(err, "%s: %s has no panels", t->file, t->name);
    if (w->as_table && !t->data && !t->panels) return err_set(err, "%s: %s has no rows", t->file, t->name);
    if (w->as_vector && !t->data) return err_set(err, "%s: %s has no values", t->file, t->name);
    if (!panels) return true;
    if (!packed_type_named(t->panel_type, &p->type))
        return err_set(err, "%s: %s: '%.20s' is no packed type", t->file, t->name, t->panel_type);
    if (packed_quantised(p->type) && p->k % ACT_GROUP != 0)
        return err_set(err, "%s: %s: %lld columns are no whole groups of 32 of %s", t->file, t->name, (long long)p->k,
                       t->panel_type);
    p->panel_bytes = packed_panel_bytes(p->type, p->k);
    p->data = t->panels;
    w->in_file = true;
    if (!size_mul((size_t)cpu_panels(w), (size_t)p->panel_bytes, &size) || size != t->panel_bytes)
        return err_set(err, "%s: %s: expected %zu bytes of panels, got %zu", t->file, t->name, size, t->panel_bytes);
    return true;
}

bool cpu_hold(const Graph *g, Weights *weights, PackedType quantise, LoadedWeight *list, Err *err) {
    const Packed *packed = weights_packed(weights);
    if (packed && strcmp(packed->layout, PACK_LAYOUT))
        return err_set(err, "%s: expected panels in the layout %s, got %.40s: pack the model again", packed->file.path,
                       PACK_LAYOUT, packed->layout);
    if (!checkpoint_check(g, weights, err)) return false;
    for (int id = 1; id < g->count; id++)
        if (g->nodes[id].kind == NODE_WEIGHT) list[id].tensor = weights_find(weights, g->nodes[id].name);
    mark_uses(g, list);
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &list[id];
        if (!w->tensor) continue;
        if (w->as_matrix || (w->as_table && w->tensor->panels)) {
            w->packed.rows = w->tensor->dim[0];
            w->packed.k = w->packed.columns = w->tensor->dim[1];
            w->packed.panels = (w->packed.rows + PANEL - 1) / PANEL;
        }
        bool is_packed = packed && !w->tensor->added;
        if (is_packed && g->nodes[id].trained)
            return err_set(err, "%s: %s: packed weights cannot be trained: it takes the model they were packed from",
                           w->tensor->file, w->tensor->name);
        if (is_packed && !hold_packed(w, err)) return false;
        if (is_packed || !w->as_matrix) continue;
        packed_type_of(w->tensor->dtype, &w->packed.type);
        if (converts(quantise, &g->nodes[id], w->packed.type)) {
            bool vocabulary = g->nodes[id].shape.dim[0].letters[0] == AXIS_VOCAB;
            w->made = true;
            w->packed.type = vocabulary && quantise == PACKED_Q4G ? PACKED_Q8G : quantise;
        }
        if (g->nodes[id].trained) w->made = w->tensor->dtype != DTYPE_F32, w->packed.type = PACKED_F32;
        w->packed.panel_bytes = packed_panel_bytes(w->packed.type, w->packed.k);
    }
    return true;
}

/* A panel of f32 from rows of any type. */
static void pack_floats(DType dtype, const uint8_t *const rows[PANEL], int64_t columns, float *to) {
    enum { PIECE = 256 }; /* whole blocks of every type */
    float piece[PIECE];
    for (int l = 0; l < PANEL; l++)
        for (int64_t at = 0; at < columns; at += PIECE) {
            int64_t n = columns - at < PIECE ? columns - at : PIECE;
            if (rows[l]) dtype_row(dtype)->read(rows[l], at, n, piece);
            for (int64_t i = 0; i < n; i++) to[(at + i) * PANEL + l] = rows[l] ? piece[i] : 0;
        }
}

void cpu_pack_panel(const LoadedWeight *w, int64_t panel, void *to, PackError *error) {
    const uint8_t *rows[PANEL];
    const DTypeRow *type = dtype_row(w->tensor->dtype);
    int64_t skip = w->packed.first_k / type->block * type->block_bytes;
    for (int i = 0; i < PANEL; i++) {
        int64_t row = (w->packed.first_panel + panel) * PANEL + i;
        rows[i] = row < w->packed.rows ? weights_row(w->tensor, row) + skip : NULL;
    }
    if (w->made && w->packed.type == PACKED_F32) pack_floats(w->tensor->dtype, rows, w->packed.columns, to);
    else if (w->made) pack_quantise(w->tensor->dtype, w->packed.type, rows, w->packed.columns, to, error);
    else pack_panel(w->tensor->dtype, rows, w->packed.columns, to);
}

bool cpu_vector(const LoadedWeight *w, float *out, Err *err) {
    const DTypeRow *type = dtype_row(w->tensor->dtype);
    int64_t n = w->tensor->dim[0];
    if (n % type->block)
        return err_set(err, "%s: %lld elements are no whole blocks of %s", w->tensor->name, (long long)n, type->name);
    if (!w->tensor->permuted_heads) type->read(w->tensor->data, 0, n, out);
    else for (int64_t i = 0; i < n; i++) type->read(weights_row(w->tensor, i), 0, 1, &out[i]);
    return true;
}

/* ---- Packing at load --------------------------------------------------------------------------------------------- */

/* Panels are taken in runs of about RUN_BYTES of the file, whose pages are given back when the run is packed: the file
 * and its packed copy are never both in memory. */
enum { RUN_BYTES = 4 << 20 };

typedef struct PackJob {
    Cpu *cpu;
    Weights *weights;
    atomic_int_fast64_t next; /* run, counted through all matrices */
    int64_t total;
    Progress *progress;
    PackError *error; /* [worker] */
} PackJob;

static int64_t run_panels(const LoadedWeight *w) {
    int64_t bytes = w->tensor->panels ? w->packed.panel_bytes : (int64_t)w->tensor->bytes / w->tensor->dim[0] * PANEL;
    return bytes < RUN_BYTES ? RUN_BYTES / bytes : 1;
}
static int64_t runs(const LoadedWeight *w) {
    return w->as_matrix && !w->in_file ? (cpu_panels(w) + run_panels(w) - 1) / run_panels(w) : 0;
}

static void pack_run(PackJob *job, const LoadedWeight *w, int64_t run, PackError *error) {
    uint8_t *to = job->cpu->load.packed + (w->packed.data - job->cpu->load.packed);
    int64_t each = run_panels(w), first = run * each, last = first + each;
    if (last > cpu_panels(w)) last = cpu_panels(w);
    if (w->tensor->panels)
        memcpy(to + first * w->packed.panel_bytes, w->tensor->panels + first * w->packed.panel_bytes,
               (size_t)((last - first) * w->packed.panel_bytes));
    else for (int64_t p = first; p < last; p++) cpu_pack_panel(w, p, to + p * w->packed.panel_bytes, error);
    weights_forget(job->weights, w->tensor, (w->packed.first_panel + first) * PANEL,
                   (w->packed.first_panel + last) * PANEL);
}

static void pack_job(void *argument, int worker) {
    PackJob *job = argument;
    PackError error = {0};
    for (;;) {
        int64_t at = atomic_fetch_add(&job->next, 1), left = at;
        if (at >= job->total) break;
        const LoadedWeight *w = job->cpu->load.weights;
        for (int64_t n; left >= (n = runs(w)); w++) left -= n;
        pack_run(job, w, left, &error);
        if (worker == 0) progress_show(job->progress, at);
    }
    job->error[worker] = error;
}

enum { SLICE_COLUMNS = 256 }; /* whole blocks of every file type, whole groups of every packed one */

/* Leaves of a matrix what this rank's devices use. A mapped packed file is used where it lies: no page is read for
 * nothing there either. */
static void slice(const Cpu *cpu, int id, PackedWeight *w) {
    const Graph *g = &cpu->program->graph;
    Range rows = {0, 0}, k = {0, 0};
    if (cpu->spread.ranks == 1 || w->data || weight_whole(g, id)) return;
    for (int u = id + 1; u < g->count; u++)
        if (g->nodes[u].inputs > 1 && g->nodes[u].in[1].id == id && g->nodes[u].op->binds == BINDS_MATRIX)
            spread_weight(&cpu->spread, g, &g->nodes[u], &rows, &k);
    w->first_panel = rows.first / PANEL;
    w->panels = (rows.last + PANEL - 1) / PANEL - w->first_panel;
    w->first_k = k.first / SLICE_COLUMNS * SLICE_COLUMNS;
    int64_t last = (k.last + SLICE_COLUMNS - 1) / SLICE_COLUMNS * SLICE_COLUMNS;
    w->columns = (last < w->k ? last : w->k) - w->first_k;
    w->panel_bytes = packed_panel_bytes(w->type, w->columns);
}

/* Sizes of the packed copy, and one block for all of it. */
static bool reserve(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    int64_t part[PACKED_COUNT] = {0};
    size_t bytes = 0, own = 0;
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &cpu->load.weights[id];
        size_t size;
        if (!w->as_matrix) continue;
        slice(cpu, id, &w->packed);
        if (!size_mul((size_t)cpu_panels(w), (size_t)w->packed.panel_bytes, &size) || !size_add(bytes, size, &bytes))
            return err_set(err, "weights: sizes wrap");
        part[w->packed.type] += (int64_t)size;
        /* Pages of a mapped file stay where they were first read: over several nodes, every worker gets a copy of its
         * own part beside it instead. */
        if (cpu->nodes > 1) w->in_file = false;
        if (!w->in_file) own += size;
    }
    cpu->info.weight_bytes = (int64_t)bytes;
    cpu->info.decode_bytes = (int64_t)bytes;
    size_t at = 0;
    for (int i = 0; i < PACKED_COUNT; i++)
        if (part[i] && at < sizeof cpu->info.packed_parts)
            at += (size_t)snprintf(cpu->info.packed_parts + at, sizeof cpu->info.packed_parts - at, "%s%s %.1f MiB",
                                   at ? ", " : "", packed_rows[i].name, (double)part[i] / (1 << 20));
    if (!own && bytes) return true;
    cpu->load.packed_bytes = own ? own : PANEL; /* a rank may have no device */
    cpu->load.packed = mem_pages_new(cpu->load.packed_bytes, "packed weights", err);
    if (!cpu->load.packed) return false;
    uint8_t *next = cpu->load.packed;
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &cpu->load.weights[id];
        if (!w->as_matrix || w->in_file) continue;
        w->packed.data = next;
        next += cpu_panels(w) * w->packed.panel_bytes;
    }
    return true;
}

bool cpu_fill(Cpu *cpu, Weights *weights, Err *err) {
    const Packed *packed = weights_packed(weights);
    int64_t total = 0;
    if (packed) cpu->info.weight_error = packed->error;
    if (!cpu->load.packed) return true;
    if (cpu->nodes > 1) first_touch(cpu);
    for (int id = 1; id < cpu->program->graph.count; id++) total += runs(&cpu->load.weights[id]);
    Progress progress;
    PackJob job = {.cpu = cpu, .weights = weights, .total = total, .progress = &progress};
    job.error = mem_new((size_t)workers_count(cpu->workers), sizeof *job.error, "weights", err);
    if (!job.error) return false;
    progress_start(&progress, "packing weights", total);
    workers_run(cpu->workers, pack_job, &job);
    progress_end(&progress);
    PackError all = {0};
    for (int i = 0; i < workers_count(cpu->workers); i++)
        all.square += job.error[i].square, all.error += job.error[i].error;
    if (!packed) cpu->info.weight_error = all.square > 0 ? sqrt(all.error / all.square) : 0;
    free(job.error);
    return true;
}

/* Packed weights cannot become others: what they were before is not in the file. */
static bool packed_option(const Packed *packed, const char *asked, Err *err) {
    return !asked || !strcmp(asked, "file") || !strcmp(asked, packed->weights) ||
           err_set(err, "%s holds weights packed as %.20s: --weights %.20s needs the model it was packed from",
                   packed->file.path, packed->weights, asked);
}

bool cpu_load(Cpu *cpu, Weights *weights, Err *err) {
    const Graph *g = &cpu->program->graph;
    const Packed *packed = weights_packed(weights);
    cpu->load.weights = mem_new((size_t)g->count, sizeof *cpu->load.weights, "weights", err);
    if (!cpu->load.weights || (packed && !packed_option(packed, cpu->options.weights, err)) ||
        !cpu_hold(g, weights, cpu->options.quantise, cpu->load.weights, err) ||
        !reserve(cpu, err))
        return false;
    for (int id = 1; id < g->count; id++) {
        LoadedWeight *w = &cpu->load.weights[id];
        if (!w->as_vector) continue;
        w->vector = mem_new((size_t)w->tensor->dim[0], sizeof(float), w->tensor->name, err);
        if (!w->vector || !cpu_vector(w, w->vector, err)) return false;
    }
    return true;
}
