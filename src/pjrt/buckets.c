/* buckets.c: see buckets.h. */
#include "buckets.h"

int64_t bucket_slots(const Partition *p, int64_t slots) { return (slots + p->mesh.dp - 1) / p->mesh.dp; }

int64_t bucket_positions(int64_t context) { return (context + 1 + 63) / 64 * 64; }

/* The prefill buckets that look at `seen` positions. */
static int prefill_list(int64_t rows, int64_t seen, Bucket *list) {
    int count = 0;
    for (int all = 0; all < 2; all++) {
        if (rows > PREFILL_SMALL) list[count++] = (Bucket){1, PREFILL_SMALL, all ? PREFILL_SMALL : 1, all, seen};
        if (rows > 1 && (!seen || rows <= seen)) list[count++] = (Bucket){1, rows, all ? rows : 1, all, seen};
    }
    return count;
}

int bucket_list(int64_t slots, int64_t rows, int64_t positions, Bucket list[MAX_BUCKETS]) {
    int count = 0;
    list[count++] = (Bucket){.slots = slots, .rows = 1, .logit_rows = slots, .all_logits = true};
    count += prefill_list(rows, 0, list + count);
    for (int64_t seen = SEEN_LEAST; seen < positions && count + 4 <= MAX_BUCKETS; seen *= SEEN_GROWS)
        count += prefill_list(rows, seen, list + count);
    return count;
}

int bucket_prefill(const Bucket *list, int count, int64_t rows, int64_t end, bool all) {
    int best = 0;
    for (int i = 1; i < count; i++) {
        const Bucket *b = &list[i], *old = &list[best];
        if (b->all_logits != all || b->rows < rows || (b->seen && b->seen < end)) continue;
        if (!best || b->rows < old->rows || (b->rows == old->rows && b->seen && (!old->seen || b->seen < old->seen)))
            best = i;
    }
    return best;
}

void bucket_name(const Bucket *b, char *out, size_t size) {
    char seen[32] = "";
    if (b->seen) snprintf(seen, sizeof seen, " of %lld", (long long)b->seen);
    snprintf(out, size, "%s %lldx%lld%s%s", b->rows == 1 ? "decode" : "prefill", (long long)b->slots,
             (long long)b->rows, seen, b->rows > 1 && b->all_logits ? " all logits" : "");
}
