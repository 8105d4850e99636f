/* qwenmesh.h: the public face of libqwenmesh.a, and all that the command line program uses of the model.
 *
 * Two handles: an Engine is a model loaded on a mesh of devices, read-only once open; a Session is one
 * timeline of tokens with its key/value cache. A Tokenizer turns text into ids and back.
 *
 * Threads: any number may call any function at once, each with sessions of its own, and get the bits that one caller
 * gets; an engine serves them one after another. A session is one caller's at a time, in qm_session_copy both are; who
 * opened an engine or tokenizer closes it when nobody uses it any more. Opening and closing wait for each other. After
 * fork() only the parent may use what it had opened: workers are threads, and the child has none of them.
 *
 * Every function that can fail takes a QmErr and returns false, NULL or -1 after filling it. The first error wins:
 * a second failure leaves the text alone. Zero a QmErr before its first use.
 */
#ifndef QWENMESH_H
#define QWENMESH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QM_VERSION "0.1.0"
#define QM_API __attribute__((visibility("default")))

/* QM_VERSION of the library in use: of a shared one it may differ from this header's. */
QM_API const char *qm_version(void);

/* ---- Errors ------------------------------------------------------------------------------------------------- */

/* Whose fault it is, and so what to do about it. */
typedef enum QmErrKind {
    QM_OK,          /* no error                                                                              */
    QM_USAGE,       /* the call is wrong whatever the data: an option's value, a session of another engine     */
    QM_INPUT,       /* a file, text or request is not what it should be                                        */
    QM_LIMIT,       /* more than there is room for: slots, context, counts that are bounded                    */
    QM_MEMORY,      /* memory has ended                                                                        */
    QM_INTERRUPTED, /* qm_interrupt, qm_session_cancel                                                         */
    QM_IO,          /* the system or the network: a file that cannot be opened, a full disk                     */
    QM_DEVICE,      /* a PJRT plugin or what it drives                                                         */
    QM_INTERNAL     /* a fault of this library                                                                 */
} QmErrKind;

typedef struct QmErr {
    QmErrKind kind;
    char text[1024]; /* what failed, where, what was expected, what was found */
} QmErr;

/* ---- What the library tells while it works: it prints nothing itself --------------------------------------------- */

typedef enum QmLevel {
    QM_DETAIL,
    QM_WARNING,
    QM_FATAL
} QmLevel; /* fatal: the process ends (a rank under MPI is lost) */

/* Called from any thread that works for the caller, one call at a time or not: keep them short and free of calls into the
 * library. A member may be NULL. */
typedef struct QmWatch {
    void (*message)(void *owner, QmLevel level, const char *text); /* one line, without its end */
    /* A long work, from 0 to `total` done; -1 at its end, whole or not. */
    void (*progress)(void *owner, const char *what, int64_t done, int64_t total);
    void *owner;
} QmWatch;

/* From now on whatever belongs to no engine with a watch of its own goes there; NULL: nowhere, as at the start. Before
 * other threads call the library. */
QM_API void qm_watch(const QmWatch *watch);

/* ---- Source: a model's files ----------------------------------------------------------------------------------- */

typedef struct QmSource QmSource;

/* A Hugging Face folder, a .gguf file, a packed file, or a lone config.json or .safetensors file. Each file is opened
 * and parsed at most once, when it is first needed: engines and tokenizers from one source share what was read. NULL on
 * error. Whoever opened it closes it, at any time: what came from it keeps what it needs. */
QM_API QmSource *qm_source_open(const char *path, QmErr *err);
QM_API void qm_source_close(QmSource *source);
/* Whether the files have a tokenizer: a model without one takes and gives ids. */
QM_API bool qm_source_has_tokenizer(QmSource *source);

/* ---- Engine: a model on a mesh ------------------------------------------------------------------------------- */

typedef struct QmEngine QmEngine;

