/* generation.h: what to generate and how to choose tokens; one sequence being generated, from ids to text. */
#ifndef GENERATION_H
#define GENERATION_H
#include "../io/json.h"
#include "grammar.h"
#include "proof.h"
#include "scores.h"
#include "stops.h"

enum { MAX_STOP_IDS = 64, MAX_BEAMS = 256, MAX_LOGPROBS = 64, MAX_DRAFT = 64 };

/* ---- Lists of ids that parameters name: immutable, shared and counted -------------------------------------------- */

typedef struct IdList { int32_t *ids; int64_t count; } IdList;
/* When the last count - 1 ids are ids[0 .. count - 2], the score of ids[count - 1] gains `bias`. */
typedef struct IdBias { IdList ids; float bias; } IdBias;
typedef struct BiasList { IdBias *rows; int64_t count; } BiasList;
typedef struct TokenLists TokenLists; /* lists.h */

typedef enum EarlyStopping { STOP_HEURISTIC, STOP_EARLY, STOP_NEVER } EarlyStopping; /* false, true, "never" */

/* Names and meanings as in Hugging Face's GenerationConfig; those of OpenAI's interface are marked. Made by
 * generation_defaults or generation_from_json, freed with generation_config_free. */
typedef struct GenerationConfig {
    int64_t max_new_tokens;
    int64_t max_length;        /* prompt and new together; 0: max_new_tokens counts                */
    int64_t min_length, min_new_tokens;
    double max_time;           /* seconds from the first new token; 0: none                        */
    bool do_sample;
    double temperature;        /* > 0; 0 means greedy                                              */
    int64_t top_k;             /* 0: off; ties with the k-th are kept                              */
    double top_p, min_p;       /* 1 and 0: off                                                     */
    double typical_p;          /* 1: off                                                           */
    double epsilon_cutoff, eta_cutoff; /* 0: off                                                   */
    int64_t min_tokens_to_keep; /* of every filter of samples; 1                                   */
    double repetition_penalty, encoder_repetition_penalty; /* 1: off                               */
    double presence_penalty, frequency_penalty; /* OpenAI; 0: off; of new tokens only              */
    int64_t no_repeat_ngram_size, encoder_no_repeat_ngram_size; /* 0: off                          */
    int32_t forced_bos;        /* -1: none                                                         */
    int32_t pad;               /* what a finished group of beams says; -1: the first of eos        */
    int64_t decay_start;       /* exponential_decay_length_penalty: new tokens before it ...       */
    double decay_factor;       /* ... and its factor; 1: off                                       */
    bool remove_invalid_values, renormalize_logits;
    int64_t num_beams, num_beam_groups, num_return_sequences;
    int64_t best_of;           /* OpenAI; samples drawn to return the best of; 0: num_return_sequences */
    double length_penalty, diversity_penalty;
    EarlyStopping early_stopping;
    double penalty_alpha;      /* contrastive search, with top_k; 0: off                           */
    int64_t prompt_lookup_num_tokens, max_matching_ngram_size; /* 0: no lookup                     */
    int64_t num_assistant_tokens; /* drafted at once by a draft model                              */
    int64_t logprobs;          /* OpenAI; alternatives told with each token; -1: none told         */
    int64_t prompt_logprobs;   /* likewise of the tokens of the prompt                             */
    int64_t seed;
    int32_t eos[MAX_STOP_IDS];
    int eos_count;
    bool eos_given;            /* by a request or an option: ends of turns are not added to them   */
    Stops *stops;              /* NULL: none                                                       */
    Grammar *grammar;          /* of the new text; NULL: free                                      */
    TokenLists *lists;         /* NULL: none                                                       */
} GenerationConfig;

/* Defaults, then generation_config.json of a model if there, then end-of-sequence ids of config.json or GGUF. */
bool generation_defaults(GenerationConfig *c, QmSource *source, Err *err);
/* Everything as it is without a model's generation_config.json, but the ends of sequences. */
void generation_plain(GenerationConfig *c);
/* *c becomes `base` with the members of a JSON object on top. "eos_token_id": null switches stopping off. To be freed
 * even on failure; base may be c itself. */
bool generation_from_json(GenerationConfig *c, const GenerationConfig *base, const json_t *object, const char *where,
                          Err *err);
void generation_config_copy(GenerationConfig *to, const GenerationConfig *from);
void generation_config_free(GenerationConfig *c);
/* Adds a stop string, NUL bytes and all; `where` is for messages. */
bool generation_stop(GenerationConfig *c, const char *text, size_t bytes, const char *where, Err *err);
void generation_no_stops(GenerationConfig *c);
/* For an answer in a chat: what the template writes after one ends it, and the tokenizer's end of text, whatever
 * generation_config.json forgot; unless ends were given by a request or an option. */
