/* executable_cache.c: compiled programs on disk. Whatever is wrong with a file, the program is compiled anew. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../base/watch.h"
#include "executable_cache.h"

static const char magic[8] = {'Q', 'M', 'P', 'J', 'R', 'T', '1', '\n'};
enum { HEAD_BYTES = (int)sizeof magic + CACHE_KEY_BYTES + 8 + 32 };
static const size_t limit = (size_t)INT32_MAX; /* XLA cannot load more */

__attribute__((format(printf, 2, 3))) static void warn(ProgramCache *cache, const char *format, ...) {
    if (cache->warned) return;
    cache->warned = true;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    watch_say(QM_WARNING, "%s", text);
}

/* ---- Folder ------------------------------------------------------------------------------------------------------ */

/* Only this user (or root) may have written it. */
static bool is_ours(const struct stat *st) {
    return (st->st_uid == geteuid() || st->st_uid == 0) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static bool make_folders(char *path) {
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        *p = '/';
        if (!ok) return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

void cache_open(ProgramCache *cache, const char *folder) {
    *cache = (ProgramCache){0};
    if (!folder || !*folder) return;
    struct stat st;
    char *copy = strdup(folder);
    if (!copy || !make_folders(copy) || stat(copy, &st) != 0) {
        warn(cache, "compiled programs are not kept: cannot make the folder %s: %s", folder, strerror(errno));
    } else if (!S_ISDIR(st.st_mode) || !is_ours(&st)) {
        warn(cache, "compiled programs are not kept: expected %s to be a folder that only this user can write", folder);
    } else {
        cache->folder = copy;
        cache->limit = CACHE_LIMIT;
        return;
    }
    free(copy);
}

void cache_close(ProgramCache *cache) {
    free(cache->folder);
    *cache = (ProgramCache){0};
}

/* ---- Size -------------------------------------------------------------------------------------------------------- */

typedef struct CacheFile { char *path; off_t bytes; struct timespec used; } CacheFile;

static int by_age(const void *a, const void *b) {
    const CacheFile *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec) return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* A file of ours: a program, or a part that a writer left behind. Its age is that of its last use. */
static bool file_of_cache(const ProgramCache *cache, const char *name, CacheFile *out) {
    size_t n = strlen(name);
    bool program = n == 2 * CACHE_KEY_BYTES + 5 && !strcmp(name + n - 5, ".pjrt"), part = !strncmp(name, ".part-", 6);
    struct stat st;
    *out = (CacheFile){0};
    if (!program && !part) return false;
    out->path = path_join(cache->folder, name, NULL);
    if (!out->path || lstat(out->path, &st) != 0 || !S_ISREG(st.st_mode) ||
        (part && time(NULL) - st.st_mtim.tv_sec < 3600)) { /* being written */
        free(out->path);
        return false;
    }
    out->bytes = st.st_size;
    out->used = st.st_mtim;
    return true;
}

/* Removes the files that were used longest ago until the folder keeps to its limit. */
static void cache_trim(const ProgramCache *cache) {
    DIR *folder = opendir(cache->folder);
    CacheFile *list = NULL, file;
    size_t count = 0, capacity = 0;
    off_t total = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (!file_of_cache(cache, entry->d_name, &file)) continue;
        if (!mem_grow((void **)&list, &capacity, count + 1, sizeof *list, "program cache", NULL)) {
            free(file.path);
            break;
        }
        total += file.bytes;
        list[count++] = file;
    }
    if (folder) closedir(folder);
    if (count) qsort(list, count, sizeof *list, by_age);
    for (size_t i = 0; i < count; i++) {
        if (total > cache->limit && unlink(list[i].path) == 0) total -= list[i].bytes;
        free(list[i].path);
    }
    free(list);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

bool cache_key(const CachePart *parts, int count, CacheKey *out, Err *err) {
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    for (int i = 0; ok && i < count; i++) {
        uint64_t bytes = parts[i].bytes;
        ok = EVP_DigestUpdate(hash, &bytes, sizeof bytes) == 1 &&
             EVP_DigestUpdate(hash, parts[i].data, parts[i].bytes) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(hash, out->byte, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return ok || err_as(err, QM_IO, "cannot hash a program: SHA-256 is not available");
}

static char *path_of(const ProgramCache *cache, const CacheKey *key) {
    Text path = {0};
    text_line(&path, "%s/", cache->folder);
    for (int i = 0; i < CACHE_KEY_BYTES; i++) text_line(&path, "%02x", key->byte[i]);
    text_line(&path, ".pjrt");
    if (!path.failed) return path.data;
    text_free(&path);
    return NULL;
}

static bool sha256(const void *data, size_t bytes, uint8_t out[32]) {
    return EVP_Digest(data, bytes, out, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static bool read_all(int fd, void *out, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, (char *)out + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static void head_write(uint8_t head[HEAD_BYTES], const CacheKey *key, uint64_t bytes, const uint8_t sum[32]) {
    memcpy(head, magic, sizeof magic);
    memcpy(head + sizeof magic, key->byte, CACHE_KEY_BYTES);
    for (int i = 0; i < 8; i++) head[(int)sizeof magic + CACHE_KEY_BYTES + i] = (uint8_t)(bytes >> 8 * i);
    memcpy(head + sizeof magic + CACHE_KEY_BYTES + 8, sum, 32);
}

/* The program in an open file: its head must be exactly the one that cache_write would give it. */
static uint8_t *read_program(int fd, const CacheKey *key, size_t *bytes) {
    struct stat st;
    uint8_t head[HEAD_BYTES], expected[HEAD_BYTES], sum[32];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_ours(&st) || st.st_size <= (off_t)HEAD_BYTES) return NULL;
    *bytes = (size_t)st.st_size - HEAD_BYTES;
    if (*bytes > limit) return NULL;
    uint8_t *data = malloc(*bytes);
    if (data && read_all(fd, head, sizeof head) && read_all(fd, data, *bytes) && sha256(data, *bytes, sum)) {
        head_write(expected, key, *bytes, sum);
        if (!memcmp(head, expected, sizeof head)) return data;
    }
    free(data);
    return NULL;
}

uint8_t *cache_read(ProgramCache *cache, const CacheKey *key, size_t *bytes) {
    char *path = cache->folder ? path_of(cache, key) : NULL;
    if (!path) return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    uint8_t *data = fd >= 0 ? read_program(fd, key, bytes) : NULL;
    if (data) futimens(fd, NULL); /* used now */
    if (fd >= 0 && !data) warn(cache, "%s is damaged or not ours: the program is compiled anew", path);
    if (fd >= 0) close(fd);
    free(path);
    return data;
}

void cache_write(ProgramCache *cache, const CacheKey *key, const uint8_t *data, size_t bytes) {
    uint8_t head[HEAD_BYTES], sum[32];
    if (!cache->folder || bytes == 0 || bytes > limit || !sha256(data, bytes, sum)) return;
    head_write(head, key, bytes, sum);
    char *path = path_of(cache, key), *part = path_join(cache->folder, ".part-XXXXXX", NULL);
    int fd = path && part ? mkostemp(part, O_CLOEXEC) : -1;
    bool ok = fd >= 0 && write_all(fd, head, sizeof head) && write_all(fd, data, bytes);
    ok = ok && (fsync(fd) == 0 || errno == EINVAL);
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && ok) ok = false, why = errno;
    if (ok && rename(part, path) != 0) ok = false, why = errno;
    if (!ok && fd >= 0) unlink(part);
    if (!ok)
        warn(cache, "a compiled program is not kept: cannot write %s: %s", path ? path : cache->folder, strerror(why));
    free(path);
    free(part);
    if (ok) cache_trim(cache);
}
