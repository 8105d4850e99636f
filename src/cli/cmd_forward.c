/* cmd_forward.c: `forward`: what a model makes of given ids, and the loss of labels, as a file: how anyone checks us
 * against another implementation. Rows whose attention_mask is 0 are not fed; their logits and hidden states are zero. */
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../eval/head_loss.h"
#include "../eval/loglik.h"
#include "../io/safetensors.h"
#include "forward_batch.h"
#include "model_options.h"

/* What comes of a batch: `values` [b * s][columns] of the model's output, then the tensors that the file gets. */
typedef struct Results {
    const QmModelInfo *info;
    const char *output;      /* the model's name of it */
    int64_t columns;
    float *values, *hidden;  /* hidden [layers + 1][b * s][d], or NULL */
    float *split[2];         /* made of values: pooled rows; where an answer begins and ends */
    float loss;
    bool has_loss;
} Results;

/* One sequence of the batch: results at their places. */
static bool forward_row(QmEngine *e, const ForwardBatch *batch, int64_t b, int64_t rope_length, Results *r, Err *err) {
    int64_t s = batch->s, n = 0, d = r->info->hidden, layers = r->info->layers;
    int32_t *ids = mem_new((size_t)s, 4, "ids", err), *positions = mem_new((size_t)s, 4, "positions", err);
    int64_t *at = mem_new((size_t)s, 8, "rows", err);
    bool ok = ids && positions && at;
    for (int64_t t = 0; ok && t < s; t++) {
        if (batch->mask && !batch->mask[b * s + t]) continue;
        ids[n] = batch->ids[b * s + t];
        positions[n] = batch->positions ? batch->positions[b * s + t] : (int32_t)t;
        at[n++] = t;
    }
    float *out = ok && n ? mem_new((size_t)n, (size_t)r->columns * 4, "logits", err) : NULL;
    float *states = NULL;
    if (ok && n && r->hidden) states = mem_new((size_t)(n * (layers + 1)), (size_t)d * 4, "hidden states", err);
    QmSession *session = ok && n ? qm_session_new(e, err) : NULL;
    if (ok && n) {
        QmOutput output = {r->output, out};
        QmAppend a = {.session = session, .tokens = ids, .count = n, .positions = positions,
                      .rope_length = rope_length, .logits_from = n, .outputs = &output, .output_count = 1,
                      .hidden = states};
        ok = out && session && (!r->hidden || states) && qm_forward(e, &a, 1, err);
    }
    for (int64_t i = 0; ok && i < n; i++) {
        memcpy(r->values + (b * s + at[i]) * r->columns, out + i * r->columns, (size_t)r->columns * 4);
        for (int64_t l = 0; r->hidden && l <= layers; l++)
            memcpy(r->hidden + ((l * batch->b + b) * s + at[i]) * d, states + (l * n + i) * d, (size_t)d * 4);
    }
    qm_session_free(session);
    free(ids), free(positions), free(at), free(out), free(states);
    return ok;
}

static bool forward_all(QmEngine *e, const ForwardBatch *batch, bool hidden, Results *r, Err *err) {
    size_t rows = (size_t)(batch->b * batch->s), hidden_rows = 0;
    int64_t length = 0; /* a batch goes by its longest row, as in the reference */
    r->info = qm_engine_info(e);
    r->output = qm_engine_output(e, "logits") ? "logits" : "states";
    r->columns = qm_engine_output(e, r->output);
    if (!(r->values = mem_new(rows, (size_t)r->columns * 4, "logits", err))) return false;
    if (hidden && (!size_mul(rows, (size_t)r->info->layers + 1, &hidden_rows) ||
                   !(r->hidden = mem_new(hidden_rows, (size_t)r->info->hidden * 4, "hidden states", err))))
        return false;
    for (int64_t i = 0; batch->positions && i < batch->b * batch->s; i++)
        if (batch->positions[i] + 1 > length) length = batch->positions[i] + 1;
    for (int64_t b = 0; b < batch->b; b++)
        if (!forward_row(e, batch, b, length, r, err)) return false;
    return true;
}

/* Whether every row that was fed can be chosen from; the error names the first that cannot. */
static bool rows_sound(const ForwardBatch *batch, const Results *r, const char *path, Err *err) {
    for (int64_t i = 0; i < batch->b * batch->s; i++)
        if ((!batch->mask || batch->mask[i]) && !row_sound(r->values + i * r->columns, r->columns))
            return err_set(err, "the %s of row %lld, position %lld are not numbers (NaN or infinite): a damaged "
                                "checkpoint, or an overflow; %s holds them", r->output, (long long)(i / batch->s),
                           (long long)(i % batch->s), path);
    return true;
}

