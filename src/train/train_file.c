/* train_file.c: see train_file.h. A file is cut into units: lines, elements of an array, or texts. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../base/cpu.h"
#include "../base/file_kind.h"
#include "../base/lines.h"
#include "../base/output.h"
#include "../base/watch.h"
#include "../io/json.h"
#include "train_file.h"
#include "train_format.h"
#include "train_key.h"

/* ---- The file ---------------------------------------------------------------------------------------------------- */

typedef struct Unit {
    const char *data; /* of a line or text, in the file                    */
    size_t bytes;
    const json_t *value; /* of an element; NULL: it is a line or text         */
    int64_t number;      /* from 1 on                                         */
} Unit;

typedef struct File {
    const char *path, *name, *unit; /* unit: what messages call one             */
    MappedFile map;                 /* of a regular file; else all of it is in `read`    */
    Text read;
    const char *data;
    size_t bytes;
    bool text;     /* units are texts, else JSON                        */
    json_t *array; /* that units are the elements of; NULL: they are lines */
    Unit *units;
    size_t room;
    int64_t count;
} File;

static bool ends_in(const char *path, const char *suffix) {
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && !strcmp(path + n - m, suffix);
}

static bool file_load(File *f, const char *path, Err *err) {
    *f = (File){.path = path, .name = strcmp(path, "-") ? path : "standard input", .unit = "line"};
    f->text = ends_in(path, ".txt");
    bool ok = file_special(path) ? lines_all(path, SIZE_MAX / 4, &f->read, err) : file_map(&f->map, path, err);
    f->data = f->map.data ? (const char *)f->map.data : f->read.data;
    f->bytes = f->map.data ? f->map.bytes : f->read.bytes;
    if (ok && f->bytes == 0) ok = err_set(err, "%s is empty", f->name);
    if (ok && f->bytes >= 3 && !memcmp(f->data, "\xEF\xBB\xBF", 3)) f->data += 3, f->bytes -= 3; /* byte order mark */
    return ok;
}

static void file_close(File *f) {
    json_decref(f->array);
    file_unmap(&f->map);
    text_free(&f->read);
    free(f->units);
}

/* ---- Units ------------------------------------------------------------------------------------------------------- */

static bool add_unit(File *f, Unit u, Err *err) {
    if (!mem_grow((void **)&f->units, &f->room, (size_t)f->count + 1, sizeof *f->units, f->name, err)) return false;
    f->units[f->count++] = u;
    return true;
}

static bool is_blank(const char *data, size_t bytes) {
    size_t i = 0;
    while (i < bytes && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r'))) i++;
    return i == bytes;
}

/* Lines; those of a text with their ends. */
static bool cut_lines(File *f, Err *err) {
    const char *end = f->data + f->bytes;
    int64_t number = 0;
    for (const char *p = f->data, *next; p < end; p = next) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        next = stop ? stop + 1 : end;
        number++;
        size_t n = (size_t)((f->text ? next : stop ? stop : end) - p);
        if (!f->text && n > MAX_LINE_BYTES)
            return err_as(err, QM_LIMIT, "%s line %lld is too long: expected at most %d bytes", f->name,
                          (long long)number, MAX_LINE_BYTES);
        if (!f->text && is_blank(p, n)) continue;
        if (!add_unit(f, (Unit){p, n, NULL, number}, err)) return false;
    }
    return true;
}

/* Parted by the text of the end-of-text token; a newline right behind it belongs to none. */
static bool cut_documents(File *f, const TrainReader *r, Err *err) {
    size_t n = 0;
    const char *mark = r->end >= 0 ? qm_tokenizer_piece(r->tokenizer, r->end, &n, NULL) : NULL;
    const char *end = f->data + f->bytes;
    f->unit = "document";
    int64_t number = 0;
    for (const char *p = f->data, *next; p < end; p = next) {
        const char *stop = n ? memmem(p, (size_t)(end - p), mark, n) : NULL;
        next = stop ? stop + n : end;
        if (stop && next < end && *next == '\n') next++;
        number++;
        size_t bytes = (size_t)((stop ? stop : end) - p);
        if (!is_blank(p, bytes) && !add_unit(f, (Unit){p, bytes, NULL, number}, err)) return false;
    }
    return true;
}

static bool cut_array(File *f, Err *err) {
    size_t i;
    const json_t *value;
    f->unit = "element";
    f->array = json_text(f->data, f->bytes, f->name, err);
    if (!f->array) return false;
    json_array_foreach(f->array, i, value) if (!add_unit(f, (Unit){NULL, 0, value, (int64_t)i + 1}, err)) return false;
    return true;
}

static bool file_cut(File *f, const TrainReader *r, Err *err) {
    size_t i = 0;
    while (i < f->bytes && is_blank(f->data + i, 1)) i++;
    bool ok;
    if (f->text && r->options->documents) ok = cut_documents(f, r, err);
    else if (ends_in(f->path, ".json") && i < f->bytes && f->data[i] == '[') ok = cut_array(f, err);
    else ok = cut_lines(f, err);
    return ok && (f->count || err_set(err, "%s holds no sample", f->name));
}

