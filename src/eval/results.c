/* results.c: appending, resuming, sorting and scoring files of results. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "../base/lines.h"
#include "../base/output.h"
#include "results.h"

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static bool write_json(FILE *f, const json_t *line, const char *path, Err *err) {
    char *dump = json_dump(line, JSON_COMPACT, "a result", err);
    Text text = {0};
    if (!dump) return false;
    text_add(&text, dump, strlen(dump));
    text_add(&text, "\n", 1);
    free(dump);
    bool ok = text_ok(&text, "a result", err) && file_put(f, text.data, text.bytes, path, err);
    text_free(&text);
    return ok;
}

static const char *name_of(const Results *r) { return r->path ? r->path : "the temporary results"; }

bool results_add(Results *r, const json_t *line, Err *err) { return write_json(r->file, line, name_of(r), err); }

/* Where a result belongs, index * samples + sample; -1 and an error when it belongs nowhere. */
static int64_t place_of(const Results *r, const json_t *o, const char *where, Err *err) {
    int64_t index = -1, sample = 0;
    if (!json_get_int(o, "index", where, 0, INT64_MAX, &index, err) ||
        !json_get_int(o, "sample", where, 0, r->samples - 1, &sample, err))
        return -1;
    if (index < 0) return err_set(err, "%s: expected \"index\"", where), -1;
    return index < r->questions ? index * r->samples + sample : INT64_MAX;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Words for a reader: the same outputs may come about for another reason. */
#define WHY "activations_why"

static bool check_header(const json_t *o, const json_t *run, const char *where, Err *err) {
    const json_t *was = json_object_get(o, "run");
    const char *key;
    json_t *value;
    if (!json_is_object(was)) return err_set(err, "%s: expected the header of a run", where);
    json_object_foreach((json_t *)(uintptr_t)run, key, value) {
        const json_t *old = json_object_get(was, key);
        if (json_equal(old, value) || !strcmp(key, WHY)) continue;
        char *a = old ? json_dump(old, JSON_ENCODE_ANY | JSON_COMPACT, where, NULL) : NULL,
             *b = json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT, where, NULL);
        err_set(err, "%s: made by another run: %s: expected %.200s, got %.200s", where, key, b ? b : "?",
                a ? a : "nothing");
        free(a), free(b);
        return false;
    }
    return true;
}

/* Whether a line without an end can be the beginning of the header, which a run that was cut short may leave: of
 * anything else not a byte is cut off. */
static bool torn_header(const Line *line, const json_t *run, Err *err) {
    json_t *header = json_pack("{s:O}", "run", run);
    char *whole = header ? json_dumps(header, JSON_COMPACT) : NULL;
    bool is = whole && line->bytes <= strlen(whole) && !memcmp(line->data, whole, line->bytes);
    json_decref(header);
    free(whole);
    return is || err_set(err, "%s: expected the header of a run", line->where);
}

/* Marks what is there; *keep is where the whole lines end. */
static bool read_back(Results *r, const json_t *run, int64_t *keep, Err *err) {
    Lines lines;
    Line line;
    bool header = false;
    if (!lines_of(&lines, r->file, r->path, err)) return false;
    while (lines_next(&lines, &line, err)) {
        if (!line.whole) {
            if (!header) torn_header(&line, run, err);
            break;
        }
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        if (o && !header) header = check_header(o, run, line.where, err);
        else if (o) {
            int64_t at = place_of(r, o, line.where, err);
            if (at >= 0 && at < r->questions * r->samples) {
                if (r->done[at]) err_set(err, "%s: the same index and sample as an earlier line", line.where);
                r->done[at] = 1;
                r->found++;
            }
        }
        json_decref(o);
        if (err->kind) break;
        *keep = lines.at;
    }
    lines_close(&lines);
    if (err->kind) err_prefix(err, "cannot resume");
    return !err->kind;
}

