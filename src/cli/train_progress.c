/* train_progress.c: see train_progress.h. */
#include "train_progress.h"
#include "watch_terminal.h"

static void duration(char out[32], double seconds) {
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, 32, "%lld:%02lld", s / 60, s % 60);
}

/* Lines of their own above the bar, which is drawn again at the next step. */
static void clear_bar(const TrainProgress *s) {
    if (s->bar) fprintf(stderr, "\r\033[K");
}

static void begin(TrainProgress *s, int64_t step, int64_t steps) {
    s->bar = watch_terminal_bar();
    s->first = step;
    s->begun = clock_seconds();
    snprintf(s->label, sizeof s->label, "step %lld/%lld", (long long)step, (long long)steps);
    progress_start(&s->progress, s->label, steps - step);
}

static void stepped(TrainProgress *s, const TrainEvent *e) {
    char left[32];
    s->steps++;
    s->tokens += e->tokens;
    s->all_tokens += e->tokens;
    s->labels += e->labels;
    s->seconds += e->seconds;
    s->busy += e->seconds;
    s->loss += e->loss * (double)e->labels;
    double speed = s->busy > 0 ? (double)s->all_tokens / s->busy : 0;
    snprintf(s->label, sizeof s->label, "step %lld/%lld  loss %.4f  %.0f tok/s", (long long)e->step,
             (long long)e->steps, e->loss, speed);
    if (s->bar) {
        progress_show(&s->progress, e->step - s->first);
        return;
    }
    if (s->steps < s->every && e->step < e->steps && s->first + 1 < e->step) return;
    duration(left, (clock_seconds() - s->begun) / (double)(e->step - s->first) * (double)(e->steps - e->step));
    fprintf(stderr, "step %lld/%lld  epoch %.2f  loss %.4f  norm %.3g  lr %.3g  %.0f tok/s  %s left\n",
            (long long)e->step, (long long)e->steps, e->epoch, s->loss / (double)(s->labels > 0 ? s->labels : 1),
            e->grad_norm, e->learning_rate, s->seconds > 0 ? (double)s->tokens / s->seconds : 0, left);
    s->steps = s->tokens = s->labels = 0;
    s->loss = s->seconds = 0;
}

bool train_progress_tell(void *progress, const TrainEvent *e, Err *err) {
    TrainProgress *s = progress;
    (void)err;
    if (e->kind == TRAIN_BEGUN) return begin(s, e->step, e->steps), true;
    if (e->kind == TRAIN_STEPPED) return stepped(s, e), true;
    clear_bar(s);
    if (e->kind == TRAIN_SAVED)
        fprintf(stderr, "step %lld: checkpoint saved in %.1f s\n", (long long)e->step, e->seconds);
    else {
        fprintf(stderr, "step %lld: evaluation", (long long)e->step);
        if (e->labels) fprintf(stderr, " loss %.4f", e->loss);
        if (e->labels && !e->metric_count) fprintf(stderr, ", perplexity %.4g", e->perplexity);
        for (int i = 0; i < e->metric_count; i++)
            fprintf(stderr, ", %s %.4f", e->metrics[i].name, e->metrics[i].value);
        if (e->scored) fprintf(stderr, "%s %.2f %% right", e->labels ? "," : "", 100 * e->score);
        fprintf(stderr, "%s\n", e->best ? ", the best so far" : "");
    }
    return true;
}

void train_progress_end(TrainProgress *s) {
    if (s->progress.watch) progress_end(&s->progress);
}
