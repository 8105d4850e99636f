/* forward.c: `forward`: logits, hidden states and loss of given ids, as a file: how anyone checks us against another
 * implementation. Rows whose attention_mask is 0 are not fed; their logits and hidden states are zero. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../infer/scores.h"
#include "../io/safetensors.h"
#include "model_options.h"

typedef struct Batch {
    int64_t b, s;
    int32_t *ids, *mask, *positions, *labels;
} Batch; /* mask, positions, labels may be NULL */

/* An integer tensor [B,S] as i32, malloc'ed; NULL if absent or on error. */
static int32_t *read_ints(const SafeTensors *st, const char *name, Batch *batch, Err *err) {
    const SafeTensor *t = safetensors_find(st, name);
    if (!t) return NULL;
    bool wide = t->dtype == DTYPE_I64;
    if (t->rank != 2 || (!wide && t->dtype != DTYPE_I32) ||
        (batch->b && (t->dim[0] != batch->b || t->dim[1] != batch->s)))
        return err_set(err, "%s: expected i32 or i64 of shape [B,S]%s", name, batch->b ? " as input_ids" : ""), NULL;
    batch->b = t->dim[0];
    batch->s = t->dim[1];
    int64_t n = batch->b * batch->s;
    int32_t *out = mem_new((size_t)n, sizeof *out, name, err);
    for (int64_t i = 0; out && i < n; i++) {
        int64_t v = 0;
        int32_t narrow = 0;
        if (wide) memcpy(&v, t->data + i * 8, 8);
        else memcpy(&narrow, t->data + i * 4, 4), v = narrow;
        if (v < INT32_MIN || v > INT32_MAX) {
            err_set(err, "%s[%lld]: %lld is out of range", name, (long long)i, (long long)v);
            free(out);
            return NULL;
        }
        out[i] = (int32_t)v;
    }
    return out;
}

static bool batch_read(Batch *batch, const SafeTensors *st, Err *err) {
    *batch = (Batch){0};
    batch->ids = read_ints(st, "input_ids", batch, err);
    if (!batch->ids && !err->kind) return err_set(err, "input_ids [B,S] is missing");
    batch->mask = err->kind ? NULL : read_ints(st, "attention_mask", batch, err);
    batch->positions = err->kind ? NULL : read_ints(st, "position_ids", batch, err);
    batch->labels = err->kind ? NULL : read_ints(st, "labels", batch, err);
    if (!err->kind && (batch->b < 1 || batch->s < 1)) err_set(err, "input_ids: empty");
    return !err->kind;
}

static void batch_free(Batch *b) { free(b->ids), free(b->mask), free(b->positions), free(b->labels); }

static double nll(const float *row, int64_t vocab, int64_t target) {
    double most = -INFINITY, sum = 0;
    for (int64_t v = 0; v < vocab; v++) if ((double)row[v] > most) most = (double)row[v];
    for (int64_t v = 0; v < vocab; v++) sum += exp((double)row[v] - most);
    return log(sum) + most - (double)row[target];
}

/* One row of the batch: results at their places in logits [B,S,V] and hidden [L+1][B,S,D]. */
static bool forward_row(QmEngine *e, const Batch *batch, int64_t b, int64_t rope_length, float *logits, float *hidden,
                        Err *err) {
    const QmModelInfo *info = qm_engine_info(e);
    int64_t s = batch->s, n = 0, d = info->hidden;
    int32_t *ids = mem_new((size_t)s, 4, "ids", err), *positions = mem_new((size_t)s, 4, "positions", err);
    int64_t *at = mem_new((size_t)s, 8, "rows", err);
    bool ok = ids && positions && at;
    for (int64_t t = 0; ok && t < s; t++) {
        if (batch->mask && !batch->mask[b * s + t]) continue;
        ids[n] = batch->ids[b * s + t];
        positions[n] = batch->positions ? batch->positions[b * s + t] : (int32_t)t;
        at[n++] = t;
    }
    float *out = ok && n ? mem_new((size_t)n, (size_t)info->vocab * 4, "logits", err) : NULL;
    float *states =
        ok && n && hidden ? mem_new((size_t)(n * (info->layers + 1)), (size_t)d * 4, "hidden states", err) : NULL;
    QmSession *session = ok && n ? qm_session_new(e, err) : NULL;
    if (ok && n) {
        QmAppend a = {.session = session,
                      .tokens = ids,
                      .count = n,
                      .positions = positions,
                      .rope_length = rope_length,
                      .logits_from = n,
                      .logits = out,
                      .hidden = states};
        ok = out && session && (!hidden || states) && qm_forward(e, &a, 1, err);
    }
    for (int64_t i = 0; ok && i < n; i++) {
        memcpy(logits + (b * s + at[i]) * info->vocab, out + i * info->vocab, (size_t)info->vocab * 4);
        for (int64_t l = 0; hidden && l <= info->layers; l++)
            memcpy(hidden + ((l * batch->b + b) * s + at[i]) * d, states + (l * n + i) * d, (size_t)d * 4);
    }
    qm_session_free(session);
    free(ids), free(positions), free(at), free(out), free(states);
    return ok;
}

/* Whether every row that was fed can be chosen from; the error names the first that cannot. */
static bool rows_sound(const Batch *batch, const float *logits, int64_t vocab, const char *path, Err *err) {
    for (int64_t i = 0; i < batch->b * batch->s; i++)
        if ((!batch->mask || batch->mask[i]) && !logits_sound(logits + i * vocab, vocab))
            return err_set(err, "the logits of row %lld, position %lld are not numbers (NaN or infinite): a damaged "
                                "checkpoint, or an overflow; %s holds them", (long long)(i / batch->s),
                           (long long)(i % batch->s), path);
    return true;
}

