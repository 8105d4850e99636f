/* lines.h: a file of lines, one at a time, with a limit on their length. Empty lines are passed over. */
#ifndef LINES_H
#define LINES_H
#include "../base/base.h"

enum { MAX_LINE_BYTES = 64 << 20 };

typedef struct Lines { FILE *file; const char *path; Text text; int64_t number; int64_t at; } Lines;
typedef struct Line {
    const char *data;    /* borrowed until the next call; no newline */
    size_t bytes;
    int64_t start;       /* offset in the file                       */
    bool whole;          /* ended by a newline                       */
    char where[256];     /* "FILE line N", for messages              */
} Line;

bool lines_open(Lines *lines, const char *path, Err *err); /* path "-": standard input */
/* The lines of an open file from its start; `file` stays the caller's and must not be used meanwhile. */
bool lines_of(Lines *lines, FILE *file, const char *name, Err *err);
/* The next line; false at the end or on error. */
bool lines_next(Lines *lines, Line *line, Err *err);
void lines_close(Lines *lines);
#endif
