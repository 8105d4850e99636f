/* train_cache.c: see train_cache.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../base/cache_folder.h"
#include "../base/output.h"
#include "../base/watch.h"
#include "train_cache.h"

static const char magic[8] = {'Q', 'M', 'T', 'O', 'K', 'E', 'N', '2'}, suffix[] = ".tokens";
#define CACHE_BYTES ((off_t)8 << 30)

void samples_free(TrainSamples *s) {
    free(s->sample);
    free(s->ids);
    free(s->labels);
    *s = (TrainSamples){0};
}

/* What stands before the samples, ids, labels and names. sum: SHA-256 of all that follows it. */
typedef struct Head {
    char magic[8];
    uint8_t key[TOKENS_KEY_BYTES], sum[32];
    int64_t count, tokens, name_count, name_bytes, most;
    int32_t words, reals;
} Head;
enum { SUMMED = sizeof(char[8]) + TOKENS_KEY_BYTES + 32 };

/* ---- Folder ------------------------------------------------------------------------------------------------------ */

static char *path_of(const char *folder, const TokensKey *key) {
    Text path = {0};
    text_line(&path, "%s/", folder);
    for (int i = 0; i < TOKENS_KEY_BYTES; i++) text_line(&path, "%02x", key->byte[i]);
    text_line(&path, "%s", suffix);
    if (!path.failed) return path.data;
    text_free(&path);
    return NULL;
}

typedef struct Kept {
    char *path;
    off_t bytes;
    struct timespec used;
} Kept;

static int by_use(const void *a, const void *b) {
    const Kept *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* Removes the files that were used longest ago until the folder keeps to its limit. */
static void trim(const char *folder) {
    DIR *d = opendir(folder);
    Kept *list = NULL;
    size_t count = 0, room = 0;
    off_t total = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        struct stat st;
        if (n < sizeof suffix || strcmp(e->d_name + n + 1 - sizeof suffix, suffix) != 0) continue;
        char *path = path_join(folder, e->d_name, NULL);
        if (!path || lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
            !mem_grow((void **)&list, &room, count + 1, sizeof *list, "a cache", NULL)) {
            free(path);
            continue;
        }
        list[count++] = (Kept){path, st.st_size, st.st_mtim};
        total += st.st_size;
    }
    if (d) closedir(d);
    if (count) qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count; i++) {
        if (total > CACHE_BYTES && unlink(list[i].path) == 0) total -= list[i].bytes;
        free(list[i].path);
    }
    free(list);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

typedef struct Part {
    const void *data;
    size_t bytes;
} Part;
enum { PARTS = 4 }; /* samples, ids, labels, names */

static bool sum_of(const Head *head, const Part *parts, int count, uint8_t out[32]) {
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    bool ok = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(h, (const char *)head + SUMMED, sizeof *head - SUMMED) == 1;
    for (int i = 0; i < count; i++) ok = ok && EVP_DigestUpdate(h, parts[i].data, parts[i].bytes) == 1;
    ok = ok && EVP_DigestFinal_ex(h, out, NULL) == 1;
    EVP_MD_CTX_free(h);
    return ok;
}

static bool body_bytes(const Head *h, size_t *bytes) {
    size_t samples, tokens;
    return h->count >= 0 && h->tokens >= 0 && h->name_count >= 0 && h->name_count <= NAMES_MOST && h->name_bytes >= 0 &&
           size_mul((size_t)h->count, sizeof(FileSample), &samples) && size_mul((size_t)h->tokens, 8, &tokens) &&
           size_add(samples, tokens, bytes) && size_add(*bytes, (size_t)h->name_bytes, bytes);
}

static bool samples_valid(const TrainSamples *s, int64_t vocab) {
    int64_t at = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (s->sample[i].first != at || s->sample[i].count < 0 || s->sample[i].count > s->tokens - at) return false;
        at += s->sample[i].count;
    }
    for (int64_t i = 0; i < s->tokens; i++)
        if (s->ids[i] < 0 || s->ids[i] >= vocab) return false;
    return at == s->tokens;
}

static bool names_read(const Head *h, const char *text, TrainNames *names) {
    Err err = {0};
    int32_t label;
    size_t bytes = (size_t)h->name_bytes, at = 0;
    for (int64_t i = 0; i < h->name_count; i++) {
        size_t n = at < bytes ? strnlen(text + at, bytes - at) : 0;
        if (at >= bytes || n == bytes - at || (!names->given && !names_add(names, text + at, &label, &err)))
            return false;
        at += n + 1;
    }
    names->words = h->words != 0;
    names->reals = h->reals != 0;
    names->most = h->most;
    return at == bytes && (names->given || names->count == h->name_count);
}