/* The file, locked: two runs must not mix their lines. Without `resume` it must be new. */
static bool open_alone(Results *r, bool resume, Err *err) {
    int fd = -1;
    if (!r->path) r->file = tmpfile();
    else fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | (resume ? 0 : O_EXCL), 0666);
    if (fd < 0 && r->path && errno == EEXIST && !file_special(r->path))
        return err_set(err, "%s is there already: --resume goes on with it, or remove it", r->path);
    if (fd < 0 && r->path && errno == EEXIST) fd = open(r->path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return err_as(err, QM_IO, "cannot write %s: another run writes it", r->path);
    }
    if (fd >= 0 && !(r->file = fdopen(fd, "r+"))) close(fd);
    return r->file || err_as(err, QM_IO, "cannot write %s: %s", name_of(r), strerror(errno));
}

bool results_open(Results *r, const char *path, bool resume, const json_t *run, int64_t questions, int64_t samples,
                  Err *err) {
    int64_t kept = 0;
    *r = (Results){.path = path, .questions = questions, .samples = samples};
    if (!(r->done = mem_new((size_t)(questions * samples), 1, "results", err))) return false;
    if (!open_alone(r, resume, err) || (path && resume && !read_back(r, run, &kept, err))) return false;
    if (path && resume && (ftruncate(fileno(r->file), kept) != 0 || fseeko(r->file, kept, SEEK_SET) != 0))
        return err_as(err, QM_IO, "cannot cut %s at byte %lld: %s", path, (long long)kept, strerror(errno));
    if (kept > 0) return true;
    json_t *header = json_pack("{s:O}", "run", run);
    bool ok = header ? results_add(r, header, err) : err_as(err, QM_MEMORY, "out of memory: a header");
    json_decref(header);
    return ok;
}

bool results_close(Results *r, Err *err) {
    bool ok = !r->file || file_finish(r->file, name_of(r), err);
    free(r->done);
    *r = (Results){0};
    return ok;
}

/* ---- Sorting ----------------------------------------------------------------------------------------------------- */

typedef struct Placed { int64_t place, start, bytes; } Placed;

static int by_place(const void *a, const void *b) {
    const Placed *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place ? 1 : x->start < y->start ? -1 : 1;
}

/* The places of all lines; the header's is -1. */
static bool place_lines(Results *r, Placed **list, size_t *count, bool *sorted, Err *err) {
    Lines lines;
    Line line;
    size_t room = 0;
    *sorted = true;
    if (!lines_of(&lines, r->file, name_of(r), err)) return false;
    while (lines_next(&lines, &line, err)) {
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        int64_t place = !o ? 0 : *count == 0 ? -1 : place_of(r, o, line.where, err);
        json_decref(o);
        if (err->kind || !mem_grow((void **)list, &room, *count + 1, sizeof **list, "order of results", err)) break;
        if (*count && place < (*list)[*count - 1].place) *sorted = false;
        (*list)[(*count)++] = (Placed){place, line.start, (int64_t)line.bytes};
    }
    lines_close(&lines);
    return !err->kind;
}

static bool copy_lines(Results *r, const Placed *list, size_t count, FILE *to, const char *path, Err *err) {
    Text text = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        char piece[65536];
        text.bytes = 0;
        ok = fseeko(r->file, list[i].start, SEEK_SET) == 0;
        for (int64_t left = list[i].bytes; ok && left > 0;) {
            size_t n = fread(piece, 1, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece, r->file);
            if (!(ok = n > 0)) break;
            text_add(&text, piece, n);
            left -= (int64_t)n;
        }
        text_add(&text, "\n", 1);
        if (!ok) err_as(err, QM_IO, "cannot read %s: %s", name_of(r), strerror(errno));
        ok = ok && text_ok(&text, "a result", err) && (fwrite(text.data, 1, text.bytes, to) == text.bytes ||
                                                        err_as(err, QM_IO, "cannot write %s: %s", path,
                                                               strerror(errno)));
    }
    text_free(&text);
    return ok;
}

