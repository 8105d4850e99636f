/* schema_array.c: items in order: first those that a schema speaks of by number, then the rest. With `contains` the
 * grammar counts the items that match. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

enum { MAX_CLAIMS = 256, MAX_CELLS = 1 << 14, MAX_LISTED = 256 };

/* ---- What an item must be ---------------------------------------------------------------------------------------- */

/* What one schema object says of an item; NULL: nothing. */
static const json_t *holder_item(const Holder *h, int64_t index) {
    const json_t *prefix = json_object_get(h->schema, "prefixItems"), *items = json_object_get(h->schema, "items");
    const json_t *rest = items;
    if (json_is_array(items)) prefix = items, rest = json_object_get(h->schema, "additionalItems");
    return index < (int64_t)json_array_size(prefix) ? json_array_get(prefix, (size_t)index) : rest;
}

Need *item_need(Schema *s, const Form *form, int64_t index) {
    Claim claim[MAX_CLAIMS];
    int n = 0;
    for (const Atom *a = form->atoms; a; a = a->next) {
        const json_t *item = a->kind == ATOM_ITEMS ? holder_item(a->holder, index) : NULL;
        bool looked = false;
        if (n > MAX_CLAIMS - 4) return schema_too_much(s, "too many schemas speak of one item"), NULL;
        if (item) claim[n++] = (Claim){item, false};
        if (a->kind == ATOM_EVERY || (a->kind == ATOM_ITEM && a->least == index)) claim[n++] = a->claim;
        if (a->kind != ATOM_OTHER_ITEMS) continue;
        for (const Atom *m = form->atoms; m && !looked; m = m->next) {
            if (m->kind == ATOM_ITEMS && is_within(m->holder, a->holder))
                looked = holder_item(m->holder, index) != NULL;
            if (m->kind == ATOM_OTHER_ITEMS && m->holder != a->holder) looked = is_within(m->holder, a->holder);
        }
        if (!looked) claim[n++] = a->claim;
    }
    return schema_need(s, claim, n);
}

static int64_t fixed_items(const Form *form) {
    int64_t fixed = 0;
    for (const Atom *a = form->atoms; a; a = a->next) {
        const json_t *items = a->kind == ATOM_ITEMS ? json_object_get(a->holder->schema, "items") : NULL;
        const json_t *prefix = a->kind == ATOM_ITEMS ? json_object_get(a->holder->schema, "prefixItems") : NULL;
        int64_t n = (int64_t)json_array_size(json_is_array(items) ? items : prefix);
        if (a->kind == ATOM_ITEM) n = a->least + 1;
        if (n > fixed) fixed = n;
    }
    return fixed;
}

/* Whether items after the fixed ones are written: if some schema speaks of them, or there are no fixed ones. */
static bool rest_open(const Form *form, int64_t fixed, int64_t least) {
    for (const Atom *a = form->atoms; a; a = a->next)
        if ((a->kind == ATOM_ITEMS && holder_item(a->holder, fixed)) || a->kind == ATOM_OTHER_ITEMS ||
            a->kind == ATOM_EVERY)
            return true;
    return fixed == 0 || least > fixed;
}

/* ---- The grammar ------------------------------------------------------------------------------------------------- */

typedef struct Items {
    const Form *form;
    int64_t fixed, least, most;
    bool open;
} Items;

static int item_expr(Schema *s, const Items *t, int64_t index) {
    Need *need = item_need(s, t->form, index);
    if (!need) return -1;
    for (int i = 0; i < need->claims; i++)
        if (json_is_false(need->claim[i].schema) && !need->claim[i].not) return builder_never(s->b);
    return need_expr(s, need);
}

/* What follows `done` items, when `next` is one more with its comma and what follows that. */
static int or_end(Schema *s, const Items *t, int64_t done, int next) {
    if (t->most >= 0 && done >= t->most) return done > t->most ? builder_never(s->b) : 0;
    return done >= t->least ? builder_or(s->b, next, 0) : next;
}

