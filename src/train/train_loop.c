/* train_loop.c: see train_loop.h. */
#include <math.h>
#include <stdlib.h>
#include "../base/watch.h"
#include "train_loop.h"

/* EVALUATED_AT_ONCE: losses of evaluation are added in groups of so many rows, whatever is trained at once. LOST_STEPS:
 * so many in a row without a finite loss, and it will not come back by itself. */
enum { EVALUATED_AT_ONCE = 64, LOST_STEPS = 16 };

/* What one call of train_loop needs. */
typedef struct Run {
    TrainLoop *loop;
    TrainRow *row; /* [of a step, or of a group of an evaluation] */
    int64_t saved; /* the last step that is in a checkpoint       */
    int lost;      /* steps in a row whose loss is not finite     */
} Run;

static double epochs_of(const TrainLoop *l) {
    return (double)l->state.step / (double)(l->length.steps_of_epoch > 0 ? l->length.steps_of_epoch : 1);
}

static bool tell(const TrainLoop *l, TrainEvent event, Err *err) {
    event.step = l->state.step;
    event.steps = l->length.steps;
    event.epoch = epochs_of(l);
    return !l->ear.tell || l->ear.tell(l->ear.owner, &event, err);
}

static bool stopped(const TrainLoop *l) { return l->stop && l->stop(); }

/* ---- A step ------------------------------------------------------------------------------------------------------ */

/* The rows of the step after those that are done: an epoch's last ones may be fewer. -1 on error. */
static int64_t rows_of_step(Run *run, Err *err) {
    TrainLoop *l = run->loop;
    int64_t batch = l->options->batch, epoch = l->state.step / l->length.steps_of_epoch;
    int64_t first = l->state.step % l->length.steps_of_epoch * batch, count = l->feed.rows - first;
    if (count > batch) count = batch;
    for (int64_t i = 0; i < count; i++) {
        const TrainRow *row = l->feed.row(l->feed.owner, epoch, first + i, err);
        if (!row) return -1;
        run->row[i] = *row;
    }
    return count;
}

/* What the step before told of the next one's limits. */
static void limits_of(const TrainLoop *l, StepNumbers *n) {
    double z = l->options->skip_outliers;
    if (!(z > 0)) return;
    n->skip_loss = outliers_limit(&l->state.losses, z);
    n->skip_norm = outliers_limit(&l->state.norms, z);
}

/* Why an update was left out, said aloud. */
static const char *why_skipped(const TrainLoop *l, const StepNumbers *n, const StepResult *r) {
    long long step = (long long)l->state.step;
    if (!isfinite(r->loss) || !isfinite(r->grad_norm)) {
        watch_say(QM_WARNING, "step %lld is skipped: its loss is %g, its gradient norm %g", step, r->loss,
                  r->grad_norm);
        return "not finite";
    }
    bool loss = n->skip_loss > 0 && r->loss > n->skip_loss;
    watch_say(QM_WARNING, "step %lld is skipped: its %s %g is above %g (--skip-outliers)", step,
              loss ? "loss" : "gradient norm", loss ? r->loss : r->grad_norm, loss ? n->skip_loss : n->skip_norm);
    return loss ? "loss" : "grad_norm";
}

static bool step(Run *run, Err *err) {
    TrainLoop *l = run->loop;
    LoopState *s = &l->state;
    StepNumbers n = train_step_numbers(l->options, &l->schedule, s->step + 1);
    StepResult r = {0};
    double start = clock_seconds();
    limits_of(l, &n);
    int64_t count = rows_of_step(run, err);
    if (count < 0 || !l->model.step(l->model.owner, run->row, count, &n, &r, err)) return false;
    s->step++;
    s->labels += r.labels;
    s->tokens += r.tokens;
    s->skipped += r.skipped;
    run->lost = isfinite(r.loss) ? 0 : run->lost + 1;
    if (l->options->skip_outliers > 0) outliers_add(&s->losses, r.loss), outliers_add(&s->norms, r.grad_norm);
    TrainEvent e = {.kind = TRAIN_STEPPED,
                    .loss = r.loss,
                    .grad_norm = r.grad_norm,
                    .learning_rate = n.learning_rate,
                    .labels = r.labels,
                    .tokens = r.tokens,
                    .seconds = clock_seconds() - start};
    if (r.skipped) e.skipped = why_skipped(l, &n, &r);
    if (!tell(l, e, err)) return false;
    return run->lost < LOST_STEPS ||
           err_set(err,
                   "no finite loss in the last %d steps, from %lld on: expected a lower --learning-rate or other "
                   "data; the last checkpoint is of step %lld",
                   LOST_STEPS, (long long)(s->step - LOST_STEPS + 1), (long long)run->saved);
}

