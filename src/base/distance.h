/* distance.h: how far apart two names are, to find the one that was meant. */
#ifndef DISTANCE_H
#define DISTANCE_H

/* Insertions, deletions, changes and swaps of neighbours between two names; more than `most` is most + 1, and so is any
 * distance from a name longer than 64 bytes. */
int text_distance(const char *a, const char *b, int most);
#endif
