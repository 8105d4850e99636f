/* jinja_eval.h: running a template: scopes, output, calls, and the tables of filters, tests, functions and methods. */
#ifndef JINJA_EVAL_H
#define JINJA_EVAL_H
#include "jinja_parse.h"

/* ---- Scopes: a for, a macro, a set block, ... has its own; an if has none --------------------------------------- */

typedef struct JBinding { struct JBinding *next; int id; JValue value; } JBinding;
typedef struct JScope { struct JScope *outer; JBinding *first; bool kept; } JScope; /* kept: a macro may look into it */

typedef struct JRender {
    const JinjaTemplate *t;
    JValue *context;       /* by a name's number: variables and global functions, or J_MISSING */
    JScope *scope, *outermost;
    JBinding *spare;
    JScope *spare_scope;
    JBuilder *out, *whole; /* where output goes now; the rendered text                      */
    uint32_t generations;  /* numbers given away to generation blocks inside captures       */
    uint32_t generation;   /* that of the block that runs now, times MARK_GENERATION, or 0  */
    Span *direct;          /* bytes of blocks that wrote into `whole`                       */
    size_t direct_count, direct_room;
} JRender;

JScope *jj_scope_enter(Jinja *j, JScope *outer);
void jj_scope_leave(Jinja *j, JScope *before); /* the scope of now ends; `before` comes back */
void jj_define(Jinja *j, int id, JValue value);

/* ---- What runs -------------------------------------------------------------------------------------------------- */

typedef struct JMacro {
    const JNode *node;
    JScope *scope;         /* where it was defined */
    const JString *name;   /* NULL: the body of a call block */
} JMacro;

typedef struct JLoop {
    const JNode *node;
    JScope *scope;         /* outside                                             */
    const JList *source;
    size_t at;             /* of the source: the next one to look at              */
    int64_t index0, length; /* length: -1 until it is asked for                   */
    int64_t depth0;
    JValue before, now, after; /* after: J_MISSING unless it was looked at        */
    bool filtered;
    JValue changed;        /* what changed() saw last                             */
} JLoop;
bool jj_loop_next(Jinja *j, JLoop *l);          /* to the next item; false at the end */
JValue jj_loop_after(Jinja *j, JLoop *l);       /* J_MISSING: none                    */
int64_t jj_loop_length(Jinja *j, JLoop *l);
JValue jj_loop_again(Jinja *j, const JLoop *l, JValue items); /* loop(items) of a recursive loop: its text */

typedef struct JMethodRow {
    JKind kind;
    const char *name;
    JValue (*run)(Jinja *j, JValue self, const JArgs *args);
} JMethodRow;
typedef struct JMethod { const JMethodRow *row; JValue self; } JMethod;

typedef struct JFunctionRow { const char *name; JValue (*run)(Jinja *j, const JArgs *args); } JFunctionRow;

typedef struct JFilterRow { const char *name; JValue (*run)(Jinja *j, JValue v, const JArgs *args); } JFilterRow;
typedef struct JTestRow { const char *name; bool (*run)(Jinja *j, JValue v, const JArgs *args); } JTestRow;
const JFilterRow *jinja_filter(const JString *name); /* NULL: none */
const JTestRow *jinja_test(const JString *name);
extern const JFilterRow jinja_text_filters[], jinja_sequence_filters[],
    jinja_number_filters[]; /* end with a NULL name */
extern const JFunctionRow jinja_functions[];
const JMethodRow *jinja_method(JValue self, const JString *name); /* NULL: none */
extern const JMethodRow jinja_string_methods[], jinja_other_methods[];

JValue jj_eval(Jinja *j, const JNode *n);
JValue jj_eval_call(Jinja *j, const JNode *n, const JValue *caller); /* caller: of a call block, or NULL */
JValue jj_eval_filters(Jinja *j, const JNode *n, JValue v);          /* of a block's text               */
JValue jj_call(Jinja *j, JValue callee, const JArgs *args, const JString *name);
JValue jj_apply_filter(Jinja *j, const JString *name, const void *row, JValue v, const JArgs *args);
bool jj_apply_test(Jinja *j, const JString *name, const void *row, JValue v, const JArgs *args);
JValue jj_attribute(Jinja *j, JValue v, const JString *name);         /* v.name  */
JValue jj_item(Jinja *j, JValue v, JValue key);                       /* v[key]  */
JValue jj_slice(Jinja *j, JValue v, JValue from, JValue to, JValue step);
/* "a.b.0" of an item, as filters name attributes. */
JValue jj_path(Jinja *j, JValue v, JValue path);

void jj_assign(Jinja *j, const JNode *target, JValue value);
void jj_hide(Jinja *j, const JNodes *body);             /* in the scope that has just been entered */
typedef enum JFlow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } JFlow;
JFlow jj_run_body(Jinja *j, const JNodes *body);
JValue jj_run_macro(Jinja *j, const JMacro *m, const JArgs *args);
#endif
