/* train_chat.h: a conversation to tokens, and which of them the assistant's turns are. */
#ifndef TRAIN_CHAT_H
#define TRAIN_CHAT_H
#include "train_sample.h"

/* request: {"messages", "tools"?, "documents"?, "variables"?}. Labels by the options' mask. A conversation of which no
 * token gets one is an error. */
bool chat_sample(const TrainReader *reader, const json_t *request, Sample *out, Err *err);
/* Messages that follow others: labels behind the tokens of `request` with its generation prompt. completion: a list. */
bool chat_completion(const TrainReader *reader, const json_t *request, const json_t *completion, Sample *out,
                     Err *err);

/* ---- chat_forms.c: what other programs call a conversation. A new reference, or NULL and an error. --------------- */

/* {"messages": [...], "tools": [...]} of the line of a file, whichever of its members there are. Arguments of tool
 * calls that are given as a text are read. */
json_t *request_of_messages(const json_t *line, const json_t *messages, Err *err);
json_t *request_of_sharegpt(const json_t *line, Err *err);
json_t *request_of_alpaca(const json_t *line, Err *err);
json_t *request_of_question(const json_t *line, Err *err);
#endif
