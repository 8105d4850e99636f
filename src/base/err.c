/* err.c: one error text per operation, of which the first one wins; and which version is speaking. Whatever went into
 * an error, a terminal may show it. */
#include <string.h>
#include "base.h"

const char *qm_version(void) { return QM_VERSION; }

bool err_set(Err *err, const char *format, ...) {
    if (!err || err->set) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    text_printable(err->text);
    err->set = true;
    return false;
}

void err_prefix(Err *err, const char *format, ...) {
    if (!err || !err->set) return;
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
