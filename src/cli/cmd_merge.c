/* cmd_merge.c: `merge`: a model, with the adapters beside its weights worked in, as a folder or a GGUF file. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../model/adapter_merge.h"
#include "../model/gguf_save.h"
#include "merge.h"

typedef struct Merge {
    Source *source;
    ModelConfig config;
    Weights *weights;
    Adapters *adapters;   /* NULL: none */
    MergedWeights merged; /* of the graph without them, so a tied head is none */
} Merge;

/* The graph with the adapters says whether they have a place in it. */
static bool adapters_placed(Merge *m, Err *err) {
    ModelGraph *model = mem_new(1, sizeof *model, "model", err);
    bool ok = model && model_graph(model, &m->config, 1, 1, false, err);
    if (ok) model_graph_free(model);
    free(model);
    return ok;
}

static bool merge_open(Merge *m, const char *path, const char *lora, Err *err) {
    return (m->source = source_open(path, err)) && config_load(&m->config, m->source, err) &&
           (!lora || ((m->adapters = adapters_open(lora, err)) && adapters_configure(m->adapters, &m->config, err))) &&
           (m->weights = model_weights(&m->config, m->source, err)) && (config_untie(&m->config, m->weights), true) &&
           (!lora || adapters_join(m->adapters, &m->config, m->weights, err)) && adapters_placed(m, err) &&
           merged_weights(&m->merged, m->adapters, &m->config, m->weights, err);
}

static void merge_close(Merge *m) {
    merged_weights_free(&m->merged);
    weights_close(m->weights);
    adapters_free(m->adapters);
    source_close(m->source);
}

/* ---- Interrupts: between pieces of a tensor
 * ------------------------------------------------------------------------ */

static atomic_bool stop;
static void on_signal(int number) {
    (void)number;
    atomic_store(&stop, true);
}

static bool read_unless_stopped(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const SaveTensor *inner = owner;
    if (atomic_load(&stop)) return err_as(err, QM_INTERRUPTED, "interrupted");
    return inner->read(inner->owner, first, rows, out, err);
}

/* The same tensors, whose reading stops; malloc'ed. */
static SaveTensor *stoppable(const MergedWeights *merged, Err *err) {
    SaveTensor *list = mem_new((size_t)merged->count + 1, sizeof *list, "tensors", err);
    for (int64_t i = 0; list && i < merged->count; i++) {
        list[i] = merged->tensors[i];
        list[i].read = read_unless_stopped;
        list[i].owner = &merged->tensors[i];
    }
    return list;
}

/* ---- What is asked for ------------------------------------------------------------------------------------------- */

bool names_gguf(const char *path) {
    size_t n = strlen(path);
    return n > 5 && !strcmp(path + n - 5, ".gguf");
}

/* By its name; the type of the model's own matrices where none is given, f32 of quantised ones. */
static bool save_type(const char *name, bool gguf, const Merge *m, DType *type, Err *err) {
    static const DType types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0};
    int count = gguf ? 5 : 3;
    if (!name) {
        const WeightTensor *t = weights_find(m->weights, family_of(&m->config)->typical);
        *type = t && (t->dtype == DTYPE_BF16 || t->dtype == DTYPE_F16) ? t->dtype : DTYPE_F32;
        return true;
    }
    for (int i = 0; i < count; i++)
        if (!strcmp(name, dtype_row(types[i])->name)) return *type = types[i], true;
    return err_as(err, QM_USAGE, "--save-dtype: expected %s, got '%s'",
                  gguf ? "f32, bf16, f16, q8_0 or q4_0" : "f32, bf16 or f16 (q8_0 and q4_0: -o FILE.gguf)", name);
}

