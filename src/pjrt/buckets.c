/* buckets.c: see buckets.h. */
#include "buckets.h"

int64_t bucket_slots(const Partition *p, int64_t slots) { return (slots + p->mesh.dp - 1) / p->mesh.dp; }

int64_t bucket_positions(int64_t context) { return (context + 1 + 63) / 64 * 64; }

int bucket_list(int64_t slots, int64_t rows, Bucket list[MAX_BUCKETS]) {
    int count = 0;
    list[count++] = (Bucket){.slots = slots, .rows = 1, .logit_rows = slots, .all_logits = true};
    for (int all = 0; all < 2; all++) {
        if (rows > PREFILL_SMALL)
            list[count++] = (Bucket){1, PREFILL_SMALL, all ? PREFILL_SMALL : 1, all};
        if (rows > 1) list[count++] = (Bucket){1, rows, all ? rows : 1, all};
    }
    return count;
}

int bucket_prefill(const Bucket *list, int count, int64_t rows, bool all) {
    for (int i = 1; i < count; i++)
        if (list[i].all_logits == all && list[i].rows >= rows) return i;
    return count - 1;
}

void bucket_name(const Bucket *b, char *out, size_t size) {
    snprintf(out, size, "%s %lldx%lld%s", b->rows == 1 ? "decode" : "prefill", (long long)b->slots, (long long)b->rows,
             b->rows > 1 && b->all_logits ? " all logits" : "");
}
