/* train_classes.c: see train_classes.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "token_spans.h"
#include "train_classes.h"

/* No token has a label yet. */
static bool no_labels(Sample *s, Err *err) {
    if (!ids_reserve(&s->labels, s->ids.count + 1, err)) return false;
    s->labels.count = s->ids.count;
    for (size_t i = 0; i < s->ids.count; i++) s->labels.data[i] = NO_LABEL;
    return true;
}

/* A text that follows another: without the token that begins a text. */
static bool encode_more(const TrainReader *r, const char *text, size_t bytes, Ids *out, Err *err) {
    size_t at = out->count, skip = r->tokenizer && r->tokenizer->add_bos && at;
    if (!sample_encode(r, text, bytes, out, err)) return false;
    if (skip) memmove(out->data + at, out->data + at + 1, (out->count - at - 1) * sizeof *out->data), out->count--;
    return true;
}

static bool has_ids(const json_t *value) {
    return json_object_get(value, "ids") || json_object_get(value, "input_ids");
}

bool classes_sequence(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const char *text, *pair;
    size_t n, m;
    const json_t *second = json_object_get(value, "text_pair");
    if (has_ids(value)) {
        if (!sample_ids(r, value, &s->ids, err)) return false;
    } else {
        if (!sample_member(value, "text", &text, &n, err) || !sample_encode(r, text, n, &s->ids, err)) return false;
        if (second && !json_is_null(second) &&
            (!sample_member(value, "text_pair", &pair, &m, err) || !encode_more(r, pair, m, &s->ids, err)))
            return false;
    }
    if (names_take(r->names, json_object_get(value, "label"), true, &s->target.label, &s->target.value, err))
        return no_labels(s, err);
    err_prefix(err, "label");
    return false;
}

static bool is_no_label(const json_t *value) { return json_is_integer(value) && json_integer_value(value) == NO_LABEL; }

static bool take_class(const TrainReader *r, const json_t *list, const char *key, size_t i, int32_t *out, Err *err) {
    const json_t *value = json_array_get(list, i);
    *out = NO_LABEL;
    if (is_no_label(value) || names_take(r->names, value, false, out, NULL, err)) return true;
    err_prefix(err, "%s[%zu]", key, i);
    return false;
}

bool classes_words(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const json_t *words = json_object_get(value, "tokens"), *tags = json_object_get(value, "tags"), *word;
    size_t i, n = json_array_size(words);
    Text text = {0};
    if (!json_is_array(words) || !json_is_array(tags) || json_array_size(tags) != n)
        return err_set(err, "tokens and tags: expected two lists of one length, got %zu and %zu", n,
                       json_array_size(tags));
    bool ok = true;
    json_array_foreach(words, i, word) {
        size_t at = s->ids.count;
        int32_t label;
        if (ok && !json_is_text(word)) ok = err_set(err, "tokens[%zu]: expected a text", i);
        text.bytes = 0;
        if (ok && i) text_add(&text, " ", 1);
        if (ok) text_add(&text, json_string_value(word), json_string_length(word));
        ok = ok && text_ok(&text, "a sample", err) && take_class(r, tags, "tags", i, &label, err);
        if (ok && json_string_length(word)) ok = encode_more(r, text.data, text.bytes, &s->ids, err);
        bool first = at == 0 && r->tokenizer && r->tokenizer->add_bos;
        ok = ok && ids_reserve(&s->labels, s->ids.count - s->labels.count + 1, err);
        for (; ok && s->labels.count < s->ids.count; s->labels.count++)
            s->labels.data[s->labels.count] = s->labels.count == at + first ? label : NO_LABEL;
    }
    text_free(&text);
    return ok;
}

bool classes_tokens(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const json_t *labels = json_object_get(value, "labels");
    if (!sample_ids(r, value, &s->ids, err) || !no_labels(s, err)) return false;
    if (!json_is_array(labels) || json_array_size(labels) != s->ids.count)
        return err_set(err, "labels: expected a list of %zu classes, as many as there are ids, got %zu", s->ids.count,
                       json_array_size(labels));
    for (size_t i = 0; i < s->ids.count; i++)
        if (!take_class(r, labels, "labels", i, &s->labels.data[i], err)) return false;
    return true;
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

/* The member, or the first item of the list that it is. */
static const json_t *first_of(const json_t *answers, const char *key) {
    const json_t *member = json_object_get(answers, key);
    return json_is_array(member) ? json_array_get(member, 0) : member;
}

/* The bytes of the context that the answer is. */
static bool answer_bytes(const json_t *value, const char *context, size_t bytes, Span *out, Err *err) {
    const json_t *answers = json_object_get(value, "answers");
    const json_t *text = first_of(answers, "text"), *start = first_of(answers, "answer_start");
    if (!json_is_text(text) || json_string_length(text) == 0 || !json_is_integer(start) ||
        json_integer_value(start) < 0)
        return err_set(err, "answers: expected {\"text\": an answer, \"answer_start\": a character of the context}");
    size_t at = 0, n = json_string_length(text);
    for (json_int_t left = json_integer_value(start); at < bytes; at++)
        if (((uint8_t)context[at] & 0xC0) != 0x80 && left-- == 0) break;
    if (n > bytes - at || memcmp(context + at, json_string_value(text), n) != 0)
        return err_set(err, "answers: expected '%.40s' at character %lld of the context, got '%.40s'",
                       json_string_value(text), (long long)json_integer_value(start),
                       name_text(context + at, bytes - at < 40 ? bytes - at : 40).text);
    *out = (Span){at, at + n};
    return true;
}

bool classes_answer(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    const char *question, *context;
    size_t n, m;
    Span answer;
    if (!sample_member(value, "question", &question, &n, err) || !sample_member(value, "context", &context, &m, err) ||
        !answer_bytes(value, context, m, &answer, err) || !sample_encode(r, question, n, &s->ids, err))
        return false;
    size_t at = s->ids.count;
    if (!encode_more(r, context, m, &s->ids, err) || !no_labels(s, err)) return false;
    size_t skip = at == 0 && r->tokenizer->add_bos, from = at + skip;
    int32_t *which = mem_new(s->ids.count - from + 1, sizeof *which, "a sample", err);
    bool ok =
        which && token_spans(r->tokenizer, context, m, &answer, 1, s->ids.data + from, s->ids.count - from, which, err);
    s->target.start = s->target.end = -1;
    s->target.context = (int32_t)from;
    for (size_t i = 0; ok && i < s->ids.count - from; i++) {
        if (which[i] < 0) continue;
        if (s->target.start < 0) s->target.start = (int32_t)(from + i);
        s->target.end = (int32_t)(from + i);
    }
    free(which);
    return ok && (s->target.start >= 0 || err_set(err, "answers: no token of the context is the answer's"));
}

bool classes_span(const TrainReader *r, const json_t *value, Sample *s, Err *err) {
    int64_t start = -1, end = -1;
    if (!sample_ids(r, value, &s->ids, err) || !no_labels(s, err)) return false;
    int64_t last = (int64_t)s->ids.count - 1;
    if (!json_get_int(value, "start", "a sample", 0, last, &start, err) ||
        !json_get_int(value, "end", "a sample", 0, last, &end, err))
        return false;
    if (start < 0 || end < start)
        return err_set(err, "start and end: expected the first and the last token of an answer, got %lld and %lld",
                       (long long)start, (long long)end);
    s->target.start = (int32_t)start;
    s->target.end = (int32_t)end;
    return true;
}
