/* lines.c: lines of a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lines.h"

bool lines_open(Lines *l, const char *path, Err *err) {
    struct stat st;
    *l = (Lines){.path = path};
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode) || !(l->file = fdopen(fd, "r"))) {
        close(fd);
        return err_set(err, "cannot read %s: expected a file of lines", path);
    }
    return true;
}

bool lines_of(Lines *l, FILE *file, const char *name, Err *err) {
    *l = (Lines){.path = name};
    int fd = fflush(file) == 0 ? dup(fileno(file)) : -1;
    if (fd < 0 || !(l->file = fdopen(fd, "r"))) {
        if (fd >= 0) close(fd);
        return err_set(err, "cannot read %s: %s", name, strerror(errno));
    }
    rewind(l->file);
    return true;
}

void lines_close(Lines *l) {
    if (l->file) fclose(l->file);
    text_free(&l->text);
    *l = (Lines){0};
}

/* Reads one line, newline included in *line->whole only. False at the end. */
static bool read_line(Lines *l, Line *line, Err *err) {
    char piece[4096];
    size_t n = 0;
    int c = EOF;
    if (l->text.data) l->text.data[0] = 0;
    l->text.bytes = 0;
    line->start = l->at;
    snprintf(line->where, sizeof line->where, "%.200s line %lld", l->path, (long long)++l->number);
    while ((c = getc_unlocked(l->file)) != EOF && c != '\n') {
        if (n == sizeof piece) text_add(&l->text, piece, n), n = 0;
        piece[n++] = (char)c;
        if (l->text.bytes > MAX_LINE_BYTES)
            return err_set(err, "%s is too long: expected at most %d bytes", line->where, MAX_LINE_BYTES);
    }
    text_add(&l->text, piece, n);
    if (ferror(l->file)) return err_set(err, "cannot read %s: %s", line->where, strerror(errno));
    if (!text_ok(&l->text, line->where, err)) return false;
    line->data = l->text.data;
    line->bytes = l->text.bytes;
    line->whole = c == '\n';
    l->at += (int64_t)line->bytes + line->whole;
    return line->whole || line->bytes > 0;
}

bool lines_next(Lines *l, Line *line, Err *err) {
    while (read_line(l, line, err)) {
        size_t blank = 0;
        while (blank < line->bytes && strchr(" \t\r", line->data[blank]) && line->data[blank]) blank++;
        if (blank < line->bytes) return true;
        if (!line->whole) return false;
    }
    return false;
}
