/* conversation.h: the messages of a chat, and the file that keeps them. */
#ifndef CONVERSATION_H
#define CONVERSATION_H
#include <jansson.h>
#include "../base/base.h"

typedef struct Conversation {
    json_t *messages; /* objects with "role" and "content"                              */
    char *system;     /* the first of them; NULL: the template may add its own          */
    char *file;       /* where it was saved or loaded last: may be written again        */
} Conversation;

/* Without messages but the system's. */
bool conversation_clear(Conversation *c, Err *err);
/* Changes the system message and keeps the others; NULL: none. Fails on what is no UTF-8, as conversation_add does. */
bool conversation_system(Conversation *c, const char *text, Err *err);
bool conversation_add(Conversation *c, const char *role, const char *text, size_t bytes, Err *err);
/* Takes the last message away if it is an answer to one: the caller's reference; else NULL. */
json_t *conversation_take_answer(Conversation *c);
/* {"messages": [...]}, a line. A file that this conversation did not save or load is not written over. */
bool conversation_save(Conversation *c, const char *path, Err *err);
/* The messages of such a file, or of a list of them, in place of these; on an error these stay. */
bool conversation_load(Conversation *c, const char *path, Err *err);
void conversation_free(Conversation *c);
#endif
