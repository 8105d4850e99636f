/* file_digest.c: see file_digest.h. A kept digest is a file of one line that is named after the path's SHA-256:
 *     size seconds nanoseconds inode digest path */
#include "file_digest.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../base/cache_folder.h"
#include "../base/output.h"

enum { LINE = PATH_MAX + 256, PIECE = 1 << 20 };

void digest_text(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[DIGEST_TEXT - 1] = 0;
}

/* ---- Kept -------------------------------------------------------------------------------------------------------- */

typedef struct Kept {
    char folder[PATH_MAX], name[DIGEST_TEXT + 8]; /* folder "": nothing is kept */
    char begin[160];                              /* of its line, up to the digest */
    char path[PATH_MAX];
} Kept;

static void kept_of(Kept *k, const char *path, const struct stat *st) {
    uint8_t sum[EVP_MAX_MD_SIZE];
    *k = (Kept){0};
    if (!realpath(path, k->path) || strchr(k->path, '\n') || !cache_folder("digests", k->folder, sizeof k->folder) ||
        EVP_Digest(k->path, strlen(k->path), sum, NULL, EVP_sha256(), NULL) != 1) {
        k->folder[0] = 0;
        return;
    }
    digest_text(sum, k->name);
    snprintf(k->begin, sizeof k->begin, "%jd %jd %ld %ju ", (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
             st->st_mtim.tv_nsec, (uintmax_t)st->st_ino);
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static bool kept_read(const Kept *k, uint8_t out[DIGEST_BYTES]) {
    char file[PATH_MAX + DIGEST_TEXT + 8], line[LINE];
    if (!k->folder[0]) return false;
    snprintf(file, sizeof file, "%s/%s", k->folder, k->name);
    FILE *f = fopen(file, "re");
    bool ok = f && fgets(line, sizeof line, f);
    if (f) fclose(f);
    size_t at = strlen(k->begin);
    ok = ok && !strncmp(line, k->begin, at) && strlen(line) > at + 65 && line[at + 64] == ' ';
    if (ok) line[strcspn(line, "\n")] = 0;
    ok = ok && !strcmp(line + at + 65, k->path);
    for (int i = 0; ok && i < DIGEST_BYTES; i++) {
        int high = digit(line[at + 2 * (size_t)i]), low = digit(line[at + 2 * (size_t)i + 1]);
        ok = high >= 0 && low >= 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return ok;
}

/* It is no error where it cannot be kept. */
static void kept_write(const Kept *k, const uint8_t digest[DIGEST_BYTES]) {
    char hex[DIGEST_TEXT], line[LINE];
    Err ignored = {0};
    if (!k->folder[0] || !cache_folder_make(k->folder)) return;
    digest_text(digest, hex);
    int n = snprintf(line, sizeof line, "%s%s %s\n", k->begin, hex, k->path);
    if (n > 0 && n < (int)sizeof line) output_write(k->folder, k->name, line, (size_t)n, &ignored);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static bool hash_all(int fd, const char *path, uint8_t out[DIGEST_BYTES], Err *err) {
    uint8_t *piece = mem_new(PIECE, 1, "a piece of a file", err), sum[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    ssize_t n = -1;
    bool ok = piece && ((hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1) ||
                        err_as(err, QM_MEMORY, "%s: SHA-256 is not to be had", path));
    while (ok && ((n = read(fd, piece, PIECE)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0 && EVP_DigestUpdate(hash, piece, (size_t)n) != 1) ok = err_set(err, "%s: SHA-256 failed", path);
    if (ok && n < 0) ok = err_as(err, QM_IO, "cannot read %s: %s", path, strerror(errno));
    if (ok && EVP_DigestFinal_ex(hash, sum, NULL) != 1) ok = err_set(err, "%s: SHA-256 failed", path);
    if (ok) memcpy(out, sum, DIGEST_BYTES);
    EVP_MD_CTX_free(hash);
    free(piece);
    return ok;
}

static bool same_state(const struct stat *a, const struct stat *b) {
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool file_digest(const char *path, uint8_t out[DIGEST_BYTES], Err *err) {
    struct stat before, after;
    Kept *kept = mem_new(1, sizeof *kept, "a digest", err);
    int fd = kept ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && fstat(fd, &before) == 0;
    if (kept && !ok) err_as(err, QM_IO, "cannot open %s: %s", path, strerror(errno));
    if (ok) kept_of(kept, path, &before);
    if (ok && !kept_read(kept, out)) {
        ok = hash_all(fd, path, out, err);
        if (ok && (fstat(fd, &after) != 0 || !same_state(&before, &after)))
            ok = err_as(err, QM_IO, "%s changed while it was read", path);
        if (ok) kept_write(kept, out);
    }
    if (fd >= 0) close(fd);
    free(kept);
    return ok;
}
