/* hub_weights.c: which files of a repository a model needs, by the same rule as the loaders (source.h). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "hub.h"
#include "json.h"
#include "source.h"
#include "names.h"

static int64_t find(const HubFiles *files, const char *path) {
    for (size_t i = 0; i < files->count; i++)
        if (!strcmp(files->file[i].path, path)) return (int64_t)i;
    return -1;
}

static bool is_gguf(const char *path) {
    size_t n = strlen(path);
    return n > 5 && !strcasecmp(path + n - 5, ".gguf");
}

/* Keeps the files that `wanted` marks, in their order. */
static void keep(HubFiles *files, const bool *wanted) {
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++)
        if (wanted[i]) files->file[kept++] = files->file[i];
    files->count = kept;
}

bool hub_needs_index(const HubFiles *files) { return find(files, MODEL_WEIGHTS) < 0 && find(files, MODEL_INDEX) >= 0; }

static bool want_indexed(const HubFiles *files, const char *index, size_t bytes, bool *wanted, Err *err) {
    json_t *root = json_text(index, bytes, MODEL_INDEX, err), *value;
    json_t *map = json_object_get(root, "weight_map");
    const char *key;
    bool ok =
        root && (json_object_size(map) > 0 || err_set(err, MODEL_INDEX ": expected a weight_map with file names"));
    if (ok) wanted[find(files, MODEL_INDEX)] = true;
    json_object_foreach(map, key, value) {
        const char *name = json_string_value(value);
        int64_t i = ok && name ? find(files, name) : -1;
        if (ok && i < 0)
            ok = err_set(err, MODEL_INDEX " names %s, which the repository does not have",
                         name ? name_text(name, strlen(name)).text : "no file");
        if (ok) wanted[i] = true;
    }
    json_decref(root);
    return ok;
}

static bool want_gguf(const HubFiles *files, bool *wanted, bool *has, Err *err) {
    Text list = {0};
    size_t count = 0, last = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (!is_gguf(files->file[i].path)) continue;
        if (++count <= 12) text_line(&list, " %s", files->file[i].path);
        last = i;
    }
    *has = count > 0;
    if (count == 1) wanted[last] = true;
    if (count > 1)
        err_set(err, "%zu GGUF files: choose one with --include NAME:%s%s", count, list.data ? list.data : "",
                count > 12 ? " ..." : "");
    text_free(&list);
    return count <= 1;
}

bool hub_choose(HubFiles *files, const char *index, size_t bytes, bool *has_weights, Err *err) {
    bool *wanted = mem_new(files->count, sizeof *wanted, "files", err);
    if (!wanted) return false;
    for (size_t k = 0; k < MODEL_FILES; k++) {
        int64_t i = find(files, model_files[k]);
        if (i >= 0) wanted[i] = true;
    }
    int64_t single = find(files, MODEL_WEIGHTS);
    bool ok = true;
    *has_weights = single >= 0 || index;
    if (single >= 0) wanted[single] = true;
    else if (index) ok = want_indexed(files, index, bytes, wanted, err);
    else ok = want_gguf(files, wanted, has_weights, err);
    if (ok) keep(files, wanted);
    free(wanted);
    return ok;
}
