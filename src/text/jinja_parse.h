/* jinja_parse.h: a template as tokens and as a tree. */
#ifndef JINJA_PARSE_H
#define JINJA_PARSE_H
#include "jinja_value.h"

/* ---- Tokens (jinja_lex.c) --------------------------------------------------------------------------------------- */

typedef enum JTokenKind {
    TOKEN_END, TOKEN_DATA, TOKEN_VARIABLE, TOKEN_VARIABLE_END, TOKEN_BLOCK, TOKEN_BLOCK_END, TOKEN_NAME, TOKEN_STRING,
    TOKEN_NUMBER, TOKEN_OPERATOR
} JTokenKind;

/* Operators of two characters; one-character ones are their character. */
enum { OPERATOR_EQ = 256, OPERATOR_NE, OPERATOR_LE, OPERATOR_GE, OPERATOR_FLOORDIV, OPERATOR_POW };

typedef struct JToken {
    JTokenKind kind;
    int op, line;
    JValue value; /* text of data, names and strings; numbers */
} JToken;

typedef struct JTokens { JToken *item; size_t count, room; } JTokens;
void jinja_lex(Jinja *j, const char *text, size_t bytes, JTokens *out);

/* ---- The tree --------------------------------------------------------------------------------------------------- */

typedef enum JNodeKind {
    /* Expressions */
    NODE_CONST,      /* value                                                              */
    NODE_NAME,       /* id                                                                 */
    NODE_TUPLE, NODE_LIST, /* list                                                         */
    NODE_DICT,       /* list: keys and values in turn                                      */
    NODE_NOT, NODE_NEGATE, NODE_PLUS, /* a                                                 */
    NODE_BINARY,     /* op: JOp; a, b                                                      */
    NODE_AND, NODE_OR, /* a, b                                                             */
    NODE_CONCAT,     /* list                                                               */
    NODE_COMPARE,    /* list; ops: what stands between (JComparison)                       */
    NODE_CONDITION,  /* a if b else c (may be NULL)                                        */
    NODE_ATTRIBUTE,  /* a.value                                                            */
    NODE_ITEM,       /* a[b]                                                               */
    NODE_SLICE,      /* a:b:c, each may be NULL                                            */
    NODE_CALL,       /* a(args)                                                            */
    NODE_FILTER,     /* a|value(args); a is NULL in a filter block                         */
    NODE_TEST,       /* a is value(args)                                                   */
    NODE_MEMBER,     /* the target id.value                                                */
    /* Statements */
    NODE_OUTPUT,     /* list                                                               */
    NODE_FOR,        /* for a in b if c; list, other; op: recursive                        */
    NODE_IF,         /* list of NODE_BRANCH; other                                         */
    NODE_BRANCH,     /* a; list                                                            */
    NODE_SET,        /* a = b                                                              */
    NODE_SET_BLOCK,  /* a; b: filters or NULL; list                                        */
    NODE_MACRO,      /* id, value: its name (none: of a call block); params, list          */
    NODE_CALL_BLOCK, /* a: the call; b: the macro of its body                              */
    NODE_FILTER_BLOCK, /* a: filters; list                                                 */
    NODE_WITH,       /* targets: targets and values in turn; list                          */
    NODE_SCOPE,      /* list in a scope of its own, seen from the outermost (block)        */
    NODE_GENERATION, /* list                                                               */
    NODE_BREAK, NODE_CONTINUE,
    NODE_REFUSED     /* value: what cannot be done, said when it is reached                */
} JNodeKind;

typedef enum JComparison {
    COMPARE_EQ,
    COMPARE_NE,
    COMPARE_LT,
    COMPARE_LE,
    COMPARE_GT,
    COMPARE_GE,
    COMPARE_IN,
    COMPARE_NOT_IN
} JComparison;

enum { USES_CALLER = 1, USES_KWARGS = 2, USES_VARARGS = 4 };

typedef struct JNode JNode;

/* hidden: of a body with a scope of its own: numbers of names that are undefined at its beginning (jinja_scope.c). */
typedef struct JNodes { JNode **item; size_t count, room; const JValue *hidden; size_t hidden_count; } JNodes;

typedef struct JNamedNode { const JString *name; JNode *value; } JNamedNode;
typedef struct JCallNode {
    JNodes item;
    JNamedNode *named;
    size_t named_count, named_room;
    JNode *star, *star_star; /* *a, **a; or NULL */
} JCallNode;

typedef struct JParams { int *id; const JString **name; JNode **otherwise; size_t count, room; int uses; } JParams;

struct JNode {
    uint8_t kind, op;
    int line, id;
    JValue value;
    JNode *a, *b, *c;
    JNodes list, other;
    JCallNode *args;
    JParams *params;
    const void *row;   /* of a filter or test: its row in a table, or NULL */
};

struct JinjaTemplate {
    JHeap heap;
    JNodes body;
    JDict *names;      /* of variables: name to number, 0, 1, ... */
    JDict *mentioned;  /* names, attributes, string constants     */
};

/* One parsing. */
typedef struct JParser {
    Jinja *j;
    JinjaTemplate *t;
    const JToken *at;
    int uses;          /* USES_ of the macro that is being read   */
} JParser;

/* jinja_expression.c */
enum { WITHOUT_CONDITION = 1, SIMPLE = 2, NAMESPACES = 4, PARENTHESES = 8 };
JNode *jp_expression(JParser *p);
/* An expression, or several with commas between them: a tuple. `end`: a name that ends it, or NULL. */
JNode *jp_tuple(JParser *p, int how, const char *end);
JNode *jp_filters(JParser *p, JNode *node, bool begun);
JNode *jp_node(JParser *p, JNodeKind kind);
void jp_push(JParser *p, JNodes *list, JNode *node);
int jp_name_id(JParser *p, const JString *name);
bool jp_is_op(const JParser *p, int op);
bool jp_is_name(const JParser *p, const char *name);
bool jp_skip_op(JParser *p, int op);
bool jp_skip_name(JParser *p, const char *name);
void jp_expect_op(JParser *p, int op);
const JString *jp_expect_name(JParser *p);
void jp_mention(JParser *p, JValue text);
_Noreturn void jp_unexpected(JParser *p, const char *expected);

/* jinja_scope.c: after the whole template has been read. */
void jp_scopes(JParser *p);
#endif
