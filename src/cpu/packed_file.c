/* packed_file.c: see packed_file.h. Every piece of every section is packed, hashed and written by some worker; a worker
 * holds one piece at a time, so that a model of any size takes a few MiB a worker. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../io/source.h"
#include "packed_file.h"

bool weights_option(const char *name, PackedType *out, Err *err) {
    *out = PACKED_F32; /* as stored */
    if (!name || !strcmp(name, "file")) return true;
    if (!strcmp(name, "bf16")) *out = PACKED_BF16;
    else if (!strcmp(name, "8bit")) *out = PACKED_Q8G;
    else if (!strcmp(name, "4bit")) *out = PACKED_Q4G;
    else return err_as(err, QM_USAGE, "weights: expected file, bf16, 8bit or 4bit, got '%.20s'", name);
    return true;
}

/* ---- Pieces, taken by workers ------------------------------------------------------------------------------------ */

/* Where a section's bytes come from: data in memory, or a weight's panels. */
typedef struct Origin {
    const LoadedWeight *weight;
    const uint8_t *data;
} Origin;

typedef struct PieceJob {
    PackedWriter *writer;      /* or NULL: verify `packed` */
    const Packed *packed;
    Weights *weights;
    const Origin *source;      /* [section] */
    PackError *errors;         /* [section], under lock */
    const atomic_bool *stop;
    atomic_bool failed;
    atomic_int_fast64_t next;  /* piece, counted through all sections */
    int64_t total;
    Progress *progress;
    pthread_mutex_t lock;
    Err *err;                  /* under lock */
} PieceJob;

static bool job_fail(PieceJob *job, const Err *why) {
    pthread_mutex_lock(&job->lock);
    err_from(job->err, why);
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->failed, true);
    return false;
}

/* The bytes of one piece. A panel that two pieces share is packed for both; its error counts where it begins. */
static const uint8_t *pack_piece(PieceJob *job, int64_t section, size_t piece, uint8_t *buffer) {
    const LoadedWeight *w = job->source[section].weight;
    size_t bytes, from = packed_piece(&job->writer->sections[section], piece, &bytes);
    if (!w) return job->source[section].data + from;
    PackError error = {0}, twice = {0};
    size_t each = (size_t)w->packed.panel_bytes, first = from / each, last = (from + bytes + each - 1) / each;
    for (size_t i = first; i < last; i++)
        cpu_pack_panel(w, (int64_t)i, buffer + (i - first) * each, i * each >= from ? &error : &twice);
    weights_forget(job->weights, w->tensor, (int64_t)first * PANEL, (int64_t)last * PANEL);
    pthread_mutex_lock(&job->lock);
    PackError *all = &job->errors[section];
    all->square += error.square;
    all->error += error.error;
    if (error.most > all->most) all->most = error.most;
    pthread_mutex_unlock(&job->lock);
    return buffer + (from - first * each);
}

static void write_pieces(void *argument, int worker) {
    PieceJob *job = argument;
    PackedWriter *w = job->writer;
    size_t most = 0;
    Err err = {0};
    for (int64_t i = 0; i < w->count; i++)
        if (job->source[i].weight && (size_t)job->source[i].weight->packed.panel_bytes > most)
            most = (size_t)job->source[i].weight->packed.panel_bytes;
    most = PACKED_PIECE + 2 * most;
    uint8_t *buffer = mem_pages_new(most, "piece of panels", &err);
    if (!buffer) job_fail(job, &err);
    while (!atomic_load(&job->failed)) {
        int64_t at = atomic_fetch_add(&job->next, 1), left = at, section = 0;
        if (at >= job->total) break;
        if (job->stop && atomic_load(job->stop)) {
            err_as(&err, QM_INTERRUPTED, "interrupted");
            job_fail(job, &err);
            break;
        }
        for (int64_t n; left >= (n = (int64_t)packed_pieces(&w->sections[section])); section++) left -= n;
        const uint8_t *data = pack_piece(job, section, (size_t)left, buffer);
        if (!packed_writer_put(w, section, (size_t)left, data, &err)) job_fail(job, &err);
        if (worker == 0) progress_show(job->progress, at);
    }
    mem_pages_free(buffer, most);
}

