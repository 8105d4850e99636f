/* schema_object.c: members come in the order in which the schemas name them, each at most once; then, where a schema
 * speaks of further ones (additionalProperties, patternProperties) or names none, members of other names. What a member
 * must be is asked of all schemas at once, by its name: a name that is declared never comes as a further one. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

enum { MAX_MEMBERS = 1500, MAX_CLASSES = 64, MAX_LOOKED_AT = 256 };

/* What is said within a negation is not said of the value. */
bool is_within(const Holder *h, const Holder *outer) {
    while (h && h != outer) h = h->not ? NULL : h->parent;
    return h == outer;
}

/* ---- What a member must be --------------------------------------------------------------------------------------- */

/* A name, or a class of names: those of `automaton`, which lies within or beside each pattern and names nothing
 * declared. */
typedef struct MemberName { const char *name; const Automaton *automaton; } MemberName;

static bool name_matches(Schema *s, const MemberName *n, const char *pattern) {
    const Automaton *p = schema_pattern(s, pattern, strlen(pattern));
    if (!p) return false;
    if (n->name) return automaton_takes(p, n->name, strlen(n->name));
    const Automaton *both = automaton_both(&s->shop, n->automaton, p);
    return both && both->states > 0;
}

typedef struct Claims { Claim claim[MAX_LOOKED_AT]; int count; } Claims;
static bool add(Schema *s, Claims *c, Claim claim) {
    if (c->count == MAX_LOOKED_AT) return schema_too_much(s, "too many schemas speak of one member");
    c->claim[c->count++] = claim;
    return true;
}

/* What one schema object says of a name; *looked: it says something. */
static bool holder_claims(Schema *s, const Holder *h, const MemberName *n, Claims *claims, bool *looked) {
    const json_t *own = n->name ? json_object_get(json_object_get(h->schema, "properties"), n->name) : NULL;
    const json_t *patterns = json_object_get(h->schema, "patternProperties"), *more;
    const char *pattern;
    json_t *schema;
    *looked = own != NULL;
    if (own && !add(s, claims, (Claim){own, false})) return false;
    json_object_foreach((json_t *)(uintptr_t)patterns, pattern, schema) {
        if (!name_matches(s, n, pattern)) continue;
        *looked = true;
        if (!add(s, claims, (Claim){schema, false})) return false;
    }
    if (*looked || !(more = json_object_get(h->schema, "additionalProperties"))) return !s->b->err->kind;
    *looked = true;
    return add(s, claims, (Claim){more, false});
}

/* unevaluatedProperties speaks of what nothing within its schema has looked at. */
static bool other_claims(Schema *s, const Form *form, const MemberName *n, Claims *claims) {
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind != ATOM_OTHER_MEMBERS) continue;
        bool looked = false;
        for (const Atom *m = form->atoms; m && !looked; m = m->next) {
            Claims ignored = {.count = 0};
            if (m->kind == ATOM_OTHER_MEMBERS && m->holder != a->holder) looked = is_within(m->holder, a->holder);
            if (m->kind == ATOM_MEMBERS && is_within(m->holder, a->holder) &&
                !holder_claims(s, m->holder, n, &ignored, &looked))
                return false;
        }
        if (!looked && !add(s, claims, a->claim)) return false;
    }
    return true;
}

static Need *claims_need(Schema *s, const Form *form, const MemberName *n) {
    Claims claims = {.count = 0};
    bool looked;
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_MEMBERS && !holder_claims(s, a->holder, n, &claims, &looked)) return NULL;
        if (a->kind == ATOM_MEMBER && n->name && !strcmp(a->name, n->name) && !add(s, &claims, a->claim)) return NULL;
    }
    return other_claims(s, form, n, &claims) ? schema_need(s, claims.claim, claims.count) : NULL;
}

/* Whether propertyNames lets a name be. */
static bool name_allowed(Schema *s, const Form *form, const char *name) {
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind != ATOM_NAMES) continue;
        json_t *text = json_string(name);
        bool takes = need_takes(s, schema_need(s, &a->claim, 1), text);
        json_decref(text);
        if (!takes) return false;
    }
    return true;
}

