/* run_parameters.h: a request's members as the generator's parameters. */
#ifndef RUN_PARAMETERS_H
#define RUN_PARAMETERS_H
#include "chat_request.h"
#include "server.h"
#include "tool_prompt.h"

/* What is in force. room: positions left after the prompt. NULL and an error; r->wrong may name the member. *told: the
 * members that qm_parameters_set got on top of the model's own, a new reference; or NULL. */
QmParameters *run_parameters(const Server *s, ChatRequest *r, int64_t seed, int64_t room, AnswerShape shape,
                             json_t **told, Err *err);
bool request_beams(const ChatRequest *r); /* all choices of a prompt are found together, by beams */
#endif
