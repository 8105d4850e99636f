/* executable_cache.h: compiled programs on disk, one file each, named by a hash of all that the program depends on.
 *
 * A file: 8 bytes "QMPJRT1\n", the 32 bytes of its name's hash, 8 bytes length of the program (little-endian), SHA-256
 * of the program, the program. Programs are native code: files and folders that others can write are not read. */
#ifndef PJRT_CACHE_H
#define PJRT_CACHE_H
#include "../base/base.h"

typedef struct ProgramCache {
    char *folder;   /* NULL: no cache */
    int64_t limit;  /* bytes of all programs: those used longest ago go first */
    bool warned;    /* one warning a client, whatever goes wrong */
} ProgramCache;

enum { CACHE_KEY_BYTES = 32 };
#define CACHE_LIMIT ((int64_t)4 << 30)
typedef struct CacheKey { uint8_t byte[CACHE_KEY_BYTES]; } CacheKey;

/* Makes the folder if it is missing. Never fails: a cache that cannot be used warns on stderr and is off. */
void cache_open(ProgramCache *cache, const char *folder);
void cache_close(ProgramCache *cache);

/* SHA-256 over `count` parts, each with its length before it, so that no two lists of parts run together. */
typedef struct CachePart { const void *data; size_t bytes; } CachePart;
bool cache_key(const CachePart *parts, int count, CacheKey *out, Err *err);

/* The program stored under a key, malloc'ed; NULL when there is none, or it is damaged, foreign or too large. */
uint8_t *cache_read(ProgramCache *cache, const CacheKey *key, size_t *bytes);
/* Stores a program, replacing what is there, whole or not at all; then keeps the folder to its limit. */
void cache_write(ProgramCache *cache, const CacheKey *key, const uint8_t *data, size_t bytes);
#endif
