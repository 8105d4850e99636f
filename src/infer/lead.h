/* lead.h: one engine over several processes. Rank 0 is the program: it reads input, decides every token and writes
 * output. The other ranks follow: they open what rank 0 opens and run the steps it runs, so they decide nothing that
 * could differ, and every command works unchanged. With one rank none of this does anything. */
#ifndef LEAD_H
#define LEAD_H
#include "../base/transport.h"
#include "engine.h"

void lead_end(void); /* rank 0: the others may end */
/* Other ranks: the next message of rank 0; the engine of a number, or NULL. */
void lead_hear(void *data, size_t bytes, Patience patience);
QmEngine **lead_engine(int number);
void lead_tell(void *data, size_t bytes, Patience patience); /* rank 0: a message to all others */

/* ---- On all ranks, while an engine is opened --------------------------------------------------------------------- */

/* What has to be the same on all ranks: the model's numbers and files, and how it is dealt. */
typedef struct LeadModel {
    const ModelConfig *config;
    const Graph *graph; /* the program's */
    Weights *weights;
    const char *mesh;
    int64_t context, slots, rows;
} LeadModel;
/* Whether all have planned the same of the same model; if not, an error that names the rank. */
bool lead_agree_on(const LeadModel *model, bool planned, Err *err);
bool lead_agree(const QmEngine *e, const BackendOptions *options, bool planned, Err *err);
/* Whether all have opened it. */
bool lead_opened(const QmEngine *e, bool opened, Err *err);

/* ---- Rank 0, before it does the same itself ---------------------------------------------------------------------- */

void lead_open(QmEngine *e, const QmEngineOptions *o);
void lead_step(const QmEngine *e);
void lead_copy(const QmEngine *e, int from_slot, int to_slot, int64_t positions);
void lead_read(const QmEngine *e, Tensor t);
void lead_candidates(const QmEngine *e, int64_t logit_row);
void lead_close(const QmEngine *e);
#endif
