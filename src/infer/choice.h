/* choice.h: within src/infer: what choosing one token and searching over many have in common. */
#ifndef CHOICE_H
#define CHOICE_H
#include "processors.h"

/* In [0, 1), a function of its arguments alone. */
double draw_uniform(uint64_t seed, uint64_t sequence, uint64_t position);
/* False, and the error that says so of the logits after `count` tokens, `new_tokens` of them new. */
bool logits_invalid(int64_t new_tokens, int64_t count, Err *err);
/* log of the sum of e^logit; +inf when no logit is a number above -inf. */
double log_total(const float *logits, SampleWork *work);
/* Of one token, and of the n likeliest, in order: out [1 + n]. */
void logprobs_of(const float *logits, double total, int32_t id, int64_t n, SampleWork *work, QmLogprob *out);
/* Keeps the log-probability of the token that is about to be pushed, and the alternatives if wanted. `logits` before
 * any processor, `total` their log_total. */
bool generation_tell(Generation *g, const float *logits, double total, int32_t id, SampleWork *work, Err *err);
#endif
