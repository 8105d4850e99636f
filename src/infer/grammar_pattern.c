/* grammar_pattern.c: a pattern of a JSON schema as an automaton: the expression that grammar_text.c reads becomes a
 * graph of places, and the sets of places that one text can reach become states. ^ is a way that is open before the
 * first character only, $ one that is open after the last. */
#include <stdlib.h>
#include <string.h>
#include "grammar_build.h"

enum { LAST_CODE = 0x10FFFF, MAX_PLACES = 1 << 17 };

typedef enum PlaceKind { PLACE_DONE, PLACE_CLASS, PLACE_FORK, PLACE_BEGIN, PLACE_END } PlaceKind;
typedef struct Place {
    PlaceKind kind;
    int32_t next, other, first, count;
} Place; /* other: fork; first, count: ranges */

typedef struct Places {
    AutomatonShop *shop;
    Builder *b;
    Place *place;
    size_t places, room;
    AutomatonDraft draft;
    struct Set { const int32_t *place; int32_t count, chain; } *set; /* of a state, sorted */
    size_t set_room;
    int32_t *bucket, *todo, *found;
    uint32_t *mark, round;                                       /* mark[place] == round: is in `found` */
    int32_t founds;
} Places;
enum { SET_BUCKETS = 1 << 12 };

static int32_t place_new(Places *p, Place place) {
    if (p->places == MAX_PLACES || ++p->shop->work > MAX_AUTOMATON_WORK)
        return err_as(p->shop->err, QM_LIMIT, "grammar: pattern too large after repetitions are written out"), -1;
    if (!mem_grow((void **)&p->place, &p->room, p->places + 1, sizeof *p->place, "pattern", p->shop->err)) return -1;
    p->place[p->places] = place;
    return (int32_t)p->places++;
}
static int32_t place_fork(Places *p, int32_t one, int32_t other) {
    return one < 0 || other < 0 ? -1 : place_new(p, (Place){.kind = PLACE_FORK, .next = one, .other = other});
}

static int32_t places_of(Places *p, int expr, int32_t next);

static int32_t places_repeat(Places *p, const Expr *e, int32_t next) {
    int32_t way = next;
    if (e->most < 0) {
        int32_t loop = place_new(p, (Place){.kind = PLACE_FORK, .other = next});
        int32_t body = loop < 0 ? -1 : places_of(p, e->a, loop);
        if (body < 0) return -1;
        p->place[loop].next = body;
        way = loop;
    }
    for (int64_t i = e->least; i < e->most && way >= 0; i++) way = place_fork(p, places_of(p, e->a, way), next);
    for (int64_t i = 0; i < e->least && way >= 0; i++) way = places_of(p, e->a, way);
    return way;
}

/* From the right, as grammar_expand does; lists lean to the left. */
static int32_t places_of(Places *p, int expr, int32_t next) {
    const Expr *all = p->b->expr;
    int32_t other = -2;
    if (++p->shop->work > MAX_AUTOMATON_WORK) return place_new(p, (Place){0});
    for (; next >= 0 && all[expr].kind == EXPR_OR; expr = all[expr].a) {
        int32_t one = places_of(p, all[expr].b, next);
        other = other == -2 ? one : place_fork(p, one, other);
        if (other == -1) return -1;
    }
    for (; next >= 0 && all[expr].kind == EXPR_THEN; expr = all[expr].a) next = places_of(p, all[expr].b, next);
    if (next < 0) return -1;
    const Expr *e = &all[expr];
    int32_t way = next;
    switch (e->kind) {
    case EXPR_OR: way = places_of(p, expr, next); break;
    case EXPR_REPEAT: way = places_repeat(p, e, next); break;
    case EXPR_CLASS: way = place_new(p, (Place){PLACE_CLASS, next, 0, e->a, e->b}); break;
    case EXPR_BEGIN: way = place_new(p, (Place){.kind = PLACE_BEGIN, .next = next}); break;
    case EXPR_END: way = place_new(p, (Place){.kind = PLACE_END, .next = next}); break;
    default: break; /* the empty text */
    }
    return other == -2 ? way : place_fork(p, way, other);
}

