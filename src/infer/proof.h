/* proof.h: a running SHA-256 of the rows of logits that tokens are chosen from, before any processor. By the law of same
 * bits it is one number for one answer, wherever it is computed, so whoever repeats it has proved the answer. */
#ifndef PROOF_H
#define PROOF_H
#include "../base/base.h"

enum { PROOF_TEXT = 65 }; /* 64 hex digits and a NUL */

typedef struct Proof Proof;
Proof *proof_new(Err *err); /* freed with proof_free */
Proof *proof_copy(const Proof *from, Err *err);
void proof_add(Proof *p, const float *row, int64_t count); /* NULL: nothing is done */
/* Of what was added so far. */
bool proof_text(const Proof *p, char out[PROOF_TEXT], Err *err);
void proof_free(Proof *p);
#endif