Need *member_need(Schema *s, const Form *form, const char *name) {
    Claim never = {json_false(), false};
    if (!name_allowed(s, form, name)) return schema_need(s, &never, 1);
    return claims_need(s, form, &(MemberName){name, NULL});
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

typedef struct Member { const char *name; Need *need; bool required; int expr; } Member;
typedef struct Members {
    Member *member;
    size_t count, room;
    struct { const Automaton *names; int expr; } class[MAX_CLASSES];
    int classes;
    int64_t least, most;
} Members;

static Member *member_find(Members *m, const char *name) {
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->member[i].name, name)) return &m->member[i];
    return NULL;
}
static bool member_declare(Schema *s, Members *m, const char *name, bool required) {
    Member *old = member_find(m, name);
    if (old) old->required |= required;
    if (old) return true;
    if (m->count == MAX_MEMBERS)
        return schema_too_much(s, "expected at most %d members of one object", MAX_MEMBERS);
    if (!mem_grow((void **)&m->member, &m->room, m->count + 1, sizeof *m->member, "schema", s->b->err)) return false;
    m->member[m->count++] = (Member){name, NULL, required, -1};
    return true;
}

/* Atoms stand in the opposite order of the schema's words. */
static bool declare_backwards(Schema *s, const Atom *a, Members *m) {
    const Atom *list[MAX_LOOKED_AT * 4];
    int n = 0;
    for (; a; a = a->next)
        if (a->kind == ATOM_MEMBERS || a->kind == ATOM_REQUIRED || a->kind == ATOM_MEMBER) {
            if (n == MAX_LOOKED_AT * 4) return schema_too_much(s, "too many schemas speak of one object");
            list[n++] = a;
        }
    for (int pass = 0; pass < 2; pass++) /* first those with schemas, in their order */
        for (int i = n; i-- > 0;) {
            const char *key;
            json_t *value;
            if (pass == 0 && list[i]->kind == ATOM_MEMBERS)
                json_object_foreach(json_object_get(list[i]->holder->schema, "properties"), key, value)
                    if (!member_declare(s, m, key, false)) return false;
            if (pass == 1 && list[i]->kind != ATOM_MEMBERS &&
                !member_declare(s, m, list[i]->name, list[i]->kind == ATOM_REQUIRED))
                return false;
        }
    return true;
}

/* The names that a schema of names lets be; NULL and no error: all. */
static const Automaton *names_automaton(Schema *s, const Atom *a) {
    Need *need = schema_need(s, &a->claim, 1);
    const Automaton *all = NULL;
    if (!need_solve(s, need)) return NULL;
    for (int i = 0; i < need->forms; i++) {
        const Form *f = &need->form[i];
        bool plain;
        int64_t least, most;
        if (!(f->types & TYPE_STRING)) continue;
        const Automaton *one = string_automaton(s, f, &plain, &least, &most);
        if (plain) one = automaton_length(&s->shop, least, most);
        for (const Atom *list = f->atoms; list; list = list->next) { /* listed words */
            const char *words[1024];
            size_t bytes[1024], n = 0;
            if (list->kind != ATOM_ENUM && list->kind != ATOM_CONST) continue;
            size_t values = list->kind == ATOM_CONST ? 1 : json_array_size(list->value);
            for (size_t k = 0; k < values; k++) {
                const json_t *v = list->kind == ATOM_CONST ? list->value : json_array_get(list->value, k);
                if (json_is_string(v) && n < 1024) words[n] = json_string_value(v), bytes[n++] = json_string_length(v);
            }
            one = automaton_both(&s->shop, one, automaton_words(&s->shop, words, bytes, n));
        }
        all = all ? automaton_either(&s->shop, all, one) : one;
    }
    return all ? all : automaton_words(&s->shop, NULL, NULL, 0);
}

/* Names that are not declared. */
static const Automaton *other_names(Schema *s, const Form *form, const Members *m) {
    const Automaton *all = automaton_any(&s->shop);
    const char **word = mem_new(m->count + 1, sizeof *word, "schema", s->b->err);
    size_t *bytes = mem_new(m->count + 1, sizeof *bytes, "schema", s->b->err);
    for (size_t i = 0; word && bytes && i < m->count; i++) word[i] = m->member[i].name, bytes[i] = strlen(word[i]);
    if (m->count && word && bytes)
        all = automaton_without(&s->shop, all, automaton_words(&s->shop, word, bytes, m->count));
    free(word), free(bytes);
    for (const Atom *a = form->atoms; a && !s->b->err->kind; a = a->next)
        if (a->kind == ATOM_NAMES) all = automaton_both(&s->shop, all, names_automaton(s, a));
    return all;
}

static bool class_add(Schema *s, Members *m, const Automaton *names) {
    if (!names) return false;
    if (names->states == 0) return true;
    if (m->classes == MAX_CLASSES) return schema_too_much(s, "too many patterns of names overlap");
    m->class[m->classes++].names = names;
    return true;
}

