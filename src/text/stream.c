/* stream.c: the repair of utf8_repair, resumable. */
#include <string.h>
#include "stream.h"
#include "unicode.h"

bool text_stream_push(TextStream *stream, int32_t id, Text *out, Err *err) {
    size_t bytes, used = 0;
    bool special;
    const uint8_t *piece = (const uint8_t *)qm_tokenizer_piece(stream->tokenizer, id, &bytes, &special);
    if (!piece || (special && stream->skip_special)) return true;
    while (stream->count > 0 && used < bytes) { /* finish, or give up, the character that waits */
        uint8_t joined[8];
        int32_t code;
        memcpy(joined, stream->pending, (size_t)stream->count);
        joined[stream->count] = piece[used];
        int n = utf8_read(joined, joined + stream->count + 1, &code);
        if (code == UTF8_CUT) {
            stream->pending[stream->count++] = piece[used++];
        } else {
            if (code >= 0) used++; /* else the byte at hand does not belong to it */
            text_add(out, code >= 0 ? (const char *)joined : "\xEF\xBF\xBD", code >= 0 ? (size_t)n : 3);
            stream->count = 0;
        }
    }
    size_t end = used;
    for (int32_t code; end < bytes; end += (size_t)utf8_read(piece + end, piece + bytes, &code)) {
        utf8_read(piece + end, piece + bytes, &code);
        if (code != UTF8_CUT) continue;
        stream->count = (int)(bytes - end);
        memcpy(stream->pending, piece + end, bytes - end);
        break;
    }
    utf8_repair(piece + used, end - used, out);
    return text_ok(out, "decoded text", err);
}

void text_stream_end(TextStream *stream, Text *out) {
    if (stream->count > 0) text_add(out, "\xEF\xBF\xBD", 3);
    stream->count = 0;
}
