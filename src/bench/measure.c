/* measure.c: opens engines, runs the tests in turn, and holds them against the machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/cpu.h"
#include "bench.h"

/* A line on stderr of what is being done now: at a terminal the next one takes its place, and note_end() takes it away,
 * before results come there. */
static bool note_live(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (note_live()) fprintf(stderr, "\r\033[K");
    vfprintf(stderr, format, args);
    if (!note_live()) fprintf(stderr, "\n");
    va_end(args);
}

static void note_end(void) {
    if (note_live()) fprintf(stderr, "\r\033[K");
}

static const double READ_SECONDS = 0.1, PEAK_SECONDS = 0.1; /* of one measurement of a limit */

void bench_test_name(const BenchTest *t, char *out, size_t size) {
    char depth[32] = "", batch[32] = "";
    if (t->depth) snprintf(depth, sizeof depth, " @ d%lld", (long long)t->depth);
    if (t->batch > 1) snprintf(batch, sizeof batch, " x %lld", (long long)t->batch);
    snprintf(out, size, "%s%lld%s%s", t->prompt ? "pp" : "tg", (long long)(t->prompt ? t->prompt : t->gen), depth,
             batch);
}

bool bench_tests(Bench *b, const int64_t *prompt, int prompts, const int64_t *gen, int gens, const int64_t *depth,
                 int depths, const int64_t *batch, int batches, Err *err) {
    b->tests = mem_new((size_t)(depths * (prompts + gens * batches)), sizeof *b->tests, "tests", err);
    for (int d = 0; b->tests && d < depths; d++) {
        for (int p = 0; p < prompts; p++)
            if (prompt[p]) b->tests[b->test_count++] = (BenchTest){.prompt = prompt[p], .depth = depth[d], .batch = 1};
        for (int k = 0; k < batches; k++)
            for (int n = 0; n < gens; n++)
                if (gen[n])
                    b->tests[b->test_count++] = (BenchTest){.gen = gen[n], .depth = depth[d], .batch = batch[k]};
    }
    return b->tests && (b->test_count > 0 || err_set(err, "nothing to measure"));
}

/* ---- One repetition ---------------------------------------------------------------------------------------------- */

/* Brings `batch` sessions to `depth` tokens each; sessions that are already longer are cropped. */
static bool fill(QmEngine *e, QmSession **s, int64_t batch, int64_t depth, Err *err) {
    int64_t vocab = qm_engine_info(e)->vocab;
    int32_t *ids = mem_new((size_t)depth + 1, sizeof *ids, "bench ids", err);
    bool ok = ids != NULL;
    for (int64_t i = 0; ok && i < depth; i++) ids[i] = (int32_t)((i * 7919 + 1) % vocab);
    for (int64_t i = 0; ok && i < batch; i++) {
        if (!s[i] && !(s[i] = qm_session_new(e, err))) ok = false;
        int64_t have = ok ? qm_session_length(s[i]) : 0;
        if (ok && have > depth) ok = qm_session_crop(s[i], depth, err);
        QmAppend a = {.session = s[i], .tokens = ids ? ids + have : NULL, .count = depth - have};
        if (ok && have < depth) ok = qm_forward(e, &a, 1, err);
    }
    free(ids);
    return ok;
}

