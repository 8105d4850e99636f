/* share.h: how the work of a phase is cut: into a share for every worker, equal in cost, and a share into parts. Items
 * lie one after another from `at` on, and each of their units takes `each`, a whole number of at least 1, so that where
 * a unit begins is exact. */
#ifndef SHARE_H
#define SHARE_H
#include <stdint.h>

/* A worker's share [begin, end) and a part [from, to) of it. The first part has no lower bound, the last no upper one
 * but the end of the phase: the share bounds them. */
typedef struct SharePart { double begin, end, from, to; } SharePart;

/* Part n of `parts` of share `share` of `shares`. */
static inline SharePart share_part(double cost, int shares, int share, int parts, int64_t n) {
    SharePart p = {.begin = cost * share / shares, .end = share + 1 < shares ? cost * (share + 1) / shares : cost};
    double part = (p.end - p.begin) / parts;
    p.from = n ? p.begin + (double)n * part : 0;
    p.to = n + 1 < parts ? p.begin + (double)(n + 1) * part : cost;
    return p;
}

/* The units [*first, *last) of an item that lie in [from, to): a unit belongs to where it begins. */
static inline void share_units(double at, double each, int64_t units, double from, double to, int64_t *first,
                               int64_t *last) {
    int64_t a = from <= at ? 0 : (int64_t)((from - at) / each), guess = (int64_t)((to - at) / each) - 1;
    while (a < units && at + (double)a * each < from) a++;
    int64_t b = guess > a ? (guess < units ? guess : units) : a;
    while (b < units && at + (double)b * each < to) b++;
    *first = a;
    *last = b;
}

/* Those of a part. `together` units are in one part or in none; they are counted from where the share begins in the
 * item, so that shares stay equal to a unit. */
static inline void share_part_units(const SharePart *p, double at, double each, int64_t units, int together,
                                    int64_t *first, int64_t *last) {
    int64_t mine, end, a, b;
    share_units(at, each, units, p->begin, p->end, &mine, &end);
    share_units(at + (double)mine * each, each * together, (end - mine + together - 1) / together, p->from, p->to, &a,
                &b);
    *first = mine + a * together;
    *last = mine + b * together < end ? mine + b * together : end;
}
#endif
