/* matchers.c: see matchers.h. */
#include "matchers.h"

Matcher *matchers_take(Matchers *m, const Grammar *grammar) {
    for (int i = 0; i < MATCHERS_KEPT; i++) {
        Matcher *found = m->kept[i].matcher;
        if (!found || matcher_grammar(found) != grammar) continue;
        m->kept[i].matcher = NULL;
        return found;
    }
    return NULL;
}

void matchers_give(Matchers *m, Matcher *matcher) {
    struct KeptMatcher *to = m->kept;
    if (!matcher || !matcher_reusable(matcher)) {
        matcher_release(matcher);
        return;
    }
    for (int i = 0; i < MATCHERS_KEPT && to->matcher; i++)
        if (!m->kept[i].matcher || m->kept[i].given < to->given) to = &m->kept[i];
    matcher_release(to->matcher);
    *to = (struct KeptMatcher){matcher, ++m->given};
}

void matchers_free(Matchers *m) {
    for (int i = 0; i < MATCHERS_KEPT; i++) matcher_release(m->kept[i].matcher);
    *m = (Matchers){0};
}