/* Filled by qm_engine_options first; 0, NULL or false is the default, too. An option that the backend does not know is an
 * error, not ignored. */
typedef struct QmEngineOptions {
    size_t size;          /* of this struct, as the caller knows it                                        */
    const char *model;    /* Hugging Face folder, .gguf file or packed file                                */
    const char *mesh;     /* "1x1", "2x4", "8", "dp2,tp4"; default: one device                             */
    const char *lora;     /* LoRA adapters in PEFT's files, [NAME=]DIR[:SCALE], one a line: added up, each SCALE times
                             (default 1); NULL: none                                                       */
    int64_t threads;      /* cpu: workers; 0: one per core this process may use, or its CPU quota          */
    bool pin;             /* cpu: the calling thread stays on a core of its own too, until qm_engine_close */
    int64_t context;      /* cache positions per slot; 0: the model's maximum, at most 4096                */
    int64_t rows;         /* most rows of one step, the chunk of a prefill; default 128                    */
    const char *kv_cache; /* "f32" (default), "bf16" or "8bit" (cpu backend only)                          */
    const char *act;      /* activations of linears: "f32", "int8" (where weights are quantised), "bf16" (where
                             weights are bf16), or "auto": int8 if any weights are quantised, else f32, which is what
                             run, chat, generate and bench ask for; NULL: f32, whose logits are those of the weights'
                             own values. pjrt: f32 or auto, which is f32 there                              */
    const char *weights;  /* "bf16", "8bit", "4bit": what matrices become at load; pjrt: "f32", "bf16"; NULL or "file":
                             as stored */
    const char *isa;      /* cpu: "reference", "avx2", "avx512", "avx512vnni", "avx512bf16": use no better kernels than
                             these; NULL: the best                                                         */
    const char *backend;  /* "cpu" (default), or "pjrt": the devices of a PJRT plugin                      */
    const char *plugin;   /* pjrt: the plugin's file, or cpu, tt, cuda, tpu, looked for in known places; NULL: cpu */
    const char *program_cache; /* pjrt: folder where compiled programs are kept; NULL: nowhere             */
    const char *candidates; /* pjrt: logits that a device tells of a row when a choice needs no others; "0": none;
                               NULL: the backend's choice                                                  */
    int64_t slots;        /* sequences that can be held at once; default 1                                 */
    bool hidden;          /* keep hidden states of every layer (QmAppend.hidden)                           */
    const char *head;     /* "none": the model without its head, whose output is "states"; NULL: as its
                             configuration says                                                            */
    const char *random;   /* type of generated weights ("bf16", "q4_0", ...); the model is then only a configuration;
                             NULL: none */
    bool phases;          /* cpu: time the phases of steps (qm_engine_phases)                              */
    const char *adapters; /* LoRA adapters of which every request chooses one or none (QmRequest.adapter),
                             NAME=DIR[:SCALE], one a line; not together with `lora`; NULL: none            */
    const QmWatch *watch; /* told what this engine does, in place of qm_watch's; read at open; NULL: none of its own */
} QmEngineOptions;

/* The defaults of this library. */
QM_API void qm_engine_options(QmEngineOptions *options);

typedef struct QmModelInfo {
    /* Up to max_positions: what the model is. From there on: how it was opened. */
    char architecture[32];
    char head[16];                           /* "causal", "sequence", "token", "question" or "none": qm_engine_output */
    char problem_type[32];                   /* of a head with labels; "": not said          */
    int64_t labels;                          /* of such a head, else 0                       */
    int32_t pad_id;                          /* of padding; -1: none is known                */
    int64_t layers, hidden, ffn, vocab, heads, kv_heads, head_dim, max_positions;
    int64_t context, slots, rows;            /* as opened                                    */
    int64_t weight_bytes, parameters;        /* packed weights held, parameters of the model */
    int64_t cache_bytes, activation_bytes;   /* all devices together                         */
    int64_t decode_bytes;                    /* weight bytes read per decoded token          */
    int devices, workers;
    int nodes;                               /* of memory under the workers (NUMA)           */
    int all_reduces, reduce_argmaxes;        /* collectives of a step                        */
    char mesh[32], isa[32], weight_type[32], kv_cache[8];
    char packed_parts[160];                  /* packed formats and bytes, largest first      */
    char act[8], backend[8];
    char act_why[160];                       /* where `act` comes from, and which linears keep f32 */
    double weight_error;                     /* of quantising at load: root mean square, relative; 0: none */
} QmModelInfo;

