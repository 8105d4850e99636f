/* protocol_form.h: how the other protocols write their answers. */
#ifndef PROTOCOL_FORM_H
#define PROTOCOL_FORM_H
#include "chat_run.h"

extern const ChatForm messages_form;                              /* anthropic_answer.c */
extern const ChatForm responses_form;                             /* responses_answer.c */
extern const ChatForm ollama_chat_form, ollama_generate_form;     /* ollama_answer.c    */

/* Ollama's: the state of an answer's form; NULL: memory ended. */
void *ollama_state(void);
#endif
