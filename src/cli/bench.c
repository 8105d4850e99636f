/* bench.c: `bench`: llama-bench's tests and table, per mesh, beside the read bandwidth of the same run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/cpu.h"
#include "eval_tasks.h"
#include "model_options.h"

enum { MAX_REPEATS = 100 };
static const double READ_SECONDS = 0.5; /* of a reading of the bandwidth */

static double mean_of(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static double deviation_of(const double *x, int n) {
    double m = mean_of(x, n), sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - m) * (x[i] - m);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

/* Tokens per second of a prefill of `prompt` tokens, or of `n` decoded ones. */
static bool measure(QmEngine *e, int64_t prompt, int64_t n, double *rate, Err *err) {
    QmSession *s = qm_session_new(e, err);
    int64_t count = prompt ? prompt : 1, vocab = qm_engine_info(e)->vocab;
    int32_t *ids = mem_new((size_t)count, sizeof *ids, "bench ids", err), best = 0;
    bool ok = s && ids;
    for (int64_t i = 0; ok && i < count; i++) ids[i] = (int32_t)((i * 7919 + 1) % vocab);
    QmAppend a = {.session = s, .tokens = ids, .count = count, .logits_from = 1, .argmax = &best};
    double start = clock_seconds();
    for (int64_t i = 0; ok && i < (prompt ? 1 : n); i++) {
        ok = qm_forward(e, &a, 1, err);
        if (ids) ids[0] = best < 0 ? 0 : best;
    }
    *rate = (double)(prompt ? prompt : n) / (clock_seconds() - start);
    free(ids);
    qm_session_free(s);
    return ok;
}

/* One row of the table. Memory is as fast as the machine's other guests let it be from one second to the next, so decode is
 * held against the better of two readings, one on each side of the test. */
static bool test_row(QmEngine *e, const char *name, int64_t prompt, int64_t n, int repeats, Err *err) {
    double rate[MAX_REPEATS], warm, before = 0, after = 0;
    const QmModelInfo *i = qm_engine_info(e);
    if (!prompt && (before = cpu_read_bandwidth(i->workers, READ_SECONDS, err)) <= 0) return false;
    if (!measure(e, prompt ? (prompt < 16 ? prompt : 16) : 0, 2, &warm, err)) return false;
    for (int r = 0; r < repeats; r++)
        if (!measure(e, prompt, n, &rate[r], err)) return false;
    if (!prompt && (after = cpu_read_bandwidth(i->workers, READ_SECONDS, err)) <= 0) return false;
    char test[16], used[48] = "";
    double mean = mean_of(rate, repeats), bytes = (double)i->decode_bytes * mean, read = before > after ? before : after;
    snprintf(test, sizeof test, "%s%lld", prompt ? "pp" : "tg", (long long)(prompt ? prompt : n));
    if (!prompt) snprintf(used, sizeof used, "%.1f of %.1f (%.0f %%)", bytes / 1e9, read / 1e9, 100 * bytes / read);
    printf("| %s %s | %.2f MiB | %.2f M | cpu %s | %d | %s | %s | %.2f ± %.2f | %s |\n", name, i->weight_type,
           (double)i->weight_bytes / 1048576, (double)i->parameters / 1e6, i->isa, i->workers, i->mesh, test, mean,
           deviation_of(rate, repeats), used);
    fflush(stdout);
    return true;
}

int cmd_bench(int argc, char **argv) {
    ModelOptions m = {0};
    int64_t prompt = 512, n = 128, repeats = 5;
    MeshEval eval = {.limit = 50};
    const Option options[] = {
        MODEL_OPTIONS(m),
        {"n-prompt", 'p', OPTION_INT, &prompt, 0, 1 << 20, "N",
         "prompt tokens of the prefill test (default 512; 0: none)", NULL},
        {"n-gen", 'n', OPTION_INT, &n, 0, 1 << 20, "N", "tokens of the decode test (default 128; 0: none)", NULL},
        {"repetitions", 'r', OPTION_INT, &repeats, 1, MAX_REPEATS, "N", "repetitions (default 5)", NULL},
        MESH_EVAL_OPTIONS(eval),
    };
    int code = options_parse(argc, argv, "bench -m MODEL [--mesh 1x1,2x4,...] [-p N] [-n N] [-r N]",
                             "--mesh takes a list of XxY meshes here.", options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (eval.task) return bench_meshes(&m, &eval);
    if (prompt == 0 && n == 0) return usage_error("bench", "nothing to measure: -p and -n are both 0");
    if (m.mesh && strlen(m.mesh) >= 256) return usage_error("bench", "--mesh: the list is longer than 255 bytes");
    Err err = {0};
    char list[256], *save = NULL;
    snprintf(list, sizeof list, "%s", m.mesh ? m.mesh : "1x1");
    if (m.context == 0) m.context = (prompt > n ? prompt : n) + 16;
    bool ok = true;
    const char *slash = m.model ? strrchr(m.model, '/') : NULL, *name = slash && slash[1] ? slash + 1 : m.model;
    for (char *mesh = strtok_r(list, ",", &save); ok && mesh; mesh = strtok_r(NULL, ",", &save)) {
        m.mesh = mesh;
        QmEngine *e = model_open("bench", &m, false, &code);
        if (!e) return code;
        if (mesh == list)
            printf("| model | size | params | backend | threads | mesh | test | t/s | GB/s of read bandwidth |\n"
                   "|---|---|---|---|---|---|---|---|---|\n");
        ok = (prompt == 0 || test_row(e, name, prompt, 0, (int)repeats, &err)) &&
             (n == 0 || test_row(e, name, 0, n, (int)repeats, &err));
        qm_engine_close(e);
    }
    ok = ok && file_finish(stdout, "standard output", &err);
    return ok ? EXIT_OK : fail(&err);
}
