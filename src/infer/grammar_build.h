/* grammar_build.h: within src/infer: how the readers of notations build a grammar. Expressions have numbers and may be
 * shared; 0 is the empty text; -1 is an error, which every function passes on. */
#ifndef GRAMMAR_BUILD_H
#define GRAMMAR_BUILD_H
#include "automaton.h"
#include "grammar.h"

enum { MAX_EXPRESSIONS = 1 << 19, MAX_RULES = 1 << 16, MAX_REPEAT = 1 << 17, MAX_NAMED_RULES = 4096 };

typedef enum ExprKind {
    EXPR_EMPTY, EXPR_NEVER, EXPR_TEXT, EXPR_CLASS, EXPR_THEN, EXPR_OR, EXPR_REPEAT, EXPR_RULE,
    EXPR_BEGIN, EXPR_END,   /* ^ and $: in patterns only, which become automata */
    EXPR_AUTOMATON
} ExprKind;
typedef struct Expr {
    ExprKind kind;
    int a, b;               /* parts; text and class: first item and count; rule: its number; automaton: b: in JSON */
    int64_t least, most;
    const Automaton *automaton;
} Expr;
typedef struct Rule {
    char *name;             /* NULL: it has none */
    int body;               /* -1: not defined   */
    int32_t start;          /* -1: not yet       */
    uint8_t mark;
} Rule;

typedef struct Builder {
    Err *err;
    Expr *expr;
    CodeRange *range;
    Rule *rule;
    char *text;
    GrammarNode *node;
    size_t exprs, expr_room, ranges, range_room, rules, rule_room, named, bytes, byte_room, nodes, node_room;
    int depth;
    int64_t work;
    bool forward;           /* no rule can call itself before it reads a byte: need not be checked */
} Builder;

Builder *builder_new(Err *err);
void builder_free(Builder *b);
bool builder_fail(Builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

int builder_text(Builder *b, const char *text, size_t bytes);
int builder_class(Builder *b, const CodeRange *ranges, int count, bool negated); /* one character */
int builder_then(Builder *b, int first, int second);
int builder_or(Builder *b, int one, int other);
int builder_repeat(Builder *b, int of, int64_t least, int64_t most);             /* most -1: no end */
int builder_never(Builder *b);                                                   /* no text at all  */
int builder_anchor(Builder *b, bool end);
/* The automaton's texts as they stand, or as JSON writes them within a string. It must live until builder_finish. */
int builder_automaton(Builder *b, const Automaton *automaton, bool json);

/* Rules by number, and by name (GBNF): a call may come before the definition. */
int builder_rule(Builder *b);
int builder_call(Builder *b, int rule);
bool builder_define(Builder *b, int rule, int body);
int builder_named(Builder *b, const char *name, size_t bytes); /* the rule's number */

/* Checks and expands; frees the builder. */
Grammar *builder_finish(Builder *b, int root);

/* Within the grammar*.c files. */
bool grammar_expand(Builder *b);            /* every rule's body into nodes; node 0 returns      */
bool grammar_check_left(Builder *b);        /* no rule calls itself before it reads a byte       */
bool grammar_prune(Builder *b, int root);   /* ways that never end are cut off; one must be left */
/* A pattern of a schema as an expression: ECMA-262's, where ^ and $ may stand anywhere. */
int builder_pattern(Builder *b, const char *text, size_t bytes);
#endif
