/* mesh_report.c: a process per mesh asks the questions; tables and bars of what came back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../base/output.h"
#include "mesh_report.h"
#include "report.h"

enum { MAX_MESHES = 32 };

/* What a mesh's process sends back, whole. */
typedef struct MeshRow {
    char mesh[32];
    int devices, workers, all_reduces, reduce_argmaxes;
    int64_t hidden, prompt, reused, decoded, outputs;
    double opened, first, seconds, peak; /* s, s to the first token (mean), s, bytes */
    double accuracy[MAX_RULES];
    char in_force[256];
    bool ok, same;
    Err err;
} MeshRow;

/* page: where the report goes, or NULL; what this process reads is no place for it. */
static bool ask_all(const MeshReport *m, const Output *page, const char *results_path, MeshRow *row, Err *err) {
    Gsm8kRun run = {0};
    Results results = {0};
    QmGeneratorStats stats;
    Report report;
    Lines lines;
    json_t *header = NULL;
    QmEngineOptions o = m->engine;
    QmEngine *e = NULL;
    o.mesh = row->mesh;
    double start = clock_seconds();
    QmSource *source = qm_source_open(o.model, err);
    QmTokenizer *t = source ? qm_tokenizer_open_from(source, err) : NULL;
    double tokenizer = clock_seconds() - start;
    bool ok = t && (!m->chat_template || qm_tokenizer_set_chat(t, m->chat_template, err));
    for (int i = 0; ok && i < m->chat_argument_count; i++)
        ok = qm_tokenizer_set_chat_argument(t, m->chat_arguments[i], err);
    ok = ok && gsm8k_open(&run, &m->gsm8k, source, t, err);
    if (ok && o.context == 0) o.context = gsm8k_context(&run);
    start = clock_seconds();
    ok = ok && (e = qm_engine_open_from(source, &o, err));
    row->opened = tokenizer + clock_seconds() - start;
    ok = ok && (!page || output_allowed(page, err)) &&
         (header = gsm8k_header(&run, o.model, qm_engine_info(e), err)) &&
         results_open(&results, results_path, false, header, run.options.limit, run.options.samples, err) &&
         gsm8k_go(&run, e, &results, NULL, &stats, err) && lines_of(&lines, results.file, "results", err);
    if (ok) {
        ok = report_read(&report, m->gsm8k.protocol, &lines, 0, err);
        lines_close(&lines);
    }
    if (ok) {
        const QmModelInfo *i = qm_engine_info(e);
        snprintf(row->mesh, sizeof row->mesh, "%s", i->mesh);
        snprintf(row->in_force, sizeof row->in_force, "activations %s (%s), weights %s, key/value cache %s", i->act,
                 i->act_why, i->weight_type, i->kv_cache);
        row->devices = i->devices, row->workers = i->workers;
        row->all_reduces = i->all_reduces, row->reduce_argmaxes = i->reduce_argmaxes;
        row->hidden = i->hidden;
        row->prompt = stats.prompt, row->reused = stats.reused, row->decoded = stats.decoded;
        row->seconds = run.seconds;
        row->outputs = run.judged;
        row->first = run.first / (double)(run.judged ? run.judged : 1);
        for (int k = 0; k < MAX_RULES; k++) row->accuracy[k] = report.rule[k].mean;
    }
    if (!results_close(&results, err)) ok = false;
    json_decref(header);
    gsm8k_close(&run);
    qm_engine_close(e);
    qm_tokenizer_close(t);
    qm_source_close(source);
    return ok;
}

/* Runs a mesh in a process of its own. False when that could not be done or the mesh failed. */
static bool mesh_run(const MeshReport *m, const Output *page, const char *results_path, MeshRow *row, Err *err) {
    int pipes[2], status;
    struct rusage usage;
    if (pipe(pipes) != 0) return err_as(err, QM_IO, "cannot start mesh %s: %s", row->mesh, strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(pipes[0]);
        row->ok = ask_all(m, page, results_path, row, &row->err) && files_unchanged(&row->err);
        ssize_t n = write(pipes[1], row, sizeof *row); /* less than PIPE_BUF: whole or not at all */
        _exit(n == (ssize_t)sizeof *row ? 0 : 1);
    }
    int why = errno;
    close(pipes[1]);
    MeshRow back;
    size_t got = 0;
    for (ssize_t n;
         child > 0 && got < sizeof back && (n = read(pipes[0], (char *)&back + got, sizeof back - got)) != 0;) {
        if (n < 0 && errno != EINTR) break;
        if (n > 0) got += (size_t)n;
    }
    close(pipes[0]);
    if (child < 0) return err_as(err, QM_IO, "cannot start mesh %s: %s", row->mesh, strerror(why));
    while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {}
    if (got != sizeof back || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, "mesh %s: its process ended early (status %d)", row->mesh, status);
    if (!back.ok) return err_set(err, "mesh %s: %s", row->mesh, back.err.text);
    *row = back;
    row->peak = (double)usage.ru_maxrss * 1024;
    return true;
}

