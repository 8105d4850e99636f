/* tool_prompt.h: what tools, thinking and structured outputs make of a chat: the messages that the template gets, how
 * the answer's text is to be read, and the grammar that binds it.
 *
 * Calls have one form, that of Qwen2.5 and Qwen3 (tool_stream.h). Where a template writes it, the template shows the
 * tools; where a template knows no tools, they are a section of the system message and calls and results of earlier
 * turns are text (the generic form). A template whose calls have another form is an error that shows it. */
#ifndef TOOL_PROMPT_H
#define TOOL_PROMPT_H
#include "chat_request.h"

typedef enum ToolForm {
    TOOL_FORM_TEMPLATE, /* the model's template writes calls in our form */
    TOOL_FORM_GENERIC,  /* it knows no tools                             */
    TOOL_FORM_OTHER     /* it writes them in another form                */
} ToolForm;
/* Found by rendering a probe. `shown`: how a template of another form writes a call; may be NULL. */
ToolForm tool_form(const QmTokenizer *t, char shown[160]);
const char *tool_form_name(ToolForm form); /* "template", "generic", "other" */

/* What qm_tokenizer_chat gets: {"messages", "tools", "documents", "variables"}; a new reference. NULL and an error, and
 * r->wrong names the member. */
json_t *tool_prompt(const QmTokenizer *t, ChatRequest *r, Err *err);

/* How the text of the answer is to be read: for tool_stream_start. */
typedef struct AnswerShape { bool tools, thinking, open; } AnswerShape;
/* `prompt`: the rendered one. Thinking is looked for where the vocabulary has <think>, or the prompt ends in it. */
AnswerShape answer_shape(const QmTokenizer *t, const ChatRequest *r, const char *prompt);

/* Binds p to what r->structure says and to the tools. False and an error, and r->wrong names the member. It may take a
 * second, for a large schema: not on a thread that others wait for. */
bool answer_structure(ChatRequest *r, AnswerShape shape, QmParameters *p, Err *err);
/* The same, and told gets the members that p was given. */
bool answer_structure_told(ChatRequest *r, AnswerShape shape, QmParameters *p, json_t *told, Err *err);
#endif
