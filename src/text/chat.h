/* chat.h: messages to prompt text, by a chat template: the tokenizer's own, one from a file, or one of two that the
 * program brings along.
 */
#ifndef CHAT_H
#define CHAT_H
#include "jinja.h"

typedef struct QmTemplate {
    JinjaTemplate *usual, *with_tools; /* with_tools: where tools are given; NULL: the usual one          */
    char *wrong;          /* why the tokenizer's own cannot be used: said when it is needed; owned, or NULL */
    const char *needs;    /* control tokens without which it makes no sense, parted by spaces, or NULL      */
    json_t *tokens;       /* bos_token, eos_token, ...: text of special tokens by their names, or NULL      */
    json_t *arguments;    /* variables that the user gives, or NULL                                         */
    uint8_t chosen[32];   /* SHA-256 of the text that chat_choose took; zeros: it is the tokenizer's own    */
} ChatTemplate;

/* Takes a tokenizer's own template. What is wrong with its text is kept for the first rendering: fails for want of
 * memory only. `with_tools`: the one for requests with tools. */
bool chat_take(ChatTemplate *chat, const char *text, size_t bytes, bool with_tools, Err *err);
/* By name: "qwen2.5" or "chatml"; or, with a slash in it or .jinja at its end, a file. */
bool chat_choose(ChatTemplate *chat, const char *name, Err *err);
/* A special token's text under its name, such as bos_token. */
bool chat_token(ChatTemplate *chat, const char *name, const char *text, size_t bytes, Err *err);
/* A variable as "NAME=JSON". */
bool chat_argument(ChatTemplate *chat, const char *assignment, Err *err);
void chat_free(ChatTemplate *chat);

/* Renders a JSON array of messages, or an object with "messages", "tools", "documents" and "variables". Lists of text
 * parts become one text where the template has no place for parts; what a template has no place for at all (tools,
 * calls) is an error. */
bool chat_render(const ChatTemplate *chat, const char *json, size_t bytes, bool add_generation_prompt, Prompt *out,
                 Err *err);
/* The same of what is read already. */
bool chat_render_value(const ChatTemplate *chat, const json_t *root, bool add_generation_prompt, Prompt *out, Err *err);
/* As transformers renders it: messages go to the template as they are, and add_generation_prompt is false unless the
 * variables say otherwise. */
bool chat_render_bare(const ChatTemplate *chat, const json_t *root, Prompt *out, Err *err);

/* The two built-in templates (chat_builtin.c). */
extern const char chat_chatml[], chat_qwen25[];

/* Appends `value` as Hugging Face's tojson filter writes it: Python's json.dumps with ensure_ascii=False. */
void python_json(const json_t *value, Text *out);
#endif
