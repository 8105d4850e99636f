/* embed_texts.c: a vector for each text: the state of its last token after the final norm, or the mean of all its
 * tokens' states, divided by its length (L2). Source: sentence-transformers 5, models/Pooling.py and Normalize.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/base.h"

static const double LEAST_LENGTH = 1e-12; /* of a vector that is divided by it */

/* Texts that are fed together, a session each, and `states` [count][columns] of the one token, or of all. */
typedef struct Together {
    QmSession **session;
    QmAppend *append;
    QmOutput *output;
    int64_t texts;
} Together;

static bool together_new(Together *t, int64_t most, Err *err) {
    size_t n = (size_t)most;
    *t = (Together){0};
    return (t->session = mem_new(n, sizeof *t->session, "texts", err)) &&
           (t->append = mem_new(n, sizeof *t->append, "texts", err)) &&
           (t->output = mem_new(n, sizeof *t->output, "texts", err));
}

static void together_free(Together *t) {
    for (int64_t i = 0; i < t->texts; i++) qm_session_free(t->session[i]), free(t->output[i].values);
    free(t->session);
    free(t->append);
    free(t->output);
}

/* The rows' mean, or the row itself; normalised if wanted. False: they are not numbers. */
static bool pool(const QmPooling *p, const float *states, int64_t rows, int64_t columns, float *vector) {
    double length = 0;
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)states[r * columns + c];
        if (!isfinite(sum)) return false;
        vector[c] = (float)(sum / (double)rows);
        length += (double)vector[c] * (double)vector[c];
    }
    length = sqrt(length) > LEAST_LENGTH ? sqrt(length) : LEAST_LENGTH;
    for (int64_t c = 0; p->normalize && c < columns; c++) vector[c] = (float)((double)vector[c] / length);
    return true;
}

/* As many of `count` texts as there are free slots, one at least, into vectors. Returns how many are done; fewer than it
 * took with an error. */
static int64_t group_run(QmEngine *e, const QmPooling *p, const int32_t *const *ids, const int64_t *counts,
                         int64_t count, int64_t columns, float *vectors, Err *err) {
    Together t;
    int64_t most = qm_engine_info(e)->slots, done = 0;
    bool ok = together_new(&t, most < count ? most : count, err);
    for (int64_t i = 0; ok && i < count && i < most; i++) {
        Err why = {0};
        if (counts[i] < 1) err_set(&why, "no tokens");
        else t.session[i] = qm_session_new(e, &why);
        if (!t.session[i]) { /* where some go, the next group finds out */
            ok = i > 0 || err_from(err, &why);
            break;
        }
        int64_t rows = p->mean ? counts[i] : 1;
        t.output[t.texts++] = (QmOutput){"states", mem_new((size_t)rows, (size_t)columns * sizeof(float), "states", err)};
        t.append[i] = (QmAppend){.session = t.session[i], .tokens = ids[i], .count = counts[i], .logits_from = rows,
                                 .outputs = &t.output[i], .output_count = 1};
        ok = t.output[i].values != NULL;
    }
    ok = ok && qm_forward(e, t.append, (int)t.texts, err);
    for (int64_t i = 0; ok && i < t.texts; i++) {
        ok = pool(p, t.output[i].values, p->mean ? counts[i] : 1, columns, vectors + i * columns) ||
             err_set(err, "the states are not numbers (NaN or infinite): a damaged checkpoint, or an overflow");
        done += ok;
    }
    together_free(&t);
    return done;
}

int64_t qm_embed(QmEngine *e, const QmPooling *pooling, const int32_t *const *ids, const int64_t *counts, int64_t count,
                 float *vectors, QmErr *err) {
    int64_t columns = qm_engine_output(e, "states"), done = 0;
    if (!columns) {
        err_as(err, QM_USAGE, "vectors: expected an engine of head \"none\", got \"%s\"", qm_engine_info(e)->head);
        return 0;
    }
    while (done < count && !err->kind)
        done += group_run(e, pooling, ids + done, counts + done, count - done, columns, vectors + done * columns, err);
    return done;
}
