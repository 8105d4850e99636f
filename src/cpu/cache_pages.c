/* cache_pages.c: the pages of the key/value cache (Kwon et al. 2023, "PagedAttention"; here with room for every
 * slot). */
#include <stdlib.h>
#include "../base/base.h"
#include "cache_pages.h"

bool pages_new(KvCache *c, Err *err) {
    size_t pages, bytes;
    c->blocks = (c->positions + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
    c->positions = c->blocks * ATTENTION_BLOCK;
    c->page_bytes = 2 * cache_page_bytes(c->type, c->channels);
    if (!size_mul((size_t)c->slots, (size_t)c->blocks, &pages) || pages > INT32_MAX ||
        !size_mul(pages, (size_t)c->page_bytes, &bytes) ||
        !size_mul(bytes, (size_t)(c->layers * c->kv_heads), &bytes))
        return err_as(err, QM_LIMIT, "key/value cache: %lld positions x %lld slots are too many",
                      (long long)c->positions,
                      (long long)c->slots);
    c->bytes = bytes;
    c->page = mem_new(pages, sizeof *c->page, "pages of the cache", err);
    c->users = mem_new(pages, sizeof *c->users, "pages of the cache", err);
    c->data = c->page && c->users ? mem_pages_new(bytes, "key/value cache", err) : NULL;
    if (!c->data) return false;
    for (size_t i = 0; i < pages; i++) c->page[i] = -1;
    return true;
}

void pages_free(KvCache *c) {
    mem_pages_free(c->data, c->bytes);
    free(c->page);
    free(c->users);
}

/* The first page that nobody holds: memory is taken in pieces of 2 MiB, of which each layer and head has its own, and the
 * kernel clears a piece when it is first written to. So as few of them as can be are touched: with a place of its own for
 * every slot a first prompt could cost more to clear than to read. */
static int32_t free_page(const KvCache *c) {
    int32_t i = 0;
    while (c->users[i]) i++;
    return i;
}

int32_t pages_own(KvCache *c, int64_t slot, int64_t block) {
    int32_t *page = &cache_pages(c, slot)[block], old = *page;
    if (old >= 0 && c->users[old] == 1) return old;
    *page = free_page(c);
    c->users[*page] = 1;
    if (old >= 0) c->users[old]--;
    return old;
}

void pages_share(KvCache *c, int64_t from, int64_t to, int64_t positions) {
    int32_t *old = cache_pages(c, from), *new = cache_pages(c, to);
    for (int64_t b = 0; b * ATTENTION_BLOCK < positions; b++) {
        if (old[b] == new[b]) continue;
        if (new[b] >= 0) c->users[new[b]]--;
        new[b] = old[b];
        c->users[old[b]]++;
    }
}
