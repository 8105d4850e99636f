/* exchange_file.c: see exchange_file.h. */
#include "exchange_file.h"
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static json_t *ids_json(const int32_t *ids, int64_t count) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, json_integer(ids[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *sequence_json(const QmSequence *s) {
    return json_pack("{s:o,s:o,s:s,s:s?}", "ids", ids_json(s->ids, s->count), "text", json_stringn(s->text, s->bytes),
                     "finish", s->finish, "proof", s->proof);
}

static json_t *run_json(const ExchangeRun *r) {
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int64_t i = 0; ok && i < r->sequence_count; i++)
        ok = json_array_append_new(list, sequence_json(&r->sequences[i])) == 0;
    if (!ok) json_decref(list), list = NULL;
    return json_pack("{s:o,s:O,s:b,s:I,s:s?,s:o}", "ids", ids_json(r->ids, r->count), "parameters", r->parameters,
                     "chat", r->chat, "sequence", (json_int_t)r->sequence, "adapter", r->adapter, "sequences", list);
}

static json_t *file_json(const ExchangeFile *f) {
    json_t *runs = json_array();
    bool ok = runs != NULL;
    for (int64_t i = 0; ok && i < f->run_count; i++) ok = json_array_append_new(runs, run_json(&f->runs[i])) == 0;
    if (!ok) json_decref(runs), runs = NULL;
    return json_pack("{s:s,s:s,s:s,s:I,s:s?,s:s,s:O?,s:o}", "format", EXCHANGE_FORMAT, "id", f->id, "route", f->route,
                     "created", (json_int_t)f->created, "model", f->model, "fingerprint", f->fingerprint, "request",
                     f->request, "runs", runs);
}

char *exchange_file_text(const ExchangeFile *f, Err *err) {
    json_t *o = file_json(f);
    char *text = o ? json_dump(o, JSON_COMPACT, "an exchange", err) : NULL;
    if (!o) err_as(err, QM_MEMORY, "out of memory, or a text that is not UTF-8: an exchange");
    json_decref(o);
    return text;
}

static bool id_is_sound(const char *id) {
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strlen(id);
    return n > 0 && n <= 200 && strspn(id, known) == n;
}

bool exchange_file_write(const ExchangeFile *f, const char *folder, Err *err) {
    char name[256];
    if (!id_is_sound(f->id))
        return err_set(err, "an exchange: its id is no name for a file: expected letters, digits, - and _, got '%s'",
                       name_text(f->id, strlen(f->id)).text);
    char *text = exchange_file_text(f, err);
    snprintf(name, sizeof name, "%s.json", f->id);
    bool ok = text && output_write(folder, name, text, strlen(text), err);
    free(text);
    return ok;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

typedef struct Place { const char *where; char text[160]; } Place; /* of what is read, for messages */

static const char *at(Place *p, int64_t run, int64_t sequence) {
    if (sequence < 0) snprintf(p->text, sizeof p->text, "%.100s: runs[%lld]", p->where, (long long)run);
    else snprintf(p->text, sizeof p->text, "%.100s: runs[%lld].sequences[%lld]", p->where, (long long)run,
                  (long long)sequence);
    return p->text;
}

/* A text that must be there. */
static bool text_of(const json_t *o, const char *key, const char *where, const char **out, Err *err) {
    return json_get_text(o, key, where, out, err) &&
           (*out || err_set(err, "%s: %s: expected a text, got nothing", where, key));
}

static bool ids_of(ExchangeFile *f, const json_t *o, const char *where, const int32_t **out, int64_t *count, Err *err) {
    const json_t *list = json_object_get(o, "ids");
    size_t n = json_array_size(list);
    if (!json_is_array(list)) return err_set(err, "%s: ids: expected a list", where);
    int32_t *ids = arena_new(&f->arena, n + 1, sizeof *ids, "ids of an exchange", err);
    for (size_t i = 0; ids && i < n; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return err_set(err, "%s: ids[%zu]: expected an id", where, i);
        ids[i] = (int32_t)json_integer_value(id);
    }
    *out = ids;
    *count = (int64_t)n;
    return ids != NULL;
}

static bool sequence_of(ExchangeFile *f, const json_t *o, const char *where, QmSequence *s, Err *err) {
    const json_t *text = json_object_get(o, "text");
    if (!json_is_object(o)) return err_set(err, "%s: expected an object", where);
    if (!json_is_text(text)) return err_set(err, "%s: text: expected a text", where);
    s->text = json_string_value(text);
    s->bytes = json_string_length(text);
    if (!ids_of(f, o, where, &s->ids, &s->count, err) || !text_of(o, "finish", where, &s->finish, err) ||
        !json_get_text(o, "proof", where, &s->proof, err))
        return false;
    return !s->proof || (strlen(s->proof) == 64 && strspn(s->proof, "0123456789abcdef") == 64) ||
           err_set(err, "%s: proof: expected 64 hex digits", where);
}

static bool run_of(ExchangeFile *f, const json_t *o, Place *place, int64_t number, ExchangeRun *r, Err *err) {
    const char *where = at(place, number, -1);
    const json_t *list = json_object_get(o, "sequences");
    int64_t sequence = 0;
    if (!json_is_object(o)) return err_set(err, "%s: expected an object", where);
    r->parameters = json_object_get(o, "parameters");
    r->sequence_count = (int64_t)json_array_size(list);
    if (!json_is_object(r->parameters)) return err_set(err, "%s: parameters: expected an object", where);
    if (!json_is_array(list) || r->sequence_count < 1 || r->sequence_count > EXCHANGE_MOST_SEQUENCES)
        return err_set(err, "%s: sequences: expected a list of 1 to %d", where, EXCHANGE_MOST_SEQUENCES);
    QmSequence *sequences = arena_new(&f->arena, (size_t)r->sequence_count, sizeof *sequences, "an exchange", err);
    r->sequences = sequences;
    if (!sequences || !ids_of(f, o, where, &r->ids, &r->count, err) ||
        !json_get_bool(o, "chat", where, &r->chat, err) ||
        !json_get_int(o, "sequence", where, 0, INT64_MAX, &sequence, err) ||
        !json_get_text(o, "adapter", where, &r->adapter, err))
        return false;
    r->sequence = (uint64_t)sequence;
    if (r->count < 1) return err_set(err, "%s: ids: expected one at least", where);
    for (int64_t i = 0; i < r->sequence_count; i++)
        if (!sequence_of(f, json_array_get(list, (size_t)i), at(place, number, i), &sequences[i], err)) return false;
    return true;
}

static bool file_of(ExchangeFile *f, const char *where, Err *err) {
    const json_t *o = f->root, *list = json_object_get(o, "runs");
    const char *format = NULL;
    Place place = {.where = where};
    if (!json_is_object(o)) return err_set(err, "%s: expected an object", where);
    if (!text_of(o, "format", where, &format, err)) return false;
    if (strcmp(format, EXCHANGE_FORMAT) != 0)
        return err_set(err, "%s: format: expected '%s', got '%s'", where, EXCHANGE_FORMAT,
                       name_text(format, strlen(format)).text);
    f->request = json_object_get(o, "request");
    f->run_count = (int64_t)json_array_size(list);
    if (!json_is_array(list) || f->run_count < 1 || f->run_count > EXCHANGE_MOST_RUNS)
        return err_set(err, "%s: runs: expected a list of 1 to %d", where, EXCHANGE_MOST_RUNS);
    if (!text_of(o, "id", where, &f->id, err) || !text_of(o, "route", where, &f->route, err) ||
        !text_of(o, "fingerprint", where, &f->fingerprint, err) || !json_get_text(o, "model", where, &f->model, err) ||
        !json_get_int(o, "created", where, 0, INT64_MAX, &f->created, err))
        return false;
    ExchangeRun *runs = arena_new(&f->arena, (size_t)f->run_count, sizeof *runs, "an exchange", err);
    f->runs = runs;
    for (int64_t i = 0; runs && i < f->run_count; i++)
        if (!run_of(f, json_array_get(list, (size_t)i), &place, i, &runs[i], err)) return false;
    return runs != NULL;
}

bool exchange_file_parse(ExchangeFile *f, const char *data, size_t bytes, const char *where, Err *err) {
    *f = (ExchangeFile){.root = json_text(data, bytes, where, err)};
    return f->root && file_of(f, where, err);
}

bool exchange_file_read(ExchangeFile *f, const char *path, Err *err) {
    *f = (ExchangeFile){.root = json_file(path, EXCHANGE_MOST_BYTES, err)};
    return f->root && file_of(f, path, err);
}

void exchange_file_free(ExchangeFile *f) {
    json_decref(f->root);
    arena_free(&f->arena);
    *f = (ExchangeFile){0};
}
