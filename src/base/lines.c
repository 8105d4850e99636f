/* lines.c: lines of a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lines.h"

static const char *name_of(const char *path) { return strcmp(path, "-") ? path : "standard input"; }

bool lines_open(Lines *l, const char *path, Err *err) {
    struct stat st;
    bool standard = !strcmp(path, "-");
    *l = (Lines){.path = name_of(path)};
    if (standard && !input_open(STDIN_FILENO, l->path, err)) return false;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_as(err, QM_IO, "cannot open %s: %s", l->path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) err_as(err, QM_IO, "cannot read %s: expected lines, got a folder",
                                                           l->path);
    else if (file_read_note(fd, l->path, false, err) && !(l->file = fdopen(fd, "r")))
        err_as(err, QM_IO, "cannot read %s: %s", l->path, strerror(errno));
    if (l->file) return true;
    close(fd);
    return false;
}

bool lines_of(Lines *l, FILE *file, const char *name, Err *err) {
    *l = (Lines){.path = name};
    int fd = fflush(file) == 0 ? dup(fileno(file)) : -1;
    if (fd < 0 || !(l->file = fdopen(fd, "r"))) {
        err_as(err, QM_IO, "cannot read %s: %s", name, strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    if (fseeko(l->file, 0, SEEK_SET) == 0) return true;
    err_as(err, QM_IO, "cannot read %s: %s", name, strerror(errno));
    lines_close(l);
    return false;
}

void lines_close(Lines *l) {
    if (l->file) fclose(l->file);
    text_free(&l->text);
    *l = (Lines){0};
}

bool lines_read(Lines *l, Line *line, Err *err) {
    char piece[4096];
    size_t n = 0;
    int c = EOF;
    if (l->text.data) l->text.data[0] = 0;
    l->text.bytes = 0;
    line->start = l->at;
    snprintf(line->where, sizeof line->where, "%.200s line %lld", l->path, (long long)++l->number);
    while ((errno = 0, c = getc_unlocked(l->file)) != EOF && c != '\n') {
        if (n == sizeof piece) text_add(&l->text, piece, n), n = 0;
        piece[n++] = (char)c;
        if (l->text.bytes > MAX_LINE_BYTES)
            return err_as(err, QM_LIMIT, "%s is too long: expected at most %d bytes", line->where, MAX_LINE_BYTES);
        if (l->text.failed) break;
    }
    int why = errno;
    text_add(&l->text, piece, n);
    if (ferror(l->file)) return err_as(err, QM_IO, "cannot read %s: %s", line->where, strerror(why ? why : EIO));
    if (!text_ok(&l->text, line->where, err)) return false;
    line->data = l->text.data;
    line->bytes = l->text.bytes;
    line->whole = c == '\n';
    l->at += (int64_t)line->bytes + line->whole;
    return line->whole || line->bytes > 0;
}

bool lines_next(Lines *l, Line *line, Err *err) {
    while (lines_read(l, line, err)) {
        size_t blank = 0;
        while (blank < line->bytes && strchr(" \t\r", line->data[blank]) && line->data[blank]) blank++;
        if (blank < line->bytes) return true;
        if (!line->whole) return false;
    }
    return false;
}

bool lines_all(const char *path, size_t limit, Text *out, Err *err) {
    Lines l;
    char piece[1 << 14];
    if (!lines_open(&l, path, err)) return false;
    for (size_t n; (errno = 0, n = fread(piece, 1, sizeof piece, l.file)) > 0;) {
        text_add(out, piece, n);
        if (out->failed || ferror(l.file)) break;
        if (out->bytes > limit) {
            err_as(err, QM_LIMIT, "%s is too long: expected at most %zu bytes", l.path, limit);
            break;
        }
    }
    if (ferror(l.file)) err_as(err, QM_IO, "cannot read %s: %s", l.path, strerror(errno ? errno : EIO));
    text_add(out, "", 0);
    text_ok(out, l.path, err);
    lines_close(&l);
    if (err->kind) text_free(out);
    return !err->kind;
}
