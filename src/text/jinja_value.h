/* jinja_value.h: what templates compute with: Python's values as far as they can see them, the memory they live in,
 * and text that remembers its origin. Everything is made in a rendering's heap, freed as a whole at its end; an error
 * leaves by longjmp to where the rendering began, so nothing here returns a status. */
#ifndef JINJA_VALUE_H
#define JINJA_VALUE_H
#include <openssl/bn.h>
#include <setjmp.h>
#include <string.h>
#include "jinja.h"

typedef struct Jinja Jinja;

/* ---- Values ----------------------------------------------------------------------------------------------------- */

typedef enum JKind {
    J_MISSING,   /* an argument that was not given: no template sees it  */
    J_UNDEFINED, J_NONE, J_BOOL, J_INT, J_BIG, J_REAL, J_STRING, J_LIST, J_TUPLE, J_DICT, J_RANGE,
    J_VIEW,      /* keys(), values(), items() of a mapping               */
    J_ITERATOR,  /* what Python makes a generator: gone through once     */
    J_NAMESPACE, J_MACRO, J_LOOP, J_CYCLER, J_JOINER, J_FUNCTION, J_METHOD
} JKind;

/* Where a character comes from: bit 0: data; the others: the number of the generation block that wrote it. */
enum { MARK_DATA = 1, MARK_GENERATION = 2 };
typedef struct JRun { size_t end; uint32_t mark; } JRun; /* the bytes from the run before up to `end` */

typedef struct JString {
    const char *text;      /* well-formed UTF-8, not terminated; never changed */
    size_t bytes, chars;
    const JRun *runs;      /* NULL: all of it has `mark`                  */
    size_t run_count;
    uint32_t mark;
    bool markup;           /* Python's Markup: what joins it is escaped   */
} JString;

typedef struct JBig { bool negative; size_t bytes; uint8_t magnitude[]; } JBig; /* most significant first */

typedef struct JValue {
    uint8_t kind;          /* JKind                                       */
    bool data;             /* of numbers and truth values: came as data   */
    union {
        bool b;
        int64_t i;
        double r;
        const JBig *big;
        const JString *s;  /* of J_UNDEFINED: what it is called, or NULL  */
        struct JList *list;
        struct JDict *dict;    /* also of namespaces                      */
        const struct JRange *range;
        const struct JView *view;
        struct JIterator *iterator;
        const struct JMacro *macro;
        struct JLoop *loop;
        struct JCycler *cycler;
        struct JJoiner *joiner;
        const struct JFunctionRow *function;
        const struct JMethod *method;
    } u;
} JValue;

typedef struct JList { JValue *item; size_t count, room; bool group; } JList; /* group: a tuple of groupby */

typedef struct JEntry { JValue key, value; uint64_t hash; } JEntry;
typedef struct JDict {     /* in the order of insertion */
    JEntry *entry;
    size_t count, room;
    uint32_t *slot;        /* open addressing, 1 + index; NULL while small */
    size_t slots;
} JDict;

typedef struct JRange { int64_t start, stop, step, count; } JRange;
typedef enum JViewKind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } JViewKind;
typedef struct JView { JViewKind kind; const JDict *dict; } JView;
typedef struct JArgs JArgs;
/* `later`: what makes the list when somebody first wants an item, as Python's generators work; NULL: it is there. */
typedef struct JIterator {
    JList *list;
    size_t at;
    JList *(*later)(Jinja *j, JValue v, const JArgs *args);
    JValue of;
    const JArgs *args;
} JIterator;
typedef struct JCycler { JList *list; size_t at; } JCycler;
typedef struct JJoiner { JValue separator; bool used; } JJoiner;

typedef struct JNamedValue { const JString *name; JValue value; } JNamedValue;
struct JArgs { const JValue *item; size_t count; const JNamedValue *named; size_t named_count; };

/* ---- One parsing or rendering ----------------------------------------------------------------------------------- */

typedef struct JHeap { struct JBlock *block; size_t bytes, limit; } JHeap;

struct Jinja {
    JHeap heap;
    Err *err;
    jmp_buf fail;
    int64_t steps;         /* left                                        */
    int depth;             /* of what calls itself, all kinds together    */
    int line;              /* of the template, for errors                 */
    BIGNUM *big[3];        /* made when the first large number comes      */
    BN_CTX *big_context;
    struct JRender *render; /* jinja_eval.h; NULL while parsing           */
};

