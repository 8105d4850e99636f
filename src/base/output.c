/* output.c: see output.h. A temporary is "NAME.PID-RANDOM.partial" and locked while its writer lives, so that one that
 * can be locked was left behind. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "guard.h"
#include "output.h"

enum { NAME_BYTES = 180, TRIES = 100, KEPT_NAMES = 100 };
static const char suffix[] = ".partial";

/* ---- Names ------------------------------------------------------------------------------------------------------- */

bool file_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What "-" stands for; devices may be read and written at once. */
static bool status_of(const char *path, int standard, struct stat *st) {
    return (strcmp(path, "-") ? stat(path, st) : fstat(standard, st)) == 0 && S_ISREG(st->st_mode);
}

bool output_apart(const char *in, const char *out, Err *err) {
    struct stat x, y;
    return !status_of(in, STDIN_FILENO, &x) || !status_of(out, STDOUT_FILENO, &y) || x.st_dev != y.st_dev ||
           x.st_ino != y.st_ino ||
           err_set(err, "%s: expected another file to write than the one that is read", strcmp(out, "-") ? out : in);
}

static bool not_read(const char *path, Err *err) {
    struct stat st;
    return !status_of(path, STDOUT_FILENO, &st) || !file_was_read(&st) ||
           err_set(err, "%s: expected another file to write than one that is read", path);
}

/* The folder of a path, malloc'ed. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

bool folder_sync(const char *path) {
    char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* EINVAL: this file system has nothing to do */
    int why = errno;
    if (fd >= 0) close(fd);
    free(folder);
    errno = why;
    return ok;
}

/* ---- What dead writers left -------------------------------------------------------------------------------------- */

/* Whether `name` is "START.digits-hex.partial". */
static bool is_temporary(const char *name, const char *start, size_t bytes) {
    if (strncmp(name, start, bytes) != 0 || name[bytes] != '.') return false;
    const char *p = name + bytes + 1, *from = p;
    while (isdigit((unsigned char)*p)) p++;
    if (p == from || *p++ != '-') return false;
    for (from = p; isxdigit((unsigned char)*p);) p++;
    return p - from == 8 && !strcmp(p, suffix);
}

/* Under the lock, so that no new writer can take the name for its own meanwhile (take_name). */
static void remove_dead(const char *target) {
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    char *folder = folder_of(target);
    DIR *list = folder ? opendir(folder) : NULL;
    size_t bytes = strnlen(name, NAME_BYTES);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (!is_temporary(entry->d_name, name, bytes)) continue;
        int fd = openat(dirfd(list), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(list), entry->d_name, 0);
        if (fd >= 0) close(fd);
    }
    if (list) closedir(list);
    free(folder);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Creates and locks a temporary; -1 and errno. Where files cannot be locked none is ever taken for dead either. */
static int take_name(Output *o) {
    const char *slash = strrchr(o->target, '/');
    int name = slash ? (int)(slash - o->target) + 1 : 0;
    for (int i = 0; i < TRIES; i++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random = (uint32_t)(clock_seconds() * 1e9);
        if (asprintf(&o->temporary, "%.*s.%d-%08x%s", name + NAME_BYTES, o->target, (int)getpid(), (unsigned)random,
                     suffix) < 0) {
            o->temporary = NULL;
            errno = ENOMEM;
            return -1;
        }
        int fd = open(o->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        struct stat here, there;
        if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR)) &&
            fstat(fd, &here) == 0 && stat(o->temporary, &there) == 0 && here.st_ino == there.st_ino)
            return fd;
        int why = errno;
        bool again = fd >= 0 || why == EEXIST; /* a cleaner was faster, or the name is taken */
        if (fd >= 0) close(fd);
        free(o->temporary);
        o->temporary = NULL;
        errno = why;
        if (!again) return -1;
    }
    return -1;
}

bool output_allowed(const Output *o, Err *err) { return not_read(o->path, err); }

static bool open_direct(Output *o, Err *err) {
    o->file = strcmp(o->path, "-") ? fopen(o->path, "we") : stdout;
    return o->file || err_as(err, QM_IO, "cannot write %s: %s", o->path, strerror(errno));
}

bool file_special(const char *path) {
    struct stat st;
    return !strcmp(path, "-") || !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6) ||
           (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

bool output_open(Output *o, const char *path, Err *err) {
    struct stat st;
    *o = (Output){.path = path};
    if (!not_read(path, err)) return false;
    if (file_special(path)) return open_direct(o, err);
    bool there = stat(path, &st) == 0;
    o->target = there ? realpath(path, NULL) : strdup(path);
    if (!o->target) return err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    remove_dead(o->target);
    int fd = take_name(o);
    if (fd >= 0) o->place = guard_temporary(o->temporary);
    if (fd >= 0 && there) (void)!fchmod(fd, st.st_mode & 0777);
    if (fd >= 0 && (o->file = fdopen(fd, "w+"))) return true;
    err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    output_close(o);
    return false;
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void forget_temporary(Output *o) {
    guard_release(o->place);
    o->place = 0;
    free(o->temporary);
    o->temporary = NULL;
}

bool output_commit(Output *o, Err *err) {
    errno = 0;
    bool ok = !ferror(o->file) && fflush(o->file) == 0;
    if (ok && o->temporary) {
        if (!not_read(o->path, err)) return false;
        ok = (fsync(fileno(o->file)) == 0 || errno == EINVAL) && rename(o->temporary, o->target) == 0;
        if (ok) forget_temporary(o);
        ok = ok && folder_sync(o->target);
    }
    return ok || err_as(err, QM_IO, "cannot write %s: %s", o->path, errno ? strerror(errno) : "write error");
}

void output_close(Output *o) {
    if (o->file && o->file != stdout) fclose(o->file);
    if (o->temporary) unlink(o->temporary);
    forget_temporary(o);
    free(o->target);
    *o = (Output){0};
}

bool output_end(Output *o, bool ok, Err *err) {
    if (!o->file) return ok;
    ok = ok && output_commit(o, err);
    output_close(o);
    return ok;
}

bool output_write(const char *folder, const char *name, const char *data, size_t bytes, Err *err) {
    char *path = path_join(folder, name, err);
    Output out = {0};
    bool ok = path && output_open(&out, path, err) && file_put(out.file, data, bytes, path, err);
    ok = output_end(&out, ok, err);
    free(path);
    return ok;
}

char *output_keep(Output *o) {
    char *kept = NULL;
    struct stat st;
    bool some = o->file && o->temporary && fflush(o->file) == 0 && fstat(fileno(o->file), &st) == 0 && st.st_size > 0;
    for (int i = 1; some && o->temporary && i <= KEPT_NAMES; i++) {
        char number[16] = "";
        if (i > 1) snprintf(number, sizeof number, ".%d", i);
        if (asprintf(&kept, "%s.incomplete%s", o->target, number) < 0) {
            kept = NULL;
            break;
        }
        if (link(o->temporary, kept) == 0) break; /* never over a file that is there */
        bool taken = errno == EEXIST;
        free(kept);
        kept = NULL;
        if (!taken) break;
    }
    output_close(o);
    return kept;
}
