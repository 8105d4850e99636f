/* train_log.c: see train_log.h. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../base/lines.h"
#include "../base/output.h"
#include "../io/json.h"
#include "train_log.h"

#define SCORE "gsm8k" /* the only task there is */

struct TrainLog {
    FILE *file;
    const char *path;
    bool special;
};

/* ---- A line ------------------------------------------------------------------------------------------------------ */

/* Every bit of it: the shortest of 15, 16 or 17 digits that read back as the same. */
static void add_number(Text *out, const char *key, double value) {
    char text[40];
    if (!isfinite(value)) {
        text_line(out, ",\"%s\":null", key);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    text_line(out, ",\"%s\":%s%s", key, text, strpbrk(text, ".e") ? "" : ".0");
}

bool train_log_line(const TrainEvent *e, Text *out) {
    if (e->kind == TRAIN_SAVED || e->kind == TRAIN_BEGUN) return false;
    bool evaluated = e->kind == TRAIN_EVALUATED;
    text_line(out, "{\"step\":%lld", (long long)e->step);
    add_number(out, "epoch", e->epoch);
    add_number(out, evaluated ? "eval_loss" : "loss", e->loss);
    if (evaluated) {
        add_number(out, "eval_perplexity", e->perplexity);
        text_line(out, ",\"eval_labels\":%lld", (long long)e->labels);
        if (e->scored) add_number(out, SCORE, e->score);
        for (int i = 0; i < e->metric_count; i++) {
            char key[48];
            snprintf(key, sizeof key, "eval_%s", e->metrics[i].name);
            add_number(out, key, e->metrics[i].value);
        }
    } else {
        add_number(out, "grad_norm", e->grad_norm);
        add_number(out, "learning_rate", e->learning_rate);
        text_line(out, ",\"labels\":%lld,\"tokens\":%lld", (long long)e->labels, (long long)e->tokens);
        if (e->skipped) text_line(out, ",\"skipped\":\"%s\"", e->skipped);
    }
    text_line(out, ",\"%s\":%.6g}", evaluated ? "eval_seconds" : "seconds", e->seconds);
    return true;
}

/* A number of a line; null where it was not finite. */
static bool number_of(const json_t *o, const char *key, const char *where, double *out, Err *err) {
    const json_t *value = json_object_get(o, key);
    if (json_is_number(value)) *out = json_number_value(value);
    else if (json_is_null(value)) *out = NAN;
    else return err_set(err, "%s: expected \"%s\", a number or null, in a training's log", where, key);
    return true;
}

/* Those that skipped has. */
static const char *reason_of(const json_t *o) {
    static const char *const reasons[] = {"not finite", "loss", "grad_norm"};
    const json_t *said = json_object_get(o, "skipped");
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (json_is_word(said, reasons[i])) return reasons[i];
    return NULL;
}

bool train_log_read(const char *data, size_t bytes, const char *where, TrainEvent *e, Err *err) {
    json_t *o = json_text(data, bytes, where, err);
    if (!o) return false;
    *e = (TrainEvent){.kind = json_object_get(o, "eval_loss") ? TRAIN_EVALUATED : TRAIN_STEPPED, .step = -1};
    bool evaluated = e->kind == TRAIN_EVALUATED;
    bool ok = json_get_int(o, "step", where, 0, INT64_MAX, &e->step, err) &&
              number_of(o, evaluated ? "eval_loss" : "loss", where, &e->loss, err) &&
              json_get_int(o, evaluated ? "eval_labels" : "labels", where, 0, INT64_MAX, &e->labels, err) &&
              json_get_int(o, "tokens", where, 0, INT64_MAX, &e->tokens, err) &&
              number_of(o, "epoch", where, &e->epoch, err) &&
              number_of(o, evaluated ? "eval_seconds" : "seconds", where, &e->seconds, err);
    if (ok && evaluated)
        ok = number_of(o, "eval_perplexity", where, &e->perplexity, err) &&
             (!(e->scored = json_object_get(o, SCORE) != NULL) || number_of(o, SCORE, where, &e->score, err));
    else if (ok)
        ok = number_of(o, "grad_norm", where, &e->grad_norm, err) &&
             number_of(o, "learning_rate", where, &e->learning_rate, err);
    e->skipped = reason_of(o);
    json_decref(o);
    if (ok && e->step < 0) ok = err_set(err, "%s: expected \"step\" in a training's log", where);
    return ok;
}

/* ---- Going on ---------------------------------------------------------------------------------------------------- */

/* Whether what an event tells had happened when the state was saved. */
static bool is_earlier(const TrainEvent *e, const LoopState *from) {
    return e->step <= (e->kind == TRAIN_EVALUATED ? from->evaluated : from->step);
}

/* Cuts the file where its first line stands that the state does not know; a line without its end was not finished. */
static bool cut(TrainLog *log, const LoopState *from, Err *err) {
    Lines lines;
    Line line;
    int64_t keep = 0;
    if (!lines_of(&lines, log->file, log->path, err)) return false;
    while (lines_next(&lines, &line, err) && line.whole) {
        TrainEvent e;
        if (!train_log_read(line.data, line.bytes, line.where, &e, err) || !is_earlier(&e, from)) break;
        keep = lines.at;
    }
    lines_close(&lines);
    if (err->kind) return err_prefix(err, "cannot resume"), false;
    if (ftruncate(fileno(log->file), keep) == 0 && fseeko(log->file, keep, SEEK_SET) == 0) return true;
    return err_as(err, QM_IO, "cannot write %s: %s", log->path, strerror(errno));
}

/* Opened and locked: two runs must not mix their lines. */
static bool open_alone(TrainLog *log, bool resumes, Err *err) {
    struct stat st;
    int fd = open(log->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0 && !resumes && fstat(fd, &st) == 0 && st.st_size > 0) {
        close(fd);
        return err_set(err, "%s is there already: expected another file, or --resume, which goes on with it",
                       log->path);
    }
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return err_as(err, QM_IO, "cannot write %s: another run writes it", log->path);
    }
    if (fd >= 0 && !(log->file = fdopen(fd, "r+"))) close(fd);
    return log->file || err_as(err, QM_IO, "cannot write %s: %s", log->path, strerror(errno));
}

