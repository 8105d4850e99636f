/* matchers.h: matchers of requests that have ended, kept for the next with the same grammar: its states and masks of
 * tokens have been found then. Of one scheduler: no locks. */
#ifndef MATCHERS_H
#define MATCHERS_H
#include "grammar.h"

enum { MATCHERS_KEPT = 8 };
typedef struct Matchers {
    struct KeptMatcher { Matcher *matcher; int64_t given; } kept[MATCHERS_KEPT];
    int64_t given; /* so far */
} Matchers;

/* One of that grammar, which is the caller's from now on; NULL: none is kept. */
Matcher *matchers_take(Matchers *m, const Grammar *grammar);
/* Takes over a matcher (or NULL), in the place of the one given longest ago. One that others use, that failed, or that
 * has grown large is let go. */
void matchers_give(Matchers *m, Matcher *matcher);
void matchers_free(Matchers *m);
#endif
