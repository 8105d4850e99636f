/* chat_request.h: what a client asks to be generated, whatever its protocol. Each protocol's reader fills one ChatRequest
 * from its body; what runs requests knows no protocol.
 *
 * Every count is bounded here, before anything is made by it. A member that is null is as if it were not there. */
#ifndef CHAT_REQUEST_H
#define CHAT_REQUEST_H
#include "../io/json.h"

enum {
    MAX_MESSAGES = 16384,
    MAX_TOOLS = 128,
    MAX_CHOICES = 128,     /* n, best_of                                             */
    MAX_PROMPTS = 2048,    /* of one completion; prompts x best_of are at most as many */
    MAX_STOPS = 16,
    MAX_TOP_LOGPROBS = 20,
    MAX_BIASES = 4096      /* logit_bias, stop_token_ids                             */
};

typedef enum ToolChoice { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_NAMED } ToolChoice;

/* A prompt of a completion: a text, or ids. Borrowed from the body. */
typedef struct PromptText { const char *text; size_t bytes; const json_t *ids; } PromptText;

typedef struct ChatRequest {
    char model[256];       /* as it was asked for; "": any                                                        */
    /* A chat: messages as templates take them (roles system, user, assistant, tool; content a string or text parts;
     * arguments of tool calls as objects). NULL: a completion. */
    json_t *messages;
    json_t *tools;         /* [{"type": "function", "function": {"name", "description", "parameters"}}]; NULL: none */
    ToolChoice tool_choice; /* TOOLS_NONE where there are no tools                                               */
    char tool_name[65];    /* of TOOLS_NAMED, one of the tools                                                    */
    bool parallel_tools;
    bool functions;        /* they came as "functions", and calls go back as "function_call"                       */
    json_t *variables;     /* chat_template_kwargs, an object; NULL: none                                         */
    json_t *documents;     /* for the template; NULL: none                                                        */
    bool add_generation_prompt, continue_final;
    /* A completion. */
    PromptText *prompts;   /* [prompt_count], in the body, which must stay                                        */
    int64_t prompt_count;
    bool echo;
    /* Both. */
    int64_t n, best_of;    /* choices told of each prompt; samples that these are the best of                     */
    int64_t max_new;       /* -1: as many as the context has room for                                             */
    bool stream, include_usage, continuous_usage;
    enum { PADDING_UNSAID, PADDING_OFF, PADDING_ON } padding; /* of chunks: where nothing is said, over TLS only   */
    bool logprobs;
    int64_t top_logprobs;
    bool seeded;           /* else `seed` is nobody's choice yet                                                  */
    int64_t seed;          /* 0 to INT64_MAX                                                                      */
    bool proof, token_ids; /* "qwenmesh": {"proof"}; return_token_ids                                             */
    bool ignore_eos;
    int32_t *stop_ids;     /* [stop_id_count] end an answer beside the model's own ends                           */
    int64_t stop_id_count;
    json_t *parameters;    /* an object for qm_parameters_set: temperature, top_p, do_sample, stop_strings, logit_bias ... */
    json_t *structure;     /* what binds the form of the text, as it was given: response_format, json_schema, grammar,
                              regex, guided_*, structured_outputs; an object, NULL: nothing does                  */
    json_t *options;       /* the "qwenmesh" member, an object; NULL: none                                        */
    char unknown[256];     /* names of members that nobody reads, for the log; ", " between them                  */
    char wrong[96];        /* of a request that was refused: the member, as "messages[2].content"; "": none       */
} ChatRequest;

/* POST /v1/chat/completions and /v1/completions. False: `err` says why and r->wrong names the member. Free with
 * chat_request_free, also after failure; `body` must live as long. */
bool chat_request_read(ChatRequest *r, const json_t *body, Err *err);
bool completion_request_read(ChatRequest *r, const json_t *body, Err *err);
void chat_request_free(ChatRequest *r);

/* ---- For readers of other protocols ------------------------------------------------------------------------------ */

/* A request with defaults and nothing in it. */
bool chat_request_new(ChatRequest *r, Err *err);
/* False, an error of kind QM_INPUT, and the member's name in r->wrong: "PARAM: expected ..., got ...". */
bool request_wrong(ChatRequest *r, Err *err, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A member; NULL where it is null. */
json_t *request_member(const json_t *body, const char *name);
/* One that is there must be of its type and in its range; *out is left as it was where there is none. */
bool request_model(ChatRequest *r, const json_t *body, Err *err); /* "model" */
bool request_padding(ChatRequest *r, const json_t *stream_options, Err *err); /* its include_obfuscation */
bool request_flag(ChatRequest *r, const json_t *body, const char *name, bool *out, Err *err);
bool request_count(ChatRequest *r, const json_t *body, const char *name, int64_t low, int64_t high, int64_t *out,
                   Err *err);
/* r->parameters gets `value`, which it takes over; NULL: memory ended. */
bool request_put(ChatRequest *r, const char *parameter, json_t *value, Err *err);
/* Members of `body`, each checked: numbers of sampling into r->parameters (under their own names here),
 * `names` NULL-terminated. */
typedef struct NumberField {
    const char *name, *parameter; /* in the body, and of QmParameters                                            */
    double low, high;
    bool whole;
} NumberField;
bool request_numbers(ChatRequest *r, const json_t *body, const NumberField *fields, int count, Err *err);
bool request_stops(ChatRequest *r, const json_t *stop, const char *param, Err *err); /* NULL, a string or a list */
bool request_seed(ChatRequest *r, const json_t *seed, Err *err);
/* Temperature decides whether a draw is made: after request_numbers. */
bool request_sampling(ChatRequest *r, Err *err);
/* A string, a list of strings, ids, or lists of ids into r->prompts. */
bool request_prompts(ChatRequest *r, const json_t *prompt, const char *param, Err *err);
/* Appends a message to r->messages; takes over `content` (a string or text parts; NULL: ""). */
bool request_message(ChatRequest *r, const char *role, json_t *content, Err *err);
/* OpenAI's list of messages, and its tools and tool_choice (chat_messages.c, chat_tools.c). */
bool request_messages(ChatRequest *r, const json_t *messages, Err *err);
bool request_tools(ChatRequest *r, const json_t *tools, const json_t *choice, const json_t *parallel, Err *err);
/* The older "functions" and "function_call", as tools. */
bool request_functions(ChatRequest *r, const json_t *functions, const json_t *choice, Err *err);
/* Whether a tool may have that name: [A-Za-z0-9_-]{1,64}. */
bool tool_name_ok(const char *name, size_t bytes);
/* Whether a tool of the request has that name. */
bool request_has_tool(const ChatRequest *r, const char *name);
/* What chats and completions have in common: model, lengths, sampling, stops, stream, seed, structure, and members of
 * this program's own. `least`: of max_tokens. */
bool request_fields(ChatRequest *r, const json_t *body, int64_t least, Err *err);
/* Notes in r->unknown the members of a body that neither request_fields nor `more` (NULL-terminated) has. */
void request_unknown(ChatRequest *r, const json_t *body, const char *const *more);
/* Memory ended: false and the error. */
bool request_memory(Err *err);
#endif
