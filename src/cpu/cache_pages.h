/* cache_pages.h: which slot may write to which page of the key/value cache. A page of 64 positions is held by the slots
 * whose tables name it; a slot writes only to pages that it alone holds, and takes a copy of a shared one first. There
 * are as many pages as entries of tables, so that there is always one to take. */
#ifndef PAGES_H
#define PAGES_H
#include "../ops/call.h"

/* Room for slots of at least `positions`; memory is taken when written to. */
bool pages_new(KvCache *c, Err *err); /* type, layers, kv_heads, channels, slots and positions are set */
void pages_free(KvCache *c);
/* Makes the page of a block this slot's alone, and names it in its table. Returns the page that it was before, whose
 * contents the caller copies if it wants them; -1: none. */
int32_t pages_own(KvCache *c, int64_t slot, int64_t block);
/* Makes slot `to` hold the pages of the first `positions` of slot `from`. */
void pages_share(KvCache *c, int64_t from, int64_t to, int64_t positions);
#endif
