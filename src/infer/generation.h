/* generation.h: what to generate and how to choose tokens; one sequence being generated, from ids to text. */
#ifndef GENERATION_H
#define GENERATION_H
#include "../io/json.h"
#include "../text/stream.h"

enum { MAX_STOPS = 16, MAX_STOP_BYTES = 256, MAX_STOP_IDS = 64 };

/* Names and meanings as in Hugging Face's GenerationConfig. */
typedef struct GenerationConfig {
    int64_t max_new_tokens;
    bool do_sample;
    double temperature;        /* > 0; 0 means greedy                                          */
    int64_t top_k;             /* 0: off; ties with the k-th are kept                          */
    double top_p, min_p;       /* 1 and 0: off                                                 */
    double repetition_penalty; /* 1: off (Keskar et al. 2019)                                  */
    int64_t seed;
    int32_t eos[MAX_STOP_IDS];
    int eos_count;
    char stop[MAX_STOPS][MAX_STOP_BYTES];
    int stop_count;
} GenerationConfig;

/* Defaults, then generation_config.json of a model folder if there, then end-of-sequence ids of config.json or GGUF. */
bool generation_defaults(GenerationConfig *c, const char *model, Err *err);
/* Takes the members of a JSON object over *c. "eos_token_id": null switches stopping off. */
bool generation_from_json(GenerationConfig *c, const json_t *object, const char *where, Err *err);
/* Adds a stop string; `where` is for messages. */
bool generation_stop(GenerationConfig *c, const char *text, const char *where, Err *err);
bool generation_check(const GenerationConfig *c, Err *err);
void generation_text(const GenerationConfig *c, Text *out); /* one line of the effective values */

/* Chooses the next token from logits [vocab], which it overwrites. `history`: prompt and new ids, for the penalty.
 * `work`: vocab floats and ids. The random number is a function of (seed, sequence, position): Philox-like counter use,
 * so a choice does not depend on what else is being generated (Salmon et al. 2011). */
typedef struct SampleWork { float *value; int32_t *id; uint8_t *seen; int64_t vocab; } SampleWork;
bool sample_work_new(SampleWork *w, int64_t vocab, Err *err);
void sample_work_free(SampleWork *w);
int32_t sample(const GenerationConfig *c, float *logits, const int32_t *history, int64_t count, uint64_t sequence, SampleWork *work);

/* One sequence. Text appears in `text` as far as it is final: whole characters, and nothing that may begin a stop string. */
typedef struct Generation {
    GenerationConfig config;
    int32_t *ids;              /* prompt, then new */
    int64_t prompt, count;
    size_t capacity;
    TextStream stream;
    Text raw;                  /* all decoded text      */
    size_t shown;              /* bytes of it released  */
    const char *finish;        /* NULL, "stop", "length" */
} Generation;

bool generation_start(Generation *g, const GenerationConfig *c, const QmTokenizer *t, const int32_t *prompt, int64_t count, Err *err);
/* Appends a token; *text (borrowed, *bytes long) is what may now be shown. Sets finish when it is the last. */
bool generation_push(Generation *g, int32_t id, const char **text, size_t *bytes, Err *err);
/* Ends a sequence from outside ("length", "interrupted"); releases what was held back. */
void generation_end(Generation *g, const char *why, const char **text, size_t *bytes);
void generation_free(Generation *g);
#endif
