/* train_format.c: see train_format.h. Formats are rows, by the keys they are known by. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "train_chat.h"
#include "train_classes.h"
#include "train_format.h"

/* ---- Texts and tokens -------------------------------------------------------------------------------------------- */

static bool read_text(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const char *text;
    size_t bytes;
    return sample_member(value, "text", &text, &bytes, err) &&
           sample_text(r, text, bytes, r->options->packing != PACKING_BLOCKS, s, err);
}

static bool read_texts(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const char *prompt, *completion;
    size_t n, m;
    Text whole = {0};
    Ids first = {0};
    bool ok =
        sample_member(value, "prompt", &prompt, &n, err) && sample_member(value, "completion", &completion, &m, err);
    if (ok) text_add(&whole, prompt, n), text_add(&whole, completion, m);
    ok = ok && text_ok(&whole, "a sample", err) && sample_encode(r, prompt, n, &first, err) &&
         sample_encode(r, whole.data, whole.bytes, &s->ids, err) && sample_end(r, &s->ids, err) &&
         sample_label_from(s, first.count, err);
    s->torn = ok && (first.count > s->ids.count ||
                     (first.count && memcmp(first.data, s->ids.data, first.count * sizeof *first.data) != 0));
    text_free(&whole);
    free(first.data);
    return ok;
}

static bool read_ids(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const json_t *labels = json_object_get(value, "labels");
    if (!sample_ids(r, value, &s->ids, err) || !sample_label_from(s, 0, err)) return false;
    if (!labels || json_is_null(labels)) return true;
    if (!json_is_array(labels) || json_array_size(labels) != s->ids.count)
        return err_set(err, "labels: expected a list of %zu numbers, as many as there are ids, got %zu", s->ids.count,
                       json_array_size(labels));
    for (size_t i = 0; i < s->ids.count; i++) {
        char got[32];
        int64_t v = sample_number(labels, i, got);
        if (v != NO_LABEL && v != s->ids.data[i])
            return err_set(err, "labels[%zu]: expected %d or ids[%zu], which is %d, got %s", i, NO_LABEL, i,
                           (int)s->ids.data[i], got);
        s->labels.data[i] = (int32_t)v;
    }
    return true;
}

/* ---- Conversations ----------------------------------------------------------------------------------------------- */

static bool take_chat(const TrainReader *r, json_t *request, Sample *s, Err *err) {
    bool ok = request && chat_sample(r, request, s, err);
    json_decref(request);
    return ok;
}

static bool read_messages(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    return take_chat(r, request_of_messages(value, json_object_get(value, "messages"), err), s, err);
}

static bool read_sharegpt(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    return take_chat(r, request_of_sharegpt(value, err), s, err);
}

static bool read_alpaca(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    return take_chat(r, request_of_alpaca(value, err), s, err);
}

static bool read_question(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    return take_chat(r, request_of_question(value, err), s, err);
}

static bool read_completion(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const json_t *prompt = json_object_get(value, "prompt"), *completion = json_object_get(value, "completion");
    if (!json_is_array(prompt) && !json_is_array(completion)) return read_texts(r, value, s, err);
    if (!json_is_array(prompt) || !json_is_array(completion))
        return err_set(err, "prompt and completion: expected two texts or two lists of messages");
    json_t *request = request_of_messages(value, prompt, err);
    bool ok = request && chat_completion(r, request, completion, s, err);
    json_decref(request);
    return ok;
}

/* ---- Formats ----------------------------------------------------------------------------------------------------- */

typedef struct Format {
    TrainTask task;
    const char *key, *with; /* the members that it is known by; with NULL: one is enough */
    bool (*read)(const TrainReader *, const json_t *, Sample *, Err *);
} Format;

static const Format formats[] = {
    {TASK_CLM, "messages", NULL, read_messages},
    {TASK_CLM, "conversations", NULL, read_sharegpt},
    {TASK_CLM, "prompt", "completion", read_completion},
    {TASK_CLM, "ids", NULL, read_ids},
    {TASK_CLM, "input_ids", NULL, read_ids},
    {TASK_CLM, "instruction", "output", read_alpaca},
    {TASK_CLM, "question", "answer", read_question},
    {TASK_CLM, "text", NULL, read_text},
    {TASK_SEQCLS, "text", "label", classes_sequence},
    {TASK_SEQCLS, "ids", "label", classes_sequence},
    {TASK_SEQCLS, "input_ids", "label", classes_sequence},
    {TASK_TOKCLS, "tokens", "tags", classes_words},
    {TASK_TOKCLS, "ids", "labels", classes_tokens},
    {TASK_TOKCLS, "input_ids", "labels", classes_tokens},
    {TASK_QA, "question", "context", classes_answer},
    {TASK_QA, "ids", "start", classes_span},
    {TASK_QA, "input_ids", "start", classes_span},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static bool unknown_format(TrainTask task, const json_t *value, Err *err) {
    Text want = {0}, got = {0};
    const char *key;
    json_t *member;
    int n = 0;
    for (int i = 0; i < FORMATS; i++) {
        if (formats[i].task != task || !strcmp(formats[i].key, "input_ids")) continue;
        text_line(&want, "%s\"%s\"", n++ ? "; " : "", formats[i].key);
        if (formats[i].with) text_line(&want, " and \"%s\"", formats[i].with);
    }
    n = 0;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) if (n < 6)
        text_line(&got, "%s\"%.40s\"", n++ ? ", " : "", key);
    err_set(err, "expected a sample for %s with %s; got %s", train_task_names[task], want.data ? want.data : "",
            !json_is_object(value) ? "no object"
            : got.data             ? got.data
                                   : "an empty one");
    text_free(&want);
    text_free(&got);
    return false;
}

bool format_read(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    s->ids.count = s->labels.count = 0;
    s->target = (TrainTarget){0};
    s->torn = false;
    for (int i = 0; i < FORMATS; i++) {
        const Format *f = &formats[i];
        if (f->task != r->options->task || !json_object_get(value, f->key)) continue;
        if (!f->with || json_object_get(value, f->with)) return f->read(r, value, s, err);
    }
    return unknown_format(r->options->task, value, err);
}
