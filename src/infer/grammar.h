/* grammar.h: constraints on generated text: a context-free grammar over bytes, from a subset of GBNF, a regular
 * expression, or a JSON schema. Bounded whatever the text: sizes below, and every byte of a match costs at most
 * 2 * MAX_CONFIGS steps. */
#ifndef GRAMMAR_H
#define GRAMMAR_H
#include "../io/json.h"

enum {
    MAX_GRAMMAR_BYTES = 1 << 20,
    MAX_GRAMMAR_NODES = 1 << 20,  /* of the expanded grammar                                     */
    MAX_GRAMMAR_DEPTH = 100,      /* of brackets and nested schemas                              */
    MAX_CONFIGS = 1 << 13,        /* ways to read one text that a matcher follows: more are dropped */
    MAX_STACK = 512,              /* rules within rules: deeper ways are dropped                 */
    MAX_MASKS = 256               /* masks of tokens kept by one matcher                         */
};

typedef struct Grammar Grammar; /* immutable, counted */

/* NULL and an error that names the place. Each has one user, who calls grammar_release. */
Grammar *grammar_gbnf(const char *text, size_t bytes, Err *err);
Grammar *grammar_regex(const char *text, size_t bytes, Err *err);      /* matches the whole text */
Grammar *grammar_json_schema(const json_t *schema, Err *err);          /* true or {}: any JSON   */
Grammar *grammar_json_object(Err *err);                                /* any JSON object         */
/* Made of others, which are borrowed (grammar_join.c). A NULL among them is an error that `err` has already. */
Grammar *grammar_then(Grammar *const *parts, int count, Err *err);     /* one after another       */
Grammar *grammar_either(Grammar *const *ways, int count, Err *err);    /* one of them             */
Grammar *grammar_list(Grammar *one, Grammar *between, Err *err);       /* one or more             */
Grammar *grammar_text(const char *text, size_t bytes, Err *err);       /* that text               */
/* Text in which the mark, a text in ASCII, does not occur; with_mark: and then the mark. */
Grammar *grammar_until(const char *mark, bool with_mark, Err *err);
Grammar *grammar_share(Grammar *grammar);
void grammar_release(Grammar *grammar);

/* A matcher reads bytes. Its states are numbered from 0, the start; MATCH_DEAD is where no text of the grammar goes
 * on. */
typedef struct Matcher Matcher; /* counted; states and masks are kept as they are found */
enum { MATCH_DEAD = -1 };
/* tokenizer may be NULL when no masks are asked for. */
Matcher *matcher_new(Grammar *grammar, const QmTokenizer *tokenizer, Err *err);
Matcher *matcher_share(Matcher *matcher);
void matcher_release(Matcher *matcher);
const Grammar *matcher_grammar(const Matcher *matcher);
/* Whether another request may go on with it from the start: nobody else has it, no budget was spent, and it is small
 * enough to be kept. What a request says does not depend on it, but for a grammar at the edge of its budget. */
bool matcher_reusable(const Matcher *matcher);
/* What ended the last call that gave an error: its budget, which is the grammar's fault, or memory. */
typedef enum MatchFault { MATCH_SOUND, MATCH_SPENT, MATCH_STARVED } MatchFault;
MatchFault matcher_fault(const Matcher *matcher);
/* The state after more bytes. -2 and an error when the budget of this call is spent or memory ends. */
int32_t matcher_read(Matcher *matcher, int32_t state, const uint8_t *bytes, size_t count, Err *err);
bool matcher_accepts(const Matcher *matcher, int32_t state); /* the text so far is whole      */
bool matcher_ended(const Matcher *matcher, int32_t state);   /* ... and nothing can follow it */
/* Bit id of the mask: the token may follow. Valid until the next call. NULL and an error as
 * matcher_read. */
const uint8_t *matcher_mask(Matcher *matcher, int32_t state, Err *err);

int64_t matcher_tokens(const Matcher *matcher); /* bits of a mask */

/* The expanded grammar. */
typedef enum GrammarNodeKind { GRAMMAR_RETURN, GRAMMAR_BYTES, GRAMMAR_FORK, GRAMMAR_CALL } GrammarNodeKind;
typedef struct GrammarNode {
    uint8_t kind, low, high;  /* bytes low .. high             */
    int32_t next, other;      /* fork: the other way; call: the rule's start */
} GrammarNode;
struct Grammar {
    _Atomic int users;
    GrammarNode *node;        /* node 0 returns                */
    int32_t count, start;
};
#endif
