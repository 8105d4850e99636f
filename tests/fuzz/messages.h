/* messages.h: what a rank hears, out of a fuzzer's bytes. */
#ifndef MESSAGES_H
#define MESSAGES_H
#include <string.h>
#include "../../src/base/base.h"

typedef struct Bytes { const uint8_t *at; size_t left; } Bytes;

static bool hear(void *owner, void *data, size_t bytes, Err *err) {
    Bytes *b = owner;
    if (b->left < bytes) return err_set(err, "a message of %zu bytes is cut short", bytes);
    memcpy(data, b->at, bytes);
    b->at += bytes, b->left -= bytes;
    return true;
}
#endif
