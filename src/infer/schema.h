/* schema.h: within src/infer: how a JSON schema becomes a grammar.
 *
 *   schema_walk.c      the document: is each keyword what it must be, which names ($id, $anchor) does it give, $ref
 *   schema_keywords.c  a row for each keyword: its kind, what it claims, what its negation claims
 *   schema_solve.c     claims together become forms: one way to fulfil all of them, in atoms of one type each
 *   schema_value.c     a value tried by a form (enum, const), forms that no value fulfils (oneOf)
 *   schema_string.c, schema_format.c, schema_number.c, schema_array.c, schema_object.c   a form of a type
 *   grammar_schema.c   all of them together
 *
 * A form is a conjunction: "these types, and these atoms". anyOf, oneOf, if and not become several forms, so that no
 * keyword is lost because of its siblings. Values within are needs, solved when their turn comes: a need is a set of
 * schemas that all must hold (or not hold), so that schemas that contain themselves come to an end. */
#ifndef SCHEMA_H
#define SCHEMA_H
#include "grammar_build.h"

enum {
    TYPE_NULL = 1,
    TYPE_TRUE = 2,
    TYPE_FALSE = 4,
    TYPE_INTEGER = 8,
    TYPE_FRACTION = 16,
    TYPE_STRING = 32,
    TYPE_ARRAY = 64,
    TYPE_OBJECT = 128,
    TYPE_BOOLEAN = TYPE_TRUE | TYPE_FALSE,
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_ALL = 255
};
enum { MAX_CLAIMS_SEEN = 1 << 19, MAX_FORMS = 1024, MAX_NEEDS = 1 << 14 };

typedef struct Claim { const json_t *schema; bool not; } Claim;

/* A schema object that holds (or not, and then some keyword of it does not), and the one in which it was met. */
typedef struct Holder { const json_t *schema; bool not; const struct Holder *parent; } Holder;

typedef enum AtomKind {
    ATOM_ENUM, ATOM_NOT_ENUM,         /* value: a list                                         */
    ATOM_CONST, ATOM_NOT_CONST,       /* value                                                 */
    ATOM_LOW, ATOM_HIGH,              /* number: value; strict: not itself                     */
    ATOM_MULTIPLE,                    /* value                                                 */
    ATOM_WORD, ATOM_NOT_WORD,         /* string: automaton                                     */
    ATOM_LENGTH,                      /* least, most                                           */
    ATOM_MEMBERS,                     /* object: properties and kin of holder                  */
    ATOM_REQUIRED, ATOM_MEMBER,       /* name; claim on it if it is there                      */
    ATOM_COUNT,                       /* members: least, most                                  */
    ATOM_NAMES,                       /* claim on every name                                   */
    ATOM_OUTSIDE,                     /* some member is none of holder's properties            */
    ATOM_OTHER_MEMBERS,               /* claim on members that nothing within holder looks at  */
    ATOM_ITEMS,                       /* array: items and kin of holder                        */
    ATOM_ITEM, ATOM_EVERY,            /* claim on item number `least`; on every one            */
    ATOM_SIZE,                        /* items: least, most                                    */
    ATOM_CONTAINS,                    /* claim on at least `least`, at most `most` items       */
    ATOM_UNIQUE,
    ATOM_OTHER_ITEMS
} AtomKind;
typedef struct Atom {
    AtomKind kind;
    bool strict;
    int64_t least, most;              /* most -1: no end */
    const json_t *value;
    const char *name;
    const Automaton *automaton;
    Claim claim;
    const Holder *holder;             /* who says so: for messages too */
    const struct Atom *next;
} Atom;

typedef struct Form { int types; const Atom *atoms; } Form;

typedef struct Need {
    const Claim *claim;
    const Form *form;
    int claims, forms, rule;          /* rule -1: not asked for */
    bool narrowed;                    /* a way of a negation was left out: values may be missing, none is wrong */
    enum { NEED_NEW, NEED_UNDER_WAY, NEED_SOLVED } solved;
    enum { EMPTY_UNKNOWN, EMPTY_ASKED, EMPTY_YES, EMPTY_NO } empty;
    struct Need *chain, *queue;
} Need;

/* Where a schema stands. */
typedef struct SchemaPlace {
    const json_t *schema;
    const char *path, *base;          /* JSON pointer; URI without fragment */
    struct SchemaPlace *chain;
} SchemaPlace;
typedef struct SchemaName { const char *uri, *anchor; const json_t *schema; struct SchemaName *next; } SchemaName;
typedef struct SchemaPattern {
    const char *text;
    size_t bytes;
    const Automaton *automaton;
    struct SchemaPattern *next;
} SchemaPattern;

enum { SCHEMA_BUCKETS = 1024 };
typedef struct SchemaRules {
    int ws, comma, colon, character, string, integer, number, array, object, value;
} SchemaRules;
typedef struct Schema {
    Builder *b;
    AutomatonShop shop;
    const json_t *root;
    bool siblings_ignored, old_ids; /* beside $ref (until draft 7); "id" (draft 4) */
    bool content_ignored, draft_known;
    bool unevaluated;                 /* some keyword of that name is in the document */
    SchemaPlace *place[SCHEMA_BUCKETS];
    SchemaName *name;
    SchemaPattern *pattern;
    Need *need[SCHEMA_BUCKETS], *queue, **queue_end;
    const Need *at;                   /* the value at work, for messages; NULL: the whole */
    int needs, depth;
    int64_t claims_seen;
    const Atom *listing;              /* the list whose values are being tried: they need not be looked for in it */
    bool narrowed;                    /* an answer "no value" was given that is not sure: see need_empty */
    SchemaRules rule;                 /* expressions that call them */
} Schema;

