/* bpe.c: words of text repeat, so most are answered from a cache; short ones are merged in place, long ones with a
 * heap. */
#include <stdlib.h>
#include "bpe.h"

enum { CACHE_ENTRIES = 1 << 14, CACHE_WORD = 30, CACHE_IDS = 8, SHORT_WORD = 64 };

/* One cache line. count 0: empty. */
typedef struct CacheEntry {
    uint8_t bytes, count;
    uint8_t word[CACHE_WORD];
    int32_t id[CACHE_IDS];
} CacheEntry;

/* A symbol of a long word; dead ones have id -1. */
typedef struct Symbol { int32_t id, before, after; } Symbol;
/* A merge that was possible when it was pushed; `key` is rank and position, the order of merging. */
typedef struct Candidate { uint64_t key; int32_t left, right, result; } Candidate;

struct Bpe {
    void *cache_memory;
    CacheEntry *cache;    /* [CACHE_ENTRIES], 64-byte aligned in cache_memory */
    Symbol *symbol;
    size_t symbol_room;
    Candidate *heap;
    size_t heap_count, heap_room;
};

bool ids_reserve(Ids *ids, size_t more, Err *err) {
    return ids->capacity - ids->count >= more ||
           mem_grow((void **)&ids->data, &ids->capacity, ids->count + more, sizeof *ids->data, "token ids", err);
}

bool ids_add(Ids *ids, int32_t id, Err *err) {
    if (!ids_reserve(ids, 1, err)) return false;
    ids->data[ids->count++] = id;
    return true;
}

Bpe *bpe_new(Err *err) {
    Bpe *bpe = mem_new(1, sizeof *bpe, "tokenizer", err);
    if (bpe && (bpe->cache_memory = mem_new(CACHE_ENTRIES + 1, sizeof *bpe->cache, "tokenizer cache", err))) {
        bpe->cache = (CacheEntry *)(((uintptr_t)bpe->cache_memory + 63) & ~(uintptr_t)63);
        return bpe;
    }
    free(bpe);
    return NULL;
}

void bpe_free(Bpe *bpe) {
    if (!bpe) return;
    free(bpe->cache_memory);
    free(bpe->symbol);
    free(bpe->heap);
    free(bpe);
}

size_t bpe_bytes(const Bpe *bpe) {
    return (CACHE_ENTRIES + 1) * sizeof *bpe->cache + bpe->symbol_room * sizeof *bpe->symbol +
           bpe->heap_room * sizeof *bpe->heap;
}

/* The symbol that a byte starts as; -1: none, the byte is dropped. */
static int32_t first_symbol(const Vocab *vocab, uint8_t byte) {
    return vocab->byte_id[byte] >= 0 ? vocab->byte_id[byte] : vocab->unknown;
}

/* ---- Short words --------------------------------------------------------------------------------------------- */

static size_t merge_short(const Vocab *vocab, const uint8_t *word, size_t bytes, int32_t id[SHORT_WORD]) {
    uint32_t rank[SHORT_WORD];
    int32_t result[SHORT_WORD];
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        int32_t symbol = first_symbol(vocab, word[i]);
        if (symbol >= 0) id[count++] = symbol;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        const MergeSlot *slot = vocab_pair(vocab, id[i], id[i + 1]);
        rank[i] = slot ? slot->rank : UINT32_MAX;
        result[i] = slot ? slot->result : -1;
    }
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == UINT32_MAX) break;
        id[best] = result[best];
        count--;
        memmove(id + best + 1, id + best + 2, (count - best - 1) * sizeof *id);
        memmove(rank + best, rank + best + 1, (count - best - 1) * sizeof *rank); /* count - 1 pairs are left */
        memmove(result + best, result + best + 1, (count - best - 1) * sizeof *result);
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < count; i++) {
            const MergeSlot *slot = vocab_pair(vocab, id[i], id[i + 1]);
            rank[i] = slot ? slot->rank : UINT32_MAX;
            result[i] = slot ? slot->result : -1;
        }
    }
    return count;
}

/* ---- Long words ---------------------------------------------------------------------------------------------- */