/* Sections differ in size by far, but a large model has hundreds. */
static void verify_sections(void *argument, int worker) {
    PieceJob *job = argument;
    Err err = {0};
    while (!atomic_load(&job->failed)) {
        int64_t at = atomic_fetch_add(&job->next, 1);
        if (at >= job->total) break;
        if (!packed_verify(job->packed, &job->packed->sections[at], &err)) job_fail(job, &err);
        if (worker == 0) progress_show(job->progress, at);
    }
}

static bool job_run(PieceJob *job, Workers *workers, void (*work)(void *, int), const char *what,
                    Err *err) {
    Progress progress;
    Err first = {0};
    job->err = &first;
    job->progress = &progress;
    pthread_mutex_init(&job->lock, NULL);
    progress_start(&progress, what, job->total);
    workers_run(workers, work, job);
    progress_end(&progress);
    pthread_mutex_destroy(&job->lock);
    return !first.kind || err_from(err, &first);
}

bool packed_file_verify(const char *path, Workers *workers, int64_t *bytes, Err *err) {
    Packed packed;
    if (!packed_open(&packed, path, err)) return false;
    PieceJob job = {.packed = &packed, .total = packed.count};
    *bytes = (int64_t)packed.file.bytes;
    bool ok = job_run(&job, workers, verify_sections, "verifying", err);
    packed_close(&packed);
    return ok;
}

/* ---- Sections ---------------------------------------------------------------------------------------------------- */

typedef struct Packing {
    PackedWriter writer;
    Origin *source;
    size_t capacity;
    PackError *errors;
    Arena arena; /* vectors, files */
} Packing;

static bool add_section(Packing *p, PackedSection *s, Origin source, Err *err) {
    if (!mem_grow((void **)&p->source, &p->capacity, (size_t)p->writer.count + 1, sizeof *p->source, "sections", err))
        return false;
    p->source[p->writer.count] = source;
    return packed_writer_add(&p->writer, s, err);
}

static bool add_bytes(Packing *p, SectionKind kind, const char *name, const char *data, size_t bytes, Err *err) {
    if (!bytes) return true;
    char *copy = arena_text(&p->arena, data, bytes, err);
    PackedSection s = {.kind = kind, .name = name, .bytes = bytes};
    return copy && add_section(p, &s, (Origin){.data = (const uint8_t *)copy}, err);
}

/* The small files, as they are. */
static bool add_files(Packing *p, const PackedJob *job, Err *err) {
    const Gguf *gguf = weights_gguf(job->weights);
    if (gguf) {
        Text text = {0};
        bool ok = gguf_extract(gguf, &text, err) &&
                  add_bytes(p, SECTION_GGUF, "metadata.gguf", text.data, text.bytes, err);
        text_free(&text);
        return ok;
    }
    for (size_t i = 0; i < MODEL_FILES; i++) {
        SourceText file;
        bool ok = source_text(job->source, model_files[i], (size_t)256 << 20, &file, err) &&
                  (!file.data || add_bytes(p, SECTION_FILE, model_files[i], file.data, file.bytes, err));
        source_text_free(&file);
        if (!ok) return false;
    }
    return true;
}

static bool add_vector(Packing *p, const LoadedWeight *w, Err *err) {
    int64_t n = w->tensor->dim[0];
    float *v = arena_new(&p->arena, (size_t)n, sizeof *v, w->tensor->name, err);
    PackedSection s = {.kind = SECTION_ROWS, .name = w->tensor->name, .stored = DTYPE_F32, .rank = 1, .dim = {n},
                       .bytes = (size_t)n * sizeof *v};
    return v && cpu_vector(w, v, err) && add_section(p, &s, (Origin){.data = (const uint8_t *)v}, err);
}