/* The parts of a whole file. */
static bool take(const char *data, size_t bytes, const TokensKey *key, int64_t vocab, TrainSamples *out,
                 TrainNames *names, Err *err) {
    Head h;
    size_t body;
    uint8_t sum[32];
    if (bytes < sizeof h) return false;
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || memcmp(h.key, key->byte, sizeof h.key) != 0 ||
        !body_bytes(&h, &body) || body != bytes - sizeof h || !sum_of(&h, &(Part){data + sizeof h, body}, 1, sum) ||
        memcmp(sum, h.sum, sizeof sum) != 0)
        return false;
    *out = (TrainSamples){.count = h.count, .tokens = h.tokens};
    size_t samples = (size_t)h.count * sizeof *out->sample, tokens = (size_t)h.tokens * sizeof *out->ids;
    out->sample = mem_new((size_t)h.count + 1, sizeof *out->sample, "samples", err);
    out->ids = mem_new((size_t)h.tokens + 1, sizeof *out->ids, "samples", err);
    out->labels = mem_new((size_t)h.tokens + 1, sizeof *out->labels, "samples", err);
    if (!out->sample || !out->ids || !out->labels) return false;
    data += sizeof h;
    memcpy(out->sample, data, samples);
    memcpy(out->ids, data + samples, tokens);
    memcpy(out->labels, data + samples + tokens, tokens);
    return samples_valid(out, vocab) && names_read(&h, data + samples + 2 * tokens, names);
}

bool tokens_read(const char *folder, const TokensKey *key, int64_t vocab, TrainSamples *out, TrainNames *names,
                 Err *err) {
    char *path = cache_folder_make(folder) ? path_of(folder, key) : NULL;
    if (!path || !file_exists(path)) return free(path), false;
    Err why = {0};
    size_t bytes;
    char *data = file_read(path, SIZE_MAX / 4, &bytes, &why);
    bool ok = data && take(data, bytes, key, vocab, out, names, err);
    if (ok) utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    else if (!err->kind) {
        watch_say(QM_WARNING, "%s is damaged: its tokens are made anew", path);
        file_remove(path);
    }
    if (!ok) samples_free(out);
    free(data);
    free(path);
    return ok;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool put(FILE *file, const Part *p) { return p->bytes == 0 || fwrite(p->data, 1, p->bytes, file) == p->bytes; }

static bool write_parts(const char *path, Head *h, const Part parts[PARTS], Err *err) {
    Output o = {0};
    bool ok = sum_of(h, parts, PARTS, h->sum) && output_open(&o, path, err);
    bool put_all = ok && put(o.file, &(Part){h, sizeof *h});
    for (int i = 0; i < PARTS; i++) put_all = put_all && put(o.file, &parts[i]);
    if (ok && !put_all) ok = err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    return output_end(&o, ok, err) && ok;
}

void tokens_write(const char *folder, const TokensKey *key, const TrainSamples *s, const TrainNames *names) {
    Head h = {.count = s->count,
              .tokens = s->tokens,
              .most = names->most,
              .words = names->words,
              .reals = names->reals,
              .name_count = names->given ? 0 : names->count};
    Text list = {0};
    Err err = {0};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, key->byte, sizeof h.key);
    for (int i = 0; i < h.name_count; i++) text_add(&list, names->name[i], strlen(names->name[i]) + 1);
    h.name_bytes = (int64_t)list.bytes;
    size_t tokens = (size_t)s->tokens * sizeof *s->ids;
    Part parts[PARTS] = {{s->sample, (size_t)s->count * sizeof *s->sample},
                         {s->ids, tokens},
                         {s->labels, tokens},
                         {list.data, list.bytes}};
    char *path = cache_folder_make(folder) ? path_of(folder, key) : NULL;
    bool ok = path && text_ok(&list, "names of classes", &err) && write_parts(path, &h, parts, &err);
    if (!ok) watch_say(QM_WARNING, "tokens are not kept in %s: %s", folder, err.kind ? err.text : strerror(errno));
    else trim(folder);
    text_free(&list);
    free(path);
}