/* Opens a model; the options are not needed afterwards. NULL on error. Free with qm_engine_close; sessions must be closed before. */
QM_API QmEngine *qm_engine_open(const QmEngineOptions *options, QmErr *err);
/* The same from files that are open: options->model is not looked at. */
QM_API QmEngine *qm_engine_open_from(QmSource *source, const QmEngineOptions *options, QmErr *err);
QM_API void qm_engine_close(QmEngine *engine);
QM_API const QmModelInfo *qm_engine_info(const QmEngine *engine);
/* What the configuration says, without weights and engine: the members up to max_positions; the others are 0. */
QM_API bool qm_source_info(QmSource *source, QmModelInfo *info, QmErr *err);

/* ---- Session: one timeline ----------------------------------------------------------------------------------- */

typedef struct QmSession QmSession;

/* Takes a free slot of the engine; NULL when all are taken. A session serves one caller at a time. */
QM_API QmSession *qm_session_new(QmEngine *engine, QmErr *err);
QM_API void qm_session_free(QmSession *session);
QM_API int64_t qm_session_length(const QmSession *session);       /* tokens in the cache                         */
/* Keeps of the cache what begins as these ids do and forgets the rest: qm_forward then needs ids from the returned number
 * on. 0 where the model's rotary frequencies go by the length of the whole (dynamic, longrope). To get logits give all
 * ids but the last. */
QM_API int64_t qm_session_sync(QmSession *session, const int32_t *ids, int64_t count);
QM_API bool qm_session_crop(QmSession *session, int64_t length, QmErr *err); /* forget all after the first `length` */
/* `to` becomes the first `length` tokens of `from`, cache and all: beams, shared prefixes. On error `to` has not
 * changed. */
QM_API bool qm_session_copy(QmSession *to, const QmSession *from, int64_t length, QmErr *err);

/* Asks a qm_forward that has begun with this session to stop at the next chunk, from any thread. It then fails, for all
 * of its entries, with QM_INTERRUPTED. */
QM_API void qm_session_cancel(QmSession *session);

/* Numbers of a row of an output of the model, by name; 0: it has none of that name. "logits": of a causal head
 * [vocab], of one with labels [labels], of a question head 2, for the answer's begin and end; "states" [hidden]: of a
 * model without a head, after the final norm. */
QM_API int64_t qm_engine_output(const QmEngine *engine, const char *name);

typedef struct QmOutput {
    const char *name;
    float *values;            /* out [rows asked for][qm_engine_output]                                            */
} QmOutput;

/* One entry of a batch: tokens appended to a session. A session may appear once in a batch. */
typedef struct QmAppend {
    QmSession *session;
    const int32_t *tokens;
    int64_t count;            /* >= 1                                                                              */
    const int32_t *positions; /* rotary positions [count]; NULL: 0, 1, 2, ... along the session                    */
    int64_t rope_length;      /* dynamic and longrope go by at least this many positions; 0: the session's own       */
    int64_t logits_from;      /* how many of the last rows ask for outputs: 1: the last one; count: all; 0: none   */
    float *logits;            /* out [logits_from][columns of "logits"], or NULL when only others are wanted       */
    int32_t *argmax;          /* out [logits_from], of a causal head: id of the largest, ties to the lowest; -1: one is
                                 NaN or +inf, or all -inf; or NULL                                                 */
    const QmOutput *outputs;  /* outputs by name, for the same rows: [output_count], or NULL                       */
    int output_count;
    /* Whether a row of logits will do of which some of the largest are there, while the others are -INFINITY and in
     * truth at most `floor`. Asked once for a row where devices hand such rows out for less; if it will not do, or
     * `enough` is NULL, `logits` gets the whole row. */
    bool (*enough)(void *owner, const float *logits, float floor);
    void *owner;
    float *hidden; /* out [layers+1][count][hidden], after embedding, each layer, the last after the final norm;
                      needs QmEngineOptions.hidden; or NULL                                             */
} QmAppend;

