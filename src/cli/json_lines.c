/* json_lines.c: see json_lines.h. */
#include "json_lines.h"
#include "../base/lines.h"
#include "../io/json.h"

bool json_lines_answer(bool (*answer)(void *, const json_t *, Err *), void *context, Err *err) {
    Lines all;
    Line line;
    bool ok = lines_open(&all, "-", err);
    if (!ok) return false;
    while (ok && lines_read(&all, &line, err)) {
        json_t *value = json_text(line.data, line.bytes, "input", err);
        ok = value && answer(context, value, err);
        json_decref(value);
        if (!ok) err_prefix(err, "line %lld", (long long)all.number);
        fflush(stdout);
        if (ok && ferror(stdout)) ok = err_as(err, QM_IO, "cannot write standard output");
    }
    lines_close(&all);
    return ok && !err->kind;
}
