/* fake_faults.c: a library for LD_PRELOAD in which one call fails, as it would where memory, files or a disk end.
 *   FAULT_CALLS  names of the functions that are counted together, each between commas: ",malloc,calloc,"
 *   FAULT_AT     which of their calls fails, from 1; 0 or none: nothing fails
 *   FAULT_COUNT  the file that tells afterwards how many there were
 *   FAULT_ARMED  a file of 8 bytes, for a program that goes on: a number above 0 written there counts down with every call
 *                of every thread, and the one that makes it 0 fails */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))
void *__libc_malloc(size_t bytes); /* glibc's own: dlsym takes memory itself */
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t bytes);

static const char *calls, *count_file;
static long at;
static atomic_long count, *armed;

__attribute__((constructor)) static void faults_start(void) {
    const char *which = getenv("FAULT_AT");
    at = which ? atol(which) : 0;
    count_file = getenv("FAULT_COUNT");
    const char *file = getenv("FAULT_ARMED");
    int fd = file ? (int)syscall(SYS_open, file, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *shared = (void *)syscall(SYS_mmap, NULL, sizeof *armed, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
        if (shared != MAP_FAILED) armed = shared;
        syscall(SYS_close, fd);
    }
    calls = getenv("FAULT_CALLS"); /* last: from here on calls count */
}

__attribute__((destructor)) static void faults_end(void) {
    char text[32];
    long counted = atomic_load(&count);
    calls = NULL;
    int fd = count_file ? (int)syscall(SYS_open, count_file, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
    if (fd < 0) return;
    int n = snprintf(text, sizeof text, "%ld\n", counted);
    if (syscall(SYS_write, fd, text, n) < 0) _exit(99);
}

static int fails(const char *name, int why) {
    if (!calls || !strstr(calls, name)) return 0;
    long number = atomic_fetch_add(&count, 1) + 1;
    bool now = armed && atomic_load(armed) > 0 && atomic_fetch_sub(armed, 1) == 1;
    if (number != at && !now) return 0;
    errno = why;
    return 1;
}

SEEN void *malloc(size_t bytes) { return fails(",malloc,", ENOMEM) ? NULL : __libc_malloc(bytes); }
SEEN void *calloc(size_t n, size_t size) { return fails(",calloc,", ENOMEM) ? NULL : __libc_calloc(n, size); }
SEEN void *realloc(void *p, size_t bytes) { return fails(",realloc,", ENOMEM) ? NULL : __libc_realloc(p, bytes); }

/* A wrapper of a function of libc: `failed` and errno `why` at its turn. */
#define FAULT(result, name, failed, why, parameters, ...)                                                              \
    SEEN result name parameters {                                                                                      \
        static result(*_Atomic real) parameters;                                                                       \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                               \
        return fails("," #name ",", why) ? failed : real(__VA_ARGS__);                                                 \
    }

FAULT(void *, mmap, MAP_FAILED, ENOMEM, (void *p, size_t n, int prot, int flags, int fd, off_t o), p, n, prot, flags,
      fd, o)
FAULT(ssize_t, read, -1, EIO, (int fd, void *data, size_t n), fd, data, n)
FAULT(ssize_t, pread, -1, EIO, (int fd, void *data, size_t n, off_t o), fd, data, n, o)
FAULT(ssize_t, write, -1, ENOSPC, (int fd, const void *data, size_t n), fd, data, n)
FAULT(ssize_t, pwrite, -1, ENOSPC, (int fd, const void *data, size_t n, off_t o), fd, data, n, o)
FAULT(int, fsync, -1, EIO, (int fd), fd)
FAULT(int, rename, -1, EIO, (const char *from, const char *to), from, to)
FAULT(int, ftruncate, -1, EIO, (int fd, off_t n), fd, n)
FAULT(int, posix_fallocate, ENOSPC, ENOSPC, (int fd, off_t o, off_t n), fd, o, n)
FAULT(FILE *, fopen, NULL, EMFILE, (const char *path, const char *mode), path, mode)
FAULT(FILE *, fdopen, NULL, ENOMEM, (int fd, const char *mode), fd, mode)
FAULT(FILE *, tmpfile, NULL, EMFILE, (void), )
FAULT(size_t, fread, 0, EIO, (void *data, size_t size, size_t n, FILE *f), data, size, n, f)
FAULT(int, fflush, EOF, ENOSPC, (FILE *f), f)
FAULT(int, fclose, EOF, EIO, (FILE *f), f)
FAULT(int, fseeko, -1, EIO, (FILE *f, off_t o, int from), f, o, from)
FAULT(int, dup, -1, EMFILE, (int fd), fd)
FAULT(int, mkdir, -1, ENOSPC, (const char *path, mode_t mode), path, mode)
FAULT(int, pthread_create, EAGAIN, EAGAIN,
      (pthread_t * t, const pthread_attr_t *a, void *(*run)(void *), void *arg), t, a, run, arg)

/* A stream remembers that it failed (glibc's _IO_ERR_SEEN), as ferror then says. */
SEEN size_t fwrite(const void *data, size_t size, size_t n, FILE *f) {
    static size_t (*_Atomic real)(const void *, size_t, size_t, FILE *);
    if (!real) real = (size_t(*)(const void *, size_t, size_t, FILE *))dlsym(RTLD_NEXT, "fwrite");
    if (!fails(",fwrite,", ENOSPC)) return real(data, size, n, f);
    f->_flags |= 0x20;
    return 0;
}

SEEN int open(const char *path, int flags, ...) {
    static int (*_Atomic real)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    return fails(",open,", EMFILE) ? -1 : real(path, flags, mode);
}
