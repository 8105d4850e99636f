/* job.h: the generations of one request: n choices, or several prompts, each a request to the generator; from admission to
 * the last one's end. A handler makes items of its JSON, starts a job and returns; events then tell what is generated.
 *
 * Events come one at a time, under the job's lock: begin from job_start, the others on the engine's thread. They format
 * into the answer (reply_json, stream_event, ...), which never waits for the client, and must not block otherwise. */
#ifndef JOB_H
#define JOB_H
#include "server.h"

typedef struct Job Job;

typedef struct JobToken {
    int32_t id;                 /* -1: no token, text that had been held back until the end                    */
    const char *text;           /* [bytes] whole characters that are final now; may be empty                   */
    size_t bytes;
    const QmLogprob *logprobs;  /* [1 + alternatives]: the token itself, then the likeliest; NULL: not asked for */
    int64_t alternatives;
} JobToken;

typedef struct JobEvents {
    void (*begin)(Job *job);    /* all items are taken; where there is a stream, its head has been sent         */
    void (*token)(Job *job, int64_t item, const JobToken *token);
    /* An item has ended. finish: "stop", "length", ... ; the answer is valid during the call only. Not called for items
     * that have none. */
    void (*done)(Job *job, int64_t item, const QmAnswer *answer);
    void (*end)(Job *job);      /* all have ended well: answer, or say the stream's last events and stream_end  */
    /* A stream that has begun cannot go on: say so in its own form; the job ends the stream after it. NULL: an event of
     * OpenAI's form, and [DONE]. Without a stream the job answers with status and error itself. */
    void (*failed)(Job *job, int status, const char *type, const char *message);
    void (*free)(void *user);   /* the last thing, in every case, also where the job could not start             */
} JobEvents;

typedef struct JobItem {
    const int32_t *ids;         /* [count] the prompt                                                          */
    int64_t count;
    const QmParameters *parameters;
    uint64_t sequence;          /* items of one seed with different numbers draw apart: the index of a choice   */
    bool chat;                  /* the end of a turn ends it                                                    */
    const char *adapter;        /* of those that the engine has; NULL: none                                     */
    bool proof;                 /* QmSequence.proof is wanted                                                   */
} JobItem;

typedef struct JobOptions {
    const JobEvents *events;
    void *user;
    const char *stream;         /* type of a stream ("text/event-stream"); NULL: one answer                    */
    const char *ping;           /* sent into a stream that was silent for 10 s (": ping\n\n"); NULL: nothing    */
    bool shared;                /* what its prompts begin with may be reused for other keys' requests: no salt  */
} JobOptions;

/* Takes the items to the queue, all or none; they are not needed afterwards. Where they cannot be taken it has answered
 * (400, 429, 503) and freed the user. Either way the call is served: the handler just returns. */
void job_start(Call *call, const JobOptions *options, const JobItem *items, int64_t count);

Call *job_call(const Job *job);
void *job_user(const Job *job);
int64_t job_items(const Job *job);
/* Enough: the item ends at the next step, with finish "interrupted"; `done` comes as usual. In events only. */
void job_cancel(Job *job, int64_t item);

/* ---- For serve.c and routes that look at all of them ------------------------------------------------------------- */

typedef struct Jobs Jobs;
Jobs *jobs_new(Server *s, Err *err);
void jobs_free(Jobs *jobs);
/* Engine's thread, once a step: cancels those whose clients have gone or whose time is over, and pings. */
void jobs_look(Jobs *jobs);
void jobs_cancel_all(Jobs *jobs, int status, const char *why); /* they end at the next step, told so */
bool jobs_any(Jobs *jobs);
void jobs_count(Jobs *jobs, int64_t *running, int64_t *waiting); /* items */
/* A line of each that lives, for /slots: under its lock. */
void jobs_each(Jobs *jobs, void (*see)(void *owner, const Call *call, int64_t item, bool running, int64_t generated),
               void *owner);
#endif
