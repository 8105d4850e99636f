/* train_classes.h: samples whose labels are classes or spans. As sample_read. */
#ifndef TRAIN_CLASSES_H
#define TRAIN_CLASSES_H
#include "train_sample.h"

/* {"text", "text_pair"?, "label"} or {"ids", "label"}. The tokens of a pair follow those of the text. */
bool classes_sequence(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
/* {"tokens", "tags"}: words, each but the first behind a space; the first token of each has its label. */
bool classes_words(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
/* {"ids", "labels"}: a class or -100 for each. */
bool classes_tokens(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
/* {"question", "context", "answers": {"text", "answer_start"}}: answer_start counts characters; of lists the first one
 * counts. The tokens of the context follow those of the question. */
bool classes_answer(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
/* {"ids", "start", "end"}: tokens, the last one included. */
bool classes_span(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
#endif
