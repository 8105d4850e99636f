/* loglik.c: rows of logits in chunks; perplexity; two engines side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "loglik.h"

bool row_sound(const float *row, int64_t columns) {
    int wrong = 0, some = 0; /* without a branch: a vector at a time */
    for (int64_t c = 0; c < columns; c++) {
        wrong |= !(row[c] < INFINITY);
        some |= row[c] > -INFINITY;
    }
    return !wrong && some;
}

double loglik_of(const float *row, int64_t vocab, int32_t id) {
    double top = (double)row[0], sum = 0;
    for (int64_t v = 1; v < vocab; v++)
        if ((double)row[v] > top) top = (double)row[v];
    for (int64_t v = 0; v < vocab; v++) sum += exp((double)row[v] - top);
    return (double)row[id] - top - log(sum);
}

bool loglik_feed(QmEngine *e, QmSession *s, const int32_t *ids, int64_t count, int64_t from, float *logits,
                 TokenSink *sink, void *context, Err *err) {
    int64_t vocab = qm_engine_info(e)->vocab, first = from - 1 < count ? from - 1 : count; /* row wanted */
    for (int64_t at = qm_session_length(s), n; at < count; at += n) {
        bool wanted = at >= first;
        n = (wanted ? count : first) - at;
        if (wanted && n > LOGLIK_ROWS) n = LOGLIK_ROWS;
        QmAppend a = {.session = s, .tokens = ids + at, .count = n, .rope_length = count,
                      .logits_from = wanted ? n : 0, .logits = wanted ? logits : NULL};
        if (!qm_forward(e, &a, 1, err)) return false;
        for (int64_t i = 0; wanted && i < n && at + i + 1 < count; i++)
            if (!row_sound(logits + i * vocab, vocab))
                return err_set(err, "the logits after token %lld are not numbers (NaN or infinite): a damaged "
                                    "checkpoint, or an overflow", (long long)(at + i));
            else if (!sink(context, at + i + 1, logits + i * vocab, err)) return false;
    }
    return true;
}

static float *rows_new(const QmEngine *e, Err *err) {
    return mem_new(LOGLIK_ROWS, (size_t)qm_engine_info(e)->vocab * sizeof(float), "logits", err);
}

static bool stopped(bool (*stop)(void), Err *err) {
    if (!stop || !stop()) return false;
    err_as(err, QM_INTERRUPTED, "interrupted");
    return true;
}

static bool window_check(const QmEngine *e, int64_t count, int64_t window, Err *err) {
    if (window < 2 || window > qm_engine_info(e)->context)
        return err_set(err, "window: expected 2 to %lld tokens, the context, got %lld",
                       (long long)qm_engine_info(e)->context, (long long)window);
    return count >= 2 || err_set(err, "the text has %lld token%s: expected 2 or more", (long long)count,
                                 count == 1 ? "" : "s");
}

/* ---- Perplexity -------------------------------------------------------------------------------------------------- */

typedef struct Nll { const int32_t *ids; int64_t vocab; double sum; int64_t count; } Nll;

static bool add_nll(void *context, int64_t t, const float *row, Err *err) {
    Nll *n = context;
    (void)err;
    n->sum -= loglik_of(row, n->vocab, n->ids[t]);
    n->count++;
    return true;
}

bool perplexity(QmEngine *e, const int32_t *ids, int64_t count, int64_t window, int64_t stride, size_t text_bytes,
                bool (*stop)(void), Perplexity *out, Err *err) {
    *out = (Perplexity){.tokens = count};
    if (!window_check(e, count, window, err)) return false;
    if (stride < 1 || stride > window)
        return err_set(err, "stride: expected 1 to %lld, the window, got %lld", (long long)window, (long long)stride);
    QmSession *s = qm_session_new(e, err);
    float *logits = s ? rows_new(e, err) : NULL;
    double weighted = 0, total = 0;
    int64_t weight = 0, done = 0; /* done: tokens that windows have covered */
    Progress progress;
    progress_start(&progress, "perplexity", count);
    bool ok = logits != NULL;
    for (int64_t begin = 0; ok && done < count; begin += stride) {
        int64_t end = begin + window < count ? begin + window : count, target = end - done;
        int64_t first = done > begin ? done : begin + 1; /* a window's first token is never predicted */
        Nll n = {.ids = ids + begin, .vocab = qm_engine_info(e)->vocab};
        ok = !stopped(stop, err) && qm_session_crop(s, 0, err) &&
             (first >= end ||
              loglik_feed(e, s, ids + begin, end - begin, first - begin, logits, add_nll, &n, err));
        if (n.count) weighted += n.sum / (double)n.count * (double)(target - 1), weight += target - 1;
        total += n.sum;
        out->scored += n.count;
        out->windows++;
        done = end;
        progress_show(&progress, done);
    }
    progress_end(&progress);
    out->recipe = exp(weighted / (double)(weight ? weight : 1));
    out->mean = exp(total / (double)(out->scored ? out->scored : 1));
    out->bits_per_byte = text_bytes ? total / log(2) / (double)text_bytes : 0;
    free(logits);
    qm_session_free(s);
    return ok;
}

