/* guard.c: see guard.h. What a signal handler looks at is a table of atomics: no lock, no memory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guard.h"

enum { TEMPORARIES = 64, MAPS = 1024, END_FAILED = 1, MOST_FOLDERS = 4 };

/* ---- Messages without memory ------------------------------------------------------------------------------------- */

static void say(const char *text) {
    for (size_t bytes = strlen(text); bytes > 0;) {
        ssize_t n = write(STDERR_FILENO, text, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text += n;
        bytes -= (size_t)n;
    }
}

/* ---- Temporaries ------------------------------------------------------------------------------------------------- */

static _Atomic(const char *) temporary[TEMPORARIES];
static _Atomic(pid_t) owner; /* a child that was forked leaves them alone */

int guard_temporary(const char *path) {
    atomic_store(&owner, getpid());
    for (int i = 0; i < TEMPORARIES; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&temporary[i], &none, path)) return i + 1;
    }
    return 0;
}

void guard_release(int place) {
    if (place) atomic_store(&temporary[place - 1], NULL);
}

/* With system calls alone, as signal handlers may. */
static void remove_folder(int parent, const char *name, int depth) {
    union { struct dirent64 align; char bytes[2048]; } list;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool some = fd >= 0;
    while (some) {
        some = false;
        if (lseek(fd, 0, SEEK_SET) != 0) break;
        for (long n; (n = getdents64(fd, list.bytes, sizeof list)) > 0;)
            for (long at = 0; at < n;) {
                const struct dirent64 *entry = (const void *)(list.bytes + at);
                at += entry->d_reclen;
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
                if (unlinkat(fd, entry->d_name, 0) == 0) some = true;
                else if (depth < MOST_FOLDERS) remove_folder(fd, entry->d_name, depth + 1);
            }
    }
    if (fd >= 0) close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void guard_remove(void) {
    for (int i = 0; i < TEMPORARIES && atomic_load(&owner) == getpid(); i++) {
        const char *path = atomic_load(&temporary[i]);
        if (path && unlink(path) != 0 && errno != ENOENT) remove_folder(AT_FDCWD, path, 0);
    }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

_Noreturn void guard_no_memory(const char *what, size_t bytes) {
    char text[128];
    snprintf(text, sizeof text, "qwenmesh: error: out of memory: %.40s needs %zu bytes\n", what, bytes);
    guard_remove();
    say(text);
    _exit(END_FAILED);
}

static atomic_bool goes_on;
static _Thread_local bool missed;

bool guard_goes_on(void) { return atomic_load(&goes_on); }
bool guard_missed(void) { return missed; }
void guard_forget(void) { missed = false; }
void guard_miss(void) { missed = true; }

/* The reserve is given out from one end to the other, and is whole again when all of it has come back: what misses memory
 * is over soon. */
enum { RESERVE = 8 << 20, BESIDE = 16 }; /* bytes; before each piece its size */
static _Atomic(uint8_t *) reserve; /* libraries free on other threads while it is made */
static size_t reserve_used, reserve_pieces;
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;

bool guard_go_on(bool on) {
    uint8_t *made = atomic_load(&reserve);
    if (on && !made && (made = malloc(RESERVE))) {
        memset(made, 1, RESERVE); /* so that it is there */
        atomic_store(&reserve, made);
    }
    atomic_store(&goes_on, on && made);
    return made != NULL;
}

static bool in_reserve(const void *p) {
    uintptr_t from = (uintptr_t)atomic_load(&reserve);
    return from && (uintptr_t)p >= from && (uintptr_t)p < from + RESERVE;
}

static void *from_reserve(size_t bytes) {
    uint8_t *p = NULL;
    size_t whole = (bytes + 2 * BESIDE - 1) / BESIDE * BESIDE;
    if (!guard_goes_on()) guard_no_memory("a library", bytes);
    guard_miss();
    pthread_mutex_lock(&reserve_lock);
    if (bytes < RESERVE && whole <= RESERVE - reserve_used) {
        p = atomic_load(&reserve) + reserve_used;
        reserve_used += whole;
        reserve_pieces++;
    }
    pthread_mutex_unlock(&reserve_lock);
    if (!p) guard_no_memory("a library", bytes);
    memcpy(p, &bytes, sizeof bytes);
    return p + BESIDE;
}

void guard_free(void *p) {
    if (!in_reserve(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&reserve_lock);
    if (--reserve_pieces == 0) reserve_used = 0;
    pthread_mutex_unlock(&reserve_lock);
}

char *guard_own(char *text) {
    if (!in_reserve(text)) return text;
    char *copy = strdup(text);
    guard_free(text);
    return copy;
}

void *guard_malloc(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    return p ? p : from_reserve(bytes);
}

void *guard_calloc(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size ? size : 1);
    size_t bytes = size && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    return p ? p : memset(from_reserve(bytes), 0, bytes);
}

void *guard_realloc(void *p, size_t bytes) {
    void *new = in_reserve(p) ? NULL : realloc(p, bytes ? bytes : 1);
    if (new) return new;
    size_t before = bytes;
    if (in_reserve(p)) memcpy(&before, (uint8_t *)p - BESIDE, sizeof before);
    else if (p) before = malloc_usable_size(p);
    new = from_reserve(bytes);
    if (p) memcpy(new, p, before < bytes ? before : bytes);
    guard_free(p);
    return new;
}

/* ---- Mapped files ------------------------------------------------------------------------------------------------ */

typedef struct Map { _Atomic(uintptr_t) from; uintptr_t to; const char *path; } Map; /* from 0: free; 1: being filled */
static Map maps[MAPS];
static _Thread_local const char *volatile loading;

void guard_map(const void *data, size_t bytes, const char *path) {
    for (int i = 0; i < MAPS; i++) {
        uintptr_t none = 0;
        if (!atomic_compare_exchange_strong(&maps[i].from, &none, 1)) continue;
        maps[i].to = (uintptr_t)data + bytes;
        maps[i].path = path;
        atomic_store(&maps[i].from, (uintptr_t)data);
        return;
    }
}

void guard_unmap(const void *data) {
    for (int i = 0; data && i < MAPS; i++)
        if (atomic_load(&maps[i].from) == (uintptr_t)data) {
            atomic_store(&maps[i].from, 0);
            return;
        }
}

void guard_loading(const char *path) { loading = path; }

static void on_bus_error(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr;
    const char *path = loading;
    (void)context;
    for (int i = 0; i < MAPS; i++) {
        uintptr_t from = atomic_load(&maps[i].from);
        if (from > 1 && at >= from && at < maps[i].to) path = maps[i].path;
    }
    if (!path) { /* not of a file: it stays what it is */
        signal(number, SIG_DFL);
        return;
    }
    guard_remove();
    say("qwenmesh: error: cannot read ");
    say(path);
    say(loading ? ": it is cut short, or its disk fails\n"
                : ": it was cut short or overwritten while in use, or its disk fails\n");
    _exit(END_FAILED);
}

/* ---- Start ------------------------------------------------------------------------------------------------------- */

static void on_end(int number) {
    guard_remove();
    signal(number, SIG_DFL);
    raise(number);
}

static void handle_end(int number) {
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL) signal(number, on_end);
}

static bool started;
bool guard_started(void) { return started; }

void guard_start(void) {
    started = true;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) /* open takes the lowest that is free: this one; of no use either way */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) _exit(1);
    struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error, reported and not fatal by itself */
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a write error like a full disk */
    handle_end(SIGINT);
    handle_end(SIGTERM);
    handle_end(SIGHUP);
}