/* Names that are alike to every pattern: each pattern parts the classes so far. */
static bool classes_of(Schema *s, const Form *form, Members *m) {
    if (!class_add(s, m, other_names(s, form, m))) return false;
    for (const Atom *a = form->atoms; a; a = a->next) {
        const char *pattern;
        json_t *schema;
        if (a->kind != ATOM_MEMBERS) continue;
        json_object_foreach(json_object_get(a->holder->schema, "patternProperties"), pattern, schema) {
            const Automaton *p = schema_pattern(s, pattern, strlen(pattern));
            Members old = *m;
            m->classes = 0;
            for (int i = 0; i < old.classes; i++)
                if (!class_add(s, m, automaton_both(&s->shop, old.class[i].names, p)) ||
                    !class_add(s, m, automaton_without(&s->shop, old.class[i].names, p)))
                    return false;
        }
    }
    return true;
}

/* Whether members of a class are written: if some schema speaks of them, or none has properties. */
static bool class_open(Schema *s, const Form *form, const Automaton *names) {
    bool properties = false;
    for (const Atom *a = form->atoms; a; a = a->next)
        properties |= a->kind == ATOM_MEMBERS && json_object_size(json_object_get(a->holder->schema, "properties")) > 0;
    if (!properties) return true;
    for (const Atom *a = form->atoms; a; a = a->next) {
        Claims ignored = {.count = 0};
        bool looked = false;
        if (a->kind == ATOM_OTHER_MEMBERS) return true;
        if (a->kind == ATOM_MEMBERS && holder_claims(s, a->holder, &(MemberName){NULL, names}, &ignored, &looked) &&
            looked)
            return true;
    }
    return false;
}

/* ---- The grammar ------------------------------------------------------------------------------------------------- */

static int member_expr(Schema *s, int name, Need *need) {
    int value = need_expr(s, need);
    return value < 0 ? -1 : as_rule(s, then3(s->b, name, s->rule.colon, value));
}

static bool members_exprs(Schema *s, const Form *form, Members *m) {
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        Member *one = &m->member[i];
        if (!(one->need = member_need(s, form, one->name))) return false;
        bool never = one->need->claims > 0 && json_is_false(one->need->claim[0].schema) && !one->need->claim[0].not;
        for (int k = 1; k < one->need->claims && !never; k++)
            never = json_is_false(one->need->claim[k].schema) && !one->need->claim[k].not;
        if (never && !one->required) continue;
        json_t *name = json_string(one->name);
        one->expr = member_expr(s, literal_expr(s, name), one->need);
        json_decref(name);
        if (one->expr < 0) return false;
        m->member[kept++] = *one;
    }
    m->count = kept;
    return true;
}

/* One further member; -1 on error, -2 when there is none. */
static int further_expr(Schema *s, const Form *form, Members *m) {
    int all = -2, quote = text_of(s, "\"");
    if (m->count == 0) {
        bool free_names = true;
        for (const Atom *a = form->atoms; a; a = a->next)
            free_names &= a->kind != ATOM_MEMBERS && a->kind != ATOM_NAMES;
        if (free_names)
            return member_expr(s, s->rule.string, claims_need(s, form, &(MemberName){NULL, automaton_any(&s->shop)}));
    }
    if (!classes_of(s, form, m)) return -1;
    for (int i = 0; i < m->classes; i++) {
        const Automaton *names = m->class[i].names;
        if (!class_open(s, form, names)) continue;
        Need *need = claims_need(s, form, &(MemberName){NULL, names});
        if (!need) return -1;
        if (need->claims && json_is_false(need->claim[0].schema)) continue;
        int name = then3(s->b, quote, builder_automaton(s->b, names, true), quote);
        int one = member_expr(s, name, need);
        if (one < 0) return -1;
        all = all == -2 ? one : builder_or(s->b, all, one);
    }
    return s->b->err->kind ? -1 : all;
}

/* After `done` members, all declared: one or more further ones. Of two with one name the last is the one that counts,
 * so that they are one member only: towards the least number they count once. */
static int further_members(Schema *s, const Members *m, int further, int64_t done) {
    Builder *b = s->b;
    int64_t room = m->most < 0 ? -1 : m->most - done;
    if (further < 0 || m->least > done + 1 || (m->most >= 0 && room <= 0)) return builder_never(b);
    return builder_then(b, further,
                        builder_repeat(b, builder_then(b, s->rule.comma, further), 0, room < 0 ? -1 : room - 1));
}

/* pick[k]: the members that can come next, and all after them, when k stand before (the last k: that many or more).
 * From the last member to the first; the comma stands before a pick, so that it is read once and not for each member.
 * */
