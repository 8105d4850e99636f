/* added.h: finding added tokens ("<|im_end|>") in text: leftmost, then longest, as Hugging Face's AddedVocabulary. */
#ifndef ADDED_H
#define ADDED_H
#include "../base/base.h"

enum { ADDED_MOST_BYTES = 256 };

typedef struct Added {
    const char *text;      /* owned by the set's arena */
    size_t bytes;
    int32_t id;
    bool single_word;      /* only where no word character adjoins   */
    bool lstrip, rstrip;   /* takes the white space before and after */
} Added;

typedef struct AddedSet {
    Added *token;          /* sorted by text */
    size_t count, room;
    uint32_t first[257];   /* tokens that start with byte b are token[first[b] .. first[b + 1]) */
    int only;              /* the one byte that all start with, or -1 */
    Arena arena;
} AddedSet;

bool added_set_add(AddedSet *set, const Added *token, Err *err); /* copies the text; order does not matter */
bool added_set_finish(AddedSet *set, Err *err); /* sorts; a text given twice is an error; again after every change */
void added_set_free(AddedSet *set);
const Added *added_set_find(const AddedSet *set, const char *text, size_t bytes); /* exact; NULL if absent */

void added_set_remove(AddedSet *set, const Added *token); /* one of the set's own */

/* A part of a text, in bytes. */
typedef QmSpan Span;

/* What a match covers, stripped white space included. */
typedef struct AddedMatch { size_t start, end; int32_t id; } AddedMatch;
/* The first match that starts at `from` or later and whose token lies before `limit`. Strips only within
 * text[floor..bytes). */
bool added_set_next(const AddedSet *set, const uint8_t *text, size_t bytes, size_t floor, size_t from, size_t limit,
                    AddedMatch *out);
#endif
