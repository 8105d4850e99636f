/* schema_solve.c: claims become forms. A branch collects what all its claims say: types, atoms, and choices; when no
 * claim is left, it parts at the next choice. A branch without choices is a form. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

void *schema_new(Schema *s, size_t count, size_t size) {
    return s->b->err->kind ? NULL : arena_new(&s->shop.arena, count, size, "schema", s->b->err);
}

bool schema_refuse(Schema *s, const json_t *schema, const char *keyword, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return builder_fail(s->b, "schema: '%s' at '%.200s': %s", keyword, schema_path(s, schema), text);
}

bool schema_too_much(Schema *s, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const json_t *schema = s->at && s->at->claims ? s->at->claim->schema : s->root;
    return builder_fail(s->b, "schema: at '%.200s': %s", schema_path(s, schema), text);
}

bool schema_refused(Schema *s, const json_t *schema, const char *keyword) {
    if (s->b->err->kind && !strstr(s->b->err->text, "schema: '"))
        err_prefix(s->b->err, "schema: '%s' at '%.200s'", keyword, schema_path(s, schema));
    return false;
}

/* ---- Building branches ------------------------------------------------------------------------------------------- */

static bool claim_add(Schema *s, const struct ClaimNode **list, Claim claim, const Holder *parent) {
    struct ClaimNode *n = schema_new(s, 1, sizeof *n);
    if (!n) return false;
    *n = (struct ClaimNode){claim, parent, *list};
    *list = n;
    return true;
}
static bool atom_add(Schema *s, const Atom **list, Atom atom) {
    Atom *a = schema_new(s, 1, sizeof *a);
    if (!a) return false;
    *a = atom;
    a->next = *list;
    *list = a;
    return true;
}

bool branch_claim(Schema *s, Branch *b, Claim claim, const Holder *parent) {
    return claim_add(s, &b->claims, claim, parent);
}
bool branch_atom(Schema *s, Branch *b, Atom atom) { return atom_add(s, &b->form.atoms, atom); }

struct Alternative *alternative_new(Schema *s, int types) {
    struct Alternative *a = schema_new(s, 1, sizeof *a);
    if (a) a->types = types;
    return a;
}
bool alternative_atom(Schema *s, struct Alternative *a, Atom atom) { return a && atom_add(s, &a->atoms, atom); }
bool alternative_claim(Schema *s, struct Alternative *a, Claim claim, const Holder *parent) {
    return a && claim_add(s, &a->claims, claim, parent);
}

bool branch_choice(Schema *s, Branch *b, struct Alternative *first) {
    struct Choice *c = first ? schema_new(s, 1, sizeof *c) : NULL;
    if (!c) return false;
    c->first = first;
    c->next = b->choices;
    b->choices = c;
    return true;
}
bool branch_deny(Branch *b, struct Alternative *a) {
    if (!a) return false;
    a->next = b->denied;
    b->denied = a;
    return true;
}

/* ---- Claims ------------------------------------------------------------------------------------------------------ */

/* Whether the same was claimed before: then it need not be said again. Where unevaluated... asks who looked at a
 * member, it is. A claim within itself would never come to an end. */
static bool claim_known(Schema *s, const Branch *b, Claim claim, const Holder *parent, bool *known) {
    for (const Holder *h = parent; h; h = h->parent)
        if (h->schema == claim.schema && h->not == claim.not)
            return schema_refuse(s, claim.schema, "$ref", "leads back to itself before any value is read");
    *known = false;
    for (const struct HolderNode *n = b->seen; n && !s->unevaluated && !*known; n = n->next) {
        *known = n->holder->schema == claim.schema && n->holder->not == claim.not;
        s->claims_seen++;
    }
    return true;
}

/* A keyword that has no negation: what breaks it alone is left out, which makes less and nothing wrong. */
static bool deny_keyword(Schema *s, Branch *b, const Holder *h, const Keyword *k, const json_t *value) {
    if (k->deny) return k->deny(s, b, h, value);
    (void)s;
    b->need->narrowed = true;
    return true;
}

static bool claim_object(Schema *s, Branch *b, const Holder *h) {
    const char *key;
    json_t *value;
    bool alone = s->siblings_ignored && json_object_get(h->schema, "$ref");
    b->denied = NULL;
    json_object_foreach((json_t *)(uintptr_t)h->schema, key, value) {
        const Keyword *k = schema_keyword(key);
        if (!k || (alone && strcmp(key, "$ref") != 0)) continue;
        if (k->kind == KEYWORD_NEVER_KEPT) return schema_refuse(s, h->schema, k->name, "is not supported");
        if (!(h->not ? deny_keyword(s, b, h, k, value) : k->take(s, b, h, value)))
            return s->b->err->kind ? false : builder_fail(s->b, "schema: out of memory");
    }
    if (!h->not) return true;
    if (!b->denied) b->form.types = 0; /* it holds for every value */
    return !b->denied || branch_choice(s, b, b->denied);
}

/* Takes one claim into the branch. False on error. */
static bool claim_take(Schema *s, Branch *b, Claim claim, const Holder *parent) {
    bool known = false;
    if (s->b->err->kind) return false;
    if (++s->claims_seen > MAX_CLAIMS_SEEN) return schema_too_much(s, "too many ways to combine its parts");
    if (json_is_boolean(claim.schema)) {
        if (json_is_true(claim.schema) == claim.not) b->form.types = 0;
        return true;
    }
    if (!json_is_object(claim.schema)) return builder_fail(s->b, "schema: expected an object, true or false");
    if (!claim_known(s, b, claim, parent, &known)) return false;
    if (known) return true;
    Holder *h = schema_new(s, 1, sizeof *h);
    struct HolderNode *n = schema_new(s, 1, sizeof *n);
    if (!h || !n) return false;
    *h = (Holder){claim.schema, claim.not, parent};
    *n = (struct HolderNode){h, b->seen};
    b->seen = n;
    return claim_object(s, b, h);
}

