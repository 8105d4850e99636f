/* scan.h: a JSON file read in one pass and without a tree (RFC 8259), for the vocabulary and merges of tokenizer.json:
 * hundreds of thousands of short strings that a tree would spend a second on. As strict as json.h. */
#ifndef SCAN_H
#define SCAN_H
#include "../io/names.h"

typedef struct Scan {
    const uint8_t *start, *at, *end;
    const char *where;  /* for errors: a path */
    Text scratch;       /* the last string that had escapes */
    bool failed;
    Err *err;
} Scan;

typedef struct ScanText {
    const uint8_t *data;
    size_t bytes;
} ScanText; /* in the file, or in Scan.scratch until the next string */

Scan scan_new(const uint8_t *data, size_t bytes, const char *where, Err *err);
void scan_free(Scan *scan);
bool scan_fail(Scan *scan, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* false; adds where and the byte */

/* Walking: for (size_t i = 0; scan_member(scan, i, &key); i++) { read exactly one value }; then look at `failed`. */
bool scan_open(Scan *scan, char bracket);          /* '{' or '['                                     */
bool scan_member(Scan *scan, size_t index, ScanText *key);
bool scan_item(Scan *scan, size_t index);
char scan_peek(Scan *scan);                        /* first byte of the next value, 0 at the end     */
bool scan_text(Scan *scan, ScanText *out);         /* well-formed UTF-8                              */
bool scan_int(Scan *scan, int64_t low, int64_t high, int64_t *out);
bool scan_skip(Scan *scan, ScanText *out);         /* any value, checked; *out is its text in the file */
bool scan_end(Scan *scan);                         /* only white space is left                       */
bool scan_equal(ScanText text, const char *word);
static inline NameText scan_name(ScanText text) { return name_text((const char *)text.data, text.bytes); }
#endif