/* ---- One unit ---------------------------------------------------------------------------------------------------- */

/* A text of the file: its line ends are newlines. */
static bool read_text(const TrainReader *r, const Unit *u, Sample *s, Err *err) {
    bool end = r->options->documents;
    if (!memmem(u->data, u->bytes, "\r\n", 2)) return sample_text(r, u->data, u->bytes, end, s, err);
    Text plain = {0};
    for (size_t i = 0, n; i < u->bytes; i += n) {
        const char *cr = memchr(u->data + i, '\r', u->bytes - i);
        n = cr ? (size_t)(cr - u->data) - i : u->bytes - i;
        text_add(&plain, u->data + i, n);
        if (!cr) continue;
        if (cr + 1 == u->data + u->bytes || cr[1] != '\n') text_add(&plain, cr, 1);
        n++;
    }
    bool ok = text_ok(&plain, "a text", err) && sample_text(r, plain.data, plain.bytes, end, s, err);
    text_free(&plain);
    return ok;
}

static bool read_unit(const TrainReader *r, const File *f, const Unit *u, Sample *s, Err *err) {
    if (r->options->task != TASK_CLM && f->text)
        return err_set(err, "expected samples for %s, got a text", train_task_names[r->options->task]);
    if (f->text) return read_text(r, u, s, err);
    if (u->value) return format_read(r, u->value, s, err);
    json_t *value = json_text(u->data, u->bytes, "JSON", err);
    bool ok = value && format_read(r, value, s, err);
    json_decref(value);
    return ok;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

enum { BLOCK = 16, MOST_THREADS = 256 };

typedef struct Work {
    const File *file;
    atomic_int_fast64_t next, failed; /* failed: the first unit known to be wrong; `count`: none */
    FileSample *sample;               /* [count], first: in the pools of `owner`                 */
    uint16_t *owner;                  /* [count]                                                 */
    Progress progress;
} Work;

typedef struct Hand {
    Work *work;
    TrainReader reader;
    QmTokenizer tokenizer; /* a copy with working space of its own */
    Spare spare;
    Ids ids, labels;
    int64_t failed;
    Err err;
    pthread_t thread;
    bool started;
} Hand;

static bool keep(Hand *h, int64_t i, const Sample *s, uint16_t self) {
    size_t n = s->ids.count;
    if (!ids_reserve(&h->ids, n + 1, &h->err) || !ids_reserve(&h->labels, n + 1, &h->err)) return false;
    h->work->sample[i].first = (int64_t)h->ids.count;
    h->work->sample[i].count = (int64_t)n;
    h->work->sample[i].number = h->work->file->units[i].number;
    h->work->sample[i].target = s->target;
    h->work->sample[i].torn = s->torn;
    h->work->owner[i] = self;
    if (n) memcpy(h->ids.data + h->ids.count, s->ids.data, n * sizeof *s->ids.data);
    if (n) memcpy(h->labels.data + h->labels.count, s->labels.data, n * sizeof *s->labels.data);
    h->ids.count += n;
    h->labels.count += n;
    return true;
}

static void fail_at(Hand *h, int64_t i) {
    int_fast64_t known = atomic_load(&h->work->failed);
    h->failed = i;
    while (i < known && !atomic_compare_exchange_weak(&h->work->failed, &known, i)) {}
}

/* Blocks are handed out in order, so all units before the first wrong one are looked at, whoever has them. */
static void read_blocks(Hand *h, uint16_t self) {
    Work *w = h->work;
    Sample s = {0};
    for (int64_t i; (i = atomic_fetch_add(&w->next, BLOCK)) < w->file->count;) {
        progress_show(&w->progress, i);
        if (h->reader.options->stop && h->reader.options->stop()) {
            err_as(&h->err, QM_INTERRUPTED, "interrupted while samples were read");
            fail_at(h, i);
            break;
        }
        int64_t end = i + BLOCK < w->file->count ? i + BLOCK : w->file->count;
        for (; i < end && i < atomic_load(&w->failed); i++)
            if (!read_unit(&h->reader, w->file, &w->file->units[i], &s, &h->err) || !keep(h, i, &s, self)) {
                fail_at(h, i);
                break;
            }
        if (i < end) break;
    }
    sample_free(&s);
}

typedef struct Start {
    Hand *hand;
    uint16_t self;
    const QmWatch *watch;
} Start;

static void *hand_main(void *context) {
    Start *s = context;
    watch_use(s->watch);
    read_blocks(s->hand, s->self);
    return NULL;
}

static void hand_open(Hand *h, Work *w, const TrainReader *r) {
    h->work = w;
    h->reader = *r;
    if (!r->tokenizer) return;
    h->tokenizer = *r->tokenizer;
    h->tokenizer.spare = &h->spare;
    h->reader.tokenizer = &h->tokenizer;
}

static void hand_close(Hand *h) {
    bpe_free(atomic_load(&h->spare.bpe));
    token_order_free(atomic_load(&h->spare.order));
    free(h->ids.data);
    free(h->labels.data);
}

/* The calling thread is the first hand; one that cannot start leaves its blocks to the others. */
static void hands_work(Hand *hands, Start *starts, int count) {
    for (int i = 1; i < count; i++) {
        starts[i] = (Start){&hands[i], (uint16_t)i, watch_used()};
        hands[i].started = pthread_create(&hands[i].thread, NULL, hand_main, &starts[i]) == 0;
    }
    read_blocks(&hands[0], 0);
    for (int i = 1; i < count; i++)
        if (hands[i].started) pthread_join(hands[i].thread, NULL);
}

/* The samples in the order of their units. */
static bool gather(Work *w, const Hand *hands, TrainSamples *out, Err *err) {
    int64_t tokens = 0, count = w->file->count;
    for (int64_t i = 0; i < count; i++) tokens += w->sample[i].count;
    out->ids = mem_new((size_t)tokens + 1, sizeof *out->ids, "samples", err);
    out->labels = mem_new((size_t)tokens + 1, sizeof *out->labels, "samples", err);
    if (!out->ids || !out->labels) return false;
    for (int64_t i = 0; i < count; i++) {
        FileSample *s = &w->sample[i];
        const Hand *h = &hands[w->owner[i]];
        size_t bytes = (size_t)s->count * sizeof *out->ids;
        if (bytes) memcpy(out->ids + out->tokens, h->ids.data + s->first, bytes);
        if (bytes) memcpy(out->labels + out->tokens, h->labels.data + s->first, bytes);
        s->first = out->tokens;
        out->tokens += s->count;
    }
    out->sample = w->sample;
    out->count = count;
    w->sample = NULL;
    return true;
}

static bool tell(const Work *w, const Hand *hands, int count, Err *err) {
    int64_t first = atomic_load(&w->failed);
    for (int i = 0; i < count; i++) {
        if (!hands[i].err.kind || hands[i].failed != first) continue;
        err_from(err, &hands[i].err);
        if (err->kind == QM_INTERRUPTED) break;
        err_prefix(err, "%s %s %lld", w->file->name, w->file->unit, (long long)w->file->units[first].number);
    }
    return false;
}

static bool read_units(const TrainReader *r, const File *f, TrainSamples *out, Err *err) {
    int threads = r->options->threads ? r->options->threads : cpu_cores_usable();
    int64_t blocks = (f->count - 1) / BLOCK + 1;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > blocks) threads = (int)blocks;
    Work w = {.file = f};
    atomic_init(&w.failed, f->count);
    w.sample = mem_new((size_t)f->count, sizeof *w.sample, "samples", err);
    w.owner = mem_new((size_t)f->count, sizeof *w.owner, "samples", err);
    Hand *hands = mem_new((size_t)threads, sizeof *hands, "samples", err);
    Start *starts = mem_new((size_t)threads, sizeof *starts, "samples", err);
    bool ok = w.sample && w.owner && hands && starts;
    for (int i = 0; ok && i < threads; i++) hand_open(&hands[i], &w, r);
    if (ok) {
        progress_start(&w.progress, "reading samples", f->count);
        hands_work(hands, starts, threads);
        progress_end(&w.progress);
        ok = atomic_load(&w.failed) < f->count ? tell(&w, hands, threads, err) : gather(&w, hands, out, err);
    }
    for (int i = 0; hands && i < threads; i++) hand_close(&hands[i]);
    free(hands);
    free(starts);
    free(w.sample);
    free(w.owner);
    return ok;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

void samples_rename(TrainSamples *s, TrainTask task, const int32_t *order) {
    if (!order) return;
    for (int64_t i = 0; task == TASK_SEQCLS && i < s->count; i++)
        if (s->sample[i].target.label >= 0) s->sample[i].target.label = order[s->sample[i].target.label];
    for (int64_t i = 0; task == TASK_TOKCLS && i < s->tokens; i++)
        if (s->labels[i] >= 0) s->labels[i] = order[s->labels[i]];
}

static bool load_or_read(TrainReader *own, File *f, TrainSamples *out, Err *err) {
    TokensKey key;
    const char *folder = own->options->cache;
    bool keeps = folder && tokens_key(own, f->data, f->bytes, f->text, &key, err);
    if (err->kind) return false;
    if (keeps && tokens_read(folder, &key, own->vocab, out, own->names, err)) return true;
    if (err->kind || !file_cut(f, own, err) || !read_units(own, f, out, err)) return false;
    if (keeps) tokens_write(folder, &key, out, own->names);
    return true;
}

bool file_samples(const TrainReader *r, const char *path, TrainSamples *out, Err *err) {
    File f;
    TrainNames names;
    TrainReader own = *r;
    const TrainDataOptions *o = r->options;
    int32_t *order = NULL;
    *out = (TrainSamples){0};
    if (!names_open(&names, o->names, o->name_count, err)) return false;
    own.names = &names;
    bool ok = file_load(&f, path, err) && load_or_read(&own, &f, out, err);
    if (ok && !names_merge(r->names, &names, &order, err)) ok = false, err_prefix(err, "%s", f.name);
    if (ok) samples_rename(out, o->task, order);
    else samples_free(out);
    free(order);
    file_close(&f);
    names_close(&names);
    return ok;
}
