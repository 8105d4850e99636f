/* train_names.c: see train_names.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "train_names.h"

bool names_open(TrainNames *n, const char *const *given, int count, Err *err) {
    int32_t label;
    *n = (TrainNames){.number = json_object(), .most = -1};
    pthread_mutex_init(&n->lock, NULL);
    bool ok = n->number || err_as(err, QM_MEMORY, "out of memory: names of classes");
    for (int i = 0; ok && i < count; i++) ok = names_add(n, given[i], &label, err);
    if (ok && n->count < count) ok = err_set(err, "names of classes: one of %d stands there twice", count);
    n->given = count > 0;
    n->words = false;
    if (!ok) names_close(n);
    return ok;
}

void names_close(TrainNames *n) {
    if (!n->number) return;
    for (int i = 0; i < n->count; i++) free(n->name[i]);
    free(n->name);
    json_decref(n->number);
    pthread_mutex_destroy(&n->lock);
    *n = (TrainNames){0};
}

static bool take_name(TrainNames *n, const char *name, int32_t *label, Err *err) {
    json_t *known = json_object_get(n->number, name);
    if (known) return *label = (int32_t)json_integer_value(known), true;
    if (n->given) {
        Text list = {0};
        for (int i = 0; i < n->count && i < 8; i++) text_line(&list, "%s%.40s", i ? ", " : "", n->name[i]);
        err_set(err, "expected one of the model's %d classes (%s%s), got '%.40s'", n->count, list.data ? list.data : "",
                n->count > 8 ? ", ..." : "", name);
        text_free(&list);
        return false;
    }
    if (n->count >= NAMES_MOST) return err_as(err, QM_LIMIT, "expected at most %d classes, got more", NAMES_MOST);
    if (!mem_grow((void **)&n->name, &n->room, (size_t)n->count + 1, sizeof *n->name, "names of classes", err))
        return false;
    n->name[n->count] = strdup(name);
    if (!n->name[n->count] || json_object_set_new(n->number, name, json_integer(n->count)) != 0)
        return free(n->name[n->count]), err_as(err, QM_MEMORY, "out of memory: names of classes");
    *label = n->count++;
    return true;
}

bool names_add(TrainNames *n, const char *name, int32_t *label, Err *err) {
    pthread_mutex_lock(&n->lock);
    bool ok = take_name(n, name, label, err);
    n->words = n->words || ok;
    pthread_mutex_unlock(&n->lock);
    return ok;
}

static bool take_number(TrainNames *n, const json_t *value, bool real, int32_t *label, Err *err) {
    int64_t most = n->given ? n->count : NAMES_MOST;
    int64_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number >= 0 && number < most) return *label = (int32_t)number, true;
    if (!real || n->given || !isfinite((float)json_number_value(value)))
        return err_set(err, "expected a class from 0 to %lld, got %.9g", (long long)most - 1, json_number_value(value));
    *label = -1;
    return true;
}

bool names_take(TrainNames *n, const json_t *value, bool real, int32_t *label, float *value_out, Err *err) {
    if (json_is_text(value)) {
        const char *name = json_string_value(value);
        if (strlen(name) != json_string_length(value) || !*name)
            return err_set(err, "expected the name of a class, got %s", *name ? "one with a NUL" : "an empty one");
        return names_add(n, name, label, err);
    }
    if (json_is_boolean(value))
        return err_set(err, "expected a name or a number, got %s", json_is_true(value) ? "true" : "false");
    if (!json_is_number(value)) return err_set(err, "expected a name or a number");
    if (!take_number(n, value, real, label, err)) return false;
    if (value_out) *value_out = (float)json_number_value(value);
    pthread_mutex_lock(&n->lock);
    if (*label < 0) n->reals = true;
    else if (*label > n->most) n->most = *label;
    pthread_mutex_unlock(&n->lock);
    return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool sort_names(TrainNames *n, int32_t **order, Err *err) {
    int32_t *to = *order = mem_new((size_t)n->count, sizeof *to, "names of classes", err);
    if (!to) return false;
    qsort(n->name, (size_t)n->count, sizeof *n->name, by_bytes);
    for (int i = 0; i < n->count; i++) {
        json_t *number = json_object_get(n->number, n->name[i]);
        to[json_integer_value(number)] = i;
        json_integer_set(number, i);
    }
    return true;
}

/* Names have numbers of their own, so they and numbers of the data do not go together. */
static bool alike(const TrainNames *n, Err *err) {
    return n->given || !n->words || (n->most < 0 && !n->reals) ||
           err_set(err, "labels: expected names or numbers throughout, got both");
}

bool names_finish(TrainNames *n, int32_t **order, Err *err) {
    int32_t label;
    *order = NULL;
    if (n->given) return true;
    if (!alike(n, err)) return false;
    if (n->reals) return true;
    if (n->words) return sort_names(n, order, err);
    for (int64_t i = n->count; i <= n->most; i++) {
        char name[32];
        snprintf(name, sizeof name, "LABEL_%lld", (long long)i);
        if (!names_add(n, name, &label, err)) return false;
    }
    n->words = false;
    return true;
}

bool names_merge(TrainNames *n, const TrainNames *other, int32_t **order, Err *err) {
    *order = NULL;
    bool ok = alike(other, err);
    if (ok && other->words) {
        *order = mem_new((size_t)other->count + 1, sizeof **order, "names of classes", err);
        ok = *order != NULL;
        for (int i = 0; ok && i < other->count; i++) ok = names_add(n, other->name[i], &(*order)[i], err);
    }
    n->reals |= other->reals;
    if (other->most > n->most) n->most = other->most;
    return ok;
}
