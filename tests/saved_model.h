/* saved_model.h: for tests: a model that is opened to be saved, folders of a test, files by their SHA-256. */
#ifndef SAVED_MODEL_H
#define SAVED_MODEL_H
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../src/model/adapter_merge.h"
#include "../src/model/model_folder.h"
#include "fixture.h"

/* A model opened: source, configuration, weights, and its tensors. */
typedef struct Opened {
    Source *source;
    ModelConfig config;
    Weights *weights;
    MergedWeights saved;
} Opened;

FIXTURE bool opened_open(Opened *o, const char *path, Err *err) {
    *o = (Opened){0};
    return (o->source = source_open(path, err)) && config_load(&o->config, o->source, err) &&
           (o->weights = model_weights(&o->config, o->source, err)) && (config_untie(&o->config, o->weights), true) &&
           merged_weights(&o->saved, NULL, &o->config, o->weights, err);
}

FIXTURE void opened_close(Opened *o) {
    merged_weights_free(&o->saved);
    weights_close(o->weights);
    source_close(o->source);
    *o = (Opened){0};
}

FIXTURE ModelSave opened_save(const Opened *o, DType dtype, int64_t shard_bytes) {
    return (ModelSave){.source = o->source, .config = &o->config, .tensors = o->saved.tensors, .count = o->saved.count,
                       .dtype = dtype, .shard_bytes = shard_bytes};
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

FIXTURE int remove_one_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)st, (void)type, (void)place;
    return remove(path);
}

FIXTURE void folder_clear(const char *path) { nftw(path, remove_one_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* A new folder of this process; its name is kept in `out`. */
FIXTURE void folder_new(char out[64], const char *name) {
    snprintf(out, 64, "/tmp/qm-%s-XXXXXX", name);
    if (!mkdtemp(out)) abort();
}

/* Entries of a folder that are not hidden, all that are "." and ".." aside. */
FIXTURE int count_entry(const char *path, const struct stat *st, int type, struct FTW *place);
static int entries;
FIXTURE int count_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)path, (void)st, (void)type;
    entries += place->level > 0;
    return 0;
}
FIXTURE int folder_entries(const char *path) {
    entries = 0;
    nftw(path, count_entry, 16, FTW_PHYS);
    return entries;
}

FIXTURE void bytes_sha(const void *data, size_t bytes, char hex[65]) {
    uint8_t digest[32];
    EVP_Digest(data, bytes, digest, NULL, EVP_sha256(), NULL);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned)digest[i]);
}

FIXTURE bool file_sha(const char *path, char hex[65]) {
    size_t bytes;
    Err err = {0};
    char *data = file_read(path, 1 << 30, &bytes, &err);
    if (!data) return false;
    bytes_sha(data, bytes, hex);
    free(data);
    return true;
}
#endif
