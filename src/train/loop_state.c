/* loop_state.c: where a run stands, as a checkpoint holds it. */
#include <math.h>
#include "../io/json.h"
#include "train_loop.h"

LoopState loop_state_new(void) { return (LoopState){.evaluated = -1}; }

/* ---- Out --------------------------------------------------------------------------------------------------------- */

/* JSON has no NaN and no infinity: null. */
static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *window_json(const OutlierWindow *w) {
    json_t *list = json_array();
    for (int i = 0; list && i < w->count; i++)
        if (json_array_append_new(list, json_real(outliers_at(w, i))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *loop_state_json(const LoopState *s, Err *err) {
    json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "step", (json_int_t)s->step, "labels",
                          (json_int_t)s->labels, "tokens", (json_int_t)s->tokens, "skipped", (json_int_t)s->skipped,
                          "evaluated", (json_int_t)s->evaluated, "best_step", (json_int_t)s->best_step, "kept_step",
                          (json_int_t)s->kept_step, "eval_loss", number(s->eval_loss), "best_loss",
                          number(s->best_loss), "kept_loss", number(s->kept_loss), "losses", window_json(&s->losses),
                          "norms", window_json(&s->norms));
    if (!o) err_as(err, QM_MEMORY, "out of memory: the state of the training");
    return o;
}

/* ---- In ---------------------------------------------------------------------------------------------------------- */

static bool whole(const json_t *o, const char *key, const char *where, int64_t least, int64_t *out, Err *err) {
    if (!json_is_integer(json_object_get(o, key)))
        return err_set(err, "%s: expected \"%s\", a whole number", where, key);
    return json_get_int(o, key, where, least, INT64_MAX, out, err);
}

static bool real(const json_t *o, const char *key, const char *where, double *out, Err *err) {
    const json_t *value = json_object_get(o, key);
    if (json_is_number(value)) *out = json_number_value(value);
    else if (json_is_null(value)) *out = NAN;
    else return err_set(err, "%s: expected \"%s\", a number or null", where, key);
    return true;
}

static bool window_read(OutlierWindow *w, const json_t *o, const char *key, const char *where, Err *err) {
    const json_t *list = json_object_get(o, key);
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > OUTLIER_WINDOW)
        return err_set(err, "%s: expected \"%s\", a list of at most %d numbers", where, key, OUTLIER_WINDOW);
    *w = (OutlierWindow){0};
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value)) return err_set(err, "%s: \"%s\": expected numbers", where, key);
        outliers_add(w, json_number_value(value));
    }
    return true;
}

bool loop_state_read(LoopState *s, const json_t *o, const char *where, Err *err) {
    *s = loop_state_new();
    if (!json_is_object(o)) return err_set(err, "%s: expected an object, the state of a training", where);
    return whole(o, "step", where, 0, &s->step, err) && whole(o, "labels", where, 0, &s->labels, err) &&
           whole(o, "tokens", where, 0, &s->tokens, err) && whole(o, "skipped", where, 0, &s->skipped, err) &&
           whole(o, "evaluated", where, -1, &s->evaluated, err) &&
           whole(o, "best_step", where, 0, &s->best_step, err) && whole(o, "kept_step", where, 0, &s->kept_step, err) &&
           real(o, "eval_loss", where, &s->eval_loss, err) && real(o, "best_loss", where, &s->best_loss, err) &&
           real(o, "kept_loss", where, &s->kept_loss, err) && window_read(&s->losses, o, "losses", where, err) &&
           window_read(&s->norms, o, "norms", where, err);
}
