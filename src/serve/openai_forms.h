/* openai_forms.h: how OpenAI's routes for text write their answers. */
#ifndef OPENAI_FORMS_H
#define OPENAI_FORMS_H
#include "chat_run.h"

extern const ChatForm openai_chat_form, openai_completion_form; /* chat_answer.c, completion_answer.c */
#endif