/* ---- What each head writes --------------------------------------------------------------------------------------- */

static HeadRows head_rows(const ForwardBatch *b, const Results *r) {
    return (HeadRows){.b = b->b, .s = b->s, .columns = r->columns, .ids = b->ids, .mask = b->mask, .values = r->values};
}

/* Labels of tokens: of a causal model for the row before. */
static bool tokens_loss(const ForwardBatch *batch, bool shifted, Results *r, double *loss, Err *err) {
    HeadRows rows = head_rows(batch, r);
    if (!batch->labels || !forward_labels(batch, batch->b, batch->s))
        return err_set(err, "labels: expected i32 or i64 of shape [B,S] as input_ids");
    return loss_tokens(&rows, batch->labels, shifted, loss, err);
}

/* As transformers: what `problem_type` says, else whole numbers name a class, one label is a regression, and several
 * with numbers are each its own. */
static bool classes_loss(const ForwardBatch *batch, const Results *r, double *loss, Err *err) {
    const char *problem = r->info->problem_type;
    int64_t b = batch->b, n = r->columns;
    bool regression = *problem ? !strcmp(problem, "regression") : n == 1;
    bool binary = *problem ? !strcmp(problem, "multi_label_classification") : batch->label_values != NULL;
    if (!regression && !binary) {
        if (!batch->labels || !forward_labels(batch, b, 0))
            return err_set(err, "labels: expected i32 or i64 of shape [B]");
        return loss_classes(r->split[0], b, n, batch->labels, loss, err);
    }
    if (!batch->label_values || !(forward_labels(batch, b, n) || (n == 1 && forward_labels(batch, b, 0))))
        return err_set(err, "labels: expected f32 of shape [B%s] of a head of %lld labels", n == 1 ? "" : ",labels",
                       (long long)n);
    *loss = (regression ? loss_squares : loss_binary)(r->split[0], b * n, batch->label_values);
    return true;
}

static bool pooled(const ForwardBatch *batch, Results *r, double *loss, Err *err) {
    HeadRows rows = head_rows(batch, r);
    if (!(r->split[0] = mem_new((size_t)batch->b, (size_t)r->columns * 4, "logits", err))) return false;
    for (int64_t b = 0; b < batch->b; b++) {
        int64_t row = pool_row(&rows, b, r->info->pad_id, err);
        if (row < 0) return false;
        memcpy(r->split[0] + b * r->columns, r->values + row * r->columns, (size_t)r->columns * 4);
    }
    r->has_loss = batch->labels || batch->label_values;
    return !r->has_loss || classes_loss(batch, r, loss, err);
}

static bool span(const ForwardBatch *batch, Results *r, double *loss, Err *err) {
    HeadRows rows = head_rows(batch, r);
    for (int i = 0; i < 2; i++) {
        if (!(r->split[i] = mem_new((size_t)(batch->b * batch->s), 4, "logits", err))) return false;
        for (int64_t t = 0; t < batch->b * batch->s; t++) r->split[i][t] = r->values[t * 2 + i];
    }
    if (!batch->starts != !batch->ends) return err_set(err, "expected start_positions and end_positions, or neither");
    r->has_loss = batch->starts != NULL;
    return !r->has_loss || loss_span(&rows, batch->starts, batch->ends, loss, err);
}

static bool results_make(const ForwardBatch *batch, Results *r, Err *err) {
    double loss = 0;
    const char *head = r->info->head;
    bool ok = true;
    if (!strcmp(head, "sequence")) ok = pooled(batch, r, &loss, err);
    else if (!strcmp(head, "question")) ok = span(batch, r, &loss, err);
    else if (strcmp(head, "none")) {
        r->has_loss = batch->labels || batch->label_values;
        ok = !r->has_loss || tokens_loss(batch, !strcmp(head, "causal"), r, &loss, err);
    }
    r->loss = (float)loss;
    return ok;
}

static void results_free(Results *r) { free(r->values), free(r->hidden), free(r->split[0]), free(r->split[1]); }

/* ---- The file ---------------------------------------------------------------------------------------------------- */

typedef struct Written { SafeTensor *tensor; const float **data; int64_t count; } Written;