void *schema_new(Schema *s, size_t count, size_t size); /* zeroed, lives as long as the schema */
/* Refuses the schema: names keyword and place; false. The first one wins. */
bool schema_refuse(Schema *s, const json_t *schema, const char *keyword, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Refuses it for what its parts come to together: names the place of the value at work. */
bool schema_too_much(Schema *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Names keyword and place of an error that was set below. */
bool schema_refused(Schema *s, const json_t *schema, const char *keyword);

/* ---- schema_walk.c */
bool schema_walk(Schema *s);
const json_t *schema_reference(Schema *s, const json_t *schema, const char *keyword, const char *ref);
const char *schema_path(const Schema *s, const json_t *schema);

/* ---- schema_keywords.c */
typedef enum KeywordKind {
    KEYWORD_ANY, KEYWORD_SCHEMA, KEYWORD_SCHEMAS, KEYWORD_MAP, KEYWORD_ITEMS, KEYWORD_DEPENDENCIES, KEYWORD_NAME_MAP,
    KEYWORD_TYPE, KEYWORD_LIST, KEYWORD_COUNT, KEYWORD_NUMBER, KEYWORD_LIMIT, KEYWORD_POSITIVE, KEYWORD_TEXT,
    KEYWORD_PATTERN, KEYWORD_NAMES, KEYWORD_BOOL, KEYWORD_PATTERN_MAP, KEYWORD_NEVER_KEPT
} KeywordKind;
typedef struct Branch Branch;
typedef bool KeywordTake(Schema *s, Branch *b, const Holder *h, const json_t *value);
typedef struct Keyword {
    const char *name;
    KeywordKind kind;
    KeywordTake *take, *deny; /* deny: adds alternatives with branch_alternative; NULL: cannot be negated */
} Keyword;
const Keyword *schema_keyword(const char *name); /* NULL: an annotation */
int type_bits(const char *type);                 /* 0: no type of JSON */
int64_t count_of(const json_t *value);

/* ---- schema_solve.c */
struct Branch {
    Form form;
    const struct ClaimNode { Claim claim; const Holder *parent; const struct ClaimNode *next; } *claims;
    const struct HolderNode { const Holder *holder; const struct HolderNode *next; } *seen;
    const struct Choice {
        struct Alternative {
            int types;
            const Atom *atoms;
            const struct ClaimNode *claims;
            struct Alternative *next;
        } * first;
        const struct Choice *next;
    } *choices;
    struct Alternative *denied; /* of the negation under way */
    Need *need;                 /* to be solved              */
};
bool branch_claim(Schema *s, Branch *b, Claim claim, const Holder *parent);
bool branch_atom(Schema *s, Branch *b, Atom atom);
/* A way to fulfil a choice: types, an atom (kind < 0: none) and claims. Returned so that more can be added. */
struct Alternative *alternative_new(Schema *s, int types);
bool alternative_atom(Schema *s, struct Alternative *a, Atom atom);
bool alternative_claim(Schema *s, struct Alternative *a, Claim claim, const Holder *parent);
bool branch_choice(Schema *s, Branch *b, struct Alternative *first);
bool branch_deny(Branch *b, struct Alternative *a);

Need *schema_need(Schema *s, const Claim *claims, int count);
bool need_solve(Schema *s, Need *need);
int need_expr(Schema *s, Need *need); /* a call of its rule */

/* ---- schema_value.c */
bool values_equal(const json_t *a, const json_t *b);
bool form_takes(Schema *s, const Form *form, const json_t *value);
bool need_takes(Schema *s, Need *need, const json_t *value);
bool need_empty(Schema *s, Need *need); /* true: surely no value fulfils it */

/* ---- schema_string.c, schema_format.c */
const Automaton *schema_pattern(Schema *s, const char *text, size_t bytes);
const char *format_pattern(const char *name, bool *known); /* NULL: not kept; known: the standard has it */
/* What a string may be; *plain: anything, or anything of least..most characters. */
const Automaton *string_automaton(Schema *s, const Form *form, bool *plain, int64_t *least, int64_t *most);
int string_expr(Schema *s, const Form *form);

/* ---- schema_number.c */
const Automaton *number_automaton(Schema *s, const Form *form, int types, bool *plain);
int number_expr(Schema *s, const Form *form);
void scalar_text(const json_t *value, Text *out); /* as JSON; numbers as they were spelled */
int number_order(const json_t *a, const json_t *b);
bool number_is_integer(const json_t *value);
bool number_is_multiple(const json_t *value, const json_t *of);
bool number_bounded(const json_t *value); /* few enough digits to count with */

/* ---- schema_array.c, schema_object.c */
Need *item_need(Schema *s, const Form *form, int64_t index);
void size_bounds(const Form *form, AtomKind kind, int64_t *least, int64_t *most);
int array_expr(Schema *s, const Form *form);
Need *member_need(Schema *s, const Form *form, const char *name); /* what a member of that name must be */
bool is_within(const Holder *h, const Holder *outer);
int object_expr(Schema *s, const Form *form);

/* ---- grammar_schema.c */
int literal_expr(Schema *s, const json_t *value);
int then3(Builder *b, int x, int y, int z);
int text_of(Schema *s, const char *text);
int as_rule(Schema *s, int body); /* so that what is used twice is expanded once */
#endif
