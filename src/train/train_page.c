/* train_page.c: see train_page.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../base/watch.h"
#include "../eval/report.h"
#include "train_page.h"

struct TrainPage {
    const char *path;
    Text title, settings;
    Curve loss, norm, rate, speed, eval, perplexity, score;
    TrainEvent last, evaluated, best;
    double begun, written, busy;    /* busy: seconds of the steps of this run */
    int64_t steps, tokens, skipped; /* of this run */
    bool complained;
};

TrainPage *train_page_open(const char *path, const char *title, const char *settings, Err *err) {
    Output out;
    if (!output_open(&out, path, err)) return NULL;
    output_close(&out); /* it can be written: what is there stays until the first page */
    TrainPage *p = mem_new(1, sizeof *p, "the page", err);
    if (!p) return NULL;
    p->path = path;
    p->begun = clock_seconds();
    text_add(&p->title, title, strlen(title));
    text_add(&p->settings, settings, strlen(settings));
    if (text_ok(&p->title, "the page", err) && text_ok(&p->settings, "the page", err)) return p;
    text_free(&p->title), text_free(&p->settings), free(p);
    return NULL;
}

/* ---- The page ---------------------------------------------------------------------------------------------------- */

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<meta name=\"viewport\" content=\"width=device-width\">";
static const char styles[] =
    "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 "
    "1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border:1px solid #ccc;text-align:left}"
    "svg{width:100%;height:auto;display:block;margin:.5em 0;background:#fff}progress{width:100%}"
    "details{margin:1em 0}summary{cursor:pointer}</style></head><body>\n";