TrainLog *train_log_open(const char *path, const LoopState *from, Err *err) {
    TrainLog *log = mem_new(1, sizeof *log, "the log", err);
    if (!log) return NULL;
    *log = (TrainLog){.path = path, .special = file_special(path)};
    bool ok = true;
    if (!log->special) ok = open_alone(log, from != NULL, err) && (!from || cut(log, from, err));
    else if (!(log->file = strcmp(path, "-") ? fopen(path, "we") : stdout))
        ok = err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    if (ok) return log;
    if (log->file && log->file != stdout) fclose(log->file);
    free(log);
    return NULL;
}

/* ---- Adding ------------------------------------------------------------------------------------------------------ */

bool train_log_add(TrainLog *log, const TrainEvent *event, Err *err) {
    Text line = {0};
    bool some = train_log_line(event, &line);
    text_add(&line, "\n", 1);
    bool ok = !some ||
              (text_ok(&line, "a line of the log", err) && file_put(log->file, line.data, line.bytes, log->path, err));
    text_free(&line);
    return ok;
}

bool train_log_sync(TrainLog *log, Err *err) {
    if (log->special || (fflush(log->file) == 0 && (fsync(fileno(log->file)) == 0 || errno == EINVAL))) return true;
    return err_as(err, QM_IO, "cannot write %s: %s", log->path, strerror(errno));
}

bool train_log_close(TrainLog *log, Err *err) {
    if (!log) return true;
    bool ok = file_finish(log->file, log->path, err);
    free(log);
    return ok;
}