static int members_expr(Schema *s, Members *m, int further) {
    Builder *b = s->b;
    int64_t top = 1, n = (int64_t)m->count, required = 0;
    bool all_optional = true; /* of the members from the next on */
    for (int64_t i = 0; i < n; i++) required += m->member[i].required;
    if (m->least > required && m->least > top) top = m->least;
    if (m->most > top && (further >= 0 || m->most < n)) top = m->most;
    if (top > n + 1) top = n + 1;
    bool stop = m->most >= 0 && top >= m->most; /* no member after the last k */
    if ((top + 1) * n > 200000) return builder_fail(b, "schema: too many members to count"), -1;
    int *pick = mem_new((size_t)top + 1, sizeof *pick, "schema", b->err);
    for (int64_t k = 0; pick && k <= top; k++) pick[k] = as_rule(s, further_members(s, m, further, k));
    for (int64_t i = n; pick && i-- > 0;) {
        const Member *one = &m->member[i];
        for (int64_t k = 0; k <= top; k++) {
            int64_t more = k < top ? k + 1 : top;
            bool full = m->most >= 0 && (k >= m->most || (stop && k == top));
            int next = builder_then(b, s->rule.comma, pick[more]);
            if (all_optional && more >= m->least) next = builder_or(b, next, 0);
            int take = full ? builder_never(b) : builder_then(b, one->expr, next);
            pick[k] = as_rule(s, one->required ? take : builder_or(b, take, pick[k]));
        }
        if (one->required) all_optional = false;
    }
    int all = pick ? pick[0] : -1;
    free(pick);
    return all_optional && m->least == 0 ? builder_or(b, all, 0) : all;
}

static bool outside(Schema *s, const Atom *a, const char *name) {
    bool looked = false;
    const json_t *own = json_object_get(json_object_get(a->holder->schema, "properties"), name);
    const char *pattern;
    json_t *schema;
    json_object_foreach(json_object_get(a->holder->schema, "patternProperties"), pattern, schema)
        looked = looked || name_matches(s, &(MemberName){name, NULL}, pattern);
    return !own && !looked;
}

/* "Some member is none of these": true already, or each declared member that is none of them in turn. */
static int outside_expr(Schema *s, Members *m, const Atom *a, int further) {
    int all = -2;
    for (size_t i = 0; i < m->count; i++)
        if (m->member[i].required && outside(s, a, m->member[i].name)) return members_expr(s, m, further);
    for (size_t i = 0; i < m->count && !s->b->err->kind; i++) {
        if (!outside(s, a, m->member[i].name)) continue;
        m->member[i].required = true;
        int one = members_expr(s, m, further);
        m->member[i].required = false;
        all = all == -2 ? one : builder_or(s->b, all, one);
    }
    return all == -2 ? builder_never(s->b) : all;
}

int object_expr(Schema *s, const Form *form) {
    Builder *b = s->b;
    Members m = {.least = 0};
    const Atom *other = NULL;
    bool plain = true;
    int all = -1;
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_OUTSIDE && other)
            return builder_fail(b, "schema: too many negations of additionalProperties"), -1;
        if (a->kind == ATOM_OUTSIDE) other = a;
        if ((a->kind == ATOM_NOT_CONST && json_is_object(a->value)) || a->kind == ATOM_NOT_ENUM)
            for (size_t i = 0; i < (a->kind == ATOM_NOT_CONST ? 1 : json_array_size(a->value)); i++)
                if (json_is_object(a->kind == ATOM_NOT_CONST ? a->value : json_array_get(a->value, i)))
                    return schema_refuse(s, a->holder->schema, "not", "of an object as a value is not supported"), -1;
        plain &= a->kind < ATOM_MEMBERS || a->kind > ATOM_OTHER_MEMBERS;
    }
    if (plain) return s->rule.object;
    size_bounds(form, ATOM_COUNT, &m.least, &m.most);
    if (m.most >= 0 && m.least > m.most) return builder_never(b);
    if (declare_backwards(s, form->atoms, &m)) {
        Members names = m; /* the classes part with all declared names, those that may not be too */
        int further = further_expr(s, form, &names);
        if (further != -1 && members_exprs(s, form, &m))
            all = other ? outside_expr(s, &m, other, further) : members_expr(s, &m, further);
    }
    free(m.member);
    int ws = s->rule.ws;
    return then3(b, builder_then(b, text_of(s, "{"), ws), all, builder_then(b, ws, text_of(s, "}")));
}