static bool add_weight(Packing *p, const LoadedWeight *w, Err *err) {
    const WeightTensor *t = w->tensor;
    PackedSection s = {.name = t->name, .stored = t->dtype, .rank = t->rank, .dim = {t->dim[0], t->dim[1]}};
    if (w->as_vector && !add_vector(p, w, err)) return false;
    /* A table that is also a matrix needs no rows of its own, unless its panels hold other values. */
    if (w->as_table && (!w->as_matrix || w->made)) {
        if (t->permuted_heads) return err_set(err, "%s: rows of a table are never permuted", t->name);
        s.kind = SECTION_ROWS;
        s.bytes = t->bytes;
        if (!add_section(p, &s, (Origin){.data = t->data}, err)) return false;
    }
    if (!w->as_matrix) return true;
    s.kind = SECTION_PANELS;
    s.type = packed_rows[w->packed.type].name;
    return size_mul((size_t)cpu_panels(w), (size_t)w->packed.panel_bytes, &s.bytes)
               ? add_section(p, &s, (Origin){.weight = w}, err)
               : err_set(err, "%s: sizes wrap", t->name);
}

/* ---- The report -------------------------------------------------------------------------------------------------- */

/* "model.layers.3.mlp.down_proj.weight": down_proj. */
static void kind_name(const char *name, char out[32]) {
    const char *end = strrchr(name, '.'), *start = end ? end : name;
    while (start > name && start[-1] != '.') start--;
    snprintf(out, 32, "%.*s", end ? (int)(end - start) : 31, start);
}

static void report_fill(const Packing *p, PackedReport *report) {
    PackError all = {0};
    *report = (PackedReport){.bytes = (int64_t)p->writer.bytes};
    for (int64_t i = 0; i < p->writer.count; i++) {
        const LoadedWeight *w = p->source[i].weight;
        char name[32];
        int k = 0;
        if (!w) continue;
        kind_name(p->writer.sections[i].name, name);
        while (k < report->kinds && (strcmp(report->kind[k].name, name) || report->kind[k].type != w->packed.type)) k++;
        if (k == MAX_PACKED_KINDS) continue;
        PackedKindReport *r = &report->kind[k];
        if (k == report->kinds) {
            report->kinds++;
            memcpy(r->name, name, sizeof name);
            r->type = w->packed.type;
        }
        const PackError *e = &p->errors[i];
        r->matrices++;
        r->bytes += (int64_t)p->writer.sections[i].bytes;
        r->made |= w->made;
        r->error.square += e->square, r->error.error += e->error;
        if (e->most > r->error.most) r->error.most = e->most;
        all.square += e->square, all.error += e->error;
    }
    report->error = all.square > 0 ? sqrt(all.error / all.square) : 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool write_all(Packing *p, const PackedJob *job, Workers *workers, PackedReport *report, Err *err) {
    PackedWriter *w = &p->writer;
    PieceJob pieces = {.writer = w, .weights = job->weights, .source = p->source, .stop = job->stop};
    if (!packed_writer_start(w, PACK_LAYOUT, job->how ? job->how : "file", err)) return false;
    p->errors = pieces.errors = arena_new(&p->arena, (size_t)w->count, sizeof *p->errors, "errors", err);
    if (!p->errors) return false;
    for (int64_t i = 0; i < w->count; i++) pieces.total += (int64_t)packed_pieces(&w->sections[i]);
    if (!job_run(&pieces, workers, write_pieces, "packing", err)) return false;
    report_fill(p, report);
    return packed_writer_finish(w, report->error, err);
}

bool packed_file_write(const PackedJob *job, Workers *workers, PackedReport *report, Err *err) {
    PackedType quantise;
    Packing p = {.writer = {.fd = -1}};
    LoadedWeight *list = mem_new((size_t)job->graph->count, sizeof *list, "weights", err);
    bool ok = list && weights_option(job->how, &quantise, err);
    if (ok && weights_packed(job->weights))
        ok = err_set(err, "%s is a packed file already: pack the model it was packed from",
                     source_path(job->source));
    ok = ok && cpu_hold(job->graph, job->weights, quantise, list, err) &&
         packed_writer_open(&p.writer, job->out, err) && add_files(&p, job, err);
    for (int id = 1; ok && id < job->graph->count; id++)
        if (list[id].tensor) ok = add_weight(&p, &list[id], err);
    ok = ok && write_all(&p, job, workers, report, err);
    packed_writer_close(&p.writer);
    free(p.source);
    arena_free(&p.arena);
    free(list);
    return ok;
}
