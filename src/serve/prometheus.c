/* prometheus.c: see prometheus.h. Source of the form: the Prometheus text exposition format, version 0.0.4. */
#include "prometheus.h"
#include <dirent.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const double seconds_bounds[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                 1,     2.5,   5,     7.5,  10,   20,   40,   80,   160, 640, 2560, INFINITY};
const double tokens_bounds[] = {1,    2,    5,     10,    20,    50,    100,    200,    500,
                                1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, INFINITY};

void histogram_add(Histogram *h, const double *bounds, double value) {
    int i = 0;
    while (value > bounds[i]) i++;
    atomic_fetch_add(&h->bucket[i], 1);
    atomic_fetch_add(&h->micros, (int64_t)(value * 1e6));
}

void count_finish(Counts *c, const char *reason) {
    for (int i = 0; i < FINISHES; i++) {
        const char *none = NULL;
        atomic_compare_exchange_strong(&c->finish[i].reason, &none, reason);
        const char *has = atomic_load(&c->finish[i].reason);
        if (has != reason && strcmp(has, reason) != 0) continue;
        atomic_fetch_add(&c->finish[i].count, 1);
        return;
    }
}

static const int status_of[STATUSES] = {200, 204, 304, 400, 401, 403, 404, 405, 408, 413,
                                        414, 415, 429, 431, 499, 500, 501, 503, 504, 0};

void count_answer(Counts *c, int route, int status) {
    int i = 0;
    while (i < STATUSES - 1 && status_of[i] != status) i++;
    int row = route < 0 || route >= ROUTE_COUNTS - 1 ? ROUTE_COUNTS - 1 : route;
    atomic_fetch_add(&c->answers[row][i], 1);
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static void head(Text *out, const char *name, const char *type, const char *help) {
    text_line(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: the three characters that end or hide others are escaped. */
static void label(Text *out, const char *value) {
    for (; *value; value++) {
        if (*value == '\\' || *value == '"') text_add(out, "\\", 1);
        if (*value == '\n') text_add(out, "\\n", 2);
        else text_add(out, value, 1);
    }
}

static void sample(Text *out, const char *name, const char *model, double value) {
    text_line(out, "%s{model_name=\"", name);
    label(out, model);
    text_line(out, "\"} %.17g\n", value);
}

static void histogram(Text *out, const Histogram *h, const double *bounds, const char *name, const char *help,
                      const char *model) {
    int64_t sum = 0;
    head(out, name, "histogram", help);
    for (int i = 0;; i++) {
        sum += atomic_load(&h->bucket[i]);
        text_line(out, "%s_bucket{model_name=\"", name);
        label(out, model);
        if (isinf(bounds[i])) text_line(out, "\",le=\"+Inf\"} %lld\n", (long long)sum);
        else text_line(out, "\",le=\"%g\"} %lld\n", bounds[i], (long long)sum);
        if (isinf(bounds[i])) break;
    }
    char part[96];
    snprintf(part, sizeof part, "%s_sum", name);
    sample(out, part, model, (double)atomic_load(&h->micros) / 1e6);
    snprintf(part, sizeof part, "%s_count", name);
    sample(out, part, model, (double)sum);
}

static int64_t descriptors(void) {
    int64_t count = -3; /* ".", ".." and the folder's own */
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d)) count++;
    closedir(d);
    return count;
}

static void process(Text *out) {
    struct rusage u;
    long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lld %lld", &pages, &resident) != 2) pages = resident = 0;
    if (f) fclose(f);
    if (getrusage(RUSAGE_SELF, &u) == 0) {
        head(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.");
        text_line(out, "process_cpu_seconds_total %.6f\n", (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
                  (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    }
    head(out, "process_resident_memory_bytes", "gauge", "Memory in use.");
    text_line(out, "process_resident_memory_bytes %lld\n", resident * (long long)sysconf(_SC_PAGESIZE));
    head(out, "process_open_fds", "gauge", "Open descriptors.");
    text_line(out, "process_open_fds %lld\n", (long long)descriptors());
}

static void gauge(Text *out, const char *name, const char *help, const char *model, double value) {
    head(out, name, "gauge", help);
    sample(out, name, model, value);
}

static void counter(Text *out, const char *name, const char *help, const char *model, int64_t value) {
    head(out, name, "counter", help);
    sample(out, name, model, (double)value);
}

static void answers(const Counts *c, bool (*route_name)(int, const char **, const char **), Text *out) {
    static const char name[] = "http_requests_total";
    head(out, name, "counter", "Answers by route, method and status.");
    for (int r = 0; r < ROUTE_COUNTS; r++)
        for (int s = 0; s < STATUSES; s++) {
            int64_t n = atomic_load(&c->answers[r][s]);
            const char *method = "", *path = "none";
            if (!n) continue;
            if (r < ROUTE_COUNTS - 1 && !route_name(r, &method, &path)) continue;
            text_line(out, "%s{handler=\"", name);
            label(out, path);
            text_line(out, "\",method=\"%s\",status=\"%d\"} %lld\n", method, status_of[s], (long long)n);
        }
}

void prometheus_text(const Counts *c, const Gauges *g, const char *model,
                     bool (*route_name)(int route, const char **method, const char **path), Text *out) {
    gauge(out, "vllm:num_requests_running", "Generations that have a slot.", model, (double)g->running);
    gauge(out, "vllm:num_requests_waiting", "Generations that wait for one.", model, (double)g->waiting);
    gauge(out, "vllm:kv_cache_usage_perc", "Share of the slots that are in use, 0 to 1.", model, g->cache_used);
    gauge(out, "qwenmesh:connections", "Open connections.", model, (double)g->connections);
    gauge(out, "qwenmesh:ready", "1: requests are taken.", model, g->ready);
#define X(field, name, help) counter(out, name, help, model, atomic_load(&c->field));
    COUNTERS(X)
#undef X
    head(out, "vllm:request_success_total", "counter", "Generations that ended, by reason.");
    for (int i = 0; i < FINISHES && atomic_load(&c->finish[i].reason); i++) {
        text_line(out, "vllm:request_success_total{finished_reason=\"%s\",model_name=\"",
                  atomic_load(&c->finish[i].reason));
        label(out, model);
        text_line(out, "\"} %lld\n", (long long)atomic_load(&c->finish[i].count));
    }
#define X(field, name, bounds, help) histogram(out, &c->field##_histogram, bounds, name, help, model);
    HISTOGRAMS(X)
#undef X
    answers(c, route_name, out);
    process(out);
}
