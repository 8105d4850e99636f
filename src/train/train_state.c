/* train_state.c: see train_state.h. Keys that transformers' trainer_state.json has are called as there. A number that
 * is none (the loss of a step with NaN) is null. */
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "train_state.h"

#define FORMAT "qwenmesh checkpoint 1"
enum { MOST_LINES = 100000000 };

/* ---- The log ----------------------------------------------------------------------------------------------------- */

bool train_state_line(TrainState *s, const TrainLine *line, Err *err) {
    if (!mem_grow((void **)&s->lines, &s->line_room, s->line_count + 1, sizeof *s->lines, "log", err)) return false;
    s->lines[s->line_count++] = *line;
    return true;
}

bool train_state_score(TrainState *s, int64_t step, const char *name, double value, Err *err) {
    if (!mem_grow((void **)&s->scores, &s->score_room, s->score_count + 1, sizeof *s->scores, "log", err)) return false;
    TrainScore *score = &s->scores[s->score_count++];
    *score = (TrainScore){.step = step, .value = value};
    snprintf(score->name, sizeof score->name, "%s", name);
    return true;
}

void train_state_cut(TrainState *s, int64_t step) {
    while (s->line_count && s->lines[s->line_count - 1].step > step) s->line_count--;
    while (s->score_count && s->scores[s->score_count - 1].step > step) s->score_count--;
}

void train_state_free(TrainState *s) {
    json_decref(s->options);
    json_decref(s->more);
    free(s->lines);
    free(s->scores);
    *s = (TrainState){0};
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

bool train_options_digest(const json_t *options, char hex[65], Err *err) {
    uint8_t digest[32];
    char *text = options ? json_dump(options, JSON_COMPACT | JSON_SORT_KEYS, "options", err) : strdup("{}");
    if (!text) return err->kind ? false : err_as(err, QM_MEMORY, "out of memory: options");
    bool ok = EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) == 1 ||
              err_as(err, QM_INTERNAL, "SHA-256 is not available");
    free(text);
    for (int i = 0; ok && i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned)digest[i]);
    return ok;
}

static void add_difference(const char *key, const json_t *there, const json_t *here, Text *out) {
    Err ignored = {0};
    char *a = there ? json_dump(there, JSON_ENCODE_ANY | JSON_COMPACT, key, &ignored) : NULL;
    char *b = here ? json_dump(here, JSON_ENCODE_ANY | JSON_COMPACT, key, &ignored) : NULL;
    text_line(out, "%s%s: %s there, %s here", out->bytes ? "\n" : "", key, a ? a : "not", b ? b : "not");
    free(a);
    free(b);
}

void train_options_differ(const json_t *there, const json_t *here, Text *out) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)there, key, value) {
        const json_t *other = json_object_get(here, key);
        if (!other || !json_equal(value, (json_t *)(uintptr_t)other)) add_difference(key, value, other, out);
    }
    json_object_foreach((json_t *)(uintptr_t)here, key, value)
        if (!json_object_get(there, key)) add_difference(key, NULL, value, out);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static json_t *number_json(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *line_json(const TrainLine *l) {
    json_t *o = json_pack("{s:I, s:o, s:o, s:o, s:I, s:I, s:o}", "step", (json_int_t)l->step, "loss",
                          number_json(l->loss), "grad_norm", number_json(l->grad_norm), "learning_rate",
                          number_json(l->learning_rate), "labels", (json_int_t)l->labels, "tokens",
                          (json_int_t)l->tokens, "seconds", number_json(l->seconds));
    if (o && l->skipped) json_object_set_new(o, "skipped", json_true());
    return o;
}

/* Steps and scores in the order of steps, a score behind its step. */
static json_t *log_json(const TrainState *s) {
    json_t *list = json_array();
    size_t k = 0;
    bool ok = list != NULL;
    for (size_t i = 0; ok && i <= s->line_count; i++) {
        for (; ok && k < s->score_count && (i == s->line_count || s->scores[k].step < s->lines[i].step); k++)
            ok = json_array_append_new(list, json_pack("{s:I, s:o}", "step", (json_int_t)s->scores[k].step,
                                                       s->scores[k].name, number_json(s->scores[k].value))) == 0;
        ok = ok && (i == s->line_count || json_array_append_new(list, line_json(&s->lines[i])) == 0);
    }
    if (ok) return list;
    json_decref(list);
    return NULL;
}

json_t *train_state_to_json(const TrainState *s, json_t *files, Err *err) {
    char hex[65];
    if (!train_options_digest(s->options, hex, err)) return NULL;
    json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:s, s:O, s:O, s:O, s:o}", "format", FORMAT,
                             "global_step", (json_int_t)s->step, "epoch", (json_int_t)s->epoch, "epoch_position",
                             (json_int_t)s->position, "seed", (json_int_t)s->seed, "best_global_step",
                             s->best_step ? json_integer(s->best_step) : json_null(), "best_metric",
                             s->best_step ? number_json(s->best_value) : json_null(), "options_sha256", hex, "options",
                             s->options ? s->options : json_null(), "more", s->more ? s->more : json_null(), "files",
                             files ? files : json_null(), "log_history", log_json(s));
    if (!root) err_as(err, QM_MEMORY, "out of memory: trainer_state.json");
    return root;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static bool need_int(const json_t *object, const char *key, const char *where, int64_t low, int64_t *out, Err *err) {
    if (!json_get_int(object, key, where, low, INT64_MAX, out, err)) return false;
    return json_is_integer(json_object_get(object, key)) || err_set(err, "%s: %s is missing", where, key);
}