/* ---- Between steps ----------------------------------------------------------------------------------------------- */

static bool evaluation_due(const TrainLoop *l) {
    const LoopState *s = &l->state;
    if ((!l->feed.eval_rows && !l->model.score) || s->evaluated == s->step) return false;
    if (s->step == 0) return l->options->eval_on_start;
    int64_t every = l->options->eval_steps ? l->options->eval_steps : l->length.steps_of_epoch;
    return s->step % every == 0 || s->step == l->length.steps;
}

static bool evaluate(Run *run, Err *err) {
    TrainLoop *l = run->loop;
    LoopState *s = &l->state;
    double start = clock_seconds(), sum = 0;
    int64_t all = 0, tokens = 0;
    for (int64_t at = 0, count; at < l->feed.eval_rows; at += count) {
        double loss = 0;
        int64_t labels = 0;
        count = l->feed.eval_rows - at < EVALUATED_AT_ONCE ? l->feed.eval_rows - at : EVALUATED_AT_ONCE;
        for (int64_t i = 0; i < count; i++) {
            const TrainRow *row = l->feed.eval_row(l->feed.owner, at + i, err);
            if (!row) return false;
            run->row[i] = *row;
            tokens += row->tokens;
        }
        if (stopped(l)) return err_as(err, QM_INTERRUPTED, "interrupted");
        if (!l->model.evaluate(l->model.owner, run->row, count, &loss, &labels, err)) return false;
        sum += loss;
        all += labels;
    }
    double score = 0;
    if (l->model.score && !l->model.score(l->model.owner, &score, err)) return false;
    s->eval_loss = all > 0 ? sum / (double)all : NAN;
    s->evaluated = s->step;
    TrainEvent e = {.kind = TRAIN_EVALUATED,
                    .loss = s->eval_loss,
                    .perplexity = exp(s->eval_loss),
                    .labels = all,
                    .tokens = tokens,
                    .scored = l->model.score != NULL,
                    .score = score,
                    .seconds = clock_seconds() - start};
    if (l->model.metrics && !l->model.metrics(l->model.owner, e.metrics, &e.metric_count, err)) return false;
    if (s->step > 0 && isfinite(s->eval_loss) && (!s->best_step || s->eval_loss < s->best_loss)) {
        s->best_step = s->step;
        s->best_loss = s->eval_loss;
        e.best = true;
    }
    return tell(l, e, err);
}

static bool save_due(const TrainLoop *l) {
    int64_t every = l->options->save_steps;
    return every > 0 && l->state.step > 0 && (l->state.step % every == 0 || l->state.step == l->length.steps);
}

static bool save(Run *run, Err *err) {
    TrainLoop *l = run->loop;
    LoopState *s = &l->state;
    double start = clock_seconds();
    if (run->saved == s->step) return true;
    if (s->evaluated == s->step && isfinite(s->eval_loss) && (!s->kept_step || s->eval_loss < s->kept_loss))
        s->kept_step = s->step, s->kept_loss = s->eval_loss;
    if (!l->saver.save(l->saver.owner, s, err)) return false;
    run->saved = s->step;
    return tell(l, (TrainEvent){.kind = TRAIN_SAVED, .seconds = clock_seconds() - start}, err);
}

/* What is due after the last step, which an earlier run may not have come to. */
static bool between(Run *run, Err *err) {
    if (evaluation_due(run->loop) && !evaluate(run, err)) return false;
    return !save_due(run->loop) || save(run, err);
}

bool train_loop(TrainLoop *l, Err *err) {
    int64_t most = l->options->batch > EVALUATED_AT_ONCE ? l->options->batch : EVALUATED_AT_ONCE;
    Run run = {.loop = l, .saved = l->state.step, .row = mem_new((size_t)most, sizeof *run.row, "rows of a step", err)};
    bool ok = run.row && tell(l, (TrainEvent){.kind = TRAIN_BEGUN}, err) && between(&run, err);
    while (ok && l->state.step < l->length.steps)
        ok = (!stopped(l) || err_as(err, QM_INTERRUPTED, "interrupted")) && step(&run, err) && between(&run, err);
    if (!ok && err->kind == QM_INTERRUPTED) {
        Err failed = {0};
        *err = (Err){0};
        err_as(err, QM_INTERRUPTED, "interrupted after step %lld", (long long)l->state.step);
        if (!save(&run, &failed)) *err = failed; /* worse than an interrupt: what is done is lost */
    }
    free(run.row);
    return ok;
}
