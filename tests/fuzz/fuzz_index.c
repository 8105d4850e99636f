/* fuzz_index.c: model.safetensors.index.json as arbitrary bytes beside two small shards, and as pull chooses files by
 * it. What opens has every tensor once, in a file of the folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/io/hub.h"
#include "../at_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[] = "/tmp/fuzz-index-XXXXXX";

static void put(const char *name, const void *data, size_t bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) abort();
}

static void put_shard(const char *name, const char *header) {
    char file[256] = {0};
    size_t n = strlen(header);
    file[0] = (char)n;
    memcpy(file + 8, header, n + 1);
    put(name, file, 8 + n + 2);
}

static void folder_remove(void) {
    static const char *const names[] = {"a", "b", "model.safetensors.index.json"};
    char path[128];
    for (int i = 0; i < 3; i++) snprintf(path, sizeof path, "%s/%s", folder, names[i]), unlink(path);
    rmdir(folder);
}

static void folder_make(void) {
    if (!mkdtemp(folder)) abort();
    put_shard("a", "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}");
    put_shard("b", "{\"y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"z\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}");
    atexit(folder_remove);
}

static void choose(const char *index, size_t bytes) {
    static const char list[] =
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"0123456789abcdef0123456789abcdef01234567\"},"
        "{\"type\":\"file\",\"path\":\"model.safetensors.index.json\",\"size\":1,"
        "\"oid\":\"0123456789abcdef0123456789abcdef01234567\"}]";
    static const char *const all[] = {"*"};
    HubFiles files = {0};
    Err err = {0};
    bool has;
    if (!hub_files_add(&files, list, sizeof list - 1, all, 1, &err)) abort();
    if (hub_choose(&files, index, bytes, &has, &err) == (err.kind != QM_OK) || files.count > 2) abort();
    hub_files_free(&files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    if (folder[strlen(folder) - 1] == 'X') folder_make();
    put("model.safetensors.index.json", data, bytes);
    Weights *w = weights_from(folder, &err);
    if (!w == !err.kind) abort();
    for (int64_t i = 0; w && i < weights_count(w); i++) {
        WeightTensor *t = weights_at(w, i);
        if (strncmp(t->file, folder, strlen(folder)) || t->bytes != 1 || weights_find(w, t->name) != t) abort();
    }
    if (w) weights_close(w);
    choose((const char *)data, bytes);
    return 0;
}
