/* train_format.h: a value of a JSON file to a sample: train_data.h has the formats. */
#ifndef TRAIN_FORMAT_H
#define TRAIN_FORMAT_H
#include "train_sample.h"

/* *out is emptied first. False and an error that says what was expected. */
bool format_read(const TrainReader *reader, const json_t *value, Sample *out, Err *err);
#endif