/* Runs the model over all entries: prompts in chunks, single tokens together, any mixture. The bits of each entry's
 * results do not depend on the others, on the mesh, threads or chunk size. On error no session has changed length. */
QM_API bool qm_forward(QmEngine *engine, QmAppend *entries, int count, QmErr *err);

/* The name of adapter `i` of QmEngineOptions.adapters, from 0 on; NULL: there are fewer. */
QM_API const char *qm_engine_adapter(const QmEngine *engine, int i);
/* From now on the session's tokens go through this adapter; NULL: through none, as at the start. What was in its cache is
 * forgotten, unless the adapter stays the same. */
QM_API bool qm_session_adapter(QmSession *session, const char *name, QmErr *err);

enum { QM_FINGERPRINT_BYTES = 20 };
/* "fp_" and 16 hex digits of all that the bits of an answer depend on: the model's files by content, this version, and
 * what changes numbers (activations, cache, weights, adapters, backend). On the CPU backend it is the same on every mesh
 * and machine. A packed file tells its digest; of other files that this user's cache folder does not know by path, size
 * and time every byte is read, seconds a GB: a server calls it in a thread of its own. */
QM_API bool qm_engine_fingerprint(const QmEngine *engine, char out[QM_FINGERPRINT_BYTES], QmErr *err);

/* Programs a PJRT plugin has compiled for this engine so far, one per shape of step; those loaded from program_cache do
 * not count. 0 on the CPU engine. */
QM_API int qm_engine_compilations(const QmEngine *engine);

/* A phase of a step: operations that wait for nothing but earlier phases. Phases of the same operations, one a layer,
 * count as one. */
typedef struct QmPhase {
    char name[96];            /* the operations, matrices by their name in the checkpoint: "q_proj, k_proj, v_proj" */
    double seconds;           /* until the last worker was through                                                */
    double weight_bytes;      /* of matrices, read once a step                                                    */
} QmPhase;

/* Phases of all steps since the last call, in the order of a step, into out[most]; further ones are left out. Returns
 * how many. Under MPI those of this process. 0 without QmEngineOptions.phases, and on other engines. */
QM_API int qm_engine_phases(QmEngine *engine, QmPhase *out, int most);

/* Asks every qm_forward that has begun, in any thread, to stop at the next chunk; safe in a signal handler. It then fails
 * with "interrupted". */
QM_API void qm_interrupt(QmEngine *engine);

/* ---- Tokenizer ----------------------------------------------------------------------------------------------- */

typedef struct QmTokenizer QmTokenizer;

/* From a folder with tokenizer.json (and tokenizer_config.json, if there), a .gguf file or a packed file. NULL on
 * error. */
QM_API QmTokenizer *qm_tokenizer_open(const char *path, QmErr *err);
QM_API QmTokenizer *qm_tokenizer_open_from(QmSource *source, QmErr *err);
QM_API void qm_tokenizer_close(QmTokenizer *tokenizer);
QM_API int32_t qm_tokenizer_vocab(const QmTokenizer *tokenizer);  /* number of ids, added tokens included */
QM_API int32_t qm_tokenizer_id(const QmTokenizer *tokenizer, const char *token); /* id of an exact token text, or -1 */

/* The token that tokenizer.json puts after a text (post_processor), as models for embeddings have it; -1: none.
 * qm_tokenizer_encode does not add it. */
