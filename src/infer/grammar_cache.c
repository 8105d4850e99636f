/* grammar_cache.c: see grammar_cache.h. The one that was asked for longest ago goes first. */
#include "grammar_cache.h"
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 64, KEPT_NODES = 1 << 20 };
typedef struct Kept {
    uint8_t key[32];
    Grammar *grammar;
    uint64_t asked;
} Kept;
static struct {
    pthread_mutex_t lock;
    Kept entry[KEPT];
    uint64_t asked;
    int64_t nodes;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static Grammar *find(const uint8_t *key) {
    Grammar *g = NULL;
    pthread_mutex_lock(&cache.lock);
    for (int i = 0; i < KEPT && !g; i++)
        if (cache.entry[i].grammar && !memcmp(cache.entry[i].key, key, sizeof cache.entry[i].key)) {
            cache.entry[i].asked = ++cache.asked;
            g = grammar_share(cache.entry[i].grammar);
        }
    pthread_mutex_unlock(&cache.lock);
    return g;
}

static Kept *oldest(void) {
    Kept *e = NULL;
    for (int i = 0; i < KEPT; i++)
        if (cache.entry[i].grammar && (!e || cache.entry[i].asked < e->asked)) e = &cache.entry[i];
    return e;
}

static Kept *empty(void) {
    for (int i = 0; i < KEPT; i++)
        if (!cache.entry[i].grammar) return &cache.entry[i];
    return NULL;
}

static void drop(Kept *e) {
    cache.nodes -= e->grammar->count;
    grammar_release(e->grammar);
    *e = (Kept){0};
}

/* Two threads that built the same one keep it twice for a while: no harm. */
static void keep(const uint8_t *key, Grammar *g) {
    Kept *e;
    if (g->count > KEPT_NODES) return;
    pthread_mutex_lock(&cache.lock);
    while (cache.nodes + g->count > KEPT_NODES && (e = oldest())) drop(e);
    if (!empty()) drop(oldest());
    e = empty();
    *e = (Kept){.grammar = grammar_share(g), .asked = ++cache.asked};
    memcpy(e->key, key, sizeof e->key);
    cache.nodes += g->count;
    pthread_mutex_unlock(&cache.lock);
}

Grammar *grammar_cached(const json_t *asked, Grammar *(*make)(void *owner, Err *err), void *owner, Err *err) {
    uint8_t key[32];
    char *text = json_dump(asked, JSON_COMPACT | JSON_ENCODE_ANY, "a grammar", err); /* members in their order */
    if (!text) return NULL;
    bool hashed = EVP_Digest(text, strlen(text), key, NULL, EVP_sha256(), NULL) == 1;
    free(text);
    Grammar *g = hashed ? find(key) : NULL;
    if (g) return g;
    g = make(owner, err);
    if (g && hashed) keep(key, g);
    return g;
}

static Grammar *make_schema(void *owner, Err *err) { return grammar_json_schema(owner, err); }

Grammar *grammar_cached_schema(const json_t *schema, Err *err) {
    return grammar_cached(schema, make_schema, (void *)(uintptr_t)schema, err);
}

Grammar *grammar_cached_object(Err *err) {
    json_t *schema = json_pack("{s:s}", "type", "object");
    Grammar *g = schema ? grammar_cached_schema(schema, err) : (err_as(err, QM_MEMORY, "out of memory: schema"), NULL);
    json_decref(schema);
    return g;
}