/* ---- Forms ------------------------------------------------------------------------------------------------------- */

typedef struct Forms { Form *form; size_t count, room; } Forms;

static bool solve(Schema *s, Branch b, Forms *out) {
    for (;;) {
        while (b.claims && b.form.types) {
            const struct ClaimNode *c = b.claims;
            b.claims = c->next;
            if (!claim_take(s, &b, c->claim, c->parent)) return false;
        }
        if (!b.form.types) return true;
        const struct Choice *choice = b.choices;
        if (!choice) break;
        b.choices = choice->next;
        const struct Alternative *only = NULL;
        int ways = 0;
        for (const struct Alternative *a = choice->first; a; a = a->next)
            if (a->types & b.form.types) only = a, ways++;
        for (const struct Alternative *a = choice->first; a; a = a->next) {
            if (!(a->types & b.form.types)) continue;
            Branch way = b;
            way.form.types &= a->types;
            for (const Atom *atom = a->atoms; atom; atom = atom->next)
                if (!branch_atom(s, &way, *atom)) return false;
            for (const struct ClaimNode *c = a->claims; c; c = c->next)
                if (!branch_claim(s, &way, c->claim, c->parent)) return false;
            if (a == only && ways == 1) b = way;
            else if (++s->depth > 400) return schema_too_much(s, "expected fewer choices within choices");
            else {
                bool ok = solve(s, way, out);
                s->depth--;
                if (!ok) return false;
            }
        }
        if (ways != 1) return true;
    }
    if (out->count == MAX_FORMS) return schema_too_much(s, "too many ways to combine its parts");
    if (!mem_grow((void **)&out->form, &out->room, out->count + 1, sizeof *out->form, "schema", s->b->err))
        return false;
    out->form[out->count++] = b.form;
    return true;
}

bool need_solve(Schema *s, Need *need) {
    if (!need || s->b->err->kind) return false;
    if (need->solved == NEED_SOLVED) return true;
    if (need->solved == NEED_UNDER_WAY) /* only a oneOf asks before the end, of itself */
        return schema_too_much(s, "a oneOf that is told apart by itself is not supported");
    const Need *outer = s->at;
    need->solved = NEED_UNDER_WAY;
    s->at = need;
    Forms forms = {0};
    Branch b = {.form = {.types = TYPE_ALL}, .need = need};
    int depth = s->depth;
    bool ok = true;
    for (int i = need->claims; ok && i-- > 0;) ok = branch_claim(s, &b, need->claim[i], NULL);
    ok = ok && solve(s, b, &forms);
    s->depth = depth;
    Form *copy = ok ? schema_new(s, forms.count + 1, sizeof *copy) : NULL;
    if (copy && forms.count) memcpy(copy, forms.form, forms.count * sizeof *copy);
    free(forms.form);
    need->form = copy;
    need->forms = (int)forms.count;
    need->solved = NEED_SOLVED;
    if (copy) s->at = outer;
    return copy != NULL;
}

/* ---- Needs ------------------------------------------------------------------------------------------------------- */

static int claim_order(const void *x, const void *y) {
    const Claim *a = x, *b = y;
    if (a->schema != b->schema) return a->schema < b->schema ? -1 : 1;
    return a->not - b->not;
}

Need *schema_need(Schema *s, const Claim *claims, int count) {
    Claim *own = schema_new(s, (size_t)count + 1, sizeof *own);
    int n = 0;
    if (!own) return NULL;
    for (int i = 0; i < count; i++) {
        bool anything = json_is_boolean(claims[i].schema) && json_is_true(claims[i].schema) != claims[i].not;
        if (!anything) own[n++] = claims[i];
    }
    qsort(own, (size_t)n, sizeof *own, claim_order);
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || claim_order(&own[i], &own[kept - 1])) own[kept++] = own[i];
    uintptr_t hash = (uintptr_t)kept;
    for (int i = 0; i < kept; i++) hash = (hash ^ (uintptr_t)own[i].schema ^ own[i].not) * 0x9e3779b97f4a7c15u;
    Need **bucket = &s->need[(hash >> 32) % SCHEMA_BUCKETS];
    for (Need *old = *bucket; old; old = old->chain) {
        bool same = old->claims == kept;
        for (int i = 0; same && i < kept; i++) same = claim_order(&old->claim[i], &own[i]) == 0;
        if (same) return old;
    }
    if (++s->needs > MAX_NEEDS)
        return schema_too_much(s, "expected at most %d kinds of values", MAX_NEEDS), NULL;
    Need *need = schema_new(s, 1, sizeof *need);
    if (!need) return NULL;
    *need = (Need){.claim = own, .claims = kept, .rule = -1, .chain = *bucket};
    return *bucket = need;
}

int need_expr(Schema *s, Need *need) {
    if (!need || s->b->err->kind) return -1;
    if (need->claims == 0) return s->rule.value;
    if (need->rule < 0) {
        if ((need->rule = builder_rule(s->b)) < 0) return -1;
        *s->queue_end = need;
        s->queue_end = &need->queue;
    }
    return builder_call(s->b, need->rule);
}
