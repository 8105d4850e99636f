/* names.h: finding tensors and keys by name in O(log n), whatever names a file holds: a sorted list, so that no file
 * can choose names that make it slow. */
#ifndef NAMES_H
#define NAMES_H
#include "../base/base.h"

typedef struct Name {
    const char *data; /* not NUL-terminated, borrowed     */
    size_t bytes;
    int64_t item;     /* what the name belongs to, >= 0   */
} Name;

/* Sorts by bytes, then by item: O(n log n). */
void names_sort(Name *names, int64_t count);
/* The item of a name in a sorted list, or -1. */
int64_t names_find(const Name *names, int64_t count, const char *data, size_t bytes);
/* The second of two equal names in a sorted list, or NULL. */
const Name *names_twin(const Name *names, int64_t count);
#endif
