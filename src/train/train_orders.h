/* train_orders.h: training over several processes. Rank 0 is the program; the others open the trainer that it opens, and do
 * the steps that it does, over the rows that it sends: all run the same passes, and what rank 0 decides of a step (whether
 * it counts, and by how much gradients are clipped) it tells. A rank that follows checks all of it before it obeys. With
 * one rank none of this does anything. */
#ifndef TRAIN_ORDERS_H
#define TRAIN_ORDERS_H
#include "../infer/orders.h"
#include "trainer.h"

/* In Order.number[0] of an ORDER_TRAIN. */
typedef enum TrainOrder {
    TRAIN_OPEN,     /* TrainOpen follows                                      */
    TRAIN_STEP,     /* TrainRows follows, then its numbers                    */
    TRAIN_EVALUATE, /* likewise                                               */
    TRAIN_READ,     /* number[1], [2]: tensor, part                           */
    TRAIN_WRITE,    /* likewise                                               */
    TRAIN_CLOSE,
    TRAIN_ORDERS
} TrainOrder;

enum { TARGET_NUMBERS = 6 };

typedef struct TrainOpen {
    OpenOrder engine;
    int64_t seq_len, micro_batch, labels, optimizer, task, recompute, ema, moments_8bit, adapted;
    uint64_t seed;
    char adapter[ORDER_TEXT_BYTES];
} TrainOpen;

/* int32_t follow: segments of each row, tokens of each segment, ids and labels of each token, TARGET_NUMBERS of each
 * segment. */
typedef struct TrainRows {
    StepNumbers numbers;
    int64_t rows, segments, tokens;
} TrainRows;

bool train_open_write(TrainOpen *open, const char *model, const TrainerOptions *options, Err *err);
/* Texts of *options then lie in `open`. */
bool train_open_read(const TrainOpen *open, TrainerOptions *options, Err *err);
/* What follows `head`, which it fills too; freed by the caller. NULL: no memory. */
int32_t *train_rows_write(TrainRows *head, const TrainRow *rows, int64_t count, Err *err);
int64_t train_rows_numbers(const TrainRows *head);
/* "order to train: rows: expected 0 to 3, got 7" */
bool train_within(const char *what, int64_t value, int64_t first, int64_t last, Err *err);

/* ---- Rank 0, before it does the same itself; nothing on other ranks ---------------------------------------------- */

bool train_lead_open(const char *model, const TrainerOptions *options, Err *err);
bool train_lead_rows(TrainOrder what, const TrainRow *rows, int64_t count, const StepNumbers *numbers, Err *err);
void train_lead(TrainOrder what, int64_t tensor, int64_t part);
/* What rank 0 has decided, to all. */
void train_decided(void *decision, size_t bytes);
/* Of what all ranks do together: one that fails ends all; what rank 0 has interrupted, they leave together. */
bool train_together(bool ok, const Err *err);
#endif
