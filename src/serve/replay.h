/* replay.h: exchanges answered again, and held against what was answered then. */
#ifndef REPLAY_H
#define REPLAY_H
#include <stdio.h>
#include "exchange_file.h"

typedef struct Replayed { const char *name; const ExchangeFile *file; } Replayed; /* name: for messages */

/* Slots of the engine that they need at least, and cache positions. */
bool replay_needs(const Replayed *list, int count, QmSource *source, int64_t *slots, int64_t *context, Err *err);
/* Whether an engine is the one that they were answered by, by its fingerprint: false and an error that names the first
 * that was not. */
bool replay_fits(const Replayed *list, int count, const QmEngine *engine, Err *err);
/* All runs of all files over the engine's slots together. A line for each file on `out`: that it is the same, or what
 * differs first. *same: whether all are. False and an error: they could not be answered. `stop` (or NULL) is asked before
 * each step: QM_INTERRUPTED. */
bool replay_run(const Replayed *list, int count, QmEngine *engine, const QmTokenizer *tokenizer, QmSource *source,
                bool (*stop)(void), FILE *out, bool *same, Err *err);
#endif
