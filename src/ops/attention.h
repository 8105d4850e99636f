/* attention.h: the key/value cache, and what the ops bind that use it. */
#ifndef ATTENTION_H
#define ATTENTION_H
#include <stdatomic.h>
#include "../graph/graph.h"
#include "kernels.h"

/* Keys and values of all layers and slots, in pages that slots may share (src/cpu/cache_pages.h has who may write to
 * which). One (layer, head): all its pages, see kernels.h. A page has the same number in every layer and head. */
typedef struct KvCache {
    CacheType type;
    int64_t layers, kv_heads, channels, slots;
    int64_t positions, blocks; /* of a slot: positions = ATTENTION_BLOCK * blocks */
    int64_t page_bytes;        /* of the keys and values of one page, layer and head */
    int32_t *page;             /* [slots][blocks]: number of the page, -1: none yet */
    int32_t *users;            /* [slots * blocks] pages: slots that hold it */
    /* In 8 bits, where keys or values have biases; else NULL. key_bias.h has why. */
    KeyTurns *turns;
    KeyBias *bias;             /* [layers * kv_heads] */
    int32_t *at;               /* [page][ATTENTION_BLOCK]: rotary positions of what it holds; -1: kept whole */
    uint8_t *data;
    size_t bytes;
} KvCache;
static inline uint8_t *cache_head(const KvCache *c, int64_t layer, int64_t head) {
    return c->data + (size_t)((layer * c->kv_heads + head) * c->slots * c->blocks) * (size_t)c->page_bytes;
}
static inline int32_t *cache_pages(const KvCache *c, int64_t slot) { return c->page + slot * c->blocks; }

/* A step of up to so many rows is dealt to the workers in equal shares, by cost; one of more is taken in chunks. */
enum { STATIC_ROWS = 8 };

/* Where workers that share a row of one key/value head leave the parts of its blocks: in steps of up to STATIC_ROWS
 * rows. See attention.c. */
typedef struct Parts {
    float *data;      /* [row][query head][block] of attention_part(1, channels) floats */
    size_t bytes;
    atomic_int *done; /* [row][query head]: units that are done of the heads from here on, 0 between steps */
} Parts;

/* Of cache_update and attention. */
typedef struct CacheBinding {
    KvCache *cache;
    int64_t layer;    /* of the cache: its number among the caches                   */
    Parts *parts;     /* of attention, where workers may share rows, else NULL       */
} CacheBinding;

typedef struct AttentionAttributes {
    int64_t window;   /* sliding window with the row itself, 0: it sees all before it */
} AttentionAttributes;

struct Lower;
/* attention_train.c: of programs that train, whose rows attend to each other. */
void attention_train_stablehlo(struct Lower *l, const Node *n);
void attention_backward_stablehlo(struct Lower *l, const Node *n);

/* What gives input i of a cache_update, keys (0) or values (1): a linear with a bias, of a normed value. rope: of
 * keys. */
typedef struct CacheSource { Tensor weight, bias, gain; const Rope *rope; } CacheSource;
bool cache_source(const Graph *g, const Node *update, int i, CacheSource *out); /* false: something else */
#endif
