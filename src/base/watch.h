/* watch.h: what the library tells while it works: it prints nothing itself. A message or the progress of a long work
 * goes to the watch of the thread, which whoever works for an engine sets to the engine's, or else to the process's
 * (qm_watch). */
#ifndef WATCH_H
#define WATCH_H
#include "base.h"

/* This thread's watch from now on; NULL: the process's. Returns the one before, to be put back. */
const QmWatch *watch_use(const QmWatch *watch);
/* Of this thread, for another thread that works for it; NULL: the process's. */
const QmWatch *watch_used(void);
/* One line, without its end. */
void watch_say(QmLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A long work that people wait for. Any thread may show how far it is. */
typedef struct Progress { const QmWatch *watch; const char *what; int64_t total; } Progress;
void progress_start(Progress *p, const char *what, int64_t total); /* `what` is read at every show */
void progress_show(const Progress *p, int64_t done);
void progress_end(Progress *p);
#endif