/* Adds what can be reached from a place without a character. */
static void reach(Places *p, int32_t from, bool begin, bool end) {
    int32_t top = 0;
    p->todo[top++] = from;
    while (top) {
        int32_t at = p->todo[--top];
        const Place *n = &p->place[at];
        if (p->mark[at] == p->round) continue;
        p->mark[at] = p->round;
        p->shop->work++;
        if (n->kind == PLACE_FORK) p->todo[top++] = n->other, p->todo[top++] = n->next;
        else if ((n->kind == PLACE_BEGIN && begin) || (n->kind == PLACE_END && end)) p->todo[top++] = n->next;
        else if (n->kind != PLACE_BEGIN) p->found[p->founds++] = at;
    }
}

static void reach_start(Places *p) { p->round++, p->founds = 0; }

static int place_order(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* Whether the text may end here: through $, and through ^ where nothing has been read. */
static bool set_accepts(Places *p, const int32_t *set, int32_t count, bool first) {
    bool done = false;
    reach_start(p);
    for (int32_t i = 0; i < count; i++) {
        if (p->place[set[i]].kind == PLACE_DONE) return true;
        if (p->place[set[i]].kind == PLACE_END) reach(p, set[i], first, true);
    }
    for (int32_t i = 0; i < p->founds; i++) done |= p->place[p->found[i]].kind == PLACE_DONE;
    return done;
}

/* The state of the places found; the first one is like no other, as only there ^ was open. */
static int32_t state_of_found(Places *p) {
    int32_t count = p->founds;
    if (count == 0) return -1;
    qsort(p->found, (size_t)count, sizeof *p->found, place_order);
    uint32_t hash = (uint32_t)count;
    for (int32_t i = 0; i < count; i++) hash = (hash ^ (uint32_t)p->found[i]) * 0x9e3779b1u;
    int32_t *bucket = &p->bucket[hash >> 20];
    size_t bytes = (size_t)count * sizeof *p->found;
    for (int32_t i = *bucket; i >= 0; i = p->set[i].chain)
        if (p->set[i].count == count && !memcmp(p->set[i].place, p->found, bytes)) return i;
    int32_t *copy = mem_new((size_t)count, sizeof *copy, "pattern", p->shop->err);
    bool first = p->draft.states == 0;
    int32_t state = copy ? draft_state(p->shop, &p->draft, false) : -1;
    if (state < 0 ||
        !mem_grow((void **)&p->set, &p->set_room, (size_t)state + 1, sizeof *p->set, "pattern", p->shop->err))
        return free(copy), -1;
    memcpy(copy, p->found, bytes);
    p->set[state] = (struct Set){copy, count, first ? -1 : *bucket};
    if (!first) *bucket = state;
    p->draft.state[state].accepts = set_accepts(p, copy, count, first);
    return state;
}

static int code_order(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The edges of a state: between two neighbours of all ends of ranges the same places are reached. */
static bool set_edges(Places *p, int32_t state) {
    struct Set set = p->set[state];
    size_t ends = 0, room = 0;
    int32_t *end = NULL;
    for (int32_t i = 0; i < set.count && !p->shop->err->kind; i++) {
        const Place *n = &p->place[set.place[i]];
        if (n->kind != PLACE_CLASS) continue;
        if (!mem_grow((void **)&end, &room, ends + 2 * (size_t)n->count + 1, sizeof *end, "pattern", p->shop->err))
            break;
        for (int32_t k = n->first; k < n->first + n->count; k++)
            end[ends++] = p->b->range[k].low, end[ends++] = p->b->range[k].high + 1;
    }
    if (ends) qsort(end, ends, sizeof *end, code_order);
    bool ok = !p->shop->err->kind;
    for (size_t i = 0; ok && i + 1 < ends; i++) {
        int32_t low = end[i], high = end[i + 1] - 1;
        if (low > high) continue;
        reach_start(p);
        for (int32_t k = 0; k < set.count; k++) {
            const Place *n = &p->place[set.place[k]];
            p->shop->work++;
            if (n->kind != PLACE_CLASS) continue;
            for (int32_t r = n->first; r < n->first + n->count; r++)
                if (p->b->range[r].low <= low && high <= p->b->range[r].high) {
                    reach(p, n->next, false, false);
                    break;
                }
        }
        int32_t to = state_of_found(p);
        ok = !p->shop->err->kind && (to < 0 || draft_edge(p->shop, &p->draft, state, low, high, to));
        if (p->shop->work > MAX_AUTOMATON_WORK)
            ok = err_as(p->shop->err, QM_LIMIT, "grammar: patterns, lengths and bounds are too large together");
    }
    free(end);
    return ok;
}

/* The texts in which the expression is found. */
static const Automaton *automaton_found(AutomatonShop *s, Builder *b, int expr) {
    Places p = {.shop = s, .b = b};
    int any = builder_repeat(b, builder_class(b, NULL, 0, true), 0, -1);
    int all = builder_then(b, builder_then(b, any, expr), any);
    int32_t done = all < 0 ? -1 : place_new(&p, (Place){.kind = PLACE_DONE});
    int32_t start = done < 0 ? -1 : places_of(&p, all, done);
    bool ok = start >= 0 && !s->err->kind;
    if (ok) {
        p.bucket = mem_new(SET_BUCKETS, sizeof *p.bucket, "pattern", s->err);
        p.todo = mem_new(2 * p.places + 2, sizeof *p.todo, "pattern", s->err);
        p.found = mem_new(p.places, sizeof *p.found, "pattern", s->err);
        p.mark = mem_new(p.places, sizeof *p.mark, "pattern", s->err);
        ok = p.bucket && p.todo && p.found && p.mark;
    }
    if (ok) {
        memset(p.bucket, 0xFF, SET_BUCKETS * sizeof *p.bucket);
        reach_start(&p);
        reach(&p, start, true, false);
        ok = state_of_found(&p) == 0;
        for (size_t i = 0; ok && i < p.draft.states; i++) ok = set_edges(&p, (int32_t)i);
    }
    for (size_t i = 0; i < p.draft.states && p.set; i++) free((void *)(uintptr_t)p.set[i].place);
    free(p.place), free(p.set), free(p.bucket), free(p.todo), free(p.found), free(p.mark);
    return draft_finish(s, &p.draft);
}

/* ---- Look-ahead at the beginning --------------------------------------------------------------------------------- */

/* The bytes up to the bracket that closes the one before `text`; `bytes` when none does. */
static size_t group_end(const char *text, size_t bytes) {
    bool inside = false; /* of a class */
    for (size_t i = 0, depth = 0; i < bytes; i++) {
        if (text[i] == '\\') i++;
        else if (inside) inside = text[i] != ']';
        else if (text[i] == '[') inside = true;
        else if (text[i] == '(') depth++;
        else if (text[i] == ')' && depth-- == 0) return i;
    }
    return bytes;
}

static const Automaton *plain_pattern(AutomatonShop *s, const char *before, const char *text, size_t bytes,
                                      const char *after) {
    Text whole = {0};
    text_line(&whole, "%s", before);
    text_add(&whole, text, bytes);
    text_line(&whole, "%s", after);
    Builder *b = text_ok(&whole, "pattern", s->err) ? builder_new(s->err) : NULL;
    int expr = b ? builder_pattern(b, whole.data, whole.bytes) : -1;
    const Automaton *a = expr < 0 ? NULL : automaton_found(s, b, expr);
    if (b) builder_free(b);
    text_free(&whole);
    return a;
}

/* ^(?!A)(?=B)C: what ^C finds, and ^(?:B), and not ^(?:A). */
const Automaton *automaton_pattern(AutomatonShop *s, const char *pattern, size_t bytes) {
    const Automaton *all = NULL;
    bool first = true, start = bytes > 0 && pattern[0] == '^';
    size_t at = start;
    while (start && bytes - at > 3 && pattern[at] == '(' && pattern[at + 1] == '?' &&
           (pattern[at + 2] == '!' || pattern[at + 2] == '=') && !s->err->kind) {
        size_t from = at + 3, length = group_end(pattern + from, bytes - from);
        if (from + length == bytes) break;
        if (first) all = automaton_any(s), first = false;
        const Automaton *ahead = plain_pattern(s, "^(?:", pattern + from, length, ")");
        all = pattern[at + 2] == '!' ? automaton_without(s, all, ahead) : automaton_both(s, all, ahead);
        at = from + length + 1;
    }
    if (first) return plain_pattern(s, "", pattern, bytes, "");
    /* alternatives beside what is ahead of the first one only: not taken apart */
    for (size_t i = at, depth = 0, inside = 0; i < bytes; i++) {
        if (pattern[i] == '\\') i++;
        else if (inside) inside = pattern[i] != ']';
        else if (pattern[i] == '[') inside = 1;
        else if (pattern[i] == '(') depth++;
        else if (pattern[i] == ')' && depth) depth--;
        else if (pattern[i] == '|' && depth == 0)
            return err_set(s->err, "grammar: look-ahead beside alternatives: put them into (?:...)"), NULL;
    }
    return automaton_both(s, all, plain_pattern(s, "^", pattern + at, bytes - at, ""));
}
