/* file.c: files mapped, read whole, and finished so that a full disk cannot go unseen. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file_kind.h"
#include "guard.h"
#include "lines.h"
#include "output.h"

/* ---- What was read ----------------------------------------------------------------------------------------------- */

typedef struct Seen { dev_t device; ino_t inode; off_t bytes; struct timespec changed; char *path; } Seen;
static Seen *seen; /* path: of mapped files, NULL for others */
static size_t seen_count, seen_room;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;

bool file_read_note(int fd, const char *path, bool mapped, Err *err) {
    struct stat st;
    if (!guard_started()) return true;
    if (fstat(fd, &st) != 0) return err_as(err, QM_IO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return true;
    char *copy = mapped ? strdup(path) : NULL;
    if (mapped && !copy) return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    pthread_mutex_lock(&seen_lock);
    size_t i = 0;
    while (i < seen_count && (seen[i].device != st.st_dev || seen[i].inode != st.st_ino)) i++;
    bool new = i == seen_count;
    bool ok = !new || mem_grow((void **)&seen, &seen_room, i + 1, sizeof *seen, "files that are read", err);
    if (ok && new) seen[seen_count++] = (Seen){st.st_dev, st.st_ino, st.st_size, st.st_mtim, NULL};
    if (ok && mapped && !seen[i].path) {
        seen[i].bytes = st.st_size;
        seen[i].changed = st.st_mtim;
        seen[i].path = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&seen_lock);
    free(copy);
    return ok;
}

bool file_was_read(const struct stat *st) {
    bool was = false;
    pthread_mutex_lock(&seen_lock);
    for (size_t i = 0; i < seen_count; i++) was |= seen[i].device == st->st_dev && seen[i].inode == st->st_ino;
    pthread_mutex_unlock(&seen_lock);
    return was;
}

void file_remove(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) {
        pthread_mutex_lock(&seen_lock);
        for (size_t i = 0; i < seen_count; i++) {
            if (seen[i].device != st.st_dev || seen[i].inode != st.st_ino) continue;
            free(seen[i].path);
            seen[i] = seen[--seen_count];
            break;
        }
        pthread_mutex_unlock(&seen_lock);
    }
    unlink(path);
}

bool files_unchanged(Err *err) {
    bool ok = true;
    pthread_mutex_lock(&seen_lock);
    for (size_t i = 0; ok && i < seen_count; i++) {
        const Seen *s = &seen[i];
        struct stat st;
        if (!s->path || stat(s->path, &st) != 0 || st.st_dev != s->device || st.st_ino != s->inode) continue;
        if (st.st_size != s->bytes || st.st_mtim.tv_sec != s->changed.tv_sec ||
            st.st_mtim.tv_nsec != s->changed.tv_nsec)
            ok = err_set(err, "%s was changed while in use: what was made of it is not to be trusted", s->path);
    }
    pthread_mutex_unlock(&seen_lock);
    return ok;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Opens a regular file and gives its size. -1 on error. */
static int open_regular(const char *path, size_t *bytes, Err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hang us */
    struct stat st;
    if (fd < 0) {
        err_as(err, QM_IO, "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        err_as(err, QM_IO, "cannot read %s: expected a regular file, got %s", path,
               S_ISDIR(st.st_mode) ? "a folder" : "something else");
        close(fd);
        return -1;
    }
    if (!file_read_note(fd, path, false, err)) {
        close(fd);
        return -1;
    }
    *bytes = (size_t)st.st_size;
    return fd;
}

bool file_map(MappedFile *file, const char *path, Err *err) {
    *file = (MappedFile){0};
    int fd = open_regular(path, &file->bytes, err);
    if (fd < 0) return false;
    if (file->bytes == 0) {
        close(fd);
        return err_set(err, "%s is empty", path);
    }
    void *p = mmap(NULL, file->bytes, PROT_READ, MAP_SHARED, fd, 0);
    int why = errno;
    bool noted = p == MAP_FAILED || file_read_note(fd, path, true, err);
    close(fd);
    if (p == MAP_FAILED) return err_as(err, QM_IO, "cannot map %s (%zu bytes): %s", path, file->bytes, strerror(why));
    file->data = p;
    file->path = strdup(path);
    if (!noted || !file->path) {
        file_unmap(file);
        return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    }
    if (file_is_other(file->data, file->bytes, path, err)) {
        file_unmap(file);
        return false;
    }
    guard_map(p, file->bytes, file->path);
    return true;
}

void file_unmap(MappedFile *file) {
    guard_unmap(file->data);
    if (file->data) munmap((void *)(uintptr_t)file->data, file->bytes);
    free(file->path);
    *file = (MappedFile){0};
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool folder_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *file_read(const char *path, size_t limit, size_t *bytes, Err *err) {
    size_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0) return NULL;
    char *data = NULL;
    if (size > limit) {
        err_as(err, QM_LIMIT, "%s is too large: expected at most %zu bytes, got %zu", path, limit, size);
    } else if ((data = mem_new(size + 1, 1, path, err))) {
        size_t done = 0;
        while (done < size) {
            ssize_t n = read(fd, data + done, size - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) {
                err_as(err, QM_IO, "cannot read %s: %s at byte %zu of %zu", path, n ? strerror(errno) : "end of file",
                       done,
                       size);
                free(data);
                data = NULL;
                break;
            }
            done += (size_t)n;
        }
        if (bytes) *bytes = size;
    }
    close(fd);
    return data;
}

bool input_open(int fd, const char *name, Err *err) {
    int flags = fcntl(fd, F_GETFL);
    return (flags >= 0 && (flags & O_ACCMODE) != O_WRONLY) ||
           err_as(err, QM_IO, "cannot read %s: it is %s", name,
                  flags < 0 || fd == STDIN_FILENO ? "closed" : "open for writing");
}

char *stream_read(FILE *file, const char *name, size_t limit, size_t *bytes, Err *err) {
    char *data = NULL;
    size_t room = 0, done = 0;
    if (!input_open(fileno(file), name, err)) return NULL;
    for (;;) {
        if (!mem_grow((void **)&data, &room, done + 4096, 1, name, err)) break;
        errno = 0;
        size_t n = fread(data + done, 1, room - done - 1, file);
        done += n;
        if (done > limit) err_as(err, QM_LIMIT, "%s is too large: expected at most %zu bytes", name, limit);
        else if (ferror(file)) err_as(err, QM_IO, "cannot read %s: %s", name, strerror(errno));
        if (err->kind || feof(file)) break;
    }
    if (err->kind) return free(data), NULL;
    data[done] = 0;
    *bytes = done;
    return data;
}

char *path_join(const char *folder, const char *name, Err *err) {
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        err_as(err, QM_MEMORY, "out of memory: path %s/%s", folder, name);
        return NULL;
    }
    return path;
}

bool file_put(FILE *file, const char *data, size_t bytes, const char *path, Err *err) {
    errno = 0;
    if (fwrite(data, 1, bytes, file) == bytes && fflush(file) == 0) return true;
    return err_as(err, QM_IO, "cannot write %s: %s", path, errno ? strerror(errno) : "write error");
}

bool file_finish(FILE *file, const char *path, Err *err) {
    bool bad = ferror(file) != 0;
    errno = 0;
    if (fflush(file) != 0) bad = true;
    int why = errno;
    if (file != stdout && fclose(file) != 0) {
        bad = true;
        if (!why) why = errno;
    }
    return !bad || err_as(err, QM_IO, "cannot write %s: %s", path, why ? strerror(why) : "write error");
}
