/* adapter_write.c: see adapter_write.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../base/output_folder.h"
#include "../io/json_python.h"
#include "adapter_write.h"
#include "weight_rows.h"

/* ---- adapter_config.json ----------------------------------------------------------------------------------------- */

/* Whole numbers without a point, as PEFT writes them. */
static json_t *number(double v) {
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
}

/* alpha of a module from its scale. */
static double alpha_of(const Adapters *a, double scale) {
    double rank = (double)a->rank, alpha = scale * (a->file[0]->config.rslora ? sqrt(rank) : rank);
    double whole = nearbyint(alpha);
    return fabs(alpha - whole) <= 1e-12 * fabs(whole) ? whole : alpha; /* sqrt(r) / sqrt(r) */
}

/* The alpha of most modules; those of others as a pattern. */
static json_t *alphas(const Adapters *a, double *most) {
    json_t *pattern = json_object();
    int64_t best = 0;
    *most = a->count ? alpha_of(a, a->linears[0].scale) : a->file[0]->config.alpha;
    for (int64_t i = 0, count; i < a->count && best * 2 < a->count; i++, best = count > best ? count : best) {
        count = 0;
        for (int64_t k = 0; k < a->count; k++) count += a->linears[k].scale == a->linears[i].scale;
        if (count > best) *most = alpha_of(a, a->linears[i].scale);
    }
    for (int64_t i = 0; pattern && i < a->count; i++) {
        double alpha = alpha_of(a, a->linears[i].scale);
        if (alpha != *most && json_object_set_new(pattern, a->linears[i].module, number(alpha))) {
            json_decref(pattern);
            pattern = NULL;
        }
    }
    return pattern;
}

static json_t *names_of(const AdapterNames *names) {
    if (!names->count) return json_null();
    if (names->pattern || names->all_linear) return json_string(names->list[0]);
    json_t *list = json_array();
    for (int64_t i = 0; list && i < names->count; i++)
        if (json_array_append_new(list, json_string(names->list[i]))) json_decref(list), list = NULL;
    return list;
}

/* Of several adapters, all modules by their full names. */
static json_t *targets_of(const Adapters *a) {
    if (a->files == 1 && a->file[0]->config.targets.count) return names_of(&a->file[0]->config.targets);
    json_t *list = json_array();
    for (int64_t i = 0; list && i < a->count; i++)
        if (json_array_append_new(list, json_string(a->linears[i].module))) json_decref(list), list = NULL;
    return list;
}

static json_t *text_or_null(const char *text) { return *text ? json_string(text) : json_null(); }

static json_t *config_json(const Adapters *a) {
    const AdapterConfig *c = &a->file[0]->config;
    double alpha;
    json_t *pattern = alphas(a, &alpha);
    return json_pack("{s:s, s:o, s:o, s:n, s:b, s:I, s:o, s:f, s:o, s:s, s:b, s:o, s:b, s:b, s:{}, s:o, s:b, s:n, s:n, "
                     "s:n}", "peft_type", "LORA", "task_type", text_or_null(c->task), "base_model_name_or_path",
                     text_or_null(c->base), "revision", "inference_mode", 1, "r", (json_int_t)a->rank, "lora_alpha",
                     number(alpha), "lora_dropout", c->dropout, "target_modules", targets_of(a), "bias",
                     adapter_biases[c->bias], "fan_in_fan_out", 0, "modules_to_save", names_of(&c->saved), "use_rslora",
                     c->rslora, "use_dora", c->dora, "rank_pattern", "alpha_pattern", pattern, "init_lora_weights", 1,
                     "auto_mapping", "layers_to_transform", "layers_pattern");
}

bool adapter_config_write(const Adapters *a, const char *folder, Err *err) {
    json_t *root = config_json(a);
    char *text = root ? json_python(root, (JsonStyle){.sorted = true, .ascii = true}, ADAPTER_CONFIG, err) : NULL;
    if (!root) err_as(err, QM_MEMORY, "out of memory: " ADAPTER_CONFIG);
    bool ok = text && output_write(folder, ADAPTER_CONFIG, text, strlen(text), err);
    json_decref(root);
    free(text);
    return ok;
}

/* ---- adapter_model.safetensors ----------------------------------------------------------------------------------- */

void adapter_file_name(const Adapters *a, const ModelConfig *c, const char *name, char *out, size_t size) {
    size_t prefix = strlen(ADAPTER_PREFIX);
    const char *rest = strncmp(name, ADAPTER_PREFIX, prefix) ? name : name + prefix;
    const char *dot = strrchr(rest, '.');
    char module[MODULE_NAME];
    snprintf(module, sizeof module, "%.*s", dot ? (int)(dot - rest) : 0, rest);
    bool wrapped = rest == name && adapters_linear(a, module);
    const char *below = name_below(rest), *stands = below ? head_table[c->head].below : "";
    if (below) rest = below;
    int stem = wrapped ? (int)(dot - rest) : (int)strlen(rest);
    snprintf(out, size, ADAPTER_PREFIX "%s%.*s%s%s", stands, stem, rest, wrapped ? ".base_layer" : "",
             wrapped ? dot : "");
}

typedef struct Written {
    const WeightTensor *tensor;
    char name[sizeof(PartName) + 16];
    AdapterRead *read;
    void *owner;
} Written;

static bool read_rows(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const Written *w = owner;
    return w->read ? w->read(w->owner, w->tensor->name, out, err) : weight_rows(w->tensor, first, rows, out, err);
}

static bool ends_in(const char *name, const char *ending) {
    size_t n = strlen(name), e = strlen(ending);
    return n >= e && !strcmp(name + n - e, ending);
}

bool adapter_write(const Adapters *a, const ModelConfig *c, const char *folder, DType dtype, AdapterRead *read,
                   void *owner, Err *err) {
    size_t most = (size_t)a->tensor_count + 1;
    Written *list = mem_new(most, sizeof *list, "tensors of an adapter", err);
    SaveTensor *tensors = list ? mem_new(most, sizeof *tensors, "tensors of an adapter", err) : NULL;
    int64_t count = 0;
    for (int64_t i = 0; tensors && i < a->tensor_count; i++) {
        const WeightTensor *t = &a->tensors[i];
        if (t->frozen || ends_in(t->name, ADAPTER_NORM)) continue;
        list[count] = (Written){.tensor = t, .read = read, .owner = owner};
        adapter_file_name(a, c, t->name, list[count].name, sizeof list->name);
        tensors[count] = (SaveTensor){.name = list[count].name, .rank = t->rank, .dim = {t->dim[0], t->dim[1]},
                                      .whole = true, .read = read_rows, .owner = &list[count]};
        count++;
    }
    bool ok = tensors && safetensors_save(folder, "adapter_model", tensors, count, dtype, INT64_MAX, err) &&
              adapter_config_write(a, folder, err);
    free(tensors);
    free(list);
    return ok;
}

bool adapter_save(const Adapters *a, const ModelConfig *c, const char *path, DType dtype, AdapterRead *read,
                  void *owner, Err *err) {
    OutputFolder folder = {0};
    if (!output_folder_open(&folder, path, FOLDER_ADD, err)) return false;
    return output_folder_end(&folder, adapter_write(a, c, folder.path, dtype, read, owner, err), ADAPTER_CONFIG, NULL,
                             err);
}
