/* repeats.h: where the end of a sequence has stood before, in linear time. */
#ifndef REPEATS_H
#define REPEATS_H
#include <stdint.h>

/* length[j], for j in 1 .. count - 1: how many ids before place j are the same as the last of all `count`, at most j.
 * length[0] is 0. `length`: [count]. O(count), whatever repeats. */
void repeats_of_end(const int32_t *ids, int64_t count, int32_t *length);
#endif
