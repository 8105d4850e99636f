/* guard.h: what protects the program as a whole: descriptors that were closed before it started, memory that a library
 * cannot do without, temporaries of a run that ends early, and mapped files that change while they are used. */
#ifndef GUARD_H
#define GUARD_H
#include "base.h"

/* For main, before anything else. Closed standard descriptors get one that every use of fails, so that no file opened
 * later is taken for them. SIGBUS on a mapped file ends the program with a message; so do out of memory below, and
 * SIGINT, SIGTERM and SIGHUP where nobody else handles them, and each removes the temporaries. */
void guard_start(void);
bool guard_started(void);

/* For libraries that do not survive a failed allocation: never NULL, or the program ends with a message and code 1. */
void *guard_malloc(size_t bytes);
void *guard_calloc(size_t count, size_t size);
void *guard_realloc(void *p, size_t bytes);
/* What they end with. */
_Noreturn void guard_no_memory(const char *what, size_t bytes);

/* Files, or folders with all they hold, that are removed if the program ends before guard_release. `path` stays as it
 * is until then. The place, or 0 when there is none left: then the file stays. */
int guard_temporary(const char *path);
void guard_release(int place);
void guard_remove(void); /* all of them; safe in a signal handler */

/* Files that SIGBUS is explained by. `path` stays until guard_unmap. */
void guard_map(const void *data, size_t bytes, const char *path);
void guard_unmap(const void *data);
void guard_loading(const char *path); /* a shared object while it is loaded, by this thread; NULL: no longer */
#endif
