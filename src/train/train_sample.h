/* train_sample.h: a sample of a file, and what all formats of samples are read with. Errors say what was expected; who
 * knows file and line puts them before it. */
#ifndef TRAIN_SAMPLE_H
#define TRAIN_SAMPLE_H
#include <jansson.h>
#include "../text/tokenizer.h"
#include "train_data.h"
#include "train_names.h"

/* What a thread reads samples with. */
typedef struct TrainReader {
    const QmTokenizer *tokenizer; /* with working space of this thread's own; NULL: samples have ids      */
    const TrainDataOptions *options;
    TrainNames *names;            /* shared                                                                */
    int64_t vocab;                /* ids are below it                                                      */
    int32_t end;                  /* end-of-text token, put behind documents and completions; -1: none     */
} TrainReader;

/* Reused from one sample to the next; sample_free at last. labels [ids.count]: TrainSegment's, before any cut. */
typedef struct Sample {
    Ids ids, labels;
    TrainTarget target;
    bool torn;     /* the tokens of the prompt are not the first ones of prompt and completion together */
} Sample;

/* A text with every token a label. `end`: the end-of-text token behind it, unless it ends with that. */
bool sample_text(const TrainReader *reader, const char *text, size_t bytes, bool end, Sample *out, Err *err);
void sample_free(Sample *sample);

/* Appends the ids of a text, control tokens among them. */
bool sample_encode(const TrainReader *reader, const char *text, size_t bytes, Ids *out, Err *err);
/* The end-of-text token, unless it stands there already or nothing wants it. */
bool sample_end(const TrainReader *reader, Ids *ids, Err *err);
/* Labels of all tokens from `first` on. */
bool sample_label_from(Sample *sample, size_t first, Err *err);
/* A member that must be a text. */
bool sample_member(const json_t *value, const char *key, const char **text, size_t *bytes, Err *err);
/* "ids" (or "input_ids") of an object, checked. */
bool sample_ids(const TrainReader *reader, const json_t *value, Ids *out, Err *err);
/* An integer of a list; INT64_MIN: another value. got: how a message calls it. */
int64_t sample_number(const json_t *list, size_t i, char got[32]);
#endif
