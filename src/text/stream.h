/* stream.h: text from ids as they come, one at a time. A token may be part of a character: its bytes wait for the rest.
 * All that is put out, the end included, equals qm_tokenizer_decode of all ids. Ids past the tokenizer, which the
 * padding of a vocabulary has, add nothing: a model may choose one. */
#ifndef STREAM_H
#define STREAM_H
#include "../base/base.h"

typedef struct TextStream {
    const QmTokenizer *tokenizer;
    bool skip_special;
    uint8_t pending[4];   /* the start of a character */
    int count;
} TextStream;

/* Appends to `out` the text that is complete with `id`; an id outside the vocabulary has none. */
bool text_stream_push(TextStream *stream, int32_t id, Text *out, Err *err);
/* The end: a character that was cut off becomes U+FFFD. The stream may be used again. */
void text_stream_end(TextStream *stream, Text *out);
#endif