/* Ends the parsing or rendering with an error. */
_Noreturn void jj_fail(Jinja *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void jj_no_memory(Jinja *j);
/* Counts work of about n simple steps against the budget. */
void jj_work(Jinja *j, size_t n);
void *jj_new(Jinja *j, size_t count, size_t size); /* zeroed */
void jj_heap_free(JHeap *heap);
/* Around everything that calls itself. */
enum { JINJA_MOST_DEPTH = 500 };
void jj_deeper(Jinja *j);
static inline void jj_back(Jinja *j) { j->depth--; }

/* ---- Strings (jinja_string.c) ----------------------------------------------------------------------------------- */

typedef struct JBuilder {
    Jinja *j;
    char *text;
    size_t bytes, room, chars;
    JRun *runs;
    size_t run_count, run_room;
    uint32_t generation;   /* added to what has none, or 0 */
} JBuilder;

void jb_add(JBuilder *b, const char *text, size_t bytes, uint32_t mark);
void jb_line(JBuilder *b, uint32_t mark, const char *format, ...) __attribute__((format(printf, 3, 4)));
void jb_char(JBuilder *b, int32_t code, uint32_t mark);
void jb_string(JBuilder *b, const JString *s);
void jb_part(JBuilder *b, const JString *s, size_t from, size_t to); /* bytes */
const JString *jb_finish(JBuilder *b);

const JString *js_new(Jinja *j, const char *text, size_t bytes, uint32_t mark); /* of text that stays; not copied */
const JString *js_copy(Jinja *j, const char *text, size_t bytes, uint32_t mark);
const JString *js_part(Jinja *j, const JString *s, size_t from, size_t to);     /* bytes; shares the text */
const JString *js_markup(Jinja *j, const JString *s, bool markup);
uint32_t js_mark_at(const JString *s, size_t at);
uint32_t js_marks(const JString *s);              /* MARK_DATA if any of it is data */
size_t js_offset(Jinja *j, const JString *s, size_t index); /* byte where character `index` begins; index <= chars */
bool js_is(const JString *s, const char *text);
bool js_equal(const JString *a, const JString *b);
int js_order(const JString *a, const JString *b); /* as Python's < */
/* First occurrence at or after `from` that ends at `to` at most; SIZE_MAX: none. The last one with js_find_last. */
size_t js_find(Jinja *j, const JString *s, const JString *what, size_t from, size_t to);
size_t js_find_last(Jinja *j, const JString *s, const JString *what, size_t from, size_t to);
const JString *js_replace(Jinja *j, const JString *s, const JString *old, const JString *with, int64_t most);
const JString *js_strip(Jinja *j, const JString *s, const JString *chars, bool left, bool right); /* NULL: spaces */
const JString *js_concat(Jinja *j, const JString *a, const JString *b);
const JString *js_escape(Jinja *j, const JString *s); /* of HTML; markup stays as it is */
const JString *js_repeat(Jinja *j, const JString *s, int64_t times);
const JString *js_reverse(Jinja *j, const JString *s);

/* One character after another. */
typedef struct JChar { size_t at; int bytes; int32_t code; uint32_t mark; size_t run; } JChar;
bool js_next(const JString *s, JChar *c); /* begin with {0} */

/* ---- Characters (jinja_char.c): Python's classes and cases ------------------------------------------------------ */

bool jc_space(int32_t c);
bool jc_alpha(int32_t c);
bool jc_decimal(int32_t c);
bool jc_digit(int32_t c);
bool jc_numeric(int32_t c);
bool jc_printable(int32_t c);
bool jc_upper(int32_t c);
bool jc_lower(int32_t c);
bool jc_title(int32_t c);
bool jc_word(int32_t c);
bool jc_line_end(int32_t c);
typedef enum JCase { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP, CASE_FOLD } JCase;
const JString *jc_case(Jinja *j, const JString *s, JCase kind); /* str.upper, lower, title, capitalize, ... */

/* ---- Values (jinja_value.c) ------------------------------------------------------------------------------------- */

#define J_VALUE(k, field, v) ((JValue){.kind = (k), .u = {.field = (v)}})
static inline JValue jv_none(void) { return (JValue){.kind = J_NONE}; }
static inline JValue jv_undefined(const JString *name) { return J_VALUE(J_UNDEFINED, s, name); }
static inline JValue jv_bool(bool b) { return J_VALUE(J_BOOL, b, b); }
static inline JValue jv_int(int64_t i) { return J_VALUE(J_INT, i, i); }
static inline JValue jv_real(double r) { return J_VALUE(J_REAL, r, r); }
static inline JValue jv_string(const JString *s) { return J_VALUE(J_STRING, s, s); }
static inline JValue jv_list(JList *list) { return J_VALUE(J_LIST, list, list); }
static inline JValue jv_tuple(JList *list) { return J_VALUE(J_TUPLE, list, list); }
static inline JValue jv_dict(JDict *dict) { return J_VALUE(J_DICT, dict, dict); }
JValue jv_text(Jinja *j, const char *text); /* of a constant */
JValue jv_iterator(Jinja *j, JList *list);
JValue jv_generator(Jinja *j, JList *(*later)(Jinja *j, JValue v, const JArgs *args), JValue of, const JArgs *args);
JIterator *jv_started(Jinja *j, JValue v); /* an iterator, its list there */

JList *jl_new(Jinja *j, size_t room);
void jl_add(Jinja *j, JList *list, JValue v);
JDict *jd_new(Jinja *j);
void jd_set(Jinja *j, JDict *d, JValue key, JValue value); /* an unhashable key fails */
const JValue *jd_get(Jinja *j, const JDict *d, JValue key); /* NULL: none; an unhashable key is none */
const JValue *jd_text(Jinja *j, const JDict *d, const char *key);
bool jv_hashable(Jinja *j, JValue v);

const char *jv_type(JValue v);                 /* Python's name of the type */
bool jv_is_int(JValue v);                      /* also a truth value, as in Python */
bool jv_is_number(JValue v);
bool jv_true(Jinja *j, JValue v);
bool jv_equal(Jinja *j, JValue a, JValue b);
bool jv_same(JValue a, JValue b);              /* Python's `is` */
int jv_order(Jinja *j, JValue a, JValue b);    /* -1, 0, 1; 2: neither (NaN); fails on what has no order */
bool jv_contains(Jinja *j, JValue whole, JValue item);
int64_t jv_length(Jinja *j, JValue v);         /* -1: it has none */
/* The items one by one, as Python's iter() has them: a list of its own or the value's. An iterator is used up. */
const JList *jv_items(Jinja *j, JValue v);
const JList *jv_items_or_null(Jinja *j, JValue v); /* NULL: not iterable */
JValue jv_from_json(Jinja *j, const json_t *json, bool data);
/* Stable; by keys, in the order of jv_order. */
void jl_sort(Jinja *j, JList *list, const JValue *keys, bool reverse);

/* ---- Numbers (jinja_number.c) ----------------------------------------------------------------------------------- */

typedef enum JOp { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW } JOp;
JValue jn_binary(Jinja *j, JOp op, JValue a, JValue b); /* of all kinds: text and lists too */
JValue jn_negate(Jinja *j, JValue v);
JValue jn_abs(Jinja *j, JValue v);
int jn_order(Jinja *j, JValue a, JValue b);
double jn_real(Jinja *j, JValue v);                     /* of a number */
JValue jn_floor(Jinja *j, double r, bool *ok);          /* int(): towards zero; *ok false for inf and nan */
/* Python's int(text, base), float(text); false: not a number. */
bool jn_parse_int(Jinja *j, const char *text, size_t bytes, int base, JValue *out);
bool jn_parse_real(const char *text, size_t bytes, double *out);
void jn_text(Jinja *j, JBuilder *b, JValue v, uint32_t mark); /* of integers, in base 10 */
/* Magnitude of an integer in base 2, 8, 10 or 16, lower case. */
const char *jn_digits(Jinja *j, JValue v, int base, bool *negative);
int64_t jn_bits(Jinja *j, JValue v);                    /* of an integer's magnitude */
JValue jn_round(Jinja *j, JValue v, int64_t precision); /* round(v, precision) */

/* ---- As text (jinja_show.c) ------------------------------------------------------------------------------------- */

void jv_show(Jinja *j, JBuilder *b, JValue v);   /* str() */
void jv_repr(Jinja *j, JBuilder *b, JValue v);   /* repr() */
const JString *jv_str(Jinja *j, JValue v);
const JString *jv_repr_of(Jinja *j, JValue v);
uint32_t jv_marks(JValue v);                     /* MARK_DATA if it is or holds data */
typedef struct JJson { JValue indent; const JString *item_separator, *key_separator; bool ascii, sort; } JJson;
void jv_json(Jinja *j, JBuilder *b, JValue v, const JJson *how);

/* ---- % and format (jinja_format.c) ------------------------------------------------------------------------------ */

const JString *jf_percent(Jinja *j, const JString *format, JValue args);
const JString *jf_format(Jinja *j, const JString *format, const JArgs *args);

/* ---- Arguments -------------------------------------------------------------------------------------------------- */

/* Puts arguments in the order of `names` ("a b c") into out, J_MISSING where not given; too many, unknown or doubled
 * ones fail, as do fewer than `least`. */
void jj_bind(Jinja *j, const JArgs *args, const char *what, const char *names, size_t least, JValue *out);
bool jj_flag(Jinja *j, JValue v, bool otherwise);
int64_t jj_index(Jinja *j, JValue v, const char *what);       /* an integer; fails otherwise; clipped to int64 */
int64_t jj_index_or(Jinja *j, JValue v, const char *what, int64_t otherwise); /* missing or none */
const JString *jj_string(Jinja *j, JValue v, const char *what); /* a string; fails otherwise */
#endif
