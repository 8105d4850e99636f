/* prefix.h: prompts that begin alike are fed once: the others copy the cache. Exact: a cache has the same bits however
 * it came about. */
#ifndef PREFIX_H
#define PREFIX_H
#include "../base/base.h"

enum { PREFIX_LEAST = 16 }; /* ids: a shorter prefix is fed faster than it is looked for */

/* A session and the ids that its cache is of; more ids may follow. */
typedef struct PrefixSource { const QmSession *session; const int32_t *ids; int64_t count; } PrefixSource;

/* Ids that a prompt could take over from another, the last one excepted, whose logits are wanted; 0 if too few, or if
 * the model's rotary frequencies depend on the length of the whole. */
int64_t prefix_shared(const QmEngine *engine, const int32_t *ids, int64_t count, const int32_t *other,
                      int64_t other_count);

/* Copies the longest shared prefix that a source has in its cache. The length of `to` says how much that was. */
bool prefix_reuse(QmEngine *engine, QmSession *to, const int32_t *ids, int64_t count, const PrefixSource *sources,
                  int source_count, Err *err);
#endif