/* Seconds of the test on sessions that are at its depth. */
static bool timed(QmEngine *e, QmSession **s, const BenchTest *t, double *seconds, Err *err) {
    int64_t count = t->prompt ? t->prompt : 1, vocab = qm_engine_info(e)->vocab;
    QmAppend *a = mem_new((size_t)t->batch, sizeof *a, "bench batch", err);
    int32_t *ids = mem_new((size_t)(count + t->batch), sizeof *ids, "bench ids", err);
    int32_t *best = mem_new((size_t)t->batch, sizeof *best, "bench ids", err);
    bool ok = a && ids && best;
    for (int64_t i = 0; ok && i < count + t->batch; i++) ids[i] = (int32_t)((i * 104729 + 7) % vocab);
    for (int64_t i = 0; ok && i < t->batch; i++)
        a[i] = (QmAppend){.session = s[i], .tokens = ids + i, .count = count, .logits_from = 1, .argmax = &best[i]};
    double start = clock_seconds();
    for (int64_t n = 0; ok && n < (t->prompt ? 1 : t->gen); n++) {
        ok = qm_forward(e, a, (int)t->batch, err);
        for (int64_t i = 0; ok && !t->prompt && i < t->batch; i++) ids[i] = best[i] < 0 ? 0 : best[i];
    }
    *seconds = clock_seconds() - start;
    for (int64_t i = 0; ok && i < t->batch; i++)
        if (best[i] < 0)
            ok = err_set(err, "the logits are not numbers (NaN or infinite): a damaged checkpoint, or an overflow; "
                              "what they take says nothing");
    free(a);
    free(ids);
    free(best);
    return ok;
}

/* ---- What a test moves and computes ------------------------------------------------------------------------------ */

/* Cache positions read by one head over the whole test, summed over its rows or steps. */
static double positions_of(const BenchTest *t) {
    double n = (double)(t->prompt ? t->prompt : t->gen), d = (double)t->depth;
    return n * d + n * (n + 1) / 2;
}

/* Of a key or value; in 8 bits with its part of a scale. */
static double cache_number_bytes(const QmModelInfo *m) {
    if (!strcmp(m->kv_cache, "8bit")) return 1 + 4.0 / (double)m->head_dim;
    return strcmp(m->kv_cache, "f32") ? 2 : 4;
}

/* Weights once a step, and in decode the cache of every sequence; a prefill's blocks of the cache stay in core. */
static double test_bytes(const QmModelInfo *m, const BenchTest *t) {
    double steps = t->prompt ? ceil((double)t->prompt / (double)m->rows)
                             : (double)t->gen * ceil((double)t->batch / (double)m->rows);
    double position = 2.0 * (double)(m->layers * m->kv_heads * m->head_dim) * cache_number_bytes(m);
    return steps * (double)m->decode_bytes + (t->prompt ? 0 : (double)t->batch * positions_of(t) * position);
}

/* Two flops a weight and row, the head for rows with logits only; attention: scores and sums over the cache. */
static double test_flops(const QmModelInfo *m, const BenchTest *t) {
    double q = (double)(m->heads * m->head_dim), kv = (double)(m->kv_heads * m->head_dim), d = (double)m->hidden;
    double body = (double)m->layers * (2 * q * d + 2 * kv * d + 3 * d * (double)m->ffn);
    double rows = (double)(t->prompt ? t->prompt : t->gen * t->batch), heads = t->prompt ? 1 : rows;
    return 2 * body * rows + 2 * d * (double)m->vocab * heads +
           4 * q * (double)m->layers * positions_of(t) * (double)t->batch;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int count) {
    qsort(x, (size_t)count, sizeof *x, by_value);
    return (x[count / 2] + x[(count - 1) / 2]) / 2;
}

/* `first`: the same test on the first mesh, whose repetitions stood beside these. */
static void summarise(BenchResult *r, const BenchResult *first, const QmModelInfo *m) {
    double sum = 0, squares = 0, ratio[BENCH_REPEATS], share[BENCH_REPEATS];
    double tokens = (double)(r->test.prompt ? r->test.prompt : r->test.gen * r->test.batch);
    for (int i = 0; i < r->repeats; i++) {
        sum += r->rate[i];
        ratio[i] = r->rate[i] / first->rate[i];
        share[i] = r->rate[i] / tokens * test_bytes(m, &r->test) / r->read[i];
    }
    r->mean = sum / r->repeats;
    for (int i = 0; i < r->repeats; i++) squares += (r->rate[i] - r->mean) * (r->rate[i] - r->mean);
    r->deviation = r->repeats > 1 ? sqrt(squares / (r->repeats - 1)) : 0;
    r->ratio = median(ratio, r->repeats);
    r->read_share = median(share, r->repeats);
    r->bytes_rate = r->mean / tokens * test_bytes(m, &r->test);
    r->flops_rate = r->mean / tokens * test_flops(m, &r->test);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* A line of /proc/self/status in bytes; 0: unknown. */
static int64_t status_bytes(const char *key) {
    char line[128];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) kib = atoll(line + strlen(key));
    if (file) fclose(file);
    return kib * 1024;
}

