/* answer_parts.h: what OpenAI's chats and completions write alike: the head of an answer, usage, tokens as texts, and
 * log-probabilities in both forms. All json_t are new references; NULL: memory ended. */
#ifndef ANSWER_PARTS_H
#define ANSWER_PARTS_H
#include "chat_run.h"

/* {"id", "object", "created", "model", "system_fingerprint", "choices": [..]}; takes `choices`. */
json_t *answer_head(const ChatRun *run, const char *object, json_t *choices);
/* "qwenmesh": {"seed"}, in a whole answer and in a choice's last chunk: which seed gives the answer again. */
bool answer_seed(const ChatRun *run, json_t *out);
json_t *usage_json(const ChatRun *run);
/* Sets "usage" of a chunk: of every one with continuous_usage_stats, null where it comes in the last one. */
bool chunk_usage(const ChatRun *run, json_t *chunk);
/* "obfuscation" of a chunk that tells `told`, where it is asked for or the connection is under TLS: random letters that make
 * pieces of a few characters equally long, since their sizes tell what was written through any encryption. */
bool chunk_padding(const ChatRun *run, const json_t *told, json_t *chunk);
/* The stream's last events: usage where it was asked for, then [DONE]. */
void stream_last(ChatRun *run, const char *object);
/* "qwenmesh" of a choice, where a proof was asked for; true also where there is nothing to say. */
bool choice_proof(const ChatRun *run, int64_t choice, json_t *out);
/* A token's text; bytes that are no whole characters become U+FFFD. */
json_t *token_text(const ChatRun *run, int32_t id, int64_t *characters);
/* {"content": [{"token", "logprob", "bytes", "top_logprobs": [..]}], "refusal": null} of a choice's untold tokens. */
json_t *chat_logprobs(const ChatRun *run, const ChatChoice *c);
/* The older form, of a completion: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}: first the prompt's
 * tokens, unless `prompt` is NULL, then the choice's untold ones. *offset: characters before, and after. */
json_t *completion_logprobs(const ChatRun *run, const ChatPrompt *prompt, const ChatChoice *c, int64_t *offset);
/* The ids of the choice's untold tokens. */
json_t *token_ids(const ChatChoice *c);
/* The best n of a prompt's samples, by the mean log-probability of their tokens, into out[n]: numbers of choices. */
void best_choices(const ChatRun *run, int64_t prompt, int64_t *out);
#endif
