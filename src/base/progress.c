/* progress.c: the clock, and a bar with the time left for work that people wait for. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base.h"

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_start(Progress *p, const char *what, int64_t total, bool quiet) {
    const char *term = getenv("TERM");
    *p = (Progress){.what = what, .total = total, .start = clock_seconds()};
    p->on = !quiet && total > 0 && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p->shown = p->start;
}

void progress_show(Progress *p, int64_t done) {
    double now = clock_seconds();
    if (!p->on || (now - p->shown < 0.1 && done < p->total)) return;
    p->shown = now;
    double part = (double)done / (double)p->total, spent = now - p->start;
    char bar[31];
    for (int i = 0; i < 30; i++) bar[i] = i < (int)(part * 30) ? '#' : '.';
    bar[30] = 0;
    fprintf(stderr, "\r%s [%s] %3.0f%%  %.0f s left ", p->what, bar, 100 * part, part > 0 ? spent / part - spent : 0.0);
}

void progress_end(Progress *p) {
    if (p->on) fprintf(stderr, "\r\033[K");
    p->on = false;
}

bool note_live(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (note_live()) fprintf(stderr, "\r\033[K");
    vfprintf(stderr, format, args);
    if (!note_live()) fprintf(stderr, "\n");
    va_end(args);
}

void note_end(void) {
    if (note_live()) fprintf(stderr, "\r\033[K");
}