QM_API int32_t qm_tokenizer_end(const QmTokenizer *tokenizer);
QM_API int32_t qm_tokenizer_eos(const QmTokenizer *tokenizer);    /* id of the end-of-text token, or -1 */
/* Renders chats by "qwen2.5" or "chatml" from now on, whatever template the model has, or by the template in a file: a
 * name with a slash or ending in .jinja. Not while another thread uses it. */
QM_API bool qm_tokenizer_set_chat(QmTokenizer *tokenizer, const char *name, QmErr *err);
/* A variable for the chat template from now on, as "NAME=JSON" ("enable_thinking=false"). Not while another thread uses
 * it. */
QM_API bool qm_tokenizer_set_chat_argument(QmTokenizer *tokenizer, const char *assignment, QmErr *err);

/* Text (UTF-8, any bytes; invalid ones become U+FFFD as in Hugging Face) to ids. `parse_special`: text of added tokens
 * becomes that token. *ids is malloc'ed, the caller frees it. Returns the count, -1 on error. */
QM_API int64_t qm_tokenizer_encode(const QmTokenizer *tokenizer, const char *text, size_t bytes, bool parse_special,
                                   int32_t **ids, QmErr *err);

/* Ids to text, malloc'ed and NUL-terminated; incomplete UTF-8 becomes U+FFFD. `skip_special` drops special tokens. */
QM_API char *qm_tokenizer_decode(const QmTokenizer *tokenizer, const int32_t *ids, int64_t count, bool skip_special,
                                 size_t *bytes, QmErr *err);

/* The raw bytes of one token (may be part of a character); NULL if the id is unknown. Owned by the tokenizer. */
QM_API const char *qm_tokenizer_piece(const QmTokenizer *tokenizer, int32_t id, size_t *bytes, bool *special);

/* Messages to the model's prompt. `messages_json`: a JSON array of {"role", "content", ...} or an object with
 * "messages" and "tools"; the text inside a message never becomes a control token. *ids as in qm_tokenizer_encode;
 * *text, if asked for, is the rendered prompt, malloc'ed. Returns the number of ids, -1 on error. */
QM_API int64_t qm_tokenizer_chat(const QmTokenizer *tokenizer, const char *messages_json, size_t bytes,
                                 bool add_generation_prompt, int32_t **ids, char **text, QmErr *err);

/* ---- Chat templates without a tokenizer -------------------------------------------------------------------------- */

typedef struct QmTemplate QmTemplate;
typedef struct QmSpan { size_t start, end; } QmSpan;

/* "qwen2.5", "chatml", or a file: a name with a slash or ending in .jinja. NULL on error. */
QM_API QmTemplate *qm_template_open(const char *name, QmErr *err);
QM_API void qm_template_close(QmTemplate *chat);
/* A tokenizer's own, or what qm_tokenizer_set_chat made it: the tokenizer's, not to be closed. */
QM_API const QmTemplate *qm_tokenizer_template(const QmTokenizer *tokenizer);
/* As qm_tokenizer_set_chat_argument. */
QM_API bool qm_template_argument(QmTemplate *chat, const char *assignment, QmErr *err);
/* Renders a JSON object with "messages", "tools", "documents" and "variables" as transformers does: messages go to the
 * template as they are, and "add_generation_prompt" is a variable. The text is malloc'ed, [*bytes] and a NUL; NULL on
 * error. *spans, if asked for: [*span_count], malloc'ed: where the template's generation blocks lie, in characters. */
QM_API char *qm_template_render(const QmTemplate *chat, const char *json, size_t json_bytes, size_t *bytes,
                                QmSpan **spans, size_t *span_count, QmErr *err);

/* ---- Vectors of texts -------------------------------------------------------------------------------------------- */