static bool same_file(const char *a, const char *b, bool *same, Err *err) {
    MappedFile x, y;
    if (!file_map(&x, a, err)) return false;
    bool ok = file_map(&y, b, err);
    if (ok) *same = x.bytes == y.bytes && !memcmp(x.data, y.data, x.bytes);
    if (ok) file_unmap(&y);
    file_unmap(&x);
    return ok;
}

static double tokens_rate(const MeshRow *r) {
    return (double)(r->prompt + r->decoded) / (r->seconds > 0 ? r->seconds : 1e-9);
}

static void print_row(const MeshReport *m, const MeshRow *r, FILE *out) {
    fprintf(out, "| %s | %d | %d |", r->mesh, r->devices, r->workers);
    for (int k = 0; k < m->gsm8k.protocol->rules; k++) fprintf(out, " %.4f |", r->accuracy[k]);
    fprintf(out, " %s | %.1f | %.0f | %.2f | %.0f | %d + %d, %.0f KiB |\n", r->same ? "same" : "DIFFERENT",
            tokens_rate(r), 1000 * r->first, r->opened, r->peak / 1048576, r->all_reduces, r->reduce_argmaxes,
            r->devices > 1 ? (double)r->all_reduces * (double)r->hidden * 4 / 1024 : 0.0);
    fflush(out);
}

static void print_head(const MeshReport *m, FILE *out) {
    fprintf(out, "| mesh | devices | workers |");
    for (int k = 0; k < m->gsm8k.protocol->rules; k++) fprintf(out, " %s |", m->gsm8k.protocol->rule[k]->name);
    fprintf(out, " answers | tokens/s | first token ms | start s | peak MiB | collectives per token |\n|---|---|---|");
    for (int k = 0; k < m->gsm8k.protocol->rules; k++) fprintf(out, "---|");
    fprintf(out, "---|---|---|---|---|---|\n");
}

/* Bars of one quantity, a mesh a bar. */
static void add_bars(const MeshRow *rows, int count, const char *title, const char *unit,
                     double (*value)(const MeshRow *), Text *out) {
    double most = 1e-9;
    for (int i = 0; i < count; i++)
        if (value(&rows[i]) > most) most = value(&rows[i]);
    text_line(
        out,
        "<h2>%s</h2><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"%d\" font-family=\"sans-serif\" "
        "font-size=\"13\" role=\"img\" aria-label=\"%s\">\n",
        title, 24 * count + 8, title);
    for (int i = 0; i < count; i++) {
        int y = 24 * i + 4, w = (int)(420 * value(&rows[i]) / most);
        text_line(
            out,
            "<text x=\"70\" y=\"%d\" text-anchor=\"end\">%s</text><rect x=\"80\" y=\"%d\" width=\"%d\" height=\"18\" "
            "fill=\"#4e79a7\"/><text x=\"%d\" y=\"%d\">%.4g %s</text>\n",
            y + 14, rows[i].mesh, y, w < 1 ? 1 : w, 86 + w, y + 14, value(&rows[i]), unit);
    }
    text_line(out, "</svg>\n");
}

static double first_ms(const MeshRow *r) { return 1000 * r->first; }
static double start_s(const MeshRow *r) { return r->opened; }
static double peak_mib(const MeshRow *r) { return r->peak / 1048576; }

