/* pack_write.h: packed files of a test's own making, their fixed part and digest right whatever the JSON says. */
#ifndef PACK_WRITE_H
#define PACK_WRITE_H
#include <stdlib.h>
#include <string.h>
#include "../src/io/packed.h"

__attribute__((unused)) static void pack_number(uint8_t *p, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Sets sizes and digest of a file whose header has `json` bytes. */
__attribute__((unused)) static void pack_seal(uint8_t *file, size_t json, size_t bytes) {
    pack_number(file + 16, json, 8);
    pack_number(file + 24, bytes, 8);
    packed_sha(file, 32, file + PACKED_HEADER, json, file + 32);
}

/* malloc'ed: the header, and `data` where the data begins; *bytes of it. */
__attribute__((unused)) static uint8_t *pack_bytes(const char *json, size_t n, const void *data, size_t data_bytes,
                                                   size_t *bytes) {
    size_t from = (PACKED_HEADER + n + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
    *bytes = data_bytes ? from + data_bytes : PACKED_HEADER + n;
    uint8_t *file = calloc(1, *bytes);
    if (!file) return NULL;
    memcpy(file, "QMPACKED", 8);
    pack_number(file + 8, PACKED_VERSION, 4);
    memcpy(file + PACKED_HEADER, json, n);
    if (data_bytes) memcpy(file + from, data, data_bytes);
    pack_seal(file, n, *bytes);
    return file;
}
#endif