/* What becomes of the states of a text's tokens. */
typedef struct QmPooling {
    bool mean;                /* the mean over all tokens; else the last one's state                             */
    bool normalize;           /* divided by its length (L2)                                                      */
    int64_t max_tokens;       /* a longer text is cut to so many ids by who makes them; 0: not said              */
} QmPooling;

/* What the model's sentence-transformers files say (modules.json, 1_Pooling, sentence_bert_config.json); without them
 * the last token's state, normalised. A module or pooling that this library has not is an error. */
QM_API bool qm_source_pooling(QmSource *source, QmPooling *pooling, QmErr *err);
/* The text that goes before every text, malloc'ed: of config_sentence_transformers.json by its name, or with NULL its
 * default one, "" where it has none. NULL on error. */
QM_API char *qm_source_prompt(QmSource *source, const char *name, QmErr *err);
/* vectors [count][qm_engine_output "states"]: of texts as ids, ids[i] of counts[i] >= 1, ended by qm_tokenizer_end
 * where there is one. The engine is one of QmEngineOptions.head "none"; its free slots are used, one at least, and are
 * free afterwards. Returns how many vectors are done; fewer than `count` on error, of the text with that number. */
QM_API int64_t qm_embed(QmEngine *engine, const QmPooling *pooling, const int32_t *const *ids, const int64_t *counts,
                        int64_t count, float *vectors, QmErr *err);

/* ---- Generation ------------------------------------------------------------------------------------------------ */

/* What to generate and how to choose tokens. Names and meanings are those of a request of `qwenmesh generate`: Hugging
 * Face's GenerationConfig ("max_new_tokens", "do_sample", "temperature", "top_p", "num_beams", "eos_token_id",
 * "stop_strings", ...), and "grammar" (GBNF), "regex", "json_schema", "response_format", "choices" (a list of texts),
 * "logprobs", "prompt_logprobs", "seed".
 * "tool_calls": {"tools": [{"name", "parameters", "strict"}], "required": false, "parallel": true} lets the text be
 * calls of these tools, in the form <tool_call> {"name", "arguments"} </tool_call>, or binds it to be; "thinking": "may"
 * (<think>...</think> may come before what a grammar binds) or "open" (the prompt has begun it). */
typedef struct QmParameters QmParameters;

/* A model's own: its generation_config.json and its ends of sequences. NULL on error. */
QM_API QmParameters *qm_parameters_new(QmSource *source, QmErr *err);
/* The same without its generation_config.json, but for the ends of sequences that this has. */
QM_API QmParameters *qm_parameters_plain(QmSource *source, QmErr *err);
QM_API QmParameters *qm_parameters_copy(const QmParameters *parameters, QmErr *err);
QM_API void qm_parameters_free(QmParameters *parameters);
/* The members of a JSON object on top, all of them or, on error, none. A name that is not known is an error. */
QM_API bool qm_parameters_set(QmParameters *parameters, const char *json, size_t bytes, QmErr *err);
/* The same of an object that has members of the caller's own, too: `others` names them (NULL-terminated; NULL: none), and
 * they are not looked at. `where` begins messages. */
QM_API bool qm_parameters_read(QmParameters *parameters, const char *json, size_t bytes, const char *const *others,
                               const char *where, QmErr *err);
/* One more stop string, [bytes] of any value. */
QM_API bool qm_parameters_stop(QmParameters *parameters, const char *text, size_t bytes, const char *where, QmErr *err);
/* What binds the text, in place of what did, as it stands in a file: kind "grammar", "regex" or "json_schema". */
QM_API bool qm_parameters_structure(QmParameters *parameters, const char *kind, const char *text, size_t bytes,
                                    const char *where, QmErr *err);
/* What ends a turn of a chat ends an answer, too, unless ends were set: as QmRequest.chat has it, for who shows them. */
QM_API void qm_parameters_chat(QmParameters *parameters, const QmTokenizer *tokenizer);
/* What is in force of a parameter that is a number or true (1) or false (0), by its name; NaN: there is none of that
 * name. max_length is 0 where max_new_tokens counts, logprobs and prompt_logprobs are -1 where none are told. */
