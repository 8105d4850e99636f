/* err.c: one error text per operation, of which the first one wins; and which version is speaking. Whatever went into
 * an error, a terminal may show it. */
#include <signal.h>
#include <string.h>
#include "base.h"
#include "guard.h"

const char *qm_version(void) { return QM_VERSION; }

/* Of a text that is too long, as a path makes it, the middle is left out: what was wrong stands at the end. */
static void shorten(char *out, size_t size, const char *text) {
    static const char between[] = " ... ";
    size_t bytes = strlen(text), tail = size / 2, head = size - tail - sizeof between;
    if (bytes < size) memcpy(out, text, bytes + 1);
    else snprintf(out, size, "%.*s%s%s", (int)head, text, between, text + bytes - tail);
}

static void fill(Err *err, QmErrKind kind, const char *format, va_list args) {
    if (!err || err->kind) return;
    char text[16 * sizeof err->text];
    vsnprintf(text, sizeof text, format, args);
    shorten(err->text, sizeof err->text, text);
    text_printable(err->text);
    err->kind = kind;
}

bool err_set(Err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fill(err, QM_INPUT, format, args);
    va_end(args);
    return false;
}

bool err_as(Err *err, QmErrKind kind, const char *format, ...) {
    va_list args;
    if (kind == QM_MEMORY && (!err || !err->kind)) guard_miss(); /* also where nobody asks for the error */
    va_start(args, format);
    fill(err, kind, format, args);
    va_end(args);
    return false;
}

bool err_from(Err *err, const Err *from) {
    if (err && !err->kind) *err = *from;
    return false;
}

int err_exit_code(const Err *err) {
    return err->kind == QM_OK ? 0 : err->kind == QM_USAGE ? 2 : err->kind == QM_INTERRUPTED ? 128 + SIGINT : 1;
}

void err_prefix(Err *err, const char *format, ...) {
    if (!err || !err->kind) return;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    bool said = n > 0 && (size_t)n < sizeof old && !strncmp(old, err->text, (size_t)n) && old[n] == ':';
    if (said) memcpy(err->text, old, sizeof old);
    else if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s", (int)(sizeof old - 8), old);
    text_printable(err->text);
}
