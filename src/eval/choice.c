/* choice.c: multiple choice by log-likelihood. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/lines.h"
#include "loglik.h"

enum { MAX_CHOICES = 64 };

typedef struct Chooser {
    QmEngine *engine;
    const QmTokenizer *tokenizer;
    QmSession *session;
    float *logits;
    const int32_t *ids;  /* of the text being scored   */
    double sum;
} Chooser;

static bool add_loglik(void *context, int64_t t, const float *row, Err *err) {
    Chooser *c = context;
    (void)err;
    c->sum += loglik_of(row, qm_engine_info(c->engine)->vocab, c->ids[t]);
    return true;
}

/* Log-probability of `tail` after `context`: tokens of both together, from where those of the context alone end. */
static bool score(Chooser *c, const char *context, const char *tail, double *out, Err *err) {
    size_t bytes = strlen(context), plain = bytes;
    while (plain > 0 && strchr(" \t\n\r\f\v", context[plain - 1])) plain--; /* outer space goes with the tail */
    Text whole = {0};
    int32_t *ids = NULL, *before = NULL;
    text_line(&whole, "%s%s", context, tail);
    bool ok = text_ok(&whole, "a choice", err);
    int64_t n = ok ? qm_tokenizer_encode(c->tokenizer, whole.data, whole.bytes, false, &ids, err) : -1;
    int64_t from = n >= 0 ? qm_tokenizer_encode(c->tokenizer, context, plain, false, &before, err) : -1;
    ok = from >= 0;
    if (ok && from == 0) { /* nothing before it: lm-eval puts the end-of-text token there */
        int32_t *more = mem_new((size_t)n + 1, sizeof *more, "ids", err), eos = qm_tokenizer_eos(c->tokenizer);
        if (more) memcpy(more + 1, ids, (size_t)n * sizeof *ids), more[0] = eos < 0 ? 0 : eos;
        free(ids);
        ids = more;
        ok = more != NULL;
        n++, from = 1;
    }
    c->sum = 0;
    if (ok && n > from) {
        qm_session_sync(c->session, ids, from - 1);
        c->ids = ids;
        ok = loglik_feed(c->engine, c->session, ids, n, from, c->logits, add_loglik, c, err);
    }
    *out = c->sum;
    text_free(&whole);
    free(ids);
    free(before);
    return ok;
}

static int64_t characters(const char *text) {
    int64_t n = 0;
    for (; *text; text++) n += ((uint8_t)*text & 0xC0) != 0x80;
    return n;
}

static bool choose(Chooser *c, json_t *o, const char *where, double *acc, double *norm, Err *err) {
    const json_t *choices = json_object_get(o, "choices");
    const char *context = NULL;
    size_t n = json_array_size(choices), best = 0, best_norm = 0;
    int64_t gold = -1;
    double value[MAX_CHOICES], per[MAX_CHOICES];
    if (!json_get_text(o, "context", where, &context, err) ||
        !json_get_int(o, "gold", where, 0, MAX_CHOICES - 1, &gold, err))
        return false;
    if (!context || n < 1 || n > MAX_CHOICES || gold < 0 || gold >= (int64_t)n)
        return err_set(err, "%s: expected \"context\", 1 to %d \"choices\" and \"gold\", the index of one", where,
                       MAX_CHOICES);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const json_t *choice = json_array_get(choices, i);
        const char *text = json_is_text(choice) ? json_string_value(choice) : NULL;
        Text tail = {0};
        if (text && strlen(text) != json_string_length(choice)) text = NULL; /* a NUL would end it early */
        if (!text || !*text) err_set(err, "choices[%zu]: expected a text, without a NUL character", i);
        else text_line(&tail, " %s", text);
        bool ok = text && *text && text_ok(&tail, where, err) && score(c, context, tail.data, &value[i], err);
        text_free(&tail);
        if (!ok) {
            json_decref(list);
            return err_prefix(err, "%s", where), false;
        }
        per[i] = value[i] / (double)characters(text);
        if (value[i] > value[best]) best = i;
        if (per[i] > per[best_norm]) best_norm = i;
        json_array_append_new(list, json_real(value[i]));
    }
    *acc = best == (size_t)gold;
    *norm = best_norm == (size_t)gold;
    return (json_object_set_new(o, "loglikelihoods", list) == 0 &&
            json_object_set_new(o, "acc", json_integer(*acc > 0)) == 0 &&
            json_object_set_new(o, "acc_norm", json_integer(*norm > 0)) == 0) ||
           err_as(err, QM_MEMORY, "out of memory: a result");
}

static double error_of(double right, int64_t n) { /* sample deviation of zeros and ones over sqrt(n) */
    double mean = right / (double)n;
    return n > 1 ? sqrt(mean * (1 - mean) / (double)(n - 1)) : 0;
}

bool choice_run(QmEngine *e, const QmTokenizer *t, const char *in, FILE *out, const char *out_path, int64_t limit,
                bool (*stop)(void), ChoiceTally *tally, Err *err) {
    Lines lines;
    Line line;
    Chooser c = {.engine = e, .tokenizer = t};
    *tally = (ChoiceTally){0};
    if (!lines_open(&lines, in, err)) return false;
    bool ok = (c.session = qm_session_new(e, err)) &&
              (c.logits = mem_new(LOGLIK_ROWS, (size_t)qm_engine_info(e)->vocab * sizeof(float), "logits", err));
    while (ok && (!limit || tally->questions < limit) && lines_next(&lines, &line, err)) {
        double acc = 0, norm = 0;
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        ok = o && (!stop || !stop() || err_as(err, QM_INTERRUPTED, "interrupted")) && choose(&c, o, line.where, &acc,
                                                                                             &norm, err);
        char *dump = ok && out ? json_dump(o, JSON_COMPACT, "a result", err) : NULL;
        if (dump) ok = file_put(out, dump, strlen(dump), out_path, err) && file_put(out, "\n", 1, out_path, err);
        free(dump);
        json_decref(o);
        tally->acc += acc;
        tally->norm += norm;
        tally->questions++;
    }
    lines_close(&lines);
    qm_session_free(c.session);
    free(c.logits);
    if (err->kind) return false;
    if (tally->questions == 0) return err_set(err, "%s holds no questions", in);
    tally->acc_error = error_of(tally->acc, tally->questions);
    tally->norm_error = error_of(tally->norm, tally->questions);
    tally->acc /= (double)tally->questions;
    tally->norm /= (double)tally->questions;
    return true;
}
