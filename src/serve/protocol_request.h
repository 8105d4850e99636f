/* protocol_request.h: readers of the other protocols' bodies: each fills a ChatRequest. A reader returns false with an
 * error, and r->wrong names the member; r is to be freed in any case, and the body must live as long. */
#ifndef PROTOCOL_REQUEST_H
#define PROTOCOL_REQUEST_H
#include "chat_request.h"

/* Anthropic's POST /v1/messages. `counting`: of count_tokens, which needs no max_tokens. */
bool messages_request_read(ChatRequest *r, const json_t *body, bool counting, Err *err);
/* OpenAI's POST /v1/responses. */
bool responses_request_read(ChatRequest *r, const json_t *body, Err *err);
/* Ollama's POST /api/chat and /api/generate, where a template makes the prompt unless "raw" is true. */
bool ollama_chat_read(ChatRequest *r, const json_t *body, Err *err);
bool ollama_generate_read(ChatRequest *r, const json_t *body, Err *err);

/* ---- What the readers share (protocol_parts.c) ------------------------------------------------------------------- */

/* The texts of a string or of a list of parts whose type is one of `types` (NULL-terminated), a line end between them:
 * a new string. A part of another type is an error that names it. */
json_t *protocol_text(ChatRequest *r, const json_t *content, const char *const *types, const char *where, Err *err);
/* Appends a message with one more member; takes over `value`. */
bool protocol_message(ChatRequest *r, const char *role, json_t *content, const char *member, json_t *value, Err *err);
/* A system message: to the end of the one before, if all so far are such, for templates know one. Takes over `text`. */
bool protocol_system(ChatRequest *r, json_t *text, Err *err);
/* Appends a call to the message of the assistant that is last, or to a new one. Takes over `arguments`, an object. */
bool protocol_call(ChatRequest *r, const json_t *id, const json_t *name, json_t *arguments, const char *where,
                   Err *err);
/* A tool in OpenAI's form, appended to `list`; members that are NULL are left out. */
bool protocol_tool(json_t *list, json_t *name, json_t *description, json_t *parameters, json_t *strict, Err *err);
/* A variable for the chat template, unless the request brought it itself. */
bool protocol_variable(ChatRequest *r, const char *name, json_t *value, Err *err);
/* Notes members that nobody reads: those of `body` that are not among `known`. */
void protocol_unknown(ChatRequest *r, const json_t *body, const char *const *known);
#endif
