/* bench_report.c: results of bench as a table for people, as CSV and JSON for programs, and as a picture. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static double share(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

/* The phases of every test that has some. What lies between steps: sampling, and waking the workers. */
static void report_phases(const Bench *b, Text *out) {
    const char *head = "\n| test | mesh | phase | ms, of a decode a step | of the time | GB/s of weights |\n"
                       "|---|---|---|---|---|---|\n";
    for (int i = 0; i < b->test_count * b->meshes; i++) {
        const BenchResult *r = &b->results[i];
        const char *mesh = b->mesh[r->mesh].info.mesh;
        char test[64];
        double rest = r->seconds, ms = 1e3 / r->repeats / (double)(r->test.prompt ? 1 : r->test.gen);
        bench_test_name(&r->test, test, sizeof test);
        for (int p = 0; p < r->phases; p++, head = "") {
            const QmPhase *phase = &r->phase[p];
            text_line(out, "%s| %s | %s | %s | %.3f | %.1f %% |", head, test, mesh, phase->name, ms * phase->seconds,
                      share(phase->seconds, r->seconds));
            if (phase->weight_bytes > 0 && phase->seconds > 0)
                text_line(out, " %.1f |\n", phase->weight_bytes / phase->seconds / 1e9);
            else text_line(out, " |\n");
            rest -= phase->seconds;
        }
        if (r->phases)
            text_line(out, "| %s | %s | between steps | %.3f | %.1f %% | |\n", test, mesh, ms * rest,
                      share(rest, r->seconds));
    }
}

/* ---- The table for people: columns as wide as their widest field, for rows that are not there yet, too ----------- */

enum { COLUMNS = 11, FIELD = 320 };
typedef struct Row { char field[COLUMNS][FIELD]; } Row;

/* A name as a cell of a table of markdown. */
static void md_name(const char *name, char *out, size_t size) {
    for (; *name && size > 2; name++) {
        if (*name == '|') *out++ = '\\', size--;
        *out++ = *name, size--;
    }
    *out = 0;
}

/* Fields of a result; those of numbers empty before it has run. */
static Row row_of(const Bench *b, int i) {
    const BenchResult *r = &b->results[i];
    const BenchTest *t = &b->tests[i / b->meshes];
    const BenchMesh *mesh = &b->mesh[i % b->meshes];
    const QmModelInfo *m = mesh->info.mesh[0] ? &mesh->info : &b->mesh[0].info;
    Row row = {0};
    char (*f)[FIELD] = row.field;
    md_name(b->model, f[0], FIELD - 40);
    snprintf(f[0] + strlen(f[0]), 40, " %s", m->weight_type);
    snprintf(f[1], FIELD, "%.2f MiB", (double)m->weight_bytes / 1048576);
    snprintf(f[2], FIELD, "%.2f M", (double)m->parameters / 1e6);
    snprintf(f[3], FIELD, "%s %s act %s", m->backend, m->isa, m->act);
    snprintf(f[4], FIELD, "%d", m->workers);
    snprintf(f[5], FIELD, "%s", mesh->info.mesh[0] ? m->mesh : mesh->name);
    bench_test_name(t, f[6], FIELD);
    if (!r->repeats) return row;
    snprintf(f[7], FIELD, "%.2f ± %.2f", r->mean, r->deviation);
    snprintf(f[8], FIELD, "%.3f", r->ratio);
    snprintf(f[9], FIELD, "%.1f (%.0f %%)", r->bytes_rate / 1e9, 100 * r->read_share);
    snprintf(f[10], FIELD, "%.1f (%.0f %%)", r->flops_rate / 1e9, share(r->flops_rate, r->fma_peak));
    return row;
}

static Row titles_of(const Bench *b) {
    Row row = {{"model", "size", "params", "backend", "threads", "mesh", "test", "t/s", "", "GB/s (of read)", ""}};
    snprintf(row.field[10], FIELD, "GFLOP/s (of %s peak)", strcmp(b->mesh[0].info.act, "bf16") ? "f32" : "bf16");
    snprintf(row.field[8], FIELD, "x %s", b->mesh[0].name);
    return row;
}

/* Characters, not bytes: ± has two of those. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void row_text(const Bench *b, const Row *row, Text *out) {
    int width[COLUMNS] = {[7] = 19, [8] = 7}; /* 12345.67 ± 12345.67, 123.456 */
    Row other = titles_of(b);
    for (int i = -1; i < b->test_count * b->meshes; i++) {
        if (i >= 0) other = row_of(b, i);
        for (int c = 0; c < COLUMNS; c++)
            if (width_of(other.field[c]) > width[c]) width[c] = width_of(other.field[c]);
    }
    for (int c = 0; c < COLUMNS; c++) {
        int pad = width[c] - width_of(row->field[c]);
        bool number = c > 6 || c == 1 || c == 2 || c == 4;
        text_line(out, "| %*s%s%*s ", number && pad > 0 ? pad : 0, "", row->field[c], number || pad < 0 ? 0 : pad, "");
    }
    text_line(out, "|\n");
}