static int items_expr(Schema *s, const Items *t) {
    Builder *b = s->b;
    int64_t low = t->least > t->fixed ? t->least - t->fixed : 0, high = t->most < 0 ? -1 : t->most - t->fixed;
    int all = 0;
    if (t->most < 0 || high > 0) {
        int one = t->open ? item_expr(s, t, t->fixed) : builder_never(b);
        int next = builder_then(b, s->rule.comma, one);
        if (t->fixed) all = builder_repeat(b, next, low, high);
        else {
            int some = builder_then(b, one, builder_repeat(b, next, low ? low - 1 : 0, high < 0 ? -1 : high - 1));
            all = low ? some : builder_or(b, some, 0);
        }
    } else if (low) all = builder_never(b);
    for (int64_t i = t->fixed; i-- > 0 && all >= 0;)
        all = as_rule(s, or_end(s, t, i, then3(b, i ? s->rule.comma : 0, item_expr(s, t, i), all)));
    return all;
}

/* Items of which from `least` to `most` match: a rule for each number of items and of matches so far. The last number
 * of items stands for all from there on. */
typedef struct Counted { Items items; const Atom *contains; int64_t rows, columns; int *rule; } Counted;

static int counted_cell(Schema *s, const Counted *c, int64_t done, int64_t matched) {
    Builder *b = s->b;
    const Atom *want = c->contains;
    Need *need = item_need(s, c->items.form, done);
    int all = -2;
    if (!need) return -1;
    Claim *claim = schema_new(s, (size_t)need->claims + 1, sizeof *claim);
    if (!claim) return -1;
    for (int i = 0; i < need->claims; i++) claim[i] = need->claim[i];
    int64_t next_row = done + 1 < c->rows ? done + 1 : c->rows - 1;
    bool counts = want->most >= 0; /* then every match is counted, and one that is not must not match */
    for (int match = 0; match < 2; match++) {
        int64_t column = matched + match < c->columns ? matched + match : c->columns - 1;
        if (match && matched + 1 > c->columns - 1 && counts) continue; /* one too many */
        claim[need->claims] = (Claim){want->claim.schema, match ? want->claim.not : !want->claim.not};
        int used = need->claims + (match || counts);
        int item = need_expr(s, schema_need(s, claim, used));
        int rest = builder_call(b, c->rule[next_row * c->columns + column]);
        int one = then3(b, done ? s->rule.comma : 0, item, rest);
        all = all == -2 ? one : builder_or(b, all, one);
        if (match == 0 && matched == c->columns - 1 && !counts) break; /* enough: no more are looked for */
    }
    int64_t least = c->items.least, most = c->items.most;
    if (most >= 0 && done >= most) all = builder_never(b);
    if (done >= c->items.fixed && !c->items.open) all = builder_never(b);
    return done >= least && (most < 0 || done <= most) && matched >= want->least ? builder_or(b, all, 0) : all;
}

static int counted_expr(Schema *s, const Items *t, const Atom *contains) {
    Counted c = {.items = *t, .contains = contains};
    c.items.open = true;
    int64_t end = t->most >= 0 ? t->most : t->least > t->fixed ? t->least : t->fixed;
    c.rows = (end > t->fixed ? end : t->fixed) + 2; /* the first and the last of the rest differ by the comma */
    c.columns = (contains->most >= 0 ? contains->most : contains->least) + 1;
    if (contains->most >= 0 && contains->most < contains->least) return builder_never(s->b);
    if (c.rows > MAX_CELLS || c.columns > MAX_CELLS || c.rows * c.columns > MAX_CELLS)
        return schema_refuse(s, contains->holder->schema, "contains", "too many items to count"), -1;
    c.rule = schema_new(s, (size_t)(c.rows * c.columns), sizeof *c.rule);
    for (int64_t i = 0; c.rule && i < c.rows * c.columns; i++) c.rule[i] = builder_rule(s->b);
    for (int64_t i = 0; c.rule && i < c.rows * c.columns; i++)
        if (!builder_define(s->b, c.rule[i], counted_cell(s, &c, i / c.columns, i % c.columns))) return -1;
    return c.rule ? builder_call(s->b, c.rule[0]) : -1;
}

