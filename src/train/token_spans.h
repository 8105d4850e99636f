/* token_spans.h: which part of a text each of its tokens stands for. */
#ifndef TOKEN_SPANS_H
#define TOKEN_SPANS_H
#include "../text/tokenizer.h"

/* which [count]: for every token of well-formed `text` the first of the spans (bytes, in order, apart, not empty) that
 * it shares a character with, or -1. ids: all of the text's, by tokenizer_encode, no others. The bytes of tokens are
 * laid along the text, in form C if the tokenizer wants that. White space that an added token takes in is skipped, and
 * a space that the tokenizer puts in front is nobody's. An error where the two do not fit. */
bool token_spans(const QmTokenizer *t, const char *text, size_t bytes, const Span *span, size_t spans,
                 const int32_t *ids, size_t count, int32_t *which, Err *err);
#endif
