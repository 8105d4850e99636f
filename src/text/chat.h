/* chat.h: messages to prompt text. Templates are recognised, not interpreted: each kind is rendered by C code of its
 * own.
 *
 * A chat template (Jinja) says how a model was trained to see a conversation. We know Qwen2.5's, with its tools, and
 * plain ChatML; an unknown one is an error, because a prompt that is almost right is worse than none.
 */
#ifndef CHAT_H
#define CHAT_H
#include <jansson.h>
#include "added.h"

typedef enum ChatKind { CHAT_NONE, CHAT_UNKNOWN, CHAT_CHATML, CHAT_QWEN25 } ChatKind;

typedef struct ChatTemplate {
    ChatKind kind;
    char *system; /* the system message when the first message is none; NULL: none is added. Owned. */
} ChatTemplate;

/* Recognises a template's text; never fails but for memory: what is not known is CHAT_UNKNOWN. */
bool chat_recognise(ChatTemplate *chat, const char *text, size_t bytes, Err *err);
/* By name: "qwen2.5" or "chatml"; or, with a slash in it or .jinja at its end, by a file that must be one we know. */
bool chat_choose(ChatTemplate *chat, const char *name, Err *err);
void chat_free(ChatTemplate *chat);

/* A rendered prompt: text, and which parts of it the template wrote. Only there may control tokens stand. */
typedef struct Prompt {
    Text text;
    Span *open;        /* in order, apart; owned */
    size_t open_count, open_room;
} Prompt;

/* Renders a JSON array of messages, or an object with "messages" and "tools". */
bool chat_render(const ChatTemplate *chat, const char *json, size_t bytes, bool add_generation_prompt, Prompt *out,
                 Err *err);
/* The same of what is read already. */
bool chat_render_value(const ChatTemplate *chat, const json_t *root, bool add_generation_prompt, Prompt *out, Err *err);
void prompt_free(Prompt *prompt);

/* Appends `value` as Hugging Face's tojson filter writes it: Python's json.dumps with ensure_ascii=False. */
void python_json(const json_t *value, Text *out);
void python_json_text(const char *text, size_t bytes, Text *out); /* one string, quoted */
#endif
