/* train_file.h: all samples of one file, read and checked by several threads. */
#ifndef TRAIN_FILE_H
#define TRAIN_FILE_H
#include "train_cache.h"
#include "train_sample.h"

/* Samples of the file at `path` ("-": standard input) in its order; blank lines are none. reader: for its tokenizer,
 * options, vocabulary and end; each thread has a copy. What the file's labels are called comes to reader->names.
 * An error is that of the first wrong line, whatever thread met it. Free with samples_free. */
bool file_samples(const TrainReader *reader, const char *path, TrainSamples *out, Err *err);
/* Classes get the numbers order [their number before]; NULL: they keep them. */
void samples_rename(TrainSamples *s, TrainTask task, const int32_t *order);
#endif