static bool mesh_open(Bench *b, BenchMesh *m, Err *err) {
    int64_t slots = 1, context = 1;
    for (int i = 0; i < b->test_count; i++) {
        const BenchTest *t = &b->tests[i];
        int64_t need = t->depth + (t->prompt ? t->prompt : t->gen) + BENCH_WARM;
        if (need > context) context = need;
        if (t->batch > slots) slots = t->batch;
    }
    FILE *reset = fopen("/proc/self/clear_refs", "we"); /* 5: the highest resident size starts anew (proc(5)) */
    if (reset) {
        fputs("5", reset);
        fclose(reset);
    }
    int64_t before = status_bytes("VmRSS:");
    double start = clock_seconds();
    note("bench: opening %s on mesh %s", b->model, m->name);
    if (!(m->engine = b->open(b->owner, m->name, slots, context, err))) return false;
    m->open_seconds = clock_seconds() - start;
    m->info = *qm_engine_info(m->engine);
    QmSession *s[1] = {NULL};
    double seconds;
    bool ok = fill(m->engine, s, 1, 0, err) && timed(m->engine, s, &(BenchTest){.gen = 1, .batch = 1}, &seconds, err);
    qm_session_free(s[0]);
    m->first_token_seconds = clock_seconds() - start;
    int64_t peak = status_bytes("VmHWM:");
    m->peak_bytes = peak > before && before ? peak - before : 0;
    return ok;
}

static void mesh_close(BenchMesh *m) {
    qm_engine_close(m->engine);
    m->engine = NULL;
}

/* Adds what the steps of a repetition took to the test's result; r NULL: they do not count. */
static void phases_add(QmEngine *e, BenchResult *r) {
    QmPhase now[BENCH_PHASES];
    int count = qm_engine_phases(e, now, BENCH_PHASES);
    for (int i = 0; r && i < count; i++) { /* in the same order every time */
        memcpy(r->phase[i].name, now[i].name, sizeof now[i].name);
        r->phase[i].seconds += now[i].seconds;
        r->phase[i].weight_bytes += now[i].weight_bytes;
        r->phases = count;
    }
}

/* Raises *peak to that of a new measurement. */
static bool peak_raise(const QmModelInfo *m, double *peak, Err *err) {
    double (*products)(int, double, Err *) = strcmp(m->act, "bf16") ? cpu_fma_peak : cpu_pair_peak;
    double now = products(m->workers, PEAK_SECONDS, err);
    if (now > *peak) *peak = now;
    return now > 0;
}

/* What a test will take, from a warm-up of `seconds` with fewer tokens: too much, if anything, for prompts, as their
 * first rows are the dearest. */
static double seconds_of(const BenchTest *t, const BenchTest *warm, double seconds) {
    if (t->prompt) return seconds * (double)t->prompt / (double)warm->prompt;
    return seconds * (double)t->gen / (double)warm->gen;
}

/* One test on meshes [from, to), all open, in turn; between repetitions memory is read: its speed changes by the second
 * where guests share a machine. */
