/* stops.h: stop strings, and the text they are looked for in: that of the new tokens with special ones written out, as
 * Hugging Face's stop_strings and lm-eval see it, though what is shown has none of them. */
#ifndef STOPS_H
#define STOPS_H
#include "../text/stream.h"

enum { MAX_STOPS = 16, MAX_STOP_BYTES = 256 };

/* A list of stop strings: immutable, shared and counted. NUL is a byte like others. */
typedef struct Stops Stops;
int stops_count(const Stops *stops); /* NULL: 0 */
const char *stops_text(const Stops *stops, int i, size_t *bytes);
/* `base` (or NULL) and one more, of 1 to MAX_STOP_BYTES - 1 bytes: a new list with one user, or NULL and an error. */
Stops *stops_add(const Stops *base, const char *text, size_t bytes, Err *err);
Stops *stops_share(Stops *stops); /* one user more; NULL stays NULL */
void stops_release(Stops *stops);

/* The end of a text, as long as a stop string may be. Zeroed but for stream.tokenizer at first. */
typedef struct StopTail {
    TextStream stream;
    Text text;
    Text shown;           /* for each byte of it: 1, or 0 in a special token's name */
} StopTail;
/* Where a stop string stands, counted in shown bytes from the end of the text: it takes the last `cut` (-1: there is
 * none); the last `held` may be the beginning of one. */
typedef struct StopFound { int64_t cut, held; } StopFound;
/* Adds a token's text and looks for the earliest stop string that ends in it. */
bool stop_tail_push(StopTail *tail, const Stops *stops, int32_t id, StopFound *found, Err *err);
bool stop_tail_copy(StopTail *to, const StopTail *from, Err *err);
void stop_tail_free(StopTail *tail);
#endif