static void head_md(const Bench *b, Text *out) {
    Row row = titles_of(b);
    size_t from = out->bytes;
    row_text(b, &row, out);
    size_t to = out->bytes;
    for (size_t i = from; i < to; i++) { /* the line below it: dashes, a colon where columns are numbers */
        bool last = out->data[i + 1] == '|' && i + 1 < to - 1;
        char c = out->data[i];
        int column = -1;
        for (size_t k = from; k <= i; k++) column += out->data[k] == '|';
        bool number = column > 6 || column == 1 || column == 2 || column == 4;
        const char one[] = {c == '|' || c == '\n' ? c : last && number ? ':' : '-', 0};
        text_add(out, one, 1);
    }
}

static void tail_md(const Bench *b, Text *out) {
    int mesh = 4;
    for (int i = 0; i < b->meshes; i++)
        if ((int)strlen(b->mesh[i].info.mesh) > mesh) mesh = (int)strlen(b->mesh[i].info.mesh);
    text_line(out, "\n| %-*s | open s | first token s | peak memory MiB | weights MiB | cache MiB | activations MiB |\n"
              "|-%.*s-|-------:|--------------:|----------------:|------------:|----------:|----------------:|\n",
              mesh, "mesh", mesh, "----------------------------------------------------------------");
    for (int i = 0; i < b->meshes; i++) {
        const BenchMesh *m = &b->mesh[i];
        text_line(out, "| %-*s | %6.2f | %13.2f | %15.1f | %11.1f | %9.1f | %15.1f |\n", mesh, m->info.mesh,
                  m->open_seconds, m->first_token_seconds, (double)m->peak_bytes / 1048576,
                  (double)m->info.weight_bytes / 1048576, (double)m->info.cache_bytes / 1048576,
                  (double)m->info.activation_bytes / 1048576);
    }
    const QmModelInfo *first = &b->mesh[0].info; /* the same on every mesh */
    text_line(out, "\nactivations %s (%s), weights %s, key/value cache %s\n", first->act, first->act_why,
              first->weight_type, first->kv_cache);
    report_phases(b, out);
}

/* A field of CSV (RFC 4180), always quoted. */
static void csv_text(const char *text, Text *out) {
    text_add(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"') text_add(out, "\"", 1);
        text_add(out, text, 1);
    }
    text_add(out, "\"", 1);
}

static void head_csv(Text *out) {
    text_line(out, "model,weight_type,weight_bytes,parameters,isa,act,threads,mesh,n_prompt,n_gen,n_depth,n_batch,"
                   "avg_ts,stddev_ts,ratio,gb_s,read_share,read_gb_s,gflop_s,peak_gflop_s,open_s,first_token_s,"
                   "peak_memory_bytes,backend,kv_cache,act_why\n");
}

static void row_csv(const Bench *b, const BenchResult *r, Text *out) {
    const BenchMesh *mesh = &b->mesh[r->mesh];
    const QmModelInfo *m = &mesh->info;
    csv_text(b->model, out);
    text_line(out,
              ",\"%s\",%lld,%lld,\"%s\",\"%s\",%d,\"%s\",%lld,%lld,%lld,%lld,%.4f,%.4f,%.4f,%.3f,%.3f,%.3f,%.3f,%.3f,"
              "%.4f,%.4f,%lld,\"%s\",\"%s\",\"%s\"\n",
              m->weight_type, (long long)m->weight_bytes, (long long)m->parameters, m->isa, m->act, m->workers,
              m->mesh, (long long)r->test.prompt, (long long)r->test.gen, (long long)r->test.depth,
              (long long)r->test.batch, r->mean, r->deviation, r->ratio, r->bytes_rate / 1e9,
              r->read_share, r->read_bandwidth / 1e9, r->flops_rate / 1e9, r->fma_peak / 1e9, mesh->open_seconds,
              mesh->first_token_seconds, (long long)mesh->peak_bytes, m->backend, m->kv_cache, m->act_why);
}

