/* fuzz_packed.c: arbitrary bytes as a packed file; and, since no arbitrary bytes have the digest, arbitrary JSON before
 * a NUL with arbitrary data after it, under a header that is right. What is accepted lies in the file, in order. */
#include <stdlib.h>
#include "../../src/io/gguf.h"
#include "../../src/io/packed.h"
#include "../pack_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const uint8_t *data, size_t bytes) {
    Packed p;
    Gguf gguf;
    Err err = {0};
    if (!packed_parse(&p, data, bytes, "input", &err)) {
        if (!err.kind) abort();
        return;
    }
    const uint8_t *at = data;
    for (int64_t i = 0; i < p.count; i++) {
        const PackedSection *s = &p.sections[i];
        if (s->data < at || s->bytes == 0 || s->bytes > (size_t)(data + bytes - s->data)) abort();
        if (packed_find(&p, s->kind, s->name) != s) abort();
        size_t whole = 0, n;
        for (size_t k = 0; k < packed_pieces(s); k++) {
            if (packed_piece(s, k, &n) != whole || n == 0) abort();
            whole += n;
        }
        if (whole != s->bytes) abort();
        at = s->data + s->bytes;
        Err damaged = {0};
        if (!packed_verify(&p, s, &damaged) && !damaged.kind) abort();
    }
    const PackedSection *keys = packed_find(&p, SECTION_GGUF, "metadata.gguf");
    if (keys && gguf_parse(&gguf, keys->data, keys->bytes, "keys", &err)) gguf_close(&gguf);
    packed_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    check(data, bytes);
    const uint8_t *end = bytes ? memchr(data, 0, bytes) : NULL;
    size_t n = end ? (size_t)(end - data) : bytes, rest = end ? bytes - n - 1 : 0, whole;
    uint8_t *file = pack_bytes((const char *)data, n, end ? end + 1 : data, rest, &whole);
    if (file) check(file, whole);
    free(file);
    return 0;
}