static bool heap_push(Bpe *bpe, const Vocab *vocab, int32_t at, Err *err) {
    int32_t after = bpe->symbol[at].after;
    const MergeSlot *slot = after < 0 ? NULL : vocab_pair(vocab, bpe->symbol[at].id, bpe->symbol[after].id);
    if (!slot) return true;
    if (!mem_grow((void **)&bpe->heap, &bpe->heap_room, bpe->heap_count + 1, sizeof *bpe->heap, "merges of a word",
                  err))
        return false;
    Candidate new = {(uint64_t)slot->rank << 32 | (uint32_t)at, slot->left, slot->right, slot->result};
    size_t i = bpe->heap_count++;
    for (size_t up; i > 0 && bpe->heap[up = (i - 1) / 2].key > new.key; i = up) bpe->heap[i] = bpe->heap[up];
    bpe->heap[i] = new;
    return true;
}

static Candidate heap_pop(Bpe *bpe) {
    Candidate top = bpe->heap[0], last = bpe->heap[--bpe->heap_count];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < bpe->heap_count; i = down) {
        if (down + 1 < bpe->heap_count && bpe->heap[down + 1].key < bpe->heap[down].key) down++;
        if (bpe->heap[down].key >= last.key) break;
        bpe->heap[i] = bpe->heap[down];
    }
    bpe->heap[i] = last;
    return top;
}

static bool merge_long(Bpe *bpe, const Vocab *vocab, const uint8_t *word, size_t bytes, Ids *out, Err *err) {
    if (bytes > INT32_MAX) return err_as(err, QM_LIMIT, "word of %zu bytes is too long: expected at most %d", bytes,
                                         INT32_MAX);
    if (!mem_grow((void **)&bpe->symbol, &bpe->symbol_room, bytes, sizeof *bpe->symbol, "word", err)) return false;
    Symbol *symbol = bpe->symbol;
    int32_t count = 0;
    bpe->heap_count = 0;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = first_symbol(vocab, word[i]);
        if (id < 0) continue;
        symbol[count] = (Symbol){id, count - 1, count + 1};
        count++;
    }
    if (count == 0) return true;
    symbol[count - 1].after = -1;
    for (int32_t i = 0; i < count; i++)
        if (!heap_push(bpe, vocab, i, err)) return false;
    while (bpe->heap_count > 0) {
        Candidate c = heap_pop(bpe);
        int32_t at = (int32_t)(uint32_t)c.key, next = symbol[at].after;
        if (symbol[at].id != c.left || next < 0 || symbol[next].id != c.right) continue; /* merged away meanwhile */
        symbol[at].id = c.result;
        symbol[at].after = symbol[next].after;
        symbol[next].id = -1;
        if (symbol[at].after >= 0) symbol[symbol[at].after].before = at;
        if (symbol[at].before >= 0 && !heap_push(bpe, vocab, symbol[at].before, err)) return false;
        if (!heap_push(bpe, vocab, at, err)) return false;
    }
    for (int32_t i = 0; i >= 0; i = symbol[i].after)
        if (!ids_add(out, symbol[i].id, err)) return false;
    return true;
}

/* ---- Words --------------------------------------------------------------------------------------------------- */

bool bpe_word(Bpe *bpe, const Vocab *vocab, const uint8_t *word, size_t bytes, Ids *out, Err *err) {
    CacheEntry *entry = NULL;
    if (bytes <= CACHE_WORD) {
        entry = &bpe->cache[hash_bytes(word, bytes, vocab->seed) % CACHE_ENTRIES];
        if (entry->count && entry->bytes == bytes && !memcmp(entry->word, word, bytes)) {
            if (!ids_reserve(out, CACHE_IDS, err)) return false;
            memcpy(out->data + out->count, entry->id, sizeof entry->id);
            out->count += entry->count;
            return true;
        }
    }
    if (vocab->whole_words) {
        int32_t id = vocab_find(vocab, word, bytes, PIECE_WORD);
        if (id >= 0 && !vocab->piece[id].special) return ids_add(out, id, err);
    }
    if (bytes > SHORT_WORD) return merge_long(bpe, vocab, word, bytes, out, err);
    int32_t id[SHORT_WORD];
    size_t count = merge_short(vocab, word, bytes, id);
    for (size_t i = 0; i < count; i++)
        if (!ids_add(out, id[i], err)) return false;
    if (entry && count > 0 && count <= CACHE_IDS) {
        entry->bytes = (uint8_t)bytes;
        entry->count = (uint8_t)count;
        memcpy(entry->word, word, bytes);
        memcpy(entry->id, id, count * sizeof *id);
    }
    return true;
}
