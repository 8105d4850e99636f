/* prefix.c: shared beginnings of prompts. */
#include "prefix.h"
#include "engine.h"

int64_t prefix_shared(const QmEngine *e, const int32_t *ids, int64_t count, const int32_t *other, int64_t other_count) {
    int64_t most = count - 1 < other_count ? count - 1 : other_count, n = 0;
    if (e->config.rope.type == ROPE_DYNAMIC || e->config.rope.type == ROPE_LONGROPE || !e->backend->copy) return 0;
    while (n < most && ids[n] == other[n]) n++;
    return n < PREFIX_LEAST ? 0 : n;
}

bool prefix_reuse(QmEngine *e, QmSession *to, const int32_t *ids, int64_t count, const PrefixSource *sources,
                  int source_count, Err *err) {
    int64_t most = 0;
    const QmSession *best = NULL;
    for (int i = 0; i < source_count; i++) {
        int64_t held = sources[i].session->length < sources[i].count ? sources[i].session->length : sources[i].count;
        int64_t n = prefix_shared(e, ids, count, sources[i].ids, held);
        if (n > most) most = n, best = sources[i].session;
    }
    return !best || qm_session_copy(to, best, most, err);
}
