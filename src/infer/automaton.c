/* automaton.c: automata are drafted with edges as they are found, then trimmed into their final form. */
#include "automaton.h"
#include <stdlib.h>
#include <string.h>
#include "../text/unicode.h"

enum { LAST_CODE = 0x10FFFF, DEAD = -1 };

static bool spend(AutomatonShop *s, int64_t work) {
    if (s->err->kind) return false;
    return (s->work += work) <= MAX_AUTOMATON_WORK ||
           err_as(s->err, QM_LIMIT, "grammar: patterns, lengths and bounds are too large together");
}

/* ---- Drafts ------------------------------------------------------------------------------------------------------ */

int32_t draft_state(AutomatonShop *s, AutomatonDraft *d, bool accepts) {
    if (d->states == MAX_AUTOMATON_STATES) {
        err_as(s->err, QM_LIMIT, "grammar: expected at most %d states of a string", MAX_AUTOMATON_STATES);
        return DEAD;
    }
    if (!spend(s, 1) ||
        !mem_grow((void **)&d->state, &d->state_room, d->states + 1, sizeof *d->state, "automaton", s->err))
        return DEAD;
    d->state[d->states] = (struct DraftState){-1, accepts};
    return (int32_t)d->states++;
}

bool draft_edge(AutomatonShop *s, AutomatonDraft *d, int32_t from, int32_t low, int32_t high, int32_t to) {
    if (from < 0 || to < 0 || !spend(s, 1)) return false;
    int32_t last = d->state[from].last;
    if (last >= 0 && d->edge[last].to == to && d->edge[last].high + 1 == low) return d->edge[last].high = high, true;
    if (!mem_grow((void **)&d->edge, &d->edge_room, d->edges + 1, sizeof *d->edge, "automaton", s->err)) return false;
    d->edge[d->edges] = (struct DraftEdge){low, high, to, last};
    d->state[from].last = (int32_t)d->edges++;
    return true;
}

/* live[state]: an accepting state can be reached. Backwards along the edges, sorted by where they lead. */
static void mark_live(const AutomatonDraft *d, int32_t *first, int32_t *from, uint8_t *live, int32_t *stack) {
    size_t top = 0;
    for (size_t i = 0; i < d->edges; i++) first[d->edge[i].to + 1]++;
    for (size_t i = 0; i < d->states; i++) first[i + 1] += first[i];
    for (size_t i = d->states; i-- > 0;)
        for (int32_t e = d->state[i].last; e >= 0; e = d->edge[e].next) from[--first[d->edge[e].to + 1]] = (int32_t)i;
    for (size_t i = 0; i < d->states; i++)
        if (d->state[i].accepts) live[i] = 1, stack[top++] = (int32_t)i;
    while (top) {
        int32_t at = stack[--top], end = at + 2 <= (int32_t)d->states ? first[at + 2] : (int32_t)d->edges;
        for (int32_t k = first[at + 1]; k < end; k++)
            if (!live[from[k]]) live[from[k]] = 1, stack[top++] = from[k];
    }
}

/* Numbers the live states in the order in which they are reached from the start. */
static int32_t number_states(const AutomatonDraft *d, const uint8_t *live, int32_t *number, int32_t *order) {
    int32_t count = 0;
    for (size_t i = 0; i < d->states; i++) number[i] = DEAD;
    if (d->states && live[0]) number[0] = 0, order[count++] = 0;
    for (int32_t i = 0; i < count; i++)
        for (int32_t e = d->state[order[i]].last; e >= 0; e = d->edge[e].next) {
            int32_t to = d->edge[e].to;
            if (live[to] && number[to] == DEAD) number[to] = count, order[count++] = to;
        }
    return count;
}

static const Edge *copy_edges(AutomatonShop *s, const AutomatonDraft *d, int32_t state, const int32_t *number,
                              int32_t *count) {
    int32_t n = 0;
    for (int32_t e = d->state[state].last; e >= 0; e = d->edge[e].next) n += number[d->edge[e].to] != DEAD;
    Edge *copy = arena_new(&s->arena, (size_t)n + 1, sizeof *copy, "automaton", s->err);
    *count = n;
    if (!copy) return NULL;
    for (int32_t e = d->state[state].last; e >= 0; e = d->edge[e].next) { /* from the last to the first */
        const struct DraftEdge *from = &d->edge[e];
        if (number[from->to] != DEAD) copy[--n] = (Edge){from->low, from->high, number[from->to]};
    }
    return copy;
}

