/* adapter.c: the folder of an adapter: its tensors sorted into modules and weights. */
#include <stdlib.h>
#include <string.h>
#include "adapter.h"
#include "config.h"

enum { MAX_MODULES = 1 << 15, CONFIG_LIMIT = 4 << 20 };

typedef enum Part { PART_A, PART_B, PART_MAGNITUDE, PART_WEIGHT } Part;

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* Takes `ending` off the end of a name. */
static bool ending_take(char *name, const char *ending) {
    size_t n = strlen(name), e = strlen(ending);
    if (n <= e || strcmp(name + n - e, ending)) return false;
    name[n - e] = 0;
    return true;
}

/* What PEFT's wrappers put into the name of a weight. */
static void wrapper_drop(char *name, const char *wrapper) {
    char *at = strstr(name, wrapper);
    if (at) memmove(at, at + strlen(wrapper), strlen(at + strlen(wrapper)) + 1);
}

/* The graph's name from that of any class of transformers (HeadRow.below). */
static bool name_ours(const char *theirs, char *out, size_t size) {
    const char *other = head_table[HEAD_QUESTION].below;
    if (begins(theirs, other)) theirs += strlen(other);
    else if (!begins(theirs, "layers.") && !begins(theirs, "embed_tokens.") && !begins(theirs, "norm."))
        return snprintf(out, size, "%s", theirs) < (int)size;
    return snprintf(out, size, GRAPH_BELOW "%s", theirs) < (int)size;
}

/* Which part of which module, or which weight, a tensor is. `theirs`: as in the file, without its prefix. */
static bool name_read(const Adapter *a, const SafeTensor *t, Part *part, char *theirs, size_t size, Err *err) {
    const char *known = ".lora_A.weight, .lora_B.weight, .lora_magnitude_vector or a weight of the model";
    bool ok = begins(t->name, ADAPTER_PREFIX);
    if (ok && snprintf(theirs, size, "%s", t->name + strlen(ADAPTER_PREFIX)) >= (int)size)
        return err_as(err, QM_LIMIT, "%s: %s: expected a name of at most %zu bytes", a->path,
                      name_text(t->name, strlen(t->name)).text, size + strlen(ADAPTER_PREFIX));
    if (ok) {
        *part = ending_take(theirs, ADAPTER_A) ? PART_A : ending_take(theirs, ADAPTER_B) ? PART_B : PART_WEIGHT;
        if (ending_take(theirs, ADAPTER_MAGNITUDE) || ending_take(theirs, ADAPTER_MAGNITUDE ".weight"))
            *part = PART_MAGNITUDE;
        wrapper_drop(theirs, ".base_layer");
        wrapper_drop(theirs, ".modules_to_save");
        ok = !strstr(theirs, "lora_") && !strstr(theirs, ".original_module");
    }
    return ok || err_set(err, "%s: %s: expected " ADAPTER_PREFIX "MODULE with %s", a->path,
                         name_text(t->name, strlen(t->name)).text, known);
}

/* ---- Sorting out ------------------------------------------------------------------------------------------------- */

static int by_name(const void *x, const void *y) {
    return strcmp(((const AdapterModule *)x)->name, ((const AdapterModule *)y)->name);
}

static bool wrong(const Adapter *a, const char *name, Err *err, const char *what) {
    return err_set(err, "%s: %s: %s", a->path, name_text(name, strlen(name)).text, what);
}

/* One list of parts, sorted by module, becomes one of modules. */
static bool parts_join(Adapter *a, Err *err) {
    int64_t parts = a->count;
    if (parts) qsort(a->modules, (size_t)parts, sizeof *a->modules, by_name);
    a->count = 0;
    for (int64_t i = 0; i < parts; i++) {
        AdapterModule *m = &a->modules[i], *to = a->count ? &a->modules[a->count - 1] : NULL;
        if (!to || strcmp(to->name, m->name)) {
            a->modules[a->count++] = *m;
            continue;
        }
        if ((to->a && m->a) || (to->b && m->b) || (to->magnitude && m->magnitude))
            return wrong(a, m->name, err, "is there twice");
        if (m->a) to->a = m->a, to->scale = m->scale, to->rank = m->rank;
        if (m->b) to->b = m->b;
        if (m->magnitude) to->magnitude = m->magnitude;
    }
    if (a->count > MAX_MODULES)
        return err_as(err, QM_LIMIT, "%s: expected at most %d modules, got %lld", a->path, MAX_MODULES,
                      (long long)a->count);
    return true;
}

static bool is_weight_type(DType type) { return type == DTYPE_F32 || type == DTYPE_BF16 || type == DTYPE_F16; }

/* Rank and scale of a module, called `theirs` in the file, by its patterns: the file's A has to have that rank. */
static bool module_scale(Adapter *a, AdapterModule *m, const char *theirs, Err *err) {
    double alpha;
    bool named = true;
    AdapterConfig *c = &a->config;
    if (!adapter_rank_of(c, theirs, &m->rank, err) || !adapter_alpha_of(c, theirs, &alpha, err) ||
        ((c->targets.count || c->targets.pattern) && !adapter_names(c, &c->targets, theirs, &named, err))) {
        err_prefix(err, "%s", a->path);
        return false;
    }
    if (!named) return wrong(a, m->name, err, "is not among target_modules");
    m->scale = adapter_scale(c, m->rank, alpha);
    return true;
}