QM_API double qm_parameters_number(const QmParameters *parameters, const char *name);
/* The search that they ask for, as "beams"; NULL: token after token. */
QM_API const char *qm_parameters_search(const QmParameters *parameters);
/* Whether this engine's vocabulary has the ids that they name; qm_generator_add asks, too. */
QM_API bool qm_parameters_check(const QmParameters *parameters, const QmEngine *engine, QmErr *err);
QM_API char *qm_parameters_text(const QmParameters *parameters, QmErr *err); /* one line of what is in force, malloc'ed */
QM_API int64_t qm_parameters_slots(const QmParameters *parameters); /* QmEngineOptions.slots that they need at least */
QM_API bool qm_parameters_hidden(const QmParameters *parameters);   /* whether they need QmEngineOptions.hidden */

/* Streams the answer to a prompt: `say` gets text as it becomes final, whole characters, and returns false when it has
 * enough. chat: the prompt is a chat's, the end of a turn ends the answer. tokenizer NULL: nothing is said. Takes every
 * free slot of the engine until it returns. qm_interrupt ends it with QM_INTERRUPTED. */
QM_API bool qm_generate(QmEngine *engine, const QmTokenizer *tokenizer, const int32_t *ids, int64_t count, bool chat,
                        const QmParameters *parameters, bool (*say)(void *owner, const char *text, size_t bytes),
                        void *owner, QmErr *err);

typedef struct QmLogprob { int32_t id; float logprob; } QmLogprob; /* log softmax of the model's own logits */

typedef struct QmSequence {
    const int32_t *ids;       /* [count] the new ones                                                            */
    int64_t count;
    const char *text;         /* [bytes], and a NUL; special tokens left out                                     */
    size_t bytes;
    const char *finish;       /* "stop", "length", "time", "interrupted", "none_allowed", "grammar_budget",
                                 "invalid_logits"                                                                */
    double score;             /* by which several are ranked                                                     */
    const QmLogprob *logprobs; /* [count][1 + alternatives] the token itself, then the likeliest, a missing one with
                                 id -1; NULL: not asked for */
    int64_t alternatives;
    const char *proof;        /* SHA-256 in hex of the rows of logits, f32, that the new tokens were chosen from, before
                                 any processor, one after the other; NULL: not asked for                         */
} QmSequence;

/* The end of a request. All of it is valid during the call only. */
typedef struct QmAnswer {
    int64_t request;
    const QmErr *failed;      /* why there is no answer; NULL: there is                                          */
    const QmSequence *sequences; /* [count] best first. Where it failed because logits were not numbers: one, of what
                                 came before, with finish "invalid_logits"                                       */
    int64_t count;
    int64_t prompt, reused;   /* tokens of it; those that a cache had already                                    */
    int64_t drafted, accepted;
    double taken, first, ended; /* monotonic seconds: it got a slot, its first token was chosen, its end          */
    const char *finish;       /* of the first sequence; where a search ended early and has none, why             */
    /* "prompt_logprobs": [prompt][1 + prompt_alternatives] each token of the prompt as QmSequence.logprobs, given those
     * before it; of the first, which has none, id -1 throughout. NULL: not asked for. */
    const QmLogprob *prompt_logprobs;
    int64_t prompt_alternatives;
} QmAnswer;

/* Who is told of a request, by the thread that steps; each function may be NULL. None may call the generator, but for
 * qm_generator_add and qm_generator_cancel. */