const Automaton *draft_finish(AutomatonShop *s, AutomatonDraft *d) {
    size_t n = d->states + 3;
    int32_t *first = mem_new(n, sizeof *first, "automaton", s->err),
            *number = mem_new(n, sizeof *number, "automaton", s->err);
    int32_t *order = mem_new(n, sizeof *order, "automaton", s->err);
    int32_t *from = mem_new(d->edges + 1, sizeof *from, "automaton", s->err);
    uint8_t *live = mem_new(n, 1, "automaton", s->err);
    Automaton *a = NULL;
    if (first && number && order && from && live && spend(s, (int64_t)(d->states + d->edges))) {
        mark_live(d, first, from, live, order);
        int32_t count = number_states(d, live, number, order);
        size_t room = (size_t)count + 1;
        a = arena_new(&s->arena, 1, sizeof *a, "automaton", s->err);
        const Edge **edge = arena_new(&s->arena, room, sizeof *edge, "automaton", s->err);
        int32_t *edges = arena_new(&s->arena, room, sizeof *edges, "automaton", s->err);
        uint8_t *accepts = arena_new(&s->arena, room, 1, "automaton", s->err);
        for (int32_t i = 0; i < count && a && edge && edges && accepts; i++) {
            accepts[i] = d->state[order[i]].accepts;
            edge[i] = copy_edges(s, d, order[i], number, &edges[i]);
        }
        if (a) *a = (Automaton){count, edge, edges, accepts};
    }
    free(first), free(number), free(order), free(from), free(live), free(d->edge), free(d->state);
    *d = (AutomatonDraft){0};
    return s->err->kind ? NULL : a;
}

/* ---- Simple ones ------------------------------------------------------------------------------------------------- */

const Automaton *automaton_length(AutomatonShop *s, int64_t least, int64_t most) {
    AutomatonDraft d = {0};
    int64_t count = most < 0 ? least : most;
    if (count >= MAX_AUTOMATON_STATES)
        return err_set(s->err, "grammar: expected a length below %d beside other conditions", MAX_AUTOMATON_STATES),
               NULL;
    for (int64_t i = 0; i <= count; i++) draft_state(s, &d, i >= least);
    for (int64_t i = 0; i < count && !s->err->kind; i++) draft_edge(s, &d, (int32_t)i, 0, LAST_CODE, (int32_t)i + 1);
    if (most < 0 && !s->err->kind) draft_edge(s, &d, (int32_t)count, 0, LAST_CODE, (int32_t)count);
    return draft_finish(s, &d);
}

const Automaton *automaton_any(AutomatonShop *s) { return automaton_length(s, 0, -1); }

typedef struct Word { const char *text; size_t bytes; } Word;