static bool maybe_number(const json_t *object, const char *key, const char *where, double *out, Err *err) {
    *out = NAN;
    return json_get_float(object, key, where, -1e308, 1e308, out, err);
}

static bool read_line(TrainState *s, const json_t *item, const char *where, Err *err) {
    TrainLine l = {0};
    if (!need_int(item, "step", where, 1, &l.step, err) || !need_int(item, "labels", where, 0, &l.labels, err) ||
        !need_int(item, "tokens", where, 0, &l.tokens, err) || !maybe_number(item, "loss", where, &l.loss, err) ||
        !maybe_number(item, "grad_norm", where, &l.grad_norm, err) ||
        !maybe_number(item, "learning_rate", where, &l.learning_rate, err) ||
        !maybe_number(item, "seconds", where, &l.seconds, err) ||
        !json_get_bool(item, "skipped", where, &l.skipped, err))
        return false;
    if (l.step > s->step || (s->line_count && l.step <= s->lines[s->line_count - 1].step))
        return err_set(err, "%s: step: expected one after the line before and at most %lld, got %lld", where,
                       (long long)s->step, (long long)l.step);
    return train_state_line(s, &l, err);
}

static bool read_score(TrainState *s, const json_t *item, const char *where, Err *err) {
    const char *key, *name = NULL;
    json_t *value;
    int64_t step = 0;
    double number;
    if (!need_int(item, "step", where, 0, &step, err)) return false;
    json_object_foreach((json_t *)(uintptr_t)item, key, value)
        if (strcmp(key, "step")) name = key;
    if (json_object_size(item) != 2 || strlen(name) >= sizeof s->scores->name)
        return err_set(err, "%s: expected a step and one number of a short name", where);
    if (!maybe_number(item, name, where, &number, err)) return false;
    if (step > s->step || (s->score_count && step < s->scores[s->score_count - 1].step))
        return err_set(err, "%s: step: expected none before the one of the score before and at most %lld, got %lld",
                       where, (long long)s->step, (long long)step);
    return train_state_score(s, step, name, number, err);
}

static bool read_log(TrainState *s, const json_t *list, const char *where, Err *err) {
    const json_t *item;
    char text[400];
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > MOST_LINES)
        return err_set(err, "%s: log_history: expected a list of at most %d objects", where, MOST_LINES);
    json_array_foreach(list, i, item) {
        snprintf(text, sizeof text, "%.360s: log_history[%zu]", where, i);
        if (!(json_object_get(item, "loss") || json_object_get(item, "labels") ? read_line : read_score)(s, item, text,
                                                                                                         err))
            return false;
    }
    return true;
}

static bool take_object(const json_t *root, const char *key, const char *where, json_t **out, Err *err) {
    json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value)) return true;
    if (!json_is_object(value)) return err_set(err, "%s: %s: expected an object or null", where, key);
    *out = json_incref(value);
    return true;
}

/* The best is that of some step, with a number. */
static bool read_best(TrainState *s, const json_t *root, const char *where, Err *err) {
    if (!json_get_int(root, "best_global_step", where, 0, s->step, &s->best_step, err) ||
        !maybe_number(root, "best_metric", where, &s->best_value, err))
        return false;
    if (s->best_step && isnan(s->best_value)) return err_set(err, "%s: best_metric is missing", where);
    if (!s->best_step) s->best_value = 0;
    return true;
}

static bool read_all(TrainState *s, const json_t *root, const char *where, Err *err) {
    const char *format = "nothing", *sum = "";
    char hex[65];
    if (!json_get_text(root, "format", where, &format, err)) return false;
    if (strcmp(format, FORMAT))
        return err_set(err, "%s: format: expected '%s', got '%s'", where, FORMAT,
                       name_text(format, strlen(format)).text);
    if (!need_int(root, "global_step", where, 0, &s->step, err) || !need_int(root, "epoch", where, 0, &s->epoch, err) ||
        !need_int(root, "epoch_position", where, 0, &s->position, err) ||
        !need_int(root, "seed", where, INT64_MIN, &s->seed, err) || !read_best(s, root, where, err) ||
        !take_object(root, "options", where, &s->options, err) || !take_object(root, "more", where, &s->more, err) ||
        !json_get_text(root, "options_sha256", where, &sum, err) || !train_options_digest(s->options, hex, err))
        return false;
    if (strcmp(hex, sum)) return err_set(err, "%s: options: they have not the SHA-256 that stands beside them", where);
    return read_log(s, json_object_get(root, "log_history"), where, err);
}

bool train_state_from_json(TrainState *s, const json_t *root, const char *where, Err *err) {
    *s = (TrainState){0};
    if (read_all(s, root, where, err)) return true;
    train_state_free(s);
    return false;
}
