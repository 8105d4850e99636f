/* train_order.h: draws that are functions of counters, and orders made of them. */
#ifndef TRAIN_ORDER_H
#define TRAIN_ORDER_H
#include "../base/base.h"

/* What a draw is for: no two purposes share numbers. */
typedef enum DrawPurpose { DRAW_EPOCH_ORDER = 1, DRAW_EVAL_SPLIT = 2, DRAW_INITIAL = 3 } DrawPurpose;

/* 64 bits from a key, by rounds of the splitmix64 finaliser (Steele et al. 2014) over its parts. */
uint64_t train_draw(uint64_t seed, DrawPurpose purpose, uint64_t counter, uint64_t index);
/* out [count]: 0 .. count - 1 in an order drawn for (seed, purpose, counter): Fisher and Yates, from the end. */
void train_order(uint64_t seed, DrawPurpose purpose, uint64_t counter, int64_t count, int64_t *out);
#endif