/* As transformers' max_shard_size: bytes, or thousands, millions, milliards of them. */
static bool shard_size(const char *text, int64_t *bytes, Err *err) {
    static const struct { const char *unit; int64_t bytes; } units[] = {
        {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"", 1}};
    size_t digits = strspn(text, "0123456789");
    char number[24];
    int64_t value;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (digits >= sizeof number || strcmp(text + digits, units[i].unit)) continue;
        snprintf(number, sizeof number, "%.*s", (int)digits, text);
        if (parse_int(number, 1, INT64_MAX / units[i].bytes, &value)) return *bytes = value * units[i].bytes, true;
    }
    return err_as(err, QM_USAGE, "--max-shard-size: expected a number of bytes, or of KB, MB or GB, got '%s'", text);
}

static int64_t numbers_of(const MergedWeights *s) {
    int64_t count = 0;
    for (int64_t i = 0; i < s->count; i++)
        count += s->tensors[i].dim[0] * (s->tensors[i].rank > 1 ? s->tensors[i].dim[1] : 1);
    return count;
}

bool model_merge(const char *path, const char *lora, const char *out, const char *dtype, const char *shards,
                  Err *err) {
    Merge *m = mem_new(1, sizeof *m, "model", err);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    double start = clock_seconds();
    ModelSave save = {.shard_bytes = 0};
    bool gguf = names_gguf(out);
    bool ok = m && (!shards || shard_size(shards, &save.shard_bytes, err)) && merge_open(m, path, lora, err) &&
              save_type(dtype, gguf, m, &save.dtype, err);
    SaveTensor *tensors = ok ? stoppable(&m->merged, err) : NULL;
    ok = tensors != NULL;
    if (ok) {
        save.source = m->source;
        save.config = &m->config;
        save.tensors = tensors;
        save.count = m->merged.count;
        ok = gguf ? gguf_save(&save, out, err) : model_folder_save(&save, out, err);
    }
    if (ok)
        printf("%s: %lld tensors, %.1f million numbers of type %s in %.1f s\n", out, (long long)m->merged.count,
               (double)numbers_of(&m->merged) / 1e6, dtype_row(save.dtype)->name, clock_seconds() - start);
    free(tensors);
    if (m) merge_close(m);
    free(m);
    return ok && file_finish(stdout, "standard output", err);
}

int cmd_merge(int argc, char **argv) {
    const char *model = NULL, *lora = NULL, *out = NULL, *dtype = NULL, *shards = NULL;
    int first = 0;
    Err err = {0};
    const Option options[] = {
        TEXT("model", 'm', &model, "DIR|FILE", "Hugging Face folder, .gguf or packed file (or the argument)"),
        OPTION_ROW("lora", 0, OPTION_LINES, &lora, 0, 0, "[NAME=]DIR[:SCALE]",
              "a LoRA adapter in PEFT's files, SCALE times (default 1); given again, all add up"),
        TEXT("out", 'o', &out, "DIR|FILE.gguf", "the folder or GGUF file that is written"),
        TEXT("save-dtype", 0, &dtype, "TYPE",
             "f32, bf16, f16, of a GGUF file also q8_0, q4_0 (default: the model's, f32 of quantised ones)"),
        TEXT("max-shard-size", 0, &shards, "SIZE", "of a file of the folder: 500MB, 5GB (default 50GB)"),
    };
    int code =
        options_parse(argc, argv, "merge MODEL [--lora DIR] -o DIR|FILE.gguf [options]",
                      "A folder is as save_pretrained writes it, with the model's tokenizer and configuration. A "
                      "GGUF file opens in llama.cpp; vectors are f32 there, with q4_0 embedding and head q8_0.",
                      options, (int)(sizeof options / sizeof *options), &first);
    if (code >= 0) return code;
    if (!model && first < argc) model = argv[first++];
    if (first < argc) return usage_error("merge", "unexpected argument '%s'", argv[first]);
    if (!model || !out) return usage_error("merge", "expected MODEL and -o DIR or -o FILE.gguf");
    if (names_gguf(out) && !can_write(out, &err)) return fail(&err);
    if (names_gguf(out) && shards) return usage_error("merge", "--max-shard-size: a GGUF file is one file");
    return model_merge(model, lora, out, dtype, shards, &err) ? EXIT_OK : fail(&err);
}
