/* grammar_fault.c: what is wrong with a grammar. */
#include "grammar_build.h"

bool builder_fail(Builder *b, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(b->err, "grammar: %s", text);
}
