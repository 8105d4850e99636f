/* follow.h: one engine over several processes. Rank 0 is the program: it reads input, decides every token and writes
 * output. The other ranks follow: they open what rank 0 opens and run the steps it runs, so they decide nothing that
 * could differ, and every command works unchanged. With one rank none of this does anything. */
#ifndef FOLLOW_H
#define FOLLOW_H
#include "engine.h"

/* The life of a rank other than 0: until rank 0 ends. Returns the exit code. */
int follow(void);
void follow_end(void); /* rank 0: the others may end */

/* ---- On all ranks, while an engine is opened --------------------------------------------------------------------- */

/* Whether all have planned the same engine of the same model; if not, an error that names the rank. */
bool follow_agree(const QmEngine *e, const BackendOptions *options, bool planned, Err *err);
/* Whether all have opened it. */
bool follow_opened(const QmEngine *e, bool opened, Err *err);

/* ---- Rank 0, before it does the same itself ---------------------------------------------------------------------- */

void follow_open(QmEngine *e, const QmEngineOptions *o);
void follow_step(const QmEngine *e);
void follow_copy(const QmEngine *e, int from_slot, int to_slot, int64_t positions);
void follow_read(const QmEngine *e, Tensor t);
void follow_candidates(const QmEngine *e, int64_t logit_row);
void follow_close(const QmEngine *e);
#endif
