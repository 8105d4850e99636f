/* shards.c: see shards.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/watch.h"
#include "json.h"
#include "shards.h"

enum { INDEX_LIMIT = 100 << 20 }; /* bytes of an index */

static bool reserve(Shards *s, int64_t files, Err *err) {
    return (s->files = mem_new((size_t)files, sizeof *s->files, "safetensors files", err)) != NULL;
}

/* Room for the tensors of all files. */
static bool reserve_tensors(Shards *s, Err *err) {
    size_t count = 0;
    for (int64_t f = 0; f < s->file_count; f++) count += (size_t)s->files[f].count;
    return (s->tensors = mem_new(count, sizeof *s->tensors, "list of tensors", err)) != NULL;
}

static bool add_all(Shards *s, const char *path, Err *err) {
    s->file_count = 1;
    if (!reserve_tensors(s, err)) return false;
    for (int64_t i = 0; i < s->files->count; i++)
        s->tensors[s->count++] = (ShardTensor){&s->files->tensors[i], path};
    return true;
}

bool shards_open_file(Shards *s, const char *path, Err *err) {
    *s = (Shards){0};
    return reserve(s, 1, err) && safetensors_open(s->files, path, err) && add_all(s, s->files->file.path, err);
}

bool shards_parse(Shards *s, const MappedFile *file, Err *err) {
    *s = (Shards){0};
    return reserve(s, 1, err) && safetensors_parse(s->files, file->data, file->bytes, file->path, err) &&
           add_all(s, file->path, err);
}

/* ---- Several files with an index -------------------------------------------------------------------------------- */

/* A shard must be a file beside its index: no way out of the folder. */
static bool plain_name(const char *name) {
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") && strcmp(name, "..");
}

/* Fills `names` (one per tensor of the map) with the shards' names, checked. */
static bool read_map(const json_t *map, Name *names, const char *path, Err *err) {
    const char *key;
    json_t *value;
    int64_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const char *name = json_string_value(value);
        if (!name || strlen(name) != json_string_length(value) || !plain_name(name))
            return err_set(err, "%s: weight_map: %s: expected the name of a file in the same folder, got %s", path,
                           name_text(key, strlen(key)).text, name ? name_text(name, strlen(name)).text : "no string");
        names[i++] = (Name){name, strlen(name), 0};
    }
    return true;
}

/* Sorts the shards' names, opens each once, and leaves the distinct names with item = place in s->files. */
static bool open_shards(Shards *s, Name *names, int64_t count, int64_t *distinct, const char *folder, Err *err) {
    names_sort(names, count);
    *distinct = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i].data, names[*distinct - 1].data) != 0) {
            names[*distinct] = names[i];
            names[*distinct].item = *distinct;
            ++*distinct;
        }
    if (!reserve(s, *distinct, err)) return false;
    for (int64_t i = 0; i < *distinct; i++) {
        char *path = path_join(folder, names[i].data, err);
        bool gone = path && access(path, F_OK) != 0; /* an error once a tensor is nowhere else */
        bool ok = path && (gone || safetensors_open(&s->files[i], path, err));
        free(path);
        if (!ok) return false;
        s->file_count++;
    }
    return true;
}

static bool add_mapped(Shards *s, const json_t *map, const Name *names, int64_t distinct, const char *folder,
                       const char *path, Err *err) {
    const char *key, *odd = NULL;
    json_t *value;
    for (int64_t f = 0; f < s->file_count; f++) {
        for (int64_t i = 0; i < s->files[f].count; i++) {
            const SafeTensor *t = &s->files[f].tensors[i];
            const char *name = json_string_value(json_object_get(map, t->name));
            int64_t place = name ? names_find(names, distinct, name, strlen(name)) : f;
            if (place != f && safetensors_find(&s->files[place], t->name)) continue;
            if (place != f || !name) odd = t->name;
            s->tensors[s->count++] = (ShardTensor){t, s->files[f].file.path};
        }
    }
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        bool found = false;
        for (int64_t f = 0; !found && f < s->file_count; f++) found = safetensors_find(&s->files[f], key) != NULL;
        const char *shard = json_string_value(value);
        if (!found && !s->files[names_find(names, distinct, shard, strlen(shard))].file.path)
            return err_as(err, QM_IO, "cannot open %s, where %s puts %s: %s", name_text(shard, strlen(shard)).text,
                          path, name_text(key, strlen(key)).text, strerror(ENOENT));
        if (!found)
            return err_set(err, "%s: tensor %s is not in %s/%s, where the index puts it, nor in the other files", path,
                           name_text(key, strlen(key)).text, folder, name_text(shard, strlen(shard)).text);
    }
    if (odd)
        watch_say(QM_WARNING, "%s is stale: %s is not where it says; the files count", path,
                  name_text(odd, strlen(odd)).text);
    return true;
}

/* metadata.total_size is not held against the files: writers disagree on whether tied weights count twice. */
bool shards_open_index(Shards *s, const char *folder, const char *path, Err *err) {
    *s = (Shards){0};
    json_t *root = json_file(path, INDEX_LIMIT, err);
    const json_t *map = json_object_get(root, "weight_map");
    int64_t count = (int64_t)json_object_size(map), distinct = 0;
    Name *names = NULL;
    bool ok = root != NULL;
    if (ok && count == 0) ok = err_set(err, "%s: expected a weight_map with tensor and file names", path);
    if (ok) ok = (names = mem_new((size_t)count, sizeof *names, "list of shards", err)) != NULL;
    ok = ok && read_map(map, names, path, err) && open_shards(s, names, count, &distinct, folder, err) &&
         reserve_tensors(s, err) && add_mapped(s, map, names, distinct, folder, path, err);
    free(names);
    json_decref(root);
    return ok;
}

void shards_close(Shards *s) {
    for (int64_t i = 0; i < s->file_count; i++) safetensors_close(&s->files[i]);
    free(s->files);
    free(s->tensors);
    *s = (Shards){0};
}
