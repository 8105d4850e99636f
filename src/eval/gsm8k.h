/* gsm8k.h: the data set (Cobbe et al. 2021) and the published protocols: who asks how, and which rules read the
 * answer. */
#ifndef GSM8K_H
#define GSM8K_H
#include "../io/json.h"
#include "answer.h"

enum { COT_SHOTS = 8, MAX_RULES = 2, MAX_PROTOCOL_STOPS = 4, MAX_SHOTS = 64, FEWSHOT_SEED = 1234 };

/* Questions and answers of test.jsonl or train.jsonl: [count], owned. */
typedef struct Problem { char *question, *answer; } Problem;
typedef struct Problems { Problem *item; int64_t count; size_t room; char path[512]; } Problems;

/* Reads JSON lines of {"question", "answer"}; a bad line is an error that names it. */
bool problems_read(Problems *p, const char *path, Err *err);
void problems_free(Problems *p);

/* Finds FILE of the data set: in `data` (a folder, or the file itself), or with NULL in data/gsm8k and
 * tests/data/gsm8k. */
bool gsm8k_find(const char *data, const char *file, char *path, size_t bytes, Err *err);

typedef struct Protocol Protocol;
struct Protocol {
    const char *name, *task, *version; /* version: of lm-eval's task, or "-" */
    const char *summary;
    int shots;                         /* unless --shots says otherwise      */
    int64_t max_new_tokens;
    const char *stop[MAX_PROTOCOL_STOPS];
    const AnswerRule *rule[MAX_RULES];
    int rules;
    bool draws;                        /* examples are drawn from train.jsonl, by lm-eval's generator */
    bool chat;                         /* zero-shot prompts go through the chat template              */
    bool model_config;                 /* what it does not set is generation_config.json's, as lm-eval has it */
    bool cuts;                         /* a prompt too long for the context loses its beginning       */
    /* Appends one question as it is asked, with its answer for an example (NULL: the question to be answered). */
    void (*ask)(const char *question, const char *answer, Text *out);
    const char *system, *joint;        /* of chats (NULL: the template's own); between examples */
};

extern const Protocol protocols[];     /* ended by a NULL name */
const Protocol *protocol_find(const char *name, Err *err);

/* The examples of every question: [questions][shots] indices into train, drawn as lm-eval draws them. */
uint32_t *fewshot_draws(int64_t questions, int64_t shots, int64_t train, uint64_t seed, Err *err);

/* How a prompt with examples goes to a chat model: not at all, whole as one user message (lm-eval's
 * --apply_chat_template), or every example as a turn of the conversation (its --fewshot_as_multiturn). */
typedef enum PromptForm { FORM_PLAIN, FORM_CHAT, FORM_TURNS } PromptForm;

/* The prompt of a question: plain text, or (*chat) a JSON array of messages. `draws` [shots], of protocols that
 * draw. */
bool gsm8k_prompt(const Protocol *p, const Problems *train, const uint32_t *draws, int64_t shots, const char *question,
                  PromptForm form, Text *out, bool *chat, Err *err);
#endif