static int word_order(const void *x, const void *y) {
    const Word *a = x, *b = y;
    int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Sorted words, each from where it parts with the one before: UTF-8 sorts as code points do. */
static bool add_word(AutomatonShop *s, AutomatonDraft *d, Word w, const Word *before, int32_t *path) {
    const uint8_t *text = (const uint8_t *)w.text, *end = text + w.bytes;
    size_t common = 0;
    int64_t depth = 0;
    if (before)
        while (common < w.bytes && common < before->bytes && w.text[common] == before->text[common]) common++;
    while (common < w.bytes && common > 0 && (text[common] & 0xC0) == 0x80) common--; /* whole characters */
    for (size_t i = 0; i < common; i++) depth += (text[i] & 0xC0) != 0x80;
    for (const uint8_t *p = text + common; p < end; depth++) {
        int32_t code;
        p += utf8_read_valid(p, &code);
        path[depth + 1] = draft_state(s, d, false);
        if (!draft_edge(s, d, path[depth], code, code, path[depth + 1])) return false;
    }
    d->state[path[depth]].accepts = 1;
    return true;
}

const Automaton *automaton_words(AutomatonShop *s, const char *const *words, const size_t *bytes, size_t count) {
    AutomatonDraft d = {0};
    size_t longest = 0;
    Word *word = mem_new(count + 1, sizeof *word, "words", s->err);
    for (size_t i = 0; word && i < count; i++) {
        word[i] = (Word){words[i], bytes[i]};
        if (bytes[i] > longest) longest = bytes[i];
    }
    int32_t *path = word ? mem_new(longest + 2, sizeof *path, "words", s->err) : NULL;
    bool ok = path && (path[0] = draft_state(s, &d, false)) == 0;
    if (ok) qsort(word, count, sizeof *word, word_order);
    for (size_t i = 0; ok && i < count; i++) ok = add_word(s, &d, word[i], i ? &word[i - 1] : NULL, path);
    free(word), free(path);
    return draft_finish(s, &d);
}

/* ---- Two into one ------------------------------------------------------------------------------------------------ */

typedef enum Joining { BOTH, EITHER, WITHOUT } Joining;
typedef struct Pairs {
    AutomatonShop *shop;
    AutomatonDraft draft;
    Joining how;
    const Automaton *a, *b;
    struct Pair { int32_t a, b, chain; } *pair; /* DEAD: that side reads no further */
    size_t room;
    int32_t *bucket;
} Pairs;
enum { PAIR_BUCKETS = 1 << 12 };

static bool accepts(const Automaton *a, int32_t state) { return state >= 0 && a->accepts[state]; }

/* The state for a pair, made if it is new; DEAD when nothing can come of it, -2 on error. */
static int32_t pair_state(Pairs *p, int32_t a, int32_t b) {
    if (a < 0 && (b < 0 || p->how != EITHER)) return DEAD;
    if (b < 0 && p->how == BOTH) return DEAD;
    int32_t *bucket = &p->bucket[((uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca6bu) >> 20];
    for (int32_t i = *bucket; i >= 0; i = p->pair[i].chain)
        if (p->pair[i].a == a && p->pair[i].b == b) return i;
    bool one = accepts(p->a, a), other = accepts(p->b, b);
    int32_t state = draft_state(p->shop, &p->draft,
                                p->how == BOTH ? one && other : p->how == EITHER ? one || other : one && !other);
    if (state < 0 ||
        !mem_grow((void **)&p->pair, &p->room, (size_t)state + 1, sizeof *p->pair, "automaton", p->shop->err))
        return -2;
    p->pair[state] = (struct Pair){a, b, *bucket};
    return *bucket = state;
}

/* Where edge number *at (moved along) leads from `code` on, and up to which code. */
static int32_t edge_at(const Automaton *a, int32_t state, int32_t *at, int32_t code, int32_t *until) {
    if (state < 0) return DEAD;
    const Edge *e = a->edge[state];
    while (*at < a->edges[state] && e[*at].high < code) ++*at;
    if (*at == a->edges[state]) return DEAD;
    int32_t end = e[*at].low > code ? e[*at].low - 1 : e[*at].high;
    if (end < *until) *until = end;
    return e[*at].low > code ? DEAD : e[*at].to;
}

static const Automaton *joined(AutomatonShop *s, const Automaton *a, const Automaton *b, Joining how) {
    if (!a || !b || s->err->kind) return NULL;
    Pairs p = {.shop = s, .how = how, .a = a, .b = b};
    bool ok = (p.bucket = mem_new(PAIR_BUCKETS, sizeof *p.bucket, "automaton", s->err)) != NULL;
    if (ok) memset(p.bucket, 0xFF, PAIR_BUCKETS * sizeof *p.bucket);
    ok = ok && pair_state(&p, a->states ? 0 : DEAD, b->states ? 0 : DEAD) != -2;
    for (size_t i = 0; ok && i < p.draft.states; i++) {
        struct Pair from = p.pair[i];
        int32_t at = 0, bt = 0;
        for (int32_t code = 0, until; ok && code <= LAST_CODE; code = until + 1) {
            until = LAST_CODE;
            int32_t x = edge_at(a, from.a, &at, code, &until), y = edge_at(b, from.b, &bt, code, &until);
            int32_t to = pair_state(&p, x, y);
            ok = to != -2 && spend(s, 1) && (to < 0 || draft_edge(s, &p.draft, (int32_t)i, code, until, to));
        }
    }
    free(p.pair), free(p.bucket);
    return draft_finish(s, &p.draft);
}

const Automaton *automaton_both(AutomatonShop *s, const Automaton *a, const Automaton *b) {
    return joined(s, a, b, BOTH);
}
const Automaton *automaton_either(AutomatonShop *s, const Automaton *a, const Automaton *b) {
    return joined(s, a, b, EITHER);
}
const Automaton *automaton_without(AutomatonShop *s, const Automaton *a, const Automaton *b) {
    return joined(s, a, b, WITHOUT);
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

bool automaton_takes(const Automaton *a, const char *text, size_t bytes) {
    const uint8_t *p = (const uint8_t *)text, *end = p + bytes;
    int32_t state = a->states ? 0 : DEAD, code;
    while (state >= 0 && p < end) {
        int32_t at = 0, until = LAST_CODE;
        p += utf8_read_valid(p, &code);
        state = edge_at(a, state, &at, code, &until);
    }
    return accepts(a, state);
}

bool automaton_lengths(AutomatonShop *s, const Automaton *a, int64_t *shortest, int64_t *longest) {
    if (!a || a->states == 0) return false;
    size_t n = (size_t)a->states;
    int32_t *in = mem_new(n, sizeof *in, "automaton", s->err), *queue = mem_new(n, sizeof *queue, "automaton", s->err);
    int32_t *near = mem_new(n, sizeof *near, "automaton", s->err), *far = mem_new(n, sizeof *far, "automaton", s->err);
    int32_t head = 0, tail = 0;
    bool ok = in && queue && near && far;
    *shortest = *longest = -1;
    for (size_t i = 0; ok && i < n; i++) near[i] = -1;
    if (ok) near[0] = 0, queue[tail++] = 0;
    while (head < tail) { /* breadth first */
        int32_t at = queue[head++];
        if (a->accepts[at] && *shortest < 0) *shortest = near[at];
        for (int32_t e = 0; e < a->edges[at]; e++) {
            int32_t to = a->edge[at][e].to;
            in[to]++;
            if (near[to] < 0) near[to] = near[at] + 1, queue[tail++] = to;
        }
    }
    head = tail = 0;
    if (ok && in[0] == 0) queue[tail++] = 0;
    while (head < tail) { /* every state after all those that lead to it: a circle is never reached */
        int32_t at = queue[head++];
        if (a->accepts[at] && far[at] > *longest) *longest = far[at];
        for (int32_t e = 0; e < a->edges[at]; e++) {
            int32_t to = a->edge[at][e].to;
            if (far[at] + 1 > far[to]) far[to] = far[at] + 1;
            if (--in[to] == 0) queue[tail++] = to;
        }
    }
    if (head < a->states) *longest = -1;
    free(in), free(queue), free(near), free(far);
    return ok;
}
