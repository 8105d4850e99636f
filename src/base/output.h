/* output.h: a file that is there whole or not at all: written beside its place under a name that no other writer has,
 * and given its own when it is complete and on disk. */
#ifndef OUTPUT_H
#define OUTPUT_H
#include "base.h"

/* path: borrowed, as it was given; target, temporary: owned. temporary NULL: nothing to rename (a device, a pipe). */
typedef struct Output { FILE *file; const char *path; char *target, *temporary; int place; } Output;

/* "-" is standard output; a device or pipe is written to as it is. A link is followed to the file it names. Refused:
 * a file that this process has read (by device and inode, whatever its name). What dead writers of this file left is
 * removed. False and an error with nothing to close. */
bool output_open(Output *o, const char *path, Err *err);
/* Whether it still may take its name: no file that this process reads by now has it. commit asks too. */
bool output_allowed(const Output *o, Err *err);
/* Flushes, reaches the disk and takes the name; the file stays open. An error leaves what was there as it was. */
bool output_commit(Output *o, Err *err);
/* Closes; what is not committed is removed. Safe on a zeroed Output and after a failed open. */
void output_close(Output *o);
/* commit if `ok`, then close. */
bool output_end(Output *o, bool ok, Err *err);
/* A small file of a folder, whole or not at all. */
bool output_write(const char *folder, const char *name, const char *data, size_t bytes, Err *err);
/* Gives what was written so far the name "PATH.incomplete" (".incomplete.2" where that is taken), then closes. The
 * name, malloc'ed; NULL when there is nothing to keep. */
char *output_keep(Output *o);

/* Whether a path names no regular file: standard output, a device, a pipe. */
bool file_special(const char *path);
/* Whether two names are one file, by device and inode. */
bool file_same(const char *a, const char *b);
/* False and an error when `out` is `in` by whatever name. */
bool output_apart(const char *in, const char *out, Err *err);
/* Removes a file of our own that was read, and forgets it: a new file may be given its inode. */
void file_remove(const char *path);
/* The folder of `path` reaches the disk: a rename in it does. */
bool folder_sync(const char *path);
#endif
