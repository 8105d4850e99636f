/* names.c: sorted names. */
#include <stdlib.h>
#include <string.h>
#include "names.h"

static int compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    size_t both = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = both ? memcmp(a, b, both) : 0;
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_names(const void *left, const void *right) {
    const Name *a = left, *b = right;
    int order = compare(a->data, a->bytes, b->data, b->bytes);
    return order ? order : (a->item > b->item) - (a->item < b->item);
}

void names_sort(Name *names, int64_t count) {
    if (count > 1) qsort(names, (size_t)count, sizeof *names, compare_names);
}

int64_t names_find(const Name *names, int64_t count, const char *data, size_t bytes) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = compare(names[middle].data, names[middle].bytes, data, bytes);
        if (order == 0) return names[middle].item;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}

const Name *names_twin(const Name *names, int64_t count) {
    for (int64_t i = 1; i < count; i++)
        if (compare(names[i - 1].data, names[i - 1].bytes, names[i].data, names[i].bytes) == 0) return &names[i];
    return NULL;
}
