/* cmd_pack.c: `pack`: a model as one file that is used where it is mapped. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../cpu/packed_file.h"
#include "../model/family.h"
#include "merge.h"

static atomic_bool stop;
static void on_signal(int number) {
    (void)number;
    atomic_store(&stop, true);
}

static void report_print(const PackedReport *r, const char *out, double seconds) {
    printf("%-14s %6s %8s %10s %14s %12s\n", "kind", "type", "matrices", "MiB", "relative rms", "largest");
    for (int i = 0; i < r->kinds; i++) {
        const PackedKindReport *k = &r->kind[i];
        printf("%-14s %6s %8lld %10.1f ", k->name, packed_rows[k->type].name, (long long)k->matrices,
               (double)k->bytes / (1 << 20));
        if (k->made) printf("%14.6f %12.3g\n", sqrt(k->error.error / fmax(k->error.square, 1e-300)), k->error.most);
        else printf("%14s %12s\n", "exact", "");
    }
    printf("%s: %.1f MiB in %.1f s\n", out, (double)r->bytes / (1 << 20), seconds);
}

static bool pack(PackedJob *job, const char *path, Workers *workers, Err *err) {
    ModelConfig *config = mem_new(1, sizeof *config, "configuration", err);
    ModelGraph *model = mem_new(1, sizeof *model, "model", err);
    PackedReport report;
    double start = clock_seconds();
    bool ok = config && model && (job->source = source_open(path, err)) && config_load(config, job->source, err) &&
              (job->weights = model_weights(config, job->source, err)) && (config_untie(config, job->weights), true) &&
              model_graph(model, config, 1, config->max_positions, false, err) &&
              (job->graph = &model->graph, packed_file_write(job, workers, &report, err));
    if (ok) report_print(&report, job->out, clock_seconds() - start);
    if (model) model_graph_free(model);
    weights_close(job->weights);
    source_close(job->source);
    free(model);
    free(config);
    return ok && file_finish(stdout, "standard output", err);
}

/* A GGUF file, by its name: in the types that --weights stands for there. */
static int pack_gguf(const char *model, const char *out, const char *how) {
    static const char *const types[][2] = {{"file", NULL}, {"bf16", "bf16"}, {"8bit", "q8_0"}, {"4bit", "q4_0"}};
    Err err = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(how ? how : "file", types[i][0]))
            return model_merge(model, NULL, out, types[i][1], NULL, &err) ? EXIT_OK : fail(&err);
    return usage_error("pack", "--weights: expected file, bf16, 8bit or 4bit, got '%s'", how);
}

int cmd_pack(int argc, char **argv) {
    PackedJob job = {.stop = &stop};
    const char *model = NULL;
    int64_t threads = 0, bytes = 0;
    bool verify = false;
    int first = 0;
    Err err = {0};
    const Option options[] = {
        TEXT("model", 'm', &model, "DIR|FILE", "Hugging Face folder or .gguf file (or the argument)"),
        TEXT("out", 'o', &job.out, "FILE", "the packed file; FILE.gguf: a GGUF file, as merge writes it"),
        TEXT("weights", 0, &job.how, "TYPE",
             "file (default); bf16: what matrices become; 8bit, 4bit: those that are not quantised"),
        FLAG("verify", 0, &verify, "check the digests of all sections of a packed MODEL"),
        INT("threads", 't', &threads, 0, 256, "N", "workers (default 0: one per core, or the CPU quota)"),
    };
    int code = options_parse(argc, argv, "pack MODEL -o FILE [--weights TYPE] | pack --verify FILE",
                             "Every command takes the packed file as -m. Its logits have the bits of the model's with "
                             "the same --weights.",
                             options, (int)(sizeof options / sizeof *options), &first);
    if (code >= 0) return code;
    if (!model && first < argc) model = argv[first++];
    if (first < argc) return usage_error("pack", "unexpected argument '%s'", argv[first]);
    if (!model || !verify == !job.out) return usage_error("pack", "expected MODEL and -o FILE, or --verify FILE");
    if (!can_write(job.out, &err)) return fail(&err);
    if (job.out && names_gguf(job.out)) return pack_gguf(model, job.out, job.how);
    PackedType type;
    if (!weights_option(job.how, &type, &err)) return usage_error("pack", "--%s", err.text);
    Workers *workers = workers_new((int)threads, false, &err);
    if (!workers) return fail(&err);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    bool ok = verify ? packed_file_verify(model, workers, &bytes, &err) : pack(&job, model, workers, &err);
    if (ok && verify) printf("%s: %.1f MiB, every section has its SHA-256\n", model, (double)bytes / (1 << 20));
    workers_free(workers);
    return ok && (!verify || file_finish(stdout, "standard output", &err)) ? EXIT_OK : fail(&err);
}
