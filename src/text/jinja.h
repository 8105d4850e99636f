/* jinja.h: chat templates: the language Jinja as transformers sets it up for them (trim_blocks, lstrip_blocks, an
 * immutable sandbox, break and continue, {% generation %}, its own tojson). docs/templates.md says what there is.
 *
 * Text keeps where it comes from, character by character, through every filter and operator: what the template wrote
 * itself, or what came in as data. Only the former may become control tokens. */
#ifndef JINJA_H
#define JINJA_H
#include <jansson.h>
#include "added.h"

/* A rendered prompt: text, and which parts of it the template wrote. Only there may control tokens stand. */
typedef struct Prompt {
    Text text;
    Span *open;         /* bytes, in order, apart; owned                                                 */
    size_t open_count;
    Span *generation;   /* of {% generation %} blocks: characters (code points), in order; owned         */
    size_t generation_count;
} Prompt;
void prompt_free(Prompt *prompt);

enum { JINJA_MOST_BYTES = 1 << 20 }; /* of a template's text */

typedef struct JinjaTemplate JinjaTemplate;

/* Parses a template's text, which is not needed afterwards. NULL and an error with the line. A template may be
 * rendered by any number of threads at once. */
JinjaTemplate *jinja_parse(const char *text, size_t bytes, Err *err);
void jinja_free(JinjaTemplate *t);
/* Whether the template has `name` as a variable, as an attribute or as a whole string constant. */
bool jinja_mentions(const JinjaTemplate *t, const char *name);

/* What one rendering may take. `bytes`: beside 16 times the bytes of the variables. */
typedef struct JinjaLimits { int64_t steps; size_t bytes; } JinjaLimits;
extern const JinjaLimits jinja_limits;

/* `value` is borrowed during the rendering; NULL is none. `data`: its text never becomes a control token. */
typedef struct JinjaVariable { const char *name; const json_t *value; bool data; } JinjaVariable;

/* Renders; a later variable of the same name wins. `limits`: NULL for jinja_limits. */
bool jinja_render(const JinjaTemplate *t, const JinjaVariable *variables, size_t count, const JinjaLimits *limits,
                  Prompt *out, Err *err);
#endif