void generation_turn_ends(GenerationConfig *c, const QmTokenizer *tokenizer);
/* Takes over a grammar (or none, NULL), unless `err` says why it was not made. */
bool generation_grammar(GenerationConfig *c, Grammar *grammar, const char *where, Err *err);
/* The grammar of an object's "grammar", "regex", "json_schema" or "response_format", if it has one. */
bool structure_from_json(GenerationConfig *c, const json_t *object, const char *where, Err *err);
/* What does not go together, and ids outside the vocabulary (0: unknown). */
bool generation_check(const GenerationConfig *c, int64_t vocab, Err *err);
void generation_text(const GenerationConfig *c, Text *out); /* one line of the effective values */
bool generation_greedy(const GenerationConfig *c);          /* whether no draw is made */

/* ---- One sequence ------------------------------------------------------------------------------------------------ */



/* One sequence. Text appears in `text` as far as it is final: whole characters, and nothing that may begin a stop
 * string. */
typedef struct Generation {
    GenerationConfig config;   /* its own */
    int32_t *ids;              /* prompt, then new */
    int64_t prompt, count;
    size_t capacity;
    TextStream stream;
    Text raw;                  /* all decoded text      */
    size_t shown;              /* bytes of it released  */
    StopTail tail;             /* of the same text with special tokens, where stop strings are looked for */
    const char *finish;        /* NULL, "stop", "length", "time", "none_allowed", "grammar_budget",
                                  "invalid_logits" */
    Matcher *matcher;          /* of config.grammar, or NULL                     */
    int32_t state;             /* its state after the new tokens                 */
    MatchFault fault;          /* what it failed of                              */
    double deadline;           /* of the clock; 0: none set yet                  */
    QmLogprob *logprobs;    /* of new token i at i * (1 + config.logprobs): itself, then the likeliest in order */
    size_t logprobs_capacity;
    Proof *proof;              /* of the logits of the new tokens; NULL: not wanted */
    double logprob_sum;        /* of all new tokens, where logprobs are told or samples compared */
    double score;              /* beams: by which sequences are ranked */
} Generation;

/* Copies the config. */
bool generation_start(Generation *g, const GenerationConfig *c, const QmTokenizer *t, const int32_t *prompt,
                      int64_t count, Err *err);
/* Before the first token: without the matcher of its grammar (tens of KiB), for one that waits for its turn; and with
 * it again. */
void generation_rest(Generation *g);
bool generation_wake(Generation *g, Err *err);
/* A second generation that goes on from here by itself. */
bool generation_copy(Generation *to, const Generation *from, Err *err);
/* Whether the next token, not every later one, is simply the largest logit: then no logits leave the devices. */
bool generation_argmax(const Generation *g);
/* What the next token is chosen from. It stays where it is between the two calls. */
typedef struct NextToken {
    Generation *generation;
    SampleWork *work;
    float *logits; /* [work->vocab], once a choice has needed them; whoever owns the struct frees them */
    int32_t best;
} NextToken;
/* Asks, with an entry's last row, for as much of its logits as the choice needs; where devices tell the largest of
 * them for less, for those. */
bool next_token_ask(NextToken *n, QmAppend *entry, Err *err);
/* The choice, once the entry has run: generation_choose. */
bool next_token_take(NextToken *n, uint64_t sequence, int32_t *id, Err *err);
/* Instead of a token: none is allowed; the logits are not numbers. generation_push takes either as the end. */
enum { TOKEN_NONE = -1, TOKEN_INVALID = -2 };
/* Chooses the next token from logits [vocab], which it overwrites, and keeps its log-probability if wanted. A draw
 * is a function of (seed, sequence, position), so a choice does not depend on what else is being generated
 * (counter-based: Salmon et al. 2011). */
bool generation_choose(Generation *g, float *logits, uint64_t sequence, SampleWork *work, int32_t *id, Err *err);
/* Whether generation_choose gives the same from a row of only the largest logits: see QmAppend.enough. */
bool generation_enough(Generation *g, const float *logits, float floor, SampleWork *work);
/* Appends a token; *text (borrowed, *bytes long) is what may now be shown. Sets finish when it is the last. */
bool generation_push(Generation *g, int32_t id, const char **text, size_t *bytes, Err *err);
/* False and an error when memory ended in its grammar. generation_push asks, too. */
bool generation_has_memory(const Generation *g, Err *err);
/* Whether generation_push(id) would end the sequence; 1, 0, or -1 and an error. */
int generation_ends_with(const Generation *g, int32_t id, Err *err);
/* False and an error that names the step when the sequence ended because logits were NaN or infinite. */
bool generation_sound(const Generation *g, Err *err);
/* Ends a sequence from outside ("length", "interrupted"); releases what was held back. */
void generation_end(Generation *g, const char *why, const char **text, size_t *bytes);
void generation_free(Generation *g);
#endif
