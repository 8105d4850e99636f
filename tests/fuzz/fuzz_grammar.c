/* fuzz_grammar.c: the first byte picks a notation; then a grammar up to the first NUL byte, then text to read by it. A
 * state that accepts must stay what it is when the same text is read in two parts. */
#include <stdlib.h>
#include <string.h>
#include "../../src/infer/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    if (bytes == 0) return 0;
    int kind = *data++ % 3;
    bytes--;
    const uint8_t *nul = bytes ? memchr(data, 0, bytes) : NULL;
    size_t first = nul ? (size_t)(nul - data) : bytes, rest = nul ? first + 1 : bytes;
    const char *text = (const char *)data;
    json_t *schema = kind == 2 ? json_text(text, first, "schema", &err) : NULL;
    Grammar *g = err.kind     ? NULL
                 : kind == 0 ? grammar_gbnf(text, first, &err)
                 : kind == 1 ? grammar_regex(text, first, &err)
                             : grammar_json_schema(schema, &err);
    json_decref(schema);
    if (!g != (err.kind != QM_OK)) abort();
    Matcher *m = g ? matcher_new(g, NULL, &err) : NULL;
    if (m) {
        size_t half = (bytes - rest) / 2;
        int32_t whole = matcher_read(m, 0, data + rest, bytes - rest, &err);
        int32_t part = err.kind ? -2 : matcher_read(m, 0, data + rest, half, &err);
        part = err.kind ? -2 : matcher_read(m, part, data + rest + half, bytes - rest - half, &err);
        if (!err.kind && whole != part) abort();
    }
    matcher_release(m);
    grammar_release(g);
    return 0;
}
