/* train_show.h: rows as a person looks at them before the first step, and as other programs read them. */
#ifndef TRAIN_SHOW_H
#define TRAIN_SHOW_H
#include "train_data.h"

/* The first `count` rows of the first epoch as text, what has labels in green, or (colour false) between [[ and ]]. Of
 * a packed row a line parts the segments. tokenizer NULL: tokens are numbers. Control characters become '?'. */
bool train_show(TrainData *data, const QmTokenizer *tokenizer, int64_t count, bool colour, FILE *out, Err *err);

/* Appends what is to be said of the data before the first step, a line for training and one for evaluation. */
void train_counts_text(const TrainData *data, Text *out);

/* Appends {"ids": [...], "labels": [...], "lengths": [...]}: all segments one behind the other, the label of each first
 * token -100, and "label" or "start" and "end" where the task has them; and a newline. */
void train_row_line(const TrainData *data, const TrainRow *row, Text *out);
/* All rows of `epochs` epochs in their order to a file, which is there whole or not at all. */
bool train_write_samples(TrainData *data, int64_t epochs, const char *path, Err *err);
#endif
