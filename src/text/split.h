/* split.h: pre-tokenisation, the cutting of text into the words that byte-pair encoding never merges across.
 *
 * A Splitter is a list of steps as tokenizer.json writes them; each cuts the pieces of the one before. The patterns of
 * the models we know are matched by hand, any other Split pattern by PCRE2.
 */
#ifndef SPLIT_H
#define SPLIT_H
#include "../base/base.h"

typedef enum SplitKind {
    SPLIT_QWEN2,        /* every digit alone                          */
    SPLIT_LLAMA3,       /* the same with up to three digits together  */
    SPLIT_GPT2,
    SPLIT_DIGITS,       /* every numeric character alone              */
    SPLIT_PREFIX_SPACE, /* a piece that has no space in front gets one */
    SPLIT_REGEX
} SplitKind;

enum { SPLIT_STEPS = 8 };

typedef struct Splitter {
    SplitKind step[SPLIT_STEPS];
    struct Regex *regex[SPLIT_STEPS]; /* of a SPLIT_REGEX step, owned */
    int count;
    int prefix; /* step before which a space in front would be added */
} Splitter;

bool splitter_add(Splitter *splitter, SplitKind kind, Err *err);
/* Makes `prefix` a SPLIT_PREFIX_SPACE step, or no longer one. */
bool splitter_set_prefix(Splitter *splitter, bool on, Err *err);
/* A Split step with behaviour Isolated. `by_hand` false: PCRE2 even for the patterns that we match by hand. */
bool splitter_add_pattern(Splitter *splitter, const char *pattern, size_t bytes, bool by_hand, Err *err);
void splitter_free(Splitter *splitter);

/* Calls `sink` for every word of well-formed `text` in order; it stops and fails when a call returns false. */
typedef bool WordSink(void *context, const uint8_t *word, size_t bytes, Err *err);
bool splitter_run(const Splitter *splitter, const uint8_t *text, size_t bytes, double deadline, WordSink *sink,
                  void *context, Err *err);
/* The time of clock_seconds() by which a text of `bytes`, all its pieces together, must be split: patterns of a file
 * may be slow. */
double split_deadline(size_t bytes);

/* The pattern that a matcher by hand stands for; NULL for the other kinds. */
const char *split_pattern(SplitKind kind);

/* ---- oniguruma.c --------------------------------------------------------------------------------------------- */

/* Appends the pattern as PCRE2 writes it. False and an error that names what has no counterpart there. */
bool pattern_translate(const char *pattern, size_t bytes, Text *out, Err *err);

/* ---- regex.c ------------------------------------------------------------------------------------------------- */

/* Compiles a pattern in Oniguruma's syntax, as tokenizers' Split uses it. */
struct Regex *regex_new(const char *pattern, size_t bytes, Err *err);
void regex_free(struct Regex *regex);
/* Calls `sink` for every match and every gap between matches, empty ones left out. */
bool regex_split(const struct Regex *regex, const uint8_t *text, size_t bytes, double deadline, WordSink *sink,
                 void *context, Err *err);
#endif