static void row(Text *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void row(Text *out, const char *name, const char *format, ...) {
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_line(out, "<tr><th>%s</th><td>%s</td></tr>", name, text);
}

static void duration(char out[32], double seconds) {
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(out, 32, "%lld:%02lld", s / 60, s % 60);
}

static void summary(const TrainPage *p, const char *how, Text *out) {
    char text[32];
    const TrainEvent *e = &p->last;
    text_line(out, "<progress max=\"%lld\" value=\"%lld\"></progress><table>", (long long)(e->steps > 0 ? e->steps : 1),
              (long long)e->step);
    text_line(out, "<tr><th>state</th><td>");
    html_add(out, how ? how : "running", strlen(how ? how : "running"));
    text_line(out, "</td></tr>");
    row(out, "step", "%lld of %lld, epoch %.3f", (long long)e->step, (long long)e->steps, e->epoch);
    row(out, "loss", "%.6g", e->loss);
    row(out, "gradient norm", "%.6g", e->grad_norm);
    row(out, "learning rate", "%.6g", e->learning_rate);
    if (p->eval.count)
        row(out, "evaluation", "loss %.6g, perplexity %.6g at step %lld", p->evaluated.loss, p->evaluated.perplexity,
            (long long)p->evaluated.step);
    if (p->best.step) row(out, "best evaluation", "loss %.6g at step %lld", p->best.loss, (long long)p->best.step);
    if (p->skipped) row(out, "skipped", "%lld steps of this run", (long long)p->skipped);
    if (p->busy > 0) row(out, "speed", "%.1f tokens a second", (double)p->tokens / p->busy);
    duration(text, clock_seconds() - p->begun);
    row(out, "this run so far", "%s", text);
    if (!how && p->steps > 0) {
        duration(text, (clock_seconds() - p->begun) / (double)p->steps * (double)(e->steps - e->step));
        row(out, "left", "%s", text);
    }
    text_line(out, "</table>\n");
}

static void charts(const TrainPage *p, Text *out) {
    double last = (double)p->last.step;
    const Chart all[] = {
        {"Loss", "loss", "evaluation", &p->loss, &p->eval, last, false},
        {"Perplexity of the evaluation", "perplexity", NULL, &p->perplexity, NULL, last, true},
        {"Share of right answers", "score", NULL, &p->score, NULL, last, true},
        {"Gradient norm before the clip", "gradient norm", NULL, &p->norm, NULL, last, false},
        {"Learning rate", "learning rate", NULL, &p->rate, NULL, last, true},
        {"Tokens a second", "tokens a second", NULL, &p->speed, NULL, last, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) chart_svg(&all[i], out);
}

static void settings(const TrainPage *p, Text *out) {
    text_line(out, "<details><summary>Settings</summary><table>");
    for (const char *line = p->settings.data; line && *line;) {
        size_t bytes = strcspn(line, "\n"), name = strcspn(line, "=\n");
        text_line(out, "<tr><th>");
        html_add(out, line, name);
        text_line(out, "</th><td>");
        if (name < bytes) html_add(out, line + name + 1, bytes - name - 1);
        text_line(out, "</td></tr>");
        line += bytes + (line[bytes] == '\n');
    }
    text_line(out, "</table></details>\n");
}

static bool write_page(TrainPage *p, const char *how, Err *err) {
    Text page = {0};
    Output out = {0};
    text_add(&page, head, sizeof head - 1);
    if (!how) text_line(&page, "<meta http-equiv=\"refresh\" content=\"%d\">", PAGE_SECONDS);
    text_line(&page, "<title>Training: ");
    html_add(&page, p->title.data, p->title.bytes);
    text_line(&page, "</title>%s<h1>Training: ", styles);
    html_add(&page, p->title.data, p->title.bytes);
    text_line(&page, "</h1>\n");
    summary(p, how, &page);
    charts(p, &page);
    settings(p, &page);
    text_line(&page, "</body></html>\n");
    bool ok = text_ok(&page, "the page", err) && output_open(&out, p->path, err) &&
              file_put(out.file, page.data, page.bytes, p->path, err);
    text_free(&page);
    p->written = clock_seconds();
    return output_end(&out, ok, err) && ok;
}

static void show(TrainPage *p, const char *how) {
    Err err = {0};
    if (write_page(p, how, &err) || p->complained) return;
    p->complained = true;
    watch_say(QM_WARNING, "--html: %s", err.text);
}

/* ---- What happens ------------------------------------------------------------------------------------------------ */

static void take(TrainPage *p, const TrainEvent *e) {
    double x = (double)e->step;
    if (e->kind == TRAIN_STEPPED) {
        curve_add(&p->loss, x, e->loss);
        curve_add(&p->norm, x, e->grad_norm);
        curve_add(&p->rate, x, e->learning_rate);
        if (e->seconds > 0) curve_add(&p->speed, x, (double)e->tokens / e->seconds);
        p->last = *e;
    } else if (e->kind == TRAIN_EVALUATED) {
        curve_add(&p->eval, x, e->loss);
        curve_add(&p->perplexity, x, e->perplexity);
        if (e->scored) curve_add(&p->score, x, e->score);
        for (int i = 0; i < e->metric_count; i++) /* shares of right answers, both */
            if (!strcmp(e->metrics[i].name, "accuracy") || !strcmp(e->metrics[i].name, "exact_match"))
                curve_add(&p->score, x, e->metrics[i].value);
        p->evaluated = *e;
        if (e->step > 0 && (!p->best.step || e->loss < p->best.loss)) p->best = *e;
    }
}

void train_page_earlier(TrainPage *p, const TrainEvent *event) { take(p, event); }

void train_page_tell(TrainPage *p, const TrainEvent *e) {
    take(p, e);
    if (e->kind == TRAIN_STEPPED) {
        p->steps++;
        p->tokens += e->tokens;
        p->busy += e->seconds;
        p->skipped += e->skipped != NULL;
    }
    if (!p->written || clock_seconds() - p->written >= PAGE_SECONDS) show(p, NULL);
}

void train_page_close(TrainPage *p, const char *how) {
    if (!p) return;
    show(p, how);
    text_free(&p->title), text_free(&p->settings);
    free(p);
}
