/* sentence.h: what a folder of sentence-transformers says beside its model: modules.json, the pooling, prompts. */
#ifndef SENTENCE_H
#define SENTENCE_H
#include "source.h"

typedef enum Pooling { POOLING_LAST, POOLING_MEAN, POOLING_COUNT } Pooling;

typedef struct Sentence {
    bool found;            /* the folder has modules.json */
    Pooling pooling;
    bool normalize;
    int64_t max_tokens;    /* a longer text is cut; 0: not said */
    struct json_t *prompts; /* by name; NULL: none */
    char default_prompt[64]; /* a name, or "" */
} Sentence;

/* Without modules.json: the last token's state, normalised. A module or pooling that we do not have is an error.
 * Free with sentence_free, also after failure. */
bool sentence_open(Sentence *sentence, Source *source, Err *err);
void sentence_free(Sentence *sentence);
/* The text that goes before every text, by its name; NULL: the folder's own default. NULL and an error: there is none
 * of that name. */
const char *sentence_prompt(const Sentence *sentence, const char *name, Err *err);
#endif
