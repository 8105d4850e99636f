/* lines.h: the lines of a file or of standard input, one at a time, with a limit on their length. All that reads lines
 * of input reads them here, so that a read error, a folder, an endless line or missing memory is never taken for the
 * end. */
#ifndef LINES_H
#define LINES_H
#include "base.h"

enum { MAX_LINE_BYTES = 64 << 20 };

typedef struct Lines { FILE *file; const char *path; Text text; int64_t number; int64_t at; } Lines;
typedef struct Line {
    const char *data;    /* borrowed until the next call; no newline; NUL-terminated */
    size_t bytes;
    int64_t start;       /* offset in the file                       */
    bool whole;          /* ended by a newline                       */
    char where[256];     /* "FILE line N", for messages              */
} Line;

/* Whether a descriptor can be read from: one that was closed when the program began stands open for writing only
 * (guard.c). Else an error. */
bool input_open(int fd, const char *name, Err *err);
bool lines_open(Lines *lines, const char *path, Err *err); /* path "-": standard input */
/* The lines of an open file from its start; `file` stays the caller's and must not be used meanwhile. */
bool lines_of(Lines *lines, FILE *file, const char *name, Err *err);
/* The next line that is not blank; false at the end, or with an error. */
bool lines_next(Lines *lines, Line *line, Err *err);
bool lines_read(Lines *lines, Line *line, Err *err); /* the same, blank or not */
void lines_close(Lines *lines);
/* All of a file, pipe or ("-") standard input, NUL-terminated; an error past `limit` bytes. Free with text_free. */
bool lines_all(const char *path, size_t limit, Text *out, Err *err);
#endif
