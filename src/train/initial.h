/* initial.h: a model that has learnt nothing yet. */
#ifndef INITIAL_H
#define INITIAL_H
#include "../model/model_folder.h"

/* Saves the model of a configuration as a folder in f32, with weights drawn as transformers initialises them: matrices
 * normal with the configuration's initializer_range (0.02 where it has none), biases 0, gains of norms 1. A draw is a
 * function of (seed, tensor, place) and has the same bits on every machine. tokenizer: whose is saved with it; NULL:
 * the source's. */
bool initial_model(Source *source, Source *tokenizer, uint64_t seed, const char *folder, Err *err);

/* The draw for a place of a tensor: normal, mean 0, deviation 1. */
double initial_normal(uint64_t seed, uint64_t tensor, uint64_t place);
#endif
