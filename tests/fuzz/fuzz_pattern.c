/* fuzz_pattern.c: a Split pattern up to the first NUL byte, then text. What compiles must give back the whole text, in
 * words that are none of them empty, or fail with an error. */
#include <stdlib.h>
#include <string.h>
#include "../../src/text/split.h"
#include "../../src/text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool join(void *context, const uint8_t *word, size_t bytes, Err *err) {
    (void)err;
    text_add(context, (const char *)word, bytes);
    return bytes > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char sample[] = "Hello  world's 123\n\n <|im_end|>a\xCC\x81 \xC3\x9F ab";
    const uint8_t *nul = bytes ? memchr(data, 0, bytes) : NULL;
    char *pattern = strndup(bytes ? (const char *)data : "", nul ? (size_t)(nul - data) : bytes);
    Splitter s = {0};
    Err err = {0};
    Text text = {0}, out = {0};
    if (!pattern || !utf8_valid((const uint8_t *)pattern, strlen(pattern))) return free(pattern), 0;
    text_add(&text, sample, sizeof sample - 1);
    if (nul) utf8_repair(nul + 1, (size_t)(data + bytes - nul - 1), &text);
    bool ok = splitter_add_pattern(&s, pattern, strlen(pattern), false, &err);
    if (ok == (err.kind != QM_OK)) abort();
    double deadline = clock_seconds() + 1;
    if (ok && splitter_run(&s, (const uint8_t *)text.data, text.bytes, deadline, join, &out, &err)) {
        if (out.bytes != text.bytes || memcmp(out.data, text.data, out.bytes)) abort();
    } else if (!err.kind) {
        abort();
    }
    splitter_free(&s);
    text_free(&text);
    text_free(&out);
    free(pattern);
    return 0;
}
