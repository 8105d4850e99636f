/* prompt_shares.c: see prompt_shares.h. */
#include "prompt_shares.h"
#include <stddef.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t give(PromptShare *p, int64_t rows) {
    int64_t n = least(rows, p->left - p->rows);
    p->rows += n;
    return n;
}

/* Who still needs fewest; NULL: nobody needs any. */
static PromptShare *shortest(PromptShare *list, int count) {
    PromptShare *best = NULL;
    for (int i = 0; i < count; i++) {
        int64_t needs = list[i].left - list[i].rows;
        if (needs > 0 && (!best || needs < best->left - best->rows)) best = &list[i];
    }
    return best;
}

void prompt_shares(PromptShare *list, int count, int64_t rows) {
    if (!count) return;
    if (rows < 1) rows = 1;
    for (int i = 0; i < count; i++) list[i].rows = 0;
    rows -= give(list, (rows + 1) / 2);
    for (PromptShare *p; rows > 0 && (p = shortest(list, count));) rows -= give(p, rows);
}

int64_t prefill_rows(int64_t decoding) {
    return decoding * PREFILL_EACH > PREFILL_LEAST ? decoding * PREFILL_EACH : PREFILL_LEAST;
}
