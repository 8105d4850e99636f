/* watch.c: see watch.h; and the clock. */
#include <string.h>
#include <time.h>
#include "watch.h"

static QmWatch of_process;
static _Thread_local const QmWatch *of_thread;

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void qm_watch(const QmWatch *watch) { of_process = watch ? *watch : (QmWatch){0}; }

const QmWatch *watch_used(void) { return of_thread; }

const QmWatch *watch_use(const QmWatch *watch) {
    const QmWatch *before = of_thread;
    of_thread = watch;
    return before;
}

void watch_say(QmLevel level, const char *format, ...) {
    const QmWatch *w = of_thread ? of_thread : &of_process;
    char text[2200];
    va_list args;
    if (!w->message) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_printable(text);
    w->message(w->owner, level, text);
}

void progress_start(Progress *p, const char *what, int64_t total) {
    *p = (Progress){of_thread ? of_thread : &of_process, what, total};
    progress_show(p, 0);
}

void progress_show(const Progress *p, int64_t done) {
    if (p->watch->progress && p->total > 0) p->watch->progress(p->watch->owner, p->what, done, p->total);
}

void progress_end(Progress *p) {
    if (p->watch->progress && p->total > 0) p->watch->progress(p->watch->owner, p->what, -1, p->total);
    p->total = 0;
}
