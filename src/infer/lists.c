/* lists.c: lists of ids from JSON: suppress_tokens, begin_suppress_tokens, forced_eos_token_id, bad_words_ids,
 * sequence_bias ([[[ids], bias], ...], as Hugging Face writes it to JSON), logit_bias ({"id": bias, ...}, OpenAI). */
#include "lists.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader { TokenLists *lists; const char *where, *key; Err *err; } Reader;

static bool bad(const Reader *r, const char *expected) {
    return err_set(r->err, "%s: %s: expected %s", r->where, r->key, expected);
}

static bool ids_new(const Reader *r, IdList *out, int64_t count) {
    TokenLists *l = r->lists;
    if (count > MAX_LIST_IDS - l->total)
        return err_as(r->err, QM_LIMIT, "%s: %s: expected at most %d ids in all lists", r->where, r->key, MAX_LIST_IDS);
    l->total += count;
    out->count = count;
    out->ids = arena_new(&l->arena, (size_t)count, sizeof *out->ids, "lists of ids", r->err);
    return out->ids != NULL;
}

static bool id_take(const Reader *r, int64_t id, int32_t *out) {
    if (id < 0 || id > INT32_MAX) return bad(r, "ids of tokens");
    *out = (int32_t)id;
    if (*out < r->lists->least) r->lists->least = *out;
    if (*out > r->lists->most) r->lists->most = *out;
    return true;
}

/* One id or a list of ids. */
static bool ids_read(const Reader *r, const json_t *list, IdList *out) {
    bool one = json_is_integer(list);
    if (!one && !json_is_array(list)) return bad(r, "a list of ids");
    if (!ids_new(r, out, one ? 1 : (int64_t)json_array_size(list))) return false;
    for (int64_t i = 0; i < out->count; i++) {
        const json_t *id = one ? list : json_array_get(list, (size_t)i);
        if (!json_is_integer(id) || !id_take(r, json_integer_value(id), &out->ids[i])) return bad(r, "a list of ids");
    }
    return true;
}

static bool rows_new(const Reader *r, BiasList *out, size_t count) {
    out->count = 0;
    out->rows = arena_new(&r->lists->arena, count, sizeof *out->rows, "biases", r->err);
    return out->rows != NULL;
}

static bool bias_read(const Reader *r, const json_t *value, float *out) {
    double v = json_number_value(value);
    if (!json_is_number(value) || !isfinite(v) || fabs(v) > 1e6) return bad(r, "biases from -1e6 to 1e6");
    *out = (float)v;
    return true;
}

static bool sequence_bias_read(const Reader *r, const json_t *list, BiasList *out) {
    if (!json_is_array(list)) return bad(r, "a list of [ids, bias]");
    if (!rows_new(r, out, json_array_size(list))) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);
        IdBias *row = &out->rows[out->count++];
        if (!json_is_array(pair) || json_array_size(pair) != 2) return bad(r, "a list of [ids, bias]");
        if (!ids_read(r, json_array_get(pair, 0), &row->ids) || !bias_read(r, json_array_get(pair, 1), &row->bias))
            return false;
        if (row->ids.count == 0) return bad(r, "one id or more in each row");
    }
    return true;
}

static bool bad_words_read(const Reader *r, const json_t *list, BiasList *out) {
    if (!json_is_array(list)) return bad(r, "a list of lists of ids");
    if (!rows_new(r, out, json_array_size(list))) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *word = json_array_get(list, i);
        IdBias *row = &out->rows[out->count++];
        if (!json_is_array(word)) return bad(r, "a list of lists of ids");
        if (!ids_read(r, word, &row->ids)) return false;
        if (row->ids.count == 0) return bad(r, "one id or more in each row");
        row->bias = -INFINITY;
    }
    return true;
}

static bool logit_bias_read(const Reader *r, const json_t *map, BiasList *out) {
    const char *key;
    json_t *value;
    if (!json_is_object(map)) return bad(r, "an object {\"id\": bias}");
    if (!rows_new(r, out, json_object_size(map))) return false;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        IdBias *row = &out->rows[out->count++];
        int64_t id;
        if (!parse_int(key, 0, INT32_MAX, &id)) return bad(r, "an object {\"id\": bias}");
        if (!ids_new(r, &row->ids, 1) || !id_take(r, id, row->ids.ids) || !bias_read(r, value, &row->bias))
            return false;
    }
    return true;
}

static const char *const keys[] = {"suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id",
                                   "sequence_bias",   "bad_words_ids",         "logit_bias"};

bool lists_in_json(const json_t *object) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(object, keys[i])) return true;
    return false;
}

/* ---- Copies of what a request leaves as it was ------------------------------------------------------------------- */

static bool ids_copy(const Reader *r, const IdList *from, IdList *to) {
    if (!ids_new(r, to, from->count)) return false;
    for (int64_t i = 0; i < from->count; i++)
        if (!id_take(r, from->ids[i], &to->ids[i])) return false;
    return true;
}

static bool bias_copy(const Reader *r, const BiasList *from, BiasList *to) {
    if (!rows_new(r, to, (size_t)from->count)) return false;
    for (int64_t i = 0; i < from->count; i++, to->count++) {
        to->rows[i].bias = from->rows[i].bias;
        if (!ids_copy(r, &from->rows[i].ids, &to->rows[i].ids)) return false;
    }
    return true;
}

typedef bool (*BiasReader)(const Reader *r, const json_t *value, BiasList *out);

TokenLists *lists_from_json(const TokenLists *base, const json_t *object, const char *where, Err *err) {
    static const BiasReader readers[] = {sequence_bias_read, bad_words_read, logit_bias_read};
    TokenLists none = {.most = -1}, *l = mem_new(1, sizeof *l, "lists of ids", err);
    if (!l) return NULL;
    if (!base) base = &none;
    atomic_init(&l->users, 1);
    l->least = INT32_MAX;
    l->most = -1;
    IdList *ids[] = {&l->suppress, &l->begin_suppress, &l->forced_eos};
    const IdList *old[] = {&base->suppress, &base->begin_suppress, &base->forced_eos};
    BiasList *bias[] = {&l->sequence_bias, &l->bad_words, &l->logit_bias};
    const BiasList *was[] = {&base->sequence_bias, &base->bad_words, &base->logit_bias};
    bool ok = true;
    for (int i = 0; ok && i < 6; i++) {
        Reader r = {l, where, keys[i], err};
        const json_t *value = json_object_get(object, keys[i]);
        if (json_is_null(value)) continue; /* null: no such list */
        if (i < 3) ok = value ? ids_read(&r, value, ids[i]) : ids_copy(&r, old[i], ids[i]);
        else ok = value ? readers[i - 3](&r, value, bias[i - 3]) : bias_copy(&r, was[i - 3], bias[i - 3]);
    }
    if (ok) return l;
    lists_release(l);
    return NULL;
}

TokenLists *lists_share(TokenLists *lists) {
    if (lists) atomic_fetch_add(&lists->users, 1);
    return lists;
}

void lists_release(TokenLists *lists) {
    if (!lists || atomic_fetch_sub(&lists->users, 1) > 1) return;
    arena_free(&lists->arena);
    free(lists);
}
