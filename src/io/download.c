/* download.c: a file in parts: continue what is there, hash as it comes, rename when it is right. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../base/watch.h"
#include "../base/output.h"
#include "download.h"

enum { ATTEMPTS = 5, PROGRESS_BYTES = 1 << 20, CHUNK = 1 << 20 };

/* ---- Hashes ------------------------------------------------------------------------------------------------------ */

/* Starts the file's hash; git's begins with "blob <size>\0". */
static bool hash_start(EVP_MD_CTX *hash, const HubFile *file, Err *err) {
    char head[32];
    size_t bytes = (size_t)snprintf(head, sizeof head, "blob %lld", (long long)file->bytes) + 1;
    bool git = file->kind == HUB_GIT_SHA1;
    if (EVP_DigestInit_ex(hash, git ? EVP_sha1() : EVP_sha256(), NULL) == 1 &&
        (!git || EVP_DigestUpdate(hash, head, bytes) == 1))
        return true;
    return err_set(err, "hash: libcrypto has no %s", git ? "SHA-1" : "SHA-256");
}

/* Empty, and so no file's, where it cannot be had. */
static void hash_text(EVP_MD_CTX *hash, char text[HUB_HASH_TEXT]) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    text[0] = 0;
    if (EVP_DigestFinal_ex(hash, digest, &bytes) != 1) return;
    for (unsigned i = 0; i < bytes && 2 * i + 2 < HUB_HASH_TEXT; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

/* Adds the first `bytes` of an open file to the hash. */
static bool hash_file(EVP_MD_CTX *hash, int fd, int64_t bytes, const char *path, Err *err) {
    uint8_t *chunk = mem_new(CHUNK, 1, "hash", err);
    if (!chunk) return false;
    Progress progress;
    int64_t done = 0;
    progress_start(&progress, "verifying", bytes < 64 * CHUNK ? 0 : bytes);
    while (done < bytes) {
        size_t want = bytes - done < CHUNK ? (size_t)(bytes - done) : CHUNK;
        ssize_t n = pread(fd, chunk, want, done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            err_as(err, QM_IO, "cannot read %s: %s", path, n ? strerror(errno) : "it became shorter");
            break;
        }
        if (EVP_DigestUpdate(hash, chunk, (size_t)n) != 1) {
            err_as(err, QM_IO, "cannot hash %s", path);
            break;
        }
        done += n;
        progress_show(&progress, done);
    }
    progress_end(&progress);
    free(chunk);
    return done == bytes;
}

/* Whether `path` is there as the hub has it. Anything else is simply not it. */
static bool already_right(EVP_MD_CTX *hash, const HubFile *file, const char *path) {
    struct stat st;
    char got[HUB_HASH_TEXT];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool right = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == file->bytes &&
                 hash_start(hash, file, NULL) && hash_file(hash, fd, file->bytes, path, NULL);
    if (fd >= 0) close(fd);
    if (!right) return false;
    hash_text(hash, got);
    return !strcmp(got, file->hash);
}

/* ---- The part ---------------------------------------------------------------------------------------------------- */

typedef struct Part {
    const HubFile *file;
    const char *path;           /* of the part */
    int fd;
    int64_t bytes;              /* in it, and in the hash */
    EVP_MD_CTX *hash;
    Progress progress;
    int64_t resumed;            /* bytes there before: the bar counts what this run brings, for its time left */
} Part;

static bool part_clear(Part *part, Err *err) {
    part->bytes = 0;
    if (ftruncate(part->fd, 0) != 0) return err_as(err, QM_IO, "cannot empty %s: %s", part->path, strerror(errno));
    return hash_start(part->hash, part->file, err);
}

/* Opens the part, alone, and hashes what it holds. */
static bool part_open(Part *part, Err *err) {
    struct stat st;
    part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (part->fd < 0) return err_as(err, QM_IO, "cannot write %s: %s", part->path, strerror(errno));
    if (flock(part->fd, LOCK_EX | LOCK_NB) != 0)
        return err_as(err, QM_IO, "cannot write %s: %s", part->path,
                      errno == EWOULDBLOCK ? "another download has it" : strerror(errno));
    if (fstat(part->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_as(err, QM_IO, "cannot write %s: expected a regular file", part->path);
    if (st.st_size > part->file->bytes) return part_clear(part, err);
    part->bytes = st.st_size;
    return hash_start(part->hash, part->file, err) &&
           hash_file(part->hash, part->fd, part->bytes, part->path, err);
}

/* HttpSink: writes a piece behind the last one. */
static bool part_take(void *context, int64_t at, const uint8_t *data, size_t bytes, const char *link, Err *err) {
    Part *part = context;
    (void)link;
    if (at == 0 && part->bytes > 0 && !part_clear(part, err)) return false; /* the server cannot continue */
    if ((int64_t)bytes > part->file->bytes - part->bytes)
        return err_set(err, "expected %lld bytes, got more", (long long)part->file->bytes);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(part->fd, data + done, bytes - done, part->bytes + (int64_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_as(err, QM_IO, "cannot write %s: %s", part->path,
                                  n ? strerror(errno) : "nothing was written");
        done += (size_t)n;
    }
    if (EVP_DigestUpdate(part->hash, data, bytes) != 1) return err_as(err, QM_IO, "cannot hash %s", part->path);
    part->bytes += (int64_t)bytes;
    progress_show(&part->progress, part->bytes - part->resumed);
    return true;
}

/* Attempts until the part is as long as the file, or nothing more comes. */
static bool part_fill(Part *part, Http *http, const char *url, Err *err) {
    part->resumed = part->bytes;
    progress_start(&part->progress, part->file->path, part->file->bytes - part->bytes);
    bool ok = true;
    for (int idle = 0; ok && part->bytes < part->file->bytes;) {
        Err why = {0};
        int64_t before = part->bytes;
        HttpOutcome outcome = http_get(http, url, part->bytes, part_take, part, &why);
        /* a connection lost after the last byte is no loss; a refusal is one, however much has come */
        if (outcome != HTTP_FAILED && part->bytes == part->file->bytes) break;
        if (outcome == HTTP_OK)
            err_set(&why, "expected %lld bytes, got %lld", (long long)part->file->bytes, (long long)part->bytes);
        idle = part->bytes - before >= PROGRESS_BYTES ? 1 : idle + 1;
        ok = outcome != HTTP_FAILED && idle < ATTEMPTS && http_wait(http, idle, &why);
        if (!ok) err_from(err, &why);
    }
    progress_end(&part->progress);
    return ok;
}

/* Hash, then the name: what has the name is right, even after a power failure. */
static bool part_accept(Part *part, const char *path, Err *err) {
    char got[HUB_HASH_TEXT];
    hash_text(part->hash, got);
    if (strcmp(got, part->file->hash) != 0) {
        unlink(part->path);
        return err_set(err, "expected the %s hash %s, got %s; the file is removed",
                       part->file->kind == HUB_SHA256 ? "SHA-256" : "git SHA-1", part->file->hash, got);
    }
    if (fsync(part->fd) != 0) return err_as(err, QM_IO, "cannot write %s: %s", part->path, strerror(errno));
    if (rename(part->path, path) != 0) return err_as(err, QM_IO, "cannot rename %s: %s", part->path, strerror(errno));
    return folder_sync(path) || err_as(err, QM_IO, "cannot write %s: its folder: %s", path, strerror(errno));
}

Downloaded download_file(Http *http, const char *url, const HubFile *file, const char *path, Err *err) {
    Text name = {0};
    text_line(&name, "%s.part", path);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    Part part = {.file = file, .path = name.data, .fd = -1, .hash = hash};
    Downloaded result = DOWNLOAD_FAILED;
    if (!hash || !text_ok(&name, "path", NULL)) err_as(err, QM_MEMORY, "out of memory: %s", path);
    else if (already_right(hash, file, path)) result = DOWNLOAD_KEPT;
    else if (part_open(&part, err) && part_fill(&part, http, url, err) && part_accept(&part, path, err))
        result = DOWNLOAD_DONE;
    if (result == DOWNLOAD_FAILED) err_prefix(err, "%s", file->path);
    if (part.fd >= 0) close(part.fd);
    EVP_MD_CTX_free(hash);
    text_free(&name);
    return result;
}