typedef struct QmSink {
    void *owner;
    void (*logits)(void *owner, int64_t request, const float *row, int64_t vocab); /* from which the next token comes */
    /* A token is final; -1: text that had been held back. False: enough, the request is cancelled. Searches that compare
     * whole sequences tell none. */
    bool (*token)(void *owner, int64_t request, int32_t id, const char *text, size_t bytes);
    void (*done)(void *owner, const QmAnswer *answer); /* once for every request that was added */
    /* Just before `token` of an id, where "logprobs" are asked for: [1 + alternatives] as QmSequence.logprobs. */
    void (*logprobs)(void *owner, int64_t request, const QmLogprob *list, int64_t alternatives);
} QmSink;

typedef struct QmRequest {
    size_t size;              /* of this struct                                                                  */
    const int32_t *ids;       /* [count] the prompt; not needed after qm_generator_add, as `parameters`           */
    int64_t count;
    const QmParameters *parameters;
    bool chat;                /* ends of turns end it                                                            */
    uint64_t sequence;        /* requests of one seed with different numbers draw apart; sample i of a request of
                                 several samples draws as a request of `sequence` + (i << 40) alone              */
    QmSink sink;
    uint64_t group;           /* whose it is, as a key's number: groups get slots in turn, and keep fair shares of the
                                 prefixes that are held                                                          */
    uint64_t salt;            /* beginnings of prompts are reused between requests of the same salt only          */
    double deadline;          /* monotonic seconds, as QmAnswer has them: then it ends with finish "time"; 0: none */
    const char *adapter;      /* one of QmEngineOptions.adapters; NULL: none                                     */
    bool proof;               /* QmSequence.proof is wanted: whole rows leave the devices                         */
} QmRequest;

/* Many requests at once over the slots of an engine. What one says does not depend on the others. Any thread may add and
 * cancel; one at a time steps, is told, and frees. */
typedef struct QmGenerator QmGenerator;

/* Takes every free slot of the engine. tokenizer may be NULL where requests need no text; draft: a smaller model of the
 * same vocabulary that guesses ahead, or NULL. All are used until qm_generator_free. */
QM_API QmGenerator *qm_generator_new(QmEngine *engine, const QmTokenizer *tokenizer, QmEngine *draft, QmErr *err);
/* While a request decodes, at most this many rows of a step are of prompts, and so it waits for its next token no longer;
 * 0: all that are free; below 0, the default: 32, or 4 for each row that decodes if more. No answer depends on it. */
QM_API void qm_generator_prefill_rows(QmGenerator *generator, int64_t rows);
QM_API void qm_generator_free(QmGenerator *generator); /* requests that have not ended are told so */
/* The number of the request, 1 or more; 0 on error. First come, first served within a group, and groups in turn. */
QM_API int64_t qm_generator_add(QmGenerator *generator, const QmRequest *request, QmErr *err);
/* Ends it at the next step, with finish "interrupted" and what it has said, in the queue too; the others do not change by
 * a bit. */
QM_API void qm_generator_cancel(QmGenerator *generator, int64_t request);
/* One step of the model for all that run. False when the engine fails or is interrupted: nothing has changed then, and
 * it may be called again. */
QM_API bool qm_generator_step(QmGenerator *generator, QmErr *err);
QM_API bool qm_generator_busy(QmGenerator *generator); /* whether a request has not ended */
/* From any thread: requests that have no slot yet; the place of one among them, as it is now, from 1 on, and 0 when it has a
 * slot or has ended. */
QM_API int64_t qm_generator_waiting(QmGenerator *generator);
QM_API int64_t qm_generator_position(QmGenerator *generator, int64_t request);
/* Of all requests so far. */
typedef struct QmGeneratorStats {
    int64_t prompt, reused, decoded; /* tokens fed of prompts, found in caches, fed one by one                    */
    int64_t copied;           /* of those found, in another slot's cache                                         */
    int64_t steps;
} QmGeneratorStats;
QM_API void qm_generator_stats(const QmGenerator *generator, QmGeneratorStats *stats);
/* Until there is something to do, or the time is over. */
QM_API void qm_generator_wait(QmGenerator *generator, double seconds);

#ifdef __cplusplus
}
#endif
#endif
