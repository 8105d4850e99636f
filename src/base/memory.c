/* memory.c: memory that is zeroed, checked for overflow, and reported when there is none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base.h"

bool size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
bool size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

void *mem_new(size_t count, size_t size, const char *what, Err *err) {
    size_t bytes;
    void *p = size_mul(count, size, &bytes) ? calloc(1, bytes ? bytes : 1) : NULL;
    if (!p) err_as(err, QM_MEMORY, "out of memory: %s needs %zu x %zu bytes", what, count, size);
    return p;
}

bool mem_grow(void **array, size_t *capacity, size_t need, size_t size, const char *what, Err *err) {
    if (need <= *capacity) return true;
    size_t bigger = *capacity < 8 ? 8 : *capacity, bytes;
    while (bigger < need)
        if (!size_mul(bigger, 2, &bigger)) return err_as(err, QM_MEMORY, "out of memory: %s needs %zu items", what,
                                                         need);
    void *p = size_mul(bigger, size, &bytes) ? realloc(*array, bytes) : NULL;
    if (!p) return err_as(err, QM_MEMORY, "out of memory: %s needs %zu x %zu bytes", what, bigger, size);
    *array = p;
    *capacity = bigger;
    return true;
}

enum { HUGE_PAGE = 2 << 20 };

static bool pages_bytes(size_t bytes, size_t *out) {
    if (!size_add(bytes, HUGE_PAGE - 1, out)) return false;
    *out &= ~(size_t)(HUGE_PAGE - 1);
    if (*out == 0) *out = HUGE_PAGE;
    return true;
}

void *mem_pages_new(size_t bytes, const char *what, Err *err) {
    size_t whole, mapped;
    if (!pages_bytes(bytes, &whole) || !size_add(whole, HUGE_PAGE, &mapped)) {
        err_as(err, QM_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
        return NULL;
    }
    uint8_t *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        err_as(err, QM_MEMORY, "out of memory: %s needs %.1f MiB: %s", what, (double)bytes / (1 << 20),
               strerror(errno));
        return NULL;
    }
    size_t before = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1)); /* keep the aligned middle, give back the ends */
    if (before) munmap(p, before);
    if (before < HUGE_PAGE) munmap(p + before + whole, HUGE_PAGE - before);
    madvise(p + before, whole, MADV_HUGEPAGE);
    return p + before;
}

void mem_pages_free(void *pages, size_t bytes) {
    size_t whole;
    if (pages && pages_bytes(bytes, &whole)) munmap(pages, whole);
}

/* ---- Arena ---------------------------------------------------------------------------------------------------- */

typedef struct ArenaBlock {
    struct ArenaBlock *next;
    size_t used, bytes;
    _Alignas(16) uint8_t data[];
} ArenaBlock;

void *arena_new(Arena *arena, size_t count, size_t size, const char *what, Err *err) {
    size_t need;
    if (!size_mul(count, size, &need) || !size_add(need, 15, &need)) {
        err_as(err, QM_MEMORY, "out of memory: %s needs %zu x %zu bytes", what, count, size);
        return NULL;
    }
    need &= ~(size_t)15;
    ArenaBlock *b = arena->block;
    if (!b || b->bytes - b->used < need) {
        size_t bytes = need > (64 << 10) ? need : (64 << 10), whole;
        b = size_add(bytes, sizeof *b, &whole) ? calloc(1, whole) : NULL;
        if (!b) {
            err_as(err, QM_MEMORY, "out of memory: %s needs %zu bytes", what, need);
            return NULL;
        }
        b->bytes = bytes;
        b->next = arena->block;
        arena->block = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    return p;
}

char *arena_text(Arena *arena, const char *text, size_t bytes, Err *err) {
    size_t whole;
    if (!size_add(bytes, 1, &whole)) return NULL;
    char *copy = arena_new(arena, whole, 1, "text", err);
    if (copy && bytes) memcpy(copy, text, bytes);
    return copy;
}

void arena_free(Arena *arena) {
    for (ArenaBlock *b = arena->block, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    arena->block = NULL;
}