/* Mean over labels, shifted by one; -100 and rows that were not fed do not count. */
static bool mean_loss(const Batch *batch, const float *logits, int64_t vocab, float *loss, Err *err) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < batch->b * batch->s; i++) {
        if (i % batch->s == batch->s - 1 || batch->labels[i + 1] == -100 || (batch->mask && !batch->mask[i])) continue;
        if (batch->labels[i + 1] < 0 || batch->labels[i + 1] >= vocab)
            return err_set(err, "labels[%lld]: %d is neither -100 nor an id below %lld", (long long)i + 1,
                           batch->labels[i + 1], (long long)vocab);
        sum += nll(logits + i * vocab, vocab, batch->labels[i + 1]);
        count++;
    }
    *loss = count ? (float)(sum / (double)count) : 0;
    return true;
}

static bool write_results(const char *path, const QmModelInfo *info, const Batch *b, const float *logits,
                          const float *hidden, const float *loss, Err *err) {
    int64_t n = 0, rows = b->b * b->s;
    SafeTensor *t = mem_new((size_t)info->layers + 3, sizeof *t, "results", err);
    char (*names)[16] = mem_new((size_t)info->layers + 1, sizeof *names, "results", err);
    if (!t || !names) return free(t), free(names), false;
    t[n++] = (SafeTensor){.name = "logits",
                          .dtype = DTYPE_F32,
                          .rank = 3,
                          .dim = {b->b, b->s, info->vocab},
                          .bytes = (size_t)(rows * info->vocab) * 4};
    for (int64_t l = 0; hidden && l <= info->layers; l++) {
        snprintf(names[l], sizeof names[l], "hidden.%d", (int)l);
        t[n++] = (SafeTensor){.name = names[l],
                              .dtype = DTYPE_F32,
                              .rank = 3,
                              .dim = {b->b, b->s, info->hidden},
                              .bytes = (size_t)(rows * info->hidden) * 4};
    }
    if (loss) t[n++] = (SafeTensor){.name = "loss", .dtype = DTYPE_F32, .rank = 0, .bytes = 4};
    SafeWriter *w = safewriter_open(path, t, n, err);
    bool ok = w && safewriter_data(w, logits, t[0].bytes, err);
    if (ok && hidden) ok = safewriter_data(w, hidden, (size_t)((info->layers + 1) * rows * info->hidden) * 4, err);
    if (ok && loss) ok = safewriter_data(w, loss, 4, err);
    if (w && !safewriter_close(w, err)) ok = false;
    free(t);
    free(names);
    return ok;
}

int cmd_forward(int argc, char **argv) {
    ModelOptions m = {0};
    const char *in = NULL, *out = NULL;
    bool want_hidden = false;
    const Option options[] = {
        TEXT("in", 'i', &in, "FILE", "safetensors: input_ids [B,S]; attention_mask, position_ids, labels if there"),
        TEXT("out", 'o', &out, "FILE", "safetensors: logits [B,S,V]; loss if there are labels"),
        FLAG("hidden", 0, &want_hidden, "also hidden.0 .. hidden.L [B,S,D]"),
        MODEL_OPTIONS(m),
    };
    int code = options_parse(argc, argv, "forward -m MODEL --in FILE --out FILE [options]",
                             "Logits that are not numbers (NaN or infinite) are written, and end it with exit code 1.",
                             options,                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!in || !out) return usage_error("forward", "expected --in FILE and --out FILE");
    Err err = {0};
    if (!can_write(out, &err)) return fail(&err);
    SafeTensors st;
    Batch batch;
    if (!output_apart(in, out, &err) || !safetensors_open(&st, in, &err)) return fail(&err);
    bool ok = batch_read(&batch, &st, &err);
    safetensors_close(&st);
    if (!ok) err_prefix(&err, "%s", in);
    m.engine.slots = 1;
    if (ok && m.engine.context == 0) m.engine.context = batch.s;
    QmEngine *e = ok ? model_open("forward", &m, want_hidden, &code) : NULL;
    if (ok && !e) return batch_free(&batch), code;
    const QmModelInfo *info = e ? qm_engine_info(e) : NULL;
    size_t rows = (size_t)(batch.b * batch.s), hidden_rows = 0;
    float *logits = e ? mem_new(rows, (size_t)info->vocab * 4, "logits", &err) : NULL, *hidden = NULL, loss = 0;
    if (e && want_hidden && size_mul(rows, (size_t)info->layers + 1, &hidden_rows))
        hidden = mem_new(hidden_rows, (size_t)info->hidden * 4, "hidden states", &err);
    ok = ok && logits && (!want_hidden || hidden);
    int64_t length = 0; /* a batch goes by its longest row, as in the reference */
    for (int64_t i = 0; ok && batch.positions && i < batch.b * batch.s; i++)
        if (batch.positions[i] + 1 > length) length = batch.positions[i] + 1;
    for (int64_t b = 0; ok && b < batch.b; b++) ok = forward_row(e, &batch, b, length, logits, hidden, &err);
    if (ok && batch.labels) ok = mean_loss(&batch, logits, info->vocab, &loss, &err);
    ok = ok && write_results(out, info, &batch, logits, hidden, batch.labels ? &loss : NULL, &err);
    ok = ok && rows_sound(&batch, logits, info->vocab, out, &err);
    if (ok && batch.labels) printf("loss %.6f\n", (double)loss);
    free(logits);
    free(hidden);
    batch_free(&batch);
    qm_engine_close(e);
    return ok ? EXIT_OK : fail(&err);
}