static json_t *json_result(const Bench *b, const BenchResult *r) {
    const BenchMesh *mesh = &b->mesh[r->mesh];
    const QmModelInfo *m = &mesh->info;
    json_t *samples = json_array(), *phases = json_array();
    for (int i = 0; i < r->phases; i++)
        json_array_append_new(phases, json_pack("{s:s, s:f, s:f}", "name", r->phase[i].name, "seconds",
                                                r->phase[i].seconds, "weight_bytes", r->phase[i].weight_bytes));
    for (int i = 0; i < r->repeats; i++) json_array_append_new(samples, json_real(r->rate[i]));
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:f, s:f, s:f, s:f, "
                     "s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:s, s:s, s:s, s:o}",
                     "model", b->model, "weight_type", m->weight_type, "weight_bytes", (json_int_t)m->weight_bytes,
                     "parameters", (json_int_t)m->parameters, "isa", m->isa, "act", m->act, "threads", m->workers,
                     "mesh", m->mesh, "n_prompt", (json_int_t)r->test.prompt, "n_gen", (json_int_t)r->test.gen,
                     "n_depth", (json_int_t)r->test.depth, "n_batch", (json_int_t)r->test.batch,
                     "avg_ts", r->mean, "stddev_ts", r->deviation, "samples_ts", samples, "ratio", r->ratio,
                     "gb_s", r->bytes_rate / 1e9, "read_share", r->read_share, "read_gb_s", r->read_bandwidth / 1e9,
                     "gflop_s", r->flops_rate / 1e9, "peak_gflop_s", r->fma_peak / 1e9,
                     "open_s", mesh->open_seconds, "first_token_s", mesh->first_token_seconds, "peak_memory_bytes",
                     (json_int_t)mesh->peak_bytes, "cache_bytes", (json_int_t)m->cache_bytes, "activation_bytes",
                     (json_int_t)m->activation_bytes, "backend", m->backend, "kv_cache", m->kv_cache, "act_why",
                     m->act_why, "phases", phases);
}

static bool report_json(const Bench *b, Text *out, Err *err) {
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int i = 0; ok && i < b->test_count * b->meshes; i++) {
        json_t *one = json_result(b, &b->results[i]);
        ok = one && json_array_append_new(list, one) == 0;
    }
    char *text = ok ? json_dumps(list, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(list);
    if (!text) return err_set(err, "results: the model's name is no UTF-8, or out of memory");
    text_line(out, "%s\n", text);
    free(text);
    return true;
}

static void xml_text(const char *text, Text *out) {
    for (; *text; text++) {
        if (*text == '<') text_line(out, "&lt;");
        else if (*text == '&') text_line(out, "&amp;");
        else text_add(out, text, 1);
    }
}

/* A group of bars per test, each as long as its rate beside the group's longest. */
static void report_svg(const Bench *b, Text *out) {
    enum { BAR = 18, LEFT = 180, WIDTH = 420, GAP = 14 };
    int height = 40 + b->test_count * (b->meshes * BAR + GAP);
    text_line(out,
              "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"%d\" font-family=\"sans-serif\" "
              "font-size=\"12\">\n"
              "<rect width=\"800\" height=\"%d\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" font-size=\"14\">",
              height, height);
    xml_text(b->model, out);
    const QmModelInfo *first = &b->mesh[0].info;
    text_line(out, ", tokens per second, activations %s, weights %s, cache %s</text>\n", first->act,
              first->weight_type, first->kv_cache);
    for (int t = 0, y = 34; t < b->test_count; t++, y += GAP) {
        double most = 0;
        for (int m = 0; m < b->meshes; m++)
            if (b->results[t * b->meshes + m].mean > most) most = b->results[t * b->meshes + m].mean;
        for (int m = 0; m < b->meshes; m++, y += BAR) {
            const BenchResult *r = &b->results[t * b->meshes + m];
            char test[64];
            bench_test_name(&r->test, test, sizeof test);
            double wide = most > 0 ? WIDTH * r->mean / most : 0;
            text_line(out,
                      "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s on %s</text>"
                      "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/><text x=\"%.1f\" "
                      "y=\"%d\">%.2f</text>\n",
                      LEFT - 8, y + 13, test, b->mesh[m].info.mesh, LEFT, y + 2, wide, BAR - 4,
                      r->test.prompt ? "#2a6f97" : "#e07a2f", LEFT + wide + 6, y + 13, r->mean);
        }
    }
    text_line(out, "</svg>\n");
}

bool bench_format(const char *format) {
    return !strcmp(format, "md") || !strcmp(format, "csv") || !strcmp(format, "json") || !strcmp(format, "svg");
}

void bench_head(const Bench *b, const char *format, Text *out) {
    if (!strcmp(format, "md")) head_md(b, out);
    else if (!strcmp(format, "csv")) head_csv(out);
}

void bench_row(const Bench *b, const char *format, int i, Text *out) {
    Row row = row_of(b, i);
    if (!strcmp(format, "md")) row_text(b, &row, out);
    else if (!strcmp(format, "csv")) row_csv(b, &b->results[i], out);
}

bool bench_tail(const Bench *b, const char *format, Text *out, Err *err) {
    if (!strcmp(format, "md")) tail_md(b, out);
    else if (!strcmp(format, "svg")) report_svg(b, out);
    else if (!strcmp(format, "json") && !report_json(b, out, err)) return false;
    return text_ok(out, "results", err);
}
