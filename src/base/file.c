/* file.c: files mapped, read whole, and finished so that a full disk cannot go unseen. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base.h"

/* Opens a regular file and gives its size. -1 on error. */
static int open_regular(const char *path, size_t *bytes, Err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hang us */
    struct stat st;
    if (fd < 0) {
        err_set(err, "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        err_set(err, "cannot read %s: expected a regular file, got %s", path,
                S_ISDIR(st.st_mode) ? "a folder" : "something else");
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
    close(fd);
    if (p == MAP_FAILED) return err_set(err, "cannot map %s (%zu bytes): %s", path, file->bytes, strerror(why));
    file->data = p;
    file->path = strdup(path);
    if (!file->path) {
        file_unmap(file);
        return err_set(err, "out of memory: path %s", path);
    }
    return true;
}

void file_unmap(MappedFile *file) {
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
        err_set(err, "%s is too large: expected at most %zu bytes, got %zu", path, limit, size);
    } else if ((data = mem_new(size + 1, 1, path, err))) {
        size_t done = 0;
        while (done < size) {
            ssize_t n = read(fd, data + done, size - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) {
                err_set(err, "cannot read %s: %s at byte %zu of %zu", path, n ? strerror(errno) : "end of file", done,
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

char *path_join(const char *folder, const char *name, Err *err) {
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        err_set(err, "out of memory: path %s/%s", folder, name);
        return NULL;
    }
    return path;
}

bool file_put(FILE *file, const char *data, size_t bytes, const char *path, Err *err) {
    errno = 0;
    if (fwrite(data, 1, bytes, file) == bytes && fflush(file) == 0) return true;
    return err_set(err, "cannot write %s: %s", path, errno ? strerror(errno) : "write error");
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
    return !bad || err_set(err, "cannot write %s: %s", path, why ? strerror(why) : "write error");
}