/* ---- Comparison -------------------------------------------------------------------------------------------------- */

typedef struct Pair {
    const int32_t *ids;
    int64_t vocab, at;    /* at: where the window begins */
    float *rows_a;        /* [window][vocab]: A's logits of the window */
    Comparison *out;
    double nll_a, nll_b, kl;
} Pair;

static bool keep_row(void *context, int64_t t, const float *row, Err *err) {
    Pair *p = context;
    (void)err;
    memcpy(p->rows_a + (t - 1) * p->vocab, row, (size_t)p->vocab * sizeof *row);
    return true;
}

static int32_t top_of(const float *row, int64_t vocab) {
    int64_t best = 0;
    for (int64_t v = 1; v < vocab; v++)
        if (row[v] > row[best]) best = v;
    return (int32_t)best;
}

static bool compare_row(void *context, int64_t t, const float *b, Err *err) {
    Pair *p = context;
    const float *a = p->rows_a + (t - 1) * p->vocab;
    Comparison *c = p->out;
    int64_t position = p->at + t;
    int32_t top_a = top_of(a, p->vocab), top_b = top_of(b, p->vocab);
    double sum_a = 0, sum_b = 0, kl = 0, most_a = (double)a[top_a], most_b = (double)b[top_b];
    (void)err;
    for (int64_t v = 0; v < p->vocab; v++) {
        double d = fabs((double)a[v] - (double)b[v]);
        sum_a += exp((double)a[v] - most_a);
        sum_b += exp((double)b[v] - most_b);
        if (!(d <= c->difference)) c->difference = d, c->difference_at = position;
    }
    double log_a = most_a + log(sum_a), log_b = most_b + log(sum_b);
    for (int64_t v = 0; v < p->vocab; v++) {
        double l = (double)a[v] - log_a;
        kl += exp(l) * (l - ((double)b[v] - log_b));
    }
    p->nll_a += log_a - (double)a[p->ids[t]];
    p->nll_b += log_b - (double)b[p->ids[t]];
    p->kl += kl;
    if (kl > c->kl_most) c->kl_most = kl;
    if (!memcmp(a, b, (size_t)p->vocab * sizeof *a)) c->same_bits++;
    else if (c->first_bits < 0) c->first_bits = position;
    if (top_a == top_b) c->same_top++;
    else if (c->first_top < 0) c->first_top = position, c->top_a = top_a, c->top_b = top_b;
    c->tokens++;
    return true;
}

bool compare_engines(QmEngine *a, QmEngine *b, const int32_t *ids, int64_t count, int64_t window, int64_t from,
                     bool (*stop)(void), Comparison *out, Err *err) {
    int64_t vocab = qm_engine_info(a)->vocab;
    *out = (Comparison){.first_top = -1, .first_bits = -1};
    if (qm_engine_info(b)->vocab != vocab)
        return err_set(err, "the models have vocabularies of %lld and %lld: expected the same", (long long)vocab,
                       (long long)qm_engine_info(b)->vocab);
    if (!window_check(a, count, window, err) || !window_check(b, count, window, err)) return false;
    if (from < 1 || from >= window)
        return err_set(err, "from: expected 1 to %lld, within the window, got %lld", (long long)window - 1,
                       (long long)from);
    QmSession *sa = qm_session_new(a, err), *sb = qm_session_new(b, err);
    float *logits = rows_new(a, err);
    Pair p = {.vocab = vocab, .out = out};
    p.rows_a = mem_new((size_t)window, (size_t)vocab * sizeof(float), "logits of a window", err);
    Progress progress;
    progress_start(&progress, "comparing", count);
    bool ok = sa && sb && logits && p.rows_a;
    for (int64_t n; ok && p.at + 1 < count; p.at += n) {
        n = count - p.at < window ? count - p.at : window;
        p.ids = ids + p.at;
        ok = !stopped(stop, err) && qm_session_crop(sa, 0, err) && qm_session_crop(sb, 0, err) &&
             loglik_feed(a, sa, p.ids, n, from, logits, keep_row, &p, err) &&
             loglik_feed(b, sb, p.ids, n, from, logits, compare_row, &p, err);
        progress_show(&progress, p.at + n);
    }
    progress_end(&progress);
    double tokens = (double)(out->tokens ? out->tokens : 1);
    out->kl_mean = p.kl / tokens;
    out->perplexity_a = exp(p.nll_a / tokens);
    out->perplexity_b = exp(p.nll_b / tokens);
    free(p.rows_a);
    free(logits);
    qm_session_free(sa);
    qm_session_free(sb);
    return ok;
}
