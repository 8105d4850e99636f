/* watch_terminal.c: see watch_terminal.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "watch_terminal.h"

enum { BAR = 30 };
static QmLevel least;
static double start, shown; /* of the work under way: when it began, when it was drawn last */

/* In one write: other ranks and the launcher may speak at the same time. */
static void message(void *owner, QmLevel level, const char *text) {
    static const char *const before[] = {"", "qwenmesh: warning: ", "qwenmesh: error: "};
    (void)owner;
    if (level < least) return;
    fprintf(stderr, "%s%s\n", before[level], text);
    fflush(stderr);
}

static void progress(void *owner, const char *what, int64_t done, int64_t total) {
    double now = clock_seconds(), part = (double)done / (double)total, spent = now - start;
    (void)owner;
    if (done == 0) start = shown = now;
    else if (done < 0) fprintf(stderr, "\r\033[K");
    if (done <= 0 || (now - shown < 0.1 && done < total)) return;
    shown = now;
    char bar[BAR + 1] = {0};
    for (int i = 0; i < BAR; i++) bar[i] = i < (int)(part * BAR) ? '#' : '.';
    fprintf(stderr, "\r%s [%s] %3.0f%%  %.0f s left ", what, bar, 100 * part, spent / part - spent);
}

bool watch_terminal_bar(void) {
    const char *term = getenv("TERM");
    return least < QM_FATAL && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void watch_terminal(QmLevel level) {
    least = level;
    bool bar = watch_terminal_bar();
    qm_watch(&(QmWatch){.message = message, .progress = bar ? progress : NULL});
}