static bool write_page(const MeshReport *m, const MeshRow *rows, int count, FILE *out, Err *err) {
    Text t = {0};
    text_line(
        &t,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Meshes compared</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:"
        "collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}</style></head><body>"
        "<h1>The same questions on every mesh</h1><p>Model ");
    html_add(&t, m->engine.model, strlen(m->engine.model));
    text_line(
        &t,
        ", GSM8K by protocol %s, %lld questions, %lld at once. Answers are compared byte by byte with those of %s.</p>"
        "<p>In force: %s.</p><table><tr><th>mesh</th><th>devices</th>",
        m->gsm8k.protocol->name, (long long)rows[0].outputs, (long long)m->engine.slots, rows[0].mesh,
        rows[0].in_force);
    for (int k = 0; k < m->gsm8k.protocol->rules; k++) text_line(&t, "<th>%s</th>", m->gsm8k.protocol->rule[k]->name);
    text_line(&t, "<th>answers</th><th>tokens/s</th><th>first token ms</th><th>start s</th><th>peak MiB</th>"
                  "<th>all_reduce</th><th>reduce_argmax</th></tr>\n");
    for (int i = 0; i < count; i++) {
        const MeshRow *r = &rows[i];
        text_line(&t, "<tr><td>%s</td><td>%d</td>", r->mesh, r->devices);
        for (int k = 0; k < m->gsm8k.protocol->rules; k++) text_line(&t, "<td>%.4f</td>", r->accuracy[k]);
        text_line(&t, "<td>%s</td><td>%.1f</td><td>%.0f</td><td>%.2f</td><td>%.0f</td><td>%d</td><td>%d</td></tr>\n",
                  r->same ? "same" : "different", tokens_rate(r), first_ms(r), r->opened, peak_mib(r), r->all_reduces,
                  r->reduce_argmaxes);
    }
    text_line(&t, "</table>\n");
    add_bars(rows, count, "Tokens per second, prompts included", "tokens/s", tokens_rate, &t);
    add_bars(rows, count, "Time to the first token, mean", "ms", first_ms, &t);
    add_bars(rows, count, "Start", "s", start_s, &t);
    add_bars(rows, count, "Peak memory", "MiB", peak_mib, &t);
    text_line(&t, "</body></html>\n");
    bool ok = text_ok(&t, "a page", err) && file_put(out, t.data, t.bytes, m->html, err);
    text_free(&t);
    return ok;
}

bool mesh_report(const MeshReport *m, FILE *out, bool *same, Err *err) {
    MeshRow *rows = mem_new(MAX_MESHES, sizeof *rows, "meshes", err);
    char folder[] = "/tmp/qwenmesh-meshes-XXXXXX", *list = strdup(m->meshes), *save = NULL;
    char path[2][64];
    int count = 0;
    Output page = {0};
    bool ok = rows && (list || err_as(err, QM_MEMORY, "out of memory: meshes"));
    *same = true;
    if (ok && !mkdtemp(folder)) ok = err_as(err, QM_IO, "cannot make a folder in /tmp: %s", strerror(errno));
    bool made = ok;
    if (ok && m->html) ok = output_open(&page, m->html, err);
    for (int k = 0; k < 2; k++) snprintf(path[k], sizeof path[k], "%s/%s", folder, k ? "other" : "first");
    for (char *mesh = ok ? strtok_r(list, ",", &save) : NULL; ok && mesh; mesh = strtok_r(NULL, ",", &save)) {
        if (count == MAX_MESHES) {
            ok = err_as(err, QM_LIMIT, "meshes: expected at most %d", MAX_MESHES);
            break;
        }
        MeshRow *r = &rows[count];
        snprintf(r->mesh, sizeof r->mesh, "%s", mesh);
        file_remove(path[1]);
        if (!(ok = mesh_run(m, m->html ? &page : NULL, path[count > 0], r, err))) break;
        r->same = true;
        ok = count == 0 || same_file(path[0], path[1], &r->same, err);
        *same = *same && r->same;
        if (count++ == 0) print_head(m, out);
        print_row(m, r, out);
    }
    if (ok && count == 0) ok = err_set(err, "meshes: expected a list as 1x1,2x4, got '%s'", m->meshes);
    if (ok) fprintf(out, "\n%s\n", rows[0].in_force);
    if (ok && m->html) ok = write_page(m, rows, count, page.file, err);
    ok = m->html ? output_end(&page, ok, err) : ok;
    for (int k = 0; made && k < 2; k++) file_remove(path[k]);
    if (made) rmdir(folder);
    free(list);
    free(rows);
    return ok;
}
