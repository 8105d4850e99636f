/* head_loss.c: see head_loss.h. */
#include <math.h>
#include <stdlib.h>
#include "../ops/lanes.h"
#include "../ops/loss.h"
#include "head_loss.h"

double cross_entropy(const float *row, int64_t columns, int64_t target) {
    return (double)logits_loss(row, columns, target);
}

enum { IGNORED = -100 };

static bool label_check(int64_t label, int64_t columns, const char *name, int64_t at, Err *err) {
    return (label >= 0 && label < columns) ||
           err_set(err, "%s[%lld]: %lld is neither -100 nor an id below %lld", name, (long long)at, (long long)label,
                   (long long)columns);
}

/* Losses of sequence b's labels, from at[b] on; at[b + 1]: where they end. */
static bool sequence_losses(const HeadRows *r, const int32_t *labels, bool shifted, int64_t b, double *losses,
                            int64_t *at, Err *err) {
    at[b + 1] = at[b];
    for (int64_t i = b * r->s; i < (b + 1) * r->s; i++) {
        int64_t of = i + shifted;
        if ((shifted && i % r->s == r->s - 1) || labels[of] == IGNORED || !head_fed(r, i)) continue;
        if (!label_check(labels[of], r->columns, "labels", of, err)) return false;
        losses[at[b + 1]++] = cross_entropy(r->values + i * r->columns, r->columns, labels[of]);
    }
    return true;
}

bool loss_tokens(const HeadRows *r, const int32_t *labels, bool shifted, double *loss, Err *err) {
    double *losses = mem_new((size_t)(r->b * r->s), sizeof *losses, "losses", err);
    int64_t *at = mem_new((size_t)r->b + 1, sizeof *at, "losses", err);
    bool ok = losses && at;
    for (int64_t b = 0; ok && b < r->b; b++) ok = sequence_losses(r, labels, shifted, b, losses, at, err);
    if (ok) *loss = at[r->b] ? lanes_sum(losses, r->b, at) / (double)at[r->b] : 0;
    free(losses);
    free(at);
    return ok;
}

int64_t pool_row(const HeadRows *r, int64_t b, int32_t pad, Err *err) {
    if (pad < 0 && r->b > 1) {
        err_set(err, "config.json has no pad_token_id, which a batch of %lld sequences needs: give one sequence at a "
                     "time", (long long)r->b);
        return -1;
    }
    int64_t at = r->s - 1;
    while (pad >= 0 && at > 0 && r->ids[b * r->s + at] == pad) at--;
    if (head_fed(r, b * r->s + at)) return b * r->s + at;
    err_set(err, "input_ids[%lld]: position %lld holds the last id that is not padding (%d), but attention_mask is 0 "
                 "there", (long long)b, (long long)at, pad);
    return -1;
}

bool loss_classes(const float *scores, int64_t b, int64_t columns, const int32_t *labels, double *loss, Err *err) {
    const HeadRows rows = {.b = b, .s = 1, .columns = columns, .values = scores};
    return loss_tokens(&rows, labels, false, loss, err);
}

double loss_squares(const float *scores, int64_t count, const float *values) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = (double)scores[i] - (double)values[i];
        sum += difference * difference;
    }
    return count ? sum / (double)count : 0;
}

/* -y log(sigmoid(x)) - (1 - y) log(1 - sigmoid(x)), without overflow: max(x, 0) - x y + log(1 + exp(-|x|)) */
double loss_binary(const float *scores, int64_t count, const float *values) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = (double)scores[i], y = (double)values[i];
        sum += (x > 0 ? x : 0) - x * y + log1p(exp(-fabs(x)));
    }
    return count ? sum / (double)count : 0;
}

/* Of one end of the span: column 0 begins, 1 ends. */
static bool span_end(const HeadRows *r, const int32_t *positions, int column, double *loss, Err *err) {
    double total = 0;
    int64_t count = 0;
    for (int64_t b = 0; b < r->b; b++) {
        int64_t target = positions[b] < 0 ? 0 : positions[b], row = b * r->s;
        if (target >= r->s) continue;
        if (!head_fed(r, row + target))
            return err_set(err, "%s_positions[%lld]: attention_mask is 0 at position %lld", column ? "end" : "start",
                           (long long)b, (long long)target);
        double most = -INFINITY, sum = 0;
        for (int64_t t = 0; t < r->s; t++)
            if (head_fed(r, row + t)) most = fmax(most, (double)r->values[(row + t) * 2 + column]);
        for (int64_t t = 0; t < r->s; t++)
            if (head_fed(r, row + t)) sum += exp((double)r->values[(row + t) * 2 + column] - most);
        total += log(sum) + most - (double)r->values[(row + target) * 2 + column];
        count++;
    }
    *loss = count ? total / (double)count : 0;
    return true;
}

bool loss_span(const HeadRows *r, const int32_t *starts, const int32_t *ends, double *loss, Err *err) {
    double start, end;
    if (!span_end(r, starts, 0, &start, err) || !span_end(r, ends, 1, &end, err)) return false;
    *loss = (start + end) / 2;
    return true;
}