/* Different items, where each is one of a list: in the order of the list. */
static int unique_expr(Schema *s, const Items *t, const Atom *unique) {
    const json_t *value[MAX_LISTED];
    int n = 0;
    Need *need = item_need(s, t->form, 0);
    bool lists = t->fixed == 0 && need_solve(s, need);
    for (int i = 0; lists && i < need->forms; i++) {
        const Form *f = &need->form[i];
        const Atom *list = f->atoms;
        while (list && list->kind != ATOM_ENUM && list->kind != ATOM_CONST) list = list->next;
        size_t values = !list ? 0 : list->kind == ATOM_CONST ? 1 : json_array_size(list->value);
        if (!list && (f->types & ~(TYPE_NULL | TYPE_BOOLEAN))) lists = false;
        if (!list && lists) lists = false; /* booleans and null: as an enum only */
        for (size_t k = 0; k < values && lists; k++) {
            const json_t *v = list->kind == ATOM_CONST ? list->value : json_array_get(list->value, k);
            bool there = !form_takes(s, f, v);
            for (int j = 0; j < n && !there; j++) there = values_equal(value[j], v);
            if (there) continue;
            if (n == MAX_LISTED) lists = false;
            else value[n++] = v;
        }
    }
    if (s->b->err->kind) return -1;
    if (!lists)
        return schema_refuse(s, unique->holder->schema, "uniqueItems",
                             "is kept only where items are an enum of at most %d values, or at most one item may be",
                             MAX_LISTED), -1;
    int64_t top = t->most >= 0 && t->most < n ? t->most : t->least > 1 ? t->least : 1;
    if (t->least > n) return builder_never(s->b);
    int *tail = schema_new(s, (size_t)top + 2, sizeof *tail);
    for (int64_t k = 0; tail && k <= top; k++) tail[k] = k >= t->least ? 0 : builder_never(s->b);
    for (int i = n; tail && i-- > 0;)
        for (int64_t k = 0; k <= top; k++) {
            bool full = t->most >= 0 && t->most < n && k >= t->most;
            int take = then3(s->b, k ? s->rule.comma : 0, literal_expr(s, value[i]), tail[k < top ? k + 1 : top]);
            if (!full) tail[k] = as_rule(s, builder_or(s->b, take, tail[k]));
        }
    return tail ? tail[0] : -1;
}

int array_expr(Schema *s, const Form *form) {
    Builder *b = s->b;
    Items t = {.form = form, .fixed = fixed_items(form)};
    const Atom *unique = NULL, *contains = NULL;
    bool plain = true;
    for (const Atom *a = form->atoms; a; a = a->next) {
        plain &= a->kind < ATOM_ITEMS;
        if (a->kind == ATOM_UNIQUE) unique = a;
        if (a->kind == ATOM_NOT_CONST || a->kind == ATOM_NOT_ENUM)
            for (size_t i = 0; i < (a->kind == ATOM_NOT_CONST ? 1 : json_array_size(a->value)); i++)
                if (json_is_array(a->kind == ATOM_NOT_CONST ? a->value : json_array_get(a->value, i)))
                    return schema_refuse(s, a->holder->schema, "not", "of an array as a value is not supported"), -1;
        if (a->kind != ATOM_CONTAINS || (a->least == 0 && a->most < 0)) continue;
        if (contains)
            return schema_refuse(s, a->holder->schema, "contains", "twice for one array is not supported"), -1;
        contains = a;
    }
    if (plain) return s->rule.array;
    size_bounds(form, ATOM_SIZE, &t.least, &t.most);
    t.open = rest_open(form, t.fixed, t.least);
    int all;
    if (t.most >= 0 && t.least > t.most) all = builder_never(b);
    else if (unique && (t.most < 0 || t.most > 1)) {
        if (contains)
            return schema_refuse(s, contains->holder->schema, "contains", "beside uniqueItems is not supported"), -1;
        all = unique_expr(s, &t, unique);
    } else all = contains ? counted_expr(s, &t, contains) : items_expr(s, &t);
    int ws = s->rule.ws;
    return then3(b, builder_then(b, text_of(s, "["), ws), all, builder_then(b, ws, text_of(s, "]")));
}
