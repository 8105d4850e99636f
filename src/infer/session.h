/* session.h: within the library: what sessions share. A cache has the same bits however it came about, so prompts that
 * begin alike are fed once: the others copy it, or go on from what a session still holds. */
#ifndef SESSION_H
#define SESSION_H
#include "../base/base.h"

enum { SHARED_LEAST = 16 }; /* ids: a shorter beginning is fed faster than it is copied */

/* The number of an adapter that requests choose, by its name; 0 without a name; -1 and an error: there is none. */
int session_adapter(const QmEngine *engine, const char *name, Err *err);
/* False where rotary frequencies depend on the length of the whole: keys are then of their own sequence only. */
bool session_shares(const QmSession *session);
/* Ids at the start of a prompt that are in the session's cache, the last one excepted, whose logits are wanted. */
int64_t session_holds(const QmSession *session, const int32_t *ids, int64_t count);
/* Copies the longest beginning of a prompt that one of the sources has in its cache, if it is longer than what `to` has
 * by SHARED_LEAST. The length of `to` says how much it has then. */
bool session_borrow(QmSession *to, const int32_t *ids, int64_t count, QmSession *const *sources, int source_count,
                    Err *err);
#endif