static bool run_test(Bench *b, int test, int from, int to, Err *err) {
    const BenchTest *t = &b->tests[test];
    const QmModelInfo *info = &b->mesh[from].info;
    QmSession **s = mem_new((size_t)(b->meshes * t->batch), sizeof(QmSession *), "bench sessions", err);
    Reader *reader = s ? reader_new(info->workers, err) : NULL;
    BenchResult *row = b->results + test * b->meshes;
    double best = 0, peak = 0, before = 0, seconds;
    bool ok = reader && peak_raise(info, &peak, err);
    BenchTest warm = *t;
    if (warm.prompt > BENCH_WARM && !b->warm_whole) warm.prompt = BENCH_WARM;
    if (warm.gen > 2) warm.gen = 2;
    char name[64];
    bench_test_name(t, name, sizeof name);
    double left = 0;
    for (int r = -1; ok && r < b->repeats; r++) /* -1 warms up: pages, caches, clocks */
        for (int m = from; ok && m < to; m++) {
            QmEngine *e = b->mesh[m].engine;
            ok = fill(e, s + m * t->batch, t->batch, t->depth, err);
            phases_add(e, NULL);
            ok = ok && timed(e, s + m * t->batch, r < 0 ? &warm : t, &seconds, err);
            double after = ok ? reader_rate(reader, READ_SECONDS, &best) : 0;
            if (ok && r >= 0) {
                row[m].rate[r] = (double)(t->prompt ? t->prompt : t->gen * t->batch) / seconds;
                row[m].read[r] = (before + after) / 2;
                row[m].seconds += seconds;
                phases_add(e, &row[m]);
            }
            if (ok) left += r < 0 ? (seconds_of(t, &warm,
                                                seconds) + READ_SECONDS) * b->repeats : -seconds - READ_SECONDS;
            if (ok && m == to - 1 && r < (note_live() ? b->repeats - 1 : 0))
                note("bench: %s on %d mesh%s, repetition %d of %d, about %.0f s left", name, to - from,
                     to - from == 1 ? "" : "es", r + 2, b->repeats, left > 1 ? left : 1);
            before = after;
        }
    note_end();
    ok = ok && peak_raise(info, &peak, err);
    reader_free(reader);
    for (int64_t i = 0; s && i < b->meshes * t->batch; i++) qm_session_free(s[i]);
    free(s);
    for (int m = from; ok && m < to; m++) {
        row[m].test = *t;
        row[m].mesh = m;
        row[m].repeats = b->repeats;
        row[m].read_bandwidth = best;
        row[m].fma_peak = peak;
        summarise(&row[m], &row[0], &b->mesh[m].info);
        ok = !b->done || b->done(b->owner, b, test * b->meshes + m, err);
    }
    return ok;
}

static bool run_tests(Bench *b, int from, int to, Err *err) {
    for (int t = 0; t < b->test_count; t++)
        if (!run_test(b, t, from, to, err)) return false;
    return true;
}

bool bench_run(Bench *b, bool together, Err *err) {
    b->results = mem_new((size_t)(b->test_count * b->meshes), sizeof *b->results, "results", err);
    if (!b->results || !mesh_open(b, &b->mesh[0], err)) return false;
    int64_t each = b->mesh[0].info.weight_bytes + b->mesh[0].info.cache_bytes + b->mesh[0].info.activation_bytes;
    /* a quarter more for what is not counted, and as much again as reading the bandwidth takes */
    if (together && (double)each * (b->meshes - 1) * 1.25 < 0.6 * (double)cpu_memory_available(NULL)) {
        for (int m = 1; m < b->meshes; m++)
            if (!mesh_open(b, &b->mesh[m], err)) return false;
        return run_tests(b, 0, b->meshes, err);
    }
    for (int m = 0; m < b->meshes; m++) {
        if (m && !mesh_open(b, &b->mesh[m], err)) return false;
        if (!run_tests(b, m, m + 1, err)) return false;
        mesh_close(&b->mesh[m]);
    }
    return true;
}

void bench_free(Bench *b) {
    for (int m = 0; m < b->meshes; m++) mesh_close(&b->mesh[m]);
    free(b->tests);
    free(b->results);
}