static bool module_check(const Adapter *a, const AdapterModule *m, Err *err) {
    if (!m->a || !m->b) return wrong(a, m->name, err, m->a ? "lora_B is missing" : "lora_A is missing");
    if (m->a->rank != 2 || m->b->rank != 2 || m->a->dim[0] != m->rank || m->b->dim[1] != m->rank || !m->a->dim[1] ||
        !m->b->dim[0])
        return err_set(err, "%s: %s: expected lora_A [%lld,in] and lora_B [out,%lld], got [%lld,%lld] and [%lld,%lld]",
                       a->path, name_text(m->name, strlen(m->name)).text, (long long)m->rank, (long long)m->rank,
                       (long long)m->a->dim[0], (long long)m->a->dim[1], (long long)m->b->dim[0],
                       (long long)m->b->dim[1]);
    if (a->config.dora != (m->magnitude != NULL))
        return wrong(a, m->name, err, m->magnitude ? "has a magnitude, but use_dora is false"
                                                   : "has no magnitude, but use_dora is true");
    if (m->magnitude && (m->magnitude->rank != 1 || m->magnitude->dim[0] != m->b->dim[0]))
        return wrong(a, m->name, err, "its magnitude is no vector of as many numbers as lora_B has rows");
    return true;
}

static bool tensor_add(Adapter *a, const SafeTensor *t, Err *err) {
    char theirs[MODULE_NAME + 16];
    Part part = PART_WEIGHT;
    if (!name_read(a, t, &part, theirs, sizeof theirs, err)) return false;
    if (!is_weight_type(t->dtype)) return wrong(a, t->name, err, "expected F32, BF16 or F16");
    if (part == PART_WEIGHT) {
        AdapterWeight *w = &a->weights[a->weight_count++];
        w->tensor = t;
        return name_ours(theirs, w->name, sizeof w->name) || wrong(a, t->name, err, "the name is too long");
    }
    AdapterModule *m = &a->modules[a->count++];
    *m = (AdapterModule){.a = part == PART_A ? t : NULL, .b = part == PART_B ? t : NULL,
                         .magnitude = part == PART_MAGNITUDE ? t : NULL};
    if (!name_ours(theirs, m->name, sizeof m->name)) return wrong(a, t->name, err, "the name is too long");
    return part != PART_A || module_scale(a, m, theirs, err);
}

static bool tensors_read(Adapter *a, Err *err) {
    if (a->file.count > 4 * MAX_MODULES)
        return err_as(err, QM_LIMIT, "%s: expected at most %d tensors, got %lld", a->path, 4 * MAX_MODULES,
                      (long long)a->file.count);
    a->modules = mem_new((size_t)a->file.count + 1, sizeof *a->modules, "modules of an adapter", err);
    a->weights = mem_new((size_t)a->file.count + 1, sizeof *a->weights, "weights of an adapter", err);
    for (int64_t i = 0; i < a->file.count; i++)
        if (!a->modules || !a->weights || !tensor_add(a, &a->file.tensors[i], err)) return false;
    if (!a->modules || !a->weights || !parts_join(a, err)) return false;
    for (int64_t i = 0; i < a->count; i++)
        if (!module_check(a, &a->modules[i], err)) return false;
    return a->count || a->weight_count || err_set(err, "%s: " ADAPTER_WEIGHTS " holds no tensors", a->path);
}

/* ---- The door ---------------------------------------------------------------------------------------------------- */

static Adapter *adapter_new(const char *path, Err *err) {
    Adapter *a = mem_new(1, sizeof *a, "adapter", err);
    if (a && (a->path = strdup(path))) return a;
    if (a) err_as(err, QM_MEMORY, "out of memory: path %s", path);
    free(a);
    return NULL;
}

Adapter *adapter_parse(const char *config, size_t config_bytes, const uint8_t *data, size_t bytes, const char *path,
                       Err *err) {
    Adapter *a = adapter_new(path, err);
    if (a && adapter_config_parse(&a->config, config, config_bytes, path, err) &&
        safetensors_parse(&a->file, data, bytes, path, err) && tensors_read(a, err))
        return a;
    adapter_close(a);
    return NULL;
}

/* What is missing, said so that one finds what to give. */
static bool folder_check(const char *path, const char *config, const char *weights, Err *err) {
    if (!folder_exists(path))
        return err_as(err, QM_IO, "cannot open the adapter %s: expected a folder with " ADAPTER_CONFIG " and "
                      ADAPTER_WEIGHTS, path);
    if (!file_exists(config)) return err_set(err, "%s is no adapter: it has no " ADAPTER_CONFIG, path);
    if (file_exists(weights)) return true;
    char *pickle = path_join(path, "adapter_model.bin", err);
    bool is = pickle && file_exists(pickle);
    free(pickle);
    return err_set(err, "%s has no " ADAPTER_WEIGHTS "%s", path,
                   is ? "; adapter_model.bin is there, but pickled weights are not read" : "");
}

static bool files_open(Adapter *a, Err *err) {
    char *config = path_join(a->path, ADAPTER_CONFIG, err), *weights = path_join(a->path, ADAPTER_WEIGHTS, err);
    size_t bytes = 0;
    bool ok = config && weights && folder_check(a->path, config, weights, err);
    char *text = ok ? file_read(config, CONFIG_LIMIT, &bytes, err) : NULL;
    ok = text && adapter_config_parse(&a->config, text, bytes, config, err) &&
         safetensors_open(&a->file, weights, err);
    free(text);
    free(config);
    free(weights);
    return ok;
}

Adapter *adapter_open(const char *path, Err *err) {
    Adapter *a = adapter_new(path, err);
    if (a && files_open(a, err) && tensors_read(a, err)) return a;
    adapter_close(a);
    return NULL;
}

void adapter_close(Adapter *a) {
    if (!a) return;
    safetensors_close(&a->file);
    adapter_config_free(&a->config);
    free(a->modules);
    free(a->weights);
    free(a->path);
    free(a);
}