static void add_tensor(Written *w, const char *name, const float *data, int rank, int64_t b, int64_t s, int64_t n) {
    const int64_t dim[3] = {b, s, n};
    SafeTensor *t = &w->tensor[w->count];
    *t = (SafeTensor){.name = name, .dtype = DTYPE_F32, .rank = rank, .bytes = sizeof(float)};
    for (int i = 0; i < rank; i++) t->dim[i] = dim[i], t->bytes *= (size_t)dim[i];
    w->data[w->count++] = data;
}

/* Under the names that transformers' results have. */
static void add_head(Written *w, const ForwardBatch *b, const Results *r) {
    const char *head = r->info->head;
    if (!strcmp(head, "sequence")) add_tensor(w, "logits", r->split[0], 2, b->b, r->columns, 0);
    else if (!strcmp(head, "question")) {
        add_tensor(w, "start_logits", r->split[0], 2, b->b, b->s, 0);
        add_tensor(w, "end_logits", r->split[1], 2, b->b, b->s, 0);
    } else add_tensor(w, strcmp(head, "none") ? "logits" : "last_hidden_state", r->values, 3, b->b, b->s, r->columns);
}

static bool results_write(const char *path, const ForwardBatch *b, const Results *r, Err *err) {
    size_t most = (size_t)r->info->layers + 4;
    char (*names)[16] = mem_new(most, sizeof *names, "results", err);
    Written w = {mem_new(most, sizeof *w.tensor, "results", err), mem_new(most, sizeof *w.data, "results", err), 0};
    bool ok = names && w.tensor && w.data;
    if (ok) add_head(&w, b, r);
    for (int64_t l = 0; ok && r->hidden && l <= r->info->layers; l++) {
        snprintf(names[l], sizeof names[l], "hidden.%d", (int)l);
        add_tensor(&w, names[l], r->hidden + l * b->b * b->s * r->info->hidden, 3, b->b, b->s, r->info->hidden);
    }
    if (ok && r->has_loss) add_tensor(&w, "loss", &r->loss, 0, 0, 0, 0);
    SafeWriter *file = ok ? safewriter_open(path, w.tensor, w.count, err) : NULL;
    for (int64_t i = 0; file && ok && i < w.count; i++) ok = safewriter_data(file, w.data[i], w.tensor[i].bytes, err);
    if (file && !safewriter_close(file, err)) ok = false;
    free(names), free(w.tensor), free(w.data);
    return ok && file;
}

static const char notes[] =
    "What is written goes by the model's head: of a causal model logits [B,S,V]; ForSequenceClassification logits\n"
    "[B,labels] of the last id that is not padding; ForTokenClassification logits [B,S,labels];\n"
    "ForQuestionAnswering start_logits and end_logits [B,S]; without a head last_hidden_state [B,S,D]. loss: of\n"
    "labels as transformers takes them ([B,S]; [B]; f32 [B] or [B,labels]), or of start_positions and\n"
    "end_positions [B].\n"
    "Logits that are not numbers (NaN or infinite) are written, and end it with exit code 1.";

int cmd_forward(int argc, char **argv) {
    ModelOptions m = {0};
    const char *in = NULL, *out = NULL;
    bool want_hidden = false;
    const Option options[] = {
        TEXT("in", 'i', &in, "FILE", "safetensors: input_ids [B,S]; attention_mask, position_ids, labels if there"),
        TEXT("out", 'o', &out, "FILE", "safetensors: logits; loss if there are labels"),
        FLAG("hidden", 0, &want_hidden, "also hidden.0 .. hidden.L [B,S,D]"),
        MODEL_OPTIONS(m),
    };
    int code = options_parse(argc, argv, "forward -m MODEL --in FILE --out FILE [options]", notes, options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!in || !out) return usage_error("forward", "expected --in FILE and --out FILE");
    Err err = {0};
    ForwardBatch batch = {0};
    Results r = {0};
    bool ok = can_write(out, &err) && output_apart(in, out, &err) && forward_batch_read(&batch, in, &err);
    m.engine.slots = 1;
    if (ok && m.engine.context == 0) m.engine.context = batch.s;
    QmEngine *e = ok ? model_open("forward", &m, want_hidden, &code) : NULL;
    if (ok && !e) return forward_batch_free(&batch), code;
    ok = ok && forward_all(e, &batch, want_hidden, &r, &err) && results_make(&batch, &r, &err) &&
         results_write(out, &batch, &r, &err) && rows_sound(&batch, &r, out, &err);
    if (ok && r.has_loss) printf("loss %.6f\n", (double)r.loss);
    results_free(&r);
    forward_batch_free(&batch);
    qm_engine_close(e);
    return ok ? EXIT_OK : fail(&err);
}
