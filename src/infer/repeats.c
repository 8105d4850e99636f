/* repeats.c: the Z function (Gusfield 1997) of a sequence read from its end. */
#include "repeats.h"

void repeats_of_end(const int32_t *ids, int64_t count, int32_t *length) {
    const int32_t *last = ids + count - 1; /* id i of the reversed sequence is last[-i] */
    int64_t left = 0, right = 0;           /* reversed: [left, right) equals the beginning, right as far as known */
    if (count > 0) length[0] = 0;
    for (int64_t i = 1; i < count; i++) {
        int64_t n = 0;
        if (i < right) {
            int64_t known = i - left == 0 ? right - i : length[count - (i - left)];
            n = known < right - i ? known : right - i;
        }
        while (i + n < count && last[-n] == last[-(i + n)]) n++;
        if (i + n > right) left = i, right = i + n;
        length[count - i] = (int32_t)n;
    }
}
