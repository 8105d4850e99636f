/* chat_run.h: a ChatRequest on its way to an answer: made ready (prompt, parameters, seed), run as a job, and handed to a
 * protocol's form as events. What is the same in every protocol is here; how it is written down is the form's.
 *
 * Threads: chat_run_start on a worker; all functions of a form under the job's lock, one at a time. */
#ifndef CHAT_RUN_H
#define CHAT_RUN_H
#include "chat_request.h"
#include "job.h"
#include "tool_stream.h"

typedef struct ChatRun ChatRun;

/* A call of a tool in an answer. */
typedef struct ChatCall {
    char id[NEW_ID_BYTES];   /* "call_..." */
    char name[65];
    Text arguments;          /* JSON as the model wrote it; of a stream empty */
} ChatCall;

/* A token that is final. Its rows of log-probabilities are in ChatChoice.logprobs. */
typedef struct ChatChoice {
    ToolStream stream;
    Text content, reasoning; /* all of it; of a stream empty                                                       */
    ChatCall *calls;         /* [call_count]                                                                       */
    int call_count;
    size_t call_capacity;
    /* Tokens that no event has told yet: of a stream those since the last one (the form takes them by
     * chat_choice_told), else all. The token that ended the answer is not among them. */
    int32_t *ids;            /* [token_count]                                                                      */
    QmLogprob *logprobs;     /* [token_count][1 + request.top_logprobs]; NULL: not asked for                       */
    int64_t token_count;
    size_t id_capacity, logprob_capacity;
    int64_t tokens;          /* generated so far, its end included                                                 */
    double logprob_sum;      /* of them, where best_of asks                                                        */
    bool fed;                /* its tokens came as events                                                          */
    const char *finish;      /* in OpenAI's words: "stop", "length", "tool_calls"; NULL: it goes on                */
    const char *stop;        /* the stop string that ended it, of the request's; NULL: none did                    */
    int64_t characters;      /* of the tokens told so far: the completion form's                                    */
    char proof[65];          /* "" unless asked for                                                                */
    /* What the generator said, kept where exchanges are saved (chat_saved.c). */
    QmSequence said;         /* ids and text malloc'ed; text NULL: not kept                                        */
} ChatChoice;

typedef struct ChatPrompt {
    int32_t *ids;            /* [count] */
    int64_t count, cached;   /* cached: tokens that a slot had already, once it is known */
    QmLogprob *logprobs;     /* [count][1 + request.top_logprobs]: of echo with logprobs, once they are known */
    json_t *parameters;      /* in force on top of the model's own, where exchanges are saved; or NULL        */
} ChatPrompt;

typedef struct ChatForm {
    const char *prefix;      /* of the answer's id: "chatcmpl-"                                                    */
    const char *call_prefix; /* of a call's; NULL: "call_"                                                         */
    const char *stream_type, *ping; /* of streams: JobOptions                                                       */
    /* Of a stream only: its head is sent; something is said by a choice; a choice has ended (choice->finish). */
    void (*begin)(ChatRun *run);
    void (*event)(ChatRun *run, int64_t choice, const ToolEvent *event);
    void (*done)(ChatRun *run, int64_t choice);
    /* All have ended: the whole answer by reply_json, or the stream's last events and stream_end. */
    void (*end)(ChatRun *run);
    void (*failed)(ChatRun *run, int status, const char *type, const char *message); /* a stream; NULL: as job.h says */
    void (*free)(void *state);
} ChatForm;

struct ChatRun {
    Call *call;
    ChatRequest request;
    json_t *body;            /* the request's texts are in it */
    const ChatForm *form;
    void *state;             /* the form's own                */
    char id[NEW_ID_BYTES];
    int64_t created;         /* seconds of the epoch          */
    const char *model;       /* the name that answers give    */
    const char *adapter;     /* which that name asks for, or NULL */
    int64_t seed;            /* in force                      */
    ChatPrompt *prompts;     /* [prompt_count]; of a chat one */
    int64_t prompt_count;
    ChatChoice *choices;     /* [choice_count]: prompts x samples, prompt by prompt */
    int64_t choice_count, samples; /* samples: best_of of each prompt               */
    Job *job;                /* from begin on */
};

/* Runs it and answers, in every case: what is wrong with it is answered before a stream begins. Takes over `request`,
 * which it leaves empty, and state (freed by form->free). */
void chat_run_start(Call *call, ChatRequest *request, const ChatForm *form, void *state);

/* The tokens of all prompts, those of them that were cached, and those generated by all choices. */
typedef struct ChatUsage { int64_t prompt, cached, generated; } ChatUsage;
ChatUsage chat_run_usage(const ChatRun *run);
void chat_choice_told(ChatChoice *choice); /* its tokens were told: token_count is 0 then */

/* Exchanges for `replay` (chat_saved.c). Keeps what a choice said; false: memory ended. */
bool chat_choice_keep(ChatChoice *choice, const QmSequence *said, Err *err);
/* Writes the run's file into the folder, brought to the disk. */
bool chat_run_save(const ChatRun *run, const char *folder, Err *err);

/* Members that nothing reads go to the log, once for each set of names. */
void note_unknown(const Call *call, const ChatRequest *r);

/* ---- Prompts without a run (token counts, /apply-template): chat_prompt.c ------------------------------------------ */

/* The ids of a chat's prompt, malloc'ed, tools and all; *text, if wanted, is the rendered prompt. -1 and an error, and
 * r->wrong may name the member. */
int64_t chat_prompt_ids(const Server *s, ChatRequest *r, int32_t **ids, char **text, Err *err);
/* The same of a text or ids of a completion; ids outside the vocabulary are an error. */
int64_t prompt_text_ids(const Server *s, const PromptText *p, int32_t **ids, Err *err);
#endif
