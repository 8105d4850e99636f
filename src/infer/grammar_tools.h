/* grammar_tools.h: within src/infer: answers that may call tools, and such that begin with a part of thinking. */
#ifndef GRAMMAR_TOOLS_H
#define GRAMMAR_TOOLS_H
#include "grammar.h"

/* {"tools": [{"name", "parameters", "strict"}], "required": false, "parallel": true}: the text is calls of these, at
 * least one where they are required, or else `content` (NULL: any text without the tag), or such text and then calls.
 * Each tool's "parameters" are a schema, a document of its own. One that cannot be kept is refused where the tool is
 * strict; elsewhere its arguments are any object. */
Grammar *grammar_tools(const json_t *member, const Grammar *content, const char *where, Err *err);

/* Whether an answer may begin with <think>...</think>, or the prompt has begun it. */
typedef enum Thinking { THINKING_NONE, THINKING_MAY, THINKING_OPEN } Thinking;
/* `after`, which is borrowed, behind such a part. */
Grammar *grammar_thinking(Thinking thinking, Grammar *after, Err *err);
#endif
