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

/* For libraries that do not tell that an allocation failed: never NULL, or the program ends with a message and code 1. */
void *guard_malloc(size_t bytes);
void *guard_calloc(size_t count, size_t size);
void *guard_realloc(void *p, size_t bytes);
/* What they end with. */
_Noreturn void guard_no_memory(const char *what, size_t bytes);
/* From here on (or no longer) they have a reserve of 8 MiB to live on, and texts fail, in every thread: for a program that
 * answers many, of whom one must not end it. What came of it is not to be trusted: guard_missed. False: there is no
 * memory for the reserve, and all stays as it was. */
bool guard_go_on(bool on);
bool guard_goes_on(void);
/* What they gave is freed by this; a text that shall be freed by free is made so by guard_own (NULL: no memory). */
void guard_free(void *p);
char *guard_own(char *text);
/* Whether this thread has failed to get memory since guard_forget. */
bool guard_missed(void);
void guard_forget(void);
void guard_miss(void);

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
