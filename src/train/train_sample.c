/* train_sample.c: see train_sample.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "train_sample.h"

void sample_free(Sample *s) {
    free(s->ids.data);
    free(s->labels.data);
    *s = (Sample){0};
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

bool sample_encode(const TrainReader *r, const char *text, size_t bytes, Ids *out, Err *err) {
    int32_t *ids;
    if (!r->tokenizer) return err_set(err, "a text needs a tokenizer, which this model lacks: expected \"ids\"");
    int64_t n = qm_tokenizer_encode(r->tokenizer, text, bytes, true, &ids, err);
    if (n < 0) return false;
    bool ok = ids_reserve(out, (size_t)n + 1, err);
    if (ok && n) memcpy(out->data + out->count, ids, (size_t)n * sizeof *ids), out->count += (size_t)n;
    free(ids);
    return ok;
}

bool sample_member(const json_t *value, const char *key, const char **text, size_t *bytes, Err *err) {
    const json_t *member = json_object_get(value, key);
    if (!json_is_text(member))
        return err_set(err, "%s: expected a text, got %s", key, member ? "something else" : "none");
    *text = json_string_value(member);
    *bytes = json_string_length(member);
    return true;
}

bool sample_end(const TrainReader *r, Ids *ids, Err *err) {
    if (r->end < 0 || (ids->count && ids->data[ids->count - 1] == r->end)) return true;
    return ids_add(ids, r->end, err);
}

bool sample_label_from(Sample *s, size_t first, Err *err) {
    if (!ids_reserve(&s->labels, s->ids.count + 1, err)) return false;
    s->labels.count = s->ids.count;
    for (size_t i = 0; i < s->ids.count; i++) s->labels.data[i] = i < first ? NO_LABEL : s->ids.data[i];
    return true;
}

bool sample_text(const TrainReader *r, const char *text, size_t bytes, bool end, Sample *s, Err *err) {
    s->ids.count = s->labels.count = 0;
    return sample_encode(r, text, bytes, &s->ids, err) && (!end || sample_end(r, &s->ids, err)) &&
           sample_label_from(s, 0, err);
}

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

int64_t sample_number(const json_t *list, size_t i, char got[32]) {
    const json_t *item = json_array_get(list, i);
    bool is = json_is_integer(item);
    if (is) snprintf(got, 32, "%lld", (long long)json_integer_value(item));
    else snprintf(got, 32, "no integer");
    return is ? json_integer_value(item) : INT64_MIN;
}

bool sample_ids(const TrainReader *r, const json_t *value, Ids *out, Err *err) {
    const char *key = json_object_get(value, "ids") ? "ids" : "input_ids";
    const json_t *list = json_object_get(value, key);
    char got[32];
    if (!json_is_array(list)) return err_set(err, "%s: expected a list of tokens", key);
    size_t n = json_array_size(list);
    if (!ids_reserve(out, n + 1, err)) return false;
    for (size_t i = 0; i < n; i++) {
        int64_t v = sample_number(list, i, got);
        if (v < 0 || v >= r->vocab)
            return err_set(err, "%s[%zu]: expected a token from 0 to %lld, got %s", key, i, (long long)r->vocab - 1,
                           got);
        out->data[out->count++] = (int32_t)v;
    }
    return true;
}
