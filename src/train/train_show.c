/* train_show.c: see train_show.h. */
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "train_show.h"

/* ---- For people -------------------------------------------------------------------------------------------------- */

/* Tokens as text that may be shown. */
static bool add_tokens(const QmTokenizer *t, const int32_t *ids, int64_t count, Text *out, Err *err) {
    size_t bytes;
    if (!t) {
        for (int64_t i = 0; i < count; i++) text_line(out, "%d ", (int)ids[i]);
        return true;
    }
    char *text = qm_tokenizer_decode(t, ids, count, false, &bytes, err);
    if (!text) return false;
    for (size_t i = 0; i < bytes; i++)
        if (!text[i]) text[i] = '?';
    text_printable(text);
    text_add(out, text, strlen(text));
    free(text);
    return true;
}

/* tokcls: the first token counts too, and what it is stands behind it. */
static bool is_labelled(const TrainSegment *s, int64_t i, bool classes) {
    return s->labels[i] != NO_LABEL && (i > 0 || classes);
}

static bool add_segment(const TrainData *d, const TrainSegment *s, const QmTokenizer *t, bool colour, Text *out,
                        Err *err) {
    const TrainTarget *target = train_target(d, s);
    for (int64_t i = 0, n; i < s->count; i += n) {
        bool is = is_labelled(s, i, target != NULL);
        for (n = 1; i + n < s->count && is_labelled(s, i + n, target != NULL) == is && !(target && is);) n++;
        if (is) text_line(out, "%s", colour ? "\033[32m" : "[[");
        if (!add_tokens(t, s->ids + i, n, out, err)) return false;
        if (is && target) text_line(out, " = %s", train_name(d, s->labels[i]));
        if (is) text_line(out, "%s", colour ? "\033[0m" : "]]");
    }
    text_line(out, "\n");
    return true;
}

static bool add_target(const TrainData *d, const TrainSegment *s, const QmTokenizer *t, Text *out, Err *err) {
    const TrainTarget *target = train_target(d, s);
    TrainTask task = train_task(d);
    if (task == TASK_SEQCLS && train_is_regression(d)) text_line(out, "label: %.9g\n", (double)target->value);
    else if (task == TASK_SEQCLS) text_line(out, "label: %s\n", train_name(d, target->label));
    if (task != TASK_QA) return true;
    text_line(out, "answer: ");
    if (!add_tokens(t, s->ids + target->start, target->end - target->start + 1, out, err)) return false;
    text_line(out, "\n");
    return true;
}

bool train_show(TrainData *d, const QmTokenizer *t, int64_t count, bool colour, FILE *file, Err *err) {
    Text out = {0};
    bool ok = true;
    for (int64_t i = 0; ok && i < count && i < train_rows(d); i++) {
        const TrainRow *row = train_row(d, 0, i);
        text_line(&out, "---- row %lld of %lld: %lld tokens, %lld labels", (long long)i + 1, (long long)train_rows(d),
                  (long long)row->tokens, (long long)row->labels);
        if (row->count > 1) text_line(&out, ", %lld segments", (long long)row->count);
        text_line(&out, "\n");
        for (int64_t k = 0; ok && k < row->count; k++) {
            if (k) text_line(&out, "----\n");
            ok = add_segment(d, &row->segments[k], t, colour, &out, err) &&
                 add_target(d, &row->segments[k], t, &out, err);
        }
    }
    ok = ok && text_ok(&out, "samples", err) && file_put(file, out.data ? out.data : "", out.bytes, "the samples", err);
    text_free(&out);
    return ok;
}

static void add_counts(const char *what, const TrainCounts *c, Text *out) {
    text_line(out, "%s: %lld samples", what, (long long)c->samples);
    if (c->cut) text_line(out, ", %lld of them cut", (long long)c->cut);
    if (c->dropped) text_line(out, ", %lld dropped that have no label", (long long)c->dropped);
    text_line(out, "; %lld rows of %lld tokens, %lld of them labels", (long long)c->rows, (long long)c->tokens,
              (long long)c->labels);
    if (c->rest) text_line(out, "; %lld tokens are in no row", (long long)c->rest);
    text_line(out, "\n");
}

void train_counts_text(const TrainData *d, Text *out) {
    add_counts("training", train_counts(d), out);
    if (train_eval_rows(d)) add_counts("evaluation", train_eval_counts(d), out);
}

/* ---- For programs ------------------------------------------------------------------------------------------------ */

static void add_list(const char *name, const TrainRow *row, bool labels, bool classes, Text *out) {
    text_line(out, "\"%s\": [", name);
    for (int64_t k = 0, n = 0; k < row->count; k++) {
        const TrainSegment *s = &row->segments[k];
        for (int64_t i = 0; i < s->count; i++) {
            int32_t v = !labels ? s->ids[i] : i == 0 && !classes ? NO_LABEL : s->labels[i];
            text_line(out, "%s%d", n++ ? ", " : "", (int)v);
        }
    }
    text_line(out, "], ");
}

void train_row_line(const TrainData *d, const TrainRow *row, Text *out) {
    const TrainTarget *t = train_target(d, &row->segments[0]);
    TrainTask task = train_task(d);
    text_line(out, "{");
    add_list("ids", row, false, false, out);
    if (task == TASK_CLM || task == TASK_TOKCLS) add_list("labels", row, true, task == TASK_TOKCLS, out);
    else if (task == TASK_QA) text_line(out, "\"start\": %d, \"end\": %d, ", (int)t->start, (int)t->end);
    else if (train_is_regression(d)) text_line(out, "\"label\": %.9g, ", (double)t->value);
    else text_line(out, "\"label\": %d, ", (int)t->label);
    text_line(out, "\"lengths\": [");
    for (int64_t k = 0; k < row->count; k++) text_line(out, "%s%lld", k ? ", " : "", (long long)row->segments[k].count);
    text_line(out, "]}\n");
}

bool train_write_samples(TrainData *d, int64_t epochs, const char *path, Err *err) {
    Output o = {0};
    Text line = {0};
    if (!output_open(&o, path, err)) return false;
    bool ok = true;
    for (int64_t e = 0; ok && e < epochs; e++) {
        for (int64_t i = 0; ok && i < train_rows(d); i++) {
            line.bytes = 0;
            train_row_line(d, train_row(d, e, i), &line);
            ok = text_ok(&line, "a row", err);
            if (ok && fwrite(line.data, 1, line.bytes, o.file) != line.bytes)
                ok = err_as(err, QM_IO, "cannot write %s", path);
        }
    }
    text_free(&line);
    return output_end(&o, ok, err) && ok;
}