bool results_sort(Results *r, Err *err) {
    Placed *list = NULL;
    size_t count = 0;
    bool sorted, ok = place_lines(r, &list, &count, &sorted, err);
    Output to = {0};
    if (ok && !sorted) {
        qsort(list, count, sizeof *list, by_place);
        if (r->path) ok = output_open(&to, r->path, err);
        else if (!(to.file = tmpfile())) ok = err_as(err, QM_IO, "cannot write %s: %s", name_of(r), strerror(errno));
        ok = ok && copy_lines(r, list, count, to.file, name_of(r), err) &&
             (r->path ? output_commit(&to, err)
                      : fflush(to.file) == 0 || err_as(err, QM_IO, "cannot write %s: %s", name_of(r), strerror(errno)));
        if (ok) {
            fclose(r->file);
            r->file = to.file;
            to.file = NULL;
        }
        output_close(&to);
    }
    free(list);
    return ok && (fseeko(r->file, 0, SEEK_END) == 0 || err_set(err, "cannot seek in %s", name_of(r)));
}

/* ---- Scoring ----------------------------------------------------------------------------------------------------- */

bool results_judge(const Protocol *p, json_t *line, const char *where, Err *err) {
    const json_t *gold = json_object_get(line, "gold"), *output = json_object_get(line, "output");
    if (!json_is_string(gold) || !json_is_string(output))
        return err_set(err, "%s: expected texts \"gold\" and \"output\"", where);
    json_t *extracted = p->rules > 1 ? json_object() : NULL, *correct = p->rules > 1 ? json_object() : NULL;
    bool ok = true;
    for (int i = 0; ok && i < p->rules; i++) {
        const AnswerRule *rule = p->rule[i];
        Text want = {0}, got = {0};
        if (!rule->gold(json_string_value(gold), json_string_length(gold), &want))
            ok = err_set(err, "%s: \"gold\" holds no answer that %s can read", where, p->name);
        Judged j = {0};
        if (ok) j = answer_judge(rule, json_string_value(output), json_string_length(output), &want, &got);
        ok = ok && text_ok(&want, where, err) && text_ok(&got, where, err);
        json_t *text = !ok                       ? NULL
                       : !j.found && !rule->none ? json_null()
                                                 : json_stringn(got.data ? got.data : "", got.bytes);
        if (ok && !text) ok = err_set(err, "%s: \"output\" is not valid UTF-8", where);
        if (ok && p->rules > 1)
            ok = (json_object_set_new(extracted, rule->name, text) == 0 &&
                  json_object_set_new(correct, rule->name, json_boolean(j.correct)) == 0) ||
                 err_as(err, QM_MEMORY, "out of memory: a result");
        else if (ok) extracted = text, correct = json_boolean(j.correct);
        text_free(&want);
        text_free(&got);
    }
    if (ok) {
        bool set = json_object_set(line, "extracted", extracted) == 0 && json_object_set(line, "correct", correct) == 0;
        if (!set) ok = err_as(err, QM_MEMORY, "out of memory: a result");
    }
    json_decref(extracted);
    json_decref(correct);
    return ok;
}

bool results_rescore(const Protocol *p, const char *in, const char *out, Err *err) {
    Lines lines;
    Line line;
    Output to = {0};
    int64_t count = 0;
    if (!output_apart(in, out, err) || !lines_open(&lines, in, err)) return false;
    bool ok = output_open(&to, out, err);
    while (ok && !err->kind && lines_next(&lines, &line, err)) {
        json_t *o = json_text(line.data, line.bytes, line.where, err), *run = json_object_get(o, "run");
        if (o && !json_is_object(o)) err_set(err, "%s: expected an object", line.where);
        else if (o && json_is_object(run) && !json_object_get(o, "output"))
            json_object_set_new(run, "protocol", json_string(p->name));
        else if (o && results_judge(p, o, line.where, err)) count++;
        if (!err->kind) write_json(to.file, o, out, err);
        json_decref(o);
    }
    if (!err->kind && count == 0) err_set(err, "%s holds no outputs", in);
    lines_close(&lines);
    return output_end(&to, !err->kind, err);
}
