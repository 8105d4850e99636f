/* prompt_logprobs.h: log-probabilities of a prompt's own tokens. Whatever the request's search, the scheduler feeds all of
 * the prompt but its last token in pieces whose rows of logits are asked for; of them only the log-probabilities are
 * kept. Such a prompt takes nothing from caches, which hold no logits. */
#ifndef PROMPT_LOGPROBS_H
#define PROMPT_LOGPROBS_H
#include "search.h"

/* Rows of logits of the step under way, [PROMPT_LOGPROBS_ROWS][vocab], shared by all requests that want some. */
enum { PROMPT_LOGPROBS_ROWS = 32 };
typedef struct PromptRows { float *logits; int64_t used; } PromptRows;

/* Room for them, if they are wanted; it is the request's. */
bool prompt_logprobs_begin(Request *r, Err *err);
/* Tokens that are still to be fed so; 0: it wants none, or has all. */
int64_t prompt_logprobs_left(const Request *r);
/* Adds the next piece, if there is room. */
bool prompt_logprobs_plan(Request *r, StepPlan *plan, PromptRows *rows, Err *err);
/* The step has run. */
bool prompt_logprobs_advance(Request *r, Err *err);
#endif
