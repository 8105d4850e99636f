/* order.h: the tokens of a tokenizer in the order of their bytes: who tries all of them reads common beginnings
 * once. */
#ifndef ORDER_H
#define ORDER_H
#include <stdlib.h>
#include "../base/base.h"

typedef struct OrderedToken {
    const uint8_t *data;
    uint32_t bytes, common; /* common: with the one before */
    int32_t id;
} OrderedToken;

/* Every token that has text, special ones excepted; `longest` in bytes. */
typedef struct TokenOrder { OrderedToken *token; size_t count, longest; } TokenOrder;

/* Sorted at the first call and kept with the tokenizer, which it lives as long as. Any thread. NULL on error. */
const TokenOrder *tokenizer_order(const QmTokenizer *tokenizer, Err *err);
static inline void token_order_free(TokenOrder *order) {
    if (order) free(order->token);
    free(order);
}
#endif
